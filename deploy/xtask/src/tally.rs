//! Counting tests from what their runners print.

use std::collections::VecDeque;

/// Lines that the closing report repeats of a step that failed as a whole, and of a test of Rust's that did: the
/// reason, with little around it. Whoever sees only the end of a run is to see it too.
const LAST_WORDS: usize = 12;
/// Characters of each of them.
const WORDS_LENGTH: usize = 400;

/// Whose lines are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Nobody's: the step is one test, and its exit code the verdict.
    Exit,
    /// `cargo test`.
    Libtest,
    /// `node --test`, in its `spec` and `tap` output.
    Node,
    /// gateway/e2e/tally.ts.
    Playwright,
}

/// What a step, or all of them, came to.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) skipped: u32,
    /// Names of failed tests, or a sentence about the step.
    pub(crate) failures: Vec<String>,
    /// Each with its reason, as far as the runner tells.
    pub(crate) skips: Vec<String>,
    /// What was said last, of a runner whose lines are not counted.
    pub(crate) last_words: VecDeque<String>,
    /// Lines still to keep of what a failed test of Rust's printed.
    pub(crate) listening: usize,
}

impl Tally {
    pub(crate) fn failure(sentence: String) -> Self {
        Self { failed: 1, failures: vec![sentence], ..Self::default() }
    }

    pub(crate) fn skip(sentence: String) -> Self {
        Self { skipped: 1, skips: vec![sentence], ..Self::default() }
    }

    /// Takes out the skipped tests whose reason begins like this; gives their names.
    pub(crate) fn take_skips(&mut self, reason: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.skips.retain(|skip| match skip.split_once(": ") {
            Some((name, why)) if why.starts_with(reason) => {
                taken.push(name.to_owned());
                false
            }
            _ => true,
        });
        self.skipped = self.skipped.saturating_sub(u32::try_from(taken.len()).unwrap_or(u32::MAX));
        taken
    }

    /// Reads one line of a runner, without colours.
    pub(crate) fn line(&mut self, counter: Counter, line: &str) {
        match counter {
            Counter::Exit => self.hear(line),
            Counter::Libtest => self.libtest(line),
            Counter::Node => self.node(line),
            Counter::Playwright => self.playwright(line),
        }
    }

    /// Brings counts and exit together: a runner that counted nothing, or failed without saying what, is a failure.
    pub(crate) fn settle(&mut self, counter: Counter, success: Result<bool, String>) {
        let none = self.passed + self.failed + self.skipped == 0;
        match success {
            Err(sentence) => self.fail(sentence),
            Ok(true) if counter == Counter::Exit => self.passed += 1,
            Ok(true) if none => self.fail("it ran no test".to_owned()),
            Ok(true) => {}
            Ok(false) if self.failed == 0 => self.fail("it failed; its own words are above".to_owned()),
            Ok(false) => {}
        }
        if self.failed > 0 {
            self.failures.extend(self.last_words.drain(..).map(|words| format!("  {words}")));
        }
    }

    /// Keeps a line, and no more than the last few.
    fn hear(&mut self, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        if self.last_words.len() == LAST_WORDS {
            self.last_words.pop_front();
        }
        self.last_words.push_back(line.chars().take(WORDS_LENGTH).collect());
    }

    fn fail(&mut self, sentence: String) {
        self.failed += 1;
        self.failures.push(sentence);
    }

    /// `test result: ok. 3 passed; 0 failed; 1 ignored; …`, `test NAME ... FAILED`, `test NAME ... ignored, REASON`.
    /// `---- NAME stdout ----` begins what a failed one printed.
    fn libtest(&mut self, line: &str) {
        if line.starts_with("---- ") && line.ends_with(" stdout ----") {
            self.listening = LAST_WORDS;
        }
        if self.listening > 0 && !line.is_empty() {
            self.listening -= 1;
            self.failures.push(format!("  {}", line.chars().take(WORDS_LENGTH).collect::<String>()));
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            for part in counts.split([';', '.']) {
                let mut words = part.split_whitespace();
                let (Some(Ok(count)), Some(kind)) = (words.next().map(str::parse::<u32>), words.next()) else {
                    continue;
                };
                match kind {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.skipped += count,
                    _ => {}
                }
            }
        } else if let Some((name, verdict)) = line.strip_prefix("test ").and_then(|it| it.rsplit_once(" ... ")) {
            if let Some(reason) = verdict.strip_prefix("ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                self.skips.push(if reason.is_empty() { name.to_owned() } else { format!("{name}: {reason}") });
            } else if verdict == "FAILED" {
                self.failures.push(name.to_owned());
            }
        }
    }

    /// `ℹ pass 3` or `# pass 3`; `﹣ NAME (1ms) # REASON` or `ok 1 - NAME # SKIP REASON`; `✖ NAME (1ms)` or
    /// `not ok 1 - NAME`.
    fn node(&mut self, line: &str) {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("ℹ ").or_else(|| line.strip_prefix("# "))
            && let Some((kind, count)) = rest.split_once(' ')
            && let Ok(count) = count.parse::<u32>()
        {
            match kind {
                "pass" => self.passed += count,
                "fail" | "cancelled" => self.failed += count,
                "skipped" | "todo" => self.skipped += count,
                _ => {}
            }
        } else if let Some(name) = line.strip_prefix("﹣ ") {
            self.skips.push(name.to_owned());
        } else if line.starts_with("ok ")
            && let Some((name, reason)) = line.split_once("# SKIP")
        {
            self.skips.push(format!("{} {}", name.trim(), reason.trim()));
        } else if let Some(name) = line.strip_prefix("✖ ").or_else(|| line.strip_prefix("not ok ")) {
            // Named once where it happened and once more in the summary.
            let name = name.split(" (").next().unwrap_or(name).to_owned();
            if name != "failing tests:" && !self.failures.contains(&name) {
                self.failures.push(name);
            }
        }
    }

    /// `e2e: 3 passed, 0 failed, 1 skipped`, `e2e failed: NAME`, `e2e skipped: NAME: REASON`.
    fn playwright(&mut self, line: &str) {
        if let Some(name) = line.strip_prefix("e2e failed: ") {
            self.failures.push(name.to_owned());
        } else if let Some(name) = line.strip_prefix("e2e skipped: ") {
            self.skips.push(name.to_owned());
        } else if let Some(counts) = line.strip_prefix("e2e: ") {
            for part in counts.split(", ") {
                match part.split_once(' ').map(|(count, kind)| (count.parse::<u32>(), kind)) {
                    Some((Ok(count), "passed")) => self.passed += count,
                    Some((Ok(count), "failed")) => self.failed += count,
                    Some((Ok(count), "skipped")) => self.skipped += count,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(counter: Counter, lines: &str, success: bool) -> Tally {
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.line(counter, line));
        tally.settle(counter, Ok(success));
        tally
    }

    fn counts(tally: &Tally) -> (u32, u32, u32) {
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn cargos_tests_are_summed_over_all_binaries_and_ignored_ones_named() {
        let lines = "\
running 3 tests
test a::b ... ok
test a::c ... ignored, takes an hour
test a::d ... FAILED
test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s
test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.50s";
        let tally = read(Counter::Libtest, lines, false);
        assert_eq!(counts(&tally), (8, 1, 1));
        assert_eq!(tally.skips, ["a::c: takes an hour"]);
        assert_eq!(tally.failures, ["a::d"]);
    }

    #[test]
    fn the_report_repeats_why_a_test_of_rust_failed() {
        let lines = "\
test a::d ... FAILED

failures:

---- a::d stdout ----

thread 'a::d' panicked at a.rs:1:2:
left is not right

failures:
    a::d

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let tally = read(Counter::Libtest, lines, false);
        assert_eq!(counts(&tally), (1, 1, 0));
        assert!(tally.failures.contains(&"  left is not right".to_owned()), "{:?}", tally.failures);
    }

    #[test]
    fn the_report_repeats_the_last_words_of_a_step_that_failed_and_of_no_other() {
        let lines = (0..40).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
        let tally = read(Counter::Exit, &lines, false);
        assert_eq!(counts(&tally), (0, 1, 0));
        assert_eq!(tally.failures.len(), 1 + LAST_WORDS);
        assert_eq!(tally.failures.last().map(String::as_str), Some("  line 39"));
        assert!(read(Counter::Exit, &lines, true).failures.is_empty());
    }

    #[test]
    fn nodes_tests_are_counted_in_both_of_its_outputs() {
        let spec = "✔ works (1.2ms)\n✖ breaks (3ms)\n﹣ later (0.1ms) # SKIP\nℹ tests 3\nℹ suites 0\nℹ pass 1\nℹ fail 1\nℹ cancelled 0\nℹ skipped 1\nℹ todo 0\n✖ failing tests:\n✖ breaks (3ms)";
        let tally = read(Counter::Node, spec, false);
        assert_eq!(counts(&tally), (1, 1, 1));
        assert_eq!(tally.failures, ["breaks"]);
        assert_eq!(tally.skips.len(), 1);
        let tap = "ok 1 - works\nok 2 - later # SKIP no data\n# tests 2\n# pass 1\n# fail 0\n# skipped 1\n# todo 0";
        assert_eq!(counts(&read(Counter::Node, tap, true)), (1, 0, 1));
    }

    #[test]
    fn browser_tests_are_counted_from_our_reporter() {
        let lines = "e2e failed: chat › reload\ne2e: 4 passed, 1 failed, 0 skipped";
        let tally = read(Counter::Playwright, lines, false);
        assert_eq!(counts(&tally), (4, 1, 0));
        assert_eq!(tally.failures, ["chat › reload"]);
    }

    #[test]
    fn a_runner_that_ran_nothing_or_failed_without_a_word_is_a_failure() {
        assert_eq!(counts(&read(Counter::Node, "", true)), (0, 1, 0));
        assert_eq!(counts(&read(Counter::Libtest, "error: could not compile", false)), (0, 1, 0));
        assert_eq!(counts(&read(Counter::Exit, "", true)), (1, 0, 0));
    }
}
