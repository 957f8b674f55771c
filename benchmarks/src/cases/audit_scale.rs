//! Searches in an audit of very many entries, beside the same searches where there are few; and how a backlog is carried into the log.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::api::{Api, USER_PASSWORD};
use crate::cases::flood::{Facts, Flood};
use crate::cases::{Bench, Served};
use crate::cli::Engine;
use crate::http;
use crate::load::{self, Plan};
use crate::process;
use crate::work::{Cycle, Expected};

/// Calls of each search; each asks for something else.
const CALLS: i64 = 60;
/// Entries of a page.
const PAGE: i64 = 50;
/// Events that pile up before the relay's catching up is watched.
const BACKLOG: i64 = 400_000;
const LIST: &str = "/v1/audit/messages/list";

pub(super) fn run(bench: &mut Bench, engine: Engine) -> Result<()> {
    let served = bench.serve(engine)?;
    let mut sizes = bench.options.entries.clone();
    sizes.sort_unstable();
    let most = i64::from(*sizes.last().context("--entries names no size")?);
    let own = served.admin()?.add_user("own", None)?.parse()?;
    let mut callers =
        Callers { admin: served.admin()?, own: Api::sign_in(served.coffre.address, "own", USER_PASSWORD)? };
    let mut flood = Flood::new(served.coffre.database_url()?, served.coffre.audit_key()?, most, own)?;
    let mut before: Vec<Vec<f64>> = Vec::new();
    for size in sizes {
        let (written, size) = (flood.written(), i64::from(size));
        let took = flood.fill(size)?;
        served.coffre.settle()?;
        bench.report.say(&format!(
            "\naudit of {size} entries ({}): {:.0} s for the last {}, {:.0} a second; resident: server {} MiB, this program {} MiB; on disk {} MiB",
            engine.name(),
            took.as_secs_f64(),
            size - written,
            (size - written) as f64 / took.as_secs_f64(),
            served.coffre.resident() / 1024,
            process::resident_kib(std::process::id()) / 1024,
            served.coffre.size_of("audit")? / 1024 / 1024,
        ));
        for (number, search) in SEARCHES.iter().enumerate() {
            let millis = callers.measure(search, &flood)?;
            let case = format!("{}, {size} entries", search.name);
            let figure = crate::report::Figure::of(millis.iter().copied());
            match before.get(number) {
                None => {
                    bench.report.figure(&case, engine, figure, "ms", "");
                    before.push(millis);
                }
                Some(few) => {
                    let (many, few) = (inverse(&millis), inverse(few));
                    bench.report.figure(&case, engine, figure, "ms", "");
                    bench.report.ratio(&case, engine, ("calls/s", &many), ("among few", &few), search.target);
                }
            }
        }
    }
    catch_up(bench, &served, &mut flood)
}

/// Times as rates, so that a ratio of 1 is as fast and 0.5 is half as fast.
fn inverse(millis: &[f64]) -> Vec<f64> {
    millis.iter().map(|millis| 1000.0 / millis.max(0.001)).collect()
}

struct Callers {
    admin: Api,
    own: Api,
}

/// Something that people look for.
struct Search {
    name: &'static str,
    by: By,
    body: fn(&Flood, i64) -> Value,
    expected: &'static [u16],
    target: &'static str,
}

#[derive(Clone, Copy)]
enum By {
    /// Who may see everything.
    Admin,
    /// Who sees its own entries.
    Own,
}

const fn usual(name: &'static str, body: fn(&Flood, i64) -> Value) -> Search {
    Search { name, by: By::Admin, body, expected: &[200], target: "≥ 0.9" }
}

const SEARCHES: &[Search] = &[
    usual("newest", |_, _| paged(json!({}), false)),
    usual("newest, counted", |_, _| paged(json!({}), true)),
    Search { by: By::Own, ..usual("one's own newest", |_, _| paged(json!({}), false)) },
    usual("user and day", |flood, number| paged(with_days(flood, number, 1, user(number)), false)),
    usual("user and day, counted", |flood, number| paged(with_days(flood, number, 1, user(number)), true)),
    usual("object and week", |flood, number| {
        let object = of("objectId", &Facts::of(number).object_id());
        paged(with_days(flood, number, 7, and(vec![of("objectType", "credential"), object])), false)
    }),
    usual("object id alone and day", |flood, number| {
        paged(with_days(flood, number, 1, of("objectId", &Facts::of(number).object_id())), false)
    }),
    usual("failures of a day", |flood, number| paged(with_days(flood, number, 1, of("status", "Unsuccessful")), false)),
    usual("request id", |_, number| paged(of("requestId", &Facts::of(number).request_id()), false)),
    usual("client address, newest", |_, number| paged(of("clientAddress", &Facts::of(number).address()), false)),
    usual("event word, newest", |_, _| paged(of("event", "credential.updated"), false)),
    usual("activity and day", |flood, number| paged(with_days(flood, number, 1, of("activityType", "LOGIN")), false)),
    usual("text in the detail, user and day", |flood, number| {
        paged(with_days(flood, number, 1, and(vec![user(number), contains("detail", "values")])), true)
    }),
    usual("sorted by object, user and day", |flood, number| {
        let mut body = paged(with_days(flood, number, 1, user(number)), false);
        if let Some(body) = body.as_object_mut() {
            body.insert("sort".to_owned(), json!([{ "field": "objectName", "direction": "asc" }]));
        }
        body
    }),
    usual("text that many have, no time", |_, _| paged(contains("eventDescription", "credential"), false)),
    // Beyond the bound it is refused: how long that takes is the bound's price.
    Search {
        expected: &[200, 400],
        target: "bounded",
        ..usual("text that none has, no time", |_, number| {
            paged(contains("eventDescription", &format!("nowhere {number}")), false)
        })
    },
];

fn of(field: &str, value: &str) -> Value {
    json!({ "operator": "eq", "field": field, "value": value })
}

fn contains(field: &str, value: &str) -> Value {
    json!({ "operator": "substring", "field": field, "value": value })
}

fn and(operands: Vec<Value>) -> Value {
    json!({ "operator": "and", "operands": operands })
}

fn user(number: i64) -> Value {
    of("userName", &Facts::of(number).user_name())
}

/// A filter within so many days, which end with an event.
fn with_days(flood: &Flood, number: i64, days: u64, filter: Value) -> Value {
    let end = flood.time(number);
    let begin = end.minus(Duration::from_secs(days * 86_400));
    let moment = |operator: &str, time: coffre_types::Timestamp| json!({ "operator": operator, "field": "createdOn", "value": time.to_rfc3339_millis() });
    and(vec![filter, moment("gt", begin), moment("le", end)])
}

fn paged(filter: Value, count: bool) -> Value {
    json!({ "filter": filter, "page": { "length": PAGE, "count": count } })
}

impl Callers {
    /// Milliseconds of each call.
    fn measure(&mut self, search: &Search, flood: &Flood) -> Result<Vec<f64>> {
        let api = match search.by {
            By::Admin => &mut self.admin,
            By::Own => &mut self.own,
        };
        let mut millis = Vec::new();
        for call in 0..CALLS {
            // All over the second half, so that what is looked for has a past of days.
            let number = flood.written() - 1 - call * (flood.written() / 2 / CALLS);
            let body = (search.body)(flood, number);
            let request = http::json("POST", LIST, Some(&api.token), &body);
            let begun = Instant::now();
            let answer = api.send(&request)?;
            millis.push(begun.elapsed().as_secs_f64() * 1000.0);
            if !search.expected.contains(&answer.status) {
                bail!("{} of {body}: {} {}", search.name, answer.status, String::from_utf8_lossy(&answer.body));
            }
            if search.expected == [200] && answer.json(200)?.pointer("/list/0").is_none() {
                bail!("{}: nothing is found by {body}", search.name);
            }
            if answer.status == 400 && millis.len() >= 5 {
                break;
            }
        }
        Ok(millis)
    }
}

/// Lets a backlog pile up and reads values while the relay carries it: new calls go on, and the backlog gets shorter.
fn catch_up(bench: &mut Bench, served: &Served, flood: &mut Flood) -> Result<()> {
    let mut api = served.user("reader")?;
    let stored = api.add_values("read", 100)?;
    let mut calls = Vec::new();
    for one in &stored {
        let answer = api.get(&one.read_path())?;
        answer.json(200)?;
        calls.push((http::get(&one.read_path(), Some(&api.token)), Expected::Body(200, answer.body)));
    }
    let plan = Plan {
        address: served.coffre.address,
        connections: usize::from(bench.options.connections),
        warm_up: Duration::ZERO,
        measured: bench.options.measured(),
        rate: bench.options.rate,
        processes: vec![served.coffre.pid()],
        database: served.engine == Engine::Postgres,
    };
    let mut work = Cycle::new(calls)?;
    let backlog = BACKLOG.min(flood.written());
    flood.pile_up(backlog)?;
    let (begun, waiting) = (Instant::now(), flood.waiting()?);
    let behind = load::run(&plan, &mut work)?;
    // Reads leave rows of their own meanwhile.
    let (left, during) = (flood.waiting()?, begun.elapsed());
    flood.wait(0)?;
    let all = begun.elapsed();
    let alone = load::run(&plan, &mut work)?;
    bench.report.say(&format!(
        "\nwhile a backlog of {backlog} events is carried: {:.0} reads/s, p99 {:.1} ms ({} failures); {waiting} commits waited, {left} after {:.1} s, none after {:.1} s; afterwards {:.0} reads/s, p99 {:.1} ms",
        behind.per_second(),
        behind.latency_millis(0.99),
        behind.failures,
        during.as_secs_f64(),
        all.as_secs_f64(),
        alone.per_second(),
        alone.latency_millis(0.99),
    ));
    let (these, those) = ([behind.per_second()], [alone.per_second()]);
    bench.report.ratio(
        "reads while the audit catches up",
        served.engine,
        ("meanwhile", &these),
        ("afterwards", &those),
        "goes on",
    );
    Ok(())
}
