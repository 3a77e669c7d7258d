//! `cargo xtask tidy`: conventions as tests. A rule that stands only in prose is broken within a month (HABITS 23).
//!
//! Where a rule fights clarity, clarity wins and the reason is written: a comment `tidy(RULE): the reason` on the line
//! or on the one above it lets that line pass.
//!
//! To add a rule: write a function from [`Tree`] to findings in the file of its kind, name it in [`RULES`] with the
//! reason why it exists, and test beside it that it can fail.

use std::process::ExitCode;

use crate::places::Places;
use crate::tally::Tally;

mod cargo_toml;
mod code;
mod lengths;
mod names;
mod packages;
mod readme;
mod rust;
mod sabotage;
mod settings;
mod style;
mod tree;
mod typescript;

use tree::Tree;

/// A place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// From 1; 0 when it is about the file as such.
    line: usize,
    what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

struct Rule {
    name: &'static str,
    why: &'static str,
    /// A reason to look again, not a failure.
    warns: bool,
    check: fn(&Tree) -> Vec<Finding>,
}

const fn rule(name: &'static str, why: &'static str, check: fn(&Tree) -> Vec<Finding>) -> Rule {
    Rule { name, why, warns: false, check }
}

const RULES: [Rule; 24] = [
    rule(
        "room arrows",
        "the rooms stay exchangeable: storage → engine; gateway → engine, storage, protocol; loadtest → protocol; benches → any",
        cargo_toml::arrows,
    ),
    rule(
        "dependencies declared once",
        "one version and one argued set of features each, in the root Cargo.toml; a member says `name.workspace = true`",
        cargo_toml::declared_once,
    ),
    rule(
        "no sabotage for users",
        "faults put in on purpose are in no default, in nothing that builds what users run, and in no binary but their own",
        sabotage::nowhere_else,
    ),
    rule(
        "lints inherited",
        "a crate without `[lints] workspace = true` escapes the workspace's lints",
        cargo_toml::lints,
    ),
    rule(
        "engine without formats",
        "the engine knows no wire and no disk format and brings no randomness: those crates belong to gateway and storage",
        cargo_toml::engine_without_formats,
    ),
    rule(
        "front-end arrows",
        "widget and inbox share gateway/client and nothing else, so that each can change and be measured alone",
        typescript::arrows,
    ),
    rule(
        "engine is pure",
        "time, randomness, files and sockets come in through ports, so that a test can replay any moment",
        rust::engine_is_pure,
    ),
    rule(
        "environment read once",
        "configuration is one typed value, checked before any port binds (HABITS 4)",
        rust::environment_once,
    ),
    rule(
        "every queue is bounded",
        "an unbounded queue turns overload into memory and silence (HABITS 10, G11)",
        rust::bounded_queues,
    ),
    rule(
        "no default configuration",
        "each default is written in one place with its reason, not in an `impl Default`",
        rust::no_default_config,
    ),
    rule(
        "ignored tests say why",
        "a skipped test is reported by name and reason, or it is forgotten",
        rust::ignore_has_reason,
    ),
    rule(
        "nothing unfinished",
        "what is on main works: no todo!, unimplemented!, dbg!, no work left in comments",
        rust::unfinished,
    ),
    rule("no test left out by a focus", "one forgotten `.only` silences a whole suite", typescript::focus),
    rule(
        "same origin only",
        "the front ends talk to the Bellhop that served them and to no third party (SECURITY L)",
        typescript::same_origin,
    ),
    rule(
        "colours from tokens.css",
        "light, dark, contrast and a customer's accent are decided in one file (LOOK)",
        style::colours,
    ),
    Rule {
        warns: true,
        ..rule(
            "sizes from tokens.css",
            "type, space and radius follow one scale (LOOK); widths and hairlines may be literal",
            style::sizes,
        )
    },
    rule(
        "top level",
        "somebody new sees the rooms and nothing else; a new room is a decision, not an accident",
        names::top_level,
    ),
    rule(
        "telling names",
        "utils, common, helpers, manager and misc say nothing and collect everything (HABITS)",
        names::telling,
    ),
    rule("exact npm versions", "what was tested is what is built (SECURITY L)", packages::exact_versions),
    rule(
        "complete npm locks",
        "`npm ci` refuses a lock in which a platform's package is missing",
        packages::complete_locks,
    ),
    rule(
        "settings exist",
        "an environment variable with a typing error in a unit, a container or a README sets nothing",
        settings::exist,
    ),
    rule(
        "the README's tests exist",
        "a promise points at the test that holds it, and the test is there",
        readme::tests_exist,
    ),
    Rule {
        warns: true,
        ..rule("file length", "past 500 lines a file may hold two concepts (HABITS 5): look again", lengths::files)
    },
    Rule {
        warns: true,
        ..rule("function length", "past 70 lines a function may do two things: look again", lengths::functions)
    },
];

pub(crate) fn tidy(places: &Places) -> ExitCode {
    let tally = check(places);
    println!("tidy: {} rules hold, {} are broken", tally.passed, tally.failed);
    if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Names of the test files that need the faults put in on purpose, or test other things with them.
pub(crate) fn sabotaged_tests(places: &Places) -> Vec<String> {
    // A tree that cannot be read fails in `check`.
    Tree::read(&places.root).map(|tree| sabotage::tests(&tree)).unwrap_or_default()
}

/// Runs every rule and prints what breaks it; each rule counts as one test.
pub(crate) fn check(places: &Places) -> Tally {
    let tree = match Tree::read(&places.root) {
        Ok(tree) => tree,
        Err(error) => return Tally::failure(format!("tidy: the tree could not be read: {error}")),
    };
    let mut tally = Tally::default();
    for rule in &RULES {
        let mut findings = (rule.check)(&tree);
        findings.retain(|finding| !is_excused(&tree, rule.name, finding));
        for finding in &findings {
            let kind = if rule.warns { "warning: " } else { "" };
            println!("{}:{}: {kind}{}: {}", finding.path, finding.line, rule.name, finding.what);
        }
        if !findings.is_empty() {
            println!("  why: {}", rule.why);
        }
        if findings.is_empty() || rule.warns {
            tally.passed += 1;
        } else {
            tally.failed += 1;
            tally.failures.push(format!("{}: {} place(s)", rule.name, findings.len()));
        }
    }
    tally
}

/// Whether a comment on the finding's line, or on the one above, names the rule and gives a reason.
fn is_excused(tree: &Tree, rule: &str, finding: &Finding) -> bool {
    let Some(file) = tree.file(&finding.path) else { return false };
    let excuse = format!("tidy({rule}): ");
    let near = file.lines().filter(|(line, _)| (finding.line.saturating_sub(1)..=finding.line).contains(line));
    near.filter_map(|(_, text)| text.split_once(&excuse)).any(|(_, reason)| reason.split_whitespace().count() >= 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_needs_the_rules_name_and_a_reason() {
        let text = "// tidy(every queue is bounded): the test reads it at once\na\n// tidy(every queue is bounded): no\nb\nc\n";
        let tree = Tree::of(&[("engine/src/x.rs", text)]);
        let excused = |rule, line| is_excused(&tree, rule, &Finding::new("engine/src/x.rs", line, ""));
        assert!(excused("every queue is bounded", 2));
        assert!(!excused("engine is pure", 2));
        assert!(!excused("every queue is bounded", 4), "a reason is more than a word");
        assert!(!excused("every queue is bounded", 5));
    }
}
