//! Reading and checking settings: flag over environment over file over default, all of it before a port is bound.
//!
//! Every setting stands once, in [`SETTINGS`]: its key in `coffre.toml`, from which the environment variable follows
//! (`auth.password_min_length` is `COFFRE_AUTH__PASSWORD_MIN_LENGTH`), what it means and its default. A name that is not in the list is
//! an error, because a misspelt setting that is silently ignored is a hole.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod network;
mod reader;
mod settings;
mod source;
mod telemetry;

pub use network::{HostPort, InternalFiles, Services, Tls, TlsFiles};
pub use settings::{Settings, StatusCodes};
pub use source::{Fault, SETTINGS, Setting, Sources, environment_name};
pub use telemetry::Telemetry;
