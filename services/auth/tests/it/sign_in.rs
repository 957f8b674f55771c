use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::{ActivityType, Outcome};
use coffre_proto::auth::v1::UpdateUserRequest;
use coffre_test_support::{Canary, on_each_engine};
use futures_util::future::join_all;

use crate::world::{
    ADMIN_ROLE, BASIC_ROLE, ELSEWHERE, HOME, LOCKER_ADMIN_ROLE, PASSWORD, World, eventually, outcome, password_of,
    reason,
};

on_each_engine! {
    async fn a_session_opens_with_name_and_password(db: TestDb) {
        let world = World::start(&db).await;
        world.events();
        let answer = world.nobody().sign_in(" ADMIN ", PASSWORD).await.unwrap();
        let user = answer.user.unwrap();
        assert_eq!(user.username, "admin");
        assert_eq!(user.roles.iter().map(|role| role.id).collect::<Vec<_>>(), [ADMIN_ROLE, LOCKER_ADMIN_ROLE]);
        assert_eq!(user.permissions.len(), 9, "all but the one that shows every value");
        assert!(user.password_set && !user.password_change_required);
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.activity_type()), ("session.opened", ActivityType::Login));
        assert_eq!((outcome(&event), event.client_address.as_str()), (Outcome::Successful, HOME));
        let actor = event.actor.unwrap();
        assert_eq!((actor.user_id, actor.user_name.as_str(), actor.session_id.len()), (user.id, "admin", 16));
    }

    async fn rule_2_1_every_failure_gets_the_same_answer_for_the_same_work(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let disabled = admin.create_user("disabled", &[]).await.unwrap();
        let change = UpdateUserRequest { id: disabled.id, disabled: Some(true), ..UpdateUserRequest::default() };
        admin.update_user(change).await.unwrap();
        let mut answers = Vec::new();
        for (name, password) in [
            ("nobody at all", "some long password".to_owned()),
            ("admin", "not the right password".to_owned()),
            ("disabled", password_of("disabled")),
            ("disabled", "not the right password".to_owned()),
        ] {
            let before = world.first.app.hashes();
            let refused = world.nobody().try_sign_in(name, &password).await.unwrap_err();
            assert_eq!(world.first.app.hashes(), before + 1, "{name}: one hash");
            answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        assert_eq!(Refusal::from_status(&tonic::Status::with_details(answers[0].0, answers[0].1.clone(), answers[0].2.clone().into())).reason(), Reason::AuthSignInFailed);
    }

    async fn rule_2_1_a_password_over_a_kibibyte_is_refused_before_hashing(db: TestDb) {
        let world = World::start(&db).await;
        let before = world.first.app.hashes();
        assert_eq!(world.nobody().sign_in("admin", &"x".repeat(1025)).await.unwrap_err(), Reason::RequestInvalid);
        assert_eq!(world.nobody().sign_in("admin", &"x".repeat(1 << 20)).await.unwrap_err(), Reason::RequestInvalid);
        assert_eq!(world.nobody().sign_in("", "x").await.unwrap_err(), Reason::RequestInvalid);
        assert_eq!(world.nobody().sign_in(&"x".repeat(256), "x").await.unwrap_err(), Reason::RequestInvalid);
        assert_eq!(world.first.app.hashes(), before);
    }

    async fn rule_2_2_correct_sign_ins_at_once_never_trip_the_limit(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        for answer in join_all((0..40).map(|_| nobody.sign_in("admin", PASSWORD))).await {
            answer.unwrap();
        }
    }

    async fn rule_2_2_failures_block_the_account_from_that_address_alone(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        for name in ["admin", "ADMIN", " admin", "Admin ", "ａdmin"] {
            assert_eq!(nobody.sign_in(name, "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
        }
        let before = world.first.app.hashes();
        let refused = nobody.try_sign_in("admin", PASSWORD).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::AuthThrottled);
        let wait = Refusal::from_status(&refused).delay().unwrap();
        assert_eq!(wait, world.config.throttle.first_block);
        assert_eq!(world.first.app.hashes(), before, "a blocked attempt costs no hash");

        nobody.from(ELSEWHERE).sign_in("admin", PASSWORD).await.expect("nobody can lock another out");
        nobody.sign_in("other", "wrong").await.expect_err("other accounts go on at this address");
        assert_eq!(nobody.sign_in("other", "wrong").await.unwrap_err(), Reason::AuthSignInFailed);

        world.clock.advance(wait + Duration::from_millis(1));
        nobody.sign_in("admin", PASSWORD).await.expect("the block is over");
        nobody.sign_in("admin", "wrong").await.expect_err("and success settled the count");
        nobody.sign_in("admin", PASSWORD).await.unwrap();
    }

    async fn rule_2_2_a_delay_passes_though_somebody_signs_in_all_the_time(db: TestDb) {
        let mut config = crate::world::config();
        config.throttle.delay_after = 2;
        config.throttle.first_delay = Duration::from_millis(400);
        config.throttle.longest_delay = Duration::from_millis(400);
        let world = World::with(&db, config).await;
        let nobody = world.nobody();
        for name in ["one", "two", "three"] {
            nobody.sign_in(name, "wrong").await.unwrap_err();
        }
        let delayed = async || {
            let began = std::time::Instant::now();
            nobody.sign_in("admin", PASSWORD).await.unwrap();
            began.elapsed() >= Duration::from_millis(400)
        };
        for _ in 0..3 {
            assert!(delayed().await, "the address is delayed");
            world.clock.advance(world.config.throttle.forget_after / 3);
        }
        world.clock.advance(Duration::from_millis(1));
        eventually(async || !delayed().await).await;
    }

    async fn rule_2_2_unknown_names_are_blocked_alike(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        let mut answers = Vec::new();
        for name in ["admin", "nobody at all"] {
            for _ in 0..5 {
                assert_eq!(nobody.sign_in(name, "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
            }
            let refused = nobody.try_sign_in(name, "wrong").await.unwrap_err();
            answers.push((refused.code(), refused.message().to_owned(), refused.details().to_vec()));
        }
        assert_eq!(answers[0], answers[1]);
    }

    async fn rule_2_2_blocks_grow(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        for _ in 0..4 {
            nobody.sign_in("admin", "wrong").await.unwrap_err();
        }
        let mut last = Duration::ZERO;
        for _ in 0..3 {
            assert_eq!(nobody.sign_in("admin", "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
            let wait = Refusal::from_status(&nobody.try_sign_in("admin", "wrong").await.unwrap_err()).delay().unwrap();
            assert!(wait > last, "{wait:?}");
            last = wait;
            world.clock.advance(wait + Duration::from_millis(1));
        }
    }

    async fn rule_2_2_guesses_at_once_do_not_slip_past_the_count(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        let before = world.first.app.hashes();
        let answers = join_all((0..60).map(|_| nobody.sign_in("admin", "wrong"))).await;
        assert!(answers.iter().all(Result::is_err));
        let hashed = world.first.app.hashes() - before;
        // The limit of 5, and what had a turn at the same time as the first failure.
        assert!((5..=9).contains(&hashed), "{hashed} guesses were checked");
        assert_eq!(nobody.sign_in("admin", PASSWORD).await.unwrap_err(), Reason::AuthThrottled);
    }

    async fn rule_6_4_names_that_nobody_has_are_not_kept(db: TestDb) {
        let world = World::start(&db).await;
        let canary = Canary::new();
        world.events();
        world.nobody().sign_in(canary.text(), canary.text()).await.unwrap_err();
        world.nobody().sign_in("admin", canary.text()).await.unwrap_err();
        let entries = world.kept.entries.lock().unwrap().clone();
        assert!(entries.iter().all(|entry| !canary.is_in(entry.bytes())));
        let events = world.events();
        let unknown = events[0].actor.clone().unwrap();
        assert_eq!((unknown.user_name.as_str(), unknown.unknown_name_hash.len()), ("", 32));
        assert_eq!(events[0].details[0].value, "unknown user");
        let known = events[1].actor.clone().unwrap();
        assert_eq!((known.user_name.as_str(), events[1].details[0].value.as_str()), ("admin", "wrong password"));
        assert_eq!((outcome(&events[1]), events[1].reason.as_str()), (Outcome::Unsuccessful, "AUTH_SIGN_IN_FAILED"));
        if let Some(folder) = db.folder() {
            assert_eq!(canary.find_under(folder), None);
        }
    }

    async fn rule_2_5_a_hash_copied_onto_the_administrator_opens_nothing(db: TestDb) {
        let world = World::start(&db).await;
        world.user("mallory", &[BASIC_ROLE]).await;
        world.first.database.write(|tx| {
            use diesel::RunQueryDsl as _;
            coffre_db::Sql::new("UPDATE users SET password_hash = (SELECT password_hash FROM users WHERE name_key = 'mallory') WHERE id = 1")
                .execute(tx.conn())?;
            Ok::<_, coffre_db::Error>(())
        }).await.unwrap();
        let refused = world.nobody().sign_in("admin", &password_of("mallory")).await.unwrap_err();
        assert_eq!(refused, Reason::AuthSignInFailed);
    }
}
