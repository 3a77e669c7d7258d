//! The steps of `cargo xtask test`: running each, counting, and the closing report.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use crate::places::Places;
use crate::process::run_counted;
use crate::tally::{Counter, Tally};
use crate::tools;

/// No step may take longer: the longest, the first build on 2 cores, takes about 6 minutes, and the whole has 50.
pub(crate) const STEP_LIMIT: Duration = Duration::from_secs(15 * 60);

struct Done {
    name: String,
    took: Duration,
    tally: Tally,
}

pub(crate) struct Steps<'a> {
    pub(crate) places: &'a Places,
    /// Only steps whose name contains one of these; all if empty.
    names: &'a [String],
    began: Instant,
    done: Vec<Done>,
}

impl<'a> Steps<'a> {
    pub(crate) fn new(places: &'a Places, names: &'a [String]) -> Self {
        Self { places, names, began: Instant::now(), done: Vec::new() }
    }

    /// Whether the user asked for this step.
    pub(crate) fn wanted(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|it| name.contains(it.as_str()))
    }

    /// Runs a step, unless the user asked for others only. Whether it was good.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Tally) -> bool {
        if !self.wanted(name) {
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

    pub(crate) fn command(&mut self, name: &str, counter: Counter, mut command: Command) -> bool {
        self.step(name, || run_counted(&mut command, counter, STEP_LIMIT))
    }

    pub(crate) fn cargo(&mut self, name: &str, counter: Counter, args: &[&str]) -> bool {
        let mut cargo = tools::cargo();
        cargo.args(args).current_dir(&self.places.root);
        self.command(name, counter, cargo)
    }

    pub(crate) fn skip(&mut self, name: &str, why: &str) {
        let tally = Tally::skip(why.to_owned());
        self.step(name, || tally);
    }

    /// Debian packages, by root. `what` they are for.
    pub(crate) fn apt(&mut self, what: &str, packages: &[&str]) -> bool {
        let [update, install] = tools::apt(packages);
        self.command(&format!("{what}: package lists"), Counter::Exit, update);
        self.command(&format!("{what}: install {}", packages.join(", ")), Counter::Exit, install)
    }

    pub(crate) fn close(&self) -> ExitCode {
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
        let mut steps = Steps::new(&places, &[]);
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
