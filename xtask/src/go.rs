//! Go, with which programs are built that the tests call, each once, from its source.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use crate::command::{capture, find_program, install_packages, is_program, step, succeed};
use crate::workspace::Workspace;

/// Finds Go, or installs it.
pub(crate) fn find() -> Result<PathBuf> {
    if find_program("go").is_none() {
        install_packages(&["golang-go", "ca-certificates"])
            .context("the tests call programs that Go builds, and Go is not here")?;
    }
    find_program("go").context("Go was installed but is not in PATH")
}

/// Finds a Go that builds what needs a recent one: from 1.21 on it fetches, as a module, the toolchain that a `go.mod` names.
pub(crate) fn find_recent() -> Result<PathBuf> {
    let go = find()?;
    let told = capture(Command::new(&go).arg("version"))?;
    if minor_version(&told).is_none_or(|minor| minor < 21) {
        bail!("the check of deploy/ is built with Go 1.21 or later, and this is `{told}`: install one from go.dev/dl");
    }
    Ok(go)
}

/// The 26 in `go version go1.26.8 linux/amd64`.
fn minor_version(told: &str) -> Option<u32> {
    told.split_once("go1.")?.1.split(|sign: char| !sign.is_ascii_digit()).next()?.parse().ok()
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

/// The program of `xtask/manifests`, built where it is not there or older than its source.
pub(crate) fn provide_manifests(workspace: &Workspace) -> Result<PathBuf> {
    let what = "what renders and checks manifests, some minutes, only this once";
    let files =
        ["go.mod", "go.sum", "documents.go", "main.go", "promql.go", "render.go", "restricted.go", "schemas.go"];
    provide_with(workspace, "manifests", what, "xtask/manifests", &files, || {
        let mut recent = go(&find_recent()?);
        recent.env("GOTOOLCHAIN", "auto");
        Ok(recent)
    })
}

fn provide(workspace: &Workspace, name: &str, what: &str, source: &str, files: &[&str]) -> Result<PathBuf> {
    provide_with(workspace, name, what, source, files, || Ok(go(&find()?)))
}

fn provide_with(
    workspace: &Workspace,
    name: &str,
    what: &str,
    source: &str,
    files: &[&str],
    go: impl FnOnce() -> Result<Command>,
) -> Result<PathBuf> {
    let source = workspace.root.join(source);
    let built = workspace.tools().join(name).join(name);
    let of = |path: &Path| path.metadata().and_then(|found| found.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let newest = files.iter().map(|file| of(&source.join(file))).max();
    if is_program(&built) && newest.is_some_and(|newest| of(&built) >= newest) {
        return Ok(built);
    }
    let mut command = go()?;
    step(&format!("building {what} with Go"), || {
        succeed(command.args(["build", "-buildvcs=false", "-o"]).arg(&built).arg(".").current_dir(&source))
    })?;
    Ok(built)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(minor_version("go version go1.26.8 linux/amd64"), Some(26));
        assert_eq!(minor_version("go version go1.19 linux/amd64"), Some(19));
        assert_eq!(minor_version("go version devel"), None);
    }
}
