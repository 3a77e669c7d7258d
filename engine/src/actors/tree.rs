//! The supervision tree, declared once as [`TREE`]: start order from top to bottom, stop order in reverse, and what a
//! crash of each does.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr, SupervisionEvent};

use super::agent::{AgentActor, AgentArguments};
use super::conversation::ConversationMessage;
use super::lists::{ListsActor, ListsArguments};
use super::queue::{QueueActor, QueueArguments};
use super::runtime::{Nursery, RETRY_AFTER_MS, Runtime, SUPERVISORS};
use super::slot::{InHand, Slot, Work};
use super::team::{TeamActor, TeamArguments};
use super::workroom::Workroom;
use crate::domain::{ConversationKey, FeedId, MemberId, Millis, Refusal};
use crate::exchange::Answer;

/// A branch of the tree and what its supervisor does when a child crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    pub name: &'static str,
    pub children: &'static str,
    pub on_crash: &'static str,
}

/// The tree, in start order.
pub const TREE: [Branch; 3] = [
    Branch {
        name: "desks",
        children: "per workspace: queue, lists, team, one agent a member",
        on_crash: "restarted from the workspace's rows; the third crash of one in a minute breaks the tree",
    },
    Branch {
        name: "conversations",
        children: "16 supervisors, each of the live conversations of its shards",
        on_crash: "restarted from the log, followers resync; the third crash in a minute quarantines the conversation; \
                   32 different ones in 10 s under one supervisor break the tree",
    },
    Branch { name: "sweeper", children: "none", on_crash: "restarted" },
];

/// Crashes of one actor within [`CRASH_WINDOW_MS`] that end its restarts (G12).
const MOST_CRASHES: usize = 3;
const CRASH_WINDOW_MS: i64 = 60_000;

/// Different conversations of one supervisor failing within [`STORM_WINDOW_MS`] mean that not they are at fault.
const STORM_CRASHES: usize = 32;
const STORM_WINDOW_MS: i64 = 10_000;

/// How often sleepy conversations are looked for.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Recent crashes of many actors, by their names.
struct Crashes<K> {
    recent: VecDeque<(Millis, K)>,
}

impl<K: PartialEq + Copy> Crashes<K> {
    fn new() -> Self {
        Self { recent: VecDeque::new() }
    }

    /// Notes a crash; returns how many this one had within its window, and how many different ones within the storm's.
    fn note(&mut self, now: Millis, key: K) -> (usize, usize) {
        self.recent.retain(|(at, _)| now.since(*at) < CRASH_WINDOW_MS);
        self.recent.push_back((now, key));
        let same = self.recent.iter().filter(|(_, it)| *it == key).count();
        let mut different: Vec<K> = Vec::new();
        for (_, it) in self.recent.iter().filter(|(at, _)| now.since(*at) < STORM_WINDOW_MS) {
            if !different.contains(it) {
                different.push(*it);
            }
        }
        (same, different.len())
    }
}

fn break_tree(runtime: &Runtime, what: String) {
    tracing::error!(%what, "the supervision tree is broken; restart the server");
    *runtime.broken.lock() = Some(what);
}

/// Supervises the conversations of some shards.
struct NurseryActor;

struct NurseryState {
    runtime: Arc<Runtime>,
    children: Arc<DashMap<ActorId, Arc<Slot>>>,
    crashes: Crashes<ConversationKey>,
}

/// Supervisors are told nothing but what becomes of their children.
pub(crate) enum Silence {}

impl Actor for NurseryActor {
    type Msg = Silence;
    type State = NurseryState;
    type Arguments = (Arc<Runtime>, Arc<DashMap<ActorId, Arc<Slot>>>);

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        (runtime, children): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(NurseryState { runtime, children, crashes: Crashes::new() })
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(child, ..) => {
                state.children.remove(&child.get_id());
            }
            SupervisionEvent::ActorFailed(child, error) => {
                if let Some((_, slot)) = state.children.remove(&child.get_id()) {
                    state.crashed(&slot, &error);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl NurseryState {
    fn crashed(&mut self, slot: &Arc<Slot>, error: &ActorProcessingErr) {
        let conversation = slot.key.conversation;
        let in_hand = std::mem::take(&mut *slot.in_hand.lock());
        tracing::error!(%conversation, %error, commands = ?in_hand, "a conversation's actor crashed");
        metrics::counter!("bellhop_conversation_crashes_total").increment(1);
        for InHand { session, command } in in_hand {
            let answer = match command {
                Some(_) => Answer::Refused {
                    id: command,
                    conversation: Some(conversation),
                    refusal: Refusal::Unknown { retry_after_ms: RETRY_AFTER_MS },
                },
                None => Answer::Resync { conversation },
            };
            self.runtime.tell(session, &answer);
        }
        let (same, different) = self.crashes.note(self.runtime.now(), slot.key);
        if different >= STORM_CRASHES {
            break_tree(&self.runtime, format!("{different} conversations crashed within 10 seconds"));
        }
        if same >= MOST_CRASHES {
            return self.quarantine(slot);
        }
        let followers: Vec<_> = slot.followers.lock().iter().map(|it| it.session).collect();
        self.runtime.answers.deliver(&followers, &Answer::Resync { conversation });
        match self.runtime.staff(slot) {
            Ok(()) => slot.wake(),
            Err(error) => break_tree(&self.runtime, format!("a conversation could not be restarted: {error}")),
        }
    }

    /// Holds a conversation back that crashes again and again, and tells everybody who waits for it.
    fn quarantine(&self, slot: &Slot) {
        let conversation = slot.key.conversation;
        tracing::error!(%conversation, "three crashes in a minute: the conversation is quarantined until a restart");
        metrics::counter!("bellhop_conversations_quarantined_total").increment(1);
        slot.quarantined.store(true, Ordering::Release);
        while let Some(work) = slot.next() {
            if let Work::Request { session, request, .. } = work {
                let (id, refusal) = (request.command_id(), Refusal::ConversationUnavailable);
                self.runtime.tell(session, &Answer::Refused { id, conversation: Some(conversation), refusal });
            }
        }
    }
}

/// An actor of a workspace, by its post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Post {
    Lists,
    Queue,
    Team,
    Agent(MemberId),
}

/// The actors of all workspaces.
#[derive(Clone)]
pub(crate) struct Desks {
    cell: ActorCell,
    children: Arc<DashMap<ActorId, (Arc<Workroom>, Post)>>,
    lives: Arc<AtomicU64>,
}

struct DesksActor;

struct DesksState {
    runtime: Arc<Runtime>,
    desks: Desks,
    crashes: Crashes<ActorId>,
    /// The first life of each restarted actor, so that its crashes add up.
    ancestors: HashMap<ActorId, ActorId>,
}

impl Actor for DesksActor {
    type Msg = Silence;
    type State = DesksState;
    type Arguments = (Arc<Runtime>, Arc<DashMap<ActorId, (Arc<Workroom>, Post)>>, Arc<AtomicU64>);

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (runtime, children, lives): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let desks = Desks { cell: myself.get_cell(), children, lives };
        Ok(DesksState { runtime, desks, crashes: Crashes::new(), ancestors: HashMap::new() })
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorTerminated(child, ..) => {
                state.desks.children.remove(&child.get_id());
                state.ancestors.remove(&child.get_id());
            }
            SupervisionEvent::ActorFailed(child, error) => state.crashed(child.get_id(), &error),
            _ => {}
        }
        Ok(())
    }
}

impl DesksState {
    fn crashed(&mut self, child: ActorId, error: &ActorProcessingErr) {
        let Some((_, (workroom, post))) = self.desks.children.remove(&child) else { return };
        tracing::error!(workspace = %workroom.id, ?post, %error, "an actor of a workspace crashed");
        metrics::counter!("bellhop_desk_crashes_total").increment(1);
        let ancestor = self.ancestors.remove(&child).unwrap_or(child);
        let (same, _) = self.crashes.note(self.runtime.now(), ancestor);
        if same >= MOST_CRASHES {
            return break_tree(&self.runtime, format!("{post:?} of a workspace crashed three times in a minute"));
        }
        if let Some(heir) = self.desks.employ(&self.runtime, &workroom, post) {
            self.ancestors.insert(heir, ancestor);
        }
    }
}

impl Desks {
    /// Starts every actor of a workspace.
    pub(crate) fn open(&self, runtime: &Arc<Runtime>, workroom: &Arc<Workroom>) {
        for post in [Post::Lists, Post::Queue, Post::Team] {
            self.employ(runtime, workroom, post);
        }
        let members: Vec<MemberId> = workroom.desk.read().members.iter().map(|it| it.member.id).collect();
        for member in members {
            self.employ(runtime, workroom, Post::Agent(member));
        }
    }

    /// Starts one actor of a workspace; returns its id.
    pub(crate) fn employ(&self, runtime: &Arc<Runtime>, workroom: &Arc<Workroom>, post: Post) -> Option<ActorId> {
        let (runtime, room, cell) = (Arc::clone(runtime), Arc::clone(workroom), self.cell.clone());
        let mut staff = workroom.staff.write();
        let started: Result<ActorId, SpawnErr> = match post {
            Post::Lists => {
                let life = self.lives.fetch_add(1, Ordering::Relaxed);
                let feed = FeedId((u128::from(runtime.epoch.0) << 64) | u128::from(life));
                let arguments = ListsArguments { runtime, workroom: room, feed };
                spawn(ListsActor, arguments, cell).map(|actor| {
                    let id = actor.get_id();
                    staff.lists = Some(actor);
                    id
                })
            }
            Post::Queue => spawn(QueueActor, QueueArguments { runtime, workroom: room }, cell).map(|actor| {
                let id = actor.get_id();
                staff.queue = Some(actor);
                id
            }),
            Post::Team => spawn(TeamActor, TeamArguments { runtime, workroom: room }, cell).map(|actor| {
                let id = actor.get_id();
                staff.team = Some(actor);
                id
            }),
            Post::Agent(member) => {
                spawn(AgentActor, AgentArguments { runtime, workroom: room, member }, cell).map(|actor| {
                    let id = actor.get_id();
                    staff.agents.insert(member, actor);
                    id
                })
            }
        };
        match started {
            Ok(id) => {
                self.children.insert(id, (Arc::clone(workroom), post));
                Some(id)
            }
            Err(error) => {
                tracing::error!(workspace = %workroom.id, ?post, %error, "an actor could not be started");
                None
            }
        }
    }
}

fn spawn<A: Actor>(actor: A, arguments: A::Arguments, supervisor: ActorCell) -> Result<ActorRef<A::Msg>, SpawnErr> {
    ActorRuntime::spawn_linked_instant(None, actor, arguments, supervisor).map(|(actor, _starting)| actor)
}

/// Looks for conversations that may sleep.
struct SweeperActor;

enum SweeperMessage {
    Sweep,
}

impl Actor for SweeperActor {
    type Msg = SweeperMessage;
    type State = Arc<Runtime>;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        runtime: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let _timer = myself.send_interval(SWEEP_EVERY, || SweeperMessage::Sweep);
        Ok(runtime)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        SweeperMessage::Sweep: Self::Msg,
        runtime: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        for slot in runtime.live_slots().iter().filter(|slot| slot.is_quiet()) {
            slot.cast(ConversationMessage::Sweep { force: false });
        }
        metrics::gauge!("bellhop_conversations_live").set(runtime.live_conversations() as f64);
        Ok(())
    }
}

/// The root: restarts the sweeper, and says when a branch is gone.
struct RootActor;

impl Actor for RootActor {
    type Msg = Silence;
    type State = Arc<Runtime>;
    type Arguments = Arc<Runtime>;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        runtime: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(runtime)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        runtime: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(child, error) = event else { return Ok(()) };
        if child.is_message_type_of::<SweeperMessage>() == Some(true) {
            Actor::spawn_linked(None, SweeperActor, Arc::clone(runtime), myself.get_cell()).await?;
        } else {
            break_tree(runtime, format!("a supervisor failed: {error}"));
        }
        Ok(())
    }
}

/// The standing tree.
#[derive(Clone)]
pub(crate) struct Tree {
    root: ActorCell,
    pub(crate) desks: Desks,
    /// In start order.
    branches: Vec<ActorCell>,
}

impl Tree {
    /// Starts the branches of [`TREE`] in their order.
    pub(crate) async fn start(runtime: &Arc<Runtime>) -> Result<Self, SpawnErr> {
        let (root, _) = Actor::spawn(None, RootActor, Arc::clone(runtime)).await?;
        let root = root.get_cell();
        let (children, lives) = (Arc::new(DashMap::new()), Arc::new(AtomicU64::new(0)));
        let arguments = (Arc::clone(runtime), Arc::clone(&children), Arc::clone(&lives));
        let (desks, _) = Actor::spawn_linked(None, DesksActor, arguments, root.clone()).await?;
        let desks = Desks { cell: desks.get_cell(), children, lives };
        let mut branches = vec![desks.cell.clone()];
        let mut nurseries = Vec::with_capacity(SUPERVISORS);
        for _ in 0..SUPERVISORS {
            let children = Arc::new(DashMap::with_shard_amount(8));
            let arguments = (Arc::clone(runtime), Arc::clone(&children));
            let (nursery, _) = Actor::spawn_linked(None, NurseryActor, arguments, root.clone()).await?;
            branches.push(nursery.get_cell());
            nurseries.push(Arc::new(Nursery { cell: nursery.get_cell(), children }));
        }
        runtime.set_nurseries(nurseries);
        let (sweeper, _) = Actor::spawn_linked(None, SweeperActor, Arc::clone(runtime), root.clone()).await?;
        branches.push(sweeper.get_cell());
        Ok(Self { root, desks, branches })
    }

    /// Stops the branches in reverse order, each with its children.
    pub(crate) async fn stop(&self) {
        for branch in self.branches.iter().rev() {
            branch.stop_children_and_wait(None, Some(STOP_DEADLINE)).await;
            let _late = branch.stop_and_wait(None, Some(STOP_DEADLINE)).await;
        }
        let _late = self.root.stop_and_wait(None, Some(STOP_DEADLINE)).await;
    }
}

/// Actors have nothing left to do when they are stopped; one that hangs must not hold up the process.
const STOP_DEADLINE: Duration = Duration::from_secs(1);
