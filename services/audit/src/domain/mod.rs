//! The rules of the log. No gRPC, no SQL.

pub(crate) mod check;
pub(crate) mod checkpoint;
pub(crate) mod cut;
pub(crate) mod entry;
pub(crate) mod incident;
pub(crate) mod intake;
pub(crate) mod keeper;
pub(crate) mod ports;
pub(crate) mod position;
pub(crate) mod proofs;
pub(crate) mod stretch;
pub(crate) mod visibility;
