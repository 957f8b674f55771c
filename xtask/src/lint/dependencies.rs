//! Dependencies that nothing uses, and services that depend on each other.
//!
//! A dependency counts as used where a source of its package contains its name as a word. One that is there for its effect
//! (to choose features, to link a library) is named with the reason in the package's `Cargo.toml`:
//!
//! ```toml
//! [package.metadata.unnamed-dependencies]
//! openssl-sys = "switches on the OpenSSL that is built in"
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::workspace::Workspace;

/// The only service that may depend on the others: it is the one program that holds them all.
const COMPOSER: &str = "coffre";

/// Every breach in the workspace.
pub(crate) fn breaches(workspace: &Workspace) -> Result<Vec<String>> {
    let metadata = workspace.metadata(&[])?;
    let files = workspace.files()?;
    let mut breaches = Vec::new();
    let mut declared = BTreeSet::new();
    let services: BTreeSet<String> = packages(&metadata).filter(|package| is_service(package)).map(name).collect();
    for package in packages(&metadata).filter(|package| package.get("source").is_none_or(Value::is_null)) {
        let folder = Path::new(text(package, "manifest_path")).parent().context("a manifest without folder")?;
        let folder = folder.strip_prefix(&workspace.root).unwrap_or(folder);
        let mut sources = Vec::new();
        for file in files.iter().filter(|file| file.starts_with(folder)) {
            if file.extension().is_some_and(|extension| extension == "rs") {
                sources.push((file.strip_prefix(folder)?.to_owned(), workspace.text(file)?.unwrap_or_default()));
            }
        }
        let package_name = name(package);
        let unnamed = package.pointer("/metadata/unnamed-dependencies");
        for dependency in list(package, "dependencies") {
            let (dependency_name, kind) = (name(dependency), text(dependency, "kind"));
            declared.insert(dependency_name.clone());
            let identifier = match text(dependency, "rename") {
                "" => dependency_name.replace('-', "_"),
                rename => rename.replace('-', "_"),
            };
            let reason = unnamed.and_then(|unnamed| unnamed.get(&dependency_name)).and_then(Value::as_str);
            let used = sources.iter().any(|(file, text)| counts_for(file, kind) && has_word(text, &identifier));
            if !used && reason.is_none_or(str::is_empty) {
                let kind = if kind.is_empty() { String::new() } else { format!("{kind}-") };
                breaches.push(format!("{package_name}: the {kind}dependency `{dependency_name}` is not used"));
            }
            let dependent = services.contains(&package_name) && package_name != COMPOSER;
            if dependent && kind != "dev" && services.contains(&dependency_name) {
                breaches.push(format!(
                    "{package_name} depends on the service {dependency_name}; services share crates/proto only"
                ));
            }
        }
        for dependency in unnamed.and_then(Value::as_object).into_iter().flat_map(|unnamed| unnamed.keys()) {
            if !list(package, "dependencies").any(|declared| name(declared) == *dependency) {
                breaches
                    .push(format!("{package_name}: unnamed-dependencies lists `{dependency}`, which is no dependency"));
            }
        }
    }
    let root: toml::Table = fs::read_to_string(workspace.root.join("Cargo.toml"))?.parse().context("Cargo.toml")?;
    let shared =
        root.get("workspace").and_then(|workspace| workspace.get("dependencies")).and_then(toml::Value::as_table);
    for dependency in shared.into_iter().flat_map(|shared| shared.keys()).filter(|name| !declared.contains(*name)) {
        breaches.push(format!("Cargo.toml: no package takes `{dependency}` of [workspace.dependencies]"));
    }
    Ok(breaches)
}

/// The packages that `cargo metadata` lists.
pub(super) fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages")
}

/// The elements of a list; none where there is no list.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A text; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The name of a package or dependency.
pub(super) fn name(value: &Value) -> String {
    text(value, "name").to_owned()
}

fn is_service(package: &Value) -> bool {
    let folder = Path::new(text(package, "manifest_path")).parent().and_then(Path::parent);
    text(package, "source").is_empty() && folder.is_some_and(|folder| folder.ends_with("services"))
}

/// Whether a source file, relative to its package, shows that a dependency of this kind is used.
fn counts_for(file: &Path, kind: &str) -> bool {
    match kind {
        "build" => file == Path::new("build.rs"),
        "dev" => file != Path::new("build.rs"),
        _ => file.starts_with("src"),
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let part = |sign: char| sign.is_alphanumeric() || sign == '_';
    text.match_indices(word).any(|(at, _)| {
        let before = text.get(..at).and_then(|start| start.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|end| end.chars().next());
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_as_a_whole_word_only() {
        assert!(has_word("use http::Uri;", "http"));
        assert!(has_word("#[http]", "http"));
        assert!(!has_word("use tower_http::x; https", "http"));
    }

    #[test]
    fn each_kind_of_dependency_is_looked_for_in_its_own_place() {
        assert!(counts_for(Path::new("src/api/mod.rs"), ""));
        assert!(!counts_for(Path::new("tests/it/main.rs"), ""));
        assert!(counts_for(Path::new("tests/it/main.rs"), "dev"));
        assert!(counts_for(Path::new("build.rs"), "build"));
        assert!(!counts_for(Path::new("build.rs"), "dev"));
    }
}
