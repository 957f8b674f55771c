//! What proves the audit's record to somebody who does not trust the server, and what checks it.
//!
//! The log is one Merkle tree over all entries in the order of arrival. Nothing here knows a database or a network, so that the service,
//! the command line and the tests compute with the same code; `docs/audit-format.md` describes every byte.
//!
//! - [`canonical`] says whether bytes are an event, [`tree`] hashes them, [`proof`] says which hashes prove what.
//! - [`note`] signs texts, [`checkpoint`] is the text: the log at one moment. [`witness`] reads what was kept of them elsewhere.
//! - [`export`] writes entries for others, [`words`] says them as REST does; [`sentence`] and [`detail`] say them to people.
//! - [`verify`] checks all of this and names what is wrong; [`seals`] compares stored values with what was recorded of them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod canonical;
pub mod checkpoint;
pub mod detail;
pub mod export;
pub mod filter_text;
#[cfg(test)]
mod naive;
pub mod note;
pub mod proof;
pub mod seals;
pub mod sentence;
pub mod tree;
pub mod verify;
pub mod witness;
pub mod words;
