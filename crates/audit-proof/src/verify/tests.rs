//! A log, its export and its witness; then one fault after the other.

mod cut;

use coffre_proto::audit::v1::{self, Actor, Event};
use coffre_secret::SecretBytes;
use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::checkpoint::{Checkpoint, LogId, heads_digest};
use crate::export::{Entry, Header, Lines, Mark, hash_text};
use crate::naive;
use crate::note::SigningKey;
use crate::proof;
use crate::seals::LastSeals;
use crate::tree::{Frontier, Hash, leaf_hash};
use crate::witness::{self, Witness};
use crate::words::WORDS;

const SIZE: u64 = 700;

/// A log: its entries, and the key that signs its checkpoints.
#[derive(Clone)]
struct Log {
    id: LogId,
    seed: u8,
    entries: Vec<Vec<u8>>,
}

impl Log {
    fn new(size: u64) -> Self {
        Self { id: LogId::new([1; 16]), seed: 1, entries: (0..size).map(|index| bytes(index, "bob")).collect() }
    }

    fn key(&self) -> SigningKey {
        SigningKey::from_seed(&self.id.origin(), &SecretBytes::new(vec![self.seed; 32])).unwrap()
    }

    fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    fn checkpoint(&self, size: u64, cut: u64) -> Checkpoint {
        let time = Timestamp::from_seconds(1_795_320_000 + i64::try_from(size).unwrap());
        let root = naive::root(&self.leaves()[..size as usize]);
        Checkpoint { log_id: self.id, size, root, time, heads: heads_digest(&[]), cut }
    }

    fn note(&self, size: u64) -> String {
        self.checkpoint(size, 0).sign(&self.key()).unwrap()
    }

    fn witness(&self, sizes: &[u64]) -> String {
        sizes.iter().map(|size| witness::entry(&self.note(*size))).collect()
    }

    fn line(&self, index: u64) -> Entry {
        line(index, &self.entries[index as usize])
    }

    fn header(&self) -> Header {
        let size = self.entries.len() as u64;
        Header { checkpoint: self.note(size), verifier_key: self.key().verifier().to_string(), ..Header::default() }
    }

    fn export(&self) -> Vec<String> {
        let (mut lines, first) = Lines::begin(self.header()).unwrap();
        let mut all = vec![first];
        for index in 0..self.entries.len() as u64 {
            all.extend(lines.entry(&self.line(index)).unwrap().split_inclusive('\n').map(str::to_owned));
        }
        all.push(lines.end().unwrap());
        all
    }
}

fn bytes(index: u64, user: &str) -> Vec<u8> {
    let mut id = [0; 16];
    id[8..].copy_from_slice(&index.to_be_bytes());
    let actor = Actor { user_id: 7, user_name: user.into(), ..Actor::default() };
    let seal = v1::ValueSeal { value_id: i64::try_from(index % 10).unwrap() + 1, version: 3, mac: vec![9; 32] };
    let event = Event {
        id: id.to_vec(),
        salt: vec![2; 16],
        time_us: 1_795_320_000_000_000,
        actor: Some(actor),
        value_seals: vec![seal],
        ..Event::default()
    };
    event.encode_to_vec()
}

fn line(index: u64, canonical: &[u8]) -> Entry {
    Entry::of(&v1::Entry {
        log_index: i64::try_from(index).unwrap(),
        leaf_hash: leaf_hash(canonical).to_vec(),
        event: Some(Event::decode(canonical).unwrap()),
        canonical: canonical.to_vec(),
        ..v1::Entry::default()
    })
    .unwrap()
}

fn text(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap() + "\n"
}

/// Checks a file with the key of the log and what its witness saw.
fn check(log: &Log, lines: &[String], witness: Option<&str>) -> Report {
    let key = log.key();
    let witness = witness.map(|file| Witness::read(file.as_bytes(), key.verifier()).unwrap());
    let asked = Asked { witness, ..Asked::default() };
    let text = lines.concat();
    ExportFile::open(text.as_bytes()).unwrap().check(key.verifier(), asked, |_| {}).unwrap()
}

/// The line of an entry, past the header and the blocks' lines before it.
fn at(index: u64) -> usize {
    usize::try_from(1 + index + index / 256).unwrap()
}

fn kinds(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(Finding::kind).collect()
}

const SEEN: &[u64] = &[100, 256, 300, 600, SIZE];

#[test]
fn a_whole_log_is_whole_only_where_a_witness_saw_its_end() {
    let log = Log::new(SIZE);
    let export = log.export();
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!((report.verdict(), report.entries, report.size, report.anchored), (Verdict::Whole, SIZE, SIZE, SIZE));
    for (witness, anchored) in [(None, 0), (Some(String::new()), 0), (Some(log.witness(&[100, 600])), 600)] {
        let report = check(&log, &export, witness.as_deref());
        assert_eq!((report.verdict(), report.anchored, report.findings), (Verdict::NotAnchored, anchored, vec![]));
    }
}

#[test]
fn a_changed_entry_is_named() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    let changed = line(400, &bytes(400, "eve"));
    // With the old leaf hash: exactly it, and all others are proved.
    export[at(400)] = text(&Entry { leaf_hash: log.line(400).leaf_hash, ..changed.clone() });
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::Changed { index: 400, id: changed.id.clone() }]);
    assert_eq!((report.verdict(), report.anchored), (Verdict::Damaged, SIZE));
    // With its own: within its block.
    export[at(400)] = text(&changed);
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::ChangedWithin { first: 256, last: 511 }]);
    assert_eq!((report.verdict(), report.anchored), (Verdict::Damaged, SIZE));
    // With its own block hash, too: between two roots that a witness saw.
    let mut leaves = log.leaves();
    leaves[400] = leaf_hash(&bytes(400, "eve"));
    export[at(512) - 1] = block(1, &naive::root(&leaves[256..512]));
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::ChangedWithin { first: 300, last: 599 }]);
    assert_eq!(report.verdict(), Verdict::Damaged);
}

fn block(index: u64, hash: &Hash) -> String {
    serde_json::to_string(&Mark::Block { index, hash: hash_text(hash) }).unwrap() + "\n"
}

#[test]
fn a_fault_is_found_in_the_smaller_of_block_and_witnessed_run() {
    let log = Log::new(SIZE);
    let mut export = log.export();
    export[at(50)] = text(&line(50, &bytes(50, "eve")));
    export[at(600)] = text(&line(600, &bytes(600, "eve")));
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(
        report.findings,
        [Finding::ChangedWithin { first: 0, last: 99 }, Finding::ChangedWithin { first: 600, last: 699 }]
    );
}

#[test]
fn what_a_line_shows_is_compared_with_what_its_entry_holds() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    let (id, witness) = (log.line(7).id, log.witness(SEEN));
    for (field, changed) in [
        ("userName", Entry { user_name: "eve".into(), ..log.line(7) }),
        ("eventDescription", Entry { event_description: "nothing happened".into(), ..log.line(7) }),
        ("detail", Entry { detail: "{}".into(), ..log.line(7) }),
    ] {
        export[at(7)] = text(&changed);
        let report = check(&log, &export, Some(&witness));
        assert_eq!(report.findings, [Finding::Shown { index: 7, id: id.clone(), field }]);
    }
    // What no entry has is not shown beside it, and nothing hides it from whoever reads the lines without a kind.
    for more in ["\"comment\":\"approved\"", "\"kind\":\"note\""] {
        export[at(7)] = text(&log.line(7)).replacen('{', &format!("{{{more},"), 1);
        assert_eq!(check(&log, &export, Some(&witness)).verdict(), Verdict::Damaged, "{more}");
    }
}

#[test]
fn a_file_in_the_words_of_another_version_is_not_called_whole_unless_one_says_so() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    export[0] = export[0].replacen(&format!("\"words\":{WORDS}"), "\"words\":9", 1);
    export[at(7)] = text(&Entry { event_description: "nothing happened".into(), ..log.line(7) });
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!((report.verdict(), report.unread), (Verdict::Unread, Some(9)));
    let of = |export: &[String]| {
        let (key, text) = (log.key(), export.concat());
        let witness = Some(Witness::read(log.witness(SEEN).as_bytes(), key.verifier()).unwrap());
        let asked = Asked { witness, other_words: true, ..Asked::default() };
        ExportFile::open(text.as_bytes()).unwrap().check(key.verifier(), asked, |_| {}).unwrap().verdict()
    };
    assert_eq!(of(&export), Verdict::Whole);
    // Of words that it knows, they are compared all the same, and what else a line shows in any words.
    export[at(8)] = text(&Entry { object_name: "x".into(), ..log.line(8) });
    assert_eq!(of(&export), Verdict::Damaged);
    let mut export = log.export();
    export[at(7)] = text(&Entry { event_description: "nothing happened".into(), ..log.line(7) });
    assert_eq!(of(&export), Verdict::Damaged);
}

#[test]
fn bytes_in_another_form_are_named() {
    let mut log = Log::new(SIZE);
    let mut export = log.export();
    log.entries[7].extend([0xf8, 0x07, 0x01]);
    export[at(7)] = text(&log.line(7));
    let report = check(&log, &log.export(), Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::NotCanonical { index: 7 }]);
}

#[test]
fn a_removed_entry_is_named_and_the_others_are_still_judged() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    export[at(600)] = text(&line(600, &bytes(600, "eve")));
    export.remove(at(400));
    export.remove(at(5));
    set_end(&mut export, SIZE - 2);
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(
        report.findings,
        [
            Finding::Removed { first: 5, last: 5 },
            Finding::Removed { first: 400, last: 400 },
            Finding::ChangedWithin { first: 600, last: 699 },
        ]
    );
}

fn set_end(export: &mut [String], entries: u64) {
    *export.last_mut().unwrap() = serde_json::to_string(&Mark::End { entries }).unwrap() + "\n";
}

#[test]
fn a_removed_block_is_named_even_with_its_line() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    export.drain(at(256)..at(512));
    set_end(&mut export, SIZE - 256);
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::Removed { first: 256, last: 511 }]);
    assert_eq!(report.verdict(), Verdict::Damaged);
}

#[test]
fn a_block_that_is_named_in_the_wrong_place_or_wrongly_is_named() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    export.insert(5, block(0, &[1; 32]));
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::ChangedWithin { first: 0, last: 255 }]);
    // The last entries of a block are missing, and its line is there.
    let mut export = log.export();
    export.drain(at(509)..at(512) - 1);
    set_end(&mut export, SIZE - 3);
    export[at(600) - 3] = text(&line(600, &bytes(600, "eve")));
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(
        report.findings,
        [Finding::Removed { first: 509, last: 511 }, Finding::ChangedWithin { first: 600, last: 699 }]
    );
}

#[test]
fn a_removed_entry_shows_where_all_that_follow_were_numbered_anew() {
    let log = Log::new(SIZE);
    let mut other = log.clone();
    other.entries.remove(400);
    // The block hashes and the end fit; the checkpoint is the signed one.
    let mut export = other.export();
    export[0] = log.export()[0].clone();
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(kinds(&report), ["cutTail", "changed"]);
    assert_eq!(report.findings[1], Finding::ChangedWithin { first: 300, last: 599 });
}

#[test]
fn an_inserted_entry_is_named() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    let twice = export[at(400)].clone();
    export.insert(at(401), twice);
    set_end(&mut export, SIZE + 1);
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::Inserted { index: 400, id: log.line(400).id }]);

    // Behind the end.
    let mut export = log.export();
    let more = line(SIZE, &bytes(SIZE, "eve"));
    export.insert(export.len() - 1, text(&more));
    set_end(&mut export, SIZE + 1);
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::Inserted { index: SIZE, id: more.id }]);
}

#[test]
fn a_reordered_entry_is_named() {
    let (log, mut export) = (Log::new(SIZE), Log::new(SIZE).export());
    export.swap(at(400), at(401));
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::Reordered { index: 400, id: log.line(400).id, behind: 401 }]);

    // Numbered anew: their bytes are at other places than they were.
    let mut export = log.export();
    export[at(400)] = text(&line(400, &log.entries[401]));
    export[at(401)] = text(&line(401, &log.entries[400]));
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::ChangedWithin { first: 256, last: 511 }]);
}

#[test]
fn a_log_that_was_put_back_and_written_anew_is_named() {
    let log = Log::new(SIZE);
    let mut other = log.clone();
    other.entries.truncate(450);
    other.entries.extend((450..800).map(|index| bytes(index, "eve")));
    let report = check(&log, &other.export(), Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::RolledBack { kept: 300, seen: 600 }]);
    assert_eq!((report.verdict(), report.anchored), (Verdict::Damaged, 300));
    // Without the witness it looks whole, and that is why it is not called so.
    assert_eq!(check(&log, &other.export(), None).verdict(), Verdict::NotAnchored);
    // Two histories of one size.
    let mut same = log.clone();
    same.entries[650] = bytes(650, "eve");
    let report = check(&log, &same.export(), Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::RolledBack { kept: 600, seen: SIZE }]);
}

#[test]
fn a_cut_tail_is_named() {
    let log = Log::new(SIZE);
    // Entries and the end fit each other, the checkpoint does not.
    let mut export = log.export();
    export.drain(at(650)..at(SIZE));
    set_end(&mut export, 650);
    let time = log.checkpoint(SIZE, 0).time;
    let report = check(&log, &export, Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::CutTail { kept: 650, size: SIZE, time }]);
    // A log with an older checkpoint: only the witness knows.
    let mut older = log.clone();
    older.entries.truncate(600);
    let report = check(&log, &older.export(), Some(&log.witness(SEEN)));
    assert_eq!(report.findings, [Finding::Behind { kept: 600, size: SIZE, time }]);
    assert_eq!(kinds(&report), ["cutTail"]);
    // Where one says that the export is older, it is whole.
    let (key, text) = (log.key(), older.export().concat());
    let witness = Some(Witness::read(log.witness(SEEN).as_bytes(), key.verifier()).unwrap());
    let asked = Asked { witness, older: true, ..Asked::default() };
    let report = ExportFile::open(text.as_bytes()).unwrap().check(key.verifier(), asked, |_| {}).unwrap();
    assert_eq!((report.verdict(), report.size), (Verdict::Whole, 600));
}

#[test]
fn wherever_a_file_is_truncated_it_is_named() {
    let log = Log::new(20);
    let text = log.export().concat();
    let witness = log.witness(&[20]);
    let first = text.find('\n').unwrap() + 1;
    for length in (first..text.len()).step_by(97).chain([text.len() - 1]) {
        let report = check(&log, &[text[..length].to_owned()], Some(&witness));
        let entries = text[..length].matches('\n').count() as u64 - 1;
        assert_eq!(report.findings, [Finding::Truncated { entries }], "{length}");
        assert_eq!(report.verdict(), Verdict::Damaged);
    }
    for length in [0, 1, first - 1] {
        assert!(matches!(ExportFile::open(&text.as_bytes()[..length]), Err(NotAnExport::Header)));
    }
}

#[test]
fn a_wrong_key_and_another_log_are_named() {
    let log = Log::new(SIZE);
    let export = log.export();
    let other_key = Log { seed: 2, ..log.clone() };
    assert_eq!(kinds(&check(&other_key, &export, None)), ["wrongKey"]);
    let other_log = Log { id: LogId::new([2; 16]), ..log.clone() };
    assert_eq!(kinds(&check(&other_log, &export, None)), ["otherLog"]);
    // Of the witness.
    let report = check(&log, &export, Some(&(other_key.witness(&[100]) + &log.witness(SEEN))));
    assert_eq!((kinds(&report), report.verdict()), (vec!["wrongKey"], Verdict::Damaged));
    let report = check(&log, &export, Some(&other_log.witness(SEEN)));
    assert_eq!((kinds(&report), report.verdict()), (vec!["otherLog"], Verdict::Damaged));
    let report = check(&log, &export, Some(&(other_log.witness(SEEN) + &log.witness(SEEN))));
    assert_eq!((report.foreign_notes, report.verdict()), (SEEN.len() as u64, Verdict::Whole));
}

#[test]
fn a_changed_checkpoint_is_named() {
    let log = Log::new(20);
    let mut export = log.export();
    export[0] = export[0].replacen("\\n20\\n", "\\n19\\n", 1);
    assert_eq!(kinds(&check(&log, &export, None)), ["changed"]);
    let report = check(&log, &log.export(), Some(&log.witness(&[10, 20]).replacen("\n10\n", "\n11\n", 1)));
    assert_eq!((kinds(&report), report.verdict()), (vec!["changed"], Verdict::Damaged));
}

#[test]
fn a_half_note_of_the_witness_is_told_and_is_no_damage() {
    let log = Log::new(20);
    let witness = log.witness(&[10, 20]);
    let next = Log::new(30).witness(&[30]);
    let report = check(&log, &log.export(), Some(&format!("{witness}{}", &next[..next.len() - 30])));
    assert_eq!((report.verdict(), report.half_notes), (Verdict::Whole, 1));
}

#[test]
fn a_file_of_everything_from_which_entries_were_taken_does_not_pass_for_whole() {
    // Whoever has a whole export computes all proofs from it, says that it was filtered, and leaves out what nobody shall see.
    let log = Log::new(53);
    let kept: Vec<u64> = (0..53).filter(|index| ![10, 30, 34].contains(index)).collect();
    let report = check(&log, &picked(&log, &kept), Some(&log.witness(&[53])));
    assert_eq!((report.verdict(), report.entries, report.findings), (Verdict::Picked, 50, vec![]));
}

fn picked(log: &Log, indexes: &[u64]) -> Vec<String> {
    let header = Header { filter: Some("userName = bob".into()), ..log.header() };
    let (mut lines, first) = Lines::begin(header).unwrap();
    let leaves = log.leaves();
    let mut all = vec![first];
    for index in indexes {
        let proof = naive::path(*index as usize, &leaves).iter().map(hash_text).collect();
        all.push(lines.entry(&Entry { proof: Some(proof), ..log.line(*index) }).unwrap());
    }
    all.push(lines.end().unwrap());
    all
}

#[test]
fn picked_entries_are_judged_by_their_proofs() {
    let log = Log::new(SIZE);
    let (good, witness) = (picked(&log, &[3, 256, 699]), log.witness(SEEN));
    let report = check(&log, &good, Some(&witness));
    assert_eq!((report.verdict(), report.entries, report.picked), (Verdict::Picked, 3, true));
    assert_eq!(check(&log, &good, Some(&log.witness(&[600]))).verdict(), Verdict::NotAnchored);

    let with = |line: usize, entry: &Entry| {
        let mut lines = good.clone();
        lines[line] = text(entry);
        check(&log, &lines, Some(&witness)).findings
    };
    let proof = |line: usize| serde_json::from_str::<Entry>(&good[line]).unwrap().proof;
    let eve = line(256, &bytes(256, "eve"));
    let id = eve.id.clone();
    assert_eq!(
        with(2, &Entry { proof: proof(2), ..eve.clone() }),
        [Finding::NotIncluded { index: 256, id: id.clone() }]
    );
    assert_eq!(
        with(2, &Entry { proof: proof(2), leaf_hash: log.line(256).leaf_hash, ..eve }),
        [Finding::Changed { index: 256, id: id.clone() }]
    );
    assert_eq!(with(2, &Entry { proof: proof(1), ..log.line(256) }), [Finding::NotIncluded { index: 256, id }]);
    assert_eq!(with(2, &Entry { proof: proof(1), ..log.line(3) })[0].kind(), "inserted");
    assert_eq!(with(3, &Entry { proof: proof(1), ..log.line(3) })[0].kind(), "reordered");

    let mut unproven = good.clone();
    unproven[2] = text(&log.line(256));
    let report = check(&log, &unproven, Some(&witness));
    assert_eq!((report.verdict(), report.unproven), (Verdict::NotAnchored, 1));
    let mut same = log.clone();
    same.entries[650] = bytes(650, "eve");
    assert_eq!(kinds(&check(&log, &picked(&same, &[3]), Some(&witness))), ["rolledBack"]);
    assert_eq!(kinds(&check(&log, &good[..3], Some(&witness))), ["truncated"]);
}

#[test]
fn lines_that_do_not_belong_there_are_named() {
    let log = Log::new(300);
    let (export, witness) = (log.export(), log.witness(&[300]));
    let end = export.last().unwrap().clone();
    for (place, wrong) in [
        (5, "not json\n".to_owned()),
        (5, "{}\n".to_owned()),
        (5, export[0].clone()),
        (5, block(u64::MAX, &[1; 32])),
        (5, "{\"kind\":\"block\",\"index\":\"0\",\"hash\":\"x\"}\n".to_owned()),
        (export.len() - 1, "{\"kind\":\"end\",\"entries\":\"299\"}\n".to_owned()),
        (export.len(), end),
    ] {
        let mut lines = export.clone();
        lines.insert(place, wrong.clone());
        let report = check(&log, &lines, Some(&witness));
        assert!(report.findings.iter().any(|finding| matches!(finding, Finding::Line { .. })), "{wrong}: {report:?}");
    }
    let garbled = Entry { leaf_hash: "?".into(), ..log.line(4) };
    let mut lines = export.clone();
    lines[at(4)] = text(&garbled);
    assert_eq!(check(&log, &lines, Some(&witness)).findings[0].kind(), "changed");
    for (header, refused) in [("\"version\":1", "\"version\":2"), ("\"kind\":\"export\"", "\"kind\":\"x\"")] {
        let text = export[0].replacen(header, refused, 1);
        assert!(ExportFile::open(text.as_bytes()).is_err());
    }
}

#[test]
fn a_number_of_faults_is_counted_and_not_kept() {
    let log = Log::new(1200);
    let mut export = log.export();
    for index in 0..1200 {
        export[at(index)] = text(&Entry { user_name: "eve".into(), ..log.line(index) });
    }
    let report = check(&log, &export, Some(&log.witness(&[1200])));
    assert_eq!((report.findings.len(), report.total_findings), (MAX_FINDINGS, 1200));
}

#[test]
fn a_position_beyond_every_log_costs_nothing() {
    let log = Log::new(20);
    let mut export = log.export();
    export[at(4)] = text(&Entry { log_index: u64::MAX, ..log.line(4) });
    let report = check(&log, &export, Some(&log.witness(&[20])));
    assert_eq!(kinds(&report), ["inserted", "removed"]);
}

#[test]
fn seals_are_collected_on_the_way() {
    let log = Log::new(300);
    let (key, text) = (log.key(), log.export().concat());
    let (mut seals, mut told) = (LastSeals::default(), Vec::new());
    let asked = Asked { seals: Some(&mut seals), ..Asked::default() };
    ExportFile::open(text.as_bytes()).unwrap().check(key.verifier(), asked, |position| told.push(position)).unwrap();
    assert_eq!((seals.len(), seals.compare(10, 3, &[9; 32])), (10, None));
    assert_eq!(told.last(), Some(&Position { bytes: text.len() as u64, entries: 300 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever one byte of an export is turned into, it is not whole, or it says the same as before.
    #[test]
    fn no_byte_of_an_export_can_be_changed_unseen(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let log = Log::new(20);
        let mut text = log.export().concat().into_bytes();
        let place = place.index(text.len());
        let before = std::mem::replace(&mut text[place], byte);
        let key = log.key();
        let witness = Some(Witness::read(log.witness(&[20]).as_bytes(), key.verifier()).unwrap());
        let Ok(file) = ExportFile::open(&text[..]) else { return Ok(()) };
        // What the file says of itself and nobody signs: when it was made and by which key.
        let report = file.check(key.verifier(), Asked { witness, ..Asked::default() }, |_| {}).unwrap();
        if report.verdict() == Verdict::Whole && byte != before {
            let line = text[..place].iter().filter(|byte| **byte == b'\n').count();
            let shown = String::from_utf8_lossy(text.split(|byte| *byte == b'\n').nth(line).unwrap_or_default()).into_owned();
            let said = serde_json::from_str::<Entry>(&shown).is_ok_and(|entry| entry == log.line(entry.log_index));
            prop_assert!(line == 0 || said, "{shown}");
        }
    }

    #[test]
    fn no_file_makes_the_verifier_panic(lines in proptest::collection::vec("[ -~]{0,60}|\\{\"kind\":\"(block|end|export)\",\"(index|entries)\":\"[0-9]{1,20}\"\\}", 0..10)) {
        let log = Log::new(5);
        let text = log.export()[0].clone() + &lines.join("\n");
        let key = log.key();
        ExportFile::open(text.as_bytes()).unwrap().check(key.verifier(), Asked::default(), |_| {}).unwrap();
    }
}
