//! What the databases, the relays and the change streams tell about themselves, read when a collector asks. `docs/metrics.md` has a line for
//! each.

use std::sync::Arc;
use std::time::Duration;

use coffre_audit::Standing;
use coffre_audit_client::Lag;
use coffre_authn::Authenticator;
use coffre_db::{Database, Engine, LaneStats, Stats};
use coffre_tls::Service;
use coffre_types::{Clock as _, SystemClock, Timestamp};
use coffre_vault::PeerCounts;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, IntGauge, Opts, Registry};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::set::Set;
use crate::stores::{Store, Stores};

type Look = fn(&Store) -> f64;

/// Name, help, and how it is read from a store.
const GAUGES: [(&str, &str, Look); 6] = [
    ("coffre_outbox_rows", "Commits whose events have not reached the audit log.", |store| {
        lag(store, |lag| as_f64(lag.rows()))
    }),
    ("coffre_outbox_oldest_seconds", "Age of the oldest event that has not reached the audit log.", |store| {
        lag(store, |lag| lag.oldest().as_secs_f64())
    }),
    ("coffre_relay_events", "Events that reached the audit log since the start.", |store| {
        lag(store, |lag| as_f64(i64::try_from(lag.events()).unwrap_or(i64::MAX)))
    }),
    ("coffre_outbox_quarantined", "Outbox rows that the audit service refused as forged.", |store| {
        lag(store, |lag| as_f64(i64::try_from(lag.quarantined()).unwrap_or(i64::MAX)))
    }),
    ("coffre_outbox_counted", "Calls of unknown callers that were counted instead of recorded one by one.", |store| {
        lag(store, |lag| as_f64(i64::try_from(lag.counted()).unwrap_or(i64::MAX)))
    }),
    ("coffre_database_up", "1 where the database answers.", |store| f64::from(u8::from(store.database.is_up()))),
];

type LookAtLane = fn(&LaneStats) -> u64;

/// Name, help, and how it is read from a queue of a database.
const LANES: [(&str, &str, LookAtLane); 9] = [
    ("coffre_database_queued", "Calls that wait for a thread of the database.", LaneStats::queued),
    ("coffre_database_calls", "Calls that a thread of the database took, since the start.", LaneStats::taken),
    (
        "coffre_database_wait_microseconds",
        "Time that calls waited for a thread of the database altogether, since the start.",
        LaneStats::waited_micros,
    ),
    (
        "coffre_database_refused",
        "Calls refused because the queue of the database was full or no connection stood, since the start.",
        LaneStats::refused,
    ),
    ("coffre_database_connections", "Connections to the database that stand.", LaneStats::connected),
    (
        "coffre_database_reconnects",
        "Connections to the database that were opened again, since the start.",
        LaneStats::reconnects,
    ),
    ("coffre_database_commits", "Commits, since the start.", LaneStats::commits),
    (
        "coffre_database_commit_microseconds",
        "Time spent in COMMIT altogether, since the start.",
        LaneStats::commit_micros,
    ),
    ("coffre_database_retries", "Transactions repeated because they lost a race, since the start.", LaneStats::retries),
];

const STREAM_AGE: (&str, &str) = (
    "coffre_change_stream_age_seconds",
    "How old what a service knows of another one's changes is; beyond 0.8 s it asks at each call.",
);
const SEALED: (&str, &str) = ("coffre_vault_sealed", "1 while the vault is sealed, 0 while it is open.");
const SEALED_SINCE: (&str, &str) =
    ("coffre_vault_sealed_since_seconds", "Since when the vault is sealed, in seconds since 1970; 0 while it is open.");
const CERTIFICATE_EXPIRY: (&str, &str) = (
    "coffre_certificate_expiry_seconds",
    "When the certificate expires that is in use, in seconds since 1970, by use: `public`, `internal`.",
);

type LookAtPeers = fn(&PeerCounts) -> u64;

/// Name, help, and how it is read from what replicas of vault gave each other.
const ROOT_KEY: [(&str, &str, LookAtPeers); 4] = [
    (
        "coffre_vault_root_key_given",
        "How often this replica gave the root key to another one, since the start.",
        PeerCounts::given,
    ),
    (
        "coffre_vault_root_key_taken",
        "How often this replica was opened with the root key of another one, since the start.",
        PeerCounts::taken,
    ),
    (
        "coffre_vault_root_key_refused",
        "How often somebody asked for the root key who is no replica of this vault, or the stored keys were not its own, since the start.",
        PeerCounts::refused,
    ),
    (
        "coffre_vault_root_key_unusable",
        "How often another replica gave what is not the root key, since the start.",
        PeerCounts::unusable,
    ),
];
const RESERVATIONS: (&str, &str) =
    ("coffre_reservations_waiting", "Places in lockers that are reserved for credentials which are about to enter.");
const DELETIONS: (&str, &str) =
    ("coffre_deletions_pending", "Deletions of users, roles or lockers that have begun and not ended.");

type LookAtLog = fn(&Standing, Timestamp) -> f64;

/// Name, help, and how it is read from how the audit log stands.
const LOG: [(&str, &str, LookAtLog); 5] = [
    ("coffre_audit_log_entries", "Entries of the audit log, those that were cut off included.", |log, _| {
        as_f64(log.size)
    }),
    ("coffre_audit_checkpoint_age_seconds", "Age of the latest checkpoint; 0 where nothing came since.", |log, now| {
        let made = log.checkpoint_time.filter(|_| log.size > log.checkpoint_size);
        made.map_or(0.0, |made| now.since(made).as_secs_f64())
    }),
    ("coffre_audit_unwitnessed_entries", "Entries of the audit log that no witnessed checkpoint covers.", |log, _| {
        as_f64(log.size.saturating_sub(log.witnessed_size).max(0))
    }),
    ("coffre_audit_incidents", "What was found wrong with the audit's record, ever.", |log, _| as_f64(log.incidents)),
    (
        "coffre_audit_log_damaged",
        "1 while the audit log is not the one that was signed, and nothing is signed.",
        |log, _| f64::from(u8::from(log.damaged.is_some())),
    ),
];

/// How often what is pending is counted.
const COUNTED_EVERY: Duration = Duration::from_secs(5);

fn lag(store: &Store, read: impl Fn(&Lag) -> f64) -> f64 {
    read(store.outbox.lag())
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 rows are not reached")]
fn as_f64(number: i64) -> f64 {
    number as f64
}

type Reading = Box<dyn Fn() -> f64 + Send + Sync>;

/// Gauges that are read when they are asked for.
#[derive(Default)]
struct Readings(Vec<(Gauge, Reading)>);

impl Readings {
    fn add(&mut self, opts: Opts, read: impl Fn() -> f64 + Send + Sync + 'static) -> Result<(), prometheus::Error> {
        self.0.push((Gauge::with_opts(opts)?, Box::new(read)));
        Ok(())
    }
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().flat_map(|(gauge, _)| gauge.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let read = |(gauge, read): &(Gauge, Reading)| {
            gauge.set(read());
            gauge.collect()
        };
        self.0.iter().flat_map(read).collect()
    }
}

type OfLane = fn(&Stats) -> &LaneStats;

/// The queues of a database. On SQLite changes and appends have one.
fn lanes_of(database: &Database) -> Vec<(&'static str, OfLane)> {
    let mut lanes: Vec<(&'static str, OfLane)> = vec![("read", Stats::read), ("write", Stats::write)];
    if database.engine() == Engine::Postgres {
        lanes.push(("append", Stats::append));
    }
    lanes
}

/// Adds the gauges of every store.
pub(crate) fn register(registry: &Registry, stores: &Stores) -> Result<(), prometheus::Error> {
    let mut readings = Readings::default();
    for (service, store) in stores.all() {
        for (name, help, read) in GAUGES {
            let store = store.clone();
            readings.add(Opts::new(name, help).const_label("service", service), move || read(&store))?;
        }
        for (name, help, read) in LANES {
            for (lane, of) in lanes_of(&store.database) {
                let database = store.database.clone();
                let opts = Opts::new(name, help).const_label("service", service).const_label("lane", lane);
                readings.add(opts, move || as_f64(i64::try_from(read(of(database.stats()))).unwrap_or(i64::MAX)))?;
            }
        }
    }
    registry.register(Box::new(readings))
}

/// Adds the ages of the change streams: auth's, which every service hears that keeps something, and locker's, which vault hears.
pub(crate) fn register_streams(
    registry: &Registry,
    set: Set,
    authenticator: &Authenticator,
    vault: Option<&Arc<coffre_vault::App>>,
) -> Result<(), prometheus::Error> {
    let (name, help) = STREAM_AGE;
    let of = |service: &str, provider: &str| {
        Opts::new(name, help).const_label("service", service).const_label("provider", provider)
    };
    let mut readings = Readings::default();
    for service in set.keepers() {
        let authenticator = authenticator.clone();
        readings.add(of(service.as_str(), "auth"), move || authenticator.age().as_secs_f64())?;
    }
    if let Some(vault) = vault.cloned() {
        readings.add(of("vault", "locker"), move || vault.locker_age().as_secs_f64())?;
    }
    registry.register(Box::new(readings))
}

/// Tells when a certificate expires.
pub(crate) type Expiry = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// Adds when each certificate expires, by its use.
pub(crate) fn register_certificates(
    registry: &Registry,
    certificates: Vec<(&'static str, Expiry)>,
) -> Result<(), prometheus::Error> {
    if certificates.is_empty() {
        return Ok(());
    }
    let (name, help) = CERTIFICATE_EXPIRY;
    let mut readings = Readings::default();
    for (use_, expires_at) in certificates {
        let opts = Opts::new(name, help).const_label("use", use_);
        readings.add(opts, move || as_f64(expires_at().micros() / 1_000_000))?;
    }
    registry.register(Box::new(readings))
}

/// Adds whether the vault is sealed, and since when, and what its replicas gave each other.
pub(crate) fn register_vault(registry: &Registry, vault: &Arc<coffre_vault::App>) -> Result<(), prometheus::Error> {
    let vault = vault.clone();
    let mut readings = Readings::default();
    for (name, help, read) in ROOT_KEY {
        let counts = vault.peer_counts().clone();
        let opts = Opts::new(name, help).const_label("service", "vault");
        readings.add(opts, move || as_f64(i64::try_from(read(&counts)).unwrap_or(i64::MAX)))?;
    }
    registry.register(Box::new(readings))?;
    register_seal(registry, move || vault.sealed_since())
}

fn register_seal(
    registry: &Registry,
    since: impl Fn() -> Option<Timestamp> + Clone + Send + Sync + 'static,
) -> Result<(), prometheus::Error> {
    let opts = |(name, help): (&str, &str)| Opts::new(name, help).const_label("service", "vault");
    let mut readings = Readings::default();
    let sealed = since.clone();
    readings.add(opts(SEALED), move || f64::from(u8::from(sealed().is_some())))?;
    readings.add(opts(SEALED_SINCE), move || since().map_or(0.0, |since| as_f64(since.micros() / 1_000_000)))?;
    registry.register(Box::new(readings))
}

/// Adds how the audit log stands.
pub(crate) fn register_audit(registry: &Registry, keeping: &coffre_audit::Keeping) -> Result<(), prometheus::Error> {
    let mut readings = Readings::default();
    for (name, help, read) in LOG {
        let keeping = keeping.clone();
        let opts = Opts::new(name, help).const_label("service", "audit");
        readings.add(opts, move || read(&keeping.standing(), SystemClock.now()))?;
    }
    registry.register(Box::new(readings))
}

/// What other services take part in, and what is not finished yet.
pub(crate) struct Pending {
    auth: Option<OfAuth>,
    locker: Option<OfLocker>,
}

struct OfAuth {
    store: Store,
    deletions: IntGauge,
}

struct OfLocker {
    store: Store,
    deletions: IntGauge,
    reservations: IntGauge,
}

impl Pending {
    /// Adds the gauges of the services that are here.
    pub(crate) fn register(registry: &Registry, stores: &Stores) -> Result<Self, prometheus::Error> {
        let gauge = |(name, help): (&str, &str), service: Service| {
            let gauge = IntGauge::with_opts(Opts::new(name, help).const_label("service", service.as_str()))?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let of_auth = |store: &Store| {
            Ok::<_, prometheus::Error>(OfAuth { store: store.clone(), deletions: gauge(DELETIONS, Service::Auth)? })
        };
        let of_locker = |store: &Store| {
            let (deletions, reservations) = (gauge(DELETIONS, Service::Locker)?, gauge(RESERVATIONS, Service::Locker)?);
            Ok::<_, prometheus::Error>(OfLocker { store: store.clone(), deletions, reservations })
        };
        Ok(Self {
            auth: stores.find(Service::Auth).map(of_auth).transpose()?,
            locker: stores.find(Service::Locker).map(of_locker).transpose()?,
        })
    }

    /// Counts every few seconds until the stop. While a database does not answer its last counts stay: `coffre_database_up` says so.
    pub(crate) async fn count(self, stop: CancellationToken) {
        let mut tick = interval(COUNTED_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = stop.cancelled() => return,
            }
            if let Some(auth) = &self.auth
                && let Ok(deletions) = coffre_auth::deletions_pending(&auth.store.database).await
            {
                auth.deletions.set(deletions);
            }
            if let Some(locker) = &self.locker
                && let Ok(pending) = coffre_locker::pending(&locker.store.database).await
            {
                locker.reservations.set(pending.reservations);
                locker.deletions.set(pending.deletions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus::{Encoder as _, TextEncoder};

    use super::*;

    #[test]
    fn the_page_has_a_line_for_each() {
        let page = include_str!("../../../docs/metrics.md");
        let log = LOG.iter().map(|(name, help, _)| (*name, *help));
        let lanes = LANES.iter().map(|(name, help, _)| (*name, *help));
        let peers = ROOT_KEY.iter().map(|(name, help, _)| (*name, *help));
        let named = GAUGES.iter().map(|(name, help, _)| (*name, *help)).chain(log).chain(lanes).chain(peers).chain([
            STREAM_AGE,
            SEALED,
            SEALED_SINCE,
            RESERVATIONS,
            DELETIONS,
            CERTIFICATE_EXPIRY,
        ]);
        for (name, help) in named {
            assert!(
                page.lines().any(|line| line.starts_with(&format!("| `{name}` |")) && line.contains(help)),
                "docs/metrics.md lacks {name}: {help}"
            );
        }
    }

    #[test]
    fn a_checkpoint_is_old_only_where_something_came_since() {
        let read = |name: &str, log: &Standing| {
            let (.., read) = LOG.iter().find(|(known, ..)| *known == name).expect("a gauge");
            read(log, Timestamp::from_seconds(1_000_090))
        };
        let made = Some(Timestamp::from_seconds(1_000_000));
        let mut log = Standing { size: 10, checkpoint_size: 10, checkpoint_time: made, ..Standing::default() };
        let age = "coffre_audit_checkpoint_age_seconds";
        assert!(read(age, &log).abs() < f64::EPSILON);
        log.size = 11;
        assert!((read(age, &log) - 90.0).abs() < f64::EPSILON);
        log.witnessed_size = 4;
        assert!((read("coffre_audit_unwitnessed_entries", &log) - 7.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_sealed_vault_says_since_when() {
        let registry = Registry::new();
        let sealed = Arc::new(std::sync::Mutex::new(None));
        let told = sealed.clone();
        register_seal(&registry, move || *told.lock().expect("whole")).expect("once");
        let lines = || {
            let mut text = Vec::new();
            TextEncoder::new().encode(&registry.gather(), &mut text).expect("text");
            let text = String::from_utf8(text).expect("UTF-8");
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>()
        };
        let expected = |sealed: &str, since: &str| {
            [
                format!("coffre_vault_sealed{{service=\"vault\"}} {sealed}"),
                format!("coffre_vault_sealed_since_seconds{{service=\"vault\"}} {since}"),
            ]
        };
        assert_eq!(lines(), expected("0", "0"));
        *sealed.lock().expect("whole") = Some(Timestamp::from_seconds(1_800_000_000));
        assert_eq!(lines(), expected("1", "1800000000"));
    }

    #[test]
    fn a_gauge_is_read_when_it_is_asked_for() {
        let registry = Registry::new();
        let mut readings = Readings::default();
        let now = Arc::new(std::sync::atomic::AtomicU32::new(1));
        for service in ["auth", "vault"] {
            let now = now.clone();
            let read = move || f64::from(now.load(std::sync::atomic::Ordering::Relaxed));
            readings.add(Opts::new(STREAM_AGE.0, STREAM_AGE.1).const_label("service", service), read).expect("a gauge");
        }
        registry.register(Box::new(readings)).expect("once");
        now.store(3, std::sync::atomic::Ordering::Relaxed);
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).expect("text");
        let text = String::from_utf8(text).expect("UTF-8");
        for line in [
            "coffre_change_stream_age_seconds{service=\"auth\"} 3",
            "coffre_change_stream_age_seconds{service=\"vault\"} 3",
        ] {
            assert!(text.lines().any(|told| told == line), "{line} is not in\n{text}");
        }
    }
}
