//! What the model's disk holds, and how it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use bellhop_engine::domain::{
    ConversationId, ConversationKey, ConversationState, Epoch, Event, Millis, Row, Seq, Shard, Status, WorkspaceId,
};
use bellhop_engine::ports::{
    Append, Audit, ConversationPage, Expect, Loaded, Projection, Range, Reader, Record, RecordKey, RecordList, RowList,
    RowPage, Version, Written,
};

use crate::reading::{self, readable};

/// Everything durable.
#[derive(Default)]
pub(super) struct Contents {
    events: BTreeMap<(ConversationKey, Seq, Epoch), Arc<Event>>,
    rows: BTreeMap<ConversationKey, Row>,
    states: BTreeMap<ConversationKey, ConversationState>,
    reads: BTreeMap<(ConversationKey, Reader), Seq>,
    dirty: BTreeSet<(Shard, ConversationKey)>,
    records: BTreeMap<RecordKey, (Record, Version)>,
}

/// A place in a list: time (latest first, 0 where the list has none) and conversation.
type Place = ([u8; 8], [u8; 16]);

impl Contents {
    pub(super) fn event(&self, key: ConversationKey, seq: Seq, epoch: Epoch) -> Option<&Arc<Event>> {
        self.events.get(&(key, seq, epoch))
    }

    pub(super) fn append(&mut self, append: &Append) {
        self.mark(append);
        for event in &append.events {
            self.events.insert((append.key, event.seq, event.epoch), Arc::clone(event));
        }
    }

    pub(super) fn mark(&mut self, append: &Append) {
        if append.mark_dirty {
            let ConversationKey { workspace, conversation } = append.key;
            self.dirty.insert((Shard::of(workspace, conversation), append.key));
        }
    }

    /// Writes the last `rows` that count again under `epoch`; whether there is one.
    pub(super) fn write_again(&mut self, key: ConversationKey, rows: usize, epoch: Epoch) -> bool {
        let log: Vec<_> = self.log(key).cloned().collect();
        for event in &log[log.len().saturating_sub(rows)..] {
            let again = Event { epoch, ..Event::clone(event) };
            self.events.insert((key, event.seq, epoch), Arc::new(again));
        }
        !log.is_empty()
    }

    /// The highest epoch under which an event was written.
    fn owner(&self, key: ConversationKey, seq: Seq) -> Epoch {
        let rows = self.events.range((key, seq, Epoch(0))..=(key, seq, Epoch(u64::MAX)));
        rows.last().map_or(Epoch(0), |(&(.., epoch), _)| epoch)
    }

    /// Every event that counts, from the first.
    pub(super) fn log(&self, key: ConversationKey) -> impl Iterator<Item = &Arc<Event>> {
        self.log_above(key, 0, Epoch(0))
    }

    fn log_above(&self, key: ConversationKey, after: Seq, floor: Epoch) -> impl Iterator<Item = &Arc<Event>> {
        let from = (key, after.saturating_add(1), Epoch(0));
        let to = (key, Seq::MAX, Epoch(u64::MAX));
        let rows =
            self.events.range(from..=to).map(|(&(_, seq, epoch), event)| Ok::<_, Infallible>((seq, epoch, event)));
        readable(after, floor, rows).filter_map(|row| row.ok().map(|(.., event)| event))
    }

    pub(super) fn load(&self, key: ConversationKey) -> Option<Loaded> {
        let state = self.states.get(&key).cloned();
        // The row below may have been written again under a later epoch than the snapshot knows.
        let (after, floor) =
            state.as_ref().map_or((0, Epoch(0)), |state| (state.seq, state.epoch.max(self.owner(key, state.seq))));
        let tail: Vec<_> = self.log_above(key, after, floor).cloned().collect();
        (state.is_some() || !tail.is_empty()).then(|| Loaded { state, tail, reads: self.reads(key) })
    }

    pub(super) fn events(&self, key: ConversationKey, range: Range, limit: usize) -> Vec<Arc<Event>> {
        let limit = limit.clamp(1, 1_000);
        match range {
            Range::After(after) => self.log(key).filter(|event| event.seq > after).take(limit).cloned().collect(),
            Range::Before(before) => {
                let below: Vec<_> = self.log(key).filter(|event| event.seq < before).cloned().collect();
                below[below.len().saturating_sub(limit)..].to_vec()
            }
        }
    }

    pub(super) fn conversations(&self, after: Option<&[u8]>, limit: usize) -> ConversationPage {
        let limit = limit.clamp(1, 1_000);
        let start = match after {
            None => Some(ConversationKey { workspace: WorkspaceId(0), conversation: ConversationId(0) }),
            Some(cursor) => cursor_key(cursor),
        };
        let Some(mut from) = start.map(|key| (key, if after.is_some() { Seq::MAX } else { 0 })) else {
            return ConversationPage::default();
        };
        let mut page = ConversationPage::default();
        while let Some((&(key, ..), _)) = self.events.range((from.0, from.1, Epoch(u64::MAX))..).next() {
            if page.keys.len() == limit {
                page.next = page.keys.last().map(key_cursor);
                break;
            }
            page.keys.push(key);
            from = (key, Seq::MAX);
        }
        page
    }

    pub(super) fn audit(&self, key: ConversationKey) -> Audit {
        let rows = self.events.range((key, 0, Epoch(0))..=(key, Seq::MAX, Epoch(u64::MAX)));
        let rows = rows.map(|(&(_, seq, epoch), _)| Ok::<_, Infallible>((seq, epoch, ())));
        match reading::audit(rows, |_, _, ()| Ok(())) {
            Ok(audit) => audit,
            Err(never) => match never {},
        }
    }

    pub(super) fn project(&mut self, projection: &Projection) {
        let Projection { row, state, reads, clear_dirty } = projection;
        let older = self.rows.get(&row.key).is_some_and(|stored| (row.epoch, row.seq) < (stored.epoch, stored.seq));
        if !older {
            self.rows.insert(row.key, row.clone());
            self.states.insert(row.key, state.clone());
            if *clear_dirty {
                self.dirty.remove(&(Shard::of(row.key.workspace, row.key.conversation), row.key));
            }
        }
        for &(reader, seq) in reads {
            let stored = self.reads.entry((row.key, reader)).or_insert(seq);
            *stored = seq.max(*stored);
        }
    }

    pub(super) fn restore(&mut self, projection: &Projection) {
        let key = projection.row.key;
        self.rows.remove(&key);
        self.reads.retain(|(of, _), _| *of != key);
        self.project(projection);
    }

    pub(super) fn prune(&mut self, workspace: WorkspaceId) -> u64 {
        let before = self.rows.len();
        let events = &self.events;
        let logged = |key: ConversationKey| {
            let all = (key, 0, Epoch(0))..=(key, Seq::MAX, Epoch(u64::MAX));
            key.workspace != workspace || events.range(all).next().is_some()
        };
        self.rows.retain(|key, _| logged(*key));
        self.states.retain(|key, _| logged(*key));
        (before - self.rows.len()) as u64
    }

    pub(super) fn row(&self, key: ConversationKey) -> Option<Row> {
        self.rows.get(&key).cloned()
    }

    pub(super) fn reads(&self, key: ConversationKey) -> Vec<(Reader, Seq)> {
        self.reads.iter().filter(|((of, _), _)| *of == key).map(|((_, reader), seq)| (*reader, *seq)).collect()
    }

    pub(super) fn rows(&self, list: RowList, after: Option<&[u8]>, limit: usize) -> RowPage {
        let after: Option<Place> = match after {
            None => None,
            Some(cursor) => match (cursor.first_chunk::<8>(), cursor.get(8..).and_then(|id| id.try_into().ok())) {
                (Some(at), Some(id)) => Some((*at, id)),
                _ => return RowPage::default(),
            },
        };
        let mut listed: Vec<(Place, &Row)> =
            self.rows.values().filter_map(|row| Some((place(list, row)?, row))).collect();
        listed.sort_unstable_by_key(|(place, _)| *place);
        listed.retain(|(place, _)| after.is_none_or(|after| *place > after));
        let more = listed.len() > limit.clamp(1, 1_000);
        listed.truncate(limit.clamp(1, 1_000));
        let next = listed.last().filter(|_| more).map(|((at, id), _)| [at.as_slice(), id].concat());
        RowPage { rows: listed.into_iter().map(|(_, row)| row.clone()).collect(), next }
    }

    pub(super) fn dirty(&self) -> Vec<(Shard, ConversationKey)> {
        self.dirty.iter().copied().collect()
    }

    pub(super) fn record(&self, key: &RecordKey) -> Option<(Record, Version)> {
        self.records.get(key).cloned()
    }

    pub(super) fn put_record(&mut self, key: RecordKey, record: Record, expect: Expect) -> Written {
        let stored = self.records.get(&key).map(|(_, version)| *version);
        let version = match (expect, stored) {
            (Expect::Absent, None) => 1,
            (Expect::Version(expected), Some(version)) if version == expected => version + 1,
            _ => return Written::Conflict,
        };
        self.records.insert(key, (record, version));
        Written::Done(version)
    }

    pub(super) fn delete_record(&mut self, key: &RecordKey) {
        self.records.remove(key);
    }

    pub(super) fn records(&self, list: RecordList, after: Option<u128>, limit: usize) -> Vec<(Record, Version)> {
        // BTreeMap orders the keys of one kind by their ids.
        let listed = self.records.iter().filter(|(key, _)| {
            let id = match (list, key) {
                (RecordList::Workspaces, RecordKey::Workspace(id)) => id.0,
                (RecordList::Members(of), RecordKey::Member(workspace, id)) if of == *workspace => id.0,
                (RecordList::Links, RecordKey::Link(id)) => id.0,
                (RecordList::ApiKeys, RecordKey::ApiKey(id)) => id.0,
                (RecordList::LoginSessions, RecordKey::LoginSession(id)) => id.0,
                _ => return false,
            };
            after.is_none_or(|after| id > after)
        });
        listed.take(limit.clamp(1, 1_000)).map(|(_, record)| record.clone()).collect()
    }
}

fn key_cursor(key: &ConversationKey) -> Vec<u8> {
    [key.workspace.0.to_be_bytes(), key.conversation.0.to_be_bytes()].concat()
}

fn cursor_key(cursor: &[u8]) -> Option<ConversationKey> {
    let (workspace, conversation) = cursor.split_first_chunk::<16>()?;
    Some(ConversationKey {
        workspace: WorkspaceId(u128::from_be_bytes(*workspace)),
        conversation: ConversationId(u128::from_be_bytes(conversation.try_into().ok()?)),
    })
}

fn place(list: RowList, row: &Row) -> Option<Place> {
    let latest_first = |at: Millis| (!((at.0 as u64) ^ (1 << 63))).to_be_bytes();
    let at = match (list, row.status) {
        (RowList::Open(of), Status::Queued | Status::Assigned) if of == row.key.workspace => [0; 8],
        (RowList::Resolved(of), Status::Resolved) if of == row.key.workspace => {
            latest_first(row.resolved_at.unwrap_or(Millis(i64::MIN)))
        }
        (RowList::OfVisitor(of, visitor), _) if of == row.key.workspace && visitor == row.visitor => {
            latest_first(row.created_at)
        }
        _ => return None,
    };
    Some((at, row.key.conversation.0.to_be_bytes()))
}
