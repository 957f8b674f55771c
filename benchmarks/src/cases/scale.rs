//! A caller who sees ten credentials: among very many of somebody else, and where there are no others.

use anyhow::Result;

use crate::api::{Api, list_path};
use crate::cases::{Bench, Served, at};
use crate::cli::Engine;
use crate::http;
use crate::load::Work;
use crate::work::{Cycle, Expected};

const OWN: usize = 10;

pub(super) fn run(bench: &mut Bench, engine: Engine) -> Result<()> {
    let (few, many) = (bench.serve(engine)?, bench.serve(engine)?);
    let others = usize::try_from(bench.options.credentials)?;
    bench.report.say(&format!("\nloading {others} credentials …"));
    // Half of them before the caller's own, half after, so that his lie in the middle of every index.
    let other = many.user("other")?;
    other.add_credentials("others-a", others / 2)?;
    let (mut of_few, mut of_many) = (Prepared::new(&few)?, Prepared::new(&many)?);
    other.add_credentials("others-z", others - others / 2)?;
    let quantity = format!("{OWN} credentials seen of {}", others + OWN);
    for (what, target) in [(What::List, "as fast: ≥ 0.9"), (What::Read, "≥ 0.9 (with 1 000 000)")] {
        let case = format!("{}, {quantity}", what.name());
        let series = bench.rounds(
            &case,
            engine,
            &mut [few.contender("ten in all", of_few.work(what)?), many.contender("among many", of_many.work(what)?)],
        )?;
        let (few, many) = (at(&series, 0)?.per_second(), at(&series, 1)?.per_second());
        bench.report.ratio(&case, engine, ("among many", &many), ("ten in all", &few), target);
    }
    let mib = |served: &Served| served.coffre.resident() as f64 / 1024.0;
    bench.report.say(&format!(
        "  resident after the load: ten in all {:.0} MiB, among many {:.0} MiB",
        mib(&few),
        mib(&many)
    ));
    Ok(())
}

#[derive(Clone, Copy)]
enum What {
    List,
    Read,
}

impl What {
    const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Read => "read of a value",
        }
    }
}

/// The caller's ten credentials.
struct Prepared {
    api: Api,
    reads: Vec<String>,
}

impl Prepared {
    fn new(served: &Served) -> Result<Self> {
        let api = served.user("caller")?;
        let stored = api.add_values("own", OWN)?;
        Ok(Self { api, reads: stored.iter().map(crate::api::Stored::read_path).collect() })
    }

    fn work(&mut self, what: What) -> Result<Box<dyn Work>> {
        let paths = match what {
            What::List => vec![list_path()],
            What::Read => self.reads.clone(),
        };
        let mut calls = Vec::with_capacity(paths.len());
        for path in paths {
            let answer = self.api.get(&path)?;
            answer.json(200)?;
            calls.push((http::get(&path, Some(&self.api.token)), Expected::Body(200, answer.body)));
        }
        Ok(Box::new(Cycle::new(calls)?))
    }
}
