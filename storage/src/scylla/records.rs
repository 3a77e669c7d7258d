//! Records: one row each, changed by LWT only, so that of many writers of one version one wins.
//!
//! Each write carries 16 random bytes of its own. One that got no answer is read back at SERIAL: if the row carries the
//! bytes it was done; if its expectation still holds it is tried again; else another one won. The lists hold ids only,
//! in slices by the ids' highest bits, so that their order is the order of ids and no LWT waits for another record's.

use std::time::{Duration, Instant};

use bellhop_engine::ports::{Expect, Record, RecordKey, RecordList, StoreError, Version, Written};
use futures_util::future::try_join_all;

use super::buckets::number;
use super::core::Core;
use super::database::TRYING;
use super::page;
use crate::codec::{decode_record, encode_record};

/// Longest key of a record, bytes: an e-mail address is at most 254 (RFC 5321); Cassandra takes up to 64 KiB.
pub(super) const MAX_KEY_BYTES: usize = 1_024;

/// Highest bits that name a slice of members: 16 slices, 160,000 members below 10,000 each.
const MEMBER_BITS: u32 = 4;
/// The same of whatever there is one list of: 64 slices, 640,000 log-in sessions below 10,000 each.
const OTHER_BITS: u32 = 6;

/// Slices, or records, read at once.
const AT_ONCE: usize = 16;

/// Between two tries of a contended write; it grows by as much each time.
const PAUSE: Duration = Duration::from_millis(20);

const WORKSPACE: i8 = 1;
const PERSON: i8 = 2;
const EMAIL: i8 = 3;
const LINK: i8 = 4;
const LOGIN_SESSION: i8 = 5;
const API_KEY: i8 = 6;
const MEMBER: i8 = 7;

/// Where a record lies, and in which list.
struct Place {
    kind: i8,
    id: Vec<u8>,
    listed: Option<Listed>,
}

struct Listed {
    workspace: [u8; 16],
    slice: i32,
    id: [u8; 16],
}

fn slice(id: u128, bits: u32) -> i32 {
    (id >> (128 - bits)) as i32
}

fn place(key: &RecordKey) -> Place {
    let directory = |kind: i8, id: u128, listed: bool| {
        let bytes = id.to_be_bytes();
        let listed = listed.then(|| Listed { workspace: [0; 16], slice: slice(id, OTHER_BITS), id: bytes });
        Place { kind, id: bytes.to_vec(), listed }
    };
    match key {
        RecordKey::Workspace(workspace) => directory(WORKSPACE, workspace.0, true),
        RecordKey::Person(person) => directory(PERSON, person.0, false),
        RecordKey::Email(email) => Place { kind: EMAIL, id: email.as_bytes().to_vec(), listed: None },
        RecordKey::Link(token) => directory(LINK, token.0, true),
        RecordKey::LoginSession(token) => directory(LOGIN_SESSION, token.0, true),
        RecordKey::ApiKey(token) => directory(API_KEY, token.0, true),
        RecordKey::Member(workspace, member) => {
            let (workspace, id) = (workspace.0.to_be_bytes(), member.0.to_be_bytes());
            let listed = Some(Listed { workspace, slice: slice(member.0, MEMBER_BITS), id });
            Place { kind: MEMBER, id: [workspace, id].concat(), listed }
        }
    }
}

async fn read(core: &Core, kind: i8, id: &[u8]) -> Result<Option<(Record, Version)>, StoreError> {
    let value: Option<(Option<Vec<u8>>,)> = core.database.row(&core.database.statements.record, &(kind, id)).await?;
    value.and_then(|(value,)| value).map(|bytes| decode_record(&bytes)).transpose()
}

pub(super) async fn record(core: &Core, key: &RecordKey) -> Result<Option<(Record, Version)>, StoreError> {
    let place = place(key);
    if place.id.is_empty() || place.id.len() > MAX_KEY_BYTES {
        return Ok(None);
    }
    read(core, place.kind, &place.id).await
}

pub(super) async fn put(core: &Core, key: &RecordKey, record: &Record, expect: Expect) -> Result<Written, StoreError> {
    core.standing.writable()?;
    let place = place(key);
    if place.id.is_empty() || place.id.len() > MAX_KEY_BYTES {
        return Err(StoreError::Unavailable(format!("a record's key is empty or has more than {MAX_KEY_BYTES} bytes")));
    }
    let (database, statements) = (&core.database, &core.database.statements);
    let mut write = [0; 16];
    getrandom::fill(&mut write).map_err(|error| StoreError::Unavailable(format!("no random bytes: {error}")))?;
    let version = match expect {
        Expect::Absent => 1,
        Expect::Version(version) => version.saturating_add(1),
    };
    let value = encode_record(record, version);
    // Its place in the list before it: one that names nothing is skipped by readers.
    if let (Expect::Absent, Some(listed)) = (expect, &place.listed) {
        let stamp = core.lease.stamps().next()?;
        let values = (place.kind, listed.workspace, listed.slice, listed.id, stamp);
        database
            .write(&statements.put_record_id, &values)
            .await
            .map_err(|error| StoreError::Unavailable(format!("a record's place was not written: {error}")))?;
    }
    let until = Instant::now() + TRYING;
    let (mut pause, mut tried) = (PAUSE, false);
    loop {
        let answer = match expect {
            Expect::Absent => {
                let values = (place.kind, &place.id, number(version), &write, &value);
                database.applied(&statements.make_record, &values).await
            }
            Expect::Version(expected) => {
                let values = (number(version), &write, &value, place.kind, &place.id, number(expected));
                database.applied(&statements.change_record, &values).await
            }
        };
        let error = match answer {
            Ok(true) => return Ok(Written::Done(version)),
            Ok(false) if !tried => return Ok(Written::Conflict),
            // An earlier try, unanswered, may be what stands there.
            Ok(false) => StoreError::Unknown("a condition did not hold after an unanswered try".to_owned()),
            Err(error) => error,
        };
        let unknown = |why: StoreError| StoreError::Unknown(format!("{error}; reading it back: {why}"));
        let now: Option<(Option<i64>, Option<Vec<u8>>)> =
            database.row(&statements.record_now, &(place.kind, &place.id)).await.map_err(unknown)?;
        let (stored, by) = now.unwrap_or_default();
        if by.as_deref() == Some(&write) {
            return Ok(Written::Done(version));
        }
        let holds = match expect {
            Expect::Absent => stored.is_none(),
            Expect::Version(expected) => stored == Some(number(expected)),
        };
        if !holds {
            return Ok(Written::Conflict);
        }
        if Instant::now() > until || core.standing.open().is_err() {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        (pause, tried) = (pause + PAUSE, true);
    }
}

pub(super) async fn delete(core: &Core, key: &RecordKey) -> Result<(), StoreError> {
    core.standing.writable()?;
    let place = place(key);
    // None such can have been written.
    if place.id.is_empty() || place.id.len() > MAX_KEY_BYTES {
        return Ok(());
    }
    let (database, statements) = (&core.database, &core.database.statements);
    database.write(&statements.drop_record, &(place.kind, &place.id)).await?;
    if let Some(listed) = &place.listed {
        let stamp = core.lease.stamps().next()?;
        let values = (stamp, place.kind, listed.workspace, listed.slice, listed.id);
        database.write(&statements.drop_record_id, &values).await?;
    }
    Ok(())
}

pub(super) async fn records(
    core: &Core,
    list: RecordList,
    after: Option<u128>,
    limit: usize,
) -> Result<Vec<(Record, Version)>, StoreError> {
    let limit = page(limit);
    let (kind, workspace, bits) = match list {
        RecordList::Workspaces => (WORKSPACE, [0; 16], OTHER_BITS),
        RecordList::Members(workspace) => (MEMBER, workspace.0.to_be_bytes(), MEMBER_BITS),
        RecordList::Links => (LINK, [0; 16], OTHER_BITS),
        RecordList::ApiKeys => (API_KEY, [0; 16], OTHER_BITS),
        RecordList::LoginSessions => (LOGIN_SESSION, [0; 16], OTHER_BITS),
    };
    let mut found = Vec::new();
    let from = after.map_or(Vec::new(), |after| after.to_be_bytes().to_vec());
    let mut slices = (after.map_or(0, |after| slice(after, bits))..1 << bits).peekable();
    while slices.peek().is_some() && found.len() < limit {
        let wave: Vec<i32> = slices.by_ref().take(AT_ONCE).collect();
        let reads = wave.iter().map(|slice| ids_of(core, kind, workspace, *slice, from.clone(), limit));
        for (slice, mut ids) in wave.iter().zip(try_join_all(reads).await?) {
            loop {
                for ids in ids.chunks(AT_ONCE) {
                    if found.len() >= limit {
                        break;
                    }
                    let reads = ids.iter().map(|id| async move {
                        match kind {
                            MEMBER => read(core, kind, &[&workspace[..], id].concat()).await,
                            _ => read(core, kind, id).await,
                        }
                    });
                    found.extend(try_join_all(reads).await?.into_iter().flatten());
                }
                // Places whose records are gone have cut the page short: the slice may hold more.
                match ids.pop() {
                    Some(last) if ids.len() + 1 == limit && found.len() < limit => {
                        ids = ids_of(core, kind, workspace, *slice, last, limit).await?;
                    }
                    _ => break,
                }
            }
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// At most `limit` ids of a slice above `after`; an empty one lies below all.
async fn ids_of(
    core: &Core,
    kind: i8,
    workspace: [u8; 16],
    slice: i32,
    after: Vec<u8>,
    limit: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let values = (kind, workspace, slice, after, limit as i32);
    let ids: Vec<(Vec<u8>,)> = core.database.rows(&core.database.statements.record_ids, &values, limit).await?;
    Ok(ids.into_iter().map(|(id,)| id).collect())
}
