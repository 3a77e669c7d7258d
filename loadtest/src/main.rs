//! `bellhop-loadtest`: plays visitors and agents against a Bellhop server over real sockets, checks what came of it
//! from the outside, and measures. Knows the wire contract (bellhop-protocol) and the REST API, nothing of the engine.
//!
//! A command adds a file: it opens a [`house::House`], lets roles ([`link::Role`]) play on [`client::run`], and fills a
//! [`report::Report`].

mod agent;
mod args;
mod cassandra;
mod chat;
mod clerk;
mod client;
mod compare;
mod dice;
mod faults;
mod gauges;
mod guest;
mod house;
mod idle;
mod ledger;
mod link;
mod machine;
mod overload;
mod proof;
mod replay;
mod report;
mod rest;
mod run;
mod scene;
mod schedule;
mod server;
mod slow;
mod stage;
#[cfg(test)]
mod stand_in;
mod storm;
mod talk;
mod terms;
mod transcript;
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
    let outcome = runtime(target(&arguments.command)).and_then(|runtime| {
        runtime.block_on(async {
            tokio::select! {
                outcome = play(&arguments.command) => outcome,
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        })
    });
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("bellhop-loadtest: {why}");
            ExitCode::FAILURE
        }
    }
}

fn target(command: &Command) -> &Target {
    match command {
        Command::Replay(options) => &options.target,
        Command::Chat(options) => &options.target,
        Command::Idle(options) => &options.target,
        Command::Slow(options) => &options.target,
        Command::Overload(options) => &options.target,
        Command::Storm(options) => &options.target,
        Command::Terms(options) => &options.target,
        Command::Faults(options) => &options.target,
    }
}

fn runtime(target: &Target) -> Result<tokio::runtime::Runtime, String> {
    let mut builder = match target.threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    if target.threads > 1 {
        builder.worker_threads(target.threads.into());
    }
    builder.enable_all().build().map_err(|error| format!("no runtime: {error}"))
}

/// Whether all was as it should be; an error is a sentence.
async fn play(command: &Command) -> Result<bool, String> {
    match command {
        Command::Replay(options) => replay::replay(options).await,
        Command::Chat(options) => chat::chat(options).await,
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
