//! Logs, and the management port with metrics and health.
//!
//! What is logged and what never is: `docs/logging.md`. Metrics come from layers and background tasks, not from handlers.

mod health;
mod logs;
mod management;

pub use health::{Component, Health, State};
pub use logs::{Format, LogError, init};
pub use management::serve;
