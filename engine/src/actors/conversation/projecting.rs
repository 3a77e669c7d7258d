//! What follows from the log: the row, who holds it, the stored projection, and sleep.

use std::sync::Arc;

use ractor::ActorRef;

use super::super::agent::AgentMessage;
use super::super::queue::QueueMessage;
use super::super::slot::Work;
use super::readers::visitor_row;
use super::{ConversationMessage, Live};
use crate::domain::{Audience, Author, Body, ConversationState, Event, MemberId, Millis, Seq, Status};
use crate::exchange::Answer;
use crate::ports::{Projection, Reader};

impl Live {
    /// Tells queue and agents who holds the conversation now: projections of what the log says.
    pub(super) fn tell_staff(&self, before: Option<&Holder>, event: &Event) {
        let Some(room) = &self.workroom else { return };
        let conversation = self.slot.key.conversation;
        let dropped = |keeps: Option<MemberId>| {
            if let Some(holder) = before.and_then(|before| before.assignee)
                && keeps != Some(holder)
            {
                room.tell_agent(holder, AgentMessage::Dropped { conversation });
            }
        };
        match &event.body {
            Body::Queued { number, prefer, .. } => {
                dropped(None);
                room.tell_queue(QueueMessage::Join { conversation, number: *number, prefer: *prefer });
            }
            Body::Assigned { to, .. } => {
                dropped(Some(to.id));
                room.tell_agent(to.id, AgentMessage::Holds { conversation });
                room.tell_queue(QueueMessage::Leave { conversation });
                // Removed while this was on its way: their actor may be gone already.
                if room.look_at_holder(conversation, to.id) {
                    let work = Work::Release { from: to.id, removed: true };
                    self.runtime.give_system(self.slot.key, work);
                }
            }
            Body::Resolved => {
                dropped(None);
                room.tell_queue(QueueMessage::Leave { conversation });
            }
            Body::Message { .. } if matches!(event.author, Author::Agent(_)) => {
                if let Some(since) = before.and_then(|before| before.first_answer_to) {
                    room.answered(event.at, event.at.since(since));
                }
            }
            _ => {}
        }
    }

    pub(super) fn publish(&self) {
        if let (Some(room), Some(state)) = (&self.workroom, &self.durable) {
            let (staff_read, visitor_read) = self.read_by_side();
            room.publish(state, staff_read, visitor_read);
        }
    }

    pub(super) fn read_by_side(&self) -> (Seq, Seq) {
        let mut sides = (0, 0);
        for (reader, seq) in &self.reads {
            match reader {
                Reader::Agent(_) => sides.0 = sides.0.max(*seq),
                Reader::Visitor(_) => sides.1 = sides.1.max(*seq),
            }
        }
        sides
    }

    /// The visitor's other tabs hear of changes; those that follow the conversation see them anyway, unless its
    /// status changed.
    pub(super) fn tell_watchers(&self, status_changed: bool) {
        let (Some(room), Some(state)) = (&self.workroom, &self.durable) else { return };
        let mut watchers = room.watchers(state.visitor);
        if !status_changed && !watchers.is_empty() {
            let following = self.slot.sessions(Audience::All, None);
            watchers.retain(|session| !following.contains(session));
        }
        if !watchers.is_empty() {
            let row = visitor_row(&state.row(0, self.read_by_side().1), self.runtime.now());
            self.runtime.answers.deliver(&watchers, &Answer::Conversation(row));
        }
    }

    pub(super) fn projection(&self, clear_dirty: bool) -> Option<Projection> {
        let state = self.durable.as_ref()?;
        let (staff_read, visitor_read) = self.read_by_side();
        let row = state.row(staff_read, visitor_read);
        Some(Projection { row, state: state.clone(), reads: self.reads.clone(), clear_dirty })
    }

    /// Writes the projection beside the conversation's work: lists of resolved and of a visitor's conversations are
    /// read from the store.
    pub(super) fn project_soon(&mut self) {
        let Some(projection) = self.projection(false) else { return };
        self.projected = self.durable_seq();
        let (store, room) = (Arc::clone(&self.runtime.store), self.workroom.clone());
        let (visitor, conversation, seq) = (projection.row.visitor, self.slot.key.conversation, projection.row.seq);
        if let Some(room) = &room {
            room.writes(projection.row.clone());
        }
        tokio::spawn(async move {
            match store.project(projection).await {
                Ok(()) => {
                    if let Some(room) = room {
                        room.wrote(visitor, conversation, seq);
                    }
                }
                // The dirty mark stands: it is written when the conversation sleeps, or at the next start. Until then
                // lists have the row from the workroom.
                Err(error) => tracing::warn!(%error, "a projection was not written"),
            }
        });
    }

    /// Goes to sleep when nobody needs it: writes the projection, takes the dirty mark away, leaves memory.
    pub(super) async fn sweep(&mut self, force: bool, myself: &ActorRef<ConversationMessage>) {
        if self.in_flight.is_some() || !self.settled() || self.slot.has_work() {
            return;
        }
        // Something may have come since the sweeper looked.
        if !force && !self.slot.is_sleepy(self.runtime.options.sweeps_before_sleep()) {
            return;
        }
        // What an append of unknown outcome left is settled before it is forgotten.
        if !self.loaded && self.load().await.is_err() {
            return;
        }
        let behind = self.projected < self.durable_seq();
        if (self.perhaps_marked || self.reads_unsaved || behind)
            && let Some(projection) = self.projection(true)
        {
            // Whatever comes of it, the mark may be gone: the next append sets it anew.
            self.marked = false;
            match self.runtime.store.project(projection).await {
                Ok(()) => {
                    (self.perhaps_marked, self.reads_unsaved) = (false, false);
                    self.projected = self.durable_seq();
                }
                Err(error) => {
                    tracing::warn!(conversation = %self.slot.key.conversation, %error, "a projection was not written");
                    return;
                }
            }
        }
        if let (Some(room), Some(state)) = (&self.workroom, &self.durable) {
            room.wrote(state.visitor, state.key.conversation, state.seq);
        }
        if self.runtime.retire(&self.slot) {
            myself.stop(None);
        }
    }
}

/// What a change of holder needs of the state before it.
pub(super) struct Holder {
    assignee: Option<MemberId>,
    /// Since when the visitor waited, if no agent had answered yet.
    first_answer_to: Option<Millis>,
}

impl Holder {
    /// Before `event`; `None` where nothing about the holder can follow from it.
    pub(super) fn before(state: Option<&ConversationState>, event: &Event) -> Option<Self> {
        if matches!(event.body, Body::Note { .. }) {
            return None;
        }
        let state = state?;
        let holder = state.assignee.as_ref().filter(|_| state.status == Status::Assigned);
        Some(Self {
            assignee: holder.map(|it| it.id),
            first_answer_to: if state.agent_seqs.is_empty() { state.waiting_since } else { None },
        })
    }
}
