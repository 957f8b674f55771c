//! The vault against real databases, on both engines: one suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod credentials;
mod holdings;
mod house;
mod keys;
mod lists;
mod matrix;
mod races;
mod values;
mod world;
