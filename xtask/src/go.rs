//! Go, with which programs are built that the end-to-end cases call as a user would, each once, from its source.

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
            .context("the end-to-end cases call programs that Go builds, and Go is not here")?;
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
    let source = workspace.root.join("tests/e2e/clients/go");
    let built = workspace.tools().join("oauth-client/oauth-client");
    let of = |path: &Path| path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let newest = ["go.mod", "go.sum", "main.go"].iter().map(|name| of(&source.join(name))).max();
    if is_program(&built) && newest.is_some_and(|newest| of(&built) >= newest) {
        return Ok(built);
    }
    let program = find()?;
    step("building the OAuth client of the end-to-end cases with Go", || {
        succeed(go(&program).args(["build", "-buildvcs=false", "-o"]).arg(&built).arg(".").current_dir(&source))
    })?;
    Ok(built)
}
