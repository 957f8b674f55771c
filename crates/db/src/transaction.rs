//! One transaction of a thread that changes rows: changes, the journal, COMMIT. What `writer` and `serial` do alike.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use crate::database::{Job, Ran, panic_text};
use crate::dialect::{self, Begin};
use crate::journal::{Collected, Journal, Tx};
use crate::open::{Alarm, Seat};
use crate::stats::LaneStats;
use crate::{Connection, Error};

/// Why nothing was committed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// The connection broke.
    pub(crate) lost: bool,
    /// It broke during COMMIT.
    pub(crate) in_doubt: bool,
    /// The transaction lost a race.
    pub(crate) race: bool,
}

impl Failure {
    pub(crate) fn unavailable() -> Self {
        Self { error: Error::Unavailable, lost: false, in_doubt: false, race: false }
    }
}

/// How the changes of a transaction are kept apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Apart {
    /// Not at all: where one fails, nothing is committed.
    No,
    /// By a savepoint each.
    Savepoints,
}

/// Runs a change within a transaction, and says what becomes of the transaction.
pub(crate) fn change(
    conn: &mut Connection,
    collected: &mut Collected,
    job: &mut dyn Job,
    apart: Apart,
    panics: &mut usize,
) -> Result<Verdict, Error> {
    let ran = match apart {
        Apart::No => job.run(&mut Tx { conn, collected }),
        Apart::Savepoints => within_savepoint(conn, collected, job)?,
    };
    *panics += usize::from(ran == Ran::Panicked);
    Ok(if apart == Apart::No && ran != Ran::Done { Verdict::RollBack } else { Verdict::Commit })
}

/// Runs a change in a savepoint: one that fails leaves the others alone.
fn within_savepoint(conn: &mut Connection, collected: &mut Collected, job: &mut dyn Job) -> Result<Ran, Error> {
    let mark = collected.mark();
    let depth = dialect::savepoint(conn)?;
    let ran = job.run(&mut Tx { conn, collected });
    if ran == Ran::Done {
        dialect::release(conn, depth)?;
    } else {
        collected.back_to(mark);
        dialect::roll_back_to(conn, depth)?;
    }
    Ok(ran)
}

/// What becomes of a transaction whose closure ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Commit,
    RollBack,
}

/// One transaction: the body, the journal, COMMIT; or none of it.
pub(crate) fn transaction(
    seat: &mut Seat,
    journal: &mut dyn Journal,
    begin: Begin,
    collected: &mut Collected,
    body: impl FnOnce(&mut Connection, &mut Collected, &Alarm, &mut usize) -> Result<Verdict, Error>,
) -> Result<Verdict, Failure> {
    collected.clear();
    // A connection that was found dead is opened again at once, a first time.
    let _ = seat.try_open();
    let Some(opened) = seat.opened() else {
        return Err(Failure::unavailable());
    };
    opened.alarm.clear();
    let owner = opened.owner;
    let alarm = opened.alarm.clone();
    let mut step = Step { conn: &mut opened.conn, journal, alarm: &alarm, wrote: false, committing: false, took: None };
    let mut panics = 0;
    let outcome = step.run(begin, collected, body, &mut panics);
    let Step { wrote, committing, took, .. } = step;
    let (lost, race) = (alarm.lost(), alarm.race());
    let outcome = match outcome {
        Ok(Verdict::Commit) => {
            if wrote {
                journal.committed();
            }
            collected.after_commit.drain(..).for_each(run_quietly);
            Ok(Verdict::Commit)
        }
        Ok(Verdict::RollBack) | Err(_) => {
            let in_doubt = committing && lost;
            if wrote && in_doubt {
                journal.in_doubt();
            } else if wrote {
                journal.rolled_back();
            }
            let error = if lost { Some(Error::Unavailable) } else { None };
            match outcome {
                // The closure saw the connection break, whatever it made of it.
                Ok(_) if lost || race => {
                    Err(Failure { error: error.unwrap_or(Error::Retryable), lost, in_doubt, race })
                }
                Ok(verdict) => Ok(verdict),
                Err(own) => Err(Failure { error: error.unwrap_or(own), lost, in_doubt, race }),
            }
        }
    };
    if let (Some(took), Ok(Verdict::Commit)) = (took, &outcome) {
        collected.traces.iter().for_each(|trace| owner.committed(trace, took));
    }
    collected.clear();
    if lost {
        seat.lose();
    } else if !dialect::roll_back_all(&mut opened.conn) {
        seat.renew();
    }
    let stats = seat.stats();
    LaneStats::add(&stats.panics, panics);
    if let (Some(took), Ok(Verdict::Commit)) = (took, &outcome) {
        stats.committed(took);
    }
    if alarm.full() {
        stats.note_room(false);
    }
    outcome
}

struct Step<'a> {
    conn: &'a mut Connection,
    journal: &'a mut dyn Journal,
    alarm: &'a Alarm,
    wrote: bool,
    committing: bool,
    took: Option<std::time::Duration>,
}

impl Step<'_> {
    fn run(
        &mut self,
        begin: Begin,
        collected: &mut Collected,
        body: impl FnOnce(&mut Connection, &mut Collected, &Alarm, &mut usize) -> Result<Verdict, Error>,
        panics: &mut usize,
    ) -> Result<Verdict, Error> {
        dialect::begin(self.conn, begin)?;
        if body(self.conn, collected, self.alarm, panics)? == Verdict::RollBack {
            return Ok(Verdict::RollBack);
        }
        if self.alarm.failed() {
            // A closure went on after an error: PostgreSQL would turn COMMIT into ROLLBACK without a word.
            dialect::probe(self.conn)?;
        }
        if !collected.entries.is_empty() {
            self.wrote = true;
            let write = || self.journal.write(self.conn, &collected.entries);
            let write = || catch_unwind(AssertUnwindSafe(write));
            // What is written for all is told by one of them.
            let written = match collected.traces.first() {
                Some(trace) => trace.enter(write),
                None => write(),
            };
            written.unwrap_or_else(|panic| Err(Error::Bug(panic_text(panic.as_ref()))))?;
        }
        self.committing = true;
        let before = Instant::now();
        dialect::commit(self.conn)?;
        self.took = Some(before.elapsed());
        Ok(Verdict::Commit)
    }
}

fn run_quietly(then: crate::journal::AfterCommit) {
    if catch_unwind(AssertUnwindSafe(then)).is_err() {
        tracing::error!("what was to be done after a commit panicked");
    }
}
