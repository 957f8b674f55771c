//! The counters of sign-in attempts.

use coffre_db::{Connection, Error, Sql, dialect};
use coffre_types::Timestamp;
use diesel::sql_types::BigInt;
use diesel::{QueryableByName, RunQueryDsl as _};

use crate::domain::throttle::{Bucket, BucketKey, Incumbent};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    kind: i64,
    #[diesel(sql_type = BigInt)]
    slot: i64,
    #[diesel(sql_type = BigInt)]
    tag: i64,
    #[diesel(sql_type = BigInt)]
    failures: i64,
    #[diesel(sql_type = BigInt)]
    pending: i64,
    #[diesel(sql_type = BigInt)]
    blocked_until: i64,
    #[diesel(sql_type = BigInt)]
    touched_at: i64,
    #[diesel(sql_type = BigInt)]
    failed_at: i64,
}

/// Loads what stands in the places of the keys, in their order, whoever it belongs to; `None`: a place was never used. `lock` holds them until
/// the transaction ends.
pub(crate) fn load(conn: &mut Connection, keys: &[BucketKey; 3], lock: bool) -> Result<[Option<Incumbent>; 3], Error> {
    let mut query = Sql::new(
        "SELECT kind, slot, tag, failures, pending, blocked_until, touched_at, failed_at FROM throttle_buckets WHERE ",
    );
    for (index, key) in keys.iter().enumerate() {
        query = query.push(if index == 0 { "(kind = " } else { " OR (kind = " });
        query = query.bind(key.kind).push(" AND slot = ").bind(key.slot).push(")");
    }
    // One order for everybody, so that two sign-ins never wait for each other.
    query = query.push(" ORDER BY kind, slot");
    if lock {
        query = query.push(dialect::for_update(conn));
    }
    let rows: Vec<Row> = query.cached().load(conn)?;
    Ok(keys.map(|key| {
        let row = rows.iter().find(|row| row.kind == key.kind && row.slot == key.slot)?;
        let bucket = Bucket {
            failures: row.failures,
            pending: row.pending,
            blocked_until: Timestamp::from_micros(row.blocked_until),
            touched_at: Timestamp::from_micros(row.touched_at),
            failed_at: Timestamp::from_micros(row.failed_at),
        };
        Some(Incumbent { tag: row.tag, bucket })
    }))
}

/// Stores counters in their places, whoever stood there.
pub(crate) fn store(conn: &mut Connection, counters: &[(BucketKey, Bucket)]) -> Result<(), Error> {
    if counters.is_empty() {
        return Ok(());
    }
    let mut insert = dialect::Insert::into(
        "throttle_buckets",
        &["kind", "slot", "tag", "failures", "pending", "blocked_until", "touched_at", "failed_at"],
    );
    for (key, bucket) in counters {
        insert = insert.row([
            key.kind.into(),
            key.slot.into(),
            key.tag.into(),
            bucket.failures.into(),
            bucket.pending.into(),
            bucket.blocked_until.micros().into(),
            bucket.touched_at.micros().into(),
            bucket.failed_at.micros().into(),
        ]);
    }
    insert
        .or_update(&["kind", "slot"], &["tag", "failures", "pending", "blocked_until", "touched_at", "failed_at"])
        .execute(conn)?;
    Ok(())
}
