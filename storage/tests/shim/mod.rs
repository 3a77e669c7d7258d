//! The library under the store's writes and syncs (`storage/shim`), and what is made of its log.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod chance;
pub(crate) mod disk;
pub(crate) mod log;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Builds the library if its source is newer. Its profile is no matter, so it is always the small one.
pub(crate) fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let library = target.join("debug/libbellhop_disk_shim.so");
        let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("shim");
        let changed = |path: &Path| std::fs::metadata(path).and_then(|it| it.modified()).ok();
        let sources = std::fs::read_dir(shim.join("src")).unwrap().map(|entry| entry.unwrap().path());
        if sources.chain([shim.join("Cargo.toml")]).map(|path| changed(&path)).max() < Some(changed(&library)) {
            return library;
        }
        let manifest = shim.join("Cargo.toml");
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(target)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        library
    })
}

/// How the disk under a child behaves.
#[derive(Default, Clone, Copy)]
pub(crate) struct Disk<'a> {
    /// Where all changes and syncs are written down.
    pub(crate) log: Option<&'a Path>,
    /// See `storage/shim/src/fault.rs`.
    pub(crate) fault: &'a str,
    /// Syncs of files whose path holds this answer well and do nothing; empty: none.
    pub(crate) lies: &'a str,
}

impl Disk<'_> {
    /// Puts the library under a command, for files below `root`.
    pub(crate) fn under(&self, command: &mut Command, root: &Path) {
        command.env("LD_PRELOAD", library()).env("BELLHOP_SHIM_ROOT", root).env("BELLHOP_SHIM_FAULT", self.fault);
        command.env("BELLHOP_SHIM_LIES", self.lies);
        if let Some(log) = self.log {
            command.env("BELLHOP_SHIM_LOG", log);
        }
    }
}
