//! Ids, names, versions, times, permissions and the caller: what most services share, and nothing else.
//!
//! Every value that comes from outside is parsed once, at the edge, into one of these types; behind the edge nobody checks again.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod activity;
mod caller;
pub mod etag;
mod id;
mod name;
mod permission;
mod time;

pub use activity::Activity;
pub use caller::{Caller, TokenKind};
pub use id::{
    ApiAccessId, ApiKeyId, ApiSecretId, AttributeId, CredentialId, EventId, LockerId, NotAnId, RoleId, SessionId,
    TENANT, TenantId, UserId, ValueId, Version,
};
pub use name::{Description, Name, NameKey, TextFault};
pub use permission::{Permission, PermissionSet};
pub use time::{Clock, FixedClock, SystemClock, Timestamp};
