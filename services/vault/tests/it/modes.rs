//! Modes, slots, the keys that people type, seals.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_crypto::recovery::RecoveryKey;
use coffre_crypto::slot::SlotKind;
use coffre_crypto::stretch::Cost;
use coffre_db::Sql;
use coffre_secret::{SecretBytes, SecretText};
use coffre_test_support::{Engine, on_each_engine};
use coffre_types::{Caller, CredentialId, Permission};
use coffre_vault::domain::attempts::{ADDRESSES, FORGOTTEN_AFTER};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::keys::{Mode, ModeChange, TypedKey};
use coffre_vault::{Error, KeySettings};
use diesel::connection::SimpleConnection as _;

use crate::world::{STANDARD, World, caller, express_key, member};

pub(crate) const MASTER: &str = "correct horse battery staple";
pub(crate) const OTHER: &str = "another master key of people";

fn text(key: &str) -> SecretText {
    SecretText::new(key.to_owned())
}

pub(crate) fn admin() -> Arc<Caller> {
    caller(9, &[Permission::ManageSettings])
}

pub(crate) fn change(mode: Mode, private: &str, current: &str, recovery: &str) -> ModeChange {
    ModeChange { mode, private_key: text(private), current_key: text(current), recovery_key: text(recovery) }
}

impl World {
    pub(crate) async fn mode(
        &self,
        mode: Mode,
        private: &str,
        current: &str,
        recovery: &str,
    ) -> Result<bool, VaultError> {
        self.vault.set_mode(self.call(&admin()), change(mode, private, current, recovery)).await
    }

    pub(crate) async fn apply(&self, master: &str) -> Result<(), VaultError> {
        self.vault.apply_key(self.call(&admin()), TypedKey::one(&text(master), &text(""))?).await
    }

    pub(crate) async fn apply_recovery(&self, recovery: &str) -> Result<(), VaultError> {
        self.vault.apply_key(self.call(&admin()), TypedKey::one(&text(""), &text(recovery))?).await
    }

    pub(crate) async fn drill(&self, master: &str, recovery: &str) -> Result<SlotKind, VaultError> {
        self.vault.drill_key(self.call(&admin()), TypedKey::one(&text(master), &text(recovery))?).await
    }

    pub(crate) async fn new_recovery(&self, current: &str) -> Result<String, VaultError> {
        let key = self.vault.replace_recovery_key(self.call(&admin()), text(current)).await?;
        Ok(key.into_exposed())
    }

    async fn kinds(&self) -> Vec<SlotKind> {
        self.vault.key_slots().await.unwrap().into_iter().map(|(kind, _)| kind).collect()
    }

    /// Lets the others look at the seal state before they use their keys again, and wrong keys be forgotten.
    pub(crate) fn later(&self) {
        self.clock.advance(Duration::from_secs(61));
    }

    async fn sql_now(&self, text: String) {
        self.sql(Sql::new(Box::leak(text.into_boxed_str()))).await;
    }

    pub(crate) async fn one_value(&self) -> CredentialId {
        let me = member(7);
        let made = self.create(&me, "c", &[("a", STANDARD), ("b", STANDARD)]).await.unwrap();
        self.store(&me, made.credential.id, made.attributes[0].id, None, "kept").await.unwrap();
        made.credential.id
    }

    pub(crate) async fn holds(&self, credential: CredentialId) -> bool {
        matches!(self.read(&member(7), credential).await, Ok(values) if values[0].as_deref() == Some("kept"))
    }
}

on_each_engine! {
    async fn in_manual_a_restart_waits_for_the_master_key(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        assert!(!world.mode(Mode::Manual, MASTER, "", "").await.unwrap());
        assert_eq!(world.kinds().await, [SlotKind::Manual, SlotKind::Recovery]);
        assert!(world.holds(id).await, "whoever changes the mode does not close the vault");

        let world = World { recovery: world.recovery.clone(), ..world.again().await };
        assert!(!world.app.is_open() && world.app.sealed_since().is_some());
        assert!(!world.vault.has_express_slot().await.unwrap());
        assert!(matches!(world.read(&member(7), id).await, Err(VaultError::Sealed)));
        assert!(matches!(world.apply(OTHER).await, Err(VaultError::KeyWrong)));
        assert!(matches!(world.vault.unseal(world.call(&admin())).await, Err(VaultError::ModeConflict(_))));
        assert_eq!(world.drill(MASTER, "").await.unwrap(), SlotKind::Manual);
        assert!(!world.app.is_open(), "a drill changes nothing");
        world.apply(MASTER).await.unwrap();
        assert!(world.holds(id).await && world.app.sealed_since().is_none());
        world.apply(MASTER).await.unwrap();

        assert!(matches!(world.mode(Mode::Express, OTHER, "", "").await, Err(VaultError::KeyWrong)));
        world.mode(Mode::Express, MASTER, "", "").await.unwrap();
        assert_eq!(world.kinds().await, [SlotKind::Express, SlotKind::Recovery]);
        assert!(matches!(world.apply(MASTER).await, Err(VaultError::ModeConflict(_))));
        let after = world.again().await;
        assert!(after.app.is_open() && after.holds(id).await);
        assert_eq!(world.drill("", &world.recovery).await.unwrap(), SlotKind::Recovery, "kept through both changes");
    }

    async fn a_new_master_key_takes_the_old_one_or_the_recovery_key(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        assert!(matches!(world.mode(Mode::Manual, OTHER, "", "").await, Err(VaultError::Invalid { field, .. }) if field == "current_key"));
        assert!(matches!(world.mode(Mode::Manual, OTHER, OTHER, "").await, Err(VaultError::KeyWrong)));
        world.mode(Mode::Manual, OTHER, MASTER, "").await.unwrap();
        assert!(matches!(world.drill(MASTER, "").await, Err(VaultError::KeyWrong)), "the key of an older slot");
        assert_eq!(world.drill(OTHER, "").await.unwrap(), SlotKind::Manual);
        world.mode(Mode::Manual, MASTER, "", &world.recovery.to_lowercase().replace('-', " ")).await.unwrap();
        let after = world.again().await;
        after.apply(MASTER).await.unwrap();
        assert!(after.holds(id).await);
    }

    async fn the_recovery_key_opens_a_vault_whose_key_file_is_lost(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let keys = KeySettings { cost: Cost::new(8 * 1024, 1).unwrap(), short_master_keys: false, ..KeySettings::default() };
        let start = async |key: Option<SecretBytes>| {
            let (clock, database, outbox) = (world.clock.clone(), world.database.clone(), world.outbox.clone());
            World::start_with(clock, database, outbox, key, keys).await.unwrap()
        };
        let bare = start(None).await;
        bare.apply_recovery(&world.recovery).await.unwrap();
        assert!(bare.holds(id).await);
        assert!(matches!(bare.mode(Mode::Express, "", "", "").await, Err(VaultError::KeyFileUnusable(_))));

        let new_file = || Some(SecretBytes::new(vec![8; 32]));
        let found = start(new_file()).await;
        assert!(!found.app.is_open());
        found.apply_recovery(&world.recovery).await.unwrap();
        assert!(matches!(found.mode(Mode::Express, "", "", "").await, Err(VaultError::KeyFileWrong)));
        found.mode(Mode::Express, "", "", &world.recovery).await.unwrap();
        let after = start(new_file()).await;
        assert!(after.app.is_open() && after.holds(id).await);
        assert!(!world.again().await.app.is_open(), "the file that was lost opens nothing any more");
    }

    async fn rule_5_5_a_recovery_key_is_replaced_with_a_key_alone(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let first = world.recovery.clone();
        assert!(matches!(world.new_recovery("").await, Err(VaultError::Invalid { .. })));
        assert!(matches!(world.new_recovery(MASTER).await, Err(VaultError::Invalid { .. })));
        let second = world.new_recovery(&first).await.unwrap();
        assert!(matches!(world.drill("", &first).await, Err(VaultError::KeyWrong)));
        assert_eq!(world.drill("", &second).await.unwrap(), SlotKind::Recovery);
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        let third = world.new_recovery(MASTER).await.unwrap();
        let fourth = world.new_recovery(&third).await.unwrap();
        assert!(matches!(world.new_recovery(&third).await, Err(VaultError::KeyWrong)));
        let after = world.again().await;
        after.apply_recovery(&fourth).await.unwrap();
        assert!(after.holds(id).await);
    }

    async fn an_older_store_gets_its_first_recovery_key(db: TestDb) {
        let world = World::new(&db).await;
        world.sql(Sql::new("DELETE FROM key_slots WHERE kind = ").bind(3_i64)).await;
        let (clock, database, outbox) = (world.clock.clone(), world.database.clone(), world.outbox.clone());
        let wrong = World::start(clock, database, outbox, SecretBytes::new(vec![8; 32])).await;
        assert!(matches!(wrong, Err(Error::WrongKey)), "nothing but the key file would open it");
        assert!(matches!(world.drill("", &world.recovery).await, Err(VaultError::ModeConflict(_))));
        let key = world.new_recovery("").await.unwrap();
        assert_eq!(world.drill("", &key).await.unwrap(), SlotKind::Recovery);
        assert!(matches!(world.new_recovery("").await, Err(VaultError::Invalid { .. })));
    }

    async fn rule_5_4_a_seal_on_purpose_closes_every_replica_until_somebody_opens_it(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let other = world.again().await;
        assert!(other.holds(id).await);
        let taken = other.vault.keyring.opened().await.unwrap();
        world.vault.seal(world.call(&admin())).await.unwrap();
        world.vault.seal(world.call(&admin())).await.unwrap();
        assert!(!world.holds(id).await && world.app.sealed_since().is_some());
        world.later();
        assert!(!other.holds(id).await && other.vault.keyring.confirm(&taken).await.is_err());
        assert!(!world.again().await.app.is_open());
        // What needs the keys says so; what does not works.
        assert!(matches!(world.mode(Mode::Manual, MASTER, "", "").await, Err(VaultError::Sealed)));
        assert!(matches!(world.new_recovery(&world.recovery).await, Err(VaultError::Sealed)));
        assert!(matches!(world.vault.start_rotation(world.call(&admin())).await, Err(VaultError::Sealed)));
        assert!(matches!(world.vault.transport.public().await, Err(VaultError::Sealed)));
        assert!(world.vault.rotation().await.is_ok() && world.vault.has_express_slot().await.unwrap());
        assert_eq!(world.kinds().await.len(), 2);
        assert_eq!(world.drill("", &world.recovery).await.unwrap(), SlotKind::Recovery);
        assert!(!world.vault.is_open().await.unwrap());

        other.vault.unseal(other.call(&admin())).await.unwrap();
        assert!(other.holds(id).await);
        world.later();
        assert!(world.holds(id).await, "the other replica follows");
        world.vault.seal(world.call(&admin())).await.unwrap();
        world.apply_recovery(&world.recovery).await.unwrap();
        assert!(world.holds(id).await);

        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        world.vault.seal(world.call(&admin())).await.unwrap();
        world.apply(MASTER).await.unwrap();
        assert!(world.holds(id).await);
    }

    async fn replicas_in_manual_follow_a_new_term_and_close_at_a_new_root_key(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        let other = world.again().await;
        other.apply(MASTER).await.unwrap();
        world.vault.start_rotation(world.call(&admin())).await.unwrap();
        other.later();
        assert!(other.holds(id).await);
        world.mode(Mode::Manual, OTHER, MASTER, "").await.unwrap();
        other.later();
        assert!(!other.holds(id).await);
        assert!(matches!(other.apply(MASTER).await, Err(VaultError::KeyWrong)));
        other.apply(OTHER).await.unwrap();
        assert!(other.holds(id).await && world.holds(id).await, "opening one replica leaves the others open");
    }

    async fn rule_5_4_the_seal_is_looked_at_again_before_a_value_leaves(db: TestDb) {
        let world = World::new(&db).await;
        let other = world.again().await;
        let taken = other.vault.keyring.opened().await.unwrap();
        world.vault.seal(world.call(&admin())).await.unwrap();
        // The call of the other one took its time, and nothing told that process meanwhile.
        world.clock.advance(coffre_vault::keyring::FRESH + Duration::from_millis(1));
        assert!(other.app.is_open());
        assert!(matches!(other.vault.keyring.confirm(&taken).await, Err(VaultError::Sealed)));
        assert!(!other.app.is_open());
    }

    async fn a_start_knows_since_when_the_vault_is_sealed_on_purpose(db: TestDb) {
        let world = World::new(&db).await;
        let sealed = world.now();
        world.vault.seal(world.call(&admin())).await.unwrap();
        world.clock.advance(Duration::from_secs(3600));
        assert_eq!(world.again().await.app.sealed_since(), Some(sealed));
    }

    async fn of_two_administrators_at_once_one_is_told(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let other = world.again().await;
        let (one, two) = tokio::join!(world.mode(Mode::Manual, MASTER, "", ""), other.mode(Mode::Manual, OTHER, "", ""));
        let (winner, loser) = match (&one, &two) {
            (Ok(_), Err(VaultError::KeysChanged)) => (MASTER, OTHER),
            (Err(VaultError::KeysChanged), Ok(_)) => (OTHER, MASTER),
            _ => panic!("{one:?} {two:?}"),
        };
        let after = world.again().await;
        assert!(matches!(after.apply(loser).await, Err(VaultError::KeyWrong)));
        after.apply(winner).await.unwrap();
        assert!(after.holds(id).await);
    }

    async fn rule_5_2_a_failure_at_any_step_leaves_all_as_it_was(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        // The steps of a change in their order; a new term has those that are marked.
        let steps = [
            ("seal_state", "UPDATE", true),
            ("key_slots", "DELETE", false),
            ("key_slots", "INSERT", false),
            ("terms", "UPDATE", false),
            ("terms", "INSERT", true),
            ("rotation", "INSERT", true),
            ("outbox_segments", "INSERT", true),
        ];
        if db.engine() == Engine::Postgres {
            let fails = "CREATE FUNCTION fails() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'injected'; END $$ LANGUAGE plpgsql";
            world.sql(Sql::new(fails)).await;
        }
        for (table, verb, in_rotation) in steps {
            let (on, off) = match db.engine() {
                Engine::Sqlite => (
                    format!("CREATE TRIGGER step BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, 'injected'); END"),
                    "DROP TRIGGER step".to_owned(),
                ),
                Engine::Postgres => (
                    format!("CREATE TRIGGER step BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION fails()"),
                    format!("DROP TRIGGER step ON {table}"),
                ),
            };
            world.sql_now(on).await;
            let step = format!("{verb} {table}");
            let refused = world.mode(Mode::Manual, MASTER, "", "").await;
            assert!(matches!(refused, Err(VaultError::Store(_))), "{step}: {refused:?}");
            assert!(matches!(world.new_recovery(&world.recovery).await, Err(VaultError::Store(_))), "{step}");
            if in_rotation {
                let refused = world.vault.start_rotation(world.call(&admin())).await;
                assert!(matches!(refused, Err(VaultError::Store(_))), "{step}: {refused:?}");
            }
            world.sql_now(off).await;
            assert_eq!(world.kinds().await, [SlotKind::Express, SlotKind::Recovery], "{step}");
            assert!(world.holds(id).await, "{step}");
            let after = world.again().await;
            assert!(after.app.is_open() && after.holds(id).await, "{step}");
            world.later();
            assert_eq!(world.drill("", &world.recovery).await.unwrap(), SlotKind::Recovery, "{step}");
            assert_eq!(world.number(Sql::new("SELECT generation AS id FROM seal_state")).await, 1, "{step}");
            assert_eq!(world.number(Sql::new("SELECT COUNT(*) AS id FROM terms")).await, 1, "{step}");
        }
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        // Stopped between the commit and what this process knows: the next one opens with the new key.
        let after = world.again().await;
        after.apply(MASTER).await.unwrap();
        assert!(after.holds(id).await);
    }

    async fn a_thousand_wrong_keys_are_slowed_down_and_never_lock_out_for_good(db: TestDb) {
        let world = World::new(&db).await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        let other = world.again().await;
        let (mut tried, mut refused) = (0, 0);
        for number in 0..1000 {
            let at = if number % 2 == 0 { &world } else { &other };
            match at.drill(OTHER, "").await {
                Err(VaultError::KeyWrong) => tried += 1,
                Err(VaultError::KeyThrottled(wait)) => {
                    assert!(wait <= Duration::from_secs(60));
                    refused += 1;
                }
                odd => panic!("{odd:?}"),
            }
        }
        assert_eq!((tried, refused), (4, 996));
        assert!(matches!(other.drill(MASTER, "").await, Err(VaultError::KeyThrottled(_))), "the right key waits too");
        assert!(matches!(other.drill("", &world.recovery).await, Err(VaultError::KeyThrottled(_))));
        world.clock.advance(Duration::from_secs(60));
        other.drill(MASTER, "").await.unwrap();
        assert!(matches!(world.drill(OTHER, "").await, Err(VaultError::KeyWrong)), "a right key clears the count");
        world.drill(MASTER, "").await.unwrap();
    }

    async fn rule_2_2_nobody_s_wrong_keys_hold_up_another_one_s_right_key(db: TestDb) {
        let world = World::new(&db).await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        world.vault.seal(world.call(&admin())).await.unwrap();
        let (mallory, home, far) = (caller(8, &[Permission::ManageSettings]), [192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let shown = async |by: &Arc<Caller>, from: IpAddr, key: &str| {
            let key = TypedKey::one(&text(key), &text("")).unwrap();
            world.vault.drill_key(world.call_from(by, Some(from)), key).await
        };
        for number in 0..100_u8 {
            let from = [198, 51, 100, number].into();
            assert!(matches!(shown(&mallory, from, OTHER).await, Err(VaultError::KeyWrong | VaultError::KeyThrottled(_))));
            assert!(matches!(shown(&mallory, home, OTHER).await, Err(VaultError::KeyWrong | VaultError::KeyThrottled(_))));
        }
        assert!(matches!(shown(&mallory, home, MASTER).await, Err(VaultError::KeyThrottled(_))), "also the right one");
        assert!(matches!(shown(&mallory, [203, 0, 113, 1].into(), MASTER).await, Err(VaultError::KeyThrottled(_))), "from anywhere");
        let rows = world.number(Sql::new("SELECT COUNT(*) AS id FROM key_attempts")).await;
        assert_eq!(rows, i64::try_from(ADDRESSES).unwrap() + 1, "whatever the number of addresses");
        shown(&admin(), home, MASTER).await.unwrap();
        for _ in 0..10 {
            let _ = shown(&admin(), home, OTHER).await;
        }
        assert!(matches!(shown(&admin(), home, MASTER).await, Err(VaultError::KeyThrottled(_))));
        shown(&admin(), far, MASTER).await.unwrap();
        let rows = world.number(Sql::new("SELECT COUNT(*) AS id FROM key_attempts WHERE user_id = ").bind(9_i64)).await;
        assert_eq!(rows, 0, "a right key clears what its holder mistyped");
        world.clock.advance(FORGOTTEN_AFTER + Duration::from_secs(1));
        assert!(matches!(shown(&admin(), home, OTHER).await, Err(VaultError::KeyWrong)));
        assert_eq!(world.number(Sql::new("SELECT COUNT(*) AS id FROM key_attempts")).await, 1, "what is forgotten is gone");
    }

    async fn express_is_set_for_the_key_file_as_it_is_now(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        let put = |file: Result<Option<Vec<u8>>, String>| *world.key_file.lock().unwrap() = file;
        for unusable in [Ok(None), Ok(Some(vec![7; 31])), Err("it can be read by others".to_owned())] {
            put(unusable);
            let refused = world.mode(Mode::Express, MASTER, "", "").await;
            assert!(matches!(refused, Err(VaultError::KeyFileUnusable(_))), "{refused:?}");
            assert_eq!(world.kinds().await, [SlotKind::Manual, SlotKind::Recovery]);
        }
        put(Ok(Some(vec![8; 32])));
        world.mode(Mode::Express, MASTER, "", "").await.unwrap();
        let keys = KeySettings { cost: Cost::new(8 * 1024, 1).unwrap(), short_master_keys: false, ..KeySettings::default() };
        let again = async |key: u8| {
            let (clock, database, outbox) = (world.clock.clone(), world.database.clone(), world.outbox.clone());
            World::start_with(clock, database, outbox, Some(SecretBytes::new(vec![key; 32])), keys).await.unwrap()
        };
        assert!(again(8).await.holds(id).await && !again(7).await.app.is_open());
        // This process, too, opens itself with that file from now on.
        world.vault.seal(world.call(&admin())).await.unwrap();
        world.vault.unseal(world.call(&admin())).await.unwrap();
        assert!(world.holds(id).await);

        put(Ok(None));
        assert!(matches!(world.new_recovery(&world.recovery).await, Err(VaultError::KeyFileUnusable(_))));
        put(Ok(Some(vec![9; 32])));
        world.new_recovery(&world.recovery).await.unwrap();
        assert!(again(9).await.holds(id).await);
        world.sql(Sql::new("DELETE FROM key_slots WHERE kind = ").bind(3_i64)).await;
        put(Ok(Some(vec![8; 32])));
        assert!(matches!(world.new_recovery("").await, Err(VaultError::KeyFileWrong)), "nobody has shown a key");
    }

    async fn a_seal_closes_the_process_even_where_it_cannot_be_stored(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        let other = world.again().await;
        let taken = world.vault.keyring.opened().await.unwrap();
        let run = |text: &'static str| world.database.write(move |tx| Ok::<_, coffre_db::Error>(tx.conn().batch_execute(text)?));
        let (fill, free) = match db.engine() {
            // SQLite answers this limit, which falls to what is there, as it answers a full disk.
            Engine::Sqlite => ("CREATE TRIGGER full_disk BEFORE UPDATE ON seal_state BEGIN INSERT INTO outbox_quarantine \
                VALUES (1, zeroblob(1), 1, zeroblob(1000000), 0, 0); END; PRAGMA max_page_count = 1",
                "DROP TRIGGER full_disk; PRAGMA max_page_count = 1000000"),
            Engine::Postgres => (
                "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN \
                 RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$ LANGUAGE plpgsql; \
                 CREATE TRIGGER full_disk BEFORE UPDATE ON seal_state FOR EACH ROW EXECUTE FUNCTION full_disk()",
                "DROP TRIGGER full_disk ON seal_state",
            ),
        };
        run(fill).await.unwrap();
        let (first, second) = (world.call(&admin()), world.call(&admin()));
        for call in [&first, &second] {
            let refused = world.vault.seal(call.clone()).await;
            assert!(matches!(refused, Err(VaultError::SealNotStored { full: true })), "{refused:?}");
            assert!(call.record.is_recorded(), "its entry waits with the seal");
        }
        for _ in 0..3 {
            assert!(!world.holds(id).await && world.app.sealed_since().is_some());
            assert!(world.vault.keyring.confirm(&taken).await.is_err());
            assert!(world.vault.keyring.store_seal().await.is_err());
            world.vault.keyring.refresh().await.unwrap();
            world.later();
        }
        assert!(world.vault.unseal(world.call(&admin())).await.is_err(), "opening is not stored either");
        assert!(!world.holds(id).await && other.holds(id).await);

        run(free).await.unwrap();
        // Another process changes the keys meanwhile: that opens nothing here.
        other.vault.start_rotation(other.call(&admin())).await.unwrap();
        world.vault.keyring.refresh().await.unwrap();
        assert!(!world.holds(id).await);
        world.vault.keyring.store_seal().await.unwrap();
        assert_eq!(world.number(Sql::new("SELECT COUNT(*) AS id FROM seal_state WHERE sealed")).await, 1);
        let told = world.waiting().await.into_iter().filter(|event| event.event == "test").count();
        assert!(told >= 2, "both calls are in the audit");
        world.later();
        assert!(!other.holds(id).await && !world.again().await.app.is_open());
        world.vault.unseal(world.call(&admin())).await.unwrap();
        assert!(world.holds(id).await);
        world.vault.keyring.store_seal().await.unwrap();
        assert!(world.holds(id).await, "it is stored once");

        // Somebody opens it again before the seal is stored: that ends it.
        run(if db.engine() == Engine::Postgres {
            "CREATE TRIGGER full_disk BEFORE UPDATE ON seal_state FOR EACH ROW EXECUTE FUNCTION full_disk()"
        } else { fill }).await.unwrap();
        assert!(world.vault.seal(world.call(&admin())).await.is_err());
        run(free).await.unwrap();
        world.vault.unseal(world.call(&admin())).await.unwrap();
        world.vault.keyring.store_seal().await.unwrap();
        assert!(world.holds(id).await);
    }

    async fn a_damaged_slot_or_term_is_told_from_a_wrong_key(db: TestDb) {
        let world = World::new(&db).await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        let slot = |kind: i64| world.database.read(move |conn| {
            use diesel::RunQueryDsl as _;
            let sql = Sql::new("SELECT slot FROM key_slots WHERE kind = ").bind(kind);
            sql.typed::<diesel::sql_types::Binary>().get_result::<Vec<u8>>(conn).map_err(coffre_db::Error::from)
        });
        let good = slot(2).await.unwrap();
        let put = |bytes: Vec<u8>| world.sql(Sql::new("UPDATE key_slots SET slot = ").bind(bytes).push(" WHERE kind = 2"));
        let middle = good.len() / 2;
        let mut bad = good.clone();
        bad[middle] ^= 1;
        for damaged in [bad, good[..middle].to_vec(), Vec::new(), slot(3).await.unwrap()] {
            put(damaged).await;
            assert!(matches!(world.drill(MASTER, "").await, Err(VaultError::KeyDamaged)));
            assert!(matches!(world.drill(OTHER, "").await, Err(VaultError::KeyDamaged)));
            assert!(world.drill("", &world.recovery).await.is_ok(), "another key still opens the vault");
        }
        put(good).await;
        assert!(matches!(world.drill(OTHER, "").await, Err(VaultError::KeyWrong)));
        world.sql(Sql::new("UPDATE terms SET wrapped = ").bind(vec![1_u8; 60]).push(" WHERE term = 1")).await;
        assert!(matches!(world.drill(MASTER, "").await, Err(VaultError::TermsDamaged(_))));
    }

    async fn a_damaged_term_is_named_and_an_open_vault_writes_it_anew(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.one_value().await;
        world.vault.start_rotation(world.call(&admin())).await.unwrap();
        world.sql(Sql::new("UPDATE terms SET wrapped = ").bind(vec![1_u8; 60]).push(" WHERE term = 1")).await;
        let closed = world.again().await;
        assert!(!closed.app.is_open(), "it starts: users, roles and the audit go on");
        let refused = closed.apply_recovery(&world.recovery).await;
        assert!(matches!(&refused, Err(VaultError::TermsDamaged(damaged)) if damaged.to_string().contains("term 1 ")), "{refused:?}");
        assert!(matches!(world.vault.start_rotation(world.call(&admin())).await, Err(VaultError::TermsDamaged(_))));
        assert!(world.holds(id).await, "nothing was changed, and what is in memory is whole");
        world.new_recovery(&world.recovery).await.unwrap();
        let after = world.again().await;
        assert!(after.app.is_open() && after.holds(id).await);
    }

    async fn a_recovery_slot_that_opens_nothing_is_told_and_replaced(db: TestDb) {
        let world = World::new(&db).await;
        let slot = world.database.read(|conn| {
            use diesel::RunQueryDsl as _;
            let sql = Sql::new("SELECT slot FROM key_slots WHERE kind = 3").typed::<diesel::sql_types::Binary>();
            sql.get_result::<Vec<u8>>(conn).map_err(coffre_db::Error::from)
        });
        let whole = slot.await.unwrap();
        let mut damaged = whole.clone();
        damaged[100] ^= 1;
        // Damaged by accident, and one from before the last root key that somebody put back.
        for bytes in [damaged, whole] {
            world.sql(Sql::new("UPDATE key_slots SET slot = ").bind(bytes).push(" WHERE kind = 3")).await;
            if world.vault.keyring.generation_open() == Some(1) {
                assert!(matches!(world.drill("", &world.recovery).await, Err(VaultError::KeyDamaged)));
            }
            let refused = world.mode(Mode::Manual, MASTER, "", "").await;
            assert!(matches!(refused, Err(VaultError::KeptSlotDamaged(SlotKind::Recovery))), "{refused:?}");
            assert_eq!(world.kinds().await, [SlotKind::Express, SlotKind::Recovery]);
            let key = world.new_recovery("").await.unwrap();
            assert_eq!(world.drill("", &key).await.unwrap(), SlotKind::Recovery);
        }
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
    }

    async fn odd_keys_are_refused_for_what_they_are(db: TestDb) {
        let world = World::new(&db).await;
        let invalid = |result: Result<(), VaultError>| matches!(result, Err(VaultError::Invalid { .. }));
        assert!(invalid(world.apply("").await) && invalid(world.apply("12345").await));
        assert!(invalid(world.apply(&"x".repeat(10 * 1024 * 1024)).await));
        assert!(matches!(TypedKey::one(&text(MASTER), &text(&world.recovery)), Err(VaultError::Invalid { .. })));
        let mut letters: Vec<char> = world.recovery.chars().collect();
        letters.swap(0, 1);
        letters[2] = if letters[2] == world.recovery.chars().nth(3).unwrap() { letters[4] } else { letters[3] };
        let mistyped: String = letters.into_iter().collect();
        if mistyped != world.recovery {
            let refused = world.apply_recovery(&mistyped).await;
            assert!(matches!(&refused, Err(VaultError::Invalid { description, .. }) if !description.contains(&mistyped)));
        }
        let foreign = RecoveryKey::generate().unwrap().to_text();
        assert!(matches!(world.apply_recovery(foreign.expose()).await, Err(VaultError::KeyWrong)));
        assert!(matches!(world.mode(Mode::Manual, "12345", "", "").await, Err(VaultError::KeyWeak { setting: false })));
        assert!(matches!(world.mode(Mode::Manual, "fifteen letters", "", "").await, Err(VaultError::KeyWeak { setting: true })));
        assert!(invalid(world.mode(Mode::Manual, "", "", "").await.map(drop)));
        assert!(invalid(world.mode(Mode::Manual, MASTER, OTHER, "").await.map(drop)), "there is no present master key in Express");
        assert!(world.apply_recovery(&world.recovery).await.is_ok(), "an open vault: the key is only checked");
        assert!(!world.mode(Mode::Express, "", "", "").await.unwrap(), "it is Express already");
        let keys = KeySettings { cost: Cost::new(8 * 1024, 1).unwrap(), short_master_keys: true, ..KeySettings::default() };
        let (clock, database, outbox) = (world.clock.clone(), world.database.clone(), world.outbox.clone());
        let lenient = World::start_with(clock, database, outbox, Some(express_key()), keys).await.unwrap();
        assert!(lenient.mode(Mode::Manual, "123456", "", "").await.unwrap(), "it says that the key is short");
    }
}
