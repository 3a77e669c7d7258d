//! The `bellhop` binary: reads the command line, does what it says, and ends with a code.
//!
//! 0: done, or stopped as told. 1: it could not be done; one sentence says why. 2: wrong command line or configuration.

use std::process::ExitCode;

use bellhop_gateway::cli::{Arguments, run};
use clap::Parser as _;

/// An idle session takes 1.3 KB with it and 1.6 KB with glibc's allocator (10,000 sessions, the same run), and a message
/// fewer instructions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    run(Arguments::parse())
}
