//! One commit in the making: reads see what earlier writes of the same commit will have changed.

use std::collections::HashMap;

use bellhop_engine::domain::{Epoch, Row, Seq, WorkspaceId};
use bellhop_engine::ports::{Expect, Projection, StoreError, Version, Written};
use fjall::{OwnedWriteBatch, PersistMode};

use super::journal::{META_NOTE, Note};
use super::keys::{self, Place};
use super::tables::Tables;
use super::unreadable;
use crate::codec::{decode_read, decode_record, decode_row, encode_read, encode_row, encode_state};

/// A keyspace whose keys may change more than once in a commit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Table {
    Workspaces,
    Directory,
    Dirty,
}

impl From<Place> for Table {
    fn from(place: Place) -> Self {
        match place {
            Place::Workspaces => Self::Workspaces,
            Place::Directory => Self::Directory,
        }
    }
}

/// Changes that become one fjall batch.
///
/// fjall gives all items of a batch one sequence number, so that two changes of one key in a batch would have no order:
/// every key that can change twice goes through `changes`, and its last value is written.
pub(super) struct Batch<'a> {
    tables: &'a Tables,
    changes: HashMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    write: OwnedWriteBatch,
    durable: bool,
}

/// What has become of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Committed {
    /// There was nothing to write; the batch's number is free.
    Nothing,
    /// Written, not synced: nothing in it needed to be durable.
    Written,
    /// It is on the disk, and all before it.
    Synced,
}

/// Whole changes of one write: made ready first, so that a write that fails half way leaves nothing in the commit.
type Changes = Vec<(Table, Vec<u8>, Option<Vec<u8>>)>;

impl<'a> Batch<'a> {
    /// `note` goes first: whoever reads the journal sees at once whose batch it is.
    pub(super) fn new(tables: &'a Tables, note: &Note) -> Self {
        let mut write = tables.db.batch();
        write.insert(&tables.meta, META_NOTE, note.encode().as_slice());
        Self { tables, changes: HashMap::new(), write, durable: false }
    }

    /// Rows of events and perhaps a mark. A row is only ever repeated with the same content, so order is no matter.
    pub(super) fn append(&mut self, rows: Vec<(Vec<u8>, Vec<u8>)>, mark: Option<Vec<u8>>) {
        self.durable = true;
        for (key, value) in rows {
            self.write.insert(&self.tables.events, key, value);
        }
        if let Some(mark) = mark {
            self.changes.insert((Table::Dirty, mark), Some(Vec::new()));
        }
    }

    pub(super) fn put_record(
        &mut self,
        place: Place,
        key: Vec<u8>,
        expect: Expect,
        encoded: impl FnOnce(Version) -> Vec<u8>,
    ) -> Result<Written, StoreError> {
        let stored = self.get(place.into(), &key)?.map(|bytes| decode_record(&bytes)).transpose()?;
        let version = match (expect, stored) {
            (Expect::Absent, None) => 1,
            (Expect::Version(expected), Some((_, version))) if version == expected => version + 1,
            _ => return Ok(Written::Conflict),
        };
        self.durable = true;
        self.changes.insert((place.into(), key), Some(encoded(version)));
        Ok(Written::Done(version))
    }

    pub(super) fn delete_record(&mut self, place: Place, key: Vec<u8>) {
        self.durable = true;
        self.changes.insert((place.into(), key), None);
    }

    pub(super) fn project(&mut self, projection: &Projection) -> Result<(), StoreError> {
        let Projection { row, state, reads, clear_dirty } = projection;
        let mut changes: Changes = Vec::new();
        let key = keys::row(row.key);
        let stored: Option<Row> = self.get(Table::Workspaces, &key)?.map(|bytes| decode_row(&bytes)).transpose()?;
        let older = stored.as_ref().is_some_and(|stored| (row.epoch, row.seq) < (stored.epoch, stored.seq));
        if !older {
            let entries = keys::indexes(row);
            for entry in stored.as_ref().map(keys::indexes).into_iter().flatten() {
                if !entries.contains(&entry) {
                    changes.push((Table::Workspaces, entry, None));
                }
            }
            let listed = stored.as_ref().map(keys::indexes);
            for entry in entries {
                if !listed.as_ref().is_some_and(|listed| listed.contains(&entry)) {
                    changes.push((Table::Workspaces, entry, Some(Vec::new())));
                }
            }
            changes.push((Table::Workspaces, key, Some(encode_row(row))));
            changes.push((Table::Workspaces, keys::state(row.key), Some(encode_state(state))));
            if *clear_dirty {
                changes.push((Table::Dirty, keys::dirty(row.key), None));
            }
        }
        // Marks only move forward, so an old projection's are as good as a new one's.
        for &(reader, seq) in reads {
            let key = keys::read(row.key, reader);
            let stored = self.get(Table::Workspaces, &key)?.map(|bytes| decode_read(&bytes)).transpose()?;
            if stored.is_none_or(|stored| seq > stored) {
                changes.push((Table::Workspaces, key, Some(encode_read(seq))));
            }
        }
        for (table, key, value) in changes {
            self.changes.insert((table, key), value);
        }
        Ok(())
    }

    /// A projection in place of whatever lies there; what lies there is not even read.
    pub(super) fn restore(&mut self, projection: &Projection) -> Result<(), StoreError> {
        let Projection { row, state, reads, clear_dirty } = projection;
        let mut changes: Changes = Vec::new();
        for mark in self.tables.workspaces.prefix(keys::reads(row.key)) {
            changes.push((Table::Workspaces, mark.key().map_err(unreadable)?.to_vec(), None));
        }
        changes.extend(keys::indexes(row).map(|entry| (Table::Workspaces, entry, Some(Vec::new()))));
        changes.push((Table::Workspaces, keys::row(row.key), Some(encode_row(row))));
        changes.push((Table::Workspaces, keys::state(row.key), Some(encode_state(state))));
        for &(reader, seq) in reads {
            changes.push((Table::Workspaces, keys::read(row.key, reader), Some(encode_read(seq))));
        }
        if *clear_dirty {
            changes.push((Table::Dirty, keys::dirty(row.key), None));
        }
        for (table, key, value) in changes {
            self.changes.insert((table, key), value);
        }
        Ok(())
    }

    /// Takes away rows without a log, and entries of lists that do not follow from their row; how many.
    pub(super) fn prune(&mut self, workspace: WorkspaceId) -> Result<u64, StoreError> {
        let mut gone = 0;
        for row in self.tables.workspaces.prefix(keys::rows(workspace)) {
            let row = row.key().map_err(unreadable)?;
            let Some(key) = keys::named(workspace, &row) else { continue };
            let from = keys::event(key, 0, Epoch(0));
            let to = keys::event(key, Seq::MAX, Epoch(u64::MAX));
            if self.tables.events.range(from..=to).next().is_none() {
                for stray in [row.to_vec(), keys::state(key)] {
                    self.changes.insert((Table::Workspaces, stray), None);
                }
                gone += 1;
            }
        }
        for list in keys::lists(workspace) {
            for entry in self.tables.workspaces.prefix(list) {
                let entry = entry.key().map_err(unreadable)?;
                let row = match keys::named(workspace, &entry) {
                    Some(key) => self.get(Table::Workspaces, &keys::row(key))?,
                    None => None,
                };
                // A row that cannot be read was not restored, because its log is broken: it bears out nothing.
                let row = row.and_then(|bytes| decode_row(&bytes).ok());
                if !row.is_some_and(|row| keys::indexes(&row).iter().any(|it| it.as_slice() == entry.as_ref())) {
                    self.changes.insert((Table::Workspaces, entry.to_vec()), None);
                    gone += 1;
                }
            }
        }
        // Syncs what was restored before as well.
        self.durable = true;
        Ok(gone)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(change) = self.changes.get(&(table, key.to_vec())) {
            return Ok(change.clone());
        }
        let keyspace = match table {
            Table::Workspaces => &self.tables.workspaces,
            Table::Directory => &self.tables.directory,
            Table::Dirty => &self.tables.dirty,
        };
        Ok(keyspace.get(key).map_err(unreadable)?.map(|value| value.to_vec()))
    }

    /// Writes everything at once. Anything that must be durable makes one sync; projections alone go without.
    ///
    /// `SyncData` (fdatasync) is enough: it also writes the size and extents that reading the data again needs, and
    /// leaves out only times. fjall syncs a journal file wholly, and its directory, when it begins and ends one.
    pub(super) fn commit(self) -> fjall::Result<Committed> {
        if !self.durable && self.changes.is_empty() && self.write.len() == 1 {
            return Ok(Committed::Nothing);
        }
        let committed = if self.durable { Committed::Synced } else { Committed::Written };
        let mut write = self.write.durability(Some(match self.durable {
            true => PersistMode::SyncData,
            false => PersistMode::Buffer,
        }));
        for ((table, key), value) in self.changes {
            let keyspace = match table {
                Table::Workspaces => &self.tables.workspaces,
                Table::Directory => &self.tables.directory,
                Table::Dirty => &self.tables.dirty,
            };
            match value {
                Some(value) => write.insert(keyspace, key, value),
                None => write.remove(keyspace, key),
            }
        }
        write.commit()?;
        Ok(committed)
    }
}
