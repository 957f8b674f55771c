//! What the audit costs: the audited read of a value, beside the same read in a build whose records end in nothing.

use anyhow::Result;

use crate::cases::{Bench, Served, at, read};
use crate::cli::Engine;
use crate::report::Figure;
use crate::work::Cycle;

pub(super) fn run(bench: &mut Bench, engine: Engine) -> Result<()> {
    let (real, null) = (bench.serve(engine)?, bench.serve_without_audit(engine)?);
    let works = |served: &Served| anyhow::Ok(Box::new(Cycle::new(read::calls(&mut served.user("reader")?)?.0)?));
    let (of_real, of_null) = (works(&real)?, works(&null)?);
    let case = "read of a value, audited or not";
    let series =
        bench.rounds(case, engine, &mut [null.contender("null sink", of_null), real.contender("audited", of_real)])?;
    let (null, real) = (at(&series, 0)?, at(&series, 1)?);
    bench.report.ratio(
        case,
        engine,
        ("audited", &real.per_second()),
        ("null sink", &null.per_second()),
        "≥ 0.65: the audit costs at most 35 %",
    );
    bench.report.figure("p99 of the audited read", engine, Figure::of(real.p99_millis()), "ms", "≤ 10 ms");
    Ok(())
}
