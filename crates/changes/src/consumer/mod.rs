//! The side that keeps answers, and forgets them when it is told.

mod freshness;
mod known;
mod watch;

pub use freshness::{Freshness, STALE_AFTER};
pub use known::{Asked, Disorder, Known, Reach, Subject};
pub use watch::{Watch, Watching, start};
