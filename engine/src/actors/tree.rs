//! The supervision tree, declared once as [`TREE`]: start order from top to bottom, stop order in reverse, what a crash
//! of each does. Starting, stopping and health walk this list and no other.

use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorStatus, SpawnErr, SupervisionEvent};

use super::desks::Desks;
use super::nursery::NurseryActor;
use super::runtime::{Nursery, Runtime, SUPERVISORS};
use super::sweeper::{SweeperActor, SweeperMessage};

/// A branch of the tree and what its supervisor does when a child crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Branch {
    pub limb: Limb,
    pub children: &'static str,
    pub on_crash: &'static str,
}

/// What a branch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limb {
    Desks,
    Conversations,
    Sweeper,
}

/// The tree, in start order.
pub const TREE: [Branch; 3] = [
    Branch {
        limb: Limb::Desks,
        children: "per workspace: queue, lists, team, one agent a member",
        on_crash: "restarted from the workspace's rows; the third crash of one in a minute breaks the tree",
    },
    Branch {
        limb: Limb::Conversations,
        children: "16 supervisors, each of the live conversations of its shards",
        on_crash: "restarted from the log, followers resync; the third crash in a minute quarantines the conversation; \
                   32 different ones in 10 s under one supervisor break the tree",
    },
    Branch { limb: Limb::Sweeper, children: "none", on_crash: "restarted" },
];

/// Actors have nothing left to do when they are stopped; one that hangs must not hold up the process.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// Supervisors are told nothing but what becomes of their children.
pub(crate) enum Silence {}

/// The supervisors that stand, by branch, in start order.
type Standing = Arc<Mutex<Vec<(Limb, Vec<ActorCell>)>>>;

/// The root: restarts the sweeper, and says when a branch is gone.
struct RootActor;

impl Actor for RootActor {
    type Msg = Silence;
    type State = (Arc<Runtime>, Standing);
    type Arguments = (Arc<Runtime>, Standing);

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(arguments)
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        (runtime, standing): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let SupervisionEvent::ActorFailed(child, error) = event else { return Ok(()) };
        if child.is_message_type_of::<SweeperMessage>() == Some(true) {
            let (heir, _) = Actor::spawn_linked(None, SweeperActor, Arc::clone(runtime), myself.get_cell()).await?;
            standing.lock().retain(|(limb, _)| *limb != Limb::Sweeper);
            standing.lock().push((Limb::Sweeper, vec![heir.get_cell()]));
        } else {
            runtime.break_tree(format!("a supervisor failed: {error}"));
        }
        Ok(())
    }
}

/// The standing tree.
#[derive(Clone)]
pub(crate) struct Tree {
    root: ActorCell,
    pub(crate) desks: Desks,
    standing: Standing,
}

impl Tree {
    /// Starts the branches of [`TREE`] in their order.
    pub(crate) async fn start(runtime: &Arc<Runtime>) -> Result<Self, SpawnErr> {
        let standing = Standing::default();
        let (root, _) = Actor::spawn(None, RootActor, (Arc::clone(runtime), Arc::clone(&standing))).await?;
        let root = root.get_cell();
        let mut desks = None;
        for Branch { limb, .. } in TREE {
            let cells = match limb {
                Limb::Desks => {
                    let started = desks.insert(Desks::start(runtime, root.clone()).await?);
                    vec![started.cell.clone()]
                }
                Limb::Conversations => start_nurseries(runtime, &root).await?,
                Limb::Sweeper => {
                    let (sweeper, _) =
                        Actor::spawn_linked(None, SweeperActor, Arc::clone(runtime), root.clone()).await?;
                    vec![sweeper.get_cell()]
                }
            };
            standing.lock().push((limb, cells));
        }
        let desks = desks.ok_or_else(|| SpawnErr::StartupFailed("TREE has no branch of desks".into()))?;
        Ok(Self { root, desks, standing })
    }

    /// Stops the branches in reverse order, each with its children.
    pub(crate) async fn stop(&self) {
        let branches = std::mem::take(&mut *self.standing.lock());
        for (_, cells) in branches.into_iter().rev() {
            for cell in cells {
                cell.stop_children_and_wait(None, Some(STOP_DEADLINE)).await;
                let _late = cell.stop_and_wait(None, Some(STOP_DEADLINE)).await;
            }
        }
        let _late = self.root.stop_and_wait(None, Some(STOP_DEADLINE)).await;
    }

    /// Whether every branch stands.
    pub(crate) fn health(&self) -> Result<(), String> {
        for (limb, cells) in self.standing.lock().iter() {
            if let Some(status) = cells.iter().map(ActorCell::get_status).find(|it| *it != ActorStatus::Running) {
                return Err(format!("the branch {limb:?} of the supervision tree is {status:?}"));
            }
        }
        Ok(())
    }
}

async fn start_nurseries(runtime: &Arc<Runtime>, root: &ActorCell) -> Result<Vec<ActorCell>, SpawnErr> {
    let (mut nurseries, mut cells) = (Vec::with_capacity(SUPERVISORS), Vec::with_capacity(SUPERVISORS));
    for _ in 0..SUPERVISORS {
        let children = Arc::new(DashMap::with_shard_amount(8));
        let arguments = (Arc::clone(runtime), Arc::clone(&children));
        let (nursery, _) = Actor::spawn_linked(None, NurseryActor, arguments, root.clone()).await?;
        cells.push(nursery.get_cell());
        nurseries.push(Arc::new(Nursery { cell: nursery.get_cell(), children }));
    }
    runtime.set_nurseries(nurseries);
    Ok(cells)
}
