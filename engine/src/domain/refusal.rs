//! Why a command was not done. Each names the remedy; a refused command left no trace.

use serde::{Deserialize, Serialize};

/// A refusal. Decided anew each time the command comes (G3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    #[error("The text is empty. Write something first.")]
    TextEmpty,
    #[error("The text is longer than 16,384 bytes. Split it.")]
    TextTooLong,
    #[error("The text holds a control character. Only tabs and line breaks are allowed.")]
    TextControl,
    #[error("The page address must be http or https and at most 2,048 bytes.")]
    PageBad,
    #[error("There is no such conversation here.")]
    NotFound,
    #[error("This session may not do that.")]
    Forbidden,
    #[error("There is no such member; they may have been removed.")]
    MemberUnknown,
    #[error("This id came before with another content. Take a new id.")]
    IdReused,
    #[error("This conversation was resolved more than 7 days ago. Start a new one.")]
    Closed,
    #[error("The conversation is already so, or cannot go there from where it is.")]
    NotNow,
    #[error("Too many requests. Repeat a little later.")]
    RateLimited { retry_after_ms: u32 },
    #[error("The server is at its limit. Nothing was written; repeat a little later.")]
    Overloaded { retry_after_ms: u32 },
    #[error("The store cannot be reached. Nothing was written; repeat a little later.")]
    Unavailable { retry_after_ms: u32 },
    #[error("The outcome is not known. Repeat with the same id.")]
    Unknown { retry_after_ms: u32 },
    #[error("This conversation failed repeatedly and is held back for an operator.")]
    ConversationUnavailable,
    #[error("Too many conversations are open in this session. Close some.")]
    TooManyOpen,
    #[error("This list cursor is not one of this server. Follow the list anew.")]
    CursorBad,
}
