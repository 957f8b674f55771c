//! Tokens of the OAuth side: the password grant, their lives, their kind.

use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::audit::v1::{ActivityType, Outcome};
use coffre_proto::auth::v1::{
    CreateApiAccessRequest, IssueTokenForPasswordRequest, UpdateApiAccessRequest, UpdateUserRequest,
};
use coffre_proto::query::v1::Query;
use coffre_test_support::on_each_engine;
use coffre_types::TokenKind;

use crate::portal::{access, asking, change, minutes};
use crate::world::{BASIC_ROLE, HOME, World, eventually, outcome, password_of, reason};

on_each_engine! {
    async fn an_operator_s_password_gets_a_token_that_says_who_and_through_which_client(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("Portal").await;
        let ada = world.admin().await.create_user("ada", &[BASIC_ROLE]).await.unwrap().id;
        world.events();
        let grant = world.nobody().token(&program.named("portal"), " ADA").await;
        assert_eq!(grant.unwrap_err(), Reason::OauthGrantInvalid, "the password of another spelling");
        world.events();
        let grant = world.nobody().try_token(asking(&program.named("portal"), " ADA", &password_of("ada"))).await.unwrap();
        assert_eq!((grant.expires_in, grant.scope.as_str()), (3600, "public-api"));
        assert!(grant.refresh_token.starts_with("coffre_rt_"));
        let caller = world.first.authenticator.authenticate(&grant.access_token).await.unwrap();
        assert_eq!((caller.user_id.get(), caller.kind, caller.client_id.as_deref()), (ada, TokenKind::PublicApi, Some("Portal")));
        let header = jsonwebtoken::decode_header(&grant.access_token).unwrap();
        assert_eq!(header.typ.as_deref(), Some("at+jwt"));
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.activity_type(), outcome(&event)), ("oauth.token.issued", ActivityType::Login, Outcome::Successful));
        let actor = event.actor.unwrap();
        assert_eq!((actor.user_id, actor.user_name.as_str(), actor.client_id.as_str(), actor.session_id.len()), (ada, "ada", "Portal", 16));
        assert_eq!((event.client_address.as_str(), event.details[0].key.as_str(), event.details[0].value.as_str()), (HOME, "grant", "password"));
    }

    async fn rule_2_1_every_failure_of_an_operator_gets_the_same_answer_for_the_same_work(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let admin = world.admin().await;
        let mut ids = Vec::new();
        for name in ["ada", "disabled", "reset"] {
            ids.push(admin.create_user(name, &[BASIC_ROLE]).await.unwrap().id);
        }
        admin.create_user("without", &[]).await.unwrap();
        admin.update_user(UpdateUserRequest { id: ids[1], disabled: Some(true), ..Default::default() }).await.unwrap();
        admin.update_user(UpdateUserRequest { id: ids[2], password: Some(password_of("reset")), ..Default::default() }).await.unwrap();
        world.events();
        let (mut answers, mut causes) = (Vec::new(), Vec::new());
        for (name, password) in [
            ("nobody at all", password_of("ada")),
            ("ada", "not the right password".to_owned()),
            ("ada", String::new()),
            ("disabled", password_of("disabled")),
            ("without", password_of("without")),
            ("reset", password_of("reset")),
        ] {
            let before = world.first.app.hashes();
            let refused = world.nobody().try_token(asking(&program, name, &password)).await.unwrap_err();
            assert_eq!(world.first.app.hashes(), before + 1, "{name}: one hash");
            answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
            let event = world.last_event();
            assert_eq!((event.reason.as_str(), event.actor.unwrap().client_id.as_str()), ("OAUTH_GRANT_INVALID", "app"));
            causes.push(event.details.into_iter().find(|detail| detail.key == "cause").unwrap().value);
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        assert_eq!(causes, ["unknown user", "wrong password", "wrong password", "disabled", "may not connect to the API", "password change pending"]);
        assert_eq!(reason(&world.nobody().try_token(asking(&program, "ada", "x")).await.unwrap_err()), Reason::OauthGrantInvalid);
        world.nobody().token(&program, "ada").await.unwrap();
    }

    async fn rule_2_2_failures_count_together_with_those_of_signing_in_whatever_failed(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let admin = world.admin().await;
        for name in ["ada", "without"] {
            admin.create_user(name, &[]).await.unwrap();
        }
        let nobody = world.nobody();
        for round in 0..5 {
            match round % 2 {
                0 => assert_eq!(reason(&nobody.try_token(asking(&program, "ADA", "wrong")).await.unwrap_err()), Reason::OauthGrantInvalid),
                _ => assert_eq!(nobody.sign_in("ada", "wrong").await.unwrap_err(), Reason::AuthSignInFailed),
            }
            let right = nobody.token(&program, "without").await;
            assert_eq!(right.unwrap_err(), Reason::OauthGrantInvalid);
        }
        assert_eq!(nobody.token(&program, "ada").await.unwrap_err(), Reason::AuthThrottled);
        assert_eq!(nobody.sign_in("ada", &password_of("ada")).await.unwrap_err(), Reason::AuthThrottled);
        assert_eq!(nobody.token(&program, "without").await.unwrap_err(), Reason::AuthThrottled, "a right password shows as little");
        nobody.introspect(&program, "x").await.expect("the client did nothing wrong");
    }

    async fn an_outdated_hash_is_renewed_by_a_sign_in_and_by_a_program_alike(db: TestDb) {
        let mut world = World::start(&db).await;
        let program = world.program("app").await;
        world.admin().await.create_user("without", &[]).await.unwrap();
        world.user("ada", &[BASIC_ROLE]).await;
        world.config.hashing.memory_kib = 128;
        let newer = world.replica().await;
        let made_with = async |name: &'static str, memory: u32| {
            let row = move || coffre_db::Sql::new("SELECT count(*) AS id FROM users WHERE username = ").bind(name)
                .push(" AND password_hash LIKE ").bind(format!("$argon2id$v=19$m={memory},%"));
            newer.database.read(move |conn| coffre_db::dialect::id(conn, row())).await.unwrap() == 1
        };
        assert!(made_with("ada", 64).await && made_with("without", 64).await);
        let nobody = newer.caller("");
        nobody.token(&program, "without").await.unwrap_err();
        nobody.try_token(asking(&program, "ada", "not the right password")).await.unwrap_err();
        assert!(made_with("ada", 64).await && made_with("without", 64).await, "what gets nothing renews nothing");
        for (what, hashes) in [("outdated", 2), ("renewed", 1)] {
            let before = newer.app.hashes();
            nobody.token(&program, "ada").await.unwrap();
            assert_eq!(newer.app.hashes(), before + hashes, "{what}");
            assert!(made_with("ada", 128).await);
        }
        world.sign_in("ada", &password_of("ada")).await;
        assert!(made_with("ada", 64).await, "by signing in elsewhere, where other parameters count");
        nobody.sign_in("ada", &password_of("ada")).await.expect("it is the same password");
        assert!(made_with("ada", 128).await);
    }

    async fn the_only_scope_is_public_api(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        world.user("ada", &[BASIC_ROLE]).await;
        let scoped = |scope: &str| IssueTokenForPasswordRequest { scope: scope.into(), ..asking(&program, "ada", &password_of("ada")) };
        for good in ["", "public-api"] {
            assert_eq!(world.nobody().try_token(scoped(good)).await.unwrap().scope, "public-api");
        }
        for bad in ["admin", "public-api admin", "PUBLIC-API", " "] {
            assert_eq!(reason(&world.nobody().try_token(scoped(bad)).await.unwrap_err()), Reason::OauthScopeInvalid, "{bad}");
        }
        assert_eq!(reason(&world.nobody().try_token(scoped(&"x".repeat(1025))).await.unwrap_err()), Reason::RequestInvalid);
    }

    async fn each_grant_is_allowed_for_itself(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program_of(CreateApiAccessRequest { client_id: "app".into(), ..Default::default() }).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let nobody = world.nobody();
        let unauthorized = Reason::OauthClientUnauthorized;
        assert_eq!(nobody.token(&program, "ada").await.unwrap_err(), unauthorized);
        assert_eq!(nobody.token_of_its_own(&program).await.unwrap_err(), unauthorized);
        assert_eq!(nobody.renew(&program, "x").await.unwrap_err(), Reason::OauthGrantInvalid, "allowed, but no token");
        let admin = world.admin().await;
        admin.update_api_access(UpdateApiAccessRequest { password_grant: Some(true), refresh_grant: Some(false), ..change(program.id) }).await.unwrap();
        let grant = nobody.token(&program, "ada").await.unwrap();
        assert_eq!(grant.refresh_token, "", "none is given");
        assert_eq!(nobody.renew(&program, "x").await.unwrap_err(), unauthorized);
        world.clock.advance(Duration::from_secs(3600));
        assert!(!nobody.introspect(&program, &grant.access_token).await.unwrap().active, "its session ends with it");
    }

    async fn tokens_live_as_long_as_the_access_says(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program_of(CreateApiAccessRequest { access_token_life: minutes(30), refresh_token_life: minutes(45), ..access("app") }).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let nobody = world.nobody();
        let grant = nobody.token(&program, "ada").await.unwrap();
        assert_eq!(grant.expires_in, 1800);
        world.clock.advance(Duration::from_secs(20 * 60));
        let second = nobody.renew(&program, &grant.refresh_token).await.unwrap();
        assert_eq!(second.expires_in, 25 * 60, "no token outlives its family");
        assert!(world.first.accepts(&grant.access_token).await, "the one before goes on until its expiry");
        world.clock.advance(Duration::from_secs(10 * 60));
        assert!(!world.first.accepts(&grant.access_token).await && world.first.accepts(&second.access_token).await);
        world.clock.advance(Duration::from_secs(15 * 60 - 1));
        let third = nobody.renew(&program, &second.refresh_token).await.unwrap();
        assert_eq!(third.expires_in, 1);
        world.clock.advance(Duration::from_secs(1));
        assert!(!world.first.accepts(&third.access_token).await);
        assert_eq!(nobody.renew(&program, &third.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
        let short = world.program_of(CreateApiAccessRequest { access_token_life: minutes(60), refresh_token_life: minutes(1), ..access("short") }).await;
        assert_eq!(nobody.token(&short, "ada").await.unwrap().expires_in, 60);
    }

    async fn a_token_from_before_a_rotation_of_keys_works_until_its_expiry(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program_of(CreateApiAccessRequest { access_token_life: minutes(24 * 60), refresh_token_life: minutes(90 * 24 * 60), ..access("app") }).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
        world.clock.advance(world.config.key_rotation - Duration::from_secs(60));
        let grant = world.nobody().token(&program, "ada").await.unwrap();
        world.clock.advance(Duration::from_secs(61));
        world.first.app.rotate_signing_keys().await.unwrap();
        world.clock.advance(world.config.key_overlap);
        let renewed = world.nobody().renew(&program, &grant.refresh_token).await.unwrap();
        assert_ne!(kid(&grant.access_token), kid(&renewed.access_token));
        world.clock.advance(Duration::from_secs(24 * 3600 - 61 - 60 - 1));
        let replica = world.replica().await;
        for replica in [&world.first, &replica] {
            eventually(async || replica.accepts(&grant.access_token).await && replica.accepts(&renewed.access_token).await).await;
        }
        world.clock.advance(Duration::from_secs(1));
        assert!(!world.first.accepts(&grant.access_token).await);
    }

    async fn a_clock_that_is_set_back_or_forwards_breaks_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        world.user("ada", &[BASIC_ROLE]).await;
        let nobody = world.nobody();
        let first = nobody.token(&program, "ada").await.unwrap();
        // Before the installation, its keys and its users.
        world.clock.set_back(Duration::from_secs(365 * 24 * 3600));
        let second = nobody.renew(&program, &first.refresh_token).await.unwrap();
        assert_eq!(second.expires_in, 3600);
        assert!(world.first.accepts(&second.access_token).await);
        let other = nobody.token(&program, "ada").await.unwrap();
        assert!(world.first.accepts(&other.access_token).await && nobody.introspect(&program, &other.refresh_token).await.unwrap().active);
        world.clock.advance(Duration::from_secs(365 * 24 * 3600));
        assert!(!world.first.accepts(&other.access_token).await, "a year has passed for it");
        assert_eq!(nobody.renew(&program, &other.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
        let renewed = nobody.renew(&program, &second.refresh_token).await.unwrap();
        assert!(world.first.accepts(&renewed.access_token).await, "its family was opened under this clock");
    }

    async fn rule_1_6_no_token_passes_for_one_of_another_kind(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let (_, user) = world.user("ada", &[BASIC_ROLE]).await;
        let nobody = world.nobody();
        let grant = nobody.token(&program, "ada").await.unwrap();
        assert_eq!(nobody.refresh(&grant.access_token).await.unwrap_err(), Reason::AuthTokenInvalid);
        assert_eq!(nobody.refresh(&grant.refresh_token).await.unwrap_err(), Reason::AuthTokenInvalid);
        for token in [&user.token, &grant.access_token, &program.secret] {
            assert_eq!(nobody.renew(&program, token).await.unwrap_err(), Reason::OauthGrantInvalid);
        }
        for token in [&user.token, &program.secret] {
            assert!(!nobody.introspect(&program, token).await.unwrap().active);
            nobody.revoke(&program, token).await.expect("it is none of the client's");
        }
        for token in [&grant.refresh_token, &program.secret] {
            assert!(!world.first.accepts(token).await && !nobody.validate(token).await);
        }
        assert!(nobody.validate(&user.token).await && nobody.validate(&grant.access_token).await, "nothing was ended");
        let caller = world.caller(&grant.access_token);
        assert_eq!(caller.change_password(&password_of("ada"), "another long password").await.unwrap_err(), Reason::AuthTokenKind);
        assert_eq!(caller.list_users(Query::default()).await.map(|_| ()), Ok(()), "within the operator's rights");
    }
}
