//! New terms, and values sealed anew under them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coffre_crypto::slot::SlotKind;
use coffre_db::Sql;
use coffre_secret::SecretText;
use coffre_test_support::{Engine, on_each_engine};
use coffre_types::{Caller, CredentialId, Permission};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::keys::{Mode, ModeChange};
use coffre_vault::reencryption::{BATCH, GRACE, Meter, Pass, Reencryption};
use coffre_vault::store::rotation::Stretch;
use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::world::{STANDARD, World, caller, create, member, update_of};

fn admin() -> Arc<Caller> {
    caller(9, &[Permission::ManageSettings])
}

impl World {
    fn reencryption(&self) -> Reencryption {
        let (vault, meter) = (&self.vault, Arc::new(Meter::default()));
        Reencryption::new(vault.store.clone(), vault.keyring.clone(), self.outbox.site(), self.clock.clone(), meter)
    }

    async fn rotate(&self) {
        self.vault.start_rotation(self.call(&admin())).await.unwrap();
    }

    /// Stores values, fifty in each credential.
    async fn many(&self, credentials: usize) -> Vec<CredentialId> {
        let me = member(7);
        let names: Vec<String> = (0..50).map(|number| format!("a{number:02}")).collect();
        let attributes: Vec<_> = names.iter().map(|name| (name.as_str(), STANDARD)).collect();
        let mut ids = Vec::new();
        for number in 0..credentials {
            let made = self.create(&me, &format!("c{number}"), &attributes).await.unwrap();
            let values: Vec<_> = made.attributes.iter().map(|at| (at.id, None, at.name.as_str())).collect();
            self.vault.create_values(self.call(&me), create(made.credential.id, &values), "").await.unwrap();
            ids.push(made.credential.id);
        }
        ids
    }

    async fn all_there(&self, ids: &[CredentialId]) {
        for id in ids {
            let values = self.read(&member(7), *id).await.unwrap();
            let expected: Vec<_> = (0..50).map(|number| Some(format!("a{number:02}"))).collect();
            assert_eq!(values, expected);
        }
    }

    async fn terms(&self) -> i64 {
        self.number(Sql::new("SELECT COUNT(*) AS id FROM terms")).await
    }
}

on_each_engine! {
    async fn a_rotation_that_was_killed_goes_on_where_it_was(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(9).await;
        assert!(!world.vault.rotation().await.unwrap().running);
        world.rotate().await;
        let begun = world.vault.rotation().await.unwrap();
        assert!(begun.running && begun.term == 2 && (begun.done, begun.total) == (0, 450));
        let mut pass = Pass::default();
        world.reencryption().batch(Stretch::ALL, &mut pass).await.unwrap().unwrap();
        assert_eq!(i64::try_from(pass.done).unwrap(), BATCH);
        world.all_there(&ids).await;

        // The process ended here.
        let world = world.again().await;
        assert_eq!(world.vault.rotation().await.unwrap().done, BATCH);
        let (work, stop) = (world.reencryption(), CancellationToken::new());
        let began = world.now();
        let rest = work.pass(&stop).await.unwrap();
        assert_eq!((rest.done, rest.corrupt, rest.overtaken), (250, 0, 0));
        world.all_there(&ids).await;
        assert!(!work.finish(began, &rest).await.unwrap(), "another replica may not have heard of the term yet");
        assert_eq!(world.terms().await, 2);
        world.clock.advance(GRACE);
        let began = world.now();
        let last = work.pass(&stop).await.unwrap();
        assert_eq!(last, Pass::default());
        assert!(work.finish(began, &last).await.unwrap());
        let ended = world.vault.rotation().await.unwrap();
        assert!(!ended.running && ended.done == 450 && ended.ended_at.is_some());
        assert_eq!(world.terms().await, 1);
        world.all_there(&ids).await;
        world.again().await.all_there(&ids).await;
    }

    async fn the_grace_of_old_terms_counts_from_the_commit(db: TestDb) {
        let world = World::new(&db).await;
        // The others have their turn: the next stretching takes the last one.
        let mut turns = Vec::new();
        for _ in 0..3 {
            turns.push(world.vault.keyring.turn().await.unwrap());
        }
        let private_key = SecretText::new("correct horse battery staple".to_owned());
        let empty = || SecretText::new(String::new());
        let change = ModeChange { mode: Mode::Manual, private_key, current_key: empty(), recovery_key: empty() };
        let (vault, call) = (world.vault.clone(), world.call(&admin()));
        let changing = tokio::spawn(async move { vault.set_mode(call, change).await });
        while let Some(turn) = world.vault.keyring.turn().now_or_never() {
            drop(turn);
            tokio::task::yield_now().await;
        }
        world.clock.advance(GRACE);
        changing.await.unwrap().unwrap();
        assert_eq!(world.vault.rotation().await.unwrap().started_at, Some(world.now()));
        let (work, began) = (world.reencryption(), world.now());
        assert!(!work.finish(began, &Pass::default()).await.unwrap(), "replicas have had no time yet");
        assert_eq!(world.terms().await, 2);
    }

    async fn what_is_sealed_anew_has_its_seal_in_the_audit(db: TestDb) {
        let world = World::new(&db).await;
        world.many(1).await;
        world.rotate().await;
        world.reencryption().pass(&CancellationToken::new()).await.unwrap();
        let events = world.waiting().await;
        let batches = events.iter().filter(|event| event.event == "vault.value.reencrypted");
        let seals: BTreeSet<i64> = batches.flat_map(|event| &event.value_seals).map(|seal| seal.value_id).collect();
        assert_eq!(seals.len(), 50);
        assert!(events.iter().any(|event| event.event == "vault.initialised"));
    }

    async fn callers_and_replicas_at_work_meanwhile_lose_nothing(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(6).await;
        let other = world.again().await;
        let me = member(7);
        let made = world.create(&me, "busy", &[("a", STANDARD)]).await.unwrap();
        let (busy, a) = (made.credential.id, made.attributes[0].id);
        let value = world.store(&me, busy, a, None, "0").await.unwrap();
        world.rotate().await;
        world.clock.advance(Duration::from_secs(1));
        let stop = CancellationToken::new();
        let (one, two) = (world.reencryption(), other.reencryption());
        let writes = async {
            for number in 1..=30 {
                world.update_value(&me, update_of(busy, value), &number.to_string()).await.unwrap();
                assert_eq!(other.read(&me, busy).await.unwrap(), [Some(number.to_string())]);
            }
        };
        let (one, two, ()) = tokio::join!(one.pass(&stop), two.pass(&stop), writes);
        let (one, two) = (one.unwrap(), two.unwrap());
        assert!((300..=301).contains(&(one.done + two.done)), "each is done once: {one:?} {two:?}");
        world.all_there(&ids).await;
        assert_eq!(world.read(&me, busy).await.unwrap(), [Some("30".to_owned())]);
        assert_eq!(world.number(Sql::new("SELECT COUNT(*) AS id FROM attribute_values WHERE term < 2")).await, 0);
    }

    async fn a_value_that_does_not_open_keeps_its_term_and_holds_nothing_up(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(1).await;
        let victim = world.number(Sql::new("SELECT MIN(id) AS id FROM attribute_values")).await;
        world.sql(Sql::new("UPDATE attribute_values SET version = 5 WHERE id = ").bind(victim)).await;
        world.rotate().await;
        world.clock.advance(GRACE);
        let (work, began) = (world.reencryption(), world.now());
        let pass = work.pass(&CancellationToken::new()).await.unwrap();
        assert_eq!((pass.done, pass.corrupt, pass.corrupt_values.as_slice()), (49, 1, &[victim][..]));
        assert!(work.finish(began, &pass).await.unwrap());
        assert_eq!(world.terms().await, 2, "no term goes while a value is sealed under it");
        let ended = world.waiting().await.into_iter().find(|event| event.event == "vault.rotation.ended").unwrap();
        let named = ended.details.iter().find(|detail| detail.key == "valueCorrupt").unwrap();
        assert_eq!(named.value, victim.to_string(), "the audit names it");
        world.sql(Sql::new("UPDATE attribute_values SET version = 0 WHERE id = ").bind(victim)).await;
        world.all_there(&ids).await;
        let refused = world.database.write(|tx| Sql::new("DELETE FROM terms WHERE term = 1").execute(tx.conn()).map_err(coffre_db::Error::from)).await;
        assert!(refused.is_err(), "the database itself refuses");
        // Mended, it is done with the leftovers.
        let pass = work.pass(&CancellationToken::new()).await.unwrap();
        assert_eq!(pass.done, 1);
        assert!(work.finish(world.now(), &pass).await.unwrap());
        assert_eq!(world.terms().await, 1);
    }

    async fn what_was_just_sealed_anew_is_read_at_once_everywhere(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(1).await;
        let other = world.again().await;
        other.all_there(&ids).await;
        world.rotate().await;
        world.reencryption().pass(&CancellationToken::new()).await.unwrap();
        // No time has passed: the other one has not heard of the term.
        assert_eq!((world.vault.keyring.generation_open(), other.vault.keyring.generation_open()), (Some(2), Some(1)));
        other.all_there(&ids).await;
        // What says that it is of a term that there never was is damaged, and nothing goes round in circles.
        let far = Sql::new("UPDATE attribute_values SET sealed = ").bind(vec![1, 0, 0, 0, 99, 1, 2, 3]);
        world.sql(far).await;
        assert!(matches!(other.read(&member(7), ids[0]).await, Err(VaultError::ValueCorrupt(_))));
    }

    async fn a_full_disk_stops_the_work_and_it_goes_on_when_there_is_room(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(9).await;
        world.rotate().await;
        let (fill, free) = match db.engine() {
            // SQLite answers this limit, which falls to what is there, as it answers a full disk.
            Engine::Sqlite => ("PRAGMA max_page_count = 1", "PRAGMA max_page_count = 1000000"),
            Engine::Postgres => (
                "CREATE FUNCTION full_disk() RETURNS trigger AS $$ BEGIN \
                 RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$ LANGUAGE plpgsql; \
                 CREATE TRIGGER full_disk BEFORE UPDATE ON attribute_values FOR EACH ROW EXECUTE FUNCTION full_disk()",
                "DROP TRIGGER full_disk ON attribute_values",
            ),
        };
        let run = |text: &'static str| world.database.write(move |tx| Ok::<_, coffre_db::Error>(tx.conn().batch_execute(text)?));
        run(fill).await.unwrap();
        let (work, stop) = (world.reencryption(), CancellationToken::new());
        let stopped = work.pass(&stop).await;
        assert!(matches!(stopped, Err(VaultError::Store(coffre_db::Error::Full))), "{stopped:?}");
        let halfway = world.vault.rotation().await.unwrap();
        assert!(halfway.running && halfway.done < halfway.total, "{halfway:?}");
        run(free).await.unwrap();
        world.clock.advance(GRACE);
        let (began, rest) = (world.now(), work.pass(&stop).await.unwrap());
        assert_eq!(i64::try_from(rest.done).unwrap(), halfway.total - halfway.done);
        assert!(work.finish(began, &rest).await.unwrap());
        assert_eq!(world.terms().await, 1);
        world.all_there(&ids).await;
    }

    async fn the_rate_is_that_of_all_replicas(db: TestDb) {
        let world = World::new(&db).await;
        world.many(9).await;
        world.rotate().await;
        let begun = world.vault.rotation().await.unwrap();
        assert!(begun.rate.abs() < f64::EPSILON && begun.seconds_left.is_none());
        // Another process does it; nobody has told this one.
        world.again().await.reencryption().batch(Stretch::ALL, &mut Pass::default()).await.unwrap();
        world.clock.advance(Duration::from_secs(2));
        let later = world.vault.rotation().await.unwrap();
        assert!((later.rate - 100.0).abs() < 0.1, "200 values in two seconds: {later:?}");
        assert_eq!((later.done, later.total, later.seconds_left), (200, 450, Some(3)));
    }

    async fn a_look_for_leftovers_walks_no_value(db: TestDb) {
        let world = World::new(&db).await;
        world.bulk().await;
        let plan = world
            .explain(
                "SELECT id, sealed FROM attribute_values WHERE term < 2 AND (term, id) > (1, 40000) \
                 AND (term, id) <= (9223372036854775807, 9223372036854775807) ORDER BY term, id LIMIT 200",
            )
            .await;
        assert!(plan.contains("attribute_values_term") && !plan.to_lowercase().contains("sort"), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }

    async fn a_seal_stops_the_work_and_opening_lets_it_go_on(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(1).await;
        world.rotate().await;
        world.vault.seal(world.call(&admin())).await.unwrap();
        let stopped = world.reencryption().pass(&CancellationToken::new()).await;
        assert!(matches!(stopped, Err(VaultError::Sealed)));
        assert!(world.vault.rotation().await.unwrap().running);
        world.vault.unseal(world.call(&admin())).await.unwrap();
        assert_eq!(world.reencryption().pass(&CancellationToken::new()).await.unwrap().done, 50);
        world.all_there(&ids).await;
    }

    async fn the_background_does_it_all(db: TestDb) {
        let world = World::new(&db).await;
        let ids = world.many(2).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(world.app.background.clone().run(stop.clone()));
        let old = world.vault.key_slots().await.unwrap();
        world.rotate().await;
        world.rotate().await;
        let mut ended = None;
        for _ in 0..300 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            world.clock.advance(Duration::from_millis(100));
            let progress = world.vault.rotation().await.unwrap();
            if progress.ended_at.is_some() {
                ended = Some(progress);
                break;
            }
        }
        let ended = ended.unwrap();
        assert_eq!((ended.term, ended.done, ended.total, ended.running), (3, 100, 100, false));
        assert_eq!(world.terms().await, 1);
        world.all_there(&ids).await;
        let slots = world.vault.key_slots().await.unwrap();
        assert_eq!(slots, old, "a rotation leaves the slots alone");
        assert_eq!(slots[0].0, SlotKind::Express);
        stop.cancel();
        running.await.unwrap();
    }
}
