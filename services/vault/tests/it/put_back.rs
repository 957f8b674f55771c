//! Keys that were replaced and that somebody put back into the database.

use coffre_db::Sql;
use coffre_test_support::on_each_engine;
use coffre_vault::domain::error::VaultError;
use coffre_vault::{Error, KeySettings};

use crate::modes::admin;
use crate::peers::detail;
use crate::world::{World, express_key, member};

on_each_engine! {
    async fn old_rows_of_keys_that_come_back_close_the_process(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let (leaked, admin) = (world.recovery.clone(), admin());
        world.sql(Sql::new("CREATE TABLE old_slots AS SELECT * FROM key_slots")).await;
        world.sql(Sql::new("CREATE TABLE old_terms AS SELECT * FROM terms")).await;
        world.new_recovery(&leaked).await.unwrap();
        assert!(matches!(world.drill("", &leaked).await, Err(VaultError::KeyWrong)));
        world.sql(Sql::new("DELETE FROM key_slots")).await;
        world.sql(Sql::new("INSERT INTO key_slots SELECT * FROM old_slots")).await;
        world.sql(Sql::new("DELETE FROM terms WHERE term = 2")).await;
        world.sql(Sql::new("UPDATE terms SET wrapped = (SELECT wrapped FROM old_terms WHERE term = 1)")).await;
        world.sql(Sql::new("UPDATE seal_state SET generation = generation + 1")).await;
        for _ in 0..3 {
            world.later();
            assert!(matches!(world.vault.keyring.refresh().await, Err(Error::RolledBack(_))));
            assert!(!world.app.is_open());
            assert!(matches!(world.read(&member(7), id).await, Err(VaultError::KeysRolledBack(_))));
            assert!(matches!(world.apply_recovery(&leaked).await, Err(VaultError::KeysRolledBack(_))));
            assert!(matches!(world.drill("", &leaked).await, Err(VaultError::KeysRolledBack(_))));
            assert!(matches!(world.vault.unseal(world.call(&admin)).await, Err(VaultError::KeysRolledBack(_))));
        }
    }

    async fn old_rows_of_keys_are_refused_by_the_next_process_too(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let leaked = world.recovery.clone();
        world.sql(Sql::new("CREATE TABLE old_slots AS SELECT * FROM key_slots")).await;
        world.sql(Sql::new("CREATE TABLE old_terms AS SELECT * FROM terms")).await;
        world.new_recovery(&leaked).await.unwrap();
        world.sql(Sql::new("CREATE TABLE new_slots AS SELECT * FROM key_slots")).await;
        world.sql(Sql::new("CREATE TABLE new_terms AS SELECT * FROM terms")).await;
        let put_back = async |slots: &'static str, terms: &'static str| {
            world.sql(Sql::new("DELETE FROM key_slots")).await;
            world.sql(Sql::new("INSERT INTO key_slots SELECT * FROM ").push(slots)).await;
            world.sql(Sql::new("DELETE FROM terms WHERE term = 2")).await;
            let (wrapped, more) = (Sql::new("UPDATE terms SET wrapped = (SELECT o.wrapped FROM "), Sql::new("INSERT INTO terms SELECT * FROM "));
            world.sql(wrapped.push(terms).push(" o WHERE o.term = terms.term)")).await;
            world.sql(more.push(terms).push(" o WHERE o.term NOT IN (SELECT term FROM terms)")).await;
            world.sql(Sql::new("UPDATE seal_state SET generation = generation + 1")).await;
        };
        put_back("old_slots", "old_terms").await;

        // The process that replaced the key has ended. Audit is away first, and then remembers.
        let next = world.again().await;
        next.audit.newest_term(2);
        next.audit.silence(true);
        next.app.background.compare_keys().await;
        assert!(!next.app.keys_compared() && next.app.keys_put_back().is_none(), "it is not known, and told");
        next.audit.silence(false);
        for _ in 0..3 {
            next.app.background.compare_keys().await;
            next.later();
            assert!(matches!(next.vault.keyring.refresh().await, Err(Error::RolledBack(_))));
            assert!(!next.app.is_open() && next.app.keys_compared());
            assert_eq!(next.app.keys_put_back().map(|keys| (keys.seen, keys.stored)), Some((2, 1)));
            assert!(matches!(next.read(&member(7), id).await, Err(VaultError::KeysRolledBack(_))));
            assert!(matches!(next.apply_recovery(&leaked).await, Err(VaultError::KeysRolledBack(_))));
            assert!(matches!(next.drill("", &leaked).await, Err(VaultError::KeysRolledBack(_))));
        }
        let told: Vec<_> = next.told("vault.opened").await.into_iter().filter(|event| event.reason == "VAULT_KEY_DAMAGED").collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((detail(&told[0], "term").as_str(), detail(&told[0], "seen").as_str()), ("1", "2"));

        // Who restored them on purpose says so.
        let (clock, database, outbox) = (world.clock.clone(), world.database.clone(), world.outbox.clone());
        let keys = KeySettings { given_up_term: 2, ..KeySettings::default() };
        let accepting = World::start_with(clock, database, outbox, Some(express_key()), keys).await.unwrap();
        for (told, open) in [(2, true), (3, false)] {
            accepting.audit.newest_term(told);
            accepting.app.background.compare_keys().await;
            assert_eq!(accepting.app.is_open(), open, "told of {told}");
        }

        // The present rows are back: it goes on by itself.
        put_back("new_slots", "new_terms").await;
        next.later();
        next.vault.keyring.refresh().await.unwrap();
        assert!(next.app.is_open() && next.app.keys_put_back().is_none() && next.holds(id).await);
        let whole = world.again().await;
        whole.audit.newest_term(2);
        whole.app.background.compare_keys().await;
        assert!(whole.app.is_open() && whole.app.keys_compared());
    }
}
