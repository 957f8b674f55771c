//! The gRPC side.

pub(crate) mod access;
mod convert;
mod entries;
mod error;
mod intake;
mod proofs;
mod reading;
pub(crate) mod streaming;

pub(crate) use entries::Entries;
pub(crate) use intake::Intake;
pub(crate) use proofs::Proofs;
pub(crate) use reading::Reading;
