//! The schemas of both engines have the same tables, columns and indexes.

use std::collections::BTreeSet;

use coffre_db::{Sql, dialect};
use coffre_test_support::TestDb;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::house;

#[derive(QueryableByName)]
struct Named {
    #[diesel(sql_type = Text)]
    name: String,
}

async fn names(db: &TestDb, sqlite: &'static str, postgres: &'static str) -> BTreeSet<String> {
    let house = house::open(db).await;
    let rows: Vec<Named> = house
        .database
        .read(move |conn| {
            let query = match dialect::engine(conn) {
                coffre_db::Engine::Sqlite => sqlite,
                coffre_db::Engine::Postgres => postgres,
            };
            Ok::<_, coffre_db::Error>(Sql::new(query).load(conn)?)
        })
        .await
        .unwrap();
    rows.into_iter().map(|row| row.name).filter(|name| !name.starts_with("__") && !name.contains("sqlite")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_columns_and_indexes() {
    let sqlite_columns = "SELECT t.name || '.' || c.name AS name FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table'";
    let postgres_columns = "SELECT (table_name || '.' || column_name)::text AS name FROM information_schema.columns WHERE table_schema = 'coffre_audit'";
    let sqlite_indexes = "SELECT name FROM sqlite_master WHERE type = 'index'";
    let postgres_indexes = "SELECT indexname::text AS name FROM pg_indexes WHERE schemaname = 'coffre_audit' AND indexname NOT LIKE '%_pkey'";
    for (sqlite, postgres) in [(sqlite_columns, postgres_columns), (sqlite_indexes, postgres_indexes)] {
        let one = names(&TestDb::sqlite(), sqlite, postgres).await;
        let two = names(&TestDb::postgres(), sqlite, postgres).await;
        assert!(one.len() > 5);
        assert_eq!(one, two);
    }
}
