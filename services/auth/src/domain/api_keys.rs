//! One's own API keys, and signing in with one.
//!
//! A key works as long as it is neither revoked nor expired and its user holds *Generate API key*, is enabled and was not reset. The session
//! that it opens lives no longer than the key and ends with it, and never counts as a recent sign-in.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_crypto::hmac::MAC_LEN;
use coffre_db::Connection;
use coffre_secret::{SecretText, equal};
use coffre_types::{ApiKeyId, NameKey, Permission, SessionId, Timestamp, UserId};
use uuid::Uuid;

use super::api_key::{ApiKey, ApiKeyDraft, LISTED_AFTER, MOST_EXPIRED, MOST_LIVE, NamedKey, SignInKey};
use super::error::{ApiKeyError, Denied, Fault, SignInError};
use super::policy::UseApiKeys;
use super::secret_text::ApiKeyText;
use super::session::{NewSession, Origin};
use super::sign_in::SignedIn;
use super::throttle::{self, Shown};
use super::user::SignInRow;
use super::{Auth, ClientAddress};
use crate::store::changes::{self, Subject};
use crate::store::{api_accesses, api_keys, api_secrets, roles, sessions, users};

impl Auth {
    /// Makes a key for the caller and returns it, this once.
    pub(crate) async fn create_api_key(
        &self,
        permit: UseApiKeys<'_>,
        draft: ApiKeyDraft,
        record: &Arc<CallRecord>,
    ) -> Result<(ApiKey, SecretText), ApiKeyError> {
        record.wanted("apiKey", draft.name.as_str());
        let now = self.now();
        let expires_at = draft.expiry(now)?;
        let (user, session) = (permit.caller().user_id, permit.caller().session_id);
        let (hashes, recorded) = (self.secrets.api_key_hashes().clone(), record.clone());
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            // One after the other, and none once a reset has revoked the others.
            if !sessions::hold(conn, user, session, now)? {
                return Err(ApiKeyError::SessionEnded);
            }
            let held =
                users::find(conn, user)?.is_some_and(|user| user.permissions.contains(Permission::GenerateApiKey));
            if !held {
                return Err(ApiKeyError::Denied(Denied(Permission::GenerateApiKey)));
            }
            if api_keys::live(conn, user, now)? >= MOST_LIVE {
                return Err(ApiKeyError::Limit { most: MOST_LIVE });
            }
            api_keys::drop_expired(conn, user, MOST_EXPIRED, now)?;
            let id = api_keys::insert(conn, user, &draft.name, now, expires_at).map_err(taken)?;
            let key = ApiKeyText::generate(id).map_err(Fault::from)?;
            let hint = key.hint();
            api_keys::set_hash(conn, id, &hashes.hash(user, id, key.secret()), &hint)?;
            let name = draft.name.as_str().to_owned();
            recorded.object("apiKey", id, name.clone());
            recorded.change("name", None, Some(name.clone()));
            recorded.change("expiresOn", None, Some(expires_at.to_rfc3339_millis()));
            Ok((ApiKey { id, name, hint, created_at: now, expires_at, last_used_at: None }, key.text()))
        })
        .await
    }

    /// Lists the caller's keys, the newest first.
    pub(crate) async fn api_keys(
        &self,
        permit: UseApiKeys<'_>,
        record: &CallRecord,
    ) -> Result<Vec<ApiKey>, ApiKeyError> {
        let (user, since) = (permit.caller().user_id, self.now().minus(LISTED_AFTER));
        let found: Vec<ApiKey> =
            self.database.read(move |conn| api_keys::list(conn, user, since).map_err(ApiKeyError::from)).await?;
        record.detail("apiKeys", found.len().to_string());
        Ok(found)
    }

    /// Revokes one of a user's own keys, and so ends the sessions that it opened.
    pub(crate) async fn delete_api_key(
        &self,
        user: UserId,
        id: ApiKeyId,
        record: &Arc<CallRecord>,
    ) -> Result<(), ApiKeyError> {
        let (now, recorded) = (self.now(), record.clone());
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let key = api_keys::revoke(conn, user, id, now)?.ok_or(ApiKeyError::NotFound)?;
            changes::record(conn, Subject::User(user), now)?;
            recorded.object("apiKey", id, key.name.clone());
            recorded.change("name", Some(key.name), None);
            Ok::<_, ApiKeyError>(())
        })
        .await?;
        self.hub.poke();
        Ok(())
    }

    /// Opens a session with an API key in place of the password. A key cannot be guessed, so only failures are counted, once they are known;
    /// they cost the same reads and the same comparison whatever is wrong.
    pub(crate) async fn sign_in_with_key(
        &self,
        username: &str,
        shown: &SecretText,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<SignedIn, SignInError> {
        let name = NameKey::of(username);
        self.name_the_actor(&name, record).await?;
        let rules = self.config.throttle;
        let address = throttle::address_key(address);
        let _trying = self.crowd.enter(address).map_err(|_| SignInError::Overloaded)?;
        let buckets = throttle::keys(&self.secrets, Shown::ApiKey(&name), address, rules.slots);
        self.hold_back(buckets).await?;
        let shown = ApiKeyText::parse(shown.expose());
        // No user and no key has the number 0.
        let asked = shown.as_ref().map_or(ApiKeyId::from_trusted(0), ApiKeyText::key);
        let looked: Looked = self.database.read(move |conn| look(conn, &name, asked)).await?;
        let now = self.now();
        let (user, key) = match self.judge(shown.as_ref(), looked, now) {
            Ok(found) => found,
            Err(cause) => {
                record.detail("cause", cause);
                self.database.write(move |tx| throttle::count_failure(tx.conn(), &rules, &buckets, now)).await?;
                return Err(SignInError::Failed);
            }
        };
        let session = NewSession {
            session_id: SessionId::new(Uuid::new_v4()),
            user_id: user.id,
            epoch: user.epoch,
            opened_at: now,
            expires_at: now.plus(self.config.session_life).min(key.expires_at),
            origin: Origin::ApiKey(key.id),
        };
        let (token, expires) = self.issue(session.user_id, session.session_id, session.epoch, session.expires_at)?;
        let recorded = record.clone();
        let user = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            throttle::forgive(conn, &rules, &buckets, now)?;
            if !api_keys::note_use(conn, key.id, now)? {
                return Err(SignInError::Failed);
            }
            let found = users::find(conn, user.id)?.ok_or(SignInError::Failed)?;
            let may = found.permissions.contains(Permission::GenerateApiKey);
            if found.disabled || found.epoch != user.epoch || !may {
                return Err(SignInError::Failed);
            }
            sessions::insert(conn, &session)?;
            recorded.actor(found.id, found.username.as_str(), Some(session.session_id));
            recorded.object("session", session.session_id, found.username.clone());
            recorded.detail("apiKey", NamedKey { id: key.id, name: key.name.clone() }.text());
            Ok(found)
        })
        .await?;
        Ok(SignedIn { token, expires, user })
    }

    /// Says whose key was shown, or for the audit alone why it opens nothing.
    fn judge(
        &self,
        shown: Option<&ApiKeyText>,
        looked: Looked,
        now: Timestamp,
    ) -> Result<(SignInRow, SignInKey), &'static str> {
        let Looked { user, key, may } = looked;
        let Some(shown) = shown else { return Err("not an API key") };
        let owner = user.as_ref().map_or(UserId::from_trusted(0), |user| user.id);
        let hash = self.secrets.api_key_hashes().hash(owner, shown.key(), shown.secret());
        let none = [0; MAC_LEN];
        let right = equal(&hash, key.as_ref().map_or(&none[..], |key| &key.hash));
        let Some(user) = user else { return Err("unknown user") };
        match key {
            Some(key) if right && key.user == user.id => {
                let refused = [
                    (key.revoked, "revoked API key"),
                    (key.expires_at <= now, "expired API key"),
                    (user.disabled, "disabled"),
                    (!may, "may not use API keys"),
                ];
                let cause = refused.into_iter().find_map(|(wrong, cause)| wrong.then_some(cause));
                cause.map_or(Ok((user, key)), Err)
            }
            _ => Err("wrong API key"),
        }
    }
}

/// What is known of a name and a key; the same is read whatever there is of them.
struct Looked {
    user: Option<SignInRow>,
    key: Option<SignInKey>,
    /// The user holds *Generate API key*.
    may: bool,
}

fn look(conn: &mut Connection, name: &NameKey, key: ApiKeyId) -> Result<Looked, coffre_db::Error> {
    let user = users::for_sign_in(conn, name)?;
    let key = api_keys::for_sign_in(conn, key)?;
    let id = user.as_ref().map_or(UserId::from_trusted(0), |user| user.id);
    let held = roles::of_user(conn, id)?;
    let may = held.iter().any(|role| role.permissions.contains(Permission::GenerateApiKey));
    Ok(Looked { user, key, may })
}

/// Ends what a user can get in by besides the password: its API keys, and the confirmations by which accesses act as the user.
pub(crate) fn end_other_ways_in(
    conn: &mut Connection,
    user: UserId,
    now: Timestamp,
    record: &CallRecord,
) -> Result<(), coffre_db::Error> {
    let keys = api_keys::revoke_all(conn, user, now)?;
    record.detail("apiKeys", keys.len().to_string());
    if !keys.is_empty() {
        let names: Vec<String> = keys.iter().map(NamedKey::text).collect();
        record.change("apiKeys", Some(names.join(", ")), None);
    }
    let mut names = Vec::new();
    for access in api_secrets::void_confirmations_of(conn, user, now)? {
        changes::record(conn, Subject::ApiAccess(access), now)?;
        let found = api_accesses::find(conn, access, now)?;
        names.push(found.map_or_else(|| access.to_string(), |access| access.named()));
    }
    record.detail("confirmations", names.len().to_string());
    if !names.is_empty() {
        record.change("confirmations", Some(names.join(", ")), None);
    }
    Ok(())
}

fn taken(error: coffre_db::Error) -> ApiKeyError {
    match error {
        coffre_db::Error::Unique(_) => ApiKeyError::NameTaken,
        other => other.into(),
    }
}
