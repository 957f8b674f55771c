//! Looks into the tables of a service from outside, and changes them as no service would.

use std::collections::BTreeSet;
use std::path::Path;

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Binary};
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _, SqliteConnection};

use crate::server::{Engine, Home};

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = BigInt)]
    id: i64,
}

#[derive(QueryableByName)]
struct Blob {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Binary)]
    bytes: Vec<u8>,
}

fn postgres(home: &Home, service: &str) -> PgConnection {
    let url = home.database().expect("a home on PostgreSQL has a URL");
    let mut connection = PgConnection::establish(url).expect("PostgreSQL answers");
    connection.batch_execute(&format!("SET search_path TO coffre_{service}")).expect("the schema is there");
    connection
}

fn sqlite(home: &Home, service: &str, mode: &str) -> SqliteConnection {
    let file = home.folder.join("data").join(format!("{service}.db"));
    assert!(Path::exists(&file), "no file {}", file.display());
    SqliteConnection::establish(&format!("file:{}?mode={mode}", file.display())).expect("SQLite answers")
}

/// The ids that a query returns as `id`.
pub fn ids(home: &Home, service: &str, query: &str) -> BTreeSet<i64> {
    let rows: Result<Vec<Id>, _> = match home.engine {
        Engine::Postgres => diesel::sql_query(query).load(&mut postgres(home, service)),
        Engine::Sqlite => diesel::sql_query(query).load(&mut sqlite(home, service, "ro")),
    };
    rows.unwrap_or_else(|error| panic!("{service}: {query}: {error}")).into_iter().map(|row| row.id).collect()
}

/// The rows that a query returns as `id` and `bytes`.
pub fn blobs(home: &Home, service: &str, query: &str) -> Vec<(i64, Vec<u8>)> {
    let rows: Result<Vec<Blob>, _> = match home.engine {
        Engine::Postgres => diesel::sql_query(query).load(&mut postgres(home, service)),
        Engine::Sqlite => diesel::sql_query(query).load(&mut sqlite(home, service, "ro")),
    };
    let rows = rows.unwrap_or_else(|error| panic!("{service}: {query}: {error}"));
    rows.into_iter().map(|row| (row.id, row.bytes)).collect()
}

/// Runs statements; on SQLite the server must not run meanwhile.
pub fn execute(home: &Home, service: &str, statements: &str) {
    let done = match home.engine {
        Engine::Postgres => postgres(home, service).batch_execute(statements),
        Engine::Sqlite => sqlite(home, service, "rw").batch_execute(statements),
    };
    done.unwrap_or_else(|error| panic!("{service}: {statements}: {error}"));
}
