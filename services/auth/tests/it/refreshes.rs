//! Families of refresh tokens.

use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::audit::v1::ActivityType;
use coffre_proto::auth::v1::{CreateApiAccessRequest, TokenGrant, UpdateApiAccessRequest};
use coffre_test_support::{TestDb, on_each_engine};
use futures_util::future::join_all;

use crate::portal::{access, change, minutes};
use crate::world::{BASIC_ROLE, World};

/// What a client compares.
fn pair(grant: &TokenGrant) -> (String, String) {
    (grant.access_token.clone(), grant.refresh_token.clone())
}

on_each_engine! {
    async fn each_use_gives_a_successor_and_another_token(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let (ada, first) = world.operator_with_token("ada", &program).await;
        world.events();
        let mut last = first.clone();
        for _ in 0..5 {
            world.clock.advance(Duration::from_secs(60));
            let next = world.nobody().renew(&program, &last.refresh_token).await.unwrap();
            assert!(next.refresh_token != last.refresh_token && next.access_token != last.access_token);
            assert!(world.first.accepts(&next.access_token).await);
            last = next;
        }
        assert!(world.first.accepts(&first.access_token).await);
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.activity_type()), ("oauth.token.refreshed", ActivityType::ClientLogin));
        let actor = event.actor.unwrap();
        assert_eq!((actor.user_id, actor.client_id.as_str(), actor.session_id.len()), (ada, "app", 16));
    }

    async fn a_token_that_was_used_up_ends_its_family_within_the_stream(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        for steps in 1..=2 {
            let (_, first) = world.operator_with_token(&format!("ada {steps}"), &program).await;
            let mut last = first.clone();
            for _ in 0..steps {
                last = nobody.renew(&program, &last.refresh_token).await.unwrap();
            }
            let other = nobody.token(&program, &format!("ada {steps}")).await.unwrap();
            assert!(world.first.accepts(&first.access_token).await && world.first.accepts(&last.access_token).await);
            // One step: the successor is unused, but the ten seconds are over. Two steps: the successor was used.
            if steps == 1 {
                world.clock.advance(Duration::from_millis(10_001));
            }
            world.events();
            assert_eq!(nobody.renew(&program, &first.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
            world.first.refuses_soon(&first.access_token).await;
            world.first.refuses_soon(&last.access_token).await;
            assert_eq!(nobody.renew(&program, &last.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
            assert!(world.first.accepts(&other.access_token).await, "another family goes on");
            let causes: Vec<_> = world.events().into_iter().map(|event| (event.reason, event.details.last().unwrap().value.clone())).collect();
            assert_eq!(causes, ["used up", "ended"].map(|cause| ("OAUTH_GRANT_INVALID".to_owned(), cause.to_owned())));
        }
    }

    async fn the_one_before_gets_the_same_pair_again_for_ten_seconds(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        let (_, first) = world.operator_with_token("ada", &program).await;
        world.clock.advance(Duration::from_millis(1500));
        let second = nobody.renew(&program, &first.refresh_token).await.unwrap();
        for _ in 0..3 {
            let again = nobody.renew(&program, &first.refresh_token).await.unwrap();
            assert_eq!(pair(&again), pair(&second));
            world.clock.advance(Duration::from_secs(3));
        }
        world.clock.advance(Duration::from_secs(1));
        // A process that was started meanwhile knows it as well.
        let restarted = world.replica().await;
        let again = restarted.caller("").renew(&program, &first.refresh_token).await.unwrap();
        assert_eq!((pair(&again), again.expires_in), (pair(&second), 3590));
        let third = nobody.renew(&program, &second.refresh_token).await.expect("and its successor is as good as new");
        assert_ne!(pair(&third), pair(&second));
    }

    async fn the_same_pair_is_the_same_whatever_was_set_meanwhile(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        let (_, first) = world.operator_with_token("ada", &program).await;
        let second = nobody.renew(&program, &first.refresh_token).await.unwrap();
        let longer = UpdateApiAccessRequest { access_token_life: minutes(120), ..change(program.id) };
        world.admin().await.update_api_access(longer).await.unwrap();
        let again = nobody.renew(&program, &first.refresh_token).await.unwrap();
        assert_eq!((pair(&again), again.expires_in), (pair(&second), second.expires_in));
        let third = nobody.renew(&program, &second.refresh_token).await.unwrap();
        assert_eq!(third.expires_in, 7200, "what is issued now has the life of now");
        let repeated = nobody.renew(&program, &second.refresh_token).await.unwrap();
        assert_eq!((pair(&repeated), repeated.expires_in), (pair(&third), 7200));
    }

    async fn a_clock_that_is_set_back_makes_no_repetition(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        let (_, first) = world.operator_with_token("ada", &program).await;
        let second = nobody.renew(&program, &first.refresh_token).await.unwrap();
        world.clock.set_back(Duration::from_secs(10));
        assert_eq!(pair(&nobody.renew(&program, &first.refresh_token).await.unwrap()), pair(&second), "clocks differ a little");
        world.clock.set_back(Duration::from_secs(3600));
        assert_eq!(nobody.renew(&program, &first.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
        assert_eq!(nobody.renew(&program, &second.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid, "the family has ended");
    }

    async fn a_foreign_client_learns_and_changes_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let (program, foreign) = (world.program("app").await, world.program("foreign").await);
        let nobody = world.nobody();
        let (_, first) = world.operator_with_token("ada", &program).await;
        let second = nobody.renew(&program, &first.refresh_token).await.unwrap();
        for token in [&first.refresh_token, &second.refresh_token] {
            let refused = nobody.try_renew(&foreign, token).await.unwrap_err();
            let unknown = nobody.try_renew(&foreign, "coffre_rt_nothing").await.unwrap_err();
            assert_eq!((refused.code(), refused.message(), refused.details()), (unknown.code(), unknown.message(), unknown.details()));
            nobody.revoke(&foreign, token).await.expect("no error, and nothing happens");
            assert_eq!(nobody.introspect(&foreign, token).await.unwrap(), Default::default());
        }
        nobody.revoke(&foreign, &second.access_token).await.unwrap();
        assert_eq!(nobody.introspect(&foreign, &second.access_token).await.unwrap(), Default::default());
        assert_eq!(nobody.renew(&program.showing("not the right secret"), &first.refresh_token).await.unwrap_err(), Reason::OauthClientInvalid);
        assert!(world.first.accepts(&second.access_token).await);
        nobody.renew(&program, &second.refresh_token).await.expect("the family is as it was");
    }

    async fn what_never_was_a_token_of_the_family_changes_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        let (_, grant) = world.operator_with_token("ada", &program).await;
        let token = &grant.refresh_token;
        let long = "x".repeat(8000);
        for odd in ["", "x", &token[..token.len() - 1], &format!("{token}x"), &token.to_uppercase(), &token.replace("_rt_", "_cs_"), &long] {
            assert_eq!(nobody.renew(&program, odd).await.unwrap_err(), Reason::OauthGrantInvalid, "{odd}");
        }
        assert_eq!(nobody.renew(&program, &"x".repeat(8193)).await.unwrap_err(), Reason::RequestInvalid);
        let forged = forged(token);
        world.events();
        assert_eq!(nobody.renew(&program, &forged).await.unwrap_err(), Reason::OauthGrantInvalid);
        assert_eq!(world.last_event().details.last().unwrap().value, "forged");
        nobody.revoke(&program, &forged).await.unwrap();
        assert!(!nobody.introspect(&program, &forged).await.unwrap().active);
        nobody.renew(&program, token).await.expect("the family is as it was");
    }

    async fn rule_2_5_a_family_whose_owner_a_database_writer_changed_gives_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let mallory_s = world.program("mallory's").await;
        for (column, value) in [("user_id", 1), ("api_access_id", mallory_s.id)] {
            let (_, grant) = world.operator_with_token(&format!("mallory {column}"), &program).await;
            let session = coffre_types::SessionId::new(session_of(&grant.access_token));
            world.first.database.write(move |tx| {
                use diesel::RunQueryDsl as _;
                coffre_db::Sql::new("UPDATE sessions SET ").push(column).push(" = ").bind(value)
                    .push(" WHERE session_id = ").bind(session.uuid().as_bytes().to_vec()).execute(tx.conn())?;
                Ok::<_, coffre_db::Error>(())
            }).await.unwrap();
            for program in [&program, &mallory_s] {
                assert_eq!(world.nobody().renew(program, &grant.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid, "{column}");
                assert!(!world.nobody().introspect(program, &grant.refresh_token).await.unwrap().active);
            }
            if column == "user_id" {
                assert!(!world.replica().await.accepts(&grant.access_token).await);
            }
        }
    }

    async fn a_grant_that_is_taken_away_renews_nothing_and_ends_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        let (_, grant) = world.operator_with_token("ada", &program).await;
        let allow = async |refresh_grant| {
            let request = UpdateApiAccessRequest { refresh_grant: Some(refresh_grant), ..change(program.id) };
            world.admin().await.update_api_access(request).await.unwrap();
        };
        allow(false).await;
        assert_eq!(nobody.renew(&program, &grant.refresh_token).await.unwrap_err(), Reason::OauthClientUnauthorized);
        assert!(!nobody.introspect(&program, &grant.refresh_token).await.unwrap().active);
        assert!(world.first.accepts(&grant.access_token).await);
        allow(true).await;
        nobody.renew(&program, &grant.refresh_token).await.unwrap();
    }

    async fn revoking_one_token_ends_the_family(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let nobody = world.nobody();
        for name in ["by access token", "by refresh token", "by one that was used up", "by one that has expired"] {
            let (_, first) = world.operator_with_token(name, &program).await;
            let second = nobody.renew(&program, &first.refresh_token).await.unwrap();
            assert!(world.first.accepts(&second.access_token).await);
            let token = match name {
                "by access token" => &second.access_token,
                "by refresh token" => &second.refresh_token,
                "by one that was used up" => &first.refresh_token,
                _ => {
                    world.clock.advance(Duration::from_secs(3601));
                    &first.access_token
                }
            };
            world.events();
            nobody.revoke(&program, token).await.unwrap();
            let event = world.last_event();
            assert_eq!((event.event.as_str(), event.activity_type()), ("oauth.token.revoked", ActivityType::Logout));
            assert_eq!((event.actor.unwrap().user_name.as_str(), event.object.unwrap().r#type.as_str()), (name, "session"));
            world.first.refuses_soon(&second.access_token).await;
            assert_eq!(nobody.renew(&program, &second.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
            nobody.revoke(&program, token).await.expect("again: the same");
        }
        nobody.revoke(&program, "no token at all").await.unwrap();
    }

    async fn introspection_tells_a_client_of_its_own_tokens(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("App").await;
        let nobody = world.nobody();
        let (ada, first) = world.operator_with_token("ada", &program).await;
        let access = nobody.introspect(&program, &first.access_token).await.unwrap();
        assert_eq!((access.active, access.client_id.as_str(), access.username.as_str(), access.user_id), (true, "App", "ada", ada));
        assert_eq!((access.scope.as_str(), access.token_type.as_str(), access.issuer.as_str()), ("public-api", "access_token", "coffre"));
        assert_eq!(access.expire_time, first.expire_time);
        assert_eq!(access.token_id.len(), 36);
        let refresh = nobody.introspect(&program, &first.refresh_token).await.unwrap();
        assert_eq!((refresh.active, refresh.token_type.as_str(), refresh.token_id.as_str()), (true, "refresh_token", ""));
        assert_eq!(refresh.expire_time.unwrap().seconds - refresh.issue_time.unwrap().seconds, 12 * 3600);
        nobody.renew(&program, &first.refresh_token).await.unwrap();
        assert!(nobody.introspect(&program, &first.refresh_token).await.unwrap().active, "it would get the same pair again");
        world.clock.advance(Duration::from_secs(11));
        assert!(!nobody.introspect(&program, &first.refresh_token).await.unwrap().active);
        world.clock.advance(Duration::from_secs(3600));
        assert_eq!(nobody.introspect(&program, &first.access_token).await.unwrap(), Default::default(), "it has expired");
        assert_eq!(nobody.introspect(&program, "no token at all").await.unwrap(), Default::default());
    }
}

/// The same token with another MAC and the checksum that belongs to it.
fn forged(token: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix("coffre_rt_").unwrap()).unwrap();
    bytes.truncate(bytes.len() - 4);
    *bytes.last_mut().unwrap() ^= 1;
    let covered = [b"coffre_rt_", bytes.as_slice()].concat();
    bytes.extend_from_slice(&aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &covered).as_ref()[..4]);
    format!("coffre_rt_{}", URL_SAFE_NO_PAD.encode(bytes))
}

fn session_of(token: &str) -> uuid::Uuid {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let text = String::from_utf8(claims).unwrap();
    text.split("\"sid\":\"").nth(1).unwrap().get(..36).unwrap().parse().unwrap()
}

/// Shows one token many times at once to some replicas; all get one pair, and only one family lives.
async fn many_at_once(world: &World, replicas: &[&crate::world::Replica], client_secret: &str) {
    let program =
        world.program_of(CreateApiAccessRequest { client_secret: client_secret.into(), ..access("app") }).await;
    world.user("ada", &[BASIC_ROLE]).await;
    let mut last = world.nobody().token(&program, "ada").await.unwrap();
    for round in 0..3 {
        let callers: Vec<_> = replicas.iter().map(|replica| replica.caller("")).collect();
        let shown = (0..24).map(|place| callers[place % callers.len()].renew(&program, &last.refresh_token));
        let answers = join_all(shown).await;
        let pairs: Vec<_> = answers.into_iter().map(|answer| pair(&answer.unwrap())).collect();
        assert!(pairs.windows(2).all(|two| two[0] == two[1]), "round {round}");
        last.refresh_token.clone_from(&pairs[0].1);
    }
    world.nobody().renew(&program, &last.refresh_token).await.expect("and it is the newest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refreshes_at_once_all_get_the_same_pair() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    many_at_once(&world, &[&world.first], "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refreshes_at_once_on_two_replicas_all_get_the_same_pair() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    many_at_once(&world, &[&world.first, &other], "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refreshes_at_once_of_a_client_with_a_chosen_secret_all_get_the_same_pair() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    many_at_once(&world, &[&world.first, &other], "a chosen secret: it is counted").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_family_that_one_replica_ends_the_other_refuses_within_a_second() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    let program = world.program("app").await;
    let (_, first) = world.operator_with_token("ada", &program).await;
    let second = world.nobody().renew(&program, &first.refresh_token).await.unwrap();
    let third = other.caller("").renew(&program, &second.refresh_token).await.unwrap();
    assert!(other.accepts(&third.access_token).await);
    world.nobody().renew(&program, &first.refresh_token).await.unwrap_err();
    other.refuses_soon(&third.access_token).await;
    assert_eq!(other.caller("").renew(&program, &third.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
}
