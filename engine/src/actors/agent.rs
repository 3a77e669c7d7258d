//! An agent: how many connections they have, what they hold, and what is reserved for them. A projection of the
//! conversations' logs: what they hold is what the logs say.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::queue::QueueMessage;
use super::runtime::Runtime;
use super::slot::Work;
use super::team::TeamMessage;
use super::workroom::{AgentState, Workroom};
use crate::domain::{AgentSummary, ConversationId, MemberId, Status};
use crate::sabotage::{self, Spot};

/// A reservation that was not confirmed for this long is settled by looking at the conversation's row. A commit takes
/// milliseconds; ten seconds means that the conversation's actor crashed with the command in its hands.
const RESERVATION_CHECK: Duration = Duration::from_secs(10);

pub(crate) enum AgentMessage {
    /// Connections came or went (the workroom knows them), or the availability changed.
    Presence,
    /// The queue offers a conversation.
    Reserve { conversation: ConversationId, number: u64 },
    /// How the commit of a reservation ended.
    Settled { conversation: ConversationId, held: bool },
    /// A conversation's log says that they hold it.
    Holds { conversation: ConversationId },
    /// It says that they no longer do.
    Dropped { conversation: ConversationId },
    /// A reservation is old.
    CheckReservation { conversation: ConversationId, reservation: u64 },
    /// They may have been offline for too long.
    OfflineFor { absence: u64 },
    /// They were removed: everything they hold goes back to the line.
    Removed,
}

pub(crate) struct AgentActor;

pub(crate) struct AgentArguments {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) workroom: Arc<Workroom>,
    pub(crate) member: MemberId,
}

pub(crate) struct Agent {
    runtime: Arc<Runtime>,
    workroom: Arc<Workroom>,
    member: MemberId,
    online: bool,
    /// Counts absences, so that the timer of an earlier one is known.
    absence: u64,
    holds: BTreeSet<ConversationId>,
    /// Each by a number of its own: a conversation that returns keeps its place's number, and the check of an earlier
    /// reservation must not end a later one.
    reserved: BTreeMap<ConversationId, u64>,
    reservations: u64,
}

impl Actor for AgentActor {
    type Msg = AgentMessage;
    type State = Agent;
    type Arguments = AgentArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let AgentArguments { runtime, workroom, member } = arguments;
        let holds = |row: &crate::domain::Row| {
            row.status == Status::Assigned && row.assignee.as_ref().is_some_and(|it| it.id == member)
        };
        let holds = workroom.rows.iter().filter(|row| holds(row)).map(|row| *row.key()).collect();
        let mut agent = Agent {
            runtime,
            workroom,
            member,
            online: true,
            absence: 0,
            holds,
            reserved: BTreeMap::new(),
            reservations: 0,
        };
        // What was reserved by an earlier life is not known here: the queue may offer it again.
        agent.workroom.tell_queue(QueueMessage::Forget { member });
        agent.presence(&myself);
        Ok(agent)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        agent: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        sabotage::trip(Spot::Agent);
        match message {
            AgentMessage::Presence => agent.presence(&myself),
            AgentMessage::Reserve { conversation, number } => agent.reserve(conversation, number, &myself),
            AgentMessage::Settled { conversation, held } => agent.settled(conversation, held),
            AgentMessage::Holds { conversation } => agent.hold(conversation, &myself),
            AgentMessage::Dropped { conversation } => {
                agent.holds.remove(&conversation);
                agent.tell();
            }
            AgentMessage::CheckReservation { conversation, reservation } => agent.check(conversation, reservation),
            AgentMessage::OfflineFor { absence } => agent.offline_for(absence, &myself),
            AgentMessage::Removed => {
                agent.release(|_| true, true);
                // Behind every summary of theirs.
                agent.workroom.tell_queue(QueueMessage::Forget { member: agent.member });
                myself.stop(None);
            }
        }
        Ok(())
    }
}

impl Agent {
    fn available(&self) -> bool {
        self.workroom.colleague(self.member).is_some_and(|it| it.available)
    }

    fn presence(&mut self, myself: &ActorRef<AgentMessage>) {
        let online = self.workroom.connected.lock().agents.get(&self.member).is_some_and(|it| !it.is_empty());
        if self.online && !online {
            self.absence += 1;
            self.online = false;
            self.time_absence(myself);
        }
        self.online = online;
        self.tell();
    }

    fn time_absence(&self, myself: &ActorRef<AgentMessage>) {
        let absence = self.absence;
        let _timer =
            myself.send_after(self.runtime.options.release_after, move || AgentMessage::OfflineFor { absence });
    }

    /// Tells queue and team how things stand.
    fn tell(&self) {
        let open = self.holds.len() as u32;
        self.workroom.agents.write().insert(self.member, AgentState { online: self.online, open });
        let summary = AgentSummary {
            reachable: self.online && self.available(),
            load: open + self.reserved.keys().filter(|it| !self.holds.contains(it)).count() as u32,
        };
        self.workroom.tell_queue(QueueMessage::Agent { member: self.member, summary });
        self.workroom.tell_team(TeamMessage::Changed);
    }

    fn reserve(&mut self, conversation: ConversationId, number: u64, myself: &ActorRef<AgentMessage>) {
        let cap = self.workroom.desk.read().agent_cap as usize;
        let room = self.holds.len() + self.reserved.len() < cap;
        let me = self.workroom.colleague(self.member).filter(|it| it.available && self.online && room);
        let Some(me) = me else {
            self.workroom.tell_queue(QueueMessage::Declined { conversation });
            return self.tell();
        };
        self.reservations += 1;
        let reservation = self.reservations;
        self.reserved.insert(conversation, reservation);
        let _timer =
            myself.send_after(RESERVATION_CHECK, move || AgentMessage::CheckReservation { conversation, reservation });
        self.runtime.give_system(self.workroom.key(conversation), Work::Route { to: me.member, number });
    }

    fn settled(&mut self, conversation: ConversationId, held: bool) {
        if self.reserved.remove(&conversation).is_none() {
            return;
        }
        if held {
            self.holds.insert(conversation);
        } else {
            self.workroom.tell_queue(QueueMessage::Declined { conversation });
        }
        self.tell();
    }

    fn hold(&mut self, conversation: ConversationId, myself: &ActorRef<AgentMessage>) {
        self.reserved.remove(&conversation);
        self.holds.insert(conversation);
        if !self.online {
            // Given to somebody who is away: they get as long as everybody to turn up.
            self.time_absence(myself);
        }
        self.tell();
    }

    fn check(&mut self, conversation: ConversationId, reservation: u64) {
        if self.reserved.get(&conversation) == Some(&reservation) {
            let held = self.workroom.rows.get(&conversation).is_some_and(|row| {
                row.status == Status::Assigned && row.assignee.as_ref().is_some_and(|it| it.id == self.member)
            });
            self.settled(conversation, held);
        }
    }

    fn offline_for(&mut self, absence: u64, myself: &ActorRef<AgentMessage>) {
        // Again later if anything had to go: a release may be refused by a store that is away.
        if !self.online && self.absence == absence && self.release(|row| !row.answered, false) {
            self.time_absence(myself);
        }
    }

    /// Puts what they hold, or are about to, back into the line; returns whether there was anything. The conversation
    /// decides; the row only saves it the question.
    fn release(&self, which: impl Fn(&crate::domain::Row) -> bool, removed: bool) -> bool {
        let mut any = false;
        for conversation in self.holds.iter().chain(self.reserved.keys()) {
            let wanted = self.workroom.rows.get(conversation).is_none_or(|row| which(&row));
            if wanted {
                any = true;
                let work = Work::Release { from: self.member, removed };
                self.runtime.give_system(self.workroom.key(*conversation), work);
            }
        }
        any
    }
}
