//! The embedded store: fjall behind one commit thread, in a directory of its own.

mod background;
mod batch;
mod commit;
#[cfg(test)]
mod damage;
mod directory;
mod janitor;
mod journal;
mod keys;
mod memory;
mod mend;
mod merging;
pub mod metrics;
mod numbers;
mod open;
mod open_error;
mod options;
mod outdated;
mod read;
mod settled;
mod survey;
mod tables;
mod versions;
mod writeback;

pub use open::Recovery;
pub use open_error::OpenError;
pub use options::{CACHE_BYTES, EmbeddedOptions, JOURNAL_BYTES, LOCK_WAIT, MIN_CACHE_BYTES, MIN_JOURNAL_BYTES};
pub use survey::Tail;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellhop_engine::domain::{ConversationKey, Epoch, Event, Row, Seq, Shard, WorkspaceId};
use bellhop_engine::ports::{
    Answer, Append, Appended, Audit, ConversationPage, Expect, Loaded, Projection, Range, Reader, Record, RecordKey,
    RecordList, RowList, RowPage, Store, StoreError, Version, Written,
};
use parking_lot::RwLock;
use tokio::sync::{Semaphore, oneshot};

use self::commit::{Commit, Completion, Job};
use self::janitor::Janitor;
use self::memory::Memory;
use self::open::Opened;
use self::tables::Tables;
use crate::codec::encode_event;
use crate::fits::fits;

/// Reads on tokio's blocking threads at once. A read waits for a disk at worst, and a disk serves about 32 requests at
/// once; more threads would only cost their stacks when everybody returns after a restart.
const READS_AT_ONCE: usize = 32;

/// Longest key of a record, bytes: an e-mail address is at most 254 (RFC 5321); fjall takes up to 64 KiB.
const MAX_RECORD_KEY_BYTES: usize = 1_024;

/// What a projection weighs in the queue: a row, a snapshot and some marks (measured below it for usual texts).
const PROJECTION_BYTES: usize = 4 * 1024;

/// What a record weighs in the queue: far above what one takes.
const RECORD_BYTES: usize = 1_024;

/// The store of one process, in one directory. Dropping it closes it, and waits for what was handed over.
pub struct Embedded {
    commit: Arc<Commit>,
    store: Arc<Closable<Opened>>,
    readers: Arc<Semaphore>,
    epoch: Epoch,
    secret: [u8; 32],
    path: PathBuf,
    recovery: Recovery,
}

impl Embedded {
    /// Opens the data directory at `path`, or makes one if there is nothing. Blocks: on another process's lock up to
    /// `options.lock_wait`, and after a crash while the journal is read (about a second at its default bound).
    pub fn open(path: impl AsRef<Path>, options: EmbeddedOptions) -> Result<Self, OpenError> {
        let path = std::path::absolute(path.as_ref()).map_err(|error| directory::io(path.as_ref(), error))?;
        let (opened, numbers, recovery) = open::open(&path, &options)?;
        let (epoch, secret) = (opened.epoch, opened.secret);
        tracing::info!(path = %path.display(), epoch = epoch.0, last_write = recovery.last_write, "store opened");
        let store = Arc::new(Closable(RwLock::new(Some(opened))));
        let threads = || {
            let janitor = Janitor::start(Arc::clone(&store))?;
            let memory = store.with(|opened| Memory::watch(&opened.tables, janitor)).map_err(std::io::Error::other)?;
            Commit::start(Arc::clone(&store), numbers, memory)
        };
        let commit = Arc::new(threads().map_err(|error| directory::io(&path, error))?);
        Ok(Self { commit, store, readers: Arc::new(Semaphore::new(READS_AT_ONCE)), epoch, secret, path, recovery })
    }

    /// What opening found: the last write, and whether a torn one was cut off behind it.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// Whether there is a Bellhop data directory at `path` (whole or not).
    pub fn exists(path: impl AsRef<Path>) -> bool {
        directory::is_marked(path.as_ref())
    }

    /// The data directory, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads on a blocking thread: that a key lies in memory is likely and never certain, and a worker that waits for
    /// a disk keeps thousands of sessions waiting. The hop costs about 10 µs.
    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Tables) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        let (store, readers) = (Arc::clone(&self.store), Arc::clone(&self.readers));
        Box::pin(async move {
            let permit = readers.acquire_owned().await.map_err(|_| closed())?;
            let reading = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                store.with(|opened| read(&opened.tables))?
            });
            // fjall asserts that its tables are what it once wrote.
            reading.await.unwrap_or_else(|error| match error.is_panic() {
                true => Err(StoreError::Damaged("a table breaks an assumption of its reader".to_owned())),
                false => Err(StoreError::Unavailable(format!("a read did not end: {error}"))),
            })
        })
    }

    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        job: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Job,
    ) -> Answer<'_, T> {
        let (done, answer) = oneshot::channel();
        self.commit.send(job(done), bytes);
        Box::pin(async move {
            answer.await.unwrap_or_else(|_| Err(StoreError::Unknown("the commit thread ended".to_owned())))
        })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.commit.close();
    }
}

impl Store for Embedded {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn secret(&self) -> [u8; 32] {
        self.secret
    }

    fn append(&self, append: Append, done: Appended) {
        // Encoded here, on the caller's thread: the commit thread is one, callers are many.
        let rows: Vec<_> = append
            .events
            .iter()
            .map(|event| (keys::event(append.key, event.seq, event.epoch), encode_event(event)))
            .collect();
        let bytes = rows.iter().map(|(key, value)| key.len() + value.len()).sum();
        let mark = append.mark_dirty.then(|| keys::dirty(append.key));
        self.commit.send(Job::Append { rows, mark, done: Completion::new(done) }, bytes);
    }

    fn load(&self, key: ConversationKey) -> Answer<'_, Option<Loaded>> {
        // What a failed batch left on the disk shows only at the next start, so that nothing that is said of the log
        // until then could be held.
        if let Err(error) = self.commit.open() {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.read(move |tables| read::load(tables, key))
    }

    fn events(&self, key: ConversationKey, range: Range, limit: usize) -> Answer<'_, Vec<Arc<Event>>> {
        self.read(move |tables| read::events(tables, key, range, limit))
    }

    fn project(&self, projection: Projection) -> Answer<'_, ()> {
        self.write(PROJECTION_BYTES, |done| Job::Project { projection: Box::new(projection), done })
    }

    fn restore(&self, projection: Projection) -> Answer<'_, ()> {
        self.write(PROJECTION_BYTES, |done| Job::Restore { projection: Box::new(projection), done })
    }

    fn prune(&self, workspace: WorkspaceId) -> Answer<'_, u64> {
        self.write(PROJECTION_BYTES, |done| Job::Prune { workspace, done })
    }

    fn row(&self, key: ConversationKey) -> Answer<'_, Option<Row>> {
        self.read(move |tables| read::row(tables, key))
    }

    fn reads(&self, key: ConversationKey) -> Answer<'_, Vec<(Reader, Seq)>> {
        self.read(move |tables| read::reads(tables, key))
    }

    fn rows(&self, list: RowList, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, RowPage> {
        self.read(move |tables| read::rows(tables, list, after, limit))
    }

    fn dirty(&self) -> Answer<'_, Vec<(Shard, ConversationKey)>> {
        self.read(read::dirty)
    }

    fn record(&self, key: RecordKey) -> Answer<'_, Option<(Record, Version)>> {
        self.read(move |tables| read::record(tables, &key))
    }

    fn put_record(&self, key: RecordKey, record: Record, expect: Expect) -> Answer<'_, Written> {
        if !fits(&key, &record) {
            let error = StoreError::Unavailable(format!("{key:?} is not the key of such a record"));
            return Box::pin(std::future::ready(Err(error)));
        }
        let (place, key) = keys::record(&key);
        if key.len() > MAX_RECORD_KEY_BYTES {
            let error = StoreError::Unavailable(format!("a record's key has more than {MAX_RECORD_KEY_BYTES} bytes"));
            return Box::pin(std::future::ready(Err(error)));
        }
        self.write(RECORD_BYTES, |done| Job::PutRecord { place, key, record: Box::new(record), expect, done })
    }

    fn delete_record(&self, key: RecordKey) -> Answer<'_, ()> {
        let (place, key) = keys::record(&key);
        // None so long can have been written.
        if key.len() > MAX_RECORD_KEY_BYTES {
            return Box::pin(std::future::ready(Ok(())));
        }
        self.write(RECORD_BYTES, |done| Job::DeleteRecord { place, key, done })
    }

    fn records(&self, list: RecordList, after: Option<u128>, limit: usize) -> Answer<'_, Vec<(Record, Version)>> {
        self.read(move |tables| read::records(tables, list, after, limit))
    }

    fn conversations(&self, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, ConversationPage> {
        self.read(move |tables| read::conversations(tables, after.as_deref(), limit))
    }

    fn audit(&self, key: ConversationKey) -> Answer<'_, Audit> {
        self.read(move |tables| read::audit(tables, key))
    }

    fn healthy(&self) -> bool {
        self.commit.healthy()
    }

    /// A write or sync failed: nothing is written any more, and only a restart can tell what the disk holds. A disk that
    /// is merely slow has not failed; that shows in `healthy`.
    fn failed(&self) -> Option<String> {
        self.commit.failed().then(|| {
            "The store failed to write or sync and takes no more writes. Nothing that was acknowledged is lost; see the \
             log above, mend the disk and start bellhop again."
                .to_owned()
        })
    }

    fn close(&self) -> Answer<'_, ()> {
        let (commit, store) = (Arc::clone(&self.commit), Arc::clone(&self.store));
        Box::pin(async move {
            // Once begun it runs to its end, even if nobody waits any more.
            let closing = tokio::task::spawn_blocking(move || {
                commit.close();
                store.close();
            });
            closing.await.map_err(|error| StoreError::Unknown(format!("closing did not end: {error}")))
        })
    }
}

/// Something that can be taken away under its users: each use holds a read lock, so that closing waits for them.
struct Closable<T>(RwLock<Option<T>>);

impl<T> Closable<T> {
    fn with<R>(&self, act: impl FnOnce(&T) -> R) -> Result<R, StoreError> {
        self.0.read().as_ref().map(act).ok_or_else(closed)
    }

    fn close(&self) {
        let taken = self.0.write().take();
        drop(taken);
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// What a failed read of fjall means.
fn unreadable(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => {
            StoreError::Unavailable(format!("a read of the disk failed: {error}"))
        }
        other => StoreError::Damaged(other.to_string()),
    }
}
