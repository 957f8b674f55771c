//! Operators' commands: they call a running server over gRPC as any client does, with an operator's own rights.
//!
//! - `args` names them, `session` signs in, `secrets` reads what must not be seen.
//! - `audit` runs the commands on the audit, one file each.
//! - `keys` runs each command, `recovery` the one that makes a key, `follow` watches a re-encryption, `shown` is what comes out.
//! - `fault` says what went wrong, with the exit code that goes with it.

mod args;
mod audit;
mod fault;
mod follow;
mod keys;
mod recovery;
pub(crate) mod secrets;
mod session;
mod shown;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

pub(crate) use self::args::KeysArgs;
pub(crate) use self::audit::{AuditArgs, given_key};
use self::fault::Fault;
use self::secrets::Console;
use crate::say;

/// `coffre keys …`.
pub(crate) fn run(args: &KeysArgs) -> ExitCode {
    let command = async { keys::command(args, &mut Console::default(), &mut std::io::stdout()).await };
    ended(command, args.connection.json)
}

/// `coffre audit …`.
pub(crate) fn run_audit(args: &AuditArgs) -> ExitCode {
    let command = async { audit::command(args, &mut Console::default(), &mut std::io::stdout()).await };
    ended(command, args.connection.json)
}

fn ended(command: impl Future<Output = Result<(), Fault>>, as_json: bool) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::failed(format!("the system gave no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(command));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            if !fault.is_told() {
                say::wrong(if as_json { fault.json().to_string() } else { format!("coffre: {fault}") });
            }
            ExitCode::from(fault.exit_code())
        }
    }
}
