//! Lockers themselves.

use coffre_audit_client::Outcome;
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::{Membership, NewLocker};
use coffre_test_support::on_each_engine;
use coffre_types::{Clock as _, Description, Name, Permission, UserId, Version};

use crate::world::{World, caller, event, member, patch_of};

on_each_engine! {
    async fn a_locker_is_made_and_read_back_and_whoever_made_it_has_every_membership(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let call = world.call(&me);
        let new = NewLocker { name: Name::parse("Finance").unwrap(), description: Some(Description::parse("books").unwrap()) };
        let made = world.lockers.create(call.clone(), new).await.unwrap();
        assert_eq!((made.locker.version, made.locker.stamp.created_by), (Version::FIRST, UserId::from_trusted(7)));
        assert_eq!((made.place.member, made.place.consumer), (Some(Membership::FULL), false));
        assert!(call.record.is_recorded());
        let event = event(&call, Outcome::Successful);
        assert_eq!(event.object.as_ref().map(|object| (object.r#type.as_str(), object.name.as_str())), Some(("locker", "Finance")));
        let fields: Vec<_> = event.changes.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(fields, ["name", "description"]);
        let read = world.lockers.locker(world.call(&me), made.locker.id).await.unwrap();
        assert_eq!((read.locker, read.place), (made.locker.clone(), made.place));
        assert_eq!(made.locker.stamp.created_at, world.clock.now());
    }

    async fn a_name_is_unique_without_regard_to_case_and_unicode_form(db: TestDb) {
        let world = World::new(&db).await;
        let made = world.made(&member(7), "Café").await;
        for same in ["CAFÉ", "cafe\u{301}", " café "] {
            assert!(matches!(world.create(&member(8), same).await, Err(LockerError::NameTaken)), "{same}");
        }
        let other = world.made(&member(8), "Tea").await;
        assert!(matches!(world.rename(&member(8), other, "cafÉ").await, Err(LockerError::NameTaken)));
        assert!(world.rename(&member(7), made, "CAFÉ").await.unwrap().1, "a locker keeps its own name in other letters");
        world.delete(&member(7), made).await.unwrap();
        assert!(world.made(&member(8), "café").await > other, "an id is never used again");
    }

    async fn a_change_raises_the_version_and_nothing_changes_without_one(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let (same, changed) = world.rename(&me, id, "a").await.unwrap();
        assert_eq!((changed, same.locker.version), (false, Version::FIRST));
        let mut patch = patch_of(id);
        patch.version = Version::new(0);
        patch.description = Some(Some(Description::parse("d").unwrap()));
        let (view, changed) = world.lockers.update(world.call(&me), patch.clone()).await.unwrap();
        assert!(changed);
        assert_eq!((view.locker.version.get(), view.locker.name.as_str()), (1, "a"));
        assert!(matches!(world.lockers.update(world.call(&me), patch.clone()).await, Err(LockerError::VersionConflict)));
        patch.version = None;
        patch.description = Some(None);
        assert!(world.lockers.update(world.call(&me), patch).await.unwrap().0.locker.description.is_none());
        assert_eq!(world.version(id).await, 2);
    }

    async fn if_match_is_checked(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let with = |etag: &str| {
            let mut patch = patch_of(id);
            (patch.etag, patch.name) = (etag.to_owned(), Some(Name::parse("b").unwrap()));
            world.lockers.update(world.call(&me), patch)
        };
        assert!(matches!(with("\"5\"").await, Err(LockerError::PreconditionFailed)));
        assert!(matches!(with("nonsense").await, Err(LockerError::Invalid { .. })));
        assert!(with("\"0\"").await.unwrap().1);
        let gone = world.lockers.delete(world.call(&me), id, "\"0\"".to_owned()).await;
        assert!(matches!(gone, Err(LockerError::PreconditionFailed)));
        world.lockers.delete(world.call(&me), id, "\"1\"".to_owned()).await.unwrap();
    }

    async fn whoever_may_not_see_a_locker_learns_nothing_before_a_version_is_checked(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        let mut patch = patch_of(id);
        patch.etag = "\"5\"".into();
        let refused = world.lockers.update(world.call(&member(8)), patch).await;
        assert!(matches!(refused, Err(LockerError::LockerNotFound)));
    }

    async fn without_the_permission_no_locker_is_made(db: TestDb) {
        let world = World::new(&db).await;
        for permissions in [&[][..], &[Permission::AdministerAllLockers, Permission::ManageMyCredentials]] {
            let refused = world.create(&caller(7, &[], permissions), "a").await;
            assert!(matches!(refused, Err(LockerError::PermissionRequired(Permission::ManageMyLockers))));
        }
    }

    async fn the_audit_names_a_locker_to_whoever_may_see_it_alone(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "secret").await;
        for (who, name) in [(member(7), "secret"), (member(8), ""), (caller(7, &[], &[]), "")] {
            let call = world.call(&who);
            assert_eq!(world.lockers.locker(call.clone(), id).await.is_ok(), !name.is_empty());
            let event = event(&call, Outcome::Unsuccessful);
            assert_eq!(event.object.map(|object| (object.id, object.name)), Some((id.to_string(), name.to_owned())));
        }
    }
}
