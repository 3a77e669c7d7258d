//! The numbers of batches: each is written with its own and with the last one known to be synced, which the side file
//! holds too. What `survey.rs` decides at the next start rests on them.

use std::io;

use super::batch::Committed;
use super::journal::Note;
use super::settled::Settled;
use super::tables::Tables;

/// Held by the commit thread, the one writer.
pub(super) struct Numbers {
    last: u64,
    settled: u64,
    mark: u64,
    file: Settled,
}

impl Numbers {
    /// After `last` was written and synced, and `file` says so.
    pub(super) fn new(last: u64, mark: u64, file: Settled) -> Self {
        Self { last, settled: last, mark, file }
    }

    /// The next batch's note.
    pub(super) fn next(&self, tables: &Tables) -> Note {
        Note { number: self.last + 1, settled: self.settled, sequence: tables.db.seqno(), mark: self.mark }
    }

    /// The batch with the last [`next`](Self::next) note has been committed. Before anyone is told so.
    pub(super) fn committed(&mut self, committed: Committed) -> io::Result<()> {
        match committed {
            Committed::Nothing => {}
            Committed::Written => self.last += 1,
            Committed::Synced => {
                self.last += 1;
                self.settled = self.last;
                self.file.record(self.settled)?;
            }
        }
        Ok(())
    }

    /// The journal was synced to its end, and nothing will be written any more.
    pub(super) fn close(&mut self) -> io::Result<()> {
        self.settled = self.last;
        self.file.close(self.settled)
    }
}
