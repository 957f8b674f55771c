//! Go, with which programs are built that the tests call, each once, from its source.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::command::{find_program, install_packages, is_program, step, succeed};
use crate::workspace::Workspace;

/// Finds Go, or installs it.
pub(crate) fn find() -> Result<PathBuf> {
    if find_program("go").is_none() {
        install_packages(&["golang-go", "ca-certificates"])
            .context("the tests call programs that Go builds, and Go is not here")?;
    }
    find_program("go").context("Go was installed but is not in PATH")
}

/// Go with the toolchain that is here, none from the network; without a C compiler's help what it builds needs no C library either.
pub(crate) fn go(go: &Path) -> Command {
    let mut command = Command::new(go);
    command.env("GOTOOLCHAIN", "local").env("CGO_ENABLED", "0").env("GOFLAGS", "-trimpath");
    command.stdin(Stdio::null());
    command
}

/// The client of `tests/e2e/clients/go`, built where it is not there or older than its source.
pub(crate) fn provide_oauth_client(workspace: &Workspace) -> Result<PathBuf> {
    let what = "the OAuth client of the end-to-end cases";
    provide(workspace, "oauth-client", what, "tests/e2e/clients/go", &["go.mod", "go.sum", "main.go"])
}

/// The program of `crates/crypto/tests/independent`, built where it is not there or older than its source.
pub(crate) fn provide_open_value(workspace: &Workspace) -> Result<PathBuf> {
    let what = "the second implementation of values at rest";
    provide(workspace, "open-value", what, "crates/crypto/tests/independent", &["go.mod", "main.go"])
}

/// The program of `crates/audit-proof/tests/independent`, built where it is not there or older than its source.
pub(crate) fn provide_check_audit(workspace: &Workspace) -> Result<PathBuf> {
    let what = "the second implementation of the audit's proofs";
    provide(workspace, "check-audit", what, "crates/audit-proof/tests/independent", &["go.mod", "main.go"])
}

fn provide(workspace: &Workspace, name: &str, what: &str, source: &str, files: &[&str]) -> Result<PathBuf> {
    let source = workspace.root.join(source);
    let built = workspace.tools().join(name).join(name);
    let of = |path: &Path| path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let newest = files.iter().map(|file| of(&source.join(file))).max();
    if is_program(&built) && newest.is_some_and(|newest| of(&built) >= newest) {
        return Ok(built);
    }
    let program = find()?;
    step(&format!("building {what} with Go"), || {
        succeed(go(&program).args(["build", "-buildvcs=false", "-o"]).arg(&built).arg(".").current_dir(&source))
    })?;
    Ok(built)
}
