//! The auth service behind its layers, on both engines. Tests are named after the rules of the security page that they show.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

mod access;
mod api_accesses;
mod api_keys;
mod clients;
mod confirmed;
mod consumption;
mod deletion;
mod described;
mod ends;
mod front_door;
mod grants;
mod holdings;
mod house;
mod keeper;
mod keys;
mod logs;
mod passwords;
mod portal;
mod refreshes;
mod replicas;
mod reserved;
mod roles;
mod sessions;
mod sign_in;
mod tokens;
mod users;
mod world;
