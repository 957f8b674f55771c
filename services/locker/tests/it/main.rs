//! Lockers against real databases, on both engines: one suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod consumers;
mod deletion;
mod entries;
mod house;
mod leaving;
mod lists;
mod lockers;
mod matrix;
mod members;
mod races;
mod sharing;
mod world;
