//! The engine's door: what the gateway calls.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::{
    CommandId, ConversationId, ConversationKey, Event, MemberId, Refusal, Row, SessionId, VisitorId, WorkspaceId,
};
use crate::exchange::{ConversationView, MemberState, Party, Request, Team, View};
use crate::ports::{Answers, Clock, Desk, Range, Store, StoreError};

/// What the engine needs from outside.
pub struct Ports {
    pub store: Arc<dyn Store>,
    pub answers: Arc<dyn Answers>,
    pub clock: Arc<dyn Clock>,
}

/// Bounds and times; the gateway's configuration gives each its default and reason.
#[derive(Debug, Clone)]
pub struct Options {
    /// Requests accepted and not yet answered, over all conversations (G11).
    pub max_requests_in_flight: usize,
    /// Requests waiting in front of one conversation.
    pub max_requests_per_conversation: usize,
    /// An idle conversation that nobody follows is dropped from memory after this long.
    pub sleep_after: Duration,
    /// An agent without a connection for this long loses the conversations they have not answered.
    pub release_after: Duration,
}

/// The running engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {}

#[allow(unused_variables)]
impl Engine {
    /// Starts the supervision tree, works off the dirty marks, reads every workspace's open conversations.
    pub async fn start(ports: Ports, options: Options, desks: Vec<Desk>) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// A session was admitted. Agents count as online from here on and get `Members`; visitors get `Team` at changes.
    pub fn connect(&self, session: SessionId, party: &Party) {}

    /// A session is gone. `followed` are the conversations it had open (lists and feeds are found by the session).
    pub fn disconnect(&self, session: SessionId, party: &Party, followed: &[ConversationId]) {}

    /// Hands a request over. `Err` is a refusal decided at once; otherwise each command gets exactly one
    /// `Acknowledged` or `Refused`, each other request what its kind is answered with, through [`Answers`].
    pub fn submit(&self, session: SessionId, party: &Party, request: Request) -> Result<(), Refusal> {
        Ok(())
    }

    /// The id that a `Start` of this visitor with this command id leads to (the session follows it from then on).
    pub fn start_id(&self, workspace: WorkspaceId, visitor: VisitorId, id: CommandId) -> ConversationId {
        ConversationId(0)
    }

    /// A workspace was made or changed: its members and cap as they are now. A member who is no longer on it was
    /// removed: their sessions are told `Revoked`, their conversations go back to the line.
    pub fn set_desk(&self, desk: Desk) {}

    /// A member takes new conversations, or is away (already stored by the caller).
    pub fn set_available(&self, workspace: WorkspaceId, member: MemberId, available: bool) {}

    /// Who is there to answer now.
    pub fn team(&self, workspace: WorkspaceId) -> Team {
        Team::default()
    }

    /// Every member and their state.
    pub fn members(&self, workspace: WorkspaceId) -> Vec<MemberState> {
        Vec::new()
    }

    /// A conversation as staff see it; `None` when there is none.
    pub async fn view(&self, key: ConversationKey) -> Result<Option<ConversationView>, StoreError> {
        unimplemented!()
    }

    /// Durable events of a conversation, staff's view, at most `limit` (1–1,000), ascending.
    pub async fn events(
        &self,
        key: ConversationKey,
        range: Range,
        limit: usize,
    ) -> Result<Vec<Arc<Event>>, StoreError> {
        unimplemented!()
    }

    /// A page of a list (`Mine` needs `member`) and the cursor to go on with.
    pub async fn rows(
        &self,
        workspace: WorkspaceId,
        member: Option<MemberId>,
        view: View,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Result<(Vec<Arc<Row>>, Option<String>), Refusal>, StoreError> {
        unimplemented!()
    }

    /// Refuses new commands (`Unavailable`), waits until every accepted one is answered, writes the projections.
    pub async fn drain(&self) {}

    /// Whether the supervision tree stands and the store takes writes; the sentence says what is wrong.
    pub fn health(&self) -> Result<(), String> {
        Ok(())
    }
}
