//! What is logged, changed while the process runs: SIGHUP has the settings read again.

use coffre_telemetry::LogFilter;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Flags;
use crate::settings;

/// Takes `log` from the settings anew at each SIGHUP. The environment of a process stays what it was: what changes is the settings file.
pub(crate) fn follow(flags: Flags, filter: LogFilter) -> std::io::Result<()> {
    let mut hung_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hung_up.recv().await.is_some() {
            read_again(&flags, &filter);
        }
    });
    Ok(())
}

fn read_again(flags: &Flags, filter: &LogFilter) {
    let read = settings::load(flags.clone());
    match read.and_then(|settings| Ok(filter.set(&settings.log).map(|()| settings.log)?)) {
        // Said whatever the filter lets through of it: an error is what nearly all do.
        Ok(log) => tracing::info!(log, "the settings were read again: this is what is logged from now on"),
        Err(error) => {
            tracing::error!(%error, "the settings were read again and are wrong: what is logged stays as it was")
        }
    }
}
