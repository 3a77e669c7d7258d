//! The repository's own text files, read once for all rules.

use std::fs;
use std::io;
use std::path::Path;

/// Folders that no rule looks into: made by tools.
const SKIPPED: [&str; 7] = [".git", "target", "node_modules", "dist", "artefacts", "test-results", ".vscode"];

pub(super) struct File {
    /// From the repository's top, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

impl File {
    pub(super) fn is(&self, extensions: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, extension)| extensions.contains(&extension))
    }

    pub(super) fn below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    }

    /// Code that runs only in tests, by where it lies.
    pub(super) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.split('/').any(|part| matches!(part, "test" | "tests" | "e2e" | "fixtures"))
            || name == "test.mjs"
            || name.contains(".test.")
            || name.contains(".spec.")
    }

    pub(super) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        numbered(&self.text)
    }
}

/// Lines with their numbers, from 1.
pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

pub(super) struct Tree {
    pub(super) files: Vec<File>,
    /// Names at the top, folders and files alike.
    pub(super) top: Vec<String>,
}

impl Tree {
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let mut tree = Self { files: Vec::new(), top: Vec::new() };
        for entry in fs::read_dir(root)? {
            tree.top.push(entry?.file_name().to_string_lossy().into_owned());
        }
        tree.top.sort();
        read_folder(root, "", &mut tree.files)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let files: Vec<File> =
            files.iter().map(|(path, text)| File { path: (*path).to_owned(), text: (*text).to_owned() }).collect();
        let mut top: Vec<String> =
            files.iter().map(|file| file.path.split('/').next().unwrap_or_default().to_owned()).collect();
        top.sort();
        top.dedup();
        Self { files, top }
    }
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // At the top, `data` is what `cargo xtask run` stores.
        if SKIPPED.contains(&name.as_str()) || (prefix.is_empty() && name == "data") {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files)?;
        } else if kind.is_file() {
            // A file that is no text, or that an editor has just taken away, is nobody's concern here; its name is.
            let text = fs::read(entry.path()).ok().and_then(|it| String::from_utf8(it).ok()).unwrap_or_default();
            files.push(File { path, text });
        }
    }
    Ok(())
}
