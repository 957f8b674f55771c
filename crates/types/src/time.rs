//! Times, and the clock as a parameter.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Takes microseconds since 1970.
    #[must_use]
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Takes whole seconds since 1970.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Returns the moment that much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns the moment that much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Returns how much later this is than another moment; zero where it is earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Writes RFC 3339 in UTC with milliseconds and `Z`.
    #[must_use]
    pub fn to_rfc3339_millis(self) -> String {
        let millis = self.0.div_euclid(1000);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(moment) => format!("{moment:.3}"),
            Err(_) => "9999-12-31T23:59:59.999Z".to_owned(),
        }
    }

    /// Writes RFC 3339 in UTC with microseconds and `Z`.
    #[must_use]
    pub fn to_rfc3339_micros(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => format!("{moment:.6}"),
            Err(_) => "9999-12-31T23:59:59.999999Z".to_owned(),
        }
    }

    /// Reads RFC 3339 with any offset; `None` where the text is something else.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|moment| Self(moment.as_microsecond()))
    }

    /// Returns the protobuf form.
    #[must_use]
    pub fn to_proto(self) -> prost_types::Timestamp {
        let nanos = i32::try_from(self.0.rem_euclid(1_000_000)).unwrap_or(0).saturating_mul(1000);
        prost_types::Timestamp { seconds: self.seconds(), nanos }
    }

    /// Reads the protobuf form, cut to microseconds.
    #[must_use]
    pub fn from_proto(proto: prost_types::Timestamp) -> Self {
        Self(proto.seconds.saturating_mul(1_000_000).saturating_add(i64::from(proto.nanos) / 1000))
    }
}

/// Tells the time. Code that needs the time takes one, so that tests choose it.
pub trait Clock: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;
    /// A clock that never goes back.
    fn monotonic(&self) -> Instant;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    #[allow(clippy::disallowed_methods)]
    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct FixedClock {
    now: AtomicI64,
    monotonic: Mutex<Instant>,
}

impl FixedClock {
    /// Starts at a moment.
    #[must_use]
    #[allow(clippy::disallowed_methods)]
    pub fn new(now: Timestamp) -> Self {
        Self { now: AtomicI64::new(now.0), monotonic: Mutex::new(Instant::now()) }
    }

    /// Moves both clocks on.
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
        if let Ok(mut monotonic) = self.monotonic.lock() {
            *monotonic += by;
        }
    }

    /// Sets the wall clock back, as an administrator may. The monotonic one never goes back.
    pub fn set_back(&self, by: Duration) {
        self.now.fetch_sub(i64::try_from(by.as_micros()).unwrap_or(0), Ordering::SeqCst);
    }
}

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    #[allow(clippy::disallowed_methods)]
    fn monotonic(&self) -> Instant {
        self.monotonic.lock().map_or_else(|_| Instant::now(), |monotonic| *monotonic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_has_milliseconds_and_z() {
        assert_eq!(Timestamp::from_micros(1_531_721_072_905_999).to_rfc3339_millis(), "2018-07-16T06:04:32.905Z");
        assert_eq!(Timestamp::from_micros(0).to_rfc3339_millis(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn rfc3339_has_microseconds_and_z_and_comes_back() {
        for (micros, text) in
            [(1_531_721_072_905_999, "2018-07-16T06:04:32.905999Z"), (0, "1970-01-01T00:00:00.000000Z")]
        {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(moment.to_rfc3339_micros(), text);
            assert_eq!(Timestamp::parse_rfc3339(text), Some(moment));
        }
    }

    #[test]
    fn offsets_are_read() {
        let parsed = Timestamp::parse_rfc3339("2018-06-25T14:13:58+05:30").unwrap();
        assert_eq!(parsed.to_rfc3339_millis(), "2018-06-25T08:43:58.000Z");
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn proto_form_comes_back() {
        for micros in [0, 1, -1, 1_531_721_072_905_999] {
            let moment = Timestamp::from_micros(micros);
            assert_eq!(Timestamp::from_proto(moment.to_proto()), moment);
        }
    }
}
