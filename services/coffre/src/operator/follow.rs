//! Watching a re-encryption to its end: a bar where somebody looks, a line a percent elsewhere.

use std::io::{IsTerminal as _, Write};
use std::time::Duration;

use coffre_proto::vault::v1::{GetRotationRequest, Rotation};
use indicatif::{ProgressBar, ProgressStyle};

use super::fault::Fault;
use super::session::Session;
use super::shown;

/// How often the server is asked. Each question is a call that is audited.
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// How often in a row the server may be away: it may be restarting.
const MISSED: u32 = 60;

/// Shows how far it is until it is done.
pub(crate) async fn to_the_end(session: &mut Session, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
    let mut progress = Progress::new(!as_json && std::io::stderr().is_terminal());
    let mut missed = 0;
    loop {
        match ask(session).await {
            Ok(rotation) => {
                missed = 0;
                progress.show(&rotation, out, as_json)?;
                if !rotation.running {
                    return whole(&rotation);
                }
            }
            Err(fault) if fault.is_passing() && missed < MISSED => missed += 1,
            Err(fault) => {
                progress.clear();
                return Err(fault);
            }
        }
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

/// Says whether a re-encryption that has ended left nothing behind.
fn whole(ended: &Rotation) -> Result<(), Fault> {
    let left = ended.total_count.saturating_sub(ended.done_count);
    if ended.end_time.is_none() || left <= 0 {
        return Ok(());
    }
    Err(Fault::failed(format!(
        "the re-encryption is incomplete: {left} of {} are not under term {}, and an old term is kept for them. Log and audit name those that do not \
         open (valueCorrupt of vault.rotation.ended): write them anew or delete them. The others follow within a minute: then try \
         `coffre keys rotate --watch`",
        shown::values(ended.total_count),
        ended.term
    )))
}

/// Asks how far it is.
pub(crate) async fn ask(session: &mut Session) -> Result<Rotation, Fault> {
    session.keep().await?;
    let answer = session.keys().get_rotation(session.request(GetRotationRequest {})?).await;
    let answer = answer.map_err(|status| session.fault(&status))?.into_inner();
    answer.rotation.ok_or_else(|| Fault::failed("the server told nothing of a rotation"))
}

/// What was shown already.
struct Progress {
    bar: Option<ProgressBar>,
    percent: Option<i64>,
}

impl Progress {
    fn new(bar: bool) -> Self {
        // The bar takes what the line has left, so that it is one line on every terminal.
        let style =
            || ProgressStyle::with_template("[{wide_bar}] {msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        Self { bar: bar.then(|| ProgressBar::new(1).with_style(style())), percent: None }
    }

    fn show(&mut self, rotation: &Rotation, out: &mut impl Write, as_json: bool) -> Result<(), Fault> {
        if !rotation.running {
            self.clear();
        } else if let Some(bar) = &self.bar {
            bar.set_length(u64::try_from(rotation.total_count).unwrap_or(0).max(1));
            bar.set_position(u64::try_from(rotation.done_count).unwrap_or(0));
            bar.set_message(shown::progress(rotation));
            return Ok(());
        }
        let percent = shown::tenths(rotation.done_count, rotation.total_count) / 10;
        if rotation.running && self.percent == Some(percent) {
            return Ok(());
        }
        self.percent = Some(percent);
        shown::rotation(rotation).print(out, as_json)
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done_count: i64) -> Rotation {
        Rotation {
            running: done_count < 1000,
            done_count,
            total_count: 1000,
            rate: 10.0,
            term: 3,
            ..Rotation::default()
        }
    }

    #[test]
    fn a_line_a_percent_and_one_for_the_end() {
        let (mut progress, mut out) = (Progress::new(false), Vec::new());
        for done in [0, 1, 9, 10, 10, 19, 500, 1000] {
            progress.show(&at(done), &mut out, false).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "0.0 % (0 of 1000 values), 10/s, term 3",
                "1.0 % (10 of 1000 values), 10/s, term 3",
                "50.0 % (500 of 1000 values), 10/s, term 3",
                "none yet: 1000 values, term 3",
            ]
        );
    }

    #[test]
    fn programs_get_an_object_a_line() {
        let (mut progress, mut out) = (Progress::new(false), Vec::new());
        for done in [0, 500, 1000] {
            progress.show(&at(done), &mut out, true).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        let percents: Vec<f64> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["percent"].as_f64().unwrap())
            .collect();
        assert_eq!(percents, [0.0, 50.0, 100.0]);
    }

    #[test]
    fn behind_a_bar_only_the_end_is_printed() {
        let (mut progress, mut out) = (Progress::new(true), Vec::new());
        for done in [0, 500, 1000] {
            progress.show(&at(done), &mut out, false).unwrap();
        }
        assert_eq!(String::from_utf8(out).unwrap().lines().count(), 1);
    }
}
