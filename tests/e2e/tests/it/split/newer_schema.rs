//! A database that a newer version has migrated: migrations only expand it, and so this version serves on beside the newer one.

use coffre_e2e::api::{NewAttribute, NewValue, Protocol};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::KEEPERS;
use coffre_e2e::tables;

/// What a migration of later may do: a column in every table, a table, an index, and its own line in the list.
const EXPANDS: &str = "
    DO $$ DECLARE one text; BEGIN
        FOR one IN SELECT tablename FROM pg_tables
            WHERE schemaname = current_schema() AND tablename <> '__diesel_schema_migrations'
        LOOP
            EXECUTE format('ALTER TABLE %I ADD COLUMN zz_later TEXT NOT NULL DEFAULT ''later''', one);
            EXECUTE format('CREATE INDEX ON %I (zz_later)', one);
        END LOOP;
    END $$;
    CREATE TABLE zz_later (id BIGINT PRIMARY KEY);
    INSERT INTO __diesel_schema_migrations (version) VALUES ('20991231235959')";

#[test]
fn a_schema_that_a_newer_version_expanded_is_served_and_left_as_it_is() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine);
        for (service, _) in KEEPERS {
            tables::execute(&home, service, EXPANDS);
        }
        // An older version's job that comes late finds nothing to do.
        let migrated = home.operator(&["migrate"]).output().unwrap();
        assert!(migrated.status.success(), "{migrated:?}");
        let server = home.start();
        for protocol in Protocol::BOTH {
            let case = Case::on(&server, protocol).await;
            let owner = case.basic("owner").await;
            let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
            let secret = case.secret("kept");
            owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
            let locker = owner.create_locker(&case.unique("kept"), None).await.ok();
            owner.assign(locker.id, created.id).await.ok();
            assert_eq!(owner.list_contents(locker.id).await.ok().len(), 1);
            assert_eq!(owner.list_values(created.id).await.ok()[0].value, secret);
            case.settle().await;
        }
        for (service, _) in KEEPERS {
            let told = format!("\"service\":\"{service}\"");
            let said = server.said();
            let line =
                said.lines().find(|line| line.contains("the schema is newer than this binary") && line.contains(&told));
            assert!(line.is_some_and(|line| line.contains("20991231235959")), "{service}: {said}");
            let later = "SELECT count(*) AS id FROM __diesel_schema_migrations WHERE version = '20991231235959'";
            assert_eq!(tables::ids(&home, service, later), [1].into());
        }
        assert!(server.stop().success());
    });
}
