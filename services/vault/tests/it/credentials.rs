//! Credentials and their attributes.

use coffre_audit_client::Outcome;
use coffre_db::Sql;
use coffre_test_support::on_each_engine;
use coffre_types::{AttributeId, LockerId, Name, UserId, Version};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::patch::AttributePatch;

use crate::world::{MASKED, OWN, STANDARD, World, event, member, patch_of};

fn name(text: &str) -> Option<Name> {
    Some(Name::parse(text).unwrap())
}

on_each_engine! {
    async fn a_credential_is_made_and_read_back(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "SharePoint", &[("username", STANDARD), ("password", MASKED)]).await.unwrap();
        assert_eq!(made.credential.owner, UserId::from_trusted(7));
        assert_eq!(made.credential.version, Version::FIRST);
        assert!(!made.completed);
        let read = world.vault.credential(world.call(&me), made.credential.id).await.unwrap();
        assert_eq!(read.credential, made.credential);
        assert_eq!(read.attributes, made.attributes);
        assert_eq!(read.attributes[1].traits, MASKED);
        assert_eq!(read.credential.stamp.created_at, world.now());
    }

    async fn a_name_is_unique_without_regard_to_case_and_unicode_form(db: TestDb) {
        let world = World::new(&db).await;
        let made = world.create(&member(7), "Café", &[("a", STANDARD)]).await.unwrap();
        for same in ["CAFÉ", "cafe\u{301}", " café "] {
            assert!(matches!(world.create(&member(8), same, &[("a", STANDARD)]).await, Err(VaultError::CredentialNameTaken)), "{same}");
        }
        world.vault.delete_credential(world.call(&member(7)), made.credential.id, String::new()).await.unwrap();
        let again = world.create(&member(8), "café", &[("a", STANDARD)]).await.unwrap();
        assert!(again.credential.id > made.credential.id, "an id is never used again");
        assert!(again.attributes[0].id > made.attributes[0].id, "an id is never used again");
    }

    async fn a_change_raises_the_version_and_nothing_changes_without_one(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD)]).await.unwrap();
        let id = made.credential.id;
        let (same, changed) = world.update(&me, patch_of(id)).await.unwrap();
        assert!(!changed);
        assert_eq!(same.credential, made.credential);

        let call = world.call(&me);
        let mut patch = patch_of(id);
        patch.name = name("d");
        patch.version = Version::new(0);
        patch.attributes = vec![
            AttributePatch { id: Some(made.attributes[0].id), name: name("B"), ..AttributePatch::default() },
            AttributePatch { id: Some(made.attributes[1].id), name: name("A"), ..AttributePatch::default() },
            AttributePatch { name: name("c"), user_provided: Some(true), ..AttributePatch::default() },
        ];
        let (view, changed) = world.vault.update_credential(call.clone(), patch.clone()).await.unwrap();
        assert!(changed);
        assert_eq!(view.credential.version.get(), 1);
        let names: Vec<_> = view.attributes.iter().map(|attribute| attribute.name.as_str()).collect();
        assert_eq!(names, ["B", "A", "c"]);
        assert_eq!(view.attributes[0].version.get(), 1);
        assert!(view.attributes[2].traits.user_provided);
        assert!(call.record.is_recorded());
        let event = event(&call, Outcome::Successful);
        assert_eq!(event.object.unwrap().name, "d");
        assert_eq!(event.changes[0].field, "name");
        assert_eq!(event.changes[0].old_value.as_deref(), Some("c"));
        assert_eq!(event.changes.len(), 4);

        assert!(matches!(world.update(&me, patch).await, Err(VaultError::CredentialVersionConflict)));
    }

    async fn if_match_is_checked(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        let with = |etag: &str| { let mut patch = patch_of(id); patch.etag = etag.to_owned(); patch.name = name("n"); patch };
        assert!(matches!(world.update(&me, with("\"5\"")).await, Err(VaultError::PreconditionFailed)));
        assert!(matches!(world.update(&me, with("nonsense")).await, Err(VaultError::Invalid { .. })));
        assert!(world.update(&me, with("\"0\"")).await.unwrap().1);
        let gone = world.vault.delete_credential(world.call(&me), id, "\"0\"".to_owned()).await;
        assert!(matches!(gone, Err(VaultError::PreconditionFailed)));
    }

    async fn owner_and_locker_do_not_change_by_an_update(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        let mut patch = patch_of(id);
        patch.owner = UserId::new(7);
        assert!(!world.update(&me, patch.clone()).await.unwrap().1);
        patch.owner = UserId::new(8);
        assert!(matches!(world.update(&me, patch.clone()).await, Err(VaultError::OwnerImmutable(_))));
        patch.owner = None;
        patch.locker = LockerId::new(3);
        assert!(matches!(world.update(&me, patch).await, Err(VaultError::LockerImmutable(_))));
    }

    async fn user_provided_does_not_change_while_there_are_values(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", OWN)]).await.unwrap();
        let (id, attribute) = (made.credential.id, made.attributes[0].id);
        let value = world.store(&me, id, attribute, None, "x").await.unwrap();
        let mut patch = patch_of(id);
        patch.attributes = vec![AttributePatch { id: Some(attribute), user_provided: Some(false), ..AttributePatch::default() }];
        assert!(matches!(world.update(&me, patch.clone()).await, Err(VaultError::AttributeHasValues(known)) if known == attribute));
        world.vault.delete_value(world.call(&me), id, value, String::new()).await.unwrap();
        assert!(world.update(&me, patch).await.unwrap().1);
    }

    async fn an_attribute_goes_with_its_values_but_for_the_last(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD)]).await.unwrap();
        let id = made.credential.id;
        world.store(&me, id, made.attributes[0].id, None, "x").await.unwrap();
        let delete = |attribute: AttributeId| world.vault.delete_attribute(world.call(&me), id, attribute, String::new());
        delete(made.attributes[0].id).await.unwrap();
        assert_eq!(world.number(Sql::new("SELECT count(*) AS id FROM attribute_values")).await, 0);
        assert!(matches!(delete(made.attributes[0].id).await, Err(VaultError::AttributeNotFound(_))));
        assert!(matches!(delete(made.attributes[1].id).await, Err(VaultError::Invalid { .. })));
        let read = world.vault.credential(world.call(&me), id).await.unwrap();
        assert_eq!(read.credential.version.get(), 1);
        assert_eq!(read.attributes.len(), 1);
    }

    async fn a_deleted_credential_leaves_no_value(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap();
        let id = made.credential.id;
        world.store(&me, id, made.attributes[0].id, None, "x").await.unwrap();
        world.vault.delete_credential(world.call(&me), id, String::new()).await.unwrap();
        assert_eq!(world.number(Sql::new("SELECT count(*) AS id FROM attribute_values")).await, 0);
        assert_eq!(world.number(Sql::new("SELECT count(*) AS id FROM credentials WHERE deleted_at IS NOT NULL")).await, 1);
        assert!(matches!(world.vault.credential(world.call(&me), id).await, Err(VaultError::CredentialNotFound)));
    }

    async fn a_credential_in_a_locker_is_not_deleted(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        world.sql(Sql::new("UPDATE credentials SET locker_id = 5")).await;
        let refused = world.vault.delete_credential(world.call(&me), id, String::new()).await;
        assert!(matches!(refused, Err(VaultError::CredentialInLocker(locker)) if locker.get() == 5));
    }

    async fn a_transfer_needs_an_owner_who_exists(db: TestDb) {
        let world = World::new(&db).await;
        let (me, you) = (member(7), member(8));
        let id = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        let transfer = |to: i64| world.vault.transfer_credential(world.call(&me), id, UserId::from_trusted(to), String::new());
        assert!(!transfer(7).await.unwrap().1);
        assert!(matches!(transfer(500).await, Err(VaultError::OwnerUnknown(_))));
        world.auth.forget(9);
        assert!(matches!(transfer(9).await, Err(VaultError::OwnerUnknown(_))));
        let (view, changed) = transfer(8).await.unwrap();
        assert!(changed);
        assert_eq!((view.credential.owner.get(), view.credential.version.get()), (8, 1));
        assert!(matches!(world.vault.credential(world.call(&me), id).await, Err(VaultError::CredentialNotFound)));
        assert!(world.vault.credential(world.call(&you), id).await.is_ok());
    }
}
