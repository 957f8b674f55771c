//! Whole databases, row by row: those of all services read as they were at one moment, and empty ones filled. For backups.
//!
//! What is copied is what the schema says, so no list of tables has to be kept up: `tables` reads it, [`Cut`] reads rows, [`Filling`] writes
//! them. A [`Row`] is the same on both engines.

mod cut;
mod filling;
mod tables;

pub use cut::{Cut, Snapshot};
pub use filling::{Filling, used};
pub use tables::{Column, Kind, Table};

/// A row: a value for each column of its table, in their order.
pub type Row = Vec<crate::Bind>;
