//! Why something about accounts was not done. One closed list; `http/error.rs` gives each its status and code.

use bellhop_engine::domain::{Refusal, WorkspaceId};
use bellhop_engine::ports::StoreError;

/// A refusal of the accounts, the REST API and the operator's commands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("Log in first.")]
    NotLoggedIn,
    #[error("This API key is not valid.")]
    KeyInvalid,
    /// The same for an unknown e-mail and a wrong password, after the same time.
    #[error("The e-mail address or the password is wrong.")]
    LoginFailed,
    #[error("You are a member of several workspaces. Choose one.")]
    ChooseWorkspace(Vec<(WorkspaceId, String)>),
    #[error("This link was used or has expired. Ask for a new one.")]
    LinkDead,
    #[error("The last owner cannot be removed. Make another owner first.")]
    LastOwner,
    #[error("Somebody with this e-mail address is a member already.")]
    MemberExists,
    /// Also for what exists in another workspace.
    #[error("There is nothing of this id here.")]
    NotFound,
    #[error("Only an owner may do this.")]
    OwnerOnly,
    #[error("Only an API key may do this.")]
    KeyOnly,
    #[error("Only a person who is logged in may do this, not an API key.")]
    PersonOnly,
    #[error("The header X-Bellhop-Csrf is missing or wrong. Take its value from GET /api/v1/me.")]
    Csrf,
    #[error("Requests from this origin are not accepted.")]
    Origin,
    #[error("{message}")]
    BadField { field: &'static str, message: String },
    #[error("Too many attempts. Try again in {retry_after_secs} s.")]
    TooMany { retry_after_secs: u64 },
    #[error("The server is at its limit. Try again in {retry_after_secs} s.")]
    Overloaded { retry_after_secs: u64 },
    /// Somebody else changed the same record at the same moment, several times in a row.
    #[error("Somebody else changed this at the same moment. Try again.")]
    Busy,
    #[error("The store did not do it: {0}")]
    Store(#[from] StoreError),
}

impl Problem {
    /// The refusal of a socket command that stands for it.
    pub(crate) fn as_refusal(&self) -> Refusal {
        match self {
            Self::Store(StoreError::Unknown(_)) => Refusal::Unknown { retry_after_ms: 1_000 },
            Self::Store(_) => Refusal::Unavailable { retry_after_ms: 1_000 },
            Self::TooMany { retry_after_secs } => {
                Refusal::RateLimited { retry_after_ms: (*retry_after_secs).min(3_600) as u32 * 1_000 }
            }
            Self::Busy | Self::Overloaded { .. } => Refusal::Overloaded { retry_after_ms: 1_000 },
            Self::NotFound => Refusal::MemberUnknown,
            _ => Refusal::Forbidden,
        }
    }
}
