//! `coffre audit verify`: is the record the one that was written? Of a file, without any server; or of a running server.
//!
//! - `verdict` is how the answer looks, `values` compares the stored values with the record.

mod values;
mod verdict;

use std::fs::File;
use std::io::{BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use coffre_audit_proof::canonical;
use coffre_audit_proof::checkpoint::{Checkpoint, LogId, StreamHead, heads_digest};
use coffre_audit_proof::export::Header;
use coffre_audit_proof::note::VerifierKey;
use coffre_audit_proof::seals::LastSeals;
use coffre_audit_proof::tree::{EMPTY_ROOT, Frontier, Hash};
use coffre_audit_proof::verify::{Asked, ExportFile, Finding, Report, Walk, unopened};
use coffre_audit_proof::witness::Witness;
use coffre_proto::audit::v1::{self, CreateCheckpointRequest, StreamEntriesResponse};
use coffre_types::Timestamp;

use self::verdict::{Checked, Of};
use super::super::fault::Fault;
use super::super::session::Session;
use super::export::{Progress, after_the_cut};
use super::stream::Entries;
use super::{latest, wanted};

/// What the help of this command ends with.
const EXIT_CODES: &str = "Exit codes: 0 the record is whole, and a witness vouches for all of it; 1 something is wrong with it; 3 nothing wrong was found, \
                          but no witness vouches for all of it, or it could not be compared in full; 4 each entry of an export of some is a recorded \
                          one, and none of them tells whether others are missing; 65 a file or a key cannot be read; 69 the server cannot be reached; 77 not signed in or not permitted";

/// Where a note of the server is.
const PLACE: &str = "the checkpoint of the server";
/// How often the log is signed anew where the witness saw a later checkpoint meanwhile.
const ROUNDS: u32 = 5;
/// How often the witness is read until it has the checkpoint of now.
const LOOKS: u32 = 10;
/// How long to wait before.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 300 });

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
    /// The file was written by another version of this program: leave out what entries say in its words (eventDescription and detail)
    #[arg(long, conflicts_with = "server")]
    pub(crate) other_words: bool,
    /// Compare the stored values with the record, too
    #[arg(long, conflicts_with = "file")]
    pub(crate) values: bool,
}

/// Verifies a file.
pub(crate) fn file(args: &VerifyArgs, path: &Path, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
    let opened = File::open(path).map_err(|error| unreadable(path, &error))?;
    if args.witness.as_ref().is_some_and(|witness| witness.canonicalize().ok() == path.canonicalize().ok()) {
        return Err(Fault::given(
            "a file does not vouch for itself: --witness is what was kept elsewhere, such as audit.witness",
        ));
    }
    let bytes = opened.metadata().map_or(0, |found| found.len());
    let export =
        ExportFile::open(BufReader::with_capacity(1 << 20, opened)).map_err(|error| unreadable(path, &error))?;
    let key = key(args, &export.header().verifier_key, "the file")?;
    let filter = export.header().filter.clone();
    let asked = Asked { witness: witness(args, &key)?, older: args.older, other_words: args.other_words, seals: None };
    let progress = Progress::new();
    let report = export.check(&key, asked, |at| {
        // Drawing is cheap, asking whether to draw is not.
        if at.entries.is_multiple_of(256) {
            progress.at(at.bytes, bytes, at.entries);
        }
    });
    progress.clear();
    let report = report.map_err(|error| unreadable(path, &error))?;
    Checked {
        report,
        of: Of::File { filter },
        key_given: args.key.is_some(),
        values: None,
        uncompared: None,
        incidents: 0,
    }
    .tell(out, as_json)
}

/// Verifies the log of the server.
pub(crate) async fn server(
    session: &mut Session,
    args: &VerifyArgs,
    out: &mut impl Write,
    as_json: bool,
) -> Result<(), Fault> {
    let Signed { told, key, witness } = signed_and_seen(session, args).await?;
    let mut seals = args.values.then(LastSeals::default);
    let progress = Progress::new();
    let against = match &told {
        Some(told) => {
            Checkpoint::open(&told.note, &key).map(|opened| Against { opened, told: Some(told), wrong: None })
        }
        None => Ok(Against::of_witness(witness.as_ref())),
    };
    let report = match against {
        Ok(against) => walk(session, against, &key, witness, seals.as_mut(), &progress).await,
        Err(refused) => Ok(unopened(PLACE, &refused, &key, witness)),
    };
    let values = match (&report, &mut seals) {
        (Ok(report), Some(seals)) => Some(values::compare(session, seals, report, &progress).await),
        _ => None,
    };
    progress.clear();
    let (values, uncompared) = match values.transpose() {
        Ok(values) => (values, None),
        // What was found out about the log is told all the same.
        Err(fault) => (None, Some(fault)),
    };
    let incidents = incidents(session).await;
    let key_given = args.key.is_some();
    Checked { report: report?, of: Of::Server, key_given, values, uncompared, incidents }.tell(out, as_json)
}

/// What the server signed, and what was seen of it.
struct Signed {
    /// The checkpoint of now, or the last one; `None` where the server has none and makes none.
    told: Option<v1::Checkpoint>,
    key: VerifierKey,
    witness: Option<Witness>,
}

/// Has the log signed as it is now, and reads what the witness saw: afterwards, so that it saw that, too.
async fn signed_and_seen(session: &Session, args: &VerifyArgs) -> Result<Signed, Fault> {
    let mut rounds = 0;
    loop {
        let made = session.proofs().create_checkpoint(session.request(CreateCheckpointRequest {})?).await;
        let made = made.map_err(|status| session.fault(&status));
        let (told, is_new, key) = match (made, latest(session).await) {
            (Ok(made), Ok(latest)) => (Some(wanted(made.into_inner().checkpoint)?), true, latest.verifier_key),
            // A log that the server itself found damaged is signed no more, and is verified as far as it was.
            (Err(_), Ok(latest)) => (Some(wanted(latest.checkpoint)?), false, latest.verifier_key),
            (Err(refused), Err(fault)) if refused.is_damaged() && fault.is_unsigned() => (None, false, String::new()),
            (Err(refused), Err(fault)) if fault.is_unsigned() => return Err(refused),
            (_, Err(fault)) => return Err(fault),
        };
        if told.is_none() && args.key.is_none() {
            return Err(Fault::failed(
                "the server has no checkpoint of its log any more and makes none, because the log is not the one that was signed: \
                 its key is needed to tell what is wrong (--key), and what a witness kept (--witness)",
            ));
        }
        let key = self::key(args, &key, "the server")?;
        let size = told.as_ref().and_then(|told| u64::try_from(told.size).ok()).unwrap_or_default();
        let witness = if is_new { seen(args, &key, size).await? } else { witness(args, &key)? };
        let behind = witness.as_ref().and_then(Witness::last).is_some_and(|(seen, _)| seen > size);
        rounds += 1;
        // Somebody had a later one made meanwhile: this one is out of date, and nothing is missing.
        if !is_new || !behind || rounds == ROUNDS {
            return Ok(Signed { told, key, witness });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads what the witness saw. A file that somebody collects from the server has the checkpoint of now a moment later.
async fn seen(args: &VerifyArgs, key: &VerifierKey, size: u64) -> Result<Option<Witness>, Fault> {
    let mut looks = 0;
    loop {
        let witness = witness(args, key)?;
        looks += 1;
        if looks == LOOKS || witness.as_ref().is_none_or(|witness| witness.last().is_some_and(|(seen, _)| seen >= size))
        {
            return Ok(witness);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// What the log is held against.
struct Against<'a> {
    opened: Checkpoint,
    told: Option<&'a v1::Checkpoint>,
    wrong: Option<Finding>,
}

impl Against<'_> {
    /// A log without any checkpoint is held against what the witness saw last.
    fn of_witness(witness: Option<&Witness>) -> Self {
        let mut opened = Checkpoint {
            log_id: LogId::new([0; 16]),
            size: 0,
            root: EMPTY_ROOT,
            time: Timestamp::default(),
            heads: [0; 32],
            cut: 0,
        };
        let why = match witness.and_then(Witness::last) {
            Some((size, seen)) => {
                opened = Checkpoint { size, root: seen.root, time: seen.time, ..opened };
                format!("there is none, and the witness saw one of {size} entries")
            }
            None => "there is none, though the server signed its log before".to_owned(),
        };
        Self { opened, told: None, wrong: Some(Finding::Note { place: PLACE.to_owned(), why }) }
    }
}

/// Goes through all entries of the server up to the checkpoint.
async fn walk(
    session: &mut Session,
    Against { opened, told, wrong }: Against<'_>,
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
            let size = i64::try_from(opened.size).unwrap_or(i64::MAX);
            let at = v1::Checkpoint { size, ..v1::Checkpoint::default() };
            let header = after_the_cut(session, Header::default(), &message, &at).await?;
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
    if told.is_some_and(|told| heads_digest(&heads(told)) != opened.heads) {
        let why = "the heads of streams are not those that were signed".to_owned();
        walk.fault(Finding::Note { place: PLACE.to_owned(), why });
    }
    wrong.into_iter().for_each(|wrong| walk.fault(wrong));
    Ok(walk.finish(true, false, key))
}

/// Takes the entries of a message. Those behind the checkpoint are not judged; their seals count.
fn take(walk: &mut Walk, message: &StreamEntriesResponse, size: u64, mut seals: Option<&mut LastSeals>) {
    for entry in &message.entries {
        let index = u64::try_from(entry.log_index).unwrap_or(u64::MAX);
        let event = if index < size {
            let event = walk.entry(index, Hash::try_from(entry.leaf_hash.as_slice()).ok(), &entry.canonical);
            // What the server shows of it is not what was recorded.
            if let (Some(held), Some(shown)) = (&event, &entry.event)
                && held != shown
            {
                walk.fault(Finding::of_event(index, held));
            }
            event
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
    given_key(given, "--key")
}

/// Reads the key of a log that was given as text or as the name of a file.
pub(crate) fn given_key(given: &str, flag: &str) -> Result<VerifierKey, Fault> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let path = Path::new(given);
    let text = std::fs::read_to_string(path).map_err(|error| {
        Fault::given(format!("{flag} is neither a key (<name>+<hash>+<base64>) nor a file that can be read: {error}"))
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
