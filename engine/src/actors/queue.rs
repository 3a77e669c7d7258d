//! The queue: performs what the pure line decides. Assigning is: reserve at the agent, commit in the conversation,
//! confirm.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::agent::AgentMessage;
use super::conversation::ConversationMessage;
use super::runtime::Runtime;
use super::workroom::Workroom;
use crate::domain::{AgentSummary, ConversationId, Line, MemberId, Offer, Status};
use crate::sabotage::{self, Spot};

/// Places are told at most this often: each hand-out moves everybody.
const ANNOUNCE_AFTER: Duration = Duration::from_millis(300);

/// Only so many are told their place; "more than 200 before you" helps nobody, and each change costs a message each.
const PLACES_TOLD: usize = 200;

/// A declined offer is made anew after this long: the agent's new state is known by then, and a store that is away
/// does not make the queue spin.
const OFFER_AGAIN_AFTER: Duration = Duration::from_millis(250);

pub(crate) enum QueueMessage {
    Join {
        conversation: ConversationId,
        number: u64,
        prefer: Option<MemberId>,
    },
    Leave {
        conversation: ConversationId,
    },
    /// An offer came to nothing.
    Declined {
        conversation: ConversationId,
    },
    OfferAgain {
        conversation: ConversationId,
    },
    Agent {
        member: MemberId,
        summary: AgentSummary,
    },
    Forget {
        member: MemberId,
    },
    Cap(u32),
    Announce,
}

pub(crate) struct QueueActor;

pub(crate) struct QueueArguments {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) workroom: Arc<Workroom>,
}

pub(crate) struct Queue {
    runtime: Arc<Runtime>,
    workroom: Arc<Workroom>,
    line: Line,
    announcing: bool,
}

impl Actor for QueueActor {
    type Msg = QueueMessage;
    type State = Queue;
    type Arguments = QueueArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let QueueArguments { runtime, workroom } = arguments;
        let mut line = Line::new(workroom.desk.read().agent_cap);
        let held_back =
            |id| runtime.live(workroom.key(id)).is_some_and(|slot| slot.quarantined.load(Ordering::Acquire));
        for row in workroom.rows.iter().filter(|row| row.status == Status::Queued && !held_back(*row.key())) {
            line.join(*row.key(), row.queue_number.unwrap_or_default(), row.prefer);
        }
        Ok(Queue { runtime, workroom, line, announcing: false })
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, queue: &mut Self::State) -> Result<(), ActorProcessingErr> {
        // After a restart the agents say again how they are.
        for agent in queue.workroom.staff.read().agents.values() {
            let _gone = agent.cast(AgentMessage::Presence);
        }
        queue.announce_soon(&myself);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        queue: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        sabotage::trip(Spot::Queue);
        match message {
            QueueMessage::Join { conversation, number, prefer } => {
                queue.line.join(conversation, number, prefer);
                // Told anew: who opened it since it left the line was told that it stands in none.
                queue.workroom.places.lock().remove(&conversation);
            }
            QueueMessage::Leave { conversation } => queue.line.leave(conversation),
            QueueMessage::Declined { conversation } => {
                let _timer = myself.send_after(OFFER_AGAIN_AFTER, move || QueueMessage::OfferAgain { conversation });
                return Ok(());
            }
            QueueMessage::OfferAgain { conversation } => queue.line.declined(conversation),
            QueueMessage::Agent { member, summary } => queue.line.agent(member, summary),
            QueueMessage::Forget { member } => queue.line.forget(member),
            QueueMessage::Cap(cap) => queue.line.set_cap(cap),
            QueueMessage::Announce => {
                queue.announcing = false;
                queue.announce();
                return Ok(());
            }
        }
        queue.offer();
        queue.announce_soon(&myself);
        Ok(())
    }
}

impl Queue {
    fn offer(&mut self) {
        loop {
            let mut gone = None;
            for Offer { conversation, number, member } in self.line.offers() {
                if !self.workroom.tell_agent(member, AgentMessage::Reserve { conversation, number }) {
                    gone = Some(member);
                }
            }
            // Somebody who is no longer there: their offers go to others.
            match gone {
                Some(member) => self.line.forget(member),
                None => return,
            }
        }
    }

    fn announce_soon(&mut self, myself: &ActorRef<QueueMessage>) {
        let same = self.line.is_empty() && self.workroom.places.lock().is_empty();
        if !self.announcing && !same {
            self.announcing = true;
            let _timer = myself.send_after(ANNOUNCE_AFTER, || QueueMessage::Announce);
        }
    }

    /// Tells the visitors whose place moved.
    fn announce(&self) {
        let now: BTreeMap<ConversationId, u64> = self.line.places(PLACES_TOLD).zip(1..).collect();
        let before = std::mem::replace(&mut *self.workroom.places.lock(), now.clone());
        let moved =
            now.iter().filter(|(id, place)| before.get(id) != Some(place)).map(|(id, place)| (*id, Some(*place)));
        let left = before.keys().filter(|id| !now.contains_key(id)).map(|id| (*id, None));
        for (conversation, place) in moved.chain(left) {
            if let Some(slot) = self.runtime.live(self.workroom.key(conversation)) {
                slot.cast(ConversationMessage::Place(place));
            }
        }
    }
}
