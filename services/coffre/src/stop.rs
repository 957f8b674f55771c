//! Stopping: the first signal drains, a second one ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Returns a token that the first SIGTERM or SIGINT cancels. The second one ends the process with exit code 130.
pub(crate) fn on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancelled = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if cancelled.is_cancelled() {
                #[allow(clippy::disallowed_methods, reason = "the second signal ends at once, whatever is open")]
                std::process::exit(130);
            }
            tracing::info!("stopping: open calls may end, a second signal ends at once");
            cancelled.cancel();
        }
    });
    Ok(stop)
}
