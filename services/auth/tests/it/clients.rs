//! Who a client is: by its id, its secret, and the two ways to read HTTP Basic.

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::Outcome;
use coffre_proto::auth::v1::{CreateApiAccessRequest, RotateApiAccessSecretRequest, UpdateApiAccessRequest};
use coffre_test_support::on_each_engine;

use crate::portal::{access, asking, change, minutes};
use crate::world::{BASIC_ROLE, ELSEWHERE, World, eventually, outcome, password_of, reason};

const CHOSEN: &str = "a chosen secret";

on_each_engine! {
    async fn rule_2_1_every_failure_of_a_client_gets_the_same_answer_for_the_same_work(db: TestDb) {
        let world = World::start(&db).await;
        let chosen = world.program_of(CreateApiAccessRequest { client_secret: format!("{CHOSEN} of one"), ..access("chosen") }).await;
        let disabled = world.program_of(CreateApiAccessRequest { client_secret: format!("{CHOSEN} of two"), disabled: true, ..access("disabled") }).await;
        let generated = world.program("generated").await;
        let unknown = chosen.named("nobody at all");
        let other = world.program("other").await;
        world.user("ada", &[BASIC_ROLE]).await;
        let mut answers = Vec::new();
        for (what, program, hashes) in [
            ("unknown", unknown.clone(), 1),
            ("wrong", chosen.showing("not the right secret"), 1),
            ("empty", chosen.showing(""), 1),
            ("disabled, right", disabled.clone(), 1),
            ("disabled, wrong", disabled.showing("not the right secret"), 1),
            ("a chosen one where one was generated", generated.showing("not the right secret"), 1),
            ("unknown, generated", unknown.showing(&generated.secret), 0),
            ("another's", other.showing(&generated.secret), 0),
            ("a generated one where one was chosen", chosen.showing(&generated.secret), 0),
            ("disabled, generated", disabled.showing(&generated.secret), 0),
        ] {
            let before = world.first.app.hashes();
            let refused = world.nobody().try_token(asking(&program, "ada", &password_of("ada"))).await.unwrap_err();
            assert_eq!(world.first.app.hashes(), before + hashes, "{what}");
            answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        assert_eq!(world.nobody().token(&unknown, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
    }

    async fn rule_2_1_a_secret_in_its_grace_costs_no_more_work(db: TestDb) {
        let world = World::start(&db).await;
        let old = world.program_of(CreateApiAccessRequest { client_secret: format!("{CHOSEN} of old"), ..access("app") }).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let request = RotateApiAccessSecretRequest { id: old.id, client_secret: format!("{CHOSEN} of new"), grace_period: minutes(10), ..Default::default() };
        let new = old.showing(&world.admin().await.rotate_to(request).await.unwrap().client_secret);
        for (program, right) in [(&old, true), (&new, true), (&old.showing("not the right secret"), false)] {
            let before = world.first.app.hashes();
            assert_eq!(world.nobody().introspect(program, "no token").await.is_ok(), right);
            assert_eq!(world.first.app.hashes(), before + 1);
        }
    }

    async fn a_client_that_says_nothing_is_refused_before_anything_is_computed(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        let before = world.first.app.hashes();
        let nobody = world.nobody();
        assert_eq!(nobody.token(&program.named(""), "ada").await.unwrap_err(), Reason::OauthClientInvalid);
        let mut request = asking(&program, "ada", "x");
        request.client = None;
        assert_eq!(reason(&nobody.try_token(request).await.unwrap_err()), Reason::OauthClientInvalid);
        for program in [program.showing(&"x".repeat(1025)), program.showing(&"x".repeat(1 << 20)), program.named(&"x".repeat(1025))] {
            assert_eq!(nobody.token(&program, "ada").await.unwrap_err(), Reason::RequestInvalid);
        }
        assert_eq!(nobody.token(&program, &"x".repeat(256)).await.unwrap_err(), Reason::RequestInvalid);
        assert_eq!(reason(&nobody.try_token(asking(&program, "ada", &"x".repeat(1 << 20))).await.unwrap_err()), Reason::RequestInvalid);
        assert_eq!(nobody.token(&program, "").await.unwrap_err(), Reason::RequestInvalid);
        assert_eq!(world.first.app.hashes(), before);
    }

    async fn secrets_of_every_printable_form_work_in_the_body_and_by_http_basic(db: TestDb) {
        let world = World::with(&db, coffre_auth::Config { password_strength_check: false, ..crate::world::config() }).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let nobody = world.nobody();
        for (place, secret) in [
            "colons:and:more:of:them", "percent % 100%25 %zz", "plus+and space + ", "semi;comma,\"quotes\"'", "&=?#/\\<>{}[]|~^`",
            &"x".repeat(16), &"y".repeat(72), &"z".repeat(200), &"~".repeat(256),
        ].into_iter().enumerate() {
            let program = world.program_of(CreateApiAccessRequest { client_secret: secret.into(), ..access(&format!("my app {place}")) }).await;
            nobody.token(&program, "ada").await.unwrap_or_else(|refused| panic!("{secret}: {refused:?}"));
            nobody.token_by_basic(&program, "ada").await.unwrap_or_else(|refused| panic!("{secret}, as it stands: {refused:?}"));
            let form = |text: &str| -> String {
                let byte = |byte: u8| match byte {
                    b' ' => "+".to_owned(),
                    byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                    byte => format!("%{byte:02X}"),
                };
                text.bytes().map(byte).collect()
            };
            let encoded = program.named(&form(&program.client_id)).showing(&form(secret));
            nobody.token_by_basic(&encoded, "ada").await.unwrap_or_else(|refused| panic!("{secret}, encoded: {refused:?}"));
            let in_body = nobody.token(&encoded, "ada").await;
            assert_eq!(in_body.unwrap_err(), Reason::OauthClientInvalid, "a body is decoded once, by whoever reads it");
        }
    }

    async fn bytes_that_no_text_has_are_a_wrong_client_and_no_fault(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        world.user("ada", &[BASIC_ROLE]).await;
        for odd in [program.named("app\0"), program.named("\0"), program.showing("a secret\0with a NUL"), program.showing("un secret en français"), program.named("\u{202e}app")] {
            assert_eq!(world.nobody().token(&odd, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
            assert_eq!(world.nobody().token_by_basic(&odd, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
            world.clock.advance(Duration::from_secs(60));
        }
        assert_eq!(world.nobody().token_by_basic(&program.named("app%00"), "ada").await.unwrap_err(), Reason::OauthClientInvalid);
        assert_eq!(world.nobody().token(&program, "ada\0").await.unwrap_err(), Reason::OauthGrantInvalid);
        world.nobody().token(&program, "ada").await.unwrap();
    }

    async fn secrets_that_are_over_are_removed_once_no_session_stands_on_them(db: TestDb) {
        let world = World::with(&db, coffre_auth::Config { housekeeping: Duration::from_millis(20), ..crate::world::config() }).await;
        let (_, program) = world.bound_program("app", "ada").await;
        world.nobody().token_of_its_own(&program).await.unwrap();
        let rows = async || {
            world.first.database.read(|conn| coffre_db::dialect::id(conn, coffre_db::Sql::new("SELECT count(*) AS id FROM api_access_secrets"))).await.unwrap()
        };
        let newest = world.admin().await.rotate(&program, 0).await.unwrap();
        assert_eq!(rows().await, 2);
        world.clock.advance(Duration::from_secs(25 * 3600));
        eventually(async || rows().await == 1).await;
        world.nobody().introspect(&newest, "x").await.unwrap();
    }

    async fn the_reading_that_is_wrong_counts_for_nothing_where_the_other_is_right(db: TestDb) {
        let world = World::start(&db).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let generated = world.program("my generated app").await;
        let chosen = world.program_of(CreateApiAccessRequest { client_secret: "a + chosen % secret".into(), ..access("my chosen app") }).await;
        let plain = world.program_of(CreateApiAccessRequest { client_secret: "another + secret % here".into(), ..access("plain") }).await;
        let wrong = world.program("other").await.secret;
        let encoded = [plain.showing("another+%2B+secret+%25+here"), generated.named("my+generated+app"), chosen.named("my%20chosen%20app").showing("a+%2B+chosen+%25+secret")];
        for _ in 0..8 {
            for program in &encoded {
                world.nobody().token_by_basic(program, "ada").await.unwrap();
            }
            world.clock.advance(Duration::from_secs(31));
        }
        for (program, wrong) in encoded.iter().zip(["not the right secret", &wrong, "not the right secret"]) {
            for _ in 0..5 {
                let wrong = program.showing(wrong);
                assert_eq!(world.nobody().token_by_basic(&wrong, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
            }
            assert_eq!(world.nobody().token_by_basic(program, "ada").await.unwrap_err(), Reason::AuthThrottled);
        }
        assert_eq!(world.nobody().token(&generated, "ada").await.unwrap_err(), Reason::AuthThrottled, "both readings were counted");
    }

    async fn a_client_id_is_known_whatever_its_spelling(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("Supervision é").await;
        world.user("ada", &[BASIC_ROLE]).await;
        for spelled in ["supervision é", " SUPERVISION É ", "Supervision e\u{301}"] {
            world.nobody().token(&program.named(spelled), "ada").await.unwrap_or_else(|refused| panic!("{spelled}: {refused:?}"));
        }
    }

    async fn rule_2_2_failures_of_a_client_block_it_there_alone_and_nobody_else(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program_of(CreateApiAccessRequest { client_secret: format!("{CHOSEN} of ada"), ..access("ada") }).await;
        world.user("ada", &[BASIC_ROLE]).await;
        let nobody = world.nobody();
        for name in ["ada", "ADA", " ada", "Ada ", "ａda"] {
            let wrong = program.named(name).showing("not the right secret");
            assert_eq!(nobody.token(&wrong, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
        }
        let refused = nobody.try_token(asking(&program, "ada", &password_of("ada"))).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::AuthThrottled, "not even with the right secret");
        let wait = Refusal::from_status(&refused).delay().unwrap();
        for answer in [nobody.revoke(&program, "x").await.err(), nobody.introspect(&program, "x").await.err(), nobody.renew(&program, "x").await.err()] {
            assert_eq!(answer, Some(Reason::AuthThrottled));
        }
        nobody.from(ELSEWHERE).token(&program, "ada").await.expect("nobody can lock another out");
        nobody.sign_in("ada", &password_of("ada")).await.expect("a client is no user, whatever it is called");
        world.clock.advance(wait + Duration::from_millis(1));
        nobody.token(&program, "ada").await.expect("the block is over");
    }

    async fn rule_2_2_failures_with_a_generated_and_a_chosen_secret_never_block_each_other(db: TestDb) {
        let world = World::start(&db).await;
        let other = world.program("other").await;
        // A client that went over from a chosen secret to a generated one, which both count for a while.
        let chosen = world.program_of(CreateApiAccessRequest { client_secret: format!("{CHOSEN} of before"), ..access("app") }).await;
        let generated = world.admin().await.rotate(&chosen, 10).await.unwrap();
        let nobody = world.nobody();
        for (failing, right, blocked) in [(&*other.secret, &chosen, &generated), ("not the right secret", &generated, &chosen)] {
            for _ in 0..5 {
                assert_eq!(nobody.introspect(&chosen.showing(failing), "x").await.unwrap_err(), Reason::OauthClientInvalid);
            }
            assert_eq!(nobody.introspect(blocked, "x").await.unwrap_err(), Reason::AuthThrottled, "{failing}");
            nobody.introspect(right, "x").await.unwrap_or_else(|refused| panic!("{failing}: {refused:?}"));
            world.clock.advance(Duration::from_secs(61));
        }
    }

    async fn rule_2_2_generated_secrets_and_unknown_clients_are_counted_alike(db: TestDb) {
        let world = World::start(&db).await;
        let (program, other) = (world.program("app").await, world.program("other").await);
        let nobody = world.nobody();
        let mut answers = Vec::new();
        for program in [program.showing(&other.secret), other.named("nobody at all")] {
            for _ in 0..5 {
                assert_eq!(nobody.token(&program, "ada").await.unwrap_err(), Reason::OauthClientInvalid);
            }
            let refused = nobody.try_token(asking(&program, "ada", "x")).await.unwrap_err();
            answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
        }
        assert_eq!(answers[0], answers[1]);
        assert_eq!(nobody.introspect(&program, "x").await.unwrap_err(), Reason::AuthThrottled);
    }

    async fn a_clock_that_is_set_back_blocks_nobody_for_longer_than_the_longest_block(db: TestDb) {
        let world = World::start(&db).await;
        let (program, other) = (world.program("app").await, world.program("other").await);
        let nobody = world.nobody();
        for _ in 0..5 {
            nobody.introspect(&program.showing(&other.secret), "x").await.unwrap_err();
        }
        world.clock.set_back(Duration::from_secs(365 * 24 * 60 * 60));
        let refused = nobody.try_renew(&program, "x").await.unwrap_err();
        let wait = Refusal::from_status(&refused).delay().unwrap();
        assert_eq!((reason(&refused), wait), (Reason::AuthThrottled, world.config.throttle.longest_block));
        world.clock.advance(wait + Duration::from_secs(31));
        nobody.introspect(&program, "x").await.expect("a year later it was, and is no more");
    }

    async fn a_rotated_secret_ends_at_once_or_after_its_grace(db: TestDb) {
        let world = World::start(&db).await;
        let (first, nobody) = (world.program("app").await, world.nobody());
        let works = async |program: &crate::portal::Program| nobody.introspect(program, "x").await.is_ok();
        let admin = world.admin().await;
        let second = admin.rotate(&first, 0).await.unwrap();
        assert_eq!((works(&first).await, works(&second).await), (false, true));
        assert_eq!(admin.api_access(first.id).await.unwrap().previous_secret_expire_time, None);
        world.events();
        let third = admin.rotate(&second, 10).await.unwrap();
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.details[0].value.as_str()), ("api_access.secret.rotated", "600 s"));
        assert!(admin.api_access(first.id).await.unwrap().previous_secret_expire_time.is_some());
        world.clock.advance(Duration::from_secs(599));
        assert_eq!((works(&second).await, works(&third).await), (true, true));
        world.clock.advance(Duration::from_secs(1));
        assert_eq!((works(&second).await, works(&third).await), (false, true));
        let admin = world.admin().await;
        let fourth = admin.rotate(&third, 10).await.unwrap();
        let fifth = admin.rotate(&fourth, 10).await.unwrap();
        assert_eq!((works(&third).await, works(&fourth).await, works(&fifth).await), (false, true, true), "one before the newest");
        assert_eq!(admin.api_access(first.id).await.unwrap().version, 4);
    }

    async fn rule_2_5_a_secret_copied_to_another_client_opens_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let chosen = world.program_of(CreateApiAccessRequest { client_secret: format!("{CHOSEN} of one"), ..access("chosen") }).await;
        let (generated, target) = (world.program("generated").await, world.program("target").await);
        for own in [chosen, generated] {
            world.first.database.write(move |tx| {
                use diesel::RunQueryDsl as _;
                coffre_db::Sql::new("UPDATE api_access_secrets SET hash = (SELECT hash FROM api_access_secrets WHERE access_id = ")
                    .bind(own.id).push(") WHERE access_id = ").bind(target.id).execute(tx.conn())?;
                Ok::<_, coffre_db::Error>(())
            }).await.unwrap();
            assert_eq!(world.nobody().introspect(&target.showing(&own.secret), "x").await.unwrap_err(), Reason::OauthClientInvalid);
        }
    }

    async fn a_refused_client_is_in_the_audit_with_its_cause_and_no_typed_name(db: TestDb) {
        let world = World::start(&db).await;
        let program = world.program("app").await;
        world.admin().await.update_api_access(UpdateApiAccessRequest { disabled: Some(true), ..change(program.id) }).await.unwrap();
        world.events();
        let nobody = world.nobody();
        nobody.introspect(&program.named("a typed secret"), "x").await.unwrap_err();
        nobody.introspect(&program.showing("not the right secret"), "x").await.unwrap_err();
        nobody.introspect(&program, "x").await.unwrap_err();
        let events = world.events();
        let causes: Vec<_> = events.iter().map(|event| event.details.iter().find(|detail| detail.key == "cause").unwrap().value.as_str()).collect();
        assert_eq!(causes, ["unknown client", "wrong secret", "client disabled"]);
        assert!(events.iter().all(|event| outcome(event) == Outcome::Unsuccessful && event.reason == "OAUTH_CLIENT_INVALID"));
        assert!(!format!("{:?}", events[0]).contains("typed"));
        assert!(events[1].details.iter().any(|detail| (detail.key.as_str(), detail.value.as_str()) == ("client", "1 (app)")));
        assert!(events.iter().all(|event| event.actor.as_ref().is_none_or(|actor| actor.client_id.is_empty())), "nobody showed who he is");
        for _ in 0..5 {
            nobody.introspect(&program.showing("not the right secret"), "x").await.unwrap_err();
        }
        let event = world.last_event();
        assert_eq!(event.reason, "AUTH_THROTTLED");
        assert!(event.details.iter().any(|detail| (detail.key.as_str(), detail.value.as_str()) == ("client", "1 (app)")), "which one is blocked");
    }
}
