//! The load program: it starts Coffre as a process of its own, puts load on it, and measures the bare libraries beside it in the same
//! run, so that a figure is a ratio and not a property of the machine. `benchmarks/README.md` says how to run it and how to read it.

// A program for the terminal: what it prints is its result.
#![allow(clippy::print_stdout, clippy::print_stderr)]
// It reads no setting of Coffre, and the bare server ends with its parent.
#![allow(clippy::disallowed_methods)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

// Linked for the C code of the databases, which `scale` loads.
use coffre_db as _;

mod api;
mod bare;
mod cases;
mod cli;
mod disk;
mod http;
mod load;
mod log;
mod process;
mod program;
mod quiet;
mod report;
mod server;
mod split;
mod work;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bare(options) => bare::serve(&options),
        Command::Measure(measure) => cases::run(measure),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
