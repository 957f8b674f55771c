//! What ends the tokens of the OAuth side: within a second, on every replica, and for good.

use coffre_error::Reason;
use coffre_proto::auth::v1::{RoleIds, UpdateApiAccessRequest, UpdateRoleRequest, UpdateUserRequest};
use coffre_test_support::on_each_engine;
use coffre_types::Permission;

use crate::portal::change;
use crate::world::{BASIC_ROLE, World, eventually, password_of, permission_ids};

on_each_engine! {
    async fn rule_1_3_what_ends_an_operator_s_access_ends_his_tokens(db: TestDb) {
        let world = World::start(&db).await;
        let other = world.replica().await;
        let program = world.program("app").await;
        let admin = world.admin().await;
        for how in ["disabled", "without the right", "reset", "deleted"] {
            let (id, grant) = world.operator_with_token(how, &program).await;
            assert!(world.first.accepts(&grant.access_token).await && other.accepts(&grant.access_token).await);
            let request = UpdateUserRequest { id, ..Default::default() };
            match how {
                "disabled" => drop(admin.update_user(UpdateUserRequest { disabled: Some(true), ..request.clone() }).await.unwrap()),
                "without the right" => drop(admin.update_user(UpdateUserRequest { roles: Some(RoleIds::default()), ..request.clone() }).await.unwrap()),
                "reset" => drop(admin.update_user(UpdateUserRequest { password: Some("another long password".into()), ..request.clone() }).await.unwrap()),
                _ => admin.delete_user(id).await.unwrap(),
            }
            world.first.refuses_soon(&grant.access_token).await;
            other.refuses_soon(&grant.access_token).await;
            let nobody = world.nobody();
            assert_eq!(nobody.renew(&program, &grant.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid, "{how}");
            assert!(!nobody.introspect(&program, &grant.access_token).await.unwrap().active);
            assert_eq!(nobody.token(&program, how).await.unwrap_err(), Reason::OauthGrantInvalid, "{how}");
            if how == "disabled" {
                admin.update_user(UpdateUserRequest { disabled: Some(false), ..request }).await.unwrap();
                assert_eq!(nobody.renew(&program, &grant.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid, "{how}, and enabled again");
                nobody.token(&program, how).await.expect("he begins anew");
            }
        }
    }

    async fn rule_1_3_disabling_a_client_ends_its_tokens_for_good(db: TestDb) {
        let world = World::start(&db).await;
        let other = world.replica().await;
        let program = world.program("app").await;
        let (_, bound) = world.bound_program("bound", "bob").await;
        let (_, grant) = world.operator_with_token("ada", &program).await;
        let own = world.nobody().token_of_its_own(&bound).await.unwrap();
        let admin = world.admin().await;
        for (program, token) in [(&program, &grant.access_token), (&bound, &own.access_token)] {
            assert!(other.accepts(token).await);
            let disable = |disabled| UpdateApiAccessRequest { disabled: Some(disabled), ..change(program.id) };
            admin.update_api_access(disable(true)).await.unwrap();
            world.first.refuses_soon(token).await;
            other.refuses_soon(token).await;
            assert_eq!(world.nobody().introspect(program, token).await.unwrap_err(), Reason::OauthClientInvalid);
            admin.update_api_access(disable(false)).await.unwrap();
            assert!(!world.nobody().introspect(program, token).await.unwrap().active, "enabling again brings no token back");
            assert!(!world.first.accepts(token).await && !other.accepts(token).await);
        }
        assert_eq!(world.nobody().renew(&program, &grant.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
        world.nobody().token(&program, "ada").await.expect("and begins anew");
        world.nobody().token_of_its_own(&bound).await.expect("the operator's word stands");
    }

    async fn one_s_own_change_of_the_password_ends_one_s_tokens_and_leaves_one_s_word(db: TestDb) {
        let world = World::start(&db).await;
        let (_, bound) = world.bound_program("bound", "bob").await;
        let program = world.program("app").await;
        let grant = world.nobody().token(&program, "bob").await.unwrap();
        world.sign_in("bob", &password_of("bob")).await.change_password(&password_of("bob"), "another long password").await.unwrap();
        world.first.refuses_soon(&grant.access_token).await;
        assert_eq!(world.nobody().renew(&program, &grant.refresh_token).await.unwrap_err(), Reason::OauthGrantInvalid);
        world.nobody().token_of_its_own(&bound).await.unwrap();
    }

    async fn a_reset_takes_back_what_the_operator_confirmed(db: TestDb) {
        let world = World::start(&db).await;
        let (id, bound) = world.bound_program("bound", "bob").await;
        let token = world.nobody().token_of_its_own(&bound).await.unwrap().access_token;
        let request = UpdateUserRequest { id, password: Some("another long password".into()), ..Default::default() };
        world.admin().await.update_user(request).await.unwrap();
        world.first.refuses_soon(&token).await;
        assert_eq!(world.admin().await.api_access(bound.id).await.unwrap().confirm_time, None);
        let bob = world.sign_in("bob", "another long password").await;
        bob.change_password("another long password", "a third long password").await.unwrap();
        assert_eq!(world.nobody().token_of_its_own(&bound).await.unwrap_err(), Reason::OauthGrantInvalid);
        world.sign_in("bob", "a third long password").await.confirm(bound.id).await.unwrap();
        world.nobody().token_of_its_own(&bound).await.unwrap();
    }

    async fn a_changed_role_takes_effect_on_tokens_that_run(db: TestDb) {
        let world = World::start(&db).await;
        let (program, admin) = (world.program("app").await, world.admin().await);
        let role = admin.create_role("portal", &[9, 6]).await.unwrap();
        admin.create_user("ada", &[role.id, BASIC_ROLE]).await.unwrap();
        let token = world.nobody().token(&program, "ada").await.unwrap().access_token;
        let views = async || world.first.authenticator.authenticate(&token).await.unwrap().has(Permission::ViewAllAudit);
        assert!(views().await);
        let request = UpdateRoleRequest { id: role.id, permissions: Some(permission_ids(&[9])), ..Default::default() };
        admin.update_role(request).await.unwrap();
        eventually(async || !views().await).await;
        assert!(world.first.accepts(&token).await, "it ends nothing");
    }
}
