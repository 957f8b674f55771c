//! The threads that read.

use crate::database::{Job, Ran};
use crate::journal::{Collected, Tx};
use crate::lane::{Intake, Next};
use crate::open::Seat;
use crate::stats::LaneStats;
use crate::{Error, dialect};

pub(crate) fn run(mut seat: Seat, mut intake: Intake<Box<dyn Job>>) {
    let mut collected = Collected::default();
    while let Some(job) = next(&mut seat, &mut intake) {
        if job.is_wanted() {
            serve(&mut seat, &mut collected, job);
        }
    }
}

/// Waits for a call, and opens the connection meanwhile where there is none.
pub(crate) fn next<J>(seat: &mut Seat, intake: &mut Intake<J>) -> Option<J> {
    loop {
        if seat.is_open() {
            match intake.wait() {
                Next::Job(job) => return Some(job),
                Next::Stop | Next::Nothing => return None,
            }
        }
        let pause = seat.pause();
        if seat.others_stand() && !intake.is_closed() {
            // They take the calls; this one comes back when it has a connection.
            std::thread::sleep(pause);
        } else {
            match intake.wait_for(pause) {
                Next::Job(job) => return Some(job),
                Next::Stop => return None,
                Next::Nothing => {}
            }
        }
        // Still none: the next round waits again.
        let _ = seat.try_open();
    }
}

fn serve(seat: &mut Seat, collected: &mut Collected, mut job: Box<dyn Job>) {
    for _ in 0..2 {
        // A connection that was found dead is opened again at once, a first time.
        let _ = seat.try_open();
        let Some(opened) = seat.opened() else {
            return job.refuse(Error::Unavailable);
        };
        opened.alarm.clear();
        let ran = job.run(&mut Tx { conn: &mut opened.conn, collected });
        collected.traces.clear();
        let clean = ran != Ran::Panicked && dialect::is_idle(&mut opened.conn);
        let lost = opened.alarm.lost();
        if ran == Ran::Panicked {
            LaneStats::add(&seat.stats().panics, 1);
        }
        if lost {
            seat.lose();
        } else if !clean {
            seat.renew();
        }
        if !lost || ran == Ran::Done {
            return job.answer();
        }
    }
    job.refuse(Error::Unavailable);
}
