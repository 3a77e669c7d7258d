//! Taking away what lists and rows say and nothing bears out, for `bellhop store rebuild`.
//!
//! Partitions are scattered over the ring, whatever workspace they belong to: to find those of one, all have to be looked
//! at. So one sweep over the whole keyspace prunes every workspace, and each is told its own number when it asks.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use bellhop_engine::domain::{ConversationKey, WorkspaceId};
use bellhop_engine::ports::StoreError;
use futures_util::{StreamExt as _, TryStreamExt as _};
use scylla::deserialize::row::DeserializeRow;
use scylla::serialize::row::SerializeRow;
use scylla::statement::prepared::PreparedStatement;
use tokio::sync::Mutex;

use super::core::Core;
use super::lists::{Place, hour_of, places, slice, timed_list};
use super::projections;

/// Partitions, and entries of one partition, looked at at once: 256 reads on their way, which one node answers in about
/// 0.1 s.
const AT_ONCE: usize = 16;

/// Partitions asked for in one request.
const SCAN_PAGE: usize = 1_000;

/// What the last sweep took away, of workspaces that have not asked yet.
#[derive(Debug, Default)]
pub(super) struct Pruning(Mutex<Swept>);

#[derive(Debug, Default)]
struct Swept {
    /// By workspace, as its column.
    gone: HashMap<Vec<u8>, u64>,
    /// Those that have asked since; `None` before the first sweep and after a restored row, which calls for a new one.
    told: Option<HashSet<WorkspaceId>>,
}

impl Pruning {
    /// A row was restored: what the last sweep saw is no longer all.
    pub(super) async fn restored(&self) {
        self.0.lock().await.told = None;
    }

    /// How many entries and rows of a workspace went.
    pub(super) async fn prune(&self, core: &Core, workspace: WorkspaceId) -> Result<u64, StoreError> {
        let mut swept = self.0.lock().await;
        if swept.told.as_ref().is_none_or(|told| told.contains(&workspace)) {
            // Cut short, it is begun again by the next one who asks.
            swept.told = None;
            let gone = sweep(core).await?;
            *swept = Swept { gone, told: Some(HashSet::new()) };
        }
        swept.told.get_or_insert_default().insert(workspace);
        Ok(swept.gone.remove(workspace.0.to_be_bytes().as_slice()).unwrap_or_default())
    }
}

/// How many went, by workspace.
async fn sweep(core: &Core) -> Result<HashMap<Vec<u8>, u64>, StoreError> {
    let statements = &core.database.statements;
    let mut gone: HashMap<Vec<u8>, u64> = HashMap::new();
    let mut count = |workspace: Vec<u8>, strays: u64| *gone.entry(workspace).or_default() += strays;
    // Rows first: entries of those that go bear out nothing either.
    type Row = (Vec<u8>, Vec<u8>);
    let token = |(workspace, conversation): &Row| token(&statements.projected_row, &(workspace, conversation));
    each(core, &statements.projections_after, token, |row| stray_row(core, row), &mut count).await?;
    type Slice = (Vec<u8>, i32);
    let token = |(workspace, slice): &Slice| self::token(&statements.open_entries, &(workspace, slice));
    each(core, &statements.opens_after, token, |slice| strays_of_open(core, slice), &mut count).await?;
    let token = |(workspace, list, visitor, hour): &Hour| {
        self::token(&statements.listed_entries, &(workspace, list, visitor, hour))
    };
    each(core, &statements.listeds_after, token, |hour| strays_of_hour(core, hour), &mut count).await?;
    Ok(gone)
}

/// Goes over every partition of a table; `look` says of which workspace it is and how many of it went.
async fn each<P, L>(
    core: &Core,
    after: &PreparedStatement,
    token: impl Fn(&P) -> Result<i64, StoreError>,
    look: impl Fn(P) -> L,
    count: &mut impl FnMut(Vec<u8>, u64),
) -> Result<(), StoreError>
where
    P: for<'frame, 'metadata> DeserializeRow<'frame, 'metadata>,
    L: Future<Output = Result<(Vec<u8>, u64), StoreError>>,
{
    let mut from = i64::MIN;
    loop {
        core.standing.writable()?;
        let found: Vec<P> = core.database.rows(after, &(from,), SCAN_PAGE).await?;
        let more = found.len() == SCAN_PAGE;
        if let Some(last) = found.last() {
            from = token(last)?;
        }
        let mut looked = futures_util::stream::iter(found.into_iter().map(&look)).buffer_unordered(AT_ONCE);
        while let Some((workspace, strays)) = looked.try_next().await? {
            if strays > 0 {
                count(workspace, strays);
            }
        }
        if !more {
            return Ok(());
        }
    }
}

fn token(statement: &PreparedStatement, partition: &impl SerializeRow) -> Result<i64, StoreError> {
    let token = statement.calculate_token(partition).ok().flatten();
    token.map(|token| token.value()).ok_or_else(|| StoreError::Damaged("a partition without a token".to_owned()))
}

/// A row whose conversation has no event.
async fn stray_row(core: &Core, (workspace, conversation): (Vec<u8>, Vec<u8>)) -> Result<(Vec<u8>, u64), StoreError> {
    let statements = &core.database.statements;
    let first: Option<(i64,)> = core.database.row(&statements.first_event, &(&workspace, &conversation)).await?;
    if first.is_some() {
        return Ok((workspace, 0));
    }
    let values = (core.lease.stamps().next()?, &workspace, &conversation);
    core.database.write(&statements.drop_projection, &values).await?;
    Ok((workspace, 1))
}

/// Whether a conversation's row says that it stands there. A row that cannot be read was not restored, because its log
/// is broken: it bears out nothing.
async fn borne_out(
    core: &Core,
    workspace: &[u8],
    conversation: &[u8],
    stands: impl Fn(ConversationKey, &[Place]) -> bool,
) -> Result<bool, StoreError> {
    let Ok(key) = super::key(workspace, conversation) else { return Ok(false) };
    match projections::row(core, key).await {
        Ok(row) => Ok(row.is_some_and(|row| stands(key, &places(&row)))),
        Err(StoreError::Damaged(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn strays_of_open(core: &Core, (workspace, at): (Vec<u8>, i32)) -> Result<(Vec<u8>, u64), StoreError> {
    let (database, statements) = (&core.database, &core.database.statements);
    let entries: Vec<(Vec<u8>,)> = database.rows(&statements.open_entries, &(&workspace, at), usize::MAX).await?;
    let looked = entries.into_iter().map(|(conversation,)| {
        let workspace = &workspace;
        async move {
            let stands = |key, places: &[Place]| slice(key) == at && places.contains(&Place::Open);
            if borne_out(core, workspace, &conversation, stands).await? {
                return Ok(0);
            }
            let values = (core.lease.stamps().next()?, workspace, at, conversation);
            database.write(&statements.drop_open, &values).await.map(|()| 1)
        }
    });
    let strays = sum(looked).await?;
    Ok((workspace, strays))
}

/// A partition of `listed`: workspace, list, visitor, hour.
type Hour = (Vec<u8>, i8, Vec<u8>, i64);

async fn strays_of_hour(core: &Core, partition: Hour) -> Result<(Vec<u8>, u64), StoreError> {
    let (database, statements) = (&core.database, &core.database.statements);
    let (workspace, list, visitor, hour) = partition;
    let entries: Vec<(i64, Vec<u8>)> =
        database.rows(&statements.listed_entries, &(&workspace, list, &visitor, hour), usize::MAX).await?;
    let place = timed_list(list, &visitor);
    let looked = entries.into_iter().map(|(at, conversation)| {
        let (workspace, visitor) = (&workspace, &visitor);
        async move {
            let stands = |_, places: &[Place]| {
                hour_of(at) == hour && place.is_some_and(|place| places.contains(&Place::Timed(place, at)))
            };
            if borne_out(core, workspace, &conversation, stands).await? {
                return Ok(0);
            }
            let values = (core.lease.stamps().next()?, workspace, list, visitor, hour, at, conversation);
            database.write(&statements.drop_listed, &values).await.map(|()| 1)
        }
    });
    let strays = sum(looked).await?;
    Ok((workspace, strays))
}

async fn sum<L>(looked: impl Iterator<Item = L>) -> Result<u64, StoreError>
where
    L: Future<Output = Result<u64, StoreError>>,
{
    let looked = futures_util::stream::iter(looked).buffer_unordered(AT_ONCE);
    looked.try_fold(0, |sum, strays| std::future::ready(Ok(sum + strays))).await
}
