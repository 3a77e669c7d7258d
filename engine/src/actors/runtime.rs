//! What all actors share: the ports, the options, the registry of live conversations.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use ractor::{ActorCell, ActorId, ActorRuntime};

use super::conversation::{ConversationActor, ConversationArguments};
use super::slot::{Permit, Slot, Work};
use super::workroom::Workroom;
use crate::admission::Admission;
use crate::domain::{ConversationKey, Epoch, MemberId, Millis, Refusal, Shard, WorkspaceId};
use crate::engine::{Options, Ports};
use crate::exchange::Answer;
use crate::ports::{Answers, Clock, Store};

/// When to come back after `overloaded` or `unavailable`, milliseconds: long enough for a queue of commands to drain,
/// short enough that nobody notices. Clients add jitter.
pub(crate) const RETRY_AFTER_MS: u32 = 500;

/// Supervisors of conversations: linking a child locks its supervisor's set of children, so there are several.
pub(crate) const SUPERVISORS: usize = 16;

/// A supervisor of conversations and the slots of its children.
pub(crate) struct Nursery {
    pub(crate) cell: ActorCell,
    pub(crate) children: Arc<DashMap<ActorId, Arc<Slot>>>,
}

pub(crate) struct Runtime {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) answers: Arc<dyn Answers>,
    clock: Arc<dyn Clock>,
    pub(crate) options: Options,
    pub(crate) secret: [u8; 32],
    pub(crate) epoch: Epoch,
    /// By a quick hasher, seeded by chance. Clients may name conversations that do not exist, but each of those stands
    /// here only while a request for it is open, and those are bounded ([`Options::max_requests_in_flight`]).
    slots: DashMap<ConversationKey, Arc<Slot>, foldhash::fast::RandomState>,
    pub(crate) workrooms: DashMap<WorkspaceId, Arc<Workroom>>,
    nurseries: std::sync::OnceLock<Vec<Arc<Nursery>>>,
    pub(crate) in_flight: Arc<AtomicUsize>,
    /// How many commands a second are taken.
    pub(crate) admission: Admission,
    pub(crate) draining: AtomicBool,
    /// Said by an escalation: the sentence for readiness and the operator.
    pub(crate) broken: parking_lot::Mutex<Option<String>>,
}

impl Runtime {
    pub(crate) fn new(ports: Ports, options: Options) -> Self {
        Self {
            secret: ports.store.secret(),
            epoch: ports.store.epoch(),
            store: ports.store,
            answers: ports.answers,
            clock: ports.clock,
            admission: Admission::new(options.commands_per_second),
            options,
            slots: DashMap::with_hasher(foldhash::fast::RandomState::default()),
            workrooms: DashMap::new(),
            nurseries: std::sync::OnceLock::new(),
            in_flight: Arc::new(AtomicUsize::new(0)),
            draining: AtomicBool::new(false),
            broken: parking_lot::Mutex::new(None),
        }
    }

    pub(crate) fn set_nurseries(&self, nurseries: Vec<Arc<Nursery>>) {
        let _only_once = self.nurseries.set(nurseries);
    }

    pub(crate) fn now(&self) -> Millis {
        self.clock.now()
    }

    pub(crate) fn workroom(&self, id: WorkspaceId) -> Option<Arc<Workroom>> {
        self.workrooms.get(&id).map(|it| Arc::clone(&it))
    }

    pub(crate) fn permit(&self) -> Option<Permit> {
        Permit::take(&self.in_flight, self.options.max_requests_in_flight)
    }

    pub(crate) fn live(&self, key: ConversationKey) -> Option<Arc<Slot>> {
        self.slots.get(&key).map(|it| Arc::clone(&it))
    }

    pub(crate) fn live_conversations(&self) -> usize {
        self.slots.len()
    }

    /// In the order of their keys.
    pub(crate) fn live_slots(&self) -> Vec<Arc<Slot>> {
        let mut slots: Vec<_> = self.slots.iter().map(|it| Arc::clone(it.value())).collect();
        slots.sort_unstable_by_key(|slot| slot.key);
        slots
    }

    /// Those that may sleep after this sweep, in the order of their keys.
    pub(crate) fn sweep_slots(&self) -> Vec<Arc<Slot>> {
        let sweeps = self.options.sweeps_before_sleep();
        let sleepy = self.slots.iter().filter(|slot| slot.sweep(sweeps));
        let mut sleepy: Vec<_> = sleepy.map(|it| Arc::clone(it.value())).collect();
        sleepy.sort_unstable_by_key(|slot| slot.key);
        sleepy
    }

    /// Puts work in front of a conversation, waking it if it sleeps. The registry's lock is held while pushing, so
    /// that a conversation cannot go to sleep with work in its inbox.
    pub(crate) fn give(self: &Arc<Self>, key: ConversationKey, work: Work) -> Result<(), Refusal> {
        let overloaded = Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS };
        let push = |slot: &Slot, work| {
            if slot.quarantined.load(Ordering::Acquire) {
                return Err(Refusal::ConversationUnavailable);
            }
            slot.push(work, self.options.max_requests_per_conversation).map_err(|_full| overloaded)?;
            // It may have been quarantined between the look and the push; then nobody else looks at the inbox again.
            if slot.quarantined.load(Ordering::Acquire) {
                self.refuse_quarantined(slot);
            }
            Ok(())
        };
        if let Some(slot) = self.slots.get(&key) {
            return push(&slot, work);
        }
        match self.slots.entry(key) {
            Entry::Occupied(entry) => push(entry.get(), work),
            Entry::Vacant(entry) => {
                let slot = Arc::new(Slot::new(key));
                self.staff(&slot).map_err(|_closing| Refusal::Unavailable { retry_after_ms: RETRY_AFTER_MS })?;
                let slot = entry.insert(slot);
                push(&slot, work)
            }
        }
    }

    /// Everybody who waits for a quarantined conversation hears it.
    pub(crate) fn refuse_quarantined(&self, slot: &Slot) {
        let conversation = Some(slot.key.conversation);
        while let Some(work) = slot.next() {
            match work {
                Work::Request { session, request, permit: _permit, .. } => {
                    let (id, refusal) = (request.command_id(), Refusal::ConversationUnavailable);
                    self.tell(session, &Answer::Refused { id, conversation, refusal });
                }
                Work::Route { to, .. } => self.settle(slot.key, to.id, false),
                Work::Release { .. } | Work::Unfollow { .. } => {}
            }
        }
    }

    /// Spawns an actor for a slot under its supervisor.
    pub(crate) fn staff(self: &Arc<Self>, slot: &Arc<Slot>) -> Result<(), ractor::SpawnErr> {
        let nurseries = self.nurseries.get().map(Vec::as_slice).unwrap_or_default();
        let shard = Shard::of(slot.key.workspace, slot.key.conversation).0;
        let Some(nursery) = nurseries.get(usize::from(shard) % nurseries.len().max(1)) else {
            return Err(ractor::SpawnErr::StartupFailed("the supervision tree does not stand".into()));
        };
        let arguments = ConversationArguments { runtime: Arc::clone(self), slot: Arc::clone(slot) };
        let (actor, _starting) =
            ActorRuntime::spawn_linked_instant(None, ConversationActor, arguments, nursery.cell.clone())?;
        nursery.children.insert(actor.get_id(), Arc::clone(slot));
        slot.staff(actor);
        Ok(())
    }

    /// Takes a conversation out of the registry if nothing waits for it and nobody follows it.
    pub(crate) fn retire(&self, slot: &Arc<Slot>) -> bool {
        self.slots.remove_if(&slot.key, |_, there| Arc::ptr_eq(there, slot) && slot.is_quiet()).is_some()
    }

    /// A system command of an agent's actor or the queue. A refusal at the door is told to the reservation's agent.
    pub(crate) fn give_system(self: &Arc<Self>, key: ConversationKey, work: Work) {
        let reservation = match &work {
            Work::Route { to, .. } => Some(to.id),
            _ => None,
        };
        if self.give(key, work).is_err()
            && let Some(member) = reservation
        {
            self.settle(key, member, false);
        }
    }

    /// Now and then: what is held by somebody who is not a member goes back to the line, and rows that were written are
    /// forgotten.
    pub(crate) fn sweep_rooms(self: &Arc<Self>) {
        let mut rooms: Vec<_> = self.workrooms.iter().map(|it| Arc::clone(it.value())).collect();
        rooms.sort_unstable_by_key(|room| room.id);
        for room in rooms {
            room.forget_written();
            self.release_strangers_of(&room);
        }
    }

    pub(crate) fn release_strangers_of(self: &Arc<Self>, room: &Workroom) {
        for (conversation, from) in room.strangers() {
            self.give_system(room.key(conversation), Work::Release { from, removed: true });
        }
    }

    /// Tells an agent's actor how the commit of its reservation ended.
    pub(crate) fn settle(&self, key: ConversationKey, member: MemberId, held: bool) {
        if let Some(workroom) = self.workroom(key.workspace) {
            workroom.tell_agent(member, super::agent::AgentMessage::Settled { conversation: key.conversation, held });
        }
    }

    /// Restarting no longer helps: readiness and the operator hear why.
    pub(crate) fn break_tree(&self, what: String) {
        tracing::error!(%what, "the supervision tree is broken; the server has to start anew");
        *self.broken.lock() = Some(what);
    }

    pub(crate) fn tell(&self, session: crate::domain::SessionId, answer: &Answer) {
        self.answers.deliver(&[session], answer);
    }
}
