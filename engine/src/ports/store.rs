//! The journal, the projections and the records: all that the engine asks of a store.
//!
//! The trait is what an embedded key-value store and a wide-column store (ScyllaDB) can both keep: nothing is atomic
//! across conversations or records, a write may end with its outcome unknown, and every write may be repeated with
//! the same content without harm.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::domain::{
    ApiKey, ConversationKey, ConversationState, Epoch, Event, Link, LoginSession, Member, MemberId, Person, PersonId,
    Row, Seq, Shard, TokenId, VisitorId, Workspace, WorkspaceId,
};

/// A boxed future of a store's answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Certainly nothing was written.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// It may or may not have been written; the same write may be repeated.
    #[error("the outcome of a write is unknown: {0}")]
    Unknown(String),
    /// A newer epoch owns this store or shard: this process must stop serving it.
    #[error("another server owns this store now")]
    Fenced,
    /// Stored bytes are not what was written. Never guessed around.
    #[error("stored data is damaged: {0}")]
    Damaged(String),
}

/// Events of one append at most. One is made of what gathered while the last was on its way: even at 20 ms each, 128 are
/// 6,400 events a second in one conversation.
pub const APPEND_EVENTS: usize = 128;

/// Bytes of text in one append at most, but for a first command's that are longer alone. Three quarters of what a
/// database takes as one batch without complaint (1 MiB), the rest is for envelopes.
pub const APPEND_TEXT_BYTES: usize = 768 * 1024;

/// New events of one conversation, numbered and complete. All of them become durable or none does: a command's events
/// are never seen in part.
#[derive(Debug, Clone)]
pub struct Append {
    pub key: ConversationKey,
    /// Gapless, ascending, all of the caller's epoch; at least one, at most [`APPEND_EVENTS`] with
    /// [`APPEND_TEXT_BYTES`].
    pub events: Vec<Arc<Event>>,
    /// Set on the first append after waking: the store makes the `dirty (shard, conversation)` mark durable before or
    /// together with these events.
    pub mark_dirty: bool,
}

/// Called exactly once, from any thread, when the outcome of an append is known. It must not block.
pub type Appended = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// A conversation as loaded: fold `tail` onto `state`.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The latest snapshot, if one was written.
    pub state: Option<ConversationState>,
    /// Every durable event after the snapshot (all of them without one), gapless, ascending.
    pub tail: Vec<Arc<Event>>,
    /// How far each reader had read.
    pub reads: Vec<(Reader, Seq)>,
}

/// Whose read mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub enum Reader {
    Visitor(VisitorId),
    Agent(MemberId),
}

/// What a conversation's log says, made fit for lists. Written lazily, never synced on its own.
#[derive(Debug, Clone)]
pub struct Projection {
    pub row: Row,
    pub state: ConversationState,
    /// Marks that moved since the last write.
    pub reads: Vec<(Reader, Seq)>,
    /// Takes the `dirty` mark away together with the write; set when the conversation goes to sleep.
    pub clear_dirty: bool,
}

/// A stretch of a conversation's events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Events with a seq above it, ascending from there.
    After(Seq),
    /// Events with a seq below it: the highest ones, returned ascending.
    Before(Seq),
}

/// Which rows. Each is one ordered index of the store; the cursor is the last row's place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowList {
    /// Not resolved, any order: what the engine reads at the start.
    Open(WorkspaceId),
    /// Resolved, last resolved first.
    Resolved(WorkspaceId),
    /// Of one visitor, last made first.
    OfVisitor(WorkspaceId, VisitorId),
}

/// Rows and where to go on; `next` is absent at the end. Rows added meanwhile never make a page skip or repeat one
/// that was there before.
#[derive(Debug, Clone, Default)]
pub struct RowPage {
    pub rows: Vec<Row>,
    /// Opaque, at most 96 bytes.
    pub next: Option<Vec<u8>>,
}

/// Conversations and where to go on; `next` is absent at the end.
#[derive(Debug, Clone, Default)]
pub struct ConversationPage {
    pub keys: Vec<ConversationKey>,
    /// Opaque, at most 96 bytes.
    pub next: Option<Vec<u8>>,
}

/// What a look at every stored row of one conversation found. The reading rule hides what it skips; this shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// The last seq that readers see; 0 for none.
    pub head: Seq,
    /// Rows that the rule skips because a later owner wrote at or before their seq: harmless, and known to be.
    pub leftovers: u64,
    /// The first row above a hole that no later owner explains. Such a row was acknowledged only if one before it was
    /// lost.
    pub beyond_hole: Option<Seq>,
    /// Rows that count and cannot be read, with the reason; at most 10.
    pub unreadable: Vec<(Seq, String)>,
}

/// Names one record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RecordKey {
    Workspace(WorkspaceId),
    Person(PersonId),
    /// Uniqueness of an e-mail address: holds the person's id.
    Email(String),
    Member(WorkspaceId, MemberId),
    Link(TokenId),
    LoginSession(TokenId),
    ApiKey(TokenId),
}

/// A record's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Workspace(Workspace),
    Person(Person),
    Email(PersonId),
    Member(Member),
    Link(Link),
    LoginSession(LoginSession),
    ApiKey(ApiKey),
}

/// A record's version: 1 when made, one more with each change.
pub type Version = u64;

/// What must hold for a record write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Absent,
    Version(Version),
}

/// How a record write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum Written {
    Done(Version),
    /// The expectation did not hold; nothing was written.
    Conflict,
}

/// Which records, in the order of their ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordList {
    Workspaces,
    Members(WorkspaceId),
    /// Links of every kind, used and expired ones too.
    Links,
    ApiKeys,
    LoginSessions,
}

/// The store. One implementation per backend; `storage::conformance` holds every promise written here.
pub trait Store: Send + Sync + 'static {
    /// The epoch that this process took when it opened the store; higher than every earlier one.
    fn epoch(&self) -> Epoch;

    /// 32 random bytes, made with the store and never changed: the root of ids and tokens.
    fn secret(&self) -> [u8; 32];

    /// Hands events to the journal and returns at once. `done` is called after they are durable (synced, or at quorum)
    /// or have failed. The caller has one append in flight per conversation. Appends of different conversations may
    /// complete in any order. After `Unavailable` nothing was written. After `Unknown` the caller loads again before
    /// it appends again. Repeating the same append is harmless.
    ///
    /// The store bounds what it holds: beyond its bound `done` is called at once with `Unavailable`.
    fn append(&self, append: Append, done: Appended);

    /// The conversation as its durable log says, or `None` when it has no event. After it returns, no append of an
    /// earlier epoch, and none whose outcome was unknown, can still change what it returned.
    fn load(&self, key: ConversationKey) -> Answer<'_, Option<Loaded>>;

    /// At most `limit` (1–1,000) durable events of a range, ascending.
    fn events(&self, key: ConversationKey, range: Range, limit: usize) -> Answer<'_, Vec<Arc<Event>>>;

    /// Writes a projection. A row whose (epoch, seq) is lower than the stored one's changes nothing; read marks only
    /// move forward. `clear_dirty` is honoured only if the row was not older than the stored one.
    fn project(&self, projection: Projection) -> Answer<'_, ()>;

    /// The row of one conversation, as last projected.
    fn row(&self, key: ConversationKey) -> Answer<'_, Option<Row>>;

    /// How far readers had read, as last projected.
    fn reads(&self, key: ConversationKey) -> Answer<'_, Vec<(Reader, Seq)>>;

    /// A page of rows, at most `limit` (1–1,000), after a cursor of the same list.
    fn rows(&self, list: RowList, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, RowPage>;

    /// Every conversation whose projections may be behind its log. Read once at the start.
    fn dirty(&self) -> Answer<'_, Vec<(Shard, ConversationKey)>>;

    /// A record and its version.
    fn record(&self, key: RecordKey) -> Answer<'_, Option<(Record, Version)>>;

    /// Writes one record if `expect` holds; durable when it returns. `key` must fit the record's kind.
    fn put_record(&self, key: RecordKey, record: Record, expect: Expect) -> Answer<'_, Written>;

    /// Deletes one record; fine when there is none. Durable when it returns.
    fn delete_record(&self, key: RecordKey) -> Answer<'_, ()>;

    /// Records of a list after an id (exclusive), at most `limit` (1–1,000).
    fn records(&self, list: RecordList, after: Option<u128>, limit: usize) -> Answer<'_, Vec<(Record, Version)>>;

    /// A page of every conversation that has an event, each once, in an order of the store's own; at most `limit`
    /// (1–1,000) after a cursor. One that gets its first event meanwhile may be in it or not. For checks of the whole
    /// store: it may cost a seek for each.
    fn conversations(&self, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, ConversationPage>;

    /// Looks at every row of one conversation, those that readers never see too.
    fn audit(&self, key: ConversationKey) -> Answer<'_, Audit>;

    /// Writes a projection whatever lies there: older, newer, altered or unreadable. `reads` become all the marks that
    /// there are. For `bellhop store rebuild`, which has the store to itself. (A store whose `project` does as much needs no
    /// other.)
    fn restore(&self, projection: Projection) -> Answer<'_, ()> {
        self.project(projection)
    }

    /// Takes away what a workspace's lists and rows say and no restored row bears out: entries of lists that do not
    /// follow from their row, and rows of conversations that have no event. How many went. Called after every
    /// conversation was restored; durable when it returns, with everything restored before. (A store that makes lists
    /// of its rows has nothing to take away.)
    fn prune(&self, _workspace: WorkspaceId) -> Answer<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }

    /// Whether the store takes writes now; for readiness, and for refusing commands before anything is done for them.
    /// Cheap: an atomic or two.
    fn healthy(&self) -> bool;

    /// Why this process must stop and start anew, as a sentence: a sync failed, another server owns the store. `None`
    /// while all may still become well by itself. Cheap, and never goes back to `None`.
    fn failed(&self) -> Option<String>;

    /// Waits until everything handed over is durable or refused, then stops. Later calls answer `Unavailable`.
    fn close(&self) -> Answer<'_, ()>;
}
