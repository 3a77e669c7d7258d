//! The `bellhop` binary: reads the command line, does what it says, and ends with a code.
//!
//! 0: done, or stopped as told. 1: it could not be done; one sentence says why. 2: wrong command line or configuration.

use std::process::ExitCode;

use bellhop_gateway::cli::{Arguments, run};
use clap::Parser as _;

/// Chosen by its tail: what was allocated by one thread and freed by others, as memory tables are, mimalloc (2 and 3) takes
/// back all at once, on the thread that allocates next: the commit thread stood still for 20 to 90 ms of processor time. In
/// turns with it at 25,000 messages a second, p99.9 over all rounds 32 to 62 ms for 106 and 115 (`bellhop-loadtest rate`,
/// 2026-11-26, 2 cores). The peak is the same, and an idle session takes 1.2 KB with either, 1.6 KB with glibc's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    run(Arguments::parse())
}
