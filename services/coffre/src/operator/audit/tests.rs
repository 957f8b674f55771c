//! The commands on the audit, against a server that answers what a test tells it to.

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::{
    Checkpoint, CreateCheckpointResponse, CutLogRequest, CutLogResponse, Entry, Event, GetEntryResponse,
    GetLatestCheckpointResponse, ListEntriesRequest, ListEntriesResponse, ListIncidentsResponse, Object, Outcome,
    StreamEntriesRequest, StreamEntriesResponse,
};
use coffre_proto::query::v1::PageInfo;
use coffre_types::{Clock as _, SystemClock};
use serde_json::Value;

use super::super::fault::Fault;
use super::super::session::Session;
use super::super::tests::{Fake, Server};
use super::{AuditArgs, in_session};
use crate::cli::{Cli, Command};
use clap::Parser as _;

fn parsed(line: &str) -> Option<AuditArgs> {
    let words = ["coffre", "audit"].into_iter().chain(line.split_whitespace());
    match Cli::try_parse_from(words).ok()?.command {
        Command::Audit(args) => Some(args),
        other => panic!("{line}: {other:?}"),
    }
}

async fn run(server: &Server, line: &str, typed: &mut Fake) -> Result<String, Fault> {
    let args = parsed(&format!("{line} --user e --utc")).unwrap_or_else(|| panic!("{line}"));
    let mut out = Vec::new();
    let session = Session::over(server.channel(), &args.connection, typed).await?;
    in_session(session, &args, typed, &mut out).await?;
    Ok(String::from_utf8(out).unwrap())
}

fn typed() -> Fake {
    Fake::at_terminal(&["pw"])
}

fn entry(name: &str, outcome: Outcome) -> Entry {
    let event = Event {
        event: "credential.read".into(),
        outcome: outcome.into(),
        reason: if outcome == Outcome::Unsuccessful { "CREDENTIAL_NOT_FOUND".into() } else { String::new() },
        object: Some(Object { r#type: "credential".into(), id: "12".into(), name: name.into() }),
        client_address: "192.0.2.7".into(),
        ..Event::default()
    };
    Entry {
        id: "0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c".into(),
        event: Some(event),
        create_time: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 5_000_000 }),
        ..Entry::default()
    }
}

fn server() -> Server {
    let server = Server::default();
    server.reply("SignIn", &coffre_proto::auth::v1::SignInResponse { token: "a.b.c".into(), ..Default::default() });
    server
}

#[test]
fn commands_and_their_flags_are_understood() {
    for (line, is_good) in [
        ("list", true),
        ("list --since 2h --by ada --object credential/12 --failed --limit 5 --json", true),
        ("list --limit 0", false),
        ("show 0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c --proof", true),
        ("show", false),
        ("follow --from 0 --event credential.value.read", true),
        ("export --out x --format csv --resume", true),
        ("export", false),
        ("checkpoint --latest", true),
        ("checkpoint --latest --size 4", false),
        ("cut --before 2026-01-01 --dry-run", true),
        ("cut", false),
        ("incidents --limit 7", true),
        ("key --utc", true),
    ] {
        assert_eq!(parsed(line).is_some(), is_good, "{line}");
    }
}

#[tokio::test]
async fn a_list_is_a_table_in_a_zone_that_it_names() {
    let server = server();
    let page = PageInfo { next_page_token: "n".into(), total_size: None, filtered_size: Some(9) };
    let entries = vec![entry("Login", Outcome::Successful), entry("exe.\u{202e}fdp\u{1b}[2J\n", Outcome::Unsuccessful)];
    server.reply("ListEntries", &ListEntriesResponse { entries, page: Some(page) });
    let said = run(&server, "list --failed", &mut typed()).await.unwrap();
    assert_eq!(
        said,
        "TIME (UTC)               RESULT                USER  EVENT            OBJECT                                      ADDRESS\n\
         2027-01-15 08:00:00.005  ok                    -     credential.read  credential 12 \"Login\"                       192.0.2.7\n\
         2027-01-15 08:00:00.005  CREDENTIAL_NOT_FOUND  -     credential.read  credential 12 \"exe.\\u{202e}fdp\\u{1b}[2J\\n\"  192.0.2.7\n\
         2 of 9 entries; --limit shows more, --until what is older\n"
    );
    let asked: ListEntriesRequest = server.asked("ListEntries");
    let query = asked.query.unwrap();
    assert!(query.filter.is_some() && query.page_size == 50 && !query.whole);

    let said = run(&server, "list --json", &mut typed()).await.unwrap();
    assert!(said.is_ascii() && said.lines().count() == 1, "{said}");
    let json: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["list"][1]["objectName"], "exe.\u{202e}fdp\u{1b}[2J\n");
    assert_eq!((&json["list"][1]["status"], &json["total"]), (&"Unsuccessful".into(), &9.into()));
}

#[tokio::test]
async fn one_entry_is_shown_with_all_that_it_holds_and_nothing_moves_the_cursor() {
    let server = server();
    server.reply("GetEntry", &GetEntryResponse { entry: Some(entry("a\u{1b}]0;x\u{7}", Outcome::Successful)) });
    let said = run(&server, "show 0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c", &mut typed()).await.unwrap();
    assert!(said.contains("object    credential 12 \"a\\u{1b}]0;x\\u{7}\"\n"), "{said}");
    assert!(said.contains("time      2027-01-15 08:00:00.005 (UTC)\n"), "{said}");
    assert!(!said.contains(['\u{1b}', '\u{7}']));
}

#[tokio::test]
async fn a_cut_says_what_goes_and_asks_before_it_goes() {
    let server = server();
    server.reply("CutLog", &CutLogResponse { first_kept: 512, removed: 256, checkpoint: None });
    let cuts = |server: &Server| server.methods().iter().filter(|method| *method == "CutLog").count();
    let said = run(&server, "cut --before 2026-01-01 --dry-run", &mut typed()).await.unwrap();
    assert_eq!(said, "256 entries of before 2026-01-01T00:00:00.000Z would go; the log would begin at 512\n");
    assert!(server.asked::<CutLogRequest>("CutLog").dry_run);
    let refused = run(&server, "cut --before 2026-01-01", &mut Fake::at_terminal(&["pw", "no"])).await.unwrap_err();
    assert_eq!((refused.exit_code(), refused.to_string().as_str()), (65, "nothing was removed"));
    assert!(server.asked::<CutLogRequest>("CutLog").dry_run);
    let mut meant = Fake::at_terminal(&["pw", "cut"]);
    let said = run(&server, "cut --before 2026-01-01", &mut meant).await.unwrap();
    assert_eq!(said, "256 entries are gone; the log begins at 512\n");
    assert!(meant.prompts.iter().any(|prompt| prompt.contains("256 entries")), "{:?}", meant.prompts);
    assert!(!server.asked::<CutLogRequest>("CutLog").dry_run);
    let before = cuts(&server);
    run(&server, "cut --before 2026-01-01 --yes", &mut typed()).await.unwrap();
    assert_eq!(cuts(&server), before + 1, "whoever says so is not asked");
}

#[tokio::test]
async fn key_and_incidents_are_told() {
    let server = server();
    let reply = GetLatestCheckpointResponse { checkpoint: None, verifier_key: "coffre.audit/00+12345678+AAAA".into() };
    server.reply("GetLatestCheckpoint", &reply);
    assert_eq!(run(&server, "key", &mut typed()).await.unwrap(), "coffre.audit/00+12345678+AAAA\n");
    server.reply("ListIncidents", &ListIncidentsResponse::default());
    assert_eq!(run(&server, "incidents", &mut typed()).await.unwrap(), "nothing was found wrong\n");
    assert_eq!(run(&server, "incidents --json", &mut typed()).await.unwrap(), "{\"list\":[],\"total\":0}\n");
}

#[tokio::test]
async fn times_that_are_none_are_refused_before_anything_is_asked() {
    let server = server();
    for line in ["list --since yesterday", "cut --before soon", "follow --until x"] {
        assert_eq!(run(&server, line, &mut typed()).await.unwrap_err().exit_code(), 65, "{line}");
    }
    assert!(server.methods().iter().all(|method| method.starts_with("Sign")), "{:?}", server.methods());
}

/// A message with one entry, of a log that has two.
fn one(log_index: i64, everything: bool) -> StreamEntriesResponse {
    let entry =
        Entry { log_index, canonical: vec![1, 2], leaf_hash: vec![3; 32], ..entry("=1+1", Outcome::Successful) };
    StreamEntriesResponse { entries: vec![entry], next_index: log_index + 1, size: 2, everything }
}

fn exporting() -> Server {
    let server = server();
    answer_checkpoints(&server);
    server
}

fn answer_checkpoints(server: &Server) {
    let checkpoint = Some(Checkpoint { size: 2, note: "the note".into(), ..Checkpoint::default() });
    let latest = GetLatestCheckpointResponse { checkpoint: checkpoint.clone(), verifier_key: "the key".into() };
    server.reply("GetLatestCheckpoint", &latest);
    server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint });
}

#[tokio::test]
async fn an_interrupted_export_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (path, bookmark) = (folder.path().join("x"), folder.path().join("x.bookmark"));
    let line = format!("export --out {}", path.display());
    let server = exporting();
    // The log stays behind its checkpoint: it sends its only entry again and again.
    server.reply("StreamEntries", &one(0, true));
    let fault = run(&server, &line, &mut typed()).await.unwrap_err();
    assert!(fault.to_string().contains("ends before the checkpoint"), "{fault}");
    assert!(bookmark.exists() && path.exists());
    let other = run(&server, &format!("{line} --resume --failed"), &mut typed()).await.unwrap_err();
    assert!(other.exit_code() == 65 && other.to_string().contains("all entries"), "{other}");

    server.reply("StreamEntries", &one(1, true));
    let said = run(&server, &format!("{line} --resume"), &mut typed()).await.unwrap();
    assert!(said.starts_with("2 entries are in "), "{said}");
    assert_eq!(server.asked::<StreamEntriesRequest>("StreamEntries").from_index, 1);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let indices: Vec<_> = lines.iter().filter_map(|line| line["logIndex"].as_str()).collect();
    assert_eq!(indices, ["0", "1"], "what was written behind the bookmark is written once");
    assert_eq!((&lines[0]["checkpoint"], &lines[3]["entries"], lines.len()), (&"the note".into(), &"2".into(), 4));
    assert!(!bookmark.exists());
}

#[tokio::test]
async fn an_export_changes_no_file_that_is_there_and_leaves_none_that_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let line = format!("export --format csv --event credential.read --out {}", path.display());
    let server = exporting();
    server.refuse("StreamEntries", Reason::AuthzPermissionRequired);
    assert_eq!(run(&server, &line, &mut typed()).await.unwrap_err().exit_code(), 77);
    assert!(!path.exists());
    server.reply("StreamEntries", &one(1, false));
    run(&server, &line, &mut typed()).await.unwrap();
    let table = std::fs::read_to_string(&path).unwrap();
    assert!(table.lines().count() == 2 && table.contains(",'=1+1,"), "{table}");
    let refused = run(&server, &line, &mut typed()).await.unwrap_err();
    assert!(refused.to_string().contains("--resume"), "{refused}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), table);
}

/// Waits until a method was called so many times.
async fn asked_often(server: &Server, method: &str, times: usize) {
    while server.methods().iter().filter(|called| *called == method).count() < times {
        tokio::task::yield_now().await;
    }
}

/// What the server says where its log of 2 entries ends before a bookmark.
fn beyond() -> Refusal {
    Refusal::invalid("from_index", "lies beyond the end").with("size", "2")
}

#[tokio::test]
async fn a_position_that_the_log_does_not_have_says_where_to_begin() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("export --out {}", folder.path().join("x").display());
    let server = exporting();
    server.reply("StreamEntries", &one(0, true));
    run(&server, &line, &mut typed()).await.unwrap_err();
    server.refuse_as("StreamEntries", beyond());
    let refused = run(&server, &format!("{line} --resume"), &mut typed()).await.unwrap_err();
    assert!(refused.exit_code() == 65 && refused.to_string().contains("begin a new export"), "{refused}");
    assert!(!refused.to_string().contains("goes on behind it"), "it does not: {refused}");
    let refused = run(&server, "follow --from 9", &mut typed()).await.unwrap_err();
    assert!(refused.exit_code() == 65 && refused.to_string().contains("Say --from 2"), "{refused}");
}

#[tokio::test]
async fn what_is_followed_to_a_moment_that_is_past_ends_with_what_is_there() {
    let server = server();
    server.reply("StreamEntries", &one(1, true));
    let said = run(&server, "follow --until 1h", &mut typed()).await.unwrap();
    assert!(said.contains("credential.read"), "{said}");
    let asked: StreamEntriesRequest = server.asked("StreamEntries");
    assert!(!asked.follow && asked.from_end, "{asked:?}");
    run(&server, "follow --from 0", &mut typed()).await.unwrap();
    assert!(server.asked::<StreamEntriesRequest>("StreamEntries").follow, "without it, it goes on");
}

#[tokio::test]
async fn what_is_followed_to_a_moment_that_comes_ends_then() {
    let server = server();
    server.refuse("StreamEntries", Reason::RequestOverloaded);
    let until = SystemClock.now().plus(Duration::from_millis(1500)).to_rfc3339_millis();
    let line = format!("follow --from 0 --until {until}");
    let mut typed = typed();
    let (said, ()) = tokio::join!(run(&server, &line, &mut typed), async {
        asked_often(&server, "StreamEntries", 1).await;
        assert!(server.asked::<StreamEntriesRequest>("StreamEntries").follow, "it may still come");
        while server.asked::<StreamEntriesRequest>("StreamEntries").follow {
            tokio::task::yield_now().await;
        }
        server.reply("StreamEntries", &one(0, true));
    });
    assert!(said.unwrap().contains("credential.read"));
    assert!(!server.asked::<StreamEntriesRequest>("StreamEntries").follow);
}

#[tokio::test]
async fn an_export_whose_connection_breaks_at_its_beginning_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!("export --out {}", folder.path().join("x").display());
    let server = exporting();
    let entries = [one(0, true), one(1, true)].map(|message| message.entries).concat();
    server.reply("StreamEntries", &StreamEntriesResponse { entries, next_index: 2, size: 2, everything: true });
    for method in ["GetLatestCheckpoint", "CreateCheckpoint"] {
        server.cut(method);
    }
    let mut typed = typed();
    let (said, ()) = tokio::join!(run(&server, &line, &mut typed), async {
        asked_often(&server, "GetLatestCheckpoint", 3).await;
        answer_checkpoints(&server);
    });
    assert!(said.unwrap().starts_with("2 entries are in "));
}

#[tokio::test]
async fn an_export_that_is_refused_at_its_beginning_says_that_nothing_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let server = exporting();
    server.reply("StreamEntries", &one(0, true)).refuse("GetLatestCheckpoint", Reason::AuthTokenInvalid);
    let refused = run(&server, &format!("export --out {}", path.display()), &mut typed()).await.unwrap_err();
    assert!(refused.to_string().ends_with("Nothing was written: the same command begins anew"), "{refused}");
    assert!(!path.exists());
}
