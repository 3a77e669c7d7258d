//! Rules about names.

use super::Finding;
use super::tree::Tree;

/// What stands at the top of the repository.
const TOP: [&str; 20] = [
    ".cargo",
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "benches",
    "clippy.toml",
    "deploy",
    "engine",
    "gateway",
    "inbox-web",
    "loadtest",
    "rust-toolchain.toml",
    "rustfmt.toml",
    "storage",
    "widget",
];
/// What stands there on a developer's machine, out of git.
const NOT_IN_GIT: [&str; 5] = [".git", "target", "data", ".vscode", ".idea"];

const EMPTY_WORDS: [&str; 10] =
    ["utils", "util", "common", "helpers", "helper", "manager", "managers", "misc", "stuff", "shared"];

pub(super) fn top_level(tree: &Tree) -> Vec<Finding> {
    tree.top
        .iter()
        .filter(|name| !TOP.contains(&name.as_str()) && !NOT_IN_GIT.contains(&name.as_str()))
        .map(|name| Finding::new(name, 0, "is not one of the rooms or the usual small files"))
        .collect()
}

pub(super) fn telling(tree: &Tree) -> Vec<Finding> {
    let empty = |path: &str| {
        path.split('/').any(|part| {
            let stem = part.split('.').find(|it| !it.is_empty()).unwrap_or(part).to_ascii_lowercase();
            stem.split(['-', '_']).any(|word| EMPTY_WORDS.contains(&word))
        })
    };
    tree.files
        .iter()
        .filter(|file| empty(&file.path))
        .map(|file| Finding::new(&file.path, 0, "say what it holds instead"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_thing_at_the_top_fails() {
        let tree = Tree::of(&[("README.md", ""), ("scripts/x.sh", ""), ("widget/package.json", ""), (".ci/run", "")]);
        assert_eq!(top_level(&tree), [Finding::new("scripts", 0, "is not one of the rooms or the usual small files")]);
    }

    #[test]
    fn a_name_that_says_nothing_fails() {
        let tree = Tree::of(&[
            ("engine/src/utils.rs", ""),
            ("widget/src/common/a.ts", ""),
            ("engine/src/session_manager.rs", ""),
            ("engine/src/commons.rs", ""),
        ]);
        let paths: Vec<String> = telling(&tree).into_iter().map(|it| it.path).collect();
        assert_eq!(paths, ["engine/src/utils.rs", "widget/src/common/a.ts", "engine/src/session_manager.rs"]);
    }
}
