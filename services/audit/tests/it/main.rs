//! The audit service against real databases.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod delivery;
mod faults;
mod house;
mod intake;
mod keeping;
mod layers;
mod reading;
mod relay;
mod schema;
