//! fjall's journal as bytes, read without fjall: version 3.1 of its format, held by `tests/disk_journal.rs`.
//!
//! fjall cuts a journal at the first entry that it cannot read and says nothing, and it takes the head of a batch (its
//! sequence number) on trust, outside the checksum. So we read the journals first, and decide (`survey.rs`).
//!
//! ```text
//! batch    = start, item × count, end
//! start    = 01, count 4, sequence number 8
//! item     = 02, kind 1, compression 1, keyspace 8, key length 2, value length 4, length on disk 4, key, value
//! end      = 03, xxh3 of all items 8, "FJL" 03
//! ```
//!
//! Numbers are little-endian. What follows the last batch of a journal is zeros (it is made 64 MiB long) or nothing.

use super::tables;

/// fjall numbers keyspaces from 1 in the order of their making.
const META_KEYSPACE: u64 = 1;

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const TRAILER: &[u8; 4] = b"FJL\x03";

/// Value, tombstone, weak tombstone. Others belong to key-value separation, which we do not use.
const HIGHEST_KIND: u8 = 2;

/// Bytes of a start, and so of the smallest thing that can be a batch's beginning.
pub(super) const START_BYTES: usize = 13;

/// The key in the keyspace `meta` under which each batch of ours carries its [`Note`].
pub(super) const META_NOTE: &[u8] = b"batch";

/// How far fjall's sequence number may have moved between our look at it and the batch: its own flushes and compactions
/// take a few each. A flipped bit within this reach that keeps the order changes nothing that can be read.
const SEQUENCE_REACH: u64 = 10_000;

/// What each batch of ours says about itself, inside fjall's checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    /// 1 for the first batch of a directory, then one more each.
    pub(super) number: u64,
    /// Batches up to this one were synced before this one was written.
    pub(super) settled: u64,
    /// fjall's next sequence number, as seen just before.
    pub(super) sequence: u64,
    /// The directory's random mark: so that nobody can write a batch into a message.
    pub(super) mark: u64,
}

impl Note {
    const BYTES: usize = 32;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields = [self.number, self.settled, self.sequence, self.mark];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.try_into().ok()?;
        let field = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self { number: field(0)?, settled: field(8)?, sequence: field(16)?, mark: field(24)? })
    }
}

/// A batch that is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// Where the next one begins.
    pub(super) end: usize,
    pub(super) sequence: u64,
    /// Batches of versions before notes have none.
    pub(super) note: Option<Note>,
}

/// What can be wrong with the bytes of a batch, in words for a sentence.
pub(super) type Wrong = &'static str;

/// Bytes being read from the front.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Wrong> {
        let end = self.at.checked_add(count).ok_or("it ends in the middle")?;
        let taken = self.bytes.get(self.at..end).ok_or("it ends in the middle")?;
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<u64, Wrong> {
        let mut wide = [0; 8];
        wide.iter_mut().zip(self.take(N)?).for_each(|(to, from)| *to = *from);
        Ok(u64::from_le_bytes(wide))
    }

    fn tag(&mut self) -> Result<u8, Wrong> {
        Ok(self.number::<1>()? as u8)
    }
}

/// The batch that begins at `at`.
pub(super) fn batch_at(bytes: &[u8], at: usize) -> Result<Found, Wrong> {
    let mut reader = Reader { bytes, at };
    if reader.tag()? != START {
        return Err("no write begins there");
    }
    let count = reader.number::<4>()?;
    let sequence = reader.number::<8>()?;
    let items_begin = reader.at;
    let mut note = None;
    for _ in 0..count {
        if let Some(found) = item(&mut reader)? {
            note = Some(found);
        }
    }
    let items = bytes.get(items_begin..reader.at).unwrap_or_default();
    if reader.tag()? != END {
        return Err("it has no end");
    }
    if reader.number::<8>()? != xxhash_rust::xxh3::xxh3_64(items) {
        return Err("its checksum differs");
    }
    if reader.take(TRAILER.len())? != TRAILER {
        return Err("its end is incomplete");
    }
    if let Some(note) = &note
        && !(note.sequence..note.sequence.saturating_add(SEQUENCE_REACH)).contains(&sequence)
    {
        return Err("its sequence number is not the one that it was written with");
    }
    Ok(Found { end: reader.at, sequence, note })
}

/// Passes one item; gives the note if it is one.
fn item(reader: &mut Reader<'_>) -> Result<Option<Note>, Wrong> {
    if reader.tag()? != ITEM {
        return Err("an entry of it cannot be read");
    }
    let kind = reader.tag()?;
    let compression = reader.tag()?;
    let keyspace = reader.number::<8>()?;
    let key = reader.number::<2>()? as usize;
    let value = reader.number::<4>()?;
    let on_disk = reader.number::<4>()?;
    if kind > HIGHEST_KIND || compression != 0 || value != on_disk || keyspace > tables::NAMES.len() as u64 {
        return Err("an entry of it cannot be read");
    }
    let key = reader.take(key)?;
    let value = reader.take(on_disk as usize)?;
    Ok(if keyspace == META_KEYSPACE && key == META_NOTE { Note::decode(value) } else { None })
}

/// Whole batches that begin after `from`, wherever: what was written after a damaged one.
pub(super) fn batches_after(bytes: &[u8], from: usize) -> impl Iterator<Item = Found> {
    let mut at = from;
    std::iter::from_fn(move || {
        while at + START_BYTES < bytes.len() {
            // Cheap first: most bytes are no start, and most that are have no item behind them.
            let likely = bytes.get(at) == Some(&START) && bytes.get(at + START_BYTES) == Some(&ITEM);
            if likely && let Ok(found) = batch_at(bytes, at) {
                at = found.end;
                return Some(found);
            }
            at += 1;
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_again_what_was_written() {
        let note = Note { number: 7, settled: 6, sequence: u64::MAX, mark: 0xFEED };
        assert_eq!(Note::decode(&note.encode()), Some(note));
        assert_eq!(Note::decode(&note.encode()[1..]), None);
    }

    #[test]
    fn bytes_that_are_no_batch_are_told_so_wherever_they_end() {
        for bytes in [&[][..], &[1], &[1; 40], &[0; 40], b"\x01\xff\xff\xff\xff12345678\x02\0\0"] {
            assert!(batch_at(bytes, 0).is_err());
            assert_eq!(batches_after(bytes, 0).count(), 0);
        }
        assert!(batch_at(&[1], usize::MAX).is_err());
    }
}
