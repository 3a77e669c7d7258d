//! The READMEs' tables of promises: whatever a column headed "Test" names in backticks is in the tree. A name is a
//! Rust test function, the title of a test in TypeScript, or a path.

use super::Finding;
use super::code::word;
use super::tree::{File, Tree};

pub(super) fn tests_exist(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|file| file.is(&["md"])) {
        for (line, name) in named_tests(file) {
            if !exists(tree, name) {
                found.push(Finding::new(&file.path, line, format!("no test `{name}` is in the tree")));
            }
        }
    }
    found
}

/// Every backticked name in a table's column whose head is or begins with "Test".
fn named_tests(file: &File) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut columns: Option<Vec<usize>> = None;
    for (line, text) in file.lines() {
        let Some(cells) = cells(text) else {
            columns = None;
            continue;
        };
        match &columns {
            None => {
                let heads = cells.iter().enumerate().filter(|(_, cell)| is_test_head(cell));
                columns = Some(heads.map(|(index, _)| index).collect());
            }
            Some(columns) => {
                for cell in columns.iter().filter_map(|index| cells.get(*index)) {
                    found.extend(cell.split('`').skip(1).step_by(2).map(|name| (line, name)));
                }
            }
        }
    }
    found
}

fn is_test_head(cell: &str) -> bool {
    matches!(cell.split_whitespace().next().map(str::to_ascii_lowercase).as_deref(), Some("test" | "tests"))
}

fn cells(line: &str) -> Option<Vec<&str>> {
    let inner = line.trim().strip_prefix('|')?;
    Some(inner.trim_end_matches('|').split('|').map(str::trim).collect())
}

fn exists(tree: &Tree, name: &str) -> bool {
    // `gateway/tests/kill.rs::a_name` is both, a path and a test in it.
    if let Some((path, name)) = name.split_once("::") {
        return tree.file(path).is_some_and(|file| holds(file, name));
    }
    let is_path = tree.files.iter().any(|file| file.path == name || file.below(&[name.trim_end_matches('/')]));
    is_path || tree.files.iter().any(|file| holds(file, name))
}

fn holds(file: &File, name: &str) -> bool {
    if file.is(&["rs"]) {
        return word(&file.text, &format!("fn {name}")).is_some();
    }
    file.is(&["ts", "tsx", "mjs"])
        && file.is_test()
        && ['"', '\'', '`'].iter().any(|quote| file.text.contains(&format!("{quote}{name}{quote}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_whose_test_is_gone_fails() {
        let readme = "| Promise | Test |\n|---|---|\n| G1 | `an_acked_message_survives` |\n| G2 | `gone_for_good`, `gateway/tests/a.rs` |\n| G3 | `reload keeps unsent text` |\n| `not_a_test` | – |\n\n| Word | Meaning |\n|---|---|\n| `free_name` | x |\n";
        let tree = Tree::of(&[
            ("README.md", readme),
            ("gateway/tests/a.rs", "#[test]\nfn an_acked_message_survives() {}\n"),
            ("gateway/e2e/a.spec.ts", "test(\"reload keeps unsent text\", async () => {});\n"),
        ]);
        assert_eq!(tests_exist(&tree), [Finding::new("README.md", 4, "no test `gone_for_good` is in the tree")]);
    }
}
