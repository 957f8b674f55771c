//! Members.

use coffre_audit_client::Outcome;
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::Member;
use coffre_locker::domain::policy::{Action, Grant};
use coffre_test_support::on_each_engine;
use coffre_types::{LockerId, Permission, UserId};

use crate::world::{FULL, MANAGE, OWN, PARTICIPATE, World, admin, caller, consumer, event, member};

on_each_engine! {
    async fn setting_a_member_raises_the_version_only_where_something_changes(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        for (membership, version) in [(MANAGE, 1), (MANAGE, 1), (FULL, 2), (PARTICIPATE, 3), (PARTICIPATE, 3)] {
            world.set(&me, id, 8, membership).await.unwrap();
            assert_eq!(world.version(id).await, version, "{membership:?}");
            assert_eq!(world.members(id).await[1].membership, membership);
        }
        world.remove(&me, id, 8).await.unwrap();
        assert_eq!(world.version(id).await, 4);
        assert!(matches!(world.remove(&me, id, 8).await, Err(LockerError::MemberNotFound(user)) if user.get() == 8));
        assert_eq!(world.version(id).await, 4, "what was refused changed nothing");
        assert_eq!(world.members(id).await.len(), 1);
    }

    async fn the_audit_tells_who_may_do_what_before_and_after(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let change = async |membership| {
            let call = world.call(&me);
            let user = Member { user: UserId::from_trusted(8), membership };
            world.lockers.set_member(call.clone(), id, user).await.unwrap();
            let event = event(&call, Outcome::Successful);
            assert!(event.details.iter().any(|detail| detail.key == "username" && detail.value == "user8"));
            event.changes.first().map(|change| (change.old_value.clone(), change.new_value.clone()))
        };
        assert_eq!(change(OWN).await, Some((None, Some("participate, own".into()))));
        assert_eq!(change(MANAGE).await, Some((Some("participate, own".into()), Some("participate, manage".into()))));
        assert_eq!(change(MANAGE).await, None);
    }

    async fn a_locker_keeps_an_owner(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        world.set(&me, id, 8, MANAGE).await.unwrap();
        assert!(matches!(world.remove(&me, id, 7).await, Err(LockerError::LastOwner)));
        assert!(matches!(world.set(&me, id, 7, MANAGE).await, Err(LockerError::LastOwner)));
        assert!(matches!(world.remove(&admin(9), id, 7).await, Err(LockerError::LastOwner)));
        assert_eq!(world.members(id).await[0].membership, FULL, "what was refused changed nothing");
        world.set(&me, id, 8, OWN).await.unwrap();
        world.remove(&me, id, 7).await.unwrap();
        assert!(matches!(world.lockers.locker(world.call(&me), id).await, Err(LockerError::LockerNotFound)));
        assert!(matches!(world.remove(&member(8), id, 8).await, Err(LockerError::LastOwner)));
    }

    async fn a_member_exists_and_may_be_disabled(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        assert!(matches!(world.set(&me, id, 500, OWN).await, Err(LockerError::UserNotFound(user)) if user.get() == 500));
        world.auth.forget_user(12);
        assert!(matches!(world.set(&me, id, 12, OWN).await, Err(LockerError::UserNotFound(_))));
        world.set(&me, id, 99, OWN).await.unwrap();
        world.auth.silence(true);
        assert!(matches!(world.set(&me, id, 13, OWN).await, Err(LockerError::AuthUnavailable)));
        world.remove(&me, id, 99).await.unwrap();
    }

    async fn auth_is_not_asked_for_whoever_may_not(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        world.set(&member(7), id, 8, MANAGE).await.unwrap();
        world.auth.silence(true);
        assert!(matches!(world.set(&member(9), id, 500, OWN).await, Err(LockerError::LockerNotFound)));
        assert!(matches!(world.set(&member(8), id, 500, OWN).await, Err(LockerError::NotPermitted(Action::ChangeMembers))));
    }

    async fn consumers_see_no_members(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        world.add_role(&me, id, 14).await.unwrap();
        world.set(&me, id, 8, PARTICIPATE).await.unwrap();
        let seen = async |who| world.lockers.members(world.call(&who), id).await.map(|members| members.len());
        assert_eq!(seen(member(8)).await.unwrap(), 2);
        assert_eq!(seen(admin(9)).await.unwrap(), 2);
        assert_eq!(seen(consumer(10, 14)).await.unwrap(), 0);
        assert!(matches!(seen(consumer(10, 15)).await, Err(LockerError::LockerNotFound)));
        // A member whose membership is not effective is told so, also where a role lets it see the locker.
        let idle = caller(8, &[14], &[Permission::ManageMyCredentials]);
        assert!(matches!(seen(idle).await, Err(LockerError::PermissionRequired(Permission::ManageMyLockers))));
    }

    async fn an_administrator_makes_members_and_never_itself(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        let boss = caller(9, &[], &[Permission::AdministerAllLockers, Permission::ManageMyLockers]);
        for membership in [PARTICIPATE, MANAGE, OWN, FULL] {
            let refused = world.set(&boss, id, 9, membership).await;
            assert!(matches!(refused, Err(LockerError::SelfGrant(Grant::Membership))), "{refused:?}");
        }
        world.set(&boss, id, 8, OWN).await.unwrap();
        world.set(&member(8), id, 9, PARTICIPATE).await.unwrap();
        assert!(matches!(world.set(&boss, id, 9, OWN).await, Err(LockerError::SelfGrant(_))));
        world.remove(&boss, id, 9).await.unwrap();
        world.set(&member(8), id, 9, OWN).await.unwrap();
        world.set(&boss, id, 9, FULL).await.unwrap();
        assert_eq!(world.members(id).await[2], Member { user: UserId::from_trusted(9), membership: FULL });
    }

    async fn there_are_no_members_of_a_locker_that_is_not_there(db: TestDb) {
        let world = World::new(&db).await;
        let nowhere = LockerId::from_trusted(77);
        assert!(matches!(world.set(&admin(9), nowhere, 8, OWN).await, Err(LockerError::LockerNotFound)));
        assert!(matches!(world.remove(&admin(9), nowhere, 8).await, Err(LockerError::LockerNotFound)));
        assert!(matches!(world.lockers.members(world.call(&admin(9)), nowhere).await, Err(LockerError::LockerNotFound)));
    }
}
