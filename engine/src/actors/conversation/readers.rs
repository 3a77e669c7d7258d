//! Readers: opening, paging, read marks, typing, who is there.

use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::super::reading::{Batch, Reading};
use super::super::runtime::RETRY_AFTER_MS;
use super::super::slot::{Follower, InHand};
use super::{ConversationMessage, Live};
use crate::domain::{
    Audience, Author, ConversationState, MemberId, Millis, Refusal, Row, Seq, SessionId, Status, writable,
};
use crate::exchange::{Answer, ConversationView, FIRST_BATCH_EVENTS, Party, VisitorRow};
use crate::ports::Reader;

/// A visitor is shown as offline only after this long without a connection: a page change is not a departure.
const OFFLINE_GRACE: Duration = Duration::from_secs(5);

impl Live {
    pub(super) fn view(&self, audience: Audience) -> Option<ConversationView> {
        let state = self.durable.as_ref()?;
        let position = (state.status == Status::Queued)
            .then(|| self.workroom.as_ref()?.places.lock().get(&state.key.conversation).copied())
            .flatten();
        Some(conversation_view(state, audience, &self.reads, Some(self.visitor_online), position))
    }

    /// A visitor who started the conversation follows it from before its first event.
    pub(super) fn greet(&self, session: SessionId, audience: Audience, head: Seq) {
        let Some(state) = &self.durable else { return };
        let mut view = conversation_view(state, audience, &self.reads, None, None);
        view.head = head;
        let answer = Answer::Opened { view, audience, reset: None, events: Vec::new(), older: false, more: false };
        self.runtime.tell(session, &answer);
    }

    /// Whether this party may see the conversation; foreign and unknown ones look alike (G10).
    pub(super) fn admits(&self, party: &Party) -> bool {
        match (&self.durable, party) {
            (Some(state), Party::Visitor { visitor, .. }) => state.visitor == *visitor,
            (Some(_), Party::Agent { .. }) => true,
            (None, _) => false,
        }
    }

    pub(super) fn reading(&self, audience: Audience) -> Reading<'_> {
        Reading { store: self.runtime.store.as_ref(), key: self.slot.key, audience, durable: self.durable_seq() }
    }

    pub(super) async fn open(&mut self, session: SessionId, party: &Party, after: Option<Seq>) {
        let in_hand = InHand { session, command: None };
        self.slot.take_in_hand(in_hand);
        let audience = party.audience();
        if !self.admits(party) {
            return self.refuse(session, None, Refusal::NotFound);
        }
        match self.reading(audience).resume(after, FIRST_BATCH_EVENTS).await {
            Ok(Batch { reset, events, older, more }) => {
                if !more {
                    self.slot.follow(Follower { session, audience });
                    self.check_online();
                }
                if let Some(view) = self.view(audience) {
                    self.runtime.tell(session, &Answer::Opened { view, audience, reset, events, older, more });
                }
                self.slot.put_down(in_hand);
            }
            Err(error) => {
                tracing::warn!(conversation = %self.slot.key.conversation, %error, "a conversation cannot be read");
                self.refuse(session, None, Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS });
            }
        }
    }

    pub(super) async fn page(&mut self, session: SessionId, party: &Party, before: Seq, limit: Option<u32>) {
        let in_hand = InHand { session, command: None };
        self.slot.take_in_hand(in_hand);
        if !self.admits(party) {
            return self.refuse(session, None, Refusal::NotFound);
        }
        let limit = limit.map_or(FIRST_BATCH_EVENTS, |limit| limit as usize);
        let audience = party.audience();
        match self.reading(audience).backward(before, limit).await {
            Ok(Batch { events, older, .. }) => {
                let conversation = self.slot.key.conversation;
                self.runtime.tell(session, &Answer::Page { conversation, audience, events, older });
                self.slot.put_down(in_hand);
            }
            Err(_unreadable) => {
                self.refuse(session, None, Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS });
            }
        }
    }

    /// Moves a mark forward; returns whether it moved.
    pub(super) fn advance(&mut self, reader: Reader, seq: Seq) -> bool {
        match self.reads.iter_mut().find(|(it, _)| *it == reader) {
            Some((_, at)) if *at >= seq => false,
            Some((_, at)) => {
                *at = seq;
                true
            }
            None => {
                self.reads.push((reader, seq));
                true
            }
        }
    }

    pub(super) fn read(&mut self, party: &Party, seq: Seq) {
        if !self.admits(party) {
            return;
        }
        let seq = seq.min(self.durable.as_ref().map_or(0, |state| state.head(party.audience())));
        let reader = party.reader();
        if seq == 0 || !self.advance(reader, seq) {
            return;
        }
        self.reads_moved = true;
        self.reads_unsaved = true;
        let answer = Answer::Read { conversation: self.slot.key.conversation, reader, seq };
        let mut sessions = self.slot.sessions(Audience::Staff, None);
        sessions.extend(self.slot.sessions(Audience::All, None));
        if !sessions.is_empty() {
            self.runtime.answers.deliver(&sessions, &answer);
        }
    }

    /// Marks that moved change the row (unread); told once per wake-up.
    pub(super) fn tell_reads(&mut self) {
        if std::mem::take(&mut self.reads_moved) {
            self.publish();
        }
    }

    pub(super) fn tell_typing(&mut self, session: SessionId, party: &Party, on: bool) {
        if !self.admits(party) || self.typing.contains(&(session, on)) {
            return;
        }
        self.typing.push((session, on));
        let mut sessions = self.slot.sessions(Audience::Staff, Some(session));
        if matches!(party, Party::Agent { .. }) {
            sessions.extend(self.slot.sessions(Audience::All, Some(session)));
        }
        if !sessions.is_empty() {
            let answer = Answer::Typing { conversation: self.slot.key.conversation, author: party.author(), on };
            self.runtime.answers.deliver(&sessions, &answer);
        }
    }

    pub(super) fn unfollowed(&mut self, myself: &ActorRef<ConversationMessage>) {
        if self.visitor_online && !self.slot.visitor_follows() {
            let _timer = myself.send_after(OFFLINE_GRACE, || ConversationMessage::OfflineCheck);
        }
    }

    pub(super) fn check_online(&mut self) {
        let online = self.slot.visitor_follows();
        if online == self.visitor_online {
            return;
        }
        self.visitor_online = online;
        let sessions = self.slot.sessions(Audience::Staff, None);
        if !sessions.is_empty() {
            let answer = Answer::Online { conversation: self.slot.key.conversation, online };
            self.runtime.answers.deliver(&sessions, &answer);
        }
    }

    pub(super) fn tell_place(&mut self, position: Option<u64>) {
        let sessions = self.slot.sessions(Audience::All, None);
        if !sessions.is_empty() {
            let answer = Answer::Position { conversation: self.slot.key.conversation, position };
            self.runtime.answers.deliver(&sessions, &answer);
        }
    }
}

/// A conversation as a reader of `audience` sees it.
pub(crate) fn conversation_view(
    state: &ConversationState,
    audience: Audience,
    reads: &[(Reader, Seq)],
    visitor_online: Option<bool>,
    position: Option<u64>,
) -> ConversationView {
    let staff = audience == Audience::Staff;
    ConversationView {
        id: state.key.conversation,
        status: state.status,
        assignee: state.assignee.clone(),
        visitor: state.visitor,
        visitor_name: Arc::clone(&state.visitor_name),
        created_at: state.created_at,
        page: if staff { state.page.clone() } else { None },
        head: state.head(audience),
        first_seq: 1,
        reads: reads.to_vec(),
        visitor_online: if staff { visitor_online } else { None },
        position: if state.status == Status::Queued { position } else { None },
    }
}

/// A row as its visitor's list shows it.
pub(crate) fn visitor_row(row: &Row, now: Millis) -> VisitorRow {
    use crate::domain::{MemberName, Side};
    let last_author = match row.last_side {
        Side::Visitor => Author::Visitor { id: row.visitor, name: Arc::clone(&row.visitor_name) },
        Side::Agent => Author::Agent(MemberName {
            id: row.assignee.as_ref().map_or(MemberId(0), |it| it.id),
            name: Arc::clone(&row.last_name),
        }),
        Side::System => Author::System,
    };
    VisitorRow {
        id: row.key.conversation,
        status: row.status,
        preview: Arc::clone(&row.preview),
        last_author,
        last_at: row.last_at,
        head: row.head_all,
        read: row.visitor_read,
        unread: row.agent_seqs.iter().filter(|seq| **seq > row.visitor_read).count() as u32,
        writable: writable(row.resolved_at, now),
        created_at: row.created_at,
    }
}
