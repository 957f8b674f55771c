//! The threads that change rows on PostgreSQL: each change is a serializable transaction, repeated where it lost a race.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use crate::Error;
use crate::database::{Job, Ran};
use crate::dialect::Begin;
use crate::journal::{Collected, Journal, Tx};
use crate::lane::Intake;
use crate::open::Seat;
use crate::reader;
use crate::stats::LaneStats;
use crate::writer::{Order, Verdict, transaction};

pub(crate) fn run(mut seat: Seat, mut intake: Intake<Order>, mut journal: Box<dyn Journal>, retries: u32) {
    let mut collected = Collected::default();
    while let Some(order) = reader::next(&mut seat, &mut intake) {
        match order {
            Order::Change(job) if job.is_wanted() => change(&mut seat, journal.as_mut(), &mut collected, retries, job),
            Order::Change(_) => {}
            append @ Order::Append(..) => append.refuse(Error::Bug("an append in the queue of changes".to_owned())),
        }
    }
}

fn change(seat: &mut Seat, journal: &mut dyn Journal, collected: &mut Collected, retries: u32, mut job: Box<dyn Job>) {
    LaneStats::add(&seat.stats().batches, 1);
    let mut races = 0;
    let mut reopened = false;
    loop {
        let outcome = transaction(seat, journal, Begin::Write, collected, |conn, collected, panics| {
            let ran = job.run(&mut Tx { conn, collected });
            *panics += usize::from(ran == Ran::Panicked);
            Ok(if ran == Ran::Done { Verdict::Commit } else { Verdict::RollBack })
        });
        match outcome {
            Ok(_) => return job.answer(),
            Err(failure) if failure.in_doubt => return job.refuse(Error::Unavailable),
            Err(failure) if failure.lost && !reopened => reopened = true,
            Err(failure) if failure.race && !failure.lost && races < retries => {
                LaneStats::add(&seat.stats().retries, 1);
                std::thread::sleep(pause(races));
                races += 1;
            }
            Err(failure) => return job.refuse(failure.error),
        }
    }
}

/// Doubles from 2 ms, and takes a random part of it, so that two that collided part.
fn pause(races: u32) -> Duration {
    let longest = 2_000_u64 << races.min(6);
    let random = RandomState::new().hash_one(races);
    Duration::from_micros(longest / 4 + random % longest)
}
