//! What goes wrong at the database, sorted once.
//!
//! Nothing that a driver says reaches a client: [`Error`]'s `Display` is fixed text. The driver's words are in [`Error::Bug`], for the log.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error as Driver};

/// A constraint that a change broke.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Constraint {
    /// The constraint's name; PostgreSQL only.
    pub name: Option<String>,
    /// The columns, where the engine tells them, without their table.
    pub columns: Vec<String>,
}

impl Constraint {
    /// Says whether a column is part of it.
    #[must_use]
    pub fn covers(&self, column: &str) -> bool {
        self.columns.iter().any(|known| known == column)
    }
}

/// Why something at the database failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row.
    #[error("no such row")]
    NotFound,
    /// There is such a row already.
    #[error("a row with the same key exists")]
    Unique(Constraint),
    /// A row that others refer to, or that refers to none.
    #[error("a reference between rows does not hold")]
    ForeignKey(Constraint),
    /// Others changed the same rows at the same time, again and again.
    #[error("others changed the same rows; try again")]
    Retryable,
    /// The database does not answer, or has too much to do.
    #[error("the database is not available")]
    Unavailable,
    /// There is no room left on the disk.
    #[error("the database has no room left")]
    Full,
    /// Ours. The text is for the log alone.
    #[error("an internal error of the store")]
    Bug(String),
}

impl Error {
    /// Says whether the same call may succeed later, unchanged.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Retryable | Self::Unavailable | Self::Full)
    }
}

impl From<Driver> for Error {
    fn from(driver: Driver) -> Self {
        Self::from(&driver)
    }
}

impl From<&Driver> for Error {
    fn from(driver: &Driver) -> Self {
        match driver {
            Driver::NotFound => Self::NotFound,
            Driver::DatabaseError(kind, information) => sort(*kind, information.as_ref()),
            Driver::BrokenTransactionManager => Self::Unavailable,
            Driver::RollbackErrorOnCommit { commit_error, .. } => Self::from(commit_error.as_ref()),
            other => Self::Bug(other.to_string()),
        }
    }
}

fn sort(kind: DatabaseErrorKind, information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Error {
    match kind {
        DatabaseErrorKind::UniqueViolation => Error::Unique(constraint(information)),
        DatabaseErrorKind::ForeignKeyViolation | DatabaseErrorKind::RestrictViolation => {
            Error::ForeignKey(constraint(information))
        }
        DatabaseErrorKind::SerializationFailure => Error::Retryable,
        // A server that turned into a standby: a new connection finds the primary.
        DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::UnableToSendCommand
        | DatabaseErrorKind::ReadOnlyTransaction => Error::Unavailable,
        _ => sort_by_text(information.message()),
    }
}

/// Diesel has no SQLSTATE. Texts of SQLite are never translated; those of PostgreSQL are kept English by `lc_messages`.
fn sort_by_text(message: &str) -> Error {
    const RETRYABLE: [&str; 2] = ["deadlock detected", "database is locked"];
    // Whoever holds a lock for seconds holds it against the next attempt too.
    const UNAVAILABLE: [&str; 10] = [
        "due to lock timeout",
        "due to statement timeout",
        "due to user request",
        "terminating connection",
        "server closed the connection",
        "the database system is",
        "too many connections",
        "remaining connection slots",
        "disk I/O error",
        "unable to open database file",
    ];
    const FULL: [&str; 3] = ["database or disk is full", "No space left on device", "Disk quota exceeded"];
    let says = |texts: &[&str]| texts.iter().any(|text| message.contains(text));
    if says(&RETRYABLE) {
        Error::Retryable
    } else if says(&FULL) {
        Error::Full
    } else if says(&UNAVAILABLE) {
        Error::Unavailable
    } else {
        Error::Bug(message.to_owned())
    }
}

/// SQLite names the columns in its message (`UNIQUE constraint failed: users.tenant_id, users.name_key`), PostgreSQL in its details
/// (`Key (tenant_id, name_key)=(1, x) already exists.`). The values behind them are not kept.
fn constraint(information: &(dyn DatabaseErrorInformation + Send + Sync)) -> Constraint {
    let listed = match information.details() {
        Some(details) => {
            details.split_once('(').and_then(|(_, rest)| rest.split_once(")=")).map(|(columns, _)| columns)
        }
        None => information.message().split_once("constraint failed: ").map(|(_, columns)| columns),
    };
    let columns = listed.unwrap_or_default().split(',').map(|column| {
        let column = column.trim();
        column.rsplit_once('.').map_or(column, |(_, name)| name).trim_matches('"').to_owned()
    });
    Constraint {
        name: information.constraint_name().map(str::to_owned),
        columns: columns.filter(|column| !column.is_empty()).collect(),
    }
}
