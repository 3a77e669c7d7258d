//! The side file `settled`: which batch is known to be on the disk.
//!
//! After each sync of the journal, and before anyone is answered, the commit thread writes the number of the batch here,
//! without a sync: 88 bytes into the page cache, about a microsecond beside a sync of 170 or more, and the kernel
//! brings it to the disk within half a minute. So it never claims too much, and
//!
//! - after a crash of the process it is exact: whatever lies above it in the journal was never acknowledged;
//! - after a power cut it is a lower bound: whatever lies below it must be there.
//!
//! Two slots, in sectors of their own, are written in turn: a torn write leaves the other. Opening and closing sync it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) const NAME: &str = "settled";

const MAGIC: &[u8; 8] = b"BELLHOP1";

/// A sector each.
const SLOTS: [u64; 2] = [0, 512];

const BOOT: usize = 36;

/// Magic, number, closed, boot and checksum, with room between.
const SLOT_BYTES: usize = 8 + 8 + 8 + BOOT + 4 + 8;

/// The kernel's name of this boot. A name that has changed says that the page cache was lost.
pub(super) fn boot() -> Option<[u8; BOOT]> {
    std::fs::read("/proc/sys/kernel/random/boot_id").ok()?.get(..BOOT)?.try_into().ok()
}

/// What the file said when it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Batches up to it are on the disk. 0: nothing is known.
    pub(super) number: u64,
    /// None above it was acknowledged: the machine has not been restarted since, or the store was closed in peace.
    pub(super) exact: bool,
}

fn slot(number: u64, closed: bool, boot: &[u8; BOOT]) -> [u8; SLOT_BYTES] {
    let mut bytes = [0; SLOT_BYTES];
    let mut at = 0;
    let mut put = |part: &[u8]| {
        bytes.iter_mut().skip(at).zip(part).for_each(|(to, from)| *to = *from);
        at += part.len();
    };
    put(MAGIC);
    put(&number.to_be_bytes());
    put(&u64::from(closed).to_be_bytes());
    put(boot);
    let (body, sum) = bytes.split_at_mut(SLOT_BYTES - 8);
    sum.copy_from_slice(&xxhash_rust::xxh3::xxh3_64(body).to_be_bytes());
    bytes
}

/// Number, closed, boot.
fn parse(bytes: &[u8; SLOT_BYTES]) -> Option<(u64, bool, [u8; BOOT])> {
    let (body, sum) = bytes.split_at(SLOT_BYTES - 8);
    let number = |bytes: &[u8]| Some(u64::from_be_bytes(bytes.try_into().ok()?));
    let whole = number(sum)? == xxhash_rust::xxh3::xxh3_64(body) && body.starts_with(MAGIC);
    let boot = body.get(24..24 + BOOT)?.try_into().ok()?;
    if whole { Some((number(body.get(8..16)?)?, number(body.get(16..24)?)? == 1, boot)) } else { None }
}

/// Reads the file in `directory`; `None` when there is none or neither slot is whole.
pub(super) fn read(directory: &Path) -> Option<Known> {
    let file = File::open(directory.join(NAME)).ok()?;
    let slots = SLOTS.iter().filter_map(|&at| {
        let mut bytes = [0; SLOT_BYTES];
        file.read_exact_at(&mut bytes, at).ok()?;
        parse(&bytes)
    });
    let (number, closed, recorded) = slots.max_by_key(|(number, closed, _)| (*number, *closed))?;
    Some(Known { number, exact: closed || boot() == Some(recorded) })
}

/// The file while the store is open.
#[derive(Debug)]
pub(super) struct Settled {
    file: File,
    boot: [u8; BOOT],
    turn: usize,
}

impl Settled {
    /// Opens or makes the file, says `number` in both slots and syncs it. The caller syncs the directory.
    pub(super) fn start(directory: &Path, number: u64) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(directory.join(NAME))?;
        let mut settled = Self { file, boot: boot().unwrap_or([0; BOOT]), turn: 0 };
        settled.record(number)?;
        // Only now the other slot, which may hold the last run's: one of both is whole at any moment.
        settled.file.sync_data()?;
        settled.record(number)?;
        settled.file.sync_all()?;
        Ok(settled)
    }

    /// Batches up to `number` are synced.
    pub(super) fn record(&mut self, number: u64) -> io::Result<()> {
        self.write(number, false)
    }

    /// The store ends in peace: everything up to `number` is synced, and nothing came after.
    pub(super) fn close(&mut self, number: u64) -> io::Result<()> {
        self.write(number, true)?;
        self.file.sync_all()
    }

    fn write(&mut self, number: u64, closed: bool) -> io::Result<()> {
        let at = SLOTS.get(self.turn % SLOTS.len()).copied().unwrap_or_default();
        self.turn += 1;
        self.file.write_all_at(&slot(number, closed, &self.boot), at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_says_again_what_was_written_and_no_flipped_bit_passes() {
        let bytes = slot(41, true, &[7; BOOT]);
        assert_eq!(parse(&bytes), Some((41, true, [7; BOOT])));
        for bit in 0..SLOT_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(parse(&flipped), None, "bit {bit}");
        }
    }
}
