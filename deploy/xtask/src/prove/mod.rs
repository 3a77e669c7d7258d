//! `cargo xtask prove`: every attack at length, and the table of what came of them.
//!
//! The attacks are rows of [`attacks::ATTACKS`]. Each is run by itself, on a server of its own if it needs one, and
//! within its time; what it says on `PROOF` lines is kept in target/prove/NAME.jsonl and put into loadtest/PROVEN.md.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::cassandra::{self, Running};
use crate::places::Places;
use crate::process::run_lines;
use crate::test::SABOTAGE;
use crate::{python, run, tools};

mod attacks;
mod machine;
mod proof;
mod table;

use attacks::{ATTACKS, Attack, Tool};
use proof::{Proof, quoted};
use table::{Entry, Outcome};

const FILE: &str = "loadtest/PROVEN.md";

pub(crate) fn prove(places: &Places, names: &[String]) -> ExitCode {
    if let Some(unknown) = names.iter().find(|name| !ATTACKS.iter().any(|it| it.name == name.as_str())) {
        let known: Vec<&str> = ATTACKS.iter().map(|it| it.name).collect();
        eprintln!("There is no attack \"{unknown}\"; there are {}.", known.join(", "));
        return ExitCode::from(2);
    }
    match run_all(places, names) {
        Ok(good) if good => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all that were asked for came out well.
fn run_all(places: &Places, names: &[String]) -> Result<bool, String> {
    let asked: Vec<&Attack> =
        ATTACKS.iter().filter(|it| names.is_empty() || names.iter().any(|name| name == it.name)).collect();
    let began = Instant::now();
    println!(
        "cargo xtask prove: {} attack(s). First all is built (release); then keep the machine quiet.",
        asked.len()
    );
    build(places, &asked)?;
    println!("Built in {:.0} s.", began.elapsed().as_secs_f32());
    let mut summary = String::new();
    for attack in &asked {
        println!("\n▶ {}: {}", attack.name, command_text(attack));
        let began = Instant::now();
        let outcome = attack_once(places, attack);
        let took = began.elapsed();
        keep(places, attack, &outcome, took)?;
        write_table(places)?;
        let mark = if outcome.is_good() { '✓' } else { '✗' };
        let line = format!("{mark} {:>7.1} s  {}: {}\n", took.as_secs_f32(), attack.name, said(&outcome));
        print!("{line}");
        summary += &line;
    }
    let (all, good) = (ATTACKS.len(), entries(places).iter().filter(|it| it.outcome.is_good()).count());
    println!(
        "\n{summary}\n{:.0} s in all; {FILE} is rewritten: {good} of {all} attacks stand.",
        began.elapsed().as_secs_f32()
    );
    let stands = |attack: &&Attack| load(places, attack).is_some_and(|it| it.is_good());
    Ok(asked.iter().all(stands) && (!names.is_empty() || good == all))
}

fn said(outcome: &Outcome) -> String {
    let Outcome::Ran { proofs, failure } = outcome else { return String::new() };
    let results = proofs.iter().map(|it| it.result.as_str());
    results.chain(failure.as_deref()).collect::<Vec<_>>().join("; ")
}

/// Everything, before the clock of any attack runs. What users run is built as `cargo xtask run` builds it.
fn build(places: &Places, asked: &[&Attack]) -> Result<(), String> {
    let cargo = |args: &[&str]| {
        let mut cargo = tools::cargo();
        cargo.args(args).current_dir(&places.root);
        run::finish(&format!("cargo {}", args.join(" ")), &mut cargo)
    };
    run::build_front_ends(places)?;
    for attack in asked {
        match attack.tool {
            Tool::Test(words) | Tool::PythonTest(words) => {
                let targets = words.split(" -- ").next().unwrap_or(words).split_whitespace();
                cargo(&["test", "--no-run", "--quiet"].into_iter().chain(targets).collect::<Vec<_>>())?;
            }
            Tool::Xtask(_) | Tool::Loadtest(_) => {}
        }
    }
    if asked.iter().any(|it| matches!(it.tool, Tool::PythonTest(_))) {
        python::build(places)?;
    }
    if asked.iter().any(|it| matches!(it.tool, Tool::Loadtest(_))) {
        run::build(places)?;
        cargo(&["build", "--release", "--workspace", "--bin", "bellhop-loadtest"])?;
    }
    // Another build of the whole gateway: only for who starts it.
    if asked.iter().any(|it| matches!(it.tool, Tool::Loadtest(words) if words.contains("--sabotage"))) {
        cargo(&["build", "--release", "--workspace", "--bin", "bellhop-sabotaged", "--features", SABOTAGE])?;
    }
    Ok(())
}

/// Runs one attack. What goes wrong on the way is its failure, and the next ones are run all the same.
fn attack_once(places: &Places, attack: &Attack) -> Outcome {
    let failed = |failure: String| Outcome::Ran { proofs: Vec::new(), failure: Some(failure) };
    let server = match attack.store.nodes().map(|nodes| serve(places, nodes)).transpose() {
        Ok(server) => server,
        Err(sentence) => return failed(sentence),
    };
    let mut command = match command(places, attack, server.as_ref()) {
        Ok(command) => command,
        Err(sentence) => return failed(sentence),
    };
    let limit = Duration::from_secs(attack.minutes * 60);
    let (lines, success) = run_lines(&mut command, limit, |lines: &mut Vec<String>, line| {
        if line.contains("PROOF {") {
            lines.push(line.to_owned());
        }
    });
    drop(server);
    judge(&lines, success)
}

fn serve(places: &Places, nodes: usize) -> Result<Running, String> {
    cassandra::check(places)?;
    Running::start(nodes, &places.target.join("cassandra-prove"))
}

/// What the lines and the exit code come to together.
fn judge(lines: &[String], success: Result<bool, String>) -> Outcome {
    let mut proofs = Vec::new();
    let mut failure = match success {
        Ok(true) => None,
        Ok(false) => Some("it failed; its own words were printed".to_owned()),
        Err(sentence) => Some(sentence),
    };
    for proof in lines.iter().filter_map(|line| Proof::on_line(line)) {
        match proof {
            Ok((proof, _)) => proofs.push(proof),
            Err(sentence) => failure = Some(format!("a proof that cannot be read: {sentence}")),
        }
    }
    // A proof that says itself that it failed explains the exit code.
    if proofs.iter().any(|it| !it.passed) && failure.as_deref().is_some_and(|it| it.starts_with("it failed")) {
        failure = None;
    }
    if proofs.is_empty() && failure.is_none() {
        failure = Some("it printed no proof".to_owned());
    }
    Outcome::Ran { proofs, failure }
}

fn command(places: &Places, attack: &Attack, server: Option<&Running>) -> Result<Command, String> {
    let mut command = match attack.tool {
        Tool::Loadtest(words) => {
            let mut command = Command::new(places.binary("release", "bellhop-loadtest"));
            command.args(words.split_whitespace());
            if let Some(server) = server {
                command.arg("--cassandra").arg(&server.dir);
            }
            command
        }
        Tool::Test(words) | Tool::PythonTest(words) => {
            let mut command = tools::cargo();
            command.arg("test").args(words.split_whitespace());
            command
        }
        Tool::Xtask(words) => {
            let xtask = Places::xtask()?;
            let mut command = Command::new(xtask);
            command.args(words.split_whitespace());
            command
        }
    };
    command.current_dir(&places.root).envs(attack.sizes.iter().copied());
    if let Some(server) = server {
        command.env("BELLHOP_CQL", &server.contacts).env("BELLHOP_CASSANDRA_DIR", &server.dir);
    }
    if let (Tool::PythonTest(_), Some(python)) = (attack.tool, python::installed(places)) {
        command.env("BELLHOP_PYTHON", python);
    }
    Ok(command)
}

/// The command as anybody would type it; with Cassandra, beside a running `cargo xtask cassandra`.
fn command_text(attack: &Attack) -> String {
    let mut text: String = attack.sizes.iter().map(|(name, value)| format!("{name}={value} ")).collect();
    match attack.tool {
        Tool::Loadtest(words) => text += &format!("bellhop-loadtest {words}"),
        Tool::Test(words) | Tool::PythonTest(words) => {
            if attack.store.nodes().is_some() {
                text += "BELLHOP_CQL=… ";
            }
            if matches!(attack.tool, Tool::PythonTest(_)) {
                text += "BELLHOP_PYTHON=target/python/bin/python ";
            }
            text += &format!("cargo test {words}");
        }
        Tool::Xtask(words) => text += &format!("cargo xtask {words}"),
    }
    text
}

fn path(places: &Places, attack: &Attack) -> PathBuf {
    places.target.join("prove").join(format!("{}.jsonl", attack.name))
}

/// One line about the run, then its proofs, each an object.
fn keep(places: &Places, attack: &Attack, outcome: &Outcome, took: Duration) -> Result<(), String> {
    let Outcome::Ran { proofs, failure } = outcome else { return Ok(()) };
    let mut text = format!(
        "{{\"command\":{},\"date\":{},\"seconds\":{:.1},\"failure\":{}}}\n",
        quoted(&command_text(attack)),
        quoted(&machine::today()),
        took.as_secs_f32(),
        failure.as_deref().map_or_else(|| "null".to_owned(), quoted),
    );
    for it in proofs {
        text += &format!(
            "{{\"promise\":{},\"attack\":{},\"store\":{},\"count\":{},\"result\":{},\"passed\":{}}}\n",
            quoted(&it.promise),
            quoted(&it.attack),
            quoted(&it.store),
            quoted(&it.count),
            quoted(&it.result),
            it.passed
        );
    }
    let path = path(places, attack);
    let written = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, text));
    written.map_err(|error| format!("{} cannot be written: {error}.", path.display()))
}

/// The last run of this very command in this target folder.
fn load(places: &Places, attack: &Attack) -> Option<Outcome> {
    let text = fs::read_to_string(path(places, attack)).ok()?;
    let (head, rest) = text.split_once('\n')?;
    let head: BTreeMap<String, proof::Value> = proof::flat_object(head)?;
    if head.get("command") != Some(&proof::Value::String(command_text(attack))) {
        return None;
    }
    let failure = match head.get("failure") {
        Some(proof::Value::String(failure)) => Some(failure.clone()),
        _ => None,
    };
    let proofs = rest.lines().map(Proof::parse).collect::<Result<Vec<_>, _>>().ok()?;
    Some(Outcome::Ran { proofs, failure })
}

fn entries(places: &Places) -> Vec<Entry<'static>> {
    let file = fs::read_to_string(places.root.join(FILE)).unwrap_or_default();
    let entry = |attack: &'static Attack| {
        let command = command_text(attack);
        let outcome = load(places, attack).unwrap_or_else(|| match table::kept(&file, &command) {
            rows if rows.is_empty() => Outcome::Missing,
            rows => Outcome::Kept(rows),
        });
        let Attack { promise, what, store, .. } = attack;
        Entry { promise, attack: what, store: store.name(), command, outcome }
    };
    ATTACKS.iter().map(entry).collect()
}

fn write_table(places: &Places) -> Result<(), String> {
    let path = places.root.join(FILE);
    let bad = |error: std::io::Error| format!("{FILE}: {error}.");
    let file = fs::read_to_string(&path).map_err(bad)?;
    let content = format!(
        "Last run: {}, on {}. CQL server: {}, not ScyllaDB.\n\n{}",
        machine::today(),
        machine::describe(),
        cassandra::SERVER,
        table::rows(&entries(places))
    );
    let file =
        table::replaced(&file, &content).ok_or_else(|| format!("{FILE} has lost its markers {}.", table::BEGIN))?;
    fs::write(&path, file).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"PROOF {"promise":"G1","attack":"a","store":"embedded","count":"1","result":"0 lost","passed":true}"#;

    fn failure(lines: &[&str], success: Result<bool, String>) -> Option<String> {
        let lines: Vec<String> = lines.iter().map(|it| (*it).to_owned()).collect();
        let outcome = judge(&lines, success);
        let good = outcome.is_good();
        let Outcome::Ran { failure, .. } = outcome else { return None };
        assert_eq!(good, failure.is_none() && !lines.is_empty() && !lines.iter().any(|it| it.contains("false")));
        failure
    }

    #[test]
    fn an_attack_stands_only_if_it_proved_something_and_ended_well() {
        assert_eq!(failure(&[GOOD, "noise"], Ok(true)), None);
        assert_eq!(failure(&["noise"], Ok(true)).as_deref(), Some("it printed no proof"));
        assert!(failure(&[GOOD], Ok(false)).is_some_and(|it| it.starts_with("it failed")));
        assert!(failure(&[GOOD], Err("it was still running".to_owned())).is_some());
        assert!(failure(&[GOOD, "PROOF {"], Ok(true)).is_some_and(|it| it.contains("cannot be read")));
        let bad = GOOD.replace("true", "false");
        assert_eq!(failure(&[&bad], Ok(false)), None, "the row itself says so");
    }

    #[test]
    fn names_are_unique_and_what_is_kept_is_read_back() {
        let target = std::env::temp_dir().join(format!("xtask-prove-{}", std::process::id()));
        let places = Places { root: "/repo".into(), target: target.clone() };
        for (index, attack) in ATTACKS.iter().enumerate() {
            assert!(ATTACKS[..index].iter().all(|it| it.name != attack.name), "{} is there twice", attack.name);
            assert_eq!(load(&places, attack), None);
            let outcome = judge(&[GOOD.to_owned()], Ok(index % 2 == 0));
            keep(&places, attack, &outcome, Duration::from_secs(1)).unwrap();
            assert_eq!(load(&places, attack), Some(outcome));
        }
        fs::remove_dir_all(target).unwrap();
    }

    #[test]
    fn the_file_of_figures_has_its_markers() {
        let file = include_str!("../../../../loadtest/PROVEN.md");
        assert!(table::replaced(file, "").is_some());
    }
}
