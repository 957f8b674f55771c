//! What a role consumes is given with the role.

use coffre_error::Reason;
use coffre_proto::auth::internal::v1::LookUpRoleRequest;
use coffre_proto::auth::v1::{CreateUserRequest, RoleIds, UpdateUserRequest};
use coffre_test_support::on_each_engine;
use coffre_types::Permission;

use crate::keeper::Fails;
use crate::world::{ADMIN_ROLE, As, BASIC_ROLE, LOCKER_ADMIN_ROLE, World, reason};

const USERS: i64 = Permission::ManageUsers.id();
const LOCKERS: i64 = Permission::ManageMyLockers.id();
const CREDENTIALS: i64 = Permission::ManageMyCredentials.id();

fn hold(id: i64, roles: &[i64]) -> UpdateUserRequest {
    UpdateUserRequest { id, roles: Some(RoleIds { ids: roles.to_vec() }), ..UpdateUserRequest::default() }
}

fn reset(id: i64) -> UpdateUserRequest {
    UpdateUserRequest { id, password: Some("another long password".into()), ..UpdateUserRequest::default() }
}

async fn refused(caller: &As, request: UpdateUserRequest) -> (Reason, String) {
    let status = caller.users().update_user(caller.request(request)).await.unwrap_err();
    (reason(&status), status.message().to_owned())
}

/// Whether a user holds a role, as locker asks before an administrator of lockers makes the role a consumer.
async fn holds(world: &World, user_id: i64, role_id: i64) -> bool {
    let request = LookUpRoleRequest { role_id, user_id };
    world.internal().look_up_role(request).await.unwrap().into_inner().held
}

on_each_engine! {
    async fn rule_3_1_nobody_gives_himself_a_role_that_consumes_lockers(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let own = admin.create_role("managers", &[USERS, CREDENTIALS]).await.unwrap().id;
        let bots = admin.create_role("Bots", &[CREDENTIALS]).await.unwrap().id;
        let (id, manager) = world.user("manager", &[own]).await;
        world.locker.consumes(&[bots]);
        for (caller, request) in [(&manager, hold(id, &[own, bots])), (&admin, hold(1, &[ADMIN_ROLE, LOCKER_ADMIN_ROLE, bots]))] {
            let (reason, message) = refused(caller, request).await;
            assert_eq!(reason, Reason::AuthzSelfGrant);
            assert!(message.contains(&format!("role {bots} consumes lockers")), "{message}");
        }
        assert!(!holds(&world, id, bots).await && !holds(&world, 1, bots).await);
        // Given by another, held, and kept with every further change; given back, it is not to be had again.
        admin.update_user(hold(id, &[own, bots])).await.unwrap();
        assert!(holds(&world, id, bots).await);
        world.locker.calls();
        let basic = admin.create_role("plain", &[]).await.unwrap().id;
        manager.update_user(hold(id, &[own, bots, basic])).await.unwrap();
        assert_eq!(world.locker.calls(), [("inspect", basic)], "of what he holds nobody is asked");
        manager.update_user(hold(id, &[own])).await.unwrap();
        assert_eq!(refused(&manager, hold(id, &[own, bots])).await.0, Reason::AuthzSelfGrant);
        world.locker.consumes(&[]);
        manager.update_user(hold(id, &[own, bots])).await.expect("it consumes nothing");
    }

    async fn rule_3_1_whoever_does_not_hold_a_consumer_role_gives_it_to_nobody(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let own = admin.create_role("managers", &[USERS, CREDENTIALS]).await.unwrap().id;
        let bots = admin.create_role("Bots", &[CREDENTIALS]).await.unwrap().id;
        let plain = admin.create_user("plain", &[]).await.unwrap().id;
        let (id, manager) = world.user("manager", &[own]).await;
        world.locker.consumes(&[bots]);
        let (reason_, message) = refused(&manager, hold(plain, &[bots])).await;
        assert_eq!(reason_, Reason::AuthzGrantExceeds);
        assert!(message.contains(&format!("role {bots} consumes lockers")), "{message}");
        assert_eq!(manager.create_user("bot", &[bots]).await.unwrap_err(), Reason::AuthzGrantExceeds);
        world.locker.calls();
        admin.create_user("bot", &[bots]).await.expect("an administrator gives it to others");
        admin.update_user(hold(plain, &[bots])).await.unwrap();
        manager.update_user(hold(plain, &[])).await.expect("taking it away gives nothing");
        assert!(world.locker.calls().is_empty(), "nobody asks where it does not matter");
        admin.update_user(hold(id, &[own, bots])).await.unwrap();
        manager.update_user(hold(plain, &[bots])).await.expect("he holds it");
    }

    async fn rule_3_1_the_password_of_a_consumer_is_reset_by_whoever_holds_the_role_or_an_administrator(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let own = admin.create_role("managers", &[USERS, CREDENTIALS, LOCKERS, Permission::ConnectToApi.id()]).await.unwrap().id;
        let bots = admin.create_role("Bots", &[CREDENTIALS]).await.unwrap().id;
        let (id, manager) = world.user("manager", &[own]).await;
        let bot = admin.create_user("bot", &[bots]).await.unwrap().id;
        let basic = admin.create_user("basic", &[BASIC_ROLE]).await.unwrap().id;
        world.locker.consumes(&[bots]);
        let (reason, message) = refused(&manager, reset(bot)).await;
        assert_eq!(reason, Reason::AuthzGrantExceeds);
        assert!(message.contains("password") && message.contains("consumes lockers"), "{message}");
        assert!(world.nobody().sign_in("bot", "another long password").await.is_err());
        world.locker.fail("inspect", Fails::Before);
        let (reason, message) = refused(&manager, reset(bot)).await;
        assert_eq!(reason, Reason::ServiceUnavailable, "{message}");
        assert_eq!(refused(&manager, hold(id, &[own, bots])).await.0, Reason::ServiceUnavailable);
        let unknown = CreateUserRequest { username: "new".into(), password: "some long password".into(), roles: Some(RoleIds { ids: vec![bots] }), ..Default::default() };
        assert_eq!(manager.create_user_of(unknown).await.unwrap_err(), Reason::ServiceUnavailable);
        manager.update_user(reset(basic)).await.expect("system roles consume nothing");
        manager.update_user(UpdateUserRequest { id: bot, first_name: Some("Bot".into()), ..UpdateUserRequest::default() }).await.unwrap();
        admin.update_user(reset(bot)).await.expect("an administrator may");
        world.locker.mend();
        admin.update_user(hold(id, &[own, bots])).await.unwrap();
        manager.update_user(reset(bot)).await.expect("he holds it");
    }

    async fn rule_3_1_a_role_that_is_made_a_consumer_while_one_gives_it_to_himself_is_not_given(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let sneak = admin.create_role("sneak", &[]).await.unwrap().id;
        let all = [ADMIN_ROLE, LOCKER_ADMIN_ROLE, sneak];
        // Locker has said that it consumes nothing; before the answer arrives the same caller has it made a consumer there.
        world.locker.fail("inspect", Fails::HangsAfter);
        let giving = tokio::spawn({
            let admin = admin.clone();
            async move { admin.update_user(hold(1, &all)).await }
        });
        world.locker.hangs().await;
        assert!(!holds(&world, 1, sneak).await, "so locker goes on");
        world.locker.consumes(&[sneak]);
        world.locker.go();
        assert_eq!(giving.await.unwrap().unwrap_err(), Reason::StoreConflict);
        world.locker.mend();
        assert!(!holds(&world, 1, sneak).await, "nothing was given");
        assert_eq!(refused(&admin, hold(1, &all)).await.0, Reason::AuthzSelfGrant);
        // The other order: locker that asks after it was given hears so.
        world.locker.consumes(&[]);
        admin.update_user(hold(1, &all)).await.unwrap();
        assert!(holds(&world, 1, sneak).await);
    }

    async fn one_s_own_is_handed_over_with_the_permission_that_makes_it_effective(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let credentials = admin.create_role("credentials", &[CREDENTIALS]).await.unwrap().id;
        let lockers = admin.create_role("lockers", &[LOCKERS]).await.unwrap().id;
        let heir = admin.create_user("heir", &[]).await.unwrap().id;
        let (giver, ada) = world.user("ada", &[]).await;
        for (roles, held, missing) in [
            (&[][..], (1, 0), Some(Permission::ManageMyCredentials)),
            (&[], (0, 1), Some(Permission::ManageMyLockers)),
            (&[], (0, 0), None),
            (&[credentials], (1, 1), Some(Permission::ManageMyLockers)),
            (&[lockers], (1, 1), Some(Permission::ManageMyCredentials)),
            (&[credentials], (1, 0), None),
            (&[lockers], (0, 1), None),
            (&[credentials, lockers], (1, 1), None),
            (&[LOCKER_ADMIN_ROLE], (1, 1), None),
        ] {
            admin.update_user(hold(giver, roles)).await.unwrap();
            crate::world::eventually(async || admin.user(giver).await.is_ok_and(|user| user.roles.len() == roles.len())).await;
            let ada = world.sign_in("ada", &crate::world::password_of("ada")).await;
            world.vault.holds_many(held.0);
            world.locker.holds_many(held.1);
            let request = coffre_proto::auth::v1::TransferUserHoldingsRequest { id: giver, recipient_id: heir };
            let answer = ada.users().transfer_user_holdings(ada.request(request)).await;
            match missing {
                None => {
                    let given = answer.unwrap().into_inner();
                    assert_eq!((given.credential_count, given.locker_count), held);
                }
                Some(permission) => {
                    let refused = answer.unwrap_err();
                    assert_eq!(reason(&refused), Reason::AuthzPermissionRequired);
                    assert!(refused.message().contains(permission.display_name()), "{}", refused.message());
                    let left = (world.vault.left(), world.locker.left());
                    assert_eq!(left, (usize::try_from(held.0).unwrap(), usize::try_from(held.1).unwrap()), "nothing was given");
                }
            }
        }
        world.vault.fail("list", Fails::Before);
        admin.update_user(hold(giver, &[])).await.unwrap();
        let answer = ada.transfer(giver, heir).await.unwrap_err();
        assert!([Reason::ServiceUnavailable, Reason::AuthzPermissionRequired].contains(&answer), "{answer:?}");
    }
}
