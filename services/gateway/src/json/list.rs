//! `{"filter","sort","page"}`: the body of every `POST …/list`, and the page of its answer.

use coffre_error::Refusal;
use coffre_proto::query::v1::comparison::Operator as Compare;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::junction::Operator as Join;
use coffre_proto::query::v1::sort_key::Direction;
use coffre_proto::query::v1::{Comparison, Filter, Junction, PageInfo, Query, SortKey};
use serde::Serialize;
use utoipa::ToSchema;

use super::object::read_objects;
use super::{Json, Object, invalid};

/// More rows than this in one answer are refused by the services; a longer page is the same as the whole list.
const LONGEST_PAGE: i64 = 100_000;

/// Which rows of a list, in which order. Everything may be left out.
#[derive(ToSchema)]
#[schema(example = json!({
    "filter": {"operator": "and", "operands": [{"operator": "substring", "field": "name", "value": "share"}, {"operator": "gt", "field": "createdOn", "value": "2018-06-25T00:00:00Z"}]},
    "sort": [{"field": "name", "direction": "asc"}],
    "page": {"offset": 0, "length": 100}
}))]
#[allow(dead_code)]
pub(crate) struct ListBody {
    /// `{"operator","field","value"}` with `eq ne lt le gt ge substring`, or `{"operator","operands"}` with `and or not`; `{}`: all.
    #[schema(value_type = Option<Object>)]
    filter: Option<Json>,
    /// `[{"field","direction"}]` with `asc` or `desc`.
    #[schema(value_type = Option<Vec<Object>>)]
    sort: Option<Json>,
    /// `{"offset","length","count","token"}`; without `length` or with 0: all rows.
    #[schema(value_type = Option<Object>)]
    page: Option<Json>,
}

/// Where an answer stands in its list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Page {
    /// The offset that was asked for.
    offset: i64,
    /// Rows that the caller may see; absent where the request does not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<i64>,
    /// Rows that match the filter; absent where the request does not count, or where counting would look at too many of them.
    #[serde(rename = "totalFilter", skip_serializing_if = "Option::is_none")]
    total_filter: Option<i64>,
    /// Goes into `page.token` of the next request; absent where nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A page of a list.
#[derive(Serialize, ToSchema)]
pub(crate) struct Paged<T> {
    page: Page,
    /// The rows.
    list: Vec<T>,
}

impl<T> Paged<T> {
    /// Puts rows and their place together.
    pub(crate) fn new(offset: i64, info: Option<PageInfo>, list: Vec<T>) -> Self {
        let info = info.unwrap_or_default();
        let next = Some(info.next_page_token).filter(|token| !token.is_empty());
        Self { page: Page { offset, total: info.total_size, total_filter: info.filtered_size, next }, list }
    }
}

/// The query of a plain GET: every row, uncounted.
pub(crate) fn whole_list() -> Query {
    Query { whole: true, ..Query::default() }
}

/// Reads the body of a list.
///
/// # Errors
/// Where a part of it has another form; what it means is for the service to judge.
pub(crate) fn read_query(body: Option<Json>) -> Result<Query, Refusal> {
    let mut body = match body {
        None | Some(Json::Null) => Object::empty(),
        Some(json) => Object::of(json, "")?,
    };
    let mut query = Query { count: true, whole: true, ..Query::default() };
    if let Some(filter) = body.take("filter") {
        query.filter = read_filter(filter, "filter")?;
    }
    if let Some(sort) = body.take("sort") {
        let keys = match sort {
            Json::Array(keys) => keys,
            one @ Json::Object(_) => vec![one],
            _ => return Err(invalid("sort", "must be an array of {\"field\", \"direction\"}")),
        };
        query.order_by = read_objects(keys, "sort", read_sort_key)?;
    }
    if let Some(page) = body.take("page") {
        read_page(Object::of(page, "page")?, &mut query)?;
    }
    Ok(query)
}

fn read_page(mut page: Object, query: &mut Query) -> Result<(), Refusal> {
    if let Some(offset) = page.number_spelled("offset")? {
        query.skip = offset;
    }
    match page.number_spelled("length")? {
        Some(length) if (1..=LONGEST_PAGE).contains(&length) => {
            query.whole = false;
            query.page_size = i32::try_from(length).unwrap_or(i32::MAX);
        }
        _ => {}
    }
    match page.take_spelled(&["count"])? {
        None => {}
        Some(Json::Bool(count)) => query.count = count,
        Some(_) => return Err(invalid("page.count", "must be true or false")),
    }
    if let Some(token) = page.text_spelled(&["token"])? {
        query.page_token = token;
    }
    Ok(())
}

fn read_sort_key(mut key: Object) -> Result<SortKey, Refusal> {
    let field = key.required_text("field")?;
    let direction = match key.text("direction")?.map(|direction| direction.to_ascii_lowercase()).as_deref() {
        None | Some("" | "asc" | "ascending") => Direction::Ascending,
        Some("desc" | "descending") => Direction::Descending,
        Some(_) => return Err(invalid(key.field("direction"), "must be asc or desc")),
    };
    Ok(SortKey { field, direction: direction.into() })
}

/// Reads a condition; `None` where it asks nothing.
fn read_filter(filter: Json, path: &str) -> Result<Option<Filter>, Refusal> {
    if matches!(&filter, Json::Text(text) if text.is_empty() || text.eq_ignore_ascii_case("none")) {
        return Ok(None);
    }
    let mut filter = Object::of(filter, path)?;
    let operator = filter.text("operator")?.unwrap_or_default().to_ascii_lowercase();
    let junction = match operator.as_str() {
        "" if !filter.has("field") && !filter.has("operands") => return Ok(None),
        "none" => return Ok(None),
        "and" => Some(Join::And),
        "or" => Some(Join::Or),
        "not" => Some(Join::Not),
        _ => None,
    };
    let condition = match junction {
        Some(operator) => {
            Condition::Junction(Junction { operator: operator.into(), operands: read_operands(&mut filter)? })
        }
        None => Condition::Comparison(read_comparison(&operator, &mut filter)?),
    };
    Ok(Some(Filter { condition: Some(condition) }))
}

fn read_operands(filter: &mut Object) -> Result<Vec<Filter>, Refusal> {
    let path = filter.field("operands");
    let Some(operands) = filter.array("operands")? else { return Err(invalid(path, "is required")) };
    let read_one = |(position, operand)| Ok(read_filter(operand, &format!("{path}[{position}]"))?.unwrap_or_default());
    operands.into_iter().enumerate().map(read_one).collect()
}

fn read_comparison(operator: &str, filter: &mut Object) -> Result<Comparison, Refusal> {
    let operator = match operator {
        "eq" => Compare::Equal,
        "ne" => Compare::NotEqual,
        "lt" => Compare::Less,
        "le" => Compare::LessOrEqual,
        "gt" => Compare::Greater,
        "ge" => Compare::GreaterOrEqual,
        "substring" => Compare::Substring,
        _ => {
            return Err(invalid(
                filter.field("operator"),
                "must be one of eq, ne, lt, le, gt, ge, substring, and, or, not",
            ));
        }
    };
    let field = filter.required_text("field")?;
    let value = match filter.take("value") {
        None => String::new(),
        Some(Json::Text(text)) => text,
        Some(Json::Integer(number)) => number.to_string(),
        Some(Json::Number(number)) => number.to_string(),
        Some(Json::Bool(value)) => value.to_string(),
        Some(_) => return Err(invalid(filter.field("value"), "must be a string, a number or a boolean")),
    };
    Ok(Comparison { operator: operator.into(), field, value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn query(text: &str) -> Query {
        read_query(parse(text.as_bytes()).unwrap()).unwrap()
    }

    fn refused(text: &str) -> String {
        let refusal = read_query(parse(text.as_bytes()).unwrap()).unwrap_err();
        refusal.violations()[0].field.clone()
    }

    fn comparison(operator: Compare, field: &str, value: &str) -> Filter {
        let comparison = Comparison { operator: operator.into(), field: field.into(), value: value.into() };
        Filter { condition: Some(Condition::Comparison(comparison)) }
    }

    #[test]
    fn an_empty_or_absent_body_is_the_whole_list() {
        let all = Query { whole: true, count: true, ..Query::default() };
        for text in [
            "",
            "{}",
            "null",
            r#"{"filter":{}}"#,
            r#"{"filter":"NONE"}"#,
            r#"{"filter":null,"sort":[],"page":{}}"#,
            r#"{"filter":{"operator":"NONE"}}"#,
            r#"{"page":{"offset":0,"length":0}}"#,
            r#"{"page":{"offset":"0","length":"0"}}"#,
            r#"{"page":{"length":100001,"total":7,"totalFilter":3}}"#,
            r#"{"unknown":[1]}"#,
        ] {
            assert_eq!(query(text), all, "{text}");
        }
    }

    #[test]
    fn pages_come_as_numbers_or_texts_with_keys_in_any_case() {
        let expected = Query { skip: 20, page_size: 10, count: true, ..Query::default() };
        for text in [
            r#"{"page":{"offset":20,"length":10}}"#,
            r#"{"page":{"offset":"20","length":"10"}}"#,
            r#"{"page":{"Offset":20,"LENGTH":"10"}}"#,
        ] {
            assert_eq!(query(text), expected, "{text}");
        }
        let query = query(r#"{"page":{"length":5,"token":"abc","count":false}}"#);
        assert_eq!((query.page_token.as_str(), query.count, query.page_size), ("abc", false, 5));
    }

    #[test]
    fn every_operator_is_read() {
        for (word, operator) in [
            ("eq", Compare::Equal),
            ("ne", Compare::NotEqual),
            ("lt", Compare::Less),
            ("le", Compare::LessOrEqual),
            ("gt", Compare::Greater),
            ("ge", Compare::GreaterOrEqual),
            ("substring", Compare::Substring),
            ("EQ", Compare::Equal),
        ] {
            let text = format!("{{\"filter\":{{\"operator\":\"{word}\",\"field\":\"name\",\"value\":\"x\"}}}}");
            assert_eq!(query(&text).filter, Some(comparison(operator, "name", "x")), "{word}");
        }
        for (value, expected) in [("12", "12"), ("true", "true"), ("null", ""), ("\"a\"", "a"), ("1.5", "1.5")] {
            let text = format!("{{\"filter\":{{\"operator\":\"eq\",\"field\":\"f\",\"value\":{value}}}}}");
            assert_eq!(query(&text).filter, Some(comparison(Compare::Equal, "f", expected)), "{value}");
        }
    }

    #[test]
    fn conditions_nest() {
        let text = r#"{"filter":{"operator":"not","operands":[{"operator":"or","operands":[
            {"operator":"eq","field":"name","value":"a"},{"operator":"ge","field":"id","value":3}]}]}}"#;
        let operands = vec![comparison(Compare::Equal, "name", "a"), comparison(Compare::GreaterOrEqual, "id", "3")];
        let either = Filter { condition: Some(Condition::Junction(Junction { operator: Join::Or.into(), operands })) };
        let neither = Junction { operator: Join::Not.into(), operands: vec![either] };
        assert_eq!(query(text).filter, Some(Filter { condition: Some(Condition::Junction(neither)) }));
    }

    #[test]
    fn sort_keys_have_a_direction() {
        let keys =
            query(r#"{"sort":[{"field":"name"},{"field":"id","direction":"DESC"},{"field":"x","direction":"asc"}]}"#)
                .order_by;
        let read: Vec<(String, Direction)> = keys.iter().map(|key| (key.field.clone(), key.direction())).collect();
        let expected = [("name", Direction::Ascending), ("id", Direction::Descending), ("x", Direction::Ascending)];
        assert_eq!(read, expected.map(|(field, direction)| (field.to_owned(), direction)));
    }

    #[test]
    fn other_forms_are_refused_by_their_path() {
        for (text, field) in [
            (r#"{"filter":[]}"#, "filter"),
            (r#"{"filter":{"operator":"like","field":"a","value":"b"}}"#, "filter.operator"),
            (r#"{"filter":{"field":"a","value":"b"}}"#, "filter.operator"),
            (r#"{"filter":{"operator":"eq","value":"b"}}"#, "filter.field"),
            (r#"{"filter":{"operator":"eq","field":"a","value":[]}}"#, "filter.value"),
            (r#"{"filter":{"operator":"and"}}"#, "filter.operands"),
            (r#"{"filter":{"operator":"and","operands":[{"operator":"x"}]}}"#, "filter.operands[0].operator"),
            (r#"{"sort":"name"}"#, "sort"),
            (r#"{"sort":[{"direction":"asc"}]}"#, "sort[0].field"),
            (r#"{"sort":[{"field":"a","direction":"up"}]}"#, "sort[0].direction"),
            (r#"{"page":[]}"#, "page"),
            (r#"{"page":{"offset":-1}}"#, "page.offset"),
            (r#"{"page":{"offset":"x"}}"#, "page.offset"),
            (r#"{"page":{"length":1.5}}"#, "page.length"),
            (r#"{"page":{"offset":1,"OFFSET":1}}"#, "page.offset"),
            (r#"{"page":{"count":"no"}}"#, "page.count"),
        ] {
            assert_eq!(refused(text), field, "{text}");
        }
    }
}
