//! Settings as the rest of the program takes them: parsed and checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use coffre_secret::SecretText;
use ipnet::IpNet;

use crate::network::{Services, Tls};
use crate::reader::{Reader, is_content};
use crate::source::{Fault, SETTINGS, Sources};
use crate::telemetry::Telemetry;

/// Which status codes REST answers where the old server was irregular.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StatusCodes {
    /// 200 for a PUT that changes nothing, 403 for a missing permission.
    Standard,
    /// 304 and 501, as the old server did.
    Documented,
}

/// Where the shortest password has fewer characters, passwords are not estimated unless a setting says so.
const GOOD_PASSWORD_LENGTH: usize = 12;

/// Every setting, checked.
#[derive(Debug)]
pub struct Settings {
    /// Folder of the SQLite files.
    pub data_dir: PathBuf,
    /// Folder of the key files, where it was said.
    pub keys_dir: Option<PathBuf>,
    /// Address of the REST port.
    pub http_addr: SocketAddr,
    /// Address of the gRPC port.
    pub grpc_addr: SocketAddr,
    /// Address of the management port.
    pub management_addr: SocketAddr,
    /// Address of the port at which other services of ours call this one.
    pub internal_addr: SocketAddr,
    /// Where the services are that run elsewhere.
    pub services: Services,
    /// How connections are protected.
    pub tls: Tls,
    /// The URL under which clients reach the REST port, without a slash at its end.
    pub public_url: Option<String>,
    /// The database, where it was said here.
    pub database_url: Option<SecretText>,
    /// File that holds the database URL.
    pub database_url_file: Option<PathBuf>,
    /// What a PostgreSQL database may take, in bytes, where it was said.
    pub database_limit: Option<u64>,
    /// Name of the first administrator.
    pub admin_username: String,
    /// Password of the first administrator, where it was said here.
    pub admin_password: Option<SecretText>,
    /// File that holds the password of the first administrator.
    pub admin_password_file: Option<PathBuf>,
    /// Which status codes REST answers.
    pub status_codes: StatusCodes,
    /// Name of this installation.
    pub environment: String,
    /// Proxies whose X-Forwarded-For is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether reflection was switched on or off.
    pub reflection: Option<bool>,
    /// What is logged.
    pub log: String,
    /// Whether logs are JSON, where it was said.
    pub log_json: Option<bool>,
    /// Where traces and metrics are sent.
    pub telemetry: Telemetry,
    /// Shortest password, in characters.
    pub password_min_length: usize,
    /// Passwords that are easy to guess are refused.
    pub password_strength_check: bool,
    /// Life of a token.
    pub token_life: Duration,
    /// Life of a session.
    pub session_life: Duration,
    /// Whether short master keys are taken, where it was said.
    pub short_master_keys: Option<bool>,
    /// The newest term of the vault's keys that the audit tells of and that is given up; 0: none.
    pub given_up_term: u32,
    /// File to which checkpoints of the audit log go, where it was said.
    pub audit_witness_file: Option<PathBuf>,
    /// The age at which entries of the audit log are cut off; `None`: never.
    pub audit_retention: Option<Duration>,
    /// Calls of one address that may be under way at once, half of them sign-ins.
    pub calls_per_address: usize,
    /// Sign-ins that may be under way at once on the REST port.
    pub sign_ins: usize,
    /// Connections that a port may have open at once.
    pub connections: usize,
    /// How long the process goes on as before after readiness is off, where it was said.
    pub lame_duck: Option<Duration>,
    /// How long open calls may go on after the stop.
    pub drain: Duration,
}

impl Settings {
    /// Checks what was found.
    ///
    /// # Errors
    /// Every [`Fault`], so that one look mends them all.
    pub fn check(sources: &Sources) -> Result<Self, Vec<Fault>> {
        let mut read = Reader::new(sources);
        let password_min_length = read.between("auth.password_min_length", 8, 128);
        let settings = Self {
            data_dir: read.required("data_dir", "a folder"),
            keys_dir: read.optional("keys_dir", "a folder"),
            http_addr: read.required("http_addr", "an address and port such as 127.0.0.1:8080"),
            grpc_addr: read.required("grpc_addr", "an address and port such as 127.0.0.1:50051"),
            management_addr: read.required("management_addr", "an address and port such as 127.0.0.1:9090"),
            internal_addr: read.required("internal_addr", "an address and port such as 127.0.0.1:50052"),
            services: Services::read(&mut read),
            tls: Tls::read(&mut read),
            public_url: read
                .optional("public_url", "a URL such as https://vault.example.org, without query, fragment or user")
                .map(|PublicUrl(url)| url),
            database_url: read.secret("database_url"),
            database_url_file: read.optional("database_url_file", "a file"),
            database_limit: Some(read.between::<u64>("database_limit_gib", 0, 1 << 20))
                .filter(|gib| *gib > 0)
                .map(|gib| gib << 30),
            admin_username: read.required("admin_username", "a name"),
            admin_password: read.secret("admin_password"),
            admin_password_file: read.optional("admin_password_file", "a file"),
            status_codes: read
                .optional_of(
                    "status_codes",
                    &[("standard", StatusCodes::Standard), ("documented", StatusCodes::Documented)],
                )
                .unwrap_or(StatusCodes::Standard),
            environment: read.required("environment", "a name"),
            trusted_proxies: read.list("trusted_proxies", "networks such as 10.0.0.0/8, separated by commas"),
            reflection: read.optional("reflection", "true or false"),
            log: read.required("log", "a level or a filter"),
            log_json: read.optional_of("log_format", &[("text", false), ("json", true)]),
            telemetry: Telemetry::read(&mut read),
            password_min_length,
            // Whoever lets passwords be shorter than is our rule keeps the ones of an older system, and says so where they must be good.
            password_strength_check: read
                .optional("auth.password_strength_check", "true or false")
                .unwrap_or(password_min_length >= GOOD_PASSWORD_LENGTH),
            token_life: Duration::from_secs(read.between("auth.token_life_seconds", 60, 86_400)),
            session_life: Duration::from_secs(read.between("auth.session_life_seconds", 60, 2_592_000)),
            short_master_keys: read.optional("vault.short_master_keys", "true or false"),
            given_up_term: read.between("vault.given_up_term", 0, u64::from(u32::MAX)),
            audit_witness_file: read.optional("audit_witness_file", "a file"),
            audit_retention: Some(read.between::<u64>("audit_retention_days", 0, 36_500))
                .filter(|days| *days > 0)
                .map(|days| Duration::from_secs(days * 24 * 60 * 60)),
            calls_per_address: read.between("limits.calls_per_address", 4, 1024),
            sign_ins: read.between("limits.sign_ins", 16, 1024),
            connections: read.between("limits.connections", 64, 65_536),
            lame_duck: read.seconds("lame_duck_seconds", 600),
            drain: Duration::from_secs(read.between("drain_seconds", 0, 600)),
        };
        for key in SETTINGS.iter().map(|setting| setting.key) {
            let is_path = ["_file", "_dir"].iter().any(|ending| key.ends_with(ending));
            if is_path && sources.value(key).is_some_and(is_content) {
                read.fault(
                    key,
                    "names a file or folder, and what was set is the content of one (it is not repeated): write it into a file, and set the file's path",
                );
            }
        }
        if settings.trusted_proxies.iter().any(|network| network.prefix_len() == 0) {
            read.fault(
                "trusted_proxies",
                "believes everybody, so that each caller chooses its address: name the networks of your proxies alone",
            );
        }
        if settings.session_life < settings.token_life {
            read.fault("auth.session_life_seconds", "must be at least auth.token_life_seconds");
        }
        for (said, file, key) in [
            (settings.database_url.is_some(), settings.database_url_file.is_some(), "database_url_file"),
            (settings.admin_password.is_some(), settings.admin_password_file.is_some(), "admin_password_file"),
        ] {
            if said && file {
                read.fault(key, "give either the value or its file, not both");
            }
        }
        if read.faults.is_empty() { Ok(settings) } else { Err(read.faults) }
    }
}

/// A URL that names a server: a scheme, a host and perhaps a path.
struct PublicUrl(String);

impl FromStr for PublicUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or(())?;
        let host = rest.split('/').next().unwrap_or_default();
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\"\\<>`{}|^".contains(&byte));
        if host.is_empty() || host.starts_with(':') || !plain {
            return Err(());
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// Checks these variables of an environment, and nothing else.
#[cfg(test)]
pub(crate) fn with(variables: &[(&str, &str)]) -> Result<Settings, Vec<Fault>> {
    let mut sources = Sources::default();
    sources.environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))).unwrap();
    Settings::check(&sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_estimated_unless_short_ones_are_allowed_or_a_setting_says_otherwise() {
        const LENGTH: &str = "COFFRE_AUTH__PASSWORD_MIN_LENGTH";
        const CHECK: &str = "COFFRE_AUTH__PASSWORD_STRENGTH_CHECK";
        for (variables, expected) in [
            (&[][..], true),
            (&[(LENGTH, "16")], true),
            (&[(LENGTH, "8")], false),
            (&[(LENGTH, "8"), (CHECK, "true")], true),
            (&[(CHECK, "false")], false),
        ] {
            assert_eq!(with(variables).unwrap().password_strength_check, expected, "{variables:?}");
        }
        let faults = with(&[(CHECK, "yes")]).unwrap_err();
        assert!(faults[0].to_string().contains("auth.password_strength_check"), "{}", faults[0]);
    }

    #[test]
    fn defaults_are_good() {
        let settings = with(&[]).unwrap();
        assert_eq!(settings.http_addr.port(), 8080);
        assert_eq!(settings.status_codes, StatusCodes::Standard);
        assert_eq!(settings.password_min_length, 12);
    }

    #[test]
    fn entries_of_the_audit_are_kept_for_ever_unless_somebody_says_how_long() {
        const DAYS: &str = "COFFRE_AUDIT_RETENTION_DAYS";
        assert_eq!(with(&[]).unwrap().audit_retention, None);
        assert_eq!(with(&[(DAYS, "2")]).unwrap().audit_retention, Some(Duration::from_secs(172_800)));
        for days in ["-1", "36501", "a year"] {
            assert!(with(&[(DAYS, days)]).unwrap_err()[0].to_string().contains("audit_retention_days"), "{days}");
        }
    }

    #[test]
    fn bounds_of_calls_are_set_within_bounds() {
        let settings =
            with(&[("COFFRE_LIMITS__CALLS_PER_ADDRESS", "1024"), ("COFFRE_LIMITS__SIGN_INS", "16")]).unwrap();
        assert_eq!((settings.calls_per_address, settings.sign_ins), (1024, 16));
        for (name, value) in
            [("CALLS_PER_ADDRESS", "3"), ("CALLS_PER_ADDRESS", "1025"), ("SIGN_INS", "15"), ("SIGN_INS", "x")]
        {
            let faults = with(&[(&format!("COFFRE_LIMITS__{name}"), value)]).unwrap_err();
            assert!(faults[0].to_string().contains(&format!("limits.{}", name.to_lowercase())), "{}", faults[0]);
        }
    }

    #[test]
    fn every_fault_is_named_at_once() {
        let faults = with(&[
            ("COFFRE_HTTP_ADDR", "here"),
            ("COFFRE_STATUS_CODES", "old"),
            ("COFFRE_AUTH__PASSWORD_MIN_LENGTH", "7"),
            ("COFFRE_TRUSTED_PROXIES", "10.0.0.0/99"),
        ])
        .unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn the_public_url_names_a_server_and_nothing_more() {
        for (given, read) in [
            ("https://vault.example.org", "https://vault.example.org"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("https://[2001:db8::1]:8443/coffre//", "https://[2001:db8::1]:8443/coffre"),
        ] {
            assert_eq!(with(&[("COFFRE_PUBLIC_URL", given)]).unwrap().public_url.as_deref(), Some(read));
        }
        assert_eq!(with(&[("COFFRE_PUBLIC_URL", "")]).unwrap().public_url, None);
        for given in [
            "vault.example.org",
            "ftp://vault.example.org",
            "HTTPS//x",
            "https://",
            "https:///path",
            "https://:8443",
            "https://user@vault.example.org",
            "https://vault.example.org/?a=b",
            "https://vault.example.org/#a",
            "https://vault.example.org/a b",
            "https://caf\u{e9}.example",
        ] {
            assert!(with(&[("COFFRE_PUBLIC_URL", given)]).is_err(), "{given}");
        }
    }

    #[test]
    fn a_password_typed_into_another_setting_is_refused_and_not_repeated() {
        const URL: &str = "postgres://coffre:planted-secret@db/coffre";
        for (name, value) in [
            ("DATABASE_URL_FILE", URL),
            ("DATABASE_URL_FILE", "postgres://db/coffre?password=planted-secret"),
            ("DATABASE_URL_FILE", "host=db password=planted-secret"),
            ("KEYS_DIR", URL),
            ("DATA_DIR", URL),
            ("TLS__KEY_FILE", "-----BEGIN PRIVATE KEY-----\nplanted-secret\n-----END PRIVATE KEY-----"),
            ("AUDIT_WITNESS_FILE", URL),
            ("PUBLIC_URL", "https://user:planted-secret@vault.example.org"),
            ("PUBLIC_URL", "https://user:planted-secret?@x"),
            ("TELEMETRY__OTLP_ENDPOINT", "http://user:planted-secret@collector:4317"),
            ("TELEMETRY__OTLP_ENDPOINT", "http://user:planted/planted-secret@collector:4317"),
            ("SERVICES__AUTH", "user:planted-secret@auth:50052"),
            ("HTTP_ADDR", "http://user:planted-secret@127.0.0.1:8080"),
            ("TRUSTED_PROXIES", "10.0.0.0/8,http://user:planted-secret@proxy"),
            ("STATUS_CODES", URL),
        ] {
            let faults = with(&[(&format!("COFFRE_{name}"), value)]).unwrap_err();
            let key = name.to_ascii_lowercase().replace("__", ".");
            assert!(faults.iter().any(|fault| fault.to_string().starts_with(&key)), "{faults:?}");
            assert!(!format!("{faults:?}").contains("planted"), "{faults:?}");
        }
        let faults = with(&[("COFFRE_HTTP_ADDR", "localhost:http")]).unwrap_err();
        assert!(faults[0].to_string().contains("localhost:http"), "what holds no password is repeated: {}", faults[0]);
        with(&[("COFFRE_DATABASE_URL_FILE", "/run/secrets/a=b@c/url")]).unwrap();
    }

    #[test]
    fn nobody_believes_everybody_as_a_proxy() {
        for networks in ["0.0.0.0/0", "10.0.0.0/8,::/0"] {
            let faults = with(&[("COFFRE_TRUSTED_PROXIES", networks)]).unwrap_err();
            assert!(faults[0].to_string().starts_with("trusted_proxies: believes everybody"), "{}", faults[0]);
        }
        assert_eq!(with(&[("COFFRE_TRUSTED_PROXIES", "10.0.0.0/8")]).unwrap().trusted_proxies.len(), 1);
    }

    #[test]
    fn secrets_do_not_print() {
        let settings = with(&[("COFFRE_ADMIN_PASSWORD", "planted-secret")]).unwrap();
        assert!(!format!("{settings:?}").contains("planted"));
    }
}
