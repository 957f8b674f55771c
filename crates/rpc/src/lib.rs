//! One server builder, and the layers that every call goes through, whichever way it came.
//!
//! ```text
//! gRPC port ─ Front ────────────┐                         (peer: an address)
//! gateway ─ Channel ────────────┼─ Layered ─ handlers     (peer: a service of this process)
//! internal port ─ Internal ─────┘                         (peer: the gateway, known by its certificate)
//!                      └─ table ─ internal handlers       (peer: a service, known by its certificate)
//! ```
//!
//! [`Layered`] holds the one order of steps, with the reason beside each. What a service hands in is [`ServiceParts`]: its public and its
//! internal routes, a row ([`Rpc`]) for each public RPC and one ([`InternalRpc`]) for each internal one. An RPC without a row is denied. Internal
//! routes are reached by a [`Channel`](coffre_channel::Channel), within this process or through the internal port, which shows and asks for a
//! certificate: the public port does not know them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod access;
mod admission;
mod context;
mod front;
mod internal;
mod layered;
mod listener;
mod metadata;
mod metrics;
mod refusals;
mod streams;
mod traced;

pub use access::{Access, Rpc, missing, password_change_required, recent_sign_in_required, session_required};
pub use admission::Admission;
pub use coffre_tls::Service;
pub use context::CallContext;
pub use front::{Front, FrontOptions};
pub use internal::{Internal, InternalOptions, InternalRpc};
pub use layered::{Guard, Layered, Limits, ToItsEnd};
pub use metadata::{Peer, header};
pub use metrics::RpcMetrics;
pub use refusals::{list_refused, store_refused};
pub use streams::{KeptPlaces, Served, StreamLimits, StreamPlace, Streams};
pub use traced::internal_channel;

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
    /// One row for each internal RPC.
    pub internal_rpcs: &'static [InternalRpc],
    /// Where the records of the calls go.
    pub outbox: Outbox,
}
