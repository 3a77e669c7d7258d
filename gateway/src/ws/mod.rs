//! The WebSocket half of the gateway: sessions, and the way of frames between sockets and the engine.
//!
//! A session is one task. It holds the stream, its outbox (nothing while idle), who it speaks for, and the conversations
//! it follows; no buffer and no timer of its own, no channel, no allocation per second. One [`Hub`] knows them all: it delivers the engine's answers (encoded once for all receivers), closes who is silent, slow or sent
//! away, and empties itself on SIGTERM.
//!
//! Absent: passwords, tokens and stored records (they are behind [`Admission`]), and the rules of conversations (they
//! are behind [`Switchboard`]).

mod address;
pub(crate) mod convert;
mod frame;
mod handshake;
mod hub;
mod limits;
mod meters;
mod outbox;
mod session;
mod socket;

use std::future::Future;
use std::pin::Pin;

use bellhop_engine::Engine;
use bellhop_engine::domain::{CommandId, ConversationId, MemberId, Refusal, SessionId, VisitorId, WorkspaceId};
use bellhop_engine::exchange::{Party, Request, Team};
use bellhop_protocol::{CloseCode, Hello};

pub use address::{BadNetwork, Network, client_address};
pub use hub::{Hub, upgrade};
pub use limits::Limits;

use crate::authenticate::Admitted;

/// A boxed future of an answer.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The one entrance for `hello`, and what else sessions ask of accounts. Implemented by `Accounts`.
///
/// The version of the protocol is already checked, and the limits of address and server are kept before it is asked.
pub trait Admission: Send + Sync + 'static {
    /// Who this is, or with which code the connection is closed: `WorkspaceUnknown`, `OriginRefused`, `TokenInvalid`,
    /// `TokenExpired`, `Revoked`, `HelloExpected` (an agent without a token, a visitor without a workspace), or
    /// `Overloaded` when the store cannot be asked.
    ///
    /// `origin` is the request's `Origin` header as it came, `None` when there was none. It may be any text.
    fn admit<'a>(&'a self, hello: &'a Hello, origin: Option<&'a str>) -> Later<'a, Result<Admitted, CloseCode>>;

    /// Keeps a member's choice and tells the engine of it.
    fn set_available(
        &self,
        workspace: WorkspaceId,
        member: MemberId,
        available: bool,
    ) -> Later<'_, Result<(), Refusal>>;
}

/// What sessions ask of the engine. Implemented by [`Engine`], whose documentation gives the promises; a trait so that
/// the tests of sockets can hold the other end still.
pub trait Switchboard: Send + Sync + 'static {
    fn connect(&self, session: SessionId, party: &Party);
    fn disconnect(&self, session: SessionId, party: &Party, followed: &[ConversationId]);
    fn submit(&self, session: SessionId, party: &Party, request: Request) -> Result<(), Refusal>;
    fn start_id(&self, workspace: WorkspaceId, visitor: VisitorId, id: CommandId) -> ConversationId;
    fn team(&self, workspace: WorkspaceId) -> Team;
}

impl Switchboard for Engine {
    fn connect(&self, session: SessionId, party: &Party) {
        Engine::connect(self, session, party);
    }

    fn disconnect(&self, session: SessionId, party: &Party, followed: &[ConversationId]) {
        Engine::disconnect(self, session, party, followed);
    }

    fn submit(&self, session: SessionId, party: &Party, request: Request) -> Result<(), Refusal> {
        Engine::submit(self, session, party, request)
    }

    fn start_id(&self, workspace: WorkspaceId, visitor: VisitorId, id: CommandId) -> ConversationId {
        Engine::start_id(self, workspace, visitor, id)
    }

    fn team(&self, workspace: WorkspaceId) -> Team {
        Engine::team(self, workspace)
    }
}

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod tests;
