//! What comes out: a text for people, JSON for programs.

use std::io::{self, Write};

use coffre_proto::vault::v1::key_slot::Kind;
use coffre_proto::vault::v1::{KeySlot, Mode, Rotation};
use coffre_types::Timestamp;
use serde_json::{Value, json};

use super::fault::Fault;
use crate::say;

/// An answer in both forms.
pub(crate) struct Shown {
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Shown {
    /// Prints it.
    pub(crate) fn print(&self, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
        self.write(out, as_json).map_err(|error| {
            Fault::failed(format!("what was asked for was done, and the answer cannot be printed: {error}"))
        })
    }

    /// The same, for those who know more about what cannot be printed.
    pub(crate) fn write(&self, out: &mut impl Write, as_json: bool) -> io::Result<()> {
        if as_json { say::line_to(out, &self.json) } else { say::line_to(out, &self.text) }
    }
}

/// Names a mode as REST does.
pub(crate) fn mode_name(mode: Mode) -> &'static str {
    match mode {
        Mode::Express => "Express",
        Mode::Manual => "Manual",
        Mode::Unspecified => "unknown to this program",
    }
}

/// Says what becomes of the key that held before.
pub(crate) fn old_key(was: Mode, is: Mode) -> Option<&'static str> {
    match (was, is) {
        (Mode::Express, Mode::Manual) => Some(
            "the server's key file (express.key) opens only backups from before: keep it as long as those, apart from them, or destroy both\n\
             after a start, and now on every other replica, the vault waits for the master key (`coffre keys apply`)",
        ),
        (Mode::Manual, Mode::Express) => Some(
            "the server's key file (express.key) opens the vault at a start; the master key opens only backups from before",
        ),
        (Mode::Manual, Mode::Manual) => Some(
            "the old master key opens only backups from before; every other replica waits for the new one now (`coffre keys apply`)",
        ),
        _ => None,
    }
}

/// Names a slot as REST does.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Express => "express",
        Kind::Manual => "manual",
        Kind::Recovery => "recovery",
        Kind::Unspecified => "unknown",
    }
}

/// The state of the vault.
pub(crate) fn status(mode: Mode, applied: bool, rotation: &Rotation) -> Shown {
    let vault = match (applied, mode) {
        (true, _) => "open",
        (false, Mode::Manual) => "sealed; `coffre keys apply` opens it",
        (false, _) => "sealed; `coffre keys unseal` opens it, or `coffre keys apply --recovery`",
    };
    let text = format!("mode      {}\nvault     {vault}\nrotation  {}", mode_name(mode), progress(rotation));
    let json = json!({"mode": mode_name(mode), "applied": applied, "rotation": rotation_json(rotation)});
    Shown { text, json }
}

/// The keys that open the vault.
pub(crate) fn slots(slots: &[KeySlot]) -> Shown {
    let rows: Vec<(&str, Option<String>)> =
        slots.iter().map(|slot| (kind_name(slot.kind()), moment(slot.create_time))).collect();
    let explained = |kind: &str| match kind {
        "express" => "the server's key file",
        "manual" => "the master key that people hold",
        "recovery" => "the recovery key",
        _ => "a kind that this program does not know",
    };
    let line = |(kind, made): &(&str, Option<String>)| {
        format!("{kind:<9} {:<25} {}", made.as_deref().unwrap_or("-"), explained(kind))
    };
    let text = if rows.is_empty() {
        "no key opens this vault".to_owned()
    } else {
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let list: Vec<Value> = rows.iter().map(|(kind, made)| json!({"kind": kind, "createdOn": made})).collect();
    Shown { text, json: json!({"list": list}) }
}

/// How far a re-encryption is.
pub(crate) fn rotation(rotation: &Rotation) -> Shown {
    Shown { text: progress(rotation), json: rotation_json(rotation) }
}

/// The same in one line.
pub(crate) fn progress(rotation: &Rotation) -> String {
    let term = rotation.term;
    let (done, total) = (rotation.done_count, rotation.total_count);
    if rotation.running {
        let (whole, tenth) = (tenths(done, total) / 10, tenths(done, total) % 10);
        let pace = match (rotation.rate, rotation.seconds_left) {
            // Nothing uses the old terms any more, and they are about to be destroyed.
            _ if done >= total => "ending".to_owned(),
            (rate, _) if !(rate > 0.0 && rate.is_finite()) => "waiting".to_owned(),
            (rate, left) if rate < 1.0 => {
                left.map_or_else(|| "slowly".to_owned(), |left| format!("{} left", span(left)))
            }
            (rate, Some(left)) => format!("{rate:.0}/s, {} left", span(left)),
            (rate, None) => format!("{rate:.0}/s"),
        };
        return format!("{whole}.{tenth} % ({done} of {}), {pace}, term {term}", values(total));
    }
    match moment(rotation.end_time) {
        Some(ended) if done >= total => format!("done: {} under term {term} since {ended}", values(total)),
        Some(ended) => format!(
            "ended: {done} of {} under term {term} since {ended}; the others do not open, and log and audit name them, or they follow within \
             a minute",
            values(total)
        ),
        None => format!("none yet: {}, term {term}", values(total)),
    }
}

pub(crate) fn values(count: i64) -> String {
    if count == 1 { "1 value".to_owned() } else { format!("{count} values") }
}

/// Tenths of a percent, rounded down, so that nothing but the whole is all of it.
pub(crate) fn tenths(done: i64, total: i64) -> i64 {
    if total <= 0 || done >= total {
        return 1000;
    }
    i64::try_from(i128::from(done.max(0)) * 1000 / i128::from(total)).unwrap_or(0)
}

/// A length of time as people say it.
pub(crate) fn span(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[allow(clippy::cast_precision_loss, reason = "at most 1000")]
fn rotation_json(rotation: &Rotation) -> Value {
    json!({
        "running": rotation.running,
        "done": rotation.done_count,
        "total": rotation.total_count,
        "percent": tenths(rotation.done_count, rotation.total_count) as f64 / 10.0,
        "perSecond": if rotation.rate.is_finite() { rotation.rate } else { 0.0 },
        "secondsLeft": rotation.seconds_left,
        "startedOn": moment(rotation.start_time),
        "endedOn": moment(rotation.end_time),
        "term": rotation.term,
    })
}

fn moment(time: Option<prost_types::Timestamp>) -> Option<String> {
    time.map(|time| Timestamp::from_proto(time).to_rfc3339_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time() -> Option<prost_types::Timestamp> {
        Some(prost_types::Timestamp { seconds: 1_530_697_249, nanos: 187_000_000 })
    }

    fn running() -> Rotation {
        Rotation {
            running: true,
            done_count: 37_560,
            total_count: 100_000,
            rate: 5200.4,
            seconds_left: Some(12),
            start_time: time(),
            end_time: None,
            term: 2,
        }
    }

    #[test]
    fn progress_is_told_in_one_line() {
        assert_eq!(progress(&running()), "37.5 % (37560 of 100000 values), 5200/s, 12 s left, term 2");
        let unknown = Rotation { seconds_left: None, ..running() };
        assert_eq!(progress(&unknown), "37.5 % (37560 of 100000 values), 5200/s, term 2");
        for rate in [0.0, f64::NAN, f64::INFINITY, -1.0] {
            let still = Rotation { rate, ..running() };
            assert_eq!(progress(&still), "37.5 % (37560 of 100000 values), waiting, term 2");
        }
        let slow = Rotation { rate: 0.2, ..running() };
        assert_eq!(progress(&slow), "37.5 % (37560 of 100000 values), 12 s left, term 2");
        let all = Rotation { done_count: 100_000, ..running() };
        assert_eq!(progress(&all), "100.0 % (100000 of 100000 values), ending, term 2");
        let ended = Rotation { running: false, end_time: time(), done_count: 100_000, ..running() };
        assert_eq!(progress(&ended), "done: 100000 values under term 2 since 2018-07-04T09:40:49.187Z");
        let left_over = Rotation { done_count: 99_998, ..ended };
        let said = progress(&left_over);
        assert!(
            said.starts_with("ended: 99998 of 100000 values under term 2 since 2018") && said.contains("do not open"),
            "{said}"
        );
        let none = Rotation { total_count: 7, term: 1, ..Rotation::default() };
        assert_eq!(progress(&none), "none yet: 7 values, term 1");
        assert_eq!(progress(&Rotation { total_count: 1, ..none }), "none yet: 1 value, term 1");
    }

    #[test]
    fn nothing_but_the_whole_is_all_of_it() {
        for (done, total, expected) in [
            (0, 0, 1000),
            (0, 9, 0),
            (99_999, 100_000, 999),
            (9, 9, 1000),
            (10, 9, 1000),
            (i64::MAX - 1, i64::MAX, 999),
        ] {
            assert_eq!(tenths(done, total), expected, "{done} of {total}");
        }
    }

    #[test]
    fn spans_are_told_as_people_say_them() {
        for (seconds, expected) in
            [(-1, "0 s"), (0, "0 s"), (59, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (7380, "2 h 3 min")]
        {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn a_change_says_what_becomes_of_the_old_key() {
        assert!(
            old_key(Mode::Express, Mode::Manual)
                .is_some_and(|said| said.contains("express.key") && said.contains("destroy"))
        );
        assert!(
            old_key(Mode::Manual, Mode::Express).is_some_and(|said| said.contains("master key opens only backups"))
        );
        assert!(old_key(Mode::Manual, Mode::Manual).is_some_and(|said| said.contains("other replica")));
        assert_eq!(old_key(Mode::Express, Mode::Express), None);
    }

    #[test]
    fn a_sealed_vault_says_what_opens_it() {
        let text = |mode, applied| status(mode, applied, &Rotation::default()).text;
        assert!(text(Mode::Manual, false).contains("sealed; `coffre keys apply`"));
        assert!(text(Mode::Express, false).contains("sealed; `coffre keys unseal`"));
        assert!(text(Mode::Express, true).contains("vault     open\n"));
        let json = status(Mode::Manual, false, &running()).json;
        assert_eq!((&json["mode"], &json["applied"]), (&json!("Manual"), &json!(false)));
        assert_eq!(
            json["rotation"],
            json!({
                "running": true, "done": 37560, "total": 100_000, "percent": 37.5, "perSecond": 5200.4,
                "secondsLeft": 12, "startedOn": "2018-07-04T09:40:49.187Z", "endedOn": null, "term": 2
            })
        );
    }

    #[test]
    fn slots_are_listed_with_what_they_are() {
        let slot = |kind: Kind| KeySlot { kind: kind.into(), create_time: time() };
        let shown = slots(&[slot(Kind::Express), slot(Kind::Recovery), KeySlot { kind: 9, create_time: None }]);
        assert_eq!(
            shown.text,
            "express   2018-07-04T09:40:49.187Z  the server's key file\n\
             recovery  2018-07-04T09:40:49.187Z  the recovery key\n\
             unknown   -                         a kind that this program does not know"
        );
        assert_eq!(shown.json["list"][1], json!({"kind": "recovery", "createdOn": "2018-07-04T09:40:49.187Z"}));
        assert_eq!(slots(&[]).text, "no key opens this vault");
    }
}
