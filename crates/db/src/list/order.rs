//! Orders, and where a page starts within one.

use super::{Direction, Field, Kind};
use crate::{Bind, Engine, Sql, dialect};

/// One key of an order.
#[derive(Clone, Copy, Debug)]
pub(super) struct OrderKey {
    pub(super) field: &'static Field,
    pub(super) direction: Direction,
}

/// An order: some keys, and the id as the last.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) id: &'static str,
    pub(super) keys: Vec<OrderKey>,
    pub(super) id_direction: Direction,
}

/// The row after which a page starts: the values of its keys, and its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Position {
    pub(super) values: Vec<Bind>,
    pub(super) id: i64,
}

impl OrderKey {
    /// Says whether its values are texts; numbers otherwise.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.field.kind, Kind::Text | Kind::TextWithKey(_))
    }

    /// Adds the expression that is ordered by.
    fn expression(&self, engine: Engine, sql: Sql) -> Sql {
        let column = self.field.column;
        match self.field.kind {
            Kind::Text => dialect::folded(engine, sql, |sql| sql.push(column)).push(dialect::by_code_point(engine)),
            Kind::TextWithKey(key) => sql.push(key).push(dialect::by_code_point(engine)),
            Kind::Bool => sql.push("CASE ").push(column).push(" WHEN TRUE THEN 1 WHEN FALSE THEN 0 END"),
            Kind::Integer | Kind::Time | Kind::Enum(_) | Kind::Uuid | Kind::Custom(_) => sql.push(column),
        }
    }

    fn column(&self) -> &'static str {
        match self.field.kind {
            Kind::TextWithKey(key) => key,
            _ => self.field.column,
        }
    }
}

impl Order {
    /// Says whether it is the order of one field, which is a number, one way or the other.
    pub(super) fn is_along(&self, field: &str) -> bool {
        matches!(self.keys.as_slice(), [key] if key.field.name == field && key.direction == self.id_direction)
    }

    /// Adds the columns of a page's rows: the id, then each key under a name that tells its type.
    pub(super) fn columns(&self, engine: Engine, sql: Sql) -> Sql {
        let mut sql = sql.push(self.id).push(" AS id");
        for (index, key) in self.keys.iter().enumerate() {
            sql = if key.is_text() {
                key.expression(engine, sql.push(", ")).text(format!(" AS t{index}"))
            } else {
                key.expression(engine, sql.push(", CAST(")).text(format!(" AS BIGINT) AS i{index}"))
            };
        }
        sql
    }

    /// Adds what follows ORDER BY.
    pub(super) fn write(&self, engine: Engine, mut sql: Sql) -> Sql {
        for key in &self.keys {
            let (plain, nulls) = match key.direction {
                Direction::Ascending => (" ASC", " ASC NULLS FIRST"),
                Direction::Descending => (" DESC", " DESC NULLS LAST"),
            };
            sql = key.expression(engine, sql).push(if key.field.nullable { nulls } else { plain }).push(", ");
        }
        sql.push(self.id).push(match self.id_direction {
            Direction::Ascending => " ASC",
            Direction::Descending => " DESC",
        })
    }

    /// Adds the condition that a row comes after a position.
    pub(super) fn after(&self, engine: Engine, sql: Sql, position: &Position) -> Sql {
        let alike = self.keys.iter().all(|key| key.direction == self.id_direction && !key.field.nullable);
        if alike { self.after_alike(engine, sql, position) } else { self.after_mixed(engine, sql, position) }
    }

    /// All keys go one way: one comparison of rows, which an index over the keys answers.
    fn after_alike(&self, engine: Engine, sql: Sql, position: &Position) -> Sql {
        let mut sql = sql.push("(");
        for key in &self.keys {
            sql = key.expression(engine, sql).push(", ");
        }
        sql = sql.push(self.id).push(match self.id_direction {
            Direction::Ascending => ") > (",
            Direction::Descending => ") < (",
        });
        for value in &position.values {
            sql = sql.bind(value.clone()).push(", ");
        }
        sql.bind(position.id).push(")")
    }

    /// After in the first key; or equal in it and after in the second; and so on.
    fn after_mixed(&self, engine: Engine, sql: Sql, position: &Position) -> Sql {
        let pairs: Vec<_> = self.keys.iter().zip(&position.values).collect();
        let mut sql = sql.push("(");
        for (index, (key, value)) in pairs.iter().enumerate() {
            sql = sql.push("(");
            for (before, value) in pairs.iter().take(index) {
                sql = equal(engine, sql, before, value).push(" AND ");
            }
            sql = beyond(engine, sql, key, value).push(") OR ");
        }
        sql = sql.push("(");
        for (before, value) in &pairs {
            sql = equal(engine, sql, before, value).push(" AND ");
        }
        let sign = match self.id_direction {
            Direction::Ascending => " > ",
            Direction::Descending => " < ",
        };
        sql.push(self.id).push(sign).bind(position.id).push("))")
    }
}

fn is_null(value: &Bind) -> bool {
    matches!(value, Bind::Integer(None) | Bind::Text(None) | Bind::Bytes(None) | Bind::Bool(None))
}

fn equal(engine: Engine, sql: Sql, key: &OrderKey, value: &Bind) -> Sql {
    if is_null(value) {
        return sql.push(key.column()).push(" IS NULL");
    }
    key.expression(engine, sql).push(" = ").bind(value.clone())
}

/// NULL comes before everything else.
fn beyond(engine: Engine, sql: Sql, key: &OrderKey, value: &Bind) -> Sql {
    match (key.direction, is_null(value)) {
        (Direction::Ascending, true) => sql.push(key.column()).push(" IS NOT NULL"),
        (Direction::Descending, true) => sql.push("1 = 0"),
        (Direction::Ascending, false) => key.expression(engine, sql).push(" > ").bind(value.clone()),
        (Direction::Descending, false) if key.field.nullable => {
            let sql = key.expression(engine, sql.push("(")).push(" < ").bind(value.clone());
            sql.push(" OR ").push(key.column()).push(" IS NULL)")
        }
        (Direction::Descending, false) => key.expression(engine, sql).push(" < ").bind(value.clone()),
    }
}
