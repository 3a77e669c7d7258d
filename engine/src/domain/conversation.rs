//! The conversation's pure core: `(state, command, now) → events | refusal`. The actor around it performs what this
//! decides; the state machine's every (state, command) pair is snapshotted in `engine/tests/conversation.rs`.

use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::{
    AssignedReason, Audience, Author, Body, Channel, CommandId, CommandMark, ConversationId, ConversationKey,
    ConversationState, Epoch, Event, MemberId, MemberName, Millis, Part, QueuedReason, Refusal, Remembered, Status,
    VisitorId, WorkspaceId, check_page, check_text,
};

/// A visitor who writes again within this long of the resolving reopens the conversation; later a new one begins.
/// 7 days, from the issue; the same as Intercom's default window.
pub const REOPEN_WINDOW_MS: i64 = 7 * 24 * 3600 * 1000;

/// Everything that can happen to a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Command {
    /// Visitor: the first message.
    Start { text: Arc<str>, page: Option<Arc<str>> },
    /// A message, of the visitor or an agent.
    Send { text: Arc<str> },
    /// Agent: words for staff only.
    Note { text: Arc<str> },
    /// Agent: somebody is to hold it. The caller has checked that `to` is a member now.
    Assign { to: MemberName },
    /// Agent: back to the line, at the place it had.
    Return,
    /// Agent: the matter is settled.
    Resolve,
    /// Agent: takes a resolving back, and holds it.
    Reopen,
    /// Queue: the answer to the `queued` event with this number.
    Route { to: MemberName, number: u64 },
    /// Agent's actor: `from` was offline for too long. Only if unanswered, unless they were `removed`.
    Release { from: MemberId, removed: bool },
}

/// A command with its sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Issued {
    pub author: Author,
    /// Chosen by the sender; `None` only for the system's own commands, which the state makes idempotent.
    pub id: Option<CommandId>,
    pub command: Command,
}

/// What comes in from outside the state.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub key: ConversationKey,
    pub now: Millis,
    pub epoch: Epoch,
    /// The number that a new place in the line gets.
    pub next_number: u64,
}

/// What a good command leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// New events; `own` is the index of the one that answers the command.
    Events { events: Vec<Event>, own: usize },
    /// It took effect before: the same acknowledgement again.
    Again(Remembered),
}

/// The id of a conversation that a visitor starts: HMAC-SHA256 under the store's secret over (workspace, visitor,
/// command id), cut to 128 bits. Starting is idempotent because the id follows from what is repeated, and nobody can
/// guess another's.
pub fn conversation_id(
    secret: &[u8; 32],
    workspace: WorkspaceId,
    visitor: VisitorId,
    first_command: CommandId,
) -> ConversationId {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(b"conversation");
    mac.update(&workspace.0.to_be_bytes());
    mac.update(&visitor.0.to_be_bytes());
    mac.update(&first_command.0.to_be_bytes());
    let digest = mac.finalize().into_bytes();
    let mut id = [0u8; 16];
    id.copy_from_slice(&digest[..16]);
    ConversationId(u128::from_be_bytes(id))
}

impl Command {
    /// A stable hash of kind and body, for G3: the first 8 bytes of SHA-256 over a tag and the fields, each with its
    /// length. Stored for ever, so it must never change.
    pub fn body_hash(&self) -> u64 {
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        match self {
            Command::Start { text, page } => {
                field(b"start");
                field(text.as_bytes());
                field(page.as_deref().unwrap_or_default().as_bytes());
            }
            Command::Send { text } => {
                field(b"send");
                field(text.as_bytes());
            }
            Command::Note { text } => {
                field(b"note");
                field(text.as_bytes());
            }
            Command::Assign { to } => {
                field(b"assign");
                field(&to.id.0.to_be_bytes());
            }
            Command::Return => field(b"return"),
            Command::Resolve => field(b"resolve"),
            Command::Reopen => field(b"reopen"),
            Command::Route { to, number } => {
                field(b"route");
                field(&to.id.0.to_be_bytes());
                field(&number.to_be_bytes());
            }
            Command::Release { from, removed } => {
                field(b"release");
                field(&from.0.to_be_bytes());
                field(&[u8::from(*removed)]);
            }
        }
        let digest = hasher.finalize();
        let mut first = [0u8; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }
}

/// Whether a visitor can still write into a conversation resolved then.
pub fn writable(resolved_at: Option<Millis>, now: Millis) -> bool {
    resolved_at.is_none_or(|at| now.since(at) <= REOPEN_WINDOW_MS)
}

/// Decides a command. `state` is `None` for a conversation that has no event yet.
///
/// A repeat is recognised among the state's remembered commands; the caller has searched the log for older ones
/// (between the command's `seen` and [`ConversationState::recent_floor`]) before.
pub fn decide(state: Option<&ConversationState>, issued: &Issued, context: &Context) -> Result<Decision, Refusal> {
    let mark = issued.id.map(|id| CommandMark { id, hash: issued.command.body_hash() });
    if let (Some(state), Some(mark)) = (state, mark)
        && let Some(before) = state.remembered(issued.author.sender(), mark.id)
    {
        return again(before, mark);
    }
    let mut draft = Draft::new(state, issued, mark, context);
    match state {
        None => draft.start()?,
        Some(state) => draft.follow(state)?,
    }
    Ok(Decision::Events { events: draft.events, own: draft.own })
}

/// The answer to a repeated id: the same acknowledgement, or a refusal when the body differs.
pub fn again(before: &Remembered, mark: CommandMark) -> Result<Decision, Refusal> {
    if before.mark.hash == mark.hash { Ok(Decision::Again(*before)) } else { Err(Refusal::IdReused) }
}

/// Events being made for one command.
struct Draft<'a> {
    issued: &'a Issued,
    mark: Option<CommandMark>,
    context: &'a Context,
    at: Millis,
    seq: u64,
    head_all: u64,
    events: Vec<Event>,
    own: usize,
}

impl<'a> Draft<'a> {
    fn new(
        state: Option<&ConversationState>,
        issued: &'a Issued,
        mark: Option<CommandMark>,
        context: &'a Context,
    ) -> Self {
        Self {
            issued,
            mark,
            context,
            at: state.map_or(context.now, |state| context.now.max(state.last_event_at)),
            seq: state.map_or(0, |state| state.seq),
            head_all: state.map_or(0, |state| state.head_all),
            events: Vec::with_capacity(3),
            own: 0,
        }
    }

    fn push(&mut self, author: Author, audience: Audience, command: Option<CommandMark>, body: Body) {
        self.seq += 1;
        self.events.push(Event {
            seq: self.seq,
            prev_all: self.head_all,
            epoch: self.context.epoch,
            at: self.at,
            author,
            audience,
            channel: Channel::Chat,
            external_id: None,
            command,
            body,
        });
        if audience == Audience::All {
            self.head_all = self.seq;
        }
    }

    /// The event that answers the command: by its sender, with its mark.
    fn own(&mut self, audience: Audience, body: Body) {
        self.own = self.events.len();
        self.push(self.issued.author.clone(), audience, self.mark, body);
    }

    /// What follows from the command.
    fn also(&mut self, body: Body) {
        self.push(Author::System, Audience::All, None, body);
    }

    fn message(&mut self, text: &Arc<str>) {
        self.own(Audience::All, Body::Message { parts: vec![Part::Text(Arc::clone(text))] });
    }

    fn start(&mut self) -> Result<(), Refusal> {
        let (Command::Start { text, page }, Author::Visitor { .. }) = (&self.issued.command, &self.issued.author)
        else {
            return Err(Refusal::NotFound);
        };
        check_text(text)?;
        if let Some(page) = page {
            check_page(page)?;
        }
        self.push(self.issued.author.clone(), Audience::Staff, None, Body::Started { page: page.clone() });
        self.message(text);
        self.also(Body::Queued { number: self.context.next_number, reason: QueuedReason::New, prefer: None });
        Ok(())
    }

    fn follow(&mut self, state: &ConversationState) -> Result<(), Refusal> {
        let issued = self.issued;
        match (&issued.command, &issued.author) {
            // The id of a start leads here only if the same visitor and id came before, which `again` answered; what
            // is left is a start whose id collides with a conversation that it did not make.
            (Command::Start { .. }, _) => Err(Refusal::IdReused),
            (Command::Send { text }, Author::Visitor { id, .. }) if *id == state.visitor => self.visitor(state, text),
            (Command::Send { text }, Author::Agent(me)) => self.reply(state, me, text),
            (Command::Note { text }, Author::Agent(_)) => {
                check_text(text)?;
                self.own(Audience::Staff, Body::Note { parts: vec![Part::Text(Arc::clone(text))] });
                Ok(())
            }
            (Command::Assign { to }, Author::Agent(me)) => self.assign(state, me, to),
            (Command::Return, Author::Agent(_)) => self.put_back(state),
            (Command::Resolve, Author::Agent(_)) => {
                if state.status == Status::Resolved {
                    return Err(Refusal::NotNow);
                }
                self.own(Audience::All, Body::Resolved);
                Ok(())
            }
            (Command::Reopen, Author::Agent(me)) => {
                if state.status != Status::Resolved {
                    return Err(Refusal::NotNow);
                }
                self.own(Audience::All, Body::Reopened);
                self.also(Body::Assigned { to: me.clone(), reason: AssignedReason::Taken });
                Ok(())
            }
            (Command::Route { to, number }, Author::System) => {
                if state.status != Status::Queued || state.queue_number != *number {
                    return Err(Refusal::NotNow);
                }
                self.own(Audience::All, Body::Assigned { to: to.clone(), reason: AssignedReason::Routed });
                Ok(())
            }
            (Command::Release { from, removed }, Author::System) => self.release(state, *from, *removed),
            // A foreign visitor learns no more than from an unknown id.
            (Command::Send { .. }, _) => Err(Refusal::NotFound),
            _ => Err(Refusal::Forbidden),
        }
    }

    fn visitor(&mut self, state: &ConversationState, text: &Arc<str>) -> Result<(), Refusal> {
        check_text(text)?;
        if state.status != Status::Resolved {
            self.message(text);
            return Ok(());
        }
        if !writable(state.resolved_at, self.context.now) {
            return Err(Refusal::Closed);
        }
        self.also(Body::Reopened);
        self.message(text);
        let prefer = state.assignee.as_ref().map(|member| member.id);
        self.also(Body::Queued { number: self.context.next_number, reason: QueuedReason::Reopened, prefer });
        Ok(())
    }

    /// Answering what nobody holds takes it; answering what another holds leaves it with them.
    fn reply(&mut self, state: &ConversationState, me: &MemberName, text: &Arc<str>) -> Result<(), Refusal> {
        check_text(text)?;
        if state.status == Status::Resolved {
            self.also(Body::Reopened);
        }
        if state.status != Status::Assigned {
            self.also(Body::Assigned { to: me.clone(), reason: AssignedReason::Replied });
        }
        self.message(text);
        Ok(())
    }

    fn assign(&mut self, state: &ConversationState, me: &MemberName, to: &MemberName) -> Result<(), Refusal> {
        let held = state.status == Status::Assigned && state.assignee.as_ref().is_some_and(|it| it.id == to.id);
        if state.status == Status::Resolved || held {
            return Err(Refusal::NotNow);
        }
        let reason = if me.id == to.id { AssignedReason::Taken } else { AssignedReason::Given };
        self.own(Audience::All, Body::Assigned { to: to.clone(), reason });
        Ok(())
    }

    fn put_back(&mut self, state: &ConversationState) -> Result<(), Refusal> {
        if state.status != Status::Assigned {
            return Err(Refusal::NotNow);
        }
        self.own(
            Audience::All,
            Body::Queued { number: state.queue_number, reason: QueuedReason::Returned, prefer: None },
        );
        Ok(())
    }

    /// Keeps the number that it had, which is lower than that of everyone who came since: the line's head.
    fn release(&mut self, state: &ConversationState, from: MemberId, removed: bool) -> Result<(), Refusal> {
        let held = state.status == Status::Assigned && state.assignee.as_ref().is_some_and(|it| it.id == from);
        if !held || (state.answered && !removed) {
            return Err(Refusal::NotNow);
        }
        self.own(
            Audience::All,
            Body::Queued { number: state.queue_number, reason: QueuedReason::Released, prefer: None },
        );
        Ok(())
    }
}
