//! A schema, a journal that can be looked at, and short cuts.

use std::sync::{Arc, Mutex};

use coffre_db::{
    Connection, Database, DatabaseUrl, Error, Journal, JournalEntry, Options, Result, Sql, Tx, dialect, migrate,
};
use coffre_test_support::TestDb;
use diesel::RunQueryDsl as _;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

pub const SQLITE: EmbeddedMigrations = embed_migrations!("tests/migrations/sqlite");
pub const POSTGRES: EmbeddedMigrations = embed_migrations!("tests/migrations/postgres");

pub fn options(db: &TestDb) -> Options {
    Options::new(DatabaseUrl::parse(db.url()).unwrap(), "test")
}

/// What the journals of a database saw.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

pub struct TestJournal {
    pub seen: Seen,
}

impl Journal for TestJournal {
    fn write(&mut self, conn: &mut Connection, entries: &[JournalEntry]) -> Result<()> {
        let body: Vec<u8> = entries.iter().flat_map(|entry| entry.bytes().to_vec()).collect();
        if String::from_utf8_lossy(&body).contains("poison") {
            self.seen.note("write refused");
            return Err(Error::Bug("the journal was told to fail".into()));
        }
        self.seen.note(format!("write {}", String::from_utf8_lossy(&body)));
        Sql::new("INSERT INTO journal (entries, body) VALUES (")
            .bind(entries.len() as i64)
            .push(", ")
            .bind(body)
            .push(")")
            .cached()
            .execute(conn)?;
        Ok(())
    }

    fn committed(&mut self) {
        self.seen.note("committed");
    }

    fn rolled_back(&mut self) {
        self.seen.note("rolled back");
    }

    fn in_doubt(&mut self) {
        self.seen.note("in doubt");
    }
}

pub fn open_with(options: Options) -> (Database, Seen) {
    migrate(&options, SQLITE, POSTGRES).unwrap();
    let seen = Seen::default();
    let of_journals = seen.clone();
    let database =
        Database::open(options, move || Box::new(TestJournal { seen: of_journals.clone() }) as Box<dyn Journal>);
    (database.unwrap(), seen)
}

pub fn open(db: &TestDb) -> (Database, Seen) {
    open_with(options(db))
}

pub fn entry(text: &str) -> JournalEntry {
    JournalEntry::new(text.as_bytes().to_vec())
}

pub fn add(conn: &mut Connection, name: &str) -> Result<i64> {
    let sql = Sql::new("INSERT INTO things (name, name_key) VALUES (").bind(name).push(", ").bind(name.to_lowercase());
    dialect::id(conn, sql.push(") RETURNING id"))
}

pub fn add_with_entry(tx: &mut Tx<'_>, name: &str) -> Result<i64> {
    let id = add(tx.conn(), name)?;
    tx.journal(entry(name));
    Ok(id)
}

pub fn names(conn: &mut Connection) -> Result<Vec<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        name: String,
    }
    let rows: Vec<Row> = Sql::new("SELECT name FROM things ORDER BY id").load(conn)?;
    Ok(rows.into_iter().map(|row| row.name).collect())
}

/// What is in the journal's table: a text for each commit.
pub fn journalled(conn: &mut Connection) -> Result<Vec<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Binary)]
        body: Vec<u8>,
    }
    let rows: Vec<Row> = Sql::new("SELECT body FROM journal ORDER BY position").load(conn)?;
    Ok(rows.into_iter().map(|row| String::from_utf8(row.body).unwrap()).collect())
}
