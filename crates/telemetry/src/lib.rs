//! Logs, traces, and the management port with metrics and health.
//!
//! What is logged and what never is: `docs/logging.md`. What is traced: `docs/tracing.md`. Metrics come from layers and background tasks, not from handlers.

mod health;
mod logs;
mod management;
mod otlp;

pub use health::{Component, Health, State};
pub use logs::{Format, LogError, LogFilter, check_filter, init};
pub use management::serve;
pub use otlp::{Collector, Exporter, ExporterMetrics, OtlpError};
