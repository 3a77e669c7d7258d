//! Where things lie.

use std::path::{Path, PathBuf};

/// The folders that the commands work in.
pub(crate) struct Places {
    /// The repository's top.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever `CARGO_TARGET_DIR` or a configuration put it: two above this very binary.
    pub(crate) target: PathBuf,
}

impl Places {
    pub(crate) fn find() -> Result<Self, String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let root = root.canonicalize().map_err(|error| {
            format!("The repository that xtask was built in, {}, is gone: {error}.", root.display())
        })?;
        let target = std::env::current_exe()
            .ok()
            .and_then(|exe| Some(exe.parent()?.parent()?.to_path_buf()))
            .unwrap_or_else(|| root.join("target"));
        Ok(Self { root, target })
    }

    /// This very program, to be started once more. Cargo may have put a newer one in its place meanwhile: then that one,
    /// since Linux calls the old one's path deleted.
    pub(crate) fn xtask() -> Result<PathBuf, String> {
        let path = std::env::current_exe().map_err(|error| format!("xtask does not find itself: {error}."))?;
        Ok(replaced(&path).unwrap_or(path))
    }

    /// A built binary of this workspace; `profile` is `debug` or `release`.
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
    }

    /// Real conversations to test with. They are not part of this repository: the folder `shared` lies beside it, or
    /// does not.
    pub(crate) fn shared_data(&self) -> PathBuf {
        self.root.join("../shared/data")
    }

    /// A file of xtask's own memory between runs.
    pub(crate) fn stamp(&self, name: &str) -> PathBuf {
        self.target.join("xtask-stamps").join(name)
    }
}

/// Where the successor of a deleted program lies.
fn replaced(path: &Path) -> Option<PathBuf> {
    path.to_str()?.strip_suffix(" (deleted)").map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_built_anew_while_it_ran_is_found() {
        assert_eq!(replaced(Path::new("/t/debug/xtask (deleted)")), Some("/t/debug/xtask".into()));
        assert_eq!(replaced(Path::new("/t/debug/xtask")), None);
    }
}
