//! The real program as a process: `coffre dev` on SQLite, `coffre serve all` on PostgreSQL.

use std::fs::{self, DirBuilder};
use std::net::SocketAddr;
use std::ops::Deref;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use coffre_test_support::TestDb;

use crate::addresses::free_addresses;
use crate::process::Process;
use crate::split::Part;
use crate::{canary, keeper, raw};

/// How long a start may take in a debug build on a busy machine.
pub(crate) const START_WITHIN: Duration = Duration::from_secs(60);

/// The database under the services.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub const BOTH: [Self; 2] = [Self::Sqlite, Self::Postgres];

    /// Says whether the cases are to run on this engine.
    pub fn is_wanted(self) -> bool {
        match (std::env::var("COFFRE_TEST_ENGINE").as_deref().unwrap_or("both"), self) {
            ("both", _) | ("sqlite", Self::Sqlite) | ("postgres", Self::Postgres) => true,
            ("sqlite" | "postgres", _) => false,
            (other, _) => panic!("COFFRE_TEST_ENGINE is sqlite, postgres or both, not {other}"),
        }
    }
}

/// Where `coffre` is; built where nobody says.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(given) = std::env::var_os("COFFRE_TEST_BINARY") {
            return given.into();
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let built = Command::new(cargo).args(["build", "--quiet", "--bin", "coffre"]).current_dir(&root).status();
        assert!(built.is_ok_and(|status| status.success()), "the program `coffre` does not build");
        // This test's own executable lies in `<target>/<profile>/deps`.
        let test = std::env::current_exe().unwrap();
        test.parent().and_then(Path::parent).unwrap().join("coffre")
    })
}

/// Makes a private folder that goes when the tests end.
pub fn private_folder(what: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("coffre-e2e-{what}-{}", uuid::Uuid::new_v4().simple()));
    DirBuilder::new().mode(0o700).create(&path).unwrap();
    keeper::folder(&path);
    path
}

/// The folders of all installations of this run.
pub static FOLDERS: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Everything that outlives one process: folders, database, settings.
#[derive(Clone, Debug)]
pub struct Home {
    pub engine: Engine,
    pub folder: PathBuf,
    pub admin_password: String,
    database: Option<Arc<TestDb>>,
    settings: Vec<(String, String)>,
    absent: Vec<String>,
    /// The program, where it is another one than that of this run.
    program: Option<PathBuf>,
}

impl Home {
    /// Prepares a new installation, as an operator does it; `dev` prepares itself.
    pub fn new(engine: Engine) -> Self {
        let home = Self::bare(engine);
        if engine == Engine::Postgres {
            home.initialise();
        }
        home
    }

    /// Folders and an empty database, on which nobody has called `init` yet.
    pub fn bare(engine: Engine) -> Self {
        Self::on(engine, (engine == Engine::Postgres).then(TestDb::postgres))
    }

    /// The same on a given database.
    pub fn on(engine: Engine, database: Option<TestDb>) -> Self {
        let folder = private_folder("home");
        FOLDERS.lock().unwrap().push(folder.clone());
        let home = Self {
            engine,
            folder,
            admin_password: canary::password("admin"),
            database: database.map(Arc::new),
            settings: Vec::new(),
            absent: Vec::new(),
            program: None,
        };
        home.write_secret("admin-password", &home.admin_password);
        DirBuilder::new().mode(0o700).create(home.folder.join("keys")).unwrap();
        if let Some(url) = home.database() {
            home.write_secret("database-url", url);
        }
        home
    }

    /// Runs `coffre migrate` and `coffre init`.
    pub fn initialise(&self) {
        for command in ["migrate", "init"] {
            let output = self.operator(&[command]).output().unwrap();
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success(), "coffre {command}: {}\n{said}", output.status);
            fs::write(self.folder.join(format!("{command}.log")), said).unwrap();
        }
    }

    /// `coffre` as an operator calls it for `serve`: keys in a folder of their own, secrets in files alone.
    pub fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command
            .env_remove("COFFRE_ADMIN_PASSWORD")
            .env("COFFRE_ADMIN_PASSWORD_FILE", self.folder.join("admin-password"))
            .env("COFFRE_KEYS_DIR", self.folder.join("keys"));
        command
    }

    /// The same with another program, such as that of the version before; with that of this run where none is named.
    #[must_use]
    pub fn running(mut self, program: Option<PathBuf>) -> Self {
        self.program = program;
        self
    }

    /// Leaves a variable out.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.absent.push(name.to_owned());
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The URL of the database, on PostgreSQL.
    pub fn database(&self) -> Option<&str> {
        self.database.as_deref().map(TestDb::url)
    }

    fn write_secret(&self, name: &str, text: &str) {
        use std::io::Write as _;
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.folder.join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// `coffre` with the settings of this installation and of nothing else.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program.as_deref().unwrap_or_else(|| binary()));
        command.args(arguments).current_dir(&self.folder).env_clear().stdin(Stdio::null());
        for kept in ["PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "RUST_BACKTRACE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        // Our own debug lines, so that the search for secrets reads them too.
        command.env("COFFRE_LOG", "info,coffre=debug").env("COFFRE_DATA_DIR", self.folder.join("data"));
        match self.engine {
            Engine::Sqlite => {
                command.env("COFFRE_ADMIN_PASSWORD", &self.admin_password);
            }
            Engine::Postgres => {
                command
                    .env("COFFRE_DATABASE_URL_FILE", self.folder.join("database-url"))
                    .env("COFFRE_KEYS_DIR", self.folder.join("keys"))
                    .env("COFFRE_ADMIN_PASSWORD_FILE", self.folder.join("admin-password"))
                    .env("COFFRE_REFLECTION", "true");
            }
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        for name in &self.absent {
            command.env_remove(name);
        }
        command
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&self) -> Server {
        for attempt in 0.. {
            match self.try_start() {
                Ok(server) => return server,
                // Somebody took one of the free ports before the server did.
                Err(said) if attempt < 3 && said.to_lowercase().contains("in use") => {}
                Err(said) => panic!("coffre did not start on {:?}:\n{said}", self.engine),
            }
        }
        unreachable!()
    }

    /// Starts the server once.
    ///
    /// # Errors
    /// What it said where it ended before it was ready.
    pub fn try_start(&self) -> Result<Server, String> {
        let [http, grpc, management] = free_addresses();
        let arguments: &[&str] = match self.engine {
            Engine::Sqlite => &["dev"],
            Engine::Postgres => &["serve", "all"],
        };
        let begun = Instant::now();
        let mut command = self.command(arguments);
        command
            .env("COFFRE_HTTP_ADDR", http.to_string())
            .env("COFFRE_GRPC_ADDR", grpc.to_string())
            .env("COFFRE_MANAGEMENT_ADDR", management.to_string());
        let process = Arc::new(Process::start(command, &self.folder));
        let admin_token = tokio::sync::Mutex::new(None);
        let server = Server { home: self.clone(), http, grpc, management, parts: Vec::new(), process, admin_token };
        loop {
            let is_ready = raw::status_of(http, "/readyz") == Some(200);
            // Asked afterwards: where it has ended, somebody else answered.
            if let Some(status) = server.ended() {
                return Err(format!("{status}\n{}", server.said()));
            }
            if is_ready {
                return Ok(server);
            }
            if begun.elapsed() > START_WITHIN {
                let said = server.said();
                server.kill();
                return Err(format!("not ready after {START_WITHIN:?}\n{said}"));
            }
            sleep(Duration::from_millis(5));
        }
    }
}

/// A running server: one process, or one for each service.
#[derive(Debug)]
pub struct Server {
    pub home: Home,
    pub http: SocketAddr,
    /// The gRPC port; of auth, where each service has its own.
    pub grpc: SocketAddr,
    /// The management port; of the gateway, where each service has its own.
    pub management: SocketAddr,
    /// The services, where each runs in a process of its own.
    pub parts: Vec<Part>,
    /// The process, or that of the gateway.
    process: Arc<Process>,
    pub(crate) admin_token: tokio::sync::Mutex<Option<(Instant, i64, String)>>,
}

impl Deref for Server {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Server {
    /// The one server per engine that most cases share.
    pub fn shared(engine: Engine) -> &'static Self {
        static SQLITE: OnceLock<Server> = OnceLock::new();
        static POSTGRES: OnceLock<Server> = OnceLock::new();
        let place = match engine {
            Engine::Sqlite => &SQLITE,
            Engine::Postgres => &POSTGRES,
        };
        place.get_or_init(|| Home::new(engine).start())
    }

    /// The server that processes of their own make together.
    pub(crate) fn of_parts(home: Home, parts: Vec<Part>) -> Self {
        let of = |service: &str| parts.iter().find(|part| part.service == service).unwrap();
        let (gateway, auth) = (of("gateway"), of("auth"));
        Self {
            home,
            http: gateway.http.unwrap(),
            grpc: auth.grpc.unwrap(),
            management: gateway.management,
            process: gateway.process(),
            admin_token: tokio::sync::Mutex::new(None),
            parts,
        }
    }

    /// Its process, or that of the gateway.
    pub fn process(&self) -> Arc<Process> {
        self.process.clone()
    }

    /// The process of a service, where each has its own.
    pub fn part(&self, service: &str) -> &Part {
        self.parts.iter().find(|part| part.service == service).unwrap_or_else(|| panic!("no {service} of its own"))
    }

    /// The base of its REST paths.
    pub fn url(&self) -> String {
        format!("http://{}", self.http)
    }
}
