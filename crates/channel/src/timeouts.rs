//! `grpc-timeout` (gRPC over HTTP/2, "Timeout"), and which calls have none.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// Eight digits are as many as there may be.
const BOUND: u128 = 100_000_000;

/// Reads how long a call may take, where it says so.
#[must_use]
pub fn asked(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let amount: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    match unit {
        "H" => Some(Duration::from_secs(amount.saturating_mul(3600))),
        "M" => Some(Duration::from_secs(amount.saturating_mul(60))),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Writes how long a call may take.
pub(crate) fn told(allowed: Duration) -> Option<HeaderValue> {
    let text = match (allowed.as_micros(), allowed.as_millis(), allowed.as_secs()) {
        (micros, ..) if micros < BOUND => format!("{micros}u"),
        (_, millis, _) if millis < BOUND => format!("{millis}m"),
        (.., seconds) => format!("{}S", u128::from(seconds).min(BOUND - 1)),
    };
    HeaderValue::try_from(text).ok()
}

/// Says whether a call's answer goes on, so that it has no deadline. By its name: those that go on are called `Watch…` and `Stream…`, and no
/// others are.
#[must_use]
pub fn goes_on(path: &str) -> bool {
    let method = path.rsplit('/').next().unwrap_or_default();
    method.starts_with("Watch") || method.starts_with("Stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(GRPC_TIMEOUT, HeaderValue::from_str(text).unwrap());
        asked(&headers)
    }

    #[test]
    fn what_is_told_is_what_is_asked() {
        for allowed in [
            Duration::ZERO,
            Duration::from_micros(1),
            Duration::from_millis(9_990),
            Duration::from_millis(123_456_789),
            Duration::from_secs(99_999_999),
        ] {
            let written = told(allowed).unwrap();
            let back = read(written.to_str().unwrap()).unwrap();
            assert!(back <= allowed && allowed - back < Duration::from_secs(1), "{allowed:?} {written:?}");
        }
        assert_eq!(told(Duration::MAX).unwrap(), "99999999S");
    }

    #[test]
    fn a_timeout_has_a_unit_and_at_most_eight_digits() {
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(read("10S"), Some(Duration::from_secs(10)));
        for text in ["", "S", "10", "10X", "999999999S", "-1S", "1 S"] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn calls_that_go_on_are_known_by_their_names() {
        assert!(goes_on("/coffre.auth.internal.v1.CallerService/WatchChanges"));
        assert!(goes_on("/coffre.audit.v1.AuditService/StreamEntries"));
        assert!(!goes_on("/coffre.audit.v1.AuditService/ListEntries"));
        assert!(!goes_on("/coffre.stream.v1.StreamService/List"));
    }
}
