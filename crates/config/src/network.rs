//! Where services of ours are found when each runs in a process of its own, and how connections are protected.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::reader::{Placeholder, Reader};

/// A host, by name or address, and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort(String);

impl HostPort {
    /// Returns it as `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for HostPort {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (host, port) = text.rsplit_once(':').ok_or(())?;
        let name = match host.strip_prefix('[') {
            Some(rest) => {
                rest.strip_suffix(']').filter(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok()).ok_or(())?
            }
            None => host,
        };
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let good = !name.is_empty() && (name.len() < host.len() || name.bytes().all(plain));
        if !good || port.parse::<u16>().ok().is_none_or(|port| port == 0) {
            return Err(());
        }
        Ok(Self(text.to_owned()))
    }
}

/// Where the services are that run elsewhere, as far as it was said: the address of the port at which others of ours call them.
#[derive(Clone, Debug, Default)]
pub struct Services {
    /// Users, roles, sessions.
    pub auth: Option<HostPort>,
    /// Credentials and values.
    pub vault: Option<HostPort>,
    /// Lockers.
    pub locker: Option<HostPort>,
    /// The record of every call.
    pub audit: Option<HostPort>,
}

impl Services {
    pub(crate) fn read(read: &mut Reader<'_>) -> Self {
        let mut of = |key| read.optional(key, "a host and port such as coffre-auth:50052");
        Self {
            auth: of("services.auth"),
            vault: of("services.vault"),
            locker: of("services.locker"),
            audit: of("services.audit"),
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, and those between it and its authority.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What a service shows to the others, and whom it believes.
#[derive(Clone, Debug)]
pub struct InternalFiles {
    /// The certificate of this service.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities that vouch for the services.
    pub ca: PathBuf,
}

/// How connections are protected.
#[derive(Clone, Debug)]
pub struct Tls {
    /// For the public ports, where they speak TLS.
    pub public: Option<TlsFiles>,
    /// Something before the public ports ends TLS.
    pub terminated_before: bool,
    /// For calls between services.
    pub internal: Option<InternalFiles>,
    /// The trust domain of the services' names.
    pub trust_domain: String,
}

/// The name of a trust domain (SPIFFE-ID, section 2.1).
struct TrustDomain(String);

impl FromStr for TrustDomain {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        if (1..=255).contains(&text.len()) && text.bytes().all(plain) { Ok(Self(text.to_owned())) } else { Err(()) }
    }
}

impl Placeholder for TrustDomain {
    fn placeholder() -> Self {
        Self(String::new())
    }
}

impl Placeholder for bool {
    fn placeholder() -> Self {
        false
    }
}

impl Tls {
    pub(crate) fn read(read: &mut Reader<'_>) -> Self {
        let public = together(read, ["tls.cert_file", "tls.key_file"]);
        let internal = together(read, ["tls.internal_cert_file", "tls.internal_key_file", "tls.internal_ca_file"]);
        let tls = Self {
            public: public.map(|[cert, key]| TlsFiles { cert, key }),
            terminated_before: read.required("tls.terminated_before", "true or false"),
            internal: internal.map(|[cert, key, ca]| InternalFiles { cert, key, ca }),
            trust_domain: read
                .required::<TrustDomain>(
                    "tls.trust_domain",
                    "a name in lower-case letters, digits, dots, hyphens such as coffre.internal",
                )
                .0,
        };
        if tls.terminated_before && tls.public.is_some() {
            read.fault(
                "tls.terminated_before",
                "says that TLS ends before the public ports, and tls.cert_file that it ends here: remove one of them",
            );
        }
        tls
    }
}

/// Reads files that are of use together alone.
fn together<const N: usize>(read: &mut Reader<'_>, keys: [&'static str; N]) -> Option<[PathBuf; N]> {
    let files: [Option<PathBuf>; N] = keys.map(|key| read.optional(key, "a file"));
    let given = files.iter().flatten().count();
    if given > 0 && given < N {
        for (key, _) in keys.iter().zip(&files).filter(|(_, file)| file.is_none()) {
            read.fault(key, format_args!("is missing: {} are given together", keys.join(", ")));
        }
        return None;
    }
    let files: Vec<PathBuf> = files.into_iter().flatten().collect();
    files.try_into().ok()
}

#[cfg(test)]
mod tests {
    use crate::{Fault, Settings, Sources};

    fn with(variables: &[(&str, &str)]) -> Result<Settings, Vec<Fault>> {
        let mut sources = Sources::default();
        sources
            .environment(variables.iter().map(|(name, value)| (format!("COFFRE_{name}"), (*value).to_owned())))
            .unwrap();
        Settings::check(&sources)
    }

    #[test]
    fn services_are_found_under_a_host_and_a_port() {
        for good in ["coffre-auth:50052", "auth.coffre.svc.cluster.local.:50052", "10.0.0.1:1", "[2001:db8::1]:50052"] {
            let services = with(&[("SERVICES__AUTH", good)]).unwrap().services;
            assert_eq!(services.auth.unwrap().as_str(), good);
            assert!(services.vault.is_none());
        }
        for bad in [
            "auth",
            "auth:",
            "auth:0",
            "auth:65536",
            ":50052",
            "http://auth:50052",
            "a b:1",
            "[::1:1",
            "[x]:1",
            "::1:80",
        ] {
            let faults = with(&[("SERVICES__AUDIT", bad)]).unwrap_err();
            assert!(faults[0].to_string().contains("services.audit: takes a host and port"), "{bad}: {}", faults[0]);
        }
    }

    #[test]
    fn a_certificate_without_its_key_is_refused_and_the_missing_one_is_named() {
        assert!(with(&[]).unwrap().tls.public.is_none());
        assert!(with(&[("TLS__CERT_FILE", "c"), ("TLS__KEY_FILE", "k")]).unwrap().tls.public.is_some());
        let faults = with(&[("TLS__CERT_FILE", "c")]).unwrap_err();
        assert!(faults.len() == 1 && faults[0].to_string().starts_with("tls.key_file: is missing"), "{faults:?}");
        let faults = with(&[("TLS__INTERNAL_CA_FILE", "ca")]).unwrap_err();
        let named: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(named.len(), 2, "{named:?}");
        assert!(
            named[0].starts_with("tls.internal_cert_file") && named[1].starts_with("tls.internal_key_file"),
            "{named:?}"
        );
    }

    #[test]
    fn tls_ends_in_one_place() {
        assert!(with(&[("TLS__TERMINATED_BEFORE", "true")]).unwrap().tls.terminated_before);
        for variables in [
            &[("TLS__TERMINATED_BEFORE", "true"), ("TLS__CERT_FILE", "c"), ("TLS__KEY_FILE", "k")][..],
            &[("TLS__TERMINATED_BEFORE", "yes")],
        ] {
            let faults = with(variables).unwrap_err();
            assert!(faults[0].to_string().starts_with("tls.terminated_before"), "{}", faults[0]);
        }
    }

    #[test]
    fn a_trust_domain_is_a_plain_name() {
        assert_eq!(with(&[]).unwrap().tls.trust_domain, "coffre.internal");
        assert_eq!(with(&[("TLS__TRUST_DOMAIN", "vault.example.org")]).unwrap().tls.trust_domain, "vault.example.org");
        for bad in ["Example.org", "spiffe://x", "a/b", "caf\u{e9}"] {
            assert!(
                with(&[("TLS__TRUST_DOMAIN", bad)]).unwrap_err()[0].to_string().contains("tls.trust_domain"),
                "{bad}"
            );
        }
    }

    #[test]
    fn times_are_given_in_seconds_and_parts_of_them() {
        use std::time::Duration;
        assert_eq!(with(&[]).unwrap().lame_duck, None);
        assert_eq!(with(&[("LAME_DUCK_SECONDS", "0.25")]).unwrap().lame_duck, Some(Duration::from_millis(250)));
        assert_eq!(with(&[("LAME_DUCK_SECONDS", "0")]).unwrap().lame_duck, Some(Duration::ZERO));
        for bad in ["-1", "601", "NaN", "inf", "5s"] {
            assert!(
                with(&[("LAME_DUCK_SECONDS", bad)]).unwrap_err()[0].to_string().contains("lame_duck_seconds"),
                "{bad}"
            );
        }
    }
}
