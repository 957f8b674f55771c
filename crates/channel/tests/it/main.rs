//! Calls over real connections to replicas that answer, hang, refuse and die.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod again;
mod deadlines;
mod names;
mod reach;
mod spreading;
mod world;
