//! What truly differs between the engines.

use std::fmt::Write as _;

use coffre_db::{Engine, Error, Sql, dialect};
use coffre_types::{LockerId, ValueId};

/// Adds `IN` and a set of lockers, bound as one value: a caller may reach any number of them.
pub(super) fn in_lockers(engine: Engine, sql: Sql, lockers: &[LockerId]) -> Sql {
    let (open, close, before, after) = match engine {
        // Not `= ANY(CAST(…))`: where PostgreSQL filters by that, it reads the text anew for each row.
        Engine::Postgres => ('{', '}', " IN (SELECT s.id FROM unnest(CAST(", " AS BIGINT[])) AS s (id))"),
        Engine::Sqlite => ('[', ']', " IN (SELECT value FROM json_each(", "))"),
    };
    let mut set = String::with_capacity(2 + 8 * lockers.len());
    set.push(open);
    for (index, locker) in lockers.iter().enumerate() {
        // Writing to a text does not fail.
        let _ = write!(set, "{}{locker}", if index > 0 { "," } else { "" });
    }
    set.push(close);
    sql.push(before).bind(set).push(after)
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
