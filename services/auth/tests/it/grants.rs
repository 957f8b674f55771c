//! Grants are decided on what the caller holds in the transaction, not on what he held when the call came in.

use std::time::Duration;

use coffre_auth::Config;
use coffre_error::Reason;
use coffre_proto::auth::v1::{RoleIds, UpdateRoleRequest, UpdateUserRequest};
use coffre_test_support::{TestDb, on_each_engine};
use coffre_types::Permission;
use futures_util::future::join_all;

use crate::world::{ADMIN_ROLE, As, LOCKER_ADMIN_ROLE, World, config, permission_ids};

const AUDIT: i64 = Permission::ViewAllAudit.id();
const SETTINGS: i64 = Permission::ManageSettings.id();
const USERS: i64 = Permission::ManageUsers.id();
const ALL_VALUES: i64 = Permission::ManageAllValues.id();

fn hold(id: i64, roles: &[i64]) -> UpdateUserRequest {
    UpdateUserRequest { id, roles: Some(RoleIds { ids: roles.to_vec() }), ..UpdateUserRequest::default() }
}

fn give(id: i64, permissions: &[i64]) -> UpdateRoleRequest {
    UpdateRoleRequest { id, permissions: Some(permission_ids(permissions)), ..UpdateRoleRequest::default() }
}

fn reset(id: i64) -> UpdateUserRequest {
    UpdateUserRequest { id, password: Some("another long password".into()), ..UpdateUserRequest::default() }
}

/// A world whose replicas hear of changes by themselves after an hour only, and not at all of each other's before.
async fn deaf(db: &TestDb) -> World {
    World::with(db, Config { change_poll: Duration::from_secs(3600), ..config() }).await
}

/// Has a replica keep what it knows of a caller.
async fn known(caller: &As) {
    caller.list_roles().await.unwrap();
}

on_each_engine! {
    async fn rule_3_1_a_role_that_the_caller_has_just_got_is_one_he_holds(db: TestDb) {
        let world = deaf(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let empty = admin.create_role("empty", &[]).await.unwrap();
        let there = other.caller(&admin.token);
        known(&there).await;
        admin.update_user(hold(1, &[ADMIN_ROLE, LOCKER_ADMIN_ROLE, empty.id])).await.expect("it gives nothing");
        let refused = there.update_role(give(empty.id, &[ALL_VALUES])).await.unwrap_err();
        assert_eq!(refused, Reason::AuthzSelfGrant, "the other replica does not know yet that he holds the role");
    }

    async fn rule_3_1_a_permission_that_the_caller_has_just_lost_he_cannot_give(db: TestDb) {
        let world = deaf(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[USERS, AUDIT]).await.unwrap();
        let auditors = admin.create_role("auditors", &[AUDIT]).await.unwrap();
        let empty = admin.create_role("empty", &[]).await.unwrap();
        let auditor = admin.create_user("auditor", &[auditors.id]).await.unwrap();
        let plain = admin.create_user("plain", &[]).await.unwrap();
        let (_, manager) = world.user("manager", &[managers.id]).await;
        let there = other.caller(&manager.token);
        known(&there).await;
        admin.update_role(give(managers.id, &[USERS])).await.unwrap();
        assert_eq!(there.create_role("more", &[AUDIT]).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(there.update_role(give(empty.id, &[AUDIT])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(there.create_user("ada", &[auditors.id]).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(there.update_user(hold(plain.id, &[auditors.id])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(there.update_user(reset(auditor.id)).await.unwrap_err(), Reason::AuthzGrantExceeds);
        there.update_user(reset(plain.id)).await.expect("what he still holds he gives");
    }

    async fn rule_3_1_whoever_was_an_administrator_gives_as_what_he_is(db: TestDb) {
        let world = deaf(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[USERS]).await.unwrap();
        let empty = admin.create_role("empty", &[]).await.unwrap();
        let (id, second) = world.user("second", &[ADMIN_ROLE]).await;
        let there = other.caller(&second.token);
        known(&there).await;
        admin.update_user(hold(id, &[managers.id])).await.unwrap();
        assert_eq!(there.update_role(give(empty.id, &[ALL_VALUES])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(there.create_user("third", &[ADMIN_ROLE]).await.unwrap_err(), Reason::AuthzGrantExceeds);
        assert_eq!(there.update_user(reset(1)).await.unwrap_err(), Reason::AuthzGrantExceeds);
    }

    async fn rule_3_1_without_the_right_nothing_is_changed_whatever_was_known_before(db: TestDb) {
        let world = deaf(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[USERS]).await.unwrap();
        let empty = admin.create_role("empty", &[]).await.unwrap();
        let plain = admin.create_user("plain", &[]).await.unwrap();
        let (id, manager) = world.user("manager", &[managers.id]).await;
        let there = other.caller(&manager.token);
        let all_are = async |reason: Reason| {
            assert_eq!(there.create_role("more", &[]).await.unwrap_err(), reason);
            assert_eq!(there.update_role(give(empty.id, &[])).await.unwrap_err(), reason);
            assert_eq!(there.delete_role(empty.id).await.unwrap_err(), reason);
            assert_eq!(there.create_user("ada", &[]).await.unwrap_err(), reason);
            assert_eq!(there.update_user(hold(plain.id, &[])).await.unwrap_err(), reason);
            assert_eq!(there.delete_user(plain.id).await.unwrap_err(), reason);
        };
        known(&there).await;
        admin.update_user(hold(id, &[])).await.unwrap();
        all_are(Reason::AuthzPermissionRequired).await;
        admin.update_user(hold(id, &[managers.id])).await.unwrap();
        admin.update_user(UpdateUserRequest { id, disabled: Some(true), ..UpdateUserRequest::default() }).await.unwrap();
        all_are(Reason::AuthTokenInvalid).await;
    }

    async fn rule_3_1_two_calls_at_once_give_no_more_than_one_after_the_other(db: TestDb) {
        let world = World::start(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let there = other.caller(&admin.token);
        let mut held = vec![ADMIN_ROLE, LOCKER_ADMIN_ROLE];
        for round in 0..12 {
            let role = admin.create_role(&format!("role {round}"), &[]).await.unwrap();
            held.push(role.id);
            // On one replica and on two, in both orders.
            let (one, two) = if round % 3 == 0 { (&admin, &admin) } else if round % 3 == 1 { (&admin, &there) } else { (&there, &admin) };
            let (taken, given) = tokio::join!(one.update_user(hold(1, &held)), two.update_role(give(role.id, &[ALL_VALUES])));
            match (&taken, &given) {
                (Ok(_), Err(Reason::AuthzSelfGrant)) => {}
                (Err(Reason::AuthzSelfGrant), Ok(_)) => { held.pop(); }
                _ => panic!("{:?} {:?}", taken.map(|_| ()), given.map(|_| ())),
            }
            let now = admin.user(1).await.unwrap();
            assert!(now.permissions.iter().all(|permission| permission.id != ALL_VALUES));
        }
    }

    async fn what_is_given_can_be_used_at_once_on_every_replica(db: TestDb) {
        let world = deaf(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[USERS]).await.unwrap();
        let (id, user) = world.user("user", &[]).await;
        let there = other.caller(&user.token);
        assert_eq!(there.user(id).await.unwrap_err(), Reason::AuthzPermissionRequired);
        admin.update_user(hold(id, &[managers.id])).await.unwrap();
        there.user(id).await.expect("nobody is refused for what was kept");
    }

    async fn rule_3_1_an_administrator_is_stripped_by_an_administrator_alone(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[USERS]).await.unwrap();
        let (_, manager) = world.user("manager", &[managers.id]).await;
        let (second, _) = world.user("second", &[ADMIN_ROLE, managers.id]).await;
        assert_eq!(manager.update_user(hold(second, &[managers.id])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        manager.update_user(hold(second, &[ADMIN_ROLE])).await.expect("another role");
        let disable = |disabled| UpdateUserRequest { id: second, disabled: Some(disabled), ..UpdateUserRequest::default() };
        manager.update_user(disable(true)).await.expect("in an emergency");
        assert_eq!(manager.update_user(reset(second)).await.unwrap_err(), Reason::AuthzGrantExceeds, "he is one still");
        admin.update_user(hold(second, &[])).await.unwrap();
    }

    async fn many_changes_of_users_and_roles_at_once_all_succeed(db: TestDb) {
        let world = World::start(&db).await;
        let other = world.replica().await;
        let admin = world.admin().await;
        let there = other.caller(&admin.token);
        let role = admin.create_role("role", &[]).await.unwrap();
        let user = admin.create_user("user", &[]).await.unwrap();
        let callers = [&admin, &there];
        let changes = (0..32).map(|round: usize| {
            let (caller, (role, user)) = (callers[round % 2], (role.id, user.id));
            async move {
                match round % 8 {
                    0 | 1 => caller.create_user(&format!("user {round}"), &[role]).await.map(|_| ()),
                    2 | 3 => caller.create_role(&format!("role {round}"), &[SETTINGS]).await.map(|_| ()),
                    4 | 5 => {
                        let rename = UpdateUserRequest { first_name: Some(format!("{round}")), ..hold(user, &[]) };
                        caller.update_user(rename).await.map(|_| ())
                    }
                    _ => caller.update_role(give(role, &[AUDIT, 1 + i64::try_from(round % 2).unwrap()])).await.map(|_| ()),
                }
            }
        });
        for answer in join_all(changes).await {
            answer.unwrap();
        }
    }
}
