//! The audit's side of a service: the record of a call, the outbox that makes it durable, the relay that carries it away.
//!
//! - [`CallRecord`] collects what a call was while it runs.
//! - [`audited_write`] commits a change and its event in one transaction; [`Outbox::append`] commits the event of everything else
//!   before the answer leaves.
//! - [`Outbox`] numbers and chains the events of each writer (a *stream*) and stores one row a commit, with a MAC under a key that
//!   is not in the database.
//! - [`Relay`] carries the rows to the audit service and deletes what it acknowledged. The audit service may be away for hours.
//! - [`canonical`] and [`chain`] are the bytes: `docs/audit-format.md` and `proto/vectors/audit-event.json` describe them.
//!
//! # Tables
//! A service copies [`OUTBOX_SQLITE`] and [`OUTBOX_POSTGRES`] (the files `migrations/{sqlite,postgres}/outbox.sql` of this crate)
//! into its own first migration.
//!
//! # Wiring
//! ```text
//! let outbox = Outbox::new(Arc::new(Site { service: "vault", … }), &audit_key);
//! let database = Database::open(options, || outbox.journal())?;
//! outbox.attach(database.clone());
//! tokio::spawn(Relay::new(outbox.clone(), internal_channel_of_audit).run(stop_token));
//! // …at the end, before the token is cancelled:
//! outbox.flush(Duration::from_secs(5)).await;
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod anonymous;
pub mod canonical;
pub mod chain;
mod heads;
mod outage;
mod outbox;
mod record;
mod relay;
mod rows;
mod stream;
mod write;

pub use chain::StreamKey;
pub use coffre_proto::audit::v1::{ActivityType, Outcome, Source};
pub use outage::Outage;
pub use outbox::{Lag, Outbox};
pub use record::{CallRecord, Origin, Site};
pub use relay::Relay;
pub use stream::StreamJournal;
pub use write::audited_write;

/// The tables of the outbox on SQLite, to be copied into a service's first migration.
pub const OUTBOX_SQLITE: &str = include_str!("../migrations/sqlite/outbox.sql");

/// The tables of the outbox on PostgreSQL, to be copied into a service's first migration.
pub const OUTBOX_POSTGRES: &str = include_str!("../migrations/postgres/outbox.sql");
