//! Tests that `cargo test` leaves out because they need something beside them, and the second pass that runs them.
//!
//! What the first pass left out for a reason that a second pass takes care of is handed over: it is not skipped, and is
//! counted where it is run. What is left out for any other reason stays skipped.

use std::fs;
use std::io;

use crate::places::Places;
use crate::tally::Tally;

/// Why a test is left out at first, as its `#[ignore = "…"]` begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// `cargo xtask cassandra`, in `BELLHOP_CQL`.
    Cql,
    /// The same on three nodes, one of which it may take away.
    Cql3,
    /// A Python with gateway/tests/requirements.txt, in `BELLHOP_PYTHON`.
    Python,
    /// Nothing but time, some tens of seconds: beside the others it would make them late.
    Time,
}

impl Needs {
    const ALL: [Self; 4] = [Self::Cql, Self::Cql3, Self::Python, Self::Time];

    fn reason(self) -> &'static str {
        match self {
            Self::Cql => "needs a CQL server",
            Self::Cql3 => "needs three CQL nodes",
            Self::Python => "needs schemathesis and kosoku",
            Self::Time => "long: ",
        }
    }
}

const MEMORY: &str = "handed-over-tests";

/// Takes what a second pass will run out of the first pass's tally, and remembers it.
pub(crate) fn hand_over(places: &Places, tally: &mut Tally) -> io::Result<()> {
    let mut memory = String::new();
    for needs in Needs::ALL {
        for name in tally.take_skips(needs.reason()) {
            memory += &format!("{}\t{name}\n", needs.reason());
        }
    }
    let path = places.stamp(MEMORY);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, memory)
}

/// The tests that the last first pass handed over; `None` if there was none in this target folder yet.
pub(crate) fn handed_over(places: &Places, needs: Needs) -> Option<Vec<String>> {
    let memory = fs::read_to_string(places.stamp(MEMORY)).ok()?;
    let of =
        |line: &str| line.split_once('\t').filter(|(reason, _)| *reason == needs.reason()).map(|it| it.1.to_owned());
    Some(memory.lines().filter_map(of).collect())
}

/// What a second pass that cannot run here comes to: each of its tests skipped.
pub(crate) fn skipped(names: &[String], why: &str) -> Tally {
    let mut tally = Tally::default();
    for name in names {
        tally.skipped += 1;
        tally.skips.push(format!("{name}: {why}"));
    }
    tally
}

/// After a second pass: each of its tests must have been run.
pub(crate) fn all_ran(names: &[String], mut tally: Tally) -> Tally {
    let ran = (tally.passed + tally.failed) as usize;
    if tally.failed == 0 && ran < names.len() {
        tally.failed += 1;
        tally.failures.push(format!("only {ran} of {} were run: {}", names.len(), names.join(", ")));
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tally::Counter;

    #[test]
    fn what_a_second_pass_runs_is_not_skipped_and_what_nobody_runs_is() {
        let target = std::env::temp_dir().join(format!("xtask-ignored-{}", std::process::id()));
        let places = Places { root: "/repo".into(), target: target.clone() };
        assert_eq!(handed_over(&places, Needs::Cql), None);
        let lines = "\
test a::stored ... ignored, needs a CQL server: cargo xtask cassandra
test b::routes ... ignored, needs schemathesis and kosoku: cargo xtask test installs them
test c::long ... ignored, takes an hour
test result: ok. 2 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        let mut tally = Tally::default();
        lines.lines().for_each(|line| tally.line(Counter::Libtest, line));
        hand_over(&places, &mut tally).unwrap();
        assert_eq!((tally.passed, tally.skipped), (2, 1));
        assert_eq!(tally.skips, ["c::long: takes an hour"]);
        assert_eq!(handed_over(&places, Needs::Cql), Some(vec!["a::stored".to_owned()]));
        assert_eq!(handed_over(&places, Needs::Python), Some(vec!["b::routes".to_owned()]));
        fs::remove_dir_all(target).unwrap();
    }

    #[test]
    fn a_second_pass_that_leaves_one_out_fails_and_one_that_cannot_run_is_skipped_whole() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(all_ran(&names, Tally { passed: 2, ..Tally::default() }).failed, 0);
        assert_eq!(all_ran(&names, Tally { passed: 1, ..Tally::default() }).failed, 1);
        let tally = skipped(&names, "no Java");
        assert_eq!((tally.skipped, tally.skips[1].as_str()), (2, "b: no Java"));
    }
}
