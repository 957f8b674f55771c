//! The durable write of a value.

use anyhow::{Context, Result};
use serde_json::json;

use crate::api::SECRET;
use crate::bare::Bare;
use crate::cases::{Bench, Contender, Served, at};
use crate::disk;
use crate::http;
use crate::log::RECORD_BYTES;
use crate::work::{Cycle, Expected};

/// Writes go round so many values.
const VALUES: usize = 1000;

pub(super) fn run(bench: &mut Bench, served: &Served) -> Result<()> {
    let mut api = served.user("writer")?;
    let stored = api.add_values("write", VALUES)?;
    let request = |path: &str| http::json("PUT", path, Some(&api.token), &json!({ "value": SECRET }));
    let requests: Vec<Vec<u8>> = stored.iter().map(|one| request(&one.write_path())).collect();
    let first = requests.first().context("there is nothing to write")?;
    let answer = api.send(first)?;
    answer.json(200)?;
    let calls =
        |expected: Expected| Cycle::new(requests.iter().map(|request| (request.clone(), expected.clone())).collect());
    let same = || calls(Expected::Body(200, answer.body.clone()));
    let plain = Bare::start(bench.scratch.path(), &answer, false)?;
    let logged = Bare::start(bench.scratch.path(), &answer, true)?;
    bench.flush("before the writes")?;
    let case = format!("durable write of a value, {} B answer", answer.body.len());
    let series = bench.rounds(
        &case,
        served.engine,
        &mut [
            Contender::bare("bare axum", &plain, same()?),
            Contender::bare("bare axum + log", &logged, same()?),
            served.contender("Coffre", Box::new(calls(Expected::like(200, answer.body.len()))?)),
        ],
    )?;
    let (plain, logged, coffre) =
        (at(&series, 0)?.per_second(), at(&series, 1)?.per_second(), at(&series, 2)?.per_second());
    let alone =
        disk::group_commit(bench.scratch.path(), usize::from(bench.options.connections), bench.options.measured())?;
    bench.report.say(&format!("  the log alone, without HTTP: {alone:.0} records of {RECORD_BYTES} B a second"));
    bench.flush("after the writes")?;
    bench.report.ratio("write of a value", served.engine, ("Coffre", &coffre), ("bare axum + log", &logged), "≥ 0.5");
    bench.report.ratio("write of a value", served.engine, ("Coffre", &coffre), ("bare axum", &plain), "none set");
    Ok(())
}
