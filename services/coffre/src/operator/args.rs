//! What operators may ask for. No key, password or token is ever an argument: arguments are seen by everybody on the machine and stay in
//! the history of the shell.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What every command ends its help with.
const EXIT_CODES: &str = "Exit codes: 0 done; 1 refused; 2 the command line is wrong; 65 a key is wrong, too weak or cannot be read; \
                          69 the server cannot be reached; 75 not now: sealed, throttled, or somebody was quicker; 77 not signed in or not permitted";

/// `coffre keys`.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Where the server is, and who asks.
#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// gRPC address of the server; without TLS only on this machine
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "COFFRE_ADDR",
        default_value = "http://127.0.0.1:50051",
        hide_env_values = true
    )]
    pub(crate) addr: String,
    /// File that holds a token; without it, user and password are asked for on the terminal
    #[arg(long, global = true, value_name = "FILE", env = "COFFRE_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Name of the user whose password is asked for, whatever token there is
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// PEM file of the authorities that vouch for an https:// address; without it, those that this machine trusts
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Print JSON: one object, or one a line while something goes on
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do with the keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Tell the mode, whether the vault is open, and how far a re-encryption is
    #[command(after_help = EXIT_CODES)]
    Status,
    /// Open the vault with the master key or the recovery key; ends a seal on purpose
    #[command(after_help = EXIT_CODES)]
    Apply(PresentKey),
    /// Change who holds the master key, or the master key itself; an old key opens only an old backup then
    #[command(after_help = EXIT_CODES)]
    Mode {
        /// Who holds it
        #[arg(value_enum, ignore_case = true)]
        mode: ModeName,
        /// File that holds the new master key for the mode manual, `-` for standard input; without it, it is asked for
        #[arg(long, value_name = "FILE")]
        new_key_file: Option<PathBuf>,
        #[command(flatten)]
        present: PresentKey,
    },
    /// Close the vault at once, on every replica and over restarts, until somebody opens it again
    #[command(after_help = EXIT_CODES)]
    Seal,
    /// End a seal on purpose in the mode express; in the mode manual use `apply`
    #[command(after_help = EXIT_CODES)]
    Unseal,
    /// Begin a new data key and re-encrypt all values under it, in the background; show how far it is
    #[command(after_help = EXIT_CODES)]
    Rotate {
        /// Begin, and do not wait for the end
        #[arg(long, conflicts_with = "watch")]
        no_wait: bool,
        /// Begin nothing, and show what goes on
        #[arg(long)]
        watch: bool,
    },
    /// The recovery key
    Recovery {
        #[command(subcommand)]
        command: RecoveryCommand,
    },
    /// Prove that a key would open the vault, and change nothing
    #[command(after_help = EXIT_CODES)]
    Drill(PresentKey),
    /// List which keys open the vault
    #[command(after_help = EXIT_CODES)]
    Slots,
}

/// What to do with the recovery key.
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryCommand {
    /// Make a new recovery key and show it once; the old one opens only old backups then
    #[command(after_help = EXIT_CODES)]
    New {
        /// File that holds the present recovery key or, in the mode manual, the master key, `-` for standard input; without it, it is asked for
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// New file for the new key, for the owner's eyes alone, in place of the screen
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// A key that opens the vault today.
#[derive(Debug, Args)]
pub(crate) struct PresentKey {
    /// File that holds the key that opens the vault today, `-` for standard input; without it, it is asked for on a terminal and read from
    /// standard input elsewhere
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// That key is the recovery key, and not the master key
    #[arg(long)]
    pub(crate) recovery: bool,
}

/// Who holds the master key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// The server: it opens the vault itself at its start
    Express,
    /// Only people: after a start the vault is sealed until one of them applies the key
    #[value(alias = "manuel")]
    Manual,
}
