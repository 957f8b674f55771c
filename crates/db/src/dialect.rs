//! What differs between the engines, or what Diesel does not offer for both: transactions, locks, batch inserts, upserts.
//!
//! A part of a transaction that may fail and be survived (a unique key that is taken) goes into `conn.transaction(|conn| …)`, which makes
//! a savepoint: PostgreSQL refuses everything that follows an error outside one.

use std::fmt::Write as _;

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _, TransactionManager, TransactionManagerStatus};
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::{Bind, Connection, Engine, Error, Sql};

/// Bound values of one statement at most; SQLite takes 32 766, PostgreSQL 65 535.
pub const MAX_BINDS: usize = 30_000;

/// Returns the engine behind a connection.
#[must_use]
pub fn engine(conn: &Connection) -> Engine {
    match conn {
        Connection::Postgres(_) => Engine::Postgres,
        Connection::Sqlite(_) => Engine::Sqlite,
    }
}

/// Returns what ends a `SELECT` whose rows are about to be changed: a lock in PostgreSQL, nothing in SQLite, where the writer is alone.
#[must_use]
pub fn for_update(conn: &Connection) -> &'static str {
    match conn {
        Connection::Postgres(_) => " FOR UPDATE",
        Connection::Sqlite(_) => "",
    }
}

/// Runs queries on one unchanging state of the database.
///
/// # Errors
/// What the closure returns, or the database.
pub fn snapshot<T, E: From<Error>>(
    conn: &mut Connection,
    f: impl FnOnce(&mut Connection) -> Result<T, E>,
) -> Result<T, E> {
    let begun = match conn {
        Connection::Postgres(conn) => {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        }
        Connection::Sqlite(conn) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN"),
    };
    begun.map_err(Error::from)?;
    let outcome = f(conn);
    if roll_back_all(conn) || outcome.is_err() { outcome } else { Err(Error::Unavailable.into()) }
}

#[derive(QueryableByName)]
struct IdRow {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

/// Loads the column `id` of a query.
///
/// # Errors
/// What the database says.
pub fn ids(conn: &mut Connection, query: Sql) -> Result<Vec<i64>, Error> {
    Ok(query.load::<IdRow>(conn)?.into_iter().map(|row| row.id).collect())
}

/// Loads the first `id` of a query: an id, or a count under that name.
///
/// # Errors
/// [`Error::NotFound`] without a row, or what the database says.
pub fn id(conn: &mut Connection, query: Sql) -> Result<i64, Error> {
    Ok(query.get_result::<IdRow>(conn)?.id)
}

/// Returns how many bytes the database of the service takes, with its indexes.
///
/// # Errors
/// What the database says.
pub fn size_bytes(conn: &mut Connection) -> Result<i64, Error> {
    let query = match engine(conn) {
        Engine::Sqlite => "SELECT page_count * page_size AS id FROM pragma_page_count(), pragma_page_size()",
        Engine::Postgres => {
            "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::BIGINT AS id FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r'"
        }
    };
    id(conn, Sql::new(query))
}

/// Deletes rows that hold no secret: SQLite, which overwrites what is deleted, then leaves pages alone that become free as a whole, and
/// does not write them once more.
///
/// # Errors
/// What the closure returns, or the database.
pub fn without_wiping<T>(
    conn: &mut Connection,
    delete: impl FnOnce(&mut Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    if engine(conn) == Engine::Postgres {
        return delete(conn);
    }
    conn.batch_execute("PRAGMA secure_delete = FAST")?;
    let deleted = delete(conn);
    conn.batch_execute("PRAGMA secure_delete = ON")?;
    deleted
}

/// Adds what says that the column before it is one of a set of ids, which is bound as one value: however many there are, the statement is the
/// same. For columns whose index finds the rows; others take [`among_ids`].
pub fn in_ids(engine: Engine, sql: Sql, ids: impl IntoIterator<Item = i64>) -> Sql {
    match engine {
        // The SELECT hides from the planner how many there are: it would plan anew for each number of them, and for many of them read a
        // whole table instead of looking into its index.
        Engine::Postgres => {
            sql.push(" = ANY(CAST((SELECT CAST(").bind(array('{', ids, '}')).push(" AS BIGINT[])) AS BIGINT[]))")
        }
        Engine::Sqlite => among_ids(engine, sql, ids),
    }
}

/// As [`in_ids`], for columns by which rows are filtered that something else finds: PostgreSQL then looks the ids up in a table that it makes
/// once, and does not go through all of them for each row.
pub fn among_ids(engine: Engine, sql: Sql, ids: impl IntoIterator<Item = i64>) -> Sql {
    match engine {
        Engine::Postgres => sql
            .push(" IN (SELECT s.id FROM unnest((SELECT CAST(")
            .bind(array('{', ids, '}'))
            .push(" AS BIGINT[]))) AS s (id))"),
        Engine::Sqlite => sql.push(" IN (SELECT value FROM json_each(").bind(array('[', ids, ']')).push("))"),
    }
}

fn array(open: char, ids: impl IntoIterator<Item = i64>, close: char) -> String {
    let ids = ids.into_iter();
    let mut text = String::with_capacity(2 + 8 * ids.size_hint().0);
    text.push(open);
    for (index, id) in ids.enumerate() {
        // Writing to a text does not fail.
        let _ = write!(text, "{}{id}", if index > 0 { "," } else { "" });
    }
    text.push(close);
    text
}

/// Loads by many keys: as many at a time as one statement takes.
///
/// # Errors
/// What the closure returns.
pub fn in_chunks<K, T, E>(keys: &[K], mut load: impl FnMut(&[K]) -> Result<Vec<T>, E>) -> Result<Vec<T>, E> {
    let mut rows = Vec::with_capacity(keys.len());
    for chunk in keys.chunks(MAX_BINDS) {
        rows.append(&mut load(chunk)?);
    }
    Ok(rows)
}

enum Conflict {
    Fail,
    Nothing(&'static [&'static str]),
    Update(&'static [&'static str], &'static [&'static str]),
}

/// An insert of any number of rows, with what to do about those that exist.
///
/// ```no_run
/// # fn f(conn: &mut coffre_db::Connection) -> Result<(), coffre_db::Error> {
/// use coffre_db::dialect::Insert;
/// let added = Insert::into("user_roles", &["user_id", "role_id"])
///     .row([1_i64.into(), 2_i64.into()])
///     .or_ignore(&["user_id", "role_id"])
///     .execute(conn)?;
/// # Ok(()) }
/// ```
#[must_use]
pub struct Insert {
    table: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Bind>>,
    conflict: Conflict,
}

impl Insert {
    /// Names the table and its columns.
    pub fn into(table: &'static str, columns: &'static [&'static str]) -> Self {
        Self { table, columns, rows: Vec::new(), conflict: Conflict::Fail }
    }

    /// Adds a row: a value for each column.
    pub fn row(mut self, values: impl Into<Vec<Bind>>) -> Self {
        self.rows.push(values.into());
        self
    }

    /// Adds rows.
    pub fn rows(mut self, rows: impl IntoIterator<Item = Vec<Bind>>) -> Self {
        self.rows.extend(rows);
        self
    }

    /// Leaves rows out whose values in these columns exist.
    pub fn or_ignore(mut self, key: &'static [&'static str]) -> Self {
        self.conflict = Conflict::Nothing(key);
        self
    }

    /// Sets these columns of the row whose values in the key's columns exist.
    pub fn or_update(mut self, key: &'static [&'static str], columns: &'static [&'static str]) -> Self {
        self.conflict = Conflict::Update(key, columns);
        self
    }

    /// Inserts, and returns how many rows were added or updated.
    ///
    /// # Errors
    /// What the database says; [`Error::Bug`] where a row has not a value for each column.
    pub fn execute(self, conn: &mut Connection) -> Result<usize, Error> {
        let mut changed = 0;
        for statement in self.statements("")? {
            changed += statement.execute(conn)?;
        }
        Ok(changed)
    }

    /// Inserts, and returns the column `id` of the rows added or updated, in the order of the rows.
    ///
    /// # Errors
    /// As for [`Self::execute`].
    pub fn returning_ids(self, conn: &mut Connection) -> Result<Vec<i64>, Error> {
        let mut all = Vec::with_capacity(self.rows.len());
        for statement in self.statements(" RETURNING id")? {
            all.append(&mut ids(conn, statement)?);
        }
        Ok(all)
    }

    fn statements(self, end: &'static str) -> Result<Vec<Sql>, Error> {
        let width = self.columns.len();
        if width == 0 || self.rows.iter().any(|row| row.len() != width) {
            return Err(Error::Bug(format!("an insert into {} has rows of another width", self.table)));
        }
        let many = (MAX_BINDS / width).max(1);
        let mut statements = Vec::new();
        let mut rows = self.rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut sql = Sql::new("INSERT INTO ").push(self.table).push(" (");
            sql = names(sql, self.columns).push(") VALUES ");
            for (index, row) in rows.by_ref().take(many).enumerate() {
                sql = sql.push(if index == 0 { "(" } else { ", (" }).binds(row).push(")");
            }
            sql = match &self.conflict {
                Conflict::Fail => sql,
                Conflict::Nothing(key) => names(sql.push(" ON CONFLICT ("), key).push(") DO NOTHING"),
                Conflict::Update(key, columns) => {
                    let mut sql = names(sql.push(" ON CONFLICT ("), key).push(") DO UPDATE SET ");
                    for (index, column) in columns.iter().enumerate() {
                        sql = sql.push(if index == 0 { "" } else { ", " });
                        sql = sql.push(column).push(" = excluded.").push(column);
                    }
                    sql
                }
            };
            statements.push(sql.push(end));
        }
        Ok(statements)
    }
}

fn names(mut sql: Sql, names: &[&'static str]) -> Sql {
    for (index, name) in names.iter().enumerate() {
        sql = sql.push(if index == 0 { "" } else { ", " }).push(name);
    }
    sql
}

/// Folds the case of a text, for comparing and ordering.
pub(crate) fn folded(engine: Engine, sql: Sql, text: impl FnOnce(Sql) -> Sql) -> Sql {
    match engine {
        Engine::Sqlite => text(sql.push("coffre_fold(")).push(")"),
        Engine::Postgres => text(sql.push("lower(")).push(")"),
    }
}

/// Makes a text compare by code points, as SQLite does.
pub(crate) fn by_code_point(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "",
        Engine::Postgres => " COLLATE \"C\"",
    }
}

/// The ways to begin a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Begin {
    /// Serializable; on SQLite it has the file for itself.
    Write,
    /// Adds rows that nobody else touches.
    Plain,
}

pub(crate) fn begin(conn: &mut Connection, begin: Begin) -> Result<(), Error> {
    match (conn, begin) {
        (Connection::Sqlite(conn), _) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE")?,
        (Connection::Postgres(conn), Begin::Write) => {
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN ISOLATION LEVEL SERIALIZABLE")?;
        }
        (Connection::Postgres(conn), Begin::Plain) => AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN")?,
    }
    Ok(())
}

fn depth(conn: &mut Connection) -> Result<u32, Error> {
    let status = Connection::transaction_manager_status_mut(conn);
    Ok(status.transaction_depth()?.map_or(0, u32::from))
}

/// Commits; a transaction that a closure left open within is a fault.
pub(crate) fn commit(conn: &mut Connection) -> Result<(), Error> {
    expect_depth(conn, 1)?;
    Ok(Connection::commit_transaction(conn)?)
}

fn expect_depth(conn: &mut Connection, expected: u32) -> Result<(), Error> {
    match depth(conn)? {
        found if found == expected => Ok(()),
        found => Err(Error::Bug(format!("a closure left {found} open transactions, not {expected}"))),
    }
}

/// Makes a savepoint and returns its depth.
pub(crate) fn savepoint(conn: &mut Connection) -> Result<u32, Error> {
    Connection::begin_transaction(conn)?;
    depth(conn)
}

pub(crate) fn release(conn: &mut Connection, at: u32) -> Result<(), Error> {
    expect_depth(conn, at)?;
    Ok(Connection::commit_transaction(conn)?)
}

pub(crate) fn roll_back_to(conn: &mut Connection, at: u32) -> Result<(), Error> {
    while depth(conn)? > at {
        Connection::rollback_transaction(conn)?;
    }
    expect_depth(conn, at)?;
    Ok(Connection::rollback_transaction(conn)?)
}

/// Rolls back whatever is open; says whether the connection is fit for use.
pub(crate) fn roll_back_all(conn: &mut Connection) -> bool {
    loop {
        match depth(conn) {
            Ok(0) => return true,
            Ok(_) if Connection::rollback_transaction(conn).is_ok() => {}
            Ok(_) | Err(_) => return false,
        }
    }
}

/// Says whether a connection is outside any transaction.
pub(crate) fn is_idle(conn: &mut Connection) -> bool {
    let status: &mut TransactionManagerStatus = Connection::transaction_manager_status_mut(conn);
    matches!(status.transaction_depth(), Ok(None))
}

/// Finds out whether a transaction is still good.
pub(crate) fn probe(conn: &mut Connection) -> Result<(), Error> {
    Ok(conn.batch_execute("SELECT 1")?)
}
