//! Rules about npm's two files, read line by line: npm writes one entry a line.

use super::Finding;
use super::tree::{File, Tree};

fn named<'a>(tree: &'a Tree, name: &str) -> impl Iterator<Item = &'a File> {
    tree.files.iter().filter(move |file| file.path.rsplit('/').next() == Some(name))
}

/// `"name": "value",` on a line.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim().trim_end_matches(',').split_once(": ")?;
    Some((name.trim_matches('"'), value.trim_matches('"')))
}

pub(super) fn exact_versions(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in named(tree, "package.json") {
        let mut inside = false;
        for (line, text) in file.lines() {
            let text = text.trim();
            if text.starts_with('}') {
                inside = false;
            } else if text.ends_with("ependencies\": {") {
                inside = true;
            } else if inside
                && let Some((name, version)) = pair(text)
                && !version.starts_with(|char: char| char.is_ascii_digit())
            {
                found.push(Finding::new(&file.path, line, format!("{name} {version} is no exact version")));
            }
        }
    }
    found
}

/// npm leaves a platform's package out of the lock when the registry that it asked has none, and `npm ci` then
/// refuses the lock everywhere.
pub(super) fn complete_locks(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in named(tree, "package-lock.json") {
        let mut inside = false;
        for (line, text) in file.lines() {
            let text = text.trim();
            if text.starts_with('}') {
                inside = false;
            } else if text == "\"optionalDependencies\": {" {
                inside = true;
            } else if inside
                && let Some((name, _)) = pair(text)
                && !file.text.contains(&format!("\"node_modules/{name}\": {{"))
            {
                let what =
                    format!("{name} is not in the lock: pin a version whose packages all exist, then npm install");
                found.push(Finding::new(&file.path, line, what));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_versions_fails() {
        let text = "{\n  \"version\": \"^x\",\n  \"devDependencies\": {\n    \"a\": \"1.2.3\",\n    \"b\": \"^1.2.3\"\n  }\n}\n";
        let found = exact_versions(&Tree::of(&[("widget/package.json", text)]));
        assert_eq!(found.into_iter().map(|it| it.line).collect::<Vec<_>>(), [5]);
    }

    #[test]
    fn a_lock_without_a_platforms_package_fails() {
        let text = "\"node_modules/x\": {\n\"optionalDependencies\": {\n\"x-linux\": \"1\",\n\"x-mac\": \"1\"\n}\n},\n\"node_modules/x-linux\": {\n}\n";
        let found = complete_locks(&Tree::of(&[("widget/package-lock.json", text)]));
        assert_eq!(found.into_iter().map(|it| it.line).collect::<Vec<_>>(), [4]);
    }
}
