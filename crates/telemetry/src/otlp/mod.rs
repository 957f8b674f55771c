//! Spans and metrics on their way to a collector, by OTLP over gRPC.
//!
//! Nobody waits for the collector. Spans wait in a bounded queue; what finds no room, and what a collector that is away or slow does not
//! take, is counted (`coffre_telemetry_spans_total`) and gone. The stop waits for it for [`LAST_WORDS`] at most.

mod metrics;
mod spans;

use std::time::Duration;

use coffre_trace::{Finished, Record, Tracer, tracer};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyText;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prometheus::{IntCounter, IntCounterVec, Opts, Registry};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Spans that wait at most: some megabytes.
const ROOM: usize = 16 * 1024;
/// Spans of one message at most.
const MOST: usize = 1024;
/// How long spans gather before they are sent.
const GATHERED: Duration = Duration::from_millis(200);
/// How long a message may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is sent after a collector took nothing: meanwhile what finds no room is dropped.
const PAUSE: Duration = Duration::from_secs(1);
/// How often metrics are sent.
const METRICS_EVERY: Duration = Duration::from_secs(15);
/// How long the stop waits for what is left.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where spans and metrics go, and as whose.
#[derive(Clone, Debug)]
pub struct Collector {
    /// Its address, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// PEM of the authorities that vouch for it, where it is reached by TLS.
    pub authorities: Option<Vec<u8>>,
    /// Who tells: names and values of the resource, such as `service.name`.
    pub resource: Vec<(&'static str, String)>,
    /// The share of the traces that begin here and are recorded, from 0 to 1.
    pub share: f64,
}

/// Why nothing can be sent to a collector.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The address is none.
    #[error(
        "{0:?} is no address of a collector: it is written http://host:port or https://host:port, such as http://127.0.0.1:4317"
    )]
    Endpoint(String),
    /// Nobody vouches for it.
    #[error("{0:?} is reached by TLS, and nothing says whom to believe: name a file with its authorities")]
    Authorities(String),
    /// What was given for TLS cannot be used.
    #[error("TLS to the collector: {0}")]
    Tls(#[from] tonic::transport::Error),
}

/// Says what became of spans.
#[derive(Clone, Debug)]
pub struct ExporterMetrics {
    sent: IntCounter,
    failed: IntCounter,
    dropped: IntCounter,
}

impl ExporterMetrics {
    /// Makes and registers them.
    ///
    /// # Errors
    /// Where the registry already has series of this name.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let spans = IntCounterVec::new(
            Opts::new(
                "coffre_telemetry_spans_total",
                "Spans that a collector took (`sent`) or did not take (`failed`), or that found no room (`dropped`).",
            ),
            &["outcome"],
        )?;
        registry.register(Box::new(spans.clone()))?;
        let of = |outcome| spans.with_label_values(&[outcome]);
        Ok(Self { sent: of("sent"), failed: of("failed"), dropped: of("dropped") })
    }
}

/// Sends spans and metrics to a collector.
#[derive(Debug)]
pub struct Exporter {
    finished: Finished,
    traces: TraceServiceClient<Channel>,
    metrics: MetricsServiceClient<Channel>,
    resource: Resource,
}

impl Collector {
    /// Makes what begins spans and what sends them. It connects when there is something to send. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// Where the address is none, or TLS cannot be had.
    pub fn follow(self) -> Result<(Tracer, Exporter), OtlpError> {
        let channel = self.endpoint()?.connect_lazy();
        let (tracer, finished) = tracer(self.share, ROOM);
        let resource = self.resource.into_iter().map(|(key, value)| text(key, value)).collect();
        let exporter = Exporter {
            finished,
            traces: TraceServiceClient::new(channel.clone()),
            metrics: MetricsServiceClient::new(channel),
            resource: Resource { attributes: resource, ..Resource::default() },
        };
        Ok((tracer, exporter))
    }

    fn endpoint(&self) -> Result<Endpoint, OtlpError> {
        let wrong = || OtlpError::Endpoint(self.endpoint.clone());
        let endpoint = Endpoint::from_shared(self.endpoint.clone()).map_err(|_| wrong())?;
        let endpoint = endpoint.connect_timeout(Duration::from_secs(2)).timeout(PATIENCE).tcp_nodelay(true);
        match (endpoint.uri().scheme_str(), endpoint.uri().host(), &self.authorities) {
            (Some("http"), Some(_), _) => Ok(endpoint),
            (Some("https"), Some(_), Some(pem)) => {
                Ok(endpoint.tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))?)
            }
            (Some("https"), Some(_), None) => Err(OtlpError::Authorities(self.endpoint.clone())),
            _ => Err(wrong()),
        }
    }
}

impl Exporter {
    /// Sends what comes until the stop, and then what is left.
    pub async fn run(self, registry: Registry, counts: ExporterMetrics, stop: CancellationToken) {
        let Self { finished, traces, metrics, resource } = self;
        let spans = Spans { finished, traces, resource: resource.clone(), counts, complained: false };
        tokio::join!(spans.run(&stop), send_metrics(metrics, resource, &registry, &stop));
    }
}

struct Spans {
    finished: Finished,
    traces: TraceServiceClient<Channel>,
    resource: Resource,
    counts: ExporterMetrics,
    complained: bool,
}

impl Spans {
    async fn run(mut self, stop: &CancellationToken) {
        let mut records = Vec::with_capacity(MOST);
        loop {
            let count = tokio::select! {
                count = self.finished.take(&mut records, MOST) => count,
                () = stop.cancelled() => break,
            };
            if count == 0 {
                return;
            }
            let until = Instant::now() + GATHERED;
            while let room @ 1.. = MOST.saturating_sub(records.len()) {
                let more = tokio::select! {
                    more = self.finished.take(&mut records, room) => more,
                    () = tokio::time::sleep_until(until) => 0,
                };
                if more == 0 {
                    break;
                }
            }
            let pause = tokio::select! {
                sent = self.send(&mut records) => if sent { Duration::ZERO } else { PAUSE },
                () = stop.cancelled() => break,
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.cancelled() => break,
            }
        }
        // What was on its way when the stop came is sent once more, with what is left.
        let rest = async {
            self.finished.close();
            while !records.is_empty() || self.finished.take(&mut records, MOST).await > 0 {
                if !self.send(&mut records).await {
                    break;
                }
            }
        };
        let _ = timeout(LAST_WORDS, rest).await;
    }

    /// Sends spans; what was not taken is gone. Says whether it was taken.
    async fn send(&mut self, records: &mut Vec<Record>) -> bool {
        let count = records.len() as u64;
        let message =
            ExportTraceServiceRequest { resource_spans: vec![spans::message(self.resource.clone(), scope(), records)] };
        let sent = timeout(PATIENCE, self.traces.export(message)).await;
        records.clear();
        self.counts.dropped.inc_by(self.finished.dropped());
        match sent.map_err(|_| "no answer in time".to_owned()).and_then(|sent| sent.map_err(|fault| fault.to_string()))
        {
            Ok(_) => {
                self.counts.sent.inc_by(count);
                if std::mem::take(&mut self.complained) {
                    tracing::info!("the collector takes spans again");
                }
                true
            }
            Err(why) => {
                self.counts.failed.inc_by(count);
                if !std::mem::replace(&mut self.complained, true) {
                    tracing::warn!(why, "the collector takes no spans: they are dropped meanwhile, and calls go on");
                }
                false
            }
        }
    }
}

async fn send_metrics(
    mut client: MetricsServiceClient<Channel>,
    resource: Resource,
    registry: &Registry,
    stop: &CancellationToken,
) {
    let began = now();
    loop {
        let last = tokio::select! {
            () = sleep(METRICS_EVERY) => false,
            () = stop.cancelled() => true,
        };
        let message = ExportMetricsServiceRequest {
            resource_metrics: vec![metrics::message(resource.clone(), scope(), &registry.gather(), began)],
        };
        let sent = timeout(if last { LAST_WORDS } else { PATIENCE }, client.export(message)).await;
        if !matches!(sent, Ok(Ok(_))) {
            tracing::debug!("the collector took no metrics");
        }
        if last {
            return;
        }
    }
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "coffre".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

fn text(key: &str, value: String) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(AnyText::StringValue(value)) }),
        ..KeyValue::default()
    }
}

/// Returns the time that a collector is told.
#[allow(clippy::disallowed_methods, reason = "it is told to collectors, and nothing is decided by it")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

fn nanos(time: std::time::SystemTime) -> u64 {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
