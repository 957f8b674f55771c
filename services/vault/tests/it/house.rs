//! Rules of the house: which room knows what, which RPC has a row, whether both engines have the same tables.

use std::collections::BTreeSet;
use std::path::Path;

use coffre_db::{Database, Sql};
use coffre_test_support::{TestDb, house};
use diesel::RunQueryDsl as _;
use diesel::sql_types::Text;

use crate::world::open;

#[test]
fn rooms_keep_their_doors_closed() {
    house::assert_doors_closed(
        env!("CARGO_MANIFEST_DIR"),
        &[
            ("domain", &["tonic", "prost", "diesel", "axum", "crate::api", "crate::store"][..]),
            ("api", &["diesel", "crate::store::schema"][..]),
            ("store", &["tonic", "axum", "crate::api"][..]),
        ],
    );
}

/// Sealed is a type: who holds an `&OpenKeyring` got it from the state of this process, which alone knows whether the vault is open.
#[test]
fn rule_5_4_keyrings_are_opened_in_the_room_of_keys_alone() {
    let makers: BTreeSet<String> = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .into_iter()
        .filter(|(_, text)| ["OpenKeyring::open", "open_terms(", ".reload("].iter().any(|call| text.contains(call)))
        .map(|(name, _)| name)
        .collect();
    let expected = ["domain/keys.rs", "keyring.rs", "keyring/shared.rs", "vault/keys.rs"].map(str::to_owned);
    assert_eq!(makers, BTreeSet::from(expected), "only the state, and what opens it, makes an open keyring");
}

fn sources(folder: &Path) -> Vec<(String, String)> {
    fn walk(folder: &Path, below: &str, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_string_lossy());
            if path.is_dir() {
                walk(&path, &format!("{name}/"), found);
            } else {
                found.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(folder, "", &mut found);
    found
}

#[test]
fn every_rpc_has_a_row_and_every_row_an_rpc() {
    let rows = coffre_vault::RPCS.iter().map(|rpc| rpc.path);
    house::assert_every_rpc_has_a_row(coffre_proto::PUBLIC_DESCRIPTORS, "coffre.vault.v1", rows);
}

async fn columns(database: &Database, db: &TestDb) -> BTreeSet<String> {
    let sql = house::columns_sql(db.engine());
    let load = move |conn: &mut coffre_db::Connection| {
        Sql::new(sql).typed::<Text>().load::<String>(conn).map_err(coffre_db::Error::from)
    };
    database.read(load).await.unwrap().into_iter().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_tables() {
    let (sqlite, postgres) = (TestDb::sqlite(), TestDb::postgres());
    let (_, one, _) = open(&sqlite);
    let (_, other, _) = open(&postgres);
    let columns_of_one = columns(&one, &sqlite).await;
    assert!(columns_of_one.contains("attribute_values.sealed"));
    assert_eq!(columns_of_one, columns(&other, &postgres).await);
}
