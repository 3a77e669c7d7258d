//! What clients ask for, apart from ids and addresses: the part that must be the same in a repeat.

use std::sync::Arc;

use bellhop_engine::domain::{Body, CommandId, ConversationId, MemberId, Part, Seq};
use bellhop_engine::exchange::Request;

/// A command's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Words {
    Start(Arc<str>),
    Send(Arc<str>),
    Note(Arc<str>),
    Assign(MemberId),
    Return,
    Resolve,
    Reopen,
}

impl Words {
    /// As it goes over the wire.
    pub fn request(&self, id: CommandId, conversation: ConversationId, seen: Seq) -> Request {
        match self {
            Words::Start(text) => Request::Start { id, text: Arc::clone(text), page: None },
            Words::Send(text) => Request::Send { id, conversation, seen, text: Arc::clone(text) },
            Words::Note(text) => Request::Note { id, conversation, seen, text: Arc::clone(text) },
            Words::Assign(to) => Request::Assign { id, conversation, seen, to: Some(*to) },
            Words::Return => Request::Assign { id, conversation, seen, to: None },
            Words::Resolve => Request::Resolve { id, conversation, seen },
            Words::Reopen => Request::Reopen { id, conversation, seen },
        }
    }

    /// A command's id, conversation (none for a start) and content; `None` for what is no command.
    pub fn of(request: &Request) -> Option<(CommandId, Option<ConversationId>, Self)> {
        Some(match request {
            Request::Start { id, text, .. } => (*id, None, Words::Start(Arc::clone(text))),
            Request::Send { id, conversation, text, .. } => (*id, Some(*conversation), Words::Send(Arc::clone(text))),
            Request::Note { id, conversation, text, .. } => (*id, Some(*conversation), Words::Note(Arc::clone(text))),
            Request::Assign { id, conversation, to: Some(to), .. } => (*id, Some(*conversation), Words::Assign(*to)),
            Request::Assign { id, conversation, to: None, .. } => (*id, Some(*conversation), Words::Return),
            Request::Resolve { id, conversation, .. } => (*id, Some(*conversation), Words::Resolve),
            Request::Reopen { id, conversation, .. } => (*id, Some(*conversation), Words::Reopen),
            _ => return None,
        })
    }

    /// Whether an event's body is what this asked for.
    pub fn became(&self, body: &Body) -> bool {
        let says = |parts: &[Part], text: &Arc<str>| parts == [Part::Text(Arc::clone(text))];
        match (self, body) {
            (Words::Start(text) | Words::Send(text), Body::Message { parts }) => says(parts, text),
            (Words::Note(text), Body::Note { parts }) => says(parts, text),
            (Words::Assign(member), Body::Assigned { to, .. }) => to.id == *member,
            (Words::Return, Body::Queued { .. }) | (Words::Resolve, Body::Resolved) => true,
            (Words::Reopen, Body::Reopened) => true,
            _ => false,
        }
    }
}
