//! The list of credentials: a page of ids by the shared list builder, then rows, attributes and completeness for the whole page in a
//! constant number of statements.

use std::collections::HashMap;

use coffre_db::list::{Direction, Field, Kind, Listing, PageTokens, Plan};
use coffre_db::{Error, Sql, dialect};
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_types::{Caller, CredentialId, NameKey, TENANT};
use diesel::dsl::count_star;
use diesel::prelude::*;

use super::Tx;
use super::rows::{ATTRIBUTE, AttributeRow, CREDENTIAL, CredentialRow, EVERYBODY};
use super::schema::{attribute_values, attributes, credentials};
use crate::domain::error::VaultError;
use crate::domain::model::{Attribute, Credential, View};
use crate::domain::policy::{LockerAnswer, Rights, Visible};

static CREDENTIALS: Listing = Listing::new(
    "credentials",
    "credentials c",
    "c.id",
    &[
        Field::new("id", "c.id", Kind::Integer),
        Field::new("name", "c.name", Kind::TextWithKey("c.name_key")),
        Field::new("description", "c.description", Kind::Text).nullable(),
        Field::new("ownerId", "c.owner_id", Kind::Integer),
        Field::new("lockerId", "c.locker_id", Kind::Integer).nullable(),
        Field::new("createdBy", "c.created_by", Kind::Integer),
        Field::new("createdOn", "c.created_at", Kind::Time),
        Field::new("updatedBy", "c.updated_by", Kind::Integer),
        Field::new("updatedOn", "c.updated_at", Kind::Time),
        Field::new("version", "c.version", Kind::Integer),
    ],
)
.ordered(&[("id", Direction::Ascending)]);

/// A checked request for a list of credentials.
#[derive(Debug)]
pub struct CredentialQuery {
    plan: Plan,
    consumed: Option<bool>,
    names: Vec<NameKey>,
}

impl CredentialQuery {
    /// Checks a request.
    ///
    /// # Errors
    /// Unknown fields, bad literals, too large pages, foreign page tokens.
    pub fn new(
        query: &Query,
        consumed: Option<bool>,
        names: Vec<NameKey>,
        tokens: &PageTokens,
    ) -> Result<Self, VaultError> {
        Ok(Self { plan: CREDENTIALS.plan(query, tokens)?, consumed, names })
    }

    fn scope(&self, visible: Visible) -> Sql {
        // The plus keeps the tenant out of the choice of an index: for an order by name or time SQLite would walk the whole tenant for
        // the few rows of one owner.
        let tenant = if matches!(visible, Visible::OwnedBy(_)) && self.names.is_empty() {
            "c.deleted_at IS NULL AND +c.tenant_id = "
        } else {
            "c.deleted_at IS NULL AND c.tenant_id = "
        };
        let mut scope = Sql::new(tenant).bind(TENANT.get());
        match visible {
            Visible::All => {}
            Visible::OwnedBy(owner) => scope = scope.push(" AND c.owner_id = ").bind(owner.get()),
            Visible::None => scope = scope.push(" AND 1 = 0"),
        }
        if self.consumed == Some(true) {
            // Without lockers nobody consumes anything.
            scope = scope.push(" AND 1 = 0");
        }
        if !self.names.is_empty() {
            let names = self.names.iter().map(NameKey::as_str);
            scope = scope.push(" AND c.name_key IN (").binds(names).push(")");
        }
        scope
    }
}

/// Lists the credentials that a caller sees (C2).
///
/// # Errors
/// `PermissionRequired`, and those of the list.
pub fn credentials(
    tx: &mut Tx<'_>,
    caller: &Caller,
    query: &CredentialQuery,
) -> Result<(Vec<View>, PageInfo), VaultError> {
    let visible = Visible::to(caller)?;
    let page = query.plan.run(tx.conn, query.scope(visible))?;
    let rows: Vec<CredentialRow> = dialect::in_chunks(&page.ids, |ids| {
        let rows = credentials::table.filter(credentials::id.eq_any(ids.to_vec())).select(CREDENTIAL).load(tx.conn)?;
        Ok::<_, Error>(rows)
    })?;
    let mut attributes = load_attributes(tx, &page.ids)?;
    let filled = count_filled(tx, &page.ids, caller)?;
    let mut by_id: HashMap<i64, Credential> =
        rows.into_iter().map(Credential::from).map(|credential| (credential.id.get(), credential)).collect();
    let views = page.ids.iter().filter_map(|id| {
        // A row that went between the statements is left out.
        let credential = by_id.remove(id)?;
        let rights = Rights::of(caller, &credential, LockerAnswer::default());
        let attributes = attributes.remove(&credential.id).unwrap_or_default();
        let completed = filled.get(id).copied().unwrap_or(0) == attributes.len();
        Some(View { credential, attributes, completed, rights })
    });
    Ok((views.collect(), page.info()))
}

fn load_attributes(tx: &mut Tx<'_>, ids: &[i64]) -> Result<HashMap<CredentialId, Vec<Attribute>>, Error> {
    let rows: Vec<AttributeRow> = dialect::in_chunks(ids, |ids| {
        let rows = attributes::table
            .filter(attributes::credential_id.eq_any(ids.to_vec()))
            .order(attributes::id)
            .select(ATTRIBUTE)
            .load(tx.conn)?;
        Ok::<_, Error>(rows)
    })?;
    let mut by_credential: HashMap<CredentialId, Vec<Attribute>> = HashMap::with_capacity(ids.len());
    for attribute in rows.into_iter().map(Attribute::from) {
        by_credential.entry(attribute.credential).or_default().push(attribute);
    }
    Ok(by_credential)
}

fn count_filled(tx: &mut Tx<'_>, ids: &[i64], caller: &Caller) -> Result<HashMap<i64, usize>, Error> {
    let rows: Vec<(i64, i64)> = dialect::in_chunks(ids, |ids| {
        let rows = attribute_values::table
            .filter(attribute_values::credential_id.eq_any(ids.to_vec()))
            .filter(attribute_values::user_id.eq(EVERYBODY).or(attribute_values::user_id.eq(caller.user_id.get())))
            .group_by(attribute_values::credential_id)
            .select((attribute_values::credential_id, count_star()))
            .load(tx.conn)?;
        Ok::<_, Error>(rows)
    })?;
    Ok(rows.into_iter().map(|(id, count)| (id, usize::try_from(count).unwrap_or(0))).collect())
}
