//! Frames from the gateway to a client.

use serde::{Deserialize, Serialize};
use ts_rs::TS;

use crate::{
    As, Author, CloseCode, Conversation, Counts, Event, Face, Id, MemberState, Millis, ReadMark, RefusalCode, Row, Seq,
    Team, View, VisitorRow,
};

/// Everything a gateway may say. A client skips a `t` that it does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ServerFrame {
    Welcome(Welcome),
    Ack(Ack),
    Refused(Refused),
    Opened(Opened),
    Page(EventPage),
    Event(NewEvent),
    Read(ReadUpdate),
    Typing(TypingUpdate),
    Online(Online),
    Position(Position),
    Team(TeamUpdate),
    Members(Members),
    Conversations(ConversationRows),
    Conversation(ConversationRow),
    List(ListReset),
    Changes(ListChanges),
    ListPage(ListPage),
    Resync(Resync),
    Bye(Bye),
    Pong(Pong),
}

/// The answer to a good `hello`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Welcome {
    #[serde(rename = "as")]
    #[ts(rename = "as")]
    pub who: As,
    pub me: Face,
    pub workspace: Face,
    pub now: Millis,
    /// Say something at least this often.
    pub heartbeat_ms: u64,
    pub max_text_bytes: u32,
    /// Visitor: the token to come back with, when there was none or the old one nears its end. Keep it; it is the
    /// visitor's identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub token: Option<String>,
    /// Visitor: who is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub team: Option<Team>,
    /// Agent: whether I am available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub available: Option<bool>,
}

/// The command took effect (now, or when the same id came before) and is durable. `seq`, `prev`, `at` are those of the
/// command's own event, which is *not* sent to the acknowledged connection as an `event` as well: it stands in the
/// order of frames where its `event` would. For a repeat, `seq` may lie below what the client already has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Ack {
    pub id: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub conversation: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub seq: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub prev: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub at: Option<Millis>,
    /// True when the command had taken effect before; the client learns of its event by `event` or `opened`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[ts(optional, as = "Option<bool>")]
    pub again: bool,
}

/// The command (or other request) was not done and left no trace. `message` is a sentence for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Refused {
    /// The command's id; absent when the frame had none that could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub id: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub conversation: Option<Id>,
    pub code: RefusalCode,
    pub message: String,
    /// The field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub field: Option<String>,
    /// Repeat with the same id after this many milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub retry_after_ms: Option<u64>,
}

/// Why `opened` starts afresh. The client drops what it has of the conversation and takes `events` as its newest page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Reset {
    /// No `after` was given.
    First,
    /// More than [`crate::limits::MAX_RESUME_EVENTS`] were missed.
    TooFar,
    /// `after` is ahead of the log: the client's copy is of something else.
    CursorAhead,
    /// `after` lies below what retention kept.
    Expired,
}

/// The answer to `open`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Opened {
    pub conversation: Conversation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub reset: Option<Reset>,
    /// Oldest first.
    pub events: Vec<Event>,
    /// With a reset: whether older events exist (`page` gets them).
    pub older: bool,
    /// Whether later ones are left: send `open` again with the last seq of `events`. Nothing live comes until then.
    pub more: bool,
}

/// The answer to `page`: oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct EventPage {
    pub conversation: Id,
    pub events: Vec<Event>,
    pub older: bool,
}

/// A live event of a followed conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct NewEvent {
    pub conversation: Id,
    pub event: Event,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ReadUpdate {
    pub conversation: Id,
    pub mark: ReadMark,
}

/// Somebody else types; goes by itself 6 s after the last `on`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TypingUpdate {
    pub conversation: Id,
    pub author: Author,
    pub on: bool,
}

/// Staff: the visitor of a followed conversation came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Online {
    pub conversation: Id,
    pub online: bool,
}

/// Visitor: the place in the line changed; absent when it no longer stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Position {
    pub conversation: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub position: Option<u64>,
}

/// Visitor: who is there changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct TeamUpdate {
    pub team: Team,
}

/// Agent: the members and their state; sent after `welcome` and, coalesced, at changes. Always the whole list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Members {
    pub members: Vec<MemberState>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConversationRows {
    pub rows: Vec<VisitorRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ConversationRow {
    pub row: VisitorRow,
}

/// The first page of a list: the client drops what it had of the view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ListReset {
    pub view: View,
    pub feed: Id,
    pub at: u64,
    pub rows: Vec<Row>,
    /// Where `more` goes on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub next: Option<String>,
    pub counts: Counts,
}

/// Changes of a followed list since `from`, at most 4 frames a second a view. If `from` is not the `at` that the
/// client has, it missed something and sends `list` with its `feed` and `at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ListChanges {
    pub view: View,
    pub feed: Id,
    pub from: u64,
    pub at: u64,
    /// Rows that are in the view now, new or changed; the client orders them by the view's rule.
    pub upserts: Vec<Row>,
    /// Rows that left it.
    pub removed: Vec<Id>,
    pub counts: Counts,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct ListPage {
    pub view: View,
    pub rows: Vec<Row>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub next: Option<String>,
}

/// The conversation's actor was restarted: live frames may have been lost. Send `open` with your last seq.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Resync {
    pub conversation: Id,
}

/// Said just before a close; the same code is the close frame's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Bye {
    pub code: CloseCode,
    pub message: String,
    /// Whether coming back can help; if not, the user must act first.
    pub reconnect: bool,
    /// Not before this many milliseconds (the client adds its own jitter).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub retry_after_ms: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Pong {}
