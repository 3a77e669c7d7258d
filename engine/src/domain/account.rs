//! Workspaces, people and what lets them in. Small, rarely written records, each under one key.

use serde::{Deserialize, Serialize};

use super::{MemberId, Millis, PersonId, TokenId, WorkspaceId};

/// What a member may do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Role {
    Owner,
    Agent,
}

/// Which corner the bubble sits in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Corner {
    Left,
    Right,
}

/// A company's account and its settings.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Workspace {
    pub id: WorkspaceId,
    pub name: String,
    /// First words of the widget, at most 300 characters.
    pub greeting: String,
    /// `0xRRGGBB`.
    pub accent: u32,
    pub position: Corner,
    /// Origins (`https://shop.example`) whose pages may connect; empty means any.
    pub allowed_origins: Vec<String>,
    /// Conversations that the queue gives one agent at most (1–1,000).
    pub agent_cap: u32,
    pub created_at: Millis,
}

/// A global log-in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Person {
    pub id: PersonId,
    /// Lower-cased.
    pub email: String,
    pub name: String,
    /// PHC string of argon2id; absent for members that an integration made.
    pub password: Option<String>,
    pub memberships: Vec<(WorkspaceId, MemberId)>,
    /// Raised to end every session of the person at once: a session row with a lower number is dead.
    pub generation: u64,
}

/// A person in a workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Member {
    pub id: MemberId,
    pub workspace: WorkspaceId,
    pub person: PersonId,
    pub email: String,
    pub name: String,
    pub role: Role,
    /// Whether they take new conversations (their own choice, kept over log-outs).
    pub available: bool,
    pub created_at: Millis,
    /// Removed members keep their row, so that their name stays readable in history.
    pub removed_at: Option<Millis>,
}

/// What a link lets somebody do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum LinkPurpose {
    /// Make the first workspace and its owner.
    Setup,
    Invite {
        workspace: WorkspaceId,
        role: Role,
        email: Option<String>,
    },
    ResetPassword {
        person: PersonId,
        email: String,
    },
}

/// A one-time link, stored under its public half; `secret_hash` is SHA-256 of the other half.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    pub id: TokenId,
    pub secret_hash: [u8; 32],
    pub purpose: LinkPurpose,
    pub created_at: Millis,
    pub expires_at: Millis,
    pub used_at: Option<Millis>,
}

/// A log-in in one browser.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoginSession {
    pub id: TokenId,
    pub secret_hash: [u8; 32],
    pub person: PersonId,
    pub email: String,
    pub workspace: WorkspaceId,
    pub member: MemberId,
    /// The person's generation when it began.
    pub generation: u64,
    pub created_at: Millis,
    pub expires_at: Millis,
}

/// A key for programs; acts with an owner's rights in its workspace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiKey {
    pub id: TokenId,
    pub secret_hash: [u8; 32],
    pub workspace: WorkspaceId,
    pub name: String,
    pub created_at: Millis,
}
