//! Lists that look at so many rows and no more, compared with the same list without a bound.

use coffre_db::list::{Bound, Direction, Error, Index, Listing, Page, Source};
use coffre_db::{Database, Sql};
use coffre_proto::query::v1::comparison::Operator;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Filter, Junction, Query, SortKey, junction, sort_key};
use coffre_test_support::on_each_engine;
use coffre_types::Timestamp;
use diesel::sql_types::BigInt;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::lists::{THINGS, any_filter, any_order, fill, holds, test, tokens};
use crate::support::open;

static FREE: Listing = THINGS.ordered(&[("createTime", Direction::Descending)]);

static BOUNDED: Listing = FREE.bounded(Bound {
    rows: 20,
    order: "createTime",
    indexes: &[
        Index::few(&["id"]),
        Index::few(&["number"]),
        Index::ordered(&["name"]),
        Index::ordered(&["state"]).of_scope(),
        Index::ordered(&[]),
    ],
    total: "SELECT count(*) AS id FROM things",
    advice: "give a shorter time",
});

async fn page(database: &Database, listing: Listing, query: &Query, scoped: bool) -> Result<Page, Error> {
    let plan = listing.plan(query, &tokens())?;
    let scope = if scoped { Sql::new("t.state = ").bind(1_i64) } else { Sql::empty() };
    database.read(move |conn| plan.run(conn, scope.clone())).await
}

fn both(operands: Vec<Filter>) -> Filter {
    Filter { condition: Some(Condition::Junction(Junction { operator: junction::Operator::And.into(), operands })) }
}

fn of(filter: Filter) -> Query {
    Query { filter: Some(filter), page_size: 3, ..Query::default() }
}

fn compare_with_free(database: &Database, bound: i64, cases: u32) -> u32 {
    let runtime = tokio::runtime::Handle::current();
    let refused = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let order = prop_oneof![
        Just(Vec::new()),
        any::<bool>().prop_map(|ascending| {
            use sort_key::Direction::{Ascending, Descending};
            let direction = if ascending { Ascending } else { Descending };
            vec![SortKey { field: "createTime".into(), direction: direction.into() }]
        }),
        any_order(),
    ];
    let conjunction = prop_oneof![any_filter(), prop::collection::vec(any_filter(), 2..4).prop_map(both),];
    let input = (prop::option::of(conjunction), order, 1_i32..25, 0_i64..4, any::<bool>());
    tokio::task::block_in_place(|| {
        runner
            .run(&input, |(filter, order_by, page_size, skip, scoped)| {
                let mut query = Query { filter, order_by, page_size, skip, count: true, ..Query::default() };
                loop {
                    let free = runtime.block_on(page(database, FREE, &query, scoped)).unwrap();
                    match runtime.block_on(page(database, BOUNDED.looking_at(bound), &query, scoped)) {
                        Err(Error::TooWide { rows, .. }) => {
                            prop_assert!(bound < 60, "all rows are fewer than the bound");
                            prop_assert!(rows <= bound);
                            refused.set(refused.get() + 1);
                            return Ok(());
                        }
                        Err(other) => panic!("{other}"),
                        Ok(bounded) => {
                            prop_assert_eq!(&bounded.ids, &free.ids);
                            prop_assert_eq!(bounded.total_size, free.total_size);
                            prop_assert!(bounded.filtered_size.is_none_or(|found| Some(found) == free.filtered_size));
                            prop_assert!(bounded.filtered_size.is_some() || bound < 60);
                            // Where the bound comes first there may be more.
                            let more = !bounded.next_page_token.is_empty();
                            prop_assert!(more || free.next_page_token.is_empty());
                            prop_assert!(!more || !free.next_page_token.is_empty() || bound < 60);
                        }
                    }
                    if free.next_page_token.is_empty() {
                        return Ok(());
                    }
                    query.page_token = free.next_page_token;
                    query.skip = 0;
                }
            })
            .unwrap();
    });
    refused.get()
}

on_each_engine! {
    async fn a_list_below_its_bound_is_as_any_other(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 60).await;
        // However much a filter compares each row with.
        assert_eq!(compare_with_free(&database, 60 * 16, 200), 0);
    }

    async fn a_list_beyond_its_bound_answers_the_same_or_says_that_it_is_too_wide(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 60).await;
        assert!(compare_with_free(&database, 12, 200) > 0);
    }

    async fn a_page_that_is_found_within_the_bound_is_answered_and_another_is_not(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 600).await;
        let newest = |filter: &Filter| {
            let mut found: Vec<_> = all.iter().filter(|thing| holds(thing, filter)).collect();
            found.sort_by_key(|thing| std::cmp::Reverse((thing.created_at, thing.id)));
            found.into_iter().map(|thing| thing.id).collect::<Vec<_>>()
        };
        let often = test("note", Operator::Substring, "lph");
        let found = page(&database, BOUNDED, &Query { count: true, ..of(often.clone()) }, false).await.unwrap();
        assert_eq!(found.ids, newest(&often)[..3]);
        assert_eq!((found.total_size, found.filtered_size), (Some(600), None), "a count is left out, not wrong");
        assert!(!found.next_page_token.is_empty());

        let never = test("note", Operator::Substring, "nowhere");
        let wide = Error::TooWide { rows: 20, advice: "give a shorter time" };
        assert_eq!(page(&database, BOUNDED, &of(never.clone()), false).await, Err(wide.clone()));
        assert!(wide.to_string().contains("more than 20 rows") && wide.to_string().ends_with("give a shorter time"));
        let either = Filter { condition: Some(Condition::Junction(Junction {
            operator: junction::Operator::Or.into(),
            operands: vec![never.clone(), test("id", Operator::Equal, "1")],
        })) };
        assert_eq!(page(&database, BOUNDED, &of(either), false).await, Err(wide.clone()));

        // The bound is one of work: sixteen comparisons a row leave a quarter of the rows.
        let any_of = vec![never.clone(); 16];
        let much = Junction { operator: junction::Operator::Or.into(), operands: any_of };
        let much = of(Filter { condition: Some(Condition::Junction(much)) });
        let narrower = Error::TooWide { rows: 5, advice: "give a shorter time" };
        assert_eq!(page(&database, BOUNDED, &much, false).await, Err(narrower));

        // Narrowed by time, and by what an index leads to.
        let since = Timestamp::from_micros(146 * 1_500_000).to_rfc3339_millis();
        let recently = both(vec![never.clone(), test("createTime", Operator::Greater, &since)]);
        let found = page(&database, BOUNDED, &Query { count: true, ..of(recently) }, false).await.unwrap();
        assert_eq!((found.ids.len(), found.filtered_size), (0, Some(0)));
        let one = both(vec![test("note", Operator::Substring, "stra"), test("name", Operator::Equal, "bob 7919"), test("state", Operator::Equal, "ACTIVE")]);
        let found = page(&database, BOUNDED, &of(one.clone()), true).await.unwrap();
        assert_eq!(found.ids, [2]);
        assert_eq!(newest(&one), [2]);
    }

    async fn the_index_with_fewer_rows_is_found(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 600).await;
        // Hundreds of rows have the state; what is left of the filter never holds.
        let never = test("note", Operator::Substring, "nowhere");
        let state = test("state", Operator::Equal, "ACTIVE");
        let name = test("name", Operator::Equal, "bob 7919");
        let wide = page(&database, BOUNDED, &of(both(vec![state.clone(), never.clone()])), false).await;
        assert!(matches!(wide, Err(Error::TooWide { .. })));
        for order in [vec![state.clone(), name.clone(), never.clone()], vec![never, name, state]] {
            assert!(page(&database, BOUNDED, &of(both(order)), false).await.unwrap().ids.is_empty());
        }
    }

    async fn another_order_needs_few_rows(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 600).await;
        let by_note = |filter: Option<Filter>| {
            let order_by = vec![SortKey { field: "note".into(), direction: 0 }];
            Query { filter, order_by, page_size: 5, ..Query::default() }
        };
        assert!(matches!(page(&database, BOUNDED, &by_note(None), false).await, Err(Error::TooWide { .. })));
        let since = Timestamp::from_micros(146 * 1_500_000).to_rfc3339_millis();
        let recently = test("createTime", Operator::Greater, &since);
        let found = page(&database, BOUNDED, &by_note(Some(recently.clone())), false).await.unwrap();
        let free = page(&database, FREE, &by_note(Some(recently)), false).await.unwrap();
        assert_eq!(found.ids, free.ids);
        assert!(all.len() > 20);
    }

    async fn a_page_of_a_bounded_list_is_loaded_with_its_rows(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 600).await;
        let since = Timestamp::from_micros(146 * 1_500_000).to_rfc3339_millis();
        let by_note = Query {
            order_by: vec![SortKey { field: "note".into(), direction: 0 }],
            ..of(test("createTime", Operator::Greater, &since))
        };
        // From an index, by a search, and sorted.
        let newest = Query { page_size: 3, ..Query::default() };
        for query in [newest, of(test("note", Operator::Substring, "lph")), by_note] {
            let expected = page(&database, BOUNDED, &query, true).await.unwrap();
            let plan = BOUNDED.plan(&query, &tokens()).unwrap();
            let (found, rows) = database
                .read(move |conn| {
                    let from = Sql::new("(SELECT a.* FROM things a) t");
                    let scope = Sql::new("t.state = ").bind(1_i64);
                    let source = Source::new(Sql::new("t.created_at, t.id"), from, scope).kept();
                    plan.load::<(BigInt, BigInt), (i64, i64)>(conn, &source)
                })
                .await
                .unwrap();
            assert!(!found.ids.is_empty());
            assert_eq!((&found.ids, found.next_page_token.is_empty()), (&expected.ids, expected.next_page_token.is_empty()));
            let thing = |id: &i64| all.iter().find(|thing| thing.id == *id).map(|thing| (thing.created_at, thing.id));
            assert_eq!(rows, found.ids.iter().filter_map(thing).collect::<Vec<_>>());
        }
    }

    async fn a_page_that_is_full_at_the_bound_goes_on_from_there(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 600).await;
        // Every seventh thing was deleted: the third is found within 23 rows, and the fourth, which would tell that more follow, is not.
        let filter = Filter { condition: Some(Condition::Junction(Junction {
            operator: junction::Operator::Not.into(),
            operands: vec![test("state", Operator::Equal, "ACTIVE")],
        })) };
        let mut query = of(filter.clone());
        let mut seen = Vec::new();
        for _ in 0..10 {
            let found = page(&database, BOUNDED.looking_at(23), &query, false).await.unwrap();
            seen.extend(found.ids);
            query.page_token = found.next_page_token;
            assert!(!query.page_token.is_empty());
        }
        let mut expected: Vec<_> = all.iter().filter(|thing| holds(thing, &filter)).collect();
        expected.sort_by_key(|thing| std::cmp::Reverse((thing.created_at, thing.id)));
        assert_eq!(seen, expected.iter().map(|thing| thing.id).take(30).collect::<Vec<_>>());
        let whole = Query { whole: true, page_size: 0, ..of(filter) };
        assert!(matches!(page(&database, BOUNDED, &whole, false).await, Err(Error::TooWide { .. })));
    }
}
