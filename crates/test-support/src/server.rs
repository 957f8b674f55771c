//! A private PostgreSQL server.

mod standby;

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A PostgreSQL server with an empty cluster of its own, on the loopback interface. It ends with the process at the latest, however that ends.
#[derive(Debug)]
pub struct PostgresServer {
    bin: PathBuf,
    folder: TempDir,
    user: Option<User>,
    port: u16,
    settings: &'static [&'static str],
    running: Mutex<Option<Child>>,
}

#[derive(Clone, Copy, Debug)]
struct User {
    uid: u32,
    gid: u32,
}

impl PostgresServer {
    /// Makes a cluster and starts the server. It never waits for the disk: what it holds need not outlive the machine.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with_settings(&["fsync=off", "max_connections=300", "shared_buffers=32MB", "lc_messages=C"])
    }

    /// Like [`Self::start`], with `fsync` on and the memory of a small production server: for measuring.
    ///
    /// # Panics
    /// Where PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn durable() -> Self {
        Self::with_settings(&["fsync=on", "max_connections=300", "shared_buffers=1GB", "lc_messages=C"])
    }

    fn with_settings(settings: &'static [&'static str]) -> Self {
        let server = Self::place(settings);
        server.init();
        server.resume();
        server
    }

    /// A place for a server, where nothing is yet.
    fn place(settings: &'static [&'static str]) -> Self {
        let folder = tempfile::Builder::new().prefix("coffre-pg").tempdir().expect("a temporary folder");
        let user = ordinary_user();
        if let Some(user) = user {
            std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid)).expect("the folder's owner is set");
        }
        Self { bin: find(), folder, user, port: free_port(), settings, running: Mutex::new(None) }
    }

    /// Returns the address of its maintenance database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://coffre@127.0.0.1:{}/postgres", self.port)
    }

    /// Returns its socket, which is a file: it is reached from every network of this machine.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.port))
    }

    /// Stops it at once, as a crash would; what was committed stays.
    pub fn crash(&self) {
        let child = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(child) = child {
            end(child);
        }
    }

    /// Starts it again after [`Self::crash`], on the same port.
    ///
    /// # Panics
    /// Where it does not answer within a minute.
    pub fn resume(&self) {
        // Ends the server when this process closes the pipe, which it does however it ends. Without a line before it, nobody comes back.
        const SCRIPT: &str = "folder=$1; shift; \"$@\" & server=$!; read -r _ || gone=1; kill -QUIT $server; wait $server; \
                              [ -z \"$gone\" ] || rm -rf \"$folder\"";
        // What a crash left would say that it is ready.
        let _ = std::fs::remove_file(self.state_file());
        let log = std::fs::File::create(self.folder.path().join("server.log")).expect("a log file");
        let mut command = self.command("sh");
        command
            .args(["-c", SCRIPT, "sh"])
            .arg(self.folder.path())
            .arg(self.bin.join("postgres"))
            .arg("-D")
            .arg(self.data());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]).arg("-k").arg(self.folder.path());
        for setting in self.settings {
            command.args(["-c", setting]);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("sh starts");
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(child);
        let deadline = Instant::now() + Duration::from_secs(60);
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "the test server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn state_file(&self) -> PathBuf {
        self.data().join("postmaster.pid")
    }

    /// The eighth line of the server's own file tells its state.
    fn is_ready(&self) -> bool {
        let state = std::fs::read_to_string(self.state_file()).unwrap_or_default();
        state.lines().nth(7).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
    }

    fn init(&self) {
        let try_locale = |locale: &str| {
            let mut command = self.command(self.bin.join("initdb"));
            command.arg("-D").arg(self.data()).args([
                "--auth=trust",
                "--username=coffre",
                "--encoding=UTF8",
                "--no-sync",
            ]);
            command.arg(format!("--locale={locale}")).output().expect("initdb starts")
        };
        let mut made = try_locale("C.UTF-8");
        if !made.status.success() {
            made = try_locale("C");
        }
        assert!(made.status.success(), "initdb failed: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path());
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        self.crash();
    }
}

fn end(mut child: Child) {
    if let Some(mut pipe) = child.stdin.take() {
        // It may have ended already.
        let _ = pipe.write_all(b"\n");
    }
    let _ = child.wait();
}

/// Finds the folder of the server's programs.
fn find() -> PathBuf {
    if let Ok(told) = std::env::var("COFFRE_TEST_POSTGRES_BIN") {
        return PathBuf::from(told);
    }
    let mut folders: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    folders.sort();
    folders.reverse();
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders.extend(["/usr/local/pgsql/bin", "/usr/pgsql/bin", "/opt/homebrew/opt/postgresql/bin"].map(PathBuf::from));
    let complete = |folder: &PathBuf| ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file());
    folders.into_iter().find(complete).unwrap_or_else(|| {
        panic!(
            "no PostgreSQL server found: install the package `postgresql` (15 or newer), or set COFFRE_TEST_POSTGRES_BIN to the \
             folder of initdb and postgres, or COFFRE_TEST_DATABASE_URL to a server on which databases may be created"
        )
    })
}

/// PostgreSQL refuses to run as root; then it runs as somebody else.
fn ordinary_user() -> Option<User> {
    let own = std::fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own));
    if !matches!(own, Ok(0)) {
        return None;
    }
    let users = std::fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let named = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse::<u32>);
        Some(User { uid: numbers.next()?.ok()?, gid: numbers.next()?.ok()? })
    };
    let found = named("postgres").or_else(|| named("nobody"));
    Some(found.expect("root needs a user `postgres` or `nobody` to run PostgreSQL as"))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its number").port()
}
