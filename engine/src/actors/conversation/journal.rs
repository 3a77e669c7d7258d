//! The way to the journal and back: what is durable is acknowledged and told, in order; what failed is answered so.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::ActorRef;
use smallvec::SmallVec;

use super::super::pending::{Entry, Owner};
use super::super::runtime::RETRY_AFTER_MS;
use super::super::slot::{InHand, Origin};
use super::projecting::Holder;
use super::{ConversationMessage, Live};
use crate::domain::{Audience, Body, ConversationState, Event, Refusal, Seq, SessionId};
use crate::exchange::Answer;
use crate::ports::{APPEND_EVENTS, APPEND_TEXT_BYTES, Append, StoreError};
use crate::sabotage::{self, Fault};

/// After a failed append with live followers, the log is read again by itself after this long.
pub(super) const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// A projection (with its snapshot) is written after this many events, so that waking reads a bounded tail.
const EVENTS_A_PROJECTION: u64 = 256;

impl Live {
    /// Hands what was gathered to the journal, unless an append is in flight: then it waits for company.
    pub(super) fn append(&mut self, myself: &ActorRef<ConversationMessage>) {
        if self.in_flight.is_some() {
            return;
        }
        let events = next_append(&mut self.gathered);
        let Some(last) = events.last() else { return };
        if self.gathered.is_empty() {
            self.gathered = VecDeque::new();
        }
        self.in_flight = Some(last.seq);
        let append = Append { key: self.slot.key, events, mark_dirty: !self.marked };
        (self.marked, self.perhaps_marked) = (true, true);
        let (actor, slot) = (myself.clone(), Arc::clone(&self.slot));
        slot.append_begins();
        self.runtime.store.append(
            append,
            Box::new(move |result| {
                slot.append_ends();
                // A conversation that crashed meanwhile reads the log anyway.
                let _gone = actor.cast(ConversationMessage::Appended(result.map_err(Box::new)));
            }),
        );
    }

    /// The outcome of the append in flight; an error is still to be dealt with ([`Self::append_failed`]).
    pub(super) fn appended(
        &mut self,
        result: Result<(), Box<StoreError>>,
        myself: &ActorRef<ConversationMessage>,
    ) -> Result<(), Box<StoreError>> {
        let Some(upto) = self.in_flight.take() else { return Ok(()) };
        result?;
        self.append(myself);
        self.release(upto);
        Ok(())
    }

    /// Does what waited for everything up to `upto` to be durable.
    pub(super) fn release(&mut self, upto: Seq) {
        let (status, mut status_changed) = (self.durable.as_ref().map(|state| state.status), false);
        // First: who hears of an event may read it at once.
        self.slot.set_durable(upto);
        let mut untold = SmallVec::<[(Option<Holder>, Arc<Event>); 3]>::new();
        while let Some(entry) = self.pending.pop(upto) {
            match entry {
                Entry::Event { event, owner } => {
                    let before = Holder::before(self.durable.as_ref(), &event);
                    ConversationState::fold(&mut self.durable, self.slot.key, &event);
                    let acknowledged = owner.and_then(|owner| self.acknowledge(owner, &event));
                    if !sabotage::on(Fault::FanOutBeforeDurable) {
                        self.fan_out(&event, acknowledged);
                    }
                    self.slot.told.store(event.seq, Ordering::Release);
                    status_changed |= !matches!(event.body, Body::Message { .. } | Body::Note { .. });
                    untold.push((before, event));
                }
                Entry::Answer { session, id, answer, _permit } => {
                    self.runtime.tell(session, &answer);
                    self.slot.put_down(InHand { session, command: id });
                }
                Entry::Unrouted { owner } => self.unroute(&owner),
            }
        }
        if self.settled() {
            // Both are the same now, and a second state is 1 KB in each conversation that somebody looks at.
            self.ahead = None;
        }
        // The row first: a queue or agent that starts just now reads it and misses nothing.
        self.publish();
        for (before, event) in &untold {
            self.tell_staff(before.as_ref(), event);
            self.slot.staff_told.store(event.seq, Ordering::Release);
        }
        self.tell_watchers(status != self.durable.as_ref().map(|state| state.status));
        if status_changed || self.durable_seq() - self.projected >= EVENTS_A_PROJECTION {
            self.project_soon();
        }
    }

    /// Acknowledges an event to its sender; returns the session, which then gets no `Event` for it.
    pub(super) fn acknowledge(&self, owner: Owner, event: &Event) -> Option<SessionId> {
        match owner.origin {
            Origin::Session(session) => {
                let id = owner.id?;
                if owner.greets {
                    self.greet(session, owner.audience, event.prev(owner.audience));
                }
                let answer = Answer::Acknowledged {
                    id,
                    conversation: self.slot.key.conversation,
                    seq: event.seq,
                    prev: event.prev(owner.audience),
                    at: event.at,
                    again: false,
                };
                self.runtime.tell(session, &answer);
                self.slot.put_down(InHand { session, command: Some(id) });
                Some(session)
            }
            Origin::Reservation(member) => {
                self.runtime.settle(self.slot.key, member, true);
                None
            }
            Origin::Nobody => None,
        }
    }

    pub(super) fn fan_out(&self, event: &Arc<Event>, except: Option<SessionId>) {
        for audience in [Audience::Staff, Audience::All] {
            if !event.visible_to(audience) {
                continue;
            }
            let sessions = self.slot.sessions(audience, except);
            if !sessions.is_empty() {
                let conversation = self.slot.key.conversation;
                let answer = Answer::Event { conversation, audience, event: Arc::clone(event) };
                self.runtime.answers.deliver(&sessions, &answer);
            }
        }
    }

    pub(super) async fn append_failed(&mut self, error: &StoreError, myself: &ActorRef<ConversationMessage>) {
        tracing::warn!(conversation = %self.slot.key.conversation, %error, "an append failed");
        let refusal = match error {
            StoreError::Unavailable(_) | StoreError::Fenced => Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS },
            StoreError::Unknown(_) | StoreError::Damaged(_) => Refusal::Unknown { retry_after_ms: RETRY_AFTER_MS },
        };
        self.gathered.clear();
        self.searched = None;
        let conversation = Some(self.slot.key.conversation);
        for entry in std::mem::take(&mut self.pending).take_all() {
            match entry {
                Entry::Event { owner: Some(owner), .. } | Entry::Unrouted { owner } => match owner.origin {
                    Origin::Session(session) => {
                        if owner.greets {
                            self.slot.unfollow(session);
                        }
                        self.runtime.tell(session, &Answer::Refused { id: owner.id, conversation, refusal });
                        self.slot.put_down(InHand { session, command: owner.id });
                    }
                    // Whether they hold it is known once the log is read.
                    Origin::Reservation(member) if matches!(refusal, Refusal::Unknown { .. }) => {
                        self.unsettled.push(member);
                    }
                    _ => self.unroute(&owner),
                },
                Entry::Answer { session, id, .. } => {
                    self.runtime.tell(session, &Answer::Refused { id, conversation, refusal });
                    self.slot.put_down(InHand { session, command: id });
                }
                Entry::Event { owner: None, .. } => {}
            }
        }
        self.loaded = false;
        self.marked = false;
        if self.load().await.is_err() {
            let _timer = myself.send_after(RELOAD_AFTER, || ConversationMessage::Wake);
        }
    }
}

/// As many whole commands as one append may hold, at least one if there is one: a command's events stay together.
fn next_append(gathered: &mut VecDeque<SmallVec<[Arc<Event>; 4]>>) -> Vec<Arc<Event>> {
    let mut events: Vec<Arc<Event>> = Vec::with_capacity(gathered.len().min(APPEND_EVENTS));
    let mut bytes = 0;
    while let Some(command) = gathered.front() {
        bytes += command.iter().map(|event| event.text_bytes()).sum::<usize>();
        let fits = events.len() + command.len() <= APPEND_EVENTS && bytes <= APPEND_TEXT_BYTES;
        if !events.is_empty() && !fits {
            break;
        }
        events.extend(gathered.pop_front().into_iter().flatten());
    }
    events
}
