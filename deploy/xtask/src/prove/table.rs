//! The table of figures between its markers in loadtest/PROVEN.md.

use super::proof::Proof;

pub(super) const BEGIN: &str = "<!-- proven: begin (written by cargo xtask prove) -->";
pub(super) const END: &str = "<!-- proven: end -->";

const HEAD: &str = "| Promise | Attack | Store | Count | Result | Command |\n|---|---|---|---|---|---|\n";

/// What one attack of the list came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its lines, at least one, and why it failed if that is not in them.
    Ran { proofs: Vec<Proof>, failure: Option<String> },
    /// Rows of an earlier run, as they stand in the file.
    Kept(Vec<String>),
    /// Never run.
    Missing,
}

impl Outcome {
    pub(super) fn is_good(&self) -> bool {
        match self {
            Self::Ran { proofs, failure } => {
                failure.is_none() && !proofs.is_empty() && proofs.iter().all(|proof| proof.passed)
            }
            Self::Kept(rows) => !rows.iter().any(|row| row.contains(FAILED)),
            Self::Missing => false,
        }
    }
}

const FAILED: &str = "**FAILED**";

/// An attack's place in the table.
pub(super) struct Entry<'a> {
    pub(super) promise: &'a str,
    pub(super) attack: &'a str,
    pub(super) store: &'a str,
    pub(super) command: String,
    pub(super) outcome: Outcome,
}

pub(super) fn rows(entries: &[Entry]) -> String {
    let mut text = HEAD.to_owned();
    for entry in entries {
        let command = format!("`{}`", entry.command);
        let row = |cells: [&str; 5]| row(&[&cells[..], &[&command]].concat());
        let bare = |count, result: &str| row([entry.promise, entry.attack, entry.store, count, result]);
        match &entry.outcome {
            Outcome::Ran { proofs, failure } => {
                for proof in proofs {
                    let result =
                        if proof.passed { proof.result.clone() } else { format!("{FAILED}: {}", proof.result) };
                    text += &row([&proof.promise, &proof.attack, &proof.store, &proof.count, &result]);
                }
                if let Some(failure) = failure {
                    text += &bare("–", &format!("{FAILED}: {failure}"));
                }
            }
            Outcome::Kept(rows) => text.extend(rows.iter().map(|row| format!("{row}\n"))),
            Outcome::Missing => text += &bare("–", "**not measured yet**"),
        }
    }
    text
}

fn row(cells: &[&str]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The rows for this command that stand in the file already, but for those that say that there is nothing yet.
pub(super) fn kept(file: &str, command: &str) -> Vec<String> {
    let end = format!("| `{}` |", command.replace('|', "\\|"));
    let between = between(file).unwrap_or_default();
    let rows = between.lines().filter(|line| line.ends_with(&end) && !line.contains("**not measured yet**"));
    rows.map(str::to_owned).collect()
}

fn between(file: &str) -> Option<&str> {
    Some(file.split_once(BEGIN)?.1.split_once(END)?.0)
}

/// The file with this between its markers; `None` if it has none.
pub(super) fn replaced(file: &str, content: &str) -> Option<String> {
    let (before, rest) = file.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{content}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(result: &str, passed: bool) -> Proof {
        Proof {
            promise: "G1".into(),
            attack: "kill -9 | again".into(),
            store: "embedded".into(),
            count: "200 kills".into(),
            result: result.into(),
            passed,
        }
    }

    fn entry(command: &str, outcome: Outcome) -> Entry<'static> {
        Entry { promise: "G8", attack: "SIGTERM", store: "model", command: command.into(), outcome }
    }

    #[test]
    fn a_failed_a_missing_and_a_silent_row_are_shown_as_such() {
        let ran = |proofs, failure: Option<&str>| Outcome::Ran { proofs, failure: failure.map(str::to_owned) };
        let entries = [
            entry("a", ran(vec![proof("0 lost", true), proof("1 lost", false)], None)),
            entry("b", ran(vec![], Some("it printed no proof"))),
            entry("c", Outcome::Missing),
        ];
        let table = rows(&entries);
        let lines: Vec<&str> = table.lines().skip(2).collect();
        assert_eq!(lines[0], "| G1 | kill -9 \\| again | embedded | 200 kills | 0 lost | `a` |");
        assert_eq!(lines[1], "| G1 | kill -9 \\| again | embedded | 200 kills | **FAILED**: 1 lost | `a` |");
        assert_eq!(lines[2], "| G8 | SIGTERM | model | – | **FAILED**: it printed no proof | `b` |");
        assert_eq!(lines[3], "| G8 | SIGTERM | model | – | **not measured yet** | `c` |");
        assert!(entries.iter().all(|it| !it.outcome.is_good()));
        assert!(ran(vec![proof("0 lost", true)], None).is_good());
    }

    #[test]
    fn the_table_is_rewritten_between_its_markers_and_rows_that_were_not_run_are_kept() {
        let file = format!("# Proven\n\n{BEGIN}\nold\n{END}\n\nAfter.\n");
        let first = rows(&[entry("a --x", Outcome::Ran { proofs: vec![proof("0 lost", true)], failure: None })]);
        let file = replaced(&file, &first).unwrap();
        assert!(file.starts_with("# Proven\n\n") && file.ends_with("\n\nAfter.\n") && !file.contains("old"));
        let kept_rows = kept(&file, "a --x");
        assert_eq!(kept_rows.len(), 1);
        assert!(kept(&file, "a").is_empty(), "another command");
        let again = rows(&[entry("a --x", Outcome::Kept(kept_rows)), entry("c", Outcome::Missing)]);
        let file = replaced(&file, &again).unwrap();
        assert!(file.contains("200 kills | 0 lost | `a --x` |"));
        assert!(kept(&file, "c").is_empty(), "nothing is not worth keeping");
        assert_eq!(replaced("no markers", ""), None);
    }
}
