//! The tools that must be there, and one sentence for each that is not.

use std::path::Path;
use std::process::{Command, Stdio};

/// Node 20 is the oldest line that runs the front ends' build and tests, and what Debian 12's successors bring.
const NODE_MAJOR: u32 = 20;

/// The cargo that started us, so that a `+toolchain` on the command line holds for what we start as well.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Checks node and npm; the error is a sentence that says what to do.
pub(crate) fn check_node() -> Result<(), String> {
    let version = version_of("node").ok_or_else(|| {
        format!("Node.js is missing: install Node.js {NODE_MAJOR} or newer (https://nodejs.org, or your system's package `nodejs`), then run this again.")
    })?;
    match node_major(&version) {
        Some(major) if major >= NODE_MAJOR => {}
        _ => {
            return Err(format!(
                "Node.js {version} is too old: the widget and the inbox need Node.js {NODE_MAJOR} or newer to build."
            ));
        }
    }
    version_of("npm").map(drop).ok_or_else(|| {
        "npm is missing: it comes with Node.js, or as your system's package `npm`; install it, then run this again."
            .to_owned()
    })
}

/// What `tool --version` prints, or `None` when it cannot be run.
pub(crate) fn version_of(tool: &str) -> Option<String> {
    let output = Command::new(tool).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn node_major(version: &str) -> Option<u32> {
    version.trim_start_matches('v').split('.').next()?.parse().ok()
}

/// What the allocator's own build is run by; Rust needs a C compiler's linker anyway, but brings no make.
pub(crate) const MAKE: &str = "make";

/// Checks make; the error is a sentence that says what to do.
pub(crate) fn check_make() -> Result<(), String> {
    version_of(MAKE).map(drop).ok_or_else(|| {
        format!("{MAKE} is missing, which builds the allocator; on Debian: sudo apt-get install {MAKE}; then run this again.")
    })
}

/// Debian's Chromium, which the browser tests drive.
pub(crate) const CHROMIUM: &str = "/usr/bin/chromium";

/// What brings it, with the font that the pictures of the views are meant to show; they hold with any other as well,
/// so that its absence alone is no reason to install.
const PACKAGES: [&str; 2] = ["chromium", "fonts-inter"];

/// Whether the browser tests can run, and if not, what would help.
pub(crate) enum Browser {
    There,
    /// Debian packages that we, being root, can install.
    Installable(&'static [&'static str]),
    /// Not there, and not ours to install; the sentence says what the user can do.
    Absent(String),
}

pub(crate) fn browser() -> Browser {
    if Path::new(CHROMIUM).exists() {
        Browser::There
    } else if can_install() {
        Browser::Installable(&PACKAGES)
    } else {
        let packages = PACKAGES.join(" ");
        Browser::Absent(format!(
            "there is no {CHROMIUM}; on Debian: sudo apt-get install --no-install-recommends {packages}"
        ))
    }
}

/// What installs Debian packages, in this order.
pub(crate) fn apt(packages: &[&str]) -> [Command; 2] {
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    [update, install]
}

/// Whether Debian packages are ours to install.
pub(crate) fn can_install() -> bool {
    version_of("apt-get").is_some() && is_root()
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_versions_are_read() {
        assert_eq!(node_major("v20.20.2"), Some(20));
        assert_eq!(node_major("v9.0.0"), Some(9));
        assert_eq!(node_major("banana"), None);
    }
}
