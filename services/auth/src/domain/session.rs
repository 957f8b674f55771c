//! Sessions, as the use cases see them.

use coffre_types::{PermissionSet, RoleId, SessionId, Timestamp, UserId};

/// A session about to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSession {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) epoch: i64,
    pub(crate) opened_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// What stands behind a token, as of `sequence`.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) sequence: i64,
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) username: String,
    pub(crate) roles: Vec<RoleId>,
    pub(crate) permissions: PermissionSet,
    pub(crate) administrator: bool,
    pub(crate) password_change_required: bool,
    pub(crate) first_epoch: i64,
    pub(crate) epoch: i64,
    pub(crate) password_time: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) client_id: Option<String>,
}

impl Standing {
    /// Says whether the session takes a token of this user and epoch.
    pub(crate) fn takes(&self, user: UserId, epoch: i64) -> bool {
        self.user_id == user && (self.first_epoch..=self.epoch).contains(&epoch)
    }
}
