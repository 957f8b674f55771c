//! The commands on the audit, against a server that answers what a test tells it to.

use coffre_proto::audit::v1::{
    Checkpoint, CreateCheckpointResponse, CutLogRequest, CutLogResponse, Entry, Event, GetEntryResponse,
    GetLatestCheckpointResponse, ListEntriesRequest, ListEntriesResponse, ListIncidentsResponse, Object, Outcome,
    StreamEntriesRequest, StreamEntriesResponse,
};
use coffre_proto::query::v1::PageInfo;
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
    let checkpoint = Some(Checkpoint { size: 2, note: "the note".into(), ..Checkpoint::default() });
    let latest = GetLatestCheckpointResponse { checkpoint: checkpoint.clone(), verifier_key: "the key".into() };
    server.reply("GetLatestCheckpoint", &latest);
    server.reply("CreateCheckpoint", &CreateCheckpointResponse { checkpoint });
    server
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
    server.refuse("StreamEntries", coffre_error::Reason::AuthzPermissionRequired);
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
