//! The supervisor of every workspace's actors: queue, lists, team, one agent a member.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr, SupervisionEvent};

use super::agent::{AgentActor, AgentArguments};
use super::crashes::{Crashes, MOST_CRASHES};
use super::lists::{ListsActor, ListsArguments};
use super::queue::{QueueActor, QueueArguments};
use super::runtime::Runtime;
use super::team::{TeamActor, TeamArguments};
use super::tree::Silence;
use super::workroom::Workroom;
use crate::domain::{FeedId, MemberId};

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
    pub(super) cell: ActorCell,
    children: Arc<DashMap<ActorId, (Arc<Workroom>, Post)>>,
    lives: Arc<AtomicU64>,
}

pub(super) struct DesksActor;

pub(super) struct DesksState {
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
            return self.runtime.break_tree(format!("{post:?} of a workspace crashed three times in a minute"));
        }
        if let Some(heir) = self.desks.employ(&self.runtime, &workroom, post) {
            self.ancestors.insert(heir, ancestor);
        }
    }
}

impl Desks {
    /// Starts the supervisor under the root.
    pub(super) async fn start(runtime: &Arc<Runtime>, root: ActorCell) -> Result<Self, SpawnErr> {
        let (children, lives) = (Arc::new(DashMap::new()), Arc::new(AtomicU64::new(0)));
        let arguments = (Arc::clone(runtime), Arc::clone(&children), Arc::clone(&lives));
        let (desks, _) = Actor::spawn_linked(None, DesksActor, arguments, root).await?;
        Ok(Self { cell: desks.get_cell(), children, lives })
    }

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
