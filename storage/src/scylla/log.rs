//! Reading a conversation's rows, and making them one's own.
//!
//! On the first load under a new epoch the last append is written again under that epoch, at quorum, before anything is
//! answered: what a dead owner left half-written is then either part of it, or below its epoch for ever (`reading.rs`).
//! A row carries its append's first and last seq, so that the extent is known, and so that an append of which only a
//! part is found shows: it was never acknowledged, and is dropped whole. (A batch of one partition is atomic on each
//! node; a node's read repair can still tear it.) In the same batch a range tombstone with the epoch's first stamp takes
//! away all lower epochs from there on: a partition holds one of them however many starts it sees, and rows that arrive
//! late are dead on arrival. If the head already has the own epoch, nothing is written.
//!
//! The epoch of a snapshot is that of its events, which a rewritten head has passed; so reading above a snapshot begins
//! AT its seq, where the row says the floor.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bellhop_engine::domain::{ConversationKey, ConversationState, Epoch, Event, Seq};
use bellhop_engine::ports::{Audit, ConversationPage, Loaded, Range, StoreError};
use futures_util::future::try_join_all;
use scylla::value::CqlValue;

use super::buckets::{BUCKET_SEQS, LOOK_BACK, bucket, last_seq, lowest_bucket, number};
use super::core::Core;
use super::database::TRYING;
use super::journal::event_row;
use super::projections::read_marks;
use super::{ids, metrics, page};
use crate::codec::{decode_event, decode_state};
use crate::reading::{self, readable};

/// Buckets read at once at most: 512 events a round trip, and at most 40 MB of the longest ones.
const WAVE: i64 = 8;

/// How often a load looks again at an append that seems to lack rows: pages of one partition may come from different
/// nodes, of which one was just being written.
const LOOKS: usize = 3;

/// Partitions that a page of conversations looks at in one request.
const SCAN_PAGE: usize = 1_000;

/// A row as it lies.
#[derive(Debug, Clone)]
struct Stored {
    first: Seq,
    last: Seq,
    value: Vec<u8>,
}

type Lying = (Seq, Epoch, Stored);

fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}

fn seq(number: i64) -> Seq {
    number.unsigned_abs()
}

/// The event in a row. One that was written again under a later epoch still says its own.
fn event((seq, epoch, stored): &Lying) -> Result<Arc<Event>, StoreError> {
    let event = decode_event(&stored.value)?;
    if event.seq != *seq || event.epoch > *epoch {
        return Err(damaged("an event lies under another one's key"));
    }
    Ok(Arc::new(event))
}

async fn partition(core: &Core, key: ConversationKey, bucket: i64, from: Seq) -> Result<Vec<Lying>, StoreError> {
    let (workspace, conversation) = ids(key);
    let values = (workspace, conversation, bucket, number(from));
    type Columns = (i64, i64, Option<i64>, Option<i64>, Option<Vec<u8>>);
    let rows: Vec<Columns> = core.database.rows(&core.database.statements.events_from, &values, usize::MAX).await?;
    let whole = |(at, epoch, first, last, value): Columns| match (first, last, value) {
        (Some(first), Some(last), Some(value)) => {
            Ok((seq(at), Epoch(seq(epoch)), Stored { first: seq(first), last: seq(last), value }))
        }
        _ => Err(damaged(format!("row {at} of a conversation lacks columns"))),
    };
    rows.into_iter().map(whole).collect()
}

/// The rows that count from `after` + 1 on, until the log ends, `upto` is reached, or there are at least `most`.
async fn log(
    core: &Core,
    key: ConversationKey,
    after: Seq,
    floor: Epoch,
    upto: Seq,
    most: usize,
) -> Result<Vec<Lying>, StoreError> {
    let from = after.saturating_add(1);
    let (mut next, mut until, mut wave) = (lowest_bucket(from), bucket(from), 1);
    let (mut last, mut floor) = (after, floor);
    let mut lying: BTreeMap<(Seq, Epoch), Stored> = BTreeMap::new();
    let mut counted: Vec<Lying> = Vec::new();
    loop {
        let partitions = (next..=until).map(|bucket| partition(core, key, bucket, from));
        for rows in try_join_all(partitions).await? {
            lying.extend(rows.into_iter().map(|(seq, epoch, row)| ((seq, epoch), row)));
        }
        // Later buckets hold rows above this only.
        let whole = last_seq(until);
        let above = lying.split_off(&(whole + 1, Epoch(0)));
        let ready = std::mem::replace(&mut lying, above);
        let ready = ready.into_iter().map(|((seq, epoch), row)| Ok::<_, Infallible>((seq, epoch, row)));
        for row in readable(last, floor, ready) {
            let Ok(row) = row;
            (last, floor) = (row.0, row.1);
            counted.push(row);
        }
        if last < whole || last >= upto || counted.len() >= most {
            counted.retain(|row| row.0 <= upto);
            return Ok(counted);
        }
        next = until + 1;
        until += wave;
        wave = (wave * 2).min(WAVE);
    }
}

/// The conversation, its head under the own epoch.
pub(super) async fn load(core: &Core, key: ConversationKey) -> Result<Option<Loaded>, StoreError> {
    let database = &core.database;
    let state: Option<(Option<Vec<u8>>,)> = database.row(&database.statements.projected_state, &ids(key)).await?;
    let state = state.and_then(|(state,)| state).map(|bytes| decode_state(&bytes)).transpose()?;
    let mut rows = Vec::new();
    for look in 1..=LOOKS {
        rows = above_snapshot(core, key, state.as_ref()).await?;
        let Some(head) = rows.last() else { break };
        if head.2.last == head.0 {
            break;
        }
        if look == LOOKS {
            let (first, epoch) = (head.2.first, head.1);
            if epoch >= core.lease.epoch() {
                return Err(StoreError::Unavailable("an append is still being written".to_owned()));
            }
            if state.as_ref().is_some_and(|state| state.seq >= first) {
                return Err(damaged(format!("rows of the append at seq {first} are gone")));
            }
            rows.retain(|row| row.0 < first);
        }
    }
    own(core, key, &rows).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let known = state.as_ref().map_or(0, |state| state.seq);
    let tail = rows.iter().filter(|row| row.0 > known).map(event).collect::<Result<Vec<_>, _>>()?;
    Ok(Some(Loaded { state, tail, reads: read_marks(core, key).await? }))
}

/// The rows that count from the snapshot's own on.
async fn above_snapshot(
    core: &Core,
    key: ConversationKey,
    state: Option<&ConversationState>,
) -> Result<Vec<Lying>, StoreError> {
    let Some(state) = state else { return log(core, key, 0, Epoch(0), Seq::MAX, usize::MAX).await };
    let rows = log(core, key, state.seq.saturating_sub(1), Epoch(0), Seq::MAX, usize::MAX).await?;
    // A snapshot is written of durable events only.
    if rows.is_empty() {
        return Err(damaged(format!("a conversation lacks the row of seq {}, which its snapshot holds", state.seq)));
    }
    Ok(rows)
}

/// Writes the last append again under the own epoch, unless it has it.
async fn own(core: &Core, key: ConversationKey, rows: &[Lying]) -> Result<(), StoreError> {
    let (epoch, statements) = (core.lease.epoch(), &core.database.statements);
    let (workspace, conversation) = ids(key);
    let dead = |bucket: i64| {
        vec![
            CqlValue::BigInt(core.lease.stamps().first()),
            CqlValue::Blob(workspace.to_vec()),
            CqlValue::Blob(conversation.to_vec()),
            CqlValue::BigInt(bucket),
        ]
    };
    let Some((head, head_epoch, stored)) = rows.last() else {
        // Nothing counts; what an earlier owner may have left on a node that is away must not turn up later. The first
        // epoch of all has no earlier one.
        return match epoch {
            Epoch(0..=1) => Ok(()),
            _ => settle(core, &[(&statements.drop_partition, dead(0))]).await,
        };
    };
    if *head_epoch >= epoch {
        return Ok(());
    }
    let first = stored.first;
    let extent: Vec<Lying> = match rows.first() {
        Some(row) if row.0 <= first => rows.iter().filter(|row| row.0 >= first).cloned().collect(),
        _ => {
            let rows = partition(core, key, bucket(first), first).await?;
            rows.into_iter().filter(|row| row.0 <= *head && row.1 == *head_epoch).collect()
        }
    };
    if extent.len() as u64 != head - first + 1 {
        return Err(damaged(format!("the append at seq {first} has {} rows of {}", extent.len(), head - first + 1)));
    }
    let from_first = |bucket: i64, from: Seq| {
        let mut values = dead(bucket);
        values.push(CqlValue::BigInt(number(from)));
        values
    };
    let stamp = core.lease.stamps().next()?;
    let mut writes = vec![(&statements.drop_events, from_first(bucket(first), first))];
    writes.extend(
        extent
            .into_iter()
            .map(|(seq, _, row)| (&statements.put_event, event_row(key, seq, epoch.0, first, *head, row.value, stamp))),
    );
    settle(core, &writes).await?;
    // What never got beyond its first node may lie where the next append will.
    let next = bucket(head + 1);
    if next != bucket(first) {
        settle(core, &[(&statements.drop_events, from_first(next, head + 1))]).await?;
    }
    metrics::adopted();
    Ok(())
}

/// Writes of one partition, until they are known to be in and the lease to be ours.
async fn settle(
    core: &Core,
    writes: &[(&scylla::statement::prepared::PreparedStatement, Vec<CqlValue>)],
) -> Result<(), StoreError> {
    const PAUSE: Duration = Duration::from_millis(50);
    let until = Instant::now() + TRYING;
    core.standing.writable()?;
    while let Err(error) = core.database.batch(writes).await {
        core.standing.open()?;
        if Instant::now() + PAUSE > until {
            return Err(StoreError::Unavailable(format!("a conversation could not be taken over yet: {error}")));
        }
        tokio::time::sleep(PAUSE).await;
    }
    core.standing.open()?;
    match core.standing.ours() {
        true => Ok(()),
        false => Err(StoreError::Unavailable("the lease ran out meanwhile".to_owned())),
    }
}

/// A stretch of events. Up to the last projected seq each seq has a row that counts, so that its highest epoch is right
/// without knowing what came before; beyond it, reading begins there.
pub(super) async fn events(
    core: &Core,
    key: ConversationKey,
    range: Range,
    limit: usize,
) -> Result<Vec<Arc<Event>>, StoreError> {
    let limit = page(limit);
    let projected: Option<(Option<i64>,)> =
        core.database.row(&core.database.statements.projected_seq, &ids(key)).await?;
    let known = projected.and_then(|(seq,)| seq).map_or(0, seq);
    let rows = match range {
        Range::After(after) if after <= known => {
            let start = after.saturating_sub(1);
            let rows = log(core, key, start, Epoch(0), Seq::MAX, limit.saturating_add(1)).await?;
            rows.into_iter().filter(|row| row.0 > after).collect()
        }
        Range::After(after) => {
            let rows = log(core, key, known.saturating_sub(1), Epoch(0), Seq::MAX, usize::MAX).await?;
            rows.into_iter().filter(|row| row.0 > after).collect()
        }
        Range::Before(before) => before_seq(core, key, before, known, limit).await?,
    };
    let skip = match range {
        Range::After(_) => 0,
        Range::Before(_) => rows.len().saturating_sub(limit),
    };
    rows.iter().skip(skip).take(limit).map(event).collect()
}

async fn before_seq(
    core: &Core,
    key: ConversationKey,
    before: Seq,
    known: Seq,
    limit: usize,
) -> Result<Vec<Lying>, StoreError> {
    let Some(mut last) = before.checked_sub(1) else { return Ok(Vec::new()) };
    let mut above = Vec::new();
    if last > known {
        above = log(core, key, known.saturating_sub(1), Epoch(0), last, usize::MAX).await?;
        above.retain(|row| row.0 > known);
        last = known;
    }
    let wanted = limit.saturating_sub(above.len()) as u64;
    if last == 0 || wanted == 0 {
        return Ok(above);
    }
    let mut rows = log(core, key, last.saturating_sub(wanted), Epoch(0), last, usize::MAX).await?;
    rows.append(&mut above);
    Ok(rows)
}

/// Every row: buckets up to where the log or its projection says, and on until none comes for as long as an append can
/// spill.
pub(super) async fn audit(core: &Core, key: ConversationKey) -> Result<Audit, StoreError> {
    let projected: Option<(Option<i64>,)> =
        core.database.row(&core.database.statements.projected_seq, &ids(key)).await?;
    let mut until = bucket(projected.and_then(|(seq,)| seq).map_or(1, seq)) + LOOK_BACK as i64;
    let mut rows: BTreeMap<(Seq, Epoch), Result<(), String>> = BTreeMap::new();
    let mut next = 0;
    while next <= until {
        let wave = next..=(next + WAVE - 1).min(until);
        let last = *wave.end();
        for found in try_join_all(wave.map(|bucket| partition(core, key, bucket, 0))).await? {
            for row in found {
                until = until.max((row.0 / BUCKET_SEQS) as i64 + 1 + LOOK_BACK as i64);
                let readable = event(&row).map(drop).map_err(|error| error.to_string());
                rows.insert((row.0, row.1), readable);
            }
        }
        next = last + 1;
    }
    let rows = rows.into_iter().map(|((seq, epoch), readable)| Ok::<_, Infallible>((seq, epoch, readable)));
    let Ok(audit) = reading::audit(rows, |_, _, readable| readable.clone());
    Ok(audit)
}

/// Conversations in the order of their first partitions' tokens, which the cursor names (8 bytes).
pub(super) async fn conversations(
    core: &Core,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<ConversationPage, StoreError> {
    let limit = page(limit);
    let mut token = match after {
        None => i64::MIN,
        Some(cursor) => match <[u8; 8]>::try_from(cursor) {
            Ok(cursor) => i64::from_be_bytes(cursor),
            Err(_) => return Ok(ConversationPage::default()),
        },
    };
    let statements = &core.database.statements;
    let mut page = ConversationPage::default();
    loop {
        let found: Vec<([u8; 16], [u8; 16], i64)> = core
            .database
            .rows::<(Vec<u8>, Vec<u8>, i64)>(&statements.buckets_after, &(token,), SCAN_PAGE)
            .await?
            .into_iter()
            .map(|(workspace, conversation, bucket)| {
                let id = |bytes: Vec<u8>| bytes.try_into().map_err(|_| damaged("an id of a conversation"));
                Ok((id(workspace)?, id(conversation)?, bucket))
            })
            .collect::<Result<_, StoreError>>()?;
        let more = found.len() == SCAN_PAGE;
        for (workspace, conversation, bucket) in found {
            if page.keys.len() == limit {
                page.next = Some(token.to_be_bytes().to_vec());
                return Ok(page);
            }
            let values = (0_i64, workspace, conversation, bucket);
            token = statements
                .drop_partition
                .calculate_token(&values)
                .ok()
                .flatten()
                .ok_or_else(|| damaged("a partition without a token"))?
                .value();
            // Every log begins in its first bucket.
            if bucket == 0 {
                page.keys.push(super::key(&workspace, &conversation)?);
            }
        }
        if !more {
            return Ok(page);
        }
    }
}
