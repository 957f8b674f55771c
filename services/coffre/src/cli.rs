//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::operator::{AuditArgs, KeysArgs};
use crate::set::Set;

/// An open credential vault for automation.
#[derive(Debug, Parser)]
#[command(name = "coffre", version, about, long_about = None, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Reads the command line. A word that belongs nowhere is refused without being repeated: it may be a key.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(words).map_err(|mut error| {
        let is_flag = |value: &ContextValue| matches!(value, ContextValue::String(word) if word.starts_with('-'));
        if error.kind() == ErrorKind::UnknownArgument && !error.get(ContextKind::InvalidArg).is_some_and(is_flag) {
            error.remove(ContextKind::InvalidArg);
            error.remove(ContextKind::Suggested);
        }
        error
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process for trying it out: no set-up, loopback only, SQLite in ./coffre-data
    #[command(args_conflicts_with_subcommands = true)]
    Dev {
        #[command(subcommand)]
        command: Option<DevCommand>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Run services on an initialised store
    Serve {
        /// Which services: all of them in this process, or one by itself, with the others elsewhere
        #[arg(value_enum)]
        service: Service,
        #[command(flatten)]
        flags: Flags,
    },
    /// Make keys, schema and first administrator, once
    #[command(args_conflicts_with_subcommands = true)]
    Init {
        #[command(subcommand)]
        command: Option<InitCommand>,
        /// New file for the vault's recovery key, for the owner's eyes alone, in place of the screen
        #[arg(long, value_name = "FILE")]
        recovery_key_out: Option<PathBuf>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Bring the schema up to date
    Migrate(Flags),
    /// Write everything into one file, while the services run: databases and key files, without the key that opens the vault
    Backup {
        /// New file for it
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        flags: Flags,
    },
    /// Fill an empty installation from a backup, of whichever database, after every value in it was opened
    Restore {
        #[command(flatten)]
        asked: RestoreArgs,
        #[command(flatten)]
        flags: Flags,
    },
    /// Look at the settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Ask the management port of a running process whether it can serve; exit code 0 or 1
    Healthcheck(Flags),
    /// Look after the keys of a running vault: status, apply, mode, seal, unseal, rotate, recovery, drill, slots
    Keys(KeysArgs),
    /// Read and prove the record of every call: list, show, follow, export, verify, checkpoint, incidents, cut, key
    Audit(AuditArgs),
}

/// For trying out.
#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Make an authority, a certificate for each service and one for the public ports, for trying; they last 90 days
    Certs {
        /// New folder for them
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
        /// Name or address under which clients reach the public ports, beside those of this machine; several times for several
        #[arg(long, value_name = "NAME")]
        dns: Vec<String>,
        /// Trust domain of the services, as tls.trust_domain has it
        #[arg(long, value_name = "DOMAIN", default_value = "coffre.internal")]
        trust_domain: String,
    },
}

/// Parts of a new installation.
#[derive(Debug, Subcommand)]
pub(crate) enum InitCommand {
    /// Make the key files alone, on this machine: a cluster gets them as a secret, and `coffre init` takes them from there
    Keys {
        /// New folder for them
        #[arg(long, value_name = "FOLDER")]
        out: PathBuf,
    },
}

/// What runs in a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Service {
    /// Users, roles, sessions, tokens
    Auth,
    /// Credentials and values
    Vault,
    /// Lockers
    Locker,
    /// The record of every call
    Audit,
    /// REST
    Gateway,
    /// All services in this process
    All,
}

impl Service {
    /// Returns the services that it names.
    pub(crate) const fn set(self) -> Set {
        match self {
            Self::Auth => Set::of(coffre_tls::Service::Auth),
            Self::Vault => Set::of(coffre_tls::Service::Vault),
            Self::Locker => Set::of(coffre_tls::Service::Locker),
            Self::Audit => Set::of(coffre_tls::Service::Audit),
            Self::Gateway => Set::of(coffre_tls::Service::Gateway),
            Self::All => Set::ALL,
        }
    }
}

/// What to do with the settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check them, with the files that they name, as a process does before it asks its database; exit code 0 or 78
    Check {
        /// For which process: `dev`, or what `serve` takes. Without it, names and the form of values alone are looked at
        #[arg(value_enum, value_name = "PROCESS")]
        runs: Option<Runs>,
        #[command(flatten)]
        flags: Flags,
    },
    /// Print them; secrets are left out
    Print(Flags),
}

/// A process that settings are checked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Runs {
    /// `coffre dev`
    Dev,
    /// `coffre serve all`
    All,
    /// `coffre serve auth`
    Auth,
    /// `coffre serve vault`
    Vault,
    /// `coffre serve locker`
    Locker,
    /// `coffre serve audit`
    Audit,
    /// `coffre serve gateway`
    Gateway,
}

impl Runs {
    /// Returns the services that run in it.
    pub(crate) const fn set(self) -> Set {
        match self {
            Self::Dev | Self::All => Set::ALL,
            Self::Auth => Service::Auth.set(),
            Self::Vault => Service::Vault.set(),
            Self::Locker => Service::Locker.set(),
            Self::Audit => Service::Audit.set(),
            Self::Gateway => Service::Gateway.set(),
        }
    }

    /// Returns the command that begins it, without `coffre`.
    pub(crate) const fn command(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::All => "serve all",
            Self::Auth => "serve auth",
            Self::Vault => "serve vault",
            Self::Locker => "serve locker",
            Self::Audit => "serve audit",
            Self::Gateway => "serve gateway",
        }
    }
}

/// What to restore, and how.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The file that `coffre backup` wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Check everything, open every value, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// File that holds the master key or the recovery key of the time of the backup, `-` for standard input; without it, it is asked for on
    /// a terminal and read from standard input elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Key of the audit log whose installation made the backup, or a file that holds it, as `coffre audit key` printed it when the log was
    /// begun; a file that this key did not sign is refused
    #[arg(long, value_name = "KEY_OR_FILE")]
    pub(crate) log_key: Option<String>,
    /// SHA-256 of the file, as `coffre backup` printed it; another file is refused
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Option<String>,
    /// Go on although some values do not open; they are named
    #[arg(long)]
    pub(crate) accept_damaged: bool,
}

/// Settings by flag; the environment (`COFFRE_…`) and the file come after.
#[derive(Clone, Debug, Args, Default)]
pub(crate) struct Flags {
    /// Settings file
    #[arg(long, value_name = "FILE", env = "COFFRE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the SQLite files
    #[arg(long, value_name = "FOLDER")]
    pub(crate) data_dir: Option<String>,
    /// Folder of the key files
    #[arg(long, value_name = "FOLDER")]
    pub(crate) keys_dir: Option<String>,
    /// Address of the REST port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http_addr: Option<String>,
    /// Address of the gRPC port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) grpc_addr: Option<String>,
    /// Address of the port for other services of ours
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) internal_addr: Option<String>,
    /// Address of the management port
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) management_addr: Option<String>,
    /// File that holds the database URL
    #[arg(long, value_name = "FILE")]
    pub(crate) database_url_file: Option<String>,
    /// Name of the first administrator
    #[arg(long, value_name = "NAME")]
    pub(crate) admin_username: Option<String>,
    /// File that holds the password of the first administrator
    #[arg(long, value_name = "FILE")]
    pub(crate) admin_password_file: Option<String>,
    /// What is logged: a level or a filter
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}
