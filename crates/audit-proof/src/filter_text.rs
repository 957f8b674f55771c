//! A filter as text for people, as an export says by what its entries were chosen.

use coffre_proto::query::v1::comparison::Operator;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, Junction, junction};

/// Writes a filter, such as `userName = "ada" and (status = "Unsuccessful" or event ~ "read")`; `None` where it leaves nothing out.
#[must_use]
pub fn filter_text(filter: Option<&Filter>) -> Option<String> {
    filter.and_then(|filter| filter.condition.as_ref()).map(condition)
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::Comparison(one) => comparison(one),
        Condition::Junction(all) => junction(all),
    }
}

fn comparison(comparison: &Comparison) -> String {
    let sign = match comparison.operator() {
        Operator::Equal => "=",
        Operator::NotEqual => "≠",
        Operator::Less => "<",
        Operator::LessOrEqual => "≤",
        Operator::Greater => ">",
        Operator::GreaterOrEqual => "≥",
        Operator::Substring => "~",
        Operator::Unspecified => "?",
    };
    format!("{} {sign} {:?}", comparison.field, comparison.value)
}

fn junction(junction: &Junction) -> String {
    let operands: Vec<String> = junction
        .operands
        .iter()
        .map(|operand| match &operand.condition {
            None => "everything".to_owned(),
            Some(inner @ Condition::Comparison(_)) => condition(inner),
            Some(inner) => format!("({})", condition(inner)),
        })
        .collect();
    match junction.operator() {
        junction::Operator::And if operands.is_empty() => "everything".to_owned(),
        junction::Operator::And => operands.join(" and "),
        junction::Operator::Or if operands.is_empty() => "nothing".to_owned(),
        junction::Operator::Or => operands.join(" or "),
        junction::Operator::Not => format!("not {}", operands.join(", ")),
        junction::Operator::Unspecified => operands.join(" ? "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(field: &str, operator: Operator, value: &str) -> Filter {
        let comparison = Comparison { field: field.into(), operator: operator.into(), value: value.into() };
        Filter { condition: Some(Condition::Comparison(comparison)) }
    }

    fn joined(operator: junction::Operator, operands: Vec<Filter>) -> Filter {
        Filter { condition: Some(Condition::Junction(Junction { operator: operator.into(), operands })) }
    }

    #[test]
    fn a_filter_reads_as_people_say_it() {
        let either = vec![one("status", Operator::Equal, "Unsuccessful"), one("event", Operator::Substring, "a\"b\n")];
        let either = joined(junction::Operator::Or, either);
        let all = joined(junction::Operator::And, vec![one("userName", Operator::Equal, "ada"), either.clone()]);
        assert_eq!(
            filter_text(Some(&all)).unwrap(),
            r#"userName = "ada" and (status = "Unsuccessful" or event ~ "a\"b\n")"#
        );
        let none = joined(junction::Operator::Not, vec![either]);
        assert!(filter_text(Some(&none)).unwrap().starts_with("not (status"));
        assert_eq!((filter_text(None), filter_text(Some(&Filter::default()))), (None, None));
    }
}
