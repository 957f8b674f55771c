//! Coffre as a process of its own.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use coffre_db::DatabaseUrl;
use coffre_test_support::PostgresServer;
use diesel::connection::SimpleConnection as _;
use diesel::sql_types::BigInt;
use diesel::{Connection as _, PgConnection, QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection};

use crate::cases::Load;
use crate::cli::Engine;
use crate::http::{self, Client};
use crate::process;
use crate::program::Program;

/// The first administrator's password; the server that it opens lives as long as the measurement.
pub(crate) const ADMIN_PASSWORD: &str = "correct horse battery staple";
/// How long a start may take.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(60);

/// What a server is made of.
pub(crate) struct Installation<'i> {
    pub(crate) binary: &'i Path,
    /// Where its data lies.
    pub(crate) folder: PathBuf,
    pub(crate) engine: Engine,
}

/// A running Coffre. It is stopped when this is dropped.
pub(crate) struct Coffre {
    program: Program,
    pub(crate) address: SocketAddr,
    /// From the start of the process to the first good answer of `/readyz`.
    pub(crate) started_in: Duration,
    binary: PathBuf,
    folder: PathBuf,
    engine: Engine,
    /// Only where the engine is PostgreSQL; it ends after Coffre.
    postgres: Option<PostgresServer>,
}

impl Coffre {
    /// Starts it, with a store that is made where there is none.
    pub(crate) fn start(installation: &Installation<'_>) -> Result<Self> {
        fs::create_dir_all(&installation.folder)?;
        let postgres = match installation.engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(PostgresServer::durable()),
        };
        let address = free_address()?;
        if postgres.is_some() {
            run_to_its_end(installation, postgres.as_ref(), &["init"])?;
        }
        let begun = Instant::now();
        let program = launch(installation, address, postgres.as_ref())?;
        let Installation { binary, folder, engine } = installation;
        let (binary, folder, engine) = (binary.to_path_buf(), folder.clone(), *engine);
        let mut coffre = Self { program, address, started_in: Duration::ZERO, binary, folder, engine, postgres };
        coffre.started_in = coffre.ready_since(begun)?;
        Ok(coffre)
    }

    /// Kills it (SIGKILL) and starts it again on what is there. Returns how long it was away.
    pub(crate) fn kill_and_start(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        self.program.kill()?;
        self.program = launch(&self.installation(), self.address, self.postgres.as_ref())?;
        self.ready_since(begun)
    }

    fn installation(&self) -> Installation<'_> {
        Installation { binary: &self.binary, folder: self.folder.clone(), engine: self.engine }
    }

    /// Waits until it can serve.
    fn ready_since(&mut self, begun: Instant) -> Result<Duration> {
        while !self.is_ready() {
            if let Some(status) = self.program.ended()? {
                bail!("coffre ended at its start ({status}); {}", log_of(&self.installation()));
            }
            if begun.elapsed() > START_WITHIN {
                let log = log_of(&self.installation());
                bail!("coffre was not ready within {} s; {log}", START_WITHIN.as_secs());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(begun.elapsed())
    }

    /// Where its databases are.
    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn is_ready(&self) -> bool {
        let answer = Client::connect(self.address).and_then(|mut client| client.call(&http::get("/readyz", None)));
        answer.is_ok_and(|answer| answer.status == 200)
    }

    /// Runs statements in the databases of its services, beside it.
    pub(crate) fn load(&self, loads: &[Load]) -> Result<()> {
        for load in loads {
            let run =
                |conn: &mut dyn FnMut(&str) -> QueryResult<()>| load.statements.iter().try_for_each(|sql| conn(sql));
            let loaded = match &self.postgres {
                None => {
                    let file = self.data().join(format!("{}.db", load.service));
                    let mut conn = SqliteConnection::establish(&file.to_string_lossy())?;
                    conn.batch_execute("PRAGMA busy_timeout = 60000")?;
                    run(&mut |sql| conn.batch_execute(sql))
                }
                Some(postgres) => {
                    let mut conn = PgConnection::establish(&postgres.url())?;
                    conn.batch_execute(&format!("SET search_path TO coffre_{}", load.service))?;
                    // The server would count its rows by itself some time later, and plans by these counts.
                    run(&mut |sql| conn.batch_execute(sql)).and_then(|()| conn.batch_execute("ANALYZE"))
                }
            };
            loaded.with_context(|| format!("loading the database of {}", load.service))?;
        }
        Ok(())
    }

    /// Has its databases do now what they would otherwise do in the background while something is measured: count their rows, note which
    /// pages everybody sees, and write out what a load left in memory and in the log.
    pub(crate) fn settle(&self) -> Result<()> {
        if let Some(postgres) = &self.postgres {
            let mut conn = PgConnection::establish(&postgres.url())?;
            // One by one: VACUUM runs in no transaction, and several statements at once are one.
            conn.batch_execute("VACUUM (ANALYZE)")?;
            conn.batch_execute("CHECKPOINT")?;
            return Ok(());
        }
        for entry in fs::read_dir(self.data())? {
            let file = entry?.path();
            if file.extension().is_some_and(|extension| extension == "db") {
                let mut conn = SqliteConnection::establish(&file.to_string_lossy())?;
                conn.batch_execute("PRAGMA busy_timeout = 60000; PRAGMA wal_checkpoint(TRUNCATE)")
                    .with_context(|| format!("the log of {} cannot be written back", file.display()))?;
            }
        }
        Ok(())
    }

    /// How its databases are reached.
    pub(crate) fn database_url(&self) -> Result<DatabaseUrl> {
        match &self.postgres {
            None => Ok(DatabaseUrl::sqlite(&self.data())),
            Some(postgres) => Ok(DatabaseUrl::parse(&postgres.url())?),
        }
    }

    /// The key of the audit's streams: whoever has it may write events beside the server.
    pub(crate) fn audit_key(&self) -> Result<Vec<u8>> {
        let beside = if self.postgres.is_some() { self.folder.clone() } else { self.data() };
        let file = beside.join("keys/audit.key");
        fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))
    }

    /// Bytes on disk of the database of a service.
    pub(crate) fn size_of(&self, service: &str) -> Result<i64> {
        if let Some(postgres) = &self.postgres {
            let mut conn = PgConnection::establish(&postgres.url())?;
            let size = diesel::sql_query(format!(
                "SELECT COALESCE(SUM(pg_total_relation_size(c.oid)), 0)::BIGINT AS size FROM pg_class c
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE n.nspname = 'coffre_{service}' AND c.relkind = 'r'"
            ));
            return Ok(size.get_result::<Size>(&mut conn)?.size);
        }
        let length = |name: String| fs::metadata(self.data().join(name)).map_or(0, |file| file.len());
        Ok(i64::try_from(length(format!("{service}.db")) + length(format!("{service}.db-wal")))?)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.program.pid()
    }

    /// In KiB.
    pub(crate) fn resident(&self) -> u64 {
        process::resident_kib(self.pid())
    }
}

fn launch(installation: &Installation<'_>, address: SocketAddr, postgres: Option<&PostgresServer>) -> Result<Program> {
    let words: &[&str] = if postgres.is_some() { &["serve", "all"] } else { &["dev"] };
    let mut command = command(installation, postgres, words)?;
    command
        .env("COFFRE_HTTP_ADDR", address.to_string())
        .env("COFFRE_GRPC_ADDR", free_address()?.to_string())
        .env("COFFRE_MANAGEMENT_ADDR", free_address()?.to_string());
    Program::start(&mut command)
}

/// Runs a command that prepares something.
pub(crate) fn run_to_its_end(
    installation: &Installation<'_>,
    postgres: Option<&PostgresServer>,
    words: &[&str],
) -> Result<()> {
    let name = words.join(" ");
    let status = command(installation, postgres, words)?.status();
    let status = status.with_context(|| format!("`coffre {name}` did not start"))?;
    if !status.success() {
        bail!("`coffre {name}` failed ({status}); {}", log_of(installation));
    }
    Ok(())
}

/// Everything as it is by default, but for places and a token that outlives the longest run.
pub(crate) fn command(
    installation: &Installation<'_>,
    postgres: Option<&PostgresServer>,
    words: &[&str],
) -> Result<Command> {
    let folder = &installation.folder;
    let log = File::options().create(true).append(true).open(log_file(installation))?;
    let mut command = Command::new(installation.binary);
    command.args(words).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).current_dir(folder);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("COFFRE_")) {
        command.env_remove(name);
    }
    command.env("COFFRE_DATA_DIR", folder.join("data")).env("COFFRE_AUTH__TOKEN_LIFE_SECONDS", "14400");
    match postgres {
        None => {
            command.env("COFFRE_ADMIN_PASSWORD", ADMIN_PASSWORD);
        }
        Some(postgres) => {
            let (url, password) = (folder.join("url"), folder.join("password"));
            fs::write(&url, postgres.url())?;
            fs::write(&password, ADMIN_PASSWORD)?;
            command.env("COFFRE_DATABASE_URL_FILE", url).env("COFFRE_KEYS_DIR", folder.join("keys"));
            if words.contains(&"init") {
                command.env("COFFRE_ADMIN_PASSWORD_FILE", password);
            }
        }
    }
    Ok(command)
}

fn log_file(installation: &Installation<'_>) -> PathBuf {
    installation.folder.join("coffre.log")
}

pub(crate) fn log_of(installation: &Installation<'_>) -> String {
    format!("its log: {}", fs::read_to_string(log_file(installation)).unwrap_or_default().trim())
}

/// Somebody may take the port before the server does; then its start says so.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    size: i64,
}

/// The release binary whose records end in nothing. It is built in a folder of its own, so that nobody takes it for the product.
pub(crate) fn build_without_audit() -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/null-audit");
    eprintln!("building coffre without an audit (release) …");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--package", "coffre", "--features", "null-audit", "--target-dir"]);
    let status = command.arg(&folder).current_dir(env!("CARGO_MANIFEST_DIR")).status();
    if !status.context("cargo did not start; name a binary with --null-binary")?.success() {
        bail!("coffre without an audit could not be built");
    }
    Ok(folder.join("release/coffre"))
}

/// The release binary, brought up to date by cargo.
pub(crate) fn build() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("coffre");
    eprintln!("building coffre (release) …");
    let mut command = Command::new("cargo");
    command.args(["build", "--release", "--package", "coffre"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let status = command.status().context("cargo did not start; name a binary with --binary")?;
    if !status.success() {
        bail!("coffre could not be built ({status})");
    }
    if !binary.is_file() {
        bail!(
            "{} is not there: run this program with `cargo run --release`, or name a binary with --binary",
            binary.display()
        );
    }
    Ok(binary)
}
