//! What the databases and the relays tell about themselves, read when a collector asks.

use coffre_audit_client::Lag;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts, Registry};

use crate::stores::{Store, Stores};

type Reading = fn(&Store) -> f64;

/// Name, help, and how it is read from a store.
const GAUGES: [(&str, &str, Reading); 6] = [
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

fn lag(store: &Store, read: impl Fn(&Lag) -> f64) -> f64 {
    read(store.outbox.lag())
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float; 2^53 rows are not reached")]
fn as_f64(number: i64) -> f64 {
    number as f64
}

struct Readings {
    gauges: Vec<(Gauge, Store, Reading)>,
}

/// Adds the gauges of every store.
pub(crate) fn register(registry: &Registry, stores: &Stores) -> Result<(), prometheus::Error> {
    let mut gauges = Vec::new();
    for (service, store) in stores.all() {
        for (name, help, read) in GAUGES {
            gauges.push((
                Gauge::with_opts(Opts::new(name, help).const_label("service", service))?,
                store.clone(),
                read,
            ));
        }
    }
    registry.register(Box::new(Readings { gauges }))
}

impl Collector for Readings {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.iter().flat_map(|(gauge, _, _)| gauge.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauges
            .iter()
            .flat_map(|(gauge, store, read)| {
                gauge.set(read(store));
                gauge.collect()
            })
            .collect()
    }
}
