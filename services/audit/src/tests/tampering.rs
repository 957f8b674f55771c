//! Whatever somebody with the database's password does to the log is found, and named.

use coffre_audit_proof::tree::{Frontier, leaf_hash};
use coffre_db::{Error, Sql};
use coffre_proto::audit::v1::Event;
use coffre_test_support::{TestDb, on_each_engine};
use prost::Message as _;

use super::rig::{NOW, Rig, SOMEBODY, Writer, event, everything};
use crate::domain::incident::Kind;
use crate::domain::keeper::Fault;
use crate::domain::ports::ReadEntries as _;

/// A log of 600 entries that a witness saw at 300 and at 600.
async fn witnessed(db: &TestDb) -> (Rig, Writer) {
    let (rig, mut writer) = (Rig::new(db).await, Writer::new());
    for _ in 0..2 {
        writer.write(&rig, 300).await;
        rig.checkpoint().await;
    }
    assert_eq!(rig.check().await, []);
    (rig, writer)
}

/// What was found last: kind, first and last entry.
async fn newest(rig: &Rig) -> (Kind, i64, i64) {
    let found = rig.incidents().await.remove(0);
    assert_eq!((found.service.as_str(), found.stream_id.as_slice()), ("", &[][..]));
    (found.kind, found.first, found.last)
}

fn changed(canonical: Vec<u8>, place: i64, and_its_hash: bool) -> Sql {
    let hash = leaf_hash(&canonical).to_vec();
    let statement = Sql::new("UPDATE entries SET canonical = ").bind(canonical);
    let statement = if and_its_hash { statement.push(", leaf_hash = ").bind(hash) } else { statement };
    statement.push(" WHERE log_index = ").bind(place)
}

/// Puts the log back to what it was at 300 entries.
async fn put_back(rig: &Rig, writer: &Writer) {
    let mut frontier = Frontier::default();
    (0..300).for_each(|place| frontier.push(writer.leaf(place), |_, _| {}));
    rig.tampers(&["DELETE FROM entries WHERE log_index >= 300", "DELETE FROM tree_nodes WHERE node_index > 0"]).await;
    rig.tampers(&["DELETE FROM checkpoints WHERE size > 300"]).await;
    rig.tamper(Sql::new("UPDATE log_head SET size = 300, frontier = ").bind(frontier.to_bytes())).await;
}

on_each_engine! {
    async fn a_changed_entry_is_named(db: TestDb) {
        let (rig, _) = witnessed(&db).await;
        rig.tamper(changed(event(7, 0), 100, false)).await;
        assert_eq!(rig.check().await, [(100, 100)]);
        assert_eq!(newest(&rig).await.0, Kind::Changed);
        assert_eq!(rig.keeper.standing().changed, 1);
        assert_eq!(rig.check().await, [], "once is enough");
    }

    async fn an_entry_that_was_changed_with_its_hash_is_found_in_its_block(db: TestDb) {
        let (rig, _) = witnessed(&db).await;
        rig.tamper(changed(event(7, 0), 100, true)).await;
        assert_eq!(rig.check().await, [(0, 255), (100, 100)], "and by its columns");
    }

    async fn an_entry_that_was_changed_in_the_last_block_does_not_fit_what_was_witnessed(db: TestDb) {
        let (rig, _) = witnessed(&db).await;
        rig.tamper(changed(event(7, 0), 550, true)).await;
        assert!(rig.damage().await.contains("300 to 599"));
        assert_eq!(newest(&rig).await, (Kind::RolledBack, 300, 599));
    }

    async fn a_proof_of_a_changed_entry_is_not_given(db: TestDb) {
        let (rig, writer) = witnessed(&db).await;
        // Its id stays, so that it is found.
        let mut canonical = writer.events.lock().unwrap()[100].clone();
        *canonical.last_mut().unwrap() ^= 1;
        rig.tamper(changed(canonical, 100, true)).await;
        let refused = rig.prover.inclusion(writer.event_id(100), everything(), 600).await.err();
        assert!(matches!(refused, Some(Fault::Damaged(why)) if why.contains("100")));
        assert_eq!(newest(&rig).await, (Kind::Changed, 0, 255));
        // So is the one of an entry whose neighbour was changed: its proof would lead nowhere.
        assert!(matches!(rig.prover.inclusion(writer.event_id(101), everything(), 600).await, Err(Fault::Damaged(_))));
    }

    async fn a_removed_entry_is_named(db: TestDb) {
        let (rig, _) = witnessed(&db).await;
        rig.tampers(&["DELETE FROM entries WHERE log_index IN (100, 550)"]).await;
        assert_eq!(rig.check().await, [(100, 100), (550, 550)]);
        assert!(rig.damage().await.contains("550"));
        assert_eq!(newest(&rig).await, (Kind::Changed, 550, 550));
    }

    async fn an_entry_that_was_put_in_is_named_and_nothing_is_lost(db: TestDb) {
        let (rig, mut writer) = witnessed(&db).await;
        let put_in = "INSERT INTO entries (log_index, event_id, canonical, leaf_hash, created_at, activity, event, status, source, user_id, \
            user_name_key, object_type, object_id, object_name_key, request_id, host_name, environment_name, client_address, description, detail) \
            SELECT 600, salt, canonical, leaf_hash, created_at, activity, event, status, source, user_id, user_name_key, object_type, object_id, \
            object_name_key, request_id, host_name, environment_name, client_address, description, detail \
            FROM (SELECT leaf_hash AS salt, e.* FROM entries e WHERE log_index = 7) one";
        rig.tampers(&[put_in]).await;
        assert_eq!(rig.check().await, [(600, 600)]);
        assert_eq!(writer.try_write(&rig, 3).await, Err(Error::Unavailable), "the outbox keeps it");
        assert_eq!(newest(&rig).await, (Kind::Changed, 600, 600));
        rig.tampers(&["DELETE FROM entries WHERE log_index = 600"]).await;
        Writer::new().write(&rig, 3).await;
        assert_eq!(rig.checkpoint().await.size, 603);
    }

    async fn entries_in_another_order_are_found_in_their_block(db: TestDb) {
        let (rig, _) = witnessed(&db).await;
        rig.tampers(&[
            "UPDATE entries SET log_index = -1 WHERE log_index = 10",
            "UPDATE entries SET log_index = 10 WHERE log_index = 11",
            "UPDATE entries SET log_index = 11 WHERE log_index = -1",
        ])
        .await;
        assert_eq!(rig.check().await, [(0, 255)]);
    }

    async fn hashes_that_were_made_to_fit_do_not_fit_what_was_witnessed(db: TestDb) {
        let (rig, writer) = witnessed(&db).await;
        let forged = event(SOMEBODY, 101);
        let id = Event::decode(forged.as_slice()).unwrap().id;
        let (mut frontier, mut nodes) = (Frontier::default(), Vec::new());
        for place in 0..600 {
            let leaf = if place == 100 { leaf_hash(&forged) } else { writer.leaf(place) };
            frontier.push(leaf, |node, hash| if node.level == 8 { nodes.push(*hash) });
        }
        rig.tamper(changed(forged, 100, true)).await;
        rig.tamper(Sql::new("UPDATE entries SET event_id = ").bind(id).push(" WHERE log_index = 100")).await;
        rig.tamper(Sql::new("UPDATE tree_nodes SET hash = ").bind(nodes[0].to_vec()).push(" WHERE node_index = 0")).await;
        rig.tamper(Sql::new("UPDATE log_head SET frontier = ").bind(frontier.to_bytes())).await;
        assert_eq!(rig.check().await, [], "the database tells one story");
        assert!(rig.damage().await.contains("put back or rewritten"));
        assert_eq!(newest(&rig).await, (Kind::RolledBack, 0, 599));
    }

    async fn a_log_that_was_put_back_is_found_and_goes_on_recording(db: TestDb) {
        let (rig, mut writer) = witnessed(&db).await;
        put_back(&rig, &writer).await;
        let rig = rig.again(&db).await;
        assert!(rig.damage().await.contains("entries 300 to 599"));
        assert_eq!(newest(&rig).await, (Kind::RolledBack, 300, 599));
        assert!(rig.keeper.standing().damaged.is_some());
        // Grown again it is still another log, and nothing was signed meanwhile.
        let mut another = Writer::new();
        another.write(&rig, 400).await;
        rig.damage().await;
        assert_eq!(rig.number("SELECT count(*) AS id FROM checkpoints").await, 1);
        assert!(matches!(rig.cutter.cut(&rig.call(), NOW).await, Err(Fault::Damaged(_))));
        assert_eq!(writer.try_write(&rig, 1).await.unwrap().len(), 1);
    }

    async fn a_log_that_was_put_back_to_what_was_signed_is_found_at_the_start(db: TestDb) {
        let (rig, writer) = witnessed(&db).await;
        put_back(&rig, &writer).await;
        let rig = rig.again(&db).await;
        assert!(!rig.keeper.observe().await.unwrap(), "nothing came since the checkpoint of 300");
        assert!(matches!(rig.keeper.look().await, Err(Fault::Damaged(_))));
        assert_eq!(newest(&rig).await, (Kind::RolledBack, 300, 599));
    }

    async fn a_witness_that_is_laid_aside_accepts_the_log_as_it_is(db: TestDb) {
        let (rig, writer) = witnessed(&db).await;
        put_back(&rig, &writer).await;
        rig.damage().await;
        std::fs::rename(&rig.witness, rig.witness.with_extension("2026-11-22")).unwrap();
        assert_eq!(rig.checkpoint().await.size, 300);
        assert_eq!(rig.keeper.standing().damaged, None);
        let found: Vec<_> = rig.incidents().await.iter().map(|found| (found.kind, found.first, found.last)).collect();
        assert_eq!(found, [(Kind::Checkpoint, 600, 600), (Kind::RolledBack, 300, 599)], "it stays on record, and the witness too");
        Writer::new().write(&rig, 5).await;
        assert_eq!(rig.checkpoint().await.size, 305);
    }

    async fn a_tail_that_was_cut_off_is_found(db: TestDb) {
        let (rig, writer) = witnessed(&db).await;
        // The rows alone, and the head with them.
        rig.tampers(&["DELETE FROM entries WHERE log_index >= 590"]).await;
        assert!(rig.damage().await.contains("590"));
        let mut frontier = Frontier::default();
        (0..590).for_each(|place| frontier.push(writer.leaf(place), |_, _| {}));
        rig.tamper(Sql::new("UPDATE log_head SET size = 590, frontier = ").bind(frontier.to_bytes())).await;
        assert!(rig.damage().await.contains("300 to 599"));
    }

    async fn a_checkpoint_that_was_changed_is_not_taken_for_ours(db: TestDb) {
        let (rig, mut writer) = witnessed(&db).await;
        rig.tampers(&["UPDATE checkpoints SET root = (SELECT root FROM checkpoints WHERE size = 300) WHERE size = 600"]).await;
        assert!(rig.damage().await.contains("the latest checkpoint, of 600 entries"));
        writer.write(&rig, 1).await;
        rig.damage().await;
    }

    async fn a_frontier_that_was_spoilt_stops_nothing(db: TestDb) {
        let (rig, mut writer) = witnessed(&db).await;
        rig.tamper(Sql::new("UPDATE log_head SET frontier = ").bind(b"junk".to_vec())).await;
        writer.write(&rig, 10).await;
        assert_eq!(rig.checkpoint().await.root, writer.root(610));
        // One that is well-formed and wrong is found before anything is signed.
        let wrong = Frontier::new(610, vec![[7; 32]; 610_u64.count_ones() as usize]).unwrap();
        rig.tamper(Sql::new("UPDATE log_head SET frontier = ").bind(wrong.to_bytes())).await;
        assert!(rig.damage().await.contains("does not fit"));
    }

    async fn a_column_by_which_entries_are_searched_is_compared_with_its_entry(db: TestDb) {
        let (rig, _) = witnessed(&db).await;
        rig.tampers(&[
            "UPDATE entries SET user_id = 99 WHERE log_index = 10",
            "UPDATE entries SET event = 'role.read', object_id = '777' WHERE log_index = 20",
            "UPDATE entries SET created_at = created_at - 86400000000 WHERE log_index = 300",
            "UPDATE entries SET description = 'Nothing happened' WHERE log_index = 310",
            "UPDATE entries SET detail = '{}' WHERE log_index = 599",
        ])
        .await;
        assert_eq!(rig.check().await, [10, 20, 300, 310, 599].map(|place| (place, place)));
        assert_eq!(newest(&rig).await.0, Kind::Changed);
        assert_eq!(rig.keeper.standing().changed, 5);
    }

    async fn what_an_entry_says_is_never_what_somebody_wrote_into_its_columns(db: TestDb) {
        let (rig, writer) = witnessed(&db).await;
        rig.tampers(&["UPDATE entries SET description = 'Nothing happened', detail = '{}', words = 0 WHERE log_index = 100"]).await;
        let entry = rig.store.get(writer.event_id(100), everything()).await.unwrap();
        assert_eq!((entry.said.description.as_str(), entry.said.detail.as_str()), ("User \"bob\" tried to read a credential; the outcome is not known", ""));
        // What was written in the words of another version is said anew for those who search in it, without an alarm.
        assert_eq!(rig.check().await, []);
        let found = "SELECT count(*) AS id FROM entries WHERE description LIKE 'User%' AND detail = '' AND words <> 0";
        assert_eq!(rig.number(found).await, 600);
        rig.tampers(&["UPDATE entries SET description = 'Nothing happened' WHERE log_index = 100"]).await;
        assert_eq!(rig.check().await, [(100, 100)]);
    }
}
