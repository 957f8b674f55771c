//! The audit service: takes the events of all services into one log, in the order of arrival, and lets people search it.
//!
//! - `api` speaks gRPC: [`RPCS`] lists every public call. A handler converts, calls one use case, converts back.
//! - `domain` decides: where a segment of a stream belongs, who may see an entry, how an event reads as a sentence.
//! - `store` keeps the log, its search columns, and how far each stream has come.
//! - `witness` is the file to which checkpoints go, `keeping` works in the background.
//! - `app` wires them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api;
mod app;
mod domain;
mod keeping;
mod store;
#[cfg(test)]
mod tests;
mod witness;

pub use api::access::{INTERNAL_RPCS, RPCS};
pub use app::{App, Config, Deps, Error, Settle, build, is_signed, migrations, options, settle};
pub use domain::keeper::Standing;
pub use keeping::Keeping;
pub use witness::witnessed;
