//! `bellhop-loadtest`: plays visitors and agents against a Bellhop server over real sockets, checks what came of it
//! from the outside, and measures. Knows the wire contract (bellhop-protocol) and the REST API, nothing of the engine.
//!
//! A command adds a file: it opens a [`house::House`], lets roles ([`link::Role`]) play on [`client::run`], and fills a
//! [`report::Report`].

mod agent;
mod args;
mod baseline;
mod cassandra;
mod chat;
mod clerk;
mod client;
mod compare;
mod dice;
mod fast;
mod faults;
mod gauges;
mod guest;
mod hall;
mod house;
mod idle;
mod ledger;
mod link;
mod machine;
mod overload;
mod proof;
mod rate;
mod reconnect;
mod replay;
mod report;
mod rest;
mod run;
mod scene;
mod schedule;
mod server;
mod share;
mod slow;
mod stage;
#[cfg(test)]
mod stand_in;
mod storm;
mod talk;
mod terms;
mod transcript;
mod turns;
mod valve;
mod verdict;
mod verify;
mod visitor;
mod waiting;
mod wire;

use std::process::ExitCode;

use args::{Arguments, Command, Target};
use clap::Parser;
use house::House;
use report::Report;
use stage::Stage;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Command::Router(options) = &arguments.command {
        return code(baseline::serve(options).map(|()| true));
    }
    code(runtime(threads(&arguments.command)).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                outcome = play(&arguments.command) => outcome,
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        })
    }))
}

fn code(outcome: Result<bool, String>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("bellhop-loadtest: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Threads of the generator's sessions; what measures on the fast generator keeps to one of its own.
fn threads(command: &Command) -> u16 {
    match command {
        Command::Replay(options) => options.target.threads,
        Command::Idle(options) => options.target.threads,
        Command::Slow(options) => options.target.threads,
        Command::Overload(options) => options.target.threads,
        Command::Storm(options) => options.target.threads,
        Command::Terms(options) => options.target.threads,
        Command::Faults(options) => options.target.threads,
        Command::Chat(_)
        | Command::Rate(_)
        | Command::Share(_)
        | Command::Reconnect(_)
        | Command::Baseline(_)
        | Command::Router(_) => 1,
    }
}

fn runtime(threads: u16) -> Result<tokio::runtime::Runtime, String> {
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if threads > 1 {
        builder.worker_threads(threads.into());
    }
    builder.enable_all().build().map_err(|error| format!("no runtime: {error}"))
}

/// Whether all was as it should be; an error is a sentence.
async fn play(command: &Command) -> Result<bool, String> {
    match command {
        Command::Replay(options) => replay::replay(options).await,
        Command::Chat(options) => chat::chat(options).await,
        Command::Reconnect(options) => reconnect::reconnect(options).await,
        Command::Rate(options) => rate::rate(options).await,
        Command::Share(options) => share::share(options).await,
        Command::Baseline(options) => baseline::baseline(options).await,
        Command::Router(options) => baseline::serve(options).map(|()| true),
        Command::Idle(options) => idle::idle(options).await,
        Command::Slow(options) => slow::slow(options).await,
        Command::Overload(options) => overload::overload(options).await,
        Command::Storm(options) => storm::storm(options).await,
        Command::Terms(options) => terms::terms(options).await,
        Command::Faults(options) => faults::faults(options).await,
    }
}

/// Prints and writes the figures, ends a server of our own. False if something was found.
async fn finish(mut report: Report, stage: &Stage, house: &House, target: &Target) -> Result<bool, String> {
    let faults = report.faults(stage);
    report.print();
    if let Some(path) = &target.json {
        report.write(path)?;
    }
    if faults {
        house.server.keep();
    }
    house.server.stop().await?;
    Ok(!faults)
}
