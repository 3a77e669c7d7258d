//! Tables go to the disk while they are written, and not when they are synced.
//!
//! fjall writes a table into the page cache and syncs it at its end: tens of megabytes in one burst, behind which the
//! journal's next sync waits. So what has been written is handed to the disk every few milliseconds, as RocksDB does
//! (`bytes_per_sync`). fadvise(2) with DONTNEED begins the writing and waits for nothing; it also lets go of what is
//! on the disk already, which the merge that reads it again in a minute reads from there.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lsm_tree::file::TABLES_FOLDER;

use super::tables::Tables;

/// Handed over at once, at least.
const LEAST_BYTES: u64 = 256 * 1024;

/// Looks at the files that grow between two looks for new ones.
const STEPS_A_SCAN: u32 = 8;

/// A file that has not grown for so long is finished.
const FINISHED_AFTER: Duration = Duration::from_secs(1);

/// A table that may be written to.
struct Growing {
    file: File,
    /// Bytes that were handed over.
    handed: u64,
    grew: Instant,
}

pub(super) struct Writeback {
    /// Folders of tables, and the files that were in them at the last scan.
    folders: Vec<(PathBuf, BTreeSet<u64>)>,
    growing: Vec<Growing>,
    steps: u32,
}

impl Writeback {
    pub(super) fn new(tables: &Tables) -> Self {
        Self::watch(tables.all().iter().map(|keyspace| keyspace.path().join(TABLES_FOLDER)))
    }

    fn watch(folders: impl Iterator<Item = PathBuf>) -> Self {
        let with_files = |folder: PathBuf| {
            let files = files(&folder);
            (folder, files)
        };
        Self { folders: folders.map(with_files).collect(), growing: Vec::new(), steps: 0 }
    }

    /// Hands over what has been written since the last step.
    pub(super) fn step(&mut self) {
        if self.steps.is_multiple_of(STEPS_A_SCAN) {
            self.scan();
        }
        self.steps = self.steps.wrapping_add(1);
        self.growing.retain_mut(Growing::step);
    }

    fn scan(&mut self) {
        for (folder, known) in &mut self.folders {
            let now = files(folder);
            for new in now.difference(known) {
                // One that is gone again needs nothing.
                if let Ok(file) = File::open(folder.join(new.to_string())) {
                    self.growing.push(Growing { file, handed: 0, grew: Instant::now() });
                }
            }
            *known = now;
        }
    }
}

impl Growing {
    /// Returns whether it may go on growing.
    fn step(&mut self) -> bool {
        let Ok(bytes) = self.file.metadata().map(|it| it.len()) else { return false };
        if bytes >= self.handed + LEAST_BYTES {
            hand_over(&self.file, self.handed, bytes - self.handed);
            (self.handed, self.grew) = (bytes, Instant::now());
        }
        self.grew.elapsed() < FINISHED_AFTER
    }
}

/// Only advice: where it is not taken, the sync at the end writes everything.
fn hand_over(file: &File, from: u64, bytes: u64) {
    #[cfg(target_os = "linux")]
    let _not_taken = rustix::fs::fadvise(file, from, std::num::NonZeroU64::new(bytes), rustix::fs::Advice::DontNeed);
    #[cfg(not(target_os = "linux"))]
    let _ = (file, from, bytes);
}

/// fjall names tables by number.
fn files(folder: &Path) -> BTreeSet<u64> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_a_new_table_grows_by_is_handed_over_and_an_old_one_is_left_alone() {
        let folder = std::env::temp_dir().join(format!("bellhop-writeback-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("1"), vec![7; 1 << 20]).unwrap();
        let mut writeback = Writeback::watch(std::iter::once(folder.clone()));
        let mut new = File::create(folder.join("2")).unwrap();
        let mut handed = |bytes: usize| {
            new.write_all(&vec![7; bytes]).unwrap();
            (0..STEPS_A_SCAN).for_each(|_| writeback.step());
            writeback.growing.iter().map(|it| it.handed).collect::<Vec<_>>()
        };
        assert_eq!(handed(1 << 20), [1 << 20]);
        assert_eq!(handed(1_000), [1 << 20], "too little to begin with");
        assert_eq!(handed(1 << 20), [(2 << 20) + 1_000]);
        writeback.growing.iter_mut().for_each(|it| it.grew -= FINISHED_AFTER);
        writeback.step();
        assert!(writeback.growing.is_empty(), "it is finished");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
