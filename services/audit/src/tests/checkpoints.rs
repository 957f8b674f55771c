//! Rounds: what they make, what they leave behind when they die, and witnesses that fail them.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use coffre_audit_client::ActivityType;
use coffre_audit_proof::checkpoint::{Checkpoint as Text, LogId, heads_digest};
use coffre_secret::SecretBytes;
use coffre_test_support::on_each_engine;

use super::rig::{NOW, Rig, SEED, Writer, carry};
use crate::domain::checkpoint::{Checkpoint, Moment, Signer};
use crate::domain::cut::Beginning;
use crate::domain::incident::Kind;
use crate::domain::intake::ReportedHead;
use crate::domain::keeper::Fault;
use crate::domain::ports::{KeepCheckpoints as _, Witness, WriteLog as _};

/// A witness that keeps notes in memory, and fails when it is told to.
#[derive(Default)]
struct Memory {
    notes: Mutex<Vec<String>>,
    deaf: AtomicBool,
    mute: AtomicBool,
}

#[async_trait]
impl Witness for Memory {
    async fn notes(&self) -> io::Result<Vec<String>> {
        match self.mute.load(Ordering::SeqCst) {
            true => Err(io::Error::from(io::ErrorKind::PermissionDenied)),
            false => Ok(self.notes.lock().unwrap().clone()),
        }
    }

    async fn take(&self, note: String) -> io::Result<()> {
        if self.deaf.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
        }
        self.notes.lock().unwrap().push(note);
        Ok(())
    }

    fn name(&self) -> String {
        "the memory".to_owned()
    }
}

/// A note of a log of another name.
fn note_of(log_id: [u8; 16], seed: [u8; 32], size: i64) -> String {
    let signer = Signer::new(LogId::new(log_id), SecretBytes::new(seed.to_vec())).unwrap();
    signer.sign(Moment { size, root: [9; 32], heads: Vec::new(), first_kept: 0, at: NOW }).unwrap().note
}

fn notes_in(rig: &Rig) -> usize {
    fs::read_to_string(&rig.witness).unwrap().matches("\ncoffre.audit/").count()
}

async fn stored(rig: &Rig, size: i64) -> Checkpoint {
    rig.store.at(size).await.unwrap().unwrap()
}

on_each_engine! {
    async fn nothing_new_makes_no_new_checkpoint(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        assert!(!rig.keeper.observe().await.unwrap(), "an empty log asks for nothing");
        writer.write(&rig, 3).await;
        assert!(rig.keeper.observe().await.unwrap());
        let one = rig.checkpoint().await;
        rig.clock.advance(Duration::from_secs(100));
        assert_eq!(rig.checkpoint().await, one);
        assert!(!rig.keeper.observe().await.unwrap());
        assert_eq!(notes_in(&rig), 1);
        let standing = rig.keeper.standing();
        assert_eq!((standing.size, standing.checkpoint_size, standing.witnessed_size), (3, 3, 3));
        assert_eq!((standing.checkpoint_time, standing.incidents), (Some(NOW), 0));
    }

    async fn a_checkpoint_names_the_streams_that_moved(db: TestDb) {
        let (rig, mut one, mut two) = (Rig::new(&db).await, Writer::new(), Writer::new());
        one.write(&rig, 2).await;
        two.write(&rig, 3).await;
        let first = rig.checkpoint().await;
        let mut heads: Vec<_> = first.heads.iter().map(|head| (head.stream_id, head.sequence)).collect();
        heads.sort_unstable();
        let mut expected = vec![(one.id, 2), (two.id, 3)];
        expected.sort_unstable();
        assert_eq!(heads, expected);
        assert_eq!(Text::open(&first.note, rig.verifier()).unwrap().heads, heads_digest(&first.heads));
        two.write(&rig, 1).await;
        let second = rig.checkpoint().await;
        assert_eq!(second.heads.iter().map(|head| (head.stream_id, head.sequence)).collect::<Vec<_>>(), [(two.id, 4)]);
        assert_eq!(stored(&rig, 5).await, first);
        assert_eq!(stored(&rig, 6).await, second);
    }

    async fn replicas_that_sign_at_once_make_one_checkpoint(db: TestDb) {
        let one = Rig::new(&db).await;
        let two = one.again(&db).await;
        let mut writer = Writer::new();
        for round in 1..=10 {
            writer.write(&one, 5).await;
            let (left, right) = tokio::join!(one.keeper.checkpoint(), two.keeper.checkpoint());
            let (left, right) = (left.unwrap(), right.unwrap());
            assert_eq!((left.size, &left.note), (round * 5, &right.note));
            assert_eq!(one.number("SELECT count(*) AS id FROM checkpoints").await, round);
        }
    }

    async fn a_round_that_died_before_its_witness_had_it_is_finished(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 7).await;
        let signed = rig.store.sign(rig.signer.clone(), Beginning { stored: 0, provable: 0 }, NOW).await.unwrap();
        assert_eq!(signed.witnessed_at, None);
        let rig = rig.again(&db).await;
        assert!(rig.keeper.observe().await.unwrap(), "there is something to do");
        let made = rig.checkpoint().await;
        assert_eq!((made.note, made.witnessed_at), (signed.note, Some(NOW)));
        assert_eq!(notes_in(&rig), 1);
        assert_eq!(stored(&rig, 7).await.witnessed_at, Some(NOW));
    }

    async fn a_round_that_died_after_its_witness_had_it_gives_it_once(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 7).await;
        rig.checkpoint().await;
        rig.tampers(&["UPDATE checkpoints SET witnessed_at = NULL"]).await;
        let rig = rig.again(&db).await;
        assert_eq!(rig.checkpoint().await.witnessed_at, Some(NOW));
        assert_eq!(notes_in(&rig), 1);
    }

    async fn a_witness_that_takes_nothing_is_told_of_and_asked_again(db: TestDb) {
        let (memory, mut writer) = (Arc::new(Memory::default()), Writer::new());
        let rig = Rig::new(&db).await.with(&db, Some(memory.clone())).await;
        memory.deaf.store(true, Ordering::SeqCst);
        writer.write(&rig, 2).await;
        assert_eq!(rig.checkpoint().await.witnessed_at, None);
        writer.write(&rig, 2).await;
        assert_eq!(rig.checkpoint().await.size, 4, "the log is signed all the same");
        assert!(rig.keeper.standing().witness_fault.unwrap().contains("the memory cannot be written"));
        assert_eq!(rig.store.witnessed_size().await.unwrap(), 0);
        memory.deaf.store(false, Ordering::SeqCst);
        assert!(rig.keeper.observe().await.unwrap());
        assert!(rig.checkpoint().await.witnessed_at.is_some());
        assert_eq!(rig.keeper.standing().witness_fault, None);
        assert_eq!(memory.notes.lock().unwrap().len(), 1);
        assert_eq!(rig.store.witnessed_size().await.unwrap(), 4);
    }

    async fn a_witness_that_cannot_be_asked_lets_nothing_be_signed(db: TestDb) {
        let (memory, mut writer) = (Arc::new(Memory::default()), Writer::new());
        let rig = Rig::new(&db).await.with(&db, Some(memory.clone())).await;
        writer.write(&rig, 2).await;
        memory.mute.store(true, Ordering::SeqCst);
        assert!(matches!(rig.keeper.checkpoint().await, Err(Fault::Witness(why)) if why.contains("cannot be read")));
        assert_eq!(rig.store.latest().await.unwrap(), None);
        memory.mute.store(false, Ordering::SeqCst);
        assert_eq!(rig.checkpoint().await.size, 2);
    }

    async fn without_a_file_the_log_line_is_the_witness(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await.with(&db, None).await, Writer::new());
        writer.write(&rig, 2).await;
        assert!(rig.checkpoint().await.witnessed_at.is_some());
        assert!(!rig.witness.exists());
    }

    async fn a_witness_file_that_went_away_is_begun_anew(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 2).await;
        rig.checkpoint().await;
        fs::remove_dir_all(rig.witness.parent().unwrap()).unwrap();
        writer.write(&rig, 2).await;
        assert_eq!(rig.checkpoint().await.size, 4);
        assert_eq!(notes_in(&rig), 1);
        // It may have been moved on purpose: it is told for a day, and stays on record.
        let found = rig.incidents().await.remove(0);
        assert_eq!((found.kind, found.first), (Kind::Checkpoint, 2));
        assert!(!rig.keeper.observe().await.unwrap());
        let told = rig.keeper.standing().witness_lost.unwrap();
        assert!(told.contains("lost all of its checkpoints, to that of 2 entries"), "{told}");
        rig.clock.advance(Duration::from_secs(25 * 3600));
        rig.keeper.observe().await.unwrap();
        assert_eq!(rig.keeper.standing().witness_lost, None);
        rig.again(&db).await.checkpoint().await;
        assert_eq!(rig.incidents().await.len(), 1, "once");
    }

    async fn a_witness_that_lost_notes_while_the_service_was_stopped_is_named(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 2).await;
        rig.checkpoint().await;
        let earlier = fs::read(&rig.witness).unwrap();
        writer.write(&rig, 2).await;
        rig.checkpoint().await;
        for (left, part) in [(earlier, "above 2 entries, to that of 4"), (Vec::new(), "all of its checkpoints, to that of 4")] {
            fs::write(&rig.witness, left).unwrap();
            let rig = rig.again(&db).await;
            rig.keeper.look().await.unwrap();
            rig.keeper.observe().await.unwrap();
            let told = rig.keeper.standing().witness_lost.unwrap();
            assert!(told.contains(part), "{told}");
        }
        let found = rig.incidents().await;
        assert_eq!(found.iter().map(|found| (found.kind, found.first)).collect::<Vec<_>>(), [(Kind::Checkpoint, 4)]);
    }

    async fn a_witness_of_another_replica_need_not_have_what_this_one_had(db: TestDb) {
        let (one, memory, mut writer) = (Rig::new(&db).await, Arc::new(Memory::default()), Writer::new());
        let other = one.with(&db, Some(memory.clone())).await;
        one.keeper.look().await.unwrap();
        writer.write(&one, 2).await;
        other.checkpoint().await;
        writer.write(&one, 2).await;
        one.checkpoint().await;
        let other = one.with(&db, Some(memory)).await;
        other.keeper.look().await.unwrap();
        assert_eq!(one.incidents().await, []);
    }

    async fn a_stream_that_nobody_closed_is_said_to_end_where_it_ends_once(db: TestDb) {
        let (rig, mut killed, mut stopped, mut next) = (Rig::new(&db).await, Writer::new(), Writer::new(), Writer::new());
        killed.write(&rig, 3).await;
        stopped.write(&rig, 2).await;
        let head = |stream_id, last_sequence, closed| ReportedHead { stream_id, last_sequence, hash: [1; 32], closed };
        rig.store.report("vault".into(), vec![head(killed.id, 1, false), head(stopped.id, 2, true)], NOW).await.unwrap();
        for minute in 0..30 {
            if minute == 3 {
                next.write(&rig, 1).await;
            }
            if minute >= 3 {
                rig.store.report("vault".into(), vec![head(next.id, 1, false)], rig.clock_now()).await.unwrap();
            }
            rig.keeper.watch_streams().await.unwrap();
            carry(&rig.store).await;
            assert_eq!(rig.found("audit.stream.unclosed").await.is_empty(), minute < 13, "{minute}");
            rig.clock.advance(Duration::from_secs(60));
        }
        let id: String = killed.id.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(rig.found("audit.stream.unclosed").await, [vec![format!("vault {id} 3")]]);
        assert_eq!(rig.incidents().await, [], "a process may be killed");
    }

    async fn what_is_found_wrong_is_an_entry_of_the_log_once(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 300).await;
        rig.checkpoint().await;
        rig.tampers(&["DELETE FROM entries WHERE log_index IN (7, 9)"]).await;
        rig.check().await;
        carry(&rig.store).await;
        let told = [vec!["changed 7 to 7".to_owned(), "changed 9 to 9".to_owned()]];
        assert_eq!(rig.found("audit.incident.found").await, told);
        let activity = "SELECT min(activity) AS id FROM entries WHERE event = 'audit.incident.found'";
        assert_eq!(rig.number(activity).await, i64::from(i32::from(ActivityType::AuditError)));
        for _ in 0..3 {
            rig.check().await;
            carry(&rig.store).await;
        }
        assert_eq!(rig.found("audit.incident.found").await, told, "no loop");
        // Whoever empties the table takes nothing out of the log.
        rig.tampers(&["DELETE FROM incidents"]).await;
        assert_eq!(rig.found("audit.incident.found").await, told);
    }

    async fn a_half_written_note_is_no_note_and_hides_none(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 2).await;
        let first = rig.checkpoint().await;
        let half = format!("\n{}", &first.note[..first.note.len() / 2]);
        let mut text = fs::read_to_string(&rig.witness).unwrap();
        text.push_str(&half);
        fs::write(&rig.witness, text).unwrap();
        writer.write(&rig, 2).await;
        let second = rig.again(&db).await.checkpoint().await;
        assert_eq!((second.size, second.witnessed_at), (4, Some(NOW)));
        // The note behind the half one is whole: a log that lies behind it is found.
        rig.tampers(&["DELETE FROM checkpoints", "DELETE FROM entries WHERE log_index >= 2"]).await;
        rig.tampers(&["UPDATE log_head SET size = 2, frontier = NULL"]).await;
        assert!(rig.damage().await.contains("2 to 3"));
    }

    async fn notes_of_other_installations_are_left_alone(db: TestDb) {
        let (memory, mut writer) = (Arc::new(Memory::default()), Writer::new());
        let rig = Rig::new(&db).await.with(&db, Some(memory.clone())).await;
        memory.notes.lock().unwrap().extend([note_of([1; 16], [2; 32], 1000), "no note".to_owned()]);
        writer.write(&rig, 2).await;
        assert_eq!(rig.checkpoint().await.size, 2);
    }

    async fn a_log_that_was_begun_anew_under_the_old_key_is_found(db: TestDb) {
        let (memory, mut writer) = (Arc::new(Memory::default()), Writer::new());
        let rig = Rig::new(&db).await.with(&db, Some(memory.clone())).await;
        memory.notes.lock().unwrap().push(note_of([1; 16], SEED, 1000));
        writer.write(&rig, 2).await;
        assert!(rig.damage().await.contains("begun anew"));
        assert_eq!(rig.incidents().await[0].kind, Kind::RolledBack);
    }

    async fn the_times_of_checkpoints_never_go_back(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 2).await;
        let first = rig.checkpoint().await;
        rig.clock.set_back(Duration::from_secs(3600));
        writer.write(&rig, 2).await;
        assert_eq!(rig.checkpoint().await.created_at, first.created_at);
        rig.clock.advance(Duration::from_secs(3660));
        writer.write(&rig, 2).await;
        assert_eq!(rig.checkpoint().await.created_at, first.created_at.plus(Duration::from_secs(60)));
    }

    async fn the_end_of_a_stream_that_never_comes_is_a_gap(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        writer.write(&rig, 2).await;
        let head = |last_sequence| ReportedHead { stream_id: writer.id, last_sequence, hash: [1; 32], closed: false };
        rig.store.report("vault".into(), vec![head(5)], NOW).await.unwrap();
        rig.keeper.watch_streams().await.unwrap();
        rig.clock.advance(Duration::from_secs(9 * 60));
        rig.keeper.watch_streams().await.unwrap();
        assert_eq!(rig.incidents().await, [], "it may be on its way");
        rig.clock.advance(Duration::from_secs(60));
        rig.keeper.watch_streams().await.unwrap();
        let found = rig.incidents().await.remove(0);
        assert_eq!((found.kind, found.first, found.last), (Kind::Gap, 3, 5));
        assert_eq!((found.service.as_str(), found.stream_id), ("vault", writer.id.to_vec()));
    }

    async fn a_stream_that_moves_is_not_given_up(db: TestDb) {
        let (rig, mut writer) = (Rig::new(&db).await, Writer::new());
        for _ in 0..4 {
            writer.write(&rig, 2).await;
            let head = ReportedHead { stream_id: writer.id, last_sequence: 100, hash: [1; 32], closed: false };
            rig.store.report("vault".into(), vec![head], rig.clock_now()).await.unwrap();
            rig.keeper.watch_streams().await.unwrap();
            rig.clock.advance(Duration::from_secs(9 * 60));
        }
        assert_eq!(rig.incidents().await, []);
    }
}
