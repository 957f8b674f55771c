//! The table `incidents`: what was found wrong, once each. The table can be emptied by whoever did it; so each is an entry of the log as well,
//! committed with its row.

use std::sync::Arc;

use async_trait::async_trait;
use coffre_audit_client::{ActivityType, CallRecord, Outcome, Site};
use coffre_db::dialect::{self, Insert};
use coffre_db::{Connection, Error, Result, Sql, Tx};
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

/// What one transaction found that nobody knew.
#[derive(Default)]
pub(super) struct News(Vec<String>);

impl News {
    /// Puts it on record, as one entry of the log.
    pub(super) fn tell(self, tx: &mut Tx<'_>, site: &Arc<Site>) {
        tell(tx, site, "audit.incident.found", "incident", self.0);
    }
}

/// Puts something on record that this service found out about the log, as one entry with a line for each.
pub(super) fn tell(tx: &mut Tx<'_>, site: &Arc<Site>, event: &'static str, key: &'static str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    let record = CallRecord::system(site.clone(), event, ActivityType::AuditError);
    record.object("audit", "", "");
    lines.into_iter().for_each(|line| record.detail(key, line));
    tx.journal(record.entry(Outcome::Successful, None, record.now()));
}

/// Records an incident once, and returns when it was first found. Where that is now, it is among the news.
pub(super) fn record(
    conn: &mut Connection,
    news: &mut News,
    kind: Kind,
    place: Place<'_>,
    now: Timestamp,
) -> Result<Timestamp> {
    const COLUMNS: &[&str] = &["kind", "service", "stream_id", "first_sequence", "last_sequence", "found_at"];
    let added = Insert::into("incidents", COLUMNS)
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
    if added > 0 {
        news.0.push(place.told(kind));
        return Ok(now);
    }
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
    async fn record(&self, kind: Kind, places: Vec<(i64, i64)>, now: Timestamp) -> Result<()> {
        let site = self.site.clone();
        self.database
            .write(move |tx| {
                let mut news = News::default();
                for (first, last) in &places {
                    record(tx.conn(), &mut news, kind, Place::log(*first, *last), now)?;
                }
                news.tell(tx, &site);
                Ok(())
            })
            .await
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
