//! The log. Each entry: kind 1, inode 8, offset 8, bytes of text 4, text (little-endian).

use std::ffi::CString;
use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_long, c_void};

/// What happened, as `storage/tests/shim/log.rs` reads it.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A file was opened; the text is its path.
    Open = 1,
    /// A file was made and opened.
    Create = 2,
    MakeFolder = 3,
    Write = 4,
    /// The offset is the new length.
    Resize = 5,
    Sync = 6,
    /// The text is the folder's path.
    SyncFolder = 7,
    /// The text is both paths, with a zero byte between.
    Rename = 8,
    Unlink = 9,
    RemoveFolder = 10,
    /// The program wrote to its standard output.
    Said = 11,
    /// An operation was made to fail.
    Failed = 12,
}

static LOG: AtomicI32 = AtomicI32::new(-1);

/// Makes the log at `path`.
pub(crate) fn open(path: &str) {
    let Ok(path) = CString::new(path) else { return };
    // SAFETY: `path` is a C string that lives through the call.
    let file = unsafe {
        libc::syscall(
            libc::SYS_openat,
            c_long::from(libc::AT_FDCWD),
            path.as_ptr(),
            c_long::from(libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC),
            0o644 as c_long,
        )
    };
    LOG.store(file as i32, Ordering::SeqCst);
}

/// Writes one entry down. The caller holds the lock, so that entries have the order of the operations.
pub(crate) fn note(kind: Kind, inode: u64, offset: u64, text: &[u8]) {
    let log = LOG.load(Ordering::SeqCst);
    if log < 0 {
        return;
    }
    let mut entry = Vec::with_capacity(21 + text.len());
    entry.push(kind as u8);
    entry.extend(inode.to_le_bytes());
    entry.extend(offset.to_le_bytes());
    entry.extend((text.len() as u32).to_le_bytes());
    entry.extend(text);
    let mut rest = entry.as_slice();
    while !rest.is_empty() {
        // SAFETY: the pointer and the length are those of `rest`.
        let written =
            unsafe { libc::syscall(libc::SYS_write, c_long::from(log), rest.as_ptr().cast::<c_void>(), rest.len()) };
        if written <= 0 {
            return;
        }
        rest = rest.get(written as usize..).unwrap_or_default();
    }
}
