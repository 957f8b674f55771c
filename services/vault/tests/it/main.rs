//! The vault against real databases, on both engines: one suite.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod access;
mod assigning;
mod credentials;
mod dashboard;
mod fake_audit;
mod fake_locker;
mod fake_peers;
mod holdings;
mod house;
mod keys;
mod lists;
mod matrix;
mod modes;
mod peers;
mod peers_attacked;
mod put_back;
mod races;
mod replicas;
mod rotation;
mod seals;
mod sharing;
mod values;
mod world;
