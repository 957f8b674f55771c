//! The locker service: who shares which credentials with whom.
//!
//! ```text
//! api       messages in and out; who may call what (access), how refusals read (error)
//! lockers   the use cases as the api calls them; deletion: its steps; leaving, sharing: what other services ask
//! domain    what each call means; the matrix of rights (policy); ports that ask for permits
//! store     the tables, on SQLite and PostgreSQL
//! directory, contents   what auth knows of users and roles, and vault of what lies in lockers
//! app       the wiring
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod api;
mod app;
pub mod contents;
pub mod deletion;
pub mod directory;
pub mod domain;
pub mod leaving;
pub mod lockers;
pub mod sharing;
pub mod store;

pub use api::{INTERNAL_RPCS, RPCS};
pub use app::{App, Background, Deps, build, migrations, pending};
pub use store::pending::Pending;
