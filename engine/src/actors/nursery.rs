//! Supervisors of conversations: a crashed one is restarted from its log, one that crashes again and again is held back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::DashMap;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};

use super::crashes::{Crashes, MOST_CRASHES, STORM_CRASHES};
use super::queue::QueueMessage;
use super::runtime::{RETRY_AFTER_MS, Runtime};
use super::slot::{InHand, Slot};
use super::tree::Silence;
use crate::domain::{ConversationKey, Refusal};
use crate::exchange::Answer;

/// Supervises the conversations of some shards.
pub(super) struct NurseryActor;

pub(super) struct NurseryState {
    runtime: Arc<Runtime>,
    children: Arc<DashMap<ActorId, Arc<Slot>>>,
    crashes: Crashes<ConversationKey>,
}

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
        let in_hand = slot.drop_in_hand();
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
            self.runtime.break_tree(format!("{different} conversations crashed within 10 seconds"));
        }
        if same >= MOST_CRASHES {
            return self.quarantine(slot);
        }
        let followers: Vec<_> = slot.followers.lock().iter().map(|it| it.session).collect();
        self.runtime.answers.deliver(&followers, &Answer::Resync { conversation });
        match self.runtime.staff(slot) {
            Ok(()) => slot.wake(),
            Err(error) => self.runtime.break_tree(format!("a conversation could not be restarted: {error}")),
        }
    }

    /// Holds a conversation back that crashes again and again, and tells everybody who waits for it.
    fn quarantine(&self, slot: &Slot) {
        let conversation = slot.key.conversation;
        tracing::error!(%conversation, "three crashes in a minute: the conversation is quarantined until a restart");
        metrics::counter!("bellhop_conversations_quarantined_total").increment(1);
        slot.quarantined.store(true, Ordering::Release);
        self.runtime.refuse_quarantined(slot);
        // Offering it to agents would come to nothing, four times a second.
        if let Some(room) = self.runtime.workroom(slot.key.workspace) {
            room.tell_queue(QueueMessage::Leave { conversation });
        }
    }
}
