//! `bellhop` with a fault put in on purpose, named by the environment variable `BELLHOP_SABOTAGE`; without it, nothing is
//! broken. For the tests that show that our checkers can fail.

use std::process::ExitCode;

use bellhop_engine::sabotage;
use bellhop_gateway::cli::{Arguments, run};
use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    match std::env::var("BELLHOP_SABOTAGE").as_deref().map(str::parse) {
        Ok(Ok(fault)) => sabotage::choose(Some(fault)),
        Ok(Err(sentence)) => {
            eprintln!("BELLHOP_SABOTAGE: {sentence}");
            return ExitCode::from(2);
        }
        Err(_unset) => {}
    }
    run(Arguments::parse())
}
