//! `coffre audit …`: reading the record of every call, following it, and proving it.
//!
//! - `args` names the commands, `which` and `times` read what is asked for.
//! - `follow` prints what comes, `export` writes it into a file, `stream` takes a stream up again where it broke.
//! - `verify` checks a file or the server against its signature and a witness.
//! - `shown` is how entries look, `plain` keeps the texts of others from playing with the terminal.

mod args;
mod export;
mod follow;
mod plain;
mod shown;
mod stream;
#[cfg(test)]
mod tests;
mod times;
mod verify;
mod which;

use std::io::Write;

use coffre_audit_proof::checkpoint::Checkpoint;
use coffre_audit_proof::note::VerifierKey;
use coffre_audit_proof::proof::verify_inclusion;
use coffre_audit_proof::tree::{Hash, leaf_hash};
use coffre_proto::audit::v1::{
    CreateCheckpointRequest, CutLogRequest, GetCheckpointRequest, GetEntryRequest, GetInclusionProofRequest,
    GetLatestCheckpointRequest, GetLatestCheckpointResponse, ListEntriesRequest, ListIncidentsRequest,
};
use coffre_proto::query::v1::sort_key::Direction;
use coffre_proto::query::v1::{Query, SortKey};
use coffre_types::{Clock as _, SystemClock};
use serde_json::json;

pub(crate) use self::args::AuditArgs;
use self::args::{AuditCommand, Which};
use self::times::Zone;
use self::verify::VerifyArgs;
pub(crate) use self::verify::given_key;
use super::fault::Fault;
use super::secrets::Typed;
use super::session::Session;
use super::shown::Shown;

/// Signs in, does what was asked, and signs out.
pub(crate) async fn command(args: &AuditArgs, typed: &mut impl Typed, out: &mut impl Write) -> Result<(), Fault> {
    if let AuditCommand::Verify(asked @ VerifyArgs { file: Some(file), .. }) = &args.command {
        // Without a server, and without anybody's rights.
        return verify::file(asked, file, out, args.connection.json);
    }
    let session = Session::open(&args.connection, typed).await?;
    in_session(session, args, typed, out).await
}

/// The same in a session.
pub(crate) async fn in_session(
    mut session: Session,
    args: &AuditArgs,
    typed: &mut impl Typed,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let done = perform(&mut session, args, typed, out).await;
    session.close().await;
    done
}

/// Sends one call; `$message` is its request.
macro_rules! call {
    ($session:expr, $client:ident, $method:ident, $message:expr) => {{
        let request = $session.request($message)?;
        $session.$client().$method(request).await.map_err(|status| $session.fault(&status))?.into_inner()
    }};
}

async fn perform(
    session: &mut Session,
    args: &AuditArgs,
    typed: &mut impl Typed,
    out: &mut impl Write,
) -> Result<(), Fault> {
    let (as_json, zone) = (args.connection.json, Zone::of(args.utc));
    let shown = match &args.command {
        AuditCommand::List { which, limit, oldest_first } => list(session, which, *limit, *oldest_first, &zone).await?,
        AuditCommand::Show { id, proof } => show(session, id, *proof, &zone).await?,
        AuditCommand::Follow { which, from } => {
            let now = SystemClock.now();
            let (filter, until) = (which.filter(&zone, now)?, which.until(&zone, now)?);
            return follow::for_ever(session, filter, *from, until, &zone, out, as_json).await;
        }
        AuditCommand::Export(args) => {
            let filter = args.which.filter(&zone, SystemClock.now())?;
            match export::to_file(session, args, filter).await? {
                Some(shown) => shown,
                // What is printed is the export, and nothing else.
                None => return Ok(()),
            }
        }
        AuditCommand::Checkpoint { latest: true, .. } => shown::checkpoint(&wanted(latest(session).await?.checkpoint)?),
        AuditCommand::Checkpoint { size: Some(size), .. } => {
            let answer = call!(session, proofs, get_checkpoint, GetCheckpointRequest { size: *size });
            shown::checkpoint(&wanted(answer.checkpoint)?)
        }
        AuditCommand::Checkpoint { .. } => {
            let answer = call!(session, proofs, create_checkpoint, CreateCheckpointRequest {});
            shown::checkpoint(&wanted(answer.checkpoint)?)
        }
        AuditCommand::Incidents { limit } => {
            let answer = call!(session, proofs, list_incidents, ListIncidentsRequest { page_size: *limit });
            shown::incidents(&answer.incidents, answer.total_size, &zone)
        }
        AuditCommand::Cut { before, dry_run, yes } => {
            let before = zone.read(before, SystemClock.now())?;
            cut(session, typed, before, *dry_run, *yes).await?
        }
        AuditCommand::Verify(asked) => return verify::server(session, asked, out, as_json).await,
        AuditCommand::Key => {
            let key = signed(session).await?.verifier_key;
            Shown { text: plain::plain(&key), json: json!({"verifierKey": key}) }
        }
    };
    shown.print_plain(out, as_json)
}

impl Shown {
    /// Prints it; JSON holds texts of others, too.
    fn print_plain(&self, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
        let text = if as_json { plain::plain_json(&self.json.to_string()) } else { self.text.clone() };
        print(out, &text)
    }
}

/// Prints a line.
fn print(out: &mut impl Write, line: &str) -> Result<(), Fault> {
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| Fault::failed(format!("the answer cannot be printed: {error}")))
}

/// Unwraps what an answer must have.
fn wanted<T>(part: Option<T>) -> Result<T, Fault> {
    part.ok_or_else(|| Fault::failed("the server left a part of its answer out: is it of another version?"))
}

async fn latest(session: &Session) -> Result<GetLatestCheckpointResponse, Fault> {
    Ok(call!(session, proofs, get_latest_checkpoint, GetLatestCheckpointRequest {}))
}

/// The same of a log that was never signed yet, by whoever may have it signed.
async fn signed(session: &Session) -> Result<GetLatestCheckpointResponse, Fault> {
    match latest(session).await {
        Err(fault) if fault.is_unsigned() => {
            let made = session.proofs().create_checkpoint(session.request(CreateCheckpointRequest {})?).await;
            if made.is_ok() { latest(session).await } else { Err(fault) }
        }
        outcome => outcome,
    }
}

async fn list(session: &Session, which: &Which, limit: i32, oldest_first: bool, zone: &Zone) -> Result<Shown, Fault> {
    let filter = which.filter(zone, SystemClock.now())?;
    let direction = if oldest_first { Direction::Ascending } else { Direction::Descending };
    let order_by = vec![SortKey { field: "createdOn".to_owned(), direction: direction.into() }];
    let query = Query { filter, order_by, page_size: limit, ..Query::default() };
    let answer = call!(session, audit, list_entries, ListEntriesRequest { query: Some(query) });
    let page = answer.page.unwrap_or_default();
    Ok(shown::list(&answer.entries, zone, page.filtered_size, !page.next_page_token.is_empty()))
}

async fn show(session: &Session, id: &str, proof: bool, zone: &Zone) -> Result<Shown, Fault> {
    let answer = call!(session, audit, get_entry, GetEntryRequest { id: id.to_owned() });
    let mut shown = shown::entry(&wanted(answer.entry)?, zone);
    if proof {
        let (size, checkpoint) = proved(session, id).await?;
        let text = format!(
            "\nproof         it is one of the {size} entries of this checkpoint, whose key is the server's word (compare `coffre audit key` with yours):\n\n{checkpoint}"
        );
        shown.text.push_str(&text);
        if let Some(fields) = shown.json.as_object_mut() {
            fields.insert("proof".to_owned(), json!({"size": size.to_string(), "note": checkpoint}));
        }
    }
    Ok(shown)
}

/// Fetches the proof of an entry and checks it: bytes, path and signature. Returns the size and the note of the checkpoint.
async fn proved(session: &Session, id: &str) -> Result<(u64, String), Fault> {
    let proof = call!(session, proofs, get_inclusion_proof, GetInclusionProofRequest { id: id.to_owned(), size: 0 });
    let note = wanted(proof.checkpoint)?.note;
    let key: VerifierKey = latest(session).await?.verifier_key.parse().map_err(|error| broken(&error))?;
    let checkpoint = Checkpoint::open(&note, &key).map_err(|error| broken(&error))?;
    let hashes = proof.hashes.into_iter().map(Hash::try_from).collect::<Result<Vec<_>, _>>();
    let hashes = hashes.map_err(|_| broken(&"a hash has another length"))?;
    let index = u64::try_from(proof.log_index).map_err(|error| broken(&error))?;
    let leaf = leaf_hash(&proof.canonical);
    if !verify_inclusion(&leaf, index, checkpoint.size, &hashes, &checkpoint.root) {
        return Err(broken(&"it leads to another root than the signed one"));
    }
    Ok((checkpoint.size, note.lines().map(plain::plain).collect::<Vec<_>>().join("\n")))
}

fn broken(why: &dyn std::fmt::Display) -> Fault {
    Fault::failed(format!("the proof of the server does not hold: {why}"))
}

async fn cut(
    session: &Session,
    typed: &mut impl Typed,
    before: coffre_types::Timestamp,
    dry_run: bool,
    yes: bool,
) -> Result<Shown, Fault> {
    let request = |dry_run| CutLogRequest { before_time: Some(before.to_proto()), dry_run };
    let moment = before.to_rfc3339_millis();
    if dry_run || !yes {
        let would = call!(session, proofs, cut_log, request(true));
        if dry_run || would.removed == 0 {
            let text = match would.removed {
                0 => format!("nothing goes: entries go in blocks of 256, and none of before {moment} is complete"),
                removed => format!(
                    "{removed} entries of before {moment} would go; the log would begin at {}",
                    would.first_kept
                ),
            };
            let json = json!({"removed": would.removed, "firstKept": would.first_kept.to_string(), "dryRun": true});
            return Ok(Shown { text, json });
        }
        let prompt = format!("{} entries of before {moment} go for good. Type `cut` to go on: ", would.removed);
        let answer = typed.line(&prompt).map_err(|error| {
            Fault::given(format!("nobody can be asked whether it is meant ({error}): say --yes; nothing was removed"))
        })?;
        if answer.trim() != "cut" {
            return Err(Fault::given("nothing was removed"));
        }
    }
    let done = call!(session, proofs, cut_log, request(false));
    let text = format!("{} entries are gone; the log begins at {}", done.removed, done.first_kept);
    let note = done.checkpoint.map(|checkpoint| checkpoint.note);
    let json =
        json!({"removed": done.removed, "firstKept": done.first_kept.to_string(), "dryRun": false, "note": note});
    Ok(Shown { text, json })
}
