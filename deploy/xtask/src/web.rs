//! Building the front ends, and not building them when nothing changed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::places::Places;

/// The two front ends; their built files are embedded in the binary, so they come before it.
pub(crate) const FRONT_ENDS: [&str; 2] = ["widget", "inbox-web"];

/// What of a front end is no source: made by npm, by the build, or only for tests.
const NOT_SOURCE: [&str; 5] = ["node_modules", "dist", "test", "tests", "artefacts"];

/// `npm` in a folder of the repository.
pub(crate) fn npm(places: &Places, folder: &str, args: &[&str]) -> Command {
    let mut command = Command::new("npm");
    // Playwright's packages must not try to fetch a browser: Debian's Chromium is used.
    command.args(args).current_dir(places.root.join(folder)).env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    command
}

/// `npm ci`, from the lock alone.
pub(crate) fn npm_ci(places: &Places, folder: &str) -> Command {
    npm(places, folder, &["ci", "--no-audit", "--no-fund", "--loglevel=error"])
}

/// Whether `node_modules` is what this package-lock.json leads to. The stamp is the lock itself.
pub(crate) fn is_installed(places: &Places, folder: &str) -> bool {
    let lock = fs::read(places.root.join(folder).join("package-lock.json"));
    let stamp = fs::read(lock_stamp(places, folder));
    let in_step = matches!((lock, stamp), (Ok(lock), Ok(stamp)) if lock == stamp);
    in_step && places.root.join(folder).join("node_modules").is_dir()
}

/// Remembers that `node_modules` is in step with the lock.
pub(crate) fn remember_installed(places: &Places, folder: &str) -> io::Result<()> {
    let lock = fs::read(places.root.join(folder).join("package-lock.json"))?;
    write(&lock_stamp(places, folder), &lock)
}

/// Whether `dist` was built from the sources as they are now.
pub(crate) fn is_built(places: &Places, folder: &str) -> io::Result<bool> {
    let now = fingerprint(places, folder)?;
    let then = fs::read_to_string(build_stamp(places, folder));
    Ok(then.is_ok_and(|then| then == now) && places.root.join(folder).join("dist").is_dir())
}

/// Remembers that `dist` is in step with the sources.
pub(crate) fn remember_built(places: &Places, folder: &str) -> io::Result<()> {
    write(&build_stamp(places, folder), fingerprint(places, folder)?.as_bytes())
}

fn lock_stamp(places: &Places, folder: &str) -> PathBuf {
    places.stamp(&format!("{}.lock", folder.replace('/', "-")))
}

fn build_stamp(places: &Places, folder: &str) -> PathBuf {
    places.stamp(&format!("{}.build", folder.replace('/', "-")))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes)
}

/// A hash over path and content of every source of a front end and of the client that both share. Contents, not
/// times: a fresh clone or a switched branch touches every time.
fn fingerprint(places: &Places, folder: &str) -> io::Result<String> {
    let mut files = Vec::new();
    for part in [places.root.join(folder), places.root.join("gateway/client")] {
        sources(&part, &mut files)?;
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    for file in files {
        hasher.write(file.to_string_lossy().as_bytes());
        hasher.write(&fs::read(&file)?);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if NOT_SOURCE.iter().any(|it| name == *it) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            sources(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}
