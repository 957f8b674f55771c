//! The auth service: users, roles, sessions, tokens and signing keys.
//!
//! - [`config`]: its settings; [`app`]: the wiring; [`mod@init`]: the first administrator, once.
//! - `api`: the gRPC handlers, what they are called in the access table, and how messages and errors are converted.
//! - `domain`: the use cases and their rules. It knows neither gRPC nor SQL.
//! - `store`: the tables.
//! - `hashing`, `gate`: passwords are hashed on threads of their own, in an order that is fair to every address.
//! - `keepers`: vault and locker, which have things of users and roles.
//! - `background`: what is done unasked, the change stream that tells the other services what to forget among it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api;
pub mod app;
mod background;
pub mod config;
mod crowd;
mod domain;
mod gate;
mod hashing;
pub mod init;
mod keepers;
mod pending;
mod secrets;
mod store;

pub use api::{INTERNAL_RPCS, RPCS};
pub use app::{App, Deps, Error, build};
pub use config::Config;
pub use init::{FirstAdministrator, InitError, init, is_initialised};
pub use pending::deletions_pending;
pub use secrets::opens_signing_key;
pub use store::{POSTGRES_MIGRATIONS, SQLITE_MIGRATIONS};
