//! Frames from a client to the gateway. Commands carry an `id` that the client chose (16 random bytes, kept until it
//! is answered) and are answered by exactly one `ack` or `refused`; repeating one with the same id is safe for ever.

use serde::{Deserialize, Deserializer, Serialize};
use ts_rs::TS;

use crate::decode::by_name;
use crate::{Id, Seq, View};

/// Everything a client may say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "t", rename_all = "snake_case")]
pub enum ClientFrame {
    Hello(Hello),
    Start(Start),
    Send(Send),
    Note(Note),
    Assign(Assign),
    Resolve(Resolve),
    Reopen(Reopen),
    Status(SetStatus),
    Open(Open),
    Close(Close),
    Page(Page),
    Read(Read),
    Typing(Typing),
    Conversations(Conversations),
    List(List),
    Unlist(Unlist),
    More(More),
    Ping(Ping),
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum As {
    Visitor,
    Agent,
}

impl<'de> Deserialize<'de> for As {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        by_name(deserializer, &["visitor", "agent"], &[Self::Visitor, Self::Agent])
    }
}

/// The first frame. A visitor says the workspace and, when it has one, the token that an earlier `welcome` gave it; an
/// agent says a socket token made by `POST /api/v1/socket-token` (good for 60 s, one workspace).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Hello {
    pub v: u16,
    #[serde(rename = "as")]
    #[ts(rename = "as")]
    pub who: As,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub workspace: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub token: Option<String>,
    /// Name and version of the client, for logs: at most 64 characters, more is cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub client: Option<String>,
}

/// Visitor: a new conversation with its first message. The `ack` tells the conversation's id, which follows from the
/// visitor and `id`: repeating it never makes a second conversation. The sender is subscribed as by `open`
/// (`opened` comes before the `ack`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Start {
    pub id: Id,
    pub text: String,
    /// Address of the page the visitor is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub page: Option<String>,
}

/// A message to the other side. `seen` is the sender's last seq when the message was *first made* (0 if none): a
/// repeat keeps it, and the server looks for an earlier taking-effect from there on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Send {
    pub id: Id,
    pub conversation: Id,
    pub seen: Seq,
    pub text: String,
}

/// Agent: words for staff only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Note {
    pub id: Id,
    pub conversation: Id,
    pub seen: Seq,
    pub text: String,
}

/// Agent: give the conversation to a member (`to`), or back to the line (`to` absent or null).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Assign {
    pub id: Id,
    pub conversation: Id,
    pub seen: Seq,
    #[serde(default)]
    pub to: Option<Id>,
}

/// Agent: the matter is settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Resolve {
    pub id: Id,
    pub conversation: Id,
    pub seen: Seq,
}

/// Agent: takes a resolving back; the conversation is the sender's again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Reopen {
    pub id: Id,
    pub conversation: Id,
    pub seen: Seq,
}

/// Agent: available for new conversations, or away. Kept until changed; answered by an `ack` without a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SetStatus {
    pub id: Id,
    pub available: bool,
}

/// Follow a conversation. With `after`, everything later comes in `opened` frames, or one with `reset`; while
/// `opened.more` is true, send `open` again with the new last seq. Live events follow once `more` is false.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Open {
    pub conversation: Id,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub after: Option<Seq>,
}

/// Stop following.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Close {
    pub conversation: Id,
}

/// Older events, newest last, all below `before`; answered by `page`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Page {
    pub conversation: Id,
    pub before: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub limit: Option<u32>,
}

/// The reader has read up to `seq`. Not answered; only moves forward.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Read {
    pub conversation: Id,
    pub seq: Seq,
}

/// Typing begins or goes on (repeat at most every 3 s), or ends. Not answered, may be lost; ends by itself after 6 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Typing {
    pub conversation: Id,
    pub on: bool,
}

/// Visitor: my conversations, newest first (at most 50); then a `conversation` frame at every change of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Conversations {}

/// Agent: follow a list. Who comes back says the `feed` and `at` that it has and gets the `changes` missed, or a
/// `list` (a reset with the first page).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct List {
    pub view: View,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub feed: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub at: Option<u64>,
}

/// Agent: stop following a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Unlist {
    pub view: View,
}

/// Agent: the rows after a cursor that `list` or `list_page` gave; answered by `list_page`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct More {
    pub view: View,
    pub after: String,
}

/// Keeps the connection known to be alive; answered by `pong`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Ping {}
