//! The engine's door: what the gateway calls.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::actors::agent::AgentMessage;
use crate::actors::conversation::{ConversationMessage, conversation_view, visitor_row};
use crate::actors::desks::Post;
use crate::actors::lists::{self, ListsRequest, Rows};
use crate::actors::queue::QueueMessage;
use crate::actors::runtime::{RETRY_AFTER_MS, Runtime};
use crate::actors::slot::{Permit, Slot, Work};
use crate::actors::sweeper::SWEEP_EVERY;
use crate::actors::team::TeamMessage;
use crate::actors::tree::Tree;
use crate::actors::workroom::{Shown, Workroom};
use crate::domain::{
    Audience, CommandId, ConversationId, ConversationKey, ConversationState, Event, MemberId, Refusal, Row, SessionId,
    Status, VisitorId, WorkspaceId, conversation_id,
};
use crate::exchange::{Answer, ConversationView, MemberState, Party, Request, Team, VISITOR_ROWS, View};
use crate::ports::{Answers, Clock, Desk, Loaded, Projection, Range, Reader, RowList, Store, StoreError};

/// What the engine needs from outside.
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub answers: Arc<dyn Answers>,
    pub clock: Arc<dyn Clock>,
}

/// Bounds and times; the gateway's configuration gives each its default and reason.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests accepted and not yet answered, over all conversations (G11).
    pub max_requests_in_flight: usize,
    /// Requests waiting in front of one conversation.
    pub max_requests_per_conversation: usize,
    /// Commands accepted a second over all conversations, and a quarter of a second's worth at once; 0 for no limit.
    pub commands_per_second: u32,
    /// An idle conversation that nobody follows is dropped from memory after this long, to the next 5 s.
    pub sleep_after: Duration,
    /// An agent without a connection for this long loses the conversations they have not answered.
    pub release_after: Duration,
}

impl Options {
    pub(crate) fn sweeps_before_sleep(&self) -> u32 {
        self.sleep_after.as_millis().div_ceil(SWEEP_EVERY.as_millis()) as u32
    }
}

/// Rows read from the store at a time at the start.
const START_PAGE: usize = 1_000;

/// How long `drain` waits for accepted requests, and then for projections. Both take milliseconds unless the store is
/// away; what is left then was never acknowledged, and dirty marks stand.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How often `drain` looks whether it is done.
const DRAIN_LOOK: Duration = Duration::from_millis(5);

/// Conversations that are still awake are asked to sleep every so many looks: half a second, in which a store writes
/// tens of thousands of projections.
const LOOKS_A_SWEEP: u32 = 100;

/// Dirty marks worked off at once. A server that was killed under load has thousands, and a store over the network takes
/// tens of milliseconds for each: one after the other, 1,000 took 35 s on three busy Cassandra nodes. Few, because the
/// lease's renewals wait behind them: with 32 at once on such nodes a renewal took over 0.75 s, and the start failed.
const MARKS_AT_ONCE: usize = 8;

/// A store that cannot be reached for a moment does not end a start: the same mark is tried again for so long. A busy
/// cluster refuses for a second or two; a longer outage is for whoever starts the server to see.
const MARK_PATIENCE: Duration = Duration::from_secs(10);

/// Between two tries.
const MARK_AGAIN: Duration = Duration::from_millis(250);

/// Waits until one more dirty mark is worked off.
async fn worked_off(under_way: &mut JoinSet<Result<(), StoreError>>) -> Result<(), StoreError> {
    match under_way.join_next().await {
        None => Ok(()),
        Some(Ok(outcome)) => outcome,
        Some(Err(error)) => Err(StoreError::Unavailable(format!("a dirty mark could not be worked off: {error}"))),
    }
}

/// Works off one dirty mark, however often that takes within [`MARK_PATIENCE`]: doing it twice does no harm.
async fn work_off(store: Arc<dyn Store>, key: ConversationKey) -> Result<(), StoreError> {
    let mut waited = Duration::ZERO;
    loop {
        match project_anew(&store, key).await {
            Err(StoreError::Unavailable(_) | StoreError::Unknown(_)) if waited < MARK_PATIENCE => {
                tokio::time::sleep(MARK_AGAIN).await;
                waited += MARK_AGAIN;
            }
            outcome => return outcome,
        }
    }
}

/// Makes a conversation's projection of its log, and takes its dirty mark away.
async fn project_anew(store: &Arc<dyn Store>, key: ConversationKey) -> Result<(), StoreError> {
    let Some(Loaded { state, tail, reads }) = store.load(key).await? else { return Ok(()) };
    let mut state = state;
    for event in &tail {
        ConversationState::fold(&mut state, key, event);
    }
    let Some(state) = state else { return Ok(()) };
    let furthest = |staff: bool| {
        let side = reads.iter().filter(|(reader, _)| matches!(reader, Reader::Agent(_)) == staff);
        side.map(|(_, seq)| *seq).max().unwrap_or_default()
    };
    let row = state.row(furthest(true), furthest(false));
    store.project(Projection { row, state, reads, clear_dirty: true }).await
}

fn overloaded() -> Refusal {
    metrics::counter!("bellhop_requests_overloaded_total").increment(1);
    Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS }
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    runtime: Arc<Runtime>,
    tree: Tree,
}

impl Engine {
    /// Starts the supervision tree, works off the dirty marks, reads every workspace's open conversations.
    pub async fn start(ports: Ports, options: Options, desks: Vec<Desk>) -> Result<Self, StoreError> {
        let runtime = Arc::new(Runtime::new(ports, options));
        let tree = Tree::start(&runtime)
            .await
            .map_err(|error| StoreError::Unavailable(format!("the supervision tree does not stand: {error}")))?;
        let engine = Self { runtime, tree };
        engine.work_off_dirty_marks().await?;
        for desk in desks {
            engine.open_workroom(desk).await?;
        }
        Ok(engine)
    }

    /// Projections of these conversations may be behind their logs: they are made anew.
    async fn work_off_dirty_marks(&self) -> Result<(), StoreError> {
        let marks = self.runtime.store.dirty().await?;
        let count = marks.len();
        let mut under_way = JoinSet::new();
        for (_, key) in marks {
            if under_way.len() >= MARKS_AT_ONCE {
                worked_off(&mut under_way).await?;
            }
            under_way.spawn(work_off(Arc::clone(&self.runtime.store), key));
        }
        while !under_way.is_empty() {
            worked_off(&mut under_way).await?;
        }
        if count > 0 {
            tracing::info!(conversations = count, "projections were brought up to their logs");
        }
        Ok(())
    }

    async fn open_workroom(&self, desk: Desk) -> Result<(), StoreError> {
        let workroom = Arc::new(Workroom::new(desk, self.runtime.epoch));
        let mut after = None;
        loop {
            let page = self.runtime.store.rows(RowList::Open(workroom.id), after, START_PAGE).await?;
            for row in page.rows {
                workroom.rows.insert(row.key.conversation, Shown::new(row));
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        self.runtime.workrooms.insert(workroom.id, Arc::clone(&workroom));
        self.tree.desks.open(&self.runtime, &workroom);
        self.release_strangers(&workroom);
        Ok(())
    }

    /// What a removed member still holds (the process ended before it was released) goes back to the line.
    fn release_strangers(&self, workroom: &Workroom) {
        for row in &workroom.rows {
            if let Some(holder) = row.assignee.as_ref().filter(|_| row.status == Status::Assigned) {
                workroom.look_at_holder(*row.key(), holder.id);
            }
        }
        self.runtime.release_strangers_of(workroom);
    }

    /// A session was admitted. Agents count as online from here on and get `Members`; visitors get `Team` at changes.
    pub fn connect(&self, session: SessionId, party: &Party) {
        let Some(room) = self.runtime.workroom(party.workspace()) else { return };
        match party {
            Party::Visitor { .. } => {
                room.connected.lock().visitors.insert(session);
            }
            Party::Agent { member, .. } => {
                room.connected.lock().agents.entry(member.id).or_default().push(session);
                room.tell_agent(member.id, AgentMessage::Presence);
                room.tell_team(TeamMessage::Greet { session });
            }
        }
    }

    /// A session is gone. `followed` are the conversations it had open.
    pub fn disconnect(&self, session: SessionId, party: &Party, followed: &[ConversationId]) {
        let workspace = party.workspace();
        for conversation in followed {
            self.unfollow(session, ConversationKey { workspace, conversation: *conversation });
        }
        let Some(room) = self.runtime.workroom(workspace) else { return };
        let mut connected = room.connected.lock();
        match party {
            Party::Visitor { visitor, .. } => {
                connected.visitors.remove(&session);
                if let Some(watching) = connected.watching.get_mut(visitor) {
                    watching.retain(|it| *it != session);
                    if watching.is_empty() {
                        connected.watching.remove(visitor);
                    }
                }
            }
            Party::Agent { member, .. } => {
                if let Some(sessions) = connected.agents.get_mut(&member.id) {
                    sessions.retain(|it| *it != session);
                }
                connected.lists.retain(|_, followers| {
                    followers.retain(|it| *it != session);
                    !followers.is_empty()
                });
                drop(connected);
                room.tell_agent(member.id, AgentMessage::Presence);
            }
        }
    }

    fn unfollow(&self, session: SessionId, key: ConversationKey) {
        if let Some(slot) = self.runtime.live(key)
            && slot.part(session)
        {
            slot.cast(ConversationMessage::Unfollowed);
        }
    }

    /// Hands a request over. `Err` is a refusal decided at once; otherwise each command gets exactly one
    /// `Acknowledged` or `Refused`, each other request what its kind is answered with, through [`Answers`].
    pub fn submit(&self, session: SessionId, party: &Party, request: Request) -> Result<(), Refusal> {
        let workspace = party.workspace();
        let Some(room) = self.runtime.workroom(workspace) else { return Err(Refusal::NotFound) };
        let conversation = match (&request, party) {
            (Request::Start { id, .. }, Party::Visitor { visitor, .. }) => self.start_id(workspace, *visitor, *id),
            (
                Request::Send { conversation, .. }
                | Request::Open { conversation, .. }
                | Request::Page { conversation, .. }
                | Request::Read { conversation, .. }
                | Request::Typing { conversation, .. },
                _,
            )
            | (
                Request::Note { conversation, .. }
                | Request::Assign { conversation, .. }
                | Request::Resolve { conversation, .. }
                | Request::Reopen { conversation, .. },
                Party::Agent { .. },
            ) => *conversation,
            (Request::Close { conversation }, _) => {
                self.unfollow(session, ConversationKey { workspace, conversation: *conversation });
                return Ok(());
            }
            (Request::Conversations, Party::Visitor { visitor, .. }) => {
                let permit = self.permit()?;
                self.tell_conversations(session, &room, *visitor, permit);
                return Ok(());
            }
            (Request::List { .. } | Request::Unlist { .. } | Request::More { .. }, Party::Agent { member, .. }) => {
                return self.list_request(session, &room, member.id, request);
            }
            _ => return Err(Refusal::Forbidden),
        };
        let key = ConversationKey { workspace, conversation };
        self.admit(session, party, request, key)
    }

    fn admit(&self, session: SessionId, party: &Party, request: Request, key: ConversationKey) -> Result<(), Refusal> {
        let runtime = &self.runtime;
        let signal = matches!(request, Request::Read { .. } | Request::Typing { .. });
        if signal && runtime.live(key).is_none() && matches!(request, Request::Typing { .. }) {
            return Ok(());
        }
        // A store that is away is not asked: a command that would wait for it in vain is refused before anything is done
        // for it, while readers go on with what is in memory.
        let takes_commands = !runtime.draining.load(Ordering::Acquire) && runtime.store.healthy();
        if !takes_commands && request.command_id().is_some() {
            return Err(Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS });
        }
        // After the checks that refuse anyway, before a place is taken; reads and signals are not counted.
        if request.command_id().is_some() && !runtime.admission.admits(runtime.now()) {
            return Err(overloaded());
        }
        let permit = match self.permit() {
            Ok(permit) => permit,
            // A signal may be lost.
            Err(_) if signal => return Ok(()),
            Err(refusal) => return Err(refusal),
        };
        let work = Work::Request { session, party: party.clone(), request, permit };
        match runtime.give(key, work) {
            Err(_) if signal => Ok(()),
            outcome => outcome,
        }
    }

    fn permit(&self) -> Result<Permit, Refusal> {
        self.runtime.permit().ok_or_else(overloaded)
    }

    fn list_request(
        &self,
        session: SessionId,
        room: &Workroom,
        member: MemberId,
        request: Request,
    ) -> Result<(), Refusal> {
        match request {
            Request::List { view, resume } => {
                let permit = self.permit()?;
                room.ask_lists(ListsRequest::Follow { session, member, view, resume, permit });
            }
            Request::More { view, after } => {
                let permit = self.permit()?;
                room.ask_lists(ListsRequest::More { session, member, view, after, permit });
            }
            Request::Unlist { view } => {
                room.ask_lists(ListsRequest::Unfollow { session, member, view });
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads a visitor's conversations beside the caller; the session watches them from now on.
    fn tell_conversations(&self, session: SessionId, room: &Arc<Workroom>, visitor: VisitorId, permit: Permit) {
        {
            let mut connected = room.connected.lock();
            if !connected.visitors.contains(&session) {
                return;
            }
            let watching = connected.watching.entry(visitor).or_default();
            if !watching.contains(&session) {
                watching.push(session);
            }
        }
        let (runtime, room) = (Arc::clone(&self.runtime), Arc::clone(room));
        tokio::spawn(async move {
            let _permit = permit;
            let answer = match runtime.store.rows(RowList::OfVisitor(room.id, visitor), None, VISITOR_ROWS).await {
                Ok(page) => {
                    let now = runtime.now();
                    let newest = |row: Row| match room.rows.get(&row.key.conversation) {
                        Some(live) if (live.epoch, live.seq) > (row.epoch, row.seq) => visitor_row(&live, now),
                        _ => visitor_row(&row, now),
                    };
                    // Begun or resolved a moment ago: the store is behind.
                    let mut rows = page.rows;
                    for unwritten in room.unwritten_of(visitor) {
                        match rows.iter_mut().find(|row| row.key == unwritten.key) {
                            Some(row) if row.seq >= unwritten.seq => {}
                            Some(row) => row.clone_from(&unwritten),
                            None => rows.insert(0, Row::clone(&unwritten)),
                        }
                    }
                    Answer::Conversations(rows.into_iter().map(newest).collect())
                }
                Err(error) => {
                    tracing::warn!(%error, "a visitor's conversations cannot be read");
                    let refusal = Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS };
                    Answer::Refused { id: None, conversation: None, refusal }
                }
            };
            runtime.tell(session, &answer);
        });
    }

    /// The id that a `Start` of this visitor with this command id leads to (the session follows it from then on).
    pub fn start_id(&self, workspace: WorkspaceId, visitor: VisitorId, id: CommandId) -> ConversationId {
        conversation_id(&self.runtime.secret, workspace, visitor, id)
    }

    /// A workspace was made or changed: its members and cap as they are now. A member who is no longer on it was
    /// removed: their sessions are told `Revoked`, their conversations go back to the line.
    pub fn set_desk(&self, desk: Desk) {
        let Some(room) = self.runtime.workroom(desk.workspace) else {
            let room = Arc::new(Workroom::new(desk, self.runtime.epoch));
            self.runtime.workrooms.insert(room.id, Arc::clone(&room));
            self.tree.desks.open(&self.runtime, &room);
            return;
        };
        let before = std::mem::replace(&mut *room.desk.write(), desk.clone());
        room.tell_queue(QueueMessage::Cap(desk.agent_cap));
        let is_in = |desk: &Desk, id: MemberId| desk.members.iter().any(|it| it.member.id == id);
        for member in desk.members.iter().map(|it| it.member.id) {
            if is_in(&before, member) {
                room.tell_agent(member, AgentMessage::Presence);
            } else {
                self.tree.desks.employ(&self.runtime, &room, Post::Agent(member));
            }
        }
        for member in before.members.iter().map(|it| it.member.id).filter(|id| !is_in(&desk, *id)) {
            for row in room.rows.iter().filter(|row| row.assignee.as_ref().is_some_and(|it| it.id == member)) {
                room.look_at_holder(*row.key(), member);
            }
            room.tell_agent(member, AgentMessage::Removed);
            room.tell_queue(QueueMessage::Forget { member });
            room.staff.write().agents.remove(&member);
            room.agents.write().remove(&member);
            let sessions = room.connected.lock().agents.get(&member).cloned().unwrap_or_default();
            self.runtime.answers.deliver(&sessions, &Answer::Revoked);
        }
        room.tell_team(TeamMessage::Changed);
    }

    /// A member takes new conversations, or is away (already stored by the caller).
    pub fn set_available(&self, workspace: WorkspaceId, member: MemberId, available: bool) {
        let Some(room) = self.runtime.workroom(workspace) else { return };
        if let Some(colleague) = room.desk.write().members.iter_mut().find(|it| it.member.id == member) {
            colleague.available = available;
        }
        room.tell_agent(member, AgentMessage::Presence);
    }

    /// Who is there to answer now.
    pub fn team(&self, workspace: WorkspaceId) -> Team {
        self.runtime.workroom(workspace).map(|room| room.team(self.runtime.now())).unwrap_or_default()
    }

    /// Every member and their state.
    pub fn members(&self, workspace: WorkspaceId) -> Vec<MemberState> {
        self.runtime.workroom(workspace).map(|room| room.members()).unwrap_or_default()
    }

    /// A conversation as staff see it, from what is durable; `None` when there is none.
    pub async fn view(&self, key: ConversationKey) -> Result<Option<ConversationView>, StoreError> {
        let Some(Loaded { mut state, tail, reads }) = self.runtime.store.load(key).await? else { return Ok(None) };
        let durable = self.durable(key);
        for event in tail.iter().filter(|event| durable.is_none_or(|durable| event.seq <= durable)) {
            ConversationState::fold(&mut state, key, event);
        }
        let room = self.runtime.workroom(key.workspace);
        let position = room.and_then(|room| room.places.lock().get(&key.conversation).copied());
        let online = self.runtime.live(key).map(|slot| slot.visitor_follows()).unwrap_or_default();
        Ok(state.map(|state| conversation_view(&state, Audience::Staff, &reads, Some(online), position)))
    }

    /// The last durable seq of a conversation that is live; one that sleeps holds nothing else.
    fn durable(&self, key: ConversationKey) -> Option<u64> {
        self.runtime.live(key).map(|slot| slot.durable.load(Ordering::Acquire)).filter(|seq| *seq > 0)
    }

    /// Durable events of a conversation, staff's view, at most `limit` (1–1,000), ascending.
    pub async fn events(
        &self,
        key: ConversationKey,
        range: Range,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, StoreError> {
        let durable = self.durable(key);
        let mut events = self.runtime.store.events(key, range, limit).await?;
        events.retain(|event| durable.is_none_or(|durable| event.seq <= durable));
        Ok(events)
    }

    /// A page of a list (`Mine` needs `member`) and the cursor to go on with.
    pub async fn rows(
        &self,
        workspace: WorkspaceId,
        member: Option<MemberId>,
        view: View,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Rows, StoreError> {
        let Some(room) = self.runtime.workroom(workspace) else { return Ok(Err(Refusal::NotFound)) };
        if view == View::Mine && member.is_none() {
            return Ok(Err(Refusal::Forbidden));
        }
        lists::page(&self.runtime, &room, view, member.unwrap_or(MemberId(0)), after, limit).await
    }

    /// Refuses new commands (`Unavailable`), waits until every accepted one is answered, writes the projections,
    /// stops the tree.
    pub async fn drain(&self) {
        self.runtime.draining.store(true, Ordering::Release);
        let answered = async {
            while self.runtime.in_flight.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN_DEADLINE, answered).await.is_err() {
            tracing::warn!("accepted requests were left unanswered at the drain's deadline");
        }
        let slots = self.runtime.live_slots();
        for slot in &slots {
            slot.followers.lock().clear();
        }
        // Those that are left are asked again: one may have been in the midst of something. What is quarantined writes
        // nothing any more, and neither does anything while the store is away: the dirty marks stand.
        let asleep = async {
            let mut looks = 0_u32;
            while self.runtime.store.healthy() {
                let awake = |slot: &&Arc<Slot>| {
                    !slot.quarantined.load(Ordering::Acquire) && self.runtime.live(slot.key).is_some()
                };
                let mut left = slots.iter().filter(awake).peekable();
                if left.peek().is_none() {
                    return;
                }
                if looks.is_multiple_of(LOOKS_A_SWEEP) {
                    left.for_each(|slot| slot.cast(ConversationMessage::Sweep { force: true }));
                }
                looks += 1;
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN_DEADLINE, asleep).await.is_err() {
            tracing::warn!("some projections were not written; the next start makes them from the logs");
        }
        self.tree.stop().await;
    }

    /// Conversations in memory now.
    pub fn live_conversations(&self) -> usize {
        self.runtime.live_conversations()
    }

    /// Why this process must stop and start anew: crashes that a restart of one actor does not end. `None` while the
    /// supervision tree copes.
    pub fn broken(&self) -> Option<String> {
        self.runtime.broken.lock().clone()
    }

    /// Whether the supervision tree stands and the store takes writes; the sentence says what is wrong.
    pub fn health(&self) -> Result<(), String> {
        if let Some(broken) = self.broken() {
            return Err(broken);
        }
        if self.runtime.draining.load(Ordering::Acquire) {
            return Err("the server is draining".to_owned());
        }
        self.tree.health()?;
        if self.runtime.store.healthy() { Ok(()) } else { Err("the store takes no writes".to_owned()) }
    }
}
