//! What this crate seals is opened by a program in another language that was written after `docs/values-at-rest.md` alone.
//!
//! `cargo xtask test` builds it with Go and names it in `COFFRE_TEST_OPEN_VALUE`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use coffre_crypto::Key256;
use coffre_crypto::keyring::{OpenKeyring, RootKey, Term};
use coffre_crypto::rekey::Holder;
use coffre_crypto::slot::Slot;
use coffre_crypto::value::Place;
use serde_json::{Value, json};

#[allow(clippy::disallowed_methods, reason = "a test is told of its surroundings by the environment")]
fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/open-value/open-value");
    let found = std::env::var_os("COFFRE_TEST_OPEN_VALUE").map_or(built, PathBuf::from);
    found.canonicalize().unwrap_or_else(|error| {
        panic!("{}: {error}; `cargo xtask test` builds it, or COFFRE_TEST_OPEN_VALUE names it", found.display())
    })
}

/// The program's answer, or what it refuses with.
fn ask(request: &Value) -> Result<Value, String> {
    let mut child =
        Command::new(program()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.success() {
        Ok(serde_json::from_slice(&output.stdout).unwrap())
    } else {
        Err(String::from_utf8(output.stderr).unwrap())
    }
}

/// A vault after a rotation and a new root key, and a value in it.
struct Case {
    slot: Slot,
    request: Value,
    mac: String,
}

fn case(user: Option<i64>, plaintext: &str) -> Case {
    let express_key = Key256::generate().unwrap();
    let root = RootKey::generate().unwrap();
    let first = OpenKeyring::open(&root, &[root.new_term(Term::FIRST).unwrap()]).unwrap();
    let place = Place { tenant: 1, credential: 22, attribute: 333, user, value: 4_444, version: i64::MAX };
    let sealed = first.seal(&place, plaintext.as_bytes()).unwrap();
    let rekeyed = first.rekey(&[Holder::Express(&express_key)]).unwrap();
    let terms =
        rekeyed.terms.iter().map(|term| json!({"term": term.term.get(), "wrapped": hex::encode(&term.wrapped)}));
    let slot = rekeyed.slots.into_iter().next().unwrap();
    let request = json!({
        "expressKey": hex::encode(express_key.expose()),
        "slot": hex::encode(slot.as_bytes()),
        "terms": terms.collect::<Vec<_>>(),
        "tenant": place.tenant,
        "credential": place.credential,
        "attribute": place.attribute,
        "user": place.user,
        "value": place.value,
        "version": place.version,
        "sealed": hex::encode(sealed.as_bytes()),
    });
    Case { slot, request, mac: hex::encode(first.value_mac(place.value, place.version, sealed.as_bytes())) }
}

#[test]
fn another_program_opens_what_we_seal() {
    for (user, plaintext) in [(None, "plain"), (Some(55_555), "gehe\u{ef}m \u{1f511}"), (Some(1), "")] {
        let case = case(user, plaintext);
        let answer = ask(&case.request).unwrap();
        assert_eq!(answer["plaintext"], plaintext);
        assert_eq!(answer["mac"], case.mac.as_str());
    }
}

#[test]
fn it_refuses_what_we_refuse() {
    let case = case(None, "plain");
    let with = |name: &str, value: Value| {
        let mut request = case.request.clone();
        request[name] = value;
        ask(&request).unwrap_err()
    };
    for (name, value) in [("user", json!(7)), ("credential", json!(23)), ("version", json!(1)), ("tenant", json!(2))] {
        assert!(with(name, value).contains("authentication failed"), "{name}");
    }
    let other = Key256::generate().unwrap();
    assert!(with("expressKey", json!(hex::encode(other.expose()))).contains("not the one of the slot"));
    let mut damaged = case.slot.as_bytes().to_vec();
    damaged[100] ^= 1;
    assert!(with("slot", json!(hex::encode(&damaged))).contains("damaged"));
    assert!(with("terms", json!([])).contains("term is not there"));
}

#[test]
fn it_reads_recovery_keys_as_we_do() {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("vectors/recovery_key.json")).unwrap();
    for vector in vectors {
        let typed = vector["text"].as_str().unwrap().to_lowercase().replace('5', "s").replace('-', " ");
        assert_eq!(ask(&json!({ "recoveryKey": typed })).unwrap()["recoveryKey"], vector["key"]);
    }
    assert!(ask(&json!({ "recoveryKey": "2".repeat(63) })).unwrap_err().contains("checksum"));
}
