//! Logs: text on a terminal, one JSON object a line elsewhere.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The form of a log line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not one.
    #[error("log: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Somebody logs already.
    #[error("log: {0}")]
    Taken(#[from] tracing_subscriber::util::TryInitError),
}

/// Begins logging to standard error. Without a format: text on a terminal, JSON elsewhere.
///
/// # Errors
/// Where the filter is not one, or somebody logs already.
pub fn init(filter: &str, format: Option<Format>) -> Result<(), LogError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    match format.unwrap_or(if stderr().is_terminal() { Format::Text } else { Format::Json }) {
        Format::Text => {
            registry.with(tracing_subscriber::fmt::layer().with_writer(stderr).with_target(false)).try_init()?
        }
        Format::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(stderr).flatten_event(true)).try_init()?
        }
    }
    Ok(())
}
