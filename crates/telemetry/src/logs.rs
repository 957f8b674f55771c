//! Logs: text on a terminal, one JSON object a line elsewhere. What is logged may change while the process runs.

use std::io::{IsTerminal as _, stderr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
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
pub fn init(filter: &str, format: Option<Format>) -> Result<LogFilter, LogError> {
    let filter = LogFilter::new(filter)?;
    let registry = tracing_subscriber::registry().with(filter.clone());
    match format.unwrap_or(if stderr().is_terminal() { Format::Text } else { Format::Json }) {
        Format::Text => {
            registry.with(tracing_subscriber::fmt::layer().with_writer(stderr).with_target(false)).try_init()?
        }
        Format::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(stderr).flatten_event(true)).try_init()?
        }
    }
    Ok(filter)
}

/// Says whether a text is a filter, and begins nothing.
///
/// # Errors
/// Where it is none.
pub fn check_filter(filter: &str) -> Result<(), LogError> {
    LogFilter::new(filter).map(|_| ())
}

/// What is logged. Clones share it. Looking at it takes no lock: every line and every step of a call does.
#[derive(Clone, Debug)]
pub struct LogFilter(Arc<ArcSwap<EnvFilter>>);

impl LogFilter {
    fn new(filter: &str) -> Result<Self, LogError> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(EnvFilter::builder().parse(filter)?))))
    }

    /// From now on logs what another filter lets through.
    ///
    /// # Errors
    /// Where it is no filter; then all stays as it was.
    pub fn set(&self, filter: &str) -> Result<(), LogError> {
        self.0.store(Arc::new(EnvFilter::builder().parse(filter)?));
        tracing::callsite::rebuild_interest_cache();
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for LogFilter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        Layer::<S>::register_callsite(&**self.0.load(), metadata)
    }

    fn enabled(&self, metadata: &Metadata<'_>, context: Context<'_, S>) -> bool {
        Layer::<S>::enabled(&**self.0.load(), metadata, context)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Layer::<S>::max_level_hint(&**self.0.load())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        Layer::<S>::on_new_span(&**self.0.load(), attributes, id, context);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        Layer::<S>::on_record(&**self.0.load(), id, values, context);
    }

    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        Layer::<S>::on_enter(&**self.0.load(), id, context);
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        Layer::<S>::on_exit(&**self.0.load(), id, context);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        Layer::<S>::on_close(&**self.0.load(), id, context);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn what_is_logged_changes_while_it_runs_and_what_is_no_filter_changes_nothing() {
        let (lines, filter) = (Lines::default(), LogFilter::new("info").unwrap());
        let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(lines.clone());
        let subscriber = tracing_subscriber::registry().with(filter.clone()).with(layer);
        let say = |number: u32| tracing::debug!(number, "a line");
        tracing::subscriber::with_default(subscriber, || {
            say(1);
            filter.set("info,coffre=debug").unwrap();
            say(2);
            assert!(filter.set("info,coffre=loud").is_err());
            say(3);
            filter.set("warn").unwrap();
            say(4);
        });
        let said = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let numbers: Vec<&str> =
            said.lines().filter_map(|line| line.rsplit_once("number=")).map(|(_, number)| number).collect();
        assert_eq!(numbers.len(), 2, "{said}");
        assert!(numbers[0].contains('2') && numbers[1].contains('3'), "{said}");
    }
}
