//! Rules about Cargo.toml files. They are read line by line: ours are written one dependency a line.

use super::Finding;
use super::tree::{File, Tree};

/// Which of our crates each may depend on; `dev` adds what its tests may use.
const ARROWS: [(&str, &[&str], &[&str]); 8] = [
    ("engine", &[], &["bellhop-storage"]),
    ("storage", &["bellhop-engine"], &[]),
    ("storage/shim", &[], &[]),
    ("gateway/protocol", &[], &[]),
    ("gateway", &["bellhop-engine", "bellhop-storage", "bellhop-protocol"], &[]),
    ("loadtest", &["bellhop-protocol"], &[]),
    ("benches", &["bellhop-engine", "bellhop-storage", "bellhop-protocol", "bellhop-gateway"], &[]),
    ("deploy/xtask", &[], &[]),
];

/// Formats, transports and randomness.
const NOT_IN_ENGINE: [&str; 10] =
    ["axum", "serde_json", "postcard", "fjall", "rand", "getrandom", "toml", "hyper", "reqwest", "tokio-tungstenite"];

struct Dependency<'a> {
    line: usize,
    /// `dependencies`, `dev-dependencies` or `build-dependencies`.
    section: &'a str,
    name: &'a str,
    /// Everything after the name.
    value: &'a str,
}

fn members(tree: &Tree) -> impl Iterator<Item = (&str, &File)> {
    tree.files.iter().filter_map(|file| Some((file.path.strip_suffix("/Cargo.toml")?, file)))
}

fn dependencies(file: &File) -> Vec<Dependency<'_>> {
    let mut section = "";
    let mut found = Vec::new();
    for (line, text) in file.lines() {
        let text = text.trim();
        if let Some(name) = text.strip_prefix('[') {
            let name = name.trim_end_matches(']');
            // `[dependencies.tokio]` and `[target.'cfg(unix)'.dependencies]`.
            section = ["dev-dependencies", "build-dependencies", "dependencies"]
                .into_iter()
                .find(|it| name.split('.').any(|part| part == *it))
                .unwrap_or("");
            if let Some((_, name)) = name.rsplit_once("dependencies.") {
                found.push(Dependency { line, section, name, value: "" });
            }
        } else if !section.is_empty() && !text.starts_with('#') {
            let end = text.find(['.', '=', ' ']).unwrap_or(0);
            if end > 0 {
                found.push(Dependency { line, section, name: text[..end].trim_matches('"'), value: &text[end..] });
            }
        }
    }
    found
}

pub(super) fn arrows(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (folder, file) in members(tree) {
        let Some((_, allowed, for_tests)) = ARROWS.iter().find(|(name, ..)| *name == folder) else {
            found.push(Finding::new(
                &file.path,
                0,
                "a crate that no arrow is drawn for; draw it in deploy/xtask/src/tidy/cargo_toml.rs",
            ));
            continue;
        };
        for dependency in dependencies(file) {
            let ours = dependency.name.starts_with("bellhop-") || dependency.value.contains("path");
            let may = allowed.contains(&dependency.name)
                || (dependency.section == "dev-dependencies" && for_tests.contains(&dependency.name));
            if ours && !may {
                let what = format!("{folder} → {} ({}) is no arrow of the design", dependency.name, dependency.section);
                found.push(Finding::new(&file.path, dependency.line, what));
            }
        }
    }
    found
}

pub(super) fn declared_once(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (_, file) in members(tree) {
        for dependency in dependencies(file) {
            let value: String = dependency.value.chars().filter(|char| !char.is_whitespace()).collect();
            if !value.contains("workspace=true") {
                let what = format!("{} is declared here and not in the root Cargo.toml", dependency.name);
                found.push(Finding::new(&file.path, dependency.line, what));
            }
        }
    }
    found
}

pub(super) fn lints(tree: &Tree) -> Vec<Finding> {
    let inherits = |file: &File| {
        let text: String = file.text.split_whitespace().collect();
        text.contains("[lints]workspace=true")
    };
    members(tree)
        .filter(|(_, file)| !inherits(file))
        .map(|(_, file)| Finding::new(&file.path, 0, "has no `[lints] workspace = true`"))
        .collect()
}

pub(super) fn engine_without_formats(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file("engine/Cargo.toml") else { return Vec::new() };
    dependencies(file)
        .iter()
        .filter(|it| it.section != "dev-dependencies" && NOT_IN_ENGINE.contains(&it.name))
        .map(|it| Finding::new(&file.path, it.line, format!("the engine depends on {}", it.name)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(found: Vec<Finding>) -> Vec<usize> {
        found.into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn an_arrow_that_is_not_drawn_fails() {
        let engine = "[dependencies]\nbellhop-storage.workspace = true\n[dev-dependencies]\nbellhop-storage.workspace = true\nbellhop-protocol.workspace = true\n";
        let tree = Tree::of(&[("engine/Cargo.toml", engine)]);
        assert_eq!(lines(arrows(&tree)), [2, 5]);
        let good = "[dependencies]\nbellhop-engine.workspace = true\nserde.workspace = true\n";
        assert_eq!(arrows(&Tree::of(&[("storage/Cargo.toml", good)])), []);
        let path = "[dependencies]\nengine = { path = \"../engine\" }\n";
        assert_eq!(lines(arrows(&Tree::of(&[("loadtest/Cargo.toml", path)]))), [2]);
        assert_eq!(lines(arrows(&Tree::of(&[("cellar/Cargo.toml", "")]))), [0]);
    }

    #[test]
    fn a_dependency_declared_in_a_member_fails() {
        let text = "[package]\nname = \"x\"\n[dependencies]\nserde.workspace = true\ntokio = { workspace = true, features = [\"fs\"] }\nrand = \"0.9\"\n[dependencies.toml]\nversion = \"1\"\n";
        let found = declared_once(&Tree::of(&[("engine/Cargo.toml", text)]));
        assert_eq!(lines(found), [6, 7, 8]);
    }

    #[test]
    fn a_crate_without_the_workspaces_lints_fails() {
        let tree = Tree::of(&[("engine/Cargo.toml", "[lints]\nworkspace = true\n"), ("storage/Cargo.toml", "")]);
        assert_eq!(lints(&tree).len(), 1);
    }

    #[test]
    fn an_engine_that_knows_a_format_fails() {
        let text = "[dependencies]\nserde.workspace = true\nserde_json.workspace = true\n[dev-dependencies]\nserde_json.workspace = true\n";
        assert_eq!(lines(engine_without_formats(&Tree::of(&[("engine/Cargo.toml", text)]))), [3]);
    }
}
