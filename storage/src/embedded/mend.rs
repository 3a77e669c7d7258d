//! Taking a torn write off the last journal, so that nothing is lost by it: fjall would cut there too, or refuse.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What was last cut off a journal, for whoever looks into it: a line that says where from, then the bytes. Replaced by
/// the next.
pub(super) const CUT_OFF: &str = "cut-off";

/// Takes `torn` off the journal, durably, keeping it in `directory`. Gives the bytes.
pub(super) fn cut(directory: &Path, journal: &Path, torn: &Range<u64>) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).write(true).open(journal)?;
    let mut bytes = vec![0; (torn.end - torn.start) as usize];
    file.read_exact_at(&mut bytes, torn.start)?;
    let from = format!("from {} at byte {}\n", journal.display(), torn.start);
    fs::write(directory.join(CUT_OFF), [from.as_bytes(), &bytes].concat())?;
    File::open(directory.join(CUT_OFF))?.sync_all()?;
    File::open(directory)?.sync_all()?;
    file.set_len(torn.start)?;
    file.sync_all()?;
    Ok(bytes)
}

/// Puts back what [`cut`] took: the store is refused after all.
pub(super) fn put_back(journal: &Path, at: u64, bytes: &[u8]) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(journal)?;
    file.write_all_at(bytes, at)?;
    file.sync_all()
}

/// Writes bytes of a journal once more and syncs. A failed sync leaves them in the page cache, marked as written: they
/// read well, and are gone with the next power cut. Whoever serves them must have them on the disk first.
pub(super) fn write_again(journal: &Path, range: &Range<u64>) -> io::Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let file = OpenOptions::new().read(true).write(true).open(journal)?;
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    file.write_all_at(&bytes, range.start)?;
    file.sync_all()
}
