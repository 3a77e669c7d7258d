//! The projection of a conversation that lists show. Derived from the log alone: it can be rebuilt at any time.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ConversationKey, Epoch, MemberId, MemberName, Millis, Seq, VisitorId};

/// Where a conversation is in its life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    Queued,
    Assigned,
    Resolved,
}

/// Who wrote the preview.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Side {
    Visitor,
    Agent,
    System,
}

/// What lists know of a conversation, as of (epoch, seq). A row never replaces one with a higher pair.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Row {
    pub key: ConversationKey,
    pub epoch: Epoch,
    pub seq: Seq,
    /// Seq of the last event with audience `All`.
    pub head_all: Seq,
    pub visitor: VisitorId,
    pub visitor_name: Arc<str>,
    pub status: Status,
    pub assignee: Option<MemberName>,
    /// Place in the line while `Queued` (lower is earlier).
    pub queue_number: Option<u64>,
    /// Who is asked first while `Queued`.
    pub prefer: Option<MemberId>,
    /// First [`PREVIEW_CHARS`] characters of the last message, on one line. Never a note.
    pub preview: Arc<str>,
    pub last_side: Side,
    /// Name of the last message's author.
    pub last_name: Arc<str>,
    pub last_at: Millis,
    /// Since when the visitor waits for an answer.
    pub waiting_since: Option<Millis>,
    /// Whether an agent has answered since it was last queued or assigned.
    pub answered: bool,
    pub last_visitor_seq: Seq,
    /// Seq of each of the last messages by agents, oldest first, at most [`UNREAD_SEQS`]: a visitor's unread count.
    pub agent_seqs: Vec<Seq>,
    /// How far any agent has read, and how far the visitor has: from read marks, not from the log.
    pub staff_read: Seq,
    pub visitor_read: Seq,
    pub created_at: Millis,
    pub resolved_at: Option<Millis>,
    /// The page that the visitor wrote from first.
    pub page: Option<Arc<str>>,
}

/// A list shows one line of about 60 characters; twice that leaves room for wide panes.
pub const PREVIEW_CHARS: usize = 120;

/// "9+" is all that a bubble says beyond nine unread messages.
pub const UNREAD_SEQS: usize = 10;
