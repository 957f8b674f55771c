//! Who calls.

use std::sync::Arc;
use std::time::Duration;

use crate::{Permission, PermissionSet, RoleId, SessionId, Timestamp, UserId};

/// The kind of token that a caller showed. Kinds never pass for one another.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenKind {
    /// From signing in.
    Session,
    /// From the OAuth token endpoint, with the scope `public-api`.
    PublicApi,
}

/// A user behind a verified token, with the rights it has now.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user_id: UserId,
    /// The user's name.
    pub username: Arc<str>,
    /// The session.
    pub session_id: SessionId,
    /// The roles.
    pub roles: Arc<[RoleId]>,
    /// The permissions of all roles together.
    pub permissions: PermissionSet,
    /// Holds the system role `AAE_Admin`.
    pub administrator: bool,
    /// When the session was opened with a password.
    pub password_time: Timestamp,
    /// The password must be changed before anything else.
    pub password_change_required: bool,
    /// The kind of token.
    pub kind: TokenKind,
    /// The API client through which the user came.
    pub client_id: Option<Arc<str>>,
}

impl Caller {
    /// Says whether the caller holds a permission.
    #[must_use]
    pub fn has(&self, permission: Permission) -> bool {
        self.permissions.contains(permission)
    }

    /// Says whether the caller opened the session with a password within this time. Sessions that an API key opened, and tokens of the OAuth
    /// side, never count. A sign-in that lies further ahead than that does not either: the clock was set back since.
    #[must_use]
    pub fn signed_in_within(&self, time: Duration, now: Timestamp) -> bool {
        let recent = now.since(self.password_time) <= time && self.password_time.since(now) <= time;
        recent && self.password_time > Timestamp::default() && self.kind == TokenKind::Session
    }
}
