//! What truly differs between the engines.

use coffre_db::{Engine, Error, Sql, dialect};
use coffre_types::{LockerId, ValueId};

/// Says that the locker before it, by which rows are filtered, is one of a set.
pub(super) fn among_lockers(engine: Engine, sql: Sql, lockers: &[LockerId]) -> Sql {
    dialect::among_ids(engine, sql, lockers.iter().map(|locker| locker.get()))
}

/// Says that the locker before it, by which rows are found, is one of a set: a caller may reach any number of them.
pub(super) fn in_lockers(engine: Engine, sql: Sql, lockers: &[LockerId]) -> Sql {
    dialect::in_ids(engine, sql, lockers.iter().map(|locker| locker.get()))
}

/// Takes numbers for new values, before their rows are there: a value is sealed for its number.
///
/// PostgreSQL draws them from the column's sequence. SQLite has one writer: it takes those above the largest that AUTOINCREMENT ever gave,
/// and inserting them moves that mark.
pub(super) fn take_value_ids(conn: &mut coffre_db::Connection, count: usize) -> Result<Vec<ValueId>, Error> {
    let count = i64::try_from(count).map_err(|_| Error::Bug("too many values".to_owned()))?;
    let ids = match dialect::engine(conn) {
        Engine::Postgres => {
            let sql = Sql::new(
                "SELECT nextval(pg_get_serial_sequence('attribute_values', 'id')) AS id FROM generate_series(1, ",
            )
            .bind(count)
            .push(")");
            dialect::ids(conn, sql.cached())?
        }
        Engine::Sqlite => {
            let sql =
                Sql::new("SELECT COALESCE(MAX(seq), 0) AS id FROM sqlite_sequence WHERE name = 'attribute_values'");
            let last = dialect::id(conn, sql.cached())?;
            (1..=count).map(|step| last.saturating_add(step)).collect()
        }
    };
    Ok(ids.into_iter().map(ValueId::from_trusted).collect())
}
