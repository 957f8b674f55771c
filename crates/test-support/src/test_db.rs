//! A fresh database for one test.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};
use tempfile::TempDir;

use crate::PostgresServer;

/// The engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// A folder of files.
    Sqlite,
    /// A server.
    Postgres,
}

/// An empty database, which goes when this is dropped.
#[derive(Debug)]
pub struct TestDb {
    url: String,
    place: Place,
}

#[derive(Debug)]
enum Place {
    Folder(TempDir),
    Database { server: String, name: String },
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl TestDb {
    /// Makes a folder for SQLite files.
    #[must_use]
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite:{}", folder.path().display()), place: Place::Folder(folder) }
    }

    /// Makes a database on the server of this run.
    #[must_use]
    pub fn postgres() -> Self {
        Self::on(&server_url())
    }

    /// Makes a database on a server.
    #[must_use]
    pub fn on(server: &str) -> Self {
        let name = format!("coffre_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // With code points as its order: the tests compare both engines.
        execute(server, &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C'"));
        let (address, parameters) = server.split_once('?').map_or((server, ""), |(address, rest)| (address, rest));
        let scheme = address.find("://").map_or(0, |at| at + 3);
        let host = address.get(scheme..).unwrap_or_default().split('/').next().unwrap_or_default();
        let scheme = address.get(..scheme).unwrap_or_default();
        let mut url = format!("{scheme}{host}/{name}");
        if !parameters.is_empty() {
            url.push('?');
            url.push_str(parameters);
        }
        Self { url, place: Place::Database { server: server.to_owned(), name } }
    }

    /// Returns the address, as settings take it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.place {
            Place::Folder(_) => Engine::Sqlite,
            Place::Database { .. } => Engine::Postgres,
        }
    }

    /// Returns the folder of the SQLite files.
    #[must_use]
    pub fn folder(&self) -> Option<&std::path::Path> {
        match &self.place {
            Place::Folder(folder) => Some(folder.path()),
            Place::Database { .. } => None,
        }
    }

    /// Runs a test on each engine.
    pub fn each(test: impl Fn(&Self)) {
        test(&Self::sqlite());
        test(&Self::postgres());
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        if let Place::Database { server, name } = &self.place {
            // A server that was stopped by its test takes the database with it.
            if let Ok(mut conn) = PgConnection::establish(server) {
                let _ = conn.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
            }
        }
    }
}

fn server_url() -> String {
    static SERVER: OnceLock<PostgresServer> = OnceLock::new();
    match std::env::var("COFFRE_TEST_DATABASE_URL") {
        Ok(url) if !url.is_empty() => url,
        _ => SERVER.get_or_init(PostgresServer::start).url(),
    }
}

fn execute(server: &str, sql: &str) {
    let mut conn =
        PgConnection::establish(server).unwrap_or_else(|error| panic!("the test server does not answer: {error}"));
    conn.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
}
