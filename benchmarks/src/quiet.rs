//! A figure taken while something else is compiled is not a figure: the cores are shared, and so is the disk (`fdatasync` takes up to
//! twenty times as long).

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::process;

const COMPILERS: [&str; 8] = ["rustc", "cc1", "cc1plus", "clang", "ld", "ld.lld", "rust-lld", "clippy-driver"];
/// How long we wait for them to end.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// The compilers and linkers that run now.
pub(crate) fn compilers() -> Vec<String> {
    let mut names: Vec<String> =
        process::all().into_iter().map(|(_, _, name)| name).filter(|name| COMPILERS.contains(&name.as_str())).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether a compiler runs now.
pub(crate) fn is_disturbed() -> bool {
    !compilers().is_empty()
}

/// Waits until no compiler runs. With `anyway` it only warns.
pub(crate) fn wait(anyway: bool) -> Result<()> {
    let begun = Instant::now();
    let mut quiet = 0;
    let mut said = false;
    loop {
        let compilers = compilers();
        if compilers.is_empty() {
            quiet += 1;
            // Between two crates there is a moment without a compiler.
            if quiet >= 3 {
                return Ok(());
            }
        } else {
            quiet = 0;
            let names = compilers.join(", ");
            if anyway {
                eprintln!("WARNING: {names} is running on this machine: these figures are worth little");
                return Ok(());
            }
            if !said {
                eprintln!("waiting until {names} has ended (--anyway measures nevertheless) …");
                said = true;
            }
            if begun.elapsed() > PATIENCE {
                bail!(
                    "{names} is still running after {} minutes; try again when the machine is quiet",
                    PATIENCE.as_secs() / 60
                );
            }
        }
        thread::sleep(Duration::from_millis(300));
    }
}
