//! The table `incidents`: what was found wrong, once each.

use async_trait::async_trait;
use coffre_db::dialect::{self, Insert};
use coffre_db::{Connection, Error, Result, Sql};
use coffre_types::Timestamp;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use super::Store;
use crate::domain::incident::{Incident, Kind, Place};
use crate::domain::ports::KeepIncidents;

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    found_at: i64,
}

/// Records an incident once, and returns when it was first found.
pub(super) fn record(conn: &mut Connection, kind: Kind, place: Place<'_>, now: Timestamp) -> Result<Timestamp> {
    const COLUMNS: &[&str] = &["kind", "service", "stream_id", "first_sequence", "last_sequence", "found_at"];
    Insert::into("incidents", COLUMNS)
        .row([
            kind.word().into(),
            place.service.into(),
            place.stream_id.into(),
            place.first.into(),
            place.last.into(),
            now.micros().into(),
        ])
        .or_ignore(&["kind", "stream_id", "first_sequence"])
        .execute(conn)?;
    let found: Found = Sql::new("SELECT found_at FROM incidents WHERE kind = ")
        .bind(kind.word())
        .push(" AND stream_id = ")
        .bind(place.stream_id)
        .push(" AND first_sequence = ")
        .bind(place.first)
        .get_result(conn)?;
    Ok(Timestamp::from_micros(found.found_at))
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    kind: String,
    #[diesel(sql_type = Text)]
    service: String,
    #[diesel(sql_type = Binary)]
    stream_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    first_sequence: i64,
    #[diesel(sql_type = BigInt)]
    last_sequence: i64,
    #[diesel(sql_type = BigInt)]
    found_at: i64,
}

impl TryFrom<Row> for Incident {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let kind = Kind::parse(&row.kind).ok_or_else(|| Error::Bug(format!("an incident of the kind {}", row.kind)))?;
        Ok(Self {
            kind,
            service: row.service,
            stream_id: row.stream_id,
            first: row.first_sequence,
            last: row.last_sequence,
            found_at: Timestamp::from_micros(row.found_at),
        })
    }
}

#[async_trait]
impl KeepIncidents for Store {
    async fn record(&self, kind: Kind, first: i64, last: i64, now: Timestamp) -> Result<()> {
        self.database.write(move |tx| record(tx.conn(), kind, Place::log(first, last), now).map(|_| ())).await
    }

    async fn incidents(&self, limit: i64) -> Result<(Vec<Incident>, i64)> {
        const COLUMNS: &str = "SELECT kind, service, stream_id, first_sequence, last_sequence, found_at FROM incidents";
        self.database
            .read(move |conn| {
                let query = Sql::new(COLUMNS).push(" ORDER BY found_at DESC, id DESC LIMIT ").bind(limit);
                let incidents = query.load::<Row>(conn)?.into_iter().map(Incident::try_from).collect::<Result<_>>()?;
                Ok((incidents, dialect::id(conn, Sql::new("SELECT count(*) AS id FROM incidents"))?))
            })
            .await
    }
}
