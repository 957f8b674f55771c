//! What a client may learn of its own tokens, and how it ends them. Of anybody else's it learns nothing, not even that there is one.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_authn::token::VerifiedToken;
use coffre_types::{SessionId, Timestamp, TokenKind, UserId};

use super::client::{Client, ShownClient};
use super::error::SessionError;
use super::oauth_error::OAuthError;
use super::refresh::{self, Verdict};
use super::secret_text::RefreshTokenText;
use super::session::Standing;
use super::{Auth, ClientAddress};
use crate::store::changes::{self, Subject};
use crate::store::sessions;

/// What is known of a token that would be accepted now.
pub(crate) struct Active {
    pub(crate) client_id: String,
    pub(crate) username: String,
    pub(crate) user: UserId,
    pub(crate) expires: Timestamp,
    pub(crate) issued: Timestamp,
    pub(crate) kind: ActiveKind,
}

/// Which token it is.
pub(crate) enum ActiveKind {
    Access { token_id: String },
    Refresh,
}

impl Auth {
    /// Says whether a token of the client would be accepted now.
    pub(crate) async fn introspect(
        &self,
        shown: ShownClient,
        token: &str,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<Option<Active>, OAuthError> {
        let client = self.client(shown, address, record).await?;
        let active = match RefreshTokenText::parse(token) {
            Some(token) => self.active_refresh_token(client, token, record).await?,
            None => self.active_access_token(client, token, record).await?,
        };
        record.detail("active", active.is_some().to_string());
        Ok(active)
    }

    async fn active_refresh_token(
        &self,
        client: Client,
        token: RefreshTokenText,
        record: &CallRecord,
    ) -> Result<Option<Active>, OAuthError> {
        let (now, macs, access) = (self.now(), self.secrets.refresh_macs().clone(), client.access.id);
        if !client.access.refresh_grant {
            return Ok(None);
        }
        let seen = self.database.read(move |conn| refresh::look(conn, &macs, access, &token, now)).await?;
        let Some(seen) = seen.ok().filter(|seen| seen.verdict != Verdict::UsedUp) else { return Ok(None) };
        about(record, &seen.standing);
        Ok(Some(Active {
            client_id: client.access.client_id,
            user: seen.standing.user_id,
            expires: seen.standing.expires_at,
            issued: seen.newest.issued_at,
            username: seen.standing.username,
            kind: ActiveKind::Refresh,
        }))
    }

    async fn active_access_token(
        &self,
        client: Client,
        token: &str,
        record: &CallRecord,
    ) -> Result<Option<Active>, OAuthError> {
        let Some(verified) = self.access_token(token).filter(|token| !token.is_expired(self.now())) else {
            return Ok(None);
        };
        let identity = verified.identity;
        let standing = self.resolve(identity.session_id, identity.user_id, identity.epoch, verified.kid).await;
        let standing = match standing {
            Ok(standing) => standing,
            Err(SessionError::Fault(fault)) => return Err(fault.into()),
            Err(SessionError::TokenInvalid | SessionError::PasswordChangeRequired) => return Ok(None),
        };
        let own = standing.api_access == Some(client.access.id) && standing.kind == TokenKind::PublicApi;
        if !own || standing.password_change_required {
            return Ok(None);
        }
        about(record, &standing);
        Ok(Some(Active {
            client_id: client.access.client_id,
            user: standing.user_id,
            username: standing.username,
            expires: identity.expires,
            issued: identity.issued,
            kind: ActiveKind::Access { token_id: verified.token_id },
        }))
    }

    /// Ends the session of a token of the client. Any other token changes nothing.
    pub(crate) async fn revoke(
        &self,
        shown: ShownClient,
        token: &str,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<(), OAuthError> {
        let client = self.client(shown, address, record).await?;
        let refresh = RefreshTokenText::parse(token);
        // One that has expired ends its session too.
        let session: Option<SessionId> = match &refresh {
            Some(token) => Some(token.session),
            None => self.access_token(token).map(|verified| verified.identity.session_id),
        };
        let Some(session) = session else {
            record.detail("token", "none of ours");
            return Ok(());
        };
        let (access, now, recorded) = (client.access.id, self.now(), record.clone());
        let macs = self.secrets.refresh_macs().clone();
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let opened = sessions::opened_by(conn, session)?.filter(|opened| opened.api_access == Some(access));
            let genuine = |user: UserId| {
                let mac = |token: &RefreshTokenText| macs.mac(session, user, access, token.generation);
                refresh.as_ref().is_none_or(|token| coffre_secret::equal(&mac(token), &token.mac))
            };
            let Some(opened) = opened.filter(|opened| genuine(opened.user_id)) else {
                recorded.detail("token", "not of this client, or removed");
                return Ok(());
            };
            recorded.actor(opened.user_id, opened.username.as_str(), Some(session));
            recorded.object("session", session, opened.username);
            if opened.ended {
                recorded.detail("session", "ended before");
            } else if sessions::end(conn, session, now)? {
                changes::record(conn, Subject::Session(session), now)?;
            }
            Ok::<_, OAuthError>(())
        })
        .await?;
        self.hub.poke();
        Ok(())
    }

    /// Reads an access token, expired or not.
    fn access_token(&self, token: &str) -> Option<VerifiedToken> {
        self.signer.verify(token).ok().filter(|verified| verified.identity.kind == TokenKind::PublicApi)
    }
}

fn about(record: &CallRecord, standing: &Standing) {
    record.object("session", standing.session_id, standing.username.clone());
}
