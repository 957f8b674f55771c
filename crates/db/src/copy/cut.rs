//! All services at one moment, while they run: a state that a crash might have left.
//!
//! On PostgreSQL it is one snapshot, which every connection takes over. On SQLite the files are locked for writers together for the moment in
//! which each is begun to be read; where a lock is not there at once, all are given back, so that nobody waits for two.

use std::time::Duration;

use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use diesel::deserialize::{self, FromSql, QueryableByName};
use diesel::row::{Field as _, NamedRow};
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text};

use super::Row;
use super::tables::{self, Kind, Table};
use crate::open::{Role, open};
use crate::{Bind, Connection, Engine, Error, MultiBackend, Options, Sql, dialect, migrations};

/// How often the files of SQLite are tried to be had together, and for how long each: below what a writer waits for its file.
const TRIES: u32 = 60;
const EACH: Duration = Duration::from_millis(500);

/// How many bytes of rows are read at once, about.
const BATCH_BYTES: usize = 1024 * 1024;
const MOST_ROWS: i64 = 4096;

/// The databases of all services at one moment. It lasts as long as it is read.
pub struct Cut(Vec<Snapshot>);

/// The database of one service in a [`Cut`].
pub struct Snapshot {
    service: &'static str,
    conn: Connection,
    tables: Vec<Table>,
    versions: Vec<String>,
}

impl Cut {
    /// Makes a cut through the databases of services. Nothing is written, and nothing is made that is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] without a database, [`Error::NotFound`] where a service has none yet, [`Error::Retryable`] where the files of
    /// SQLite are too busy.
    pub fn take(all: &[Options]) -> Result<Self, Error> {
        let mut connections = Vec::with_capacity(all.len());
        for options in all {
            if !is_there(options) {
                return Err(Error::NotFound);
            }
            connections.push((options.service, open(options, Role::Migrator)?.conn));
        }
        match all.first().map(|options| options.url.engine()) {
            None => {}
            Some(Engine::Postgres) => share_snapshot(&mut connections)?,
            Some(Engine::Sqlite) => begin_together(all, &mut connections)?,
        }
        let snapshot = |(service, mut conn): (&'static str, Connection)| {
            let tables = tables::tables(&mut conn)?;
            if tables.is_empty() {
                return Err(Error::NotFound);
            }
            let versions = migrations::all_applied(&mut conn)?;
            Ok(Snapshot { service, conn, tables, versions })
        };
        connections.into_iter().map(snapshot).collect::<Result<_, Error>>().map(Self)
    }

    /// Returns each service's part.
    pub fn snapshots(&mut self) -> impl Iterator<Item = &mut Snapshot> {
        self.0.iter_mut()
    }

    /// Returns the part of a service.
    pub fn of(&mut self, service: &str) -> Option<&mut Snapshot> {
        self.0.iter_mut().find(|snapshot| snapshot.service == service)
    }
}

/// Says whether there is a database: opening that of SQLite would make it.
pub(super) fn is_there(options: &Options) -> bool {
    options.url.folder().is_none_or(|folder| folder.join(format!("{}.db", options.service)).exists())
}

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = BigInt)]
    last: i64,
}

fn share_snapshot(connections: &mut [(&'static str, Connection)]) -> Result<(), Error> {
    let mut shared: Option<String> = None;
    for (_, conn) in connections {
        conn.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
        match &shared {
            None => shared = Some(Sql::new("SELECT pg_export_snapshot() AS name").get_result::<Named>(conn)?.name),
            Some(name) if name.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') => {
                conn.batch_execute(&format!("SET TRANSACTION SNAPSHOT '{name}'"))?;
            }
            Some(_) => return Err(Error::Bug("the name of a snapshot is none".to_owned())),
        }
    }
    Ok(())
}

fn begin_together(all: &[Options], connections: &mut [(&'static str, Connection)]) -> Result<(), Error> {
    let mut lockers = Vec::with_capacity(all.len());
    for options in all {
        let options = Options { lock_timeout: EACH, ..options.clone() };
        lockers.push(open(&options, Role::Migrator)?.conn);
    }
    for (_, conn) in connections.iter_mut() {
        conn.batch_execute("PRAGMA query_only = ON")?;
    }
    let mut tries = 0;
    while let Err(error) =
        lockers.iter_mut().try_for_each(|conn| Ok::<_, Error>(conn.batch_execute("BEGIN IMMEDIATE")?))
    {
        for conn in &mut lockers {
            // Those that have no lock have no transaction either.
            let _ = conn.batch_execute("ROLLBACK");
        }
        tries += 1;
        if tries >= TRIES || error != Error::Retryable {
            return Err(error);
        }
    }
    for (_, conn) in connections.iter_mut() {
        // A transaction sees what there is when it first reads.
        conn.batch_execute("BEGIN")?;
        dialect::id(conn, Sql::new("SELECT count(*) AS id FROM sqlite_master"))?;
    }
    lockers.iter_mut().try_for_each(|conn| Ok(conn.batch_execute("ROLLBACK")?))
}

impl Snapshot {
    /// Returns whose it is.
    #[must_use]
    pub fn service(&self) -> &'static str {
        self.service
    }

    /// Returns the versions of the migrations that made its schema.
    #[must_use]
    pub fn versions(&self) -> &[String] {
        &self.versions
    }

    /// Returns its tables, those to which others refer first.
    #[must_use]
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// Returns the table of a name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Reads all rows of a table in the order of its key, some at a time.
    ///
    /// # Errors
    /// What the closure returns, or the database.
    pub fn rows<E: From<Error>>(
        &mut self,
        table: &Table,
        mut each: impl FnMut(Vec<Row>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut after, mut many): (Option<Row>, i64) = (None, 64);
        loop {
            let rows = page(table, after.as_deref(), many).load::<Cells>(&mut self.conn).map_err(Error::from)?;
            let rows: Vec<Row> = rows.into_iter().map(|cells| cells.0).collect();
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(table.key.iter().filter_map(|place| last.get(*place).cloned()).collect());
            let (is_last, bytes) = (i64::try_from(rows.len()).unwrap_or(i64::MAX) < many, size(&rows));
            many = if bytes > BATCH_BYTES {
                (many / 2).max(1)
            } else if bytes < BATCH_BYTES / 2 {
                (many * 2).min(MOST_ROWS)
            } else {
                many
            };
            each(rows)?;
            if is_last {
                return Ok(());
            }
        }
    }

    /// Returns the last id that was given out for each table whose ids the database gives out. It may be one of after the cut.
    ///
    /// # Errors
    /// What the database says.
    pub fn counters(&mut self) -> Result<Vec<(String, i64)>, Error> {
        counters(&mut self.conn, &self.tables)
    }
}

/// Returns the last id that was given out for each table of those whose ids the database gives out.
pub(super) fn counters(conn: &mut Connection, tables: &[Table]) -> Result<Vec<(String, i64)>, Error> {
    let counted: Vec<&Table> = tables.iter().filter(|table| table.counted).collect();
    if counted.is_empty() {
        return Ok(Vec::new());
    }
    if dialect::engine(conn) == Engine::Sqlite {
        let rows = Sql::new("SELECT name, seq AS last FROM sqlite_sequence ORDER BY name").load::<Counter>(conn)?;
        return Ok(rows.into_iter().map(|row| (row.name, row.last)).collect());
    }
    let mut all = Vec::with_capacity(counted.len());
    for table in counted {
        let query = format!(
            "SELECT COALESCE(pg_sequence_last_value(pg_get_serial_sequence('\"{}\"', '{}')::REGCLASS), 0) AS id",
            table.name,
            table.key_names().trim_matches('"')
        );
        all.push((table.name.clone(), dialect::id(conn, Sql::empty().text(query))?));
    }
    Ok(all)
}

/// Selects the rows after a place. Columns are named by what they hold, by which [`Cells`] reads them.
fn page(table: &Table, after: Option<&[Bind]>, many: i64) -> Sql {
    let columns = table.columns.iter().enumerate().map(|(place, column)| {
        let letter = match column.kind {
            Kind::Integer => 'i',
            Kind::Text => 't',
            Kind::Bytes => 'b',
            Kind::Bool => 'o',
        };
        format!("\"{}\" AS {letter}{place}", column.name)
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let key = table.key_names();
    let mut sql = Sql::empty().text(format!("SELECT {columns} FROM \"{}\"", table.name));
    if let Some(after) = after {
        sql = sql.text(format!(" WHERE ({key}) > (")).binds(after.iter().cloned()).push(")");
    }
    sql.text(format!(" ORDER BY {key} LIMIT ")).bind(many)
}

fn size(rows: &[Row]) -> usize {
    let cell = |cell: &Bind| match cell {
        Bind::Text(Some(text)) => text.len(),
        Bind::Bytes(Some(bytes)) => bytes.len(),
        _ => 8,
    };
    rows.iter().flatten().map(cell).sum()
}

/// A row of whatever columns.
struct Cells(Row);

impl QueryableByName<MultiBackend> for Cells {
    fn build<'a>(row: &impl NamedRow<'a, MultiBackend>) -> deserialize::Result<Self> {
        let mut cells = Vec::with_capacity(row.field_count());
        for place in 0..row.field_count() {
            let field = diesel::row::Row::get(row, place).ok_or("a row is too short")?;
            let kind = field.field_name().and_then(|name| name.chars().next()).ok_or("a column without a name")?;
            let value = field.value();
            cells.push(match kind {
                'i' => {
                    Bind::Integer(<Option<i64> as FromSql<Nullable<BigInt>, MultiBackend>>::from_nullable_sql(value)?)
                }
                't' => Bind::Text(<Option<String> as FromSql<Nullable<Text>, MultiBackend>>::from_nullable_sql(value)?),
                'b' => {
                    Bind::Bytes(<Option<Vec<u8>> as FromSql<Nullable<Binary>, MultiBackend>>::from_nullable_sql(value)?)
                }
                'o' => Bind::Bool(<Option<bool> as FromSql<Nullable<Bool>, MultiBackend>>::from_nullable_sql(value)?),
                _ => return Err("a column that is named otherwise".into()),
            });
        }
        Ok(Self(cells))
    }
}
