use coffre_secret::SecretBytes;

use super::*;
use crate::checkpoint::heads_digest;
use crate::note::SigningKey;

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&LogId::new([number; 16]).origin(), &SecretBytes::new(vec![number; 32])).unwrap()
}

fn note(log: u8, size: u64, root: u8) -> String {
    let time = Timestamp::from_seconds(1_795_320_000);
    let heads = heads_digest(&[]);
    Checkpoint { log_id: LogId::new([log; 16]), size, root: [root; 32], time, heads, cut: 0 }.sign(&key(log)).unwrap()
}

fn read(file: &str) -> Witness {
    Witness::read(file.as_bytes(), key(1).verifier()).unwrap()
}

fn sizes(witness: &Witness) -> Vec<u64> {
    witness.seen.keys().copied().collect()
}

#[test]
fn notes_one_after_the_other_are_read() {
    let entries: String = [1, 5, 9].map(|size| entry(&note(1, size, 7))).concat();
    let plain: String = [1, 5, 9].map(|size| note(1, size, 7)).concat();
    let spaced = [1, 5, 9].map(|size| note(1, size, 7)).join("\n\n");
    for file in [entries, plain, spaced] {
        let witness = read(&file);
        assert_eq!((sizes(&witness), witness.half(), witness.findings()), (vec![1, 5, 9], 0, &[][..]), "{file}");
        assert_eq!(witness.last().map(|(size, seen)| (size, seen.root)), Some((9, [7; 32])));
        assert_eq!((witness.next_after(1), witness.next_after(9)), (Some(5), None));
    }
}

#[test]
fn wherever_a_writer_was_stopped_only_its_last_note_is_lost() {
    let (first, second, third) = (entry(&note(1, 5, 7)), entry(&note(1, 9, 7)), entry(&note(1, 12, 7)));
    for cut in 1..second.len() {
        let Some(half) = second.get(..cut) else { continue };
        let witness = read(&format!("{first}{half}"));
        assert_eq!((sizes(&witness), witness.findings()), (vec![5], &[][..]), "cut at {cut}");
        assert_eq!(witness.half(), u64::from(cut >= 46), "cut at {cut}");
        // The next one begins on a line of its own.
        let witness = read(&format!("{first}{half}{third}"));
        let expected = if cut + 1 == second.len() { vec![5, 9, 12] } else { vec![5, 12] };
        assert_eq!((sizes(&witness), witness.findings()), (expected, &[][..]), "cut at {cut}");
    }
}

#[test]
fn lines_of_a_log_are_read_wherever_they_hold_the_note() {
    let in_fields = serde_json::json!({"level": "INFO", "fields": {"message": "checkpoint", "note": note(1, 5, 7)}});
    let flat = serde_json::json!({"msg": "checkpoint", "note": note(1, 9, 7)});
    let file = format!(
        "{{\"level\":\"INFO\",\"msg\":\"other\"}}\n{in_fields}\nplain text\n{flat}\n{}{{\"note\":\"coffre.audit/0101",
        entry(&note(1, 12, 7))
    );
    let witness = read(&file);
    assert_eq!((sizes(&witness), witness.findings()), (vec![5, 9, 12], &[][..]));
}

#[test]
fn a_half_note_does_not_swallow_the_lines_of_a_log() {
    let line = serde_json::json!({"note": note(1, 9, 7)});
    let half = note(1, 5, 7);
    let witness = read(&format!("{}\n{line}\n", half.get(..60).unwrap()));
    assert_eq!((sizes(&witness), witness.half()), (vec![9], 1));
}

#[test]
fn what_was_changed_or_signed_by_another_key_is_named() {
    let kinds = |file: String| read(&file).findings().iter().map(Finding::kind).collect::<Vec<_>>();
    assert_eq!(kinds(note(1, 5, 7).replacen("\n5\n", "\n6\n", 1)), ["changed"]);
    let other = SigningKey::from_seed(key(1).verifier().name(), &SecretBytes::new(vec![9; 32])).unwrap();
    let text = note(1, 5, 7);
    let signed = other.sign(&format!("{}\n", text.split_once("\n\n").unwrap().0)).unwrap();
    assert_eq!(kinds(signed), ["wrongKey"]);
    assert_eq!(kinds(note(1, 5, 7) + &note(1, 5, 8)), ["rolledBack"]);
    assert_eq!(kinds(note(1, 5, 7) + &note(1, 5, 7)), [""; 0]);
}

#[test]
fn notes_of_other_logs_count_only_where_there_are_no_others() {
    let mixed = read(&(note(2, 5, 7) + &note(1, 9, 7)));
    assert_eq!((sizes(&mixed), mixed.foreign(), mixed.findings()), (vec![9], 1, &[][..]));
    let foreign = read(&(note(2, 5, 7) + &note(3, 9, 7)));
    assert!(foreign.is_empty());
    assert_eq!(foreign.findings().iter().map(Finding::kind).collect::<Vec<_>>(), ["otherLog"]);
}

#[test]
fn an_export_is_no_witness() {
    let line = |kind: &str| serde_json::json!({"kind": kind, "checkpoint": note(1, 5, 7)}).to_string() + "\n";
    assert_eq!(sizes(&read(&line("checkpoint"))), [5]);
    assert!(read(&line("export")).is_empty());
}

#[test]
fn what_is_no_witness_is_read_and_holds_nothing() {
    let long = format!("{}\n{}", "x".repeat(3 << 20), note(1, 5, 7));
    assert_eq!(sizes(&read(&long)), [5]);
    for file in ["", "\n\n\n", "{", "{}\n[]\n{\"note\":3}", "coffre.audit/01010101010101010101010101010101"] {
        assert!(read(file).is_empty(), "{file}");
    }
    assert!(Witness::read(&[0xff, 0xfe, b'\n', 0xff][..], key(1).verifier()).unwrap().is_empty());
}
