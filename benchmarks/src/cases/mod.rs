//! What is measured, and in which order.

mod audit;
mod audit_scale;
mod crowd;
mod flood;
mod list;
mod locker;
mod oauth;
mod read;
mod rotation;
mod scale;
mod sign_in;
mod split;
mod start;
mod write;

pub(crate) use crowd::Load;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::api::{Api, USER_PASSWORD};
use crate::bare::Bare;
use crate::cli::{Engine, Measure, Options};
use crate::disk;
use crate::load::{self, Outcome, Plan, Work};
use crate::process;
use crate::quiet;
use crate::report::{Report, Series};
use crate::server::{self, ADMIN_PASSWORD, Coffre, Installation};

/// How often a round is repeated because a compiler came in between, or because nothing was answered.
const REPEATS: u32 = 5;
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Runs what was asked for.
pub(crate) fn run(measure: Measure) -> Result<()> {
    let mut bench = Bench::new(measure.options().clone())?;
    bench.flush("before")?;
    let engines = match (&measure, bench.options.engine) {
        (_, Some(engine)) => vec![engine],
        (Measure::All(_) | Measure::Rotation(_), None) => vec![Engine::Sqlite, Engine::Postgres],
        (Measure::Split(_), None) => vec![Engine::Postgres],
        (_, None) => vec![Engine::Sqlite],
    };
    for engine in engines {
        match &measure {
            Measure::All(_) => {
                start::run(&mut bench, engine)?;
                bench.on_one_server(
                    engine,
                    &[read::run, locker::run, list::run, sign_in::run, oauth::run, write::run],
                )?;
                rotation::run(&mut bench, engine)?;
                if engine == Engine::Postgres {
                    split::run(&mut bench)?;
                }
                scale::run(&mut bench, engine)?;
            }
            Measure::Read(_) => bench.on_one_server(engine, &[read::run])?,
            Measure::Locker(_) => bench.on_one_server(engine, &[locker::run])?,
            Measure::Write(_) => bench.on_one_server(engine, &[write::run])?,
            Measure::List(_) => bench.on_one_server(engine, &[list::run])?,
            Measure::SignIn(_) => bench.on_one_server(engine, &[sign_in::run])?,
            Measure::Oauth(_) => bench.on_one_server(engine, &[oauth::run])?,
            Measure::Rotation(_) => rotation::run(&mut bench, engine)?,
            Measure::Scale(_) => scale::run(&mut bench, engine)?,
            Measure::Split(_) if engine == Engine::Sqlite => bail!("services apart run on PostgreSQL alone"),
            Measure::Split(_) => split::run(&mut bench)?,
            Measure::Start(_) => start::run(&mut bench, engine)?,
            Measure::Audit(_) => audit::run(&mut bench, engine)?,
            Measure::AuditScale(_) => audit_scale::run(&mut bench, engine)?,
        }
    }
    bench.flush("after")?;
    bench.report.finish();
    Ok(())
}

/// What the cases share.
struct Bench {
    options: Options,
    binary: PathBuf,
    /// The build without an audit, once it was needed.
    null_binary: Option<PathBuf>,
    scratch: TempDir,
    servers: u32,
    report: Report,
}

/// A server with the engine that it runs on.
struct Served {
    engine: Engine,
    coffre: Coffre,
}

/// Somebody who is called round by round.
struct Contender<'c> {
    name: &'c str,
    address: SocketAddr,
    /// Whose CPU time counts.
    processes: Vec<u32>,
    /// Whether that of PostgreSQL counts too.
    database: bool,
    work: Box<dyn Work + 'c>,
}

impl Bench {
    fn new(options: Options) -> Result<Self> {
        let binary = match &options.binary {
            Some(binary) => std::path::absolute(binary)?,
            None => server::build()?,
        };
        let folder = match &options.folder {
            Some(folder) => folder.clone(),
            None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/benchmarks"),
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let scratch = tempfile::Builder::new().prefix("run-").tempdir_in(&folder)?;
        let report = Report::new(options.json);
        report.machine(&process::machine());
        if cfg!(debug_assertions) {
            report.say("WARNING: this is a debug build; run it with --release");
        }
        Ok(Self { options, binary, null_binary: None, scratch, servers: 0, report })
    }

    fn flush(&mut self, when: &str) -> Result<()> {
        quiet::wait(self.options.anyway)?;
        let flush = disk::flush(self.scratch.path(), FLUSH_TIME)?;
        self.report.flush(when, flush);
        Ok(())
    }

    /// A new folder for a server.
    fn installation(&mut self, engine: Engine) -> Installation<'_> {
        self.servers += 1;
        let folder = self.scratch.path().join(format!("{}-{}", engine.name(), self.servers));
        Installation { binary: &self.binary, folder, engine }
    }

    /// A server with an empty store.
    fn serve(&mut self, engine: Engine) -> Result<Served> {
        Ok(Served { engine, coffre: Coffre::start(&self.installation(engine))? })
    }

    /// The same of the build whose records end in nothing.
    fn serve_without_audit(&mut self, engine: Engine) -> Result<Served> {
        let binary = match (&self.null_binary, &self.options.null_binary) {
            (Some(built), _) => built.clone(),
            (None, Some(named)) => std::path::absolute(named)?,
            (None, None) => server::build_without_audit()?,
        };
        self.null_binary = Some(binary.clone());
        let installation = Installation { binary: &binary, ..self.installation(engine) };
        Ok(Served { engine, coffre: Coffre::start(&installation)? })
    }

    /// The same while no compiler runs.
    fn undisturbed_serve(&mut self, engine: Engine) -> Result<Served> {
        quiet::wait(self.options.anyway)?;
        self.serve(engine)
    }

    /// Cases that share a server.
    fn on_one_server(&mut self, engine: Engine, cases: &[fn(&mut Self, &Served) -> Result<()>]) -> Result<()> {
        let served = self.serve(engine)?;
        cases.iter().try_for_each(|case| case(self, &served))
    }

    /// Every contender in turn, round after round.
    fn rounds(&mut self, case: &str, engine: Engine, contenders: &mut [Contender<'_>]) -> Result<Vec<Series>> {
        self.rounds_of(self.options.measured(), case, engine, contenders)
    }

    /// The same with rounds of a length.
    fn rounds_of(
        &mut self,
        measured: Duration,
        case: &str,
        engine: Engine,
        contenders: &mut [Contender<'_>],
    ) -> Result<Vec<Series>> {
        self.report.say(&format!("\n{case} ({}, {} connections)", engine.name(), self.options.connections));
        let mut series: Vec<Series> =
            contenders.iter().map(|one| Series { name: one.name.to_owned(), rounds: Vec::new() }).collect();
        for _ in 0..self.options.rounds {
            for (contender, series) in contenders.iter_mut().zip(&mut series) {
                let plan = Plan {
                    address: contender.address,
                    connections: usize::from(self.options.connections),
                    warm_up: Options::warm_up(measured),
                    measured,
                    rate: self.options.rate,
                    processes: contender.processes.clone(),
                    database: contender.database,
                };
                let work = contender.work.as_mut();
                let outcome = self.answered(&plan, work).with_context(|| format!("{case}, {}", series.name))?;
                series.rounds.push(outcome);
            }
        }
        for one in &series {
            self.report.series(case, engine, one);
        }
        Ok(series)
    }

    /// Measures, and again where nothing was answered at all: the server waited for its disk, which tells nothing about it.
    fn answered(&mut self, plan: &Plan, work: &mut dyn Work) -> Result<Outcome> {
        for _ in 0..REPEATS {
            let outcome = self.undisturbed(|| load::run(plan, work))?;
            if outcome.answers + outcome.failures > 0 {
                return Ok(outcome);
            }
            self.report.say("nothing was answered meanwhile; once more");
        }
        self.undisturbed(|| load::run(plan, work))
    }

    /// Measures while no compiler runs, and again where one came in between.
    fn undisturbed<T>(&mut self, mut measure: impl FnMut() -> Result<T>) -> Result<T> {
        for attempt in 0.. {
            quiet::wait(self.options.anyway)?;
            let disturbed = quiet::is_disturbed();
            let outcome = measure()?;
            if !disturbed && !quiet::is_disturbed() {
                return Ok(outcome);
            }
            if self.options.anyway || attempt >= REPEATS {
                self.report.disturbed();
                return Ok(outcome);
            }
        }
        bail!("unreachable: the loop returns")
    }
}

impl Served {
    fn contender<'c>(&self, name: &'c str, work: Box<dyn Work + 'c>) -> Contender<'c> {
        let database = self.engine == Engine::Postgres;
        Contender { name, address: self.coffre.address, processes: vec![self.coffre.pid()], database, work }
    }

    fn admin(&self) -> Result<Api> {
        Api::sign_in(self.coffre.address, "admin", ADMIN_PASSWORD)
    }

    /// A new user, signed in, who may have credentials and lockers of his own and nothing else.
    fn user(&self, username: &str) -> Result<Api> {
        self.user_with(username, None)
    }

    /// The same with a further role.
    fn user_with(&self, username: &str, role: Option<&str>) -> Result<Api> {
        user_of(self.coffre.address, username, role)
    }
}

/// A new user of a server, signed in, who may have credentials and lockers of his own, and what a further role gives.
fn user_of(address: SocketAddr, username: &str, role: Option<&str>) -> Result<Api> {
    Api::sign_in(address, "admin", ADMIN_PASSWORD)?.add_user(username, role)?;
    Api::sign_in(address, username, USER_PASSWORD)
}

impl<'c> Contender<'c> {
    fn bare(name: &'c str, bare: &Bare, work: impl Work + 'c) -> Self {
        Self { name, address: bare.address, processes: vec![bare.pid()], database: false, work: Box::new(work) }
    }
}

/// The series at a place.
fn at(series: &[Series], index: usize) -> Result<&Series> {
    series.get(index).context("a contender was not measured")
}
