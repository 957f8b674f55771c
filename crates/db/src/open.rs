//! Opening connections, and noticing what happens to them.
//!
//! A closure may turn a database error into an error of its own, so what matters to the thread that runs it (the connection is gone, a
//! race was lost) is taken from Diesel's instrumentation: [`Alarm`].

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use coffre_trace::Span;
use diesel::connection::{InstrumentationEvent, SimpleConnection as _};
use diesel::result::DatabaseErrorKind;
use diesel::sql_types::{Nullable, Text};
use diesel::{Connection as _, PgConnection, SqliteConnection};

use crate::options::Place;
use crate::stats::LaneStats;
use crate::traced::Owner;
use crate::{Connection, Error, Options};

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    Reader,
    Writer,
    Appender,
    Migrator,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Appender => "appender",
            Self::Migrator => "migrator",
        }
    }
}

/// What happened on a connection since the last look.
#[derive(Clone, Default)]
pub(crate) struct Alarm(Arc<AtomicU8>);

const LOST: u8 = 1;
const RACE: u8 = 2;
const FAILED: u8 = 4;
const FULL: u8 = 8;

impl Alarm {
    /// Forgets what happened.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The connection is gone.
    pub(crate) fn lost(&self) -> bool {
        self.0.load(Ordering::Relaxed) & LOST != 0
    }

    /// The transaction lost a race: a serialisation failure, a deadlock, a lock that took too long.
    pub(crate) fn race(&self) -> bool {
        self.0.load(Ordering::Relaxed) & RACE != 0
    }

    /// There was no room on the disk.
    pub(crate) fn full(&self) -> bool {
        self.0.load(Ordering::Relaxed) & FULL != 0
    }

    /// A statement failed, for whatever reason.
    pub(crate) fn failed(&self) -> bool {
        self.0.load(Ordering::Relaxed) != 0
    }

    fn note(&self, error: &diesel::result::Error, role: Role) {
        use diesel::result::Error as Driver;
        let gone = match error {
            Driver::BrokenTransactionManager => true,
            Driver::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => role != Role::Reader,
            Driver::DatabaseError(DatabaseErrorKind::Unknown, information) => {
                information.message().contains("terminating connection")
            }
            Driver::DatabaseError(kind, _) => {
                matches!(kind, DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand)
            }
            _ => false,
        };
        let seen = match (gone, Error::from(error)) {
            (true, _) => LOST,
            (false, Error::Retryable) => RACE,
            (false, Error::Full) => FULL,
            _ => FAILED,
        };
        self.0.fetch_or(seen, Ordering::Relaxed);
    }
}

/// An open connection and its alarm.
pub(crate) struct Opened {
    pub(crate) conn: Connection,
    pub(crate) alarm: Alarm,
    pub(crate) owner: Owner,
}

/// Opens a connection for a role.
pub(crate) fn open(options: &Options, role: Role) -> Result<Opened, Error> {
    if !options.service_is_plain() {
        return Err(Error::Bug("a service is named by lower-case letters, digits and `_`".to_owned()));
    }
    let mut conn = match options.url.place() {
        Place::Sqlite(folder) => Connection::Sqlite(open_sqlite(folder, options, role)?),
        Place::Postgres(url) => Connection::Postgres(open_postgres(url.expose(), options, role)?),
    };
    let alarm = Alarm::default();
    let watched = alarm.clone();
    let owner = Owner { engine: options.url.engine(), service: options.service };
    let mut statement = Span::none();
    conn.set_instrumentation(move |event: InstrumentationEvent<'_>| match event {
        InstrumentationEvent::StartQuery { query, .. } => statement = owner.statement(query),
        InstrumentationEvent::FinishQuery { error, .. } => {
            let mut statement = std::mem::take(&mut statement);
            if let Some(error) = error {
                statement.fail();
                watched.note(error, role);
            }
        }
        _ => {}
    });
    Ok(Opened { conn, alarm, owner })
}

#[diesel::declare_sql_function]
extern "SQL" {
    /// Folds case, on SQLite, whose own `lower` knows ASCII alone.
    fn coffre_fold(text: Nullable<Text>) -> Nullable<Text>;
}

fn open_sqlite(folder: &Path, options: &Options, role: Role) -> Result<SqliteConnection, Error> {
    let failed = |error: io::Error| {
        tracing::warn!(folder = %folder.display(), %error, "the database folder cannot be used");
        Error::Unavailable
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    let file = std::path::absolute(folder).map_err(failed)?.join(format!("{}.db", options.service));
    make_for_its_owner(&file).map_err(failed)?;
    let path = file.to_str().ok_or_else(|| Error::Bug("the path of the database is not UTF-8".to_owned()))?;
    let mut conn = SqliteConnection::establish(path).map_err(|error| {
        tracing::warn!(file = path, %error, "the database file cannot be opened");
        Error::Unavailable
    })?;
    let busy = options.lock_timeout.as_millis();
    let (cache, checkpoint) = (options.cache_kib, options.checkpoint_pages);
    conn.batch_execute(&format!("PRAGMA busy_timeout = {busy}"))?;
    conn.batch_execute(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA journal_size_limit = 67108864;
         PRAGMA temp_store = MEMORY;",
    )?;
    conn.batch_execute(&format!("PRAGMA wal_autocheckpoint = {checkpoint}; PRAGMA cache_size = -{cache}"))?;
    if role == Role::Reader {
        conn.batch_execute("PRAGMA query_only = ON")?;
    }
    coffre_fold_utils::register_impl(&mut conn, |text: Option<String>| text.map(|text| text.to_lowercase()))?;
    Ok(conn)
}

/// Makes the file of a database for its owner alone, where it is not there yet. SQLite gives its other files (-wal, -shm) the same mode.
///
/// One that is there is left alone: to close any descriptor of a file ends all POSIX locks of this process on it, and with them those of
/// SQLite's open connections (fcntl(2), "Advisory record locking"; sqlite.org/howtocorrupt.html, section 2.2). Whoever looked at the file then
/// from another process would take it for unused and remove the log that is being written.
fn make_for_its_owner(file: &Path) -> io::Result<()> {
    // Nobody connects between the making and the closing.
    static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::new(());
    let _turn = ONE_AFTER_THE_OTHER.lock().unwrap_or_else(PoisonError::into_inner);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

fn open_postgres(url: &str, options: &Options, role: Role) -> Result<PgConnection, Error> {
    let address = zeroize::Zeroizing::new(with_parameters(url, options, role));
    let mut conn = PgConnection::establish(&address).map_err(|error| {
        tracing::debug!(service = options.service, role = role.name(), %error, "no connection to the database");
        Error::Unavailable
    })?;
    let (statement, lock, idle) = match role {
        // A migration takes the time that it takes.
        Role::Migrator => (0, 60_000, 0),
        _ => (
            options.statement_timeout.as_millis(),
            options.lock_timeout.as_millis(),
            options.idle_in_transaction_timeout.as_millis(),
        ),
    };
    let read_only = if role == Role::Reader { "on" } else { "off" };
    conn.batch_execute(&format!(
        "SET search_path TO \"{schema}\";
         SET statement_timeout TO {statement};
         SET lock_timeout TO {lock};
         SET idle_in_transaction_session_timeout TO {idle};
         SET default_transaction_read_only TO {read_only}",
        schema = options.schema(),
    ))?;
    speak_english(&mut conn);
    Ok(conn)
}

/// Errors without a kind of their own are told apart by their text (see `error.rs`). A role may lack the right to choose the language.
fn speak_english(conn: &mut PgConnection) {
    const CHOOSE: &str = "SELECT set_config('lc_messages', 'C', false)
          WHERE current_setting('lc_messages') NOT IN ('', 'C', 'POSIX')
            AND current_setting('lc_messages') NOT LIKE 'C.%' AND current_setting('lc_messages') NOT LIKE 'en%'";
    if conn.batch_execute(CHOOSE).is_err() {
        tracing::warn!(
            "the database speaks another language than English: deadlocks and time-outs pass for internal errors; set lc_messages"
        );
    }
}

/// Adds what notices a dead server to libpq's parameters, unless the address sets it.
fn with_parameters(url: &str, options: &Options, role: Role) -> String {
    let connect = options.connect_timeout.as_secs().max(2);
    let wanted = [
        ("connect_timeout", connect.to_string()),
        ("application_name", format!("coffre-{}-{}", options.service, role.name())),
        ("keepalives_idle", "5".to_owned()),
        ("keepalives_interval", "2".to_owned()),
        ("keepalives_count", "3".to_owned()),
        // Milliseconds that what was sent may go unconfirmed by the other host.
        ("tcp_user_timeout", "3000".to_owned()),
    ];
    let mut address = url.to_owned();
    for (name, value) in wanted {
        let given = url.contains(&format!("?{name}=")) || url.contains(&format!("&{name}="));
        if !given {
            let separator = if address.contains('?') { '&' } else { '?' };
            address.push(separator);
            address.push_str(name);
            address.push('=');
            address.push_str(&value);
        }
    }
    address
}

/// The place of a thread's connection, which breaks and is opened again.
pub(crate) struct Seat {
    options: Arc<Options>,
    role: Role,
    opened: Option<Opened>,
    was_open: bool,
    pause: Duration,
    next_attempt: Instant,
    stats: Arc<LaneStats>,
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

impl Seat {
    pub(crate) fn new(options: Arc<Options>, role: Role, stats: Arc<LaneStats>) -> Self {
        Self { options, role, opened: None, was_open: false, pause: FIRST_PAUSE, next_attempt: Instant::now(), stats }
    }

    pub(crate) fn opened(&mut self) -> Option<&mut Opened> {
        self.opened.as_mut()
    }

    pub(crate) fn role(&self) -> Role {
        self.role
    }

    pub(crate) fn stats(&self) -> &LaneStats {
        &self.stats
    }

    pub(crate) fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Returns how long to wait before the next attempt.
    pub(crate) fn pause(&self) -> Duration {
        self.next_attempt.saturating_duration_since(Instant::now())
    }

    /// Others still have a connection: this thread leaves the calls to them.
    pub(crate) fn others_stand(&self) -> bool {
        !self.is_open() && self.stats.connected() > 0
    }

    /// Opens the connection if there is none and the pause is over.
    pub(crate) fn try_open(&mut self) -> Result<(), Error> {
        if self.is_open() {
            return Ok(());
        }
        if !self.pause().is_zero() {
            return Err(Error::Unavailable);
        }
        match open(&self.options, self.role) {
            Ok(opened) => {
                self.opened = Some(opened);
                self.pause = FIRST_PAUSE;
                LaneStats::add(&self.stats.connected, 1);
                LaneStats::add(&self.stats.reconnects, usize::from(std::mem::replace(&mut self.was_open, true)));
                Ok(())
            }
            Err(error) => {
                self.next_attempt = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                Err(error)
            }
        }
    }

    /// Takes a new connection in place of one that a closure left unfit, before anybody is answered.
    pub(crate) fn renew(&mut self) {
        self.lose();
        // The next call finds out.
        let _ = self.try_open();
    }

    /// Gives the connection up.
    pub(crate) fn lose(&mut self) {
        if self.opened.take().is_some() {
            self.stats.connected.fetch_sub(1, Ordering::Relaxed);
            self.next_attempt = Instant::now();
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.lose();
    }
}
