//! The list of 1 000 credentials.

use anyhow::{Result, bail};

use crate::api::list_path;
use crate::bare::Bare;
use crate::cases::{Bench, Contender, Served, at};
use crate::http;
use crate::work::{Cycle, Expected};

const CREDENTIALS: usize = 1000;

pub(super) fn run(bench: &mut Bench, served: &Served) -> Result<()> {
    let mut api = served.user("lister")?;
    api.add_credentials("list", CREDENTIALS)?;
    let path = list_path();
    let answer = api.get(&path)?;
    let list = answer.json(200)?;
    let length = list.pointer("/list").and_then(|list| list.as_array()).map_or(0, Vec::len);
    if length != CREDENTIALS {
        bail!("the list has {length} credentials, not {CREDENTIALS}");
    }
    let bare = Bare::start(bench.scratch.path(), &answer, false)?;
    let call = || Cycle::new(vec![(http::get(&path, Some(&api.token)), Expected::Body(200, answer.body.clone()))]);
    let case = format!("list of {CREDENTIALS} credentials, {} KiB answer", answer.body.len() / 1024);
    let series = bench.rounds(
        &case,
        served.engine,
        &mut [Contender::bare("bare axum", &bare, call()?), served.contender("Coffre", Box::new(call()?))],
    )?;
    let (bare, coffre) = (at(&series, 0)?, at(&series, 1)?);
    let (bare, coffre) = (bare.per_second(), coffre.per_second());
    bench.report.ratio(
        "list of 1 000 credentials",
        served.engine,
        ("Coffre", &coffre),
        ("bare axum", &bare),
        "none set",
    );
    Ok(())
}
