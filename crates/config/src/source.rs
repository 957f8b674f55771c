//! Where settings come from.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::telemetry::STANDARD;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in `coffre.toml`; a dot separates tables.
    pub key: &'static str,
    /// What it means, with unit and bounds.
    pub help: &'static str,
    /// The value where nobody says otherwise; empty where there is none.
    pub default: &'static str,
    /// The value is a secret: it is never printed.
    pub secret: bool,
}

const fn plain(key: &'static str, default: &'static str, help: &'static str) -> Setting {
    Setting { key, help, default, secret: false }
}

const fn secret(key: &'static str, help: &'static str) -> Setting {
    Setting { key, help, default: "", secret: true }
}

/// Every setting there is.
pub const SETTINGS: &[Setting] = &[
    plain("data_dir", "./coffre-data", "Folder of the SQLite files and, in dev, of the keys."),
    plain(
        "keys_dir",
        "",
        "Folder of the key files auth.key, express.key, audit.key and checkpoint.key. In dev: `keys` in the data folder.",
    ),
    plain("http_addr", "127.0.0.1:8080", "Address of the REST port."),
    plain("grpc_addr", "127.0.0.1:50051", "Address of the gRPC port."),
    plain("management_addr", "127.0.0.1:9090", "Address of /metrics, /livez and /readyz with components."),
    plain(
        "internal_addr",
        "127.0.0.1:50052",
        "Address of the port at which the other services call this one, where each runs in a process of its own. It speaks mutual TLS alone.",
    ),
    plain(
        "services.auth",
        "",
        "Where auth listens for the other services, as `host:port`; the name may stand for several replicas.",
    ),
    plain("services.vault", "", "The same for vault. Replicas of vault find each other under it, too."),
    plain("services.locker", "", "The same for locker."),
    plain("services.audit", "", "The same for audit."),
    plain(
        "tls.cert_file",
        "",
        "PEM file with the certificate of the public ports, and those between it and its authority.",
    ),
    plain("tls.key_file", "", "PEM file with its private key, which nobody else may read."),
    plain(
        "tls.terminated_before",
        "false",
        "`true`: whatever stands before the public ports (a proxy, a mesh) ends TLS, and they speak plain text on an address that others reach.",
    ),
    plain(
        "tls.internal_cert_file",
        "",
        "PEM file with this service's certificate for calls between services, with its SPIFFE id as URI.",
    ),
    plain("tls.internal_key_file", "", "PEM file with its private key, which nobody else may read."),
    plain("tls.internal_ca_file", "", "PEM file with the authorities that vouch for the services."),
    plain(
        "tls.trust_domain",
        "coffre.internal",
        "The trust domain of the services' SPIFFE ids, `spiffe://<trust domain>/<service>`.",
    ),
    plain(
        "public_url",
        "",
        "The URL under which clients reach the REST port, as `/.well-known/oauth-authorization-server` tells it and tokens carry it as `iss`; where it is absent, `http://` and the REST address, and `iss` is `coffre`.",
    ),
    secret("database_url", "`sqlite:FOLDER` or `postgres://…`. Absent: SQLite in the data folder."),
    plain("database_url_file", "", "File that holds the database URL."),
    plain(
        "database_limit_gib",
        "0",
        "What a PostgreSQL database may take, in GiB: at 80 and at 90 % it is told. 0: nobody knows. With SQLite the file system says it.",
    ),
    plain("admin_username", "admin", "Name of the first administrator."),
    secret("admin_password", "Password of the first administrator, for `dev` only. Absent: generated and shown once."),
    plain("admin_password_file", "", "File that holds the password of the first administrator."),
    plain(
        "status_codes",
        "standard",
        "`standard`, or `documented`: 304 for a PUT that changes nothing, 501 for a missing permission.",
    ),
    plain("environment", "coffre", "Name of this installation, as audit entries carry it."),
    plain(
        "trusted_proxies",
        "",
        "Networks of proxies whose X-Forwarded-For is believed, separated by commas, such as `10.0.0.0/8`.",
    ),
    plain("reflection", "", "`true` or `false`: gRPC reflection. Absent: on in dev, off in serve."),
    plain("log", "info", "What is logged: a level, or a filter such as `info,coffre_vault=debug`."),
    plain("log_format", "", "`text` or `json`. Absent: text on a terminal, JSON elsewhere."),
    plain(
        "telemetry.otlp_endpoint",
        "",
        "Collector that gets traces and metrics by OTLP over gRPC, such as `http://127.0.0.1:4317`. Absent: nothing is traced. `OTEL_EXPORTER_OTLP_ENDPOINT` says the same.",
    ),
    plain(
        "telemetry.otlp_ca_file",
        "",
        "PEM file with the authorities that vouch for the collector, where it is reached by `https://`. `OTEL_EXPORTER_OTLP_CERTIFICATE` says the same.",
    ),
    plain(
        "telemetry.traced_share",
        "1",
        "Share of the traces that begin here and are recorded, from 0 to 1; one that comes with a call is recorded where its beginner said so. `OTEL_TRACES_SAMPLER_ARG` says the same.",
    ),
    plain(
        "telemetry.service_name",
        "",
        "What collectors call this process. Absent: `coffre`, or `coffre-vault` and the like for one service. `OTEL_SERVICE_NAME` says the same.",
    ),
    plain("auth.password_min_length", "12", "Shortest password, in characters; 8 to 128."),
    plain(
        "auth.password_strength_check",
        "",
        "`true` or `false`: refuse passwords, and client secrets that somebody chose, that are easy to guess. Absent: on, unless `auth.password_min_length` is below 12.",
    ),
    plain("auth.token_life_seconds", "1200", "Life of a token in seconds; 60 to 86400."),
    plain(
        "auth.session_life_seconds",
        "43200",
        "Life of a session in seconds, refreshes included; at least that of a token.",
    ),
    plain(
        "vault.short_master_keys",
        "",
        "`true` or `false`: take master keys of 6 to 15 characters, which can be guessed by whoever has a copy of the database. Absent: yes in dev, no in serve.",
    ),
    plain(
        "vault.given_up_term",
        "0",
        "Only after the vault's database was restored on purpose to one with older keys, which is refused otherwise: the newest term of keys that the audit has seen, which the refusal names. 0: none is given up.",
    ),
    plain(
        "audit_witness_file",
        "",
        "File to which the audit log's signed checkpoints are appended, best on another disk than the database. Absent: with SQLite `witness/audit.witness` beside the data folder, with PostgreSQL none: then the log lines are the only witness.",
    ),
    plain(
        "audit_retention_days",
        "0",
        "Entries of the audit log that are older are cut off, once a day; 0 to 36500. 0: they are kept for ever.",
    ),
    plain(
        "limits.calls_per_address",
        "128",
        "Calls of one address (IPv6: of one /64) that may be under way at once, half of them sign-ins; 4 to 1024. Raise it where many people share an address.",
    ),
    plain(
        "limits.sign_ins",
        "512",
        "Sign-ins and calls under /oauth/ that may be under way at once on the REST port; 16 to 1024, which is how many calls of any kind there may be.",
    ),
    plain("limits.connections", "4096", "Connections that a port may have open at once; 64 to 65536."),
    plain(
        "lame_duck_seconds",
        "",
        "How long the process goes on as before after its readiness is off, so that whoever sends it calls sees that; 0 to 600, such as 0.25. Absent: 5 where each service runs in a process of its own, 0.25 otherwise.",
    ),
    plain("drain_seconds", "10", "How long open calls may go on after the stop, in seconds."),
];

/// Returns the environment variable of a setting.
#[must_use]
pub fn environment_name(key: &str) -> String {
    format!("COFFRE_{}", key.to_ascii_uppercase().replace('.', "__"))
}

/// What is wrong with a setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No setting has this name.
    #[error("{place}: there is no setting `{name}`{}", suggestion.as_ref().map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Unknown {
        /// Where it was found.
        place: String,
        /// Its name.
        name: String,
        /// The name that it resembles most.
        suggestion: Option<String>,
    },
    /// The value is not one of those that the setting takes.
    #[error("{key}: {problem}")]
    Value {
        /// The setting.
        key: &'static str,
        /// What is wrong and what it takes.
        problem: String,
    },
    /// A variable is not text.
    #[error("environment: {0} is no text: its name and its value must be UTF-8")]
    NotText(String),
    /// The file is not TOML.
    #[error("the settings file cannot be read: {0}")]
    File(String),
}

/// Settings as they were found, not yet checked.
#[derive(Clone, Default)]
pub struct Sources {
    values: BTreeMap<&'static str, String>,
}

impl Sources {
    /// Adds what a settings file says. What was added before counts more.
    ///
    /// # Errors
    /// [`Fault`] for each unknown name, or where the text is not TOML.
    pub fn file(&mut self, text: &str) -> Result<(), Vec<Fault>> {
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| vec![Fault::File(error.message().to_owned())])?;
        let mut faults = Vec::new();
        self.table("", &table, &mut faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn table(&mut self, prefix: &str, table: &toml::Table, faults: &mut Vec<Fault>) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let text = match value {
                toml::Value::Table(inner) => {
                    self.table(&format!("{key}."), inner, faults);
                    continue;
                }
                toml::Value::String(text) => text.clone(),
                toml::Value::Array(items) => items
                    .iter()
                    .map(|item| item.as_str().map_or_else(|| item.to_string(), ToOwned::to_owned))
                    .collect::<Vec<_>>()
                    .join(","),
                other => other.to_string(),
            };
            match SETTINGS.iter().find(|setting| setting.key == key) {
                Some(setting) => self.keep(setting.key, text),
                None => {
                    faults.push(unknown("coffre.toml", &key, SETTINGS.iter().map(|setting| setting.key.to_owned())))
                }
            }
        }
    }

    /// Adds what the environment says. What was added before counts more.
    ///
    /// # Errors
    /// [`Fault`] for each name that begins with `COFFRE_` and is not a setting. `COFFRE_TEST_…` belongs to the tests. Of the names that
    /// other programs have in common with us, those that mean nothing to us do not count.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (String, String)>) -> Result<(), Vec<Fault>> {
        let (mut faults, mut usual) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            if let Some((_, key)) = STANDARD.iter().find(|(known, _)| *known == name) {
                usual.push((*key, value));
                continue;
            }
            if !is_ours(&name) {
                continue;
            }
            match SETTINGS.iter().find(|setting| environment_name(setting.key) == name) {
                Some(setting) => self.keep(setting.key, value),
                None => faults.push(unknown(
                    "environment",
                    &name,
                    SETTINGS.iter().map(|setting| environment_name(setting.key)),
                )),
            }
        }
        usual.into_iter().for_each(|(key, value)| self.keep(key, value));
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Adds what the environment says, as the system has it. What was added before counts more.
    ///
    /// # Errors
    /// [`Fault`] for each name of ours that is unknown, or whose value is no text; see [`Self::environment`].
    pub fn environment_of_process(
        &mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), Vec<Fault>> {
        let (mut texts, mut faults) = (Vec::new(), Vec::new());
        for (name, value) in variables {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => texts.push((name, value)),
                (Ok(name), Err(_)) if is_ours(&name) => faults.push(Fault::NotText(name)),
                (Err(name), _) if is_ours(&name.to_string_lossy()) => {
                    faults.push(Fault::NotText(name.to_string_lossy().into_owned()));
                }
                _ => {}
            }
        }
        if let Err(others) = self.environment(texts) {
            faults.extend(others);
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    /// Adds a flag. What was added before counts more.
    pub fn flag(&mut self, key: &'static str, value: Option<String>) {
        if let Some(value) = value {
            self.keep(key, value);
        }
    }

    fn keep(&mut self, key: &'static str, value: String) {
        self.values.entry(key).or_insert(value);
    }

    /// Returns what was found for a setting, or its default; `None` where there is neither.
    #[must_use]
    pub fn value(&self, key: &'static str) -> Option<&str> {
        let said = self.values.get(key).map(String::as_str);
        let default = || SETTINGS.iter().find(|setting| setting.key == key).map(|setting| setting.default);
        said.or_else(default).filter(|value| !value.is_empty())
    }
}

/// Belong to commands that call a running server.
const OPERATOR: [&str; 3] = ["COFFRE_ADDR", "COFFRE_TOKEN_FILE", "COFFRE_CONFIG"];

/// Says whether the environment speaks to the settings under this name.
fn is_ours(name: &str) -> bool {
    let standard = STANDARD.iter().any(|(known, _)| *known == name);
    let ours = name.starts_with("COFFRE_") && !name.starts_with("COFFRE_TEST_") && !OPERATOR.contains(&name);
    standard || ours
}

fn unknown(place: &str, name: &str, known: impl Iterator<Item = String>) -> Fault {
    let suggestion = known.map(|candidate| (distance(name, &candidate), candidate)).min().filter(|(far, _)| *far <= 3);
    Fault::Unknown {
        place: place.to_owned(),
        name: name.to_owned(),
        suggestion: suggestion.map(|(_, candidate)| candidate),
    }
}

/// How many letters must be put in, taken out or replaced (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.chars().count()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.chars().enumerate() {
            let replace = row.get(j).copied().unwrap_or(usize::MAX - 1) + usize::from(a != b);
            let remove = row.get(j + 1).copied().unwrap_or(usize::MAX - 1) + 1;
            let add = next.get(j).copied().unwrap_or(usize::MAX - 1) + 1;
            next.push(replace.min(remove).min(add));
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let mut sources = Sources::default();
        sources.flag("http_addr", Some("127.0.0.1:1".into()));
        sources
            .environment([
                ("COFFRE_HTTP_ADDR".into(), "127.0.0.1:2".into()),
                ("COFFRE_GRPC_ADDR".into(), "127.0.0.1:2".into()),
            ])
            .unwrap();
        sources.file("http_addr = \"127.0.0.1:3\"\ngrpc_addr = \"127.0.0.1:3\"\nenvironment = \"prod\"\n[auth]\npassword_min_length = 8").unwrap();
        assert_eq!(sources.value("http_addr"), Some("127.0.0.1:1"));
        assert_eq!(sources.value("grpc_addr"), Some("127.0.0.1:2"));
        assert_eq!(sources.value("environment"), Some("prod"));
        assert_eq!(sources.value("auth.password_min_length"), Some("8"));
        assert_eq!(sources.value("management_addr"), Some("127.0.0.1:9090"));
    }

    #[test]
    fn a_misspelt_name_is_refused_with_a_suggestion() {
        let mut sources = Sources::default();
        let faults =
            sources.environment([("COFFRE_HTTP_ADR".into(), "x".into()), ("HOME".into(), "/".into())]).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].to_string().contains("COFFRE_HTTP_ADDR"), "{}", faults[0]);
        let faults = sources.file("[auth]\npasword_min_length = 8").unwrap_err();
        assert!(faults[0].to_string().contains("auth.password_min_length"), "{}", faults[0]);
    }
    #[test]
    fn a_variable_that_is_no_text_is_refused_where_it_is_ours() {
        use std::os::unix::ffi::OsStringExt as _;

        let broken = |text: &str| OsString::from_vec([text.as_bytes(), &[0xff]].concat());
        let read = |name: OsString, value: OsString| {
            let mut sources = Sources::default();
            let read =
                sources.environment_of_process([(name, value), ("COFFRE_GRPC_ADDR".into(), "127.0.0.1:2".into())]);
            assert_eq!(sources.value("grpc_addr"), Some("127.0.0.1:2"));
            read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<String>())
        };
        for name in ["COFFRE_HTTP_ADDR", "COFFRE_ADMIN_PASSWORD", "OTEL_EXPORTER_OTLP_ENDPOINT"] {
            let why = read(name.into(), broken("planted-secret")).unwrap_err();
            assert!(why.contains(&format!("{name} is no text")) && !why.contains("planted"), "{why}");
        }
        assert!(read(broken("COFFRE_HTTP_ADDR"), "x".into()).unwrap_err().contains("COFFRE_HTTP_ADDR"));
        for (name, value) in
            [("COFFRE_CONFIG".into(), broken("/a")), ("LS_COLORS".into(), broken("x")), (broken("X"), "x".into())]
        {
            read(name, value).unwrap();
        }
    }
}
