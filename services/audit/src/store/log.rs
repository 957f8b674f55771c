//! Appending to the log: one transaction a request, under the lock of the row that counts the entries.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use async_trait::async_trait;
use coffre_audit_client::chain::StreamId;
use coffre_db::{Connection, Error, Result};
use coffre_types::Timestamp;

use super::incidents::News;
use super::tree::{Growth, Head};
use super::{Store, entries, incidents, streams};
use crate::domain::entry::NewEntry;
use crate::domain::incident::{Kind, Place};
use crate::domain::intake::{Arrival, Disposition, NewSegment, ReportedHead};
use crate::domain::ports::WriteLog;
use crate::domain::position::{self, Placement, Position};

/// What is missing before a segment may still come; after this time the stream goes on without it, and the incident stays.
const GAP_PATIENCE: Duration = Duration::from_secs(30);
/// A report that says the same as the one before is stored again after this time.
const REPORT_AGAIN: Duration = Duration::from_secs(30);

#[async_trait]
impl WriteLog for Store {
    async fn append(&self, service: String, arrivals: Vec<Arrival>, now: Timestamp) -> Result<Vec<Disposition>> {
        let site = self.site.clone();
        let appended = self.database.write(move |tx| {
            let mut news = News::default();
            let dispositions = append(tx.conn(), &mut news, &service, &arrivals, now)?;
            news.tell(tx, &site);
            Ok(dispositions)
        });
        let appended = appended.await;
        match appended {
            Err(Error::Unique(key)) if key.covers("log_index") => self.taken(now).await,
            outcome => outcome,
        }
    }

    async fn report(&self, service: String, heads: Vec<ReportedHead>, now: Timestamp) -> Result<()> {
        let heads = self.news(heads, now);
        if heads.is_empty() {
            return Ok(());
        }
        let stored = heads.clone();
        self.database
            .write(move |tx| {
                let ids: Vec<StreamId> = heads.iter().map(|head| head.stream_id).collect();
                let foreign = streams::of_others(tx.conn(), &service, &ids)?;
                if !foreign.is_empty() {
                    tracing::error!(
                        service,
                        streams = foreign.len(),
                        "a service reports streams of another one; it is not believed"
                    );
                }
                let own = heads.iter().filter(|head| !foreign.contains(&head.stream_id));
                own.into_iter().try_for_each(|head| streams::report(tx.conn(), &service, head, now))
            })
            .await?;
        let mut reported = self.reported.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        reported.retain(|_, (_, at)| now.since(*at) < 4 * REPORT_AGAIN);
        reported.extend(stored.into_iter().map(|head| (head.stream_id, (head, now))));
        Ok(())
    }
}

impl Store {
    /// The place behind the last entry is taken: by a row that did not arrive. Nothing is thrown away, neither that row nor what waits in
    /// the outboxes; the log goes on once the row is gone.
    async fn taken(&self, now: Timestamp) -> Result<Vec<Disposition>> {
        let site = self.site.clone();
        let place = self.database.write(move |tx| {
            let (conn, mut news) = (tx.conn(), News::default());
            let end = Head::lock(conn)?.size;
            incidents::record(conn, &mut news, Kind::Changed, Place::log(end, end), now)?;
            news.tell(tx, &site);
            Ok::<_, Error>(end)
        });
        let log_index = place.await?;
        tracing::error!(
            log_index,
            "a row that never arrived lies behind the end of the audit log, and nothing can be appended; look at it and remove it"
        );
        Err(Error::Unavailable)
    }

    fn news(&self, heads: Vec<ReportedHead>, now: Timestamp) -> Vec<ReportedHead> {
        let reported = self.reported.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_news = |head: &ReportedHead| {
            reported.get(&head.stream_id).is_none_or(|(known, at)| known != head || now.since(*at) >= REPORT_AGAIN)
        };
        heads.into_iter().filter(is_news).collect()
    }
}

fn append(
    conn: &mut Connection,
    news: &mut News,
    service: &str,
    arrivals: &[Arrival],
    now: Timestamp,
) -> Result<Vec<Disposition>> {
    let head = Head::lock(conn)?;
    let ids: HashSet<StreamId> = arrivals
        .iter()
        .filter_map(|arrival| match arrival {
            Arrival::Authentic(segment) => Some(segment.stream_id),
            Arrival::Forged(_) => None,
        })
        .collect();
    let ids: Vec<StreamId> = ids.into_iter().collect();
    let positions = if ids.is_empty() { HashMap::new() } else { streams::positions(conn, &ids)? };

    let mut round = Round { conn, news, service, now, positions, moved: HashSet::new(), candidates: Vec::new() };
    let dispositions = arrivals.iter().map(|arrival| round.arrive(arrival)).collect::<Result<Vec<_>>>()?;
    let Round { conn, positions, moved, candidates, .. } = round;

    let mut seen = HashSet::with_capacity(candidates.len());
    let new: Vec<&NewEntry> = candidates.into_iter().filter(|entry| seen.insert(entry.event_id)).collect();
    let added = entries::insert(conn, head.size, new)?;
    for stream_id in &moved {
        if let Some(position) = positions.get(stream_id) {
            streams::advance(conn, service, stream_id, position, now)?;
        }
    }
    if !added.is_empty() {
        let mut growth = Growth::take_up(conn, &head)?;
        for entry in &added {
            growth.append(entry.leaf_hash);
        }
        growth.store(conn, head.size.saturating_add(i64::try_from(added.len()).unwrap_or(i64::MAX)))?;
    }
    Ok(dispositions)
}

/// The segments of one request, one after the other.
struct Round<'a> {
    conn: &'a mut Connection,
    news: &'a mut News,
    service: &'a str,
    now: Timestamp,
    positions: HashMap<StreamId, Position>,
    moved: HashSet<StreamId>,
    /// Events that belong to the log, unless they are there.
    candidates: Vec<&'a NewEntry>,
}

impl<'a> Round<'a> {
    fn arrive(&mut self, arrival: &'a Arrival) -> Result<Disposition> {
        match arrival {
            Arrival::Authentic(segment) => self.place(segment),
            Arrival::Forged(claim) => self.forged(&claim.stream_id, claim.first_sequence, claim.last_sequence),
        }
    }

    fn place(&mut self, segment: &'a NewSegment) -> Result<Disposition> {
        let at = self.positions.get(&segment.stream_id).copied().unwrap_or(position::BEGIN);
        match position::place(&at, &segment.span) {
            Placement::Append => self.take(segment, &at, false),
            Placement::Duplicate { look } => {
                if look {
                    self.candidates.extend(&segment.entries);
                }
                Ok(Disposition::Stored)
            }
            Placement::Gap => {
                let missing = Place {
                    service: self.service,
                    stream_id: &segment.stream_id,
                    first: at.next_sequence,
                    last: segment.span.first_sequence - 1,
                };
                let found = incidents::record(self.conn, self.news, Kind::Gap, missing, self.now)?;
                if self.now.since(found) < GAP_PATIENCE {
                    return Ok(Disposition::Gap);
                }
                tracing::error!(
                    service = self.service,
                    from = missing.first,
                    to = missing.last,
                    "events of a stream never came; it goes on without them"
                );
                self.take(segment, &at, true)
            }
            Placement::Forged => {
                self.forged(&segment.stream_id, segment.span.first_sequence, segment.span.last_sequence)
            }
        }
    }

    fn take(&mut self, segment: &'a NewSegment, at: &Position, over_gap: bool) -> Result<Disposition> {
        self.positions.insert(segment.stream_id, position::after(at, &segment.span, over_gap));
        self.moved.insert(segment.stream_id);
        self.candidates.extend(&segment.entries);
        Ok(Disposition::Stored)
    }

    fn forged(&mut self, stream_id: &[u8], first_sequence: i64, last_sequence: i64) -> Result<Disposition> {
        let place = Place { service: self.service, stream_id, first: first_sequence, last: last_sequence };
        incidents::record(self.conn, self.news, Kind::Forged, place, self.now)?;
        tracing::error!(
            service = self.service,
            first_sequence,
            last_sequence,
            "a forged segment came out of an outbox"
        );
        Ok(Disposition::Forged)
    }
}
