//! The list of lockers.

use std::sync::Arc;

use coffre_channel::Channel;
use coffre_db::Sql;
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::View;
use coffre_locker::store::list::LockerQuery;
use coffre_proto::locker::internal::v1::CountLockersRequest;
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, PageInfo, Query, SortKey, comparison, sort_key};
use coffre_test_support::on_each_engine;
use coffre_types::{Caller, Permission};

use crate::world::{FULL, MANAGE, OWN, PARTICIPATE, World, admin, caller, consumer, member};

async fn views(
    world: &World,
    who: &Arc<Caller>,
    query: Query,
    consumed: Option<bool>,
    detailed: bool,
) -> Result<(Vec<View>, PageInfo), LockerError> {
    let query = LockerQuery::new(&query, consumed, detailed, &world.lockers.tokens)?;
    world.lockers.list(world.call(who), query).await
}

async fn list(
    world: &World,
    who: &Arc<Caller>,
    query: Query,
    consumed: Option<bool>,
) -> Result<Vec<String>, LockerError> {
    let (views, _) = views(world, who, query, consumed, false).await?;
    Ok(views.into_iter().map(|view| view.locker.name.into_string()).collect())
}

fn ordered(field: &str) -> Query {
    let key = SortKey { field: field.into(), direction: sort_key::Direction::Ascending.into() };
    Query { order_by: vec![key], ..Query::default() }
}

fn filter(field: &str, operator: comparison::Operator, value: &str) -> Query {
    let comparison = Comparison { operator: operator.into(), field: field.into(), value: value.into() };
    Query { filter: Some(Filter { condition: Some(Condition::Comparison(comparison)) }), ..Query::default() }
}

/// User 7 owns beta, alpha and delta; 8 owns Gamma and manages alpha; role 14 consumes beta and Gamma.
async fn stock(world: &World) {
    let mut ids = Vec::new();
    for (user, name) in [(7, "beta"), (7, "alpha"), (8, "Gamma"), (7, "delta")] {
        ids.push(world.made(&member(user), name).await);
    }
    world.set(&member(7), ids[1], 8, MANAGE).await.unwrap();
    world.add_role(&member(7), ids[0], 14).await.unwrap();
    world.add_role(&member(8), ids[2], 14).await.unwrap();
}

/// Adds 100 000 lockers of somebody else, every fifth with a consumer, in parts that a busy machine manages in one statement's time.
async fn bulk(world: &World) {
    for part in 0..20_i64 {
        let numbers = Sql::new(
            "INSERT INTO lockers (tenant_id, name, name_key, version, created_by, created_at, updated_by, updated_at) \
             WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 5000) \
             SELECT 1, 'bulk ' || (n + p.first), 'bulk ' || (n + p.first), 0, 99, n + p.first, 99, n + p.first \
             FROM numbers, (SELECT CAST(",
        );
        world.sql(numbers.bind(part * 5000).push(" AS BIGINT) AS first) p")).await;
        let members = Sql::new(
            "INSERT INTO members (locker_id, user_id, own, manage) SELECT id, 99, TRUE, FALSE FROM lockers \
             WHERE created_by = 99 AND created_at > ",
        );
        assert_eq!(world.sql(members.bind(part * 5000)).await, 5000);
        let consumers = Sql::new(
            "INSERT INTO consumers (locker_id, role_id) SELECT id, 90 FROM lockers \
             WHERE created_by = 99 AND created_at % 5 = 0 AND created_at > ",
        );
        assert_eq!(world.sql(consumers.bind(part * 5000)).await, 1000);
    }
    if world.database.engine() == coffre_db::Engine::Postgres {
        for table in ["lockers", "members", "consumers"] {
            world.sql(Sql::new("ANALYZE ").push(table)).await;
        }
    }
}

on_each_engine! {
    async fn a_list_shows_what_the_caller_sees(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let seen = async |who: Arc<Caller>| list(&world, &who, Query::default(), None).await.unwrap();
        assert_eq!(seen(member(7)).await, ["beta", "alpha", "delta"]);
        assert_eq!(seen(member(8)).await, ["alpha", "Gamma"]);
        assert_eq!(seen(consumer(9, 14)).await, ["beta", "Gamma"]);
        assert_eq!(seen(caller(8, &[14], &[Permission::ManageMyCredentials, Permission::ManageMyLockers])).await, ["beta", "alpha", "Gamma"]);
        assert_eq!(seen(caller(8, &[14], &[Permission::ManageMyCredentials])).await, ["beta", "Gamma"]);
        assert_eq!(seen(caller(8, &[14], &[Permission::ManageMyLockers])).await, ["alpha", "Gamma"]);
        assert!(seen(consumer(9, 15)).await.is_empty());
        assert!(seen(caller(9, &[], &[Permission::ManageMyCredentials])).await.is_empty());
        assert_eq!(seen(admin(9)).await.len(), 4);
        let nobody = list(&world, &caller(7, &[14], &[Permission::ManageAllValues]), Query::default(), None).await;
        assert!(matches!(nobody, Err(LockerError::PermissionRequired(Permission::ManageMyLockers))));
        let counted = Query { count: true, ..Query::default() };
        let (_, page) = views(&world, &member(8), counted, None, false).await.unwrap();
        assert_eq!((page.total_size, page.filtered_size), (Some(2), Some(2)));
    }

    async fn consumed_narrows_to_what_is_reached_as_a_consumer_or_not(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let both = |roles: &[i64], permissions: &[Permission]| caller(7, roles, permissions);
        let all = [Permission::ManageMyCredentials, Permission::ManageMyLockers];
        let consumed = async |who: &Arc<Caller>, consumed| list(&world, who, Query::default(), Some(consumed)).await.unwrap();
        let me = both(&[14], &all);
        assert_eq!(consumed(&me, true).await, ["beta", "Gamma"]);
        assert_eq!(consumed(&me, false).await, ["alpha", "delta"]);
        let without_role = both(&[], &all);
        assert!(consumed(&without_role, true).await.is_empty());
        assert_eq!(consumed(&without_role, false).await, ["beta", "alpha", "delta"]);
        let idle = both(&[14], &[Permission::ManageMyLockers]);
        assert!(consumed(&idle, true).await.is_empty());
        assert_eq!(consumed(&idle, false).await, ["beta", "alpha", "delta"]);
        let boss = caller(9, &[14], &[Permission::AdministerAllLockers, Permission::ManageMyCredentials]);
        assert_eq!(consumed(&boss, true).await, ["beta", "Gamma"]);
        assert_eq!(consumed(&boss, false).await, ["alpha", "delta"]);
    }

    async fn each_row_says_how_the_caller_stands(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let who = caller(8, &[14], &[Permission::AdministerAllLockers]);
        let (found, _) = views(&world, &who, Query::default(), None, false).await.unwrap();
        let places: Vec<_> = found.iter().map(|view| (view.locker.name.as_str(), view.place.member, view.place.consumer)).collect();
        assert_eq!(places, [("beta", None, true), ("alpha", Some(MANAGE), false), ("Gamma", Some(FULL), true), ("delta", None, false)]);
        assert!(found.iter().all(|view| view.details.is_none()));
    }

    async fn details_are_members_for_whoever_sees_them_and_counts(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let (all, _) = views(&world, &admin(9), Query::default(), None, true).await.unwrap();
        for credential in [40, 41] {
            world.vault.enter(credential, all[0].locker.id.get(), 0);
        }
        let details = async |who: Arc<Caller>| {
            let (found, _) = views(&world, &who, Query::default(), None, true).await.unwrap();
            found.into_iter().map(|view| view.details.unwrap()).map(|of| (of.members.len(), of.credentials)).collect::<Vec<_>>()
        };
        assert_eq!(details(admin(9)).await, [(1, 2), (2, 0), (1, 0), (1, 0)]);
        assert_eq!(details(member(7)).await, [(1, 2), (2, 0), (1, 0)]);
        assert_eq!(details(consumer(9, 14)).await, [(0, 2), (0, 0)]);
        world.vault.silence(true);
        assert!(matches!(views(&world, &admin(9), Query::default(), None, true).await, Err(LockerError::VaultUnavailable)));
        assert!(views(&world, &admin(9), Query::default(), None, false).await.is_ok());
        assert!(views(&world, &consumer(9, 15), Query::default(), None, true).await.unwrap().0.is_empty());
    }

    async fn filters_orders_and_pages_hold(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let boss = admin(9);
        assert_eq!(list(&world, &boss, ordered("name"), None).await.unwrap(), ["alpha", "beta", "delta", "Gamma"]);
        assert_eq!(list(&world, &boss, filter("createdBy", comparison::Operator::Equal, "8"), None).await.unwrap(), ["Gamma"]);
        assert_eq!(list(&world, &boss, filter("name", comparison::Operator::Substring, "ALPH"), None).await.unwrap(), ["alpha"]);
        assert_eq!(list(&world, &member(8), filter("version", comparison::Operator::Equal, "1"), None).await.unwrap(), ["alpha", "Gamma"]);
        let unknown = list(&world, &boss, filter("colour", comparison::Operator::Equal, "1"), None).await;
        assert!(matches!(unknown, Err(LockerError::List(coffre_db::list::Error::FieldUnknown { .. }))));
        let mut query = Query { page_size: 1, ..ordered("name") };
        let mut seen = Vec::new();
        loop {
            let (found, page) = views(&world, &boss, query.clone(), None, false).await.unwrap();
            seen.extend(found.into_iter().map(|view| view.locker.name.into_string()));
            if page.next_page_token.is_empty() {
                break;
            }
            query.page_token = page.next_page_token;
        }
        assert_eq!(seen, ["alpha", "beta", "delta", "Gamma"]);
    }

    async fn other_services_are_told_how_many_a_list_would_show(db: TestDb) {
        let world = World::new(&db).await;
        stock(&world).await;
        let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
        let mut sharing = SharingServiceClient::new(Channel::in_process(world.app.parts.internal.clone()));
        for (who, expected) in [
            (member(7), 3),
            (member(8), 2),
            (consumer(9, 14), 2),
            (caller(8, &[14], &[credentials, lockers]), 3),
            (caller(8, &[14], &[credentials]), 2),
            (caller(8, &[14], &[lockers]), 2),
            (consumer(9, 15), 0),
            (admin(9), 4),
            (caller(7, &[14], &[Permission::ManageAllValues]), 0),
        ] {
            let query = Query { count: true, ..Query::default() };
            let listed = match views(&world, &who, query, None, false).await {
                Ok((_, page)) => page.total_size.unwrap(),
                Err(LockerError::PermissionRequired(_)) => 0,
                Err(refused) => panic!("{refused:?}"),
            };
            let asked = CountLockersRequest {
                user_id: who.user_id.get(),
                role_ids: who.roles.iter().map(|role| role.get()).collect(),
                permission_ids: who.permissions.iter().map(Permission::id).collect(),
            };
            assert_eq!((listed, sharing.count_lockers(asked).await.unwrap().into_inner().count), (expected, expected), "{who:?}");
        }
        let nobody = sharing.count_lockers(CountLockersRequest::default()).await;
        assert_eq!(nobody.unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    async fn what_others_share_does_not_slow_a_list(db: TestDb) {
        let world = World::new(&db).await;
        let mine = member(7);
        for index in 0..10 {
            let id = world.made(&mine, &format!("mine {index}")).await;
            world.set(&mine, id, 8, if index % 2 == 0 { OWN } else { PARTICIPATE }).await.unwrap();
            world.add_role(&mine, id, 14).await.unwrap();
        }
        bulk(&world).await;
        let member_of = "SELECT m.locker_id FROM members m WHERE m.user_id = 8";
        let consumed_by = "SELECT c.locker_id FROM consumers c WHERE c.role_id IN (14, 15)";
        let placed = "l.name, m.own, m.manage, EXISTS (SELECT 1 FROM consumers c WHERE c.locker_id = l.id AND c.role_id IN (14, 15))";
        let from = "lockers l LEFT JOIN members m ON m.locker_id = l.id AND m.user_id = 8";
        for shared in [member_of.to_owned(), consumed_by.to_owned(), format!("{member_of} UNION {consumed_by}")] {
            let scope = format!("l.deleted_at IS NULL AND +l.tenant_id = 1 AND l.id IN ({shared})");
            for statement in [
                format!("SELECT {placed}, l.id FROM {from} WHERE ({scope}) ORDER BY l.id LIMIT 100001"),
                format!("SELECT {placed}, l.id FROM {from} WHERE ({scope}) ORDER BY l.id DESC LIMIT 11"),
                format!("SELECT {placed}, l.id, l.name_key FROM {from} WHERE ({scope}) ORDER BY l.name_key, l.id LIMIT 1001"),
                format!("SELECT {placed}, l.id, l.created_at FROM {from} WHERE ({scope}) ORDER BY l.created_at, l.id LIMIT 1001"),
                format!("SELECT {placed}, l.id FROM {from} WHERE ({scope}) AND l.created_by = 7 ORDER BY l.id LIMIT 1001"),
                format!("SELECT count(*) FROM {from} WHERE ({scope})"),
            ] {
                let plan = world.explain(&statement).await;
                assert!(!plan.contains("Seq Scan on lockers") && !plan.contains("SCAN l"), "{statement}\n{plan}");
                assert!(!plan.contains("lockers_name") && !plan.contains("lockers_created"), "{statement}\n{plan}");
                for (table, index) in [("members", "members_user"), ("consumers", "consumers_role")] {
                    assert!(!shared.contains(table) || plan.contains(index), "{statement}\n{plan}");
                }
            }
        }
        for (who, count) in [(member(8), 10), (consumer(9, 14), 10), (consumer(9, 15), 0)] {
            for query in [Query::default(), ordered("name"), ordered("createdOn"), Query { count: true, ..Query::default() }] {
                let (found, _) = views(&world, &who, query, None, true).await.unwrap();
                assert_eq!(found.len(), count);
            }
        }
        let (found, page) = views(&world, &admin(9), Query { page_size: 5, count: true, ..ordered("name") }, None, true).await.unwrap();
        assert_eq!((found.len(), page.total_size), (5, Some(100_010)));
    }
}
