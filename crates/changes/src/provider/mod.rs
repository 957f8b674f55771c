//! The side that tells: a log of numbered changes, and a hub from which every watcher gets them in order.

mod hub;
pub mod log;
mod tell;

pub use hub::{Beginning, Hub, Messages, Note, Told};
pub use log::{Columns, Subject};
pub use tell::{Carries, Pace, Stateless, tell};
