//! The lists of tables that fjall's trees keep (lsm-tree 3.1), checked before they are believed.
//!
//! A tree's file `current` names its list `v<number>` and the xxh3 of it, which lsm-tree writes and does not look at: a
//! flipped bit in the list would put rows under other sequence numbers, or leave them out. The tables themselves carry
//! a checksum in every block, which is compared at each read.

use std::fs;
use std::path::Path;

/// Number 8, checksum 16 (both little-endian), kind of checksum 1.
const CURRENT_BYTES: usize = 25;

/// Checks the list of one tree; else says what is wrong with it.
pub(super) fn check(tree: &Path) -> Result<(), String> {
    let current = fs::read(tree.join("current")).map_err(|error| format!("its list of tables: {error}"))?;
    let wrong = |what: &str| format!("{}: {what}", tree.join("current").display());
    let current: [u8; CURRENT_BYTES] = current.try_into().map_err(|_| wrong("it has not 25 bytes"))?;
    let (number, rest) = current.split_at(8);
    let (checksum, kind) = rest.split_at(16);
    let number = u64::from_le_bytes(number.try_into().unwrap_or_default());
    let checksum = u128::from_le_bytes(checksum.try_into().unwrap_or_default());
    if kind != [0] {
        return Err(wrong("its kind of checksum is unknown"));
    }
    let list = tree.join(format!("v{number}"));
    let bytes = fs::read(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    if xxhash_rust::xxh3::xxh3_128(&bytes) != checksum {
        return Err(format!("{}: its checksum differs", list.display()));
    }
    Ok(())
}
