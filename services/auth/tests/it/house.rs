//! What holds the house together: both schemas are the same, the layers of the source do not mix, crashes leave nothing half done.

use std::path::Path;
use std::time::Duration;

use coffre_auth::InitError;
use coffre_db::{Engine, Sql};
use coffre_error::Reason;
use coffre_proto::audit::v1::{ActivityType, Outcome, Source};
use coffre_proto::auth::v1::DeleteUserRequest;
use coffre_test_support::{Canary, TestDb, on_each_engine};
use diesel::RunQueryDsl as _;

use crate::keeper::Fails;
use crate::world::{BASIC_ROLE, PASSWORD, World, initialise, open, outcome, reason};

on_each_engine! {
    async fn rule_2_6_the_second_initialisation_is_refused(db: TestDb) {
        let world = World::start(&db).await;
        let events = world.events();
        assert_eq!(events[0].activity_type(), ActivityType::FirstAdminSettings);
        assert_eq!((events[0].source(), events[0].object.clone().unwrap().name), (Source::System, "admin".into()));
        let (database, outbox) = open(&world.url, &world.clock, &world.kept);
        assert!(matches!(initialise(&database, &outbox, &world.clock).await, Err(InitError::AlreadyInitialised)));
        assert!(coffre_auth::is_initialised(&database).await.unwrap());
        world.sign_in("admin", PASSWORD).await;
    }

    async fn rule_2_6_an_uninitialised_store_is_refused(db: TestDb) {
        let url = coffre_db::DatabaseUrl::parse(db.url()).unwrap();
        let clock = std::sync::Arc::new(coffre_types::FixedClock::new(coffre_types::Timestamp::from_seconds(1)));
        let (database, outbox) = open(&url, &clock, &crate::world::Kept::default());
        assert!(!coffre_auth::is_initialised(&database).await.unwrap());
        let activity = coffre_types::Activity::new(clock.clone());
        let deps = coffre_auth::Deps { database, outbox, clock, auth_key: crate::world::key(), vault: coffre_channel::Channel::deferred().0, locker: coffre_channel::Channel::deferred().0, activity };
        assert!(matches!(coffre_auth::build(crate::world::config(), deps).await, Err(coffre_auth::Error::NotInitialised)));
    }

    async fn a_deletion_that_a_deadline_left_behind_is_settled_in_the_name_of_who_asked(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let gone = admin.create_user("gone", &[BASIC_ROLE]).await.unwrap();
        world.vault.fail("hold", Fails::Hangs);
        let mut request = admin.request(DeleteUserRequest { id: gone.id, etag: String::new() });
        request.set_timeout(Duration::from_secs(1));
        request.metadata_mut().insert("x-request-id", "the-request".parse().unwrap());
        world.events();
        let refused = admin.users().delete_user(request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::RequestTimeout);
        let event = world.last_event();
        assert_eq!((outcome(&event), event.actor.unwrap().user_name.as_str()), (Outcome::Unsuccessful, "admin"));
        world.vault.mend();
        world.settle().await;
        let event = world.last_event();
        assert_eq!((event.event.as_str(), event.source(), event.request_id.as_str()), ("user.deleted", Source::System, "the-request"));
        let actor = event.actor.unwrap();
        assert_eq!((actor.user_id, actor.user_name.as_str()), (1, "admin"));
        assert_eq!(world.admin().await.user(gone.id).await.unwrap_err(), Reason::UserNotFound);
    }

    async fn a_planted_password_is_in_no_row_and_no_event(db: TestDb) {
        let world = World::start(&db).await;
        let canary = Canary::new();
        let admin = world.admin().await;
        let request = coffre_proto::auth::v1::CreateUserRequest { username: "ada".into(), password: canary.text().into(), roles: None, ..Default::default() };
        assert!(!format!("{request:?}").contains(canary.text()));
        admin.create_user_of(request).await.unwrap();
        let user = world.sign_in("ada", canary.text()).await;
        user.change_password(canary.text(), &format!("new {}", canary.text())).await.unwrap();
        world.clock.advance(Duration::from_secs(1));
        let entries = world.kept.entries.lock().unwrap().clone();
        assert!(entries.iter().all(|entry| !canary.is_in(entry.bytes())));
        if let Some(folder) = db.folder() {
            assert_eq!(canary.find_under(folder), None);
        }
    }
}

#[derive(diesel::QueryableByName, PartialEq, Eq, Debug, PartialOrd, Ord)]
struct Column {
    #[diesel(sql_type = diesel::sql_types::Text)]
    table_name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    column_name: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    kind: String,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    required: bool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_engines_have_the_same_tables() {
    let mut schemas = Vec::new();
    for db in [TestDb::sqlite(), TestDb::postgres()] {
        let world = World::start(&db).await;
        let engine = world.first.database.engine();
        let mut columns: Vec<Column> = world
            .first
            .database
            .read(move |conn| {
                let sql = match engine {
                    Engine::Sqlite => Sql::new(
                        "SELECT m.name AS table_name, c.name AS column_name, c.type AS kind, c.\"notnull\" <> 0 OR c.pk <> 0 AS required \
                         FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
                    ),
                    Engine::Postgres => Sql::new(
                        "SELECT table_name::text, column_name::text, upper(data_type::text) AS kind, is_nullable = 'NO' AS required \
                         FROM information_schema.columns WHERE table_schema = 'coffre_auth'",
                    ),
                };
                sql.load(conn).map_err(coffre_db::Error::from)
            })
            .await
            .unwrap();
        columns.retain(|column| !column.table_name.starts_with("__diesel"));
        for column in &mut columns {
            column.kind = column.kind.replace("BYTEA", "BLOB").replace("INTEGER", "BIGINT");
        }
        columns.sort();
        schemas.push(columns);
    }
    assert_eq!(schemas[0], schemas[1]);
    assert!(schemas[0].len() > 60);
}

#[test]
fn the_layers_of_the_source_do_not_mix() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (layer, forbidden) in [
        ("domain", &["tonic", "prost", "diesel", "axum"][..]),
        ("api", &["diesel"][..]),
        ("store", &["tonic", "prost"][..]),
    ] {
        for entry in std::fs::read_dir(source.join(layer)).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.lines().filter(|line| line.trim_start().starts_with("use ")) {
                for word in forbidden {
                    assert!(!line.contains(&format!("use {word}")), "{}: {line}", path.display());
                }
            }
        }
    }
}
