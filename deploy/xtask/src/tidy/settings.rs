//! Whatever sets Bellhop's configuration from outside names keys that exist.

use super::Finding;
use super::code::{Language, blanked, is_word};
use super::tree::{File, Tree};

/// The one list of keys.
const KEYS: &str = "gateway/src/config/keys.rs";

pub(super) fn exist(tree: &Tree) -> Vec<Finding> {
    let Some(keys) = tree.file(KEYS).map(variables) else { return Vec::new() };
    let sets = |file: &&File| {
        file.path == "README.md" || (file.below(&["deploy", "gateway/e2e"]) && !file.below(&["deploy/xtask/src/tidy"]))
    };
    let mut found = Vec::new();
    for file in tree.files.iter().filter(sets) {
        for (line, text) in file.lines() {
            for name in named(text).filter(|name| !keys.iter().any(|key| key == name)) {
                found.push(Finding::new(&file.path, line, format!("{name} sets no key of {KEYS}")));
            }
        }
    }
    found
}

/// `BELLHOP_<SECTION>__<KEY>` on a line.
fn named(line: &str) -> impl Iterator<Item = &str> {
    line.split(|char: char| !is_word(char))
        .filter(|word| word.strip_prefix("BELLHOP_").is_some_and(|it| it.contains("__") && !it.ends_with("__")))
}

/// The variables that the list of keys leads to: `section: Section {` and, one step further in, `name: Kind = default`.
fn variables(file: &File) -> Vec<String> {
    let code = blanked(&file.text, Language::Rust, true);
    let mut section = String::new();
    let mut found = Vec::new();
    for line in code.lines().skip_while(|line| !line.starts_with("keys! {")).skip(1) {
        let Some((name, rest)) = line.trim().split_once(": ") else { continue };
        if rest.ends_with('{') {
            section = name.to_uppercase();
        } else if rest.contains('=') {
            found.push(format!("BELLHOP_{section}__{}", name.to_uppercase()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_without_its_key_fails() {
        let keys = "struct Key { a: u8 = 1 }\nkeys! {\n    server: Server {\n        listen: SocketAddr = \"x\", 0..=0,\n            \"why: not = this\";\n    }\n}\n";
        let unit =
            "Environment=BELLHOP_SERVER__LISTEN=x\nEnvironment=BELLHOP_SERVER__PORT=1\n# BELLHOP_BIN is no setting\n";
        let tree = Tree::of(&[(KEYS, keys), ("deploy/bellhop.service", unit)]);
        assert_eq!(exist(&tree).into_iter().map(|it| it.line).collect::<Vec<_>>(), [2]);
    }
}
