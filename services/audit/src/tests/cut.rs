//! A cut removes entries and nothing else: what remains is proved as before, and the cut itself is on record.

use std::time::Duration;

use coffre_audit_proof::checkpoint::Checkpoint as Text;
use coffre_audit_proof::proof::{verify_consistency, verify_inclusion};
use coffre_proto::audit::v1::Event;
use coffre_test_support::{TestDb, on_each_engine};
use prost::Message as _;

use super::rig::{NOW, Rig, Writer, everything};
use crate::domain::cut::Cut;
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
        assert!(!rig.again(&db).await.store.sweep().await.unwrap(), "256 rows go at once");
        assert_eq!(rig.number("SELECT min(log_index) AS id FROM entries").await, 256);
        assert!(!rig.store.sweep().await.unwrap());
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
        rig.cutter.retain(2 * HOUR).await.unwrap();
        assert_eq!(rig.number("SELECT first_kept AS id FROM log_head").await, 512);
        assert_eq!(rig.number("SELECT count(*) AS id FROM entries WHERE event = 'audit.cut' AND source = 4").await, 1);
    }
}
