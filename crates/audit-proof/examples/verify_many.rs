//! Verifies an export of many entries that is made on the way, and tells time and memory:
//!
//! ```text
//! cargo run --release -p coffre-audit-proof --example verify_many -- 10000000
//! ```
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measurement speaks on the terminal and takes the time"
)]

use std::io::{self, BufReader, Read};
use std::time::Instant;

use coffre_audit_proof::checkpoint::{Checkpoint, LogId, heads_digest};
use coffre_audit_proof::export::{Entry, Header, Lines};
use coffre_audit_proof::note::SigningKey;
use coffre_audit_proof::seals::LastSeals;
use coffre_audit_proof::tree::{Frontier, leaf_hash};
use coffre_audit_proof::verify::{Asked, ExportFile};
use coffre_audit_proof::witness::{self, Witness};
use coffre_proto::audit::v1::{self, Actor, Event, Object, ValueSeal};
use coffre_secret::SecretBytes;
use coffre_types::Timestamp;
use prost::Message as _;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A witness sees the log once for so many entries: once a minute at a thousand a minute.
const SEEN_EVERY: u64 = 1000;
/// Each entry in so many wrote a value.
const WRITES_EVERY: u64 = 10;
/// So many values there are.
const VALUES: u64 = 100_000;

fn event(index: u64) -> Event {
    let seal = (index.is_multiple_of(WRITES_EVERY)).then(|| ValueSeal {
        value_id: i64::try_from(index % VALUES).unwrap_or(0),
        version: i64::try_from(index).unwrap_or(0),
        mac: vec![9; 32],
    });
    Event {
        id: [index.to_be_bytes(), [1; 8]].concat(),
        salt: [index.to_be_bytes(), [2; 8]].concat(),
        time_us: 1_795_320_000_000_000,
        service: "vault".into(),
        method: "coffre.vault.v1.AttributeValueService/GetAttributeValue".into(),
        event: "credential.value.read".into(),
        activity_type: 5,
        outcome: 1,
        source: 1,
        actor: Some(Actor { user_id: 7, user_name: "robot-7".into(), session_id: vec![3; 16], ..Actor::default() }),
        object: Some(Object { r#type: "credential".into(), id: index.to_string(), name: "SharePoint Login".into() }),
        value_seals: seal.into_iter().collect(),
        request_id: format!("req-{index}"),
        client_address: "192.0.2.7".into(),
        host_name: "host-a".into(),
        environment_name: "production".into(),
        ..Event::default()
    }
}

/// The file, without one.
struct Made {
    lines: Lines,
    size: u64,
    ready: io::Cursor<Vec<u8>>,
    ended: bool,
}

impl Made {
    fn next(&mut self) -> Outcome<Option<String>> {
        let index = self.lines.next_index().unwrap_or(self.size);
        if index >= self.size {
            return Ok(if std::mem::replace(&mut self.ended, true) { None } else { Some(self.lines.end()?) });
        }
        let event = event(index);
        let canonical = event.encode_to_vec();
        let entry = v1::Entry {
            log_index: i64::try_from(index)?,
            leaf_hash: leaf_hash(&canonical).to_vec(),
            canonical,
            event: Some(event),
            ..v1::Entry::default()
        };
        let entry = Entry::of(&entry).ok_or("no entry")?;
        Ok(Some(self.lines.entry(&entry)?))
    }
}

impl Read for Made {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.ready.read(out)?;
        if read > 0 {
            return Ok(read);
        }
        match self.next().map_err(|error| io::Error::other(error.to_string()))? {
            Some(line) => {
                self.ready = io::Cursor::new(line.into_bytes());
                self.ready.read(out)
            }
            None => Ok(0),
        }
    }
}

fn main() -> Outcome<()> {
    let size: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let log_id = LogId::new([1; 16]);
    let key = SigningKey::from_seed(&log_id.origin(), &SecretBytes::new(vec![1; 32]))?;
    let checkpoint = |tree: &Frontier| Checkpoint {
        log_id,
        size: tree.size(),
        root: tree.root(),
        time: Timestamp::from_seconds(1_795_320_000),
        heads: heads_digest(&[]),
        cut: 0,
    };

    let (mut tree, mut notes) = (Frontier::default(), String::new());
    for index in 0..size {
        tree.push(leaf_hash(&event(index).encode_to_vec()), |_, _| {});
        if tree.size().is_multiple_of(SEEN_EVERY) || tree.size() == size {
            notes.push_str(&witness::entry(&checkpoint(&tree).sign(&key)?));
        }
    }
    let header = Header { checkpoint: checkpoint(&tree).sign(&key)?, ..Header::default() };
    let (lines, first) = Lines::begin(header)?;
    let before = resident("VmRSS")?;

    let begun = Instant::now();
    let witness = Witness::read(notes.as_bytes(), key.verifier())?;
    println!("{} notes of a witness read in {:.1} s", witness.len(), begun.elapsed().as_secs_f64());

    let begun = Instant::now();
    let made = Made { lines, size, ready: io::Cursor::new(first.into_bytes()), ended: false };
    let mut seals = LastSeals::default();
    let (asked, mut bytes) = (Asked { witness: Some(witness), seals: Some(&mut seals), ..Asked::default() }, 0);
    let report =
        ExportFile::open(BufReader::with_capacity(1 << 20, made))?
            .check(key.verifier(), asked, |position| bytes = position.bytes)?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{:?}: {} entries, {} MiB, made and verified in {seconds:.1} s",
        report.verdict(),
        report.entries,
        bytes >> 20
    );
    println!("{} values have seals", seals.len());
    println!("{} MiB before, {} MiB at most", before >> 10, resident("VmHWM")? >> 10);
    Ok(())
}

/// A line of what Linux tells of this process, in KiB.
fn resident(name: &str) -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).ok_or("not told")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}
