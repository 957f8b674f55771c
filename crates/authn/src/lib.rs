//! From a token to its caller: verification, sessions, rights, and the change stream that takes them away.
//!
//! An [`Authenticator`] follows auth's change stream in the background and answers from memory on the hot path:
//!
//! ```text
//! token ── SHA-256 ──▶ verified tokens ── session ──▶ callers ──▶ Arc<Caller>
//!                        │ miss: EdDSA, ~30 µs           │ miss or stale: ResolveCaller
//! ```
//!
//! Its rules (`security.md` 1.3, 1.4, 1.5):
//! - the expiry, the end of the session and the epoch are checked on every hit, not only when a token is first seen;
//! - an answer of auth is kept only where no later change touched its session, its user or its roles;
//! - what is kept counts as long as auth was heard within 800 ms; after that every call asks auth, and where auth is silent the call
//!   is refused with `AUTH_UNAVAILABLE`;
//! - a new stream begins with a snapshot and voids everything that was kept before.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod authenticator;
mod callers;
mod state;
#[cfg(test)]
mod tests;
pub mod token;
mod watcher;

pub use authenticator::{Authenticator, Settings};
