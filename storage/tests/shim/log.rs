//! The log of the library, read.

use std::path::Path;

/// One operation, as `storage/shim/src/log.rs` writes it.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    Open { inode: u64, path: String },
    Create { inode: u64, path: String },
    MakeFolder { path: String },
    Write { inode: u64, offset: u64, bytes: Vec<u8> },
    Resize { inode: u64, length: u64 },
    Sync { inode: u64 },
    SyncFolder { path: String },
    Rename { from: String, to: String },
    Unlink { path: String },
    RemoveFolder { path: String },
    Said { words: Vec<u8> },
    Failed { path: String, errno: u64 },
}

/// Reads a log; a last entry in part is left out.
pub(crate) fn read(path: &Path) -> Vec<Entry> {
    let bytes = std::fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut entries = Vec::new();
    while let Some((head, behind)) = rest.split_at_checked(21) {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let length = u32::from_le_bytes(head[17..21].try_into().unwrap()) as usize;
        let Some((text, behind)) = behind.split_at_checked(length) else { break };
        rest = behind;
        let (inode, offset) = (number(1), number(9));
        let path = || String::from_utf8(text.to_vec()).unwrap();
        entries.push(match head[0] {
            1 => Entry::Open { inode, path: path() },
            2 => Entry::Create { inode, path: path() },
            3 => Entry::MakeFolder { path: path() },
            4 => Entry::Write { inode, offset, bytes: text.to_vec() },
            5 => Entry::Resize { inode, length: offset },
            6 => Entry::Sync { inode },
            7 => Entry::SyncFolder { path: path() },
            8 => {
                let both = path();
                let (from, to) = both.split_once('\0').unwrap();
                Entry::Rename { from: from.to_owned(), to: to.to_owned() }
            }
            9 => Entry::Unlink { path: path() },
            10 => Entry::RemoveFolder { path: path() },
            11 => Entry::Said { words: text.to_vec() },
            12 => Entry::Failed { path: path(), errno: offset },
            other => panic!("no such entry: {other}"),
        });
    }
    entries
}
