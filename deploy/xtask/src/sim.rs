//! `cargo xtask sim`: the engine in simulated worlds, each from its seed (engine/tests/simulation).

use std::process::{Command, ExitCode};

use crate::places::Places;
use crate::tools;

pub(crate) const USAGE: &str = "usage: cargo xtask sim [--seeds N] [--seed S] [--release]

  --seeds N   so many worlds, from seed S or 1 on; 1,000 unless said
  --seed S    without --seeds: this world alone, with everything that happens in it printed
  --release   slower to build, several times as fast: for many thousands";

#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    seeds: Option<u64>,
    seed: Option<u64>,
    release: bool,
}

pub(crate) fn sim(places: &Places, args: &[String]) -> ExitCode {
    let asked = match parse(args) {
        Ok(asked) => asked,
        Err(sentence) => {
            eprintln!("{sentence}");
            return ExitCode::from(2);
        }
    };
    let mut command = command(&asked);
    match command.current_dir(&places.root).status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("cargo could not be started: {error}.");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut number = || {
            let number = args.next().and_then(|it| it.replace('_', "").parse::<u64>().ok());
            number.ok_or_else(|| format!("{arg} needs a whole number.\n{USAGE}"))
        };
        match arg.as_str() {
            "--seeds" => asked.seeds = Some(number()?),
            "--seed" => asked.seed = Some(number()?),
            "--release" => asked.release = true,
            other => return Err(format!("cargo xtask sim knows no \"{other}\".\n{USAGE}")),
        }
    }
    Ok(asked)
}

/// The whole workspace is named, so that the simulation is built from the same pieces as `cargo xtask test` builds.
fn command(asked: &Asked) -> Command {
    let mut command = tools::cargo();
    command.args(["test", "--quiet", "--workspace", "--test", "simulation"]);
    if asked.release {
        command.arg("--release");
    }
    command.args(["--", "--nocapture", "every_promise_holds_in_every_simulated_world"]);
    match (asked.seeds, asked.seed) {
        (None, Some(seed)) => command.env("BELLHOP_SIM_SEED", seed.to_string()),
        (seeds, first) => command
            .env("BELLHOP_SIM_SEEDS", seeds.unwrap_or(1_000).to_string())
            .env("BELLHOP_SIM_FIRST", first.unwrap_or(1).to_string()),
    };
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(args: &[&str]) -> Vec<String> {
        let asked = parse(&args.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).unwrap();
        let text = |it: &std::ffi::OsStr| it.to_string_lossy().into_owned();
        let pairs = command(&asked).get_envs().map(|(name, value)| (text(name), value.map(text))).collect::<Vec<_>>();
        pairs.into_iter().map(|(name, value)| format!("{name}={}", value.unwrap_or_default())).collect()
    }

    #[test]
    fn one_seed_is_replayed_and_many_begin_where_told() {
        assert_eq!(variables(&["--seed", "7"]), ["BELLHOP_SIM_SEED=7"]);
        assert_eq!(variables(&["--seeds", "5_000"]), ["BELLHOP_SIM_FIRST=1", "BELLHOP_SIM_SEEDS=5000"]);
        assert_eq!(variables(&["--seeds", "9", "--seed", "7"]), ["BELLHOP_SIM_FIRST=7", "BELLHOP_SIM_SEEDS=9"]);
        assert!(parse(&["--seeds".to_owned()]).is_err());
    }
}
