//! What the journals hold, judged before fjall sees them.
//!
//! | found | means | so |
//! |---|---|---|
//! | whole batches, then zeros or nothing | the usual | opened |
//! | the same, but fewer than are known to be synced | batches were cut off | refused |
//! | a bad batch that is known to have been synced | damage | refused |
//! | a bad batch in a journal that was ended | damage: it was synced before the next was begun | refused |
//! | a bad batch above all that is known, the machine not restarted since | written, never synced or acknowledged | cut, opened |
//! | the same after a power cut | almost surely the same; a damaged last batch would look no different | cut, opened, reported |
//!
//! "Known" are the side file (`settled.rs`) and what batches say of those before them, also batches that lie behind the
//! bad one: a disk may write what was not synced in any order, so a whole batch behind a bad one is no proof by itself.
//! What is cut off is kept beside (`mend.rs`).

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::journal::{Found, batch_at, batches_after};
use super::settled::Known;

/// What is wrong with the journals, in words for a sentence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Bytes are not what was written.
    Damaged(String),
    /// Batches are not there.
    Missing(String),
    /// A journal could not be read.
    Unreadable(PathBuf, String),
}

/// How the journals end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tail {
    /// With a whole write. After a power cut nothing more can be known: a write that is gone leaves nothing.
    Whole,
    /// With a write that was never acknowledged; its bytes were cut off.
    NeverSynced { bytes: u64 },
    /// With a write that is torn, almost surely because the power was cut while it was written; its bytes were cut off.
    Undetermined { bytes: u64 },
}

/// What the journals hold.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// The last whole batch's number, if it has one.
    pub(super) last: Option<u64>,
    /// The last whole batch's sequence number.
    pub(super) last_sequence: Option<u64>,
    pub(super) tail: Tail,
    /// The torn bytes to take away, of the last journal.
    pub(super) torn: Option<Range<u64>>,
    /// Bytes of the last journal that may lie in the page cache only.
    pub(super) unsettled: Range<u64>,
}

/// What was seen so far.
struct Seen<'a> {
    known: &'a Known,
    /// The directory's mark, if it has one.
    mark: Option<u64>,
    last: Option<u64>,
    last_sequence: Option<u64>,
    /// The highest number that a batch says to be synced.
    settled: u64,
    /// The mark of the last batch that has a note.
    last_mark: Option<u64>,
}

/// Reads all journals of a database, oldest first.
pub(super) fn survey(journals: &[PathBuf], mark: Option<u64>, known: &Known) -> Result<Survey, Refused> {
    let mut seen = Seen { known, mark, last: None, last_sequence: None, settled: 0, last_mark: None };
    let mut end = Survey { last: None, last_sequence: None, tail: Tail::Whole, torn: None, unsettled: 0..0 };
    for (place, path) in journals.iter().enumerate() {
        let bytes = std::fs::read(path).map_err(|error| Refused::Unreadable(path.clone(), error.to_string()))?;
        let active = place + 1 == journals.len();
        let (stop, settled_end) = seen.walk(path, &bytes)?;
        end.unsettled = settled_end as u64..stop.at as u64;
        if let Some(wrong) = stop.wrong {
            let torn = seen.judge(path, &bytes, stop.at, wrong, active)?;
            end.tail = match known.exact {
                true => Tail::NeverSynced { bytes: torn.end - torn.start },
                false => Tail::Undetermined { bytes: torn.end - torn.start },
            };
            end.torn = Some(torn);
        }
    }
    // With no batch left in any journal the tables must hold the last: `open.rs` asks them.
    if let Some(last) = seen.last
        && last < known.number
    {
        return Err(Refused::Missing(format!(
            "of the {} writes that reached the disk, those after {last}",
            known.number
        )));
    }
    end.last = seen.last;
    end.last_sequence = seen.last_sequence;
    Ok(end)
}

/// Where a journal's whole batches end, and why if not with zeros or its end.
struct Stop {
    at: usize,
    wrong: Option<&'static str>,
}

/// For comparing many bytes at once: a new journal is 64 MiB of them.
const ZEROS: [u8; 4096] = [0; 4096];

fn name(path: &Path) -> std::path::Display<'_> {
    Path::new(path.file_name().unwrap_or(path.as_os_str())).display()
}

impl Seen<'_> {
    /// Passes the whole batches of a journal; also says where those known to be synced end.
    fn walk(&mut self, path: &Path, bytes: &[u8]) -> Result<(Stop, usize), Refused> {
        let mut at = 0;
        let mut settled_end = 0;
        loop {
            if bytes.get(at..).is_none_or(|rest| rest.chunks(ZEROS.len()).all(|part| ZEROS.starts_with(part))) {
                return Ok((Stop { at, wrong: None }, settled_end));
            }
            let found = match batch_at(bytes, at) {
                Ok(found) => found,
                Err(wrong) => return Ok((Stop { at, wrong: Some(wrong) }, settled_end)),
            };
            if self.last_sequence.is_some_and(|last| found.sequence <= last) {
                // It is whole and says that it is the next one: what is wrong is the number before it, which lies outside of
                // fjall's checksum.
                if let (Some(note), Some(last)) = (&found.note, self.last)
                    && note.number == last + 1
                {
                    let journal = name(path);
                    return Err(Refused::Damaged(format!(
                        "in {journal} write {last}, which ends at byte {at}, has a sequence number above that of the next"
                    )));
                }
                return Ok((Stop { at, wrong: Some("its sequence number is not above the last one") }, settled_end));
            }
            if let (Some(note), Some(last)) = (&found.note, self.last)
                && note.number != last + 1
            {
                let (journal, number) = (name(path), note.number);
                return Err(Refused::Damaged(format!("in {journal} at byte {at} write {number} follows write {last}")));
            }
            self.pass(&found);
            at = found.end;
            if self.last.is_some_and(|last| last <= self.known.number) {
                settled_end = at;
            }
        }
    }

    fn pass(&mut self, found: &Found) {
        self.last_sequence = Some(found.sequence);
        match &found.note {
            Some(note) => {
                self.last = Some(note.number);
                self.settled = self.settled.max(note.settled);
                self.last_mark = Some(note.mark);
            }
            // A version before notes wrote it after all others.
            None => self.last = None,
        }
    }

    /// Whether the bad batch at `at` may be taken away: the bytes to take.
    fn judge(
        &self,
        path: &Path,
        bytes: &[u8],
        at: usize,
        wrong: &'static str,
        active: bool,
    ) -> Result<Range<u64>, Refused> {
        let journal = name(path);
        let number = self.last.map_or_else(|| "a write".to_owned(), |last| format!("write {}", last + 1));
        let damaged = |why: String| Err(Refused::Damaged(format!("{journal}, {number} at byte {at}: {wrong}; {why}")));
        if !active {
            return damaged("that journal was ended and synced".to_owned());
        }
        // A batch in a message's text has not our mark, which nobody outside knows.
        let ours = |mark| Some(mark) == self.mark || Some(mark) == self.last_mark;
        let mut settled = self.settled.max(self.known.number);
        for found in batches_after(bytes, at + 1) {
            match found.note {
                Some(note) if ours(note.mark) => {
                    settled = settled.max(note.settled);
                    // Nothing before it in this journal tells its number, so that it was the one before this at best.
                    if self.last.is_none() && note.settled + 1 == note.number {
                        return damaged(format!("write {} follows it and was begun after it was synced", note.number));
                    }
                }
                None if self.last.is_none() => return damaged("a whole write follows it".to_owned()),
                _ => {}
            }
        }
        if self.last.is_some_and(|last| settled > last) {
            return damaged(format!("the disk had said that it holds every write up to {settled}"));
        }
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(at, |last| last + 1);
        Ok(at as u64..end as u64)
    }
}
