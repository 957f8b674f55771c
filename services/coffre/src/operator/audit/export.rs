//! Writing entries into a file, and going on where it was interrupted.
//!
//! Beside the file stands its bookmark (`FILE.bookmark`) as long as it is not whole: how many bytes of the file are good, and where in the log
//! it goes on. What was written behind it when the program ended is written again.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_audit_proof::export::{CSV_HEADER, Entry, Header, Lines, csv_row};
use coffre_audit_proof::filter_text::filter_text;
use coffre_audit_proof::proof::before;
use coffre_audit_proof::tree::{Frontier, Hash};
use coffre_proto::audit::v1::{Checkpoint, CreateCheckpointRequest, GetInclusionProofRequest, StreamEntriesResponse};
use coffre_proto::query::v1::Filter;
use coffre_types::{Clock as _, SystemClock};
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::fault::Fault;
use super::super::session::Session;
use super::super::shown::{Shown, tenths};
use super::args::{ExportArgs, Format};
use super::stream::{Entries, patiently};
use super::{signed, wanted};
use crate::keys::private_file;

/// How often the bookmark is moved.
const MARKED_EVERY: Duration = Duration::from_secs(1);

/// Where an interrupted export goes on.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bookmark {
    format: String,
    filter: Option<String>,
    /// Bytes of the file that are good.
    bytes: u64,
    /// Where in the log it goes on.
    next_index: i64,
    entries: u64,
    /// Where an export of everything ends; absent for one that was filtered.
    until: Option<i64>,
    /// The tree over the entries so far, in base64; absent for one that was filtered.
    tree: Option<String>,
    /// Each entry is proved.
    #[serde(default)]
    proofs: bool,
}

/// Where it is written to.
struct Target {
    out: Box<dyn Write>,
    file: Option<File>,
    bookmark: Option<PathBuf>,
    bytes: u64,
}

impl Target {
    fn write(&mut self, text: &str, name: &Path) -> Result<(), Fault> {
        self.bytes += text.len() as u64;
        self.out.write_all(text.as_bytes()).map_err(|error| unwritten(name, &error))
    }

    fn settle(&mut self, name: &Path) -> Result<(), Fault> {
        self.out.flush().map_err(|error| unwritten(name, &error))?;
        self.file.as_ref().map_or(Ok(()), File::sync_data).map_err(|error| unwritten(name, &error))
    }
}

fn unwritten(path: &Path, error: &io::Error) -> Fault {
    Fault::failed(format!("{} cannot be written: {error}", path.display()))
}

/// Exports what the filter leaves.
pub(crate) async fn to_file(
    session: &mut Session,
    args: &ExportArgs,
    filter: Option<Filter>,
) -> Result<Option<Shown>, Fault> {
    let text = filter_text(filter.as_ref());
    let to_standard_output = args.out == Path::new("-");
    if args.proofs && args.format == Format::Csv {
        return Err(Fault::given("a table holds no proofs: leave --proofs or --format csv out"));
    }
    let known = match args.resume {
        true if to_standard_output => return Err(Fault::given("an export to standard output cannot be resumed")),
        true => Some(read_bookmark(args, text.as_deref())?),
        false => None,
    };
    let mut target = open(&args.out, known.as_ref())?;
    let mut export = Export::new(args, text, known)?;
    let progress = Progress::new();
    let written = write_all(session, &mut export, &mut target, filter, &args.out, &progress).await;
    progress.clear();
    if let Err(fault) = written {
        if !export.begun && target.bookmark.is_some() {
            // Nothing was written: its file is empty.
            let _ = std::fs::remove_file(&args.out);
        }
        let path = args.out.display();
        if let (true, Some(size)) = (args.resume, fault.beyond().map(ToOwned::to_owned)) {
            return Err(fault.and(&format!(
                "{path} holds entries that the log with its {size} does not have (any more): keep it, and begin a new export in another file"
            )));
        }
        return Err(match &target.bookmark {
            Some(_) if !export.begun && (fault.is_passing() || fault.is_signed_out()) => {
                fault.and("Nothing was written: the same command begins anew")
            }
            Some(bookmark) if export.begun && bookmark.exists() => fault
                .and(&format!("What is in {path} so far is kept: the same command with --resume goes on behind it")),
            _ => fault,
        });
    }
    if let Some(bookmark) = &target.bookmark {
        // The file is whole: a bookmark that stays would only be in the way.
        let _ = std::fs::remove_file(bookmark);
    }
    let text = format!("{} entries are in {}", export.entries, args.out.display());
    Ok((!to_standard_output).then(|| Shown {
        text,
        json: json!({"entries": export.entries, "writtenTo": args.out, "bytes": target.bytes}),
    }))
}

async fn write_all(
    session: &mut Session,
    export: &mut Export,
    target: &mut Target,
    filter: Option<Filter>,
    path: &Path,
    progress: &Progress,
) -> Result<(), Fault> {
    let mut marked = None::<Instant>;
    if export.proofs && !export.begun {
        let checkpoint = patiently(async || checkpoint_of_now(session).await).await?;
        export.until = Some(checkpoint.size);
        export.checkpoint = Some(checkpoint);
    }
    // An export of everything goes on to its checkpoint, which is behind what was there when the stream began.
    loop {
        let from = export.next;
        let proved = export.until.filter(|_| export.proofs).unwrap_or_default();
        let mut entries = Entries::new(filter.clone(), Some(from), false).proved(proved);
        while !export.is_complete()
            && let Some(message) = entries.next(session).await?
        {
            progress.show(&message, export.entries);
            let chunk = export.take(session, message).await?;
            target.write(&chunk, path)?;
            if marked.is_none_or(|marked| marked.elapsed() >= MARKED_EVERY) {
                target.settle(path)?;
                mark(target, export)?;
                marked = Some(Instant::now());
            }
        }
        if export.until.is_none() || export.is_complete() {
            break;
        }
        if export.next <= from {
            return Err(Fault::failed("the log of the server ends before the checkpoint that it signed"));
        }
    }
    let end = export.end()?;
    target.write(&end, path)?;
    target.settle(path)
}

fn bookmark_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".bookmark");
    name.into()
}

fn open(path: &Path, known: Option<&Bookmark>) -> Result<Target, Fault> {
    if path == Path::new("-") {
        return Ok(Target { out: Box::new(io::stdout()), file: None, bookmark: None, bytes: 0 });
    }
    let file = match known {
        None => private_file(path).map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AlreadyExists {
                " (--resume goes on with an export that was interrupted)"
            } else {
                ""
            };
            Fault::failed(format!("{} cannot be made: {error}{hint}", path.display()))
        })?,
        Some(bookmark) => {
            let cut = || {
                let mut file = OpenOptions::new().write(true).open(path)?;
                if file.metadata()?.len() < bookmark.bytes {
                    return Err(io::Error::other("it is shorter than its bookmark says"));
                }
                file.set_len(bookmark.bytes)?;
                file.seek(SeekFrom::End(0))?;
                Ok(file)
            };
            cut().map_err(|error| Fault::failed(format!("{} cannot be gone on with: {error}", path.display())))?
        }
    };
    let beside = file.try_clone().map_err(|error| unwritten(path, &error))?;
    let bytes = known.map_or(0, |bookmark| bookmark.bytes);
    Ok(Target { out: Box::new(io::BufWriter::new(file)), file: Some(beside), bookmark: Some(bookmark_of(path)), bytes })
}

fn read_bookmark(args: &ExportArgs, filter: Option<&str>) -> Result<Bookmark, Fault> {
    let path = &args.out;
    let bookmark = bookmark_of(path);
    let text = std::fs::read_to_string(&bookmark).map_err(|error| {
        Fault::given(format!(
            "there is no interrupted export to go on with: {} cannot be read: {error}",
            bookmark.display()
        ))
    })?;
    let known: Bookmark = serde_json::from_str(&text)
        .map_err(|error| Fault::given(format!("{} is no bookmark of an export: {error}", bookmark.display())))?;
    if known.proofs != args.proofs && known.tree.is_none() {
        let said = if known.proofs { "was begun with --proofs" } else { "was begun without --proofs" };
        return Err(Fault::given(format!("{} {said}: go on with it as it was begun", path.display())));
    }
    if known.format != name_of(args.format) || known.filter.as_deref() != filter {
        let was = known.filter.as_deref().unwrap_or("all entries");
        return Err(Fault::given(format!(
            "{} is an export of {was} as {}: go on with the same --format and the same entries (times in full, not as `2h`)",
            path.display(),
            known.format
        )));
    }
    Ok(known)
}

fn mark(target: &Target, export: &Export) -> Result<(), Fault> {
    let Some(path) = &target.bookmark else { return Ok(()) };
    let bookmark = export.bookmark(target.bytes);
    let text = serde_json::to_string(&bookmark).map_err(|error| Fault::failed(error.to_string()))?;
    // The old one or the new one, never half of one.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let written = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&new, path)
    };
    written().map_err(|error| unwritten(path, &error))
}

fn name_of(format: Format) -> &'static str {
    match format {
        Format::Ndjson => "ndjson",
        Format::Csv => "csv",
    }
}

/// An export on its way.
struct Export {
    format: Format,
    filter: Option<String>,
    next: i64,
    entries: u64,
    /// Where an export of everything ends, and one whose entries are proved.
    until: Option<i64>,
    begun: bool,
    /// Each entry is proved, against this checkpoint.
    proofs: bool,
    checkpoint: Option<Checkpoint>,
    /// What writes lines of JSON.
    lines: Option<Lines>,
}

impl Export {
    fn new(args: &ExportArgs, filter: Option<String>, known: Option<Bookmark>) -> Result<Self, Fault> {
        let (format, proofs) = (args.format, args.proofs);
        let new = Self {
            format,
            filter,
            next: 0,
            entries: 0,
            until: None,
            begun: false,
            proofs,
            checkpoint: None,
            lines: None,
        };
        let Some(known) = known else { return Ok(new) };
        let tree = known.tree.map(|text| {
            let bytes = STANDARD.decode(text).ok();
            bytes
                .and_then(|bytes| Frontier::from_bytes(&bytes))
                .ok_or_else(|| Fault::given("the bookmark holds no tree"))
        });
        let lines = match format {
            Format::Ndjson => Some(Lines::resumed(tree.transpose()?, known.entries)),
            Format::Csv => None,
        };
        let Bookmark { filter, next_index, entries, until, proofs, .. } = known;
        Ok(Self { filter, next: next_index, entries, until, begun: true, proofs, lines, ..new })
    }

    fn is_complete(&self) -> bool {
        self.until.is_some_and(|until| self.next >= until)
    }

    fn bookmark(&self, bytes: u64) -> Bookmark {
        let tree = self.lines.as_ref().and_then(Lines::tree).map(|tree| STANDARD.encode(tree.to_bytes()));
        Bookmark {
            format: name_of(self.format).to_owned(),
            filter: self.filter.clone(),
            bytes,
            next_index: self.next,
            entries: self.entries,
            until: self.until,
            tree,
            proofs: self.proofs,
        }
    }

    /// Writes the entries of a message.
    async fn take(&mut self, session: &Session, message: StreamEntriesResponse) -> Result<String, Fault> {
        let mut out = String::new();
        if !self.begun {
            out.push_str(&self.begin(session, &message).await?);
            self.begun = true;
        }
        self.next = message.next_index;
        for entry in &message.entries {
            if self.until.is_some_and(|until| entry.log_index >= until) {
                break;
            }
            let proof = self.proofs.then(|| entry.proof.iter().map(|hash| STANDARD.encode(hash)).collect());
            let entry = Entry { proof, ..wanted(Entry::of(entry))? };
            self.entries += 1;
            match &mut self.lines {
                Some(lines) => out.push_str(&lines.entry(&entry).map_err(|error| Fault::failed(error.to_string()))?),
                None => out.push_str(&csv_row(&entry)),
            }
        }
        Ok(out)
    }

    /// Writes what comes first: for an export of everything, with a checkpoint of now up to which it reaches.
    async fn begin(&mut self, session: &Session, first: &StreamEntriesResponse) -> Result<String, Fault> {
        if self.format == Format::Csv {
            return Ok(CSV_HEADER.to_owned());
        }
        // The connection may break here, as anywhere.
        let latest = patiently(async || signed(session).await).await?;
        let mut header = Header {
            created_on: SystemClock.now().to_rfc3339_millis(),
            verifier_key: latest.verifier_key,
            ..Header::default()
        };
        let checkpoint = match self.checkpoint.take() {
            Some(checkpoint) => checkpoint,
            None if first.everything => patiently(async || checkpoint_of_now(session).await).await?,
            None => wanted(latest.checkpoint)?,
        };
        if first.everything {
            // The tree proves all of them.
            self.proofs = false;
            self.until = Some(checkpoint.size);
            header = patiently(async || after_the_cut(session, header.clone(), first, &checkpoint).await).await?;
        } else {
            let text = self.filter.clone().unwrap_or_else(|| "one's own entries".to_owned());
            header.filter = Some(text);
        }
        header.checkpoint = checkpoint.note;
        let (lines, line) = Lines::begin(header).map_err(|error| Fault::failed(error.to_string()))?;
        self.lines = Some(lines);
        Ok(line)
    }

    fn end(&self) -> Result<String, Fault> {
        match &self.lines {
            Some(lines) => lines.end().map_err(|error| Fault::failed(error.to_string())),
            None => Ok(String::new()),
        }
    }
}

/// Has the log signed as it is now; one that is not signed any more, or by whoever may not ask for it, is taken as far as it was.
async fn checkpoint_of_now(session: &Session) -> Result<Checkpoint, Fault> {
    let made = session.proofs().create_checkpoint(session.request(CreateCheckpointRequest {})?).await;
    match made.map_err(|status| session.fault(&status)) {
        Ok(made) => wanted(made.into_inner().checkpoint),
        Err(fault) if fault.is_unreachable() => Err(fault),
        Err(_) => wanted(signed(session).await?.checkpoint),
    }
}

/// Says what lies before the first entry, where older ones were cut off.
pub(super) async fn after_the_cut(
    session: &Session,
    header: Header,
    first: &StreamEntriesResponse,
    checkpoint: &Checkpoint,
) -> Result<Header, Fault> {
    let Some(entry) = first.entries.first().filter(|entry| entry.log_index > 0) else { return Ok(header) };
    let request = session.request(GetInclusionProofRequest { id: entry.id.clone(), size: checkpoint.size })?;
    let proof = session.proofs().get_inclusion_proof(request).await.map_err(|status| session.fault(&status))?;
    let hashes = proof.into_inner().hashes.into_iter().map(Hash::try_from).collect::<Result<Vec<_>, _>>();
    let tree = match (hashes, u64::try_from(entry.log_index), u64::try_from(checkpoint.size)) {
        (Ok(hashes), Ok(index), Ok(size)) => before(index, size, &hashes),
        _ => None,
    };
    Ok(header.after(&wanted(tree)?))
}

/// A bar on a terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn new() -> Self {
        // The bar takes what the line has left, so that it is one line on every terminal.
        let style =
            || ProgressStyle::with_template("[{wide_bar}] {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self(io::stderr().is_terminal().then(|| ProgressBar::new(1).with_style(style())))
    }

    fn show(&self, message: &StreamEntriesResponse, entries: u64) {
        let number = |number: i64| u64::try_from(number).unwrap_or(0);
        self.at(number(message.next_index), number(message.size), entries);
    }

    /// Shows how far it is, of whatever it counts.
    pub(super) fn at(&self, done: u64, total: u64, entries: u64) {
        let Some(bar) = &self.0 else { return };
        bar.set_length(total.max(1));
        bar.set_position(done);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let percent = tenths(number(done), number(total));
        bar.set_message(format!("{}.{} %, {entries} entries", percent / 10, percent % 10));
    }

    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
