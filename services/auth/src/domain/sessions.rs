//! Sessions that are open: what stands behind a token, a fresh token, the end.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_authn::token::VerifiedToken;
use coffre_types::{SessionId, Timestamp, TokenKind, UserId};

use super::Auth;
use super::error::SessionError;
use super::session::Standing;
use crate::store::changes::{self, Subject};
use crate::store::sessions;

impl Auth {
    /// Says whether a token would be accepted now.
    pub(crate) async fn validate(&self, token: &str, record: &CallRecord) -> Result<bool, SessionError> {
        match self.standing_of(token).await {
            Ok((_, standing)) => {
                record.actor(standing.user_id, standing.username.as_str(), Some(standing.session_id));
                Ok(true)
            }
            Err(SessionError::TokenInvalid) => Ok(false),
            Err(refused @ (SessionError::PasswordChangeRequired | SessionError::Fault(_))) => Err(refused),
        }
    }

    /// Issues a fresh token in the session of the given one.
    pub(crate) async fn refresh(&self, token: &str, record: &CallRecord) -> Result<(String, Timestamp), SessionError> {
        let (verified, standing) = self.standing_of(token).await?;
        record.actor(standing.user_id, standing.username.as_str(), Some(standing.session_id));
        record.object("session", standing.session_id, standing.username.clone());
        // A token is refreshed as its own kind alone.
        if verified.identity.kind != TokenKind::Session || standing.client_id.is_some() {
            return Err(SessionError::TokenInvalid);
        }
        if standing.password_change_required {
            return Err(SessionError::PasswordChangeRequired);
        }
        Ok(self.issue(standing.user_id, standing.session_id, standing.epoch, standing.expires_at)?)
    }

    /// Ends the session of a token. A token that has expired ends its session too; a session that has ended stays so.
    pub(crate) async fn sign_out(&self, token: &str, record: &Arc<CallRecord>) -> Result<(), SessionError> {
        let verified = self.signer.verify(token).map_err(|_| SessionError::TokenInvalid)?;
        let (session, now) = (verified.identity.session_id, self.now());
        let recorded = record.clone();
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let Some(opened) = sessions::opened_by(conn, session)? else {
                recorded.detail("session", "already removed");
                return Ok(());
            };
            recorded.actor(opened.user_id, opened.username.as_str(), Some(session));
            recorded.object("session", session, opened.username.clone());
            if !opened.ended && sessions::end(conn, session, now)? {
                changes::record(conn, Subject::Session(session), now)?;
            }
            Ok::<_, SessionError>(())
        })
        .await?;
        self.hub.poke();
        Ok(())
    }

    /// Returns what stands behind the claims of a token whose signature another service has verified.
    pub(crate) async fn resolve(
        &self,
        session: SessionId,
        user: UserId,
        epoch: i64,
        kid: String,
    ) -> Result<Standing, SessionError> {
        let now = self.now();
        let standing = self.database.read(move |conn| sessions::standing(conn, session, Some(&kid), now)).await?;
        let macs = self.secrets.confirmation_macs();
        standing
            .filter(|standing| standing.takes(user, epoch) && standing.is_confirmed(macs))
            .ok_or(SessionError::TokenInvalid)
    }

    async fn standing_of(&self, token: &str) -> Result<(VerifiedToken, Standing), SessionError> {
        let verified = self.signer.verify(token).map_err(|_| SessionError::TokenInvalid)?;
        if verified.is_expired(self.now()) {
            return Err(SessionError::TokenInvalid);
        }
        let identity = &verified.identity;
        let standing =
            self.resolve(identity.session_id, identity.user_id, identity.epoch, verified.kid.clone()).await?;
        Ok((verified, standing))
    }
}
