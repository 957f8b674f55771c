//! What the vault is about, free of transports and databases: what things are, who may do what, and what each call means.
//!
//! - [`policy`]: the matrix of the contract, and the only place where a [`policy::Permit`] is made.
//! - [`shares`]: what lockers share with a caller, as far as it is known.
//! - [`credentials`], [`values`], [`contents`], [`access`], [`holdings`]: one function a call. Each runs within one transaction that it is
//!   given as a port.
//! - [`keys`]: the keys that people type; [`attempts`]: how wrong ones slow down the next.
//! - [`ports`]: what a transaction can do.

pub mod access;
pub mod attempts;
pub mod contents;
pub mod credentials;
pub mod error;
pub mod holdings;
pub mod keys;
pub mod model;
pub mod patch;
pub mod policy;
pub mod ports;
pub mod shares;
pub mod values;

use coffre_audit_client::CallRecord;
use coffre_types::Caller;

/// Who asks, what lockers share with it, and the record of its call.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// What lockers share with it.
    pub sharing: &'a shares::Sharing,
    /// The record.
    pub record: &'a CallRecord,
}
