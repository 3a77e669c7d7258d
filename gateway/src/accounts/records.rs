//! Typed access to the store's records.

use bellhop_engine::domain::{
    ApiKey, Link, LoginSession, Member, MemberId, Person, PersonId, TokenId, Workspace, WorkspaceId,
};
use bellhop_engine::ports::{Expect, Record, RecordKey, RecordList, Store, StoreError, Version, Written};

use super::Problem;

/// Records read at once: the store's largest page.
const PAGE: usize = 1_000;

/// Tries of a change whose record was changed by another meanwhile. Conflicts are rare (accounts change seldom, and
/// mostly under one lock); five in a row mean that something is wrong.
const TRIES: usize = 5;

/// A kind of record: its key, and the way in and out of the store's enum.
pub(super) trait Kind: Sized + Clone {
    fn into_record(self) -> (RecordKey, Record);
    fn from_record(record: Record) -> Option<Self>;
}

macro_rules! kinds {
    ($($kind:ident: $value:ident => $key:expr;)*) => {$(
        impl Kind for $kind {
            fn into_record(self) -> (RecordKey, Record) {
                let $value = &self;
                ($key, Record::$kind(self))
            }
            fn from_record(record: Record) -> Option<Self> {
                match record {
                    Record::$kind(value) => Some(value),
                    _ => None,
                }
            }
        }
    )*};
}

kinds! {
    Workspace: it => RecordKey::Workspace(it.id);
    Person: it => RecordKey::Person(it.id);
    Member: it => RecordKey::Member(it.workspace, it.id);
    Link: it => RecordKey::Link(it.id);
    LoginSession: it => RecordKey::LoginSession(it.id);
    ApiKey: it => RecordKey::ApiKey(it.id);
}

fn typed<K: Kind>(record: Record) -> Result<K, StoreError> {
    K::from_record(record).ok_or_else(|| StoreError::Damaged("a record of another kind lies under this key".into()))
}

async fn get<K: Kind>(store: &dyn Store, key: RecordKey) -> Result<Option<(K, Version)>, StoreError> {
    match store.record(key).await? {
        Some((record, version)) => Ok(Some((typed(record)?, version))),
        None => Ok(None),
    }
}

pub(super) async fn person(store: &dyn Store, id: PersonId) -> Result<Option<(Person, Version)>, StoreError> {
    get(store, RecordKey::Person(id)).await
}

/// A member who was not removed.
pub(super) async fn member(
    store: &dyn Store,
    workspace: WorkspaceId,
    id: MemberId,
) -> Result<Option<(Member, Version)>, StoreError> {
    let found: Option<(Member, Version)> = get(store, RecordKey::Member(workspace, id)).await?;
    Ok(found.filter(|(member, _)| member.removed_at.is_none()))
}

pub(super) async fn link(store: &dyn Store, id: TokenId) -> Result<Option<(Link, Version)>, StoreError> {
    get(store, RecordKey::Link(id)).await
}

pub(super) async fn login(store: &dyn Store, id: TokenId) -> Result<Option<(LoginSession, Version)>, StoreError> {
    get(store, RecordKey::LoginSession(id)).await
}

pub(super) async fn api_key(store: &dyn Store, id: TokenId) -> Result<Option<(ApiKey, Version)>, StoreError> {
    get(store, RecordKey::ApiKey(id)).await
}

/// The person who owns an e-mail address.
pub(super) async fn person_of(store: &dyn Store, email: &str) -> Result<Option<(Person, Version)>, StoreError> {
    match store.record(RecordKey::Email(email.to_owned())).await? {
        Some((Record::Email(id), _)) => person(store, id).await,
        Some(_) => Err(StoreError::Damaged("a record of another kind lies under an e-mail address".into())),
        None => Ok(None),
    }
}

/// Writes a record that is not there yet.
pub(super) async fn add<K: Kind>(store: &dyn Store, value: K) -> Result<(), Problem> {
    let (key, record) = value.into_record();
    match store.put_record(key, record, Expect::Absent).await? {
        Written::Done(_) => Ok(()),
        Written::Conflict => Err(Problem::Busy),
    }
}

/// Writes a record if it is still as it was read.
pub(super) async fn replace<K: Kind>(store: &dyn Store, value: K, version: Version) -> Result<Written, StoreError> {
    let (key, record) = value.into_record();
    store.put_record(key, record, Expect::Version(version)).await
}

/// Reads, changes and writes until nobody came between; `None` when the record is not there.
pub(super) async fn change<K: Kind>(
    store: &dyn Store,
    key: RecordKey,
    mut change: impl FnMut(&mut K) -> Result<(), Problem>,
) -> Result<Option<K>, Problem> {
    for _ in 0..TRIES {
        let Some((mut value, version)) = get::<K>(store, key.clone()).await? else { return Ok(None) };
        change(&mut value)?;
        match replace(store, value.clone(), version).await? {
            Written::Done(_) => return Ok(Some(value)),
            Written::Conflict => {}
        }
    }
    Err(Problem::Busy)
}

/// Every record of a list, in the order of their ids.
pub(super) async fn all<K: Kind>(store: &dyn Store, list: RecordList) -> Result<Vec<K>, StoreError> {
    let mut out = Vec::new();
    let mut after = None;
    loop {
        let page = store.records(list, after, PAGE).await?;
        let more = page.len() == PAGE;
        for (record, _) in page {
            after = Some(id_of(&record));
            out.push(typed(record)?);
        }
        if !more {
            return Ok(out);
        }
    }
}

/// The id that a list is ordered by.
fn id_of(record: &Record) -> u128 {
    match record {
        Record::Workspace(it) => it.id.0,
        Record::Person(it) => it.id.0,
        Record::Email(it) => it.0,
        Record::Member(it) => it.id.0,
        Record::Link(it) => it.id.0,
        Record::LoginSession(it) => it.id.0,
        Record::ApiKey(it) => it.id.0,
    }
}
