//! The administration of API accesses.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::list::{Field, Kind, Listing, Page, Plan};
use coffre_db::{Connection, Sql};
use coffre_secret::SecretText;
use coffre_types::{ApiAccessId, Timestamp, UserId, etag};

use super::api_access::{ApiAccess, ApiAccessPatch, NewApiAccess, WantedSecret, in_words};
use super::api_policy::{Concern, ManageApiAccesses};
use super::error::{Denied, Invalid};
use super::oauth_error::ApiAccessError;
use super::{Auth, ClientAddress};
use crate::store::changes::{self, Subject};
use crate::store::{api_accesses, api_secrets, users};

/// What a list of API accesses is filtered and ordered by.
pub(crate) static LISTING: Listing = Listing::new(
    "api-accesses",
    "api_accesses a",
    "a.id",
    &[
        Field::new("id", "a.id", Kind::Integer),
        Field::new("clientId", "a.client_id", Kind::TextWithKey("a.client_key")),
        Field::new("description", "a.description", Kind::Text).nullable(),
        Field::new("passwordGrant", "a.password_grant", Kind::Bool),
        Field::new("refreshGrant", "a.refresh_grant", Kind::Bool),
        Field::new("clientCredentialsGrant", "a.client_credentials_grant", Kind::Bool),
        Field::new("operatorId", "a.operator_id", Kind::Integer).nullable(),
        Field::new("disabled", "a.disabled", Kind::Bool),
        Field::new("createdOn", "a.created_at", Kind::Time),
        Field::new("updatedOn", "a.updated_at", Kind::Time),
    ],
);

impl Auth {
    /// Creates an API access and returns it with its secret.
    pub(crate) async fn create_api_access(
        &self,
        permit: ManageApiAccesses,
        new: NewApiAccess,
        secret: WantedSecret,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<(ApiAccess, SecretText), ApiAccessError> {
        record.wanted("apiAccess", new.client_id.as_str());
        let (by, now, early) = (permit.by(), self.now(), new.clone());
        // What would be refused is refused before a second of hashing is spent on it. A hash is bound to its owner's id, so the id is
        // taken first; the rows then appear whole.
        let id = self
            .database
            .write(move |tx| {
                check_operator(tx.conn(), early.operator)?;
                if api_accesses::of_client(tx.conn(), &early.client_id.key(), now)?.is_some() {
                    return Err(ApiAccessError::ClientIdTaken);
                }
                Ok(api_accesses::reserve_id(tx.conn())?)
            })
            .await?;
        let made = self.made_secret((id, new.client_id.as_str()), secret, None, address).await?;
        let (hash, kind, recorded) = (made.hash, made.kind, record.clone());
        let access = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            check_operator(conn, new.operator)?;
            api_accesses::insert(conn, id, &new, by, now).map_err(taken)?;
            api_secrets::insert(conn, id, &hash, now)?;
            let access = api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)?;
            named(&recorded, &access);
            audit(&recorded, None, &access);
            recorded.change("clientSecret", None, Some(kind.to_owned()));
            Ok::<_, ApiAccessError>(access)
        })
        .await?;
        Ok((access, made.text))
    }

    /// Returns an API access, to those who administer them and to its operator.
    pub(crate) async fn api_access(
        &self,
        concern: Concern,
        id: ApiAccessId,
        record: &CallRecord,
    ) -> Result<ApiAccess, ApiAccessError> {
        let now = self.now();
        let found = self.database.read(move |conn| api_accesses::find(conn, id, now)).await?;
        let Some(access) = found.filter(|access| concern.covers(access)) else {
            // Whether there is one is nobody else's affair.
            return Err(match concern.manages() {
                true => ApiAccessError::NotFound,
                false => ApiAccessError::Denied(Denied(coffre_types::Permission::ManageApiAccess)),
            });
        };
        named(record, &access);
        Ok(access)
    }

    /// Lists the API accesses that concern the caller: all of them, or those that are bound to him.
    pub(crate) async fn api_accesses(
        &self,
        concern: Concern,
        plan: Plan,
    ) -> Result<(Vec<ApiAccess>, Page), coffre_db::list::Error> {
        let now = self.now();
        self.database
            .read(move |conn| {
                let all = Sql::new("a.tenant_id = 1 AND a.deleted_at IS NULL");
                let scope = match concern.manages() {
                    true => all,
                    false => all.push(" AND a.operator_id = ").bind(concern.who().get()),
                };
                let page = plan.run(conn, scope)?;
                Ok((api_accesses::by_ids(conn, &page.ids, now)?, page))
            })
            .await
    }

    /// Changes an API access.
    pub(crate) async fn update_api_access(
        &self,
        permit: ManageApiAccesses,
        id: ApiAccessId,
        patch: ApiAccessPatch,
        record: &Arc<CallRecord>,
    ) -> Result<(ApiAccess, bool), ApiAccessError> {
        let (by, now, recorded) = (permit.by(), self.now(), record.clone());
        let outcome = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let old = api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)?;
            named(&recorded, &old);
            check_version(patch.version, &patch.etag, &old)?;
            let mut new = patched(&old, &patch);
            if new == old {
                return Ok((old, false));
            }
            if new.operator != old.operator {
                check_operator(conn, new.operator)?;
            }
            let disabling = new.disabled && !old.disabled;
            if disabling {
                new.epoch = old.epoch + 1;
            }
            store(conn, &new, by, now)?;
            let unbound = new.operator != old.operator || !new.client_credentials_grant;
            let voided = unbound && api_secrets::void_confirmations(conn, id, now)?;
            // Whoever has cached a caller of this client has its name, too.
            if disabling || voided || new.client_id != old.client_id {
                changes::record(conn, Subject::ApiAccess(id), now)?;
            }
            let stored = api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)?;
            named(&recorded, &stored);
            audit(&recorded, Some(&old), &stored);
            if voided {
                recorded.change("confirmation", Some("given".to_owned()), Some("void".to_owned()));
            }
            Ok::<_, ApiAccessError>((stored, true))
        })
        .await?;
        self.hub.poke();
        Ok(outcome)
    }

    /// Deletes an API access; its tokens end with it.
    pub(crate) async fn delete_api_access(
        &self,
        permit: ManageApiAccesses,
        id: ApiAccessId,
        if_match: String,
        record: &Arc<CallRecord>,
    ) -> Result<(), ApiAccessError> {
        let (by, now, recorded) = (permit.by(), self.now(), record.clone());
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let access = api_accesses::find(conn, id, now)?.ok_or(ApiAccessError::NotFound)?;
            named(&recorded, &access);
            check_version(None, &if_match, &access)?;
            for secret in &access.secrets {
                api_secrets::end(conn, id, secret.id, now)?;
            }
            api_accesses::delete(conn, id, by, now)?;
            changes::record(conn, Subject::ApiAccess(id), now)?;
            recorded.change("clientId", Some(access.client_id), None);
            Ok::<_, ApiAccessError>(())
        })
        .await?;
        self.hub.poke();
        Ok(())
    }
}

/// Returns an API access as a patch makes it.
fn patched(old: &ApiAccess, patch: &ApiAccessPatch) -> ApiAccess {
    let mut new = old.clone();
    if let Some(name) = &patch.client_id {
        new.client_id = name.as_str().to_owned();
    }
    if let Some(text) = &patch.description {
        new.description.clone_from(text);
    }
    new.access_token_life = patch.access_token_life.unwrap_or(old.access_token_life);
    new.refresh_token_life = patch.refresh_token_life.unwrap_or(old.refresh_token_life);
    new.password_grant = patch.password_grant.unwrap_or(old.password_grant);
    new.refresh_grant = patch.refresh_grant.unwrap_or(old.refresh_grant);
    new.client_credentials_grant = patch.client_credentials_grant.unwrap_or(old.client_credentials_grant);
    new.operator = patch.operator.unwrap_or(old.operator);
    new.disabled = patch.disabled.unwrap_or(old.disabled);
    new
}

/// Stores a changed API access, unless somebody was faster.
pub(super) fn store(
    conn: &mut Connection,
    access: &ApiAccess,
    by: UserId,
    now: Timestamp,
) -> Result<(), ApiAccessError> {
    match api_accesses::update(conn, access, by, now).map_err(taken)? {
        true => Ok(()),
        false => Err(coffre_db::Error::Retryable.into()),
    }
}

/// Says what the call is about.
pub(super) fn named(record: &CallRecord, access: &ApiAccess) {
    record.object("apiAccess", access.id, access.client_id.clone());
}

fn check_operator(conn: &mut Connection, operator: Option<UserId>) -> Result<(), ApiAccessError> {
    let Some(id) = operator else { return Ok(()) };
    match users::find(conn, id)?.filter(|user| !user.deleting) {
        Some(_) => Ok(()),
        None => Err(ApiAccessError::OperatorNotFound(id.get())),
    }
}

pub(super) fn check_version(version: Option<i64>, if_match: &str, access: &ApiAccess) -> Result<(), ApiAccessError> {
    if version.is_some_and(|version| version != access.version.get()) {
        return Err(ApiAccessError::VersionConflict { current: access.version.get() });
    }
    match etag::matches(if_match, access.version) {
        Ok(true) => Ok(()),
        Ok(false) => Err(ApiAccessError::PreconditionFailed),
        Err(malformed) => Err(Invalid::new("etag", malformed.to_string()).into()),
    }
}

fn taken(error: coffre_db::Error) -> ApiAccessError {
    match error {
        coffre_db::Error::Unique(_) => ApiAccessError::ClientIdTaken,
        other => other.into(),
    }
}

fn audit(record: &CallRecord, old: Option<&ApiAccess>, new: &ApiAccess) {
    let field = |name: &'static str, of: fn(&ApiAccess) -> Option<String>| {
        record.change(name, old.and_then(of), of(new));
    };
    field("clientId", |access| Some(access.client_id.clone()));
    field("description", |access| access.description.clone());
    field("accessTokenLife", |access| Some(in_words(access.access_token_life)));
    field("refreshTokenLife", |access| Some(in_words(access.refresh_token_life)));
    field("passwordGrant", |access| Some(access.password_grant.to_string()));
    field("refreshGrant", |access| Some(access.refresh_grant.to_string()));
    field("clientCredentialsGrant", |access| Some(access.client_credentials_grant.to_string()));
    field("operatorId", |access| access.operator.map(|operator| operator.to_string()));
    field("disabled", |access| Some(access.disabled.to_string()));
}
