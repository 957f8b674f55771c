//! Filling a database in which there is nothing yet, in one transaction.

use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use diesel_migrations::EmbeddedMigrations;

use super::Row;
use super::cut::{counters, is_there};
use super::tables::{self, Table};
use crate::dialect::{self, MAX_BINDS};
use crate::open::{Role, open};
use crate::{Connection, Engine, Error, Options, Sql, migrations};

/// The database of one service on its way to be filled. Dropped before [`Filling::commit`] it stays as it was.
pub struct Filling {
    conn: Connection,
    tables: Vec<Table>,
}

impl Filling {
    /// Returns the first table in which there is something, but for those that every new database has rows in. Changes and makes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub fn occupied(options: &Options, seeded: &[&str]) -> Result<Option<String>, Error> {
        if !is_there(options) {
            return Ok(None);
        }
        let mut conn = open(options, Role::Migrator)?.conn;
        let tables = tables::tables(&mut conn)?;
        occupied(&mut conn, &tables, seeded)
    }

    /// Makes the schema that some migrations make, and begins. Nobody else reads or writes until it ends.
    ///
    /// # Errors
    /// What [`Self::occupied`] found; `Err` of the outer kind: what the database says, [`Error::Bug`] where the schema is not that of these
    /// migrations.
    pub fn begin(
        options: &Options,
        migrations: (EmbeddedMigrations, EmbeddedMigrations),
        versions: &[String],
        seeded: &[&str],
    ) -> Result<Result<Self, String>, Error> {
        migrations::migrate_to(options, migrations.0, migrations.1, versions)?;
        let mut conn = open(options, Role::Migrator)?.conn;
        let begin = match dialect::engine(&conn) {
            Engine::Sqlite => "BEGIN IMMEDIATE",
            Engine::Postgres => "BEGIN",
        };
        conn.batch_execute(begin)?;
        let tables = tables::tables(&mut conn)?;
        if dialect::engine(&conn) == Engine::Postgres {
            for table in &tables {
                conn.batch_execute(&format!("LOCK TABLE \"{}\" IN ACCESS EXCLUSIVE MODE", table.name))?;
            }
        }
        if let Some(table) = occupied(&mut conn, &tables, seeded)? {
            return Ok(Err(table));
        }
        for table in tables.iter().rev() {
            conn.batch_execute(&format!("DELETE FROM \"{}\"", table.name))?;
        }
        Ok(Ok(Self { conn, tables }))
    }

    /// Returns the table of a name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// Adds rows to a table: values for the named columns, in their order.
    ///
    /// # Errors
    /// [`Error::Bug`] where there is no such table or column, or what the database says.
    pub fn insert(&mut self, table: &str, columns: &[String], rows: Vec<Row>) -> Result<(), Error> {
        let known = self.table(table).filter(|table| columns.iter().all(|column| table.place(column).is_some()));
        let Some(known) = known.filter(|_| !columns.is_empty() && rows.iter().all(|row| row.len() == columns.len()))
        else {
            return Err(Error::Bug(format!("the table {table} is not the one that the rows come from")));
        };
        let names: Vec<String> = columns.iter().map(|column| format!("\"{column}\"")).collect();
        let text = format!("INSERT INTO \"{}\" ({}) VALUES ", known.name, names.join(", "));
        let many = (MAX_BINDS / columns.len()).max(1);
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut sql = Sql::empty().text(text.clone());
            for (index, row) in rows.by_ref().take(many).enumerate() {
                sql = sql.push(if index == 0 { "(" } else { ", (" }).binds(row).push(")");
            }
            sql.execute(&mut self.conn)?;
        }
        Ok(())
    }

    /// Runs a statement.
    ///
    /// # Errors
    /// What the database says.
    pub fn run(&mut self, statement: Sql) -> Result<usize, Error> {
        Ok(statement.execute(&mut self.conn)?)
    }

    /// Makes the database give out ids above a number, in every table whose ids it gives out.
    ///
    /// # Errors
    /// What the database says.
    pub fn give_ids_above(&mut self, number: i64) -> Result<(), Error> {
        for table in self.tables.iter().filter(|table| table.counted) {
            let name = &table.name;
            let statement = match dialect::engine(&self.conn) {
                Engine::Sqlite => format!(
                    "DELETE FROM sqlite_sequence WHERE name = '{name}'; INSERT INTO sqlite_sequence (name, seq) VALUES ('{name}', {number})"
                ),
                Engine::Postgres => format!(
                    "SELECT setval(pg_get_serial_sequence('\"{name}\"', '{}')::REGCLASS, {number})",
                    table.key_names().trim_matches('"')
                ),
            };
            self.conn.batch_execute(&statement)?;
        }
        Ok(())
    }

    /// Keeps what was filled in.
    ///
    /// # Errors
    /// What the database says.
    pub fn commit(mut self) -> Result<(), Error> {
        Ok(self.conn.batch_execute("COMMIT")?)
    }
}

/// Returns the first of some tables in which there is something, or of which an id was ever given out. Changes and makes nothing.
///
/// # Errors
/// What the database says.
pub fn used(options: &Options, among: &[&str]) -> Result<Option<String>, Error> {
    if !is_there(options) {
        return Ok(None);
    }
    let mut conn = open(options, Role::Migrator)?.conn;
    let mut tables = tables::tables(&mut conn)?;
    tables.retain(|table| among.contains(&table.name.as_str()));
    if let Some(table) = occupied(&mut conn, &tables, &[])? {
        return Ok(Some(table));
    }
    let given_out = counters(&mut conn, &tables)?;
    let mut given_out = given_out.into_iter().filter(|(name, last)| *last > 0 && among.contains(&name.as_str()));
    Ok(given_out.next().map(|(name, _)| name))
}

fn occupied(conn: &mut Connection, tables: &[Table], seeded: &[&str]) -> Result<Option<String>, Error> {
    for table in tables.iter().filter(|table| !seeded.contains(&table.name.as_str())) {
        let query = format!("SELECT count(*) AS id FROM (SELECT 1 FROM \"{}\" LIMIT 1) AS found", table.name);
        if dialect::id(conn, Sql::empty().text(query))? > 0 {
            return Ok(Some(table.name.clone()));
        }
    }
    Ok(None)
}
