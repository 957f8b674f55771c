//! What lockers share: reading through them, rights that go, and a locker service that does not answer.

use std::sync::Arc;
use std::time::Duration;

use coffre_test_support::on_each_engine;
use coffre_types::{Caller, CredentialId, Permission};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::shares::Sharing;
use coffre_vault::store::list::CredentialQuery;

use crate::world::{OWN, STANDARD, World, caller, member, with_roles};

const LOCKER: i64 = 5;
const ROLE: i64 = 70;

fn bot() -> Arc<Caller> {
    with_roles(30, &[Permission::ManageMyCredentials], &[ROLE])
}

async fn shared(world: &World) -> CredentialId {
    let made = world.create_in(7, "shared", &[("std", STANDARD), ("own", OWN)], LOCKER).await;
    let (id, std) = (made.credential.id, made.attributes[0].id);
    world.store(&member(7), id, std, None, "s").await.unwrap();
    world.locker.consumer(LOCKER, ROLE);
    id
}

/// Waits for what the change stream brings: it is a matter of moments.
async fn until(holds: impl Fn() -> bool) {
    for _ in 0..20_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came");
}

/// Waits until what lockers share with a caller is at hand.
async fn at_hand(world: &World, who: &Arc<Caller>) {
    for _ in 0..20_000 {
        world.vault.shares.ask(who).await;
        if matches!(world.vault.shares.at_hand(who), Sharing::Known(_)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it is never kept");
}

/// Waits until nobody hears locker any more and what was heard is too old.
async fn unheard(world: &World) {
    world.locker.silence(true);
    until(|| world.locker.is_unheard()).await;
    world.clock.advance(Duration::from_millis(801));
    assert!(!world.app.hears_locker());
}

async fn list(world: &World, who: &Arc<Caller>) -> Result<usize, VaultError> {
    let query = CredentialQuery::new(&Default::default(), None, Vec::new(), &world.vault.tokens).unwrap();
    world.vault.credentials(world.call(who), query).await.map(|(views, _)| views.len())
}

on_each_engine! {
    async fn a_consumer_reads_standard_values_and_its_own(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        assert_eq!(world.read(&bot(), id).await.unwrap(), [Some("s".to_owned())]);
        let view = world.vault.credential(world.call(&bot()), id).await.unwrap();
        assert!(!view.completed);
        world.store(&bot(), id, view.attributes[1].id, None, "mine").await.unwrap();
        assert_eq!(world.read(&bot(), id).await.unwrap(), [Some("s".to_owned()), Some("mine".to_owned())]);
        assert!(world.vault.credential(world.call(&bot()), id).await.unwrap().completed);
        assert_eq!(world.read(&member(7), id).await.unwrap(), [Some("s".to_owned())], "the owner does not see it");
    }

    async fn what_is_at_hand_is_not_asked_for_again(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        at_hand(&world, &bot()).await;
        let asked = world.locker.asked();
        for _ in 0..30 {
            world.read(&bot(), id).await.unwrap();
            assert_eq!(list(&world, &bot()).await.unwrap(), 1);
        }
        // On a machine that is busy the stream may break and begin anew, which voids what was kept.
        assert!(world.locker.asked() - asked < 15, "60 calls asked {} times", world.locker.asked() - asked);
    }

    async fn an_owner_is_served_without_asking_and_whatever_locker_does(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        let asked = world.locker.asked();
        world.locker.silence(true);
        assert_eq!(world.read(&member(7), id).await.unwrap(), [Some("s".to_owned())]);
        world.vault.credential(world.call(&member(7)), id).await.unwrap();
        world.withdraw(&member(7), id, LOCKER).await.unwrap();
        assert_eq!(world.locker.asked(), asked);
    }

    async fn a_right_taken_away_is_gone_once_the_change_is_told(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        world.locker.manager(LOCKER, 31);
        let manager = caller(31, &[Permission::ManageMyLockers]);
        loop {
            // What changed before may be told late, and would void what is looked at here.
            until(|| world.vault.shares.applied() == world.locker.changes()).await;
            let streams = world.locker.streams();
            at_hand(&world, &bot()).await;
            at_hand(&world, &manager).await;
            world.read(&bot(), id).await.unwrap();
            world.vault.credential(world.call(&manager), id).await.unwrap();

            world.locker.remove_consumer(LOCKER, ROLE);
            until(|| !matches!(world.vault.shares.at_hand(&bot()), Sharing::Known(_))).await;
            let others_keep_theirs = matches!(world.vault.shares.at_hand(&manager), Sharing::Known(_));
            // On a machine that is busy the stream may break, which voids what was kept of everybody, and begin anew.
            if world.app.hears_locker() && world.locker.streams() == streams {
                assert!(others_keep_theirs);
                break;
            }
            world.locker.consumer(LOCKER, ROLE);
        }
        assert!(matches!(world.read(&bot(), id).await, Err(VaultError::CredentialNotFound)));
        world.locker.remove(LOCKER, 31);
        until(|| !matches!(world.vault.shares.at_hand(&manager), Sharing::Known(_))).await;
        assert!(matches!(world.vault.credential(world.call(&manager), id).await, Err(VaultError::CredentialNotFound)));
        world.locker.consumer(LOCKER, ROLE);
        assert!(world.read(&bot(), id).await.is_ok() || {
            // The empty answer from before may be kept until the change is told.
            until(|| !matches!(world.vault.shares.at_hand(&bot()), Sharing::Known(_))).await;
            world.read(&bot(), id).await.is_ok()
        });
    }

    async fn a_right_that_goes_while_the_database_is_slow_releases_nothing(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        at_hand(&world, &bot()).await;
        // Every reader stands still, and more work of the kind waits in front of the call.
        let gate = Arc::new(std::sync::RwLock::new(()));
        let shut = gate.clone();
        let (closed, is_closed) = std::sync::mpsc::channel();
        let (open, may_open) = std::sync::mpsc::channel::<()>();
        let keeper = std::thread::spawn(move || {
            let _held = shut.write().unwrap();
            closed.send(()).unwrap();
            let _ = may_open.recv();
        });
        is_closed.recv().unwrap();
        let (enter, entered) = std::sync::mpsc::channel();
        let mut stuck = Vec::new();
        loop {
            let (store, gate, enter) = (world.vault.store.clone(), gate.clone(), enter.clone());
            stuck.push(tokio::spawn(async move {
                store.read(move |_| {
                    let _ = enter.send(());
                    drop(gate.read());
                    Ok(())
                }).await
            }));
            if entered.recv_timeout(Duration::from_millis(200)).is_err() {
                break;
            }
        }
        let asked = async {
            tokio::task::yield_now().await;
            world.locker.remove_consumer(LOCKER, ROLE);
            until(|| !matches!(world.vault.shares.at_hand(&bot()), Sharing::Known(_))).await;
            drop(open);
        };
        let who = bot();
        let (read, ()) = tokio::join!(world.read(&who, id), asked);
        assert!(matches!(read, Err(VaultError::CredentialNotFound)), "{read:?}");
        keeper.join().unwrap();
        for one in stuck {
            one.await.unwrap().unwrap();
        }
    }

    async fn shares_that_are_stale_are_asked_for_and_never_trusted(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        at_hand(&world, &bot()).await;
        unheard(&world).await;
        // It says nothing on its stream and answers nothing: nobody is told that he may not, or that there is nothing.
        assert!(matches!(world.read(&bot(), id).await, Err(VaultError::LockerUnavailable)));
        assert!(matches!(list(&world, &bot()).await, Err(VaultError::LockerUnavailable)));
        assert!(matches!(list(&world, &member(7)).await, Err(VaultError::LockerUnavailable)));
        let stranger = member(9);
        assert!(matches!(world.vault.credential(world.call(&stranger), id).await, Err(VaultError::LockerUnavailable)));
        // Who may without lockers is served.
        assert!(world.read(&member(7), id).await.is_ok());
        let admin = caller(20, &[Permission::AdministerAllLockers]);
        let seen = world.vault.credential(world.call(&admin), id).await.unwrap();
        assert_eq!(seen.credential.id, id);
        assert!(matches!(world.read(&admin, id).await, Err(VaultError::LockerUnavailable)), "it might consume the locker");
        assert!(world.read(&caller(21, &[Permission::ManageAllValues]), id).await.is_ok());
        // It speaks again.
        world.locker.silence(false);
        assert!(world.read(&bot(), id).await.is_ok());
        assert!(matches!(world.vault.credential(world.call(&stranger), id).await, Err(VaultError::CredentialNotFound)));
    }

    async fn what_a_caller_may_do_is_told_with_its_shares(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        // Administers lockers, and consumes this one: the answer says both, though the first alone would let it see the credential.
        let both = [Permission::AdministerAllLockers, Permission::ManageMyCredentials];
        let view = world.vault.credential(world.call(&with_roles(32, &both, &[ROLE])), id).await.unwrap();
        assert!(view.rights.may(coffre_vault::domain::policy::Action::ReadStandard));
        assert!(view.rights.may(coffre_vault::domain::policy::Action::Transfer));
    }

    async fn whoever_gives_a_credential_away_is_told_what_is_left(db: TestDb) {
        let world = World::new(&db).await;
        let id = shared(&world).await;
        let owner = with_roles(7, &[Permission::ManageMyCredentials], &[ROLE]);
        let to = coffre_types::UserId::from_trusted(8);
        let (view, _) = world.vault.transfer_credential(world.call(&owner), id, to, String::new()).await.unwrap();
        assert!(view.rights.may(coffre_vault::domain::policy::Action::ReadStandard), "it still consumes the locker");
        assert!(!view.rights.may(coffre_vault::domain::policy::Action::Change));
        assert_eq!(view.credential.locker.map(|locker| locker.get()), Some(LOCKER), "it stays where it is");
    }
}
