//! The audited read of a value.

use anyhow::{Result, bail};

use crate::api::Api;
use crate::bare::Bare;
use crate::cases::{Bench, Contender, Served, at};
use crate::cli::Engine;
use crate::http::{self, Answer};
use crate::work::{Cycle, Expected};

/// Reads go round so many credentials.
const CREDENTIALS: usize = 1000;

/// Requests, each with the answer that is expected.
type Calls = Vec<(Vec<u8>, Expected)>;

/// Reads of so many values by their owner, who is signed in, and the answer of the first.
pub(super) fn calls(api: &mut Api) -> Result<(Calls, Answer)> {
    let stored = api.add_values("read", CREDENTIALS)?;
    let mut calls = Vec::with_capacity(stored.len());
    let mut first = None;
    for one in &stored {
        let answer = api.get(&one.read_path())?;
        let values = answer.json(200)?;
        if values.pointer("/list/0/value").and_then(|value| value.as_str()) != Some(crate::api::SECRET) {
            bail!("a read does not give the value back: {values}");
        }
        calls.push((http::get(&one.read_path(), Some(&api.token)), Expected::Body(200, answer.body.clone())));
        first.get_or_insert(answer);
    }
    let Some(answer) = first else { bail!("there is nothing to read") };
    Ok((calls, answer))
}

/// The same requests, each with this one answer.
pub(super) fn answered_alike(calls: &Calls, answer: &Answer) -> Calls {
    calls.iter().map(|(request, _)| (request.clone(), Expected::Body(200, answer.body.clone()))).collect()
}

pub(super) fn run(bench: &mut Bench, served: &Served) -> Result<()> {
    let (calls, answer) = calls(&mut served.user("reader")?)?;
    let bare = Bare::start(bench.scratch.path(), &answer, false)?;
    let same = answered_alike(&calls, &answer);
    let case = format!("read of a value, {} B answer", answer.body.len());
    let series = bench.rounds(
        &case,
        served.engine,
        &mut [
            Contender::bare("bare axum", &bare, Cycle::new(same)?),
            served.contender("Coffre", Box::new(Cycle::new(calls)?)),
        ],
    )?;
    let (bare, coffre) = (at(&series, 0)?, at(&series, 1)?);
    let target = match served.engine {
        Engine::Sqlite => "≥ 0.25, aim 0.35",
        Engine::Postgres => "≥ 0.15, aim 0.22",
    };
    bench.report.ratio(
        "read of a value",
        served.engine,
        ("Coffre", &coffre.per_second()),
        ("bare axum", &bare.per_second()),
        target,
    );
    Ok(())
}
