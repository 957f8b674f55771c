//! From flags, environment and file to checked settings.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use coffre_config::{Fault, SETTINGS, Settings, Sources, environment_name};
use coffre_db::DatabaseUrl;
use coffre_secret::SecretText;
use coffre_tls::is_private;

use crate::cli::Flags;

/// Reads the settings.
pub(crate) fn load(flags: Flags) -> anyhow::Result<Settings> {
    Settings::check(&gather(flags)?).map_err(|faults| wrong(&faults))
}

#[allow(clippy::disallowed_methods)]
fn gather(flags: Flags) -> anyhow::Result<Sources> {
    gather_from(flags, std::env::vars_os())
}

fn gather_from(flags: Flags, variables: impl IntoIterator<Item = (OsString, OsString)>) -> anyhow::Result<Sources> {
    let mut sources = Sources::default();
    sources.flag("data_dir", flags.data_dir);
    sources.flag("keys_dir", flags.keys_dir);
    sources.flag("http_addr", flags.http_addr);
    sources.flag("grpc_addr", flags.grpc_addr);
    sources.flag("internal_addr", flags.internal_addr);
    sources.flag("management_addr", flags.management_addr);
    sources.flag("database_url_file", flags.database_url_file);
    sources.flag("admin_username", flags.admin_username);
    sources.flag("admin_password_file", flags.admin_password_file);
    sources.flag("log", flags.log);
    sources.environment_of_process(variables).map_err(|faults| wrong(&faults))?;
    let file = flags.config.as_deref().or_else(|| Some(Path::new("coffre.toml")).filter(|path| path.exists()));
    if let Some(path) = file {
        let text =
            fs::read_to_string(path).with_context(|| format!("the settings file {} cannot be read", path.display()))?;
        let mut said = Sources::default();
        said.file(&text).map_err(|faults| wrong(&faults))?;
        if holds_secret(&said) {
            let metadata = fs::metadata(path)?;
            if !is_private(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()) {
                bail!(
                    "the settings file {} holds a password and can be read by others (mode {:o}): chmod 600 it",
                    path.display(),
                    metadata.mode() & 0o777
                );
            }
        }
        sources.file(&text).map_err(|faults| wrong(&faults))?;
    }
    Ok(sources)
}

fn holds_secret(sources: &Sources) -> bool {
    sources.value("admin_password").is_some() || sources.value("database_url").is_some_and(holds_password)
}

/// Prints every setting with its value, secrets left out.
pub(crate) fn describe(flags: Flags) -> anyhow::Result<String> {
    let sources = gather(flags)?;
    Settings::check(&sources).map_err(|faults| wrong(&faults))?;
    let lines = SETTINGS.iter().map(|setting| {
        let value = match sources.value(setting.key) {
            Some(_) if setting.secret => "[secret]".to_owned(),
            Some(value) => format!("{value:?}"),
            None => "(not set)".to_owned(),
        };
        format!("# {}\n# environment: {}\n{} = {value}\n", setting.help, environment_name(setting.key), setting.key)
    });
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

fn wrong(faults: &[Fault]) -> anyhow::Error {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    anyhow!("the settings are wrong:\n  {}", lines.join("\n  "))
}

/// Returns where the database is. In `serve` a URL that holds a password must come from a file.
pub(crate) fn database(settings: &Settings, serve: bool) -> anyhow::Result<DatabaseUrl> {
    let text = match (&settings.database_url, &settings.database_url_file) {
        (Some(url), _) => {
            if serve && holds_password(url.expose()) {
                bail!(
                    "database_url holds a password: put the URL into a file and name it in database_url_file (COFFRE_DATABASE_URL_FILE)"
                );
            }
            url.expose().to_owned()
        }
        (None, Some(path)) => read_secret(path)?.into_exposed(),
        (None, None) => return Ok(DatabaseUrl::sqlite(&settings.data_dir)),
    };
    DatabaseUrl::parse(&text).map_err(|error| anyhow!("database_url: {error}"))
}

fn holds_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest.split(['/', '?']).next().unwrap_or(""));
    let in_authority = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'));
    in_authority || url.contains("password=")
}

/// Reads a secret from a file; one line break at its end does not count.
pub(crate) fn read_secret(path: &Path) -> anyhow::Result<SecretText> {
    let mut text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    while text.ends_with(['\n', '\r']) {
        text.pop();
    }
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_variable_that_is_no_text_is_refused() {
        let broken = [("COFFRE_HTTP_ADDR".into(), OsString::from_vec(vec![0xff]))];
        let why = gather_from(Flags::default(), broken).map(|_| ()).unwrap_err().to_string();
        assert!(why.contains("COFFRE_HTTP_ADDR is no text"), "{why}");
    }

    #[test]
    fn a_settings_file_with_a_password_is_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coffre.toml");
        let read = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            gather_from(Flags { config: Some(path.clone()), ..Flags::default() }, [])
                .map(|_| ())
                .map_err(|error| error.to_string())
        };
        for text in ["admin_password = \"planted\"", "database_url = \"postgres://coffre:planted@db/coffre\""] {
            read(text, 0o600).unwrap();
            let why = read(text, 0o644).unwrap_err();
            assert!(why.contains("can be read by others (mode 644)") && !why.contains("planted"), "{why}");
        }
        read("database_url = \"postgres://coffre@db/coffre\"\nlog = \"info\"", 0o644).unwrap();
    }

    #[test]
    fn passwords_in_urls_are_seen() {
        assert!(holds_password("postgres://coffre:hunter2@db/coffre"));
        assert!(holds_password("postgres://coffre@db/coffre?password=hunter2"));
        assert!(!holds_password("postgres://coffre@db:5432/coffre"));
        assert!(!holds_password("postgres://127.0.0.1:5432/coffre"));
    }
}
