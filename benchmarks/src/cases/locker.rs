//! The audited read of a value through a locker.

use anyhow::Result;

use crate::api::{Api, Stored};
use crate::cases::{Bench, Served, at};
use crate::http;
use crate::work::{Cycle, Expected};

/// Reads go round so many credentials in so many lockers.
const LOCKERS: usize = 10;
const IN_EACH: usize = 100;

pub(super) fn run(bench: &mut Bench, served: &Served) -> Result<()> {
    let role = served.admin()?.add_role("locker-bots")?;
    let mut owner = served.user("locker-owner")?;
    let mut consumer = served.user_with("locker-consumer", Some(&role))?;
    let stored = owner.add_values("locker", LOCKERS * IN_EACH)?;
    for (number, inside) in stored.chunks(IN_EACH).enumerate() {
        owner.add_locker(&format!("measured-{number}"), inside, &role)?;
    }
    let case = format!("read of a value through one of {LOCKERS} lockers");
    let series = bench.rounds(
        &case,
        served.engine,
        &mut [
            served.contender("owner", Box::new(reads(&mut owner, &stored)?)),
            served.contender("consumer", Box::new(reads(&mut consumer, &stored)?)),
        ],
    )?;
    let (owner, consumer) = (at(&series, 0)?.per_second(), at(&series, 1)?.per_second());
    bench.report.ratio("read through a locker", served.engine, ("consumer", &consumer), ("owner", &owner), "≥ 0.9");
    Ok(())
}

fn reads(by: &mut Api, stored: &[Stored]) -> Result<Cycle> {
    let mut calls = Vec::with_capacity(stored.len());
    for one in stored {
        let answer = by.get(&one.read_path())?;
        answer.json(200)?;
        calls.push((http::get(&one.read_path(), Some(&by.token)), Expected::Body(200, answer.body)));
    }
    Cycle::new(calls)
}
