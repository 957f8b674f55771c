//! Running other programs, and telling what goes on meanwhile.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, ExitStatus, Stdio};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::workspace::Workspace;

/// A `cargo` command in the root of the workspace.
pub(crate) fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(&workspace.root);
    // `cargo run` sets these for this program; they would make cargo rebuild what reads them.
    for (name, _) in env::vars_os() {
        let own =
            name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"));
        if own {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a program that shares our terminal and fails where it does.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs a program that shares our terminal and takes over its exit code.
pub(crate) fn pass_through(command: &mut Command) -> Result<ExitCode> {
    Ok(exit_code(status(command)?))
}

/// Runs a program that shares our terminal.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("could not start `{}`", shown(command)))
}

/// Runs a program silently; its standard output where it succeeds, its standard error where it fails.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("could not start `{}`", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed: {}", shown(command), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The exit code of a program, with 1 for one that a signal ended.
pub(crate) fn exit_code(status: ExitStatus) -> ExitCode {
    match status.code().and_then(|code| u8::try_from(code).ok()) {
        Some(code) => ExitCode::from(code),
        None => ExitCode::FAILURE,
    }
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Says what begins, and how long it took.
pub(crate) fn step<T>(what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {what}");
    let start = Instant::now();
    let result = run();
    let outcome = if result.is_ok() { "done" } else { "FAILED" };
    eprintln!("    {outcome} after {:.1} s", start.elapsed().as_secs_f64());
    result
}

/// Finds a program in `PATH`.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let folders = env::var_os("PATH")?;
    // `sbin` is not in everybody's path, and holds what a set-up needs.
    let extra = ["/usr/sbin", "/sbin", "/usr/local/go/bin"].map(PathBuf::from);
    env::split_paths(&folders).chain(extra).map(|folder| folder.join(name)).find(|path| is_program(path))
}

/// Whether a file is there and may be run.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Installs Debian packages where this machine has `apt-get` and we may use it. The error says what to do by hand.
pub(crate) fn install_packages(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!("this machine has no apt-get: install {list} (or your system's package of it) and run this again");
    }
    let mut prefix: Vec<&str> = Vec::new();
    if !is_root()? {
        let sudo = Command::new("sudo").args(["-n", "true"]).stdin(Stdio::null()).stderr(Stdio::null()).status();
        if !sudo.is_ok_and(|status| status.success()) {
            bail!("installing needs root: run `sudo apt-get install {list}` and run this again");
        }
        prefix.extend(["sudo", "-n"]);
    }
    prefix.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"]);
    let apt = |arguments: &[&str]| {
        let mut words = prefix.iter().chain(arguments).copied();
        let mut command = Command::new(words.next().unwrap_or("apt-get"));
        command.args(words).stdin(Stdio::null()).stdout(std::io::stderr());
        succeed(&mut command)
    };
    step(&format!("installing {list} with apt-get"), || {
        apt(&["update"])?;
        apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())
    })
    .with_context(|| format!("could not install {list}; install it by hand and run this again"))
}

/// Whether this process is the superuser's.
pub(crate) fn is_root() -> Result<bool> {
    Ok(capture(Command::new("id").arg("-u"))? == "0")
}
