//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures Coffre, beside the bare libraries in the same run.
#[derive(Debug, Parser)]
#[command(name = "coffre-benchmarks", about)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Measure(Measure),
    /// The bare server that Coffre is compared with; started by the program itself
    #[command(hide = true)]
    Bare(BareOptions),
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub(crate) enum Measure {
    /// Everything, one after the other, on both engines unless one is named
    All(Options),
    /// Read of a value, beside a bare axum server that answers the same bytes
    Read(Options),
    /// Read of a value through a locker, as one of its consumers, beside the read of its owner
    Locker(Options),
    /// Write of a value, beside bare axum and beside bare axum over a group-commit log
    Write(Options),
    /// List of 1 000 credentials, beside a bare axum server that answers the same bytes
    List(Options),
    /// A caller who sees 10 credentials, and one who consumes 10 lockers: among many, beside 10 in all
    Scale(Options),
    /// Sign-ins beside raw Argon2id, token refreshes, and other calls while sign-ins saturate
    SignIn(Options),
    /// Programs that renew their tokens: OAuth refreshes, each of the token before
    Oauth(Options),
    /// Re-encryption of all values under a new data key, killed in the middle, and reads meanwhile
    Rotation(Options),
    /// Read of a value where each service is a process of its own with mutual TLS, beside one process and beside bare axum, on PostgreSQL
    Split(Options),
    /// Start to first answer, and resident memory of an idle server
    Start(Options),
    /// Read of a value, beside the same read in a build that records nothing
    Audit(Options),
    /// Searches in audits of so many entries, beside the same searches among the fewest; and a backlog that is carried while calls go on
    AuditScale(Options),
}

impl Measure {
    pub(crate) fn options(&self) -> &Options {
        match self {
            Self::All(options)
            | Self::Read(options)
            | Self::Locker(options)
            | Self::Write(options)
            | Self::List(options)
            | Self::Scale(options)
            | Self::SignIn(options)
            | Self::Oauth(options)
            | Self::Rotation(options)
            | Self::Split(options)
            | Self::Start(options)
            | Self::Audit(options)
            | Self::AuditScale(options) => options,
        }
    }
}

/// How to measure.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Length of one measurement, after a warm-up of a quarter of it (at most 2 s)
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Measurements of each contender; contenders take turns
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: u32,
    /// Database; `all` takes both where none is named, the others SQLite
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,
    /// Connections, each with one call under way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// Open loop: so many calls begin each second, whether earlier ones are answered or not; latency counts from the planned begin
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// How many credentials `scale` puts beside the caller's own
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) credentials: u32,
    /// How many lockers `scale` puts beside the caller's ten, with those credentials in them
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) lockers: u32,
    /// How many values `rotation` re-encrypts
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) values: u32,
    /// How many entries the audit has when `audit-scale` searches it, one size after the other
    #[arg(long, value_name = "COUNTS", value_delimiter = ',', default_values_t = [10_000, 1_000_000, 10_000_000], value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub(crate) entries: Vec<u32>,
    /// The `coffre` without an audit that `audit` compares with (`--features null-audit`); otherwise cargo builds it
    #[arg(long, value_name = "FILE")]
    pub(crate) null_binary: Option<PathBuf>,
    /// One JSON object a line on standard output; the table goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
    /// Measure although a compiler is running; such figures are marked and worth little
    #[arg(long)]
    pub(crate) anyway: bool,
    /// The `coffre` to measure; otherwise cargo builds the release one
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Folder for the databases; the disk under it is what durable writes measure [default: target/benchmarks]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

impl Options {
    pub(crate) fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    /// What comes before so long a measurement.
    pub(crate) fn warm_up(measured: Duration) -> Duration {
        (measured / 4).min(Duration::from_secs(2))
    }
}

/// A database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// SQLite, embedded: `coffre dev`
    Sqlite,
    /// A private PostgreSQL with fsync on: `coffre init` and `coffre serve all`
    Postgres,
}

impl Engine {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// How the bare server runs.
#[derive(Debug, Args)]
pub(crate) struct BareOptions {
    /// File with the answer to give, as it was on the wire
    #[arg(long)]
    pub(crate) answer: PathBuf,
    /// Answer only after a record is durable in this file
    #[arg(long)]
    pub(crate) log: Option<PathBuf>,
}
