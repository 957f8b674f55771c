//! Numbered changes: how a service tells what has changed, and how others forget what they kept within a second.
//!
//! ```text
//! change ── same transaction ──▶ log (numbered) ── read every 125 ms, at once in this process ──▶ Hub ──▶ stream of each watcher
//!                                                                                                              │
//!                                         Known: what was asked, until a change touches it ◀── watch ─────────┘
//! ```
//!
//! The rules (`security.md` 1.4):
//! - the number of a change comes from a row that its transaction locks, so nothing commits late behind a reader;
//! - a stream begins with a snapshot, which voids whatever was kept before; its numbers have no gaps, and a gap begins it anew;
//! - a heartbeat says up to which moment everything is known; what is older than 800 ms is not used;
//! - an answer that was given before a change is never kept after it.
//!
//! # To tell changes (`provider`)
//!
//! 1. The first migration has the tables `change_counter` and `changes` as auth's has them, and the row `(1, 0)` of the counter.
//! 2. An enum says what changes: `impl provider::Subject` turns it into a row and back.
//! 3. A transaction that changes something ends with `provider::log::record(conn, subject, now)?`; once it is committed, `hub.poke()`.
//! 4. `hub: Hub<Subject>` where the use cases are; at the start `tokio::spawn(provider::tell(hub.clone(), database, clock.clone(),
//!    Stateless, Pace::default()))`. A service whose snapshot and changes carry more brings its own [`provider::Carries`].
//! 5. The handler of `WatchChanges` answers `Response::new(hub.stream(clock.clone(), message).await)`, where `message` turns a
//!    [`provider::Told`] into its message.
//! 6. An answer that others keep is read together with its number: `provider::log::last(conn)` *before* the rest, or in one snapshot.
//! 7. Housekeeping removes what every watcher has long seen: `provider::log::prune(conn, now.minus(provider::log::KEPT))`.
//!
//! # To follow changes (`consumer`)
//!
//! 1. An enum says what can change, `impl consumer::Subject`: what is kept, under which key, and what a change reaches.
//! 2. `known: Known<Subject>` lives in a type that is `impl consumer::Watch`: it opens the stream and hands each message to
//!    `known.begin`, `known.apply` or `known.hear`.
//! 3. `let watching = consumer::start(Arc::clone(&state));` follows the stream until `watching` is dropped.
//! 4. A call looks with `known.fresh(&key)`. Nothing there: `let asked = known.ask();`, ask the provider, use the answer, and
//!    `known.keep(key, answer, sequence, asked)`. The provider does not answer: the call is refused.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod consumer;
pub mod provider;
