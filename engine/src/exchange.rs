//! The values that sessions and actors exchange. Plain data, no channels and no references to memory of either side:
//! they could cross a process border (and will, once there are several nodes).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::{
    Audience, Author, CommandId, ConversationId, Event, FeedId, MemberId, MemberName, Millis, Refusal, Role, Row, Seq,
    Status, VisitorId, WorkspaceId,
};
use crate::ports::Reader;

/// Who a session speaks for, as authentication established it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Party {
    Visitor { workspace: WorkspaceId, visitor: VisitorId, name: Arc<str> },
    Agent { workspace: WorkspaceId, member: MemberName },
}

impl Party {
    pub fn workspace(&self) -> WorkspaceId {
        match self {
            Party::Visitor { workspace, .. } | Party::Agent { workspace, .. } => *workspace,
        }
    }

    pub fn audience(&self) -> Audience {
        match self {
            Party::Visitor { .. } => Audience::All,
            Party::Agent { .. } => Audience::Staff,
        }
    }

    pub fn author(&self) -> Author {
        match self {
            Party::Visitor { visitor, name, .. } => Author::Visitor { id: *visitor, name: Arc::clone(name) },
            Party::Agent { member, .. } => Author::Agent(member.clone()),
        }
    }

    pub fn reader(&self) -> Reader {
        match self {
            Party::Visitor { visitor, .. } => Reader::Visitor(*visitor),
            Party::Agent { member, .. } => Reader::Agent(member.id),
        }
    }
}

/// The lists of an inbox. `Mine` is resolved to a member by the engine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum View {
    Mine,
    Unassigned,
    Open,
    Resolved,
}

/// What a session may ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Request {
    Start { id: CommandId, text: Arc<str>, page: Option<Arc<str>> },
    Send { id: CommandId, conversation: ConversationId, seen: Seq, text: Arc<str> },
    Note { id: CommandId, conversation: ConversationId, seen: Seq, text: Arc<str> },
    Assign { id: CommandId, conversation: ConversationId, seen: Seq, to: Option<MemberId> },
    Resolve { id: CommandId, conversation: ConversationId, seen: Seq },
    Reopen { id: CommandId, conversation: ConversationId, seen: Seq },
    Open { conversation: ConversationId, after: Option<Seq> },
    Close { conversation: ConversationId },
    Page { conversation: ConversationId, before: Seq, limit: Option<u32> },
    Read { conversation: ConversationId, seq: Seq },
    Typing { conversation: ConversationId, on: bool },
    Conversations,
    List { view: View, resume: Option<(FeedId, u64)> },
    Unlist { view: View },
    More { view: View, after: String },
}

impl Request {
    /// The command's id, if it is one.
    pub fn command_id(&self) -> Option<CommandId> {
        match self {
            Request::Start { id, .. }
            | Request::Send { id, .. }
            | Request::Note { id, .. }
            | Request::Assign { id, .. }
            | Request::Resolve { id, .. }
            | Request::Reopen { id, .. } => Some(*id),
            _ => None,
        }
    }
}

/// Why `Opened` starts afresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reset {
    First,
    TooFar,
    CursorAhead,
    Expired,
}

/// A conversation as one reader sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ConversationView {
    pub id: ConversationId,
    pub status: Status,
    pub assignee: Option<MemberName>,
    pub visitor: VisitorId,
    pub visitor_name: Arc<str>,
    pub created_at: Millis,
    /// Staff only.
    pub page: Option<Arc<str>>,
    /// Last seq of the reader's audience.
    pub head: Seq,
    pub first_seq: Seq,
    pub reads: Vec<(Reader, Seq)>,
    /// Staff only.
    pub visitor_online: Option<bool>,
    pub position: Option<u64>,
}

/// A conversation as its visitor's list shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VisitorRow {
    pub id: ConversationId,
    pub status: Status,
    pub preview: Arc<str>,
    pub last_author: Author,
    pub last_at: Millis,
    pub head: Seq,
    pub read: Seq,
    pub unread: u32,
    pub writable: bool,
    pub created_at: Millis,
}

/// Who is there to answer.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Team {
    pub available: bool,
    /// At most three.
    pub faces: Vec<MemberName>,
    /// Median time to the first answer over the last hour, seconds.
    pub answers_in_secs: Option<u64>,
}

/// A member as colleagues see them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MemberState {
    pub member: MemberName,
    pub role: Role,
    pub online: bool,
    pub available: bool,
    pub open: u32,
}

/// How many conversations each list holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    pub mine: u32,
    pub unassigned: u32,
    pub open: u32,
}

/// What a session is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    Acknowledged {
        id: CommandId,
        conversation: ConversationId,
        seq: Seq,
        /// The seq before it for the receiver's audience.
        prev: Seq,
        at: Millis,
        /// It had taken effect before.
        again: bool,
    },
    Refused {
        id: Option<CommandId>,
        conversation: Option<ConversationId>,
        refusal: Refusal,
    },
    Opened {
        view: ConversationView,
        audience: Audience,
        reset: Option<Reset>,
        events: Vec<Arc<Event>>,
        older: bool,
        more: bool,
    },
    Page {
        conversation: ConversationId,
        audience: Audience,
        events: Vec<Arc<Event>>,
        older: bool,
    },
    /// `audience` is that of all receivers: it decides the `prev` they are told.
    Event {
        conversation: ConversationId,
        audience: Audience,
        event: Arc<Event>,
    },
    Read {
        conversation: ConversationId,
        reader: Reader,
        seq: Seq,
    },
    Typing {
        conversation: ConversationId,
        author: Author,
        on: bool,
    },
    Online {
        conversation: ConversationId,
        online: bool,
    },
    Position {
        conversation: ConversationId,
        position: Option<u64>,
    },
    Team(Team),
    Members(Vec<MemberState>),
    Conversations(Vec<VisitorRow>),
    Conversation(VisitorRow),
    List {
        view: View,
        feed: FeedId,
        at: u64,
        rows: Vec<Arc<Row>>,
        next: Option<String>,
        counts: Counts,
    },
    Changes {
        view: View,
        feed: FeedId,
        from: u64,
        at: u64,
        upserts: Vec<Arc<Row>>,
        removed: Vec<ConversationId>,
        counts: Counts,
    },
    ListPage {
        view: View,
        rows: Vec<Arc<Row>>,
        next: Option<String>,
    },
    Resync {
        conversation: ConversationId,
    },
    /// The member was removed or logged out: the gateway closes the session.
    Revoked,
}

/// Most events in one `Opened` or `Page`; with [`BATCH_BYTES`] it keeps one frame far from a session's outbox bound.
pub const BATCH_EVENTS: usize = 200;

/// Most bytes of text in one batch; it ends before the event that would pass it, but holds at least one.
pub const BATCH_BYTES: usize = 192 * 1024;

/// Events of an `Open` without a cursor and of a `Page` without a limit.
pub const FIRST_BATCH_EVENTS: usize = 50;

/// Who missed more events than this starts afresh with the newest page, as a person would.
pub const RESUME_EVENTS: u64 = 1_000;

/// Rows in one page of a list.
pub const LIST_ROWS: usize = 100;

/// Conversations in a visitor's own list: the latest fifty are all that a widget shows.
pub const VISITOR_ROWS: usize = 50;
