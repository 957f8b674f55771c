//! The certificates of a process: of its public ports, and of its calls to and from other services. Both are read again when they change.

use anyhow::Context as _;
use coffre_config::Settings;
use coffre_tls::{Files, InternalFiles, InternalTls, PublicTls, Service, TrustDomain};
use coffre_types::Timestamp;
use prometheus::Registry;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics;
use crate::set::Set;

/// The certificates of a process.
#[derive(Default)]
pub(crate) struct Certificates {
    /// Of the public ports, where they speak TLS.
    pub(crate) public: Option<PublicTls>,
    /// Of the calls between services, where each runs in a process of its own.
    pub(crate) internal: Option<InternalTls>,
}

impl Certificates {
    /// Reads those that a set of services needs.
    pub(crate) fn load(settings: &Settings, set: Set) -> anyhow::Result<Self> {
        let of_public = |files: &coffre_config::TlsFiles| {
            let files = Files { cert: files.cert.clone(), key: files.key.clone() };
            PublicTls::load(files).context("the certificate of the public ports (tls.cert_file, tls.key_file)")
        };
        let public = settings.tls.public.as_ref().map(of_public).transpose()?;
        let internal = match (set.is_split(), set.services().next()) {
            (true, Some(own)) => Some(internal(settings, own)?),
            _ => None,
        };
        Ok(Self { public, internal })
    }

    /// Reads the files again whenever they change, until `stop`.
    pub(crate) fn watch(&self, stop: &CancellationToken, tasks: &TaskTracker) {
        if let Some(public) = self.public.clone() {
            tasks.spawn(public.watch(stop.clone()));
        }
        if let Some(internal) = self.internal.clone() {
            tasks.spawn(internal.watch(stop.clone()));
        }
    }

    /// Tells collectors how long they last.
    pub(crate) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let mut of: Vec<(&'static str, metrics::Expiry)> = Vec::new();
        if let Some(public) = self.public.clone() {
            of.push(("public", Box::new(move || -> Timestamp { public.expires_at() })));
        }
        if let Some(internal) = self.internal.clone() {
            of.push(("internal", Box::new(move || -> Timestamp { internal.expires_at() })));
        }
        metrics::register_certificates(registry, of)
    }
}

fn internal(settings: &Settings, own: Service) -> anyhow::Result<InternalTls> {
    let files = settings
        .tls
        .internal
        .as_ref()
        .context("tls.internal_cert_file, tls.internal_key_file and tls.internal_ca_file are missing")?;
    let files = InternalFiles {
        cert: files.cert.clone(),
        key: files.key.clone(),
        ca: files.ca.clone(),
        trust_domain: TrustDomain::parse(&settings.tls.trust_domain).context("tls.trust_domain")?,
    };
    InternalTls::load(files, own).context(
        "the certificate for calls between services (tls.internal_cert_file, tls.internal_key_file, tls.internal_ca_file)",
    )
}
