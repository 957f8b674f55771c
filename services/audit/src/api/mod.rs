//! The gRPC side.

pub(crate) mod access;
mod convert;
mod entries;
mod error;
mod intake;

pub(crate) use entries::Entries;
pub(crate) use intake::Intake;
