//! One server builder, and the layers that every call goes through, whichever way it came.
//!
//! ```text
//! gRPC port ─ Front ─┐                         (peer: an address)
//!                    ├─ Layered ─ handlers
//! gateway ─ Channel ─┘                         (peer: a service of this process)
//! ```
//!
//! [`Layered`] holds the one order of steps, with the reason beside each. What a service hands in is [`ServiceParts`]: its public and its
//! internal routes and a row ([`Rpc`]) for each public RPC. An RPC without a row is denied. Internal routes are reached by a
//! [`Channel`](coffre_channel::Channel) alone: the public port does not know them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod access;
mod admission;
mod context;
mod front;
mod layered;
mod metadata;
mod metrics;
mod refusals;
mod streams;

pub use access::{Access, Rpc, missing, password_change_required, recent_sign_in_required, session_required};
pub use admission::Admission;
pub use context::CallContext;
pub use front::{Front, FrontOptions};
pub use layered::{Guard, Layered, Limits, ToItsEnd};
pub use metadata::{Peer, header};
pub use metrics::RpcMetrics;
pub use refusals::{list_refused, store_refused};
pub use streams::{Served, StreamLimits, StreamPlace, Streams};

use coffre_audit_client::Outbox;
use tonic::service::Routes;

/// What a service hands in to be served.
pub struct ServiceParts {
    /// The service's name: `auth`, `vault`, `locker`, `audit`.
    pub name: &'static str,
    /// What callers with tokens reach.
    pub public: Routes,
    /// What other services of ours reach.
    pub internal: Routes,
    /// One row for each public RPC.
    pub rpcs: &'static [Rpc],
    /// Where the records of the calls go.
    pub outbox: Outbox,
}
