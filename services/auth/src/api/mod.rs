//! The gRPC side. A handler converts, calls one use case, converts back.

mod access;
mod api_accesses;
mod api_keys;
mod authentication;
mod callers;
mod convert;
mod error;
mod holdings;
mod oauth;
mod oauth_error;
mod roles;
mod users;

use std::sync::Arc;

pub use access::{INTERNAL_RPCS, RPCS};

use crate::domain::Auth;

/// `coffre.auth.v1.AuthenticationService`.
pub(crate) struct Authentication(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.UserService`.
pub(crate) struct Users(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.RoleService`.
pub(crate) struct Roles(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.ApiKeyService`.
pub(crate) struct ApiKeys(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.OAuthService`.
pub(crate) struct OAuth(pub(crate) Arc<Auth>);

/// `coffre.auth.v1.ApiAccessService`.
pub(crate) struct ApiAccesses(pub(crate) Arc<Auth>);

/// `coffre.auth.internal.v1.CallerService`.
pub(crate) struct Callers(pub(crate) Arc<Auth>);
