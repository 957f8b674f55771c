//! Keyring, key slots and sealing. The only crate of ours that calls the cryptographic library (AWS-LC) directly.
//!
//! - [`aead`], [`hkdf`], [`hmac`]: small typed wrappers, also for auth's own key file.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod aead;
mod error;
pub mod hkdf;
pub mod hmac;
mod key;

pub use error::CryptoError;
pub use key::{KEY_LEN, Key256, random};
