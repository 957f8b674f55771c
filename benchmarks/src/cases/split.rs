//! The audited read of a value where each service is a process of its own, beside the same in one process and beside bare axum.

use anyhow::Result;

use crate::bare::Bare;
use crate::cases::{Bench, Contender, at, read, user_of};
use crate::cli::Engine;
use crate::report::Figure;
use crate::split::Split;
use crate::work::Cycle;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let engine = Engine::Postgres;
    let one = bench.serve(engine)?;
    let split = Split::start(&bench.installation(engine))?;
    let (of_one, answer) = read::calls(&mut one.user("reader")?)?;
    let (of_split, _) = read::calls(&mut user_of(split.address, "reader", None)?)?;
    let bare = Bare::start(bench.scratch.path(), &answer, false)?;
    let case = "read of a value, services apart";
    let series = bench.rounds(
        case,
        engine,
        &mut [
            Contender::bare("bare axum", &bare, Cycle::new(read::answered_alike(&of_one, &answer))?),
            one.contender("one process", Box::new(Cycle::new(of_one)?)),
            Contender {
                name: "five processes",
                address: split.address,
                processes: split.pids(),
                database: true,
                work: Box::new(Cycle::new(of_split)?),
            },
        ],
    )?;
    let (bare, one, apart) = (at(&series, 0)?, at(&series, 1)?, at(&series, 2)?);
    let apart_rate = ("five processes", &*apart.per_second());
    bench.report.ratio(case, engine, apart_rate, ("bare axum", &bare.per_second()), "≥ 0.12");
    bench.report.ratio(case, engine, apart_rate, ("one process", &one.per_second()), "none set");
    bench.report.figure(
        "resident, five processes",
        engine,
        Figure::of([split.resident() as f64 / 1024.0]),
        "MiB",
        "none set",
    );
    Ok(())
}
