//! The list of credentials.

use std::sync::Arc;

use coffre_db::Engine;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, PageInfo, Query, SortKey, comparison, sort_key};
use coffre_test_support::on_each_engine;
use coffre_types::{Caller, LockerId, NameKey, Permission};
use coffre_vault::domain::error::VaultError;
use coffre_vault::store::list::CredentialQuery;

use crate::world::{OWN, STANDARD, World, caller, member, with_roles};

async fn list(
    world: &World,
    who: &Arc<Caller>,
    query: Query,
    consumed: Option<bool>,
    names: &[&str],
) -> Result<(Vec<String>, PageInfo), VaultError> {
    let names = names.iter().map(|name| NameKey::of(name)).collect();
    let query = CredentialQuery::new(&query, consumed, names, &world.vault.tokens)?;
    let (views, page) = world.vault.credentials(world.call(who), query).await?;
    Ok((views.into_iter().map(|view| view.credential.name.into_string()).collect(), page))
}

fn filter(field: &str, operator: comparison::Operator, value: &str) -> Query {
    let comparison = Comparison { operator: operator.into(), field: field.into(), value: value.into() };
    Query { filter: Some(Filter { condition: Some(Condition::Comparison(comparison)) }), ..Query::default() }
}

async fn stock(world: &World) {
    for (user, name) in [(7, "Beta"), (7, "alpha"), (8, "Gamma"), (7, "delta"), (8, "epsilon")] {
        world.create(&member(user), name, &[("std", STANDARD), ("own", OWN)]).await.unwrap();
    }
}

on_each_engine! {
    async fn a_list_shows_what_the_caller_sees(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let counted = Query { count: true, ..Query::default() };
        let (mine, page) = list(&world, &member(7), counted.clone(), None, &[]).await.unwrap();
        assert_eq!(mine, ["Beta", "alpha", "delta"]);
        assert_eq!((page.total_size, page.filtered_size), (Some(3), Some(3)));
        for all in [Permission::AdministerAllLockers, Permission::ManageAllValues] {
            let (names, page) = list(&world, &caller(9, &[all]), counted.clone(), None, &[]).await.unwrap();
            assert_eq!((names.len(), page.total_size), (5, Some(5)));
        }
        let lockers = caller(9, &[Permission::ManageMyLockers]);
        assert!(list(&world, &lockers, Query::default(), None, &[]).await.unwrap().0.is_empty());
        assert!(matches!(list(&world, &caller(9, &[]), Query::default(), None, &[]).await, Err(VaultError::PermissionRequired(_))));
    }

    async fn names_are_a_union_and_consumed_narrows(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let (names, _) = list(&world, &member(7), Query::default(), None, &["ALPHA", "Gamma", "delta", "none"]).await.unwrap();
        assert_eq!(names, ["alpha", "delta"]);
        assert!(list(&world, &member(7), Query::default(), Some(true), &[]).await.unwrap().0.is_empty());
        assert_eq!(list(&world, &member(7), Query::default(), Some(false), &[]).await.unwrap().0.len(), 3);
    }

    async fn filters_sort_orders_and_pages_hold(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let admin = caller(9, &[Permission::AdministerAllLockers]);
        let (names, _) = list(&world, &admin, filter("ownerId", comparison::Operator::Equal, "8"), None, &[]).await.unwrap();
        assert_eq!(names, ["Gamma", "epsilon"]);
        let (names, _) = list(&world, &admin, filter("name", comparison::Operator::Substring, "LPH"), None, &[]).await.unwrap();
        assert_eq!(names, ["alpha"]);
        let (names, _) = list(&world, &admin, filter("lockerId", comparison::Operator::Equal, "1"), None, &[]).await.unwrap();
        assert!(names.is_empty());
        let unknown = list(&world, &admin, filter("colour", comparison::Operator::Equal, "1"), None, &[]).await;
        assert!(matches!(unknown, Err(VaultError::List(coffre_db::list::Error::FieldUnknown { .. }))));

        let by_name = |direction: sort_key::Direction| Query {
            order_by: vec![SortKey { field: "name".into(), direction: direction.into() }],
            page_size: 2,
            ..Query::default()
        };
        let mut seen = Vec::new();
        let mut query = by_name(sort_key::Direction::Descending);
        loop {
            let (names, page) = list(&world, &admin, query.clone(), None, &[]).await.unwrap();
            seen.extend(names);
            if page.next_page_token.is_empty() {
                break;
            }
            query.page_token = page.next_page_token;
        }
        assert_eq!(seen, ["Gamma", "epsilon", "delta", "Beta", "alpha"]);
        let past = Query { skip: 50, ..Query::default() };
        assert!(list(&world, &admin, past, None, &[]).await.unwrap().0.is_empty());
    }

    async fn completed_is_about_the_asking_user(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let admin = caller(9, &[Permission::ManageAllValues]);
        let made = world.create(&me, "c", &[("std", STANDARD), ("own", OWN)]).await.unwrap();
        let id = made.credential.id;
        world.store(&me, id, made.attributes[0].id, None, "s").await.unwrap();
        world.store(&admin, id, made.attributes[1].id, Some(8), "o").await.unwrap();
        let completed = async |who: &Arc<Caller>| {
            let query = CredentialQuery::new(&Query::default(), None, Vec::new(), &world.vault.tokens).unwrap();
            let (views, _) = world.vault.credentials(world.call(who), query).await.unwrap();
            let one = world.vault.credential(world.call(who), id).await.unwrap();
            assert_eq!(views[0].completed, one.completed);
            one.completed
        };
        assert!(!completed(&me).await);
        world.store(&me, id, made.attributes[1].id, None, "o").await.unwrap();
        assert!(completed(&me).await);
        assert!(!completed(&admin).await);
    }

    async fn a_list_shows_what_lockers_share(db: TestDb) {
        let world = World::new(&db).await;
        let attributes = [("std", STANDARD), ("own", OWN)];
        world.locker.manager(6, 24);
        world.locker.consumer(5, 70);
        world.locker.consumer(6, 71);
        let a = world.create_in(7, "a in 5", &attributes, 5).await;
        world.create_in(8, "b in 5", &attributes, 5).await;
        world.create_in(8, "c in 6", &attributes, 6).await;
        world.create(&member(8), "d of 8", &attributes).await.unwrap();
        let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
        let counted = Query { count: true, ..Query::default() };
        for (who, expected) in [
            (caller(7, &[credentials, lockers]), vec!["a in 5"]),
            (caller(8, &[credentials, lockers]), vec!["b in 5", "c in 6", "d of 8"]),
            (caller(24, &[lockers]), vec!["c in 6"]),
            (caller(24, &[credentials]), vec![]),
            (with_roles(30, &[credentials], &[70]), vec!["a in 5", "b in 5"]),
            (with_roles(30, &[credentials], &[70, 71, 72]), vec!["a in 5", "b in 5", "c in 6"]),
            (with_roles(30, &[lockers], &[70, 71]), vec![]),
            (with_roles(24, &[credentials, lockers], &[70]), vec!["a in 5", "b in 5", "c in 6"]),
            (with_roles(8, &[credentials, lockers], &[70]), vec!["a in 5", "b in 5", "c in 6", "d of 8"]),
        ] {
            let (names, page) = list(&world, &who, counted.clone(), None, &[]).await.unwrap();
            assert_eq!(names, expected, "{who:?}");
            assert_eq!(page.total_size, Some(i64::try_from(expected.len()).unwrap()));
            let (named, _) = list(&world, &who, Query::default(), None, &["A IN 5", "D of 8"]).await.unwrap();
            assert_eq!(named, expected.iter().copied().filter(|name| ["a in 5", "d of 8"].contains(name)).collect::<Vec<_>>());
            let (none, _) = list(&world, &who, Query::default(), Some(true), &[]).await.unwrap();
            assert!(none.is_empty(), "nothing of its own is stored");
            assert_eq!(list(&world, &who, Query::default(), Some(false), &[]).await.unwrap().0, expected);
        }

        // Consumed: reached as a consumer, with at least one own value. The owner's own value makes it no consumer.
        let bot = with_roles(30, &[credentials], &[70]);
        world.store(&bot, a.credential.id, a.attributes[1].id, None, "mine").await.unwrap();
        world.store(&member(7), a.credential.id, a.attributes[1].id, None, "mine").await.unwrap();
        let consumed = async |who: &Arc<Caller>, consumed| list(&world, who, Query::default(), Some(consumed), &[]).await.unwrap().0;
        assert_eq!(consumed(&bot, true).await, ["a in 5"]);
        assert_eq!(consumed(&bot, false).await, ["b in 5"]);
        assert!(consumed(&member(7), true).await.is_empty());
        assert_eq!(consumed(&member(7), false).await, ["a in 5"]);
        let both = with_roles(7, &[credentials], &[70]);
        assert_eq!((consumed(&both, true).await, consumed(&both, false).await), (vec!["a in 5".into()], vec!["b in 5".to_owned()]));
        let admin = with_roles(30, &[credentials, Permission::AdministerAllLockers], &[70]);
        assert_eq!((consumed(&admin, true).await.len(), consumed(&admin, false).await.len()), (1, 3));
        assert!(consumed(&with_roles(30, &[lockers], &[70]), true).await.is_empty(), "not effective");
    }

    async fn what_is_reached_in_two_ways_is_listed_once(db: TestDb) {
        let world = World::new(&db).await;
        world.locker.manager(5, 7);
        world.locker.consumer(5, 70);
        world.locker.consumer(6, 71);
        for (owner, name, locker) in [(7, "b", 5), (8, "d", 5), (7, "a", 6), (8, "c", 6)] {
            world.create_in(owner, name, &[("std", STANDARD)], locker).await;
        }
        world.create(&member(7), "e", &[("std", STANDARD)]).await.unwrap();
        let me = with_roles(7, &[Permission::ManageMyCredentials, Permission::ManageMyLockers], &[70, 71]);
        let by_name = SortKey { field: "name".into(), direction: sort_key::Direction::Ascending.into() };
        for (order_by, expected) in [(vec![], ["b", "d", "a", "c", "e"]), (vec![by_name], ["a", "b", "c", "d", "e"])] {
            // Again and again: PostgreSQL keeps its plan from the sixth time on.
            for _ in 0..8 {
                let query = Query { count: true, order_by: order_by.clone(), ..Query::default() };
                let (names, page) = list(&world, &me, query, None, &[]).await.unwrap();
                assert_eq!((names.as_slice(), page.total_size), (expected.map(str::to_owned).as_slice(), Some(5)));
            }
            let mut seen = Vec::new();
            let mut query = Query { order_by, page_size: 2, ..Query::default() };
            loop {
                let (names, page) = list(&world, &me, query.clone(), None, &[]).await.unwrap();
                seen.extend(names);
                if page.next_page_token.is_empty() {
                    break;
                }
                query.page_token = page.next_page_token;
            }
            assert_eq!(seen, expected);
        }
        let (names, _) = list(&world, &me, filter("ownerId", comparison::Operator::Equal, "8"), None, &[]).await.unwrap();
        assert_eq!(names, ["d", "c"]);
    }

    async fn a_lockers_contents_are_listed_to_whoever_sees_it(db: TestDb) {
        let world = World::new(&db).await;
        let attributes = [("std", STANDARD)];
        world.locker.manager(5, 24);
        world.locker.consumer(5, 70);
        world.create_in(7, "a", &attributes, 5).await;
        world.create_in(8, "b", &attributes, 5).await;
        world.create_in(8, "c", &attributes, 6).await;
        let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
        let contents = async |who: &Arc<Caller>, locker: i64| {
            let query = Query { count: true, ..Query::default() };
            let query = CredentialQuery::new(&query, None, Vec::new(), &world.vault.tokens).unwrap();
            let (views, page) = world.vault.locker_credentials(world.call(who), LockerId::from_trusted(locker), query).await?;
            assert_eq!(page.total_size, Some(i64::try_from(views.len()).unwrap()));
            Ok::<_, VaultError>(views.into_iter().map(|view| view.credential.name.into_string()).collect::<Vec<_>>())
        };
        assert_eq!(contents(&caller(24, &[lockers]), 5).await.unwrap(), ["a", "b"]);
        assert_eq!(contents(&with_roles(30, &[credentials], &[70]), 5).await.unwrap(), ["a", "b"]);
        assert_eq!(contents(&caller(7, &[credentials, lockers]), 5).await.unwrap(), ["a"], "a participant sees its own");
        assert!(contents(&caller(7, &[lockers]), 5).await.unwrap().is_empty());
        let admin = caller(20, &[Permission::AdministerAllLockers]);
        assert_eq!(contents(&admin, 6).await.unwrap(), ["c"]);
        assert!(matches!(contents(&admin, 99).await, Err(VaultError::LockerNotFound(_))));
        for (who, locker) in [(caller(9, &[credentials, lockers]), 5), (caller(24, &[lockers]), 6), (caller(21, &[Permission::ManageAllValues]), 5)] {
            assert!(matches!(contents(&who, locker).await, Err(VaultError::LockerNotFound(_))));
        }
        assert!(matches!(contents(&caller(24, &[credentials]), 5).await, Err(VaultError::PermissionRequired(Permission::ManageMyLockers))));
        assert!(matches!(contents(&caller(7, &[credentials]), 5).await, Err(VaultError::PermissionRequired(Permission::ManageMyLockers))));

        let count = |lockers: &[i64]| world.vault.count_credentials(lockers.iter().copied().map(LockerId::from_trusted).collect());
        assert_eq!(count(&[6, 99, 5, 6]).await.unwrap(), [1, 0, 2, 1]);
        assert!(count(&[]).await.unwrap().is_empty());
    }

    async fn what_others_share_does_not_slow_a_list(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        world.bulk().await;
        // The caller consumes two of a thousand lockers.
        for locker in [1001, 1002] {
            world.locker.consumer(locker, 70);
        }
        let bot = with_roles(7, &[Permission::ManageMyCredentials], &[70]);
        let (names, page) = list(&world, &bot, Query { count: true, ..Query::default() }, None, &[]).await.unwrap();
        assert_eq!((names.len(), page.total_size), (103, Some(103)));

        let (in_lockers, among_lockers, in_ids) = match world.database.engine() {
            Engine::Sqlite => (
                "IN (SELECT value FROM json_each('[1001,1002]'))",
                "IN (SELECT value FROM json_each('[1001,1002]'))",
                "IN (SELECT value FROM json_each('[1,2,3]'))",
            ),
            Engine::Postgres => (
                "= ANY(CAST((SELECT CAST(CAST('{1001,1002}' AS TEXT) AS BIGINT[])) AS BIGINT[]))",
                "IN (SELECT s.id FROM unnest((SELECT CAST(CAST('{1001,1002}' AS TEXT) AS BIGINT[]))) AS s (id))",
                "= ANY(CAST((SELECT CAST(CAST('{1,2,3}' AS TEXT) AS BIGINT[])) AS BIGINT[]))",
            ),
        };
        let reached = format!(
            "(SELECT o.* FROM credentials o WHERE o.deleted_at IS NULL AND o.owner_id = 7 UNION ALL SELECT l.* FROM credentials l \
             WHERE l.deleted_at IS NULL AND l.owner_id <> 7 AND l.locker_id IS NOT NULL AND l.locker_id {in_lockers}) c \
             WHERE (c.deleted_at IS NULL AND +c.tenant_id = 1"
        );
        let consumed = "AND c.id IN (SELECT v.credential_id FROM attribute_values v WHERE v.user_id <> 0 AND v.user_id = 7)";
        let reached_and_consumed = format!("{reached} {consumed} AND c.locker_id {among_lockers}");
        let owned = "credentials c WHERE (c.deleted_at IS NULL AND +c.tenant_id = 1";
        let owned_and_consumed = format!("{owned} AND c.owner_id = 7 {consumed} AND c.locker_id {among_lockers}");
        let shared = format!("{owned} AND c.locker_id IS NOT NULL AND c.locker_id {in_lockers}");
        for (from, indexes) in [
            (&reached, &["credentials_owner", "credentials_locker"][..]),
            (&shared, &["credentials_locker"][..]),
            (&reached_and_consumed, &[][..]),
            (&owned_and_consumed, &[][..]),
        ] {
            for statement in [
                format!("SELECT c.id, c.name FROM {from}) ORDER BY c.id LIMIT 100001"),
                format!("SELECT c.name, c.id, c.name_key FROM {from}) ORDER BY c.name_key, c.id LIMIT 1001"),
                format!("SELECT c.name, c.id, CAST(c.created_at AS BIGINT) FROM {from}) ORDER BY c.created_at DESC, c.id DESC LIMIT 11"),
                format!("SELECT c.name, c.id, c.name_key FROM {from}) AND (c.name_key >= 'b') ORDER BY c.name_key, c.id LIMIT 11"),
                format!("SELECT count(*) FROM {from})"),
            ] {
                let plan = world.explain(&statement).await;
                for index in indexes {
                    assert!(plan.contains(index), "{statement}\n{plan}");
                }
                // SQLite may run the union of both ways by itself: then it goes through what that finds.
                let apart = plan.contains("CO-ROUTINE c");
                let walks = plan.lines().any(|line| {
                    line.contains("Seq Scan on credentials") || line.contains("Seq Scan on attribute_values")
                        || (line.contains("SCAN c") && !apart) || line.contains("SCAN o") || line.contains("SCAN l") || line.contains("SCAN v")
                        || line.contains("credentials_name") || line.contains("credentials_created")
                });
                assert!(!walks, "{statement}\n{plan}");
            }
        }
        let attributes = format!(
            "SELECT a.name, v.attribute_id IS NOT NULL FROM attributes a LEFT JOIN attribute_values v ON v.attribute_id = a.id \
             AND v.user_id = CASE WHEN a.user_provided THEN 7 ELSE 0 END WHERE a.credential_id {in_ids}"
        );
        let plan = world.explain(&attributes).await;
        assert!(plan.contains("attributes_name") && plan.contains("attribute_values_user"), "{attributes}\n{plan}");
        // Every locker at once, for a list of lockers with their counts.
        let all: Vec<_> = (1001..2001).map(LockerId::from_trusted).collect();
        assert_eq!(world.vault.count_credentials(all).await.unwrap(), vec![50; 1000]);
    }

    async fn what_others_own_does_not_slow_a_list(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        world.bulk().await;
        let owned = "c.deleted_at IS NULL AND +c.tenant_id = 1 AND c.owner_id = 7";
        for statement in [
            format!("SELECT c.id FROM credentials c WHERE ({owned}) ORDER BY c.id LIMIT 1001"),
            format!("SELECT c.id, c.name_key FROM credentials c WHERE ({owned}) ORDER BY c.name_key, c.id LIMIT 1001"),
            format!("SELECT count(*) FROM credentials c WHERE ({owned})"),
        ] {
            let plan = world.explain(&statement).await;
            assert!(plan.contains("credentials_owner"), "{statement}\n{plan}");
        }
        let named = "SELECT c.id FROM credentials c WHERE (c.deleted_at IS NULL AND c.tenant_id = 1 AND c.name_key IN ('alpha', 'beta'))";
        assert!(world.explain(named).await.contains("credentials_name"));
        assert_eq!(list(&world, &member(7), Query::default(), None, &[]).await.unwrap().0.len(), 3);
    }
}
