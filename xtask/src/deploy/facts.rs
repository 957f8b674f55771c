//! What the code says of itself, read as text so that this works while the code does not compile: settings, who calls whom, what probes
//! ask, which gRPC services callers outside see, metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};

use crate::deploy::images;
use crate::deploy::object::{Pairs, pairs};
use crate::workspace::Workspace;

/// What is known.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// Environment variables of the settings, each with its default.
    pub(crate) settings: Pairs,
    /// Whom each service calls.
    pub(crate) calls: BTreeMap<String, BTreeSet<String>>,
    /// The paths of the management port.
    pub(crate) management: BTreeSet<String>,
    /// The gRPC services that callers outside see, each with the service that has it.
    pub(crate) rpc: BTreeMap<String, String>,
    /// Metrics with their labels.
    pub(crate) metrics: BTreeMap<String, BTreeSet<String>>,
    /// What `images.env` says.
    pub(crate) images: Pairs,
    /// The page for whoever runs it: what it does not name, nobody knows to make.
    pub(crate) readme: String,
    /// The version of the workspace.
    pub(crate) version: String,
}

impl Facts {
    /// Reads them. What cannot be found any more where it was is an error: a rule that knows nothing would find nothing.
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let file = |path: &str| fs::read_to_string(workspace.root.join(path)).with_context(|| path.to_owned());
        let manifest: toml::Table = file("Cargo.toml")?.parse().context("Cargo.toml")?;
        let package = manifest.get("workspace").and_then(|table| table.get("package"));
        let version = package.and_then(|package| package.get("version")).and_then(toml::Value::as_str);
        let mut rpc = BTreeMap::new();
        for path in workspace.files()?.iter().filter(|path| path.starts_with("proto/coffre")) {
            // Internal ones lie one folder deeper.
            if path.components().count() == 5 && path.extension().is_some_and(|extension| extension == "proto") {
                rpc.extend(services(&file(&path.display().to_string())?));
            }
        }
        let facts = Self {
            settings: settings(&file("crates/config/src/source.rs")?),
            calls: calls(&file("services/coffre/src/set.rs")?),
            management: management(&file("crates/telemetry/src/management.rs")?),
            rpc,
            metrics: metrics(&file("docs/metrics.md")?),
            images: pairs(&file(images::FILE)?)?,
            readme: file("deploy/README.md")?,
            version: version.context("Cargo.toml has no version")?.to_owned(),
        };
        for (found, least, what) in [
            (facts.settings.len(), 30, "settings in crates/config/src/source.rs"),
            (facts.calls.len(), 5, "services in services/coffre/src/set.rs"),
            (facts.management.len(), 3, "paths in crates/telemetry/src/management.rs"),
            (facts.rpc.len(), 10, "gRPC services in proto/"),
            (facts.metrics.len(), 20, "metrics in docs/metrics.md"),
        ] {
            if found < least {
                bail!(
                    "{found} {what}: they are written in another form now, which xtask/src/deploy/facts.rs has to learn"
                );
            }
        }
        Ok(facts)
    }

    /// The services that keep something, and so answer gRPC calls: all but the gateway.
    pub(crate) fn keepers(&self) -> impl Iterator<Item = &str> {
        self.calls.keys().map(String::as_str).filter(|service| *service != "gateway")
    }

    /// What a setting is for a process with this environment.
    pub(crate) fn effective<'f>(&'f self, environment: &'f Pairs, name: &str) -> &'f str {
        environment.get(name).or_else(|| self.settings.get(name)).map_or("", String::as_str)
    }
}

/// The table of settings: `plain("key", "default", …)` and `secret("key", …)`.
fn settings(source: &str) -> Pairs {
    let mut found = Pairs::new();
    for (call, has_default) in [("plain(", true), ("secret(", false)] {
        for (at, _) in source.match_indices(call) {
            let rest = source.get(at + call.len()..).unwrap_or_default().trim_start();
            let Some((key, rest)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) else { continue };
            let default =
                rest.trim_start_matches([',', ' ', '\n']).strip_prefix('"').and_then(|rest| rest.split_once('"'));
            let default = default.filter(|_| has_default).map_or("", |(default, _)| default);
            let variable = format!("COFFRE_{}", key.to_ascii_uppercase().replace('.', "__"));
            found.insert(variable, default.to_owned());
        }
    }
    found
}

/// The arms `Service::Auth => &[Service::Vault, …]` of the function that says who calls whom.
fn calls(source: &str) -> BTreeMap<String, BTreeSet<String>> {
    let names = |text: &str| -> Vec<String> {
        let after = text.split("Service::").skip(1);
        after
            .map(|rest| rest.chars().take_while(char::is_ascii_alphanumeric).collect::<String>().to_lowercase())
            .collect()
    };
    let body = source.split_once("fn calls(").map_or("", |(_, body)| body);
    let arms = body.split("\n}").next().unwrap_or_default().lines().filter_map(|line| line.split_once("=> &["));
    arms.filter_map(|(who, whom)| Some((names(who).into_iter().next()?, names(whom).into_iter().collect()))).collect()
}

fn management(source: &str) -> BTreeSet<String> {
    source.split(".route(\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
}

/// The gRPC services of a proto file, each with the service that has it: `coffre.vault.v1.KeyService` is vault's.
fn services(proto: &str) -> Vec<(String, String)> {
    let package = proto.lines().find_map(|line| line.strip_prefix("package ")?.strip_suffix(';')).unwrap_or_default();
    let owner = package.split('.').nth(1).unwrap_or_default();
    let named = proto.lines().filter_map(|line| line.strip_prefix("service ")?.split([' ', '{']).next());
    named.map(|name| (format!("{package}.{name}"), owner.to_owned())).collect()
}

/// The rows ``| `metric` | `label`, `label` | … |``.
fn metrics(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::new();
    for line in page.lines() {
        let mut cells = line.split('|').skip(1);
        let (Some(name), Some(labels)) = (cells.next(), cells.next()) else { continue };
        let quoted = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        if let [name] = quoted(name).as_slice()
            && name.starts_with("coffre_")
        {
            found.insert(name.clone(), quoted(labels).into_iter().collect());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_their_defaults() {
        let table = "const fn plain(key: &str) {}\n plain(\"data_dir\", \"./x\", \"Help.\"),\n plain(\n  \"tls.cert_file\",\n  \"\",\n  \"A `b`.\",\n ),\n secret(\"database_url\", \"Help.\"),";
        let expected = [("COFFRE_DATABASE_URL", ""), ("COFFRE_DATA_DIR", "./x"), ("COFFRE_TLS__CERT_FILE", "")];
        assert_eq!(settings(table), expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }

    #[test]
    fn who_calls_whom_is_read_arm_by_arm() {
        let code = "fn other() -> x { Service::Vault => &[Service::Audit] }\nconst fn calls(s: Service) -> y {\n    match s {\n        // Why.\n        Service::Auth => &[Service::Vault, Service::Locker],\n        Service::Audit => &[],\n    }\n}\nfn after() { Service::Locker => &[Service::Auth] }\n";
        let found = calls(code);
        assert_eq!(found.len(), 2);
        assert_eq!(found["auth"], ["locker".to_owned(), "vault".to_owned()].into());
        assert!(found["audit"].is_empty());
    }

    #[test]
    fn rpcs_and_metrics_are_read() {
        let proto = "package coffre.vault.v1;\n\n// A service KeyService.\nservice KeyService {\n";
        assert_eq!(services(proto), [("coffre.vault.v1.KeyService".to_owned(), "vault".to_owned())]);
        let page = "| metric | labels | what |\n| --- | --- | --- |\n| `coffre_a` | `x`, `y` | Of `z`. |\n| `coffre_b` | | B. |\n";
        let found = metrics(page);
        assert_eq!(found["coffre_a"], ["x".to_owned(), "y".to_owned()].into());
        assert!(found["coffre_b"].is_empty() && found.len() == 2);
    }

    #[test]
    fn the_repository_is_still_written_in_the_form_that_is_read() {
        let facts = Facts::read(&Workspace::find().unwrap()).unwrap();
        assert_eq!(facts.settings["COFFRE_MANAGEMENT_ADDR"], "127.0.0.1:9090");
        assert!(facts.calls["gateway"].contains("auth") && !facts.calls["audit"].contains("vault"));
        assert!(facts.management.contains("/livez") && facts.rpc.contains_key("coffre.vault.v1.CredentialService"));
        assert!(facts.metrics["coffre_rpc_calls_total"].contains("code"));
        assert!(!facts.rpc.keys().any(|name| name.contains("internal")));
    }
}
