//! Where traces and metrics are sent.

use std::path::PathBuf;
use std::str::FromStr;

use crate::reader::{Placeholder, Reader};

/// The names under which OpenTelemetry's own programs are told the same things, and the settings that they stand for.
pub(crate) const STANDARD: [(&str, &str); 4] = [
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "telemetry.otlp_endpoint"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "telemetry.otlp_ca_file"),
    ("OTEL_TRACES_SAMPLER_ARG", "telemetry.traced_share"),
    ("OTEL_SERVICE_NAME", "telemetry.service_name"),
];

/// Where traces and metrics are sent, and which.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// The collector; without one nothing is traced.
    pub endpoint: Option<String>,
    /// The authorities that vouch for it, where it is reached by TLS.
    pub ca_file: Option<PathBuf>,
    /// The share of the traces that begin here and are recorded, from 0 to 1.
    pub share: f64,
    /// What collectors call this process, where it was said.
    pub service_name: Option<String>,
}

/// A number from 0 to 1.
struct Share(f64);

impl FromStr for Share {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Self).ok_or(())
    }
}

impl Placeholder for Share {
    fn placeholder() -> Self {
        Self(1.0)
    }
}

/// The address of a collector: nobody's name or password is in it.
struct Endpoint(String);

impl FromStr for Endpoint {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(())?;
        let place = rest.strip_suffix('/').unwrap_or(rest);
        let plain = place.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte));
        if place.is_empty() || place.starts_with(':') || !plain { Err(()) } else { Ok(Self(text.to_owned())) }
    }
}

impl Telemetry {
    pub(crate) fn read(read: &mut Reader<'_>) -> Self {
        let endpoint = read.optional::<Endpoint>("telemetry.otlp_endpoint", "an address such as http://127.0.0.1:4317");
        let telemetry = Self {
            endpoint: endpoint.map(|Endpoint(text)| text),
            ca_file: read.optional("telemetry.otlp_ca_file", "a file"),
            share: read.required::<Share>("telemetry.traced_share", "a number from 0 to 1 such as 0.1").0,
            service_name: read.optional("telemetry.service_name", "a name"),
        };
        let by_tls = telemetry.endpoint.as_deref().is_some_and(|endpoint| endpoint.starts_with("https://"));
        if by_tls && telemetry.ca_file.is_none() {
            read.fault(
                "telemetry.otlp_ca_file",
                "is missing: the collector is reached by TLS, and the file says whose certificates are believed",
            );
        }
        telemetry
    }
}

#[cfg(test)]
mod tests {
    use crate::settings::with;

    #[test]
    fn nothing_is_sent_unless_a_collector_is_named_by_our_name_or_by_the_usual_one() {
        const OURS: &str = "COFFRE_TELEMETRY__OTLP_ENDPOINT";
        const USUAL: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
        let endpoint = |variables: &[(&str, &str)]| with(variables).unwrap().telemetry.endpoint;
        assert_eq!(endpoint(&[]), None);
        assert_eq!(endpoint(&[("OTEL_SOMETHING_ELSE", "x")]), None);
        for variables in [&[(OURS, "http://a:4317")][..], &[(USUAL, "http://a:4317")]] {
            assert_eq!(endpoint(variables).as_deref(), Some("http://a:4317"));
        }
        let both = endpoint(&[(USUAL, "http://b:4317"), (OURS, "http://a:4317")]);
        assert_eq!(both.as_deref(), Some("http://a:4317"), "what is said to us alone counts more");
    }

    #[test]
    fn a_collector_has_an_address_without_a_password_and_tls_somebody_to_believe() {
        for bad in ["collector:4317", "http://", "http://:4317", "grpc://a", "http://user:pass@a:4317", "http://a/v1"] {
            let faults = with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", bad)]).unwrap_err();
            assert!(faults[0].to_string().contains("such as http://127.0.0.1:4317"), "{bad}: {}", faults[0]);
        }
        let faults = with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://a:4317")]).unwrap_err();
        assert!(faults[0].to_string().contains("telemetry.otlp_ca_file"), "{}", faults[0]);
        for (share, good) in [("0", true), ("0.25", true), ("1", true), ("1.1", false), ("-1", false), ("all", false)] {
            assert_eq!(with(&[("COFFRE_TELEMETRY__TRACED_SHARE", share)]).is_ok(), good, "{share}");
        }
    }
}
