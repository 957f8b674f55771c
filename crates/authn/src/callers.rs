//! Resolved callers: what is kept of auth's answers, and what a change of it touches.

use std::sync::Arc;

use coffre_changes::consumer::{self, Reach};
use coffre_types::{ApiAccessId, Caller, RoleId, SessionId, Timestamp, UserId};

/// A caller as auth resolved it.
pub(crate) struct ResolvedCaller {
    pub(crate) caller: Arc<Caller>,
    /// When the session ends at the latest.
    pub(crate) session_end: Timestamp,
    /// The oldest epoch of a token that this session takes.
    pub(crate) first_epoch: i64,
    /// The newest epoch of a token that this session takes.
    pub(crate) epoch: i64,
    /// The API access behind the session.
    pub(crate) api_access: Option<ApiAccessId>,
}

/// What a change touches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Subject {
    Session(SessionId),
    User(UserId),
    Role(RoleId),
    ApiAccess(ApiAccessId),
    /// Nothing that is kept here.
    Other,
}

impl consumer::Subject for Subject {
    type Key = SessionId;
    type Kept = Arc<ResolvedCaller>;

    fn reach(&self) -> Reach<SessionId> {
        match self {
            Self::Session(session) => Reach::One(*session),
            Self::User(_) | Self::Role(_) | Self::ApiAccess(_) => Reach::Many,
            Self::Other => Reach::Nothing,
        }
    }

    fn touches(&self, key: &SessionId, resolved: &Arc<ResolvedCaller>) -> bool {
        match self {
            Self::Session(session) => session == key,
            Self::User(user) => resolved.caller.user_id == *user,
            Self::Role(role) => resolved.caller.roles.contains(role),
            Self::ApiAccess(access) => resolved.api_access == Some(*access),
            Self::Other => false,
        }
    }
}
