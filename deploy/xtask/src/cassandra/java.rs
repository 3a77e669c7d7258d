//! Java 17, which Cassandra 5.0 runs on.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Cassandra 5.0 supports 11 and 17; the options of deploy/cassandra/node.sh are those for 17.
const MAJOR: u32 = 17;

/// Debian's package.
pub(super) const PACKAGE: &str = "openjdk-17-jre-headless";

/// A `java` of version 17: `JAVA_HOME`, the path, or where distributions put it.
pub(super) fn find() -> Result<PathBuf, String> {
    let mut candidates = Vec::new();
    candidates.extend(std::env::var_os("JAVA_HOME").map(|home| Path::new(&home).join("bin/java")));
    let path = std::env::var_os("PATH").unwrap_or_default();
    candidates.extend(std::env::split_paths(&path).map(|folder| folder.join("java")).find(|it| it.exists()));
    if let Ok(entries) = std::fs::read_dir("/usr/lib/jvm") {
        candidates.extend(entries.flatten().map(|it| it.path().join("bin/java")));
    }
    let mut seen = Vec::new();
    for java in candidates {
        match version(&java) {
            Some(MAJOR) => return Ok(java),
            Some(other) => seen.push(other.to_string()),
            None => {}
        }
    }
    let seen = if seen.is_empty() { String::new() } else { format!(" Only version {} is here.", seen.join(", ")) };
    Err(format!(
        "Java {MAJOR} is missing, which Cassandra 5.0 runs on.{seen} Install it (on Debian: sudo apt-get install {PACKAGE}) or point JAVA_HOME at one, then run this again."
    ))
}

fn version(java: &Path) -> Option<u32> {
    let output = Command::new(java).arg("-version").output().ok()?;
    major(&String::from_utf8_lossy(&output.stderr))
}

/// `openjdk version "17.0.15" 2025-04-15`; before Java 9, `java version "1.8.0_202"`.
fn major(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let version = version.strip_prefix("1.").unwrap_or(version);
    version.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn java_versions_are_read() {
        assert_eq!(major("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(major("java version \"1.8.0_202\""), Some(8));
        assert_eq!(major("openjdk version \"24-ea\" 2025-03-18"), Some(24));
        assert_eq!(major("not java"), None);
    }
}
