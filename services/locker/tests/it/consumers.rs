//! Consumers.

use coffre_audit_client::Outcome;
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::policy::Grant;
use coffre_test_support::on_each_engine;
use coffre_types::{Permission, RoleId};

use crate::world::{MANAGE, OWN, World, admin, caller, consumer, event, member};

on_each_engine! {
    async fn adding_a_consumer_twice_is_one_change(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        for role in [15, 14, 14] {
            world.add_role(&me, id, role).await.unwrap();
        }
        assert_eq!(world.version(id).await, 2);
        let roles = world.lockers.consumers(world.call(&consumer(8, 14)), id).await.unwrap();
        assert_eq!(roles, [RoleId::from_trusted(14), RoleId::from_trusted(15)]);
        world.remove_role(&me, id, 14).await.unwrap();
        assert_eq!(world.version(id).await, 3);
        assert!(matches!(world.remove_role(&me, id, 14).await, Err(LockerError::ConsumerNotFound(role)) if role.get() == 14));
        assert!(matches!(world.lockers.consumers(world.call(&consumer(8, 14)), id).await, Err(LockerError::LockerNotFound)));
        assert_eq!(world.version(id).await, 3);
    }

    async fn a_consumer_is_a_role_that_exists_and_that_users_defined(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        assert!(matches!(world.add_role(&me, id, 2).await, Err(LockerError::SystemRole { name }) if name == "role2"));
        assert!(matches!(world.add_role(&me, id, 500).await, Err(LockerError::RoleNotFound(_))));
        world.auth.forget_role(20);
        assert!(matches!(world.add_role(&me, id, 20).await, Err(LockerError::RoleNotFound(_))));
        world.auth.silence(true);
        assert!(matches!(world.add_role(&me, id, 14).await, Err(LockerError::AuthUnavailable)));
        assert_eq!(world.version(id).await, 0);
    }

    async fn the_audit_names_the_role(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let call = world.call(&me);
        world.lockers.add_consumer(call.clone(), id, RoleId::from_trusted(14)).await.unwrap();
        let event = event(&call, Outcome::Successful);
        assert_eq!((event.changes[0].field.as_str(), event.changes[0].new_value.as_deref()), ("roleId", Some("14")));
        assert!(event.details.iter().any(|detail| detail.key == "roleName" && detail.value == "role14"));
    }

    async fn an_administrator_adds_no_role_that_it_holds(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        let refused = world.add_role(&admin(9), id, 50).await;
        assert!(matches!(refused, Err(LockerError::SelfGrant(Grant::Consumption(role))) if role.get() == 50));
        world.add_role(&admin(9), id, 51).await.unwrap();
        let both = caller(9, &[50], &[Permission::AdministerAllLockers, Permission::ManageMyLockers]);
        world.set(&member(7), id, 9, MANAGE).await.unwrap();
        world.add_role(&both, id, 50).await.unwrap();
        world.remove_role(&admin(9), id, 50).await.unwrap();
    }

    async fn a_role_one_holds_may_be_added_by_whoever_owns_or_manages(db: TestDb) {
        let world = World::new(&db).await;
        let holder = |user| caller(user, &[14], &[Permission::ManageMyLockers, Permission::ManageMyCredentials]);
        let id = world.made(&holder(7), "a").await;
        world.add_role(&holder(7), id, 14).await.unwrap();
        world.remove_role(&holder(7), id, 14).await.unwrap();
        world.set(&holder(7), id, 8, OWN).await.unwrap();
        world.add_role(&holder(8), id, 14).await.unwrap();
        let seen = world.lockers.locker(world.call(&holder(8)), id).await.unwrap();
        assert!(seen.place.consumer && seen.place.member == Some(OWN));
    }

    async fn rule_3_1_an_administrator_adds_no_role_that_it_got_a_moment_ago(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        world.auth.give(9, 51);
        let refused = world.add_role(&admin(9), id, 51).await;
        assert!(matches!(refused, Err(LockerError::SelfGrant(Grant::Consumption(role))) if role.get() == 51), "{refused:?}");
        world.add_role(&admin(8), id, 51).await.expect("another administrator");
        assert!(world.lockers.consumers(world.call(&member(7)), id).await.unwrap().contains(&RoleId::from_trusted(51)));
    }

    async fn rule_3_1_a_role_that_is_given_to_an_administrator_while_it_adds_it_is_not_added(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        // Auth has said that nobody holds it; before the answer arrives auth hears that it consumes nothing, and gives it to the caller.
        let slow = world.auth.slow();
        let admin = admin(9);
        let (refused, ()) = futures_util::future::join(world.add_role(&admin, id, 51), async {
            slow.asked.notified().await;
            assert!(world.lockers.inspect(vec![RoleId::from_trusted(51)]).await.unwrap().is_empty());
            world.auth.give(9, 51);
            slow.go.notify_one();
        }).await;
        assert!(matches!(refused, Err(LockerError::SelfGrant(Grant::Consumption(_)))), "{refused:?}");
        assert!(world.lockers.inspect(vec![RoleId::from_trusted(51)]).await.unwrap().is_empty(), "nothing was added");
        // Given to somebody else meanwhile it is added at the second attempt; who manages the locker is not asked about.
        let slow = world.auth.slow();
        let (added, ()) = futures_util::future::join(world.add_role(&admin, id, 52), async {
            slow.asked.notified().await;
            world.lockers.inspect(vec![RoleId::from_trusted(52)]).await.unwrap();
            slow.go.notify_one();
        }).await;
        added.unwrap();
        world.auth.give(7, 53);
        world.add_role(&member(7), id, 53).await.unwrap();
        let inspected = world.lockers.inspect([50, 53, 52, 53].map(RoleId::from_trusted).to_vec()).await.unwrap();
        assert_eq!(inspected, [52, 53].map(RoleId::from_trusted));
    }
}
