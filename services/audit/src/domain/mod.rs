//! The rules of the log. No gRPC, no SQL.

pub(crate) mod detail;
pub(crate) mod entry;
pub(crate) mod intake;
pub(crate) mod ports;
pub(crate) mod position;
pub(crate) mod sentence;
pub(crate) mod visibility;
