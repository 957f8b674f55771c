//! The golden vectors of the audit's bytes: `proto/vectors/audit-event.json`.
//!
//! `COFFRE_WRITE_VECTORS=1 cargo test -p coffre-audit-client --test vectors` writes the file anew. It only ever grows: a change of what is
//! there breaks every log that exists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::path::Path;

use coffre_audit_client::chain::{GENESIS, Hash, StreamId, leaf_hash, next_hash};
use coffre_audit_client::{ActivityType, Outcome, Source, StreamKey, canonical};
use coffre_proto::audit::internal::v1::Segment;
use coffre_proto::audit::v1::{Actor, Change, Detail, Event, Object, ValueSeal};
use coffre_secret::SecretBytes;
use prost::Message as _;
use serde_json::{Value, json};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const STREAM: StreamId = *b"stream-0123456-A";
const TIME: i64 = 1_795_320_000_123_456;

fn minimal() -> Event {
    Event {
        id: vec![0x01; 16],
        salt: vec![0x02; 16],
        time_us: TIME,
        service: "auth".into(),
        event: "service.start".into(),
        activity_type: ActivityType::AuditUnsetActivityType.into(),
        outcome: Outcome::Successful.into(),
        source: Source::System.into(),
        ..Event::default()
    }
}

fn full() -> Event {
    Event {
        id: vec![0x11; 16],
        salt: vec![0x12; 16],
        time_us: TIME + 1,
        service: "vault".into(),
        method: "coffre.vault.v1.CredentialService/UpdateCredential".into(),
        event: "credential.update".into(),
        activity_type: ActivityType::UpdateCredential.into(),
        outcome: Outcome::Successful.into(),
        reason: String::new(),
        source: Source::Api.into(),
        actor: Some(Actor {
            user_id: 300,
            user_name: "admin".into(),
            client_id: "robot-7".into(),
            session_id: vec![0x21; 16],
            unknown_name_hash: Vec::new(),
        }),
        object: Some(Object { r#type: "credential".into(), id: "12".into(), name: "SharePoint Login".into() }),
        changes: vec![
            Change { field: "name".into(), old_value: Some("old".into()), new_value: Some("new".into()) },
            Change { field: "description".into(), old_value: None, new_value: Some(String::new()) },
        ],
        details: vec![Detail { key: "attributes".into(), value: "2".into() }],
        value_seals: vec![ValueSeal { value_id: 77, version: 0, mac: vec![0x31; 32] }],
        request_id: "req-1".into(),
        trace_id: vec![0x41; 16],
        client_address: "192.0.2.7".into(),
        host_name: "host-a".into(),
        environment_name: "test".into(),
        occurrences: 0,
    }
}

fn unicode() -> Event {
    Event {
        id: vec![0x51; 16],
        salt: vec![0x52; 16],
        time_us: TIME + 2,
        service: "vault".into(),
        method: "coffre.vault.v1.CredentialService/GetCredential".into(),
        event: "credential.read".into(),
        activity_type: ActivityType::ReadCredential.into(),
        outcome: Outcome::Unsuccessful.into(),
        reason: "CREDENTIAL_NOT_FOUND".into(),
        source: Source::Grpc.into(),
        actor: Some(Actor { user_id: i64::MAX, user_name: "Ünï\u{202e}\n😀".into(), ..Actor::default() }),
        object: Some(Object { r#type: "credential".into(), id: "9".into(), name: "a\u{0}b\tÇ".into() }),
        client_address: "2001:db8::1".into(),
        ..Event::default()
    }
}

fn aggregated() -> Event {
    Event {
        id: vec![0x61; 16],
        salt: vec![0x62; 16],
        time_us: TIME + 3,
        service: "auth".into(),
        event: "call.unknown_caller.counted".into(),
        activity_type: ActivityType::AuditUnsetActivityType.into(),
        outcome: Outcome::Unsuccessful.into(),
        source: Source::System.into(),
        details: vec![Detail { key: "AUTH_SIGN_IN_FAILED".into(), value: "100000".into() }],
        client_address: "198.51.100.0".into(),
        occurrences: 100_000,
        ..Event::default()
    }
}

fn key() -> StreamKey {
    StreamKey::new(&SecretBytes::new(KEY.to_vec()))
}

fn vectors() -> Value {
    let mut previous = GENESIS;
    let named = [
        ("minimal", minimal()),
        ("full", full()),
        ("unicode and control characters", unicode()),
        ("aggregated", aggregated()),
    ];
    let count = i64::try_from(named.len()).unwrap();
    let events: Vec<Value> = (1..)
        .zip(named)
        .map(|(sequence, (name, event))| {
            let bytes = event.encode_to_vec();
            previous = next_hash(&STREAM, sequence, &previous, &bytes);
            json!({
                "name": name,
                "canonical": hex::encode(&bytes),
                "leafHash": hex::encode(leaf_hash(&bytes)),
                "sequence": sequence,
                "chainHash": hex::encode(previous),
            })
        })
        .collect();
    let mac = key().segment_mac(&STREAM, 1, count, &GENESIS, &previous);
    json!([{
        "about": "docs/audit-format.md says how to compute each of these. All bytes are in hexadecimal.",
        "key": hex::encode(KEY),
        "streamId": hex::encode(STREAM),
        "events": events,
        "segment": {
            "firstSequence": 1,
            "count": count,
            "previousHash": hex::encode(GENESIS),
            "headHash": hex::encode(previous),
            "mac": hex::encode(mac),
        },
        "unknownName": { "nameKey": "bob", "hash": hex::encode(key().unknown_name_hash("bob")) },
    }])
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/vectors/audit-event.json")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

#[test]
fn the_code_writes_the_bytes_of_the_vectors() {
    let computed = vectors();
    if std::env::var_os("COFFRE_WRITE_VECTORS").is_some() {
        std::fs::write(file(), format!("{}\n", serde_json::to_string_pretty(&computed).unwrap())).unwrap();
    }
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    assert_eq!(stored, computed);
}

#[test]
fn the_vectors_are_canonical_and_authentic() {
    let stored: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    let stored = &stored[0];
    let events: Vec<Vec<u8>> =
        stored["events"].as_array().unwrap().iter().map(|event| bytes(&event["canonical"])).collect();
    for event in &events {
        assert!(canonical::is_canonical(event));
    }
    let segment = Segment {
        stream_id: bytes(&stored["streamId"]),
        first_sequence: 1,
        events,
        previous_hash: bytes(&stored["segment"]["previousHash"]),
        head_hash: bytes(&stored["segment"]["headHash"]),
        mac: bytes(&stored["segment"]["mac"]),
    };
    assert!(key().is_authentic(&segment));
}

#[test]
fn whatever_is_changed_in_a_segment_shows() {
    let event = minimal().encode_to_vec();
    let head = next_hash(&STREAM, 1, &GENESIS, &event);
    let good = Segment {
        stream_id: STREAM.to_vec(),
        first_sequence: 1,
        events: vec![event.clone()],
        previous_hash: GENESIS.to_vec(),
        head_hash: head.to_vec(),
        mac: key().segment_mac(&STREAM, 1, 1, &GENESIS, &head).to_vec(),
    };
    assert!(key().is_authentic(&good));
    let other = full().encode_to_vec();
    type Break = fn(&mut Segment);
    let broken: [(&str, Break); 7] = [
        ("stream", |segment| segment.stream_id[0] ^= 1),
        ("short stream", |segment| segment.stream_id.truncate(15)),
        ("number", |segment| segment.first_sequence = 2),
        ("previous", |segment| segment.previous_hash[5] ^= 1),
        ("head", |segment| segment.head_hash[5] ^= 1),
        ("mac", |segment| segment.mac[31] ^= 1),
        ("nothing in it", |segment| segment.events.clear()),
    ];
    for (what, change) in broken {
        let mut forged = good.clone();
        change(&mut forged);
        assert!(!key().is_authentic(&forged), "{what}");
    }
    for events in [vec![other.clone()], vec![event.clone(), other], vec![event.clone(), event]] {
        assert!(!key().is_authentic(&Segment { events, ..good.clone() }));
    }
    let foreign = StreamKey::new(&SecretBytes::new(vec![7; 32]));
    assert!(!foreign.is_authentic(&good));
}

#[test]
fn bytes_in_another_form_are_not_canonical() {
    let bytes = minimal().encode_to_vec();
    assert!(canonical::is_canonical(&bytes));
    // An unknown field, a default that is written, a varint that is too long, fields out of order.
    let (first, rest) = bytes.split_at(18);
    for other in [
        [bytes.as_slice(), &[0xf8, 0x07, 0x01]].concat(),
        [bytes.as_slice(), &[0xa8, 0x01, 0x00]].concat(),
        [bytes.as_slice(), &[0xa8, 0x01, 0x82, 0x00]].concat(),
        [rest, first].concat(),
        bytes[..bytes.len() - 1].to_vec(),
    ] {
        assert!(!canonical::is_canonical(&other), "{other:02x?}");
    }
    let _: Hash = GENESIS;
}
