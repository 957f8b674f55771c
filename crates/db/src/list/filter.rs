//! Conditions: from the message, through a check, to SQL.

use coffre_proto::query::v1::{Comparison, Filter, comparison, filter, junction};
use coffre_types::{NameKey, Timestamp};
use uuid::Uuid;

use super::{Error, Field, Kind, Listing, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUE, MIN_SUBSTRING, Operator};
use crate::{Bind, Engine, Sql, dialect};

/// A checked condition.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Always,
    Never,
    Test(&'static Field, Operator, Literal),
    Custom(Sql),
    All(Vec<Condition>),
    Any(Vec<Condition>),
    Not(Box<Condition>),
}

/// A literal, as its field's kind reads it.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    /// Compares as it is.
    Value(Bind),
    /// A key, and the one that most rows have.
    Key(String, &'static str),
    /// One of the numbers of a [`Kind::Enum`], and the one that most rows have.
    Known(i64, Option<i64>),
    /// A moment: from its first microsecond to before the last.
    Moment(i64, i64),
    /// A text that is folded in SQL, as the column is.
    Folded(String),
    /// A pattern for LIKE, folded in SQL as the column is.
    Pattern(String),
    /// A pattern for LIKE on a column of keys.
    KeyPattern(String),
}

struct Reader<'a> {
    listing: &'a Listing,
    conditions: usize,
}

impl Condition {
    pub(super) fn read(listing: &Listing, filter: &Filter) -> Result<Self, Error> {
        Reader { listing, conditions: 0 }.filter(filter, 1)
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::invalid("filter", message)
}

impl Reader<'_> {
    fn filter(&mut self, filter: &Filter, depth: usize) -> Result<Condition, Error> {
        if depth > MAX_DEPTH {
            return Err(invalid(format!("a filter nests at most {MAX_DEPTH} levels")));
        }
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(invalid(format!("a filter holds at most {MAX_CONDITIONS} conditions")));
        }
        match &filter.condition {
            None => Ok(Condition::Always),
            Some(filter::Condition::Comparison(comparison)) => self.comparison(comparison),
            Some(filter::Condition::Junction(junction)) => {
                let operands: Result<Vec<_>, _> =
                    junction.operands.iter().map(|operand| self.filter(operand, depth + 1)).collect();
                join(junction.operator, operands?)
            }
        }
    }

    fn comparison(&self, comparison: &Comparison) -> Result<Condition, Error> {
        use comparison::Operator as Proto;
        let operator = match Proto::try_from(comparison.operator) {
            Ok(Proto::Equal) => Operator::Equal,
            Ok(Proto::NotEqual) => Operator::NotEqual,
            Ok(Proto::Less) => Operator::Less,
            Ok(Proto::LessOrEqual) => Operator::LessOrEqual,
            Ok(Proto::Greater) => Operator::Greater,
            Ok(Proto::GreaterOrEqual) => Operator::GreaterOrEqual,
            Ok(Proto::Substring) => Operator::Substring,
            Ok(Proto::Unspecified) | Err(_) => return Err(invalid("a comparison needs an operator")),
        };
        let field = self.listing.field(&comparison.field)?;
        let value = comparison.value.as_str();
        if value.chars().count() > MAX_VALUE {
            return Err(invalid(format!("a value of a filter has at most {MAX_VALUE} characters")));
        }
        if value.contains('\0') {
            return Err(invalid("a value of a filter has no NUL character"));
        }
        if let Kind::Custom(condition) = field.kind {
            let custom = condition(operator, value).map_err(|wrong| invalid(format!("{}: {wrong}", field.name)))?;
            return Ok(Condition::Custom(custom));
        }
        let literal =
            if operator == Operator::Substring { pattern(field, value)? } else { literal(field, operator, value)? };
        Ok(Condition::Test(field, operator, literal))
    }
}

fn join(operator: i32, operands: Vec<Condition>) -> Result<Condition, Error> {
    use junction::Operator as Proto;
    match Proto::try_from(operator) {
        Ok(Proto::And) => Ok(Condition::All(operands)),
        Ok(Proto::Or) if operands.is_empty() => Ok(Condition::Never),
        Ok(Proto::Or) => Ok(Condition::Any(operands)),
        Ok(Proto::Not) => match <[Condition; 1]>::try_from(operands) {
            Ok([operand]) => Ok(Condition::Not(Box::new(operand))),
            Err(_) => Err(invalid("`not` takes one operand")),
        },
        Ok(Proto::Unspecified) | Err(_) => Err(invalid("a junction needs an operator: and, or, not")),
    }
}

fn literal(field: &Field, operator: Operator, value: &str) -> Result<Literal, Error> {
    let name = field.name;
    let only_equal = |literal: Literal| match operator {
        Operator::Equal | Operator::NotEqual => Ok(literal),
        _ => Err(invalid(format!("{name} only compares as equal or not equal"))),
    };
    match field.kind {
        Kind::Integer => {
            let number = value.trim().parse::<i64>();
            let number = number.map_err(|_| invalid(format!("{name} compares with a whole number")))?;
            Ok(Literal::Value(number.into()))
        }
        Kind::Time => {
            let moment = Timestamp::parse_rfc3339(value.trim());
            let wrong = || invalid(format!("{name} compares with a time such as 2026-01-31T12:00:00Z"));
            let micros = moment.ok_or_else(wrong)?.micros();
            let width = if micros % 1000 == 0 { 1000 } else { 1 };
            Ok(Literal::Moment(micros, micros.saturating_add(width)))
        }
        Kind::Bool => match value.trim() {
            "true" => only_equal(Literal::Value(true.into())),
            "false" => only_equal(Literal::Value(false.into())),
            _ => Err(invalid(format!("{name} compares with true or false"))),
        },
        Kind::Text => Ok(Literal::Folded(value.to_owned())),
        Kind::TextWithKey(_) => {
            let key = NameKey::of(value).into_string();
            Ok(match field.usual_key {
                Some(usual) => Literal::Key(key, usual),
                None => Literal::Value(key.into()),
            })
        }
        Kind::Enum(names) => {
            let known = names.iter().find(|(known, _)| known.eq_ignore_ascii_case(value.trim()));
            let (_, number) = known.ok_or_else(|| {
                let all: Vec<_> = names.iter().map(|(name, _)| *name).collect();
                invalid(format!("{name} is one of {}", all.join(", ")))
            })?;
            only_equal(Literal::Known(*number, field.usual))
        }
        Kind::Uuid => {
            let uuid = Uuid::try_parse(value.trim()).map_err(|_| invalid(format!("{name} compares with a UUID")))?;
            only_equal(Literal::Value(uuid.as_bytes().to_vec().into()))
        }
        Kind::Custom(_) => Err(invalid(format!("{name} cannot be compared"))),
    }
}

fn pattern(field: &Field, value: &str) -> Result<Literal, Error> {
    let (text, is_key) = match field.kind {
        Kind::Text => (value.to_owned(), false),
        Kind::TextWithKey(_) => (key_part(value), true),
        _ => return Err(invalid(format!("{} is no text, so it contains none", field.name))),
    };
    if value.chars().count() < MIN_SUBSTRING {
        return Err(invalid(format!("a substring has at least {MIN_SUBSTRING} characters")));
    }
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | ESCAPE) {
            pattern.push(ESCAPE);
        }
        pattern.push(character);
    }
    pattern.push('%');
    Ok(if is_key { Literal::KeyPattern(pattern) } else { Literal::Pattern(pattern) })
}

const ESCAPE: char = '!';

/// The key of a part of a name: white space around it counts, as it is within the name. The bars keep it from being trimmed; nothing
/// composes with them.
fn key_part(value: &str) -> String {
    let key = NameKey::of(&format!("|{value}|")).into_string();
    key.strip_prefix('|').and_then(|rest| rest.strip_suffix('|')).unwrap_or(&key).to_owned()
}

impl Condition {
    /// The conditions that all have to hold.
    pub(super) fn conjuncts(&self) -> Vec<&Self> {
        match self {
            Self::Always => Vec::new(),
            Self::All(operands) => operands.iter().flat_map(Self::conjuncts).collect(),
            other => vec![other],
        }
    }

    /// How many comparisons one row takes at most.
    pub(super) fn tests(&self) -> i64 {
        match self {
            Self::Always | Self::Never => 0,
            Self::Test(..) | Self::Custom(_) => 1,
            Self::All(operands) | Self::Any(operands) => operands.iter().map(Self::tests).sum(),
            Self::Not(operand) => operand.tests(),
        }
    }

    /// Says whether it is an equality on a field that an index of the field leads to.
    pub(super) fn is_equality(&self, name: &str) -> bool {
        let Self::Test(field, Operator::Equal, literal) = self else { return false };
        field.name == name
            && match literal {
                Literal::Value(_) => true,
                Literal::Known(number, usual) => *usual != Some(*number),
                Literal::Key(key, usual) => key != usual,
                Literal::Moment(..) | Literal::Folded(_) | Literal::Pattern(_) | Literal::KeyPattern(_) => false,
            }
    }

    /// Says whether it is a range of a field of times.
    pub(super) fn is_range(&self, name: &str) -> bool {
        matches!(self, Self::Test(field, operator, Literal::Moment(..)) if field.name == name && *operator != Operator::NotEqual)
    }

    /// Adds the condition; it is true or false, never NULL.
    pub(super) fn write(&self, engine: Engine, sql: Sql) -> Sql {
        match self {
            Self::Always => sql.push("1 = 1"),
            Self::Never => sql.push("1 = 0"),
            Self::Custom(custom) => sql.push("(").join(custom.clone()).push(")"),
            Self::All(operands) if operands.is_empty() => sql.push("1 = 1"),
            Self::All(operands) => joined(engine, sql, operands, " AND "),
            Self::Any(operands) => joined(engine, sql, operands, " OR "),
            Self::Not(operand) => operand.write(engine, sql.push("NOT (")).push(")"),
            Self::Test(field, operator, literal) => test(engine, sql, field, *operator, literal),
        }
    }
}

fn joined(engine: Engine, mut sql: Sql, operands: &[Condition], between: &'static str) -> Sql {
    sql = sql.push("(");
    for (index, operand) in operands.iter().enumerate() {
        sql = operand.write(engine, sql.push(if index == 0 { "" } else { between }));
    }
    sql.push(")")
}

fn test(engine: Engine, sql: Sql, field: &Field, operator: Operator, literal: &Literal) -> Sql {
    let column = match field.kind {
        Kind::TextWithKey(key) => key,
        _ => field.column,
    };
    let guard = match (field.nullable, operator) {
        (false, _) => "(",
        (true, Operator::NotEqual) => " IS NULL OR ",
        (true, _) => " IS NOT NULL AND ",
    };
    let sql = if field.nullable { sql.push("(").push(column).push(guard) } else { sql.push(guard) };
    compare(engine, sql, column, operator, literal).push(")")
}

fn compare(engine: Engine, sql: Sql, column: &'static str, operator: Operator, literal: &Literal) -> Sql {
    match literal {
        Literal::Moment(from, to) => match operator {
            Operator::Equal => {
                sql.push(column).push(" >= ").bind(*from).push(" AND ").push(column).push(" < ").bind(*to)
            }
            Operator::NotEqual => {
                sql.push(column).push(" < ").bind(*from).push(" OR ").push(column).push(" >= ").bind(*to)
            }
            Operator::Less => sql.push(column).push(" < ").bind(*from),
            Operator::LessOrEqual => sql.push(column).push(" < ").bind(*to),
            Operator::Greater => sql.push(column).push(" >= ").bind(*to),
            Operator::GreaterOrEqual | Operator::Substring => sql.push(column).push(" >= ").bind(*from),
        },
        // Numbers of the program, and not bound: a planner that does not see them cannot know that a partial index has all the rows.
        Literal::Known(number, usual) => {
            let sql = sql.push(column).push(sign(operator)).text(number.to_string());
            match usual.filter(|usual| usual != number && operator == Operator::Equal) {
                Some(usual) => sql.push(" AND ").push(column).push(" <> ").text(usual.to_string()),
                None => sql,
            }
        }
        Literal::Pattern(pattern) => {
            let sql = dialect::folded(engine, sql, |sql| sql.push(column)).push(" LIKE ");
            dialect::folded(engine, sql, |sql| sql.bind(pattern.as_str())).push(" ESCAPE '!'")
        }
        Literal::KeyPattern(pattern) => sql.push(column).push(" LIKE ").bind(pattern.as_str()).push(" ESCAPE '!'"),
        Literal::Folded(text) => {
            let sql = dialect::folded(engine, sql, |sql| sql.push(column));
            let sql = sql.push(collated(engine, operator)).push(sign(operator));
            dialect::folded(engine, sql, |sql| sql.bind(text.as_str()))
        }
        Literal::Value(value @ Bind::Text(_)) => {
            sql.push(column).push(collated(engine, operator)).push(sign(operator)).bind(value.clone())
        }
        Literal::Value(value) => sql.push(column).push(sign(operator)).bind(value.clone()),
        Literal::Key(key, usual) => {
            let sql = sql.push(column).push(collated(engine, operator)).push(sign(operator)).bind(key.as_str());
            match operator == Operator::Equal && key != usual {
                true => sql.push(" AND ").push(column).push(" <> '").push(usual).push("'"),
                false => sql,
            }
        }
    }
}

/// Only an order depends on the collation; equality must not miss an index because of it.
fn collated(engine: Engine, operator: Operator) -> &'static str {
    match operator {
        Operator::Equal | Operator::NotEqual | Operator::Substring => "",
        _ => dialect::by_code_point(engine),
    }
}

fn sign(operator: Operator) -> &'static str {
    match operator {
        Operator::Equal => " = ",
        Operator::NotEqual => " <> ",
        Operator::Less => " < ",
        Operator::LessOrEqual => " <= ",
        Operator::Greater => " > ",
        Operator::GreaterOrEqual => " >= ",
        Operator::Substring => " LIKE ",
    }
}
