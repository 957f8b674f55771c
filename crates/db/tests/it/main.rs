//! One contract, two engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub
)]

mod bounded;
mod copy;
mod faults;
mod gathered;
mod journal;
mod lists;
mod migrations;
mod support;
mod transactions;
