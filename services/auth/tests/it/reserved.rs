//! What is given, and who is renamed, by whom and in which session.

use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::auth::v1::{RoleIds, UpdateRoleRequest, UpdateUserRequest};
use coffre_test_support::on_each_engine;

use crate::world::{ADMIN_ROLE, PASSWORD, World, password_of, permission_ids, reason};

on_each_engine! {
    async fn the_last_administrator_is_never_locked_out_by_another_name(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[7]).await.unwrap().id;
        let auditors = admin.create_role("auditors", &[7, 6]).await.unwrap().id;
        let (own, manager) = world.user("manager", &[managers]).await;
        let (auditor, _) = world.user("auditor", &[auditors]).await;
        let (equal, _) = world.user("equal", &[managers]).await;
        let name = |id: i64, username: &str| UpdateUserRequest { id, username: Some(username.into()), ..Default::default() };
        for (id, now) in [(1, "admin"), (auditor, "auditor")] {
            for new in ["x8f3", &now.to_uppercase()] {
                assert_eq!(manager.update_user(name(id, new)).await.unwrap_err(), Reason::AuthzGrantExceeds, "{now}");
            }
            let both = UpdateUserRequest { email: Some("a@example.org".into()), ..name(id, now) };
            manager.update_user(both).await.expect("the name that it has is no other name");
        }
        let refused = manager.users().update_user(manager.request(name(1, "x8f3"))).await.unwrap_err();
        assert!(refused.message().contains("AAE_Admin"), "{refused}");
        world.sign_in("admin", PASSWORD).await;
        manager.update_user(name(equal, "another")).await.expect("who holds no more than he");
        manager.update_user(name(own, "himself")).await.expect("everybody himself");
        world.user("second", &[ADMIN_ROLE]).await;
        admin.update_user(name(auditor, "by an administrator")).await.unwrap();
        let second = world.sign_in("second", &password_of("second")).await;
        second.update_user(name(1, "root")).await.expect("one administrator another");
        world.sign_in("root", PASSWORD).await;
    }

    async fn rule_1_7_what_needs_a_recent_sign_in_is_not_given_without_one(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let program = world.program("app").await;
        // 5 View and manage settings, 6 everyone's audit, 7 Manage users, 8 Manage API access, 9 Connect to the API, 10 Generate API key.
        let all = admin.create_role("all", &[1, 5, 6, 7, 8, 9, 10]).await.unwrap().id;
        let harmless = admin.create_role("harmless", &[1, 6, 9]).await.unwrap().id;
        let mut reserved = Vec::new();
        for permission in [5, 7, 8, 10] {
            reserved.push(admin.create_role(&format!("reserved {permission}"), &[permission]).await.unwrap().id);
        }
        reserved.push(ADMIN_ROLE);
        for (who, role) in [("ada", all), ("second", ADMIN_ROLE)] {
            let (_, old) = world.user(who, &[role]).await;
            let (_, key) = old.create_key("one").await.unwrap();
            let by_key = world.by_key(who, &key).await;
            let client = world.caller(&world.nobody().token(&program, who).await.unwrap().access_token);
            world.clock.advance(Duration::from_secs(5 * 60 + 1));
            let recent = world.sign_in(who, &password_of(who)).await;
            for (kind, caller) in [("key", &by_key), ("client", &client), ("old", &old), ("recent", &recent)] {
                let name = |what: &str| format!("{what} of {kind} of {who}");
                let made = caller.create_user(&name("fine"), &[harmless]).await.expect("bots make users");
                let role = caller.create_role(&name("role"), &[6]).await.unwrap().id;
                let permissions = |ids: &[i64]| UpdateRoleRequest { id: role, permissions: Some(permission_ids(ids)), ..Default::default() };
                caller.update_role(permissions(&[1, 6, 9])).await.expect("and give what is harmless");
                let roles = |ids: &[i64]| UpdateUserRequest { id: made.id, roles: Some(RoleIds { ids: ids.to_vec() }), ..Default::default() };
                for given in reserved.iter().copied().filter(|given| who == "second" || *given != ADMIN_ROLE) {
                    let (create, assign) = (caller.create_user(&name(&format!("user {given}")), &[given]).await, caller.update_user(roles(&[harmless, given])).await);
                    let expected = (kind != "recent").then_some(Reason::AuthRecentSignInRequired);
                    assert_eq!((create.err(), assign.err()), (expected, expected), "{} for role {given}", name("roles"));
                }
                for permission in [5, 7, 8, 10] {
                    let added = caller.update_role(permissions(&[6, permission])).await;
                    assert_eq!(added.err(), (kind != "recent").then_some(Reason::AuthRecentSignInRequired), "{} for {permission}", name("role"));
                }
                caller.update_user(roles(&[])).await.expect("to take away is not to give");
            }
            let refused = by_key.users().update_user(by_key.request(UpdateUserRequest { id: 1, roles: Some(RoleIds { ids: vec![ADMIN_ROLE, 3, all] }), ..Default::default() })).await.unwrap_err();
            assert_eq!(reason(&refused), Reason::AuthRecentSignInRequired);
            assert!(refused.message().contains("sign in again (POST /v1/authentication)"), "{refused}");
        }
    }
}
