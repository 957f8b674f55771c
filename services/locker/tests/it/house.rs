//! Rules of the house: which room knows what, which RPC has a row, whether both engines have the same tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coffre_db::{Database, Engine, Sql};
use coffre_test_support::TestDb;
use diesel::QueryableByName;
use diesel::RunQueryDsl as _;
use diesel::sql_types::Text;

use crate::world::open;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn rooms_keep_their_doors_closed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (room, foreign) in [
        ("domain", &["tonic", "prost", "diesel", "axum", "crate::api", "crate::store"][..]),
        ("api", &["diesel::"][..]),
        ("store", &["tonic", "axum", "crate::api"][..]),
    ] {
        let mut files = Vec::new();
        sources(&root.join(room), &mut files);
        assert!(!files.is_empty());
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text.lines().filter(|line| line.trim_start().starts_with("use ")) {
                for name in foreign {
                    assert!(!line.contains(&format!("use {name}")), "{}: {line}", file.display());
                }
            }
        }
    }
}

#[test]
fn every_rpc_has_a_row_and_every_row_an_rpc() {
    let set = <prost_types::FileDescriptorSet as prost::Message>::decode(coffre_proto::PUBLIC_DESCRIPTORS).unwrap();
    let mut declared = BTreeSet::new();
    for file in set.file.iter().filter(|file| file.package() == "coffre.locker.v1") {
        for service in &file.service {
            for method in &service.method {
                declared.insert(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    let rows: BTreeSet<String> = coffre_locker::RPCS.iter().map(|rpc| rpc.path.to_owned()).collect();
    assert_eq!(declared, rows);
    assert_eq!(rows.len(), coffre_locker::RPCS.len(), "a row twice");
}

#[derive(QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
}

async fn columns(database: &Database) -> BTreeSet<String> {
    let sql = match database.engine() {
        Engine::Sqlite => Sql::new(
            "SELECT m.name || '.' || c.name AS name FROM sqlite_master m, pragma_table_info(m.name) c \
             WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\'",
        ),
        Engine::Postgres => Sql::new(
            "SELECT table_name || '.' || column_name AS name FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name NOT LIKE '\\_\\_%'",
        ),
    };
    let rows =
        database.read(move |conn| sql.clone().load::<Column>(conn).map_err(coffre_db::Error::from)).await.unwrap();
    rows.into_iter().map(|column| column.name).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_tables() {
    let (sqlite, postgres) = (TestDb::sqlite(), TestDb::postgres());
    let (_, one, _) = open(&sqlite);
    let (_, other, _) = open(&postgres);
    let columns_of_one = columns(&one).await;
    assert!(columns_of_one.contains("members.manage"));
    assert_eq!(columns_of_one, columns(&other).await);
}
