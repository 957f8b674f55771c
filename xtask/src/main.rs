//! The chores of this repository, the same at home and in CI: tests, lints, proto checks, benchmarks.
//!
//! It depends on no other crate of the workspace, so that it is built in seconds and works while they do not compile.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool speaks on the terminal")]
#![allow(clippy::disallowed_methods, reason = "a build tool reads the environment and the clock directly")]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod before;
mod command;
mod deploy;
mod go;
mod grpcurl;
mod lint;
mod postgres;
mod proto;
mod suite;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::command::cargo;
use crate::workspace::Workspace;

/// The chores of this repository.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Runs all tests; sets up PostgreSQL and grpcurl itself.
    Test(suite::Arguments),
    /// Runs every check that reads the code without running it.
    Lint(lint::Arguments),
    /// Checks the contract in `proto/`.
    Proto {
        #[command(subcommand)]
        task: ProtoTask,
    },
    /// Checks what lies in `deploy/`, and runs the program in the root folder of its container.
    Deploy {
        #[command(subcommand)]
        task: deploy::Task,
    },
    /// Runs the load program of `benchmarks/` on a release build.
    Bench {
        /// What the load program takes; `--help` after `--` lists it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Runs the long tests, on a release build. They are no part of `test`.
    Soak {
        /// A commit whose program is built, too, and replaced by this one under load.
        #[arg(long, value_name = "COMMIT")]
        before: Option<String>,
        /// What the soak program takes; `--help` after `--` lists it.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Subcommand)]
enum ProtoTask {
    /// Lints the protos and compares them with the last release.
    Check,
    /// Makes the protos of this moment the ones that later changes are compared with. Only a release does this.
    Baseline,
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match task {
        Task::Test(arguments) => suite::run(&workspace, &arguments),
        Task::Lint(arguments) => lint::run(&workspace, &arguments),
        Task::Proto { task: ProtoTask::Check } => proto::check(&workspace),
        Task::Proto { task: ProtoTask::Baseline } => proto::write_baseline(&workspace),
        Task::Deploy { task } => deploy::run(&workspace, &task),
        Task::Bench { arguments } => {
            let fixed = ["run", "--release", "--locked", "-p", "coffre-benchmarks", "--"];
            command::pass_through(cargo(&workspace).args(fixed).args(arguments))
        }
        Task::Soak { before, arguments } => {
            // The soak program starts the server as a process of its own, so both are built.
            command::succeed(cargo(&workspace).args(["build", "--release", "--locked", "-p", "coffre"]))?;
            let fixed = ["run", "--release", "--locked", "-p", "coffre-e2e", "--bin", "soak", "--"];
            let binary = workspace.target.join("release/coffre");
            let mut soak = cargo(&workspace);
            soak.env("COFFRE_TEST_BINARY", binary).args(fixed);
            if let Some(commit) = before {
                soak.arg("--before").arg(before::program(&workspace, &commit)?);
            }
            command::pass_through(soak.args(arguments))
        }
    }
}
