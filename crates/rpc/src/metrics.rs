//! Calls, errors and durations by RPC. Every series is looked up once, at the start.

use std::time::Duration;

use coffre_error::{Reason, code};
use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

use crate::Rpc;

/// How long calls take, in seconds.
const BUCKETS: [f64; 15] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// The vectors that all services of a process share.
#[derive(Clone)]
pub struct RpcMetrics {
    calls: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGaugeVec,
    refusals: IntCounterVec,
    internal_calls: IntCounterVec,
    internal_seconds: HistogramVec,
    refused: IntCounterVec,
    connections: IntGaugeVec,
    handshakes: IntCounterVec,
}

impl RpcMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// Where the registry already has series of these names.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let calls = IntCounterVec::new(
            Opts::new("coffre_rpc_calls_total", "Calls answered, by service, RPC and gRPC code."),
            &["service", "rpc", "code"],
        )?;
        let seconds = HistogramVec::new(
            HistogramOpts::new("coffre_rpc_duration_seconds", "Time from the arrival of a call to its answer.")
                .buckets(BUCKETS.to_vec()),
            &["service", "rpc"],
        )?;
        let refusals = IntCounterVec::new(
            Opts::new(
                "coffre_rpc_refusals_total",
                "Calls refused, by service and code word; `auth.throttled` are sign-ins that are held back.",
            ),
            &["service", "reason"],
        )?;
        let internal_calls = IntCounterVec::new(
            Opts::new(
                "coffre_internal_calls_total",
                "Calls of other services answered, by service, RPC and gRPC code.",
            ),
            &["service", "rpc", "code"],
        )?;
        let internal_seconds = HistogramVec::new(
            HistogramOpts::new(
                "coffre_internal_duration_seconds",
                "Time from the arrival of a call of another service to its answer.",
            )
            .buckets(BUCKETS.to_vec()),
            &["service", "rpc"],
        )?;
        let in_flight = IntGaugeVec::new(
            Opts::new("coffre_rpc_in_flight", "Calls that are being answered, by service."),
            &["service"],
        )?;
        let refused = IntCounterVec::new(
            Opts::new(
                "coffre_internal_refused_total",
                "Internal calls refused because the calling service may not make them, by service and caller.",
            ),
            &["service", "caller"],
        )?;
        let connections = IntGaugeVec::new(
            Opts::new("coffre_connections", "Open gRPC connections, by listener (public, internal)."),
            &["listener"],
        )?;
        let handshakes = IntCounterVec::new(
            Opts::new("coffre_handshakes_refused_total", "TLS handshakes that came to nothing, by listener."),
            &["listener"],
        )?;
        registry.register(Box::new(refusals.clone()))?;
        registry.register(Box::new(internal_calls.clone()))?;
        registry.register(Box::new(internal_seconds.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(connections.clone()))?;
        registry.register(Box::new(handshakes.clone()))?;
        registry.register(Box::new(calls.clone()))?;
        registry.register(Box::new(seconds.clone()))?;
        registry.register(Box::new(in_flight.clone()))?;
        Ok(Self {
            calls,
            seconds,
            in_flight,
            refusals,
            internal_calls,
            internal_seconds,
            refused,
            connections,
            handshakes,
        })
    }

    pub(crate) fn in_flight(&self, service: &str) -> IntGauge {
        self.in_flight.with_label_values(&[service])
    }

    pub(crate) fn refused(&self, service: &str, caller: &str) {
        self.refused.with_label_values(&[service, caller]).inc();
    }

    pub(crate) fn listener(&self, name: &str) -> ListenerSeries {
        ListenerSeries {
            open: self.connections.with_label_values(&[name]),
            refused: self.handshakes.with_label_values(&[name]),
        }
    }

    /// Counts a refusal by the word that callers get.
    pub(crate) fn refusal(&self, service: &str, reason: Reason) {
        self.refusals.with_label_values(&[service, code(reason)]).inc();
    }

    pub(crate) fn of(&self, service: &str, rpc: &Rpc) -> Series {
        Series::new(&self.calls, &self.seconds, service, rpc.path)
    }

    pub(crate) fn of_internal(&self, service: &str, path: &str) -> Series {
        Series::new(&self.internal_calls, &self.internal_seconds, service, path)
    }
}

/// The series of one listener.
pub(crate) struct ListenerSeries {
    pub(crate) open: IntGauge,
    pub(crate) refused: IntCounter,
}

/// The series of one RPC.
pub(crate) struct Series {
    ok: IntCounter,
    calls: IntCounterVec,
    seconds: Histogram,
    labels: (String, String),
}

impl Series {
    fn new(calls: &IntCounterVec, seconds: &HistogramVec, service: &str, path: &str) -> Self {
        let name = path.trim_start_matches('/');
        Self {
            ok: calls.with_label_values(&[service, name, "Ok"]),
            calls: calls.clone(),
            seconds: seconds.with_label_values(&[service, name]),
            labels: (service.to_owned(), name.to_owned()),
        }
    }

    pub(crate) fn observe(&self, code: tonic::Code, took: Duration) {
        self.seconds.observe(took.as_secs_f64());
        if code == tonic::Code::Ok {
            self.ok.inc();
        } else {
            self.calls.with_label_values(&[self.labels.0.as_str(), self.labels.1.as_str(), &format!("{code:?}")]).inc();
        }
    }
}
