//! The audit service: takes the events of all services into one log, in the order of arrival, and lets people search it.
//!
//! - `api` speaks gRPC: [`RPCS`] lists every public call. A handler converts, calls one use case, converts back.
//! - `domain` decides: where a segment of a stream belongs, who may see an entry, how an event reads as a sentence.
//! - `store` keeps the log, its search columns, and how far each stream has come.
//! - `app` wires them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api;
mod app;
mod domain;
mod store;

pub use api::access::RPCS;
pub use app::{App, Deps, Error, Settle, build, migrations, options, settle};
