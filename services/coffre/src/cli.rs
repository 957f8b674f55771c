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
    Config {
        /// What to do with them
        #[arg(value_enum)]
        action: ConfigAction,
        #[command(flatten)]
        flags: Flags,
    },
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ConfigAction {
    /// Check them and say what is wrong
    Check,
    /// Print them; secrets are left out
    Print,
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
