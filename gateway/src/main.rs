//! The `bellhop` binary: reads the command line, does what it says, and ends with a code.
//!
//! 0: done, or stopped as told. 1: it could not be done; one sentence says why. 2: wrong command line or configuration.

use std::process::ExitCode;

use bellhop_gateway::cli::{Arguments, run};
use clap::Parser as _;

fn main() -> ExitCode {
    run(Arguments::parse())
}
