//! Shapes that several frames (and the REST API) share.

use serde::{Deserialize, Deserializer, Serialize};
use ts_rs::TS;

use crate::Id;
use crate::decode::by_name;

/// Milliseconds since 1970-01-01 UTC by the server's clock. For display only: no order follows from it (G2).
pub type Millis = i64;
/// An event's number within its conversation: 1, 2, 3 … without gaps.
pub type Seq = u64;

/// What an author or a reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthorKind {
    Visitor,
    Agent,
    Bot,
    System,
}

/// Who did something. `name` is the display name at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Author {
    pub kind: AuthorKind,
    /// Absent for `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub id: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub name: Option<String>,
}

/// A member as others see them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Face {
    pub id: Id,
    pub name: String,
}

/// Who may see an event: `all` (visitor and staff) or `staff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    All,
    Staff,
}

/// One durable event of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    pub seq: Seq,
    /// The seq before this one *for the reader's audience*; 0 before the first. If it is not the last that a client
    /// has, the client missed something and sends `open` with its last seq.
    pub prev: Seq,
    pub at: Millis,
    pub author: Author,
    pub audience: Audience,
    /// The id of the command that caused it, as its sender chose it: how a sender recognises its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub cmd: Option<Id>,
    pub body: Body,
}

/// What happened. A client skips a `kind` that it does not know and still moves its cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Body {
    /// Always seq 1; its audience is `staff`. `page` is the address that the visitor began on.
    Started {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[ts(optional)]
        page: Option<String>,
    },
    /// Words to the other side.
    Message {
        parts: Vec<Part>,
    },
    /// Words for staff only; its audience is always `staff`.
    Note {
        parts: Vec<Part>,
    },
    /// The conversation stands in the line. `reason`: `new`, `reopened`, `released` (its agent went offline without
    /// an answer) or `returned` (an agent put it back).
    Queued {
        reason: QueuedReason,
    },
    /// Somebody holds it now. `reason`: `routed`, `taken` (by themselves), `given` (by another), `replied`.
    Assigned {
        to: Face,
        reason: AssignedReason,
    },
    Resolved {},
    /// It left `resolved`: the visitor wrote again within 7 days, or an agent took the resolving back.
    Reopened {},
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum QueuedReason {
    New,
    Reopened,
    Released,
    Returned,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AssignedReason {
    Routed,
    Taken,
    Given,
    Replied,
}

/// A piece of a message. A client skips a `kind` that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Part {
    /// Plain text, never markup. May hold bidirectional controls: show it in an isolate (`dir="auto"`).
    Text { text: String },
}

/// Where a conversation is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Queued,
    Assigned,
    Resolved,
}

/// How far one reader has read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReadMark {
    pub kind: AuthorKind,
    pub id: Id,
    pub seq: Seq,
}

/// A conversation as `opened` tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Conversation {
    pub id: Id,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub assignee: Option<Face>,
    pub visitor: Face,
    pub created_at: Millis,
    /// The page that the visitor wrote from first; staff only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub page: Option<String>,
    /// Last seq of the reader's audience: after this the client is up to date.
    pub head: Seq,
    /// The oldest seq still kept (1 until retention removes some).
    pub first_seq: Seq,
    pub reads: Vec<ReadMark>,
    /// Whether the visitor has a connection now; staff only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub visitor_online: Option<bool>,
    /// Place in the line, 1 is next; only while queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub position: Option<u64>,
}

/// A row of an inbox list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Row {
    pub id: Id,
    pub visitor: Face,
    pub status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub assignee: Option<Face>,
    /// The last words either side can see, cut to 120 characters; a note never stands here.
    pub preview: String,
    /// Who wrote the preview.
    pub last_author: AuthorKind,
    pub last_at: Millis,
    /// Since when the visitor waits for an answer; absent while they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub waiting_since: Option<Millis>,
    /// Whether an agent has answered since it was last assigned or queued.
    pub answered: bool,
    /// The conversation's last seq when this row was made; a client never replaces a row by one with a lower seq.
    pub seq: Seq,
    /// How far any agent has read; it is unread while `last_visitor_seq > read`.
    pub read: Seq,
    /// Seq of the visitor's last message.
    pub last_visitor_seq: Seq,
    pub channel: String,
    /// Its place in the line's order while queued: lower comes first, gaps mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub queue_number: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub resolved_at: Option<Millis>,
    pub created_at: Millis,
}

/// A conversation as its visitor's list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct VisitorRow {
    pub id: Id,
    pub status: Status,
    pub preview: String,
    pub last_author: Author,
    pub last_at: Millis,
    /// Last seq the visitor can see, and how far they have read.
    pub head: Seq,
    pub read: Seq,
    /// Messages of agents after `read`.
    pub unread: u32,
    /// False once the conversation was resolved too long ago to reopen: writing starts a new one.
    pub writable: bool,
    pub created_at: Millis,
}

/// Who is there to answer, as visitors see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Team {
    /// Whether at least one agent is online and available.
    pub available: bool,
    /// At most three of them.
    pub faces: Vec<Face>,
    /// Median time to the first answer over the last hour, seconds; absent while there is no figure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub answers_in_secs: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Owner,
    Agent,
}

/// A member as colleagues see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct MemberState {
    pub id: Id,
    pub name: String,
    pub role: Role,
    pub online: bool,
    /// What they chose: taking new conversations, or away.
    pub available: bool,
    /// Conversations they hold now.
    pub open: u32,
}

/// The lists of an inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// Assigned to me, not resolved; longest waiting first, then those that wait for the visitor, newest first.
    Mine,
    /// In the line; its order.
    Unassigned,
    /// Everything not resolved; same order as `mine`.
    Open,
    /// Resolved; last resolved first.
    Resolved,
}

impl<'de> Deserialize<'de> for View {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = [Self::Mine, Self::Unassigned, Self::Open, Self::Resolved];
        by_name(deserializer, &["mine", "unassigned", "open", "resolved"], &all)
    }
}

/// How many conversations each list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, TS)]
pub struct Counts {
    pub mine: u32,
    pub unassigned: u32,
    pub open: u32,
}
