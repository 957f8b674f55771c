//! What lockers are about, free of transports and databases: what things are, who may do what, and what each call means.
//!
//! - [`policy`]: the matrix of the contract, and the only place where a [`policy::Permit`] is made.
//! - [`lockers`], [`members`], [`consumers`], [`deletion`], [`entries`], [`holdings`]: one function a call. Each runs within one transaction
//!   that it is given as a port.
//! - [`ports`]: what a transaction can do.

pub mod consumers;
pub mod deletion;
pub mod entries;
pub mod error;
pub mod holdings;
pub mod lockers;
pub mod members;
pub mod model;
pub mod policy;
pub mod ports;
