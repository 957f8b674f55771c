//! Sessions, as the use cases see them.

use std::time::Duration;

use coffre_types::{
    ApiAccessId, ApiKeyId, ApiSecretId, PermissionSet, RoleId, SessionId, Timestamp, TokenKind, UserId,
};

use super::api_access::Binding;
use crate::secrets::ConfirmationMacs;

/// A session about to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewSession {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) epoch: i64,
    pub(crate) opened_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) origin: Origin,
}

/// What a session was opened with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Origin {
    /// A password.
    Password,
    /// An API key in place of the password.
    ApiKey(ApiKeyId),
    /// An API access asked for a token.
    Client {
        access: ApiAccessId,
        /// The epoch of the access.
        epoch: i64,
        /// The secret whose confirmation it stands on, where no operator gave his password.
        confirmed: Option<ApiSecretId>,
        /// It has refresh tokens, and the access token beside the first is good for so long.
        refreshable: Option<Duration>,
    },
}

impl Origin {
    /// Returns the only kind of token that the session takes.
    pub(crate) fn kind(self) -> TokenKind {
        match self {
            Self::Password | Self::ApiKey(_) => TokenKind::Session,
            Self::Client { .. } => TokenKind::PublicApi,
        }
    }
}

/// The confirmation on which a session stands, as it is stored.
#[derive(Clone)]
pub(crate) struct StandsOn {
    pub(crate) binding: Binding,
    pub(crate) secret_hash: String,
    pub(crate) confirmation: Vec<u8>,
}

/// What stands behind a token, as of `sequence`.
#[derive(Clone)]
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
    pub(crate) kind: TokenKind,
    pub(crate) api_access: Option<ApiAccessId>,
    /// The client id of the API access.
    pub(crate) client_id: Option<String>,
    /// The number of the newest refresh token, and when it was issued.
    pub(crate) refresh: Option<Refresh>,
    /// An operator's confirmation, where nothing else opened it.
    pub(crate) stands_on: Option<StandsOn>,
}

/// Where the refresh tokens of a session stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Refresh {
    /// The number of the newest, from 0.
    pub(crate) generation: i64,
    /// When it was issued.
    pub(crate) issued_at: Timestamp,
    /// How long the access token beside it is good, whatever its client's setting says since.
    pub(crate) life: Duration,
}

impl Standing {
    /// Says whether the confirmation on which the session stands is one; most stand on none.
    pub(crate) fn is_confirmed(&self, macs: &ConfirmationMacs) -> bool {
        self.stands_on.as_ref().is_none_or(|on| macs.confirms(on.binding, &on.secret_hash, &on.confirmation))
    }

    /// Says whether the session takes a token of this user and epoch.
    pub(crate) fn takes(&self, user: UserId, epoch: i64) -> bool {
        self.user_id == user && (self.first_epoch..=self.epoch).contains(&epoch)
    }
}
