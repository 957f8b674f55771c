//! Checkpoints, proofs and receipts, as section 6 of the contract has them.

use coffre_error::Reason;
use coffre_proto::audit::v1::incident::Kind;
use coffre_proto::audit::v1::{
    Checkpoint, CheckpointStreamHead, CreateCheckpointResponse, CutLogRequest, CutLogResponse, GetCheckpointRequest,
    GetCheckpointResponse, GetConsistencyProofRequest, GetConsistencyProofResponse, GetEntryResponse,
    GetInclusionProofRequest, GetInclusionProofResponse, GetLatestCheckpointResponse, Incident, ListIncidentsRequest,
    ListIncidentsResponse,
};
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Upstream, assert_forms_refused, send};

const ID: &str = "0198f6a2-7c1e-7d2a-9f3b-0c5d8e1a2b3c";

fn checkpoint() -> Checkpoint {
    let head = CheckpointStreamHead {
        service: "vault".into(),
        stream_id: vec![1; 16],
        last_sequence: 40,
        head_hash: vec![2; 32],
    };
    Checkpoint {
        size: 41,
        root_hash: vec![0; 32],
        create_time: Some(Timestamp { seconds: 1_530_697_249, nanos: 187_000_000 }),
        note: "coffre.audit/00\n41\n".into(),
        heads: vec![head],
        witness_time: None,
    }
}

fn expected() -> Value {
    json!({
        "size": "41", "rootHash": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "createdOn": "2018-07-04T09:40:49.187Z",
        "note": "coffre.audit/00\n41\n", "witnessedOn": null,
        "heads": [{
            "service": "vault", "streamId": "AQEBAQEBAQEBAQEBAQEBAQ==", "lastSequence": "40",
            "headHash": "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="
        }]
    })
}

#[tokio::test]
async fn checkpoints_are_read_and_made() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let latest = GetLatestCheckpointResponse { checkpoint: Some(checkpoint()), verifier_key: "name+hash+key".into() };
    upstream.reply("ProofService/GetLatestCheckpoint", &latest);
    let mut with_key = expected();
    with_key["verifierKey"] = "name+hash+key".into();
    assert_eq!(send(&gateway, "GET", "/v1/audit/checkpoints/latest", "").await.outcome(), (200, with_key));

    upstream.reply("ProofService/GetCheckpoint", &GetCheckpointResponse { checkpoint: Some(checkpoint()) });
    assert_eq!(send(&gateway, "GET", "/v1/audit/checkpoints/41", "").await.outcome(), (200, expected()));
    assert_eq!(upstream.asked::<GetCheckpointRequest>().size, 41);

    upstream.reply("ProofService/CreateCheckpoint", &CreateCheckpointResponse { checkpoint: Some(checkpoint()) });
    assert_eq!(send(&gateway, "POST", "/v1/audit/checkpoints", "").await.outcome(), (201, expected()));

    let before = upstream.calls();
    for size in ["0", "-1", "first", "1.0", "9223372036854775808"] {
        let path = format!("/v1/audit/checkpoints/{size}");
        send(&gateway, "GET", &path, "").await.assert_refused(400, "request.invalid", size);
    }
    assert_eq!(upstream.calls(), before);
}

#[tokio::test]
async fn proofs_come_in_base64() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let reply = GetConsistencyProofResponse { hashes: vec![vec![0; 32], vec![1; 32]] };
    upstream.reply("ProofService/GetConsistencyProof", &reply);
    let hashes =
        json!(["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="]);
    let answer = send(&gateway, "GET", "/v1/audit/checkpoints/consistency?from=7&to=41", "").await;
    assert_eq!(answer.outcome(), (200, json!({"from": "7", "to": "41", "hashes": hashes})));
    assert_eq!(
        upstream.asked::<GetConsistencyProofRequest>(),
        GetConsistencyProofRequest { from_size: 7, to_size: 41 }
    );
    let before = upstream.calls();
    for query in ["", "?from=7", "?to=41", "?from=x&to=41", "?from=7&to=-1", "?from=7&from=8&to=9"] {
        let path = format!("/v1/audit/checkpoints/consistency{query}");
        send(&gateway, "GET", &path, "").await.assert_refused(400, "request.invalid", query);
    }
    assert_eq!(upstream.calls(), before);

    let reply = GetInclusionProofResponse {
        log_index: 40,
        canonical: vec![10, 11],
        hashes: vec![vec![0; 32]],
        checkpoint: Some(checkpoint()),
    };
    upstream.reply("ProofService/GetInclusionProof", &reply);
    for (query, size) in [("", 0), ("?size=41", 41)] {
        let answer = send(&gateway, "GET", &format!("/v1/audit/messages/{ID}/proof{query}"), "").await;
        let proof = json!({"logIndex": "40", "canonical": "Cgs=", "hashes": [hashes[0]], "checkpoint": expected()});
        assert_eq!(answer.outcome(), (200, proof));
        assert_eq!(upstream.asked::<GetInclusionProofRequest>(), GetInclusionProofRequest { id: ID.into(), size });
    }
}

#[tokio::test]
async fn incidents_have_their_words() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let incident = |kind: Kind| Incident { kind: kind.into(), first: 3, last: 4, ..Incident::default() };
    let kinds = [Kind::Gap, Kind::Forged, Kind::RolledBack, Kind::Changed, Kind::Checkpoint];
    let reply = ListIncidentsResponse { incidents: kinds.map(incident).to_vec(), total_size: 9 };
    upstream.reply("ProofService/ListIncidents", &reply);
    let body = send(&gateway, "GET", "/v1/audit/incidents?length=4", "").await.json();
    assert_eq!(upstream.asked::<ListIncidentsRequest>().page_size, 4);
    let words: Vec<_> = body["list"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!((words, &body["total"]), (vec!["gap", "forged", "rolledBack", "changed", "checkpoint"], &json!(9)));
    let first = json!({"kind": "gap", "foundOn": null, "service": "", "streamId": "", "first": "3", "last": "4"});
    assert_eq!(body["list"][0], first);
    let strange = ListIncidentsResponse { incidents: vec![incident(Kind::Unspecified)], total_size: 1 };
    upstream.reply("ProofService/ListIncidents", &strange);
    send(&gateway, "GET", "/v1/audit/incidents", "").await.assert_refused(500, "internal", "never left out");
}

#[tokio::test]
async fn a_cut_says_what_goes() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    let reply = CutLogResponse { first_kept: 512, removed: 256, checkpoint: None };
    upstream.reply("ProofService/CutLog", &reply);
    let body = r#"{"before":"2026-01-01T01:00:00+01:00","dryRun":true}"#;
    let answer = send(&gateway, "POST", "/v1/audit/cut", body).await;
    assert_eq!(answer.outcome(), (200, json!({"firstKept": "512", "removed": 256, "checkpoint": null})));
    let asked: CutLogRequest = upstream.asked();
    assert_eq!((asked.before_time.unwrap().seconds, asked.dry_run), (1_767_225_600, true));
    let reply = CutLogResponse { checkpoint: Some(checkpoint()), ..reply };
    upstream.reply("ProofService/CutLog", &reply);
    let answer = send(&gateway, "POST", "/v1/audit/cut", r#"{"before":"2026-01-01T00:00:00Z"}"#).await;
    assert_eq!(answer.json()["checkpoint"], expected());
    assert!(!upstream.asked::<CutLogRequest>().dry_run);
    let forms = [
        ("{}", "before"),
        (r#"{"before":"last year"}"#, "before"),
        (r#"{"before":1}"#, "before"),
        (r#"{"before":"2026-01-01T00:00:00Z","dryRun":"yes"}"#, "dryRun"),
    ];
    assert_forms_refused(&upstream, "POST", "/v1/audit/cut", &forms).await;
}

#[tokio::test]
async fn refusals_about_the_log_have_their_status() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for (reason, status, code) in [
        (Reason::AuditCheckpointNotFound, 404, "audit.checkpoint_not_found"),
        (Reason::AuditEntryNotFound, 404, "audit.entry_not_found"),
        (Reason::AuditCut, 409, "audit.cut"),
        (Reason::AuditLogDamaged, 409, "audit.log_damaged"),
    ] {
        upstream.refuse_for("ProofService/GetInclusionProof", reason);
        send(&gateway, "GET", &format!("/v1/audit/messages/{ID}/proof"), "").await.assert_refused(status, code, code);
    }
}

#[tokio::test]
async fn every_answer_of_a_recorded_call_names_its_entry() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    upstream.reply("AuditService/GetEntry", &GetEntryResponse::default());
    let path = format!("/v1/audit/messages/{ID}");
    assert_eq!(
        send(&gateway, "GET", &path, "").await.header("x-audit-id"),
        None,
        "what is not recorded has no receipt"
    );
    upstream.receipt(ID);
    // A success, a refusal, a fault behind the call, an answer without a body.
    let served = send(&gateway, "POST", "/v1/audit/messages/list", "").await;
    assert_eq!((served.status.as_u16(), served.header("x-audit-id")), (200, Some(ID)));
    let faulty = send(&gateway, "GET", &path, "").await;
    assert_eq!((faulty.status.as_u16(), faulty.header("x-audit-id")), (500, Some(ID)));
    upstream.refuse_for("CredentialService/DeleteCredential", Reason::CredentialNotFound);
    let refused = send(&gateway, "DELETE", "/v2/credentialvault/credentials/12", "").await;
    assert_eq!((refused.status.as_u16(), refused.header("x-audit-id")), (404, Some(ID)));
    let empty = send(&gateway, "POST", "/v2/credentialvault/keys/seal", "").await;
    assert_eq!((empty.status.as_u16(), empty.header("x-audit-id")), (204, Some(ID)));
    // What the gateway answers itself has no entry of its own call.
    for path in ["/healthz", "/nowhere", "/v2/credentialvault/credentials/x"] {
        assert_eq!(send(&gateway, "GET", path, "").await.header("x-audit-id"), None, "{path}");
    }
}
