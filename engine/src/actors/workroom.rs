//! What the actors of one workspace share: its desk, who is connected, and the rows of its open conversations.
//!
//! The rows are a projection kept in memory: conversation actors publish them after each durable change, and every
//! actor of the workspace can be rebuilt from them when it crashes.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};
use ractor::ActorRef;
use smallvec::SmallVec;

use super::agent::AgentMessage;
use super::lists::{ListsMessage, ListsRequest};
use super::queue::QueueMessage;
use super::team::TeamMessage;
use crate::domain::{
    ConversationId, ConversationKey, ConversationState, Epoch, MemberId, MemberName, Millis, Row, Seq, SessionId,
    Status, VisitorId, WorkspaceId,
};
use crate::exchange::{MemberState, Team, View};
use crate::ports::{Colleague, Desk};

/// First answers remembered for the "answers in about …" figure. An hour of a busy desk fits; more adds nothing to a
/// median.
const ANSWER_TIMES: usize = 256;

/// The figure is over the last hour (design: "from real figures").
const ANSWER_TIMES_WINDOW_MS: i64 = 3600 * 1000;

/// Connected sessions of a workspace. Ordered, as everything here that is gone through to tell somebody something: the
/// same history tells the same in the same order, which the simulation replays by.
#[derive(Default)]
pub(crate) struct Connected {
    pub(crate) agents: BTreeMap<MemberId, SmallVec<[SessionId; 2]>>,
    pub(crate) visitors: BTreeSet<SessionId>,
    /// Visitors' sessions that asked for their conversations.
    pub(crate) watching: HashMap<VisitorId, SmallVec<[SessionId; 2]>>,
    /// Agents' sessions that follow a list.
    pub(crate) lists: BTreeMap<(View, MemberId), SmallVec<[SessionId; 2]>>,
}

/// What an agent's actor tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct AgentState {
    pub(crate) online: bool,
    pub(crate) open: u32,
}

/// The actors of the workspace; set once they are spawned.
#[derive(Default)]
pub(crate) struct Staff {
    pub(crate) queue: Option<ActorRef<QueueMessage>>,
    pub(crate) lists: Option<ActorRef<ListsMessage>>,
    pub(crate) team: Option<ActorRef<TeamMessage>>,
    pub(crate) agents: BTreeMap<MemberId, ActorRef<AgentMessage>>,
}

/// What changed since the lists last looked.
#[derive(Default)]
pub(crate) struct Changes {
    /// In the order of their ids. They stand where they stood: same status, same holder.
    pub(crate) refreshed: Vec<ConversationId>,
    /// New ones, and those whose status or holder is another, in the order of their ids.
    pub(crate) moved: Vec<Moved>,
}

/// A conversation's row as it is now, and those that it passed through since the lists last looked: a page that was
/// read in between may show one of them.
pub(crate) struct Moved {
    pub(crate) now: Arc<Row>,
    pub(crate) passed: SmallVec<[Arc<Row>; 1]>,
}

/// An open conversation's row, changed in place while nobody else looks at it.
pub(crate) struct Shown {
    pub(crate) row: Arc<Row>,
    /// The look of the lists that it is noted for; see [`Workroom::looks`].
    noted_for: u64,
}

impl Shown {
    pub(crate) fn new(row: Row) -> Self {
        Self { row: Arc::new(row), noted_for: 0 }
    }
}

impl std::ops::Deref for Shown {
    type Target = Row;

    fn deref(&self) -> &Row {
        &self.row
    }
}

/// Whose rows changed since the lists last looked.
#[derive(Default)]
struct Noted {
    /// As they come, which costs next to nothing; one may be here twice, or be among the moved ones as well.
    refreshed: Vec<ConversationId>,
    moved: BTreeMap<ConversationId, NotedMove>,
}

#[derive(Default)]
struct NotedMove {
    passed: SmallVec<[Arc<Row>; 1]>,
    /// The row as it is now, if it is no longer an open one's.
    resolved: Option<Arc<Row>>,
}

/// A row that the store may not have.
struct Unwritten {
    row: Arc<Row>,
    /// Sweeps since it was written.
    sweeps: Option<u8>,
}

pub(crate) struct Workroom {
    pub(crate) id: WorkspaceId,
    pub(crate) desk: RwLock<Desk>,
    pub(crate) connected: Mutex<Connected>,
    pub(crate) staff: RwLock<Staff>,
    /// Agents as they last told of themselves.
    pub(crate) agents: RwLock<HashMap<MemberId, AgentState>>,
    /// Rows of conversations that are not resolved.
    ///
    /// Their hasher is quicker than the standard one. It is seeded by chance; and only conversations that exist stand
    /// here, whose ids are keyed hashes that nobody outside chooses.
    pub(crate) rows: DashMap<ConversationId, Shown, foldhash::fast::RandomState>,
    /// Locked before `rows` where both are.
    changed: Mutex<Noted>,
    /// The next look of the lists, from 1 on. A row that is noted for it needs no noting; so a look need not go to every
    /// row to take its note away. Counted up under the lock of `changed`, and before any row is read.
    looks: AtomicU64,
    lists_poked: AtomicBool,
    /// What sessions asked of the lists and the lists have not taken up; outlives a crash of their actor.
    lists_inbox: Mutex<VecDeque<ListsRequest>>,
    /// Rows whose projection is being written, was not written yet, or was a moment ago: the store's lists may be behind
    /// by these.
    unwritten: Mutex<BTreeMap<(VisitorId, ConversationId), Unwritten>>,
    /// Conversations that somebody holds who is not a member (any more).
    strangers: Mutex<BTreeSet<ConversationId>>,
    /// Places in the line as last announced.
    pub(crate) places: Mutex<BTreeMap<ConversationId, u64>>,
    next_number: AtomicU64,
    answer_times: Mutex<VecDeque<(Millis, i64)>>,
}

impl Workroom {
    pub(crate) fn new(desk: Desk, epoch: Epoch) -> Self {
        Self {
            id: desk.workspace,
            desk: RwLock::new(desk),
            connected: Mutex::new(Connected::default()),
            staff: RwLock::new(Staff::default()),
            agents: RwLock::new(HashMap::new()),
            rows: DashMap::with_hasher_and_shard_amount(foldhash::fast::RandomState::default(), 8),
            changed: Mutex::new(Noted::default()),
            looks: AtomicU64::new(1),
            lists_poked: AtomicBool::new(false),
            lists_inbox: Mutex::new(VecDeque::new()),
            unwritten: Mutex::new(BTreeMap::new()),
            strangers: Mutex::new(BTreeSet::new()),
            places: Mutex::new(BTreeMap::new()),
            // Each start continues above every number that an earlier one gave: 2^32 places a run, and 2^21 runs
            // before a number passes the 2^53 that JavaScript holds exactly.
            next_number: AtomicU64::new((epoch.0 << 32) + 1),
            answer_times: Mutex::new(VecDeque::new()),
        }
    }

    /// A new place at the line's end.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// A member as the desk knows them now; `None` for strangers and removed ones.
    pub(crate) fn member(&self, id: MemberId) -> Option<MemberName> {
        self.colleague(id).map(|it| it.member)
    }

    pub(crate) fn colleague(&self, id: MemberId) -> Option<Colleague> {
        self.desk.read().members.iter().find(|it| it.member.id == id).cloned()
    }

    /// Takes a conversation's row in after a durable change.
    ///
    /// Messages and read marks come thousands a second and lists are told four times a second, so that they change the
    /// row in place: no allocation, and no lock that others want but for the first change since the lists looked.
    pub(crate) fn publish(&self, state: &ConversationState, staff_read: Seq, visitor_read: Seq) {
        let id = state.key.conversation;
        if let Some(mut shown) = self.rows.get_mut(&id)
            && shown.status == state.status
            && shown.assignee == state.assignee
        {
            // Copies it only if somebody still holds what the lists were told last.
            state.refresh(Arc::make_mut(&mut shown.row), staff_read, visitor_read);
            let look = self.looks.load(Ordering::Relaxed);
            if std::mem::replace(&mut shown.noted_for, look) != look {
                // `changed` is never locked inside `rows`.
                drop(shown);
                self.changed.lock().refreshed.push(id);
                self.poke_lists();
            }
            return;
        }
        let row = Arc::new(state.row(staff_read, visitor_read));
        let holder = |row: &Row| (row.status, row.assignee.as_ref().map(|it| it.id));
        let mut changed = self.changed.lock();
        let (before, resolved) = if row.status == Status::Resolved {
            (self.rows.remove(&id).map(|(_, before)| before.row), Some(Arc::clone(&row)))
        } else {
            let shown = Shown { row: Arc::clone(&row), noted_for: self.looks.load(Ordering::Relaxed) };
            (self.rows.insert(id, shown).map(|before| before.row), None)
        };
        let noted = changed.moved.entry(id).or_default();
        // What it was in between, resolved included.
        let before = std::mem::replace(&mut noted.resolved, resolved).or(before);
        noted.passed.extend(before.filter(|before| holder(before) != holder(&row)));
        drop(changed);
        self.poke_lists();
    }

    fn poke_lists(&self) {
        if !self.lists_poked.swap(true, Ordering::AcqRel)
            && let Some(lists) = self.staff.read().lists.as_ref()
        {
            let _gone = lists.cast(ListsMessage::Poke);
        }
    }

    /// What changed since the last call.
    pub(crate) fn take_changes(&self) -> Changes {
        self.lists_poked.store(false, Ordering::Release);
        let (mut refreshed, moved) = {
            let mut changed = self.changed.lock();
            self.looks.fetch_add(1, Ordering::Relaxed);
            let Noted { refreshed, moved } = std::mem::take(&mut *changed);
            // Always there: a conversation leaves the rows and enters here as resolved under one lock.
            let now = |id, resolved: Option<Arc<Row>>| resolved.or_else(|| self.open_row(id));
            let moved = moved.into_iter();
            let moved = moved.filter_map(|(id, it)| Some(Moved { now: now(id, it.resolved)?, passed: it.passed }));
            (refreshed, moved.collect::<Vec<_>>())
        };
        refreshed.sort_unstable();
        refreshed.dedup();
        refreshed.retain(|id| moved.binary_search_by_key(id, |it| it.now.key.conversation).is_err());
        Changes { refreshed, moved }
    }

    /// The row of a conversation that is not resolved.
    pub(crate) fn open_row(&self, id: ConversationId) -> Option<Arc<Row>> {
        self.rows.get(&id).map(|shown| Arc::clone(&shown.row))
    }

    pub(crate) fn tell_queue(&self, message: QueueMessage) {
        if let Some(queue) = self.staff.read().queue.as_ref() {
            let _gone = queue.cast(message);
        }
    }

    /// Returns whether there is such an agent.
    pub(crate) fn tell_agent(&self, member: MemberId, message: AgentMessage) -> bool {
        self.staff.read().agents.get(&member).is_some_and(|agent| agent.cast(message).is_ok())
    }

    /// Asks something of the lists. What a crash of their actor finds waiting, its next life takes up.
    pub(crate) fn ask_lists(&self, request: ListsRequest) {
        self.lists_inbox.lock().push_back(request);
        if let Some(lists) = self.staff.read().lists.as_ref() {
            let _gone = lists.cast(ListsMessage::Asked);
        }
    }

    /// The next of what the lists were asked.
    pub(crate) fn next_of_lists(&self) -> Option<ListsRequest> {
        self.lists_inbox.lock().pop_front()
    }

    /// The projection of this row is about to be written.
    pub(crate) fn writes(&self, row: Row) {
        let place = (row.visitor, row.key.conversation);
        self.unwritten.lock().insert(place, Unwritten { row: Arc::new(row), sweeps: None });
    }

    /// The projection is written up to `seq`.
    pub(crate) fn wrote(&self, visitor: VisitorId, conversation: ConversationId, seq: Seq) {
        if let Some(it) = self.unwritten.lock().get_mut(&(visitor, conversation)).filter(|it| it.row.seq <= seq) {
            it.sweeps.get_or_insert(0);
        }
    }

    /// Called by the sweeper: a written row is kept from one sweep to the next, so that a read of the store that was
    /// under way finds it in one place or the other.
    pub(crate) fn forget_written(&self) {
        self.unwritten.lock().retain(|_, it| match &mut it.sweeps {
            None => true,
            Some(sweeps) => {
                *sweeps += 1;
                *sweeps < 2
            }
        });
    }

    /// Rows of a visitor's conversations that the store may be behind by.
    pub(crate) fn unwritten_of(&self, visitor: VisitorId) -> Vec<Arc<Row>> {
        let range = (visitor, ConversationId(0))..=(visitor, ConversationId(u128::MAX));
        self.unwritten.lock().range(range).map(|(_, it)| Arc::clone(&it.row)).collect()
    }

    /// Rows of resolved conversations that the store may be behind by.
    pub(crate) fn unwritten_resolved(&self) -> BTreeMap<ConversationId, Arc<Row>> {
        let unwritten = self.unwritten.lock();
        let resolved = unwritten.iter().filter(|(_, it)| it.row.status == Status::Resolved);
        resolved.map(|((_, id), it)| (*id, Arc::clone(&it.row))).collect()
    }

    /// Who holds a conversation may have changed, or who is a member; returns whether a stranger holds it, which is noted
    /// until it is no longer so: [`Self::strangers`].
    pub(crate) fn look_at_holder(&self, conversation: ConversationId, holder: MemberId) -> bool {
        let is_stranger = self.member(holder).is_none();
        if is_stranger {
            self.strangers.lock().insert(conversation);
        }
        is_stranger
    }

    /// Conversations that somebody holds who is not a member, and who. They are asked back again and again, since a
    /// release may be lost to a store that is away.
    pub(crate) fn strangers(&self) -> Vec<(ConversationId, MemberId)> {
        let noted = std::mem::take(&mut *self.strangers.lock());
        noted
            .into_iter()
            .filter_map(|id| {
                let row = self.open_row(id)?;
                let holder = row.assignee.as_ref().filter(|_| row.status == Status::Assigned)?.id;
                self.look_at_holder(id, holder).then_some((id, holder))
            })
            .collect()
    }

    pub(crate) fn tell_team(&self, message: TeamMessage) {
        if let Some(team) = self.staff.read().team.as_ref() {
            let _gone = team.cast(message);
        }
    }

    /// An agent gave a first answer after this long.
    pub(crate) fn answered(&self, at: Millis, after_ms: i64) {
        let mut times = self.answer_times.lock();
        times.push_back((at, after_ms.max(0)));
        if times.len() > ANSWER_TIMES {
            times.pop_front();
        }
    }

    /// Median of the first answers of the last hour, seconds; `None` without any.
    pub(crate) fn answers_in_secs(&self, now: Millis) -> Option<u64> {
        let mut recent: Vec<i64> = self
            .answer_times
            .lock()
            .iter()
            .filter(|(at, _)| now.since(*at) <= ANSWER_TIMES_WINDOW_MS)
            .map(|(_, after)| *after)
            .collect();
        recent.sort_unstable();
        recent.get(recent.len() / 2).map(|ms| ms.cast_unsigned().div_ceil(1000))
    }

    /// Sessions of a visitor that watch their conversations.
    pub(crate) fn watchers(&self, visitor: VisitorId) -> SmallVec<[SessionId; 2]> {
        self.connected.lock().watching.get(&visitor).cloned().unwrap_or_default()
    }

    pub(crate) fn key(&self, conversation: ConversationId) -> ConversationKey {
        ConversationKey { workspace: self.id, conversation }
    }

    /// Members and their state, in the order of the desk.
    pub(crate) fn members(&self) -> Vec<MemberState> {
        let agents = self.agents.read();
        let state = |colleague: &Colleague| {
            let AgentState { online, open } = agents.get(&colleague.member.id).copied().unwrap_or_default();
            MemberState {
                member: colleague.member.clone(),
                role: colleague.role,
                online,
                available: colleague.available,
                open,
            }
        };
        self.desk.read().members.iter().map(state).collect()
    }

    /// Who is there, for visitors.
    pub(crate) fn team(&self, now: Millis) -> Team {
        let there = self.members().into_iter().filter(|it| it.online && it.available);
        let faces: Vec<MemberName> = there.map(|it| it.member).take(3).collect();
        Team { available: !faces.is_empty(), faces, answers_in_secs: self.answers_in_secs(now) }
    }
}
