//! Lengths that are a reason to look again.

use super::Finding;
use super::code::{Language, blanked, block_end, word};
use super::tree::{File, Tree};

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 70;

/// Made by a tool (ts-rs), and as long as the contract is.
const GENERATED: &str = "gateway/client/src/protocol.ts";

pub(super) fn files(tree: &Tree) -> Vec<Finding> {
    let ours = |file: &&File| file.is(&["rs", "ts", "tsx", "css", "mjs"]) && file.path != GENERATED;
    let mut found = Vec::new();
    for file in tree.files.iter().filter(ours) {
        let lines = file.text.lines().count();
        if lines > FILE_LINES {
            found.push(Finding::new(&file.path, 0, format!("{lines} lines")));
        }
    }
    found
}

/// Of Rust; a component in TSX is mostly markup, and its length says little.
pub(super) fn functions(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|it| it.is(&["rs"])) {
        let code = blanked(&file.text, Language::Rust, true);
        let mut from = 0;
        while let Some(at) = word(&code[from..], "fn ").map(|at| at + from) {
            from = at + 3;
            let name: String = code[from..].chars().take_while(|char| super::code::is_word(*char)).collect();
            let Some(open) = code[from..].find(['{', ';']).map(|it| it + from) else { break };
            if name.is_empty() || code[open..].starts_with(';') {
                continue;
            }
            let lines = code[at..block_end(&code, open)].lines().count();
            if lines > FUNCTION_LINES {
                let line = code[..at].matches('\n').count() + 1;
                found.push(Finding::new(&file.path, line, format!("fn {name}: {lines} lines")));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_and_a_long_function_are_pointed_at() {
        let long = format!("fn short() {{ 1; }}\nfn long() {{\n{}}}\n", "    call(\"}\");\n".repeat(500));
        let tree = Tree::of(&[("engine/src/x.rs", &long)]);
        assert_eq!(files(&tree).len(), 1);
        assert_eq!(functions(&tree), [Finding::new("engine/src/x.rs", 2, "fn long: 502 lines")]);
        assert!(files(&Tree::of(&[(GENERATED, &long)])).is_empty());
    }
}
