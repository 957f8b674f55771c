//! Two at once.

use coffre_test_support::on_each_engine;
use coffre_types::{Name, Version};
use coffre_vault::domain::error::VaultError;
use futures_util::future::join_all;

use crate::world::{STANDARD, World, member, patch_of, update_of};

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
