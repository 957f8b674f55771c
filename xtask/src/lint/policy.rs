//! The bans, licences and sources of `deny.toml`, checked on what cargo resolves for the targets named there.
//!
//! `deny.toml` is written for cargo-deny, which a developer may run as a second opinion. Building cargo-deny takes longer than
//! building Coffre, and an update of its advisory database needs a network, so the part that decides is here. It knows the
//! keys that our file uses and refuses the others: nothing in the file is silently ignored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use spdx::{Expression, Licensee, ParseMode};
use toml::Table;

use crate::command::{capture, cargo};
use crate::lint::dependencies::{list, packages, text};
use crate::workspace::Workspace;

const CRATES_IO: &str = "https://github.com/rust-lang/crates.io-index";

/// A ban: a crate that may not be built at all, or not in two versions.
#[derive(Debug)]
struct Ban {
    name: String,
    reason: String,
    duplicates_only: bool,
    /// The only crates that may depend on it; none: nobody may.
    wrappers: Vec<String>,
}

/// What `deny.toml` says.
#[derive(Debug)]
struct Policy {
    targets: Vec<String>,
    bans: Vec<Ban>,
    licences: Vec<String>,
    registries: Vec<String>,
}

/// A package that is built, as far as the policy cares.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Empty for a package of this repository.
    source: String,
    dependants: BTreeSet<String>,
}

/// Every breach in the graph.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>> {
    let policy = Policy::parse(&fs::read_to_string(workspace.root.join("deny.toml"))?).context("deny.toml")?;
    let mut listed = BTreeSet::new();
    for target in &policy.targets {
        listed.extend(listed_packages(workspace, target)?);
    }
    let built = built_packages(&workspace.metadata(&policy.targets)?, &listed);
    let mut breaches = ban_breaches(&policy, &built);
    breaches.extend(licence_breaches(&policy, &built)?);
    breaches.extend(source_breaches(&policy, &built));
    Ok(breaches)
}

impl Policy {
    fn parse(text: &str) -> Result<Self> {
        let file: Table = text.parse()?;
        only_keys(&file, "", &["graph", "bans", "licenses", "sources"])?;
        let section =
            |name: &str| file.get(name).and_then(toml::Value::as_table).with_context(|| format!("no [{name}]"));
        let (graph, bans, licenses, sources) =
            (section("graph")?, section("bans")?, section("licenses")?, section("sources")?);
        only_keys(graph, "graph", &["targets"])?;
        only_keys(bans, "bans", &["multiple-versions", "wildcards", "allow-wildcard-paths", "deny"])?;
        only_keys(licenses, "licenses", &["allow", "unused-allowed-license", "confidence-threshold", "private"])?;
        only_keys(sources, "sources", &["unknown-registry", "unknown-git", "allow-registry", "allow-git"])?;
        let mut parsed = Vec::new();
        for ban in bans.get("deny").and_then(toml::Value::as_array).into_iter().flatten() {
            let ban = ban.as_table().context("a ban without reason")?;
            only_keys(ban, "bans.deny", &["crate", "reason", "deny-multiple-versions", "wrappers"])?;
            let word = |key: &str| ban.get(key).and_then(toml::Value::as_str).map(str::to_owned);
            let name = word("crate").context("a ban without crate")?;
            let reason = word("reason").with_context(|| format!("the ban of `{name}` has no reason"))?;
            let duplicates_only = ban.get("deny-multiple-versions").and_then(toml::Value::as_bool).unwrap_or(false);
            parsed.push(Ban { name, reason, duplicates_only, wrappers: words(ban, "wrappers") });
        }
        if !words(sources, "allow-git").is_empty() {
            bail!("this check knows no allowed git sources");
        }
        Ok(Self {
            targets: words(graph, "targets"),
            bans: parsed,
            licences: words(licenses, "allow"),
            registries: words(sources, "allow-registry"),
        })
    }
}

fn only_keys(table: &Table, section: &str, known: &[&str]) -> Result<()> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => bail!("`{key}` in [{section}] is not understood by `cargo xtask lint policy`"),
        None => Ok(()),
    }
}

fn words(table: &Table, key: &str) -> Vec<String> {
    let values = table.get(key).and_then(toml::Value::as_array).into_iter().flatten();
    values.filter_map(|value| Some(value.as_str()?.to_owned())).collect()
}

/// Names and versions of what is built for a target. `cargo metadata` alone lists more: it joins the features that a crate
/// has as a build dependency with those that it has otherwise, and shows optional dependencies that are never switched on.
fn listed_packages(workspace: &Workspace, target: &str) -> Result<BTreeSet<(String, String)>> {
    let mut command = cargo(workspace);
    command.args(["tree", "--workspace", "--locked", "--prefix", "none", "--format", "{p}", "--target", target]);
    let listed = capture(command.args(["--edges", "normal,build,dev"]))?;
    // `tonic v0.14.9`, perhaps followed by ` (proc-macro)` or ` (*)`.
    let packages = listed.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(packages.collect())
}

/// The packages of `cargo metadata` that are built, with those of them that depend on each.
fn built_packages(metadata: &Value, listed: &BTreeSet<(String, String)>) -> Vec<Package> {
    let is_built =
        |package: &&Value| listed.contains(&(text(package, "name").to_owned(), text(package, "version").to_owned()));
    let built: BTreeMap<&str, &Value> =
        packages(metadata).filter(is_built).map(|package| (text(package, "id"), package)).collect();
    let mut dependants: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in metadata.get("resolve").into_iter().flat_map(|resolve| list(resolve, "nodes")) {
        let Some(package) = built.get(text(node, "id")) else { continue };
        for dependency in list(node, "dependencies").filter_map(Value::as_str) {
            dependants.entry(dependency).or_default().insert(text(package, "name").to_owned());
        }
    }
    let package = |(id, package): (&str, &Value)| Package {
        name: text(package, "name").to_owned(),
        version: text(package, "version").to_owned(),
        licence: text(package, "license").to_owned(),
        source: text(package, "source").to_owned(),
        dependants: dependants.remove(id).unwrap_or_default(),
    };
    built.into_iter().map(package).collect()
}

fn ban_breaches(policy: &Policy, built: &[Package]) -> Vec<String> {
    let mut breaches = Vec::new();
    for ban in &policy.bans {
        let found: Vec<&Package> = built.iter().filter(|package| package.name == ban.name).collect();
        if ban.duplicates_only {
            if found.len() > 1 {
                let versions: Vec<_> = found.iter().map(|package| package.version.as_str()).collect();
                breaches.push(format!("`{}` is built in versions {}: {}", ban.name, versions.join(", "), ban.reason));
            }
            continue;
        }
        for package in found {
            for dependant in package.dependants.iter().filter(|name| !ban.wrappers.contains(name)) {
                breaches.push(format!("`{}`, which `{dependant}` brings, is banned: {}", package.name, ban.reason));
            }
        }
    }
    breaches
}

fn licence_breaches(policy: &Policy, built: &[Package]) -> Result<Vec<String>> {
    let mut allowed = Vec::new();
    for licence in &policy.licences {
        allowed.push(Licensee::parse(licence).with_context(|| format!("`{licence}` is no SPDX licence"))?);
    }
    let mut breaches = Vec::new();
    let mut accepted = Vec::new();
    for package in built {
        let (name, version, licence) = (&package.name, &package.version, &package.licence);
        match Expression::parse_mode(licence, ParseMode::LAX) {
            Ok(expression) if satisfied(&expression, &allowed, None) => accepted.push(expression),
            Ok(_) => breaches.push(format!("{name} {version}: its licence `{licence}` is not allowed")),
            Err(_) => breaches.push(format!("{name} {version}: its licence `{licence}` cannot be read")),
        }
    }
    for (index, licence) in policy.licences.iter().enumerate() {
        if accepted.iter().all(|expression| satisfied(expression, &allowed, Some(index))) {
            breaches.push(format!("deny.toml allows `{licence}`, which no crate needs: remove it"));
        }
    }
    Ok(breaches)
}

/// Whether the allowed licences, but for one, satisfy an expression.
fn satisfied(expression: &Expression, allowed: &[Licensee], but: Option<usize>) -> bool {
    let others = || allowed.iter().enumerate().filter(|(index, _)| Some(*index) != but);
    expression.evaluate(|wanted| others().any(|(_, licence)| licence.satisfies(wanted)))
}

fn source_breaches(policy: &Policy, built: &[Package]) -> Vec<String> {
    let allowed = |source: &str| {
        let registry = source.strip_prefix("registry+").or_else(|| source.strip_prefix("sparse+"));
        registry.is_some_and(|registry| {
            policy.registries.iter().any(|allowed| allowed == registry) && registry == CRATES_IO
        })
    };
    let foreign = built.iter().filter(|package| !package.source.is_empty() && !allowed(&package.source));
    foreign.map(|package| format!("{} {}: comes from {}", package.name, package.version, package.source)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"
        [graph]
        targets = ["x86_64-unknown-linux-gnu"]
        [bans]
        multiple-versions = "allow"
        deny = [
            { crate = "ring", reason = "a second provider" },
            { crate = "openssl", reason = "only for pq", wrappers = ["pq"] },
            { crate = "tonic", deny-multiple-versions = true, reason = "types of two versions do not fit" },
        ]
        [licenses]
        allow = ["MIT", "Apache-2.0"]
        [sources]
        allow-registry = ["https://github.com/rust-lang/crates.io-index"]
    "#;

    fn package(name: &str, version: &str, dependant: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            licence: "MIT OR Apache-2.0".to_owned(),
            source: format!("registry+{CRATES_IO}"),
            dependants: BTreeSet::from([dependant.to_owned()]),
        }
    }

    #[test]
    fn a_banned_crate_is_found_with_who_brings_it() {
        let policy = Policy::parse(POLICY).unwrap();
        let found = ban_breaches(&policy, &[package("ring", "0.17.0", "rcgen"), package("openssl", "0.10.0", "pq")]);
        assert_eq!(found, ["`ring`, which `rcgen` brings, is banned: a second provider"]);
        assert_eq!(ban_breaches(&policy, &[package("openssl", "0.10.0", "native-tls")]).len(), 1);
    }

    #[test]
    fn two_versions_of_one_crate_are_found() {
        let policy = Policy::parse(POLICY).unwrap();
        assert!(ban_breaches(&policy, &[package("tonic", "0.14.9", "a")]).is_empty());
        assert_eq!(ban_breaches(&policy, &[package("tonic", "0.14.9", "a"), package("tonic", "0.13.0", "b")]).len(), 1);
    }

    fn licensed(licences: &[&str]) -> Vec<Package> {
        let package = |licence: &&str| Package { licence: (*licence).to_owned(), ..package("a", "1.0.0", "b") };
        licences.iter().map(package).collect()
    }

    #[test]
    fn a_licence_that_is_not_allowed_or_not_there_is_found() {
        let policy = Policy::parse(POLICY).unwrap();
        let fine = ["MIT", "Apache-2.0", "MIT/Apache-2.0", "(GPL-3.0-only OR MIT) AND Apache-2.0"];
        assert_eq!(licence_breaches(&policy, &licensed(&fine)).unwrap(), [""; 0]);
        for bad in ["GPL-3.0-only", "MIT AND ISC", "", "see the file"] {
            let found = licence_breaches(&policy, &licensed(&["MIT", "Apache-2.0", bad])).unwrap();
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
        }
    }

    #[test]
    fn an_allowed_licence_that_nobody_needs_is_found() {
        let policy = Policy::parse(POLICY).unwrap();
        let found = licence_breaches(&policy, &licensed(&["MIT", "MIT OR Apache-2.0"])).unwrap();
        assert_eq!(found, ["deny.toml allows `Apache-2.0`, which no crate needs: remove it"]);
    }

    #[test]
    fn crates_from_elsewhere_are_found() {
        let policy = Policy::parse(POLICY).unwrap();
        let mut git = package("fork", "1.0.0", "a");
        git.source = "git+https://example.org/fork".to_owned();
        let mut own = package("own", "1.0.0", "a");
        own.source = String::new();
        assert_eq!(source_breaches(&policy, &[package("fine", "1.0.0", "a"), git, own]).len(), 1);
    }

    #[test]
    fn a_ban_without_reason_and_an_unknown_key_are_refused() {
        assert!(Policy::parse(&POLICY.replace("reason = \"a second provider\"", "wrappers = []")).is_err());
        assert!(Policy::parse(&POLICY.replace("multiple-versions = \"allow\"", "features = []")).is_err());
    }
}
