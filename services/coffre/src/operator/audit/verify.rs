//! `coffre audit verify`: is the record the one that was written? Of a file, without any server; or of a running server.
//!
//! - `verdict` is how the answer looks, `values` compares the stored values with the record.

mod values;
mod verdict;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use coffre_audit_proof::canonical;
use coffre_audit_proof::checkpoint::{Checkpoint, StreamHead, heads_digest};
use coffre_audit_proof::export::Header;
use coffre_audit_proof::note::VerifierKey;
use coffre_audit_proof::seals::LastSeals;
use coffre_audit_proof::tree::{Frontier, Hash};
use coffre_audit_proof::verify::{Asked, ExportFile, Finding, Report, Walk, unopened};
use coffre_audit_proof::witness::Witness;
use coffre_proto::audit::v1::{self, CreateCheckpointRequest, StreamEntriesResponse};

use self::verdict::Checked;
use super::super::fault::Fault;
use super::super::session::Session;
use super::export::{Progress, after_the_cut};
use super::stream::Entries;
use super::{signed, wanted};

/// What the help of this command ends with.
const EXIT_CODES: &str = "Exit codes: 0 the record is whole, and a witness vouches for all of it; 1 something is wrong with it; 3 nothing wrong was found, \
                          but no witness vouches for all of it; 65 a file or a key cannot be read; 69 the server cannot be reached; 77 not signed in or not permitted";

/// What is verified, and against what.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct VerifyArgs {
    /// File that `coffre audit export` wrote; no server is asked
    #[arg(value_name = "FILE", required_unless_present = "server", conflicts_with = "server")]
    pub(crate) file: Option<PathBuf>,
    /// The log of the running server, up to a checkpoint of now
    #[arg(long)]
    pub(crate) server: bool,
    /// File of a witness: `audit.witness`, or lines of a log collector, kept where the server cannot change them
    #[arg(long, value_name = "FILE")]
    pub(crate) witness: Option<PathBuf>,
    /// Key of the log, or a file that holds it, as `coffre audit key` printed it when the log was begun; without it, the file's or server's own word
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// The file is older than the witness: entries that came after it are not missed
    #[arg(long, conflicts_with = "server")]
    pub(crate) older: bool,
    /// Compare the stored values with the record, too
    #[arg(long, conflicts_with = "file")]
    pub(crate) values: bool,
}

/// Verifies a file.
pub(crate) fn file(args: &VerifyArgs, path: &Path, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
    let opened = File::open(path).map_err(|error| unreadable(path, &error))?;
    let bytes = opened.metadata().map_or(0, |found| found.len());
    let export =
        ExportFile::open(BufReader::with_capacity(1 << 20, opened)).map_err(|error| unreadable(path, &error))?;
    let key = key(args, &export.header().verifier_key, "the file")?;
    let asked = Asked { witness: witness(args, &key)?, older: args.older, seals: None };
    let progress = Progress::new();
    let report = export.check(&key, asked, |at| {
        // Drawing is cheap, asking whether to draw is not.
        if at.entries.is_multiple_of(256) {
            progress.at(at.bytes, bytes, at.entries);
        }
    });
    progress.clear();
    let report = report.map_err(|error| unreadable(path, &error))?;
    Checked { report, key_given: args.key.is_some(), values: None, incidents: 0 }.tell(out, as_json)
}

/// Verifies the log of the server.
pub(crate) async fn server(
    session: &mut Session,
    args: &VerifyArgs,
    out: &mut impl Write,
    as_json: bool,
) -> Result<(), Fault> {
    let latest = signed(session).await?;
    let key = key(args, &latest.verifier_key, "the server")?;
    // A log that the server itself found damaged is signed no more, and is verified as far as it was.
    let made = session.proofs().create_checkpoint(session.request(CreateCheckpointRequest {})?).await;
    let checkpoint = match made {
        Ok(made) => wanted(made.into_inner().checkpoint)?,
        Err(_) => wanted(latest.checkpoint)?,
    };
    // Read last: a witness that the server writes to has the checkpoint of now.
    let witness = witness(args, &key)?;
    let mut seals = args.values.then(LastSeals::default);
    let progress = Progress::new();
    let report = match Checkpoint::open(&checkpoint.note, &key) {
        Ok(opened) => walk(session, opened, &checkpoint, &key, witness, seals.as_mut(), &progress).await,
        Err(refused) => Ok(unopened("the checkpoint of the server", &refused, &key, witness)),
    };
    let values = match (&report, &mut seals) {
        (Ok(report), Some(seals)) => Some(values::compare(session, seals, report.size, &progress).await),
        _ => None,
    };
    progress.clear();
    let values = values.transpose()?;
    let incidents = incidents(session).await;
    Checked { report: report?, key_given: args.key.is_some(), values, incidents }.tell(out, as_json)
}

/// Goes through all entries of the server up to the checkpoint.
async fn walk(
    session: &mut Session,
    opened: Checkpoint,
    told: &v1::Checkpoint,
    key: &VerifierKey,
    mut witness: Option<Witness>,
    mut seals: Option<&mut LastSeals>,
    progress: &Progress,
) -> Result<Report, Fault> {
    let (mut walk, mut entries) = (None::<Walk>, Entries::new(None, Some(0), false));
    while let Some(message) = entries.next(session).await? {
        if !message.everything {
            return Err(Fault::nobody(
                "you see your own entries alone, and a log is verified as a whole: the permission View everyone's audit log actions is needed",
            ));
        }
        let Some(first) = message.entries.first() else { continue };
        if walk.is_none() && first.log_index > 0 {
            let header = after_the_cut(session, Header::default(), &message, told).await?;
            walk = Some(Walk::new(wanted(header.frontier())?, opened, witness.take()));
        }
        let walk = walk.get_or_insert_with(|| Walk::new(Frontier::default(), opened, witness.take()));
        take(walk, &message, opened.size, seals.as_deref_mut());
        progress.at(walk.next(), opened.size, walk.next());
        if walk.next() >= opened.size && seals.is_none() {
            break;
        }
    }
    let mut walk = walk.unwrap_or_else(|| Walk::new(Frontier::default(), opened, witness.take()));
    if heads_digest(&heads(told)) != opened.heads {
        let (place, why) = ("the checkpoint of the server", "the heads of streams are not those that were signed");
        walk.fault(Finding::Note { place: place.to_owned(), why: why.to_owned() });
    }
    Ok(walk.finish(true, false, key))
}

/// Takes the entries of a message. Those behind the checkpoint are not judged; their seals count.
fn take(walk: &mut Walk, message: &StreamEntriesResponse, size: u64, mut seals: Option<&mut LastSeals>) {
    for entry in &message.entries {
        let index = u64::try_from(entry.log_index).unwrap_or(u64::MAX);
        let event = if index < size {
            walk.entry(index, Hash::try_from(entry.leaf_hash.as_slice()).ok(), &entry.canonical)
        } else {
            canonical::decode(&entry.canonical)
        };
        if let (Some(event), Some(seals)) = (event, seals.as_deref_mut()) {
            seals.take(&event);
        }
    }
}

/// The heads that the server tells; what cannot be one is left out, and the digest tells.
fn heads(told: &v1::Checkpoint) -> Vec<StreamHead> {
    let head = |head: &v1::CheckpointStreamHead| {
        Some(StreamHead {
            service: head.service.clone(),
            stream_id: head.stream_id.as_slice().try_into().ok()?,
            sequence: head.last_sequence,
            hash: head.head_hash.as_slice().try_into().ok()?,
        })
    };
    told.heads.iter().filter_map(head).collect()
}

/// Asks how many incidents the server knows. Who may not see them hears of none.
async fn incidents(session: &Session) -> i64 {
    let Ok(request) = session.request(v1::ListIncidentsRequest { page_size: 1 }) else { return 0 };
    session.proofs().list_incidents(request).await.map_or(0, |answer| answer.into_inner().total_size)
}

/// Takes the key that was given as text or in a file, or else what the log says of itself.
fn key(args: &VerifyArgs, told: &str, teller: &str) -> Result<VerifierKey, Fault> {
    let Some(given) = &args.key else {
        return told.parse().map_err(|error| Fault::given(format!("the key that {teller} tells is none: {error}")));
    };
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let path = Path::new(given);
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::given(format!("--key is neither a key (<name>+<hash>+<base64>) nor a file that can be read: {error}"))
    })?;
    text.trim().parse().map_err(|error| Fault::given(format!("{} holds no key: {error}", path.display())))
}

fn witness(args: &VerifyArgs, key: &VerifierKey) -> Result<Option<Witness>, Fault> {
    let read = |path: &PathBuf| {
        let file = File::open(path).map_err(|error| unreadable(path, &error))?;
        Witness::read(BufReader::new(file), key).map_err(|error| unreadable(path, &error))
    };
    args.witness.as_ref().map(read).transpose()
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Fault {
    Fault::given(format!("{} cannot be verified: {why}", path.display()))
}

#[cfg(test)]
mod tests;
