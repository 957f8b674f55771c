//! Lists, compared with a model in memory.

use std::cmp::Ordering;

use coffre_db::dialect::{self, Insert};
use coffre_db::list::{Direction, Error, Field, Kind, Listing, Page, PageTokens, Source};
use coffre_db::{Database, Engine, Sql};
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, Junction, Query, SortKey, comparison, junction, sort_key};
use coffre_test_support::on_each_engine;
use coffre_types::NameKey;
use diesel::sql_types::{BigInt, Nullable, Text};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::open;

pub(crate) static THINGS: Listing = Listing::new(
    "things",
    "things t",
    "t.id",
    &[
        Field::new("id", "t.id", Kind::Integer),
        Field::new("name", "t.name", Kind::TextWithKey("t.name_key")),
        Field::new("note", "t.note", Kind::Text).nullable(),
        Field::new("number", "t.number", Kind::Integer).nullable(),
        Field::new("active", "t.active", Kind::Bool),
        Field::new("state", "t.state", Kind::Enum(&[("ACTIVE", 1), ("DELETED", 2)])),
        Field::new("createTime", "t.created_at", Kind::Time),
        Field::new("tag", "t.tag", Kind::Uuid).nullable(),
        Field::new(
            "odd",
            "t.number",
            Kind::Custom(|_, value| match value {
                "true" => Ok(Sql::new("COALESCE(t.number % 2, 0) <> 0")),
                _ => Err("is true".to_owned()),
            }),
        ),
    ],
)
.ordered(&[("name", Direction::Ascending)]);

#[derive(Clone, Debug)]
pub(crate) struct Thing {
    pub(crate) id: i64,
    name: String,
    note: Option<String>,
    number: Option<i64>,
    active: bool,
    pub(crate) state: i64,
    pub(crate) created_at: i64,
}

fn things(count: usize) -> Vec<Thing> {
    let notes = ["alpha", "ALPHA", "Ärger", "ärger", "50%_off!", "zebra", "", "straße"];
    (0..count)
        .map(|n| Thing {
            id: n as i64 + 1,
            name: format!("{} {}", ["Ann", "bob", "Édith", "Zoë", "100%"][n % 5], n * 7919 % 99_991),
            note: (n % 4 != 0).then(|| notes[n * 31 % notes.len()].to_owned()),
            number: (n % 3 != 0).then_some((n * 17 % 5) as i64 - 2),
            active: n % 2 == 0,
            state: if n % 7 == 0 { 2 } else { 1 },
            created_at: (n as i64 / 4) * 1_500_000,
        })
        .collect()
}

pub(crate) async fn fill(database: &Database, count: usize) -> Vec<Thing> {
    let all = things(count);
    let rows = all.clone();
    let columns = &["id", "name", "name_key", "note", "number", "active", "state", "created_at"];
    database
        .write(move |tx| {
            let rows = rows.iter().map(|thing| {
                vec![
                    thing.id.into(),
                    thing.name.clone().into(),
                    NameKey::of(&thing.name).into_string().into(),
                    thing.note.clone().into(),
                    thing.number.into(),
                    thing.active.into(),
                    thing.state.into(),
                    thing.created_at.into(),
                ]
            });
            Insert::into("things", columns).rows(rows).execute(tx.conn())
        })
        .await
        .unwrap();
    all
}

pub(crate) fn tokens() -> PageTokens {
    PageTokens::new(&[3; 32])
}

async fn page(database: &Database, query: Query) -> Result<Page, Error> {
    let plan = THINGS.plan(&query, &tokens())?;
    database.read(move |conn| plan.run(conn, Sql::new("t.id > ").bind(0_i64))).await
}

type Say = fn(Engine, Sql, Vec<i64>) -> Sql;

fn pages_of(page_size: i32, by_state: bool) -> Query {
    let state = SortKey { field: "state".into(), direction: sort_key::Direction::Descending.into() };
    Query { page_size, order_by: by_state.then_some(state).into_iter().collect(), count: true, ..Query::default() }
}

pub(crate) fn test(field: &str, operator: comparison::Operator, value: &str) -> Filter {
    let comparison = Comparison { operator: operator.into(), field: field.into(), value: value.into() };
    Filter { condition: Some(Condition::Comparison(comparison)) }
}

fn any_test() -> impl Strategy<Value = Filter> {
    use comparison::Operator as Is;
    let ordered =
        prop::sample::select(vec![Is::Equal, Is::NotEqual, Is::Less, Is::LessOrEqual, Is::Greater, Is::GreaterOrEqual]);
    let equal = prop::sample::select(vec![Is::Equal, Is::NotEqual]);
    prop_oneof![
        (ordered.clone(), -3_i64..4).prop_map(|(is, value)| test("number", is, &value.to_string())),
        (ordered.clone(), 0_i64..70).prop_map(|(is, value)| test("id", is, &value.to_string())),
        (ordered.clone(), prop::sample::select(vec!["alpha", "ÄRGER", "zebra", "m", ""]))
            .prop_map(|(is, value)| test("note", is, value)),
        (ordered.clone(), prop::sample::select(vec!["ANN 0", "bob 500", "édith", "zoë 1"]))
            .prop_map(|(is, value)| test("name", is, value)),
        (ordered, 0_i64..20).prop_map(|(is, steps)| {
            let time = coffre_types::Timestamp::from_micros(steps * 1_500_000).to_rfc3339_millis();
            test("createTime", is, &time)
        }),
        (equal.clone(), any::<bool>()).prop_map(|(is, value)| test("active", is, &value.to_string())),
        (equal, prop::sample::select(vec!["ACTIVE", "DELETED"])).prop_map(|(is, value)| test("state", is, value)),
        prop::sample::select(vec!["lph", "RGER", "0%_", "off!", "ß"])
            .prop_filter("three characters", |value| value.chars().count() > 2)
            .prop_map(|value| test("note", Is::Substring, value)),
        prop::sample::select(vec!["OB ", "DITH", "00%"]).prop_map(|value| test("name", Is::Substring, value)),
    ]
}

pub(crate) fn any_filter() -> impl Strategy<Value = Filter> {
    any_test().prop_recursive(3, 12, 3, |inner| {
        let operator = prop::sample::select(vec![junction::Operator::And, junction::Operator::Or]);
        prop_oneof![
            (operator, prop::collection::vec(inner.clone(), 0..3)).prop_map(|(operator, operands)| Filter {
                condition: Some(Condition::Junction(Junction { operator: operator.into(), operands })),
            }),
            inner.prop_map(|operand| Filter {
                condition: Some(Condition::Junction(Junction {
                    operator: junction::Operator::Not.into(),
                    operands: vec![operand],
                })),
            }),
        ]
    })
}

pub(crate) fn any_order() -> impl Strategy<Value = Vec<SortKey>> {
    let field = prop::sample::select(vec!["id", "name", "note", "number", "active", "state", "createTime"]);
    let key = (field, any::<bool>()).prop_map(|(field, descending)| SortKey {
        field: field.to_owned(),
        direction: if descending { sort_key::Direction::Descending } else { sort_key::Direction::Ascending }.into(),
    });
    prop::collection::vec(key, 0..4)
}

pub(crate) fn holds(thing: &Thing, filter: &Filter) -> bool {
    match filter.condition.as_ref() {
        None => true,
        Some(Condition::Junction(junction)) => {
            let mut operands = junction.operands.iter().map(|operand| holds(thing, operand));
            match junction.operator() {
                junction::Operator::And => operands.all(|holds| holds),
                junction::Operator::Or => operands.any(|holds| holds),
                junction::Operator::Not => !operands.next().unwrap(),
                junction::Operator::Unspecified => unreachable!(),
            }
        }
        Some(Condition::Comparison(test)) => compares(thing, test),
    }
}

fn compares(thing: &Thing, test: &Comparison) -> bool {
    let value = test.value.as_str();
    let key = |text: &str| NameKey::of(text).into_string();
    if test.operator() == comparison::Operator::Substring {
        return match test.field.as_str() {
            "note" => thing.note.as_ref().is_some_and(|note| note.to_lowercase().contains(&value.to_lowercase())),
            _ => key(&thing.name).contains(&value.to_lowercase()),
        };
    }
    let order: Option<Ordering> = match test.field.as_str() {
        "id" => Some(thing.id.cmp(&value.parse().unwrap())),
        "number" => thing.number.map(|number| number.cmp(&value.parse().unwrap())),
        "note" => thing.note.as_ref().map(|note| note.to_lowercase().cmp(&value.to_lowercase())),
        "name" => Some(key(&thing.name).cmp(&key(value))),
        "createTime" => Some(thing.created_at.cmp(&coffre_types::Timestamp::parse_rfc3339(value).unwrap().micros())),
        "active" => Some(thing.active.cmp(&(value == "true"))),
        "state" => Some(thing.state.cmp(&if value == "ACTIVE" { 1 } else { 2 })),
        _ => unreachable!(),
    };
    match (test.operator(), order) {
        (comparison::Operator::NotEqual, None) => true,
        (_, None) => false,
        (comparison::Operator::Equal, Some(order)) => order.is_eq(),
        (comparison::Operator::NotEqual, Some(order)) => order.is_ne(),
        (comparison::Operator::Less, Some(order)) => order.is_lt(),
        (comparison::Operator::LessOrEqual, Some(order)) => order.is_le(),
        (comparison::Operator::Greater, Some(order)) => order.is_gt(),
        (comparison::Operator::GreaterOrEqual, Some(order)) => order.is_ge(),
        _ => unreachable!(),
    }
}

/// Orders as the list does: NULL first, folded texts by code point, the id last and in the direction of the key before.
fn order_of(keys: &[SortKey], a: &Thing, b: &Thing) -> Ordering {
    let by_name = [SortKey { field: "name".into(), direction: 0 }];
    let keys = if keys.is_empty() { &by_name } else { keys };
    let mut seen = Vec::new();
    let mut last = false;
    for key in keys {
        if seen.contains(&key.field) {
            continue;
        }
        seen.push(key.field.clone());
        let folded = |thing: &Thing| thing.note.as_ref().map(|note| note.to_lowercase());
        let name = |thing: &Thing| NameKey::of(&thing.name).into_string();
        let order = match key.field.as_str() {
            "id" => a.id.cmp(&b.id),
            "name" => name(a).cmp(&name(b)),
            "note" => folded(a).cmp(&folded(b)),
            "number" => a.number.cmp(&b.number),
            "active" => a.active.cmp(&b.active),
            "state" => a.state.cmp(&b.state),
            _ => a.created_at.cmp(&b.created_at),
        };
        last = key.direction() == sort_key::Direction::Descending;
        if order.is_ne() {
            return if last { order.reverse() } else { order };
        }
    }
    if last { b.id.cmp(&a.id) } else { a.id.cmp(&b.id) }
}

on_each_engine! {
    async fn pages_neither_lose_nor_repeat_rows(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 60).await;
        let runtime = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| {
            let mut runner = TestRunner::new(Config { cases: 150, failure_persistence: None, ..Config::default() });
            let input = (prop::option::of(any_filter()), any_order(), 1_i32..25, 0_i64..4);
            runner.run(&input, |(filter, order_by, page_size, skip)| {
                let mut expected: Vec<&Thing> =
                    all.iter().filter(|thing| filter.as_ref().is_none_or(|filter| holds(thing, filter))).collect();
                expected.sort_by(|a, b| order_of(&order_by, a, b));
                let expected: Vec<i64> = expected.iter().map(|thing| thing.id).collect();

                let mut query = Query { filter, order_by, page_size, skip, count: true, ..Query::default() };
                let mut got = Vec::new();
                loop {
                    let page = runtime.block_on(page(&database, query.clone())).unwrap();
                    prop_assert!(page.ids.len() <= page_size as usize);
                    prop_assert_eq!(page.filtered_size, Some(expected.len() as i64));
                    prop_assert_eq!(page.total_size, Some(60));
                    got.extend(page.ids);
                    if page.next_page_token.is_empty() {
                        break;
                    }
                    query.page_token = page.next_page_token;
                    query.skip = 0;
                }
                let skipped: Vec<i64> = expected.into_iter().skip(skip as usize).collect();
                prop_assert_eq!(got, skipped);
                Ok(())
            }).unwrap();
        });
    }

    async fn rows_that_come_and_go_disturb_no_page(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 40).await;
        let mut query = Query { page_size: 10, ..Query::default() };
        let first = page(&database, query.clone()).await.unwrap();
        let gone = first.ids[9];
        database.write(move |tx| {
            let sql = Sql::new("DELETE FROM things WHERE id = ").bind(gone);
            diesel::RunQueryDsl::execute(sql, tx.conn())?;
            Insert::into("things", &["id", "name", "name_key"]).row([900_i64.into(), "!".into(), "!".into()]).execute(tx.conn())
        }).await.unwrap();
        let mut seen = first.ids;
        query.page_token = first.next_page_token;
        while !query.page_token.is_empty() {
            let next = page(&database, query.clone()).await.unwrap();
            seen.extend(next.ids);
            query.page_token = next.next_page_token;
        }
        assert_eq!(seen.len(), 40);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 40);
    }

    async fn skipping_past_the_end_is_empty(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 5).await;
        let page = page(&database, Query { skip: 5, count: true, ..Query::default() }).await.unwrap();
        assert_eq!((page.ids.len(), page.total_size), (0, Some(5)));
        assert!(page.next_page_token.is_empty());
    }

    async fn the_whole_list_is_whole_or_refused(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 1500).await;
        let whole = Query { whole: true, ..Query::default() };
        assert_eq!(page(&database, whole.clone()).await.unwrap().ids.len(), 1500);
        assert_eq!(page(&database, Query::default()).await.unwrap().ids.len(), 1000);
        database.write(|tx| {
            let rows = (2_000..101_000_i64).map(|n| vec![n.into(), format!("n{n}").into(), format!("n{n}").into()]);
            Insert::into("things", &["id", "name", "name_key"]).rows(rows).execute(tx.conn())
        }).await.unwrap();
        assert_eq!(page(&database, whole).await, Err(Error::TooLarge));
    }

    async fn conditions_of_the_service_are_asked(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 30).await;
        let odd = test("odd", comparison::Operator::Equal, "true");
        let found = page(&database, Query { filter: Some(odd), ..Query::default() }).await.unwrap();
        let expected = all.iter().filter(|thing| thing.number.is_some_and(|number| number % 2 != 0)).count();
        assert_eq!(found.ids.len(), expected);
        let wrong = test("odd", comparison::Operator::Equal, "maybe");
        assert!(matches!(page(&database, Query { filter: Some(wrong), ..Query::default() }).await, Err(Error::Invalid { .. })));
    }

    async fn a_token_whose_long_key_was_left_out_goes_on(db: TestDb) {
        let (database, _) = open(&db);
        database.write(|tx| {
            let rows = (1..=5_i64).map(|n| {
                vec![n.into(), format!("{n}").into(), format!("{n}").into(), format!("{}{n}", "ü".repeat(2000)).into()]
            });
            Insert::into("things", &["id", "name", "name_key", "note"]).rows(rows).execute(tx.conn())
        }).await.unwrap();
        let order_by = vec![SortKey { field: "note".into(), direction: 0 }];
        let query = Query { order_by, page_size: 3, ..Query::default() };
        let first = page(&database, query.clone()).await.unwrap();
        assert!(first.next_page_token.len() < 200);
        let second = page(&database, Query { page_token: first.next_page_token, ..query }).await.unwrap();
        assert_eq!([first.ids, second.ids].concat(), [1, 2, 3, 4, 5]);
    }

    async fn uuids_compare_as_bytes(db: TestDb) {
        let (database, _) = open(&db);
        let uuid = "018f3f5e-0000-7000-8000-00000000abcd";
        database.write(move |tx| {
            let bytes: Vec<u8> = vec![0x01, 0x8f, 0x3f, 0x5e, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0xab, 0xcd];
            Insert::into("things", &["id", "name", "name_key", "tag"])
                .row([1_i64.into(), "a".into(), "a".into(), bytes.into()])
                .row([2_i64.into(), "b".into(), "b".into(), None::<Vec<u8>>.into()])
                .execute(tx.conn())
        }).await.unwrap();
        for (operator, expected) in [(comparison::Operator::Equal, 1), (comparison::Operator::NotEqual, 2)] {
            let filter = Some(test("tag", operator, uuid));
            assert_eq!(page(&database, Query { filter, ..Query::default() }).await.unwrap().ids, [expected]);
        }
    }

    async fn a_page_is_loaded_with_its_rows(db: TestDb) {
        let (database, _) = open(&db);
        let all = fill(&database, 60).await;
        // As often as it takes for PostgreSQL to keep its plan.
        for query in [pages_of(0, false), pages_of(7, false), pages_of(7, true), pages_of(0, false)].iter().cycle().take(24) {
            let (mut ids, mut rows, mut query) = (Vec::new(), Vec::new(), query.clone());
            loop {
                let plan = THINGS.plan(&query, &tokens()).unwrap();
                let (found, loaded) = database
                    .read(move |conn| {
                        // Two ways in which a row may be there, each row in one of them.
                        let from = Sql::new("(SELECT a.* FROM things a WHERE a.state = ").bind(2_i64);
                        let from = from.push(" UNION ALL SELECT b.* FROM things b WHERE b.state <> ").bind(2_i64).push(") t");
                        let scope = Sql::new("t.id > ").bind(5_i64);
                        let source = Source::new(Sql::new("t.name, t.note, t.id"), from, scope).kept();
                        plan.load::<(Text, Nullable<Text>, BigInt), (String, Option<String>, i64)>(conn, &source)
                    })
                    .await
                    .unwrap();
                assert_eq!((found.total_size, found.filtered_size), (Some(55), Some(55)));
                ids.extend(found.ids);
                rows.extend(loaded);
                if found.next_page_token.is_empty() {
                    break;
                }
                query.page_token = found.next_page_token;
            }
            assert_eq!(ids.len(), 55);
            let expected: Vec<_> = ids
                .iter()
                .map(|id| all.iter().find(|thing| thing.id == *id).unwrap())
                .map(|thing| (thing.name.clone(), thing.note.clone(), thing.id))
                .collect();
            assert_eq!(rows, expected);
            let listed = page(&database, Query { page_token: String::new(), page_size: 0, ..query }).await.unwrap().ids;
            assert_eq!(ids, listed.into_iter().filter(|id| *id > 5).collect::<Vec<_>>());
        }
    }

    async fn sets_of_ids_are_one_value(db: TestDb) {
        let (database, _) = open(&db);
        fill(&database, 20).await;
        for set in [vec![], vec![3], vec![9, 3, 99, 3, -1], (1..=20).collect::<Vec<i64>>()] {
            let known: Vec<i64> = (1..=20).filter(|id| set.contains(id)).collect();
            for say in [dialect::in_ids as Say, dialect::among_ids] {
                let set = set.clone();
                let found = database.read(move |conn| {
                    let sql = Sql::new("SELECT t.id FROM things t WHERE t.id");
                    dialect::ids(conn, say(dialect::engine(conn), sql, set.clone()).push(" ORDER BY t.id").cached())
                });
                assert_eq!(found.await.unwrap(), known);
            }
        }
    }

    async fn counts_may_stop(db: TestDb) {
        static FEW: Listing = THINGS.counted_to(7);
        let (database, _) = open(&db);
        fill(&database, 20).await;
        let plan = FEW.plan(&Query { count: true, ..Query::default() }, &tokens()).unwrap();
        let page = database.read(move |conn| plan.run(conn, Sql::empty())).await.unwrap();
        assert_eq!((page.ids.len(), page.total_size), (20, Some(7)));
    }
}
