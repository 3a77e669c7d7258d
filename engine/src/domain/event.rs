//! Events: the durable, numbered facts of a conversation, and who may see them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{CommandId, ConversationId, Epoch, MemberId, Millis, Seq, VisitorId, WorkspaceId};

/// Who may see an event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Audience {
    /// Visitor and staff.
    All,
    /// Staff only.
    Staff,
}

/// A member together with the display name at that time.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct MemberName {
    pub id: MemberId,
    pub name: Arc<str>,
}

/// Who did something. Names are those of the moment: history does not rewrite itself when somebody marries.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Author {
    Visitor { id: VisitorId, name: Arc<str> },
    Agent(MemberName),
    System,
}

/// A piece of a message. Files, forms and cards come as further kinds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Part {
    Text(Arc<str>),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum QueuedReason {
    New,
    Reopened,
    /// Its agent was offline for too long without an answer: to the line's head.
    Released,
    /// An agent put it back.
    Returned,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum AssignedReason {
    /// By the queue.
    Routed,
    /// By the holder themselves.
    Taken,
    /// By another member.
    Given,
    /// By answering what nobody held, or by taking a resolving back.
    Replied,
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Body {
    /// Always seq 1, by the visitor, for staff: where it began. (Visitors know where they are.)
    Started {
        page: Option<Arc<str>>,
    },
    Message {
        parts: Vec<Part>,
    },
    Note {
        parts: Vec<Part>,
    },
    /// It stands in the line at `number` (lower is earlier). `prefer` names who held it before: the queue asks them
    /// first. Both are for the queue, never for a visitor.
    Queued {
        number: u64,
        reason: QueuedReason,
        prefer: Option<MemberId>,
    },
    Assigned {
        to: MemberName,
        reason: AssignedReason,
    },
    Resolved,
    Reopened,
}

/// A command's id together with a hash of its body: the pair by which a repeat is known from another command that
/// reuses the id (G3). The sender is the event's author.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct CommandMark {
    pub id: CommandId,
    /// First 8 bytes of SHA-256 over the command's kind and body.
    pub hash: u64,
}

/// One event with its envelope.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Event {
    pub seq: Seq,
    /// Seq of the latest earlier event with audience `All` (0: none). What a visitor calls `prev`; staff's is `seq - 1`.
    pub prev_all: Seq,
    pub epoch: Epoch,
    /// For display; never falls within a conversation.
    pub at: Millis,
    pub author: Author,
    pub audience: Audience,
    pub channel: Channel,
    /// The id that an outside system gave it (a mail's Message-ID).
    pub external_id: Option<Arc<str>>,
    /// On the event that is the command's own (a message command's message), and on no other.
    pub command: Option<CommandMark>,
    pub body: Body,
}

impl Event {
    /// The seq before this one for readers of `audience`.
    pub fn prev(&self, audience: Audience) -> Seq {
        match audience {
            Audience::All => self.prev_all,
            Audience::Staff => self.seq - 1,
        }
    }

    /// Whether a reader of `audience` may see it.
    pub fn visible_to(&self, audience: Audience) -> bool {
        audience == Audience::Staff || self.audience == Audience::All
    }

    /// Bytes of text it carries: what batches are bounded by.
    pub fn text_bytes(&self) -> usize {
        match &self.body {
            Body::Message { parts } | Body::Note { parts } => parts
                .iter()
                .map(|part| match part {
                    Part::Text(text) => text.len(),
                })
                .sum(),
            _ => 0,
        }
    }
}

/// The way by which words came.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Channel {
    Chat,
}

/// Names one conversation. Its workspace is part of every lookup, so that nothing of one workspace can be reached
/// through another (G10).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ConversationKey {
    pub workspace: WorkspaceId,
    pub conversation: ConversationId,
}
