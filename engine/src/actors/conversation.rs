//! A live conversation: the shell around the pure core. It never waits for the disk to take a command: it decides on
//! `ahead`, hands events to the journal and goes on; when they are durable it acknowledges and fans out, in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use smallvec::SmallVec;

use super::agent::AgentMessage;
use super::pending::{Entry, Owner, Pending};
use super::queue::QueueMessage;
use super::reading::{Batch, Reading};
use super::runtime::{RETRY_AFTER_MS, Runtime};
use super::slot::{Follower, InHand, Origin, Permit, Slot, Work};
use super::workroom::Workroom;
use crate::domain::{
    Audience, Author, Body, Command, CommandId, CommandMark, Context, ConversationState, Decision, Event, Issued,
    Refusal, Remembered, Seq, SessionId, Status, again, decide, writable,
};
use crate::exchange::{Answer, BATCH_EVENTS, ConversationView, FIRST_BATCH_EVENTS, Party, Request, VisitorRow};
use crate::ports::{Append, Loaded, Projection, Range, Reader, StoreError};

/// A visitor is shown as offline only after this long without a connection: a page change is not a departure.
const OFFLINE_GRACE: Duration = Duration::from_secs(5);

/// After a failed append with live followers, the log is read again by itself after this long.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

/// A projection (with its snapshot) is written after this many events, so that waking reads a bounded tail.
const EVENTS_A_PROJECTION: u64 = 256;

/// What a conversation's mailbox holds.
pub(crate) enum ConversationMessage {
    /// Work waits in the slot's inbox.
    Wake,
    /// The journal's outcome of the append in flight.
    Appended(Result<(), StoreError>),
    /// A follower left (its session ended or closed the conversation).
    Unfollowed,
    /// The grace of a visitor without a connection is over.
    OfflineCheck,
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
    /// With every decided event; what commands are decided on.
    ahead: Option<ConversationState>,
    /// With every durable event; what readers are shown.
    durable: Option<ConversationState>,
    pending: Pending,
    /// Decided events that wait for the append in flight.
    gathered: Vec<Arc<Event>>,
    /// The last seq of the append in flight.
    in_flight: Option<Seq>,
    reads: Vec<(Reader, Seq)>,
    /// Marks moved since the row was last published.
    reads_moved: bool,
    /// Marks moved since the projection was last written.
    reads_unsaved: bool,
    /// Whether this life has set the dirty mark.
    marked: bool,
    projected: Seq,
    visitor_online: bool,
    sweeps_idle: u32,
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
        Ok(Live {
            runtime,
            slot,
            workroom,
            loaded: false,
            ahead: None,
            durable: None,
            pending: Pending::default(),
            gathered: Vec::new(),
            in_flight: None,
            reads: Vec::new(),
            reads_moved: false,
            reads_unsaved: false,
            marked: false,
            projected: 0,
            visitor_online: false,
            sweeps_idle: 0,
            typing: SmallVec::new(),
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        live: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ConversationMessage::Wake => live.wake(&myself).await,
            ConversationMessage::Appended(result) => live.appended(result, &myself).await,
            ConversationMessage::Unfollowed => live.unfollowed(&myself),
            ConversationMessage::OfflineCheck => live.check_online(),
            ConversationMessage::Place(position) => live.tell_place(position),
            ConversationMessage::Sweep { force } => live.sweep(force, &myself).await,
        }
        Ok(())
    }
}

impl Live {
    async fn wake(&mut self, myself: &ActorRef<ConversationMessage>) {
        self.slot.woken();
        self.sweeps_idle = 0;
        self.typing.clear();
        if let Err(error) = self.load().await {
            self.refuse_waiting(&error);
            return;
        }
        while let Some(work) = self.slot.next() {
            self.work(work).await;
        }
        self.tell_reads();
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
        let told = self.slot.durable.load(Ordering::Acquire);
        let mut durable = state;
        for event in &tail {
            match &mut durable {
                Some(state) => state.apply(event),
                None => durable = Some(ConversationState::begin(self.slot.key, event)),
            }
        }
        for (reader, seq) in reads {
            self.advance(reader, seq);
        }
        self.reads_moved = false;
        self.projected = durable.as_ref().map_or(0, |state| state.seq);
        self.ahead.clone_from(&durable);
        self.durable = durable;
        self.loaded = true;
        self.visitor_online = self.slot.visitor_follows();
        if told > 0 {
            for event in tail.iter().filter(|event| event.seq > told) {
                self.fan_out(event, None);
                self.tell_staff(None, event);
            }
            self.publish();
        }
        if let Some(state) = &self.durable {
            self.slot.set_durable(state.seq);
        }
        Ok(())
    }

    /// The store cannot be read: everybody who waits hears it.
    fn refuse_waiting(&mut self, error: &StoreError) {
        tracing::warn!(conversation = %self.slot.key.conversation, %error, "a conversation cannot be loaded");
        let refusal = Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS };
        while let Some(work) = self.slot.next() {
            match work {
                Work::Request { session, request, permit: _permit, .. } => {
                    self.refuse(session, request.command_id(), refusal);
                }
                Work::Route { to, .. } => self.runtime.settle(self.slot.key, to.id, false),
                Work::Release { .. } => {}
            }
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
                    None => return self.refuse(session, Some(id), Refusal::MemberUnknown),
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

    async fn start(&mut self, session: SessionId, party: &Party, id: CommandId, command: Command, permit: Permit) {
        self.slot.take_in_hand(InHand { session, command: Some(id) });
        let (audience, origin) = (party.audience(), Origin::Session(session));
        let issued = Issued { author: party.author(), id: Some(id), command };
        let mut greets = false;
        if self.durable.is_some() {
            self.open(session, party, None).await;
        } else if self.decide(&issued).is_ok() {
            self.slot.follow(Follower { session, audience });
            self.visitor_online = true;
            greets = true;
        }
        let owner = Owner { origin, id: Some(id), audience, greets, _permit: Some(permit) };
        self.command(issued, owner, 0).await;
    }

    fn decide(&self, issued: &Issued) -> Result<Decision, Refusal> {
        let context = Context {
            key: self.slot.key,
            now: self.runtime.now(),
            epoch: self.runtime.epoch,
            next_number: self.workroom.as_ref().map_or(0, |room| room.next_number()),
        };
        decide(self.ahead.as_ref(), issued, &context)
    }

    async fn command(&mut self, issued: Issued, owner: Owner, seen: Seq) {
        let decision = match self.before_memory(&issued, seen).await {
            Ok(Some(before)) => before,
            Ok(None) => self.decide(&issued),
            Err(_unreadable) => Err(Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS }),
        };
        match decision {
            Ok(Decision::Events { events, own }) => {
                let mut owner = Some(owner);
                for (index, event) in events.into_iter().enumerate() {
                    let event = Arc::new(event);
                    match &mut self.ahead {
                        Some(state) => state.apply(&event),
                        None => self.ahead = Some(ConversationState::begin(self.slot.key, &event)),
                    }
                    let owner = if index == own { owner.take() } else { None };
                    self.pending.push(event.seq, Entry::Event { event: Arc::clone(&event), owner });
                    self.gathered.push(event);
                }
            }
            Ok(Decision::Again(before)) => self.acknowledge_again(owner, &before),
            Err(refusal) => self.refuse_owner(owner, refusal),
        }
    }

    /// Looks for the command in the part of the log that the state no longer remembers: between what its sender had
    /// seen when it was made and the oldest remembered command.
    async fn before_memory(&self, issued: &Issued, seen: Seq) -> Result<Option<Result<Decision, Refusal>>, StoreError> {
        let (Some(state), Some(id)) = (&self.ahead, issued.id) else { return Ok(None) };
        let sender = issued.author.sender();
        if seen >= state.recent_floor || state.remembered(sender, id).is_some() {
            return Ok(None);
        }
        let mark = CommandMark { id, hash: issued.command.body_hash() };
        let mut at = seen;
        while at < state.recent_floor {
            let chunk = self.runtime.store.events(self.slot.key, Range::After(at), BATCH_EVENTS).await?;
            let Some(last) = chunk.last().map(|event| event.seq) else { break };
            for event in &chunk {
                if let Some(found) = event.command.filter(|it| it.id == id)
                    && event.author.sender() == sender
                {
                    let before =
                        Remembered { sender, mark: found, seq: event.seq, prev_all: event.prev_all, at: event.at };
                    return Ok(Some(again(&before, mark)));
                }
            }
            at = last;
        }
        Ok(None)
    }

    fn acknowledge_again(&mut self, owner: Owner, before: &Remembered) {
        match (owner.origin, owner.id) {
            (Origin::Session(session), Some(id)) => {
                let prev = match owner.audience {
                    Audience::All => before.prev_all,
                    Audience::Staff => before.seq - 1,
                };
                let conversation = self.slot.key.conversation;
                let answer =
                    Answer::Acknowledged { id, conversation, seq: before.seq, prev, at: before.at, again: true };
                self.answer_in_order(session, Some(id), answer, owner._permit);
            }
            (Origin::Reservation(member), _) => self.runtime.settle(self.slot.key, member, true),
            _ => {}
        }
    }

    fn refuse_owner(&mut self, owner: Owner, refusal: Refusal) {
        match owner.origin {
            Origin::Session(session) => {
                let answer = Answer::Refused { id: owner.id, conversation: Some(self.slot.key.conversation), refusal };
                self.answer_in_order(session, owner.id, answer, owner._permit);
            }
            Origin::Reservation(_) if self.settled() => self.unroute(&owner),
            Origin::Reservation(_) => self.pending.push(self.ahead_seq(), Entry::Unrouted { owner }),
            Origin::Nobody => {}
        }
    }

    fn unroute(&self, owner: &Owner) {
        if let Origin::Reservation(member) = owner.origin {
            self.runtime.settle(self.slot.key, member, false);
        }
    }

    fn ahead_seq(&self) -> Seq {
        self.ahead.as_ref().map_or(0, |state| state.seq)
    }

    fn durable_seq(&self) -> Seq {
        self.durable.as_ref().map_or(0, |state| state.seq)
    }

    fn settled(&self) -> bool {
        self.pending.is_empty()
    }

    /// An answer that rests on `ahead` waits until that is durable.
    fn answer_in_order(&mut self, session: SessionId, id: Option<CommandId>, answer: Answer, permit: Option<Permit>) {
        if self.settled() {
            self.runtime.tell(session, &answer);
            self.slot.put_down(InHand { session, command: id });
        } else {
            self.pending.push(self.ahead_seq(), Entry::Answer { session, id, answer, _permit: permit });
        }
    }

    fn refuse(&self, session: SessionId, id: Option<CommandId>, refusal: Refusal) {
        let answer = Answer::Refused { id, conversation: Some(self.slot.key.conversation), refusal };
        self.runtime.tell(session, &answer);
        self.slot.put_down(InHand { session, command: id });
    }

    /// Hands what was gathered to the journal, unless an append is in flight: then it waits for company.
    fn append(&mut self, myself: &ActorRef<ConversationMessage>) {
        if self.in_flight.is_some() {
            return;
        }
        let Some(last) = self.gathered.last() else { return };
        self.in_flight = Some(last.seq);
        let events = std::mem::take(&mut self.gathered);
        let append = Append { key: self.slot.key, events, mark_dirty: !self.marked };
        self.marked = true;
        let (actor, slot) = (myself.clone(), Arc::clone(&self.slot));
        slot.append_begins();
        self.runtime.store.append(
            append,
            Box::new(move |result| {
                slot.append_ends();
                // A conversation that crashed meanwhile reads the log anyway.
                let _gone = actor.cast(ConversationMessage::Appended(result));
            }),
        );
    }

    async fn appended(&mut self, result: Result<(), StoreError>, myself: &ActorRef<ConversationMessage>) {
        let Some(upto) = self.in_flight.take() else { return };
        match result {
            Ok(()) => {
                self.append(myself);
                self.release(upto);
            }
            Err(error) => self.append_failed(&error, myself).await,
        }
    }

    /// Does what waited for everything up to `upto` to be durable.
    fn release(&mut self, upto: Seq) {
        let (status, mut status_changed) = (self.durable.as_ref().map(|state| state.status), false);
        while let Some(entry) = self.pending.pop(upto) {
            match entry {
                Entry::Event { event, owner } => {
                    let before = Holder::before(self.durable.as_ref(), &event);
                    match &mut self.durable {
                        Some(state) => state.apply(&event),
                        None => self.durable = Some(ConversationState::begin(self.slot.key, &event)),
                    }
                    let acknowledged = owner.and_then(|owner| self.acknowledge(owner, &event));
                    self.fan_out(&event, acknowledged);
                    self.tell_staff(before.as_ref(), &event);
                    status_changed |= !matches!(event.body, Body::Message { .. } | Body::Note { .. });
                }
                Entry::Answer { session, id, answer, _permit } => {
                    self.runtime.tell(session, &answer);
                    self.slot.put_down(InHand { session, command: id });
                }
                Entry::Unrouted { owner } => self.unroute(&owner),
            }
        }
        self.slot.set_durable(self.durable_seq());
        self.publish();
        self.tell_watchers(status != self.durable.as_ref().map(|state| state.status));
        if status_changed || self.durable_seq() - self.projected >= EVENTS_A_PROJECTION {
            self.project_soon();
        }
    }

    /// Acknowledges an event to its sender; returns the session, which then gets no `Event` for it.
    fn acknowledge(&self, owner: Owner, event: &Event) -> Option<SessionId> {
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

    fn fan_out(&self, event: &Arc<Event>, except: Option<SessionId>) {
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

    /// Tells queue and agents who holds the conversation now: projections of what the log says.
    fn tell_staff(&self, before: Option<&Holder>, event: &Event) {
        let Some(room) = &self.workroom else { return };
        let conversation = self.slot.key.conversation;
        let dropped = |keeps: Option<crate::domain::MemberId>| {
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

    fn publish(&self) {
        if let (Some(room), Some(state)) = (&self.workroom, &self.durable) {
            let (staff_read, visitor_read) = self.read_by_side();
            room.publish(Arc::new(state.row(staff_read, visitor_read)));
        }
    }

    fn read_by_side(&self) -> (Seq, Seq) {
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
    fn tell_watchers(&self, status_changed: bool) {
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

    async fn append_failed(&mut self, error: &StoreError, myself: &ActorRef<ConversationMessage>) {
        tracing::warn!(conversation = %self.slot.key.conversation, %error, "an append failed");
        let refusal = match error {
            StoreError::Unavailable(_) | StoreError::Fenced => Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS },
            StoreError::Unknown(_) | StoreError::Damaged(_) => Refusal::Unknown { retry_after_ms: RETRY_AFTER_MS },
        };
        self.gathered.clear();
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

    fn view(&self, audience: Audience) -> Option<ConversationView> {
        let state = self.durable.as_ref()?;
        let position = (state.status == Status::Queued)
            .then(|| self.workroom.as_ref()?.places.lock().get(&state.key.conversation).copied())
            .flatten();
        Some(conversation_view(state, audience, &self.reads, Some(self.visitor_online), position))
    }

    /// A visitor who started the conversation follows it from before its first event.
    fn greet(&self, session: SessionId, audience: Audience, head: Seq) {
        let Some(state) = &self.durable else { return };
        let mut view = conversation_view(state, audience, &self.reads, None, None);
        view.head = head;
        let answer = Answer::Opened { view, audience, reset: None, events: Vec::new(), older: false, more: false };
        self.runtime.tell(session, &answer);
    }

    /// Whether this party may see the conversation; foreign and unknown ones look alike (G10).
    fn admits(&self, party: &Party) -> bool {
        match (&self.durable, party) {
            (Some(state), Party::Visitor { visitor, .. }) => state.visitor == *visitor,
            (Some(_), Party::Agent { .. }) => true,
            (None, _) => false,
        }
    }

    fn reading(&self, audience: Audience) -> Reading<'_> {
        Reading { store: self.runtime.store.as_ref(), key: self.slot.key, audience, durable: self.durable_seq() }
    }

    async fn open(&mut self, session: SessionId, party: &Party, after: Option<Seq>) {
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

    async fn page(&mut self, session: SessionId, party: &Party, before: Seq, limit: Option<u32>) {
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
    fn advance(&mut self, reader: Reader, seq: Seq) -> bool {
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

    fn read(&mut self, party: &Party, seq: Seq) {
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
    fn tell_reads(&mut self) {
        if std::mem::take(&mut self.reads_moved) {
            self.publish();
        }
    }

    fn tell_typing(&mut self, session: SessionId, party: &Party, on: bool) {
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

    fn unfollowed(&mut self, myself: &ActorRef<ConversationMessage>) {
        if self.visitor_online && !self.slot.visitor_follows() {
            let _timer = myself.send_after(OFFLINE_GRACE, || ConversationMessage::OfflineCheck);
        }
    }

    fn check_online(&mut self) {
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

    fn tell_place(&mut self, position: Option<u64>) {
        let sessions = self.slot.sessions(Audience::All, None);
        if !sessions.is_empty() {
            let answer = Answer::Position { conversation: self.slot.key.conversation, position };
            self.runtime.answers.deliver(&sessions, &answer);
        }
    }

    fn projection(&self, clear_dirty: bool) -> Option<Projection> {
        let state = self.durable.as_ref()?;
        let (staff_read, visitor_read) = self.read_by_side();
        let row = state.row(staff_read, visitor_read);
        Some(Projection { row, state: state.clone(), reads: self.reads.clone(), clear_dirty })
    }

    /// Writes the projection beside the conversation's work: lists of resolved and of a visitor's conversations are
    /// read from the store.
    fn project_soon(&mut self) {
        let Some(projection) = self.projection(false) else { return };
        self.projected = self.durable_seq();
        let store = Arc::clone(&self.runtime.store);
        tokio::spawn(async move {
            if let Err(error) = store.project(projection).await {
                // The dirty mark stands: it is written when the conversation sleeps, or at the next start.
                tracing::warn!(%error, "a projection was not written");
            }
        });
    }

    /// Goes to sleep when nobody needs it: writes the projection, takes the dirty mark away, leaves memory.
    async fn sweep(&mut self, force: bool, myself: &ActorRef<ConversationMessage>) {
        self.sweeps_idle = self.sweeps_idle.saturating_add(1);
        let idle = force || self.sweeps_idle >= self.runtime.options.sweeps_before_sleep();
        if !idle || self.in_flight.is_some() || !self.settled() || self.slot.has_work() {
            return;
        }
        if !force && !self.slot.is_quiet() {
            return;
        }
        if self.marked || self.reads_unsaved {
            let Some(projection) = self.projection(true) else { return };
            match self.runtime.store.project(projection).await {
                Ok(()) => (self.marked, self.reads_unsaved) = (false, false),
                Err(error) => {
                    tracing::warn!(conversation = %self.slot.key.conversation, %error, "a projection was not written");
                    return;
                }
            }
        }
        if self.runtime.retire(&self.slot) {
            myself.stop(None);
        }
    }
}

/// What a change of holder needs of the state before it.
struct Holder {
    assignee: Option<crate::domain::MemberId>,
    /// Since when the visitor waited, if no agent had answered yet.
    first_answer_to: Option<crate::domain::Millis>,
}

impl Holder {
    /// Before `event`; `None` where nothing about the holder can follow from it.
    fn before(state: Option<&ConversationState>, event: &Event) -> Option<Self> {
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
pub(crate) fn visitor_row(row: &crate::domain::Row, now: crate::domain::Millis) -> VisitorRow {
    use crate::domain::{MemberId, MemberName, Side};
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
