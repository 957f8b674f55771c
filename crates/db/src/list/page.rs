//! One page: the statement, its rows, and the token of the next.

use coffre_proto::query::v1::{PageInfo, Query};
use diesel::deserialize::{self, FromSql, QueryableByName, StaticallySizedRow};
use diesel::expression::QueryMetadata;
use diesel::row::{Field as _, NamedRow};
use diesel::sql_types::{BigInt, Text, Untyped};
use diesel::{QueryResult, RunQueryDsl as _};

use super::bounded::Found;
use super::filter::Condition;
use super::order::{Order, Position};
use super::token::{Binding, PageTokens, Start};
use super::{DEFAULT_PAGE_SIZE, Error, Listing, MAX_ROWS, Scope, Source};
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
    /// Asked for as most ask: the whole list or its pages, without a filter, in its own order.
    pub(super) usual: bool,
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

/// Where a row stands in the order: the last columns of each.
pub(super) struct Place {
    pub(super) id: i64,
    pub(super) values: Vec<Bind>,
}

/// Which rows are read.
enum Wanted {
    /// Those that a statement finds.
    By(Sql),
    /// Those at places that were found already.
    At(Vec<Place>),
}

impl QueryableByName<MultiBackend> for Place {
    fn build<'a>(row: &impl NamedRow<'a, MultiBackend>) -> deserialize::Result<Self> {
        let id = row.get_value::<BigInt, i64, _>(0)?;
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
    /// Finds the ids of the page among the rows of a scope. An empty scope is every row.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::TooWide`], [`Error::TokenInvalid`], [`Error::Store`].
    pub fn run(&self, conn: &mut Connection, scope: Scope) -> Result<Page, Error> {
        let source = Source::new(Sql::empty(), Sql::new(self.listing.from), scope);
        let (page, _) = self.page(conn, &source, |conn, wanted| {
            let places = match wanted {
                Wanted::By(sql) => sql.load::<Place>(conn)?,
                Wanted::At(places) => places,
            };
            Ok(places.into_iter().map(|place| ((), place)).collect())
        })?;
        Ok(page)
    }

    /// Finds the page, and reads its rows in the same statement: `ST` are the types of the columns of the source. A bounded list finds them
    /// in its own table, where the scope is decided as well, and reads them in one more statement.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub fn load<ST, R>(&self, conn: &mut Connection, source: &Source) -> Result<(Page, Vec<R>), Error>
    where
        ST: 'static,
        R: StaticallySizedRow<ST, MultiBackend> + 'static,
        MultiBackend: QueryMetadata<ST>,
    {
        self.page(conn, source, |conn, wanted| {
            let sql = match wanted {
                Wanted::By(sql) => sql,
                Wanted::At(places) => self.statement_at(dialect::engine(conn), source, &places),
            };
            sql.typed::<(ST, Untyped)>().load::<(R, Place)>(conn)
        })
    }

    fn page<R>(
        &self,
        conn: &mut Connection,
        source: &Source,
        read: impl FnOnce(&mut Connection, Wanted) -> QueryResult<Vec<(R, Place)>>,
    ) -> Result<(Page, Vec<R>), Error> {
        let engine = dialect::engine(conn);
        let start = match &self.start {
            None => None,
            Some(Start::At(position)) => Some(position.clone()),
            Some(Start::Row(id)) => Some(self.look_up(conn, engine, *id)?),
        };
        let limit = usize::try_from(self.extent.rows).unwrap_or(usize::MAX);
        let (mut rows, more) = match &self.listing.bound {
            Some(bound) => {
                let Found { places, more } = self.find_bounded(conn, bound, &source.scope, start.as_ref())?;
                (read(conn, Wanted::At(places)).map_err(crate::Error::from)?, more)
            }
            None => {
                let sql = self.statement(engine, source, start.as_ref());
                let rows = read(conn, Wanted::By(sql)).map_err(crate::Error::from)?;
                let more = rows.len() > limit;
                (rows, more)
            }
        };
        if more && self.extent.whole {
            return Err(Error::TooLarge);
        }
        rows.truncate(limit);
        let (rows, mut places): (Vec<R>, Vec<Place>) = rows.into_iter().unzip();
        let mut page = Page { ids: places.iter().map(|place| place.id).collect(), ..Page::default() };
        if let (true, Some(last)) = (more, places.pop()) {
            page.next_page_token = self.tokens.seal(&Position { values: last.values, id: last.id }, &self.binding);
        }
        if self.count {
            let total = match &self.listing.bound {
                Some(bound) if source.scope.is_empty() => dialect::id(conn, Sql::new(bound.total))?,
                _ => self.counted(conn, engine, source, false)?,
            };
            page.total_size = Some(total);
            page.filtered_size = match &self.listing.bound {
                _ if !self.filtered => Some(total),
                Some(bound) => self.count_bounded(conn, bound, &source.scope)?,
                None => Some(self.counted(conn, engine, source, true)?),
            };
        }
        Ok((page, rows))
    }

    pub(super) fn statement(&self, engine: Engine, source: &Source, start: Option<&Position>) -> Sql {
        let mut sql = self.scoped(engine, self.selected(engine, source), &source.scope, true);
        if let Some(position) = start {
            sql = self.order.after(engine, sql.push(" AND "), position);
        }
        // One more than asked for tells whether there is a next page.
        let sql = self.order.write(engine, sql.push(" ORDER BY ")).push(" LIMIT ");
        if source.kept && self.usual {
            // Not bound: SQLite prepares a statement anew each time its limit is bound.
            return sql.text((self.extent.rows + 1).to_string()).cached();
        }
        let sql = sql.bind(self.extent.rows + 1);
        if self.extent.skip > 0 { sql.push(" OFFSET ").bind(self.extent.skip) } else { sql }
    }

    /// Reads the rows at some places, in their order.
    fn statement_at(&self, engine: Engine, source: &Source, places: &[Place]) -> Sql {
        let sql = self.selected(engine, source).push(" WHERE ").push(self.listing.id);
        let sql = dialect::in_ids(engine, sql, places.iter().map(|place| place.id));
        self.order.write(engine, sql.push(" ORDER BY "))
    }

    fn selected(&self, engine: Engine, source: &Source) -> Sql {
        let sql = Sql::new("SELECT ");
        let sql = if source.columns.is_empty() { sql } else { sql.join(source.columns.clone()).push(", ") };
        self.order.columns(engine, sql).push(" FROM ").join(source.from.clone())
    }

    fn scoped(&self, engine: Engine, sql: Sql, scope: &Scope, filtered: bool) -> Sql {
        let sql = sql.push(" WHERE (");
        let sql = if scope.is_empty() { sql.push("1 = 1") } else { sql.join(scope.clone()) }.push(")");
        if filtered && self.filtered { self.condition.write(engine, sql.push(" AND ")) } else { sql }
    }

    fn counted(&self, conn: &mut Connection, engine: Engine, source: &Source, filtered: bool) -> Result<i64, Error> {
        let count = match self.listing.count_limit {
            None => {
                let sql = Sql::new("SELECT count(*) AS id FROM ").join(source.from.clone());
                self.scoped(engine, sql, &source.scope, filtered)
            }
            Some(limit) => {
                let sql = Sql::new("SELECT count(*) AS id FROM (SELECT 1 FROM ").join(source.from.clone());
                self.scoped(engine, sql, &source.scope, filtered).push(" LIMIT ").bind(limit).push(") AS counted")
            }
        };
        Ok(dialect::id(conn, count)?)
    }

    /// Finds the keys of the row after which the page starts, for a token that was too long to hold them.
    fn look_up(&self, conn: &mut Connection, engine: Engine, id: i64) -> Result<Position, Error> {
        let sql = self.order.columns(engine, Sql::new("SELECT ")).push(" FROM ").push(self.listing.from);
        let sql = sql.push(" WHERE ").push(self.listing.id).push(" = ").bind(id);
        let places: Vec<Place> = sql.load(conn).map_err(crate::Error::from)?;
        let place = places.into_iter().next().ok_or(Error::TokenInvalid)?;
        Ok(Position { values: place.values, id: place.id })
    }
}
