//! Exports of the audit.

use coffre_audit_proof::export::CSV_HEADER;
use coffre_error::Reason;
use coffre_proto::audit::v1::{
    Checkpoint, Entry, Event, GetInclusionProofResponse, GetLatestCheckpointResponse, Object, StreamEntriesRequest,
    StreamEntriesResponse,
};
use serde_json::Value;

use super::{Answer, Upstream, send, send_with};

const EXPORT: &str = "/v1/audit/messages/export";

fn entry(log_index: i64, name: &str) -> Entry {
    let object = Object { r#type: "credential".into(), id: "12".into(), name: name.into() };
    let event = Event { id: vec![7; 16], event: "credential.read".into(), object: Some(object), ..Event::default() };
    Entry { log_index, event: Some(event), leaf_hash: vec![3; 32], canonical: vec![1, 2], ..Entry::default() }
}

fn message(entries: Vec<Entry>, everything: bool) -> StreamEntriesResponse {
    let next_index = entries.last().map_or(0, |entry| entry.log_index + 1);
    StreamEntriesResponse { entries, next_index, size: 9, everything }
}

fn upstream(messages: &[StreamEntriesResponse]) -> Upstream {
    let upstream = Upstream::default();
    let checkpoint = Checkpoint { size: 3, note: "the note".into(), ..Checkpoint::default() };
    let latest = GetLatestCheckpointResponse { checkpoint: Some(checkpoint), verifier_key: "the key".into() };
    upstream.reply("ProofService/GetLatestCheckpoint", &latest);
    upstream.reply_all("AuditService/StreamEntries", messages);
    upstream
}

fn lines(answer: &Answer) -> Vec<Value> {
    assert!(answer.text.ends_with('\n'), "{}", answer.text);
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn everything_is_exported_up_to_the_checkpoint() {
    let upstream = upstream(&[
        message(vec![entry(0, "a"), entry(1, "b")], true),
        message(vec![entry(2, "c"), entry(3, "after it")], true),
    ]);
    let answer = send(&upstream.gateway(), "POST", EXPORT, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some("application/x-ndjson")));
    assert!(answer.header("content-disposition").unwrap().contains("audit.ndjson"));
    let lines = lines(&answer);
    assert_eq!(lines[0]["kind"], "export");
    assert_eq!((&lines[0]["checkpoint"], &lines[0]["verifierKey"]), (&"the note".into(), &"the key".into()));
    assert!(lines[0].get("filter").is_none());
    let names: Vec<_> = lines[1..4].iter().map(|line| line["objectName"].as_str().unwrap()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!((&lines[1]["canonical"], &lines[1]["logIndex"]), (&"AQI=".into(), &"0".into()));
    assert_eq!((&lines[4]["kind"], &lines[4]["entries"], lines.len()), (&"end".into(), &"3".into(), 5));
    let asked: StreamEntriesRequest = upstream.asked();
    assert!(asked.canonical && !asked.follow && asked.filter.is_none() && asked.from_index == 0);
}

#[tokio::test]
async fn what_is_filtered_or_ones_own_says_so() {
    let body = r#"{"filter":{"operator":"eq","field":"event","value":"credential.read"},"page":{"length":1}}"#;
    for (body, filter) in [(body, "event = \"credential.read\""), ("", "one's own entries")] {
        let upstream = upstream(&[message(vec![entry(5, "a")], false)]);
        let lines = lines(&send(&upstream.gateway(), "POST", EXPORT, body).await);
        assert_eq!(lines[0]["filter"], filter);
        assert_eq!((&lines[1]["logIndex"], lines.len()), (&"5".into(), 3), "behind the checkpoint, too");
        assert_eq!(upstream.asked::<StreamEntriesRequest>().filter.is_some(), !body.is_empty());
    }
}

#[tokio::test]
async fn an_export_of_a_log_that_was_cut_brings_the_tree_of_what_is_gone() {
    let upstream = upstream(&[message(vec![entry(2, "c")], true)]);
    let proof = GetInclusionProofResponse { hashes: vec![vec![5; 32]], ..GetInclusionProofResponse::default() };
    upstream.reply("ProofService/GetInclusionProof", &proof);
    let first = lines(&send(&upstream.gateway(), "POST", EXPORT, "").await).remove(0);
    assert_eq!((&first["fromIndex"], first["before"].as_array().unwrap().len()), (&"2".into(), 1));
}

#[tokio::test]
async fn a_table_calculates_nothing() {
    let upstream =
        upstream(&[message(vec![entry(0, "=1+1"), entry(1, "a,\"b\"\r\n")], true), message(vec![entry(7, "c")], true)]);
    let headers = [("x-authorization", "t"), ("accept", "text/csv")];
    let answer = send_with(&upstream.gateway(), "POST", EXPORT, &headers, "").await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8"));
    assert!(answer.text.starts_with(CSV_HEADER));
    assert!(answer.text.contains(",'=1+1,") && answer.text.contains(",\"a,\"\"b\"\"\r\n\","), "{}", answer.text);
    assert!(answer.text.contains("\r\n7,"), "a table reaches to the end of the log: {}", answer.text);
    assert_eq!(upstream.calls(), 1, "and asks for no checkpoint");
}

#[tokio::test]
async fn a_refusal_has_its_status_and_an_export_its_receipt() {
    let upstream = upstream(&[message(Vec::new(), false)]);
    let gateway = upstream.gateway();
    upstream.receipt("0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c");
    assert!(send(&gateway, "POST", EXPORT, "").await.header("x-audit-id").is_some());
    upstream.refuse_for("ProofService/GetLatestCheckpoint", Reason::AuditCheckpointNotFound);
    let answer = send(&gateway, "POST", EXPORT, "").await;
    assert_eq!((answer.status.as_u16(), lines(&answer).len()), (200, 2), "a young log has no checkpoint yet");
    upstream.refuse_for("AuditService/StreamEntries", Reason::ListFieldUnknown);
    send(&gateway, "POST", EXPORT, "").await.assert_refused(400, "list.field_unknown", "refused by the service");
    let headers = [("x-authorization", "t"), ("accept", "application/pdf")];
    let answer = send_with(&gateway, "POST", EXPORT, &headers, "").await;
    answer.assert_refused(400, "request.invalid", "another form");
}
