//! What this crate proves is checked by a program in another language that was written after `docs/audit-format.md` alone.
//!
//! `cargo xtask test` builds it with Go and names it in `COFFRE_TEST_CHECK_AUDIT`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_audit_proof::checkpoint::{Checkpoint, LogId, heads_digest};
use coffre_audit_proof::export::{Entry, Header, Lines, hash_text};
use coffre_audit_proof::note::SigningKey;
use coffre_audit_proof::tree::{Frontier, Hash, join, leaf_hash, over, subtrees};
use coffre_audit_proof::verify::{Asked, ExportFile, Verdict};
use coffre_audit_proof::witness::{self, Witness};
use coffre_audit_proof::{proof, tree};
use coffre_proto::audit::v1::{self, Change, Event, Outcome};
use coffre_secret::SecretBytes;
use coffre_types::Timestamp;
use prost::Message as _;
use serde_json::json;

#[allow(clippy::disallowed_methods, reason = "a test is told of its surroundings by the environment")]
fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/check-audit/check-audit");
    let found = std::env::var_os("COFFRE_TEST_CHECK_AUDIT").map_or(built, PathBuf::from);
    found.canonicalize().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test` builds it, or COFFRE_TEST_CHECK_AUDIT names it", found.display())
    })
}

/// The program's answer, or what it refuses with.
fn ask(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have refused before it read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = if output.status.success() { output.stdout } else { output.stderr };
    let text = String::from_utf8(text).unwrap().trim_end().to_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

fn signing() -> SigningKey {
    SigningKey::from_seed(&LogId::new([1; 16]).origin(), &SecretBytes::new(vec![1; 32])).unwrap()
}

fn key() -> String {
    signing().verifier().to_string()
}

fn canonical(index: u64) -> Vec<u8> {
    let salt = [index.to_be_bytes(), [7; 8]].concat();
    let event = Event { id: vec![7; 16], salt, service: "vault".into(), ..Event::default() };
    // The ends of the log say to where it was cut.
    let cut = match index {
        698 => 256,
        699 => 512,
        _ => return event.encode_to_vec(),
    };
    let change = Change { field: "firstKept".into(), old_value: None, new_value: Some(format!("{cut}")) };
    let outcome = Outcome::Successful.into();
    Event { event: "audit.cut".into(), outcome, changes: vec![change], ..event }.encode_to_vec()
}

fn leaves(size: u64) -> Vec<Hash> {
    (0..size).map(|index| leaf_hash(&canonical(index))).collect()
}

fn note(size: u64, cut: u64) -> String {
    let (root, time, heads) = (over(&leaves(size)), Timestamp::from_seconds(1_795_320_000), heads_digest(&[]));
    Checkpoint { log_id: LogId::new([1; 16]), size, root, time, heads, cut }.sign(&signing()).unwrap()
}

/// Computes a proof as the service does: each run from its subtrees.
fn hashes(runs: Vec<std::ops::Range<u64>>, leaves: &[Hash]) -> Vec<Hash> {
    let of = |node: tree::Node| over(&leaves[node.leaves().start as usize..node.leaves().end as usize]);
    runs.into_iter().map(|run| join(&subtrees(run).into_iter().map(of).collect::<Vec<_>>())).collect()
}

fn texts(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hash_text).collect()
}

fn export(from: u64, size: u64) -> String {
    let leaves = leaves(size);
    let before = match proof::inclusion(from, size) {
        Some(runs) => proof::before(from, size, &hashes(runs, &leaves)).unwrap(),
        None => Frontier::default(),
    };
    let header = Header { checkpoint: note(size, from), verifier_key: key(), ..Header::default() }.after(&before);
    let (mut lines, mut text) = Lines::begin(header).unwrap();
    for index in from..size {
        let canonical = canonical(index);
        let entry = v1::Entry {
            log_index: i64::try_from(index).unwrap(),
            leaf_hash: leaf_hash(&canonical).to_vec(),
            event: Some(Event::decode(canonical.as_slice()).unwrap()),
            canonical,
            ..v1::Entry::default()
        };
        text.push_str(&lines.entry(&Entry::of(&entry).unwrap()).unwrap());
    }
    text + &lines.end().unwrap()
}

/// A file that is gone with the test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("coffre-audit-proof-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What this crate says of an export.
fn ours(export: &str, witness: &str) -> Verdict {
    let key = signing();
    let witness = Some(Witness::read(witness.as_bytes(), key.verifier()).unwrap());
    let asked = Asked { witness, ..Asked::default() };
    ExportFile::open(export.as_bytes()).unwrap().check(key.verifier(), asked, |_| {}).unwrap().verdict()
}

#[test]
fn another_program_finds_an_export_whole() {
    for (from, size) in [(0, 1), (0, 700), (256, 700), (512, 700), (0, 256)] {
        let export = export(from, size);
        let notes = [size / 2, size].map(|size| witness::entry(&note(size.max(1), 0))).concat();
        let witness = Scratch::new(&format!("whole-{from}-{size}"), &(notes.clone() + "\ncoffre.audit/01"));
        let told = ask(&["export", &key(), witness.path()], &export).unwrap();
        assert_eq!(told, format!("{size} entries, a witness vouches for the first {size}"));
        assert_eq!(ours(&export, &notes), Verdict::Whole);
    }
}

#[test]
fn it_refuses_what_we_refuse() {
    let good = export(0, 300);
    let notes = [100, 300].map(|size| witness::entry(&note(size, 0))).concat();
    let witness = Scratch::new("refused", &notes);
    let lines: Vec<&str> = good.split_inclusive('\n').collect();
    let without = |from: usize, to: usize| [&lines[..from], &lines[to..]].concat().concat();
    let mut swapped = lines.clone();
    swapped.swap(5, 6);
    let doubled = [&lines[..6], &lines[5..]].concat().concat();
    let other = |index: u64, line: &str| {
        let other = STANDARD.encode(canonical(999));
        line.replace(&STANDARD.encode(canonical(index)), &other)
    };
    let changed = lines.iter().map(|line| other(7, line)).collect::<String>();
    let hashed = changed.replace(&hash_text(&leaf_hash(&canonical(7))), &hash_text(&leaf_hash(&canonical(999))));
    for (what, wrong) in [
        ("changed", changed),
        ("changed with its hash", hashed),
        ("removed", without(8, 9)),
        ("reordered", swapped.concat()),
        ("inserted", doubled),
        ("truncated", good[..good.len() / 2].to_owned()),
        ("without its end", without(lines.len() - 1, lines.len())),
        ("cut tail", without(lines.len() - 4, lines.len() - 1)),
        ("older", export(0, 200)),
    ] {
        assert_ne!(wrong, good, "{what}");
        assert!(ask(&["export", &key(), witness.path()], &wrong).is_err(), "{what}");
        assert_eq!(ours(&wrong, &notes), Verdict::Damaged, "{what}");
    }
    let stranger = SigningKey::from_seed(signing().verifier().name(), &SecretBytes::new(vec![2; 32])).unwrap();
    let refused = ask(&["export", &stranger.verifier().to_string()], &good).unwrap_err();
    assert!(refused.contains("not signed with this key"), "{refused}");
}

#[test]
fn it_follows_our_inclusion_proofs() {
    for size in (1..40).chain([255, 256, 257, 700]) {
        let leaves = leaves(size);
        for index in [0, size / 3, size / 2, size - 1] {
            let hashes = hashes(proof::inclusion(index, size).unwrap(), &leaves);
            let proof = |canonical: &[u8]| {
                let checkpoint = json!({"size": size.to_string(), "note": note(size, 0)});
                json!({"logIndex": index.to_string(), "canonical": STANDARD.encode(canonical), "hashes": texts(&hashes), "checkpoint": checkpoint}).to_string()
            };
            let told = ask(&["inclusion", &key()], &proof(&canonical(index)));
            assert_eq!(told, Ok(format!("entry {index} is one of the {size}")));
            let refused = ask(&["inclusion", &key()], &proof(&canonical(index + 1))).unwrap_err();
            assert!(refused.contains("does not lead"), "{refused}");
        }
    }
}

#[test]
fn it_follows_our_consistency_proofs() {
    let notes: Vec<Scratch> = (0..=33).map(|size| Scratch::new(&format!("note-{size}"), &note(size, 0))).collect();
    for to in [1, 2, 3, 7, 8, 13, 33_usize] {
        let leaves = leaves(to as u64);
        for from in 1..=to {
            let mut hashes = hashes(proof::consistency(from as u64, to as u64).unwrap(), &leaves);
            let arguments = ["consistency", &key(), notes[from].path(), notes[to].path()];
            let proof = |hashes: &[Hash]| json!({"hashes": texts(hashes)}).to_string();
            let told = ask(&arguments, &proof(&hashes));
            assert_eq!(told, Ok(format!("the log of {from} is the beginning of the log of {to}")));
            hashes.push([1; 32]);
            assert!(ask(&arguments, &proof(&hashes)).is_err());
            if hashes.len() > 1 {
                hashes.pop();
                hashes[0][0] ^= 1;
                assert!(ask(&arguments, &proof(&hashes)).is_err());
            }
        }
    }
}
