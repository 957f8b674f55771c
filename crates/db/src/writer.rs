//! The thread that commits in groups: every change and every append on SQLite, the appends on PostgreSQL (its changes: `serial`).
//!
//! It takes what is queued, runs it in one transaction, has the journal write all entries at once, and commits once. Nobody is answered
//! before the commit, not even a change that failed: it may have seen rows of one that is about to be lost. Where a change fails, all is
//! run again with a savepoint for each, so that it leaves the others alone: nearly every change succeeds, and a savepoint has the engine
//! keep a copy of every page that is touched. A batch that is lost is rerun one by one, so that only the culprit pays.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use tokio::sync::oneshot;

use crate::database::{Job, Ran, panic_text};
use crate::dialect::{self, Begin};
use crate::journal::{Collected, Journal, JournalEntry, Tx};
use crate::lane::Intake;
use crate::open::{Alarm, Role, Seat};
use crate::stats::LaneStats;
use crate::{Connection, Error, reader};

/// What is to be committed.
pub(crate) enum Order {
    Change(Box<dyn Job>),
    Append(Vec<JournalEntry>, Option<oneshot::Sender<Result<(), Error>>>),
}

impl Order {
    fn answer(self) {
        match self {
            Self::Change(job) => job.answer(),
            // The caller may have gone.
            Self::Append(_, Some(reply)) => drop(reply.send(Ok(()))),
            Self::Append(_, None) => {}
        }
    }

    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Change(job) => job.refuse(error),
            Self::Append(_, Some(reply)) => drop(reply.send(Err(error))),
            Self::Append(_, None) => {}
        }
    }
}

pub(crate) fn run(mut seat: Seat, mut intake: Intake<Order>, mut journal: Box<dyn Journal>, limit: usize) {
    let mut collected = Collected::default();
    let mut orders = Vec::new();
    while let Some(first) = reader::next(&mut seat, &mut intake) {
        orders.push(first);
        intake.drain(&mut orders, limit.max(1));
        orders.retain(|order| !matches!(order, Order::Change(job) if !job.is_wanted()));
        commit(&mut seat, journal.as_mut(), &mut orders, &mut collected);
        orders.clear();
    }
}

fn commit(seat: &mut Seat, journal: &mut dyn Journal, orders: &mut Vec<Order>, collected: &mut Collected) {
    if orders.is_empty() {
        return;
    }
    LaneStats::add(&seat.stats().batches, 1);
    let mut apart = Apart::No;
    let failure = loop {
        match attempt(seat, journal, orders, collected, apart) {
            Ok(Verdict::RollBack) if apart == Apart::No && orders.len() > 1 => apart = Apart::Savepoints,
            Ok(_) => return orders.drain(..).for_each(Order::answer),
            Err(failure) => break failure,
        }
    };
    LaneStats::add(&seat.stats().failed_batches, 1);
    if failure.in_doubt {
        return orders.drain(..).for_each(|order| order.refuse(Error::Unavailable));
    }
    // The single one had its own try, unless an idle connection turned out to be dead.
    if orders.len() == 1 && !failure.lost {
        return orders.drain(..).for_each(|order| order.refuse(failure.error.clone()));
    }
    for order in orders.drain(..) {
        let mut alone = [order];
        let outcome = attempt(seat, journal, &mut alone, collected, Apart::No);
        let [order] = alone;
        match outcome {
            Ok(_) => order.answer(),
            Err(failure) => order.refuse(failure.error),
        }
    }
}

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

/// Runs all orders in one transaction and commits it.
fn attempt(
    seat: &mut Seat,
    journal: &mut dyn Journal,
    orders: &mut [Order],
    collected: &mut Collected,
    apart: Apart,
) -> Result<Verdict, Failure> {
    let begin = if seat.role() == Role::Appender { Begin::Plain } else { Begin::Write };
    transaction(seat, journal, begin, collected, |conn, collected, _, panics| {
        for order in orders.iter_mut() {
            match order {
                Order::Append(entries, _) => collected.entries.extend(entries.iter().cloned()),
                Order::Change(job) if apart == Apart::No => {
                    let ran = job.run(&mut Tx { conn, collected });
                    *panics += usize::from(ran == Ran::Panicked);
                    if ran != Ran::Done {
                        return Ok(Verdict::RollBack);
                    }
                }
                Order::Change(job) => *panics += usize::from(within_savepoint(conn, collected, job.as_mut())?),
            }
        }
        Ok(Verdict::Commit)
    })
}

/// Runs a change in a savepoint; says whether it panicked.
pub(crate) fn within_savepoint(
    conn: &mut Connection,
    collected: &mut Collected,
    job: &mut dyn Job,
) -> Result<bool, Error> {
    let mark = collected.mark();
    let depth = dialect::savepoint(conn)?;
    let ran = job.run(&mut Tx { conn, collected });
    if ran == Ran::Done {
        dialect::release(conn, depth)?;
    } else {
        collected.back_to(mark);
        dialect::roll_back_to(conn, depth)?;
    }
    Ok(ran == Ran::Panicked)
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
            catch_unwind(AssertUnwindSafe(write))
                .unwrap_or_else(|panic| Err(Error::Bug(panic_text(panic.as_ref()))))?;
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
