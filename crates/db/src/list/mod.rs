//! Lists: a filter, an order and a page as SQL with binds.
//!
//! A service describes each list once, as a [`Listing`] of static [`Field`]s. [`Listing::plan`] checks a [`Query`] against it without a
//! database; [`Plan::run`] finds the ids of the page within a [`Scope`] (what the caller may see), and the service then loads the rows by id,
//! with [`crate::dialect::in_chunks`]. [`Plan::load`] reads the rows of a [`Source`] at once: one look at each row instead of two.
//!
//! Values are always bound. Comparisons know two outcomes: NULL differs from every value, so `not` means what people expect. NULL orders
//! before everything else.
//!
//! ```no_run
//! use coffre_db::list::{Field, Kind, Listing, PageTokens};
//! use coffre_db::{Sql, dialect};
//! # use coffre_proto::query::v1::Query;
//! # fn f(conn: &mut coffre_db::Connection, query: Query, tokens: &PageTokens) -> Result<(), coffre_db::list::Error> {
//! static LOCKERS: Listing = Listing::new("lockers", "lockers l", "l.id", &[
//!     Field::new("id", "l.id", Kind::Integer),
//!     Field::new("name", "l.name", Kind::TextWithKey("l.name_key")),
//!     Field::new("createTime", "l.created_at", Kind::Time),
//! ]);
//! let plan = LOCKERS.plan(&query, tokens)?;
//! let page = plan.run(conn, Sql::new("l.tenant_id = ").bind(1_i64))?;
//! # Ok(()) }
//! ```

mod bounded;
mod filter;
mod filtered;
mod order;
mod page;
#[cfg(test)]
mod tests;
mod token;

use coffre_proto::query::v1::Query;
use coffre_proto::query::v1::sort_key::Direction as ProtoDirection;

pub use bounded::{Bound, Index};
pub use filtered::Filtered;
pub use page::{Page, Plan};
pub use token::PageTokens;

use crate::Sql;
use filter::Condition;
use order::{Order, OrderKey};
use page::Extent;

/// Rows of one answer, and rows to skip, at most.
pub const MAX_ROWS: i64 = 100_000;

/// Rows of a page where the query does not say.
pub const DEFAULT_PAGE_SIZE: i64 = 1_000;

const MAX_DEPTH: usize = 8;
const MAX_CONDITIONS: usize = 64;
const MAX_ORDER_KEYS: usize = 8;
const MIN_SUBSTRING: usize = 3;
const MAX_VALUE: usize = 1_000;

/// What the caller may see: a condition with its values, written by the service.
pub type Scope = Sql;

/// Where [`Plan::load`] reads the rows of a list.
#[derive(Clone, Debug)]
pub struct Source {
    columns: Sql,
    from: Sql,
    scope: Scope,
    kept: bool,
}

impl Source {
    /// Says what is read of each row; what follows `FROM`, with one row an id, under the names that the [`Listing`]'s fields have; and what
    /// the caller may see of it.
    #[must_use]
    pub fn new(columns: Sql, from: Sql, scope: Scope) -> Self {
        Self { columns, from, scope, kept: false }
    }

    /// Keeps the prepared statement with the connection where a query asks as most do (no filter, no order, page size or offset of its
    /// own). For sources that are always the same text, but for a few ways.
    #[must_use]
    pub fn kept(self) -> Self {
        Self { kept: true, ..self }
    }
}

/// Why a list was refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The list has no such field.
    #[error("the list has no field {field:?}; it has {}", .known.join(", "))]
    FieldUnknown {
        /// The field asked for.
        field: String,
        /// The fields that there are.
        known: Vec<&'static str>,
    },
    /// Something in the query does not make sense.
    #[error("{message}")]
    Invalid {
        /// Where in the query: `filter`, `order_by`, `page_size`, `skip`.
        part: &'static str,
        /// What is wrong.
        message: String,
    },
    /// More rows than one answer holds, or than can be skipped.
    #[error("the list has more than {MAX_ROWS} rows to answer or to skip; ask for pages and pass on their tokens")]
    TooLarge,
    /// A page token that is not ours, or belongs to another filter or order, or whose row is gone.
    #[error("the page token belongs to no such list; start again without it")]
    TokenInvalid,
    /// A bounded list: the page is not found among as many rows as one call looks at.
    #[error("the search would look at more than {rows} rows, and one call may not: {advice}")]
    TooWide {
        /// How many rows one call looks at.
        rows: i64,
        /// How to narrow the search.
        advice: &'static str,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] crate::Error),
}

impl Error {
    fn invalid(part: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { part, message: message.into() }
    }
}

/// The kinds of field, which decide how literals are read and compared.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Numbers.
    Integer,
    /// Times in microseconds; literals are RFC 3339. A literal without microseconds means the whole millisecond, as answers show times.
    Time,
    /// `true` and `false`; only equal or not.
    Bool,
    /// A text that compares without regard to case. It has no index: fit for short lists and for substrings.
    Text,
    /// A text with a column of [`coffre_types::NameKey`]s beside it, by which it compares and orders.
    TextWithKey(&'static str),
    /// Numbers in the column, names in literals; only equal or not.
    Enum(&'static [(&'static str, i64)]),
    /// A UUID in 16 bytes; only equal or not, no order.
    Uuid,
    /// The service's own condition for an operator and a literal; no order.
    Custom(fn(Operator, &str) -> Result<Sql, String>),
}

/// The ways to compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
    /// `=`
    Equal,
    /// `≠`
    NotEqual,
    /// `<`
    Less,
    /// `≤`
    LessOrEqual,
    /// `>`
    Greater,
    /// `≥`
    GreaterOrEqual,
    /// Contains.
    Substring,
}

/// A field by which a list is filtered and ordered.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub(crate) name: &'static str,
    pub(crate) column: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nullable: bool,
    pub(crate) usual: Option<i64>,
    pub(crate) usual_key: Option<&'static str>,
}

impl Field {
    /// Names the field as queries do, and its column or expression.
    #[must_use]
    pub const fn new(name: &'static str, column: &'static str, kind: Kind) -> Self {
        Self { name, column, kind, nullable: false, usual: None, usual_key: None }
    }

    /// The column may be NULL.
    #[must_use]
    pub const fn nullable(self) -> Self {
        Self { nullable: true, ..self }
    }

    /// For a [`Kind::Enum`]: most rows have this number, and an index leaves them out (`… WHERE column <> number`). A condition on another
    /// number says so in the words of the index, so that it is used.
    #[must_use]
    pub const fn mostly(self, usual: i64) -> Self {
        Self { usual: Some(usual), ..self }
    }

    /// The same for a [`Kind::TextWithKey`]: most rows have this key, which holds no quote.
    #[must_use]
    pub const fn mostly_key(self, usual: &'static str) -> Self {
        Self { usual_key: Some(usual), ..self }
    }
}

/// The directions of an order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// From small to large.
    Ascending,
    /// From large to small.
    Descending,
}

/// A list that can be asked for.
#[derive(Clone, Copy, Debug)]
pub struct Listing {
    pub(crate) name: &'static str,
    pub(crate) from: &'static str,
    pub(crate) id: &'static str,
    pub(crate) fields: &'static [Field],
    pub(crate) default_order: &'static [(&'static str, Direction)],
    pub(crate) count_limit: Option<i64>,
    pub(crate) bound: Option<Bound>,
}

impl Listing {
    /// Describes a list: its name (page tokens of one list are refused by another), what follows `FROM` (one row an id), its id column, and
    /// its fields. It is ordered by id unless [`Self::ordered`] says otherwise.
    #[must_use]
    pub const fn new(name: &'static str, from: &'static str, id: &'static str, fields: &'static [Field]) -> Self {
        Self { name, from, id, fields, default_order: &[], count_limit: None, bound: None }
    }

    /// Sets the order where the query has none.
    #[must_use]
    pub const fn ordered(self, default_order: &'static [(&'static str, Direction)]) -> Self {
        Self { default_order, ..self }
    }

    /// Stops counting at that many rows.
    #[must_use]
    pub const fn counted_to(self, limit: i64) -> Self {
        Self { count_limit: Some(limit), ..self }
    }

    /// Bounds how many rows a call looks at: for lists of so many rows that a query must be answered from an index. What follows `FROM` is
    /// one table with an alias then.
    #[must_use]
    pub const fn bounded(self, bound: Bound) -> Self {
        Self { bound: Some(bound), ..self }
    }

    /// Changes how many rows a call of a bounded list looks at.
    #[must_use]
    pub fn looking_at(self, rows: i64) -> Self {
        Self { bound: self.bound.map(|bound| Bound { rows, ..bound }), ..self }
    }

    /// Checks a query.
    ///
    /// # Errors
    /// All but [`Error::Store`].
    pub fn plan(&self, query: &Query, tokens: &PageTokens) -> Result<Plan, Error> {
        let condition = match &query.filter {
            Some(filter) => Condition::read(self, filter)?,
            None => Condition::Always,
        };
        let order = self.order(query)?;
        let binding = token::binding(self.name, query);
        let start = match query.page_token.as_str() {
            "" => None,
            token => Some(tokens.open(token, &binding, &order)?),
        };
        let filtered = query.filter.is_some() && !matches!(condition, Condition::Always);
        Ok(Plan {
            listing: *self,
            usual: !filtered && query.order_by.is_empty() && query.page_size == 0 && query.skip == 0,
            filtered,
            condition,
            order,
            start,
            extent: Extent::read(query)?,
            count: query.count,
            tokens: tokens.clone(),
            binding,
        })
    }

    pub(crate) fn field(&self, name: &str) -> Result<&'static Field, Error> {
        let found = self.fields.iter().find(|field| field.name == name);
        found.ok_or_else(|| Error::FieldUnknown {
            field: name.chars().take(64).collect(),
            known: self.fields.iter().map(|field| field.name).collect(),
        })
    }

    fn order(&self, query: &Query) -> Result<Order, Error> {
        let mut asked = Vec::new();
        for key in &query.order_by {
            let direction = match ProtoDirection::try_from(key.direction) {
                Ok(ProtoDirection::Unspecified | ProtoDirection::Ascending) => Direction::Ascending,
                Ok(ProtoDirection::Descending) => Direction::Descending,
                Err(_) => return Err(Error::invalid("order_by", "a direction is ascending or descending")),
            };
            asked.push((self.field(&key.field)?, direction));
        }
        if asked.len() > MAX_ORDER_KEYS {
            return Err(Error::invalid("order_by", format!("an order has at most {MAX_ORDER_KEYS} keys")));
        }
        if asked.is_empty() {
            for (name, direction) in self.default_order {
                asked.push((self.field(name)?, *direction));
            }
        }
        let mut keys: Vec<OrderKey> = Vec::new();
        for (field, direction) in asked {
            if keys.iter().any(|key| key.field.name == field.name) {
                continue;
            }
            if matches!(field.kind, Kind::Uuid | Kind::Custom(_)) {
                let message = format!("a list cannot be ordered by {}", field.name);
                return Err(Error::invalid("order_by", message));
            }
            if field.column == self.id {
                // Nothing ties behind the id.
                return Ok(Order { id: self.id, keys, id_direction: direction });
            }
            keys.push(OrderKey { field, direction });
        }
        // The direction of the key before it: then one index serves both.
        let id_direction = keys.last().map_or(Direction::Ascending, |key| key.direction);
        Ok(Order { id: self.id, keys, id_direction })
    }
}
