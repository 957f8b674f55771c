//! Every proof verifies, and none is given for what cannot be proved.

use coffre_audit_proof::proof::{verify_consistency, verify_inclusion};
use coffre_audit_proof::tree::Hash;
use coffre_test_support::{TestDb, on_each_engine};
use coffre_types::EventId;
use uuid::Uuid;

use super::rig::{Rig, SOMEBODY, Writer, caller, everything};
use crate::domain::checkpoint::Checkpoint;
use crate::domain::keeper::Fault;

/// Sizes around the borders of blocks, and of subtrees within them.
const SIZES: [usize; 17] = [1, 2, 3, 4, 5, 8, 13, 127, 128, 255, 256, 257, 300, 511, 512, 513, 900];

async fn filled(db: &TestDb) -> (Rig, Writer, Vec<Checkpoint>) {
    let (rig, mut writer) = (Rig::new(db).await, Writer::new());
    let mut checkpoints = Vec::new();
    for size in SIZES {
        writer.write(&rig, size - checkpoints.last().map_or(0, |last: &Checkpoint| size_of(last))).await;
        checkpoints.push(rig.checkpoint().await);
    }
    (rig, writer, checkpoints)
}

fn size_of(checkpoint: &Checkpoint) -> usize {
    usize::try_from(checkpoint.size).unwrap()
}

async fn consistent(rig: &Rig, from: (i64, Hash), to: (i64, Hash)) -> bool {
    let proof = rig.prover.consistency(from.0, to.0).await.unwrap();
    verify_consistency(from.0.cast_unsigned(), &from.1, to.0.cast_unsigned(), &to.1, &proof)
}

on_each_engine! {
    async fn every_checkpoint_is_the_root_of_its_events_and_continues_all_before(db: TestDb) {
        let (rig, writer, checkpoints) = filled(&db).await;
        for (place, to) in checkpoints.iter().enumerate() {
            assert_eq!(to.root, writer.root(size_of(to)), "{}", to.size);
            for from in &checkpoints[..=place] {
                assert!(consistent(&rig, (from.size, from.root), (to.size, to.root)).await, "{} {}", from.size, to.size);
            }
        }
        // Sizes at which nobody made a checkpoint can be proved, too.
        for (from, to) in [(6, 13), (200, 258), (257, 899), (0, 900), (900, 900)] {
            let roots = [from, to].map(|size| writer.root(usize::try_from(size).unwrap()));
            assert!(consistent(&rig, (from, roots[0]), (to, roots[1])).await, "{from} {to}");
        }
    }

    async fn every_entry_is_proved_against_every_checkpoint_after_it(db: TestDb) {
        let (rig, writer, checkpoints) = filled(&db).await;
        for checkpoint in &checkpoints {
            let last = size_of(checkpoint) - 1;
            let places = [0, 1, 2, 126, 127, 128, 254, 255, 256, 257, 510, 511, 512, last / 2, last];
            for place in places.into_iter().filter(|place| *place <= last) {
                let proof = rig.prover.inclusion(writer.event_id(place), everything(), checkpoint.size).await.unwrap();
                assert_eq!((proof.entry.log_index, &proof.checkpoint), (i64::try_from(place).unwrap(), checkpoint));
                assert_eq!(proof.entry.canonical, writer.events.lock().unwrap()[place]);
                let (index, size) = (place as u64, checkpoint.size.cast_unsigned());
                assert!(verify_inclusion(&writer.leaf(place), index, size, &proof.hashes, &checkpoint.root));
            }
        }
    }

    async fn an_entry_without_a_checkpoint_after_it_gets_one(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 10).await;
        let old = rig.checkpoint().await;
        writer.write(&rig, 5).await;
        assert_eq!(rig.prover.inclusion(writer.event_id(9), everything(), 0).await.unwrap().checkpoint, old);
        let new = rig.prover.inclusion(writer.event_id(10), everything(), 0).await.unwrap();
        assert_eq!(new.checkpoint.size, 15);
        assert!(new.checkpoint.witnessed_at.is_some());
        assert_eq!(rig.prover.inclusion(writer.event_id(14), everything(), 0).await.unwrap().checkpoint, new.checkpoint);
        assert_eq!(rig.prover.latest().await.unwrap(), new.checkpoint);
    }

    async fn what_cannot_be_proved_is_refused(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        assert_eq!(rig.prover.latest().await.unwrap_err(), Fault::NoCheckpoint);
        writer.write(&rig, 4).await;
        rig.checkpoint().await;
        writer.write(&rig, 4).await;
        rig.checkpoint().await;
        let inclusion = async |place, visibility, size| {
            rig.prover.inclusion(writer.event_id(place), visibility, size).await.err()
        };
        assert_eq!(inclusion(1, everything(), 4).await, None);
        assert_eq!(inclusion(1, caller(SOMEBODY, &[]), 4).await, None, "one's own");
        assert_eq!(inclusion(1, caller(SOMEBODY + 1, &[]), 4).await, Some(Fault::NoEntry));
        assert_eq!(inclusion(1, everything(), 5).await, Some(Fault::NoCheckpoint));
        assert!(matches!(inclusion(4, everything(), 4).await, Some(Fault::Invalid { field: "size", .. })));
        let nobody = rig.prover.inclusion(EventId::new(Uuid::from_u128(7)), everything(), 0).await;
        assert_eq!(nobody.err(), Some(Fault::NoEntry));
        for (from, to, field) in [(-1, 4, "from_size"), (5, 4, "to_size"), (4, 9, "to_size")] {
            let refused = rig.prover.consistency(from, to).await;
            assert!(matches!(refused, Err(Fault::Invalid { field: named, .. }) if named == field), "{from} {to}");
        }
        assert_eq!(rig.prover.at(5).await.unwrap_err(), Fault::NoCheckpoint);
    }

    async fn the_tree_is_brought_up_to_what_an_older_binary_wrote(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 9000).await;
        rig.tampers(&["DELETE FROM tree_nodes", "UPDATE log_head SET frontier = NULL"]).await;
        // It is further behind than one transaction brings it: what arrives now waits for the rest.
        writer.write(&rig, 300).await;
        assert_eq!(rig.checkpoint().await.root, writer.root(9300));
        writer.write(&rig, 1).await;
        let made = rig.checkpoint().await;
        assert_eq!(made.root, writer.root(9301));
        let proof = rig.prover.inclusion(writer.event_id(8191), everything(), made.size).await.unwrap();
        assert!(verify_inclusion(&writer.leaf(8191), 8191, 9301, &proof.hashes, &made.root));
        assert_eq!(rig.check().await, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proofs_reach_over_two_heights_of_stored_nodes() {
    let db = TestDb::sqlite();
    let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
    writer.write(&rig, 40_000).await;
    let before = rig.checkpoint().await;
    writer.write(&rig, 26_000).await;
    let made = rig.checkpoint().await;
    assert_eq!(rig.number("SELECT count(*) AS id FROM tree_nodes WHERE height = 8").await, 66_000 / 256);
    assert_eq!(rig.number("SELECT count(*) AS id FROM tree_nodes WHERE height = 16").await, 1);
    assert_eq!(made.root, writer.root(66_000));
    assert!(consistent(&rig, (before.size, before.root), (made.size, made.root)).await);
    for place in [0, 255, 39_999, 65_535, 65_536, 65_999] {
        let proof = rig.prover.inclusion(writer.event_id(place), everything(), made.size).await.unwrap();
        assert!(verify_inclusion(&writer.leaf(place), place as u64, 66_000, &proof.hashes, &made.root), "{place}");
    }
    assert_eq!(rig.check().await, []);
    rig.tampers(&["UPDATE tree_nodes SET hash = (SELECT hash FROM tree_nodes WHERE height = 8 AND node_index = 3) WHERE height = 16"]).await;
    assert_eq!(rig.check().await, [(0, 65_535)]);
}
