//! Spans: what a call does, where, and for how long.
//!
//! ```text
//! Tracer::serve ── Span ── within(&span, future) ── current().child(…) ── Span
//!    (a root, or the child of what came from outside)     (in the task, or on a thread of the store)
//! ```
//!
//! - A span says only what the program knows by itself: names are texts of the program, templates of routes, names of RPCs; what is noted has a
//!   fixed name ([`Key`]) and is a text of the program, a number or the request id. There is no way to put a header, a body, an SQL value or
//!   the name of a user into one.
//! - Without a [`Tracer`] nothing is made, kept or counted: a child costs one look at a variable of the task.
//! - Where it goes is not known here: finished spans wait in a bounded queue ([`Finished`]); what finds no room is counted and gone.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod context;
mod current;
mod dice;
mod record;
mod span;
mod tracer;

pub use context::{TRACEPARENT, TraceContext};
pub use current::{Current, current, within};
pub use record::{Key, Kind, Name, Record, Value};
pub use span::Span;
pub use tracer::{Finished, Tracer, tracer};
