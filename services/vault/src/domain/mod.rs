//! What the vault is about, free of transports and databases: what things are, who may do what, and what each call means.
//!
//! - [`policy`]: the matrix of the contract, and the only place where a [`policy::Permit`] is made.
//! - [`credentials`], [`values`], [`holdings`]: one function a call. Each runs within one transaction that it is given as a port.
//! - [`ports`]: what a transaction can do.

pub mod credentials;
pub mod error;
pub mod holdings;
pub mod model;
pub mod patch;
pub mod policy;
pub mod ports;
pub mod values;
