//! A PostgreSQL server of our own, for the length of a test run: a private folder, a free port on the loopback address,
//! a password nobody else knows.
//!
//! The server runs under a small shell that waits for the end of its standard input. Whatever ends this program (its own
//! end, Ctrl-C, SIGKILL) closes that pipe; the shell then stops the server and removes the folder. The shell has a process
//! group of its own, so that Ctrl-C in the terminal does not reach it first.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{DirBuilderExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::{capture, find_program, install_packages, is_program, is_root, step};

/// The oldest major version that we test with, and support.
const OLDEST: u32 = 15;
const USER: &str = "coffre";
const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// Waits for the end of its input, then stops the server and removes its folder. `$1` is the folder, the rest the server.
const KEEPER: &str = r#"
folder=$1; shift
"$@" >"$folder/log" 2>&1 </dev/null &
server=$!
while read -r _; do :; done
postmaster=$(head -n 1 "$folder/data/postmaster.pid" 2>/dev/null)
kill -INT "${postmaster:-$server}" 2>/dev/null
wait "$server"
rm -rf -- "$folder"
"#;

/// A running server. It stops when this is dropped.
pub(crate) struct Server {
    /// Where to connect: `postgres://user:password@127.0.0.1:port/database`. The user is the server's superuser.
    pub(crate) url: String,
    keeper: Child,
    folder: PathBuf,
}

impl Server {
    /// Starts a server, having installed PostgreSQL where it is missing. Without `durable` it never waits for the disk.
    pub(crate) fn start(durable: bool) -> Result<Self> {
        let binaries = match find_binaries() {
            Some(binaries) => binaries,
            None => {
                install_packages(&["postgresql"]).context("the tests need the server of PostgreSQL 15 or later")?;
                find_binaries()
                    .context("the package `postgresql` brought no PostgreSQL 15 or later; install one by hand")?
            }
        };
        step(&format!("starting PostgreSQL of {}", binaries.display()), || Self::launch(&binaries, durable))
    }

    fn launch(binaries: &Path, durable: bool) -> Result<Self> {
        let account = Account::choose()?;
        let folder = private_folder(account.as_ref())?;
        let password = random_hex(16)?;
        let prepared = initialise(binaries, account.as_ref(), &folder, &password);
        let (port, keeper) = match prepared.and_then(|()| spawn(binaries, account.as_ref(), &folder, durable)) {
            Ok(spawned) => spawned,
            Err(error) => {
                // Nothing runs yet that would remove it.
                let _ = fs::remove_dir_all(&folder);
                return Err(error);
            }
        };
        let url = format!("postgres://{USER}:{password}@127.0.0.1:{port}/postgres");
        let server = Self { url, keeper, folder };
        server.wait_until_ready()?;
        Ok(server)
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            // The eighth line tells the state, since version 10.
            let state = fs::read_to_string(self.folder.join("data/postmaster.pid")).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            if log.contains("FATAL") || Instant::now() > deadline {
                bail!("PostgreSQL did not start; its log: {}", log.trim());
            }
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let deadline = Instant::now() + STOP_WITHIN;
        while matches!(self.keeper.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                eprintln!("PostgreSQL is slow to stop; {} may stay behind", self.folder.display());
                return;
            }
            sleep(Duration::from_millis(50));
        }
    }
}

/// The account that the server runs as, where we are root: PostgreSQL refuses to run as root.
struct Account {
    user: u32,
    group: u32,
}

impl Account {
    /// None where we are not root.
    fn choose() -> Result<Option<Self>> {
        if !is_root()? {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            let id = |option: &str| capture(Command::new("id").args([option, name])).ok()?.parse::<u32>().ok();
            if let (Some(user), Some(group)) = (id("-u"), id("-g")) {
                return Ok(Some(Self { user, group }));
            }
        }
        bail!("PostgreSQL refuses to run as root, and this machine has neither a user `postgres` nor `nobody`")
    }
}

/// The words before a command that is to run as the account.
fn as_account(account: Option<&Account>) -> Result<Vec<String>> {
    let Some(account) = account else { return Ok(Vec::new()) };
    let setpriv = find_program("setpriv").context("running PostgreSQL as another user needs setpriv, of util-linux")?;
    Ok(vec![
        setpriv.display().to_string(),
        format!("--reuid={}", account.user),
        format!("--regid={}", account.group),
        "--clear-groups".to_owned(),
        "--".to_owned(),
    ])
}

fn initialise(binaries: &Path, account: Option<&Account>, folder: &Path, password: &str) -> Result<()> {
    let password_file = folder.join("password");
    fs::write(&password_file, password)?;
    if let Some(account) = account {
        chown(&password_file, Some(account.user), Some(account.group))?;
    }
    let mut words = as_account(account)?;
    words.push(binaries.join("initdb").display().to_string());
    words.extend(["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"].map(str::to_owned));
    words.push(format!("--username={USER}"));
    words.push(format!("--pwfile={}", password_file.display()));
    words.push(format!("--pgdata={}", folder.join("data").display()));
    capture(&mut command_of(&words, folder)?)?;
    fs::remove_file(&password_file)?;
    Ok(())
}

fn spawn(binaries: &Path, account: Option<&Account>, folder: &Path, durable: bool) -> Result<(u16, Child)> {
    // Somebody may take the port between this line and the server's start; then the start says so.
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let mut words = as_account(account)?;
    words.push(binaries.join("postgres").display().to_string());
    words.extend(["-D".to_owned(), folder.join("data").display().to_string()]);
    let durable = if durable { "on" } else { "off" };
    let settings = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        "unix_socket_directories=".to_owned(),
        // Tests run side by side, each with pools of its own.
        "max_connections=300".to_owned(),
        format!("fsync={durable}"),
        format!("full_page_writes={durable}"),
        "logging_collector=off".to_owned(),
    ];
    for setting in settings {
        words.extend(["-c".to_owned(), setting]);
    }
    let keeper = Command::new("sh")
        .args(["-c", KEEPER, "keeper"])
        .arg(folder)
        .args(words)
        .current_dir(folder)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("could not start a shell for PostgreSQL")?;
    Ok((port, keeper))
}

fn command_of(words: &[String], folder: &Path) -> Result<Command> {
    let (program, arguments) = words.split_first().context("no program")?;
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder);
    Ok(command)
}

/// The folder with `initdb` and `postgres`: first what `PATH` has, then Debian's places, newest first.
fn find_binaries() -> Option<PathBuf> {
    let mut folders: Vec<PathBuf> =
        find_program("initdb").and_then(|path| Some(path.parent()?.to_owned())).into_iter().collect();
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    folders.extend(versions.into_iter().rev().map(|(_, folder)| folder));
    folders.into_iter().find(|folder| {
        is_program(&folder.join("initdb"))
            && capture(Command::new(folder.join("postgres")).arg("--version"))
                .ok()
                .and_then(|version| major_version(&version))
                .is_some_and(|major| major >= OLDEST)
    })
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn major_version(line: &str) -> Option<u32> {
    let digits = line.split_once("(PostgreSQL) ")?.1;
    let end = digits.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

/// A folder that only the account can read.
fn private_folder(account: Option<&Account>) -> Result<PathBuf> {
    let folder = env::temp_dir().join(format!("coffre-postgres-{}", random_hex(8)?));
    DirBuilder::new().mode(0o700).create(&folder).with_context(|| format!("could not create {}", folder.display()))?;
    if let Some(account) = account {
        chown(&folder, Some(account.user), Some(account.group))?;
    }
    Ok(folder)
}

fn random_hex(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    let mut text = String::new();
    for byte in random {
        write!(text, "{byte:02x}")?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_spelling() {
        assert_eq!(major_version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(major_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major_version("postgres 15"), None);
    }

    #[test]
    fn the_keeper_ends_with_its_input_and_leaves_no_folder() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut keeper = Command::new("sh")
            .args(["-c", KEEPER, "keeper"])
            .arg(&folder)
            .arg("true")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        assert!(folder.exists());
        drop(keeper.stdin.take());
        assert!(keeper.wait().is_ok());
        assert!(!folder.exists());
    }
}
