//! One page: the statement, its rows, and the token of the next.

use coffre_proto::query::v1::{PageInfo, Query};
use diesel::RunQueryDsl as _;
use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::row::{Field as _, NamedRow};
use diesel::sql_types::{BigInt, Text};

use super::bounded::Found;
use super::filter::Condition;
use super::order::{Order, Position};
use super::token::{Binding, PageTokens, Start};
use super::{DEFAULT_PAGE_SIZE, Error, Listing, MAX_ROWS, Scope};
use crate::{Bind, Connection, Engine, MultiBackend, Sql, dialect};

/// How much of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub(super) rows: i64,
    pub(super) skip: i64,
    pub(super) whole: bool,
}

impl Extent {
    pub(super) fn read(query: &Query) -> Result<Self, Error> {
        if query.page_size < 0 {
            return Err(Error::invalid("page_size", "a page size is not negative"));
        }
        if query.skip < 0 {
            return Err(Error::invalid("skip", "rows to skip are not negative"));
        }
        let rows = i64::from(query.page_size);
        if rows > MAX_ROWS || query.skip > MAX_ROWS {
            return Err(Error::TooLarge);
        }
        Ok(match (rows, query.whole) {
            (0, true) => Self { rows: MAX_ROWS, skip: query.skip, whole: true },
            (0, false) => Self { rows: DEFAULT_PAGE_SIZE, skip: query.skip, whole: false },
            (rows, _) => Self { rows, skip: query.skip, whole: false },
        })
    }
}

/// A checked query of a list. It can be run any number of times.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) listing: Listing,
    pub(super) condition: Condition,
    pub(super) filtered: bool,
    pub(super) order: Order,
    pub(super) start: Option<Start>,
    pub(super) extent: Extent,
    pub(super) count: bool,
    pub(super) tokens: PageTokens,
    pub(super) binding: Binding,
}

/// The ids of one page, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// The ids.
    pub ids: Vec<i64>,
    /// Asks for the next page; empty where this is the last.
    pub next_page_token: String,
    /// Rows in the scope, where asked for.
    pub total_size: Option<i64>,
    /// Rows that match the filter, where asked for; a bounded list leaves it out where it would have to look at too many.
    pub filtered_size: Option<i64>,
}

impl Page {
    /// Returns the message that answers carry.
    #[must_use]
    pub fn info(&self) -> PageInfo {
        PageInfo {
            next_page_token: self.next_page_token.clone(),
            total_size: self.total_size,
            filtered_size: self.filtered_size,
        }
    }
}

pub(super) struct Row {
    pub(super) id: i64,
    pub(super) values: Vec<Bind>,
}

impl QueryableByName<MultiBackend> for Row {
    fn build<'a>(row: &impl NamedRow<'a, MultiBackend>) -> deserialize::Result<Self> {
        let id = NamedRow::get::<BigInt, i64>(row, "id")?;
        let mut values = Vec::with_capacity(row.field_count().saturating_sub(1));
        for index in 1..row.field_count() {
            let field = diesel::row::Row::get(row, index).ok_or("a column is missing")?;
            let text = field.field_name().is_some_and(|name| name.starts_with('t'));
            values.push(match (field.value(), text) {
                (None, true) => Bind::Text(None),
                (None, false) => Bind::Integer(None),
                (Some(value), true) => Bind::Text(Some(FromSql::<Text, MultiBackend>::from_sql(value)?)),
                (Some(value), false) => Bind::Integer(Some(FromSql::<BigInt, MultiBackend>::from_sql(value)?)),
            });
        }
        Ok(Self { id, values })
    }
}

impl Plan {
    /// Finds the page among the rows of a scope. An empty scope is every row.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TooWide`], [`Error::TokenInvalid`], [`Error::Store`].
    pub fn run(&self, conn: &mut Connection, scope: Scope) -> Result<Page, Error> {
        let engine = dialect::engine(conn);
        let start = match &self.start {
            None => None,
            Some(Start::At(position)) => Some(position.clone()),
            Some(Start::Row(id)) => Some(self.look_up(conn, engine, *id)?),
        };
        let limit = usize::try_from(self.extent.rows).unwrap_or(usize::MAX);
        let Found { mut rows, more } = match &self.listing.bound {
            Some(bound) => self.find_bounded(conn, bound, &scope, start.as_ref())?,
            None => {
                let rows: Vec<Row> =
                    self.statement(engine, &scope, start.as_ref()).load(conn).map_err(crate::Error::from)?;
                Found { more: rows.len() > limit, rows }
            }
        };
        if more && self.extent.whole {
            return Err(Error::TooLarge);
        }
        rows.truncate(limit);
        let mut page = Page { ids: rows.iter().map(|row| row.id).collect(), ..Page::default() };
        if let (true, Some(last)) = (more, rows.pop()) {
            page.next_page_token = self.tokens.seal(&Position { values: last.values, id: last.id }, &self.binding);
        }
        if self.count {
            let total = match &self.listing.bound {
                Some(bound) if scope.is_empty() => dialect::id(conn, Sql::new(bound.total))?,
                _ => self.counted(conn, engine, &scope, false)?,
            };
            page.total_size = Some(total);
            page.filtered_size = match &self.listing.bound {
                _ if !self.filtered => Some(total),
                Some(bound) => self.count_bounded(conn, bound, &scope)?,
                None => Some(self.counted(conn, engine, &scope, true)?),
            };
        }
        Ok(page)
    }

    fn statement(&self, engine: Engine, scope: &Scope, start: Option<&Position>) -> Sql {
        let sql = self.order.columns(engine, Sql::new("SELECT ")).push(" FROM ").push(self.listing.from);
        let mut sql = self.scoped(engine, sql, scope, true);
        if let Some(position) = start {
            sql = self.order.after(engine, sql.push(" AND "), position);
        }
        // One more than asked for tells whether there is a next page.
        let sql = self.order.write(engine, sql.push(" ORDER BY ")).push(" LIMIT ").bind(self.extent.rows + 1);
        if self.extent.skip > 0 { sql.push(" OFFSET ").bind(self.extent.skip) } else { sql }
    }

    fn scoped(&self, engine: Engine, sql: Sql, scope: &Scope, filtered: bool) -> Sql {
        let sql = sql.push(" WHERE (");
        let sql = if scope.is_empty() { sql.push("1 = 1") } else { sql.join(scope.clone()) }.push(")");
        if filtered && self.filtered { self.condition.write(engine, sql.push(" AND ")) } else { sql }
    }

    fn counted(&self, conn: &mut Connection, engine: Engine, scope: &Scope, filtered: bool) -> Result<i64, Error> {
        let count = match self.listing.count_limit {
            None => {
                let sql = Sql::new("SELECT count(*) AS id FROM ").push(self.listing.from);
                self.scoped(engine, sql, scope, filtered)
            }
            Some(limit) => {
                let sql = Sql::new("SELECT count(*) AS id FROM (SELECT 1 FROM ").push(self.listing.from);
                self.scoped(engine, sql, scope, filtered).push(" LIMIT ").bind(limit).push(") AS counted")
            }
        };
        Ok(dialect::id(conn, count)?)
    }

    /// Finds the keys of the row after which the page starts, for a token that was too long to hold them.
    fn look_up(&self, conn: &mut Connection, engine: Engine, id: i64) -> Result<Position, Error> {
        let sql = self.order.columns(engine, Sql::new("SELECT ")).push(" FROM ").push(self.listing.from);
        let sql = sql.push(" WHERE ").push(self.listing.id).push(" = ").bind(id);
        let rows: Vec<Row> = sql.load(conn).map_err(crate::Error::from)?;
        let row = rows.into_iter().next().ok_or(Error::TokenInvalid)?;
        Ok(Position { values: row.values, id: row.id })
    }
}
