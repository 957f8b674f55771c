//! The threads that change rows on PostgreSQL. Changes that are queued share a serializable transaction and its flush, as on SQLite.
//!
//! Transactions that run beside each other lose races: the server compares whole pages of small tables. So the threads of a process take
//! turns, and one that waits too long for its turn goes ahead: a change that waits for somebody else's lock holds up no other for longer.
//!
//! ```text
//! all at once, without savepoints ── one fails ──▶ all at once, a savepoint each ── a race, again and again ──▶ one by one
//! ```
//! A savepoint costs a round trip a change, and nearly every change succeeds: that is why the first try does without.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::database::Job;
use crate::dialect::Begin;
use crate::journal::{Collected, Journal};
use crate::lane::Intake;
use crate::open::Seat;
use crate::stats::LaneStats;
use crate::transaction::{Apart, Failure, Verdict, change, transaction};
use crate::writer::Order;
use crate::{Error, reader};

/// How long a thread waits for its turn.
const PATIENCE: Duration = Duration::from_millis(500);
/// Changes that share a transaction at most.
const MOST: usize = 128;
/// How often changes that share a transaction are repeated together.
const TOGETHER: u32 = 2;

/// The turn of the threads that change rows of one database in this process.
#[derive(Default)]
pub(crate) struct Turns {
    taken: Mutex<bool>,
    free: Condvar,
}

/// The turn, until it is dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    /// Waits for the turn; `None` where it took too long.
    fn take(&self) -> Option<Turn<'_>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.free.wait_timeout_while(taken, PATIENCE, |taken| *taken);
        let (mut taken, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        (!waited.timed_out()).then(|| {
            *taken = true;
            Turn(self)
        })
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.free.notify_one();
    }
}

pub(crate) fn run(seat: Seat, mut intake: Intake<Order>, journal: Box<dyn Journal>, turns: &Turns, racing: Duration) {
    let mut writer = Writer { seat, journal, collected: Collected::default(), racing, most: MOST };
    let mut orders = Vec::new();
    while let Some(first) = reader::next(&mut writer.seat, &mut intake) {
        let _turn = turns.take();
        orders.push(first);
        intake.drain(&mut orders, writer.most);
        let mut jobs = Vec::with_capacity(orders.len());
        for order in orders.drain(..) {
            match order {
                Order::Change(job) if job.is_wanted() => jobs.push(job),
                Order::Change(_) => {}
                append @ Order::Append(..) => append.refuse(Error::Bug("an append in the queue of changes".to_owned())),
            }
        }
        writer.change(jobs);
    }
}

struct Writer {
    seat: Seat,
    journal: Box<dyn Journal>,
    collected: Collected,
    /// How long a change that loses races is repeated.
    racing: Duration,
    /// Changes that share a transaction for the moment: fewer after a lost race, more again with every success.
    most: usize,
}

impl Writer {
    fn change(&mut self, jobs: Vec<Box<dyn Job>>) {
        if jobs.is_empty() {
            return;
        }
        LaneStats::add(&self.seat.stats().batches, 1);
        let rest = if jobs.len() > 1 { self.together(jobs) } else { jobs };
        for job in rest {
            self.alone(job);
        }
    }

    /// Commits changes in one transaction, and returns those that must be tried one by one.
    fn together(&mut self, mut jobs: Vec<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
        let (mut apart, mut races, mut reopened) = (Apart::No, 0, false);
        loop {
            match self.attempt(&mut jobs, apart) {
                Ok(Verdict::Commit) => {
                    self.most = (self.most + 8).min(MOST);
                    jobs.into_iter().for_each(Job::answer);
                    return Vec::new();
                }
                Ok(Verdict::RollBack) if apart == Apart::No => apart = Apart::Savepoints,
                Err(failure) if failure.in_doubt => {
                    jobs.into_iter().for_each(|job| job.refuse(Error::Unavailable));
                    return Vec::new();
                }
                Err(failure) if failure.lost && !reopened => reopened = true,
                Err(failure) if failure.race && !failure.lost && races < TOGETHER => {
                    self.most = (self.most / 2).max(1);
                    self.lost_race(races);
                    races += 1;
                }
                Ok(Verdict::RollBack) | Err(_) => {
                    LaneStats::add(&self.seat.stats().failed_batches, 1);
                    return jobs;
                }
            }
        }
    }

    fn alone(&mut self, job: Box<dyn Job>) {
        let mut alone = [job];
        let (mut races, mut reopened, began) = (0, false, Instant::now());
        let outcome = loop {
            match self.attempt(&mut alone, Apart::No) {
                Ok(_) => break Ok(()),
                Err(failure) if failure.in_doubt => break Err(Error::Unavailable),
                Err(failure) if failure.lost && !reopened => reopened = true,
                Err(failure) if failure.race && !failure.lost && began.elapsed() < self.racing => {
                    self.lost_race(races);
                    races += 1;
                }
                Err(failure) => break Err(failure.error),
            }
        };
        let [job] = alone;
        match outcome {
            Ok(()) => job.answer(),
            Err(error) => job.refuse(error),
        }
    }

    fn attempt(&mut self, jobs: &mut [Box<dyn Job>], apart: Apart) -> Result<Verdict, Failure> {
        let Self { seat, journal, collected, .. } = self;
        transaction(seat, journal.as_mut(), Begin::Write, collected, |conn, collected, alarm, panics| {
            for job in jobs {
                let verdict = change(conn, collected, job.as_mut(), apart, panics)?;
                if apart == Apart::Savepoints && alarm.race() {
                    // Its savepoint may have survived the lost race, and would pass for its own refusal.
                    return Err(Error::Retryable);
                }
                if verdict == Verdict::RollBack {
                    return Ok(Verdict::RollBack);
                }
            }
            Ok(Verdict::Commit)
        })
    }

    fn lost_race(&self, races: u32) {
        LaneStats::add(&self.seat.stats().retries, 1);
        std::thread::sleep(pause(races));
    }
}

/// Doubles from 2 ms, and takes a random part of it, so that two that collided part.
fn pause(races: u32) -> Duration {
    let longest = 2_000_u64 << races.min(6);
    let random = RandomState::new().hash_one(races);
    Duration::from_micros(longest / 4 + random % longest)
}
