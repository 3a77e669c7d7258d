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
        let (_, entry) = self.entries.pop_front_if(|(due, _)| *due <= durable)?;
        if self.entries.is_empty() {
            // Its room is 1.1 KB, and most conversations wait for their people, not for the disk.
            self.entries = VecDeque::new();
        }
        Some(entry)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Refusal;

    fn answer() -> Entry {
        let refusal = Refusal::Unavailable { retry_after_ms: 1 };
        let answer = Answer::Refused { id: None, conversation: None, refusal };
        Entry::Answer { session: SessionId(1), id: None, answer, _permit: None }
    }

    #[test]
    fn an_entry_is_due_when_everything_up_to_its_seq_is_durable() {
        let mut pending = Pending::default();
        [3, 3, 5].into_iter().for_each(|due| pending.push(due, answer()));
        assert!(pending.pop(2).is_none());
        assert!(pending.pop(4).is_some() && pending.pop(4).is_some());
        assert!(pending.pop(4).is_none() && !pending.is_empty());
        assert!(pending.pop(5).is_some() && pending.is_empty());
    }

    #[test]
    fn who_waits_for_nothing_holds_no_room_for_it() {
        let mut pending = Pending::default();
        (1..=100).for_each(|due| pending.push(due, answer()));
        while pending.pop(100).is_some() {}
        assert_eq!(pending.entries.capacity(), 0);
    }
}
