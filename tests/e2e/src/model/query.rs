//! What is asked of a list, and its page.

use coffre_proto::query;
use serde_json::{Value as Json, json};

use super::json::{field, list, number};

/// A page of a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub total: Option<i64>,
    pub total_filter: Option<i64>,
    pub next: Option<String>,
}

/// A condition on the rows of a list.
#[derive(Clone, Debug)]
pub enum Filter {
    Compare(&'static str, String, String),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
}

impl Filter {
    /// `field operator value`.
    pub fn new(field: &str, operator: &'static str, value: impl Into<String>) -> Self {
        Self::Compare(operator, field.to_owned(), value.into())
    }

    pub fn json(&self) -> Json {
        let junction = |operator: &str, operands: Vec<Json>| json!({"operator": operator, "operands": operands});
        match self {
            Self::Compare(operator, field, value) => json!({"operator": operator, "field": field, "value": value}),
            Self::And(all) => junction("and", all.iter().map(Self::json).collect()),
            Self::Or(any) => junction("or", any.iter().map(Self::json).collect()),
            Self::Not(one) => junction("not", vec![one.json()]),
        }
    }

    pub fn proto(&self) -> query::v1::Filter {
        use query::v1::{
            Comparison, Filter as Proto, Junction, comparison::Operator as C, filter::Condition,
            junction::Operator as J,
        };
        let junction =
            |operator: J, operands: Vec<Proto>| Condition::Junction(Junction { operator: operator.into(), operands });
        let condition = match self {
            Self::Compare(operator, field, value) => {
                let operator = match *operator {
                    "eq" => C::Equal,
                    "ne" => C::NotEqual,
                    "lt" => C::Less,
                    "le" => C::LessOrEqual,
                    "gt" => C::Greater,
                    "ge" => C::GreaterOrEqual,
                    "substring" => C::Substring,
                    other => panic!("no operator {other}"),
                };
                Condition::Comparison(Comparison {
                    operator: operator.into(),
                    field: field.clone(),
                    value: value.clone(),
                })
            }
            Self::And(all) => junction(J::And, all.iter().map(Self::proto).collect()),
            Self::Or(any) => junction(J::Or, any.iter().map(Self::proto).collect()),
            Self::Not(one) => junction(J::Not, vec![one.proto()]),
        };
        Proto { condition: Some(condition) }
    }
}

/// What is asked of a list.
#[derive(Clone, Debug, Default)]
pub struct Query {
    pub filter: Option<Filter>,
    /// Fields, and whether they descend.
    pub sort: Vec<(&'static str, bool)>,
    pub offset: i64,
    /// 0: everything.
    pub length: i64,
    pub token: Option<String>,
    pub without_count: bool,
}

impl Query {
    pub fn filter(filter: Filter) -> Self {
        Self { filter: Some(filter), ..Self::default() }
    }

    #[must_use]
    pub fn sort(mut self, field: &'static str, descending: bool) -> Self {
        self.sort.push((field, descending));
        self
    }

    #[must_use]
    pub fn page(mut self, offset: i64, length: i64) -> Self {
        (self.offset, self.length) = (offset, length);
        self
    }

    #[must_use]
    pub fn token(mut self, token: Option<String>) -> Self {
        self.token = token;
        self
    }

    pub fn json(&self) -> Json {
        let sort: Vec<Json> = self
            .sort
            .iter()
            .map(|(field, desc)| json!({"field": field, "direction": if *desc { "desc" } else { "asc" }}))
            .collect();
        let mut page = json!({"offset": self.offset, "length": self.length});
        if let Some(token) = &self.token {
            page["token"] = json!(token);
        }
        if self.without_count {
            page["count"] = json!(false);
        }
        let mut body = json!({"sort": sort, "page": page});
        if let Some(filter) = &self.filter {
            body["filter"] = filter.json();
        }
        body
    }

    pub fn proto(&self) -> query::v1::Query {
        use query::v1::{SortKey, sort_key::Direction};
        query::v1::Query {
            filter: self.filter.as_ref().map(Filter::proto),
            order_by: self
                .sort
                .iter()
                .map(|(field, desc)| SortKey {
                    field: (*field).to_owned(),
                    direction: if *desc { Direction::Descending } else { Direction::Ascending }.into(),
                })
                .collect(),
            page_size: i32::try_from(self.length).unwrap(),
            page_token: self.token.clone().unwrap_or_default(),
            skip: self.offset,
            count: !self.without_count,
            whole: self.length == 0,
        }
    }
}

impl<T> Page<T> {
    /// Reads `{"page":{"offset","total","totalFilter"},"list":[…]}`.
    pub fn from_json(json: &Json, read: impl Fn(&Json) -> T) -> Self {
        let page = field(json, "page");
        let count = |key: &str| page.get(key).filter(|value| !value.is_null()).map(|_| number(page, key));
        number(page, "offset");
        Self {
            items: list(json, "list", read),
            total: count("total"),
            total_filter: count("totalFilter"),
            next: page.get("next").and_then(Json::as_str).filter(|token| !token.is_empty()).map(ToOwned::to_owned),
        }
    }

    pub fn from_proto(items: Vec<T>, page: Option<query::v1::PageInfo>) -> Self {
        let page = page.unwrap_or_default();
        Self {
            items,
            total: page.total_size,
            total_filter: page.filtered_size,
            next: (!page.next_page_token.is_empty()).then_some(page.next_page_token),
        }
    }
}
