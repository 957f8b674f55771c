//! Filters and tokens without a database.

use coffre_proto::query::v1::filter::Condition as ProtoCondition;
use coffre_proto::query::v1::{Comparison, Filter, Junction, Query, SortKey, comparison, junction};

use super::*;
use crate::Engine;

static LIST: Listing = Listing::new(
    "rows",
    "rows r",
    "r.id",
    &[
        Field::new("id", "r.id", Kind::Integer),
        Field::new("name", "r.name", Kind::TextWithKey("r.name_key")),
        Field::new("note", "r.note", Kind::Text).nullable(),
        Field::new("createTime", "r.created_at", Kind::Time),
        Field::new("active", "r.active", Kind::Bool),
        Field::new("state", "r.state", Kind::Enum(&[("ACTIVE", 1), ("DELETED", 2)])).mostly(1),
        Field::new("uuid", "r.uuid", Kind::Uuid),
    ],
);

fn test(field: &str, operator: comparison::Operator, value: &str) -> Filter {
    let comparison = Comparison { operator: operator.into(), field: field.into(), value: value.into() };
    Filter { condition: Some(ProtoCondition::Comparison(comparison)) }
}

fn junction(operator: junction::Operator, operands: Vec<Filter>) -> Filter {
    Filter { condition: Some(ProtoCondition::Junction(Junction { operator: operator.into(), operands })) }
}

fn tokens() -> PageTokens {
    PageTokens::new(&[7; 32])
}

fn plan(filter: Filter) -> Result<Plan, Error> {
    LIST.plan(&Query { filter: Some(filter), ..Query::default() }, &tokens())
}

fn shape(filter: Filter) -> String {
    plan(filter).unwrap().condition.write(Engine::Sqlite, Sql::empty()).shape()
}

use comparison::Operator::{Equal, Greater, NotEqual, Substring};

#[test]
fn values_are_bound_and_never_text() {
    let hostile = "x' OR '1'='1";
    for field in ["name", "note"] {
        for operator in [Equal, NotEqual, Greater, Substring] {
            let sql = shape(test(field, operator, hostile));
            assert!(!sql.contains("OR '1'"), "{sql}");
            assert!(sql.contains('?'));
        }
    }
}

#[test]
fn a_rare_value_is_asked_for_in_the_words_of_the_index_that_has_it() {
    assert_eq!(shape(test("state", Equal, "deleted")), "(r.state = 2 AND r.state <> 1)");
    assert_eq!(shape(test("state", Equal, "active")), "(r.state = 1)");
    assert_eq!(shape(test("state", NotEqual, "active")), "(r.state <> 1)");
    assert_eq!(shape(test("state", NotEqual, "deleted")), "(r.state <> 2)");
}

#[test]
fn unknown_fields_are_named_with_the_known_ones() {
    let error = plan(test("colour", Equal, "red")).unwrap_err();
    let Error::FieldUnknown { field, known } = error else { panic!("{error}") };
    assert_eq!(field, "colour");
    assert!(known.contains(&"createTime"));
    let order = Query { order_by: vec![SortKey { field: "colour".into(), direction: 0 }], ..Query::default() };
    assert!(matches!(LIST.plan(&order, &tokens()), Err(Error::FieldUnknown { .. })));
}

#[test]
fn literals_must_suit_their_field() {
    for (field, value) in [
        ("id", "seven"),
        ("id", "99999999999999999999"),
        ("active", "yes"),
        ("state", "GONE"),
        ("createTime", "today"),
        ("uuid", "7"),
    ] {
        assert!(matches!(plan(test(field, Equal, value)), Err(Error::Invalid { part: "filter", .. })), "{field}");
    }
    assert!(matches!(plan(test("active", Greater, "true")), Err(Error::Invalid { .. })));
    assert!(matches!(plan(test("id", Substring, "123")), Err(Error::Invalid { .. })));
    assert!(plan(test("createTime", Greater, "2026-01-31T12:00:00+05:30")).is_ok());
    assert!(plan(test("state", Equal, "active")).is_ok());
}

#[test]
fn substrings_need_three_characters() {
    assert!(matches!(plan(test("name", Substring, "ab")), Err(Error::Invalid { .. })));
    assert!(plan(test("name", Substring, "äöü")).is_ok());
}

#[test]
fn filters_are_bounded() {
    let mut deep = test("id", Equal, "1");
    for _ in 0..MAX_DEPTH - 1 {
        deep = junction(junction::Operator::Not, vec![deep]);
    }
    assert!(plan(deep.clone()).is_ok());
    assert!(matches!(plan(junction(junction::Operator::Not, vec![deep])), Err(Error::Invalid { .. })));
    let wide = |many| junction(junction::Operator::Or, vec![test("id", Equal, "1"); many]);
    assert!(plan(wide(MAX_CONDITIONS - 1)).is_ok());
    assert!(matches!(plan(wide(MAX_CONDITIONS)), Err(Error::Invalid { .. })));
}

#[test]
fn null_differs_from_every_value() {
    assert_eq!(shape(test("note", NotEqual, "x")), "(r.note IS NULL OR coffre_fold(r.note) <> coffre_fold(?))");
    assert_eq!(shape(test("note", Equal, "x")), "(r.note IS NOT NULL AND coffre_fold(r.note) = coffre_fold(?))");
}

#[test]
fn empty_junctions_hold_or_do_not() {
    assert_eq!(shape(junction(junction::Operator::And, vec![])), "1 = 1");
    assert_eq!(shape(junction(junction::Operator::Or, vec![])), "1 = 0");
    assert!(plan(junction(junction::Operator::Not, vec![])).is_err());
    assert!(plan(Filter { condition: None }).is_ok());
}

#[test]
fn extents_are_bounded() {
    let query = |page_size, skip| LIST.plan(&Query { page_size, skip, ..Query::default() }, &tokens());
    assert!(query(100_000, 100_000).is_ok());
    assert!(matches!(query(100_001, 0), Err(Error::TooLarge)));
    assert!(matches!(query(1, 100_001), Err(Error::TooLarge)));
    assert!(matches!(query(-1, 0), Err(Error::Invalid { part: "page_size", .. })));
    assert!(matches!(query(0, -1), Err(Error::Invalid { part: "skip", .. })));
}

#[test]
fn tokens_are_bound_to_list_filter_and_order() {
    let query = |field: &str| Query {
        order_by: vec![SortKey { field: field.into(), direction: 0 }],
        filter: Some(test("id", Greater, "3")),
        ..Query::default()
    };
    let by_name = query("name");
    let order = LIST.order(&by_name).unwrap();
    let position = order::Position { values: vec![crate::Bind::from("adèle")], id: 9 };
    let binding = token::binding("rows", &by_name);
    let token = tokens().seal(&position, &binding);

    let opened = tokens().open(&token, &binding, &order).unwrap();
    assert_eq!(opened, token::Start::At(position));
    for other in [
        token::binding("users", &by_name),
        token::binding("rows", &query("note")),
        token::binding("rows", &Query::default()),
    ] {
        assert_eq!(tokens().open(&token, &other, &order), Err(Error::TokenInvalid));
    }
    assert_eq!(PageTokens::new(&[8; 32]).open(&token, &binding, &order), Err(Error::TokenInvalid));
    for end in 0..token.len() {
        assert_eq!(tokens().open(&token[..end], &binding, &order), Err(Error::TokenInvalid));
    }
    let mut forged = token.clone().into_bytes();
    forged[30] = if forged[30] == b'A' { b'B' } else { b'A' };
    assert_eq!(tokens().open(&String::from_utf8(forged).unwrap(), &binding, &order), Err(Error::TokenInvalid));
}

#[test]
fn long_keys_do_not_make_long_tokens() {
    let query = Query { order_by: vec![SortKey { field: "note".into(), direction: 0 }], ..Query::default() };
    let order = LIST.order(&query).unwrap();
    let binding = token::binding("rows", &query);
    let position = order::Position { values: vec![crate::Bind::from("\u{10ffff}".repeat(1000).as_str())], id: 9 };
    let token = tokens().seal(&position, &binding);
    assert!(token.len() < 4096);
    assert_eq!(tokens().open(&token, &binding, &order), Ok(token::Start::Row(9)));
}

#[test]
fn a_kept_statement_is_the_same_for_whoever_asks_as_most_do() {
    let source = Source::new(Sql::new("r.name"), Sql::new("rows r"), Sql::new("r.id > ").bind(1_i64)).kept();
    let shape = |query: &Query| LIST.plan(query, &tokens()).unwrap().statement(Engine::Sqlite, &source, None).shape();
    let usual = "SELECT r.name, r.id AS id FROM rows r WHERE (r.id > ?) ORDER BY r.id ASC LIMIT ";
    assert_eq!(shape(&Query::default()), format!("{usual}1001"));
    assert_eq!(shape(&Query { whole: true, ..Query::default() }), format!("{usual}100001"));
    for other in [
        Query { page_size: 7, ..Query::default() },
        Query { skip: 7, ..Query::default() },
        Query { order_by: vec![SortKey { field: "name".into(), ..SortKey::default() }], ..Query::default() },
        Query { filter: Some(test("name", Equal, "a")), ..Query::default() },
    ] {
        let statement = LIST.plan(&other, &tokens()).unwrap().statement(Engine::Sqlite, &source, None);
        assert!(!statement.is_cached() && statement.shape().contains("LIMIT ?"), "{}", statement.shape());
    }
    assert!(LIST.plan(&Query::default(), &tokens()).unwrap().statement(Engine::Sqlite, &source, None).is_cached());
}
