//! The `bellhop` binary: reads the command line, does what it says, and ends with a code.
//!
//! 0: done, or stopped as told. 1: it could not be done; one sentence says why. 2: wrong command line or configuration.

use std::process::ExitCode;

use bellhop_gateway::cli::{Arguments, run};
use clap::Parser as _;

/// Chosen for density: an idle session takes 1.1 KB of RSS with it and 1.6 KB with glibc's allocator (`bellhop-loadtest
/// idle`, 2026-11-25, freed memory given back at once by `MIMALLOC_PURGE_DELAY=0`). What it does to the rate is not measured yet.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Arguments::parse())
}
