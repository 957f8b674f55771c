//! The administration of roles.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::Sql;
use coffre_db::list::{Field, Kind, Listing, Page, Plan};
use coffre_types::{NameKey, PermissionSet, RoleId, etag};

use super::error::{Invalid, RoleError};
use super::policy::{ListUsers, ManageUsers, Shown};
use super::role::{NewRole, Role, RoleDraft, RolePatch, permissions_text};
use super::{Auth, turn};
use crate::store::changes::{self, Subject};
use crate::store::roles;

/// What a list of roles is filtered and ordered by.
static ROLES: Listing = Listing::new(
    "roles",
    "roles r",
    "r.id",
    &[
        Field::new("id", "r.id", Kind::Integer),
        Field::new("name", "r.name", Kind::TextWithKey("r.name_key")),
        Field::new("description", "r.description", Kind::Text).nullable(),
        Field::new("createdBy", "r.created_by", Kind::Integer),
        Field::new("createdOn", "r.created_at", Kind::Time),
        Field::new("updatedOn", "r.updated_at", Kind::Time),
    ],
);

/// The same for those who see names alone: what they do not see they cannot ask about either.
static ROLE_NAMES: Listing = Listing::new(
    "role-names",
    "roles r",
    "r.id",
    &[Field::new("id", "r.id", Kind::Integer), Field::new("name", "r.name", Kind::TextWithKey("r.name_key"))],
);

/// Returns the list that a permit opens.
pub(crate) fn listing(permit: ListUsers) -> &'static Listing {
    match permit.shown() {
        Shown::Everything => &ROLES,
        Shown::Names => &ROLE_NAMES,
    }
}

impl Auth {
    /// Creates a role.
    pub(crate) async fn create_role(
        &self,
        permit: ManageUsers<'_>,
        draft: RoleDraft,
        record: &Arc<CallRecord>,
    ) -> Result<Role, RoleError> {
        record.wanted("role", draft.name.as_str());
        let asking = permit.asking(self.config.recent_sign_in, self.now());
        let new = NewRole {
            name: draft.name,
            description: draft.description,
            permissions: draft.permissions,
            system: None,
            by: asking.user.get(),
            now: self.now(),
        };
        let recorded = record.clone();
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            turn::take::<RoleError>(tx.conn(), asking)?.may_make(new.permissions)?;
            let id = roles::insert(tx.conn(), &new).map_err(taken)?;
            let role = roles::find(tx.conn(), id)?.ok_or(RoleError::NotFound)?;
            recorded.object("role", role.id, role.name.clone());
            audit(&recorded, None, &role);
            Ok(role)
        })
        .await
    }

    /// Returns a role.
    pub(crate) async fn role(
        &self,
        _permit: ManageUsers<'_>,
        id: RoleId,
        record: &CallRecord,
    ) -> Result<Role, RoleError> {
        let role: Option<Role> = self.database.read(move |conn| roles::find(conn, id).map_err(RoleError::from)).await?;
        let role = role.ok_or(RoleError::NotFound)?;
        record.object("role", role.id, role.name.clone());
        Ok(role)
    }

    /// Lists roles.
    pub(crate) async fn roles(
        &self,
        permit: ListUsers,
        plan: Plan,
    ) -> Result<(Vec<Role>, Page), coffre_db::list::Error> {
        let names = permit.shown() == Shown::Names;
        self.database
            .read(move |conn| {
                let scope = match names {
                    true => Sql::new("r.tenant_id = 1 AND r.deleted_at IS NULL AND r.system_role = 0"),
                    false => Sql::new("r.tenant_id = 1 AND r.deleted_at IS NULL"),
                };
                let page = plan.run(conn, scope)?;
                Ok((roles::by_ids(conn, &page.ids)?, page))
            })
            .await
    }

    /// Changes a role.
    pub(crate) async fn update_role(
        &self,
        permit: ManageUsers<'_>,
        id: RoleId,
        patch: RolePatch,
        record: &Arc<CallRecord>,
    ) -> Result<(Role, bool), RoleError> {
        let (now, recorded) = (self.now(), record.clone());
        let asking = permit.asking(self.config.recent_sign_in, now);
        let outcome = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            let giver = turn::take::<RoleError>(conn, asking)?;
            let old = roles::find(conn, id)?.ok_or(RoleError::NotFound)?;
            recorded.object("role", old.id, old.name.clone());
            if old.system.is_some() {
                return Err(RoleError::System);
            }
            check_version(&patch, &old)?;
            let mut new = old.clone();
            let mut key = NameKey::of(&old.name).into_string();
            if let Some(name) = &patch.name {
                new.name = name.as_str().to_owned();
                key = name.key().into_string();
            }
            if let Some(description) = &patch.description {
                new.description.clone_from(description);
            }
            if let Some(permissions) = patch.permissions {
                giver.may_grant(id, permissions.without(old.permissions))?;
                new.permissions = permissions;
            }
            if new == old {
                return Ok((old, false));
            }
            if !roles::update(conn, &new, &key, asking.user.get(), now).map_err(taken)? {
                return Err(coffre_db::Error::Retryable.into());
            }
            if new.permissions != old.permissions {
                changes::record(conn, Subject::Role(id), now)?;
            }
            let stored = roles::find(conn, id)?.ok_or(RoleError::NotFound)?;
            recorded.object("role", stored.id, stored.name.clone());
            audit(&recorded, Some(&old), &stored);
            Ok((stored, true))
        })
        .await?;
        self.hub.poke();
        Ok(outcome)
    }
}

pub(super) fn check_version(patch: &RolePatch, role: &Role) -> Result<(), RoleError> {
    if patch.version.is_some_and(|version| version != role.version.get()) {
        return Err(RoleError::VersionConflict { current: role.version.get() });
    }
    match etag::matches(&patch.etag, role.version) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RoleError::PreconditionFailed),
        Err(malformed) => Err(Invalid::new("etag", malformed.to_string()).into()),
    }
}

fn taken(error: coffre_db::Error) -> RoleError {
    match error {
        coffre_db::Error::Unique(_) => RoleError::NameTaken,
        other => other.into(),
    }
}

fn audit(record: &CallRecord, old: Option<&Role>, new: &Role) {
    record.change("name", old.map(|role| role.name.clone()), Some(new.name.clone()));
    record.change("description", old.and_then(|role| role.description.clone()), new.description.clone());
    let permissions = |set: PermissionSet| Some(permissions_text(set));
    record.change("permissions", old.and_then(|role| permissions(role.permissions)), permissions(new.permissions));
}
