//! What can be set about the embedded store.

use std::time::Duration;

/// Settings of the embedded store. Every default is named below, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmbeddedOptions {
    /// Bytes of memory for blocks read from disk, at least [`MIN_CACHE_BYTES`].
    pub cache_bytes: u64,
    /// Bytes that the write-ahead journals may take on disk before memory is written out, at least
    /// [`MIN_JOURNAL_BYTES`]; also what a start after a crash has to read at most.
    pub journal_bytes: u64,
    /// How long `open` waits for another process to let go of the directory: a restart may overlap its predecessor.
    pub lock_wait: Duration,
}

/// A woken conversation reads about 4 KiB (its snapshot and a short tail): 64 MiB keep the last 16,000 warm, more than
/// a server of the size that one node's budget is made for has open at a time.
pub const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// Below it index and filter blocks push each other out.
pub const MIN_CACHE_BYTES: u64 = 8 * 1024 * 1024;

/// Four memory tables of 64 MiB: fewer would write tables out half full. Read back at about 400 MB/s, a start after a
/// crash takes less than a second longer.
pub const JOURNAL_BYTES: u64 = 256 * 1024 * 1024;

/// fjall refuses less: one journal file.
pub const MIN_JOURNAL_BYTES: u64 = 64 * 1024 * 1024;

/// A server that was told to stop takes up to seconds to drain, but it is the operator's unit file that orders stop and
/// start; this only covers the moment in which a killed process still holds its files.
pub const LOCK_WAIT: Duration = Duration::from_millis(500);

impl EmbeddedOptions {
    /// [`CACHE_BYTES`], [`JOURNAL_BYTES`] and [`LOCK_WAIT`].
    #[expect(
        clippy::new_without_default,
        reason = "no Default on configuration (HABITS): a default is asked for by name"
    )]
    pub fn new() -> Self {
        Self { cache_bytes: CACHE_BYTES, journal_bytes: JOURNAL_BYTES, lock_wait: LOCK_WAIT }
    }
}
