//! The lists of credentials: a page of ids by the shared list builder, then rows, attributes and completeness for the whole page in a
//! constant number of statements.

use std::collections::HashMap;

use coffre_db::list::{Direction, Field, Kind, Listing, PageTokens, Plan};
use coffre_db::{Engine, Error, Sql, dialect};
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_types::{Caller, CredentialId, LockerId, NameKey, TENANT, UserId};
use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::Tx;
use super::dialect::in_lockers;
use super::rows::{ATTRIBUTE, AttributeRow, CREDENTIAL, CredentialRow, EVERYBODY};
use super::schema::{attribute_values, attributes, credentials};
use crate::domain::Asker;
use crate::domain::error::VaultError;
use crate::domain::model::{Attribute, Credential, View};
use crate::domain::policy::{Contents, Rights, Visible, consumed};
use crate::domain::shares::Shares;

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
#[derive(Clone, Debug)]
pub struct CredentialQuery {
    plan: Plan,
    consumed: Option<bool>,
    names: Vec<NameKey>,
}

/// Which rows a list is about.
enum Rows {
    /// Those that the caller sees.
    Visible(Visible),
    /// Those that it sees of one locker.
    In(LockerId, Contents),
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

    fn scope(&self, engine: Engine, rows: &Rows, caller: &Caller, consumed: &[LockerId]) -> Sql {
        let mut scope = seen(engine, rows, !self.names.is_empty(), self.consumed == Some(true));
        match self.consumed {
            None => {}
            // From the values that the caller has stored: there are never more than it has made itself.
            Some(true) => {
                scope = scope.push(" AND c.id IN (SELECT v.credential_id FROM attribute_values v WHERE ");
                scope = scope.push("v.user_id <> 0 AND v.user_id = ").bind(caller.user_id.get());
                scope = in_lockers(engine, scope.push(") AND c.locker_id"), consumed);
            }
            Some(false) if consumed.is_empty() => {}
            Some(false) => {
                scope = scope.push(" AND NOT EXISTS (SELECT 1 FROM attribute_values v WHERE v.credential_id = c.id");
                scope = scope.push(" AND v.user_id <> 0 AND v.user_id = ").bind(caller.user_id.get());
                scope = in_lockers(engine, scope.push(" AND c.locker_id"), consumed).push(")");
            }
        }
        if !self.names.is_empty() {
            let names = self.names.iter().map(NameKey::as_str);
            scope = scope.push(" AND c.name_key IN (").binds(names).push(")");
        }
        scope
    }
}

/// Narrows to rows that a caller sees. `named`: few names are wanted of them; `used`: those alone of which it stored values.
fn seen(engine: Engine, rows: &Rows, named: bool, used: bool) -> Sql {
    let all = matches!(rows, Rows::Visible(Visible::All)) && !used;
    // The plus keeps the tenant out of the choice of an index: for an order by name or time SQLite would walk the whole tenant for
    // the few rows of one caller.
    let tenant = if all || named {
        "c.deleted_at IS NULL AND c.tenant_id = "
    } else {
        "c.deleted_at IS NULL AND +c.tenant_id = "
    };
    let scope = Sql::new(tenant).bind(TENANT.get());
    match rows {
        Rows::Visible(Visible::All) => scope,
        Rows::Visible(Visible::Reached { owner, lockers }) => reached(engine, scope, *owner, lockers, named),
        Rows::In(locker, contents) => {
            let scope = scope.push(" AND c.locker_id = ").bind(locker.get());
            match contents {
                Contents::All => scope,
                Contents::OwnedBy(owner) => scope.push(" AND c.owner_id = ").bind(owner.get()),
                Contents::Nothing => scope.push(" AND 1 = 0"),
            }
        }
    }
}

/// Narrows to what an owner owns and what lies in some lockers.
fn reached(engine: Engine, scope: Sql, owner: Option<UserId>, lockers: &[LockerId], named: bool) -> Sql {
    match owner {
        None if lockers.is_empty() => scope.push(" AND 1 = 0"),
        Some(owner) if lockers.is_empty() => scope.push(" AND c.owner_id = ").bind(owner.get()),
        None => in_lockers(engine, scope.push(" AND c.locker_id IS NOT NULL AND c.locker_id"), lockers),
        // Few names are found by their index, and then looked at.
        Some(owner) if named => {
            let scope = scope.push(" AND (c.owner_id = ").bind(owner.get());
            in_lockers(engine, scope.push(" OR c.locker_id"), lockers).push(")")
        }
        // Two looks into two indexes: whatever the order, only what the caller sees is touched.
        Some(owner) => {
            let scope =
                scope.push(" AND c.id IN (SELECT o.id FROM credentials o WHERE o.deleted_at IS NULL AND o.owner_id = ");
            let scope = scope.bind(owner.get()).push(
                " UNION SELECT l.id FROM credentials l WHERE l.deleted_at IS NULL AND l.locker_id IS NOT NULL AND l.locker_id",
            );
            in_lockers(engine, scope, lockers).push(")")
        }
    }
}

/// Lists the credentials that a caller sees (C2).
///
/// # Errors
/// `PermissionRequired`, `SharesNotAsked`, `LockerUnavailable`, and those of the list.
pub fn credentials(
    tx: &mut Tx<'_>,
    by: Asker<'_>,
    query: &CredentialQuery,
) -> Result<(Vec<View>, PageInfo), VaultError> {
    let rows = Rows::Visible(Visible::to(by.caller, by.sharing.all()?)?);
    run(tx, by, query, &rows)
}

/// Lists the credentials of a locker that a caller sees (L14).
///
/// # Errors
/// As for [`credentials`].
pub fn in_locker(
    tx: &mut Tx<'_>,
    by: Asker<'_>,
    locker: LockerId,
    contents: Contents,
    query: &CredentialQuery,
) -> Result<(Vec<View>, PageInfo), VaultError> {
    run(tx, by, query, &Rows::In(locker, contents))
}

/// Counts the credentials that a caller sees: none where its permissions show it none.
///
/// # Errors
/// What the database says.
pub fn count(tx: &mut Tx<'_>, caller: &Caller, shares: &Shares) -> Result<i64, VaultError> {
    let visible = match Visible::to(caller, shares) {
        Err(VaultError::PermissionRequired(_)) => return Ok(0),
        visible => visible?,
    };
    let scope = seen(dialect::engine(tx.conn), &Rows::Visible(visible), false, false);
    Ok(dialect::id(tx.conn, Sql::new("SELECT count(*) AS id FROM credentials c WHERE ").join(scope))?)
}

/// Counts the credentials in each of some lockers.
///
/// # Errors
/// What the database says.
pub fn count_in(tx: &mut Tx<'_>, lockers: &[LockerId]) -> Result<Vec<i64>, VaultError> {
    let sql = Sql::new(
        "SELECT c.locker_id, count(*) FROM credentials c WHERE c.deleted_at IS NULL AND c.locker_id IS NOT NULL AND c.locker_id",
    );
    let sql = in_lockers(dialect::engine(tx.conn), sql, lockers).push(" GROUP BY c.locker_id");
    let rows: Vec<(i64, i64)> = sql.typed::<(BigInt, BigInt)>().load(tx.conn).map_err(Error::from)?;
    let counts: HashMap<i64, i64> = rows.into_iter().collect();
    Ok(lockers.iter().map(|locker| counts.get(&locker.get()).copied().unwrap_or(0)).collect())
}

fn run(
    tx: &mut Tx<'_>,
    by: Asker<'_>,
    query: &CredentialQuery,
    rows: &Rows,
) -> Result<(Vec<View>, PageInfo), VaultError> {
    let consumed = if query.consumed.is_some() { consumed(by.caller, by.sharing.all()?) } else { Vec::new() };
    let scope = query.scope(dialect::engine(tx.conn), rows, by.caller, &consumed);
    let page = query.plan.run(tx.conn, scope)?;
    let rows: Vec<CredentialRow> = dialect::in_chunks(&page.ids, |ids| {
        let rows = credentials::table.filter(credentials::id.eq_any(ids.to_vec())).select(CREDENTIAL).load(tx.conn)?;
        Ok::<_, Error>(rows)
    })?;
    let mut attributes = load_attributes(tx, &page.ids)?;
    let filled = count_filled(tx, &page.ids, by.caller)?;
    let mut by_id: HashMap<i64, Credential> =
        rows.into_iter().map(Credential::from).map(|credential| (credential.id.get(), credential)).collect();
    let views = page.ids.iter().filter_map(|id| {
        // A row that went between the statements is left out.
        let credential = by_id.remove(id)?;
        let rights = Rights::of(by.caller, &credential, by.sharing);
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
