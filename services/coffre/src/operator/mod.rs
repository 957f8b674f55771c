//! Operators' commands: they call a running server over gRPC as any client does, with an operator's own rights.
//!
//! - `args` names them, `session` signs in, `secrets` reads what must not be seen.
//! - `keys` runs each command, `recovery` the one that makes a key, `follow` watches a re-encryption, `shown` is what comes out.
//! - `fault` says what went wrong, with the exit code that goes with it.

mod args;
mod fault;
mod follow;
mod keys;
mod recovery;
mod secrets;
mod session;
mod shown;
#[cfg(test)]
mod tests;

use std::process::ExitCode;

pub(crate) use self::args::KeysArgs;
use self::fault::Fault;
use self::secrets::Console;
use crate::say;

/// `coffre keys …`.
pub(crate) fn run(args: &KeysArgs) -> ExitCode {
    let ended = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fault::failed(format!("the system gave no runtime: {error}")))
        .and_then(|runtime| runtime.block_on(keys::command(args, &mut Console::default(), &mut std::io::stdout())));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            say::wrong(if args.connection.json { fault.json().to_string() } else { format!("coffre: {fault}") });
            ExitCode::from(fault.exit_code())
        }
    }
}
