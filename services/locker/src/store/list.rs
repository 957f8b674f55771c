//! The list of lockers: a page of them by the shared list builder, each with how the caller stands to it, in one statement, which is always
//! the same for whoever asks for the whole list with as many roles. Members, where asked for, in another one.

use std::collections::HashMap;

use coffre_db::list::{Direction, Field, Kind, Listing, PageTokens, Plan, Source};
use coffre_db::{Error, Sql, dialect};
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_types::TENANT;
use diesel::RunQueryDsl as _;
use diesel::sql_types::{BigInt, Bool};

use super::Tx;
use super::read::{placed_columns, placed_from};
use super::rows::{PlacedRow, PlacedTypes, member, placed};
use crate::domain::error::LockerError;
use crate::domain::model::{Details, Member, View, Who};
use crate::domain::policy::{Action, Reach, Rights, consumes};

static LOCKERS: Listing = Listing::new(
    "lockers",
    "lockers l",
    "l.id",
    &[
        Field::new("id", "l.id", Kind::Integer),
        Field::new("name", "l.name", Kind::TextWithKey("l.name_key")),
        Field::new("description", "l.description", Kind::Text).nullable(),
        Field::new("createdBy", "l.created_by", Kind::Integer),
        Field::new("createdOn", "l.created_at", Kind::Time),
        Field::new("updatedBy", "l.updated_by", Kind::Integer),
        Field::new("updatedOn", "l.updated_at", Kind::Time),
        Field::new("version", "l.version", Kind::Integer),
    ],
)
.ordered(&[("id", Direction::Ascending)]);

/// A checked request for a list of lockers.
#[derive(Debug)]
pub struct LockerQuery {
    plan: Plan,
    consumed: Option<bool>,
    /// Members and counts are asked for.
    pub detailed: bool,
}

impl LockerQuery {
    /// Checks a request.
    ///
    /// # Errors
    /// Unknown fields, bad literals, too large pages, foreign page tokens.
    pub fn new(
        query: &Query,
        consumed: Option<bool>,
        detailed: bool,
        tokens: &PageTokens,
    ) -> Result<Self, LockerError> {
        Ok(Self { plan: LOCKERS.plan(query, tokens)?, consumed, detailed })
    }
}

/// Narrows to the lockers that somebody sees, and to those that it consumes or does not.
fn scope(who: &Who, reach: Reach, only_consumed: Option<bool>) -> Sql {
    let consumed = consumes(who.permissions) && !who.roles.is_empty();
    let narrow = only_consumed == Some(true) || reach != Reach::All;
    // The plus keeps the tenant out of the choice of an index: for an order by name or time SQLite would walk the whole tenant for
    // the few lockers of one caller.
    let tenant =
        if narrow { "l.deleted_at IS NULL AND +l.tenant_id = " } else { "l.deleted_at IS NULL AND l.tenant_id = " };
    let scope = Sql::new(tenant).bind(TENANT.get());
    let scope = match (only_consumed, reach) {
        (Some(true), _) if consumed => consumed_by(scope.push(" AND l.id IN ("), who).push(")"),
        (Some(true), _) => scope.push(" AND 1 = 0"),
        (_, Reach::All) => scope,
        (_, Reach::Shared { member, consumer }) => {
            let scope = scope.push(" AND l.id IN (");
            let scope = match (member, consumer && consumed) {
                (true, true) => consumed_by(member_of(scope, who).push(" UNION "), who),
                (true, false) => member_of(scope, who),
                (false, true) => consumed_by(scope, who),
                (false, false) => scope.push("SELECT 0 WHERE 1 = 0"),
            };
            scope.push(")")
        }
    };
    if only_consumed == Some(false) && consumed {
        return consumed_by(scope.push(" AND l.id NOT IN ("), who).push(")");
    }
    scope
}

fn member_of(sql: Sql, who: &Who) -> Sql {
    sql.push("SELECT m.locker_id FROM members m WHERE m.user_id = ").bind(who.user.get())
}

fn consumed_by(sql: Sql, who: &Who) -> Sql {
    sql.push("SELECT c.locker_id FROM consumers c WHERE c.role_id IN (")
        .binds(who.roles.iter().map(|role| role.get()))
        .push(")")
}

/// Lists the lockers that somebody sees (L1, L3), without counts of credentials.
///
/// # Errors
/// `PermissionRequired`, and those of the list.
pub fn lockers(tx: &mut Tx<'_>, who: &Who, query: &LockerQuery) -> Result<(Vec<View>, PageInfo), LockerError> {
    let reach = Reach::of(who.permissions)?;
    let source = Source::new(placed_columns(who), placed_from(who), scope(who, reach, query.consumed)).kept();
    let (page, rows) = query.plan.load::<PlacedTypes, PlacedRow>(tx.conn, &source)?;
    let views = rows.into_iter().map(placed).map(|(locker, place)| View { locker, place, details: None });
    let mut views: Vec<View> = views.collect();
    if query.detailed {
        add_members(tx, who, &mut views)?;
    }
    Ok((views, page.info()))
}

/// Counts the lockers that somebody sees: none where its permissions show it none.
///
/// # Errors
/// Those of the store.
pub fn count(tx: &mut Tx<'_>, who: &Who) -> Result<i64, LockerError> {
    let Ok(reach) = Reach::of(who.permissions) else { return Ok(0) };
    let sql = Sql::new("SELECT count(*) AS id FROM lockers l WHERE ").join(scope(who, reach, None));
    Ok(dialect::id(tx.conn, sql)?)
}

/// Adds the members of the lockers whose members somebody may see.
fn add_members(tx: &mut Tx<'_>, who: &Who, views: &mut [View]) -> Result<(), LockerError> {
    let mut shown = Vec::new();
    for view in views.iter_mut() {
        view.details = Some(Details::default());
        if Rights::of(who, view.locker.id, view.place).may(Action::SeeMembers) {
            shown.push(view.locker.id.get());
        }
    }
    if shown.is_empty() {
        return Ok(());
    }
    let sql = Sql::new("SELECT locker_id, user_id, own, manage FROM members WHERE locker_id");
    let sql =
        dialect::in_ids(dialect::engine(tx.conn), sql, shown.iter().copied()).push(" ORDER BY locker_id, user_id");
    let rows: Vec<(i64, (i64, bool, bool))> =
        sql.cached().typed::<(BigInt, (BigInt, Bool, Bool))>().load(tx.conn).map_err(Error::from)?;
    let mut members: HashMap<i64, Vec<Member>> = HashMap::with_capacity(shown.len());
    for (locker, row) in rows {
        members.entry(locker).or_default().push(member(row));
    }
    for view in views {
        if let (Some(details), Some(of)) = (&mut view.details, members.remove(&view.locker.id.get())) {
            details.members = of;
        }
    }
    Ok(())
}
