//! What is read from the embedded store. Each function sees one snapshot of the database.
//!
//! A durable batch becomes visible after its sync (fjall applies it to memory then), so everything here is durable;
//! but for projections, which say nothing that the durable log does not.

use std::collections::VecDeque;
use std::sync::Arc;

use bellhop_engine::domain::{ConversationKey, Epoch, Event, Row, Seq, Shard};
use bellhop_engine::ports::{
    Audit, ConversationPage, Loaded, Range, Reader, Record, RecordKey, RecordList, RowList, RowPage, StoreError,
    Version,
};
use fjall::{Readable, Slice, Snapshot};

use super::tables::Tables;
use super::{keys, unreadable};
use crate::codec::{decode_event, decode_read, decode_record, decode_row, decode_state};
use crate::reading::{self, readable};

/// The trait's bounds of a page.
const PAGE: std::ops::RangeInclusive<usize> = 1..=1_000;

fn page(limit: usize) -> usize {
    limit.clamp(*PAGE.start(), *PAGE.end())
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(what.to_owned())
}

/// The rows that count above `after`, not yet decoded.
fn log<'a>(
    tables: &'a Tables,
    snapshot: &'a Snapshot,
    key: ConversationKey,
    after: Seq,
    floor: Epoch,
    last: Seq,
) -> impl Iterator<Item = Result<(Seq, Epoch, Slice), StoreError>> + 'a {
    let from = keys::event(key, after.saturating_add(1), Epoch(0));
    let to = keys::event(key, last, Epoch(u64::MAX));
    // fjall panics on a range that ends before it begins.
    let rows = (from <= to).then(|| snapshot.range(&tables.events, from..=to));
    let rows = rows.into_iter().flatten().map(|entry| {
        let (key, value) = entry.into_inner().map_err(unreadable)?;
        let (seq, epoch) = keys::event_place(&key).ok_or_else(|| damaged("an event's key"))?;
        Ok((seq, epoch, value))
    });
    readable(after, floor, rows)
}

fn event(seq: Seq, epoch: Epoch, value: &[u8]) -> Result<Arc<Event>, StoreError> {
    let event = decode_event(value)?;
    if (event.seq, event.epoch) != (seq, epoch) {
        return Err(damaged("an event lies under another one's key"));
    }
    Ok(Arc::new(event))
}

pub(super) fn load(tables: &Tables, key: ConversationKey) -> Result<Option<Loaded>, StoreError> {
    let snapshot = tables.db.snapshot();
    let state = snapshot.get(&tables.workspaces, keys::state(key)).map_err(unreadable)?;
    let state = state.map(|bytes| decode_state(&bytes)).transpose()?;
    let (after, floor) = state.as_ref().map_or((0, Epoch(0)), |state| (state.seq, state.epoch));
    let tail = log(tables, &snapshot, key, after, floor, Seq::MAX)
        .map(|row| row.and_then(|(seq, epoch, value)| event(seq, epoch, &value)))
        .collect::<Result<Vec<_>, _>>()?;
    if state.is_none() && tail.is_empty() {
        return Ok(None);
    }
    Ok(Some(Loaded { state, tail, reads: marks(tables, &snapshot, key)? }))
}

pub(super) fn events(
    tables: &Tables,
    key: ConversationKey,
    range: Range,
    limit: usize,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let limit = page(limit);
    let snapshot = tables.db.snapshot();
    let state = snapshot.get(&tables.workspaces, keys::state(key)).map_err(unreadable)?;
    // The snapshot only shortens the way: where it cannot be read, the log is read from its beginning.
    let (known, floor) = match state.and_then(|bytes| decode_state(&bytes).ok()) {
        Some(state) => (state.seq, state.epoch),
        None => (0, Epoch(0)),
    };
    let decoded =
        |row: Result<(Seq, Epoch, Slice), StoreError>| row.and_then(|(seq, epoch, value)| event(seq, epoch, &value));
    match range {
        // Up to the snapshot's seq each seq has a row that counts, so its highest epoch is right without knowing what
        // came before; above it the epoch of the snapshot tells leftovers.
        Range::After(after) if after < known => {
            log(tables, &snapshot, key, after, Epoch(0), Seq::MAX).take(limit).map(decoded).collect()
        }
        Range::After(after) => log(tables, &snapshot, key, known, floor, Seq::MAX)
            .skip_while(|row| row.as_ref().is_ok_and(|(seq, ..)| *seq <= after))
            .take(limit)
            .map(decoded)
            .collect(),
        Range::Before(before) => {
            let mut head = known;
            let mut above = VecDeque::new();
            if before > known.saturating_add(1) {
                for row in log(tables, &snapshot, key, known, floor, before - 1) {
                    let row = row?;
                    head = row.0;
                    above.push_back(row);
                    if above.len() > limit {
                        above.pop_front();
                    }
                }
            }
            let last = head.min(before.saturating_sub(1));
            let after = last.saturating_sub(limit as u64);
            let below = log(tables, &snapshot, key, after, Epoch(0), last.min(known));
            below.chain(above.into_iter().map(Ok)).map(decoded).collect()
        }
    }
}

pub(super) fn conversations(
    tables: &Tables,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<ConversationPage, StoreError> {
    let limit = page(limit);
    let snapshot = tables.db.snapshot();
    let mut found = ConversationPage::default();
    let mut from = match after {
        None => Vec::new(),
        Some(cursor) => match keys::conversation_of(cursor) {
            Some(key) => keys::event(key, Seq::MAX, Epoch(u64::MAX)),
            None => return Ok(found),
        },
    };
    // One seek for each conversation: its events are not walked over.
    while let Some(entry) = snapshot.range(&tables.events, from.as_slice()..).next() {
        if found.keys.len() == limit {
            found.next = found.keys.last().map(|key| keys::conversation(*key));
            break;
        }
        let entry = entry.key().map_err(unreadable)?;
        let key = keys::conversation_of(&entry).ok_or_else(|| damaged("an event's key"))?;
        found.keys.push(key);
        from = keys::event(key, Seq::MAX, Epoch(u64::MAX));
    }
    Ok(found)
}

pub(super) fn audit(tables: &Tables, key: ConversationKey) -> Result<Audit, StoreError> {
    let snapshot = tables.db.snapshot();
    let from = keys::event(key, 0, Epoch(0));
    let to = keys::event(key, Seq::MAX, Epoch(u64::MAX));
    let rows = snapshot.range(&tables.events, from..=to).map(|entry| {
        let (key, value) = entry.into_inner().map_err(unreadable)?;
        let (seq, epoch) = keys::event_place(&key).ok_or_else(|| damaged("an event's key"))?;
        Ok((seq, epoch, value))
    });
    reading::audit(rows, |seq, epoch, value| event(seq, epoch, value).map(drop).map_err(|error| error.to_string()))
}

pub(super) fn row(tables: &Tables, key: ConversationKey) -> Result<Option<Row>, StoreError> {
    let bytes = tables.workspaces.get(keys::row(key)).map_err(unreadable)?;
    bytes.map(|bytes| decode_row(&bytes)).transpose()
}

pub(super) fn reads(tables: &Tables, key: ConversationKey) -> Result<Vec<(Reader, Seq)>, StoreError> {
    marks(tables, &tables.db.snapshot(), key)
}

fn marks(tables: &Tables, snapshot: &Snapshot, key: ConversationKey) -> Result<Vec<(Reader, Seq)>, StoreError> {
    let entries = snapshot.prefix(&tables.workspaces, keys::reads(key));
    let mark = |entry: fjall::Guard| {
        let (key, value) = entry.into_inner().map_err(unreadable)?;
        let reader = keys::reader(&key).ok_or_else(|| damaged("a read mark's key"))?;
        Ok((reader, decode_read(&value)?))
    };
    entries.map(mark).collect()
}

pub(super) fn rows(
    tables: &Tables,
    list: RowList,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<RowPage, StoreError> {
    let limit = page(limit);
    let (prefix, length) = keys::list(list);
    let start = match after {
        None => prefix.clone(),
        // The cursor is the last entry without its prefix: one of another list or made up cannot leave this one.
        Some(cursor) if cursor.len() == length => [prefix.as_slice(), &cursor, &[0]].concat(),
        Some(_) => return Ok(RowPage::default()),
    };
    let end = [prefix.as_slice(), &vec![0xFF; length]].concat();
    let snapshot = tables.db.snapshot();
    let mut page = RowPage::default();
    if start > end {
        return Ok(page);
    }
    let mut last: Option<Slice> = None;
    for entry in snapshot.range(&tables.workspaces, start..=end) {
        if page.rows.len() == limit {
            page.next = last.and_then(|entry| Some(entry.get(prefix.len()..)?.to_vec()));
            break;
        }
        let entry = entry.key().map_err(unreadable)?;
        let key = keys::listed(list, &entry).ok_or_else(|| damaged("an entry of a list"))?;
        let row = snapshot.get(&tables.workspaces, keys::row(key)).map_err(unreadable)?;
        page.rows.push(decode_row(&row.ok_or_else(|| damaged("a list names a conversation without a row"))?)?);
        last = Some(entry);
    }
    Ok(page)
}

pub(super) fn dirty(tables: &Tables) -> Result<Vec<(Shard, ConversationKey)>, StoreError> {
    let mark = |entry: fjall::Guard| {
        let key = entry.key().map_err(unreadable)?;
        keys::marked(&key).ok_or_else(|| damaged("a dirty mark's key"))
    };
    tables.db.snapshot().iter(&tables.dirty).map(mark).collect()
}

pub(super) fn record(tables: &Tables, key: &RecordKey) -> Result<Option<(Record, Version)>, StoreError> {
    let (place, key) = keys::record(key);
    let bytes = tables.of(place).get(key).map_err(unreadable)?;
    bytes.map(|bytes| decode_record(&bytes)).transpose()
}

pub(super) fn records(
    tables: &Tables,
    list: RecordList,
    after: Option<u128>,
    limit: usize,
) -> Result<Vec<(Record, Version)>, StoreError> {
    let (place, prefix) = keys::records(list);
    let start = match after {
        None => prefix.clone(),
        Some(id) => [prefix.as_slice(), &id.to_be_bytes(), &[0]].concat(),
    };
    let end = [prefix.as_slice(), &[0xFF; 16]].concat();
    if start > end {
        return Ok(Vec::new());
    }
    let value = |entry: fjall::Guard| decode_record(&entry.value().map_err(unreadable)?);
    tables.db.snapshot().range(tables.of(place), start..=end).take(page(limit)).map(value).collect()
}
