//! One conversation being played: whose turn it is. A turn is sent when the one before was acknowledged to its sender
//! and has reached the other side; whoever hears the second of the two passes the turn on.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bellhop_protocol::Id;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    agent::AgentOrder,
    args::Speed,
    compare::Words,
    link::Link,
    stage::{Stage, lock},
    transcript::{Side, Transcript},
    verify::Said,
    visitor::VisitorOrder,
};

/// What is said, and when.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) transcript: Transcript,
    pub(crate) speed: Speed,
}

impl Script {
    /// Turn `index`, counted from 0; `None` at the end.
    fn side(&self, index: usize) -> Option<Side> {
        self.transcript.turns.get(index).map(|turn| turn.side)
    }

    fn text(&self, index: usize) -> String {
        self.transcript.turns.get(index).map_or_else(String::new, |it| it.text.clone())
    }

    fn delay(&self, index: usize) -> Duration {
        match self.speed {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => {
                let ms = self.transcript.turns.get(index).map_or(0, |turn| turn.delay_ms);
                Duration::try_from_secs_f64(ms as f64 / 1_000.0 / times).unwrap_or(Duration::MAX)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Playing,
    /// All turns are through; the agent settles the matter.
    Resolving,
    Over,
}

struct State {
    phase: Phase,
    conversation: Option<Id>,
    /// The session that holds it, as far as known.
    agent: Option<UnboundedSender<AgentOrder>>,
    /// The turn in flight or next to be sent.
    turn: usize,
    /// The command in flight.
    cmd: Option<Id>,
    start: Id,
    sent_at: Instant,
    acked: bool,
    received: bool,
    failed: bool,
}

pub(crate) struct Talk {
    /// For reports: the transcript's id, or the pair's number.
    pub(crate) name: String,
    script: Script,
    stage: Arc<Stage>,
    visitor: UnboundedSender<VisitorOrder>,
    state: Mutex<State>,
}

/// What a session has to do itself, because the next turn is its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    Nothing,
    Mine,
}

impl Talk {
    pub(crate) fn new(
        name: String,
        script: Script,
        stage: Arc<Stage>,
        visitor: UnboundedSender<VisitorOrder>,
    ) -> Arc<Self> {
        let state = State {
            phase: Phase::Playing,
            conversation: None,
            agent: None,
            turn: 0,
            cmd: None,
            start: Id(0),
            sent_at: Instant::now(),
            acked: false,
            received: false,
            failed: false,
        };
        Arc::new(Self { name, script, stage, visitor, state: Mutex::new(state) })
    }

    /// Sends the turn that is due, or resolves; called by the session whose turn it is.
    pub(crate) fn play(self: &Arc<Self>, link: &mut Link) {
        let mut state = lock(&self.state);
        let cmd = match (state.phase, state.conversation) {
            (Phase::Playing, None) => {
                let start = link.start(self.script.text(0), None);
                state.start = start;
                self.stage.starting(start, self);
                start
            }
            (Phase::Playing, Some(conversation)) => link.send(conversation, self.script.text(state.turn)),
            (Phase::Resolving, Some(conversation)) => link.resolve(conversation),
            (Phase::Resolving, None) | (Phase::Over, _) => return,
        };
        state.cmd = Some(cmd);
        state.sent_at = link.now();
        state.acked = false;
        state.received = false;
    }

    /// An agent's session follows the conversation.
    pub(crate) fn held_by(&self, agent: &UnboundedSender<AgentOrder>) {
        lock(&self.state).agent = Some(agent.clone());
    }

    /// A command was acknowledged to `side`.
    pub(crate) fn acked(self: &Arc<Self>, side: Side, cmd: Id, conversation: Option<Id>) -> Next {
        let mut state = lock(&self.state);
        if state.conversation.is_none()
            && let Some(conversation) = conversation
        {
            state.conversation = Some(conversation);
            self.stage.started(conversation, self);
        }
        if state.cmd != Some(cmd) {
            return Next::Nothing;
        }
        if state.phase == Phase::Resolving {
            self.over(&mut state);
            return Next::Nothing;
        }
        state.acked = true;
        self.pass(&mut state, side)
    }

    /// `side` has received a message that `cmd` caused; `author` said it.
    pub(crate) fn received(self: &Arc<Self>, side: Side, author: Side, cmd: Option<Id>, now: Instant) -> Next {
        let mut state = lock(&self.state);
        if state.received || state.phase != Phase::Playing || cmd.is_none() || cmd != state.cmd || side == author {
            return Next::Nothing;
        }
        state.received = true;
        self.stage.received(state.turn == 0, now.saturating_duration_since(state.sent_at));
        self.pass(&mut state, side)
    }

    /// It cannot go on.
    pub(crate) fn fail(&self, why: &str) {
        let mut state = lock(&self.state);
        if state.phase == Phase::Over {
            return;
        }
        self.stage.trouble(format!("{} stopped at turn {}: {why}", self.name, state.turn + 1));
        state.failed = true;
        self.over(&mut state);
    }

    /// Whether this command is the one in flight.
    pub(crate) fn waits_for(&self, cmd: Id) -> bool {
        lock(&self.state).cmd == Some(cmd)
    }

    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).phase == Phase::Over
    }

    /// The conversation as it was said, for comparing.
    pub(crate) fn said(&self) -> Said {
        let words = |turn| Some(Words { side: self.script.side(turn)?, text: self.script.text(turn) });
        Said {
            name: self.name.clone(),
            conversation: lock(&self.state).conversation,
            words: (0..self.script.transcript.turns.len()).filter_map(words).collect(),
        }
    }

    /// Turns that are through, and where it stands: for a run that came to a halt.
    pub(crate) fn describe(&self) -> String {
        let state = lock(&self.state);
        let waits = match (state.phase, state.cmd, state.acked, state.received) {
            (Phase::Over, ..) => "over",
            (_, None, ..) => "not begun",
            (Phase::Resolving, ..) => "waits for the acknowledgement of its resolving",
            (Phase::Playing, _, false, false) => "waits for acknowledgement and for the other side",
            (Phase::Playing, _, false, true) => "waits for the acknowledgement",
            (Phase::Playing, _, true, false) => "waits for the other side to receive it",
            (Phase::Playing, _, true, true) => "waits for the next sender",
        };
        let id = state.conversation.map_or_else(|| "no id yet".into(), |id| id.to_string());
        format!("{} ({id}), turn {}: {waits}", self.name, state.turn + 1)
    }

    fn pass(self: &Arc<Self>, state: &mut State, side: Side) -> Next {
        if !(state.acked && state.received) {
            return Next::Nothing;
        }
        self.stage.turn();
        state.turn += 1;
        // Nobody's answer counts for the next turn before it is sent.
        state.cmd = None;
        let next = self.script.side(state.turn).unwrap_or_else(|| {
            state.phase = Phase::Resolving;
            Side::Agent
        });
        let delay = if state.phase == Phase::Playing { self.script.delay(state.turn) } else { Duration::ZERO };
        if delay.is_zero() {
            if next == side {
                return Next::Mine;
            }
            self.tell(state, next);
        } else {
            let talk = Arc::clone(self);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                talk.tell(&lock(&talk.state), next);
            });
        }
        Next::Nothing
    }

    /// A session that has ended takes no orders; its end was reported where it happened.
    fn tell(self: &Arc<Self>, state: &State, side: Side) {
        match (side, &state.agent) {
            (Side::Visitor, _) => drop(self.visitor.send(VisitorOrder::Play)),
            (Side::Agent, Some(agent)) => drop(agent.send(AgentOrder::Play(Arc::clone(self)))),
            (Side::Agent, None) => self.stage.trouble(format!("{}: no agent holds it", self.name)),
        }
    }

    fn over(&self, state: &mut State) {
        state.phase = Phase::Over;
        self.stage.forget(state.start, state.conversation);
        let order = if state.failed { VisitorOrder::GiveUp } else { VisitorOrder::Leave };
        drop(self.visitor.send(order));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Script;
    use crate::{
        args::Speed,
        transcript::{Side, Transcript, Turn},
    };

    #[test]
    fn sides_pauses_and_ends_follow_the_script() {
        let turn = |side, delay_ms| Turn { side, text: "x".into(), delay_ms };
        let turns = vec![turn(Side::Visitor, 0), turn(Side::Visitor, 5_000), turn(Side::Agent, 1_000)];
        let transcript = Transcript { id: "t".into(), turns };
        let script = Script { transcript: transcript.clone(), speed: Speed::Times(10.0) };
        assert_eq!(script.delay(1), Duration::from_millis(500));
        assert_eq!((script.side(1), script.side(2), script.side(3)), (Some(Side::Visitor), Some(Side::Agent), None));
        assert_eq!(Script { transcript, speed: Speed::Max }.delay(1), Duration::ZERO);
    }
}
