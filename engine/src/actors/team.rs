//! Tells agents how their colleagues are, and visitors who is there; coalesced.

use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::runtime::Runtime;
use super::workroom::Workroom;
use crate::domain::SessionId;
use crate::exchange::{Answer, Team};

/// Agents hear of changes this long after the first: a burst is one frame.
const TELL_AGENTS_AFTER: Duration = Duration::from_millis(250);

/// Visitors may be hundreds of thousands, and an agent who reloads a page has not gone away.
const TELL_VISITORS_AFTER: Duration = Duration::from_secs(3);

pub(crate) enum TeamMessage {
    /// Something about a member changed.
    Changed,
    /// An agent's session begins.
    Greet {
        session: SessionId,
    },
    TellAgents,
    TellVisitors,
}

pub(crate) struct TeamActor;

pub(crate) struct TeamArguments {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) workroom: Arc<Workroom>,
}

pub(crate) struct TeamState {
    runtime: Arc<Runtime>,
    workroom: Arc<Workroom>,
    agents_due: bool,
    visitors_due: bool,
    told: Team,
    /// Whether it was other than `told` at any moment since: somebody may have been welcomed with that.
    moved: bool,
}

impl Actor for TeamActor {
    type Msg = TeamMessage;
    type State = TeamState;
    type Arguments = TeamArguments;

    async fn pre_start(
        &self,
        _myself: ActorRef<Self::Msg>,
        arguments: Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let TeamArguments { runtime, workroom } = arguments;
        Ok(TeamState { runtime, workroom, agents_due: false, visitors_due: false, told: Team::default(), moved: false })
    }

    async fn post_start(&self, myself: ActorRef<Self::Msg>, team: &mut Self::State) -> Result<(), ActorProcessingErr> {
        // An earlier life may have crashed with news in its hands.
        team.moved = true;
        let _gone = myself.cast(TeamMessage::Changed);
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: Self::Msg,
        team: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            TeamMessage::Changed => {
                team.note();
                if !std::mem::replace(&mut team.agents_due, true) {
                    let _timer = myself.send_after(TELL_AGENTS_AFTER, || TeamMessage::TellAgents);
                }
                if !std::mem::replace(&mut team.visitors_due, true) {
                    let _timer = myself.send_after(TELL_VISITORS_AFTER, || TeamMessage::TellVisitors);
                }
            }
            TeamMessage::Greet { session } => {
                team.runtime.tell(session, &Answer::Members(team.workroom.members()));
            }
            TeamMessage::TellAgents => {
                team.agents_due = false;
                let sessions: Vec<SessionId> =
                    team.workroom.connected.lock().agents.values().flatten().copied().collect();
                team.runtime.answers.deliver(&sessions, &Answer::Members(team.workroom.members()));
            }
            TeamMessage::TellVisitors => team.tell_visitors(),
        }
        Ok(())
    }
}

impl TeamState {
    /// The figure alone is no news: it moves with every answer and is told with the next greeting.
    fn note(&mut self) {
        let now = self.workroom.team(self.runtime.now());
        self.moved |= (now.available, &now.faces) != (self.told.available, &self.told.faces);
    }

    fn tell_visitors(&mut self) {
        self.visitors_due = false;
        if std::mem::take(&mut self.moved) {
            let now = self.workroom.team(self.runtime.now());
            let sessions: Vec<SessionId> = self.workroom.connected.lock().visitors.iter().copied().collect();
            self.runtime.answers.deliver(&sessions, &Answer::Team(now.clone()));
            self.told = now;
        }
    }
}
