//! Rules about Rust code.

use super::Finding;
use super::code::{Language, blanked, rust_outside_tests, word};
use super::tree::{File, Tree, numbered};

/// The Rust files that are compiled into what runs, seen without tests.
fn shipped(tree: &Tree) -> impl Iterator<Item = (&File, String)> {
    let ours = rust_files(tree).filter(move |file| !file.is_test() && !is_test_module(tree, file));
    ours.map(|file| (file, rust_outside_tests(&file.text)))
}

/// Whether the module above says `#[cfg(test)] mod NAME;` of this file.
fn is_test_module(tree: &Tree, file: &File) -> bool {
    let Some((folder, name)) = file.path.trim_end_matches(".rs").rsplit_once('/') else { return false };
    let declares = |above: &File| {
        let text: String = above.text.split_whitespace().collect();
        text.contains(&format!("#[cfg(test)]mod{name};"))
    };
    let beside = |above: &File| above.path.rsplit_once('/').is_some_and(|(it, _)| it == folder);
    rust_files(tree).any(|above| (beside(above) || above.path == format!("{folder}.rs")) && declares(above))
}

fn rust_files(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.is(&["rs"]))
}

/// Every line of `code` that holds one of the words, and which.
fn lines_with<'a>(code: &str, words: &[&'a str]) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for (line, text) in numbered(code) {
        found.extend(words.iter().filter(|it| word(text, it).is_some()).map(|it| (line, *it)));
    }
    found
}

pub(super) fn engine_is_pure(tree: &Tree) -> Vec<Finding> {
    const OUTSIDE: [&str; 11] = [
        "std::net",
        "tokio::net",
        "std::fs",
        "tokio::fs",
        "std::env",
        "std::process",
        "Instant::now",
        "SystemTime::now",
        "Utc::now",
        "rand::",
        "getrandom",
    ];
    let mut found = Vec::new();
    for (file, code) in shipped(tree).filter(|(file, _)| file.below(&["engine/src"])) {
        for (line, what) in lines_with(&code, &OUTSIDE) {
            found.push(Finding::new(&file.path, line, format!("{what} in the engine: take it in through a port")));
        }
    }
    found
}

pub(super) fn environment_once(tree: &Tree) -> Vec<Finding> {
    const READS: [&str; 4] = ["env::var", "env::vars", "env::var_os", "env::vars_os"];
    let may_read = |file: &File| {
        let name = file.path.rsplit('/').next().unwrap_or_default();
        // sabotaged.rs is the other binary's main; the shim under a disk has no command line; the conformance suite is
        // run by tests alone, wherever it lies.
        matches!(name, "config.rs" | "cli.rs" | "main.rs" | "sabotaged.rs" | "build.rs")
            || file.path.contains("/config/")
            || file.path.contains("/conformance/")
            || file.below(&["benches", "deploy/xtask", "storage/shim"])
    };
    let mut found = Vec::new();
    for (file, code) in shipped(tree).filter(|(file, _)| !may_read(file)) {
        for (line, what) in lines_with(&code, &READS) {
            found.push(Finding::new(&file.path, line, format!("{what} outside of config.rs, cli.rs and main.rs")));
        }
    }
    found
}

pub(super) fn bounded_queues(tree: &Tree) -> Vec<Finding> {
    const UNBOUNDED: [&str; 5] =
        ["unbounded_channel(", "unbounded_channel::<", "unbounded(", "unbounded::<", "mpsc::channel()"];
    let mut found = Vec::new();
    for (file, code) in shipped(tree) {
        for (line, what) in lines_with(&code, &UNBOUNDED) {
            found.push(Finding::new(&file.path, line, format!("{what}…: name a bound and its arithmetic")));
        }
    }
    found
}

pub(super) fn no_default_config(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in rust_files(tree) {
        let code = blanked(&file.text, Language::Rust, true);
        let mut derived = None;
        for (line, text) in numbered(&code) {
            let text = text.trim();
            if text.starts_with("#[derive(") && word(text, "Default").is_some() {
                derived = Some(line);
            } else if text.starts_with("impl Default for ") && is_config(text.trim_start_matches("impl Default for ")) {
                found.push(Finding::new(&file.path, line, "`impl Default` for a configuration"));
            } else if let Some((_, name)) = text.split_once("struct ") {
                if let Some(line) = derived.take().filter(|_| is_config(name)) {
                    found.push(Finding::new(&file.path, line, "`derive(Default)` for a configuration"));
                }
            } else if !text.starts_with("#[") && !text.is_empty() {
                derived = None;
            }
        }
    }
    found
}

/// Whether a type's name, at the text's start, ends with Config.
fn is_config(text: &str) -> bool {
    let end = text.find(|char: char| !char.is_alphanumeric() && char != '_' && char != ':').unwrap_or(text.len());
    text[..end].ends_with("Config")
}

pub(super) fn ignore_has_reason(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in rust_files(tree) {
        for (line, text) in numbered(&blanked(&file.text, Language::Rust, true)) {
            if text.contains("#[ignore]") {
                found.push(Finding::new(&file.path, line, "`#[ignore]` without `= \"the reason\"`"));
            }
        }
    }
    found
}

/// Also looks at the comments of every other language of ours.
pub(super) fn unfinished(tree: &Tree) -> Vec<Finding> {
    const MACROS: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
    const REMARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
    let mut found = Vec::new();
    for file in rust_files(tree) {
        for (line, what) in lines_with(&blanked(&file.text, Language::Rust, true), &MACROS) {
            found.push(Finding::new(&file.path, line, what));
        }
    }
    // This folder has to name what it looks for.
    let ours = |file: &&File| !file.below(&["deploy/xtask/src/tidy"]);
    for file in tree.files.iter().filter(|it| it.is(&["rs", "ts", "tsx", "mjs", "css", "toml", "html"])).filter(ours) {
        for (line, what) in lines_with(&file.text, &REMARKS) {
            found.push(Finding::new(&file.path, line, format!("{what}: do it, or open an issue")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn an_engine_that_reads_a_clock_or_opens_a_socket_fails() {
        let code = "use std::time::Duration;\n// Instant::now is not used\nlet t = Instant::now();\nuse std::net::TcpStream;\nlet operand = grand::x();\n#[cfg(test)]\nmod tests { fn t() { std::fs::read(\"x\"); } }\n";
        assert_eq!(lines(engine_is_pure, "engine/src/actors/x.rs", code), [3, 4]);
        assert_eq!(lines(engine_is_pure, "gateway/src/x.rs", code), []);
    }

    #[test]
    fn a_module_that_reads_the_environment_fails() {
        let code = "fn f() { std::env::var(\"HOME\").ok(); }\n";
        assert_eq!(lines(environment_once, "storage/src/embedded.rs", code), [1]);
        assert_eq!(lines(environment_once, "gateway/src/config.rs", code), []);
        assert_eq!(lines(environment_once, "gateway/tests/kill.rs", code), []);
        let tree = Tree::of(&[
            ("storage/src/codec/mod.rs", "#[cfg(test)]\nmod golden;\n"),
            ("storage/src/codec/golden.rs", code),
        ]);
        assert_eq!(environment_once(&tree), []);
    }

    #[test]
    fn an_unbounded_queue_fails() {
        let code = "let (a, b) = mpsc::unbounded_channel();\nlet c = bounded(8);\nlet d = crossbeam_channel::unbounded::<u8>();\nlet e = std::sync::mpsc::channel();\n";
        assert_eq!(lines(bounded_queues, "gateway/src/x.rs", code), [1, 3, 4]);
    }

    #[test]
    fn a_configuration_with_a_default_fails() {
        let code = "impl Default for ServerConfig {\n}\nimpl Default for Counts {}\n#[derive(Debug, Default)]\npub struct StoreConfig {\n}\n#[derive(Default)]\nstruct Configured;\n";
        assert_eq!(lines(no_default_config, "gateway/src/config.rs", code), [1, 4]);
    }

    #[test]
    fn an_ignored_test_without_a_reason_fails() {
        assert_eq!(
            lines(ignore_has_reason, "engine/tests/x.rs", "#[ignore]\nfn a() {}\n#[ignore = \"an hour\"]\n"),
            [1]
        );
    }

    #[test]
    fn unfinished_work_fails() {
        assert_eq!(
            lines(unfinished, "engine/src/x.rs", "fn f() { todo!() }\n// todo! in prose\nlet x = dbg!(1);\n"),
            [1, 3]
        );
        assert_eq!(lines(unfinished, "widget/src/x.ts", "// TODO later\nconst TODOS = 1;\n"), [1]);
    }
}
