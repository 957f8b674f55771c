use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::auth::v1::UpdateUserRequest;
use coffre_test_support::on_each_engine;

use crate::world::{BASIC_ROLE, PASSWORD, World};

on_each_engine! {
    async fn a_fresh_token_and_the_old_one_both_go_on(db: TestDb) {
        let world = World::start(&db).await;
        let (nobody, old) = (world.nobody(), world.admin().await.token);
        let new = nobody.refresh(&old).await.unwrap();
        assert_ne!(old, new);
        for token in [&old, &new] {
            assert!(nobody.validate(token).await);
            assert!(world.first.accepts(token).await);
        }
    }

    async fn logout_ends_every_token_of_the_session_and_no_other(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        let (one, other) = (world.admin().await.token, world.admin().await.token);
        let refreshed = nobody.refresh(&one).await.unwrap();
        assert!(world.first.accepts(&one).await && world.first.accepts(&refreshed).await && world.first.accepts(&other).await);
        world.events();
        nobody.sign_out(&refreshed).await.unwrap();
        assert_eq!(world.last_event().event, "session.ended");
        world.first.refuses_soon(&one).await;
        world.first.refuses_soon(&refreshed).await;
        assert!(world.first.accepts(&other).await);
        assert!(!nobody.validate(&one).await);
        assert_eq!(nobody.refresh(&one).await.unwrap_err(), Reason::AuthTokenInvalid);
        nobody.sign_out(&one).await.expect("again: the same");
    }

    async fn logout_takes_the_token_of_the_metadata(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        admin.sign_out("").await.unwrap();
        world.first.refuses_soon(&admin.token).await;
        assert_eq!(world.nobody().sign_out("").await.unwrap_err(), Reason::AuthTokenInvalid);
        assert_eq!(world.nobody().sign_out("not a token").await.unwrap_err(), Reason::AuthTokenInvalid);
    }

    async fn rule_3_7_two_different_tokens_sign_nobody_out(db: TestDb) {
        let world = World::start(&db).await;
        let (one, other) = (world.admin().await, world.admin().await);
        assert_eq!(one.sign_out(&other.token).await.unwrap_err(), Reason::AuthTokenConflict);
        assert_eq!(one.sign_out("not a token").await.unwrap_err(), Reason::AuthTokenConflict);
        for token in [&one.token, &other.token] {
            assert!(world.nobody().validate(token).await, "nothing has changed");
        }
        one.sign_out(&one.token).await.expect("the same token in both places");
        assert!(!world.nobody().validate(&one.token).await && world.nobody().validate(&other.token).await);
    }

    async fn an_expired_token_signs_out_and_does_nothing_else(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        let expired = world.admin().await.token;
        let fresh = nobody.refresh(&expired).await.unwrap();
        world.clock.advance(Duration::from_secs(19 * 60));
        let fresh = nobody.refresh(&fresh).await.unwrap();
        world.clock.advance(Duration::from_secs(60));
        assert!(!nobody.validate(&expired).await);
        assert_eq!(nobody.refresh(&expired).await.unwrap_err(), Reason::AuthTokenInvalid);
        assert!(nobody.validate(&fresh).await);
        nobody.sign_out(&expired).await.unwrap();
        assert!(!nobody.validate(&fresh).await);
    }

    async fn rule_1_2_no_refresh_outlives_the_session(db: TestDb) {
        let world = World::start(&db).await;
        let nobody = world.nobody();
        let mut token = world.admin().await.token;
        for _ in 0..(12 * 4 - 1) {
            world.clock.advance(Duration::from_secs(15 * 60));
            token = nobody.refresh(&token).await.unwrap();
        }
        assert!(nobody.validate(&token).await);
        world.clock.advance(Duration::from_secs(15 * 60));
        assert!(!nobody.validate(&token).await, "20 minutes would reach beyond the 12 hours");
        assert_eq!(nobody.refresh(&token).await.unwrap_err(), Reason::AuthTokenInvalid);
    }

    async fn rule_1_3_disabling_a_user_ends_its_tokens(db: TestDb) {
        let world = World::start(&db).await;
        let (id, user) = world.user("ada", &[BASIC_ROLE]).await;
        assert!(world.first.accepts(&user.token).await);
        let admin = world.admin().await;
        let disabled = |disabled| UpdateUserRequest { id, disabled: Some(disabled), ..UpdateUserRequest::default() };
        admin.update_user(disabled(true)).await.unwrap();
        world.first.refuses_soon(&user.token).await;
        admin.update_user(disabled(false)).await.unwrap();
        assert!(!world.nobody().validate(&user.token).await, "enabling again brings no session back");
        world.sign_in("ada", "the password of ada").await;
    }

    async fn rule_1_3_changes_of_rights_end_nothing_and_take_effect(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let role = admin.create_role("auditors", &[6]).await.unwrap();
        let (_, user) = world.user("ada", &[role.id]).await;
        let rights = async || {
            let caller = world.first.authenticator.authenticate(&user.token).await.unwrap();
            caller.permissions.iter().map(coffre_types::Permission::id).collect::<Vec<_>>()
        };
        assert_eq!(rights().await, [6]);
        let change = coffre_proto::auth::v1::UpdateRoleRequest {
            id: role.id,
            permissions: Some(crate::world::permission_ids(&[5])),
            ..Default::default()
        };
        admin.update_role(change).await.unwrap();
        crate::world::eventually(async || rights().await == [5]).await;
    }

    async fn a_wrong_password_opens_no_session_and_a_right_one_each_time_a_new_one(db: TestDb) {
        let world = World::start(&db).await;
        let one = world.nobody().sign_in("admin", PASSWORD).await.unwrap().token;
        let two = world.nobody().sign_in("admin", PASSWORD).await.unwrap().token;
        world.nobody().sign_out(&one).await.unwrap();
        assert!(!world.nobody().validate(&one).await);
        assert!(world.nobody().validate(&two).await);
    }
}
