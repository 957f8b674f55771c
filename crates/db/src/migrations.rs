//! Bringing a schema up to date, and telling how it stands to this binary.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection as _;
use diesel::migration::{Migration as _, MigrationSource};
use diesel::sql_types::{BigInt, Text};
use diesel::{PgConnection, QueryableByName, RunQueryDsl as _, SqliteConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use crate::open::{Role, open};
use crate::{Connection, Error, Options, dialect};

/// How a schema stands to this binary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SchemaState {
    /// It has all migrations, and no other.
    Current,
    /// Migrations are missing: `coffre migrate` runs them.
    Behind {
        /// Their versions.
        missing: Vec<String>,
    },
    /// A newer binary migrated it. This one can run beside it, because migrations only expand; it must not migrate.
    Ahead {
        /// The versions that this binary does not know.
        unknown: Vec<String>,
    },
}

/// Runs the migrations that are missing and returns their versions.
///
/// Several may be started at once: one works, the others wait and then find nothing to do. On SQLite all run in one transaction. On
/// PostgreSQL each runs in its own, in the schema of the service, which is made where it is missing.
///
/// # Errors
/// [`Error::Unavailable`] without the database, [`Error::Bug`] where a migration fails.
pub fn migrate(
    options: &Options,
    sqlite: EmbeddedMigrations,
    postgres: EmbeddedMigrations,
) -> Result<Vec<String>, Error> {
    let mut conn = open(options, Role::Migrator)?.conn;
    match &mut conn {
        Connection::Sqlite(conn) => conn.immediate_transaction(|conn| run_sqlite(conn, sqlite)),
        Connection::Postgres(conn) => {
            let schema = lock_schema(conn, options)?;
            let ran = conn.run_pending_migrations(postgres);
            let ran = ran.map_err(|error| bug(error.as_ref()))?.iter().map(ToString::to_string).collect();
            conn.batch_execute(&format!("SELECT pg_advisory_unlock(hashtext('coffre migrate {schema}'))"))?;
            Ok(ran)
        }
    }
}

/// Runs those of the missing migrations that are named: the schema is then the one that these make.
///
/// # Errors
/// [`Error::Unavailable`] without the database, [`Error::Bug`] where a migration fails, is not known, or where others ran before.
pub(crate) fn migrate_to(
    options: &Options,
    sqlite: EmbeddedMigrations,
    postgres: EmbeddedMigrations,
    versions: &[String],
) -> Result<(), Error> {
    let mut conn = open(options, Role::Migrator)?.conn;
    let wanted: BTreeSet<&str> = versions.iter().map(String::as_str).collect();
    match &mut conn {
        Connection::Sqlite(conn) => conn.immediate_transaction(|conn| run_wanted(conn, sqlite, &wanted))?,
        Connection::Postgres(conn) => {
            lock_schema(conn, options)?;
            run_wanted(conn, postgres, &wanted)?;
        }
    }
    let applied = all_applied(&mut conn)?;
    if applied.iter().map(String::as_str).collect::<BTreeSet<_>>() == wanted {
        return Ok(());
    }
    Err(Error::Bug(format!(
        "the schema of {} is that of the migrations {}, and not that of {}",
        options.service,
        applied.join(", "),
        versions.join(", ")
    )))
}

/// Waits until nobody else migrates the schema of a service, makes it where it is missing, and returns its name. The lock is of this session
/// alone; it is gone with the connection.
fn lock_schema(conn: &mut PgConnection, options: &Options) -> Result<String, Error> {
    let schema = options.schema();
    conn.batch_execute(&format!("SELECT pg_advisory_lock(hashtext('coffre migrate {schema}'))"))?;
    conn.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""))?;
    Ok(schema)
}

fn run_wanted<C, DB>(conn: &mut C, source: EmbeddedMigrations, wanted: &BTreeSet<&str>) -> Result<(), Error>
where
    C: MigrationHarness<DB>,
    DB: diesel::backend::Backend,
{
    let pending = conn.pending_migrations(source).map_err(|error| bug(error.as_ref()))?;
    for migration in pending {
        if wanted.contains(migration.name().version().to_string().as_str()) {
            conn.run_migration(&*migration).map_err(|error| bug(error.as_ref()))?;
        }
    }
    Ok(())
}

/// Reads the versions of the migrations that ran, in their order.
pub(crate) fn all_applied(conn: &mut Connection) -> Result<Vec<String>, Error> {
    let rows: Vec<Version> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version").load(conn)?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}

fn run_sqlite(conn: &mut SqliteConnection, migrations: EmbeddedMigrations) -> Result<Vec<String>, Error> {
    let ran = conn.run_pending_migrations(migrations).map_err(|error| bug(error.as_ref()))?;
    Ok(ran.iter().map(ToString::to_string).collect())
}

fn bug(error: &(dyn std::error::Error + Send + Sync)) -> Error {
    Error::Bug(format!("a migration failed: {error}"))
}

/// Compares the schema with the migrations of this binary. It changes nothing.
///
/// # Errors
/// [`Error::Unavailable`] without the database.
pub fn schema_state(
    options: &Options,
    sqlite: EmbeddedMigrations,
    postgres: EmbeddedMigrations,
) -> Result<SchemaState, Error> {
    let mut conn = open(options, Role::Migrator)?.conn;
    let known: BTreeSet<String> = match &conn {
        Connection::Sqlite(_) => versions::<diesel::sqlite::Sqlite>(&sqlite)?,
        Connection::Postgres(_) => versions::<diesel::pg::Pg>(&postgres)?,
    };
    let applied = applied(&mut conn, &options.schema())?;
    let missing: Vec<String> = known.difference(&applied).cloned().collect();
    let unknown: Vec<String> = applied.difference(&known).cloned().collect();
    Ok(match (missing.is_empty(), unknown.is_empty()) {
        (false, _) => SchemaState::Behind { missing },
        (true, false) => SchemaState::Ahead { unknown },
        (true, true) => SchemaState::Current,
    })
}

/// Returns the versions of migrations.
///
/// # Errors
/// [`Error::Bug`] where they cannot be read.
pub fn versions_of(sqlite: &EmbeddedMigrations) -> Result<BTreeSet<String>, Error> {
    versions::<diesel::sqlite::Sqlite>(sqlite)
}

fn versions<DB: diesel::backend::Backend>(source: &EmbeddedMigrations) -> Result<BTreeSet<String>, Error> {
    let migrations = MigrationSource::<DB>::migrations(source).map_err(|error| bug(error.as_ref()))?;
    Ok(migrations.iter().map(|migration| migration.name().version().to_string()).collect())
}

#[derive(QueryableByName)]
struct Found {
    #[diesel(sql_type = BigInt)]
    found: i64,
}

#[derive(QueryableByName)]
struct Version {
    #[diesel(sql_type = Text)]
    version: String,
}

fn applied(conn: &mut Connection, schema: &str) -> Result<BTreeSet<String>, Error> {
    const TABLE: &str = "__diesel_schema_migrations";
    let exists = match dialect::engine(conn) {
        crate::Engine::Sqlite => {
            crate::Sql::new("SELECT count(*) AS found FROM sqlite_master WHERE type = 'table' AND name = ").bind(TABLE)
        }
        crate::Engine::Postgres => {
            crate::Sql::new("SELECT count(*) AS found FROM information_schema.tables WHERE table_name = ")
                .bind(TABLE)
                .push(" AND table_schema = ")
                .bind(schema)
        }
    };
    if exists.get_result::<Found>(conn)?.found == 0 {
        return Ok(BTreeSet::new());
    }
    let rows: Vec<Version> = diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(conn)?;
    Ok(rows.into_iter().map(|row| row.version).collect())
}
