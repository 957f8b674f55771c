//! The gRPC side. A handler converts, calls one use case, converts back.

mod access;
mod authentication;
mod callers;
mod convert;
mod error;
mod holdings;
mod roles;
mod users;

use std::sync::Arc;

pub use access::RPCS;

use crate::domain::Auth;

/// `coffre.auth.v1.AuthenticationService`.
pub(crate) struct Authentication(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.UserService`.
pub(crate) struct Users(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.RoleService`.
pub(crate) struct Roles(pub(crate) Arc<Auth>);

/// `coffre.auth.internal.v1.CallerService`.
pub(crate) struct Callers(pub(crate) Arc<Auth>);
