//! `cargo xtask test`: sets up what the tests need, runs all of them, sums them up.
//!
//! The tests learn of their surroundings from these variables, which a person may set as well to run them by hand:
//!
//! | variable | meaning |
//! |---|---|
//! | `COFFRE_TEST_ENGINE` | `sqlite`, `postgres` or `both`: the engines that the store and end-to-end cases run on |
//! | `COFFRE_TEST_DATABASE_URL` | a PostgreSQL superuser; absent: no server. Set beforehand: that server is used |
//! | `COFFRE_TEST_BINARY` | the program `coffre` |
//! | `COFFRE_TEST_GRPCURL` | the program `grpcurl` |
//! | `COFFRE_TEST_OAUTH_CLIENT` | the client of `tests/e2e/clients/go` |
//! | `COFFRE_TEST_FAKETIME` | the library `libfaketime.so.1`; absent: that of the package `faketime` |
//! | `COFFRE_TEST_OPEN_VALUE` | the program of `crates/crypto/tests/independent` |
//! | `COFFRE_TEST_CHECK_AUDIT` | the program of `crates/audit-proof/tests/independent` |
//! | `COFFRE_TEST_MANIFESTS` | the program of `xtask/manifests` |

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;
use std::{env, fs};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::command::{self, cargo, find_program, install_packages, step};
use crate::go;
use crate::grpcurl;
use crate::postgres::Server;
use crate::workspace::Workspace;

/// How many tests a binary runs at once, by libtest's own variable.
const THREADS: &str = "RUST_TEST_THREADS";
/// End-to-end tests wait most of their time, for processes, disks and the end of a second.
const AT_ONCE_PER_CORE: usize = 2;

/// What `cargo xtask test` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The databases to test with.
    #[arg(long, value_enum, default_value_t = Engine::Both)]
    engine: Engine,
    /// Only the tests of this package; may be repeated.
    #[arg(long, short, value_name = "PACKAGE")]
    package: Vec<String>,
    /// PostgreSQL does not wait for the disk: faster, but shows nothing about durability.
    #[arg(long)]
    no_fsync: bool,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Engine {
    Sqlite,
    Postgres,
    Both,
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::Both => "both",
        }
    }
}

/// The sums of cargo's `test result:` lines.
#[derive(Debug, Default, PartialEq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    /// Adds what a line of cargo's output reports, if it is a line of results.
    fn add(&mut self, line: &str) {
        let Some((_, results)) = line.split_once("test result: ") else { return };
        // `ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s`, perhaps with colours.
        let words: Vec<&str> = results.split([' ', ';']).filter(|word| !word.is_empty()).collect();
        for (number, word) in words.iter().zip(words.iter().skip(1)) {
            let Ok(number) = number.parse::<u64>() else { continue };
            match *word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// Sets up, runs the tests, and tears down.
pub(crate) fn run(workspace: &Workspace, arguments: &Arguments) -> Result<ExitCode> {
    let start = Instant::now();
    let mut environment: Vec<(&str, String)> = vec![("COFFRE_TEST_ENGINE", arguments.engine.name().to_owned())];

    let selected =
        |package: &str| arguments.package.is_empty() || arguments.package.iter().any(|wanted| wanted == package);
    if selected("coffre-e2e") {
        worlds()?;
        environment.push(("COFFRE_TEST_GRPCURL", grpcurl::provide(workspace)?.display().to_string()));
        environment.push(("COFFRE_TEST_OAUTH_CLIENT", go::provide_oauth_client(workspace)?.display().to_string()));
    }
    if selected("coffre-crypto") {
        environment.push(("COFFRE_TEST_OPEN_VALUE", go::provide_open_value(workspace)?.display().to_string()));
    }
    if selected("coffre-audit-proof") {
        environment.push(("COFFRE_TEST_CHECK_AUDIT", go::provide_check_audit(workspace)?.display().to_string()));
    }
    if selected("xtask") {
        match go::provide_manifests(workspace) {
            Ok(program) => environment.push(("COFFRE_TEST_MANIFESTS", program.display().to_string())),
            // `deploy check` fails where this is missing; the tests of everything else go on.
            Err(error) => eprintln!("==> the schemas of deploy/ are not tested: {error:#}"),
        }
    }
    // Kept until the end of this function: dropping it stops the server.
    let mut server = None;
    if arguments.engine != Engine::Sqlite {
        match env::var("COFFRE_TEST_DATABASE_URL") {
            Ok(_) => eprintln!("==> using the PostgreSQL of COFFRE_TEST_DATABASE_URL"),
            Err(_) => {
                let started = server.insert(Server::start(!arguments.no_fsync)?);
                environment.push(("COFFRE_TEST_DATABASE_URL", started.url.clone()));
            }
        }
    }
    if selected("coffre-e2e") || selected("coffre") {
        step("building the program `coffre`", || {
            // With the whole workspace selected it gets the features that the tests' build gives it, and is not built twice.
            let fixed = ["build", "--workspace", "--bin", "coffre", "--locked"];
            command::succeed(cargo(workspace).args(fixed).stdin(Stdio::null()))
        })?;
        environment.push(("COFFRE_TEST_BINARY", workspace.target.join("debug/coffre").display().to_string()));
    }

    let mut tests = cargo(workspace);
    tests.args(["test", "--locked", "--no-fail-fast"]).envs(environment);
    if env::var_os(THREADS).is_none() {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        tests.env(THREADS, (AT_ONCE_PER_CORE * cores).to_string());
    }
    if arguments.package.is_empty() {
        tests.arg("--workspace");
    }
    for package in &arguments.package {
        tests.args(["--package", package]);
    }
    if arguments.engine == Engine::Sqlite {
        tests.env_remove("COFFRE_TEST_DATABASE_URL");
    }
    tests.args(&arguments.filter);

    eprintln!("==> running the tests on {}", arguments.engine.name());
    let (code, count) = run_and_count(&mut tests)?;
    drop(server);
    let ignored = if count.ignored == 0 { String::new() } else { format!(", {} ignored", count.ignored) };
    println!("{} passed, {} failed{ignored} in {:.0} s", count.passed, count.failed, start.elapsed().as_secs_f64());
    Ok(code)
}

/// What the end-to-end tests make networks and times of their own with.
fn worlds() -> Result<()> {
    for (program, package) in [("ip", "iproute2"), ("unshare", "util-linux"), ("nsenter", "util-linux")] {
        if find_program(program).is_none() {
            install_packages(&[package]).with_context(|| format!("the end-to-end tests call `{program}`"))?;
        }
    }
    let libraries = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let is_here = libraries.map(|folder| folder.join("faketime/libfaketime.so.1")).any(|library| library.is_file());
    if !is_here && env::var_os("COFFRE_TEST_FAKETIME").is_none() {
        install_packages(&["faketime"])
            .context("the end-to-end tests set clocks with libfaketime; COFFRE_TEST_FAKETIME may name it")?;
    }
    Ok(())
}

/// Runs cargo, shows its output as it comes, and sums up the results in it.
fn run_and_count(tests: &mut Command) -> Result<(ExitCode, Count)> {
    let mut child = tests.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("could not start cargo")?;
    let output = child.stdout.take().context("no output")?;
    let mut count = Count::default();
    let mut terminal = std::io::stdout().lock();
    let mut reader = BufReader::new(output);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        terminal.write_all(&line)?;
        count.add(&String::from_utf8_lossy(&line));
        line.clear();
    }
    Ok((command::exit_code(child.wait()?), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_several_binaries_are_summed_up() {
        let mut count = Count::default();
        for line in [
            "running 3 tests\n",
            "test tests::fine ... ok\n",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.01s\n",
            "test result: \u{1b}[31mFAILED\u{1b}(B\u{1b}[m. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out\n",
        ] {
            count.add(line);
        }
        assert_eq!(count, Count { passed: 16, failed: 2, ignored: 1 });
    }
}
