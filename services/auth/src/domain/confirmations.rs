//! The secrets of an API access, and the operator's word that one of them may act as him (`security.md` 3.3).
//!
//! ```text
//! created ──▶ newest, unconfirmed ── its operator confirms ──▶ newest, confirmed: client_credentials works with it
//!                    ▲      ▲                                      │        │
//!                    │      └── taken back, another operator, ◀────┘        │ rotated
//!                    │          the grant taken away, his password reset    ▼
//!                    └───────────────────────────────────────────── before the newest: as it was until its grace ends
//! ```
//!
//! A confirmation is a MAC over access, operator, the hash of the secret, and two numbers that are raised whenever it is void: one of the access,
//! one of the operator. Copied to another row, or put back where it was taken away, it counts for nothing.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::Connection;
use coffre_secret::SecretText;
use coffre_types::{ApiAccessId, Timestamp, UserId};

use super::api_access::{ApiAccess, ApiSecret, Read, Rotation, WantedSecret};
use super::api_accesses::{check_version, named, store};
use super::api_policy::{Concern, Confirm, ManageApiAccesses};
use super::oauth_error::ApiAccessError;
use super::secret_text::ClientSecretText;
use super::strength::Known;
use super::throttle::address_key;
use super::{Auth, ClientAddress};
use crate::secrets::ConfirmationMacs;
use crate::store::changes::{self, Subject};
use crate::store::{api_accesses, api_secrets, sessions};

/// A secret that was made: what is shown once, and what is stored.
pub(super) struct MadeSecret {
    pub(super) text: SecretText,
    pub(super) hash: String,
    /// `generated` or `chosen`, for the audit.
    pub(super) kind: &'static str,
}

/// Takes an operator who is gone from every API access that is bound to him: what is left names nobody as whom it cannot act.
pub(super) fn unbind(
    conn: &mut Connection,
    operator: UserId,
    by: UserId,
    now: Timestamp,
    record: &CallRecord,
) -> Result<(), coffre_db::Error> {
    let unbound = api_accesses::unbind(conn, operator, by, now)?;
    if !unbound.is_empty() {
        let names: Vec<String> = unbound.iter().map(ApiAccess::named).collect();
        record.change("operatorOf", Some(names.join(", ")), None);
    }
    Ok(())
}

/// Says whether the operator of an API access confirmed a secret of it.
pub(super) fn is_confirmed(macs: &ConfirmationMacs, access: &ApiAccess, secret: &ApiSecret) -> bool {
    access.binding().zip(secret.confirmation.as_deref()).is_some_and(|(to, mac)| macs.confirms(to, &secret.hash, mac))
}

impl Auth {
    /// Makes a secret of an API access, beside the one that it has. One that somebody chose is judged like a password.
    pub(super) async fn made_secret(
        &self,
        (access, client_id): (ApiAccessId, &str),
        wanted: WantedSecret,
        earlier: Option<&str>,
        address: ClientAddress,
    ) -> Result<MadeSecret, ApiAccessError> {
        match wanted {
            WantedSecret::Generated => {
                let secret = ClientSecretText::generate()?;
                let hash = self.secrets.client_secret_hash(access, secret.secret());
                Ok(MadeSecret { text: secret.text(), hash, kind: "generated" })
            }
            WantedSecret::Chosen(text) => {
                let turn = self.gate.turn(address_key(address)).await.map_err(|_| ApiAccessError::Overloaded)?;
                self.refuse_guessable::<ApiAccessError>(&text, Known::of([client_id])).await?;
                let keyed = self.secrets.keyed_client_secret(access, text.expose().as_bytes());
                let hash = self.hasher.hash_beside(keyed, earlier, Some(turn)).await?;
                Ok(MadeSecret { text, hash, kind: "chosen" })
            }
        }
    }

    /// Gives an API access a new secret. The one before it goes on for a grace period, with what its operator said of it; those before that
    /// end.
    pub(crate) async fn rotate_api_access_secret(
        &self,
        permit: ManageApiAccesses,
        id: ApiAccessId,
        rotation: Rotation,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<(ApiAccess, SecretText), ApiAccessError> {
        let (by, now) = (permit.by(), self.now());
        let Rotation { wanted, grace, if_match } = rotation;
        let found = self.database.read(move |conn| api_accesses::find(conn, id, now)).await?;
        let before = found.ok_or(ApiAccessError::NotFound)?;
        named(record, &before);
        check_version(None, &if_match, &before)?;
        let earlier = before.newest().map(|secret| secret.hash.as_str());
        let made = self.made_secret((id, &before.client_id), wanted, earlier, address).await?;
        let (hash, kind, recorded) = (made.hash, made.kind, record.clone());
        let access = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let old = api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)?;
            named(&recorded, &old);
            check_version(None, &if_match, &old)?;
            for (place, secret) in old.secrets.iter().enumerate() {
                let end = if place == 0 { now.plus(grace) } else { now };
                api_secrets::end(conn, id, secret.id, end)?;
            }
            api_secrets::insert(conn, id, &hash, now)?;
            store(conn, &old, by, now)?;
            // Sessions that stand on a secret that has ended, or will, end with it.
            if old.secrets.iter().any(|secret| secret.confirmation.is_some()) {
                changes::record(conn, Subject::ApiAccess(id), now)?;
            }
            recorded.change("clientSecret", None, Some(kind.to_owned()));
            recorded.detail("grace", format!("{} s", grace.as_secs()));
            api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)
        })
        .await?;
        self.hub.poke();
        Ok((access, made.text))
    }

    /// Confirms that the newest secret of an API access may act as its operator, where it is still what he has read. Said again it changes
    /// nothing.
    pub(crate) async fn confirm_api_access(
        &self,
        permit: Confirm,
        id: ApiAccessId,
        read: Read,
        record: &Arc<CallRecord>,
    ) -> Result<ApiAccess, ApiAccessError> {
        let (operator, session, now) = (permit.operator(), permit.session(), self.now());
        let found = self.database.read(move |conn| api_accesses::find(conn, id, now)).await?;
        let seen = found.filter(|access| access.operator == Some(operator)).ok_or(ApiAccessError::NotFound)?;
        named(record, &seen);
        check_version(read.version, &read.if_match, &seen)?;
        if !seen.client_credentials_grant {
            return Err(ApiAccessError::NotBindable);
        }
        let secret = seen.newest().ok_or(ApiAccessError::NotFound)?;
        let macs = self.secrets.confirmation_macs().clone();
        if is_confirmed(&macs, &seen, secret) {
            return Ok(seen);
        }
        let secret = secret.id;
        let recorded = record.clone();
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            // None behind the back of a reset, which takes back all that he has confirmed.
            if !sessions::hold(conn, operator, session, now)? {
                return Err(ApiAccessError::SessionEnded);
            }
            let access = api_accesses::find(conn, id, now)?.filter(|access| access.operator == Some(operator));
            let access = access.ok_or(ApiAccessError::NotFound)?;
            let binding = access.binding().ok_or(ApiAccessError::NotFound)?;
            // He confirms what he has seen, and not what took its place meanwhile.
            check_version(read.version, &read.if_match, &access)?;
            let newest = access.newest().filter(|newest| access.client_credentials_grant && newest.id == secret);
            let newest = newest.ok_or(ApiAccessError::VersionConflict { current: access.version.get() })?;
            api_secrets::confirm(conn, secret, &macs.mac(binding, &newest.hash), now)?;
            store(conn, &access, operator, now)?;
            recorded.change("confirmation", None, Some("given".to_owned()));
            api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)
        })
        .await
    }

    /// Takes every confirmation of an API access back. Where there is none it changes nothing.
    pub(crate) async fn withdraw_confirmation(
        &self,
        concern: Concern,
        id: ApiAccessId,
        record: &Arc<CallRecord>,
    ) -> Result<(), ApiAccessError> {
        let (now, recorded) = (self.now(), record.clone());
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let access = api_accesses::find(conn, id, now)?.filter(|access| concern.covers(access));
            let access = access.ok_or(ApiAccessError::NotFound)?;
            named(&recorded, &access);
            if !api_secrets::void_confirmations(conn, id, now)? {
                return Ok(());
            }
            store(conn, &access, concern.who(), now)?;
            changes::record(conn, Subject::ApiAccess(id), now)?;
            recorded.change("confirmation", Some("given".to_owned()), None);
            Ok::<_, ApiAccessError>(())
        })
        .await?;
        self.hub.poke();
        Ok(())
    }
}
