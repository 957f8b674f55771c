//! REST in, gRPC out.
//!
//! The gateway speaks the published JSON API and calls the services through their own interface, over
//! [`coffre_channel::Channel`]. It routes and translates, nothing else: it owns no rule of the product, no database and no key. What
//! REST refuses, gRPC refuses for the same reason; only faults of form (a path, a header, a JSON text) are found here.
//!
//! Where to start reading:
//! - `router.rs`: every route in one list, from which the OpenAPI document comes too
//! - `edge.rs`: what happens to every request before and after its route
//! - `places.rs`: how many requests are answered at once, in all and of one address
//! - `wire.rs`: what stands between a connection and the HTTP parser
//! - `refusals.rs`: what the gateway refuses itself, on its way to the audit
//! - `caller.rs`: who is calling, as metadata for the services
//! - `receipts.rs`: which entry of the audit a call got, as a header of its answer
//! - `error.rs`: the one table from a refusal to a status and a body
//! - `json/`: how requests are read and what all answers share
//! - `oauth/`: forms, clients and refusals as OAuth 2.0 has them, for all under `/oauth/`
//! - `routes/`: one file a resource: JSON structs, handlers, conversions

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod caller;
mod clients;
mod config;
mod docs;
mod edge;
mod error;
mod json;
mod metrics;
mod oauth;
mod places;
mod public_url;
mod receipts;
mod refusals;
mod request;
mod request_line;
mod router;
mod routes;
mod serve;
mod wire;

#[cfg(test)]
mod tests;

pub use clients::{Channels, Clients};
pub use config::{Config, Limits, Readiness, StatusCodes, VaultSeal};
pub use edge::Gateway;
pub use metrics::RestMetrics;
pub use public_url::PublicUrl;
pub use router::{openapi, router};
pub use serve::serve;
