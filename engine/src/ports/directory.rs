//! What the engine must know of members and workspaces; kept by the gateway's accounts, which tell of changes.

use crate::domain::{MemberName, Role, WorkspaceId};

/// A member as routing sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Colleague {
    pub member: MemberName,
    pub role: Role,
    /// Whether they take new conversations.
    pub available: bool,
}

/// A workspace as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Desk {
    pub workspace: WorkspaceId,
    /// Conversations that the queue gives one agent at most.
    pub agent_cap: u32,
    /// Members now (removed ones are not among them).
    pub members: Vec<Colleague>,
}
