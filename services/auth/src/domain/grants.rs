//! Tokens for clients: with an operator's password, or with what an operator confirmed.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_authn::token::Identity;
use coffre_db::Connection;
use coffre_secret::SecretText;
use coffre_types::{ApiAccessId, NameKey, SessionId, Timestamp, TokenKind, UserId};
use uuid::Uuid;

use super::api_access::is_our_scope;
use super::client::{Client, ShownClient};
use super::error::Fault;
use super::oauth_error::OAuthError;
use super::secret_text::RefreshTokenText;
use super::session::{NewSession, Origin};
use super::{Auth, ClientAddress};
use crate::store::{operators, sessions};

/// A user as the token endpoint sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Operator {
    pub(crate) id: UserId,
    pub(crate) username: String,
    pub(crate) epoch: i64,
    /// Why it may not connect to the API, for the audit alone.
    pub(crate) refused: Option<&'static str>,
}

/// What a client gets.
pub(crate) struct Issued {
    pub(crate) access_token: String,
    pub(crate) expires: Timestamp,
    /// From now, in seconds.
    pub(crate) expires_in: i64,
    pub(crate) refresh_token: Option<SecretText>,
}

/// Everything of which a token and its refresh token are a function: the same twice gives the same pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) session: SessionId,
    pub(super) user: UserId,
    pub(super) epoch: i64,
    pub(super) access: ApiAccessId,
    /// How long the access token is good.
    pub(super) life: Duration,
    /// When the session ends at the latest.
    pub(super) session_end: Timestamp,
    /// The number of the refresh token, where there is one; the first pair has 0 in either case.
    pub(super) generation: i64,
    pub(super) refreshable: bool,
    /// When the pair was first given.
    pub(super) issued: Timestamp,
}

impl Auth {
    /// Issues a token for an operator who gave his password to the client.
    pub(crate) async fn token_for_password(
        &self,
        shown: ShownClient,
        operator: (&str, &SecretText),
        scope: &str,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<Issued, OAuthError> {
        let client = self.client_for(shown, "password", |client| client.access.password_grant, address, record).await?;
        check_scope(scope)?;
        let (name, password) = (NameKey::of(operator.0), operator.1);
        self.name_the_actor(&name, record).await?;
        let attempt = self.attempt(&name, address, password).await?;
        // The same statement for whoever tried: nobody has the user id 0.
        let matched = attempt.matched.as_ref().map_or(UserId::from_trusted(0), |user| user.id);
        let found = self.database.read(move |conn| operators::find(conn, matched)).await?;
        let cause = found.as_ref().map_or(Some(attempt.cause), |operator| operator.refused);
        let (Some(user), Some(operator)) = (&attempt.matched, found.filter(|_| cause.is_none())) else {
            record.detail("cause", cause.unwrap_or_default());
            self.count_failure(attempt.counted).await?;
            return Err(OAuthError::GrantInvalid);
        };
        let proven = self.proven(name, user, &attempt, password).await?;
        let (rules, now) = (self.config.throttle, self.now());
        let session = SessionId::new(Uuid::new_v4());
        let recorded = record.clone();
        let pair = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            if !proven.holds(conn, &rules, now)? {
                return Err(OAuthError::GrantInvalid);
            }
            let access = client.again(conn, now)?.ok_or(OAuthError::ClientInvalid)?;
            let origin = Origin::Client {
                access: access.id,
                epoch: access.epoch,
                confirmed: None,
                refreshable: access.refresh_grant.then_some(access.access_token_life),
            };
            let life = if access.refresh_grant { access.refresh_token_life } else { access.access_token_life };
            recorded.detail("grant", "password");
            opened(conn, &operator, session, origin, (now, now.plus(life)), access.access_token_life, &recorded)
        })
        .await?;
        Ok(self.pair(&pair, now)?)
    }

    /// Issues a token to a client for the operator who confirmed the secret that it showed.
    pub(crate) async fn token_for_client(
        &self,
        shown: ShownClient,
        scope: &str,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<Issued, OAuthError> {
        let allows = |client: &Client| client.access.client_credentials_grant;
        let client = self.client_for(shown, "client_credentials", allows, address, record).await?;
        check_scope(scope)?;
        let now = self.now();
        let refused = |cause: &str| {
            record.detail("cause", cause);
            OAuthError::GrantInvalid
        };
        let operator = client.access.operator.ok_or_else(|| refused("no operator"))?;
        let macs = self.secrets.confirmation_macs().clone();
        if client.confirmed(&macs, &client.access).is_none() {
            return Err(refused("not confirmed"));
        }
        let found = self.database.read(move |conn| operators::find(conn, operator)).await?;
        let found = found.ok_or_else(|| refused("unknown operator"))?;
        if let Some(cause) = found.refused {
            record.actor(found.id, found.username, None);
            return Err(refused(cause));
        }
        let session = SessionId::new(Uuid::new_v4());
        let recorded = record.clone();
        let pair = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let access = client.again(conn, now)?.ok_or(OAuthError::ClientInvalid)?;
            let operator = operators::find(conn, operator)?.filter(|operator| operator.refused.is_none());
            let (Some(secret), Some(operator)) = (client.confirmed(&macs, &access), operator) else {
                return Err(OAuthError::GrantInvalid);
            };
            if !access.client_credentials_grant || access.operator != Some(operator.id) {
                return Err(OAuthError::GrantInvalid);
            }
            let origin = Origin::Client {
                access: access.id,
                epoch: access.epoch,
                confirmed: Some(secret.id),
                refreshable: None,
            };
            let end = now.plus(access.access_token_life);
            let end = secret.expires_at.map_or(end, |expires| expires.min(end));
            recorded.detail("grant", "client_credentials");
            opened(conn, &operator, session, origin, (now, end), access.access_token_life, &recorded)
        })
        .await?;
        Ok(self.pair(&pair, now)?)
    }

    /// Returns the client, where it has shown who it is and may use a grant.
    pub(super) async fn client_for(
        &self,
        shown: ShownClient,
        grant: &'static str,
        allows: impl FnOnce(&Client) -> bool,
        address: ClientAddress,
        record: &CallRecord,
    ) -> Result<Client, OAuthError> {
        record.detail("grant", grant);
        let client = self.client(shown, address, record).await?;
        if allows(&client) { Ok(client) } else { Err(OAuthError::ClientUnauthorized(grant)) }
    }

    /// Makes a pair.
    pub(super) fn pair(&self, pair: &Pair, now: Timestamp) -> Result<Issued, Fault> {
        let Pair { session, user, epoch, access, generation, .. } = *pair;
        let expires = pair.issued.plus(pair.life).min(pair.session_end);
        let identity = Identity {
            user_id: user,
            session_id: session,
            epoch,
            kind: TokenKind::PublicApi,
            issued: pair.issued,
            expires,
        };
        let id = self.secrets.token_id(session, generation);
        let access_token = self.signer.sign_with_id(&identity, id, pair.issued)?;
        let refresh_token = pair.refreshable.then(|| {
            let mac = self.secrets.refresh_macs().mac(session, user, access, generation);
            RefreshTokenText { session, generation, mac }.text()
        });
        let expires = Timestamp::from_seconds(expires.seconds());
        Ok(Issued { access_token, expires, expires_in: (expires.seconds() - now.seconds()).max(0), refresh_token })
    }
}

/// Refuses any other scope than ours.
pub(super) fn check_scope(scope: &str) -> Result<(), OAuthError> {
    if is_our_scope(scope) { Ok(()) } else { Err(OAuthError::ScopeInvalid) }
}

/// Opens a session and returns what its first pair is a function of.
fn opened(
    conn: &mut Connection,
    operator: &Operator,
    session: SessionId,
    origin: Origin,
    (issued, session_end): (Timestamp, Timestamp),
    life: Duration,
    record: &CallRecord,
) -> Result<Pair, OAuthError> {
    let Origin::Client { access, refreshable, .. } = origin else { return Err(OAuthError::GrantInvalid) };
    sessions::insert(
        conn,
        &NewSession {
            session_id: session,
            user_id: operator.id,
            epoch: operator.epoch,
            opened_at: issued,
            expires_at: session_end,
            origin,
        },
    )?;
    record.actor(operator.id, operator.username.as_str(), Some(session));
    record.object("session", session, operator.username.clone());
    Ok(Pair {
        session,
        user: operator.id,
        epoch: operator.epoch,
        access,
        life,
        session_end,
        generation: 0,
        refreshable: refreshable.is_some(),
        issued,
    })
}
