//! From what was asked for on the command line to a filter.

use coffre_proto::query::v1::comparison::Operator;
use coffre_proto::query::v1::filter::Condition;
use coffre_proto::query::v1::{Comparison, Filter, Junction, junction};
use coffre_types::Timestamp;

use super::super::fault::Fault;
use super::args::Which;
use super::times::Zone;

fn comparison(field: &str, operator: Operator, value: impl Into<String>) -> Filter {
    let comparison = Comparison { field: field.to_owned(), operator: operator.into(), value: value.into() };
    Filter { condition: Some(Condition::Comparison(comparison)) }
}

fn junction(operator: junction::Operator, operands: Vec<Filter>) -> Filter {
    Filter { condition: Some(Condition::Junction(Junction { operator: operator.into(), operands })) }
}

impl Which {
    /// Returns the moment before which entries are asked for.
    pub(crate) fn until(&self, zone: &Zone, now: Timestamp) -> Result<Option<Timestamp>, Fault> {
        self.until.as_ref().map(|time| zone.read(time, now)).transpose()
    }

    /// Returns the filter; `None` where all entries are asked for.
    pub(crate) fn filter(&self, zone: &Zone, now: Timestamp) -> Result<Option<Filter>, Fault> {
        let mut all = Vec::new();
        for (time, operator) in [(&self.since, Operator::GreaterOrEqual), (&self.until, Operator::Less)] {
            if let Some(time) = time {
                all.push(comparison("createdOn", operator, zone.read(time, now)?.to_rfc3339_millis()));
            }
        }
        let mut equal = |field: &str, value: &Option<String>| {
            all.extend(value.as_ref().map(|value| comparison(field, Operator::Equal, value)));
        };
        equal("userName", &self.by);
        equal("objectName", &self.object_name);
        equal("event", &self.event);
        equal("activityType", &self.activity.as_ref().map(|word| word.to_ascii_uppercase()));
        equal("clientAddress", &self.address);
        equal("requestId", &self.request);
        if let Some(object) = &self.object {
            let (kind, id) = object.split_once('/').map_or((object.as_str(), None), |(kind, id)| (kind, Some(id)));
            equal("objectType", &Some(kind.to_owned()));
            equal("objectId", &id.map(ToOwned::to_owned));
        }
        if self.failed {
            equal("status", &Some("Unsuccessful".to_owned()));
        }
        if let Some(text) = &self.text {
            if text.chars().count() < 3 {
                return Err(Fault::given("--text needs 3 characters at least"));
            }
            let fields = ["eventDescription", "detail"].map(|field| comparison(field, Operator::Substring, text));
            all.push(junction(junction::Operator::Or, fields.to_vec()));
        }
        Ok(match all.len() {
            0 => None,
            1 => all.pop(),
            _ => Some(junction(junction::Operator::And, all)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(filter: Option<Filter>) -> Vec<(String, String)> {
        match filter.and_then(|filter| filter.condition) {
            None => Vec::new(),
            Some(Condition::Comparison(one)) => vec![(one.field, one.value)],
            Some(Condition::Junction(all)) => all.operands.into_iter().flat_map(|one| fields(Some(one))).collect(),
        }
    }

    #[test]
    fn what_is_given_must_all_be_so() {
        let (zone, now) = (Zone::of(true), Timestamp::from_seconds(1_800_000_000));
        let read = |which: &Which| fields(which.filter(&zone, now).unwrap());
        assert!(read(&Which::default()).is_empty());
        let text = |text: &str| Some(text.to_owned());
        let which = Which {
            since: text("1d"),
            by: text("ada"),
            object: text("credential/12"),
            activity: text("read_credential"),
            failed: true,
            text: text("login"),
            ..Which::default()
        };
        let expected = [
            ("createdOn", "2027-01-14T08:00:00.000Z"),
            ("userName", "ada"),
            ("activityType", "READ_CREDENTIAL"),
            ("objectType", "credential"),
            ("objectId", "12"),
            ("status", "Unsuccessful"),
            ("eventDescription", "login"),
            ("detail", "login"),
        ];
        assert_eq!(read(&which), expected.map(|(field, value)| (field.to_owned(), value.to_owned())));
        assert!(Which { text: text("ab"), ..Which::default() }.filter(&zone, now).is_err());
    }
}
