//! `cargo xtask test`: every test there is, from a fresh clone, to one line of figures.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::cassandra::{self, Running};
use crate::ignored::{self, Needs};
use crate::places::Places;
use crate::process::run_counted;
use crate::steps::{STEP_LIMIT, Steps};
use crate::tally::{Counter, Tally};
use crate::tools::{self, Browser};
use crate::{count, python, tidy, web};

/// The feature with which faults can be chosen; it brings that of engine and storage along.
pub(crate) const SABOTAGE: &str = "bellhop-gateway/sabotage";

/// Conversations of the small replay: enough for some thousand turns, and over in seconds.
const REPLAYED_CONVERSATIONS: &str = "60";

/// An attack of the load test in short: 5 to 60 s in the tests' profile.
struct Short {
    name: &'static str,
    args: &'static str,
    /// Nodes of Cassandra; none is the embedded store.
    nodes: usize,
}

const fn short(name: &'static str, nodes: usize, args: &'static str) -> Short {
    Short { name, args, nodes }
}

/// Sorted by nodes: each number of them is started once. Three on two cores carry little, so they get what needs three.
const ATTACKS: [Short; 11] = [
    short("attack: kills and stops", 0, "faults --kills 6 --terms 2 --seed 7"),
    short("attack: slow readers", 0, "slow --readers 24"),
    short("attack: overload", 0, "overload --admitted 500 --offered 5000 --seconds 3"),
    short("attack: everyone back at once", 0, "storm --sessions 600 --seed 7"),
    short("attack: SIGTERM under load", 0, "terms --times 2 --seed 7"),
    short("attack: the checker can fail", 0, "faults --sabotage --seed 7"),
    short("attack on Cassandra: slow readers", 1, "slow --readers 12"),
    short("attack on Cassandra: overload", 1, "overload --admitted 500 --offered 5000 --seconds 3"),
    short("attack on Cassandra: everyone back at once", 1, "storm --sessions 200 --seed 7"),
    short("attack on Cassandra: SIGTERM under load", 1, "terms --times 1 --seed 7"),
    short("attack on Cassandra: kills and stops", 3, "faults --kills 3 --terms 1 --seed 7"),
];

pub(crate) fn test(places: &Places, names: &[String]) -> ExitCode {
    println!("cargo xtask test: every step runs to its end; the figures come last.");
    let mut steps = Steps::new(places, names);
    steps.conventions();
    let node = steps.front_ends();
    steps.make();
    steps.rust();
    count::step(&mut steps);
    steps.load();
    steps.attacks();
    steps.browser(node);
    steps.close()
}

/// What a second pass of tests has beside it.
enum Beside {
    Server(Running),
    Python(PathBuf),
    Nothing,
}

impl Steps<'_> {
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

    /// What Rust's build needs beside Rust.
    fn make(&mut self) {
        if tools::check_make().is_err() && tools::can_install() {
            self.apt("allocator", &[tools::MAKE]);
        }
        if let Err(sentence) = tools::check_make() {
            self.step("allocator", || Tally::failure(sentence));
        }
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

    /// One profile and one set of packages for building, linting and testing, so that nothing is compiled twice but what
    /// the sabotage is in.
    fn rust(&mut self) {
        self.cargo("clippy", Counter::Exit, &["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]);
        self.sabotage();
        // The binaries, which the load and browser tests start; with the features that `cargo test` uses.
        self.cargo("build", Counter::Exit, &["build", "--workspace", "--bins", "--tests"]);
        let places = self.places;
        self.step("cargo test", || {
            let mut cargo = tools::cargo();
            cargo.args(["test", "--workspace", "--no-fail-fast"]).current_dir(&places.root);
            let mut tally = run_counted(&mut cargo, Counter::Libtest, STEP_LIMIT);
            if let Err(error) = ignored::hand_over(places, &mut tally) {
                tally.skips.push(format!("what a second pass is to run could not be remembered: {error}"));
            }
            tally
        });
        self.second_pass("cargo test: with Cassandra", Needs::Cql);
        self.second_pass("cargo test: with three nodes of Cassandra", Needs::Cql3);
        self.second_pass("cargo test: with Python's tools", Needs::Python);
        self.second_pass("cargo test: long ones", Needs::Time);
    }

    /// The faults that are put in on purpose. Before the build of what users run: cargo gives both the same name in the
    /// target folder when it makes the binaries that tests start.
    fn sabotage(&mut self) {
        let features = ["--workspace", "--features", SABOTAGE];
        let lint = [&["clippy"], &features[..], &["--all-targets", "--", "-D", "warnings"]].concat();
        self.cargo("sabotage: clippy", Counter::Exit, &lint);
        let build = [&["build"], &features[..], &["--bin", "bellhop-sabotaged"]].concat();
        self.cargo("sabotage: build", Counter::Exit, &build);
        let mut tests = [&["test", "--no-fail-fast"], &features[..]].concat();
        let names = tidy::sabotaged_tests(self.places);
        for name in &names {
            tests.extend(["--test", name]);
        }
        if !names.is_empty() {
            self.cargo("sabotage: tests", Counter::Libtest, &tests);
        }
    }

    /// The tests that `cargo test` left out because they need this.
    fn second_pass(&mut self, name: &str, needs: Needs) {
        if !self.wanted(name) {
            return;
        }
        let Some(tests) = ignored::handed_over(self.places, needs) else {
            let first = "which tests these are is not known yet: run `cargo xtask test \"cargo test\"` once";
            self.step(name, || Tally::failure(first.to_owned()));
            return;
        };
        if tests.is_empty() {
            return;
        }
        let prepared = match needs {
            Needs::Cql => self.cassandra(name, 1).map(|it| it.map(Beside::Server)),
            Needs::Cql3 => self.cassandra(name, 3).map(|it| it.map(Beside::Server)),
            Needs::Python => python::prepare(self, name).map(|it| Ok(Beside::Python(it))),
            Needs::Time => Ok(Ok(Beside::Nothing)),
        };
        let places = self.places;
        self.step(name, || match prepared {
            Err(why) => ignored::skipped(&tests, &why),
            Ok(Err(sentence)) => Tally::failure(sentence),
            Ok(Ok(beside)) => {
                let mut command = tools::cargo();
                command.args(["test", "--workspace", "--no-fail-fast", "--", "--ignored", "--exact"]).args(&tests);
                command.current_dir(&places.root);
                match &beside {
                    Beside::Server(server) => {
                        command.env("BELLHOP_CQL", &server.contacts).env("BELLHOP_CASSANDRA_DIR", &server.dir)
                    }
                    Beside::Python(python) => command.env("BELLHOP_PYTHON", python),
                    Beside::Nothing => &mut command,
                };
                ignored::all_ran(&tests, run_counted(&mut command, Counter::Libtest, STEP_LIMIT))
            }
        });
    }

    /// A Cassandra of our own. The outer error is the reason to skip what needs it, the inner one a failure.
    fn cassandra(&mut self, what: &str, nodes: usize) -> Result<Result<Running, String>, String> {
        if cassandra::check(self.places).is_err() && tools::can_install() {
            self.apt(what, &cassandra::PACKAGES);
        }
        cassandra::check(self.places)?;
        Ok(Running::start(nodes, &self.places.target.join("cassandra-test")))
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
        let lines = [
            (
                "load: chat beside the bare router",
                "chat --spawn --pairs 16 --compare --rounds 1 --seconds 1 --warm-up 1",
            ),
            ("load: rate", "rate --spawn --pairs 16 --rate 500 --rounds 1 --seconds 1 --warm-up 1"),
            ("load: share", "share --spawn --rate 300 --few 8 --many 40 --rounds 1 --seconds 1 --warm-up 1"),
            ("load: reconnect", "reconnect --spawn --sessions 400"),
            ("load: reconnect after a restart", "reconnect --spawn --sessions 400 --restart"),
            ("load: baseline", "baseline --pairs 16 --seconds 1 --warm-up 0 --idle 200"),
        ];
        for (name, line) in lines {
            self.loadtest(name, &line.split_whitespace().collect::<Vec<_>>());
        }
        self.loadtest("load: idle", &["idle", "--spawn", "--sessions", "200", "--seconds", "2"]);
    }

    /// The attacks of `cargo xtask prove` in short, on both stores.
    fn attacks(&mut self) {
        for of_a_kind in ATTACKS.chunk_by(|one, next| one.nodes == next.nodes) {
            let wanted: Vec<&Short> = of_a_kind.iter().filter(|it| self.wanted(it.name)).collect();
            let nodes = of_a_kind[0].nodes;
            if nodes == 0 {
                wanted.iter().for_each(|it| self.attack(it, None));
            } else if !wanted.is_empty() {
                self.attacks_on_cassandra(&wanted, nodes);
            }
        }
    }

    fn attacks_on_cassandra(&mut self, wanted: &[&Short], nodes: usize) {
        match self.cassandra("attack on Cassandra", nodes) {
            Ok(Ok(server)) => wanted.iter().for_each(|it| self.attack(it, Some(&server))),
            Ok(Err(sentence)) => {
                self.step(wanted[0].name, || Tally::failure(sentence));
            }
            Err(why) => wanted.iter().for_each(|it| self.skip(it.name, &why)),
        }
    }

    fn attack(&mut self, attack: &Short, server: Option<&Running>) {
        let dir = server.map(|it| it.dir.to_string_lossy().into_owned()).unwrap_or_default();
        let mut args: Vec<&str> = attack.args.split_whitespace().chain(["--spawn"]).collect();
        if server.is_some() {
            args.extend(["--store", "scylla", "--cassandra", &dir]);
        }
        self.loadtest(attack.name, &args);
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
                if !self.apt("browser", packages) {
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
}
