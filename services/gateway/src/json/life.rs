//! A length of time as people say it: `{"hours","minutes"}`.

use coffre_error::Refusal;
use prost_types::Duration;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Object, invalid};

/// A length of time. In requests, numbers or strings; either of the two may be left out.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"hours": 1, "minutes": 30}))]
pub(crate) struct Life {
    hours: i64,
    minutes: i64,
}

impl From<Duration> for Life {
    fn from(life: Duration) -> Self {
        Self { hours: life.seconds / 3600, minutes: life.seconds / 60 % 60 }
    }
}

/// Takes a length of time; which ones are good is for the service to judge.
///
/// # Errors
/// Where the field has another form, or holds neither of the two.
pub(crate) fn read_life(body: &mut Object, key: &str) -> Result<Option<Duration>, Refusal> {
    let path = body.field(key);
    let Some(json) = body.take(key) else { return Ok(None) };
    let mut life = Object::of(json, path.as_str())?;
    let (hours, minutes) = (life.number("hours")?, life.number("minutes")?);
    if (hours, minutes) == (None, None) {
        return Err(invalid(path, "needs hours, minutes or both, such as {\"hours\": 1, \"minutes\": 30}"));
    }
    let seconds =
        hours.unwrap_or(0).checked_mul(60).and_then(|sum| sum.checked_add(minutes.unwrap_or(0))?.checked_mul(60));
    // The longest that protobuf knows is 10 000 years (RFC: google.protobuf.Duration).
    let seconds = seconds.filter(|seconds| *seconds <= 315_576_000_000).ok_or_else(|| invalid(path, "is too long"))?;
    Ok(Some(Duration { seconds, nanos: 0 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn read(text: &str) -> Result<Option<Duration>, Refusal> {
        let body = format!("{{\"life\":{text}}}");
        read_life(&mut Object::of(parse(body.as_bytes())?.unwrap(), "")?, "life")
    }

    #[test]
    fn hours_and_minutes_come_as_numbers_or_texts() {
        for (text, seconds) in [
            (r#"{"hours":1,"minutes":30}"#, 5400),
            (r#"{"hours":"1","minutes":"30"}"#, 5400),
            (r#"{"minutes":90}"#, 5400),
            (r#"{"hours":2160}"#, 7_776_000),
            (r#"{"hours":0,"minutes":0}"#, 0),
            (r#"{"hours":1,"minutes":null,"seconds":7}"#, 3600),
        ] {
            assert_eq!(read(text).unwrap(), Some(Duration { seconds, nanos: 0 }), "{text}");
        }
        assert_eq!(read("null").unwrap(), None);
    }

    #[test]
    fn other_forms_are_refused_by_their_path() {
        for (text, field) in [
            ("60", "life"),
            ("\"1:30\"", "life"),
            ("{}", "life"),
            (r#"{"hours":null}"#, "life"),
            (r#"{"hours":-1}"#, "life.hours"),
            (r#"{"hours":1,"minutes":1.5}"#, "life.minutes"),
            (r#"{"minutes":"x"}"#, "life.minutes"),
            (r#"{"hours":9223372036854775807}"#, "life"),
            (r#"{"hours":87660001}"#, "life"),
        ] {
            assert_eq!(read(text).unwrap_err().violations()[0].field, field, "{text}");
        }
    }

    #[test]
    fn answers_have_both_as_numbers() {
        for (seconds, expected) in [
            (5400, r#"{"hours":1,"minutes":30}"#),
            (60, r#"{"hours":0,"minutes":1}"#),
            (7_776_000, r#"{"hours":2160,"minutes":0}"#),
        ] {
            assert_eq!(serde_json::to_string(&Life::from(Duration { seconds, nanos: 0 })).unwrap(), expected);
        }
    }
}
