//! Whoever stands before the door: nobody is locked out for good, and no token passes for another.

use std::time::Duration;

use coffre_auth::RPCS;
use coffre_error::{Reason, Refusal};
use coffre_test_support::{TestDb, on_each_engine};
use http::Request;
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tower::ServiceExt as _;

use crate::world::{ADMIN_ROLE, As, PASSWORD, World, password_of, reason};

on_each_engine! {
    async fn rule_2_2_nobody_locks_the_last_administrator_out(db: TestDb) {
        let mut config = crate::world::config();
        config.throttle.first_delay = Duration::from_millis(1);
        config.throttle.longest_delay = Duration::from_millis(5);
        let world = World::with(&db, config).await;
        let rules = world.config.throttle;
        let nobody = world.nobody();
        for address in 1..=40 {
            let attacker = nobody.from(&format!("198.51.100.{address}"));
            for _ in 0..rules.block_after {
                attacker.sign_in("admin", "wrong").await.unwrap_err();
            }
            assert_eq!(attacker.sign_in("admin", PASSWORD).await.unwrap_err(), Reason::AuthThrottled);
        }
        nobody.sign_in("admin", PASSWORD).await.expect("two hundred failures elsewhere block nobody here");

        // From the administrator's own address, again and again.
        let mut waited = Duration::ZERO;
        for _ in 0..20 {
            let refused = nobody.try_sign_in("admin", "wrong").await.unwrap_err();
            if reason(&refused) == Reason::AuthThrottled {
                let wait = Refusal::from_status(&refused).delay().unwrap();
                assert!(wait <= rules.longest_block, "{wait:?}");
                waited = waited.max(wait);
                world.clock.advance(wait);
            }
        }
        assert_eq!(waited, rules.longest_block, "the block has grown as far as it grows");
        if nobody.sign_in("admin", PASSWORD).await.is_err() {
            world.clock.advance(rules.longest_block);
            nobody.sign_in("admin", PASSWORD).await.expect("the right password counts as soon as the block is over");
        }
        nobody.sign_in("admin", "wrong").await.unwrap_err();
        nobody.sign_in("admin", PASSWORD).await.expect("and has settled what was before");
    }

    async fn rule_2_2_whoever_meets_in_one_place_neither_blocks_nor_frees_the_other(db: TestDb) {
        let mut config = crate::world::config();
        (config.throttle.slots, config.throttle.delay_after) = (1, 1_000_000);
        let world = World::with(&db, config).await;
        let (program, other) = (world.program("app").await, world.program("other").await);
        let nobody = world.nobody();
        for number in 0..40 {
            let random = program.named(&format!("random {number}"));
            assert_eq!(nobody.introspect(&random, "x").await.unwrap_err(), Reason::OauthClientInvalid);
        }
        nobody.introspect(&program, "x").await.expect("random clients block nobody");
        for _ in 0..world.config.throttle.block_after {
            nobody.introspect(&program.showing(&other.secret), "x").await.unwrap_err();
        }
        for number in 0..10 {
            let random = program.named(&format!("another {number}"));
            assert_eq!(nobody.introspect(&random, "x").await.unwrap_err(), Reason::OauthClientInvalid);
        }
        nobody.introspect(&other, "x").await.expect("nor does whoever is blocked");
        assert_eq!(nobody.introspect(&program, "x").await.unwrap_err(), Reason::AuthThrottled, "no block is lifted");
        nobody.sign_in("admin", PASSWORD).await.expect("passwords have places of their own");
        let count = || coffre_db::Sql::new("SELECT count(*) AS id FROM throttle_buckets");
        let rows = world.first.database.read(move |conn| coffre_db::dialect::id(conn, count())).await.unwrap();
        assert!(rows <= 5, "{rows} places");
    }

    async fn rule_2_1_an_address_with_too_many_sign_ins_under_way_is_refused_at_once_and_alone(db: TestDb) {
        let mut config = crate::world::config();
        config.sign_ins.per_address = 2;
        config.throttle.delay_after = 1;
        (config.throttle.first_delay, config.throttle.longest_delay) = (Duration::from_secs(3600), Duration::from_secs(3600));
        let world = World::with(&db, config).await;
        let program = world.program("app").await;
        let (_, key) = world.admin().await.create_key("one").await.unwrap();
        world.nobody().sign_in("nobody at all", "wrong").await.unwrap_err();
        // From now on whoever comes from there is held back for an hour; the third is not.
        let mut trying = tokio::task::JoinSet::new();
        for number in 0..3 {
            let nobody = world.nobody();
            trying.spawn(async move { nobody.sign_in(&format!("random {number}"), "wrong").await.map(|_| ()) });
        }
        let overloaded = Some(Reason::RequestOverloaded);
        assert_eq!(trying.join_next().await.unwrap().unwrap().err(), overloaded);
        let nobody = world.nobody();
        assert_eq!(nobody.introspect(&program, "x").await.err(), overloaded);
        assert_eq!(nobody.sign_in_with_key("admin", &key).await.err(), overloaded);
        let elsewhere = nobody.from(crate::world::ELSEWHERE);
        elsewhere.introspect(&program, "x").await.expect("another address has its own part");
        elsewhere.sign_in("admin", PASSWORD).await.expect("for every way in");
        trying.abort_all();
    }

    async fn rule_2_2_every_spelling_of_a_name_counts_as_one(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        admin.create_user("Zoë Straße", &[]).await.unwrap();
        let password = password_of("Zoë Straße");
        let spellings = ["zoë straße", "ZOË STRASSE", " Zoe\u{308} Straße ", "Ｚoë\u{a0}Straße", "zoë strasse"];
        for (place, name) in spellings.into_iter().enumerate() {
            let nobody = world.nobody().from(&format!("192.0.2.{place}"));
            nobody.sign_in(name, &password).await.expect(name);
            for _ in 0..5 {
                assert_eq!(nobody.sign_in(name, "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
            }
            for name in spellings {
                assert_eq!(nobody.sign_in(name, &password).await.unwrap_err(), Reason::AuthThrottled, "{name}");
            }
        }
        let nobody = world.nobody();
        for name in spellings {
            assert_eq!(nobody.sign_in(name, "wrong").await.unwrap_err(), Reason::AuthSignInFailed, "{name}");
        }
        assert_eq!(nobody.sign_in("Zoë Straße", &password).await.unwrap_err(), Reason::AuthThrottled);
    }
}

/// Rows that take tokens of sessions alone.
const SESSIONS_ALONE: [&str; 6] = [
    "AuthenticationService/ChangePassword",
    "ApiKeyService/ListApiKeys",
    "ApiKeyService/DeleteApiKey",
    "ApiAccessService/GetApiAccess",
    "ApiAccessService/ListApiAccesses",
    "ApiAccessService/WithdrawApiAccessConfirmation",
];

/// Rows that ask for a sign-in with the password of the last minutes.
const RECENT: [&str; 6] = [
    "ApiKeyService/CreateApiKey",
    "ApiAccessService/CreateApiAccess",
    "ApiAccessService/UpdateApiAccess",
    "ApiAccessService/DeleteApiAccess",
    "ApiAccessService/RotateApiAccessSecret",
    "ApiAccessService/ConfirmApiAccess",
];

/// Calls with an empty message, and returns why it was refused.
async fn knocked(caller: &As, path: &str) -> Option<Reason> {
    let message = http_body_util::Full::new(bytes::Bytes::from_static(&[0; 5])).map_err(|never| match never {});
    let request = Request::post(path)
        .header("content-type", "application/grpc")
        .header("authorization", format!("Bearer {}", caller.token))
        .body(Body::new(message))
        .unwrap();
    let answer = caller.channel.clone().oneshot(request).await.unwrap();
    tonic::Status::from_header_map(answer.headers())
        .filter(|status| status.code() != tonic::Code::Ok)
        .as_ref()
        .map(reason)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_6_every_row_takes_the_kinds_of_token_that_the_table_says() {
    let db = TestDb::sqlite();
    let world = World::start(&db).await;
    let (_, old) = world.user("second", &[ADMIN_ROLE]).await;
    let program = world.program("app").await;
    let (_, key) = old.create_key("one").await.unwrap();
    world.clock.advance(Duration::from_secs(5 * 60 + 1));
    let fresh = world.sign_in("second", &password_of("second")).await;
    let by_key = world.by_key("second", &key).await;
    let client = world.caller(&world.nobody().token(&program, "second").await.unwrap().access_token);
    let rows: Vec<_> = RPCS.iter().filter(|rpc| !rpc.path.ends_with("/SignOut")).collect();
    for named in SESSIONS_ALONE.iter().chain(&RECENT) {
        assert!(rows.iter().any(|rpc| rpc.path.ends_with(named)), "{named}");
    }
    let (kind, recent) = (Some(Reason::AuthTokenKind), Some(Reason::AuthRecentSignInRequired));
    for rpc in rows {
        let named = |rows: &[&str]| rows.iter().any(|row| rpc.path.ends_with(row));
        let expected = match (named(&SESSIONS_ALONE), named(&RECENT)) {
            (true, _) => [None, None, None, kind],
            (_, true) => [None, recent, recent, recent],
            _ => [None; 4],
        };
        for ((who, caller), expected) in [&fresh, &old, &by_key, &client].into_iter().enumerate().zip(expected) {
            let door = knocked(caller, rpc.path).await.filter(|reason| [kind, recent].contains(&Some(*reason)));
            // The use case asks for a recent sign-in as well.
            if !(rpc.path.ends_with("/ChangePassword") && door == recent) {
                assert_eq!(door, expected, "{} for {who}", rpc.path);
            }
        }
    }
}
