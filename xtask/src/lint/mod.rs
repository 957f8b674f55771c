//! `cargo xtask lint`: every check that reads the code without running it. The quick ones come first; each runs even where
//! one before it failed, so that one run tells everything.

mod dependencies;
mod files;
mod layers;
mod policy;

use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::command::{self, cargo, step};
use crate::proto;
use crate::workspace::Workspace;

/// What `cargo xtask lint` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only these checks; all of them where none is named.
    #[arg(value_enum)]
    checks: Vec<Check>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Check {
    /// The code is formatted.
    Format,
    /// Files are short, and hold no path of somebody's machine.
    Files,
    /// What the layers of a service may import.
    Layers,
    /// The contract in `proto/`, and what changed in it.
    Proto,
    /// No declared dependency is unused; services do not depend on each other.
    Dependencies,
    /// Bans, licences and sources of `deny.toml`.
    Policy,
    /// Clippy, without a warning.
    Clippy,
    /// The documentation builds, without a warning.
    Doc,
}

impl Check {
    fn title(self) -> &'static str {
        match self {
            Self::Format => "format: cargo fmt --check",
            Self::Files => "files: length, paths of machines",
            Self::Layers => "layers: what api, domain and store import",
            Self::Proto => "proto: style and compatibility of the contract",
            Self::Dependencies => "dependencies: unused ones, services apart",
            Self::Policy => "policy: bans, licences, sources of deny.toml",
            Self::Clippy => "clippy: without a warning",
            Self::Doc => "doc: without a warning",
        }
    }

    fn run(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Format => command::succeed(cargo(workspace).args(["fmt", "--all", "--check"])),
            Self::Files => report(files::breaches(workspace)?),
            Self::Layers => report(layers::breaches(workspace)?),
            Self::Proto => report(proto::breaches(workspace)?),
            Self::Dependencies => report(dependencies::breaches(workspace)?),
            Self::Policy => {
                report(policy::breaches(workspace)?)?;
                second_opinion(workspace)
            }
            Self::Clippy => {
                let fixed = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
                command::succeed(cargo(workspace).args(fixed))
            }
            Self::Doc => {
                let fixed = ["doc", "--workspace", "--no-deps", "--locked"];
                command::succeed(cargo(workspace).env("RUSTDOCFLAGS", "-D warnings").args(fixed))
            }
        }
    }
}

/// Runs the checks and sums up.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let checks = if arguments.checks.is_empty() { Check::value_variants() } else { arguments.checks.as_slice() };
    let mut failed = Vec::new();
    for check in checks {
        if let Err(error) = step(check.title(), || check.run(workspace)) {
            eprintln!("    {error:#}");
            failed.push(check.title());
        }
    }
    if failed.is_empty() {
        println!("{} checks passed", checks.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} of {} checks failed:", failed.len(), checks.len());
    for title in failed {
        println!("  {title}");
    }
    Ok(ExitCode::FAILURE)
}

/// Prints breaches, and fails where there are some.
fn report(breaches: Vec<String>) -> Result<()> {
    for breach in &breaches {
        eprintln!("    {breach}");
    }
    match breaches.len() {
        0 => Ok(()),
        1 => bail!("1 breach"),
        count => bail!("{count} breaches"),
    }
}

/// cargo-deny reads the same `deny.toml`. It takes longer to build than everything else here, so it is asked where a
/// developer has it, and not installed. Its advisories need a network and are looked at outside of this.
fn second_opinion(workspace: &Workspace) -> Result<()> {
    if !Command::new("cargo-deny").arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    command::succeed(cargo(workspace).args(["deny", "--all-features", "check", "bans", "licenses", "sources"]))
}
