//! What a process would expose, looked at before it begins: settings that would put secrets on a wire, or keep a service from finding the
//! others, are refused with a sentence that says what to do.

use std::net::SocketAddr;

use anyhow::bail;
use coffre_config::{HostPort, Settings};
use coffre_db::DatabaseUrl;
use coffre_tls::Service;

use crate::set::Set;

const HTTP: &str = "http_addr (COFFRE_HTTP_ADDR)";
const GRPC: &str = "grpc_addr (COFFRE_GRPC_ADDR)";
const INTERNAL: &str = "internal_addr (COFFRE_INTERNAL_ADDR)";
const MANAGEMENT: &str = "management_addr (COFFRE_MANAGEMENT_ADDR)";

/// What is said where something else has to protect the public ports.
pub(crate) const PLAIN_TEXT: &str =
    "the public ports speak plain text on an address that others reach: something before them has to end TLS";

/// The addresses of a process, each with the name of its setting. Ports that nobody serves are not bound.
pub(crate) struct Addresses {
    pub(crate) http: Option<(SocketAddr, &'static str)>,
    pub(crate) grpc: Option<(SocketAddr, &'static str)>,
    pub(crate) internal: Option<(SocketAddr, &'static str)>,
    pub(crate) management: (SocketAddr, &'static str),
}

impl Addresses {
    /// Returns those of a set of services.
    pub(crate) fn of(settings: &Settings, set: Set) -> Self {
        Self {
            http: set.has(Service::Gateway).then_some((settings.http_addr, HTTP)),
            grpc: set.keeps().then_some((settings.grpc_addr, GRPC)),
            internal: (set.keeps() && set.is_split()).then_some((settings.internal_addr, INTERNAL)),
            management: (settings.management_addr, MANAGEMENT),
        }
    }

    /// Returns each.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SocketAddr, &'static str)> {
        [self.http, self.grpc, self.internal, Some(self.management)].into_iter().flatten()
    }

    /// Refuses two ports in one place: the second one could not be bound.
    fn are_apart(&self) -> anyhow::Result<()> {
        for (index, (one, key)) in self.all().enumerate() {
            if let Some((_, other)) = self.all().skip(index + 1).find(|(other, _)| meet(one, *other)) {
                bail!("{key} and {other} are the same port, {one}: give each one of its own");
            }
        }
        Ok(())
    }
}

/// Says whether nobody can listen at both. Port 0 is another one each time.
fn meet(one: SocketAddr, other: SocketAddr) -> bool {
    // `::` listens for IPv4, too.
    let covers = |all: SocketAddr, one: SocketAddr| all.ip().is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || covers(one, other) || covers(other, one))
}

/// Refuses what `dev` must not do: it speaks plain text, on this machine.
pub(crate) fn of_dev(settings: &Settings) -> anyhow::Result<()> {
    let addresses = Addresses::of(settings, Set::ALL);
    for (address, key) in [addresses.http, addresses.grpc, Some(addresses.management)].into_iter().flatten() {
        if !address.ip().is_loopback() {
            bail!("`dev` listens on this machine only, and {key} is {address}: use 127.0.0.1, or `coffre serve`");
        }
    }
    addresses.are_apart()?;
    if settings.tls.public.is_some() {
        bail!("`dev` speaks plain text: remove tls.cert_file and tls.key_file, or use `coffre serve`");
    }
    Ok(())
}

/// Refuses what `serve` must not do. Returns whether something else has to protect the public ports.
pub(crate) fn of_serve(settings: &Settings, set: Set) -> anyhow::Result<bool> {
    if settings.admin_password.is_some() {
        bail!(
            "`serve` takes no password from the environment: remove COFFRE_ADMIN_PASSWORD; `coffre init` takes COFFRE_ADMIN_PASSWORD_FILE"
        );
    }
    let addresses = Addresses::of(settings, set);
    addresses.are_apart()?;
    let exposed =
        [addresses.http, addresses.grpc].into_iter().flatten().find(|(address, _)| !address.ip().is_loopback());
    if let (Some((address, key)), None, false) = (exposed, &settings.tls.public, settings.tls.terminated_before) {
        bail!(
            "{key} is {address}, and without TLS a process listens on this machine only: give it a certificate (tls.cert_file and tls.key_file), use 127.0.0.1 behind a proxy that ends TLS, or say with tls.terminated_before = true that something before this address does"
        );
    }
    if set.is_split() {
        of_split(settings, set)?;
    }
    Ok(exposed.is_some() && settings.tls.terminated_before)
}

fn of_split(settings: &Settings, set: Set) -> anyhow::Result<()> {
    if settings.tls.internal.is_none() {
        bail!(
            "`serve {}` and the other services know each other by their certificates alone: tls.internal_cert_file, tls.internal_key_file and tls.internal_ca_file name the files; `coffre dev certs` makes some for trying",
            set.names()
        );
    }
    let missing: Vec<&str> = set
        .calls_elsewhere()
        .map(|service| address_of(settings, service))
        .filter(|(_, known)| known.is_none())
        .map(|(key, _)| key)
        .collect();
    if !missing.is_empty() {
        bail!(
            "`serve {}` does not know where other services are: set {} to the host and port of their internal ports, such as coffre-auth:50052",
            set.names(),
            missing.join(", ")
        );
    }
    Ok(())
}

/// Refuses files as the database of a service that runs by itself: it has replicas, and other services have theirs.
pub(crate) fn of_database(url: &DatabaseUrl, set: Set) -> anyhow::Result<()> {
    if set.is_split() && url.folder().is_some() {
        bail!(
            "`serve {}` keeps nothing in SQLite, whose files belong to one process: name a PostgreSQL in database_url_file (COFFRE_DATABASE_URL_FILE), or use `serve all`",
            set.names()
        );
    }
    Ok(())
}

/// Returns the setting that says where a service is, and what it says.
pub(crate) fn address_of(settings: &Settings, service: Service) -> (&'static str, Option<&HostPort>) {
    match service {
        Service::Auth => ("services.auth (COFFRE_SERVICES__AUTH)", settings.services.auth.as_ref()),
        Service::Vault => ("services.vault (COFFRE_SERVICES__VAULT)", settings.services.vault.as_ref()),
        Service::Locker => ("services.locker (COFFRE_SERVICES__LOCKER)", settings.services.locker.as_ref()),
        Service::Audit => ("services.audit (COFFRE_SERVICES__AUDIT)", settings.services.audit.as_ref()),
        // Nobody calls the gateway.
        Service::Gateway => ("http_addr (COFFRE_HTTP_ADDR)", None),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use coffre_config::Sources;

    use super::*;

    const INTERNAL_TLS: [(&str, &str); 3] =
        [("TLS__INTERNAL_CERT_FILE", "c"), ("TLS__INTERNAL_KEY_FILE", "k"), ("TLS__INTERNAL_CA_FILE", "ca")];
    const OTHERS: [(&str, &str); 4] = [
        ("SERVICES__AUTH", "auth:1"),
        ("SERVICES__VAULT", "vault:1"),
        ("SERVICES__LOCKER", "locker:1"),
        ("SERVICES__AUDIT", "audit:1"),
    ];

    fn with(variables: &[(&str, &str)]) -> Settings {
        let mut sources = Sources::default();
        let named = variables.iter().map(|(name, value)| (format!("COFFRE_{name}"), (*value).to_owned()));
        sources.environment(named).unwrap();
        Settings::check(&sources).unwrap()
    }

    fn refused(variables: &[&[(&str, &str)]], set: Set) -> Option<String> {
        of_serve(&with(&variables.concat()), set).err().map(|error| error.to_string())
    }

    #[test]
    fn a_public_address_needs_tls_or_the_word_that_it_ends_before() {
        for (name, set) in [("HTTP_ADDR", Set::ALL), ("GRPC_ADDR", Set::ALL)] {
            let public = (name, "0.0.0.0:1");
            let why = refused(&[&[public]], set).unwrap();
            assert!(why.contains(name) && why.contains("tls.cert_file") && why.contains("terminated_before"), "{why}");
            assert_eq!(refused(&[&[public, ("TLS__CERT_FILE", "c"), ("TLS__KEY_FILE", "k")]], set), None);
            let settings = with(&[public, ("TLS__TERMINATED_BEFORE", "true")]);
            assert!(of_serve(&settings, set).unwrap(), "somebody is told that the port is open");
        }
        assert!(!of_serve(&with(&[]), Set::ALL).unwrap());
        assert_eq!(refused(&[&[("MANAGEMENT_ADDR", "0.0.0.0:9090")]], Set::ALL), None, "probes come from elsewhere");
    }

    #[test]
    fn two_ports_are_not_in_one_place() {
        let terminated = ("TLS__TERMINATED_BEFORE", "true");
        for (http, grpc, apart) in [
            ("127.0.0.1:1", "127.0.0.1:1", false),
            ("0.0.0.0:1", "127.0.0.1:1", false),
            ("127.0.0.1:1", "[::]:1", false),
            ("0.0.0.0:1", "[::1]:1", true),
            ("127.0.0.1:1", "127.0.0.2:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", true),
            ("127.0.0.1:0", "127.0.0.1:0", true),
        ] {
            let why = refused(&[&[("HTTP_ADDR", http), ("GRPC_ADDR", grpc), terminated]], Set::ALL);
            assert_eq!(why.is_none(), apart, "{http} {grpc}: {why:?}");
            assert!(why.is_none_or(|why| why.contains("COFFRE_HTTP_ADDR") && why.contains("COFFRE_GRPC_ADDR")));
        }
        assert!(of_dev(&with(&[("MANAGEMENT_ADDR", "127.0.0.1:8080")])).is_err());
        let only_grpc =
            refused(&[&[("HTTP_ADDR", "127.0.0.1:50051")], &INTERNAL_TLS, &OTHERS], Set::of(Service::Vault));
        assert_eq!(only_grpc, None, "nobody serves REST there");
    }

    #[test]
    fn ports_that_nobody_serves_are_not_looked_at() {
        let gateway = Set::of(Service::Gateway);
        assert_eq!(refused(&[&[("GRPC_ADDR", "0.0.0.0:1")], &INTERNAL_TLS, &OTHERS], gateway), None);
        assert!(refused(&[&[("HTTP_ADDR", "0.0.0.0:1")], &INTERNAL_TLS, &OTHERS], gateway).is_some());
        let of = Addresses::of(&with(&[]), gateway);
        assert!(of.http.is_some() && of.grpc.is_none() && of.internal.is_none());
        let of = Addresses::of(&with(&[]), Set::of(Service::Vault));
        assert!(of.http.is_none() && of.grpc.is_some() && of.internal.is_some());
        assert!(Addresses::of(&with(&[]), Set::ALL).internal.is_none());
    }

    #[test]
    fn a_service_by_itself_needs_its_certificate_and_the_addresses_of_the_others() {
        let vault = Set::of(Service::Vault);
        let why = refused(&[&OTHERS], vault).unwrap();
        assert!(why.contains("serve vault") && why.contains("coffre dev certs"), "{why}");
        let why = refused(&[&INTERNAL_TLS, &[("SERVICES__AUTH", "auth:1")]], vault).unwrap();
        assert!(why.contains("COFFRE_SERVICES__LOCKER") && why.contains("COFFRE_SERVICES__AUDIT"), "{why}");
        assert!(!why.contains("COFFRE_SERVICES__AUTH") && !why.contains("COFFRE_SERVICES__VAULT"), "{why}");
        assert_eq!(refused(&[&INTERNAL_TLS, &OTHERS], vault), None);
        assert_eq!(refused(&[&INTERNAL_TLS, &[("SERVICES__AUTH", "auth:1")]], Set::of(Service::Audit)), None);
    }

    #[test]
    fn a_service_by_itself_keeps_nothing_in_files() {
        let files = DatabaseUrl::sqlite(Path::new("/var/lib/coffre"));
        let why = of_database(&files, Set::of(Service::Locker)).unwrap_err().to_string();
        assert!(why.contains("serve locker") && why.contains("PostgreSQL"), "{why}");
        assert!(of_database(&files, Set::ALL).is_ok());
        assert!(of_database(&DatabaseUrl::parse("postgres://db/coffre").unwrap(), Set::of(Service::Locker)).is_ok());
    }

    #[test]
    fn serve_takes_no_password_from_the_environment() {
        assert!(
            refused(&[&[("ADMIN_PASSWORD", "planted-secret")]], Set::ALL)
                .unwrap()
                .contains("COFFRE_ADMIN_PASSWORD_FILE")
        );
    }
}
