//! SQL in pieces: fixed text and bound values, on both engines.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Binary, Bool, Nullable, Text, Untyped};
use diesel::{QueryResult, RunQueryDsl};

use crate::{Connection, MultiBackend};

/// A bound value; `None` is NULL.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Bind {
    /// `BIGINT`.
    Integer(Option<i64>),
    /// `TEXT`.
    Text(Option<String>),
    /// `BYTEA`, `BLOB`.
    Bytes(Option<Vec<u8>>),
    /// `BOOLEAN`.
    Bool(Option<bool>),
}

macro_rules! from {
    ($($from:ty => $variant:ident;)*) => {$(
        impl From<$from> for Bind {
            fn from(value: $from) -> Self {
                Self::$variant(Some(value.into()))
            }
        }

        impl From<Option<$from>> for Bind {
            fn from(value: Option<$from>) -> Self {
                Self::$variant(value.map(Into::into))
            }
        }
    )*};
}

from! {
    i64 => Integer;
    i32 => Integer;
    String => Text;
    &str => Text;
    Vec<u8> => Bytes;
    &[u8] => Bytes;
    bool => Bool;
}

#[derive(Clone, Debug)]
enum Part {
    Text(Cow<'static, str>),
    Bind(Bind),
}

/// A statement, or a fragment of one. Values are bound and never become text; the text comes from the program alone.
///
/// It runs like any Diesel query: `load::<Row>(conn)` for rows that derive `QueryableByName`, `execute(conn)`.
///
/// ```
/// # use coffre_db::Sql;
/// let mine = Sql::new("owner_id = ").bind(7_i64).push(" AND deleted_at IS NULL");
/// let all = Sql::new("SELECT id FROM lockers WHERE ").join(mine);
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Sql {
    parts: Vec<Part>,
    cached: bool,
}

impl Sql {
    /// Starts with text of the program.
    pub fn new(text: &'static str) -> Self {
        Self { parts: vec![Part::Text(Cow::Borrowed(text))], cached: false }
    }

    /// Starts empty.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Adds text of the program.
    pub fn push(mut self, text: &'static str) -> Self {
        self.parts.push(Part::Text(Cow::Borrowed(text)));
        self
    }

    /// Adds a value.
    pub fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.parts.push(Part::Bind(value.into()));
        self
    }

    /// Adds the pieces of another one.
    pub fn join(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// Adds values with commas between them.
    pub fn binds<B: Into<Bind>>(mut self, values: impl IntoIterator<Item = B>) -> Self {
        let values = values.into_iter();
        self.parts.reserve(2 * values.size_hint().0);
        for (index, value) in values.enumerate() {
            if index > 0 {
                self = self.push(", ");
            }
            self = self.bind(value);
        }
        self
    }

    /// Keeps the prepared statement with the connection: for statements that are always the same but for their values.
    pub fn cached(mut self) -> Self {
        self.cached = true;
        self
    }

    /// Says what the columns are, in their order, so that rows are read by position into `Queryable` types:
    /// `sql.typed::<(BigInt, Text)>().load::<(i64, String)>(conn)`.
    ///
    /// A query that is built from Diesel's types is written out as text at every run before its prepared statement is found, which for a
    /// join of some tables takes longer than running it; this text is there already.
    pub fn typed<ST>(self) -> Typed<ST> {
        Typed { sql: self, types: PhantomData }
    }

    /// Says whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Adds text that the program put together, from `&'static` pieces and numbers.
    pub(crate) fn text(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        self.parts.push(Part::Text(text.into()));
        self
    }

    #[cfg(test)]
    pub(crate) fn is_cached(&self) -> bool {
        self.cached
    }

    #[cfg(test)]
    pub(crate) fn shape(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => text.to_string(),
            Part::Bind(_) => "?".to_owned(),
        };
        self.parts.iter().map(part).collect()
    }
}

impl QueryFragment<MultiBackend> for Sql {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        if !self.cached {
            out.unsafe_to_cache_prepared();
        }
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_sql(text),
                Part::Bind(Bind::Integer(value)) => out.push_bind_param::<Nullable<BigInt>, _>(value)?,
                Part::Bind(Bind::Text(value)) => out.push_bind_param::<Nullable<Text>, _>(value)?,
                Part::Bind(Bind::Bytes(value)) => out.push_bind_param::<Nullable<Binary>, _>(value)?,
                Part::Bind(Bind::Bool(value)) => out.push_bind_param::<Nullable<Bool>, _>(value)?,
            }
        }
        Ok(())
    }
}

impl QueryId for Sql {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Sql {
    type SqlType = Untyped;
}

impl RunQueryDsl<Connection> for Sql {}

/// A statement that knows the types of its columns. See [`Sql::typed`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Typed<ST> {
    sql: Sql,
    types: PhantomData<ST>,
}

impl<ST> QueryFragment<MultiBackend> for Typed<ST> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, MultiBackend>) -> QueryResult<()> {
        self.sql.walk_ast(out)
    }
}

impl<ST> QueryId for Typed<ST> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Typed<ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<Connection> for Typed<ST> {}
