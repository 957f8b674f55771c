//! Very many entries of the audit: events in the outbox of a service as its calls would have left them, which the server's own relay
//! carries into the log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coffre_audit_client::{ActivityType, CallRecord, Origin, Outbox, Outcome, Site, Source};
use coffre_db::{Database, DatabaseUrl, JournalEntry, Options, Sql, dialect};
use coffre_secret::SecretBytes;
use coffre_types::{Clock as _, SessionId, SystemClock, Timestamp, UserId};
use tokio::runtime::Runtime;

/// One event comes after the other: 28 800 a day.
const EVERY: Duration = Duration::from_secs(3);
/// Events of one commit.
const TOGETHER: i64 = 250;
/// Commits that may wait for the relay.
const WAITING: i64 = 400;
/// How long the relay may take for what waits.
const PATIENCE: Duration = Duration::from_secs(1800);

pub(super) const USERS: u64 = 50;
pub(super) const OBJECTS: u64 = 150;
pub(super) const ADDRESSES: u64 = 100;
/// Ids of others than the caller lie above those that the services give.
const FIRST_ID: u64 = 1_000_000;

/// Writes events.
pub(super) struct Flood {
    runtime: Runtime,
    database: Database,
    site: Arc<Site>,
    first: Timestamp,
    own: i64,
    written: i64,
}

impl Flood {
    /// Opens the database of the vault beside a server. Its events begin so long ago that `most` of them end now; those of one user in
    /// fifty are of the user `own`.
    pub(super) fn new(url: DatabaseUrl, key: Vec<u8>, most: i64, own: i64) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let site = Arc::new(Site {
            service: "vault",
            host_name: "host-a.example.test".to_owned(),
            environment_name: "benchmark".to_owned(),
            clock: Arc::new(SystemClock),
        });
        let outbox = Outbox::new(site.clone(), &SecretBytes::new(key));
        let database = Database::open(Options::new(url, "vault"), || outbox.journal())?;
        outbox.attach(database.clone());
        let length = EVERY.saturating_mul(u32::try_from(most).context("too many entries")?);
        Ok(Self { runtime, database, site, first: SystemClock.now().minus(length), own, written: 0 })
    }

    /// Writes events until there are so many, no faster than the relay carries them, and waits until it has them all.
    pub(super) fn fill(&mut self, until: i64) -> Result<Duration> {
        let begun = Instant::now();
        while self.written < until {
            self.commit(until)?;
            self.wait(WAITING)?;
        }
        self.wait(0)?;
        Ok(begun.elapsed())
    }

    /// Writes so many more events as fast as the database takes them.
    pub(super) fn pile_up(&mut self, events: i64) -> Result<()> {
        let until = self.written + events;
        while self.written < until {
            self.commit(until)?;
        }
        Ok(())
    }

    /// Commits that wait for the relay.
    pub(super) fn waiting(&self) -> Result<i64> {
        let count = || Sql::new("SELECT count(*) AS id FROM outbox_segments");
        Ok(self.runtime.block_on(self.database.read(move |conn| dialect::id(conn, count())))?)
    }

    /// Waits until so many commits are left, or fewer.
    pub(super) fn wait(&self, left: i64) -> Result<()> {
        let begun = Instant::now();
        while self.waiting()? > left {
            if begun.elapsed() > PATIENCE {
                bail!("the relay did not carry the events within {} minutes", PATIENCE.as_secs() / 60);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    pub(super) fn written(&self) -> i64 {
        self.written
    }

    /// When an event was.
    pub(super) fn time(&self, number: i64) -> Timestamp {
        self.first.plus(EVERY.saturating_mul(u32::try_from(number.max(0)).unwrap_or(u32::MAX)))
    }

    fn commit(&mut self, until: i64) -> Result<()> {
        let to = until.min(self.written + TOGETHER);
        let entries = (self.written..to).map(|number| self.entry(number)).collect();
        self.runtime.block_on(self.database.append(entries))?;
        self.written = to;
        Ok(())
    }

    /// Most are reads of values; of fifty, one was refused, two changed something and one is a sign-in.
    fn entry(&self, number: i64) -> JournalEntry {
        let of = Facts::of(number);
        let origin = Origin {
            site: self.site.clone(),
            method: "/coffre.vault.v1.AttributeValueService/ListAttributeValues",
            request_id: Arc::from(of.request_id()),
            trace_id: Some([7; 16]),
            client_address: of.address().parse().ok(),
            source: Source::Api,
        };
        let (event, activity) = match of.kind {
            1 | 2 => ("credential.updated", ActivityType::UpdateCredential),
            3 => ("session.opened", ActivityType::Login),
            _ => ("credential.value.read", ActivityType::ReadCredential),
        };
        let record = CallRecord::new(origin, event, activity);
        let user = if of.user == 0 { self.own } else { i64::try_from(FIRST_ID + of.user).unwrap_or(i64::MAX) };
        record.actor(UserId::from_trusted(user), of.user_name(), SessionId::from_bytes(&[3; 16]));
        record.object("credential", of.object_id(), format!("Credential {}", of.object));
        match of.kind {
            1 | 2 => record.change("description", None, Some(format!("for the quarter {}", number % 97))),
            _ => record.detail("values", "1"),
        }
        let (outcome, reason) = match of.kind {
            0 => (Outcome::Unsuccessful, Some(coffre_error::Reason::CredentialNotFound)),
            _ => (Outcome::Successful, None),
        };
        record.entry(outcome, reason, self.time(number))
    }
}

/// What an event is about, by its number alone.
pub(super) struct Facts {
    number: i64,
    kind: u64,
    user: u64,
    object: u64,
    address: u64,
}

impl Facts {
    pub(super) fn of(number: i64) -> Self {
        let part = |salt: u64, of: u64| mix(number.unsigned_abs() ^ salt << 56) % of;
        Self { number, kind: part(1, 50), user: part(2, USERS), object: part(3, OBJECTS), address: part(4, ADDRESSES) }
    }

    pub(super) fn user_name(&self) -> String {
        format!("operator-{}", self.user)
    }

    pub(super) fn object_id(&self) -> String {
        (FIRST_ID + self.object).to_string()
    }

    pub(super) fn address(&self) -> String {
        format!("10.1.{}.{}", self.address / 50, self.address % 50 + 1)
    }

    pub(super) fn request_id(&self) -> String {
        format!("{:016x}-{}", mix(self.number.unsigned_abs()), self.number)
    }
}

/// Scatters numbers (the step of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn events_differ_and_every_user_has_some() {
        let all: Vec<Facts> = (0..10_000).map(Facts::of).collect();
        assert_eq!(all.iter().map(Facts::request_id).collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(all.iter().map(Facts::user_name).collect::<BTreeSet<_>>().len() as u64, USERS);
        assert_eq!(all.iter().map(Facts::object_id).collect::<BTreeSet<_>>().len() as u64, OBJECTS);
        assert_eq!(all.iter().map(Facts::address).collect::<BTreeSet<_>>().len() as u64, ADDRESSES);
        let refused = all.iter().filter(|facts| facts.kind == 0).count();
        assert!((100..400).contains(&refused), "{refused}");
    }
}
