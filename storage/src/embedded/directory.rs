//! The data directory: its marker, its lock, and what must lie in it before fjall is let at it.
//!
//! ```text
//! BELLHOP      the marker: text, written whole (new file, sync, rename)
//! lock         held by the process that serves the directory; holds its pid
//! settled      which batch is known to be on the disk (`settled.rs`)
//! cut-off      what was last taken off a torn journal (`mend.rs`)
//! db/          fjall's
//! ```
//!
//! fjall makes anew what it does not find (a journal, a keyspace's folder), which would turn a half deleted directory
//! into an empty store. So the marker says that the database was made, and everything must then be there.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bellhop_engine::domain::SHARDS;

use super::OpenError;
use super::{mend, settled, tables, versions};

/// The layout of this module and of `keys.rs`. Raised when an older program could not read what a newer one writes.
pub(super) const FORMAT: u32 = 1;

const MARKER: &str = "BELLHOP";
const MARKER_NEW: &str = "BELLHOP.new";
const LOCK: &str = "lock";
const DATABASE: &str = "db";

/// Made by `mkfs` at the root of a volume; a directory that holds nothing else is empty.
const LOST_AND_FOUND: &str = "lost+found";

/// The marker's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    /// Milliseconds since 1970, for people.
    pub(super) created_ms: u64,
    /// False while the database is being made: what lies there then was never served and is thrown away.
    pub(super) ready: bool,
    /// The epoch of the last open: a database that knows only a lower one has lost its journal or is an old copy.
    pub(super) epoch: u64,
    /// Random, in every batch of the journal (`journal.rs`); a directory of a version before has none yet.
    pub(super) mark: Option<u64>,
}

impl Marker {
    fn text(&self) -> String {
        let mark = self.mark.map_or_else(String::new, |mark| format!("mark {mark}\n"));
        format!(
            "bellhop data directory\nformat {FORMAT}\nshards {SHARDS}\ncreated {}\nready {}\nepoch {}\n{mark}",
            self.created_ms, self.ready, self.epoch
        )
    }

    fn parse(path: &Path, text: &str) -> Result<Self, OpenError> {
        let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .ok_or_else(|| damaged(format!("its file {MARKER} has no line \"{name}\"")))
        };
        let number = |name: &str| {
            field(name)?.parse::<u64>().map_err(|_| damaged(format!("its file {MARKER} has no number in \"{name}\"")))
        };
        let format = number("format")?;
        if format > u64::from(FORMAT) {
            let found = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(OpenError::Newer { path: path.to_owned(), found, known: FORMAT });
        }
        if number("shards")? != u64::from(SHARDS) {
            return Err(damaged(format!("its file {MARKER} names another number of shards than {SHARDS}")));
        }
        let mark = if field("mark").is_ok() { Some(number("mark")?) } else { None };
        Ok(Self { created_ms: number("created")?, ready: field("ready")? == "true", epoch: number("epoch")?, mark })
    }
}

/// Whether `path` holds a marker, or a database that has lost its own.
pub(super) fn is_marked(path: &Path) -> bool {
    path.join(MARKER).exists() || path.join(DATABASE).exists()
}

/// A locked data directory. The lock is let go when it is dropped.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Makes `path` if there is nothing, checks that it is ours to use, and locks it.
    pub(super) fn open(path: &Path, lock_wait: Duration) -> Result<(Self, Option<Marker>), OpenError> {
        if let Err(error) = fs::create_dir_all(path) {
            return Err(io(path, error));
        }
        // Before the lock file is made: a foreign directory is left as it was.
        refuse_foreign(path)?;
        let lock = lock(path, lock_wait)?;
        let directory = Self { path: path.to_owned(), _lock: lock };
        // Again, now that nobody else can be making it.
        refuse_foreign(path)?;
        let marker = match fs::read_to_string(path.join(MARKER)) {
            Ok(text) => Some(Marker::parse(path, &text)?),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                return Err(OpenError::Damaged {
                    path: path.to_owned(),
                    reason: format!("its file {MARKER} is not text"),
                });
            }
            Err(error) => return Err(io(path, error)),
        };
        Ok((directory, marker))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// Replaces the marker, durably.
    pub(super) fn mark(&self, marker: &Marker) -> Result<(), OpenError> {
        let write = || {
            let new = self.path.join(MARKER_NEW);
            let mut file = File::create(&new)?;
            file.write_all(marker.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, self.path.join(MARKER))?;
            self.sync()
        };
        write().map_err(|error| io(&self.path, error))
    }

    /// Makes the directory's own name durable, and those of its parents, which may be as new: where they may be opened.
    pub(super) fn keep_in_parents(&self) -> Result<(), OpenError> {
        for parent in self.path.ancestors().skip(1) {
            if let Ok(parent) = File::open(parent) {
                parent.sync_all().map_err(|error| io(&self.path, error))?;
            }
        }
        Ok(())
    }

    /// Makes the names of all files and folders of the database durable. fjall syncs the folders of its trees, and not
    /// the one in which these lie: after a power cut a whole tree could be missing.
    pub(super) fn keep_names(&self) -> Result<(), OpenError> {
        let keep = || {
            let mut folders = vec![self.database()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(&folder)? {
                    let entry = entry?;
                    if entry.file_type()?.is_dir() {
                        folders.push(entry.path());
                    }
                }
                File::open(&folder)?.sync_all()?;
            }
            self.sync()
        };
        keep().map_err(|error| io(&self.path, error))
    }

    /// Makes the names in the directory itself durable.
    pub(super) fn sync(&self) -> std::io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Throws away a database whose making was interrupted.
    pub(super) fn discard_database(&self) -> Result<(), OpenError> {
        match fs::remove_dir_all(self.database()) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io(&self.path, error)),
            _ => Ok(()),
        }
    }

    /// Checks that every file is there without which fjall would begin anew, or not at all. Gives the journals, oldest
    /// first.
    pub(super) fn check_whole(&self) -> Result<Vec<PathBuf>, OpenError> {
        let database = self.database();
        for file in ["version", "lock"] {
            self.must_exist(&database.join(file))?;
        }
        // fjall numbers keyspaces from 1 in the order of their making; 0 is its own.
        for number in 0..=tables::NAMES.len() {
            let tree = database.join("keyspaces").join(number.to_string());
            self.must_exist(&tree.join("current"))?;
            versions::check(&tree).map_err(|reason| OpenError::Damaged { path: self.path.clone(), reason })?;
        }
        // fjall asserts that these names are numbers, and aborts where they are not.
        let stray = |entry: &fs::DirEntry| OpenError::Damaged {
            path: self.path.clone(),
            reason: format!("{} is not of its database", entry.path().display()),
        };
        for entry in fs::read_dir(database.join("keyspaces")).map_err(|error| io(&self.path, error))? {
            let entry = entry.map_err(|error| io(&self.path, error))?;
            if entry.path().is_dir() && number_of(&entry, "").is_none() {
                return Err(stray(&entry));
            }
        }
        // Journals are numbered without gaps and removed oldest first.
        let mut journals = Vec::new();
        for entry in fs::read_dir(&database).map_err(|error| io(&self.path, error))? {
            let entry = entry.map_err(|error| io(&self.path, error))?;
            if entry.path().extension().is_some_and(|extension| extension.eq_ignore_ascii_case("jnl")) {
                match number_of(&entry, ".jnl") {
                    Some(number) if entry.path().is_file() => journals.push(number),
                    _ => return Err(stray(&entry)),
                }
            }
        }
        journals.sort_unstable();
        match journals.windows(2).find(|pair| pair[1] != pair[0] + 1) {
            _ if journals.is_empty() => Err(self.half_deleted(format!("{DATABASE}/*.jnl"))),
            Some(pair) => Err(self.half_deleted(format!("{DATABASE}/{}.jnl", pair[0] + 1))),
            None => Ok(journals.iter().map(|number| database.join(format!("{number}.jnl"))).collect()),
        }
    }

    fn must_exist(&self, file: &Path) -> Result<(), OpenError> {
        match file.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => {
                let missing = file.strip_prefix(&self.path).unwrap_or(file).display().to_string();
                Err(self.half_deleted(missing))
            }
            Err(error) => Err(io(&self.path, error)),
        }
    }

    pub(super) fn half_deleted(&self, missing: String) -> OpenError {
        OpenError::HalfDeleted { path: self.path.clone(), missing }
    }
}

/// The number that names an entry, before `suffix`.
fn number_of(entry: &fs::DirEntry, suffix: &str) -> Option<u64> {
    entry.file_name().to_str()?.strip_suffix(suffix)?.parse().ok()
}

/// Fails on a directory that holds other things and no marker.
fn refuse_foreign(path: &Path) -> Result<(), OpenError> {
    let mut foreign = false;
    let mut ours = false;
    for entry in fs::read_dir(path).map_err(|error| io(path, error))? {
        let name = entry.map_err(|error| io(path, error))?.file_name();
        match name.to_str() {
            Some(MARKER) => return Ok(()),
            Some(LOCK | MARKER_NEW | LOST_AND_FOUND) => {}
            Some(DATABASE | settled::NAME | mend::CUT_OFF) => ours = true,
            _ => foreign = true,
        }
    }
    match (foreign, ours) {
        (true, _) => Err(OpenError::Foreign { path: path.to_owned() }),
        // The marker is written before the database is begun, so it was taken away since.
        (false, true) => Err(OpenError::HalfDeleted { path: path.to_owned(), missing: MARKER.to_owned() }),
        (false, false) => Ok(()),
    }
}

/// How often a held lock is tried again: a thousandth of a second of CPU in all, at the default wait.
const LOCK_RETRY: Duration = Duration::from_millis(20);

fn lock(path: &Path, wait: Duration) -> Result<File, OpenError> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join(LOCK))
        .map_err(|error| io(path, error))?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < wait => std::thread::sleep(LOCK_RETRY),
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Who holds it is a courtesy: unreadable means unknown.
                let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
                return Err(OpenError::Locked { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(error)) => return Err(io(path, error)),
        }
    }
    let write_pid = |file: &mut File| {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        writeln!(file, "{}", std::process::id())
    };
    write_pid(&mut file).map_err(|error| io(path, error))?;
    Ok(file)
}

/// What an I/O error means to whoever started the server.
pub(super) fn io(path: &Path, error: std::io::Error) -> OpenError {
    let (path, reason) = (path.to_owned(), error.to_string());
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => OpenError::NotWritable { path, reason },
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => OpenError::Full { path, reason },
        _ => OpenError::Io { path, reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_says_again_what_was_written() {
        let marker = Marker { created_ms: 1_763_838_383_000, ready: true, epoch: 12, mark: Some(u64::MAX) };
        let text = marker.text();
        assert_eq!(Marker::parse(Path::new("/d"), &text).unwrap(), marker);
        for cut in 0..text.len() - 1 {
            let _ = Marker::parse(Path::new("/d"), &text[..cut]);
        }
        let newer = text.replace("format 1", "format 2");
        assert!(matches!(Marker::parse(Path::new("/d"), &newer), Err(OpenError::Newer { found: 2, known: 1, .. })));
    }
}
