//! A live conversation: the shell around the pure core. It never waits for the disk to take a command: it decides on
//! `ahead`, hands events to the journal and goes on; when they are durable it acknowledges and fans out, in order.

mod commands;
mod journal;
mod projecting;
mod readers;
mod searched;

pub(crate) use readers::{conversation_view, visitor_row};

use journal::RELOAD_AFTER;
use projecting::Holder;
use searched::{FORGET_AFTER, Searched};

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use smallvec::SmallVec;

use super::pending::{Owner, Pending};
use super::runtime::{RETRY_AFTER_MS, Runtime};
use super::slot::{InHand, Origin, Permit, Slot, Work};
use super::workroom::Workroom;
use crate::domain::{
    Audience, Author, Body, Command, ConversationState, Event, Issued, MemberId, Refusal, Seq, SessionId, Status,
};
use crate::exchange::{Party, Request};
use crate::ports::{Loaded, Reader, StoreError};
use crate::sabotage::{self, Fault};

/// Pieces of work that are done before the journal gets what they decided: those who write without a pause share its
/// batches and hold up nobody else's.
const MOST_A_WAKE: usize = 256;

/// What a conversation's mailbox holds.
pub(crate) enum ConversationMessage {
    /// Work waits in the slot's inbox.
    Wake,
    /// The journal's outcome of the append in flight. Boxed: ractor's loop keeps room for a message in every conversation.
    Appended(Result<(), Box<StoreError>>),
    /// A follower left (its session ended or closed the conversation).
    Unfollowed,
    /// The grace of a visitor without a connection is over.
    OfflineCheck,
    /// What was searched for those who lag behind was kept long enough.
    Forget,
    /// The place in the line, or that it stands in none.
    Place(Option<u64>),
    /// The sweeper came by; `force` to write and go at once (drain).
    Sweep { force: bool },
}

pub(crate) struct ConversationActor;

pub(crate) struct ConversationArguments {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) slot: Arc<Slot>,
}

/// The actor's state; dropped with it, while the slot stays.
pub(crate) struct Live {
    runtime: Arc<Runtime>,
    slot: Arc<Slot>,
    workroom: Option<Arc<Workroom>>,
    loaded: bool,
    /// With every decided event; what commands are decided on. `None` while it would be as `durable`: when nothing waits
    /// for the disk.
    ahead: Option<Box<ConversationState>>,
    /// With every durable event; what readers are shown.
    durable: Option<ConversationState>,
    pending: Pending,
    /// Commands of the log that were looked up lately; with every decided event.
    searched: Option<Searched>,
    /// A `Forget` is on its way.
    forgetting: bool,
    /// Decided events that wait for the append in flight, those of a command together.
    gathered: VecDeque<SmallVec<[Arc<Event>; 4]>>,
    /// The last seq of the append in flight.
    in_flight: Option<Seq>,
    /// Agents whose reservation's commit had an unknown outcome.
    unsettled: SmallVec<[MemberId; 1]>,
    reads: Vec<(Reader, Seq)>,
    /// Marks moved since the row was last published.
    reads_moved: bool,
    /// Marks moved since the projection was last written.
    reads_unsaved: bool,
    /// Whether this life has set the dirty mark.
    marked: bool,
    /// Whether the dirty mark may be set: by this life, by one that crashed, or by an append that failed.
    perhaps_marked: bool,
    projected: Seq,
    visitor_online: bool,
    /// Last typing told of, so that repeats within a sweep of messages cost nothing.
    typing: SmallVec<[(SessionId, bool); 2]>,
}

impl Actor for ConversationActor {
    type Msg = ConversationMessage;
    type State = Live;
    type Arguments = ConversationArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let ConversationArguments { runtime, slot } = arguments;
        let workroom = runtime.workroom(slot.key.workspace);
        let perhaps_marked = slot.loaded_before.load(Ordering::Acquire);
        Ok(Live {
            runtime,
            slot,
            workroom,
            loaded: false,
            ahead: None,
            durable: None,
            pending: Pending::default(),
            searched: None,
            forgetting: false,
            gathered: VecDeque::new(),
            in_flight: None,
            unsettled: SmallVec::new(),
            reads: Vec::new(),
            reads_moved: false,
            reads_unsaved: false,
            marked: false,
            perhaps_marked,
            projected: 0,
            visitor_online: false,
            typing: SmallVec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        live: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        // Boxed for the moment that it lasts: what is not would take its room in every live conversation, 4 KiB of it.
        match message {
            ConversationMessage::Wake => Box::pin(live.wake(&myself)).await,
            ConversationMessage::Appended(result) => {
                if let Err(error) = live.appended(result, &myself) {
                    Box::pin(live.append_failed(&error, &myself)).await;
                }
            }
            ConversationMessage::Unfollowed => live.unfollowed(&myself),
            ConversationMessage::OfflineCheck => live.check_online(),
            ConversationMessage::Forget => (live.searched, live.forgetting) = (None, false),
            ConversationMessage::Place(position) => live.tell_place(position),
            ConversationMessage::Sweep { force } => Box::pin(live.sweep(force, &myself)).await,
        }
        Ok(())
    }
}

impl Live {
    async fn wake(&mut self, myself: &ActorRef<ConversationMessage>) {
        self.slot.woken();
        self.typing.clear();
        if let Err(error) = self.load().await {
            self.without_the_log(&error).await;
            if self.slot.loaded_before.load(Ordering::Acquire) {
                let _timer = myself.send_after(RELOAD_AFTER, || ConversationMessage::Wake);
            }
            return;
        }
        for _ in 0..MOST_A_WAKE {
            let Some(work) = self.slot.next() else { break };
            self.work(work).await;
        }
        if self.slot.has_work() {
            self.slot.wake();
        }
        self.tell_reads();
        if self.searched.is_some() && !std::mem::replace(&mut self.forgetting, true) {
            let _timer = myself.send_after(FORGET_AFTER, || ConversationMessage::Forget);
        }
        self.append(myself);
        if self.durable.is_none() && self.in_flight.is_none() && self.runtime.retire(&self.slot) {
            myself.stop(None);
        }
    }

    /// Reads the log if this life has not, or if an append's outcome was unknown. What turns out durable and was not
    /// told yet is told now.
    async fn load(&mut self) -> Result<(), StoreError> {
        if self.loaded {
            return Ok(());
        }
        self.slot.appends_ended().await;
        let Loaded { state, tail, reads } = self.runtime.store.load(self.slot.key).await?.unwrap_or_default();
        let told = self.slot.told.load(Ordering::Acquire);
        let staff_told = self.slot.staff_told.load(Ordering::Acquire);
        let again = self.slot.loaded_before.load(Ordering::Acquire);
        self.projected = state.as_ref().map_or(0, |state| state.seq);
        let mut durable = state;
        let mut untold = Vec::new();
        for event in &tail {
            if again && event.seq > told.min(staff_told) {
                untold.push((Holder::before(durable.as_ref(), event), Arc::clone(event)));
            }
            ConversationState::fold(&mut durable, self.slot.key, event);
        }
        for (reader, seq) in reads {
            self.advance(reader, seq);
        }
        self.reads_moved = false;
        if !again && let Some(state) = &mut durable {
            forget_on_purpose(state);
        }
        self.ahead = None;
        self.durable = durable;
        self.loaded = true;
        self.visitor_online = self.slot.visitor_follows();
        // First: who hears of an event may read it at once.
        self.slot.set_durable(self.durable_seq());
        if !untold.is_empty() {
            self.publish();
            for (before, event) in &untold {
                if event.seq > told {
                    self.fan_out(event, None);
                }
                if event.seq > staff_told {
                    self.tell_staff(before.as_ref(), event);
                }
            }
            self.tell_watchers(true);
            if untold.iter().any(|(_, event)| !matches!(event.body, Body::Message { .. } | Body::Note { .. })) {
                self.project_soon();
            }
        }
        self.slot.loaded_before.store(true, Ordering::Release);
        self.slot.told.store(self.durable_seq(), Ordering::Release);
        self.slot.staff_told.store(self.durable_seq(), Ordering::Release);
        for member in std::mem::take(&mut self.unsettled) {
            let holds = |state: &ConversationState| {
                state.status == Status::Assigned && state.assignee.as_ref().is_some_and(|it| it.id == member)
            };
            let held = self.durable.as_ref().is_some_and(holds);
            self.runtime.settle(self.slot.key, member, held);
        }
        Ok(())
    }

    /// The store cannot be read: readers go on with what is in memory, everybody else who waits hears it.
    async fn without_the_log(&mut self, error: &StoreError) {
        tracing::warn!(conversation = %self.slot.key.conversation, %error, "a conversation cannot be loaded");
        let refusal = Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS };
        while let Some(work) = self.slot.next() {
            match work {
                // What is durable stays so, whatever became of the last append; if that turns out durable too, it is
                // told to the followers when the log is read again.
                Work::Request { session, party, request, permit }
                    if self.durable.is_some() && request.command_id().is_none() =>
                {
                    self.request(session, party, request, permit).await;
                }
                Work::Request { session, request, permit: _permit, .. } => {
                    self.refuse(session, request.command_id(), refusal);
                }
                Work::Route { to, .. } => self.runtime.settle(self.slot.key, to.id, false),
                Work::Release { .. } => {}
                Work::Unfollow { session } => self.part(session),
            }
        }
    }

    fn part(&self, session: SessionId) {
        if self.slot.unfollow(session) {
            self.slot.cast(ConversationMessage::Unfollowed);
        }
    }

    async fn work(&mut self, work: Work) {
        match work {
            Work::Request { session, party, request, permit } => self.request(session, party, request, permit).await,
            Work::Route { to, number } => {
                let owner = Owner {
                    origin: Origin::Reservation(to.id),
                    id: None,
                    audience: Audience::Staff,
                    greets: false,
                    _permit: None,
                };
                let command = Command::Route { to, number };
                self.command(Issued { author: Author::System, id: None, command }, owner, 0).await;
            }
            Work::Unfollow { session } => self.part(session),
            Work::Release { from, removed } => {
                let owner =
                    Owner { origin: Origin::Nobody, id: None, audience: Audience::Staff, greets: false, _permit: None };
                let command = Command::Release { from, removed };
                self.command(Issued { author: Author::System, id: None, command }, owner, 0).await;
            }
        }
    }

    async fn request(&mut self, session: SessionId, party: Party, request: Request, permit: Permit) {
        let command = match request {
            Request::Start { id, text, page } => {
                return self.start(session, &party, id, Command::Start { text, page }, permit).await;
            }
            Request::Send { id, seen, text, .. } => (id, seen, Command::Send { text }),
            Request::Note { id, seen, text, .. } => (id, seen, Command::Note { text }),
            Request::Resolve { id, seen, .. } => (id, seen, Command::Resolve),
            Request::Reopen { id, seen, .. } => (id, seen, Command::Reopen),
            Request::Assign { id, seen, to: None, .. } => (id, seen, Command::Return),
            Request::Assign { id, seen, to: Some(to), .. } => {
                match self.workroom.as_ref().and_then(|room| room.member(to)) {
                    Some(to) => (id, seen, Command::Assign { to }),
                    None => return self.repeat_of_assign(session, &party, id, seen, to, permit).await,
                }
            }
            Request::Open { after, .. } => return self.open(session, &party, after).await,
            Request::Page { before, limit, .. } => return self.page(session, &party, before, limit).await,
            Request::Read { seq, .. } => return self.read(&party, seq),
            Request::Typing { on, .. } => return self.tell_typing(session, &party, on),
            // Lists and closes never come here.
            Request::Close { .. }
            | Request::Conversations
            | Request::List { .. }
            | Request::Unlist { .. }
            | Request::More { .. } => return,
        };
        let (id, seen, command) = command;
        self.slot.take_in_hand(InHand { session, command: Some(id) });
        let owner = Owner {
            origin: Origin::Session(session),
            id: Some(id),
            audience: party.audience(),
            greets: false,
            _permit: Some(permit),
        };
        self.command(Issued { author: party.author(), id: Some(id), command }, owner, seen).await;
    }
}

/// What a conversation that wakes gets wrong when it is told to; nothing, in what users run.
fn forget_on_purpose(state: &mut ConversationState) {
    if sabotage::on(Fault::SkipDedupAfterRestart) {
        (state.start, state.recent_floor) = (None, 0);
        state.recent.clear();
    }
    if sabotage::on(Fault::RenumberOnWake) {
        state.seq -= 1;
    }
}
