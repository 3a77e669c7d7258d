//! Cassandra's jars, from Maven Central into the target folder, once.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::places::Places;
use crate::tools;

/// Debian's package.
pub(super) const PACKAGE: &str = "maven";

const POM: &str = "deploy/cassandra/pom.xml";

/// The folder of jars for this very pom.xml: another version gets another folder.
fn folder(places: &Places, pom: &str) -> PathBuf {
    places.target.join("cassandra-jars").join(version(pom).unwrap_or("unknown"))
}

/// The version that the pom asks for.
fn version(pom: &str) -> Option<&str> {
    let dependency = pom.split_once("<artifactId>cassandra-all</artifactId>")?.1;
    Some(dependency.split_once("<version>")?.1.split_once("</version>")?.0)
}

fn is_whole(folder: &Path) -> bool {
    folder.join("whole").exists()
}

fn pom(places: &Places) -> Result<String, String> {
    fs::read_to_string(places.root.join(POM)).map_err(|error| format!("{POM} cannot be read: {error}."))
}

/// Whether [`fetch`] has what it needs: the jars, or Maven.
pub(super) fn obtainable(places: &Places) -> Result<(), String> {
    if is_whole(&folder(places, &pom(places)?)) || tools::version_of("mvn").is_some() {
        return Ok(());
    }
    Err(format!(
        "Maven is missing, which fetches Cassandra from Maven Central: install it (on Debian: sudo apt-get install {PACKAGE}), then run this again."
    ))
}

/// The folder with the jars; fetched (67 MB, 5 s where the network is near) unless they are there.
pub(super) fn fetch(places: &Places) -> Result<PathBuf, String> {
    let folder = folder(places, &pom(places)?);
    if is_whole(&folder) {
        return Ok(folder);
    }
    obtainable(places)?;
    println!("Cassandra: fetching its jars from Maven Central (67 MB, once).");
    let mut maven = Command::new("mvn");
    maven.args(["--quiet", "--batch-mode", "--file"]).arg(places.root.join(POM));
    maven.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    maven.arg(format!("-DoutputDirectory={}", folder.display()));
    match maven.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(format!("Maven could not fetch Cassandra ({status}); its own words are above.")),
        Err(error) => return Err(format!("mvn could not be started: {error}.")),
    }
    // Written last: a fetch that was interrupted begins again.
    fs::write(folder.join("whole"), "").map_err(|error| format!("{} cannot be written: {error}.", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_poms() {
        let text = include_str!("../../../cassandra/pom.xml");
        assert_eq!(version(text), super::super::SERVER.strip_prefix("Apache Cassandra "));
        assert_eq!(version("<project/>"), None);
    }
}
