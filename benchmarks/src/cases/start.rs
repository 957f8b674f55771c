//! From the start of the process to its first answer, and what it holds while idle.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::cases::{Bench, Served};
use crate::cli::Engine;
use crate::report::Figure;
use crate::server::{Coffre, Installation};

/// Starts on an existing store.
const STARTS: usize = 10;
/// Time for what a start leaves behind to settle.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn run(bench: &mut Bench, engine: Engine) -> Result<()> {
    bench.report.say(&format!("\nstart ({})", engine.name()));
    let mut new = Vec::new();
    for _ in 0..bench.options.rounds {
        let served: Served = bench.undisturbed_serve(engine)?;
        new.push(millis(&served.coffre));
    }
    let target = if engine == Engine::Sqlite { "< 300" } else { "none set" };
    bench.report.figure("start, store made before or at it", engine, Figure::of(new), "ms", target);
    if engine == Engine::Sqlite {
        let Installation { folder, .. } = bench.installation(engine);
        let mut again = Vec::new();
        for number in 0..=STARTS {
            let installation = Installation { binary: &bench.binary.clone(), folder: folder.clone(), engine };
            let started = bench.undisturbed(|| Coffre::start(&installation).map(|coffre| millis(&coffre)))?;
            // The first one made the store.
            if number > 0 {
                again.push(started);
            }
        }
        bench.report.figure("start, store there", engine, Figure::of(again), "ms", target);
    }
    let mut resident = Vec::new();
    for _ in 0..bench.options.rounds {
        let served = bench.serve(engine)?;
        thread::sleep(SETTLE);
        resident.push(served.coffre.resident() as f64 / 1024.0);
    }
    bench.report.figure("resident, idle", engine, Figure::of(resident), "MiB", "< 64");
    Ok(())
}

fn millis(coffre: &Coffre) -> f64 {
    coffre.started_in.as_secs_f64() * 1e3
}
