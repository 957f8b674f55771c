//! The tables `streams` and `incidents`.

use std::collections::HashMap;

use coffre_audit_client::chain::{GENESIS, StreamId};
use coffre_db::dialect::Insert;
use coffre_db::{Connection, Result, Sql};
use coffre_types::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use crate::domain::intake::ReportedHead;
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
        let broken = || coffre_db::Error::Bug("a stream's row has an id or a hash of another length".to_owned());
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

/// What is wrong with a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Incident {
    /// Events did not come.
    Gap,
    /// Somebody without the key wrote a segment, or its stream has two histories.
    Forged,
}

impl Incident {
    fn word(self) -> &'static str {
        match self {
            Self::Gap => "gap",
            Self::Forged => "forged",
        }
    }
}

/// Where an incident is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) service: &'a str,
    pub(super) stream_id: &'a [u8],
    pub(super) first_sequence: i64,
    pub(super) last_sequence: i64,
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    found_at: i64,
}

/// Records an incident once, and returns when it was first found.
pub(super) fn incident(
    conn: &mut Connection,
    incident: Incident,
    place: Place<'_>,
    now: Timestamp,
) -> Result<Timestamp> {
    const COLUMNS: &[&str] = &["kind", "service", "stream_id", "first_sequence", "last_sequence", "found_at"];
    Insert::into("incidents", COLUMNS)
        .row([
            incident.word().into(),
            place.service.into(),
            place.stream_id.into(),
            place.first_sequence.into(),
            place.last_sequence.into(),
            now.micros().into(),
        ])
        .or_ignore(&["kind", "stream_id", "first_sequence"])
        .execute(conn)?;
    let found: Found = Sql::new("SELECT found_at FROM incidents WHERE kind = ")
        .bind(incident.word())
        .push(" AND stream_id = ")
        .bind(place.stream_id)
        .push(" AND first_sequence = ")
        .bind(place.first_sequence)
        .get_result(conn)?;
    Ok(Timestamp::from_micros(found.found_at))
}
