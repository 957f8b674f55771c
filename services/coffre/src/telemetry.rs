//! Traces and metrics on their way to a collector, where the settings name one.

use std::fs;

use anyhow::Context as _;
use coffre_config::Settings;
use coffre_telemetry::{Collector, Exporter, ExporterMetrics};
use coffre_tls::Service;
use coffre_trace::Tracer;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::set::Set;

/// What begins spans, and what sends them.
pub(crate) struct Telemetry {
    pub(crate) tracer: Tracer,
    exporter: Option<Exporter>,
}

impl Telemetry {
    /// Begins to trace, where a collector is named.
    pub(crate) fn begin(settings: &Settings, set: Set) -> anyhow::Result<Self> {
        let telemetry = &settings.telemetry;
        let Some(endpoint) = telemetry.endpoint.clone() else {
            return Ok(Self { tracer: Tracer::default(), exporter: None });
        };
        let read = |path: &std::path::PathBuf| {
            fs::read(path).with_context(|| format!("telemetry.otlp_ca_file: {} cannot be read", path.display()))
        };
        let name = match set.services().next().filter(|_| set.is_split()) {
            Some(service) => format!("coffre-{}", Service::as_str(service)),
            None => "coffre".to_owned(),
        };
        let collector = Collector {
            endpoint,
            authorities: telemetry.ca_file.as_ref().map(read).transpose()?,
            resource: vec![
                ("service.name", telemetry.service_name.clone().unwrap_or(name)),
                ("service.version", env!("CARGO_PKG_VERSION").to_owned()),
                ("service.instance.id", instance()),
                ("deployment.environment.name", settings.environment.clone()),
            ],
            share: telemetry.share,
        };
        let (tracer, exporter) = collector.follow().context("telemetry.otlp_endpoint")?;
        Ok(Self { tracer, exporter: Some(exporter) })
    }

    /// Sends what comes until `stop`, and then what is left.
    pub(crate) fn run(
        self,
        registry: &Registry,
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<(), prometheus::Error> {
        if let Some(exporter) = self.exporter {
            let counts = ExporterMetrics::register(registry)?;
            tasks.spawn(exporter.run(registry.clone(), counts, stop.clone()));
        }
        Ok(())
    }
}

/// Tells this process from the other replicas.
fn instance() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}-{}", std::process::id())
}
