//! Signing in, which is one password hash and little else; refreshing a token; and what others feel meanwhile.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::api::{USER_PASSWORD, refresh_call, sign_in_call};
use crate::cases::{Bench, Served, at};
use crate::cli::{Engine, Options};
use crate::http::{self, Client};
use crate::load::{self, Plan, Work};
use crate::report::{Figure, Series};
use crate::work::{Cycle, Expected};

/// Everybody signs in on his own: a single name with many attempts under way is throttled.
const USERS: usize = 16;
/// Reads a second while sign-ins saturate the machine.
const OTHER_CALLS: u32 = 500;

pub(super) fn run(bench: &mut Bench, served: &Served) -> Result<()> {
    let engine = served.engine;
    let mut calls = Vec::new();
    let mut reader = None;
    for number in 0..USERS {
        let username = format!("signer-{number}");
        reader = Some(served.user(&username)?);
        let request = sign_in_call(&username, USER_PASSWORD);
        let answer = Client::connect(served.coffre.address)?.call(&request)?;
        answer.json(200)?;
        calls.push((request, Expected::like(200, answer.body.len())));
    }
    let mut reader = reader.context("nobody signed in")?;

    // The series of raw hashes has no answers to show: its figures are hashes a second.
    let mut raw = Vec::new();
    let mut signed = Vec::new();
    let plan = Plan {
        address: served.coffre.address,
        connections: USERS.min(usize::from(bench.options.connections)),
        warm_up: Options::warm_up(bench.options.measured()),
        measured: bench.options.measured(),
        rate: None,
        processes: vec![served.coffre.pid()],
        database: engine == Engine::Postgres,
    };
    bench.report.say(&format!("\nsign-in ({}, {} users)", engine.name(), plan.connections));
    let mut sign_ins = Cycle::new(calls)?;
    for _ in 0..bench.options.rounds {
        let time = bench.options.measured();
        raw.push(bench.undisturbed(|| hashes(2, time))?);
        signed.push(bench.undisturbed(|| load::run(&plan, &mut sign_ins))?);
    }
    let hashed = Figure::of(raw.iter().copied());
    bench.report.say(&format!(
        "  {:<28} {:>9.1}/s [{:.1}..{:.1}]",
        "Argon2id, 2 threads", hashed.median, hashed.least, hashed.most
    ));
    let series = Series { name: "Coffre".to_owned(), rounds: signed };
    bench.report.series("sign-in", engine, &series);
    bench.report.ratio("sign-in", engine, ("Coffre", &series.per_second()), ("Argon2id, 2 threads", &raw), "≥ 0.9");

    let request = refresh_call(&reader.token);
    let answer = reader.send(&request)?;
    answer.json(200)?;
    let refresh = Cycle::new(vec![(request, Expected::like(200, answer.body.len()))])?;
    let series = bench.rounds("token refresh", engine, &mut [served.contender("Coffre", Box::new(refresh))])?;
    bench.report.figure("token refresh", engine, Figure::of(at(&series, 0)?.per_second()), "a second", "≥ 3 000");

    meanwhile(bench, served, &reader, &plan, &mut sign_ins)
}

/// The p99 of reads at a steady rate, alone and while sign-ins saturate.
fn meanwhile(
    bench: &mut Bench,
    served: &Served,
    reader: &crate::api::Api,
    plan: &Plan,
    sign_ins: &mut Cycle,
) -> Result<()> {
    let stored = reader.add_values("meanwhile", 1)?;
    let Some(one) = stored.first() else { bail!("there is nothing to read") };
    let path = one.read_path();
    let answer = Client::connect(served.coffre.address)?.call(&http::get(&path, Some(&reader.token)))?;
    answer.json(200)?;
    let mut reads = Cycle::new(vec![(http::get(&path, Some(&reader.token)), Expected::Body(200, answer.body))])?;
    let steady = Plan { connections: 64, rate: Some(OTHER_CALLS), ..plan.clone() };
    // Longer than the reads, so that it covers them.
    let saturating = Plan {
        warm_up: Duration::ZERO,
        measured: steady.warm_up + steady.measured + Duration::from_secs(1),
        ..plan.clone()
    };
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..bench.options.rounds {
        alone.push(bench.undisturbed(|| load::run(&steady, &mut reads))?);
        beside.push(bench.undisturbed(|| together(&steady, &mut reads, &saturating, sign_ins))?);
    }
    let alone = Series { name: "alone".to_owned(), rounds: alone };
    let beside = Series { name: "while sign-ins saturate".to_owned(), rounds: beside };
    let case = format!("{OTHER_CALLS} reads a second, open loop");
    bench.report.say(&format!("\n{case} ({})", served.engine.name()));
    bench.report.series(&case, served.engine, &alone);
    bench.report.series(&case, served.engine, &beside);
    let micros = |series: &Series| -> Vec<f64> { series.p99_millis().iter().map(|millis| millis * 1e3).collect() };
    let these = ("saturated p99 µs", &micros(&beside)[..]);
    bench.report.ratio("reads while sign-ins saturate", served.engine, these, ("alone p99 µs", &micros(&alone)), "≤ 2");
    Ok(())
}

fn together(steady: &Plan, reads: &mut dyn Work, saturating: &Plan, sign_ins: &mut Cycle) -> Result<load::Outcome> {
    thread::scope(|scope| {
        let storm = scope.spawn(|| load::run(saturating, sign_ins));
        let outcome = load::run(steady, reads);
        let storm = storm.join().map_err(|_| anyhow::anyhow!("the sign-ins ended early"))??;
        if storm.failures > 0 {
            bail!("{} sign-ins failed; the first: {}", storm.failures, storm.first_failure.unwrap_or_default());
        }
        outcome
    })
}

/// Raw hashes a second with the parameters of Coffre: 19 MiB, 2 passes, 1 lane.
fn hashes(threads: usize, time: Duration) -> Result<f64> {
    let begun = Instant::now();
    let until = begun + time;
    let counts = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(move || hash_until(until))).collect();
        threads
            .into_iter()
            .map(|one| one.join().map_err(|_| anyhow::anyhow!("a hashing thread ended"))?)
            .collect::<Result<Vec<u64>>>()
    })?;
    Ok(counts.iter().sum::<u64>() as f64 / begun.elapsed().as_secs_f64())
}

fn hash_until(until: Instant) -> Result<u64> {
    let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(|error| anyhow::anyhow!("Argon2id: {error}"))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut out = [0_u8; 32];
    let mut count = 0;
    while Instant::now() < until {
        argon2
            .hash_password_into(USER_PASSWORD.as_bytes(), b"a salt of 16 byt", &mut out)
            .map_err(|error| anyhow::anyhow!("Argon2id: {error}"))?;
        count += 1;
    }
    Ok(count)
}
