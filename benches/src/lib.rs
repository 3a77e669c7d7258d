//! What the benchmarks are made of: a conversation of a believable length, its commands, its frames. Nothing here
//! measures.

pub mod crew;
mod event_frame;
pub mod hall;
pub mod room;

use std::sync::Arc;

use bellhop_engine::domain::{
    Audience, Author, Body, Channel, Command, CommandId, CommandMark, Context, ConversationId, ConversationKey,
    ConversationState, Decision, Epoch, Event, Issued, MemberId, MemberName, Millis, Part, VisitorId, WorkspaceId,
    decide,
};

pub use event_frame::event_frame;

/// 128 bytes of words: the length that the figures on the design page are for.
pub const WORDS: &str = "Hello, the parcel came today but one of the two cups is broken. Could you send me another one, or shall I return the whole set?!";

/// A visitor's and an agent's turns in [`Talk::new`]: in the shared transcripts a conversation has 18 on average, and
/// the state then remembers as many commands as it ever does.
const TURNS: u128 = 40;

/// The workspace of every benchmark.
pub const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// A conversation that an agent holds, in the middle of it.
pub struct Talk {
    pub visitor: Author,
    pub agent: Author,
    pub context: Context,
    pub state: ConversationState,
}

impl Talk {
    /// Made by the engine's own core, command by command.
    pub fn new() -> Self {
        let visitor = visitor(1);
        let agent = Author::Agent(MemberName { id: MemberId(7), name: Arc::from("Amir Agent") });
        let context = Context {
            key: ConversationKey { workspace: WORKSPACE, conversation: ConversationId(9) },
            now: Millis(1_700_000_000_000),
            epoch: Epoch(1),
            next_number: 1,
        };
        let mut state = None;
        follow(&mut state, &start(&visitor, 1), &context);
        for turn in 2..TURNS {
            let author = if turn % 2 == 0 { &agent } else { &visitor };
            follow(&mut state, &send(author, turn), &context);
        }
        let state = state.expect("a start made it");
        Self { visitor, agent, context, state }
    }

    /// The event that the next message leads to.
    pub fn event(&self) -> Event {
        message(&self.visitor, self.state.seq + 1, CommandId(TURNS))
    }
}

impl Default for Talk {
    fn default() -> Self {
        Self::new()
    }
}

/// A visitor with a name as the engine gives it.
pub fn visitor(id: u128) -> Author {
    Author::Visitor { id: VisitorId(id), name: Arc::from("Amber Otter") }
}

/// A visitor's first message.
pub fn start(author: &Author, id: u128) -> Issued {
    let command = Command::Start { text: Arc::from(WORDS), page: Some(Arc::from("https://shop.example/tea/cups")) };
    Issued { author: author.clone(), id: Some(CommandId(id)), command }
}

/// A message.
pub fn send(author: &Author, id: u128) -> Issued {
    Issued { author: author.clone(), id: Some(CommandId(id)), command: Command::Send { text: Arc::from(WORDS) } }
}

/// A message's event.
pub fn message(author: &Author, seq: u64, id: CommandId) -> Event {
    Event {
        seq,
        prev_all: seq - 1,
        epoch: Epoch(1),
        at: Millis(1_700_000_000_000),
        author: author.clone(),
        audience: Audience::All,
        channel: Channel::Chat,
        external_id: None,
        command: Some(CommandMark { id, hash: 0x5eed }),
        body: Body::Message { parts: vec![Part::Text(Arc::from(WORDS))] },
    }
}

/// Decides a command and folds what it leads to.
///
/// # Panics
/// If the command is refused: the benchmarks give only good ones.
pub fn follow(state: &mut Option<ConversationState>, issued: &Issued, context: &Context) {
    let decision = decide(state.as_ref(), issued, context);
    let Ok(Decision::Events { events, .. }) = decision else { panic!("{issued:?} led to {decision:?}") };
    for event in &events {
        match state {
            Some(state) => state.apply(event),
            None => *state = Some(ConversationState::begin(context.key, event)),
        }
    }
}
