//! What the log says, made fit for lists; and the marks of what is not written there yet.
//!
//! A row's place in a list may change, and a crash may come between any two writes. So the row keeps the places where it
//! may stand: first the old and the new ones are written there, then it is put where it belongs, then taken away from
//! where it stood, and with the row itself only the new ones remain. Whatever stops on the way, the next projection
//! knows every place. Order within an epoch comes from reading first, one writer a conversation; between epochs from
//! the timestamps (`stamps.rs`): a straggler of a dead owner changes nothing.

use bellhop_engine::domain::{ConversationKey, ConversationState, MemberId, Row, Seq, Shard, VisitorId};
use bellhop_engine::ports::{Projection, Reader, StoreError};
use futures_util::future::try_join_all;
use tokio::sync::Mutex;

use super::buckets::number;
use super::core::Core;
use super::ids;
use super::lists::{self, Directory, Place};
use crate::codec::{decode_read, decode_row, encode_read, encode_row, encode_state};

/// Conversations whose projections go one after the other share one of so many turns: at 5 ms each, 200,000 a second.
const TURNS: usize = 1_024;

/// Shards asked for their marks at once: 4,096 take about half a second.
const SHARDS_AT_ONCE: usize = 64;

const BY_VISITOR: i8 = 0;
const BY_AGENT: i8 = 1;

/// The writers of projections.
pub(super) struct Projections {
    turns: Vec<Mutex<()>>,
    directory: Directory,
}

impl Projections {
    pub(super) fn new() -> Self {
        Self { turns: (0..TURNS).map(|_| Mutex::new(())).collect(), directory: Directory::default() }
    }

    pub(super) async fn write(&self, core: &Core, projection: Projection) -> Result<(), StoreError> {
        let Projection { row, state, reads, clear_dirty } = projection;
        let (key, database, statements) = (row.key, &core.database, &core.database.statements);
        let shard = Shard::of(key.workspace, key.conversation).0;
        let _turn = self.turns[usize::from(shard) % TURNS].lock().await;
        core.standing.writable()?;
        // Marks only move forward, so an old projection's are as good as a new one's.
        let marks = reads.into_iter().map(|(reader, seq)| put_mark(core, key, reader, seq));
        try_join_all(marks).await?;
        type Columns = (Option<i64>, Option<i64>, Option<Vec<Vec<u8>>>);
        let stored: Option<Columns> = database.row(&statements.projection, &ids(key)).await?;
        let (stored_epoch, stored_seq, places) = stored.unwrap_or_default();
        let ours = (number(row.epoch.0), number(row.seq));
        if let (Some(epoch), Some(seq)) = (stored_epoch, stored_seq)
            && ours < (epoch, seq)
        {
            return Ok(());
        }
        let old = places.unwrap_or_default().iter().map(|place| Place::decode(place)).collect::<Result<Vec<_>, _>>()?;
        self.put(core, &row, &state, &old, clear_dirty).await
    }

    /// Whatever lies there, it is this afterwards (`Store::restore`). Places that cannot be read are left to `prune`.
    pub(super) async fn restore(&self, core: &Core, projection: Projection) -> Result<(), StoreError> {
        let Projection { row, state, reads, clear_dirty } = projection;
        let (database, statements) = (&core.database, &core.database.statements);
        let shard = Shard::of(row.key.workspace, row.key.conversation).0;
        let _turn = self.turns[usize::from(shard) % TURNS].lock().await;
        core.standing.writable()?;
        restore_marks(core, row.key, &reads, state.seq).await?;
        type Columns = (Option<i64>, Option<i64>, Option<Vec<Vec<u8>>>);
        let stored: Option<Columns> = database.row(&statements.projection, &ids(row.key)).await?;
        let places = stored.and_then(|(_, _, places)| places).unwrap_or_default();
        let old: Vec<Place> = places.iter().filter_map(|place| Place::decode(place).ok()).collect();
        self.put(core, &row, &state, &old, clear_dirty).await
    }

    /// Moves the row from the places where it may stand to those where it belongs.
    async fn put(
        &self,
        core: &Core,
        row: &Row,
        state: &ConversationState,
        old: &[Place],
        clear_dirty: bool,
    ) -> Result<(), StoreError> {
        let (key, database, statements) = (row.key, &core.database, &core.database.statements);
        let (workspace, conversation) = ids(key);
        let new = lists::places(row);
        let encoded = |places: &[Place]| places.iter().map(Place::encode).collect::<Vec<_>>();
        let gone: Vec<Place> = old.iter().filter(|place| !new.contains(place)).copied().collect();
        if new.iter().any(|place| !old.contains(place)) {
            let all = [new.as_slice(), &gone].concat();
            let stamp = core.lease.stamps().next()?;
            let values = (workspace, conversation, encoded(&all), stamp);
            database.write(&statements.put_places, &values).await?;
        }
        let bytes = encode_row(row);
        let stamp = core.lease.stamps().next()?;
        // An owner that has lost its lease must not put what its successor cannot know of.
        core.standing.writable()?;
        try_join_all(new.iter().map(|place| lists::put(core, &self.directory, key, *place, &bytes, stamp))).await?;
        try_join_all(gone.iter().map(|place| lists::drop(core, key, *place, stamp))).await?;
        let stamp = core.lease.stamps().next()?;
        let (epoch, seq) = (number(row.epoch.0), number(row.seq));
        let values = (workspace, conversation, epoch, seq, bytes, encode_state(state), encoded(&new), stamp);
        database.write(&statements.put_projection, &values).await?;
        if clear_dirty {
            let shard = i32::from(Shard::of(key.workspace, key.conversation).0);
            let values = (core.lease.stamps().next()?, shard, workspace, conversation);
            database.write(&statements.drop_dirty, &values).await?;
        }
        Ok(())
    }
}

/// The columns that name a reader.
fn reader_columns(reader: Reader) -> (i8, [u8; 16]) {
    match reader {
        Reader::Visitor(visitor) => (BY_VISITOR, visitor.0.to_be_bytes()),
        Reader::Agent(member) => (BY_AGENT, member.0.to_be_bytes()),
    }
}

/// The write's timestamp is the mark: of two, the higher one stays, whichever comes last.
async fn put_mark(core: &Core, key: ConversationKey, reader: Reader, seq: Seq) -> Result<(), StoreError> {
    put_dated_mark(core, key, reader, seq, number(seq)).await
}

async fn put_dated_mark(
    core: &Core,
    key: ConversationKey,
    reader: Reader,
    seq: Seq,
    stamp: i64,
) -> Result<(), StoreError> {
    let (workspace, conversation) = ids(key);
    let (side, reader) = reader_columns(reader);
    let values = (workspace, conversation, side, reader, encode_read(seq), stamp);
    core.database.write(&core.database.statements.put_read_mark, &values).await
}

/// Makes `reads` all the marks that there are. A wrong one is deleted at its own timestamp, not above it: what people
/// read from now on has low timestamps too. One that must become lower than its timestamp stands just above that, and
/// moves again once its reader has read further: the price of marks that nobody has to read before writing.
async fn restore_marks(
    core: &Core,
    key: ConversationKey,
    reads: &[(Reader, Seq)],
    head: Seq,
) -> Result<(), StoreError> {
    let (database, statements) = (&core.database, &core.database.statements);
    let (workspace, conversation) = ids(key);
    type Columns = (i8, Vec<u8>, Option<Vec<u8>>, Option<i64>);
    let stored: Vec<Columns> = database.rows(&statements.dated_read_marks, &ids(key), usize::MAX).await?;
    let mut left: Vec<(Reader, Seq)> = reads.to_vec();
    for (side, reader, value, stamp) in stored {
        let stamp = stamp.unwrap_or_else(|| number(head));
        let wanted = left.iter().position(|(it, _)| {
            let (its_side, its_reader) = reader_columns(*it);
            (its_side, its_reader.as_slice()) == (side, reader.as_slice())
        });
        let wanted = wanted.map(|index| left.swap_remove(index));
        let found = value.and_then(|value| decode_read(&value).ok());
        if wanted.is_some_and(|(_, seq)| found == Some(seq)) {
            continue;
        }
        database.write(&statements.drop_read_mark, &(stamp, workspace, conversation, side, reader)).await?;
        if let Some((reader, seq)) = wanted {
            put_dated_mark(core, key, reader, seq, number(seq).max(stamp.saturating_add(1))).await?;
        }
    }
    try_join_all(left.into_iter().map(|(reader, seq)| put_mark(core, key, reader, seq))).await?;
    Ok(())
}

pub(super) async fn read_marks(core: &Core, key: ConversationKey) -> Result<Vec<(Reader, Seq)>, StoreError> {
    let rows: Vec<(i8, Vec<u8>, Option<Vec<u8>>)> =
        core.database.rows(&core.database.statements.read_marks, &ids(key), usize::MAX).await?;
    let mark = |(side, reader, value): (i8, Vec<u8>, Option<Vec<u8>>)| {
        let damaged = || StoreError::Damaged("a read mark".to_owned());
        let id = u128::from_be_bytes(reader.try_into().map_err(|_| damaged())?);
        let reader = match side {
            BY_VISITOR => Reader::Visitor(VisitorId(id)),
            BY_AGENT => Reader::Agent(MemberId(id)),
            _ => return Err(damaged()),
        };
        Ok((reader, decode_read(&value.ok_or_else(damaged)?)?))
    };
    rows.into_iter().map(mark).collect()
}

pub(super) async fn row(core: &Core, key: ConversationKey) -> Result<Option<Row>, StoreError> {
    let row: Option<(Option<Vec<u8>>,)> = core.database.row(&core.database.statements.projected_row, &ids(key)).await?;
    row.and_then(|(row,)| row).map(|bytes| decode_row(&bytes)).transpose()
}

pub(super) async fn dirty(core: &Core) -> Result<Vec<(Shard, ConversationKey)>, StoreError> {
    let shards: Vec<i32> = (0..i32::from(bellhop_engine::domain::SHARDS)).collect();
    let mut marks = Vec::new();
    for wave in shards.chunks(SHARDS_AT_ONCE) {
        let reads = wave.iter().map(|shard| async move {
            let rows: Vec<(Vec<u8>, Vec<u8>)> =
                core.database.rows(&core.database.statements.dirty, &(*shard,), usize::MAX).await?;
            Ok::<_, StoreError>((*shard, rows))
        });
        for (shard, rows) in try_join_all(reads).await? {
            for (workspace, conversation) in rows {
                marks.push((Shard(shard as u16), super::key(&workspace, &conversation)?));
            }
        }
    }
    Ok(marks)
}
