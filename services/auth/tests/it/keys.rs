use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::auth::v1::GetJsonWebKeySetRequest;
use coffre_test_support::on_each_engine;

use crate::world::{World, eventually, open};

async fn kids(world: &World) -> Vec<String> {
    let nobody = world.nobody();
    let answer =
        nobody.authentication().get_json_web_key_set(nobody.request(GetJsonWebKeySetRequest {})).await.unwrap();
    let keys = answer.into_inner().keys;
    assert!(keys.iter().all(|key| (
        key.kty.as_str(),
        key.crv.as_str(),
        key.alg.as_str(),
        key.r#use.as_str(),
        key.x.len()
    ) == ("OKP", "Ed25519", "EdDSA", "sig", 43)));
    keys.into_iter().map(|key| key.kid).collect()
}

fn kid(token: &str) -> String {
    jsonwebtoken::decode_header(token).unwrap().kid.unwrap()
}

on_each_engine! {
    async fn keys_rotate_with_overlap(db: TestDb) {
        let world = World::start(&db).await;
        let old = world.admin().await.token;
        assert!(!world.first.app.rotate_signing_keys().await.unwrap(), "it is not due");
        world.clock.advance(world.config.key_rotation - Duration::from_secs(600));
        let before = world.admin().await.token;
        world.clock.advance(Duration::from_secs(601));
        // Housekeeping may have come first.
        world.first.app.rotate_signing_keys().await.unwrap();
        let known = kids(&world).await;
        assert_eq!((known.len(), known[0].as_str()), (2, kid(&old).as_str()));
        assert_eq!(kid(&world.admin().await.token), known[0], "the new key is known before it signs");
        world.clock.advance(world.config.key_overlap);
        let after = world.admin().await.token;
        assert_eq!(kid(&after), known[1]);
        for token in [&before, &after] {
            assert!(world.nobody().validate(token).await, "a token from before the rotation works until its expiry");
            eventually(async || world.first.accepts(token).await).await;
        }
        assert!(!world.first.app.rotate_signing_keys().await.unwrap());
    }

    async fn rule_1_5_a_withdrawn_key_is_refused_and_another_signs(db: TestDb) {
        let world = World::start(&db).await;
        let other = world.replica().await;
        let token = world.admin().await.token;
        assert!(world.first.accepts(&token).await && other.accepts(&token).await);
        assert!(world.first.app.withdraw_signing_key(&kid(&token)).await.unwrap());
        world.first.refuses_soon(&token).await;
        other.refuses_soon(&token).await;
        assert_eq!(world.nobody().refresh(&token).await.unwrap_err(), Reason::AuthTokenInvalid);
        let fresh = world.admin().await.token;
        assert_ne!(kid(&fresh), kid(&token));
        eventually(async || other.accepts(&fresh).await).await;
        assert!(!world.first.app.withdraw_signing_key("unknown").await.unwrap());
    }

    async fn a_wrong_key_file_is_refused_at_the_start(db: TestDb) {
        let world = World::start(&db).await;
        let (database, outbox) = open(&world.url, &world.clock, &world.kept);
        let deps = coffre_auth::Deps {
            database,
            outbox,
            clock: world.clock.clone(),
            auth_key: coffre_secret::SecretBytes::new(vec![8; 32]),
            vault: coffre_channel::Channel::deferred().0,
            locker: coffre_channel::Channel::deferred().0,
            activity: coffre_types::Activity::new(world.clock.clone()),
        };
        assert!(matches!(coffre_auth::build(world.config.clone(), deps).await, Err(coffre_auth::Error::WrongKey(_))));
    }
}
