//! `cargo xtask deploy`: what lies in `deploy/`, looked at without a cluster, a container engine or, once the tools are there, a network.
//!
//! `check` renders every overlay as `kubectl kustomize` would, holds each object against the schemas of Kubernetes and of the custom
//! resources, and then against rules of our own ([`policy`]). `root` puts the container's root folder together and runs it. `pin` is what a
//! release writes its digests with.

mod facts;
mod images;
mod object;
mod policy;
mod root;
mod run;
mod tool;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Subcommand;
use serde_json::Value;

use crate::command::step;
use crate::deploy::facts::Facts;
use crate::deploy::object::Rendered;
use crate::workspace::Workspace;

/// The folders that somebody applies, each whole.
const FOLDERS: [&str; 6] = [
    "overlays/dev",
    "overlays/production",
    "overlays/production-cnpg",
    "init/dev",
    "init/production",
    "init/production-cnpg",
];
const COMPOSE: &str = "deploy/compose/compose.yaml";

/// What `cargo xtask deploy` takes.
#[derive(Subcommand)]
pub(crate) enum Task {
    /// Renders every overlay offline and checks it: schemas first, then our rules.
    Check {
        /// As before a release: every image must have its digest.
        #[arg(long)]
        release: bool,
    },
    /// Writes the digest of an image into deploy/images/images.env, as a release does.
    Pin {
        /// The name there, such as `IMAGE_COFFRE`.
        name: String,
        /// `sha256:` and 64 hexadecimal digits.
        digest: String,
    },
    /// Puts the container's root folder together from Debian's packages and runs the program there: as its user, with nothing to write to.
    Root {
        /// The program; `target/debug/coffre` where it is not said.
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
    /// Runs both Jobs and all services there as the manifests of the overlay `dev` say, with a PostgreSQL, and stops them.
    Run {
        /// The program; `target/debug/coffre` where it is not said.
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
    },
}

/// Runs one of the tasks.
pub(crate) fn run(workspace: &Workspace, task: &Task) -> Result<ExitCode> {
    match task {
        Task::Check { release } => check(workspace, *release),
        Task::Pin { name, digest } => images::pin(workspace, name, digest),
        Task::Root { binary } => root::run(workspace, &program(workspace, binary.as_ref())),
        Task::Run { binary } => run::run(workspace, &program(workspace, binary.as_ref())),
    }
}

fn program(workspace: &Workspace, given: Option<&PathBuf>) -> PathBuf {
    given.cloned().unwrap_or_else(|| workspace.target.join("debug/coffre"))
}

/// Folders that would be fetched from somewhere: whoever applies them would get what lies there on that day.
fn fetched(workspace: &Workspace) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in
        workspace.files()?.iter().filter(|file| file.starts_with("deploy") && file.ends_with("kustomization.yaml"))
    {
        let text = workspace.text(file)?.unwrap_or_default();
        let entries = remote_entries(&text).into_iter();
        found.extend(entries.map(|entry| format!("{}: `{entry}` lies in another repository", file.display())));
    }
    Ok(found)
}

/// The entries of lists that are no path: kustomize takes URLs, `host.tld/path` and `…?ref=…` for repositories.
fn remote_entries(kustomization: &str) -> Vec<&str> {
    let entries = kustomization.lines().filter_map(|line| line.trim_start().strip_prefix("- ")).map(str::trim);
    let remote = |entry: &&str| {
        let first = entry.split('/').next().unwrap_or_default();
        let host = entry.contains('/') && first.contains('.') && !first.chars().all(|sign| sign == '.');
        !entry.contains(": ") && (entry.contains("://") || entry.contains("?ref=") || entry.starts_with("git@") || host)
    };
    entries.filter(remote).collect()
}

fn check(workspace: &Workspace, release: bool) -> Result<ExitCode> {
    let facts = Facts::read(workspace)?;
    let tool = tool::Tool::provide(workspace)?;
    let mut breaches = images::breaches(workspace, &facts, release)?;
    breaches.extend(fetched(workspace)?);
    let folder = |name: &str| workspace.root.join("deploy/kubernetes").join(name);
    let (rendered, compose) = step("rendering every overlay and holding it against the schemas", || {
        let compose = workspace.root.join(COMPOSE);
        let answer = tool.ask(&FOLDERS.map(folder), &[compose], &[])?;
        let mut rendered = Vec::new();
        for (name, found) in FOLDERS.iter().zip(answer.folders) {
            breaches.extend(found.faults.iter().map(|fault| format!("{name}: {fault}")));
            rendered.push(Rendered::new(name, &folder(name), found.objects)?);
        }
        let compose = answer.documents.into_iter().next().map_or(Value::Null, |(_, document)| document);
        Ok((rendered, compose))
    })?;
    step("our own rules", || {
        for one in &rendered {
            let found = policy::breaches(one, &facts);
            breaches.extend(found.into_iter().map(|breach| format!("{}: {breach}", one.name)));
            let expressions = policy::monitoring::expressions(one)?;
            let read = tool.ask(&[], &[], &expressions)?.expressions;
            let found = policy::monitoring::breaches(&read, &facts);
            breaches.extend(found.into_iter().map(|breach| format!("{}: {breach}", one.name)));
        }
        breaches.extend(
            policy::compose::breaches(&compose, &facts).into_iter().map(|breach| format!("{COMPOSE}: {breach}")),
        );
        Ok(())
    })?;
    breaches.sort();
    breaches.dedup();
    for breach in &breaches {
        eprintln!("    {breach}");
    }
    if !breaches.is_empty() {
        bail!("deploy/ has {} breaches", breaches.len());
    }
    let objects: usize = rendered.iter().map(|one| one.objects.len()).sum();
    println!("{} folders with {objects} objects, and the compose file, are as they should be", rendered.len());
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_other_repositories_are_found() {
        let fine =
            "resources:\n  - ../../base\n  - database.yaml\n  - dashboards/a.json\n  - name: ghcr.io/coffre/coffre\n";
        assert_eq!(remote_entries(fine), [""; 0]);
        let remote = ["https://example.org/x.yaml", "github.com/a/b/deploy", "x/y?ref=main", "git@example.org:a/b"];
        for entry in remote {
            assert_eq!(remote_entries(&format!("resources:\n  - {entry}\n")), [entry]);
        }
    }
}
