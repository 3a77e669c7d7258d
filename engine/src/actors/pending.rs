//! What waits for durability, in order: events to be told, and answers that were decided on top of them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::slot::{Origin, Permit};
use crate::domain::{Audience, CommandId, Event, Remembered, Seq, SessionId};
use crate::exchange::Answer;

/// Who gets the acknowledgement of an event.
pub(crate) struct Owner {
    pub(crate) origin: Origin,
    pub(crate) id: Option<CommandId>,
    /// The audience whose `prev` they are told.
    pub(crate) audience: Audience,
    /// The sender started the conversation and follows it: told before its first event.
    pub(crate) greets: bool,
    pub(crate) _permit: Option<Permit>,
}

/// One thing to do once everything up to its seq is durable.
pub(crate) enum Entry {
    Event {
        event: Arc<Event>,
        owner: Option<Owner>,
    },
    /// An answer that rests on the events before it.
    Answer {
        session: SessionId,
        id: Option<CommandId>,
        answer: Answer,
        _permit: Option<Permit>,
    },
    /// A `Route` was refused on top of the events before it.
    Unrouted {
        owner: Owner,
    },
}

/// Entries in the order in which they were decided, each with the seq that must be durable before it.
#[derive(Default)]
pub(crate) struct Pending {
    entries: VecDeque<(Seq, Entry)>,
}

impl Pending {
    pub(crate) fn push(&mut self, due: Seq, entry: Entry) {
        debug_assert!(self.entries.back().is_none_or(|(last, _)| *last <= due), "dues never fall");
        self.entries.push_back((due, entry));
    }

    /// The next entry that everything up to `durable` settles.
    pub(crate) fn pop(&mut self, durable: Seq) -> Option<Entry> {
        let due = self.entries.front()?.0;
        if due <= durable { self.entries.pop_front().map(|(_, entry)| entry) } else { None }
    }

    /// Everything, in order: nothing of it came true.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = Entry> {
        std::mem::take(&mut self.entries).into_iter().map(|(_, entry)| entry)
    }

    /// The commands of the events that are not durable yet, in order.
    pub(crate) fn commands(&self) -> impl Iterator<Item = Remembered> {
        self.entries.iter().filter_map(|(_, entry)| match entry {
            Entry::Event { event, .. } => Remembered::of(event),
            _ => None,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}
