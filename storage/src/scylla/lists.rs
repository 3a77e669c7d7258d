//! Where rows stand in lists, and how lists are paged.
//!
//! Open rows: 16 slices of a workspace, in the order of slice and id. Resolved rows, and those of a visitor: a partition
//! for each hour in which something was resolved or made, found by two levels of directory (years, and their hours), so
//! that no partition grows for ever and no empty hour is asked for. An hour of a workspace stays below 10,000 rows up to
//! 2.7 resolved a second. An entry holds its row, so that a page costs no look-up for each.

use std::collections::HashSet;

use bellhop_engine::domain::{ConversationKey, Millis, Row, Shard, Status};
use bellhop_engine::ports::{RowList, RowPage, StoreError};
use futures_util::future::try_join_all;
use parking_lot::Mutex;

use super::core::Core;
use super::{ids, page};
use crate::codec::decode_row;

/// Slices of a workspace's open rows: 150,000 open conversations stay below 10,000 a slice.
const SLICES: i32 = 16;

/// Slices, or hours, asked for at once.
const AT_ONCE: usize = 8;

/// Hours of a directory read at a time: a page of a busy list needs one or two.
const HOURS: usize = 64;

const HOUR_MS: i64 = 3_600_000;
/// A directory's partition: 366 days, so at most 8,784 hours.
const YEAR_MS: i64 = 366 * 24 * HOUR_MS;

/// Directory entries known to be there; beyond it they are forgotten and written again, which is harmless.
const KNOWN: usize = 65_536;

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Place {
    Open,
    Timed(Timed, i64),
}

/// A list whose order is a time, latest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Timed {
    Resolved,
    OfVisitor([u8; 16]),
}

impl Timed {
    fn columns(&self) -> (i8, [u8; 16]) {
        match self {
            Self::Resolved => (0, [0; 16]),
            Self::OfVisitor(visitor) => (1, *visitor),
        }
    }
}

/// The list whose columns these are; `None` for none that there is.
pub(super) fn timed_list(list: i8, visitor: &[u8]) -> Option<Timed> {
    let visitor = visitor.try_into().ok()?;
    [Timed::Resolved, Timed::OfVisitor(visitor)].into_iter().find(|it| it.columns() == (list, visitor))
}

/// The partition in which a time lies.
pub(super) fn hour_of(at: i64) -> i64 {
    at.div_euclid(HOUR_MS)
}

/// The places of a row.
pub(super) fn places(row: &Row) -> Vec<Place> {
    let by_status = match row.status {
        Status::Queued | Status::Assigned => Place::Open,
        // The engine gives every resolved row its time; one without would list as the oldest.
        Status::Resolved => Place::Timed(Timed::Resolved, row.resolved_at.unwrap_or(Millis(i64::MIN)).0),
    };
    vec![by_status, Place::Timed(Timed::OfVisitor(row.visitor.0.to_be_bytes()), row.created_at.0)]
}

impl Place {
    /// As stored beside a row.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Open => vec![1],
            Self::Timed(Timed::Resolved, at) => [&[2][..], &at.to_be_bytes()].concat(),
            Self::Timed(Timed::OfVisitor(visitor), at) => [&[3][..], visitor, &at.to_be_bytes()].concat(),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let at = |bytes: &[u8]| bytes.try_into().ok().map(i64::from_be_bytes);
        let place = match bytes.split_first() {
            Some((1, [])) => Some(Self::Open),
            Some((2, rest)) => at(rest).map(|at| Self::Timed(Timed::Resolved, at)),
            Some((3, rest)) => rest
                .split_first_chunk::<16>()
                .and_then(|(visitor, rest)| at(rest).map(|at| Self::Timed(Timed::OfVisitor(*visitor), at))),
            _ => None,
        };
        place.ok_or_else(|| StoreError::Damaged("a place in a list".to_owned()))
    }
}

/// What a list's directory is known to hold.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<HashSet<([u8; 16], Timed, i64)>>);

pub(super) fn slice(key: ConversationKey) -> i32 {
    i32::from(Shard::of(key.workspace, key.conversation).0) % SLICES
}

/// Makes a row stand at a place; repeating it is harmless.
pub(super) async fn put(
    core: &Core,
    directory: &Directory,
    key: ConversationKey,
    place: Place,
    row: &[u8],
    stamp: i64,
) -> Result<(), StoreError> {
    let (database, statements) = (&core.database, &core.database.statements);
    let (workspace, conversation) = ids(key);
    match place {
        Place::Open => {
            let values = (workspace, slice(key), conversation, row, stamp);
            database.write(&statements.put_open, &values).await
        }
        Place::Timed(timed, at) => {
            let (list, visitor) = timed.columns();
            let (hour, year) = (hour_of(at), at.div_euclid(YEAR_MS));
            // The way to it before it: an entry that no directory names would never be found.
            if !directory.0.lock().contains(&(workspace, timed, hour)) {
                let (year_row, hour_row) = ((workspace, list, visitor, year), (workspace, list, visitor, year, hour));
                tokio::try_join!(
                    database.write(&statements.put_year, &year_row),
                    database.write(&statements.put_hour, &hour_row)
                )?;
                let mut known = directory.0.lock();
                if known.len() >= KNOWN {
                    known.clear();
                }
                known.insert((workspace, timed, hour));
            }
            let values = (workspace, list, visitor, hour, at, conversation, row, stamp);
            database.write(&statements.put_listed, &values).await
        }
    }
}

/// Takes a row away from a place; fine if it does not stand there.
pub(super) async fn drop(core: &Core, key: ConversationKey, place: Place, stamp: i64) -> Result<(), StoreError> {
    let (database, statements) = (&core.database, &core.database.statements);
    let (workspace, conversation) = ids(key);
    match place {
        Place::Open => database.write(&statements.drop_open, &(stamp, workspace, slice(key), conversation)).await,
        Place::Timed(timed, at) => {
            let (list, visitor) = timed.columns();
            let values = (stamp, workspace, list, visitor, hour_of(at), at, conversation);
            database.write(&statements.drop_listed, &values).await
        }
    }
}

/// An entry: its place's time, its conversation, its row.
type Entry = (i64, Vec<u8>, Option<Vec<u8>>);

fn decoded(entry: &Entry) -> Result<Row, StoreError> {
    let row = entry.2.as_ref().ok_or_else(|| StoreError::Damaged("a list's entry without a row".to_owned()))?;
    decode_row(row)
}

pub(super) async fn rows(
    core: &Core,
    list: RowList,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<RowPage, StoreError> {
    let limit = page(limit);
    match list {
        RowList::Open(workspace) => open(core, workspace.0.to_be_bytes(), after, limit).await,
        RowList::Resolved(workspace) => timed(core, workspace.0.to_be_bytes(), Timed::Resolved, after, limit).await,
        RowList::OfVisitor(workspace, visitor) => {
            let list = Timed::OfVisitor(visitor.0.to_be_bytes());
            timed(core, workspace.0.to_be_bytes(), list, after, limit).await
        }
    }
}

/// The cursor: slice (1 byte), conversation (16).
async fn open(core: &Core, workspace: [u8; 16], after: Option<Vec<u8>>, limit: usize) -> Result<RowPage, StoreError> {
    let (first, mut from) = match after.as_deref() {
        None => (0, Vec::new()),
        Some([slice, conversation @ ..]) if i32::from(*slice) < SLICES && conversation.len() == 16 => {
            (i32::from(*slice), conversation.to_vec())
        }
        // A cursor of another list, or made up.
        Some(_) => return Ok(RowPage::default()),
    };
    let (mut page, mut last) = (RowPage::default(), Vec::new());
    let mut slices = (first..SLICES).peekable();
    while slices.peek().is_some() {
        let wave: Vec<i32> = slices.by_ref().take(AT_ONCE).collect();
        let reads = wave.iter().map(|slice| {
            // Only the first slice is gone on with; an empty blob lies below every id.
            let values = (workspace, *slice, std::mem::take(&mut from), limit as i32 + 1);
            async move {
                let rows: Vec<(Vec<u8>, Option<Vec<u8>>)> =
                    core.database.rows(&core.database.statements.open_after, &values, limit + 1).await?;
                Ok::<_, StoreError>((*slice, rows))
            }
        });
        let reads: Vec<_> = reads.collect();
        for (slice, rows) in try_join_all(reads).await? {
            for (conversation, row) in rows {
                if page.rows.len() == limit {
                    page.next = Some(last);
                    return Ok(page);
                }
                last = [&[slice as u8][..], &conversation].concat();
                page.rows.push(decoded(&(0, conversation, row))?);
            }
        }
    }
    Ok(page)
}

/// The cursor: time (8 bytes), conversation (16).
async fn timed(
    core: &Core,
    workspace: [u8; 16],
    list: Timed,
    after: Option<Vec<u8>>,
    limit: usize,
) -> Result<RowPage, StoreError> {
    let (database, statements) = (&core.database, &core.database.statements);
    let (kind, visitor) = list.columns();
    let most = limit + 1;
    let room = |found: &Vec<Entry>| (most - found.len()) as i32;
    let mut found: Vec<Entry> = Vec::new();
    let (mut upto, mut upto_year) = (i64::MAX, i64::MAX);
    if let Some(cursor) = after {
        let Some((at, conversation)) = cursor.split_first_chunk::<8>().filter(|(_, rest)| rest.len() == 16) else {
            return Ok(RowPage::default());
        };
        let at = i64::from_be_bytes(*at);
        let hour = hour_of(at);
        let values = (workspace, kind, visitor, hour, at, conversation, most as i32);
        found = database.rows(&statements.listed_at, &values, most).await?;
        if found.len() < most {
            let values = (workspace, kind, visitor, hour, at, room(&found));
            found.extend(database.rows::<Entry>(&statements.listed_before, &values, most).await?);
        }
        (upto, upto_year) = (hour - 1, at.div_euclid(YEAR_MS));
    }
    let years: Vec<(i64,)> = if found.len() < most {
        database.rows(&statements.years, &(workspace, kind, visitor, upto_year), usize::MAX).await?
    } else {
        Vec::new()
    };
    'years: for (year,) in years {
        let mut from = upto;
        loop {
            let hours: Vec<(i64,)> =
                database.rows(&statements.hours, &(workspace, kind, visitor, year, from), HOURS).await?;
            for wave in hours.chunks(AT_ONCE) {
                if found.len() >= most {
                    break 'years;
                }
                let values = wave.iter().map(|(hour,)| (workspace, kind, visitor, *hour, room(&found)));
                let values: Vec<_> = values.collect();
                let reads = values.iter().map(|values| database.rows::<Entry>(&statements.listed, values, most));
                found.extend(try_join_all(reads).await?.into_iter().flatten());
            }
            match hours.last() {
                Some((hour,)) if hours.len() == HOURS => from = hour - 1,
                _ => break,
            }
        }
    }
    let mut page = RowPage::default();
    if found.len() > limit {
        found.truncate(limit);
        page.next = found.last().map(|(at, conversation, _)| [&at.to_be_bytes()[..], conversation].concat());
    }
    page.rows = found.iter().map(decoded).collect::<Result<_, _>>()?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_says_again_what_it_was_made_of() {
        let places = [
            Place::Open,
            Place::Timed(Timed::Resolved, i64::MIN),
            Place::Timed(Timed::Resolved, 1_795_386_300_999),
            Place::Timed(Timed::OfVisitor([7; 16]), -1),
        ];
        for place in places {
            assert_eq!(Place::decode(&place.encode()), Ok(place));
        }
        for bytes in [&[][..], &[0], &[1, 1], &[2], &[3; 20], &[9; 9]] {
            assert!(Place::decode(bytes).is_err(), "{bytes:?}");
        }
    }
}
