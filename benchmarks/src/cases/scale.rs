//! Callers who see a little, among very much of somebody else, and where there is nothing else: one with ten credentials of his own, and one
//! who consumes ten lockers.

use std::time::Duration;

use anyhow::Result;

use crate::api::{Api, LOCKERS, Stored, list_path};
use crate::cases::crowd::{Crowd, Half};
use crate::cases::{Bench, Served, at};
use crate::cli::Engine;
use crate::http;
use crate::load::Work;
use crate::work::{Cycle, Expected};

/// Credentials of the owner, and lockers of the consumer with as many credentials each.
const OWN: usize = 10;
/// The shortest round: what a second shows is decided by a checkpoint that falls into it or does not.
const SHORTEST: Duration = Duration::from_secs(4);

pub(super) fn run(bench: &mut Bench, engine: Engine) -> Result<()> {
    let (few, many) = (bench.serve(engine)?, bench.serve(engine)?);
    let (credentials, lockers) = (bench.options.credentials, bench.options.lockers);
    bench.report.say(&format!("\nloading {credentials} credentials in {lockers} lockers …"));
    let other = many.admin()?.add_user("other", None)?.parse()?;
    let crowd = Crowd { credentials: credentials.into(), lockers: lockers.into(), owner: other };
    // Half of them before the callers' own, half after, so that these lie in the middle of every index.
    many.coffre.load(&crowd.of(Half::Before))?;
    let (mut of_few, mut of_many) = (Prepared::new(&few)?, Prepared::new(&many)?);
    many.coffre.load(&crowd.of(Half::After))?;
    // Otherwise the databases would clean up behind the load for minutes, on the cores and on the disk of whoever is measured.
    few.coffre.settle()?;
    many.coffre.settle()?;
    let quantity = format!("of {credentials} credentials, {lockers} lockers");
    for what in WHAT {
        let case = format!("{}, {quantity}", what.name);
        let series = bench.rounds_of(
            bench.options.measured().max(SHORTEST),
            &case,
            engine,
            &mut [few.contender("ten in all", of_few.work(what)?), many.contender("among many", of_many.work(what)?)],
        )?;
        let (few, many) = (at(&series, 0)?.per_second(), at(&series, 1)?.per_second());
        bench.report.ratio(&case, engine, ("among many", &many), ("ten in all", &few), "≥ 0.9");
    }
    let mib = |served: &Served| served.coffre.resident() as f64 / 1024.0;
    bench.report.say(&format!(
        "  resident after the load: ten in all {:.0} MiB, among many {:.0} MiB",
        mib(&few),
        mib(&many)
    ));
    Ok(())
}

/// A call that is measured.
struct What {
    name: &'static str,
    by: By,
    call: Call,
}

#[derive(Clone, Copy)]
enum By {
    Owner,
    Consumer,
}

#[derive(Clone, Copy)]
enum Call {
    Read,
    Credentials,
    Lockers,
    DetailedLockers,
}

const WHAT: &[What] = &[
    What { name: "list of 10 own credentials", by: By::Owner, call: Call::Credentials },
    What { name: "read of an own value", by: By::Owner, call: Call::Read },
    What { name: "list of 100 consumed credentials (C2)", by: By::Consumer, call: Call::Credentials },
    What { name: "list of 10 consumed lockers (L1)", by: By::Consumer, call: Call::Lockers },
    What { name: "the same with counts (L3)", by: By::Consumer, call: Call::DetailedLockers },
    What { name: "read of a value through a locker", by: By::Consumer, call: Call::Read },
];

/// The two callers, and what they read.
struct Prepared {
    owner: Api,
    consumer: Api,
    own: Vec<String>,
    consumed: Vec<String>,
}

impl Prepared {
    fn new(served: &Served) -> Result<Self> {
        let role = served.admin()?.add_role("scale-bots")?;
        let owner = served.user("caller")?;
        let mut giver = served.user("giver")?;
        let consumer = served.user_with("consumer", Some(&role))?;
        let own = owner.add_values("own", OWN)?;
        let given = giver.add_values("given", OWN * OWN)?;
        for (number, inside) in given.chunks(OWN).enumerate() {
            giver.add_locker(&format!("given-{number}"), inside, &role)?;
        }
        let paths = |stored: &[Stored]| stored.iter().map(Stored::read_path).collect();
        Ok(Self { owner, consumer, own: paths(&own), consumed: paths(&given) })
    }

    fn work(&mut self, what: &What) -> Result<Box<dyn Work>> {
        let (by, reads) = match what.by {
            By::Owner => (&mut self.owner, &self.own),
            By::Consumer => (&mut self.consumer, &self.consumed),
        };
        let paths = match what.call {
            Call::Read => reads.clone(),
            Call::Credentials => vec![list_path()],
            Call::Lockers => vec![LOCKERS.to_owned()],
            Call::DetailedLockers => vec![format!("{LOCKERS}/advanced")],
        };
        let mut calls = Vec::with_capacity(paths.len());
        for path in paths {
            let answer = by.get(&path)?;
            answer.json(200)?;
            calls.push((http::get(&path, Some(&by.token)), Expected::Body(200, answer.body)));
        }
        Ok(Box::new(Cycle::new(calls)?))
    }
}
