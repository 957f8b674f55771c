//! Putting credentials into lockers and taking them out; what a death in the middle leaves behind.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::Outcome;
use coffre_db::Sql;
use coffre_proto::audit::v1::Event;
use coffre_test_support::on_each_engine;
use coffre_types::{Caller, CredentialId, LockerId, Name, Permission};
use coffre_vault::domain::contents::AssignCommand;
use coffre_vault::domain::error::VaultError;
use prost::Message as _;

use crate::fake_locker::Death;
use crate::world::{STANDARD, World, caller, event, patch_of, with_roles};

const LOCKER: i64 = 5;
const OTHER: i64 = 6;

fn owner() -> Arc<Caller> {
    caller(7, &[Permission::ManageMyCredentials, Permission::ManageMyLockers])
}

async fn credential(world: &World, name: &str) -> CredentialId {
    for locker in [LOCKER, OTHER] {
        world.locker.participant(locker, 7);
    }
    world.create(&owner(), name, &[("a", STANDARD)]).await.unwrap().credential.id
}

async fn holder(world: &World, id: CredentialId) -> Option<i64> {
    let view = world.vault.credential(world.call(&owner()), id).await.unwrap();
    view.credential.locker.map(LockerId::get)
}

fn command(id: CredentialId, etag: &str) -> AssignCommand {
    AssignCommand { credential: id, locker: LockerId::from_trusted(LOCKER), etag: etag.to_owned() }
}

async fn until(holds: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came");
}

/// Begins an assignment that stops where it is told to.
async fn begin(
    world: &World,
    id: CredentialId,
    etag: &str,
    death: Death,
) -> tokio::task::JoinHandle<Result<bool, VaultError>> {
    let before = world.locker.stopped();
    world.locker.die(Some(death));
    let (vault, call, command) = (world.vault.clone(), world.call(&owner()), command(id, etag));
    let task = tokio::spawn(async move { vault.assign_credential(call, command).await.map(|(_, changed)| changed) });
    until(|| world.locker.stopped() == before + 1).await;
    world.locker.die(None);
    task
}

/// Ends a call as a process that is killed does.
async fn kill(task: tokio::task::JoinHandle<Result<bool, VaultError>>) {
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

on_each_engine! {
    async fn a_credential_enters_and_leaves(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        let call = world.call(&owner());
        let (view, changed) = world.vault.assign_credential(call.clone(), command(id, "\"0\"")).await.unwrap();
        assert!(changed);
        assert_eq!((view.credential.locker.map(LockerId::get), view.credential.version.get()), (Some(LOCKER), 1));
        assert_eq!(world.locker.reserved(), 0);
        assert!(call.record.is_recorded());
        let event = event(&call, Outcome::Successful);
        assert_eq!((event.changes[0].field.as_str(), event.changes[0].new_value.as_deref()), ("lockerId", Some("5")));
        assert_eq!(event.details[0].value, "locker5");

        let (again, changed) = world.assign(&owner(), id, LOCKER).await.unwrap();
        assert!(!changed);
        assert_eq!(again.credential, view.credential);
        let elsewhere = world.assign(&owner(), id, OTHER).await;
        assert!(matches!(elsewhere, Err(VaultError::CredentialInLocker(locker)) if locker.get() == LOCKER));
        let wrong = world.withdraw(&owner(), id, OTHER).await;
        assert!(matches!(wrong, Err(VaultError::CredentialNotInLocker { holder: Some(holder), .. }) if holder.get() == LOCKER));
        let stale = world.vault.withdraw_credential(world.call(&owner()), id, LockerId::from_trusted(LOCKER), "\"0\"".to_owned());
        assert!(matches!(stale.await, Err(VaultError::PreconditionFailed)));

        world.withdraw(&owner(), id, LOCKER).await.unwrap();
        assert!(matches!(world.withdraw(&owner(), id, LOCKER).await, Err(VaultError::CredentialNotInLocker { holder: None, .. })));
        let view = world.vault.credential(world.call(&owner()), id).await.unwrap();
        assert_eq!((view.credential.locker, view.credential.version.get()), (None, 2));
        assert!(world.assign(&owner(), id, OTHER).await.unwrap().1);
        assert!(matches!(world.vault.assign_credential(world.call(&owner()), command(id, "\"0\"")).await, Err(VaultError::PreconditionFailed)));
    }

    async fn only_an_effective_member_puts_its_own_credential_in(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        world.locker.remove(LOCKER, 7);
        assert!(matches!(world.assign(&owner(), id, LOCKER).await, Err(VaultError::LockerNotFound(_))));
        assert!(matches!(world.assign(&owner(), id, 99).await, Err(VaultError::LockerNotFound(_))));
        world.locker.consumer(LOCKER, 70);
        let consumer = with_roles(7, &[Permission::ManageMyCredentials, Permission::ManageMyLockers], &[70]);
        assert!(matches!(world.assign(&consumer, id, LOCKER).await, Err(VaultError::LockerNotPermitted(_))));
        world.locker.manager(LOCKER, 7);
        let idle = caller(7, &[Permission::ManageMyCredentials]);
        assert!(matches!(world.assign(&idle, id, LOCKER).await, Err(VaultError::PermissionRequired(Permission::ManageMyLockers))));
        let admin = caller(20, &[Permission::AdministerAllLockers]);
        assert!(matches!(world.assign(&admin, id, LOCKER).await, Err(VaultError::NotPermitted(_))));
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (None, 0));
        assert!(world.assign(&owner(), id, LOCKER).await.unwrap().1);
    }

    async fn a_silent_locker_changes_nothing(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        world.locker.silence(true);
        assert!(matches!(world.assign(&owner(), id, LOCKER).await, Err(VaultError::LockerUnavailable)));
        assert_eq!(holder(&world, id).await, None);
        world.locker.silence(false);
        assert!(world.assign(&owner(), id, LOCKER).await.unwrap().1);
    }

    async fn a_death_before_the_place_is_reserved_leaves_nothing(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        kill(begin(&world, id, "", Death::BeforeReserve).await).await;
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (None, 0));
        assert!(world.locker.delete(LOCKER).await);
    }

    async fn a_death_before_the_credential_is_written_leaves_a_place_that_is_settled(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        kill(begin(&world, id, "", Death::AfterReserve).await).await;
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (None, 1));
        assert!(world.locker.delete(LOCKER).await);
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (None, 0));
        assert!(world.assign(&owner(), id, OTHER).await.unwrap().1, "the credential is free for another locker");
    }

    async fn a_death_before_the_place_is_closed_leaves_the_credential_where_it_is(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        kill(begin(&world, id, "", Death::BeforeClose).await).await;
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (Some(LOCKER), 1));
        assert!(!world.locker.delete(LOCKER).await, "it is counted");
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (Some(LOCKER), 0));
        world.withdraw(&owner(), id, LOCKER).await.unwrap();
        assert!(world.locker.delete(LOCKER).await);
    }

    async fn a_locker_that_goes_while_a_credential_enters_takes_none(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        // The place is reserved; before locker's answer arrives the locker is deleted.
        world.locker.delete_while_reserving(LOCKER);
        assert!(matches!(world.assign(&owner(), id, LOCKER).await, Err(VaultError::LockerNotFound(_))));
        assert!(world.locker.is_deleted(LOCKER));
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (None, 0));
    }

    async fn an_entry_that_was_settled_begins_anew_and_not_for_ever(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        world.locker.settle_while_reserving(2);
        assert!(world.assign(&owner(), id, LOCKER).await.unwrap().1);
        world.withdraw(&owner(), id, LOCKER).await.unwrap();
        world.locker.settle_while_reserving(3);
        assert!(matches!(world.assign(&owner(), id, LOCKER).await, Err(VaultError::CredentialVersionConflict)));
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (None, 0));
    }

    async fn an_entry_that_was_overtaken_by_its_like_is_no_change(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        world.locker.die(Some(Death::AfterReserve));
        let (vault, call) = (world.vault.clone(), world.call(&owner()));
        let (record, slow) = (call.record.clone(), async move { vault.assign_credential(call, command(id, "")).await });
        let slow = tokio::spawn(slow);
        until(|| world.locker.stopped() == 1).await;
        world.locker.die(None);
        assert!(world.assign(&owner(), id, LOCKER).await.unwrap().1);
        world.locker.wake();
        assert!(!slow.await.unwrap().unwrap().1);
        let event = Event::decode(record.entry(Outcome::Successful, None, world.now()).into_bytes()).unwrap();
        assert!(event.changes.is_empty() && event.details.is_empty(), "nor does the audit say that it changed anything: {event:?}");
        assert_eq!((holder(&world, id).await, world.locker.reserved()), (Some(LOCKER), 0));
    }

    async fn an_old_entry_does_not_come_back(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        let slow = begin(&world, id, "", Death::AfterReserve).await;
        // Another call of the same epoch enters, closes the place that both share, and leaves again; the locker goes.
        assert!(world.assign(&owner(), id, LOCKER).await.unwrap().1);
        world.withdraw(&owner(), id, LOCKER).await.unwrap();
        assert_eq!(world.locker.reserved(), 0);
        assert!(world.locker.delete(LOCKER).await);
        world.locker.wake();
        assert!(matches!(slow.await.unwrap(), Err(VaultError::LockerNotFound(_))));
        assert_eq!(holder(&world, id).await, None);
    }

    async fn whoever_gives_a_shared_place_up_ends_the_entry_of_the_other(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        let refused = begin(&world, id, "\"0\"", Death::AfterReserve).await;
        let slow = begin(&world, id, "", Death::AfterReserve).await;
        assert_eq!(world.locker.reserved(), 1);
        let mut patch = patch_of(id);
        patch.name = Some(Name::parse("d").unwrap());
        world.update(&owner(), patch).await.unwrap();
        world.locker.wake();
        assert!(matches!(refused.await.unwrap(), Err(VaultError::PreconditionFailed)));
        assert_eq!(world.locker.reserved(), 0);
        assert!(world.locker.delete(LOCKER).await);
        world.locker.wake();
        assert!(matches!(slow.await.unwrap(), Err(VaultError::LockerNotFound(_))));
        assert_eq!(holder(&world, id).await, None);
    }

    async fn a_credential_that_is_no_longer_the_callers_does_not_enter(db: TestDb) {
        let world = World::new(&db).await;
        let id = credential(&world, "c").await;
        let given = begin(&world, id, "", Death::AfterReserve).await;
        world.vault.transfer_credential(world.call(&owner()), id, coffre_types::UserId::from_trusted(8), String::new()).await.unwrap();
        world.locker.wake();
        assert!(matches!(given.await.unwrap(), Err(VaultError::CredentialNotFound)));
        assert_eq!(world.locker.reserved(), 0);

        let id = credential(&world, "d").await;
        let deleted = begin(&world, id, "", Death::AfterReserve).await;
        world.vault.delete_credential(world.call(&owner()), id, String::new()).await.unwrap();
        world.locker.wake();
        assert!(matches!(deleted.await.unwrap(), Err(VaultError::CredentialNotFound)));
        let held = world.number(Sql::new("SELECT count(*) AS id FROM credentials WHERE locker_id IS NOT NULL")).await;
        assert_eq!((held, world.locker.reserved()), (0, 0));
    }
}
