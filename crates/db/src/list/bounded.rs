//! Lists over very many rows: a query is answered from an index, or by looking at so many rows and no more.
//!
//! A filter is a conjunction. What one index answers (equalities, and a range of the list's order) picks the rows that are looked at; the
//! rest of the filter is decided row by row, newest first or in whatever direction was asked. The index is chosen by a first look: all of
//! them lead through the same rows that match, in the same order, so the one that comes furthest with as many rows is the best. Where the
//! page is not found within the bound, the answer is [`Error::TooWide`], which says how to narrow the search.
//!
//! Another order than the list's own is sorted, which takes all rows of an index: as long as they are within the bound.
//!
//! The rows of an index are read from the index alone, and their tables by id: so there is nothing for a planner to decide differently.

use diesel::RunQueryDsl as _;

use super::filter::Condition;
use super::order::Position;
use super::page::{Place, Plan};
use super::{Direction, Error, Scope};
use crate::{Bind, Connection, Engine, Sql, dialect};

/// Rows that are looked at by each index before one of them is chosen, and in one statement at first.
const FIRST_LOOK: i64 = 4_096;
/// Rows that one statement looks at.
const LARGEST_STEP: i64 = 16_384;
/// Rows that one statement looks at, at least.
const SMALLEST_STEP: i64 = 512;
/// Comparisons that a filter may ask of each row before it is looked at fewer rows: the bound is one of work.
const FREE_TESTS: i64 = 4;

/// What bounds a list, and by which indexes it is searched. See [`super::Listing::bounded`].
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Rows that a call looks at, at most; fewer where the filter compares each with much.
    pub rows: i64,
    /// The field of the list's own order. It is a number, and the id follows in every index that is [`Index::ordered`].
    pub order: &'static str,
    /// The indexes. One without fields serves what the others do not.
    pub indexes: &'static [Index],
    /// A statement that counts all rows at once, as `id`.
    pub total: &'static str,
    /// What a caller can do about a search that is too wide, as the end of a sentence.
    pub advice: &'static str,
}

/// An index of a bounded list.
#[derive(Clone, Copy, Debug)]
pub struct Index {
    fields: &'static [&'static str],
    ordered: bool,
    scope: bool,
}

impl Index {
    /// Equalities on these fields lead to rows in the list's own order. One that leaves out what is usual ([`super::Field::mostly`]) does
    /// not lead to the usual ones.
    #[must_use]
    pub const fn ordered(fields: &'static [&'static str]) -> Self {
        Self { fields, ordered: true, scope: false }
    }

    /// Equalities on these fields lead to few rows, in no order.
    #[must_use]
    pub const fn few(fields: &'static [&'static str]) -> Self {
        Self { fields, ordered: false, scope: false }
    }

    /// Answers what a caller may see as well: a scope that is not empty is an equality on its field.
    #[must_use]
    pub const fn of_scope(self) -> Self {
        Self { scope: true, ..self }
    }
}

/// A way to the rows: what an index answers, and what is left to decide.
struct Driver<'p> {
    index: &'p Index,
    served: Vec<&'p Condition>,
    rest: Vec<&'p Condition>,
    /// Whether the index answers the scope.
    scope_served: bool,
    scope: &'p Scope,
}

impl<'p> Driver<'p> {
    fn new(index: &'p Index, bound: &Bound, conjuncts: &[&'p Condition], scope: &'p Scope) -> Option<Self> {
        let mut rest = conjuncts.to_vec();
        let mut served = Vec::new();
        let scope_served = index.scope && !scope.is_empty();
        for field in index.fields.iter().filter(|_| !scope_served) {
            let at = rest.iter().position(|condition| condition.is_equality(field))?;
            served.push(rest.remove(at));
        }
        if index.ordered {
            let (ranges, others) = rest.into_iter().partition(|condition| condition.is_range(bound.order));
            served.extend::<Vec<_>>(ranges);
            rest = others;
        }
        Some(Self { index, served, rest, scope_served, scope })
    }

    /// Nothing is left to decide.
    fn is_whole(&self) -> bool {
        self.rest.is_empty() && (self.scope_served || self.scope.is_empty())
    }

    /// Adds what the index answers.
    fn write_served(&self, engine: Engine, sql: Sql) -> Sql {
        let scope = self.scope_served.then_some(self.scope);
        conjunction(engine, sql, scope, &self.served)
    }

    /// Adds what is left.
    fn write_rest(&self, engine: Engine, sql: Sql) -> Sql {
        let scope = (!self.scope_served && !self.scope.is_empty()).then_some(self.scope);
        conjunction(engine, sql, scope, &self.rest)
    }
}

fn conjunction(engine: Engine, sql: Sql, scope: Option<&Scope>, conditions: &[&Condition]) -> Sql {
    let sql = match scope {
        Some(scope) => sql.push("(").join(scope.clone()).push(")"),
        None => sql.push("1 = 1"),
    };
    conditions.iter().fold(sql, |sql, condition| condition.write(engine, sql.push(" AND ")))
}

/// How far a search has come.
struct Search {
    found: Vec<Place>,
    looked: i64,
    /// The last row that was looked at.
    at: Option<Position>,
    exhausted: bool,
}

/// Where the rows of a page are.
pub(super) struct Found {
    /// One more than asked for where there are more.
    pub(super) places: Vec<Place>,
    /// There is a further row, or nobody knows.
    pub(super) more: bool,
}

/// A query on a bounded list.
struct Lookup<'p> {
    plan: &'p Plan,
    bound: &'p Bound,
    /// Rows that this one looks at, at most.
    rows: i64,
    engine: Engine,
    start: Option<&'p Position>,
    scope: &'p Scope,
}

impl Plan {
    /// Finds where the rows of a page of a bounded list are.
    pub(super) fn find_bounded(
        &self,
        conn: &mut Connection,
        bound: &Bound,
        scope: &Scope,
        start: Option<&Position>,
    ) -> Result<Found, Error> {
        Lookup { plan: self, bound, rows: self.rows(bound), engine: dialect::engine(conn), start, scope }.find(conn)
    }

    /// Counts the rows that match; `None` where that would look at more rows than the bound.
    pub(super) fn count_bounded(
        &self,
        conn: &mut Connection,
        bound: &Bound,
        scope: &Scope,
    ) -> Result<Option<i64>, Error> {
        Lookup { plan: self, bound, rows: self.rows(bound), engine: dialect::engine(conn), start: None, scope }
            .count(conn)
    }

    /// Rows that may be looked at, each with all comparisons of the filter.
    fn rows(&self, bound: &Bound) -> i64 {
        bound.rows.saturating_mul(FREE_TESTS) / self.condition.tests().max(FREE_TESTS)
    }
}

impl<'p> Lookup<'p> {
    fn drivers(&self) -> Vec<Driver<'p>> {
        let conjuncts = self.plan.condition.conjuncts();
        let indexes = self.bound.indexes.iter();
        let mut drivers: Vec<_> =
            indexes.filter_map(|index| Driver::new(index, self.bound, &conjuncts, self.scope)).collect();
        // What leads through all rows leads through more of them than any other.
        if drivers.iter().any(|driver| driver.index.ordered && !driver.index.fields.is_empty()) {
            drivers.retain(|driver| !driver.index.fields.is_empty());
        }
        drivers
    }

    fn too_wide(&self) -> Error {
        Error::TooWide { rows: self.rows, advice: self.bound.advice }
    }

    fn find(&self, conn: &mut Connection) -> Result<Found, Error> {
        let drivers = self.drivers();
        let first = FIRST_LOOK.min(self.rows);
        let along = self.plan.order.is_along(self.bound.order);
        if along {
            if let Some(whole) = drivers.iter().find(|driver| driver.index.ordered && driver.is_whole()) {
                return self.page_of(conn, whole);
            }
            for few in drivers.iter().filter(|driver| !driver.index.ordered) {
                if self.counted(conn, few, first)? <= first {
                    return self.sorted(conn, few, first);
                }
            }
            if let Some(found) = self.search(conn, &drivers)? {
                return Ok(found);
            }
        }
        for rows in [first, self.rows] {
            // Along the list's own order, indexes in that order were searched already.
            for driver in drivers.iter().filter(|driver| !(along && driver.index.ordered)) {
                if self.counted(conn, driver, rows)? <= rows {
                    return self.sorted(conn, driver, rows);
                }
            }
        }
        Err(self.too_wide())
    }

    /// The page of an index that answers everything.
    fn page_of(&self, conn: &mut Connection, driver: &Driver<'_>) -> Result<Found, Error> {
        let plan = self.plan;
        let sql = plan.order.columns(self.engine, Sql::new("SELECT ")).push(" FROM ").push(plan.listing.from);
        let sql = self.after(driver.write_served(self.engine, sql.push(" WHERE ")), self.start);
        self.found(conn, plan.order.write(self.engine, sql.push(" ORDER BY ")))
    }

    fn found(&self, conn: &mut Connection, sql: Sql) -> Result<Found, Error> {
        let places: Vec<Place> = self.limited(sql).load(conn).map_err(crate::Error::from)?;
        let more = i64::try_from(places.len()).unwrap_or(i64::MAX) > self.plan.extent.rows;
        Ok(Found { places, more })
    }

    fn limited(&self, sql: Sql) -> Sql {
        let sql = sql.push(" LIMIT ").bind(self.plan.extent.rows + 1);
        if self.plan.extent.skip > 0 { sql.push(" OFFSET ").bind(self.plan.extent.skip) } else { sql }
    }

    fn after(&self, sql: Sql, position: Option<&Position>) -> Sql {
        match position {
            Some(position) => self.plan.order.after(self.engine, sql.push(" AND "), position),
            None => sql,
        }
    }

    /// Counts the rows of an index up to one more than so many.
    fn counted(&self, conn: &mut Connection, driver: &Driver<'_>, rows: i64) -> Result<i64, Error> {
        let sql = Sql::new("SELECT count(*) AS id FROM (SELECT 1 FROM ").push(self.plan.listing.from).push(" WHERE ");
        let sql = driver.write_served(self.engine, sql).push(" LIMIT ").bind(rows + 1).push(") AS counted");
        Ok(dialect::id(conn, sql)?)
    }

    /// The page among all rows of an index, which are so many at most: what matches is sorted.
    fn sorted(&self, conn: &mut Connection, driver: &Driver<'_>, rows: i64) -> Result<Found, Error> {
        let plan = self.plan;
        let sql = plan.order.columns(self.engine, Sql::new("SELECT ")).push(" FROM (SELECT ").push(plan.listing.id);
        let sql = sql.push(" AS looked_at FROM ").push(plan.listing.from).push(" WHERE ");
        let sql = driver.write_served(self.engine, sql).push(" LIMIT ").bind(rows + 1).push(") AS k CROSS JOIN ");
        let sql = sql.push(plan.listing.from).push(" WHERE ").push(plan.listing.id).push(" = k.looked_at AND ");
        let sql = self.after(driver.write_rest(self.engine, sql), self.start);
        self.found(conn, plan.order.write(self.engine, sql.push(" ORDER BY ")))
    }

    /// Looks at the rows of the best index one after the other; `None` where the bound came before the end of the page.
    fn search(&self, conn: &mut Connection, drivers: &[Driver<'_>]) -> Result<Option<Found>, Error> {
        let mut best: Option<(&Driver<'_>, Search)> = None;
        for driver in drivers.iter().filter(|driver| driver.index.ordered) {
            let mut search = Search { found: Vec::new(), looked: 0, at: None, exhausted: false };
            self.look(conn, driver, &mut search, FIRST_LOOK.min(self.rows))?;
            if self.is_done(&search) {
                return Ok(Some(self.taken(search)));
            }
            if best.as_ref().is_none_or(|(_, best)| self.is_further(&search, best)) {
                best = Some((driver, search));
            }
        }
        let Some((driver, mut search)) = best else { return Ok(None) };
        // One more than the bound tells of an index that has exactly so many that it ends.
        self.look(conn, driver, &mut search, self.rows + 1)?;
        // A page that is full is a page, whatever follows it; the whole list is only that with its end.
        let full = search.found.len() >= self.wanted().saturating_sub(1) && !self.plan.extent.whole;
        Ok((full || self.is_done(&search)).then(|| self.taken(search)))
    }

    /// Rows to find: those that are skipped, the page, and one that tells whether there are more.
    fn wanted(&self) -> usize {
        usize::try_from(self.plan.extent.skip + self.plan.extent.rows + 1).unwrap_or(usize::MAX)
    }

    fn is_done(&self, search: &Search) -> bool {
        search.exhausted || search.found.len() >= self.wanted()
    }

    fn is_further(&self, one: &Search, other: &Search) -> bool {
        let place = |search: &Search| match search.at.as_ref().map(|at| (at.values.first().cloned(), at.id)) {
            Some((Some(Bind::Integer(Some(value))), id)) => Some((value, id)),
            _ => None,
        };
        match self.plan.order.id_direction {
            Direction::Ascending => place(one) > place(other),
            Direction::Descending => place(one) < place(other),
        }
    }

    fn taken(&self, search: Search) -> Found {
        let skip = usize::try_from(self.plan.extent.skip).unwrap_or(usize::MAX);
        let places: Vec<Place> = search.found.into_iter().skip(skip).collect();
        let limit = usize::try_from(self.plan.extent.rows).unwrap_or(usize::MAX);
        let unknown = places.len() == limit && !search.exhausted;
        Found { more: places.len() > limit || unknown, places }
    }

    /// Goes on until the page is found, the index ends, or so many rows were looked at.
    fn look(&self, conn: &mut Connection, driver: &Driver<'_>, search: &mut Search, at_most: i64) -> Result<(), Error> {
        let wanted = self.wanted();
        let mut step = i64::try_from(wanted).unwrap_or(i64::MAX).saturating_mul(2).clamp(SMALLEST_STEP, FIRST_LOOK);
        while !self.is_done(search) && search.looked < at_most {
            let rows = step.min(at_most - search.looked);
            let looked = self.step(conn, driver, search.at.as_ref().or(self.start), rows)?;
            let count = i64::try_from(looked.len()).unwrap_or(i64::MAX);
            search.looked += count;
            search.exhausted = count < rows;
            if let Some((last, _)) = looked.last() {
                search.at = Some(Position { values: last.values.clone(), id: last.id });
            }
            let room = wanted - search.found.len();
            search.found.extend(looked.into_iter().filter_map(|(place, hit)| hit.then_some(place)).take(room));
            step = (step * 2).min(LARGEST_STEP);
        }
        Ok(())
    }

    /// The next rows of an index, and which of them match.
    fn step(
        &self,
        conn: &mut Connection,
        driver: &Driver<'_>,
        position: Option<&Position>,
        rows: i64,
    ) -> Result<Vec<(Place, bool)>, Error> {
        let plan = self.plan;
        let sql = plan.order.columns(self.engine, Sql::new("SELECT "));
        let sql =
            driver.write_rest(self.engine, sql.push(", CAST(CASE WHEN ")).push(" THEN 1 ELSE 0 END AS BIGINT) AS hit");
        let sql = sql.push(" FROM (SELECT ").push(plan.listing.id).push(" AS looked_at FROM ").push(plan.listing.from);
        let sql = self.after(driver.write_served(self.engine, sql.push(" WHERE ")), position);
        let sql = plan.order.write(self.engine, sql.push(" ORDER BY ")).push(" LIMIT ").bind(rows);
        let sql = sql.push(") AS k CROSS JOIN ").push(plan.listing.from).push(" WHERE ").push(plan.listing.id);
        let looked: Vec<Place> = sql.push(" = k.looked_at").load(conn).map_err(crate::Error::from)?;
        let mut looked: Vec<(Place, bool)> = looked
            .into_iter()
            .map(|mut place| {
                let hit = place.values.pop() == Some(Bind::from(1_i64));
                (place, hit)
            })
            .collect();
        // A join keeps no order.
        looked.sort_by(|(one, _), (other, _)| match plan.order.id_direction {
            Direction::Ascending => along(one).cmp(&along(other)),
            Direction::Descending => along(other).cmp(&along(one)),
        });
        Ok(looked)
    }

    fn count(&self, conn: &mut Connection) -> Result<Option<i64>, Error> {
        let drivers = self.drivers();
        if let Some(whole) = drivers.iter().find(|driver| driver.is_whole()) {
            let limit = self.plan.listing.count_limit.unwrap_or(i64::MAX - 1);
            return Ok(Some(self.counted(conn, whole, limit - 1)?));
        }
        // The index with the fewest rows, as far as that can be told from a first look.
        for rows in [FIRST_LOOK.min(self.rows), self.rows] {
            for driver in &drivers {
                if self.counted(conn, driver, rows)? <= rows {
                    return Ok(Some(self.matching(conn, driver, rows)?));
                }
            }
        }
        Ok(None)
    }

    /// Counts what matches among all rows of an index, which are so many at most.
    fn matching(&self, conn: &mut Connection, driver: &Driver<'_>, rows: i64) -> Result<i64, Error> {
        let (from, id) = (self.plan.listing.from, self.plan.listing.id);
        let sql = Sql::new("SELECT count(*) AS id FROM (SELECT ").push(id).push(" AS looked_at FROM ").push(from);
        let sql = driver.write_served(self.engine, sql.push(" WHERE ")).push(" LIMIT ").bind(rows + 1);
        let sql = sql.push(") AS k CROSS JOIN ").push(from).push(" WHERE ").push(id).push(" = k.looked_at AND ");
        Ok(dialect::id(conn, driver.write_rest(self.engine, sql))?)
    }
}

/// Where a row stands along the list's own order.
fn along(place: &Place) -> (i64, i64) {
    match place.values.first() {
        Some(Bind::Integer(Some(value))) => (*value, place.id),
        _ => (i64::MIN, place.id),
    }
}
