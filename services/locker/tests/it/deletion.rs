//! Deleting a locker, and dying while doing so.

use std::time::Duration;

use coffre_audit_client::Outcome;
use coffre_db::Sql;
use coffre_locker::Pending;
use coffre_locker::domain::entries::Reservation;
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::Who;
use coffre_locker::domain::ports::Entry;
use coffre_test_support::on_each_engine;
use coffre_types::{CredentialId, LockerId, RoleId, UserId};

use crate::world::{FULL, OWN, PARTICIPATE, Stall, World, admin, consumer, event, member};

async fn reserve(world: &World, locker: LockerId, credential: i64) -> Reservation {
    let who = Who::from(member(7).as_ref());
    let epoch = world.vault.epoch(credential);
    let entry = Entry { locker, credential: CredentialId::from_trusted(credential), epoch };
    world.lockers.reserve(who, entry).await.unwrap()
}

async fn count(world: &World, what: &'static str) -> i64 {
    world.number(Sql::new("SELECT count(*) AS id FROM ").push(what)).await
}

async fn is_there(world: &World, id: LockerId) -> bool {
    world.lockers.describe(id).await.is_ok()
}

/// Begins a deletion that dies where the vault stalls.
async fn die(world: &World, id: LockerId, at: Stall) {
    world.vault.stall(at);
    let dying = tokio::spawn({
        let (lockers, call) = (world.lockers.clone(), world.call(&member(7)));
        async move { lockers.delete(call, id, String::new()).await }
    });
    world.vault.stalled().await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    world.vault.stall(Stall::Nowhere);
}

on_each_engine! {
    async fn what_waits_is_counted_until_it_is_settled(db: TestDb) {
        let world = World::new(&db).await;
        let (kept, goes) = (world.made(&member(7), "kept").await, world.made(&member(7), "goes").await);
        let pending = async || coffre_locker::pending(&world.database).await.unwrap();
        assert_eq!(pending().await, Pending { reservations: 0, deletions: 0 });
        reserve(&world, kept, 40).await;
        die(&world, goes, Stall::BeforeCounting).await;
        assert_eq!(pending().await, Pending { reservations: 1, deletions: 1 });
        world.clock.advance(Duration::from_secs(61));
        world.lockers.keep_house(&world.outbox.site()).await.unwrap();
        assert_eq!(pending().await, Pending { reservations: 0, deletions: 0 });
        assert!(is_there(&world, kept).await && !is_there(&world, goes).await);
    }

    async fn an_empty_locker_goes_with_its_members_and_consumers(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        world.set(&me, id, 8, PARTICIPATE).await.unwrap();
        world.add_role(&me, id, 14).await.unwrap();
        let call = world.call(&me);
        world.lockers.delete(call.clone(), id, String::new()).await.unwrap();
        assert!(call.record.is_recorded());
        let fields: Vec<_> = event(&call, Outcome::Successful).changes.into_iter().map(|change| change.field).collect();
        assert_eq!(fields, ["name", "member", "member", "roleId"]);
        assert_eq!((count(&world, "members").await, count(&world, "consumers").await), (0, 0));
        assert_eq!(count(&world, "lockers WHERE deleted_at IS NOT NULL AND deleting_at IS NULL").await, 1);
        for who in [member(7), member(8), consumer(9, 14), admin(10)] {
            assert!(matches!(world.lockers.locker(world.call(&who), id).await, Err(LockerError::LockerNotFound)));
            assert!(matches!(world.delete(&who, id).await, Err(LockerError::LockerNotFound)));
        }
    }

    async fn a_locker_that_holds_something_stays_as_it_was(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        for credential in [40, 41] {
            assert!(world.vault.enter(credential, id.get(), 0));
        }
        assert!(matches!(world.delete(&me, id).await, Err(LockerError::NotEmpty(2))));
        assert_eq!(world.version(id).await, 0);
        world.set(&me, id, 8, OWN).await.unwrap();
        assert!(matches!(reserve(&world, id, 42).await, Reservation::Reserved(_)));
        world.vault.leave(40);
        world.vault.leave(41);
        world.delete(&me, id).await.unwrap();
    }

    async fn without_vault_nothing_is_deleted(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        world.vault.silence(true);
        assert!(matches!(world.delete(&me, id).await, Err(LockerError::VaultUnavailable)));
        world.vault.silence(false);
        world.set(&me, id, 8, OWN).await.unwrap();
        world.delete(&me, id).await.unwrap();
    }

    async fn while_it_is_being_deleted_a_locker_takes_nothing_and_is_still_seen(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        world.set(&me, id, 8, FULL).await.unwrap();
        die(&world, id, Stall::BeforeCounting).await;
        assert!(matches!(world.set(&me, id, 9, OWN).await, Err(LockerError::BeingDeleted)));
        assert!(matches!(world.add_role(&me, id, 14).await, Err(LockerError::BeingDeleted)));
        assert!(matches!(world.rename(&me, id, "b").await, Err(LockerError::BeingDeleted)));
        assert!(matches!(reserve(&world, id, 40).await, Reservation::BeingDeleted(name) if name == "a"));
        assert!(world.lockers.locker(world.call(&me), id).await.is_ok());
        world.remove(&me, id, 8).await.unwrap();
    }

    async fn a_reservation_is_settled_before_the_count(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let (late, quick) = (world.made(&me, "a").await, world.made(&me, "b").await);
        assert!(matches!(reserve(&world, late, 40).await, Reservation::Reserved(_)));
        world.delete(&me, late).await.unwrap();
        assert!(!world.vault.enter(40, late.get(), 0), "a credential entered a locker that is gone");
        let epoch = world.vault.epoch(41);
        assert!(matches!(reserve(&world, quick, 41).await, Reservation::Reserved(_)));
        assert!(world.vault.enter(41, quick.get(), epoch));
        assert!(matches!(world.delete(&me, quick).await, Err(LockerError::NotEmpty(1))));
        assert_eq!(count(&world, "reservations").await, 0);
    }

    async fn a_deletion_that_died_at_any_step_is_finished_in_the_name_of_whoever_asked(db: TestDb) {
        let world = World::new(&db).await;
        for (step, stall) in [Stall::BeforeSettling, Stall::AfterSettling, Stall::BeforeCounting].into_iter().enumerate() {
            let id = world.made(&member(7), &format!("l{step}")).await;
            let credential = 40 + i64::try_from(step).unwrap();
            assert!(matches!(reserve(&world, id, credential).await, Reservation::Reserved(_)));
            die(&world, id, stall).await;
            let next = world.again();
            next.keep_house().await.unwrap();
            assert!(is_there(&next, id).await, "{stall:?}: whoever asked may still be at it");
            next.clock.advance(Duration::from_secs(61));
            next.keep_house().await.unwrap();
            assert!(!is_there(&next, id).await, "{stall:?}");
            assert!(!world.vault.enter(credential, id.get(), 0), "{stall:?}: a credential entered a locker that is gone");
            let by = Sql::new("SELECT updated_by AS id FROM lockers WHERE id = ").bind(id.get());
            assert_eq!(next.number(by).await, 7);
        }
    }

    async fn a_deletion_that_died_is_undone_where_something_is_inside(db: TestDb) {
        let world = World::new(&db).await;
        for (step, stall) in [Stall::BeforeSettling, Stall::AfterSettling, Stall::BeforeCounting].into_iter().enumerate() {
            let id = world.made(&member(7), &format!("l{step}")).await;
            let credential = 40 + i64::try_from(step).unwrap();
            assert!(matches!(reserve(&world, id, credential).await, Reservation::Reserved(_)));
            assert!(world.vault.enter(credential, id.get(), 0));
            die(&world, id, stall).await;
            let next = world.again();
            next.clock.advance(Duration::from_secs(61));
            next.keep_house().await.unwrap();
            assert!(is_there(&next, id).await, "{stall:?}");
            next.set(&member(7), id, 8, OWN).await.unwrap();
            assert!(matches!(next.delete(&member(7), id).await, Err(LockerError::NotEmpty(1))));
        }
    }

    async fn a_later_call_finishes_what_died(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        die(&world, id, Stall::BeforeCounting).await;
        world.again().delete(&admin(9), id).await.unwrap();
        assert!(!is_there(&world, id).await);
    }

    async fn whoever_comes_late_with_an_old_count_deletes_nothing(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        // One process counted nothing under the first mark; then the mark went, and a second deletion began while something entered.
        let first = world.lockers.store.write_unaudited({
            let (who, record) = (Who::from(me.as_ref()), world.call(&me).record);
            move |tx| coffre_locker::domain::deletion::mark(tx, &who, "user7", id, "", coffre_types::Timestamp::default(), &record)
        }).await.unwrap();
        world.vault.enter(40, id.get(), 0);
        assert!(matches!(world.delete(&me, id).await, Err(LockerError::NotEmpty(1))));
        die(&world, id, Stall::BeforeCounting).await;
        let late = world.lockers.store.write(&world.call(&me).record, {
            let record = world.call(&me).record;
            move |tx| coffre_locker::domain::deletion::bury(tx, first, UserId::from_trusted(7), coffre_types::Timestamp::default(), &record)
        }).await;
        assert!(matches!(late, Err(LockerError::Overtaken)), "{late:?}");
        assert!(is_there(&world, id).await);
    }

    async fn whoever_shared_a_deleted_locker_is_told(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        world.add_role(&me, id, 14).await.unwrap();
        let shares = world.lockers.shares(vec![UserId::from_trusted(7)], vec![RoleId::from_trusted(14)]).await.unwrap();
        assert_eq!((shares.users[&7].managed.as_slice(), shares.roles[&14].as_slice()), (&[id.get()][..], &[id.get()][..]));
        world.delete(&me, id).await.unwrap();
        let after = world.lockers.shares(vec![UserId::from_trusted(7)], vec![RoleId::from_trusted(14)]).await.unwrap();
        assert!(after.users.is_empty() && after.roles.is_empty());
        assert_eq!(after.sequence, shares.sequence + 2);
    }
}
