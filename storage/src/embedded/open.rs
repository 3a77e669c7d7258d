//! Opening a data directory: check, recover, take the next epoch.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use bellhop_engine::domain::Epoch;
use fjall::{Database, PersistMode};

use super::directory::{self, Directory, Marker};
use super::keys::{META_EPOCH, META_SECRET};
use super::tables::{NAMES, Tables};
use super::{EmbeddedOptions, MIN_CACHE_BYTES, MIN_JOURNAL_BYTES, OpenError};

/// Bytes of the store's secret.
const SECRET_BYTES: usize = 32;

/// What opening gives. The fields drop in this order: the database closes before the lock is let go.
pub(super) struct Opened {
    pub(super) tables: Tables,
    _directory: Directory,
    pub(super) epoch: Epoch,
    pub(super) secret: [u8; SECRET_BYTES],
}

/// Opens or makes the store at `path`.
pub(super) fn open(path: &Path, options: &EmbeddedOptions) -> Result<Opened, OpenError> {
    let (directory, marker) = Directory::open(path, options.lock_wait)?;
    let mut marker = match marker {
        Some(marker) if marker.ready => {
            directory.check_whole()?;
            marker
        }
        // Nothing yet, or its making was interrupted before anything was served from it.
        _ => {
            let created_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            let marker = Marker { created_ms, ready: false, epoch: 0 };
            directory.mark(&marker)?;
            directory.keep_in_parent()?;
            directory.discard_database()?;
            marker
        }
    };
    let tables = open_database(&directory, &marker, options)?;
    let fjall = |error| from_fjall(&directory, error);

    let secret: [u8; SECRET_BYTES] = match tables.meta.get(META_SECRET).map_err(fjall)? {
        Some(secret) => secret.as_ref().try_into().map_err(|_| damaged(&directory, "its secret is not 32 bytes"))?,
        None if marker.ready => return Err(directory.half_deleted("the store's secret".to_owned())),
        None => {
            let mut secret = [0; SECRET_BYTES];
            getrandom::fill(&mut secret).map_err(|error| OpenError::Io {
                path: directory.path().to_owned(),
                reason: format!("the system gives no random numbers: {error}"),
            })?;
            secret
        }
    };
    let last: u64 = match tables.meta.get(META_EPOCH).map_err(fjall)? {
        Some(epoch) => {
            let epoch = epoch.as_ref().try_into().map_err(|_| damaged(&directory, "its epoch is not 8 bytes"))?;
            u64::from_be_bytes(epoch)
        }
        None if marker.ready => return Err(directory.half_deleted("the store's epoch".to_owned())),
        None => 0,
    };
    if last < marker.epoch {
        let missing = format!("the journal since start {last} of {}", marker.epoch);
        return Err(directory.half_deleted(missing));
    }

    // The epoch is durable before anything is served or written under it (G6). Secret and epoch are plain bytes: their
    // size is their format, and the marker's number covers both.
    let epoch = last + 1;
    let mut batch = tables.db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&tables.meta, META_SECRET, secret.as_slice());
    batch.insert(&tables.meta, META_EPOCH, epoch.to_be_bytes().as_slice());
    batch.commit().map_err(fjall)?;
    marker.ready = true;
    marker.epoch = epoch;
    directory.mark(&marker)?;
    Ok(Opened { tables, _directory: directory, epoch: Epoch(epoch), secret })
}

fn open_database(directory: &Directory, marker: &Marker, options: &EmbeddedOptions) -> Result<Tables, OpenError> {
    let open = || {
        let db = Database::builder(directory.database())
            .cache_size(options.cache_bytes.max(MIN_CACHE_BYTES))
            .max_journaling_size(options.journal_bytes.max(MIN_JOURNAL_BYTES))
            // Every batch says itself how far it is written (`commit.rs`).
            .manual_journal_persist(true)
            .open()
            .map_err(|error| from_fjall(directory, error))?;
        if marker.ready
            && let Some(name) = NAMES.iter().find(|name| !db.keyspace_exists(name))
        {
            return Err(directory.half_deleted(format!("the table \"{name}\"")));
        }
        Tables::open(db).map_err(|error| from_fjall(directory, error))
    };
    // fjall asserts that names and settings in its directory are what it once wrote.
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|panic| {
        let reason = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(damaged(directory, reason.unwrap_or("its database breaks an assumption of the reader")))
    })
}

fn damaged(directory: &Directory, reason: &str) -> OpenError {
    OpenError::Damaged { path: directory.path().to_owned(), reason: reason.to_owned() }
}

fn from_fjall(directory: &Directory, error: fjall::Error) -> OpenError {
    use std::io::ErrorKind;
    let io = match error {
        fjall::Error::Io(error) | fjall::Error::Storage(fjall::LsmError::Io(error)) => error,
        fjall::Error::Locked => return OpenError::Locked { path: directory.path().to_owned(), pid: None },
        other => return damaged(directory, &other.to_string()),
    };
    match io.kind() {
        ErrorKind::NotFound => directory.half_deleted(format!("a file of its database: {io}")),
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            damaged(directory, &io.to_string())
        }
        _ => directory::io(directory.path(), io),
    }
}
