//! The table `streams`.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use coffre_audit_client::chain::{GENESIS, StreamId};
use coffre_audit_proof::checkpoint::StreamHead;
use coffre_db::dialect::Insert;
use coffre_db::{Connection, Error, Result, Sql};
use coffre_types::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use super::incidents::News;
use super::{Store, incidents};
use crate::domain::incident::{Kind, Place, hex};
use crate::domain::intake::ReportedHead;
use crate::domain::ports::{Lagging, Silent, WatchStreams};
use crate::domain::position::Position;

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Binary)]
    stream_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    next_sequence: i64,
    #[diesel(sql_type = Binary)]
    head_hash: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    gaps: i64,
}

/// Loads how far streams have come; a stream of which nothing has come is left out.
pub(super) fn positions(conn: &mut Connection, ids: &[StreamId]) -> Result<HashMap<StreamId, Position>> {
    let rows: Vec<Row> = Sql::new("SELECT stream_id, next_sequence, head_hash, gaps FROM streams WHERE stream_id IN (")
        .binds(ids.iter().map(StreamId::as_slice))
        .push(")")
        .load(conn)?;
    let mut positions = HashMap::with_capacity(rows.len());
    for row in rows {
        let broken = || Error::Bug("a stream's row has an id or a hash of another length".to_owned());
        let stream_id = StreamId::try_from(row.stream_id).map_err(|_| broken())?;
        let head = row.head_hash.try_into().map_err(|_| broken())?;
        positions.insert(stream_id, Position { next_sequence: row.next_sequence, head, gaps: row.gaps });
    }
    Ok(positions)
}

/// Keeps how far a stream has come.
pub(super) fn advance(
    conn: &mut Connection,
    service: &str,
    id: &StreamId,
    at: &Position,
    now: Timestamp,
) -> Result<()> {
    Insert::into(
        "streams",
        &["stream_id", "service", "next_sequence", "head_hash", "gaps", "reported_hash", "last_seen"],
    )
    .row([
        id.as_slice().into(),
        service.into(),
        at.next_sequence.into(),
        at.head.as_slice().into(),
        at.gaps.into(),
        GENESIS.as_slice().into(),
        now.micros().into(),
    ])
    .or_update(&["stream_id"], &["next_sequence", "head_hash", "gaps", "last_seen"])
    .execute(conn)?;
    Ok(())
}

/// Returns those streams that another service began: what this one says of them counts for nothing.
pub(super) fn of_others(conn: &mut Connection, service: &str, ids: &[StreamId]) -> Result<HashSet<StreamId>> {
    let query = Sql::new("SELECT stream_id, next_sequence, head_hash, gaps FROM streams WHERE service <> ");
    let rows: Vec<Row> = query
        .bind(service)
        .push(" AND stream_id IN (")
        .binds(ids.iter().map(StreamId::as_slice))
        .push(")")
        .load(conn)?;
    Ok(rows.into_iter().filter_map(|row| row.stream_id.try_into().ok()).collect())
}

/// Keeps how far a stream has come by its writer's word.
pub(super) fn report(conn: &mut Connection, service: &str, head: &ReportedHead, now: Timestamp) -> Result<()> {
    const COLUMNS: &[&str] = &[
        "stream_id",
        "service",
        "next_sequence",
        "head_hash",
        "reported_sequence",
        "reported_hash",
        "closed",
        "last_seen",
    ];
    Insert::into("streams", COLUMNS)
        .row([
            head.stream_id.as_slice().into(),
            service.into(),
            1_i64.into(),
            GENESIS.as_slice().into(),
            head.last_sequence.into(),
            head.hash.as_slice().into(),
            head.closed.into(),
            now.micros().into(),
        ])
        .or_update(&["stream_id"], &["reported_sequence", "reported_hash", "closed", "last_seen"])
        .execute(conn)?;
    Ok(())
}

#[derive(QueryableByName)]
struct HeadRow {
    #[diesel(sql_type = Text)]
    service: String,
    #[diesel(sql_type = Binary)]
    stream_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    next_sequence: i64,
    #[diesel(sql_type = Binary)]
    head_hash: Vec<u8>,
}

/// Takes the heads of the streams that moved since they were taken before, for a checkpoint that names them.
pub(super) fn take_moved(conn: &mut Connection) -> Result<Vec<StreamHead>> {
    const MOVED: &str = " WHERE next_sequence - 1 > covered_sequence";
    let query = Sql::new("SELECT service, stream_id, next_sequence, head_hash FROM streams").push(MOVED);
    let rows: Vec<HeadRow> = query.push(" ORDER BY stream_id").load(conn)?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    Sql::new("UPDATE streams SET covered_sequence = next_sequence - 1").push(MOVED).execute(conn)?;
    let head = |row: HeadRow| {
        Some(StreamHead {
            service: row.service,
            stream_id: row.stream_id.try_into().ok()?,
            sequence: row.next_sequence - 1,
            hash: row.head_hash.try_into().ok()?,
        })
    };
    let heads: Option<Vec<StreamHead>> = rows.into_iter().map(head).collect();
    heads.ok_or_else(|| Error::Bug("a stream's row has an id or a hash of another length".to_owned()))
}

/// So many streams are said to have ended at once; an event tells of no more.
const AT_ONCE: i64 = 100;

#[derive(QueryableByName)]
struct LaggingRow {
    #[diesel(sql_type = Text)]
    service: String,
    #[diesel(sql_type = Binary)]
    stream_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    next_sequence: i64,
    #[diesel(sql_type = BigInt)]
    reported_sequence: i64,
}

#[async_trait]
impl WatchStreams for Store {
    async fn lagging(&self) -> Result<Vec<Lagging>> {
        let query = "SELECT service, stream_id, next_sequence, reported_sequence FROM streams WHERE reported_sequence >= next_sequence";
        let rows: Vec<LaggingRow> = self.database.read(move |conn| Ok::<_, Error>(Sql::new(query).load(conn)?)).await?;
        let lagging = |row: LaggingRow| {
            let LaggingRow { service, stream_id, next_sequence, reported_sequence } = row;
            Some(Lagging { service, stream_id: stream_id.try_into().ok()?, next_sequence, reported_sequence })
        };
        Ok(rows.into_iter().filter_map(lagging).collect())
    }

    async fn lost(&self, stream: Lagging, now: Timestamp) -> Result<()> {
        let site = self.site.clone();
        self.database
            .write(move |tx| {
                let mut news = News::default();
                let place = Place {
                    service: &stream.service,
                    stream_id: &stream.stream_id,
                    first: stream.next_sequence,
                    last: stream.reported_sequence,
                };
                incidents::record(tx.conn(), &mut news, Kind::Gap, place, now)?;
                news.tell(tx, &site);
                Ok(())
            })
            .await
    }

    async fn silent(&self, since: Timestamp) -> Result<Vec<Silent>> {
        const SILENT: &str = "SELECT service, stream_id, next_sequence, reported_sequence FROM streams WHERE closed = FALSE AND last_seen < ";
        let query = move || {
            let query = Sql::new(SILENT).bind(since.micros());
            let query =
                query.push(" AND service IN (SELECT service FROM streams WHERE last_seen >= ").bind(since.micros());
            query.push(") ORDER BY last_seen, stream_id LIMIT ").bind(AT_ONCE)
        };
        let rows: Vec<LaggingRow> = self.database.read(move |conn| Ok::<_, Error>(query().load(conn)?)).await?;
        let silent = |row: LaggingRow| {
            let LaggingRow { service, stream_id, next_sequence, .. } = row;
            Some(Silent { service, stream_id: stream_id.try_into().ok()?, next_sequence })
        };
        Ok(rows.into_iter().filter_map(silent).collect())
    }

    async fn ended(&self, streams: Vec<Silent>) -> Result<Vec<Silent>> {
        let site = self.site.clone();
        self.database
            .write(move |tx| {
                let mut ended = Vec::with_capacity(streams.len());
                for stream in &streams {
                    // Another replica may have said it, or the stream may have moved.
                    let open = Sql::new("UPDATE streams SET closed = TRUE WHERE closed = FALSE AND stream_id = ")
                        .bind(stream.stream_id.as_slice())
                        .push(" AND next_sequence = ")
                        .bind(stream.next_sequence)
                        .execute(tx.conn())?;
                    ended.extend((open > 0).then(|| stream.clone()));
                }
                let line = |Silent { service, stream_id, next_sequence }: &Silent| {
                    format!("{service} {} {}", hex(stream_id), next_sequence - 1)
                };
                incidents::tell(tx, &site, "audit.stream.unclosed", "stream", ended.iter().map(line).collect());
                Ok(ended)
            })
            .await
    }
}
