//! Reading the log in its own order, a stretch at a time.

use async_trait::async_trait;
use coffre_db::list::{self, Filtered};
use coffre_db::{Connection, Result, Sql, dialect};
use coffre_proto::query::v1::Filter;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::Store;
use super::list::{ENTRIES, Row, SELECTED, scope};
use crate::domain::entry::Entry;
use crate::domain::ports::ReadStretches;
use crate::domain::stretch::{Ends, Stretch};
use crate::domain::visibility::Visibility;

/// How many entries one statement looks at, at most, however few of them match.
const LOOKED_AT: i64 = 4096;
/// How many entries a stretch holds.
const ROWS: i64 = 256;
/// A stretch that holds this much holds no further entry.
const BYTES: usize = 1024 * 1024;

#[derive(QueryableByName)]
struct Head {
    #[diesel(sql_type = BigInt)]
    first_kept: i64,
    #[diesel(sql_type = BigInt)]
    size: i64,
}

fn ends(conn: &mut Connection) -> Result<Ends> {
    let head: Head = Sql::new("SELECT first_kept, size FROM log_head WHERE id = 1").cached().get_result(conn)?;
    Ok(Ends { first_kept: head.first_kept, size: head.size })
}

#[async_trait]
impl ReadStretches for Store {
    fn filtered(&self, filter: Option<&Filter>) -> std::result::Result<Filtered, list::Error> {
        ENTRIES.filtered(filter)
    }

    async fn ends(&self) -> Result<Ends> {
        self.database.read(ends).await
    }

    async fn stretch(&self, from: i64, to: i64, filter: Filtered, visibility: Visibility) -> Result<Stretch> {
        self.database.read(move |conn| stretch(conn, from, to, &filter, visibility)).await
    }
}

/// The inner statement is bounded, so that neither engine looks for what matches by another index than the position: that would read all that
/// matches, and sort it, for each stretch.
fn stretch(conn: &mut Connection, from: i64, to: i64, filter: &Filtered, visibility: Visibility) -> Result<Stretch> {
    let upper = to.min(from.saturating_add(LOOKED_AT));
    let mut query = Sql::new(SELECTED)
        .push(" FROM (SELECT * FROM entries WHERE log_index >= ")
        .bind(from)
        .push(" AND log_index < ")
        .bind(upper)
        .push(" ORDER BY log_index LIMIT ")
        .bind(LOOKED_AT)
        .push(") e WHERE ")
        .join(filter.sql(dialect::engine(conn)));
    if visibility.only().is_some() {
        query = query.push(" AND ").join(scope(visibility));
    }
    let rows: Vec<Row> = query.push(" ORDER BY e.log_index LIMIT ").bind(ROWS).load(conn)?;
    let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == ROWS);
    let last = rows.last().map(Row::log_index);
    let mut next_index = if full { last.map_or(upper, |last| last.saturating_add(1)) } else { upper };
    let (mut entries, mut bytes) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        if bytes >= BYTES {
            next_index = row.log_index();
            break;
        }
        bytes += row.bytes();
        entries.push(Entry::try_from(row)?);
    }
    // Read last: a cut that took rows away before they were read is known by now.
    Ok(Stretch { entries, next_index, first_kept: ends(conn)?.first_kept })
}
