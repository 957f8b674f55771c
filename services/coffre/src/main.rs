//! Coffre: an open credential vault for automation.
//!
//! - `cli` names the commands, `settings` reads what they are told.
//! - `keys`, `lock` and `stores` hold what an installation has on disk.
//! - `disk` watches the room that is left.
//! - `set` says which services a process runs; `exposure` refuses settings that are unsafe for them; `certificates` protect their calls.
//! - `checked` looks at all of that before a database is asked, for `serve` and for `coffre config check`.
//! - `compose` wires the services of a process; `run` serves them until the stop; `init` makes a new installation.
//! - `backup` makes backups and restores them.
//! - `certs` makes certificates for trying.
//! - `logging` changes what is logged while a process runs.
//! - `telemetry` sends traces and metrics to a collector.
//! - `recorded` tells the audit what the process does by itself.
//! - `operator` holds the commands that call a running server.
//! - `say` is the one way to print.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod backup;
mod banner;
mod certificates;
mod certs;
mod checked;
mod cli;
mod compose;
mod disk;
mod exposure;
mod health;
mod init;
mod keys;
mod lock;
mod logging;
mod metrics;
mod operator;
mod password;
mod recorded;
#[cfg(test)]
mod rpcs;
mod run;
mod say;
mod set;
mod settings;
mod stop;
mod stores;
mod telemetry;

use std::process::ExitCode;

use cli::{Command, ConfigCommand, DevCommand, InitCommand};
use zeroizing_alloc::ZeroAlloc;

/// Wipes all memory that is given back. Keys and values wipe themselves, but on their way they are in buffers of others: bodies of requests,
/// messages, what grew and was moved.
#[global_allocator]
static MEMORY: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

/// The exit code for settings that are wrong (sysexits, EX_CONFIG).
const BAD_CONFIGURATION: u8 = 78;

fn main() -> ExitCode {
    no_core_dumps();
    // Two backends in one graph would make rustls and jsonwebtoken guess; the choice is made once, before anything else runs.
    let cli = cli::parse(std::env::args_os()).unwrap_or_else(|error| error.exit());
    let ended = match cli.command {
        Command::Config(command) => {
            let said = match command {
                ConfigCommand::Check { runs, flags } => checked::command(flags, runs),
                ConfigCommand::Print(flags) => settings::describe(flags),
            };
            return match said {
                Ok(text) => told(&text),
                Err(error) => refuse(&error, BAD_CONFIGURATION),
            };
        }
        Command::Dev { command: Some(DevCommand::Certs { out, dns, trust_domain }), .. } => {
            done(certs::command(&out, &dns, &trust_domain))
        }
        Command::Dev { command: None, flags } => with_settings(flags, run::dev),
        Command::Serve { service, flags } => {
            let again = flags.clone();
            with_log(flags, async move |settings, filter| {
                logging::follow(again, filter)?;
                run::serve_set(settings, service.set()).await
            })
        }
        Command::Init { command: Some(InitCommand::Keys { out }), .. } => done(init::make_keys(&out)),
        Command::Init { command: None, recovery_key_out, flags } => {
            with_settings(flags, async move |settings| init::command(settings, recovery_key_out.as_deref()).await)
        }
        Command::Migrate(flags) => with_settings(flags, init::migrate),
        Command::Backup { out, flags } => {
            with_settings(flags, async move |settings| backup::make(settings, &out).await)
        }
        Command::Restore { asked, flags } => {
            with_settings(flags, async move |settings| backup::restore(settings, asked).await)
        }
        Command::Healthcheck(flags) => with_settings(flags, health::check),
        Command::Keys(args) => return operator::run(&args),
        Command::Audit(args) => return operator::run_audit(&args),
    };
    ended.unwrap_or_else(|code| code)
}

fn with_settings(
    flags: cli::Flags,
    command: impl AsyncFnOnce(coffre_config::Settings) -> anyhow::Result<()>,
) -> Result<ExitCode, ExitCode> {
    with_log(flags, async move |settings, _| command(settings).await)
}

fn with_log(
    flags: cli::Flags,
    command: impl AsyncFnOnce(coffre_config::Settings, coffre_telemetry::LogFilter) -> anyhow::Result<()>,
) -> Result<ExitCode, ExitCode> {
    let settings = settings::load(flags).map_err(|error| refuse(&error, BAD_CONFIGURATION))?;
    let format = settings
        .log_json
        .map(|json| if json { coffre_telemetry::Format::Json } else { coffre_telemetry::Format::Text });
    let filter =
        coffre_telemetry::init(&settings.log, format).map_err(|error| refuse(&error.into(), BAD_CONFIGURATION))?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| refuse(&error.into(), 1))?;
    runtime.block_on(command(settings, filter)).map_err(|error| refuse(&error, 1))?;
    Ok(ExitCode::SUCCESS)
}

fn done(result: anyhow::Result<()>) -> Result<ExitCode, ExitCode> {
    result.map(|()| ExitCode::SUCCESS).map_err(|error| refuse(&error, 1))
}

fn told(text: &str) -> ExitCode {
    match say::line(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(&anyhow::Error::new(error).context("standard output cannot be written"), 1),
    }
}

fn refuse(error: &anyhow::Error, code: u8) -> ExitCode {
    say::wrong(format_args!("coffre: {}", say::with_causes(error)));
    ExitCode::from(code)
}

/// A core dump would write keys and plaintexts to a disk.
fn no_core_dumps() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let limited = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let undumpable = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if limited.is_err() || undumpable.is_err() {
        say::wrong("coffre: core dumps could not be switched off on this system");
    }
}
