//! `cargo xtask run | test | count | cassandra | sim | prove | tidy`: the commands of this repository.
//!
//! Absent: dependencies. This crate stands before every other command, so it has to compile in a second or two; what
//! it needs of JSON or TOML it reads line by line from formats that this repository itself writes.

use std::process::ExitCode;

mod cassandra;
mod count;
mod ignored;
mod places;
mod process;
mod prove;
mod python;
mod run;
mod sim;
mod steps;
mod tally;
mod test;
mod tidy;
mod tools;
mod web;

const USAGE: &str = "usage: cargo xtask <command>

  run [-- ARGS]    build everything, start `bellhop serve` with the demo page; data stays in ./data.
                   ARGS go to `bellhop serve`
  test [NAME …]    install what the tests need, run them all, end with `N passed, N failed, N skipped`.
                   With names, only the steps whose name contains one of them
  cassandra [--nodes 1|3] [--dir DIR]
                   a real CQL server for tests, Apache Cassandra 5.0.9, until Ctrl-C; default DIR target/cassandra
  count [--record] the hot path's instructions against benches/instructions.txt; --record writes it
  sim [--seeds N] [--seed S] [--release]
                   the engine in simulated worlds; S alone replays one
  prove [NAME …]   every attack at length (about half an hour), and the table in loadtest/PROVEN.md
  tidy             check the conventions that have no compiler: rooms, arrows, names, tokens";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let command = args.remove(0);
    let places = match places::Places::find() {
        Ok(places) => places,
        Err(sentence) => {
            eprintln!("{sentence}");
            return ExitCode::FAILURE;
        }
    };
    match command.as_str() {
        "run" => run::run(&places, &args),
        "test" => test::test(&places, &args),
        "count" => count::count(&places, &args),
        "sim" => sim::sim(&places, &args),
        "prove" => prove::prove(&places, &args),
        "cassandra" => cassandra::cassandra(&places, &args),
        "tidy" => tidy::tidy(&places),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("cargo xtask knows no command \"{other}\".\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}
