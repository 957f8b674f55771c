//! Two at once.

use coffre_db::Sql;
use coffre_test_support::on_each_engine;
use coffre_types::{Name, Permission, UserId, Version};
use coffre_vault::domain::error::VaultError;
use futures_util::future::{join, join_all};

use crate::world::{STANDARD, World, caller, member, patch_of, update_of};

on_each_engine! {
    async fn of_writers_with_the_same_version_exactly_one_wins(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap();
        let (id, a) = (made.credential.id, made.attributes[0].id);
        let value = world.store(&me, id, a, None, "x").await.unwrap();
        for round in 0..5_i64 {
            let changes = join_all((0..8).map(|index| {
                let mut patch = patch_of(id);
                patch.version = Version::new(round);
                patch.name = Some(Name::parse(format!("n{round}-{index}")).unwrap());
                world.update(&me, patch)
            })).await;
            assert_eq!(changes.iter().filter(|change| change.is_ok()).count(), 1);
            for change in changes {
                assert!(matches!(change, Ok(_) | Err(VaultError::CredentialVersionConflict | VaultError::Store(coffre_db::Error::Retryable))), "{change:?}");
            }
            let writes = join_all((0..8).map(|index| {
                let mut command = update_of(id, value);
                command.version = Version::new(round);
                let (world, me) = (&world, &me);
                async move { world.update_value(me, command, &format!("v{index}")).await }
            })).await;
            assert_eq!(writes.iter().filter(|write| write.is_ok()).count(), 1, "{writes:?}");
        }
        assert_eq!(world.vault.credential(world.call(&me), id).await.unwrap().credential.version.get(), 5);
    }

    async fn no_credential_is_ever_in_a_locker_that_is_gone(db: TestDb) {
        let world = World::new(&db).await;
        let me = caller(7, &[Permission::ManageMyCredentials, Permission::ManageMyLockers]);
        let mut went = 0;
        for locker in 100..120 {
            world.locker.participant(locker, 7);
            let mut ids = Vec::new();
            for index in 0..4 {
                let name = format!("c{locker}-{index}");
                ids.push(world.create(&me, &name, &[("a", STANDARD)]).await.unwrap().credential.id);
            }
            // Two calls for each credential, some of which leave again, while the locker is deleted twice.
            let enters = join_all(ids.iter().chain(&ids).map(|id| world.assign(&me, *id, locker)));
            let leaves = join_all(ids.iter().take(2).map(|id| world.withdraw(&me, *id, locker)));
            let deletes = async {
                // Before anything enters, in the middle of it, or once something has entered that stays.
                match locker % 4 {
                    0 => drop(world.assign(&me, ids[3], locker).await),
                    1 => {}
                    turns => {
                        for _ in 0..turns * locker {
                            tokio::task::yield_now().await;
                        }
                    }
                }
                world.locker.delete(locker).await || world.locker.delete(locker).await
            };
            let (entered, (_, gone)) = join(enters, join(leaves, deletes)).await;
            for refused in entered.into_iter().filter_map(Result::err) {
                assert!(
                    matches!(
                        refused,
                        VaultError::LockerNotFound(_)
                            | VaultError::LockerBeingDeleted(_)
                            | VaultError::CredentialVersionConflict
                            | VaultError::Store(coffre_db::Error::Retryable)
                    ),
                    "{refused:?}"
                );
            }
            let inside = Sql::new("SELECT count(*) AS id FROM credentials WHERE locker_id = ").bind(locker);
            if gone {
                went += 1;
                assert_eq!(world.number(inside).await, 0, "locker {locker} is gone");
            } else {
                assert!(world.number(inside).await > 0 || world.locker.delete(locker).await);
            }
        }
        assert!((1..20).contains(&went), "{went} of 20: some entered first, and some did not");
    }

    async fn of_two_lockers_at_once_one_gets_the_credential(db: TestDb) {
        let world = World::new(&db).await;
        let me = caller(7, &[Permission::ManageMyCredentials, Permission::ManageMyLockers]);
        world.locker.participant(5, 7);
        world.locker.participant(6, 7);
        for round in 0..10 {
            let id = world.create(&me, &format!("c{round}"), &[("a", STANDARD)]).await.unwrap().credential.id;
            let (one, other) = join(world.assign(&me, id, 5), world.assign(&me, id, 6)).await;
            let holder = world.vault.credential(world.call(&me), id).await.unwrap().credential.locker.unwrap();
            assert_eq!((one.is_ok(), other.is_ok()), (holder.get() == 5, holder.get() == 6));
            let refused = one.and(other).unwrap_err();
            assert!(matches!(refused, VaultError::CredentialInLocker(named) if named == holder), "{refused:?}");
            assert_eq!(world.locker.reserved(), 0);
        }
    }

    async fn whatever_happens_to_a_credential_that_enters_happens_before_or_after(db: TestDb) {
        let world = World::new(&db).await;
        let me = caller(7, &[Permission::ManageMyCredentials, Permission::ManageMyLockers]);
        world.locker.participant(5, 7);
        for round in 0..10 {
            let id = world.create(&me, &format!("t{round}"), &[("a", STANDARD)]).await.unwrap().credential.id;
            let transfer = world.vault.transfer_credential(world.call(&me), id, UserId::from_trusted(8), String::new());
            let (entered, given) = join(world.assign(&me, id, 5), transfer).await;
            let admin = caller(20, &[Permission::AdministerAllLockers]);
            let after = world.vault.credential(world.call(&admin), id).await.unwrap().credential;
            assert_eq!((after.locker.is_some(), after.owner.get() == 8), (entered.is_ok(), given.is_ok()));
            assert_eq!(after.version.get(), i64::from(entered.is_ok()) + i64::from(given.is_ok()));

            let id = world.create(&me, &format!("d{round}"), &[("a", STANDARD)]).await.unwrap().credential.id;
            let deletes = world.vault.delete_credential(world.call(&me), id, String::new());
            let (entered, deleted) = join(world.assign(&me, id, 5), deletes).await;
            assert!(entered.is_err() || deleted.is_err(), "both");
            let lost = Sql::new("SELECT count(*) AS id FROM credentials WHERE deleted_at IS NOT NULL AND locker_id IS NOT NULL");
            assert_eq!(world.number(lost).await, 0);
        }
        assert_eq!(world.locker.reserved(), 0);
    }

    async fn of_makers_of_the_same_thing_exactly_one_wins(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = join_all((0..8).map(|_| world.create(&me, "same", &[("a", STANDARD)]))).await;
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 1);
        let view = made.into_iter().find_map(Result::ok).unwrap();
        let (id, a) = (view.credential.id, view.attributes[0].id);
        let stored = join_all((0..8).map(|_| world.store(&me, id, a, None, "x"))).await;
        assert_eq!(stored.iter().filter(|stored| stored.is_ok()).count(), 1);
        for refused in stored.into_iter().filter_map(Result::err) {
            assert!(matches!(refused, VaultError::ValueExists { .. } | VaultError::Store(coffre_db::Error::Retryable)), "{refused:?}");
        }
    }
}
