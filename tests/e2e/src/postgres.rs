//! Looks into a PostgreSQL database from outside.

use diesel::sql_types::Text;
use diesel::{Connection as _, PgConnection, QueryableByName, RunQueryDsl as _};

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let rows: Vec<Line> = diesel::sql_query(query).load(connection).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

/// Every row of every table as text, with the table's name; bytes come in hexadecimal.
pub fn dump(url: &str) -> Vec<(String, String)> {
    let mut connection =
        PgConnection::establish(url).unwrap_or_else(|error| panic!("PostgreSQL does not answer: {error}"));
    let tables = lines(
        &mut connection,
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) AS line FROM pg_tables \
         WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
    );
    assert!(!tables.is_empty(), "the database is empty");
    let mut rows = Vec::new();
    for table in tables {
        for row in lines(&mut connection, &format!("SELECT t::text AS line FROM {table} AS t")) {
            rows.push((table.clone(), row));
        }
    }
    rows
}
