//! The list of credentials.

use std::sync::Arc;

use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, PageInfo, Query, SortKey, comparison, sort_key};
use coffre_test_support::on_each_engine;
use coffre_types::{Caller, NameKey, Permission};
use coffre_vault::domain::error::VaultError;
use coffre_vault::store::list::CredentialQuery;

use crate::world::{OWN, STANDARD, World, caller, member};

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
