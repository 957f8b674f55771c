//! Times as people write and read them.

use coffre_types::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::super::fault::Fault;

/// The time zone in which times are shown and read.
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// The one of this machine, or UTC.
    pub(crate) fn of(utc: bool) -> Self {
        Self(if utc { TimeZone::UTC } else { TimeZone::system() })
    }

    /// Says which it is.
    pub(crate) fn name(&self) -> String {
        match self.0.iana_name() {
            Some(name) => name.to_owned(),
            None => self.0.to_fixed_offset().map_or_else(|_| "local".to_owned(), |offset| offset.to_string()),
        }
    }

    /// Writes a moment to the millisecond, without the zone.
    pub(crate) fn show(&self, moment: Option<prost_types::Timestamp>) -> String {
        let Some(moment) = moment.map(Timestamp::from_proto) else { return "-".to_owned() };
        match jiff::Timestamp::from_microsecond(moment.micros()) {
            Ok(moment) => moment.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S.%3f").to_string(),
            Err(_) => moment.to_rfc3339_millis(),
        }
    }

    /// Reads a moment: RFC 3339, a date or a date and time in the zone, or so long before `now`.
    pub(crate) fn read(&self, text: &str, now: Timestamp) -> Result<Timestamp, Fault> {
        let text = text.trim();
        if let Some(moment) = Timestamp::parse_rfc3339(text) {
            return Ok(moment);
        }
        if let Some(ago) = ago(text) {
            return Ok(now.minus(ago));
        }
        let local = match text.parse::<Date>() {
            // `2026-01-31T12` parses as a date, too: what stands behind it would be lost.
            Ok(date) if text.len() == date.to_string().len() => Some(date.at(0, 0, 0, 0)),
            _ => text.parse::<DateTime>().ok(),
        };
        let zoned = local.and_then(|local| local.to_zoned(self.0.clone()).ok());
        zoned.map(|zoned| Timestamp::from_micros(zoned.timestamp().as_microsecond())).ok_or_else(|| {
            Fault::given(format!(
                "{text:?} is no time: write 2026-01-31T12:00:00Z, 2026-01-31, \"2026-01-31 12:00\", or 45m, 12h, 7d for so long ago"
            ))
        })
    }
}

fn ago(text: &str) -> Option<std::time::Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let count: u64 = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some(std::time::Duration::from_secs(count.checked_mul(seconds)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn paris() -> Zone {
        Zone(TimeZone::get("Europe/Paris").unwrap())
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let hour = 3600 * 1_000_000;
        for (text, expected) in [
            ("2027-01-15T08:00:00Z", 1_800_000_000_000_000),
            ("2027-01-15T09:00:00+01:00", 1_800_000_000_000_000),
            ("2027-01-15 09:00", 1_800_000_000_000_000),
            ("2027-01-15T09:00", 1_800_000_000_000_000),
            ("2027-01-15", 1_800_000_000_000_000 - 9 * hour),
            ("2h", 1_800_000_000_000_000 - 2 * hour),
            (" 1d ", 1_800_000_000_000_000 - 24 * hour),
            ("90m", 1_800_000_000_000_000 - 3 * hour / 2),
        ] {
            assert_eq!(paris().read(text, NOW).unwrap().micros(), expected, "{text}");
        }
        assert_eq!(Zone::of(true).read("2027-01-15 08:00", NOW).unwrap(), NOW);
        for text in ["", "yesterday", "2027-13-01", "h", "-2h", "2w", "99999999999999999999d", "12:00"] {
            let refused = paris().read(text, NOW).unwrap_err();
            assert_eq!(refused.exit_code(), 65, "{text}");
        }
    }

    #[test]
    fn times_are_shown_in_their_zone_which_is_named() {
        let moment = Some(NOW.to_proto());
        assert_eq!(
            (paris().show(moment).as_str(), paris().name().as_str()),
            ("2027-01-15 09:00:00.000", "Europe/Paris")
        );
        let utc = Zone::of(true);
        assert_eq!((utc.show(moment).as_str(), utc.name().as_str()), ("2027-01-15 08:00:00.000", "UTC"));
        assert_eq!(utc.show(None), "-");
    }
}
