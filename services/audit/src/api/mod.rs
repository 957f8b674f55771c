//! The gRPC side.

pub(crate) mod access;
mod convert;
mod entries;
mod error;
mod intake;
mod reading;

pub(crate) use entries::Entries;
pub(crate) use intake::Intake;
pub(crate) use reading::Reading;
