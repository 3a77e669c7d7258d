//! The feature `sabotage`: faults put in on purpose (engine/src/sabotage.rs), for tests only.

use super::Finding;
use super::tree::{File, Tree};

/// What builds the binaries that users run.
const BUILDERS: [&str; 4] =
    ["deploy/Containerfile", "deploy/README.md", "deploy/xtask/src/run.rs", "gateway/src/main.rs"];

/// Ours is on only where a command line says so: no default brings it, no dependency asks for it, no profile or alias
/// switches it on, and its binary is not built without it.
pub(super) fn nowhere_else(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|it| it.path.ends_with("Cargo.toml") || it.path.starts_with(".cargo/")) {
        let mut section = "";
        for (line, text) in file.lines() {
            let text = text.split('#').next().unwrap_or_default().trim();
            if text.starts_with('[') {
                section = text;
            }
            let forwards = section == "[features]" && text.starts_with("sabotage");
            let requires =
                text.starts_with("required-features") || text.starts_with("name") || text.starts_with("path");
            if text.contains("sabotage") && !forwards && !requires {
                found.push(Finding::new(&file.path, line, "switches sabotage on for others"));
            }
        }
        found.extend(binary_without_feature(file));
    }
    for file in tree.files.iter().filter(|it| BUILDERS.contains(&it.path.as_str())) {
        for (line, text) in file.lines() {
            if ["sabotage", "--all-features"].iter().any(|it| text.contains(it)) {
                found.push(Finding::new(&file.path, line, "would put sabotage into what users run"));
            }
        }
    }
    found
}

/// A `[[bin]]` with "sabotage" in its name or path that is built without the feature.
fn binary_without_feature(file: &File) -> Option<Finding> {
    let bare = tables(file, "[[bin]]")
        .find(|(_, table)| table.contains("sabotage") && !table.lines().any(|it| it.starts_with("required-features")));
    bare.map(|(line, _)| Finding::new(&file.path, line, "is built without `required-features = [\"sabotage\"]`"))
}

/// The tables of an array in a Cargo.toml, each with the line where it begins.
fn tables<'a>(file: &'a File, head: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    file.text.match_indices(head).map(move |(at, _)| {
        let rest = &file.text[at + head.len()..];
        let line = file.text[..at].matches('\n').count() + 1;
        (line, &rest[..rest.find("\n[").unwrap_or(rest.len())])
    })
}

/// Test targets that are built only with the feature, or have tests that exist only with it.
pub(super) fn tests(tree: &Tree) -> Vec<String> {
    let mut names = Vec::new();
    for file in tree.files.iter().filter(|it| it.path.ends_with("Cargo.toml")) {
        for (_, table) in tables(file, "[[test]]").filter(|(_, table)| table.contains("\"sabotage\"")) {
            let name = table.lines().find_map(|line| line.strip_prefix("name = "));
            names.extend(name.map(|it| it.trim().trim_matches('"').to_owned()));
        }
    }
    for file in tree.files.iter().filter(|it| it.is(&["rs"]) && !it.path.starts_with("deploy/")) {
        let Some((_, path)) = file.path.split_once("/tests/") else { continue };
        let name = path.strip_suffix("/main.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or_default();
        if !name.is_empty() && !name.contains('/') && file.text.contains("#[cfg(feature = \"sabotage\")]") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(files: &[(&str, &str)]) -> Vec<usize> {
        nowhere_else(&Tree::of(files)).into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn sabotage_in_a_default_a_dependency_or_a_users_build_fails() {
        let good = "[[bin]]\nname = \"bellhop-sabotaged\"\nrequired-features = [\"sabotage\"]\n\n[features]\nsabotage = [\"bellhop-engine/sabotage\"]\n";
        assert!(lines(&[("gateway/Cargo.toml", good)]).is_empty());
        assert_eq!(lines(&[("gateway/Cargo.toml", "[features]\ndefault = [\"sabotage\"]\n")]), [2]);
        let dependency = "[dependencies]\nbellhop-engine = { workspace = true, features = [\"sabotage\"] }\n";
        assert_eq!(lines(&[("loadtest/Cargo.toml", dependency)]), [2]);
        assert_eq!(lines(&[("gateway/Cargo.toml", "[x]\n[[bin]]\nname = \"bellhop-sabotaged\"\n[y]\n")]), [2]);
        assert_eq!(lines(&[("deploy/Containerfile", "RUN cargo build --release --all-features\n")]), [1]);
        assert_eq!(lines(&[(".cargo/config.toml", "[alias]\nx = \"run --features sabotage\"\n")]), [2]);
    }

    #[test]
    fn tests_with_faults_are_found_by_their_manifest_and_by_their_text() {
        let manifest =
            "[[test]]\nname = \"supervision\"\nrequired-features = [\"sabotage\"]\n\n[[test]]\nname = \"x\"\n";
        let text = "#[cfg(feature = \"sabotage\")]\n#[test]\nfn it_is_found() {}\n";
        let tree = Tree::of(&[
            ("gateway/Cargo.toml", manifest),
            ("engine/tests/simulation/main.rs", text),
            ("engine/tests/simulation/part.rs", text),
            ("engine/src/sabotage.rs", text),
            ("engine/tests/plain.rs", "#[test]\nfn it_is() {}\n"),
        ]);
        assert_eq!(tests(&tree), ["simulation", "supervision"]);
    }
}
