//! The golden vectors of the audit's proofs: `proto/vectors/audit-proof.json`.
//!
//! `COFFRE_WRITE_VECTORS=1 cargo test -p coffre-audit-proof --test vectors` writes the file anew. It only ever grows: a change of what is
//! there breaks every checkpoint, proof and export that exists.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::path::Path;

use coffre_audit_proof::checkpoint::{Checkpoint, LogId, StreamHead, heads_digest};
use coffre_audit_proof::export::{Entry, Header, Lines};
use coffre_audit_proof::note::SigningKey;
use coffre_audit_proof::proof::{consistency, inclusion, verify_consistency, verify_inclusion};
use coffre_audit_proof::tree::{EMPTY_ROOT, Frontier, Hash, Node, join, leaf_hash, over, subtrees};
use coffre_audit_proof::verify::{Asked, ExportFile, Verdict};
use coffre_audit_proof::witness::{self, Witness};
use coffre_proto::audit::v1::{self, Actor, Event};
use coffre_secret::SecretBytes;
use coffre_types::Timestamp;
use prost::Message as _;
use serde_json::{Value, json};

const SEED: [u8; 32] = *b"0123456789abcdef0123456789abcdef";
const LOG: LogId = LogId::new(*b"coffre-audit-log");
const TIME: i64 = 1_795_320_000_123_456;
const SIZE: u64 = 7;

fn key() -> SigningKey {
    SigningKey::from_seed(&LOG.origin(), &SecretBytes::new(SEED.to_vec())).unwrap()
}

fn event(index: u8) -> Event {
    Event {
        id: vec![index; 16],
        salt: vec![0x20 + index; 16],
        time_us: TIME + i64::from(index),
        service: "vault".into(),
        event: "credential.read".into(),
        activity_type: 5,
        outcome: 1,
        source: 1,
        actor: Some(Actor { user_id: 300, user_name: "admin".into(), ..Actor::default() }),
        ..Event::default()
    }
}

fn leaves() -> Vec<Hash> {
    (0..SIZE as u8).map(|index| leaf_hash(&event(index).encode_to_vec())).collect()
}

fn hashes(runs: Vec<std::ops::Range<u64>>) -> Vec<Hash> {
    let leaves = leaves();
    let of = |node: Node| over(&leaves[node.leaves().start as usize..node.leaves().end as usize]);
    runs.into_iter().map(|run| join(&subtrees(run).into_iter().map(of).collect::<Vec<_>>())).collect()
}

fn hex_all(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(hex::encode).collect()
}

fn heads() -> Vec<StreamHead> {
    let head = |service: &str, id: u8, sequence| StreamHead {
        service: service.into(),
        stream_id: [id; 16],
        sequence,
        hash: [id + 1; 32],
    };
    vec![head("vault", 0xb0, 6), head("auth", 0xa0, 1)]
}

fn checkpoint(size: u64, cut: u64) -> Checkpoint {
    let root = over(&leaves()[..size as usize]);
    Checkpoint { log_id: LOG, size, root, time: Timestamp::from_micros(TIME), heads: heads_digest(&heads()), cut }
}

fn export() -> String {
    let header = Header {
        created_on: "2026-11-22T04:00:01.000Z".into(),
        checkpoint: checkpoint(SIZE, 0).sign(&key()).unwrap(),
        verifier_key: key().verifier().to_string(),
        ..Header::default()
    };
    let (mut lines, mut text) = Lines::begin(header).unwrap();
    for index in 0..SIZE as u8 {
        let canonical = event(index).encode_to_vec();
        let entry = v1::Entry {
            log_index: index.into(),
            leaf_hash: leaf_hash(&canonical).to_vec(),
            canonical,
            event: Some(event(index)),
            ..v1::Entry::default()
        };
        text.push_str(&lines.entry(&Entry::of(&entry).unwrap()).unwrap());
    }
    text + &lines.end().unwrap()
}

fn vectors() -> Value {
    let roots: Vec<String> = (0..=SIZE as usize).map(|size| hex::encode(over(&leaves()[..size]))).collect();
    let mut frontier = Frontier::default();
    leaves().into_iter().for_each(|leaf| frontier.push(leaf, |_, _| {}));
    let inclusions: Vec<Value> = (0..SIZE)
        .map(|index| json!({"index": index, "size": SIZE, "hashes": hex_all(&hashes(inclusion(index, SIZE).unwrap()))}))
        .collect();
    let consistencies: Vec<Value> = (1..=SIZE)
        .map(|from| json!({"from": from, "to": SIZE, "hashes": hex_all(&hashes(consistency(from, SIZE).unwrap()))}))
        .collect();
    let heads: Vec<Value> = heads()
        .iter()
        .map(|head| {
            json!({
                "service": head.service,
                "streamId": hex::encode(head.stream_id),
                "lastSequence": head.sequence,
                "headHash": hex::encode(head.hash),
            })
        })
        .collect();
    let notes = [(4, 0), (SIZE, 0), (SIZE, 4)].map(|(size, cut)| checkpoint(size, cut).sign(&key()).unwrap());
    json!([{
        "about": "docs/audit-format.md says how to compute each of these. Bytes are in hexadecimal but where that page says base64.",
        "entries": (0..SIZE as u8).map(|index| hex::encode(event(index).encode_to_vec())).collect::<Vec<_>>(),
        "leafHashes": hex_all(&leaves()),
        "roots": roots,
        "frontier": hex::encode(frontier.to_bytes()),
        "inclusion": inclusions,
        "consistency": consistencies,
        "seed": hex::encode(SEED),
        "verifierKey": key().verifier().to_string(),
        "heads": heads,
        "headsDigest": hex::encode(heads_digest(&self::heads())),
        "checkpoints": notes,
        "witness": notes[..2].iter().map(|note| witness::entry(note)).collect::<String>(),
        "export": export(),
    }])
}

fn file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/vectors/audit-proof.json")
}

fn stored() -> Value {
    serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap()
}

#[test]
fn the_code_writes_the_bytes_of_the_vectors() {
    let computed = vectors();
    if std::env::var_os("COFFRE_WRITE_VECTORS").is_some() {
        std::fs::write(file(), format!("{}\n", serde_json::to_string_pretty(&computed).unwrap())).unwrap();
    }
    assert_eq!(stored(), computed);
}

#[test]
fn the_vectors_hold() {
    let stored = &stored()[0];
    let hash = |value: &Value| Hash::try_from(hex::decode(value.as_str().unwrap()).unwrap()).unwrap();
    let hashes = |value: &Value| value["hashes"].as_array().unwrap().iter().map(hash).collect::<Vec<_>>();
    let number = |value: &Value, name: &str| value[name].as_u64().unwrap();
    assert_eq!(hash(&stored["roots"][0]), EMPTY_ROOT);
    for proof in stored["inclusion"].as_array().unwrap() {
        let (index, size) = (number(proof, "index"), number(proof, "size"));
        let (leaf, root) = (hash(&stored["leafHashes"][index as usize]), hash(&stored["roots"][size as usize]));
        assert!(verify_inclusion(&leaf, index, size, &hashes(proof), &root));
    }
    for proof in stored["consistency"].as_array().unwrap() {
        let (from, to) = (number(proof, "from"), number(proof, "to"));
        let root = |size: u64| hash(&stored["roots"][size as usize]);
        assert!(verify_consistency(from, &root(from), to, &root(to), &hashes(proof)));
    }
    let key = stored["verifierKey"].as_str().unwrap().parse().unwrap();
    for note in stored["checkpoints"].as_array().unwrap() {
        Checkpoint::open(note.as_str().unwrap(), &key).unwrap();
    }
    let witness = Witness::read(stored["witness"].as_str().unwrap().as_bytes(), &key).unwrap();
    let export = ExportFile::open(stored["export"].as_str().unwrap().as_bytes()).unwrap();
    let report = export.check(&key, Asked { witness: Some(witness), ..Asked::default() }, |_| {}).unwrap();
    assert_eq!((report.verdict(), report.findings), (Verdict::Whole, vec![]));
}
