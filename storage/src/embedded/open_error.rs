//! Every way in which opening a data directory fails: one sentence and its remedy each.

use std::path::PathBuf;

/// Why a data directory was not opened. Nothing that it holds was lost by trying.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "{} is in use by {}; stop it, or choose another data directory",
        path.display(),
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
    )]
    Locked { path: PathBuf, pid: Option<u32> },

    #[error(
        "{} was written by a newer Bellhop (its format is {found}, this one reads up to {known}); start the newer version",
        path.display()
    )]
    Newer { path: PathBuf, found: u32, known: u32 },

    #[error(
        "{} is a Bellhop data directory with parts missing ({missing}); restore the whole directory from a backup, or \
         choose another one (nothing is made anew over what is left)",
        path.display()
    )]
    HalfDeleted { path: PathBuf, missing: String },

    #[error(
        "{} is not empty and not a Bellhop data directory; choose an empty or a new one",
        path.display()
    )]
    Foreign { path: PathBuf },

    #[error(
        "{} cannot be written ({reason}); give the user that runs Bellhop the right to write there, or choose another \
         data directory",
        path.display()
    )]
    NotWritable { path: PathBuf, reason: String },

    #[error("the disk of {} is full ({reason}); free some space and start again", path.display())]
    Full { path: PathBuf, reason: String },

    #[error("{} is damaged ({reason}); restore the whole directory from a backup", path.display())]
    Damaged { path: PathBuf, reason: String },

    #[error("{} cannot be opened ({reason}); mend that and start again", path.display())]
    Io { path: PathBuf, reason: String },
}
