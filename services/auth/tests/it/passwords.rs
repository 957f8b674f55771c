use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::auth::v1::{CreateUserRequest, UpdateUserRequest};
use coffre_test_support::{TestDb, on_each_engine};

use crate::world::{ADMIN_ROLE, BASIC_ROLE, PASSWORD, World, password_of, reason};

const NEW: &str = "an entirely new password";

fn reset(id: i64) -> UpdateUserRequest {
    UpdateUserRequest { id, password: Some(NEW.into()), ..UpdateUserRequest::default() }
}

on_each_engine! {
    async fn rule_1_3_ones_own_new_password_ends_the_other_sessions(db: TestDb) {
        let world = World::start(&db).await;
        let (_, here) = world.user("ada", &[BASIC_ROLE]).await;
        let there = world.sign_in("ada", &password_of("ada")).await;
        let early = world.nobody().refresh(&here.token).await.unwrap();
        assert!(world.first.accepts(&there.token).await && world.first.accepts(&here.token).await);
        world.events();
        here.change_password(&password_of("ada"), NEW).await.unwrap();
        let event = world.last_event();
        assert_eq!(event.event, "user.password.changed");
        assert_eq!((event.changes[0].old_value.as_deref(), event.changes[0].new_value.as_deref()), (None, Some("changed")));
        world.first.refuses_soon(&there.token).await;
        assert!(world.first.accepts(&here.token).await, "the current session goes on");
        assert!(world.first.accepts(&early).await, "with every token of it");
        let late = world.nobody().refresh(&here.token).await.unwrap();
        assert!(world.first.accepts(&late).await);
        assert_eq!(world.nobody().sign_in("ada", &password_of("ada")).await.unwrap_err(), Reason::AuthSignInFailed);
        let again = world.sign_in("ada", NEW).await;
        again.change_password(NEW, "yet another new password").await.unwrap();
        world.first.refuses_soon(&here.token).await;
    }

    async fn a_wrong_old_password_changes_nothing_and_counts(db: TestDb) {
        let world = World::start(&db).await;
        let (_, user) = world.user("ada", &[BASIC_ROLE]).await;
        for _ in 0..5 {
            assert_eq!(user.change_password("wrong", NEW).await.unwrap_err(), Reason::AuthPasswordWrong);
        }
        assert_eq!(user.change_password(&password_of("ada"), NEW).await.unwrap_err(), Reason::AuthThrottled);
        assert_eq!(world.nobody().sign_in("ada", &password_of("ada")).await.unwrap_err(), Reason::AuthThrottled);
    }

    async fn weak_passwords_are_refused(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for weak in ["short", "elevenchars", "ADMIN", ""] {
            assert_eq!(admin.change_password(PASSWORD, weak).await.unwrap_err(), Reason::AuthPasswordWeak, "{weak}");
        }
        assert_eq!(admin.change_password(PASSWORD, PASSWORD).await.unwrap_err(), Reason::AuthPasswordWeak);
        assert_eq!(admin.change_password(PASSWORD, &"x".repeat(1025)).await.unwrap_err(), Reason::AuthPasswordWeak);
        let request = CreateUserRequest { username: "A very long name".into(), password: "a VERY long name".into(), ..Default::default() };
        assert_eq!(admin.create_user_of(request).await.unwrap_err(), Reason::AuthPasswordWeak);
    }

    async fn nobody_is_renamed_to_his_password(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let ada = admin.create_user("ada", &[BASIC_ROLE]).await.unwrap();
        let rename = |id, name: &str| UpdateUserRequest { id, username: Some(name.into()), ..UpdateUserRequest::default() };
        for (id, password) in [(ada.id, password_of("ada")), (1, PASSWORD.to_owned())] {
            let before = world.first.app.hashes();
            let refused = admin.users().update_user(admin.request(rename(id, &password))).await.unwrap_err();
            assert_eq!(reason(&refused), Reason::AuthPasswordWeak);
            assert!(refused.message().contains("choose another name") && !refused.message().contains(&password), "{refused}");
            assert_eq!(world.first.app.hashes(), before + 1, "one hash");
        }
        assert_eq!(admin.user(ada.id).await.unwrap(), ada, "nothing has changed");
        let before = world.first.app.hashes();
        admin.update_user(rename(ada.id, "ADA")).await.expect("another spelling of the same name");
        assert_eq!(world.first.app.hashes(), before, "costs no hash");
        admin.update_user(rename(ada.id, &password_of("bob"))).await.expect("another's password is a name like any other");
        let both = UpdateUserRequest { password: Some(NEW.into()), ..rename(ada.id, NEW) };
        assert_eq!(admin.update_user(both).await.unwrap_err(), Reason::AuthPasswordWeak);
        let both = UpdateUserRequest { password: Some(NEW.into()), ..rename(ada.id, &password_of("ada")) };
        admin.update_user(both).await.expect("it is the password no more");
    }

    async fn what_is_easy_to_guess_is_refused_and_says_why(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let of = |password: &str| CreateUserRequest {
            username: "Ellie.Brown".into(),
            first_name: "Ellie".into(),
            last_name: "Wolkenstein".into(),
            email: "e.brown@kestrel.example".into(),
            password: password.into(),
            ..Default::default()
        };
        for guessable in ["password1234", "123456789012", "iloveyouiloveyou", "Ellie.Brown.1", "wolkensteinellie", "kestrelkestrel"] {
            let refused = admin.users().create_user(admin.request(of(guessable))).await.unwrap_err();
            assert_eq!(reason(&refused), Reason::AuthPasswordWeak, "{guessable}");
            let words = refused.message();
            assert!(words.contains("easy to guess: it ") && words.contains("choose another, such as"), "{words}");
            assert!(!words.contains(guessable), "{words}");
        }
        let ellie = admin.create_user_of(of("the heron stands still")).await.unwrap();
        let reset = |password: &str| UpdateUserRequest { id: ellie.id, password: Some(password.into()), ..Default::default() };
        assert_eq!(admin.update_user(reset("Ellie.Brown.1")).await.unwrap_err(), Reason::AuthPasswordWeak);
        let user = world.sign_in("Ellie.Brown", "the heron stands still").await;
        for guessable in ["password1234", "wolkensteinellie"] {
            let refused = user.change_password("the heron stands still", guessable).await.unwrap_err();
            assert_eq!(refused, Reason::AuthPasswordWeak, "{guessable}");
        }
        let refused = user.change_password("not the heron", "password1234").await.unwrap_err();
        assert_eq!(refused, Reason::AuthPasswordWrong, "nothing is estimated for whoever does not know the old one");
        for _ in 0..6 {
            user.change_password("the heron stands still", "password1234").await.unwrap_err();
        }
        world.sign_in("Ellie.Brown", "the heron stands still").await;
    }

    async fn a_setting_turns_the_estimate_off_and_leaves_the_length(db: TestDb) {
        let config = coffre_auth::Config { password_min_length: 8, password_strength_check: false, ..crate::world::config() };
        let world = World::with(&db, config).await;
        let admin = world.admin().await;
        let of = |password: &str| CreateUserRequest { username: "Ellie.Brown".into(), password: password.into(), ..Default::default() };
        assert_eq!(admin.create_user_of(of("1234567")).await.unwrap_err(), Reason::AuthPasswordWeak);
        admin.create_user_of(of("12345678")).await.unwrap();
        world.sign_in("Ellie.Brown", "12345678").await;
    }

    async fn rule_2_6_the_first_administrator_s_password_is_no_exception(db: TestDb) {
        let url = coffre_db::DatabaseUrl::parse(db.url()).unwrap();
        let clock = std::sync::Arc::new(coffre_types::FixedClock::new(coffre_types::Timestamp::from_seconds(1)));
        let (database, outbox) = crate::world::open(&url, &clock, &crate::world::Kept::default());
        let clock: std::sync::Arc<dyn coffre_types::Clock> = clock;
        for (password, refused) in [("administrator1", true), ("the heron stands still", false)] {
            let first = coffre_auth::FirstAdministrator {
                username: "administrator".into(),
                password: coffre_secret::SecretText::new(password.into()),
                must_change: false,
            };
            let made = coffre_auth::init(&crate::world::config(), &database, &outbox, &clock, &crate::world::key(), first).await;
            assert_eq!(matches!(made, Err(coffre_auth::InitError::Password(_))), refused, "{password}: {made:?}");
        }
        assert!(coffre_auth::is_initialised(&database).await.unwrap());
    }

    async fn rule_1_7_resetting_a_password_needs_a_recent_sign_in(db: TestDb) {
        let world = World::start(&db).await;
        let (id, _) = world.user("ada", &[BASIC_ROLE]).await;
        let admin = world.admin().await;
        world.clock.advance(Duration::from_secs(5 * 60 + 1));
        assert_eq!(admin.update_user(reset(id)).await.unwrap_err(), Reason::AuthRecentSignInRequired);
        world.sign_in("ada", &password_of("ada")).await;
        let renamed = UpdateUserRequest { id, first_name: Some("Ada".into()), ..UpdateUserRequest::default() };
        admin.update_user(renamed).await.expect("the rest of a user does not need it");
        world.admin().await.update_user(reset(id)).await.unwrap();
    }

    async fn rule_1_7_changing_the_password_needs_a_recent_sign_in(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        world.clock.advance(Duration::from_secs(5 * 60 + 1));
        assert_eq!(admin.change_password(PASSWORD, NEW).await.unwrap_err(), Reason::AuthRecentSignInRequired);
        let refreshed = world.caller(&world.nobody().refresh(&admin.token).await.unwrap());
        assert_eq!(refreshed.change_password(PASSWORD, NEW).await.unwrap_err(), Reason::AuthRecentSignInRequired);
        world.admin().await.change_password(PASSWORD, NEW).await.unwrap();
    }

    async fn rule_2_6_a_reset_password_must_be_changed_first(db: TestDb) {
        let world = World::start(&db).await;
        let (id, user) = world.user("ada", &[ADMIN_ROLE]).await;
        let admin = world.admin().await;
        world.events();
        let changed = admin.update_user(reset(id)).await.unwrap();
        assert!(changed.changed && changed.user.unwrap().password_change_required);
        let event = world.last_event();
        assert_eq!(event.changes.iter().map(|change| change.field.as_str()).collect::<Vec<_>>(), ["password"]);
        assert!(!format!("{event:?}").contains(NEW));
        world.first.refuses_soon(&user.token).await;

        let user = world.sign_in("ada", NEW).await;
        assert_eq!(user.user(id).await.unwrap_err(), Reason::AuthPasswordChangeRequired);
        assert_eq!(user.list_roles().await.unwrap_err(), Reason::AuthPasswordChangeRequired);
        assert_eq!(user.refresh(&user.token).await.unwrap_err(), Reason::AuthPasswordChangeRequired);
        assert!(user.validate(&user.token).await);
        user.change_password(NEW, "a password of my own").await.unwrap();
        user.user(id).await.expect("at once");
        user.refresh(&user.token).await.unwrap();

        let config = coffre_auth::Config { force_password_change: false, ..crate::world::config() };
        drop(world);
        let other = TestDb::sqlite();
        let world = World::with(&other, config).await;
        let (id, _) = world.user("ada", &[BASIC_ROLE]).await;
        let changed = world.admin().await.update_user(reset(id)).await.unwrap();
        assert!(!changed.user.unwrap().password_change_required, "the setting turns it off");
    }

    async fn rule_3_1_nobody_resets_the_password_of_the_mightier(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[7]).await.unwrap();
        let (_, manager) = world.user("manager", &[managers.id]).await;
        let plain = admin.create_user("plain", &[managers.id]).await.unwrap();
        manager.update_user(reset(plain.id)).await.expect("an equal one");
        assert_eq!(manager.update_user(reset(1)).await.unwrap_err(), Reason::AuthzGrantExceeds);
        let mighty = admin.create_user("mighty", &[BASIC_ROLE]).await.unwrap();
        assert_eq!(manager.update_user(reset(mighty.id)).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(admin.update_user(reset(1)).await.unwrap_err(), Reason::AuthzSelfGrant, "one's own needs the old one");
    }
}
