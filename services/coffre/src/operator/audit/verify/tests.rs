//! Files, and a server that answers what a test tells it to.

use std::path::Path;

use clap::Parser as _;
use coffre_audit_proof::checkpoint::LogId;
use coffre_audit_proof::export::{Entry, Lines, hash_text};
use coffre_audit_proof::note::SigningKey;
use coffre_audit_proof::tree::{Node, join, leaf_hash, over, subtrees};
use coffre_audit_proof::{proof, witness};
use coffre_error::Reason;
use coffre_proto::audit::v1::{
    Change, CreateCheckpointResponse, Event, GetInclusionProofResponse, GetLatestCheckpointResponse,
    ListIncidentsResponse, Outcome, ValueSeal,
};
use coffre_proto::auth::v1::SignInResponse;
use coffre_proto::vault::v1::{ListValueSealsResponse, StoredValueSeal};
use coffre_secret::SecretBytes;
use coffre_types::Timestamp;
use prost::Message as _;
use serde_json::Value;

use super::super::super::tests::{Fake, Server};
use super::super::{AuditArgs, AuditCommand};
use super::*;
use crate::cli::{Cli, Command};

const SIZE: u64 = 300;

fn signing() -> SigningKey {
    SigningKey::from_seed(&LogId::new([1; 16]).origin(), &SecretBytes::new(vec![1; 32])).unwrap()
}

fn entry(index: u64) -> v1::Entry {
    let seal = ValueSeal { value_id: 1 + i64::try_from(index % 5).unwrap(), version: 3, mac: vec![9; 32] };
    let event =
        Event { id: vec![7; 16], salt: index.to_be_bytes().to_vec(), value_seals: vec![seal], ..Event::default() };
    let canonical = event.encode_to_vec();
    v1::Entry {
        log_index: i64::try_from(index).unwrap(),
        leaf_hash: leaf_hash(&canonical).to_vec(),
        canonical,
        event: Some(event),
        ..v1::Entry::default()
    }
}

fn note(size: u64) -> String {
    let mut tree = Frontier::default();
    (0..size).for_each(|index| tree.push(leaf_hash(&entry(index).canonical), |_, _| {}));
    let (root, time, heads) = (tree.root(), Timestamp::from_seconds(1_795_320_000), heads_digest(&[]));
    Checkpoint { log_id: LogId::new([1; 16]), size, root, time, heads, cut: 0 }.sign(&signing()).unwrap()
}

fn export() -> String {
    let header = Header { checkpoint: note(SIZE), verifier_key: signing().verifier().to_string(), ..Header::default() };
    let (mut lines, mut text) = Lines::begin(header).unwrap();
    for index in 0..SIZE {
        text.push_str(&lines.entry(&Entry::of(&entry(index)).unwrap()).unwrap());
    }
    text + &lines.end().unwrap()
}

fn parsed(line: &str) -> Option<AuditArgs> {
    let words = ["coffre", "audit", "verify"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).ok()?.command {
        Command::Audit(args) => Some(args),
        other => panic!("{line}: {other:?}"),
    }
}

/// Runs the command on a file; nobody can be asked for a password, so that a server would be a fault.
fn verify(folder: &Path, line: &str) -> (Result<(), Fault>, Value) {
    let line = line.replace("@", &format!("{}/", folder.display()));
    let args = parsed(&format!("{line} --json")).unwrap();
    let mut out = Vec::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let done = runtime.block_on(super::super::command(&args, &mut Fake::piped(b""), &mut out));
    (done, serde_json::from_slice(&out).unwrap_or_default())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("log", &export());
    write("witness", &[100, SIZE].map(|size| witness::entry(&note(size))).concat());
    write("key", &format!("{}\n", signing().verifier()));
    folder
}

#[test]
fn the_exit_code_says_whether_a_file_is_whole_anchored_or_damaged() {
    let folder = folder();
    let (done, told) = verify(folder.path(), "@log --witness @witness --key @key");
    done.unwrap();
    assert_eq!((&told["verdict"], &told["keyGiven"]), (&"whole".into(), &true.into()));
    assert_eq!((&told["anchored"], &told["entries"]), (&"300".into(), &300.into()));

    let (done, told) = verify(folder.path(), "@log");
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"]), (3, &"notAnchored".into()));

    let text = export();
    let cut = text.len() / 2;
    std::fs::write(folder.path().join("log"), &text[..cut]).unwrap();
    let (done, told) = verify(folder.path(), "@log --witness @witness");
    let fault = done.unwrap_err();
    assert_eq!((fault.exit_code(), &told["verdict"]), (1, &"damaged".into()));
    assert_eq!(told["findings"][0]["kind"], "truncated");
    assert!(fault.to_string().contains("1 finding"), "{fault}");
    assert!(fault.is_told(), "it stands in the answer, and is not said again");
}

#[test]
fn a_file_that_is_older_than_its_witness_is_told_how_to_say_so() {
    let folder = folder();
    let seen = [100, SIZE].map(|size| witness::entry(&note(size))).concat() + &witness::entry(&note(SIZE + 5));
    std::fs::write(folder.path().join("witness"), seen).unwrap();
    let (done, told) = verify(folder.path(), "@log --witness @witness");
    assert_eq!((done.unwrap_err().exit_code(), &told["findings"][0]["kind"]), (1, &"cutTail".into()));
    assert!(told["findings"][0]["message"].as_str().unwrap().contains("--older"), "{told}");
    let (done, told) = verify(folder.path(), "@log --witness @witness --older");
    done.unwrap();
    assert_eq!(told["verdict"], "whole");
}

#[test]
fn an_export_of_some_never_ends_as_one_of_everything() {
    let folder = folder();
    let leaves: Vec<Hash> = (0..SIZE).map(|index| leaf_hash(&entry(index).canonical)).collect();
    let (checkpoint, verifier_key) = (note(SIZE), signing().verifier().to_string());
    let filter = Some("userName = \"ada\"\u{1b}[2J".to_owned());
    let (mut lines, mut text) = Lines::begin(Header { checkpoint, verifier_key, filter, ..Header::default() }).unwrap();
    // What nobody shall see is left out.
    for index in (0..SIZE).filter(|index| *index != 30) {
        let hashes = proof::inclusion(index, SIZE).unwrap().into_iter();
        let run = |run: std::ops::Range<u64>| {
            let of = |node: Node| over(&leaves[node.leaves().start as usize..node.leaves().end as usize]);
            hash_text(&join(&subtrees(run).into_iter().map(of).collect::<Vec<_>>()))
        };
        let proof = Some(hashes.map(run).collect());
        text.push_str(&lines.entry(&Entry { proof, ..Entry::of(&entry(index)).unwrap() }).unwrap());
    }
    std::fs::write(folder.path().join("log"), text + &lines.end().unwrap()).unwrap();
    let (done, told) = verify(folder.path(), "@log --witness @witness");
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"], &told["entries"]), (4, &"picked".into(), &299.into()));
    assert!(told["filter"].as_str().unwrap().starts_with("userName = \"ada\""), "{told}");
    let (done, _) = verify(folder.path(), "@log");
    assert_eq!(done.unwrap_err().exit_code(), 3, "nobody vouches for them either");
    let (mut out, args) =
        (Vec::new(), parsed(&format!("{0}/log --witness {0}/witness", folder.path().display())).unwrap());
    let AuditCommand::Verify(args) = args.command else { panic!() };
    let fault = file(&args, args.file.as_deref().unwrap(), &mut out, false).unwrap_err();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("chosen by   userName = \"ada\"") && !text.contains('\u{1b}'), "{text}");
    assert!(fault.is_told());
}

#[test]
fn words_of_another_version_are_not_called_whole_unless_one_leaves_them_out() {
    let folder = folder();
    let text = export().replacen("\"words\":1", "\"words\":2", 1);
    std::fs::write(folder.path().join("log"), text).unwrap();
    let (done, told) = verify(folder.path(), "@log --witness @witness");
    let fault = done.unwrap_err();
    assert_eq!((fault.exit_code(), &told["verdict"], &told["unreadWords"]), (3, &"unread".into(), &2.into()));
    assert!(fault.to_string().contains("--other-words"), "{fault}");
    verify(folder.path(), "@log --witness @witness --other-words").0.unwrap();
}

#[test]
fn what_cannot_be_read_is_no_verdict() {
    let folder = folder();
    std::fs::write(folder.path().join("other"), "hello\n").unwrap();
    for (line, said) in [
        ("@absent", "absent"),
        ("@other", "coffre audit export"),
        ("@log --witness @absent", "absent"),
        ("@log --witness @log", "vouch for itself"),
        ("@log --key @absent", "--key"),
        ("@log --key @other", "holds no key"),
    ] {
        let (done, told) = verify(folder.path(), line);
        let fault = done.unwrap_err();
        assert_eq!((fault.exit_code(), told), (65, Value::Null), "{line}");
        assert!(fault.to_string().contains(said), "{line}: {fault}");
    }
}

#[test]
fn a_key_of_another_log_is_named() {
    let folder = folder();
    let other = SigningKey::from_seed(signing().verifier().name(), &SecretBytes::new(vec![2; 32])).unwrap();
    let (done, told) = verify(folder.path(), &format!("@log --key {}", other.verifier()));
    assert_eq!((done.unwrap_err().exit_code(), &told["findings"][0]["kind"]), (1, &"wrongKey".into()));
}

#[test]
fn either_a_file_or_the_server_is_verified() {
    for line in ["", "log --server", "--server --older", "--server --other-words", "log --values"] {
        assert!(parsed(line).is_none(), "{line}");
    }
    assert!(parsed("--server --values --witness w --key k").is_some());
}

fn told(size: u64) -> v1::Checkpoint {
    v1::Checkpoint { size: i64::try_from(size).unwrap(), note: note(size), ..v1::Checkpoint::default() }
}

/// A server with a log, whose stream sends everything at once.
fn server_with(entries: Vec<v1::Entry>, everything: bool) -> Server {
    let server = Server::default();
    server.reply("SignIn", &SignInResponse { token: "a.b.c".into(), ..SignInResponse::default() });
    let verifier_key = signing().verifier().to_string();
    server.reply("GetLatestCheckpoint", &GetLatestCheckpointResponse { checkpoint: Some(told(100)), verifier_key });
    server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint: Some(told(SIZE)) });
    server.reply("ListIncidents", &ListIncidentsResponse { total_size: 2, ..ListIncidentsResponse::default() });
    let (next_index, size) = (entries.len() as i64, entries.len() as i64);
    server.reply("StreamEntries", &StreamEntriesResponse { entries, next_index, size, everything });
    server
}

async fn verify_server(server: &Server, line: &str) -> (Result<(), Fault>, Value) {
    let args = parsed(&format!("--server --user e --json {line}")).unwrap();
    let (mut typed, mut out) = (Fake::at_terminal(&["pw"]), Vec::new());
    let session = Session::over(server.channel(), &args.connection, &mut typed).await.unwrap();
    let done = super::super::in_session(session, &args, &mut typed, &mut out).await;
    (done, serde_json::from_slice(&out).unwrap_or_default())
}

#[tokio::test]
async fn a_server_is_verified_up_to_a_checkpoint_of_now() {
    let folder = folder();
    let witness = format!("--witness {}/witness", folder.path().display());
    let mut entries: Vec<_> = (0..SIZE + 5).map(entry).collect();
    let (done, told) = verify_server(&server_with(entries.clone(), true), &witness).await;
    done.unwrap();
    assert_eq!((&told["verdict"], &told["entries"], &told["incidents"]), (&"whole".into(), &300.into(), &2.into()));

    entries[7].canonical = entry(8).canonical;
    let (done, told) = verify_server(&server_with(entries.clone(), true), &witness).await;
    assert_eq!((done.unwrap_err().exit_code(), &told["findings"][0]["kind"]), (1, &"changed".into()));

    entries.truncate(200);
    let (_, told) = verify_server(&server_with(entries, true), &witness).await;
    assert_eq!(told["findings"][2]["kind"], "cutTail");
}

#[tokio::test]
async fn what_the_server_shows_of_an_entry_is_what_the_entry_holds() {
    let mut entries: Vec<_> = (0..SIZE).map(entry).collect();
    entries[7].event.as_mut().unwrap().event = "weather.read".into();
    let (done, told) = verify_server(&server_with(entries, true), "").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["findings"][0]["kind"]), (1, &"changed".into()));
    assert!(told["findings"][0]["message"].as_str().unwrap().contains("entry 7"), "{told}");
}

#[tokio::test]
async fn a_witness_that_is_collected_from_the_server_has_a_moment() {
    let folder = folder();
    let path = folder.path().join("witness");
    std::fs::write(&path, witness::entry(&note(100))).unwrap();
    let server = server_with((0..SIZE).map(entry).collect(), true);
    let collected = async {
        while !server.methods().contains(&"GetLatestCheckpoint".to_owned()) {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(PAUSE * 3 / 2).await;
        std::fs::write(&path, [100, SIZE].map(|size| witness::entry(&note(size))).concat()).unwrap();
    };
    let line = format!("--witness {}", path.display());
    let ((done, told), ()) = tokio::join!(verify_server(&server, &line), collected);
    done.unwrap();
    assert_eq!(told["anchored"], "300");
}

#[tokio::test]
async fn a_later_checkpoint_that_somebody_had_made_meanwhile_is_no_cut_tail() {
    let folder = folder();
    let server = server_with((0..SIZE).map(entry).collect(), true);
    server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint: Some(told(100)) });
    let goes_on = async {
        while !server.methods().contains(&"CreateCheckpoint".to_owned()) {
            tokio::task::yield_now().await;
        }
        server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint: Some(told(SIZE)) });
    };
    let line = format!("--witness {}/witness", folder.path().display());
    let ((done, told), ()) = tokio::join!(verify_server(&server, &line), goes_on);
    done.unwrap();
    assert_eq!((&told["verdict"], &told["entries"]), (&"whole".into(), &300.into()));
}

#[tokio::test]
async fn a_log_whose_checkpoints_are_gone_is_damaged_and_held_against_the_witness() {
    let folder = folder();
    let mut entries: Vec<_> = (0..SIZE).map(entry).collect();
    entries.remove(250);
    let server = server_with(entries, true);
    server
        .refuse("CreateCheckpoint", Reason::AuditLogDamaged)
        .refuse("GetLatestCheckpoint", Reason::AuditCheckpointNotFound);
    let line = format!("--witness {0}/witness --key {0}/key", folder.path().display());
    let (done, told) = verify_server(&server, &line).await;
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"]), (1, &"damaged".into()));
    let found = told["findings"].to_string();
    for said in ["the witness saw one of 300 entries", "the entries 250 to 250 are missing"] {
        assert!(found.contains(said), "{said}: {found}");
    }
    // Whoever has no key is told what is needed.
    let (done, told) = verify_server(&server, "").await;
    let fault = done.unwrap_err();
    assert_eq!((fault.exit_code(), told), (1, Value::Null));
    assert!(fault.to_string().contains("--key"), "{fault}");
    // A log that was never signed and is not damaged is another matter.
    server.refuse("CreateCheckpoint", Reason::StoreUnavailable);
    let (done, told) = verify_server(&server, &line).await;
    assert_eq!((done.unwrap_err().exit_code(), told), (75, Value::Null));
}

#[tokio::test]
async fn a_part_of_a_log_is_no_log() {
    let (done, told) = verify_server(&server_with((0..3).map(entry).collect(), false), "").await;
    let fault = done.unwrap_err();
    assert_eq!((fault.exit_code(), told), (77, Value::Null));
    assert!(fault.to_string().contains("View everyone's audit log actions"), "{fault}");
}

#[tokio::test]
async fn heads_that_were_not_signed_are_named() {
    let server = server_with((0..SIZE).map(entry).collect(), true);
    let head = v1::CheckpointStreamHead { stream_id: vec![1; 16], head_hash: vec![1; 32], ..Default::default() };
    let checkpoint = v1::Checkpoint { heads: vec![head], ..told(SIZE) };
    server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint: Some(checkpoint) });
    let (done, told) = verify_server(&server, "").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["findings"][0]["kind"]), (1, &"changed".into()));
}

#[tokio::test]
async fn stored_values_are_compared_with_their_last_seals() {
    let server = server_with((0..SIZE).map(entry).collect(), true);
    let stored = |version: i64| {
        let seals = (1..=5).map(|value_id| StoredValueSeal { value_id, version: 3, mac: vec![9; 32] });
        let mut seals: Vec<_> = seals.collect();
        seals[2].version = version;
        ListValueSealsResponse { seals, more: false }
    };
    server.reply("ListValueSeals", &stored(3));
    let (done, told) = verify_server(&server, "--values").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"]), (3, &"notAnchored".into()));
    assert_eq!((&told["values"]["compared"], &told["values"]["totalFindings"]), (&5.into(), &0.into()));

    server.reply("ListValueSeals", &stored(2));
    let (done, told) = verify_server(&server, "--values").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"]), (1, &"damaged".into()));
    assert_eq!(told["values"]["findings"][0]["kind"], "rolledBack");
    assert_eq!(told["values"]["totalFindings"], 1);
}

#[tokio::test]
async fn what_was_found_out_about_the_log_is_told_where_the_values_cannot_be_compared() {
    let server = server_with((0..SIZE).map(entry).collect(), true);
    server.refuse("ListValueSeals", Reason::VaultSealed);
    let (done, told) = verify_server(&server, "--values").await;
    assert_eq!(done.unwrap_err().exit_code(), 75, "later it may work");
    assert_eq!((&told["verdict"], &told["entries"]), (&"notAnchored".into(), &SIZE.into()), "{told}");
    assert!(told["values"].is_null() && told["valuesRefused"].is_string(), "{told}");
}

#[tokio::test]
async fn values_that_came_back_or_went_without_a_deletion_are_named() {
    let mut entries: Vec<_> = (0..SIZE).map(entry).collect();
    // Behind the checkpoint: values 2 and 3 are deleted.
    let gone = [2, 3].map(|value_id| ValueSeal { value_id, version: 3, mac: Vec::new() });
    let event = Event { id: vec![8; 16], value_seals: gone.to_vec(), outcome: 1, ..Event::default() };
    entries.push(v1::Entry { canonical: event.encode_to_vec(), event: Some(event), ..entry(SIZE) });
    let stored = |ids: &[i64]| {
        let seals = ids.iter().map(|value_id| StoredValueSeal { value_id: *value_id, version: 3, mac: vec![9; 32] });
        ListValueSealsResponse { seals: seals.collect(), more: false }
    };
    let server = server_with(entries, true);
    server.reply("ListValueSeals", &stored(&[1, 4, 5]));
    let (done, told) = verify_server(&server, "--values").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["values"]["totalFindings"]), (3, &0.into()), "{told}");

    server.reply("ListValueSeals", &stored(&[1, 2, 4]));
    let (done, told) = verify_server(&server, "--values").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"]), (1, &"damaged".into()));
    let kinds = told["values"]["findings"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap());
    assert_eq!(kinds.collect::<Vec<_>>(), ["rolledBack", "removed"], "{told}");
}

#[tokio::test]
async fn values_that_were_written_before_a_cut_are_not_compared_and_are_no_damage() {
    // 256 entries went; those that remain hold the seals of the values 1 to 5, and the cut.
    let change = Change { field: "firstKept".into(), new_value: Some("256".into()), ..Change::default() };
    let event = Event {
        event: "audit.cut".into(),
        outcome: Outcome::Successful.into(),
        changes: vec![change],
        ..entry(299).event.unwrap()
    };
    let canonical = event.encode_to_vec();
    let leaf = leaf_hash(&canonical);
    let cut = v1::Entry { leaf_hash: leaf.to_vec(), canonical, event: Some(event), ..entry(299) };
    let leaves: Vec<Hash> = (0..299).map(|index| leaf_hash(&entry(index).canonical)).chain([leaf]).collect();
    let run = |run: std::ops::Range<u64>| {
        let of = |node: Node| over(&leaves[node.leaves().start as usize..node.leaves().end as usize]);
        join(&subtrees(run).into_iter().map(of).collect::<Vec<_>>())
    };
    let hashes = proof::inclusion(256, SIZE).unwrap().into_iter().map(|one| run(one).to_vec()).collect();
    let (time, heads) = (Timestamp::from_seconds(1_795_320_000), heads_digest(&[]));
    let checkpoint = Checkpoint { log_id: LogId::new([1; 16]), size: SIZE, root: over(&leaves), time, heads, cut: 256 };
    let checkpoint = v1::Checkpoint { note: checkpoint.sign(&signing()).unwrap(), ..told(SIZE) };

    let server = server_with((256..299).map(entry).chain([cut]).collect(), true);
    server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint: Some(checkpoint) });
    server.reply("GetInclusionProof", &GetInclusionProofResponse { hashes, ..GetInclusionProofResponse::default() });
    let seals = [1, 2, 3, 4, 5, 70, 80].map(|value_id| StoredValueSeal { value_id, version: 3, mac: vec![9; 32] });
    server.reply("ListValueSeals", &ListValueSealsResponse { seals: seals.to_vec(), more: false });
    let (done, told) = verify_server(&server, "--values").await;
    assert_eq!((done.unwrap_err().exit_code(), &told["verdict"]), (3, &"notAnchored".into()), "{told}");
    let values = &told["values"];
    assert_eq!((&values["compared"], &values["cutOff"], &values["totalFindings"]), (&5.into(), &2.into(), &0.into()));
}
