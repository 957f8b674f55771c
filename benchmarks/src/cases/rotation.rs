//! Re-encryption of all values under a new data key, with a SIGKILL in the middle, beside reads at a steady rate.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::api::{Api, SECRET};
use crate::cases::{Bench, Served};
use crate::cli::{Engine, Options};
use crate::http;
use crate::load::{self, Outcome, Plan};
use crate::report::{Figure, Series};
use crate::work::{Cycle, Expected};

const PATH: &str = "/v2/credentialvault/keys/rotation";
/// Values of one credential.
const EACH: usize = 50;
/// Credentials with one value each, which are read meanwhile.
const READ: usize = 1000;
/// Reads a second, unless `--rate` says otherwise.
const READS: u32 = 500;
/// How long a stretch of reads is: in between the progress is looked at.
const STRETCH: Duration = Duration::from_secs(1);
/// How long it may stand still.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(bench: &mut Bench, engine: Engine) -> Result<()> {
    let mut served = bench.undisturbed_serve(engine)?;
    let mut reader = served.user("reader")?;
    let count = usize::try_from(bench.options.values)?.div_ceil(EACH);
    let all = reader.add_full_credentials("rotated", count, EACH)?;
    let stored = reader.add_values("read", READ)?;
    let mut calls = Vec::with_capacity(stored.len());
    for one in &stored {
        let answer = reader.get(&one.read_path())?;
        answer.json(200)?;
        calls.push((http::get(&one.read_path(), Some(&reader.token)), Expected::Body(200, answer.body)));
    }
    let mut reads = Cycle::new(calls)?;
    served.coffre.settle()?;

    let rate = bench.options.rate.unwrap_or(READS);
    let idle = Plan { warm_up: Options::warm_up(bench.options.measured()), ..plan(&served, bench, rate) };
    let idle = Plan { measured: bench.options.measured(), ..idle };
    let idle = bench.undisturbed(|| load::run(&idle, &mut reads))?;

    let mut admin = served.admin()?;
    admin.send(&http::json("POST", PATH, Some(&admin.token), &Value::Null))?.json(202)?;
    let (first, before) = stretch(bench, &served, rate, &mut reads, &mut admin, |now| now.done * 2 >= now.total)?;
    if before.done >= before.total {
        bail!("it was through before it could be killed: name more --values");
    }
    let away = served.coffre.kill_and_start()?;
    let after = Progress::ask(&mut admin)?;
    if !after.running || after.done < before.done {
        bail!(
            "it does not go on where it was: {} of {} done before the kill, {} after it",
            before.done,
            before.total,
            after.done
        );
    }
    let (second, _) = stretch(bench, &served, rate, &mut reads, &mut admin, |now| now.done >= now.total)?;
    let done = (after.total - after.done + before.done) as f64;
    let per_second = done / (first.elapsed + second.elapsed).as_secs_f64();
    let ended = Instant::now();
    while Progress::ask(&mut admin)?.running {
        if ended.elapsed() > PATIENCE {
            bail!("nothing is left to do, and it does not end");
        }
        thread::sleep(Duration::from_millis(100));
    }
    // Each of them, once more.
    for path in &all {
        let values = reader.get(path)?.json(200)?;
        let list = values.pointer("/list").and_then(Value::as_array).context("no list of values")?;
        if list.len() != EACH || list.iter().any(|one| one.get("value").and_then(Value::as_str) != Some(SECRET)) {
            bail!("a value is lost or changed: {values}");
        }
    }

    let case = format!("rotation of {} values", after.total);
    bench.report.say(&format!(
        "\n{case} ({}): killed at {:.0} %, away for {:.0} ms, {} done before the kill and {} found done after it; every value read back",
        engine.name(),
        100.0 * before.done as f64 / before.total as f64,
        away.as_secs_f64() * 1e3,
        before.done,
        after.done
    ));
    bench.report.figure(&case, engine, Figure::of([per_second]), "values/s", "none set");
    let mut meanwhile = first.reads;
    meanwhile.join(second.reads)?;
    let case = format!("{rate} reads a second, open loop");
    let (idle, meanwhile) = (series("idle", idle), series("while values are re-encrypted", meanwhile));
    bench.report.series(&case, engine, &idle);
    bench.report.series(&case, engine, &meanwhile);
    let micros = |series: &Series| -> Vec<f64> { series.p99_millis().iter().map(|millis| millis * 1e3).collect() };
    let these = ("meanwhile p99 µs", &micros(&meanwhile)[..]);
    bench.report.ratio(
        "reads while values are re-encrypted",
        engine,
        these,
        ("idle p99 µs", &micros(&idle)),
        "none set",
    );
    Ok(())
}

fn series(name: &str, outcome: Outcome) -> Series {
    Series { name: name.to_owned(), rounds: vec![outcome] }
}

fn plan(served: &Served, bench: &Bench, rate: u32) -> Plan {
    Plan {
        address: served.coffre.address,
        connections: usize::from(bench.options.connections),
        warm_up: Duration::ZERO,
        measured: STRETCH,
        rate: Some(rate),
        processes: vec![served.coffre.pid()],
        database: served.engine == Engine::Postgres,
    }
}

/// What came of a part of the re-encryption.
struct Part {
    reads: Outcome,
    elapsed: Duration,
}

/// Reads, stretch by stretch, until the progress is what was waited for.
fn stretch(
    bench: &mut Bench,
    served: &Served,
    rate: u32,
    reads: &mut Cycle,
    admin: &mut Api,
    until: impl Fn(&Progress) -> bool,
) -> Result<(Part, Progress)> {
    let (begun, mut moved) = (Instant::now(), Instant::now());
    let plan = plan(served, bench, rate);
    let mut part: Option<Outcome> = None;
    let mut last = Progress::ask(admin)?;
    loop {
        let outcome = load::run(&plan, reads)?;
        match &mut part {
            Some(all) => all.join(outcome)?,
            None => part = Some(outcome),
        }
        let now = Progress::ask(admin)?;
        bench.report.say(&format!(
            "  {:>5.1} %  {:.0}/s  {}",
            100.0 * now.done as f64 / now.total as f64,
            now.rate,
            now.left.map_or_else(String::new, |left| format!("{left} s left"))
        ));
        if now.done > last.done {
            moved = Instant::now();
        }
        if moved.elapsed() > PATIENCE {
            bail!("it stands still at {} of {}", now.done, now.total);
        }
        if until(&now) {
            let reads = part.context("nothing was read")?;
            return Ok((Part { reads, elapsed: begun.elapsed() }, now));
        }
        last = now;
    }
}

/// What `GET …/keys/rotation` tells.
struct Progress {
    running: bool,
    done: i64,
    total: i64,
    rate: f64,
    left: Option<i64>,
}

impl Progress {
    fn ask(admin: &mut Api) -> Result<Self> {
        let told = admin.get(PATH)?.json(200)?;
        let number = |name: &str| told.get(name).and_then(Value::as_i64).with_context(|| format!("no {name}: {told}"));
        Ok(Self {
            running: told.get("running").and_then(Value::as_bool).with_context(|| format!("no state: {told}"))?,
            done: number("done")?,
            total: number("total")?,
            rate: told.get("perSecond").and_then(Value::as_f64).unwrap_or(0.0),
            left: told.get("secondsLeft").and_then(Value::as_i64),
        })
    }
}
