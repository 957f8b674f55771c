//! Where a database is and how it is used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffre_secret::SecretText;

/// The engines.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Engine {
    /// One file a service, one process.
    Sqlite,
    /// A server, any number of replicas.
    Postgres,
}

/// A database address that is neither `sqlite:FOLDER` nor `postgres://…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a database address is `sqlite:FOLDER` or `postgres://USER@HOST/DATABASE`")]
pub struct InvalidUrl;

/// Where a database is. It may hold a password: `Debug` shows the engine alone.
#[derive(Clone)]
pub struct DatabaseUrl(Place);

#[derive(Clone)]
pub(crate) enum Place {
    Sqlite(PathBuf),
    Postgres(Arc<SecretText>),
}

impl DatabaseUrl {
    /// Reads `sqlite:FOLDER` (each service has a file of its own in it) or `postgres://…`, with libpq's parameters.
    ///
    /// # Errors
    /// [`InvalidUrl`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        let text = text.trim();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self(Place::Postgres(Arc::new(SecretText::new(text.to_owned())))));
        }
        let folder = text.strip_prefix("sqlite:").ok_or(InvalidUrl)?;
        let folder = folder.strip_prefix("//").unwrap_or(folder);
        if folder.is_empty() || folder.contains('\0') {
            return Err(InvalidUrl);
        }
        Ok(Self::sqlite(Path::new(folder)))
    }

    /// Names a folder of SQLite files.
    #[must_use]
    pub fn sqlite(folder: &Path) -> Self {
        Self(Place::Sqlite(folder.to_owned()))
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match &self.0 {
            Place::Sqlite(_) => Engine::Sqlite,
            Place::Postgres(_) => Engine::Postgres,
        }
    }

    /// Returns the folder of the SQLite files.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.0 {
            Place::Sqlite(folder) => Some(folder),
            Place::Postgres(_) => None,
        }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.0
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Place::Sqlite(folder) => write!(f, "sqlite:{}", folder.display()),
            Place::Postgres(_) => f.write_str("postgres://…"),
        }
    }
}

/// How a service uses its database.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it is.
    pub url: DatabaseUrl,
    /// The service: the name of the SQLite file, and `coffre_<service>` is the schema in PostgreSQL. Lower-case letters, digits, `_`.
    pub service: &'static str,
    /// Threads that read, each with a connection.
    pub readers: usize,
    /// Threads that change, each with a connection; they take turns, and a further one steps in where a turn takes long. SQLite has one,
    /// whatever is said here.
    pub writers: usize,
    /// Calls that wait for a reader, and as many for a writer. A call beyond waits for `admission` and is then refused.
    pub queue: usize,
    /// Appends that wait for a commit.
    pub append_queue: usize,
    /// How long a call waits for room in a queue.
    pub admission: Duration,
    /// Calls that share one commit at most.
    pub batch: usize,
    /// How long one statement may take (PostgreSQL); below the deadline of a call.
    pub statement_timeout: Duration,
    /// How long a statement waits for a lock (PostgreSQL), and for the file (SQLite).
    pub lock_timeout: Duration,
    /// How long a transaction may do nothing (PostgreSQL).
    pub idle_in_transaction_timeout: Duration,
    /// How long connecting may take (PostgreSQL).
    pub connect_timeout: Duration,
    /// How long a change that loses races is repeated, with pauses (PostgreSQL); below the deadline of a call.
    pub racing: Duration,
    /// Memory of a connection for pages, in KiB (SQLite).
    pub cache_kib: u32,
    /// Pages in the write-ahead log from which on they are copied into the file (SQLite).
    pub checkpoint_pages: u32,
}

impl Options {
    /// Returns the settings that suit most services.
    #[must_use]
    pub fn new(url: DatabaseUrl, service: &'static str) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let readers = match url.engine() {
            Engine::Sqlite => cores.clamp(2, 4),
            Engine::Postgres => (2 * cores).clamp(4, 16),
        };
        Self {
            url,
            service,
            readers,
            writers: 2,
            queue: 1024,
            append_queue: 8192,
            admission: Duration::from_millis(250),
            batch: 1024,
            statement_timeout: Duration::from_secs(8),
            lock_timeout: Duration::from_secs(4),
            idle_in_transaction_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(2),
            racing: Duration::from_secs(8),
            cache_kib: 8192,
            checkpoint_pages: 4000,
        }
    }

    pub(crate) fn schema(&self) -> String {
        format!("coffre_{}", self.service)
    }

    /// The name stands in SQL and in a path: it must need no quoting in either.
    pub(crate) fn service_is_plain(&self) -> bool {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        !self.service.is_empty() && self.service.len() <= 32 && self.service.bytes().all(plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_password() {
        let url = DatabaseUrl::parse("postgres://coffre:planted@db/coffre").unwrap();
        let options = Options::new(url, "auth");
        assert!(!format!("{options:?}").contains("planted"));
    }

    #[test]
    fn addresses_name_the_engine() {
        assert_eq!(DatabaseUrl::parse("sqlite:./coffre-data").unwrap().engine(), Engine::Sqlite);
        assert_eq!(DatabaseUrl::parse("sqlite:///var/lib").unwrap().folder(), Some(Path::new("/var/lib")));
        assert_eq!(DatabaseUrl::parse("postgresql://db/x").unwrap().engine(), Engine::Postgres);
        for wrong in ["", "sqlite:", "mysql://db", "/var/lib"] {
            assert_eq!(DatabaseUrl::parse(wrong).map(|_| ()), Err(InvalidUrl), "{wrong}");
        }
    }
}
