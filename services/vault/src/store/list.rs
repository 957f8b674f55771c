//! The lists of credentials: a page of rows by the shared list builder, then the attributes of all of them, and which have a value. Two
//! statements, always the same ones for whoever asks for the whole list: on PostgreSQL each has its plan already.

use std::collections::HashMap;

use coffre_db::list::{Direction, Field, Kind, Listing, PageTokens, Plan, Source};
use coffre_db::{Engine, Error, Sql, dialect};
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_types::{Caller, CredentialId, LockerId, NameKey, TENANT, UserId};
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Bool};

use super::Tx;
use super::dialect::{among_lockers, in_lockers};
use super::rows::{ATTRIBUTE_TEXT, AttributeRow, AttributeTypes, CREDENTIAL_TEXT, CredentialRow, CredentialTypes};
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

    fn source(&self, engine: Engine, rows: &Rows, caller: &Caller, consumed: &[LockerId]) -> Source {
        let Seen { from, mut scope } = seen(engine, rows, !self.names.is_empty(), self.consumed == Some(true));
        match self.consumed {
            None => {}
            // From the values that the caller has stored: there are never more than it has made itself.
            Some(true) => {
                scope = scope.push(" AND c.id IN (SELECT v.credential_id FROM attribute_values v WHERE ");
                scope = scope.push("v.user_id <> 0 AND v.user_id = ").bind(caller.user_id.get());
                scope = among_lockers(engine, scope.push(") AND c.locker_id"), consumed);
            }
            Some(false) if consumed.is_empty() => {}
            Some(false) => {
                scope = scope.push(" AND NOT EXISTS (SELECT 1 FROM attribute_values v WHERE v.credential_id = c.id");
                scope = scope.push(" AND v.user_id <> 0 AND v.user_id = ").bind(caller.user_id.get());
                scope = among_lockers(engine, scope.push(" AND c.locker_id"), consumed).push(")");
            }
        }
        let columns = Sql::new(CREDENTIAL_TEXT);
        if self.names.is_empty() {
            return Source::new(columns, from, scope).kept();
        }
        let names = self.names.iter().map(NameKey::as_str);
        Source::new(columns, from, scope.push(" AND c.name_key IN (").binds(names).push(")"))
    }
}

/// Credentials `c`: where they are read, and the condition for those that are meant.
struct Seen {
    from: Sql,
    scope: Sql,
}

/// Finds the rows that a caller sees. `named`: few names are wanted of them; `used`: those alone of which it stored values.
fn seen(engine: Engine, rows: &Rows, named: bool, used: bool) -> Seen {
    let all = matches!(rows, Rows::Visible(Visible::All)) && !used;
    // The plus keeps the tenant out of the choice of an index: for an order by name or time SQLite would walk the whole tenant for
    // the few rows of one caller.
    let tenant = if all || named {
        "c.deleted_at IS NULL AND c.tenant_id = "
    } else {
        "c.deleted_at IS NULL AND +c.tenant_id = "
    };
    let scope = Sql::new(tenant).bind(TENANT.get());
    let scope = match rows {
        Rows::Visible(Visible::All) => scope,
        Rows::Visible(Visible::Reached { owner, lockers }) => match owner {
            Some(owner) if !lockers.is_empty() && !named => {
                return Seen { from: reached(engine, *owner, lockers), scope };
            }
            owner => narrow(engine, scope, *owner, lockers),
        },
        Rows::In(locker, contents) => {
            let scope = scope.push(" AND c.locker_id = ").bind(locker.get());
            match contents {
                Contents::All => scope,
                Contents::OwnedBy(owner) => scope.push(" AND c.owner_id = ").bind(owner.get()),
                Contents::Nothing => scope.push(" AND 1 = 0"),
            }
        }
    };
    Seen { from: Sql::new("credentials c"), scope }
}

/// Reads what an owner owns, and then the rest of what lies in some lockers: two looks into two indexes, so that whatever the order, only
/// what the caller sees is touched, and that once.
fn reached(engine: Engine, owner: UserId, lockers: &[LockerId]) -> Sql {
    let owned =
        Sql::new("(SELECT o.* FROM credentials o WHERE o.deleted_at IS NULL AND o.owner_id = ").bind(owner.get());
    let rest = owned.push(" UNION ALL SELECT l.* FROM credentials l WHERE l.deleted_at IS NULL AND l.owner_id <> ");
    let rest = rest.bind(owner.get()).push(" AND l.locker_id IS NOT NULL AND l.locker_id");
    in_lockers(engine, rest, lockers).push(") c")
}

/// Narrows to what an owner owns or what lies in some lockers. For both it goes through all that is meant besides: few names, which are
/// found by their index, and then looked at.
fn narrow(engine: Engine, scope: Sql, owner: Option<UserId>, lockers: &[LockerId]) -> Sql {
    match owner {
        None if lockers.is_empty() => scope.push(" AND 1 = 0"),
        Some(owner) if lockers.is_empty() => scope.push(" AND c.owner_id = ").bind(owner.get()),
        None => in_lockers(engine, scope.push(" AND c.locker_id IS NOT NULL AND c.locker_id"), lockers),
        Some(owner) => {
            let scope = scope.push(" AND (c.owner_id = ").bind(owner.get());
            among_lockers(engine, scope.push(" OR c.locker_id"), lockers).push(")")
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
    let Seen { from, scope } = seen(dialect::engine(tx.conn), &Rows::Visible(visible), false, false);
    let sql = Sql::new("SELECT count(*) AS id FROM ").join(from).push(" WHERE ").join(scope);
    Ok(dialect::id(tx.conn, sql)?)
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
    let rows: Vec<(i64, i64)> = sql.cached().typed::<(BigInt, BigInt)>().load(tx.conn).map_err(Error::from)?;
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
    let source = query.source(dialect::engine(tx.conn), rows, by.caller, &consumed);
    let (page, rows) = query.plan.load::<CredentialTypes, CredentialRow>(tx.conn, &source)?;
    let mut attributes = load_attributes(tx, &page.ids, by.caller)?;
    let views = rows.into_iter().map(Credential::from).filter_map(|credential| {
        // Each has an attribute: one without was deleted between the statements, and is left out.
        let Attributes { mut all, filled } = attributes.remove(&credential.id)?;
        all.sort_unstable_by_key(|attribute| attribute.id);
        let rights = Rights::of(by.caller, &credential, by.sharing);
        Some(View { credential, completed: filled == all.len(), attributes: all, rights })
    });
    Ok((views.collect(), page.info()))
}

/// The attributes of one credential.
#[derive(Default)]
struct Attributes {
    all: Vec<Attribute>,
    /// How many have a value, for everybody or for the caller.
    filled: usize,
}

fn load_attributes(tx: &mut Tx<'_>, ids: &[i64], caller: &Caller) -> Result<HashMap<CredentialId, Attributes>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // An attribute has one value for everybody or one for each user: the join finds at most one. What it reads of it is in the index.
    let sql = Sql::new("SELECT ")
        .push(ATTRIBUTE_TEXT)
        .push(", v.attribute_id IS NOT NULL FROM attributes a LEFT JOIN attribute_values v ON v.attribute_id = a.id ")
        .push("AND v.user_id = CASE WHEN a.user_provided THEN ")
        .bind(caller.user_id.get())
        .push(" ELSE 0 END WHERE a.credential_id");
    let sql = dialect::in_ids(dialect::engine(tx.conn), sql, ids.iter().copied());
    let rows: Vec<(AttributeRow, bool)> = sql.cached().typed::<(AttributeTypes, Bool)>().load(tx.conn)?;
    let mut found: HashMap<CredentialId, Attributes> = HashMap::with_capacity(ids.len());
    for (attribute, filled) in rows {
        let attribute = Attribute::from(attribute);
        let of = found.entry(attribute.credential).or_default();
        of.filled += usize::from(filled);
        of.all.push(attribute);
    }
    Ok(found)
}
