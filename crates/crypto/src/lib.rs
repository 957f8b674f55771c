//! Keyring, key slots and sealing. The only crate of ours that calls the cryptographic library (AWS-LC) for data at rest.
//!
//! - [`aead`], [`hkdf`], [`hmac`]: small typed wrappers, also for auth's own key file.
//! - [`slot`]: the root key, wrapped once for each key that may open the vault.
//! - [`master`], [`recovery`], [`stretch`]: the keys that people type, and what a guess at one costs.
//! - [`keyring`]: root key, data keys, and the [`keyring::OpenKeyring`] without which no value is sealed or opened.
//! - [`backup`]: for whom a backup is sealed.
//! - [`peer`]: the root key on its way from one replica to another.
//! - [`rekey`]: a new root key with new slots, made in memory, to be stored in one transaction.
//! - [`value`]: values at rest, bound to their place.
//! - [`state`]: sealed or open, with a generation.
//! - [`transport`]: RSA keys that hide values on their way.
//!
//! **Sealed is a type.** What seals or opens a value is a method of [`keyring::OpenKeyring`], which is made of a root key and its terms and of
//! nothing else; the functions behind it cannot be reached:
//!
//! ```compile_fail,E0603
//! let open = coffre_crypto::value::open;
//! ```
//!
//! ```compile_fail,E0603
//! let seal = coffre_crypto::value::seal;
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

pub mod aead;
pub mod backup;
mod error;
pub mod hkdf;
pub mod hmac;
mod hpke;
mod key;
pub mod keyring;
mod locked;
pub mod master;
pub mod peer;
pub mod recovery;
pub mod rekey;
pub mod slot;
pub mod state;
pub mod stretch;
pub mod transport;
pub mod value;

pub use error::CryptoError;
pub use key::{KEY_LEN, Key256, random};
