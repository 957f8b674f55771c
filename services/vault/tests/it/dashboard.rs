//! The dashboard: it counts what lists show, and shows nothing where a part is not known.

use std::sync::Arc;

use coffre_db::{Engine, Sql};
use coffre_proto::query::v1::Query;
use coffre_test_support::on_each_engine;
use coffre_types::{Caller, Permission};
use coffre_vault::domain::error::VaultError;
use coffre_vault::store::list::CredentialQuery;

use crate::world::{OWN, STANDARD, World, caller, event, member, with_roles};

const CREDENTIALS: Permission = Permission::ManageMyCredentials;
const LOCKERS: Permission = Permission::ManageMyLockers;

/// Credentials, lockers and missing values, as the dashboard counts them.
async fn counts(world: &World, who: &Arc<Caller>) -> (i64, i64, i64) {
    let found = world.vault.dashboard(world.call(who)).await.unwrap();
    (found.counts.credentials, found.lockers, found.counts.missing_values)
}

/// How many credentials the list says that there are; none where it is refused for a permission.
async fn listed(world: &World, who: &Arc<Caller>) -> i64 {
    let query = Query { count: true, ..Query::default() };
    let query = CredentialQuery::new(&query, None, Vec::new(), &world.vault.tokens).unwrap();
    match world.vault.credentials(world.call(who), query).await {
        Ok((views, page)) => {
            assert_eq!(i64::try_from(views.len()).ok(), page.total_size);
            page.total_size.unwrap()
        }
        Err(VaultError::PermissionRequired(_)) => 0,
        Err(refused) => panic!("{refused:?}"),
    }
}

/// User 7 owns one in locker 5 and one in none, 8 owns one in 5 and one in 6; 24 manages 6, role 70 consumes 5, role 71 consumes 6. Of each
/// two attributes, one standard and one user-provided.
async fn stock(world: &World) {
    let attributes = [("std", STANDARD), ("own", OWN)];
    world.locker.manager(6, 24);
    world.locker.consumer(5, 70);
    world.locker.consumer(6, 71);
    world.create_in(7, "a in 5", &attributes, 5).await;
    world.create_in(8, "b in 5", &attributes, 5).await;
    world.create_in(8, "c in 6", &attributes, 6).await;
    world.create(&member(7), "d of 7", &attributes).await.unwrap();
}

on_each_engine! {
    async fn it_counts_what_lists_show_to_everybody(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        for (who, expected) in [
            // The owner, who participates in 5; the owner without the right to lockers, and without the right to credentials.
            (caller(7, &[CREDENTIALS, LOCKERS]), (2, 1, 4)),
            (caller(7, &[CREDENTIALS]), (2, 0, 4)),
            (caller(7, &[LOCKERS]), (0, 1, 0)),
            // A manager, whose part is not to store values; the same without the right to lockers.
            (caller(24, &[LOCKERS]), (1, 1, 0)),
            (caller(24, &[CREDENTIALS]), (0, 0, 0)),
            // Consumers: one of one locker, one of two, one without the right to use what is shared.
            (with_roles(30, &[CREDENTIALS], &[70]), (2, 1, 2)),
            (with_roles(30, &[CREDENTIALS], &[70, 71, 72]), (3, 2, 3)),
            (with_roles(30, &[LOCKERS], &[70, 71]), (0, 0, 0)),
            // An owner that consumes the locker of its credential stores each value once.
            (with_roles(7, &[CREDENTIALS], &[70]), (3, 1, 5)),
            // Administrators of lockers and of values, with and without credentials of their own.
            (caller(20, &[Permission::AdministerAllLockers]), (4, 2, 0)),
            (with_roles(8, &[CREDENTIALS, Permission::AdministerAllLockers], &[71]), (4, 2, 4)),
            (caller(21, &[Permission::ManageAllValues]), (4, 0, 0)),
            // Somebody to whom nothing is shared, and somebody without any permission.
            (caller(22, &[CREDENTIALS, LOCKERS]), (0, 0, 0)),
            (caller(23, &[]), (0, 0, 0)),
        ] {
            assert_eq!(counts(&world, &who).await, expected, "{who:?}");
            assert_eq!(listed(&world, &who).await, expected.0, "{who:?}");
        }
    }

    async fn a_value_is_missing_until_it_is_stored(db: TestDb) {
        let world = World::new(&db).await;
        let (owner, admin) = (caller(7, &[CREDENTIALS, LOCKERS]), caller(21, &[Permission::ManageAllValues]));
        let made = world.create_in(7, "c", &[("one", STANDARD), ("two", STANDARD), ("own", OWN)], 5).await;
        world.locker.consumer(5, 70);
        let bot = with_roles(30, &[CREDENTIALS], &[70]);
        let (id, one, own) = (made.credential.id, made.attributes[0].id, made.attributes[2].id);
        let missing = async || (counts(&world, &owner).await.2, counts(&world, &bot).await.2);
        assert_eq!(missing().await, (3, 1));
        world.store(&owner, id, one, None, "s").await.unwrap();
        assert_eq!(missing().await, (2, 1));
        // What somebody else stored of its own is nobody else's.
        world.store(&admin, id, own, Some(40), "o").await.unwrap();
        assert_eq!(missing().await, (2, 1));
        let stored = world.store(&bot, id, own, None, "mine").await.unwrap();
        assert_eq!(missing().await, (2, 0));
        world.store(&owner, id, own, None, "mine").await.unwrap();
        assert_eq!(missing().await, (1, 0));
        world.vault.delete_value(world.call(&bot), id, stored, String::new()).await.unwrap();
        assert_eq!(missing().await, (1, 1));
        world.withdraw(&owner, id, 5).await.unwrap();
        assert_eq!(missing().await, (1, 0));
        world.vault.delete_credential(world.call(&owner), id, String::new()).await.unwrap();
        assert_eq!(missing().await, (0, 0));
    }

    async fn it_shows_the_last_ten_entries_of_ones_own_calls(db: TestDb) {
        let world = World::new(&db).await;
        for number in 0..12 {
            world.audit.record(7, &format!("mine {number}"));
            world.audit.record(8, &format!("theirs {number}"));
        }
        // Whoever may see everybody's entries sees its own here.
        let who = caller(7, &[Permission::ViewAllAudit]);
        let call = world.call(&who);
        let found = world.vault.dashboard(call.clone()).await.unwrap();
        let shown: Vec<_> = found.entries.iter().map(|entry| entry.description.clone()).collect();
        assert_eq!(shown, (2..12).rev().map(|number| format!("mine {number}")).collect::<Vec<_>>());
        let told = event(&call, coffre_audit_client::Outcome::Successful).details;
        let told: Vec<_> = told.iter().map(|detail| (detail.key.as_str(), detail.value.as_str())).collect();
        assert_eq!(told, [("credentials", "0"), ("lockers", "0"), ("missingValues", "0")]);
    }

    async fn a_sealed_vault_counts_and_says_that_it_is_sealed(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let owner = caller(7, &[CREDENTIALS, LOCKERS]);
        assert!(world.vault.dashboard(world.call(&owner)).await.unwrap().open);
        world.sql(Sql::new("UPDATE seal_state SET sealed = TRUE, generation = generation + 1")).await;
        world.clock.advance(std::time::Duration::from_millis(801));
        let sealed = world.vault.dashboard(world.call(&owner)).await.unwrap();
        assert!(!sealed.open);
        assert_eq!((sealed.counts.credentials, sealed.lockers, sealed.counts.missing_values), (2, 1, 4));
    }

    async fn a_part_that_is_not_known_is_not_left_out(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        for who in [caller(7, &[CREDENTIALS, LOCKERS]), caller(20, &[Permission::AdministerAllLockers]), caller(23, &[])] {
            let ask = || world.vault.dashboard(world.call(&who));
            world.locker.silence(true);
            assert!(matches!(ask().await, Err(VaultError::LockerUnavailable)));
            world.locker.silence(false);
            world.audit.silence(true);
            assert!(matches!(ask().await, Err(VaultError::AuditUnavailable)));
            world.audit.silence(false);
            assert!(ask().await.is_ok());
        }
    }

    async fn what_others_have_does_not_slow_it(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        world.bulk().await;
        for locker in [1001, 1002] {
            world.locker.consumer(locker, 70);
        }
        // Two lockers of a thousand with fifty credentials each, without user-provided attributes; and locker 5.
        assert_eq!(counts(&world, &with_roles(7, &[CREDENTIALS], &[70])).await, (103, 3, 5));
        assert_eq!(counts(&world, &caller(20, &[Permission::AdministerAllLockers])).await.0, 50_004);

        let lockers = match world.database.engine() {
            Engine::Sqlite => "IN (SELECT value FROM json_each('[1001,1002]'))",
            // Bound, and so not known to the planner.
            Engine::Postgres => {
                "IN (SELECT s.id FROM unnest(CAST(CAST('{1001,1002}' AS TEXT) AS BIGINT[])) AS s (id))"
            }
        };
        let attributes = "SELECT count(*) FROM credentials c INNER JOIN attributes a ON a.credential_id = c.id \
             WHERE c.deleted_at IS NULL AND +c.tenant_id = 1";
        let without = "AND NOT EXISTS (SELECT 1 FROM attribute_values v WHERE v.attribute_id = a.id AND v.user_id =";
        let owned = format!("{attributes} AND c.owner_id = 7 {without} CASE WHEN a.user_provided THEN 7 ELSE 0 END)");
        let consumed = format!(
            "{attributes} AND c.locker_id IS NOT NULL AND c.locker_id {lockers} AND c.owner_id <> 7 AND a.user_provided {without} 7)"
        );
        for (statement, indexes) in [
            (format!("SELECT ({owned}) AS id"), &["credentials_owner", "attributes_name", "attribute_values_user"][..]),
            (format!("SELECT ({consumed}) AS id"), &["credentials_locker", "attributes_name"][..]),
            (format!("SELECT ({owned}) + ({consumed}) AS id"), &["credentials_owner", "credentials_locker"][..]),
        ] {
            let plan = world.explain(&statement).await;
            for index in indexes {
                assert!(plan.contains(index), "{statement}\n{plan}");
            }
            let walks = plan.lines().any(|line| {
                ["Seq Scan on", "SCAN c", "SCAN a", "SCAN v"].iter().any(|walk| line.contains(walk))
                    || line.contains("credentials_name") || line.contains("credentials_created")
            });
            assert!(!walks, "{statement}\n{plan}");
        }
    }
}
