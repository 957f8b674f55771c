//! A cut removes entries and nothing else: what remains is proved as before, and the cut itself is on record.

use std::time::Duration;

use coffre_audit_proof::checkpoint::{Checkpoint as Text, LogId};
use coffre_audit_proof::proof::{verify_consistency, verify_inclusion};
use coffre_db::Sql;
use coffre_proto::audit::v1::Event;
use coffre_secret::SecretBytes;
use coffre_test_support::{TestDb, on_each_engine};
use prost::Message as _;

use super::rig::{NOW, Rig, SEED, Writer, carry, everything};
use crate::domain::checkpoint::Signer;
use crate::domain::cut::{Cut, SignedCut};
use crate::domain::incident::Kind;
use crate::domain::keeper::Fault;
use crate::domain::ports::CutLog as _;
use crate::domain::ports::ReadTree as _;

const HOUR: Duration = Duration::from_secs(3600);

/// Checkpoints at 300, 700 and 1200 entries, an hour apart; then it is half past.
async fn aged(db: &TestDb) -> (Rig, Writer) {
    let (rig, mut writer) = (Rig::new(db).await, Writer::new());
    for count in [300, 400, 500] {
        writer.write(&rig, count).await;
        rig.checkpoint().await;
        rig.clock.advance(HOUR);
    }
    (rig, writer)
}

on_each_engine! {
    async fn what_a_checkpoint_of_before_covers_goes_and_the_rest_is_proved(db: TestDb) {
        let (rig, mut writer) = aged(&db).await;
        let before = [rig.prover.at(300).await.unwrap(), rig.prover.at(700).await.unwrap(), rig.prover.at(1200).await.unwrap()];
        let (cut, checkpoint) = rig.cutter.cut(&rig.call(), NOW.plus(HOUR)).await.unwrap();
        assert_eq!(cut, Cut { first_kept: 512, removed: 512 });
        let text = Text::open(&checkpoint.note, rig.verifier()).unwrap();
        assert_eq!((text.size, text.cut, checkpoint.first_kept), (1201, 512, 512));
        rig.cutter.sweep().await.unwrap();
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 512);
        assert_eq!(rig.number("SELECT count(*) AS id FROM entries").await, 1201 - 512);
        assert_eq!(rig.check().await, []);

        writer.write(&rig, 100).await;
        let made = rig.checkpoint().await;
        assert_eq!(Text::open(&made.note, rig.verifier()).unwrap().cut, 512, "it stands in every later one");
        for place in [512, 767, 768, 1199] {
            let proof = rig.prover.inclusion(writer.event_id(place), everything(), made.size).await.unwrap();
            let (index, size) = (place as u64, made.size.cast_unsigned());
            assert!(verify_inclusion(&writer.leaf(place), index, size, &proof.hashes, &made.root), "{place}");
        }
        for from in &before[1..] {
            let proof = rig.prover.consistency(from.size, made.size).await.unwrap();
            let (size, to) = (from.size.cast_unsigned(), made.size.cast_unsigned());
            assert!(verify_consistency(size, &from.root, to, &made.root, &proof), "{size}");
        }
        // What is made of entries that are gone alone cannot be shown any more; whole blocks can.
        assert_eq!(rig.prover.consistency(300, made.size).await, Err(Fault::Cut { first_kept: 512 }));
        let proof = rig.prover.consistency(256, 700).await.unwrap();
        assert!(verify_consistency(256, &writer.root(256), 700, &before[1].root, &proof));
        assert!(matches!(rig.prover.inclusion(writer.event_id(511), everything(), made.size).await, Err(Fault::NoEntry)));
    }

    async fn a_cut_is_an_entry_of_the_log(db: TestDb) {
        let (rig, _) = aged(&db).await;
        let call = rig.call();
        rig.cutter.cut(&call, NOW).await.unwrap();
        let entry = rig.store.locate(call.id(), everything()).await.unwrap();
        assert_eq!(entry.log_index, 1200);
        let event = Event::decode(entry.canonical.as_slice()).unwrap();
        assert_eq!(event.event, "audit.cut");
        let change = &event.changes[0];
        assert_eq!((change.field.as_str(), change.old_value.as_deref(), change.new_value.as_deref()), ("firstKept", Some("0"), Some("256")));
        assert_eq!((event.details[0].key.as_str(), event.details[0].value.as_str()), ("removed", "256"));
    }

    async fn rows_that_wait_for_their_removal_are_gone_for_proofs(db: TestDb) {
        let (rig, writer) = aged(&db).await;
        let (_, made) = rig.cutter.cut(&rig.call(), NOW).await.unwrap();
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 0, "removed afterwards");
        assert!(rig.prover.inclusion(writer.event_id(300), everything(), made.size).await.is_ok());
        // A process that was killed meanwhile goes on where it was.
        assert!(!rig.again(&db).await.store.sweep(made.first_kept).await.unwrap(), "256 rows go at once");
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 256);
        assert!(!rig.store.sweep(made.first_kept).await.unwrap());
    }

    async fn a_cut_goes_no_further_than_what_was_signed_and_never_back(db: TestDb) {
        let (rig, mut writer) = aged(&db).await;
        writer.write(&rig, 600).await;
        let nothing = Cut { first_kept: 0, removed: 0 };
        assert_eq!(rig.cutter.plan(NOW.minus(HOUR)).await.unwrap(), nothing, "nothing is that old");
        assert_eq!(rig.cutter.plan(NOW.plus(3 * HOUR)).await.unwrap(), Cut { first_kept: 1024, removed: 1024 });
        let future = rig.cutter.plan(NOW.plus(4 * HOUR)).await;
        assert!(matches!(future, Err(Fault::Invalid { field: "before_time", .. })));
        assert_eq!(rig.cutter.cut(&rig.call(), NOW.plus(HOUR)).await.unwrap().0, Cut { first_kept: 512, removed: 512 });
        assert_eq!(rig.cutter.cut(&rig.call(), NOW).await.unwrap().0, Cut { first_kept: 512, removed: 0 });
        assert_eq!(rig.cutter.cut(&rig.call(), NOW.plus(2 * HOUR)).await.unwrap().0, Cut { first_kept: 1024, removed: 512 });
        rig.cutter.sweep().await.unwrap();
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 1024);
        assert_eq!(rig.check().await, []);
    }

    async fn entries_that_are_old_enough_go_by_themselves(db: TestDb) {
        let (rig, _) = aged(&db).await;
        rig.cutter.retain(24 * HOUR).await.unwrap();
        assert_eq!(rig.number("SELECT size AS id FROM log_head").await, 1200, "nothing is recorded where nothing goes");
        rig.cutter.retain(HOUR).await.unwrap();
        assert_eq!(rig.number("SELECT first_kept AS id FROM log_head").await, 512);
        assert_eq!(rig.number("SELECT count(*) AS id FROM entries WHERE event = 'audit.cut' AND source = 4").await, 1);
    }

    async fn a_host_clock_that_runs_ahead_lets_nothing_be_cut_off_early(db: TestDb) {
        let (rig, mut writer) = aged(&db).await;
        let began = rig.number("SELECT first_kept AS id FROM log_head").await;
        rig.clock.advance(400 * 24 * HOUR);
        rig.cutter.retain(365 * 24 * HOUR).await.unwrap();
        assert_eq!(rig.keeper.standing().retention_waits, None, "by what was signed, nothing is that old");
        // The next checkpoint is signed under that clock: whether the log slept for so long, somebody has to say.
        writer.write(&rig, 1).await;
        rig.checkpoint().await;
        rig.cutter.retain(365 * 24 * HOUR).await.unwrap();
        assert_eq!(rig.number("SELECT first_kept AS id FROM log_head").await, began);
        let why = rig.keeper.standing().retention_waits.unwrap();
        assert!(why.contains("1024 entries of 400 days") && why.contains("coffre audit cut --before"), "{why}");
        rig.cutter.cut(&rig.call(), NOW.plus(2 * HOUR)).await.unwrap();
        assert_eq!(rig.number("SELECT first_kept AS id FROM log_head").await, 1024);
        assert_eq!(rig.keeper.standing().retention_waits, None);
    }

    async fn a_cut_is_signed_together_with_its_entry(db: TestDb) {
        let (rig, mut writer) = aged(&db).await;
        let call = rig.call();
        rig.store.cut(&call, 512, rig.signer.clone()).await.unwrap();
        // The entry waits in the outbox: a checkpoint of now would tell of a cut of which the log knows nothing.
        writer.write(&rig, 1).await;
        assert_eq!(rig.checkpoint().await.first_kept, 0);
        rig.cutter.sweep().await.unwrap();
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 0);
        carry(&rig.store).await;
        let made = rig.checkpoint().await;
        assert_eq!((made.first_kept, made.size), (512, 1202));
        assert_eq!(rig.store.locate(call.id(), everything()).await.unwrap().log_index, 1201);
        rig.cutter.sweep().await.unwrap();
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 512);
        assert_eq!(rig.incidents().await, []);
    }

    async fn a_cut_that_nobody_decided_is_named_and_neither_signed_nor_swept(db: TestDb) {
        let (rig, mut writer) = aged(&db).await;
        rig.tampers(&["UPDATE log_head SET first_kept = 768"]).await;
        assert!(rig.keeper.observe().await.unwrap(), "it is looked at soon");
        rig.cutter.sweep().await.unwrap();
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 0);
        rig.tampers(&["DELETE FROM entries WHERE log_index < 768"]).await;
        writer.write(&rig, 100).await;
        assert!(rig.damage().await.contains("nobody cut off the entries 0 to 767"));
        let found = rig.incidents().await.remove(0);
        assert_eq!((found.kind, found.first, found.last), (Kind::Changed, 0, 767));
        assert!(rig.again(&db).await.keeper.look().await.is_err(), "at the next start, too");
        assert_eq!(rig.number("SELECT max(first_kept) AS id FROM checkpoints").await, 0);
        // What was done is undone as far as it can be; what is missing stays on record.
        rig.tampers(&["UPDATE log_head SET first_kept = 0"]).await;
        assert_eq!(rig.checkpoint().await.size, 1300);
        rig.check().await;
        assert_eq!(rig.number("SELECT count(*) AS id FROM incidents WHERE kind = 'changed'").await, 768, "each one is named");
    }

    async fn what_vouches_for_one_cut_vouches_for_no_other(db: TestDb) {
        let (rig, _) = aged(&db).await;
        assert_eq!(rig.cutter.cut(&rig.call(), NOW).await.unwrap().0.first_kept, 256);
        assert_eq!(rig.checkpoint().await.first_kept, 256);
        for (change, entries) in [("UPDATE log_head SET first_kept = 512", "256 to 511"), ("UPDATE log_head SET first_kept = 0", "0 to 255")] {
            rig.tampers(&[change]).await;
            assert!(rig.damage().await.contains(entries), "{change}");
        }
        let other = Signer::new(LogId::new([9; 16]), SecretBytes::new(SEED.to_vec())).unwrap();
        let cut = SignedCut { first_kept: 512, entry: rig.call().id() };
        let checkpoint = rig.number("SELECT max(size) AS id FROM checkpoints").await;
        let checkpoint = rig.prover.at(checkpoint).await.unwrap().note;
        for note in [other.sign_cut(&cut).unwrap(), checkpoint, "512".to_owned()] {
            rig.tamper(Sql::new("UPDATE log_head SET first_kept = 512, cut_note = ").bind(note.as_str())).await;
            rig.damage().await;
        }
        // A good one without its entry is not signed, and nothing goes.
        let note = rig.signer.sign_cut(&cut).unwrap();
        rig.tamper(Sql::new("UPDATE log_head SET cut_note = ").bind(note.as_str())).await;
        assert_eq!(rig.checkpoint().await.first_kept, 256);
    }

    async fn checkpoints_that_were_made_older_cut_nothing_off(db: TestDb) {
        let (rig, _) = aged(&db).await;
        rig.tampers(&["UPDATE checkpoints SET created_at = created_at - 34560000000000"]).await;
        let refused = rig.cutter.retain(24 * HOUR).await;
        assert!(matches!(&refused, Err(Fault::Damaged(why)) if why.contains("1200 entries")), "{refused:?}");
        assert_eq!(rig.number("SELECT first_kept AS id FROM log_head").await, 0);
        let found = rig.incidents().await.remove(0);
        assert_eq!((found.kind, found.first, found.last), (Kind::Checkpoint, 1200, 1200));
        rig.tampers(&["UPDATE checkpoints SET created_at = created_at + 34560000000000"]).await;
        rig.cutter.retain(24 * HOUR).await.unwrap();
        rig.cutter.retain(HOUR).await.unwrap();
        assert_eq!(rig.number("SELECT first_kept AS id FROM log_head").await, 512);
    }
}
