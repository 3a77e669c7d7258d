//! Opening a data directory: check, judge the journals, recover, take the next epoch.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bellhop_engine::domain::Epoch;
use fjall::{Database, PersistMode};

use super::directory::{self, Directory, Marker};
use super::journal::{META_NOTE, Note};
use super::keys::{META_EPOCH, META_SECRET};
use super::merging::Stop;
use super::numbers::Numbers;
use super::settled::{self, Known, Settled};
use super::survey::{Refused, Survey, Tail, survey};
use super::tables::{NAMES, Tables};
use super::{EmbeddedOptions, MIN_CACHE_BYTES, MIN_JOURNAL_BYTES, OpenError, background, mend};

/// Bytes of the store's secret.
const SECRET_BYTES: usize = 32;

/// What opening gives. The fields drop in this order: the database closes before the lock is let go.
pub(super) struct Opened {
    pub(super) tables: Tables,
    _directory: Directory,
    pub(super) epoch: Epoch,
    pub(super) secret: [u8; SECRET_BYTES],
}

/// What was found of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovery {
    /// The number of the last write that was there: each commit is one, counted from the making of the directory. None
    /// in a directory that was just made, or by a version that did not count.
    pub last_write: Option<u64>,
    pub tail: Tail,
}

/// Opens or makes the store at `path`.
pub(super) fn open(path: &Path, options: &EmbeddedOptions) -> Result<(Opened, Numbers, Recovery), OpenError> {
    let (directory, marker) = Directory::open(path, options.lock_wait)?;
    let (mut marker, judged) = match marker {
        Some(marker) if marker.ready => {
            let judged = judge(&directory, &marker)?;
            (marker, Some(judged))
        }
        // Nothing yet, or its making was interrupted before anything was served from it.
        _ => {
            let created_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
            let marker = Marker { created_ms, ready: false, epoch: 0, mark: None };
            directory.mark(&marker)?;
            directory.keep_in_parents()?;
            directory.discard_database()?;
            (marker, None)
        }
    };
    let tables = match open_database(&directory, &marker, options).and_then(|tables| {
        judged.as_ref().map_or(Ok(()), |judged| judged.tables_agree(&directory, &tables)).map(|()| tables)
    }) {
        Ok(tables) => tables,
        Err(error) => {
            judged.iter().for_each(Judged::put_back);
            return Err(error);
        }
    };
    if !marker.ready {
        directory.keep_names()?;
    }
    let secret = secret(&directory, &marker, &tables)?;
    let last = last_epoch(&directory, &marker, &tables)?;

    // The epoch is durable before anything is served or written under it (G6). Secret and epoch are plain bytes: their
    // size is their format, and the marker's number covers both.
    let epoch = last + 1;
    let mark = match marker.mark {
        Some(mark) => mark,
        None => u64::from_be_bytes(random(&directory)?),
    };
    let last_write = last_note(&tables).map_err(|error| from_fjall(&directory, error))?.map(|note| note.number);
    let write = last_write.unwrap_or(0) + 1;
    let note = Note { number: write, settled: write - 1, sequence: tables.db.seqno(), mark };
    let mut batch = tables.db.batch().durability(Some(PersistMode::SyncAll));
    batch.insert(&tables.meta, META_NOTE, note.encode().as_slice());
    batch.insert(&tables.meta, META_SECRET, secret.as_slice());
    batch.insert(&tables.meta, META_EPOCH, epoch.to_be_bytes().as_slice());
    batch.commit().map_err(|error| from_fjall(&directory, error))?;
    let settled = Settled::start(path, write).and_then(|settled| directory.sync().map(|()| settled));
    let settled = settled.map_err(|error| directory::io(path, error))?;
    marker.ready = true;
    marker.epoch = epoch;
    marker.mark = Some(mark);
    directory.mark(&marker)?;
    let recovery = Recovery { last_write, tail: judged.map_or(Tail::Whole, |judged| judged.survey.tail) };
    let opened = Opened { tables, _directory: directory, epoch: Epoch(epoch), secret };
    Ok((opened, Numbers::new(write, mark, settled), recovery))
}

/// The journals as they were found, made fit for fjall.
struct Judged {
    survey: Survey,
    known: Known,
    /// The journal that was cut, where, and what was taken off.
    cut: Option<(PathBuf, u64, Vec<u8>)>,
}

/// Reads the journals and takes off a write that was torn. Changes nothing if it refuses.
fn judge(directory: &Directory, marker: &Marker) -> Result<Judged, OpenError> {
    let journals = directory.check_whole()?;
    let known = settled::read(directory.path());
    if known.is_none() && marker.mark.is_some() {
        tracing::error!(
            path = %directory.path().join(settled::NAME).display(),
            "the file that says which writes are on the disk is missing or damaged; damage to the last ones shows less"
        );
    }
    let known = known.unwrap_or_default();
    let survey = survey(&journals, marker.mark, &known).map_err(|refused| match refused {
        Refused::Damaged(reason) => damaged(directory, &reason),
        Refused::Missing(what) => directory.half_deleted(what),
        Refused::Unreadable(path, reason) => {
            OpenError::Io { path: directory.path().to_owned(), reason: format!("{}: {reason}", path.display()) }
        }
    })?;
    let Some(journal) = journals.last() else { return Ok(Judged { survey, known, cut: None }) };
    let mended = || {
        mend::write_again(journal, &survey.unsettled)?;
        let Some(torn) = &survey.torn else { return Ok(None) };
        let bytes = mend::cut(directory.path(), journal, torn)?;
        Ok(Some((journal.clone(), torn.start, bytes)))
    };
    let cut = mended().map_err(|error| directory::io(directory.path(), error))?;
    let (journal, last) = (journal.display(), survey.last.unwrap_or(0));
    match survey.tail {
        Tail::Whole => {}
        Tail::NeverSynced { bytes } => {
            tracing::warn!(%journal, last, bytes, "the last write was not finished; it was never acknowledged");
        }
        Tail::Undetermined { bytes } => tracing::error!(
            %journal,
            last,
            bytes,
            "the journal ends in a torn write, as after a power cut: what follows the last whole write was cut off and \
             kept in the file \"cut-off\""
        ),
    }
    Ok(Judged { survey, known, cut })
}

impl Judged {
    /// Whether tables and side file know of nothing that the journals should hold and do not.
    fn tables_agree(&self, directory: &Directory, tables: &Tables) -> Result<(), OpenError> {
        let error = |error| from_fjall(directory, error);
        let there = last_note(tables).map_err(error)?.map_or(0, |note| note.number);
        if there < self.known.number {
            return Err(directory.half_deleted(format!("its writes {} to {}", there + 1, self.known.number)));
        }
        let Some(last) = self.survey.last_sequence else { return Ok(()) };
        match tables.highest_in_tables() {
            Some(highest) if highest > last => {
                Err(damaged(directory, "its tables hold later writes than its journal, which was cut short"))
            }
            _ => Ok(()),
        }
    }

    fn put_back(&self) {
        let Some((journal, at, bytes)) = &self.cut else { return };
        if let Err(error) = mend::put_back(journal, *at, bytes) {
            tracing::error!(journal = %journal.display(), at, %error, "what was cut off could not be put back");
        }
    }
}

fn last_note(tables: &Tables) -> fjall::Result<Option<Note>> {
    Ok(tables.meta.get(META_NOTE)?.and_then(|note| Note::decode(&note)))
}

fn random<const N: usize>(directory: &Directory) -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| OpenError::Io {
        path: directory.path().to_owned(),
        reason: format!("the system gives no random numbers: {error}"),
    })?;
    Ok(bytes)
}

fn secret(directory: &Directory, marker: &Marker, tables: &Tables) -> Result<[u8; SECRET_BYTES], OpenError> {
    match tables.meta.get(META_SECRET).map_err(|error| from_fjall(directory, error))? {
        Some(secret) => secret.as_ref().try_into().map_err(|_| damaged(directory, "its secret is not 32 bytes")),
        None if marker.ready => Err(directory.half_deleted("the store's secret".to_owned())),
        None => random(directory),
    }
}

/// The last epoch.
fn last_epoch(directory: &Directory, marker: &Marker, tables: &Tables) -> Result<u64, OpenError> {
    let last = match tables.meta.get(META_EPOCH).map_err(|error| from_fjall(directory, error))? {
        Some(epoch) => {
            let epoch = epoch.as_ref().try_into().map_err(|_| damaged(directory, "its epoch is not 8 bytes"))?;
            u64::from_be_bytes(epoch)
        }
        None if marker.ready => return Err(directory.half_deleted("the store's epoch".to_owned())),
        None => 0,
    };
    if last < marker.epoch {
        return Err(directory.half_deleted(format!("the journal since start {last} of {}", marker.epoch)));
    }
    Ok(last)
}

fn open_database(directory: &Directory, marker: &Marker, options: &EmbeddedOptions) -> Result<Tables, OpenError> {
    let open = || {
        let stop = Stop::default();
        let db = Database::builder(directory.database())
            .cache_size(options.cache_bytes.max(MIN_CACHE_BYTES))
            .max_journaling_size(options.journal_bytes.max(MIN_JOURNAL_BYTES))
            // Every batch says itself how far it is written (`commit.rs`).
            .manual_journal_persist(true)
            .with_compaction_filter_factories(stop.filters())
            .open()
            .map_err(|error| from_fjall(directory, error))?;
        if marker.ready
            && let Some(name) = NAMES.iter().find(|name| !db.keyspace_exists(name))
        {
            return Err(directory.half_deleted(format!("the table \"{name}\"")));
        }
        Tables::open(db, stop).map_err(|error| from_fjall(directory, error))
    };
    // Its threads flush and compact. And fjall asserts that names and settings in its directory are what it once wrote,
    // lsm-tree that its blocks are.
    background::run(open).unwrap_or_else(|panic| {
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
