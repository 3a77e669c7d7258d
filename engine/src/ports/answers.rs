//! The way back to sessions.

use crate::domain::SessionId;
use crate::exchange::Answer;

/// Delivers answers to sessions. Implemented by the gateway, which encodes an answer once for all its receivers.
pub trait Answers: Send + Sync + 'static {
    /// Queues `answer` to each session, in the order of the calls. Must not block: a session that does not exist (any
    /// more) is skipped, one whose outbox is full is closed by the gateway and comes back to resume.
    fn deliver(&self, to: &[SessionId], answer: &Answer);
}
