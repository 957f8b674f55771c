//! What a process looks at before it asks a database: the same for `coffre serve` and for `coffre config check`.

use anyhow::Context as _;
use coffre_config::Settings;
use coffre_db::{DatabaseUrl, Engine};
use coffre_tls::Service;

use crate::certificates::Certificates;
use crate::cli::{Flags, Runs};
use crate::exposure::{self, Addresses};
use crate::keys::Keys;
use crate::set::Set;
use crate::telemetry::Telemetry;
use crate::{init, keys, settings as read};

/// What was found, and is good.
pub(crate) struct Checked {
    /// Where the database is; the gateway has none.
    pub(crate) url: Option<DatabaseUrl>,
    pub(crate) keys: Keys,
    pub(crate) certificates: Certificates,
    /// The public ports speak plain text on an address that others reach.
    pub(crate) is_plain_text: bool,
}

/// Looks at what `serve` needs.
pub(crate) fn for_serve(settings: &Settings, set: Set) -> anyhow::Result<Checked> {
    let is_plain_text = exposure::of_serve(settings, set)?;
    let url = if set.keeps() { Some(read::database(settings, true)?) } else { None };
    if let Some(url) = &url {
        exposure::of_database(url, set)?;
    }
    let keys = match set.keeps() {
        true => keys::load(&init::keys_folder(settings)?, set)?,
        false => Keys::default(),
    };
    Ok(Checked { url, keys, certificates: Certificates::load(settings, set)?, is_plain_text })
}

/// Looks at what `dev` needs. It makes its own keys.
pub(crate) fn for_dev(settings: &Settings) -> anyhow::Result<DatabaseUrl> {
    exposure::of_dev(settings)?;
    read::database(settings, false)
}

/// `coffre config check`: refuses what the process would refuse, and says what was looked at.
pub(crate) fn command(flags: Flags, runs: Option<Runs>) -> anyhow::Result<String> {
    check(&read::load(flags)?, runs)
}

fn check(settings: &Settings, runs: Option<Runs>) -> anyhow::Result<String> {
    coffre_telemetry::check_filter(&settings.log)?;
    let Some(runs) = runs else {
        return Ok("the names of the settings and the form of their values are good; whether a process would start with them was not looked at: name it, as in `coffre config check all`, `coffre config check vault` or `coffre config check dev`".to_owned());
    };
    let (set, mut looked) = (runs.set(), vec!["the names and values of all settings".to_owned()]);
    let ports = Addresses::of(settings, set).all().map(|(address, key)| format!("{key} {address}")).collect::<Vec<_>>();
    looked.push(format!("the addresses {}", ports.join(", ")));
    let (url, note) = match runs {
        Runs::Dev => {
            let url = for_dev(settings)?;
            let folder = keys::of_dev(settings);
            keys::look(&folder, &keys::FILES)?;
            looked.push(format!("the key files that are in {} already", folder.display()));
            (Some(url), None)
        }
        _ => {
            let checked = for_serve(settings, set)?;
            if set.keeps() {
                if set.has(Service::Audit) {
                    keys::look_at_checkpoint(&checked.keys.folder, set)?;
                }
                looked.push(format!("the key files in {}", checked.keys.folder.display()));
            }
            if checked.certificates.public.is_some() {
                looked.push("the certificate and the key of the public ports".to_owned());
            }
            if checked.certificates.internal.is_some() {
                looked.push("the certificate, the key and the authorities for calls between services".to_owned());
            }
            let note = checked.is_plain_text.then_some(exposure::PLAIN_TEXT);
            (checked.url, note)
        }
    };
    if set.is_split() {
        looked.push("where the other services are said to be".to_owned());
    }
    if let Some(url) = &url {
        looked.push(match (url.engine(), url.folder()) {
            (Engine::Sqlite, Some(folder)) => format!("which database: SQLite in {}", folder.display()),
            _ => "which database: PostgreSQL, under a URL that was not opened".to_owned(),
        });
    }
    if settings.telemetry.endpoint.is_some() {
        collector(settings, set)?;
        looked.push("the collector's address and authorities".to_owned());
    }
    let note = note.map(|note| format!("\nnote: {note}")).unwrap_or_default();
    Ok(format!(
        "the settings are good for `{}`\nlooked at: {}\nnot looked at: the database and what is in it, the witness file, other services, the collector, whether the ports are free{note}",
        runs.command(),
        looked.join("; ")
    ))
}

fn collector(settings: &Settings, set: Set) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let _within = runtime.enter();
    Telemetry::begin(settings, set).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    use coffre_config::Sources;

    use super::*;

    fn check_of(variables: &[(&str, &str)], runs: Option<Runs>) -> Result<String, String> {
        let mut sources = Sources::default();
        let named = variables.iter().map(|(name, value)| (format!("COFFRE_{name}"), (*value).to_owned()));
        sources.environment(named).unwrap();
        check(&Settings::check(&sources).unwrap(), runs).map_err(|error| format!("{error:#}"))
    }

    /// An installation's folders and the settings that name them.
    fn installation(home: &Path) -> [(&'static str, String); 2] {
        let keys = home.join("keys");
        keys::make(&keys, false).unwrap();
        [("KEYS_DIR", keys.display().to_string()), ("DATA_DIR", home.join("data").display().to_string())]
    }

    #[test]
    fn what_serve_refuses_is_not_called_good() {
        let home = tempfile::tempdir().unwrap();
        let own = installation(home.path());
        let own: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let of = |more: &[(&str, &str)], runs| check_of(&[&own, more].concat(), Some(runs));
        let good = of(&[], Runs::All).unwrap();
        assert!(good.contains("good for `serve all`") && good.contains("SQLite in") && good.contains("key files in"));
        assert!(good.contains("not looked at: the database"), "{good}");
        assert!(!home.path().join("data").exists(), "nothing is made");
        let missing = home.path().join("missing");
        let missing = missing.to_str().unwrap();
        let internal = [
            ("TLS__INTERNAL_CERT_FILE", missing),
            ("TLS__INTERNAL_KEY_FILE", missing),
            ("TLS__INTERNAL_CA_FILE", missing),
        ];
        let audit = [&internal[..], &[("SERVICES__AUTH", "auth:1"), ("DATABASE_URL", "postgres://db/coffre")]].concat();
        for (runs, more, said) in [
            (Runs::All, &[("HTTP_ADDR", "0.0.0.0:8080")][..], "tls.cert_file"),
            (Runs::All, &[("DATABASE_URL", "postgres://coffre:planted@db/coffre")], "holds a password"),
            (Runs::All, &[("DATABASE_URL", "mysql://db")], "database_url"),
            (Runs::All, &[("DATABASE_URL_FILE", missing)], "cannot be read"),
            (Runs::All, &[("ADMIN_PASSWORD", "planted")], "COFFRE_ADMIN_PASSWORD"),
            (Runs::All, &[("LOG", "coffre=loud")], "log"),
            (Runs::All, &[("HTTP_ADDR", "127.0.0.1:50051")], "grpc_addr"),
            (Runs::All, &[("KEYS_DIR", missing)], "coffre init"),
            (Runs::All, &[("TLS__CERT_FILE", missing), ("TLS__KEY_FILE", missing)], "cannot be read"),
            (
                Runs::All,
                &[("TELEMETRY__OTLP_ENDPOINT", "https://a:4317"), ("TELEMETRY__OTLP_CA_FILE", missing)],
                "otlp_ca_file",
            ),
            (Runs::Vault, &[], "tls.internal_cert_file"),
            (Runs::Audit, &audit, "cannot be read"),
            (Runs::Dev, &[("HTTP_ADDR", "0.0.0.0:8080")], "`dev` listens on this machine only"),
            (Runs::Dev, &[("DATABASE_URL", "mysql://db")], "database_url"),
        ] {
            let variables: Vec<(&str, &str)> =
                own.iter().filter(|(own, _)| more.iter().all(|(name, _)| name != own)).chain(more).copied().collect();
            let why = check_of(&variables, Some(runs)).unwrap_err();
            assert!(why.contains(said) && !why.contains("planted"), "{runs:?} {more:?}: {why}");
        }
    }

    #[test]
    fn without_a_process_it_says_that_names_and_forms_alone_were_looked_at() {
        let said = check_of(&[("HTTP_ADDR", "0.0.0.0:8080")], None).unwrap();
        assert!(said.contains("was not looked at") && said.contains("config check all"), "{said}");
        assert!(!said.contains("settings are good"), "{said}");
        assert!(check_of(&[("LOG", "a=b=c")], None).is_err());
    }

    #[test]
    fn plain_text_behind_a_proxy_is_good_and_told() {
        let home = tempfile::tempdir().unwrap();
        let own = installation(home.path());
        let mut variables: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        variables.extend([("HTTP_ADDR", "0.0.0.0:8080"), ("TLS__TERMINATED_BEFORE", "true")]);
        let said = check_of(&variables, Some(Runs::All)).unwrap();
        assert!(said.contains("note: the public ports speak plain text"), "{said}");
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_in_each_form() {
        let home = tempfile::tempdir().unwrap();
        let own = installation(home.path());
        let variables: Vec<(&str, &str)> = own.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let open = home.path().join("keys").join("checkpoint.key");
        fs::set_permissions(open, fs::Permissions::from_mode(0o644)).unwrap();
        for runs in [Runs::All, Runs::Dev] {
            let why = check_of(&variables, Some(runs)).unwrap_err();
            assert!(why.contains("checkpoint.key can be read by others"), "{why}");
        }
    }
}
