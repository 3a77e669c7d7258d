//! The sweeper: looks, now and then, for conversations that may sleep.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::conversation::ConversationMessage;
use super::runtime::Runtime;

/// How often sleepy conversations are looked for.
pub(crate) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Looks for conversations that may sleep.
pub(super) struct SweeperActor;

pub(super) enum SweeperMessage {
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
        for slot in runtime.sweep_slots() {
            slot.cast(ConversationMessage::Sweep { force: false });
        }
        runtime.sweep_rooms();
        metrics::gauge!("bellhop_conversations_live").set(runtime.live_conversations() as f64);
        Ok(())
    }
}
