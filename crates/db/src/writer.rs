//! The thread that commits in groups: every change and every append on SQLite, the appends on PostgreSQL (its changes: `serial`).
//!
//! It takes what is queued, runs it in one transaction, has the journal write all entries at once, and commits once. Nobody is answered
//! before the commit, not even a change that failed: it may have seen rows of one that is about to be lost. Where a change fails, all is
//! run again with a savepoint for each, so that it leaves the others alone: nearly every change succeeds, and a savepoint has the engine
//! keep a copy of every page that is touched. A batch that is lost is rerun one by one, so that only the culprit pays.

use coffre_trace::Current;
use tokio::sync::oneshot;

use crate::database::Job;
use crate::dialect::Begin;
use crate::journal::{Collected, Journal, JournalEntry};
use crate::lane::Intake;
use crate::open::{Role, Seat};
use crate::stats::LaneStats;
use crate::transaction::{Apart, Failure, Verdict, change, transaction};
use crate::{Error, reader};

/// What is to be committed.
pub(crate) enum Order {
    Change(Box<dyn Job>),
    Append(Vec<JournalEntry>, Option<oneshot::Sender<Result<(), Error>>>, Option<Current>),
}

impl Order {
    fn answer(self) {
        match self {
            Self::Change(job) => job.answer(),
            // The caller may have gone.
            Self::Append(_, Some(reply), _) => drop(reply.send(Ok(()))),
            Self::Append(_, None, _) => {}
        }
    }

    pub(crate) fn refuse(self, error: Error) {
        match self {
            Self::Change(job) => job.refuse(error),
            Self::Append(_, Some(reply), _) => drop(reply.send(Err(error))),
            Self::Append(_, None, _) => {}
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
                Order::Append(entries, _, trace) => {
                    collected.entries.extend(entries.iter().cloned());
                    collected.traces.extend(trace.clone());
                }
                Order::Change(job) => {
                    if change(conn, collected, job.as_mut(), apart, panics)? == Verdict::RollBack {
                        return Ok(Verdict::RollBack);
                    }
                }
            }
        }
        Ok(Verdict::Commit)
    })
}
