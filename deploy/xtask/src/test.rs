//! `cargo xtask test`: every test there is, from a fresh clone, to one line of figures.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::places::Places;
use crate::process::run_counted;
use crate::tally::{Counter, Tally};
use crate::tools::{self, Browser};
use crate::{tidy, web};

/// No step may take longer: the longest, the first build on 2 cores, takes about 6 minutes, and the whole has 30.
const STEP_LIMIT: Duration = Duration::from_secs(15 * 60);

/// Conversations of the small replay: enough for some thousand turns, and over in seconds.
const REPLAYED_CONVERSATIONS: &str = "60";

pub(crate) fn test(places: &Places, names: &[String]) -> ExitCode {
    println!("cargo xtask test: every step runs to its end; the figures come last.");
    let mut steps = Steps { places, names, began: Instant::now(), done: Vec::new() };
    steps.conventions();
    let node = steps.front_ends();
    steps.rust();
    steps.load();
    steps.browser(node);
    steps.close()
}

struct Done {
    name: String,
    took: Duration,
    tally: Tally,
}

struct Steps<'a> {
    places: &'a Places,
    /// Only steps whose name contains one of these; all if empty.
    names: &'a [String],
    began: Instant,
    done: Vec<Done>,
}

impl Steps<'_> {
    /// Runs a step, unless the user asked for others only. Whether it was good.
    fn step(&mut self, name: &str, work: impl FnOnce() -> Tally) -> bool {
        if !self.names.is_empty() && !self.names.iter().any(|it| name.contains(it.as_str())) {
            return true;
        }
        println!("\n▶ {name}");
        let began = Instant::now();
        let tally = work();
        let took = began.elapsed();
        let good = tally.failed == 0;
        println!("{} {name}: {} ({:.1} s)", mark(&tally), figures(&tally), took.as_secs_f32());
        self.done.push(Done { name: name.to_owned(), took, tally });
        good
    }

    fn command(&mut self, name: &str, counter: Counter, mut command: Command) -> bool {
        self.step(name, || run_counted(&mut command, counter, STEP_LIMIT))
    }

    fn cargo(&mut self, name: &str, counter: Counter, args: &[&str]) -> bool {
        let mut cargo = tools::cargo();
        cargo.args(args).current_dir(&self.places.root);
        self.command(name, counter, cargo)
    }

    fn skip(&mut self, name: &str, why: &str) {
        let tally = Tally::skip(why.to_owned());
        self.step(name, || tally);
    }

    fn conventions(&mut self) {
        let places = self.places;
        self.cargo("format", Counter::Exit, &["fmt", "--all", "--check"]);
        self.step("tidy", || tidy::check(places));
    }

    /// Before Rust: the binary embeds what is built here. Whether Node.js is there.
    fn front_ends(&mut self) -> bool {
        if let Err(sentence) = tools::check_node() {
            self.step("node", || Tally::failure(sentence));
            for folder in web::FRONT_ENDS {
                self.skip(folder, "Node.js is missing");
            }
            return false;
        }
        for folder in web::FRONT_ENDS {
            let places = self.places;
            if !self.install(folder) {
                self.skip(&format!("{folder}: build, check, test"), "its packages could not be installed");
                continue;
            }
            if self.command(&format!("{folder}: build"), Counter::Exit, web::npm(places, folder, &["run", "build"])) {
                // A stamp that cannot be written costs the next `cargo xtask run` a build, nothing else.
                let _ = web::remember_built(places, folder);
            }
            self.command(&format!("{folder}: check"), Counter::Exit, web::npm(places, folder, &["run", "check"]));
            self.command(&format!("{folder}: test"), Counter::Node, web::npm(places, folder, &["test"]));
        }
        true
    }

    /// `npm ci`, unless the packages are those of the lock already.
    fn install(&mut self, folder: &str) -> bool {
        let places = self.places;
        if web::is_installed(places, folder) {
            return true;
        }
        let good = self.command(&format!("{folder}: npm ci"), Counter::Exit, web::npm_ci(places, folder));
        // As above: without the stamp, the next run installs once more.
        good && web::remember_installed(places, folder).map_or(true, |()| true)
    }

    /// One profile and one set of packages for building, linting and testing, so that nothing is compiled twice.
    fn rust(&mut self) {
        self.cargo("clippy", Counter::Exit, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        // The binaries, which the load and browser tests start; with the features that `cargo test` uses.
        self.cargo("build", Counter::Exit, &["build", "--workspace", "--bins", "--tests"]);
        self.cargo("cargo test", Counter::Libtest, &["test", "--workspace", "--no-fail-fast"]);
    }

    fn load(&mut self) {
        let star = self.places.shared_data().join("transcripts/star.jsonl.gz");
        if star.is_file() {
            let file = star.to_string_lossy().into_owned();
            self.loadtest(
                "load: replay",
                &["replay", "--spawn", "--file", &file, "--speed", "max", "--conversations", REPLAYED_CONVERSATIONS],
            );
        } else {
            self.skip("load: replay", "../shared/data with its transcripts is not beside this repository");
        }
        self.loadtest("load: chat", &["chat", "--spawn", "--pairs", "16", "--seconds", "3"]);
        self.loadtest("load: idle", &["idle", "--spawn", "--sessions", "200", "--seconds", "2"]);
    }

    fn loadtest(&mut self, name: &str, args: &[&str]) {
        let mut command = Command::new(self.places.binary("debug", "bellhop-loadtest"));
        command.args(args).current_dir(&self.places.root);
        self.command(name, Counter::Exit, command);
    }

    fn browser(&mut self, node: bool) {
        const FOLDER: &str = "gateway/e2e";
        if !node {
            self.skip("browser", "Node.js is missing");
            return;
        }
        match tools::browser() {
            Browser::There => {}
            Browser::Absent(why) => {
                self.skip("browser", &why);
                return;
            }
            Browser::Installable(packages) => {
                if !self.apt(packages) {
                    self.skip("browser: tests", "Chromium could not be installed");
                    return;
                }
            }
        }
        if !self.install(FOLDER) {
            self.skip("browser: tests", "its packages could not be installed");
            return;
        }
        let places = self.places;
        self.command("browser: check", Counter::Exit, web::npm(places, FOLDER, &["run", "check"]));
        let mut tests = web::npm(places, FOLDER, &["test"]);
        tests.env("BELLHOP_BIN", places.binary("debug", "bellhop"));
        tests.env("BELLHOP_ARTEFACTS", places.target.join("e2e-artefacts"));
        self.command("browser: tests", Counter::Playwright, tests);
    }

    fn apt(&mut self, packages: &[&str]) -> bool {
        let mut update = Command::new("apt-get");
        update.args(["update", "--quiet"]);
        let mut install = Command::new("apt-get");
        install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
        install.env("DEBIAN_FRONTEND", "noninteractive");
        self.command("browser: package lists", Counter::Exit, update);
        self.command(&format!("browser: install {}", packages.join(", ")), Counter::Exit, install)
    }

    fn close(&self) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let (text, good) = self.report();
        // A reader who has gone is not our fault; the exit code still tells.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// The closing words and whether all is well.
    fn report(&self) -> (String, bool) {
        let mut text = String::from("\n");
        let (mut passed, mut failed, mut skipped) = (0, 0, 0);
        for Done { name, took, tally } in &self.done {
            passed += tally.passed;
            failed += tally.failed;
            skipped += tally.skipped;
            let took = format!("{:.1} s", took.as_secs_f32());
            text += &format!("{} {took:>8}  {name}: {}\n", mark(tally), figures(tally));
        }
        text += &self.named("FAILED", |tally| &tally.failures);
        text += &self.named("SKIPPED, so not tested", |tally| &tally.skips);
        if !self.names.is_empty() {
            text += &format!("\nONLY the steps named {} were run.\n", self.names.join(", "));
        }
        text += &format!("\n{:.0} s in all\n", self.began.elapsed().as_secs_f32());
        text += &format!("{passed} passed, {failed} failed, {skipped} skipped\n");
        (text, failed == 0)
    }

    fn named(&self, head: &str, of: fn(&Tally) -> &Vec<String>) -> String {
        let mut text = String::new();
        for Done { name, tally, .. } in &self.done {
            text.extend(of(tally).iter().map(|it| format!("  {name}: {it}\n")));
        }
        if text.is_empty() { text } else { format!("\n{head}:\n{text}") }
    }
}

fn mark(tally: &Tally) -> char {
    match (tally.failed, tally.passed) {
        (0, 0) => '–',
        (0, _) => '✓',
        _ => '✗',
    }
}

fn figures(tally: &Tally) -> String {
    format!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(tallies: Vec<Tally>) -> (String, bool) {
        let places = Places { root: "/repo".into(), target: "/repo/target".into() };
        let mut steps = Steps { places: &places, names: &[], began: Instant::now(), done: Vec::new() };
        for tally in tallies {
            steps.step("a step", || tally);
        }
        steps.report()
    }

    #[test]
    fn the_last_line_is_the_sum_of_all_steps_and_nothing_else() {
        let three = || Tally { passed: 3, ..Tally::default() };
        let (text, good) = report(vec![three(), Tally::skip("no data".to_owned()), three()]);
        assert_eq!(text.lines().last(), Some("6 passed, 0 failed, 1 skipped"));
        assert!(text.contains("SKIPPED, so not tested:\n  a step: no data\n"));
        assert!(good);
    }

    #[test]
    fn one_failure_fails_the_whole() {
        let (text, good) = report(vec![Tally::failure("it broke".to_owned())]);
        assert_eq!(text.lines().last(), Some("0 passed, 1 failed, 0 skipped"));
        assert!(text.contains("FAILED:\n  a step: it broke\n"));
        assert!(!good);
    }
}
