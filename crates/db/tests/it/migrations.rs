//! Migrations run once, and tell how they stand.

use coffre_db::{SchemaState, migrate, schema_state};
use coffre_test_support::on_each_engine;
use diesel_migrations::{EmbeddedMigrations, embed_migrations};

use crate::support::{POSTGRES, SQLITE, options};

pub const NEWER_SQLITE: EmbeddedMigrations = embed_migrations!("tests/migrations/newer_sqlite");
pub const NEWER_POSTGRES: EmbeddedMigrations = embed_migrations!("tests/migrations/newer_postgres");

on_each_engine! {
    async fn migrations_run_once(db: TestDb) {
        let options = options(&db);
        let state = || schema_state(&options, SQLITE, POSTGRES).unwrap();
        assert!(matches!(state(), SchemaState::Behind { missing } if missing.len() == 1));
        assert_eq!(migrate(&options, SQLITE, POSTGRES).unwrap().len(), 1);
        assert_eq!(state(), SchemaState::Current);
        assert!(migrate(&options, SQLITE, POSTGRES).unwrap().is_empty());
    }

    async fn many_may_migrate_at_once(db: TestDb) {
        let options = options(&db);
        let runs: Vec<_> = (0..4).map(|_| {
            let options = options.clone();
            std::thread::spawn(move || migrate(&options, SQLITE, POSTGRES).unwrap().len())
        }).collect();
        let ran: usize = runs.into_iter().map(|run| run.join().unwrap()).sum();
        assert_eq!(ran, 1);
    }

    async fn a_schema_from_the_future_is_told(db: TestDb) {
        let options = options(&db);
        migrate(&options, NEWER_SQLITE, NEWER_POSTGRES).unwrap();
        let state = schema_state(&options, SQLITE, POSTGRES).unwrap();
        assert!(matches!(state, SchemaState::Ahead { unknown } if unknown.len() == 1));
    }

    async fn services_do_not_see_each_other(db: TestDb) {
        let one = options(&db);
        migrate(&one, SQLITE, POSTGRES).unwrap();
        let other = coffre_db::Options { service: "other", ..one };
        assert!(matches!(schema_state(&other, SQLITE, POSTGRES).unwrap(), SchemaState::Behind { .. }));
    }
}
