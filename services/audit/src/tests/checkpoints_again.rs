//! Checkpoints of before are looked at again, and one that is not what was signed is named by its size.

use coffre_db::Sql;
use coffre_test_support::{TestDb, on_each_engine};

use super::rig::{NOW, Rig, Writer};
use crate::domain::checkpoint::Moment;
use crate::domain::incident::Kind;

/// A log of 700 entries with a checkpoint every hundred.
async fn signed(db: &TestDb) -> (Rig, Writer) {
    let (rig, mut writer) = (Rig::new(db).await, Writer::new());
    for _ in 0..7 {
        writer.write(&rig, 100).await;
        rig.checkpoint().await;
    }
    assert_eq!(rig.check_checkpoints().await, []);
    (rig, writer)
}

on_each_engine! {
    async fn a_stored_checkpoint_that_was_changed_in_any_part_is_named(db: TestDb) {
        let (rig, mut writer) = signed(&db).await;
        for (place, change) in [
            (100, "UPDATE checkpoints SET root = (SELECT root FROM checkpoints WHERE size = 700) WHERE size = 100"),
            (200, "UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 700) WHERE size = 200"),
            (300, "UPDATE checkpoints SET heads = (SELECT heads FROM checkpoints WHERE size = 700) WHERE size = 300"),
            (400, "UPDATE checkpoints SET created_at = created_at - 1 WHERE size = 400"),
            (500, "UPDATE checkpoints SET first_kept = 256 WHERE size = 500"),
            (600, "UPDATE checkpoints SET note = replace(note, '600', '601') WHERE size = 600"),
        ] {
            rig.tampers(&[change]).await;
            assert_eq!(rig.check_checkpoints().await, [(Kind::Checkpoint, place, place)], "{change}");
        }
        assert_eq!(rig.check_checkpoints().await, [], "once is enough");
        assert!(rig.keeper.standing().changed > 0);
        // The latest one is whole, and so the log is signed on.
        writer.write(&rig, 1).await;
        assert_eq!(rig.checkpoint().await.size, 701);
    }

    async fn a_stored_checkpoint_that_cannot_even_be_read_is_named(db: TestDb) {
        let (rig, _) = signed(&db).await;
        rig.tamper(Sql::new("UPDATE checkpoints SET root = ").bind(b"short".to_vec()).push(" WHERE size = 300")).await;
        rig.tamper(Sql::new("UPDATE checkpoints SET heads = ").bind(b"\x05junk".to_vec()).push(" WHERE size = 400")).await;
        let mut found = rig.check_checkpoints().await;
        found.sort_by_key(|found| found.1);
        assert_eq!(found, [(Kind::Checkpoint, 300, 300), (Kind::Checkpoint, 400, 400)]);
    }

    async fn a_checkpoint_that_the_witness_saw_and_that_is_gone_is_named(db: TestDb) {
        let (rig, _) = signed(&db).await;
        rig.tampers(&["DELETE FROM checkpoints WHERE size = 300"]).await;
        assert_eq!(rig.check_checkpoints().await, [(Kind::Checkpoint, 300, 300)]);
    }

    async fn a_signed_root_that_the_log_never_had_tells_that_it_was_rewritten(db: TestDb) {
        let (rig, _) = signed(&db).await;
        let moment = Moment { size: 300, root: [9; 32], heads: Vec::new(), first_kept: 0, at: NOW };
        let other = rig.signer.sign(moment).unwrap();
        rig.tamper(
            Sql::new("UPDATE checkpoints SET note = ")
                .bind(other.note.as_str())
                .push(", heads = ")
                .bind(Vec::new())
                .push(", root = ")
                .bind(other.root.to_vec())
                .push(" WHERE size = 300"),
        )
        .await;
        assert_eq!(rig.check_checkpoints().await, [(Kind::RolledBack, 200, 299)]);
    }

    async fn a_cut_makes_no_checkpoint_suspicious(db: TestDb) {
        let (rig, _) = signed(&db).await;
        rig.clock.advance(std::time::Duration::from_secs(3600));
        rig.cutter.cut(&rig.call(), NOW.plus(std::time::Duration::from_secs(60))).await.unwrap();
        while rig.cutter.sweep().await.is_ok() && rig.number("SELECT min(log_index) AS id FROM entries").await < 512 {}
        assert_eq!(rig.check_checkpoints().await, []);
    }
}
