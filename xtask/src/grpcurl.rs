//! `grpcurl`, which the end-to-end cases call as a user would. Debian has no package of it, so Go builds it from its
//! source, at a pinned version, once.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{capture, is_program, step, succeed};
use crate::go;
use crate::workspace::Workspace;

/// Tried in this order: the second is for the Go 1.19 of Debian 12.
const VERSIONS: [&str; 2] = ["v1.9.3", "v1.8.9"];

/// The program, built where it is not there yet.
pub(crate) fn provide(workspace: &Workspace) -> Result<PathBuf> {
    if let Some(given) = env::var_os("COFFRE_TEST_GRPCURL") {
        let given = PathBuf::from(given);
        if !is_program(&given) {
            bail!("COFFRE_TEST_GRPCURL names {}, which is no program", given.display());
        }
        return Ok(given);
    }
    let folder = |version: &str| workspace.tools().join(format!("grpcurl-{version}"));
    if let Some(built) = VERSIONS.iter().map(|version| folder(version).join("grpcurl")).find(|path| is_program(path)) {
        return Ok(built);
    }
    let go = go::find().context("COFFRE_TEST_GRPCURL may name a grpcurl")?;
    let mut failures = Vec::new();
    for version in VERSIONS {
        let folder = folder(version);
        let what = format!("building grpcurl {version} with Go, about two minutes, only this once");
        match step(&what, || build(&go, version, &folder)) {
            Ok(()) => return Ok(folder.join("grpcurl")),
            Err(error) => failures.push(format!("{error:#}")),
        }
    }
    let go_version = capture(Command::new(&go).arg("version")).unwrap_or_default();
    bail!(
        "the end-to-end cases call grpcurl, and it could not be built with `{go_version}`: {}; \
         COFFRE_TEST_GRPCURL may name a grpcurl",
        failures.join("; ")
    )
}

fn build(go: &Path, version: &str, folder: &Path) -> Result<()> {
    let package = format!("github.com/fullstorydev/grpcurl/cmd/grpcurl@{version}");
    let mut command = go::go(go);
    command.env("GOBIN", folder).args(["install", &package]);
    succeed(&mut command)
}
