//! How ids, versions and times look in an answer.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

/// An id as a JSON string, as protobuf's own JSON writes 64-bit numbers.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = String, examples("12"))]
pub(crate) struct Id(pub(crate) i64);

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl From<i64> for Id {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

/// A version as a JSON string.
#[derive(Clone, Copy, ToSchema)]
#[schema(value_type = String, examples("0"))]
pub(crate) struct Version(pub(crate) i64);

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl From<i64> for Version {
    fn from(number: i64) -> Self {
        Self(number)
    }
}

/// A list without a page.
#[derive(Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// The rows.
    pub(crate) list: Vec<T>,
}

/// Writes a time as RFC 3339 in UTC with milliseconds.
pub(crate) fn moment(time: Option<prost_types::Timestamp>) -> Option<String> {
    time.map(|time| coffre_types::Timestamp::from_proto(time).to_rfc3339_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_strings_and_times_have_milliseconds() {
        assert_eq!(serde_json::to_string(&[Id(12), Id(i64::MAX)]).unwrap(), r#"["12","9223372036854775807"]"#);
        assert_eq!(serde_json::to_string(&Version(0)).unwrap(), "\"0\"");
        let time = prost_types::Timestamp { seconds: 1_531_721_072, nanos: 905_400_000 };
        assert_eq!(moment(Some(time)).as_deref(), Some("2018-07-16T06:04:32.905Z"));
        assert_eq!(moment(None), None);
    }
}
