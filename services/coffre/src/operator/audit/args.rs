//! What may be asked of the audit.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::super::args::Connection;
use super::verify::VerifyArgs;

/// What every command ends its help with.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused or failed; 2 the command line is wrong; 65 what was given is not as it should be; \
                                     69 the server cannot be reached; 75 not now: the server is busy or stops; 77 not signed in or not permitted";

/// What every command that takes times ends its help with.
const TIMES: &str = "Times: 2026-01-31T12:00:00Z, with any offset; 2026-01-31, 2026-01-31 12:00 in your time zone (with --utc: in UTC); \
                     45m, 12h, 7d: so long ago";

/// `coffre audit`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    pub(crate) command: AuditCommand,
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Show and read times in UTC, and not in the time zone of this machine
    #[arg(long, global = true)]
    pub(crate) utc: bool,
}

/// What to do with the audit.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List entries, the newest first
    #[command(after_help = TIMES, after_long_help = TIMES)]
    List {
        #[command(flatten)]
        which: Which,
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=100_000))]
        limit: i32,
        /// The oldest first
        #[arg(long)]
        oldest_first: bool,
    },
    /// Show one entry with all that it holds
    #[command(after_help = EXIT_CODES)]
    Show {
        /// The entry's id, as lists and the header X-Audit-Id tell it
        id: String,
        /// Fetch the proof that it is in the signed log, and check it here
        #[arg(long)]
        proof: bool,
    },
    /// Print entries as they come, until you stop it or the time of --until is there; a lost connection is taken up again without a gap
    #[command(after_help = TIMES)]
    Follow {
        #[command(flatten)]
        which: Which,
        /// Begin with the entry at this position in the log, and not with the next one that comes
        #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
        from: Option<i64>,
    },
    /// Write entries into a file, in the order of the log
    #[command(after_help = TIMES)]
    Export(ExportArgs),
    /// Sign the log as it is now, hand it to the witnesses, and print the signed note
    #[command(after_help = EXIT_CODES)]
    Checkpoint {
        /// Print the latest one, and make none
        #[arg(long, conflicts_with = "size")]
        latest: bool,
        /// Print the one of this size
        #[arg(long, value_name = "ENTRIES", value_parser = clap::value_parser!(i64).range(1..))]
        size: Option<i64>,
    },
    /// List what the server found wrong with the log, the newest first
    #[command(after_help = EXIT_CODES)]
    Incidents {
        /// How many at most
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(i32).range(1..=1000))]
        limit: i32,
    },
    /// Remove old entries for good; what remains stays provable
    #[command(after_help = TIMES)]
    Cut {
        /// Entries that arrived before this time go
        #[arg(long, value_name = "TIME")]
        before: String,
        /// Tell what would go, and remove nothing
        #[arg(long)]
        dry_run: bool,
        /// Do not ask whether it is meant
        #[arg(long)]
        yes: bool,
    },
    /// Check an export, or the log of the running server, against its signature and what a witness kept
    Verify(VerifyArgs),
    /// Print the key that checks the signatures of the log; keep it where the server cannot write
    #[command(after_help = EXIT_CODES)]
    Key,
}

/// Which entries. What is given must all be so.
#[derive(Debug, Default, Args)]
pub(crate) struct Which {
    /// Not before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before this time
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Calls of this user, by name
    #[arg(long = "by", value_name = "NAME")]
    pub(crate) by: Option<String>,
    /// About objects of this type, such as credential, or about one, such as credential/12
    #[arg(long, value_name = "TYPE[/ID]")]
    pub(crate) object: Option<String>,
    /// About objects of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) object_name: Option<String>,
    /// Our word for what happened, such as credential.value.read
    #[arg(long, value_name = "WORD")]
    pub(crate) event: Option<String>,
    /// The documented word for it, such as READ_CREDENTIAL
    #[arg(long, value_name = "WORD", ignore_case = true)]
    pub(crate) activity: Option<String>,
    /// Refused and failed calls alone
    #[arg(long)]
    pub(crate) failed: bool,
    /// From this address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Option<String>,
    /// With this request id
    #[arg(long, value_name = "ID")]
    pub(crate) request: Option<String>,
    /// With this text in the sentence or the details; 3 characters at least
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,
}

/// What is exported, and where to.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// New file for the entries, for the owner's eyes alone; `-` for standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// What the file holds
    #[arg(long, value_enum, default_value = "ndjson")]
    pub(crate) format: Format,
    /// Prove each entry of an export of some, so that `coffre audit verify` checks it; one of everything is proved as a whole
    #[arg(long)]
    pub(crate) proofs: bool,
    /// Go on with an export that was interrupted, of the same entries into the same file
    #[arg(long)]
    pub(crate) resume: bool,
    #[command(flatten)]
    pub(crate) which: Which,
}

/// The forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A JSON object a line, which `coffre audit verify` checks
    Ndjson,
    /// For spreadsheets
    Csv,
}
