//! Numbered closes and named refusals: each says what a client should do about it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ts_rs::TS;

/// Why something was not done. The texts here are the `message` when nothing more exact is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The frame could not be read: not JSON, an unknown `t`, a field missing or of the wrong type. Mend the client.
    BadFrame,
    /// `hello` was said twice.
    AlreadyWelcome,
    /// The text is empty or only white space.
    TextEmpty,
    /// The text passes [`crate::limits::MAX_TEXT_BYTES`]. Split it.
    TextTooLong,
    /// The text holds NUL or another control character besides tab and line breaks.
    TextControl,
    /// The page address passes [`crate::limits::MAX_PAGE_BYTES`], or is not http(s).
    PageBad,
    /// No such conversation, or it is not yours: both answer alike.
    NotFound,
    /// This kind of session may not do that (a visitor assigning, say).
    Forbidden,
    /// The member to assign to is unknown or was removed.
    MemberUnknown,
    /// The same id came before with another body. Take a new id.
    IdReused,
    /// Resolved too long ago to reopen: `start` a new conversation (the same id may be used).
    Closed,
    /// Already as asked, or not possible from the present status (resolving what is resolved).
    NotNow,
    /// Too many requests of this session or address: repeat after `retry_after_ms`.
    RateLimited,
    /// The server is at its bound; nothing was written: repeat after `retry_after_ms`.
    Overloaded,
    /// The store cannot be reached; nothing was written: repeat after `retry_after_ms`.
    Unavailable,
    /// The outcome is not known: repeat with the same id.
    Unknown,
    /// This conversation failed repeatedly and is held back for an operator; others are not affected.
    ConversationUnavailable,
    /// More than [`crate::limits::MAX_OPEN_CONVERSATIONS`] are followed by this session: `close` some.
    TooManyOpen,
    /// The list cursor is not one that this server gave. Follow the list anew.
    CursorBad,
}

/// Why the gateway closes a connection; the numbers are WebSocket close codes of the private range (RFC 6455, 7.4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, TS)]
#[ts(type = "number")]
#[repr(u16)]
pub enum CloseCode {
    /// The server restarts: come back after `retry_after_ms` and resume.
    Draining = 4000,
    /// The client read too slowly and 1 MiB was queued: come back and resume.
    SlowReader = 4001,
    /// The process's budget for queued bytes was reached and this connection had the most: come back and resume.
    OutboxBudget = 4002,
    /// Nothing was heard for two minutes: come back and resume.
    IdleTimeout = 4003,
    /// The server admits no more connections now: come back after `retry_after_ms`.
    Overloaded = 4004,
    /// The first frame was not a good `hello`. Mend the client.
    HelloExpected = 4010,
    /// No `hello` within 10 s: come back.
    HelloTimeout = 4011,
    /// The protocol version is not spoken here. Reload the page.
    UnsupportedVersion = 4012,
    /// The token is not one of this server's, or of another workspace. Visitor: come back without it; agent: log in.
    TokenInvalid = 4013,
    /// The token was good once. Visitor: come back without it; agent: get a new one.
    TokenExpired = 4014,
    /// The member was removed or logged out. Do not come back.
    Revoked = 4015,
    /// There is no such workspace. Check the snippet.
    WorkspaceUnknown = 4016,
    /// The page's origin is not on the workspace's list. An owner can add it.
    OriginRefused = 4017,
    /// A frame passed 64 KiB. Mend the client.
    FrameTooBig = 4020,
    /// Frames are text. Mend the client.
    BinaryFrame = 4021,
    /// More than 10 frames could not be read. Mend the client.
    TooManyBadFrames = 4022,
    /// More control frames than 10 in 10 s. Mend the client.
    TooManyControlFrames = 4023,
    /// A bug of the server's: come back and resume.
    Internal = 4030,
}

impl CloseCode {
    /// Every code, in the order of their numbers.
    pub const ALL: [CloseCode; 18] = [
        Self::Draining,
        Self::SlowReader,
        Self::OutboxBudget,
        Self::IdleTimeout,
        Self::Overloaded,
        Self::HelloExpected,
        Self::HelloTimeout,
        Self::UnsupportedVersion,
        Self::TokenInvalid,
        Self::TokenExpired,
        Self::Revoked,
        Self::WorkspaceUnknown,
        Self::OriginRefused,
        Self::FrameTooBig,
        Self::BinaryFrame,
        Self::TooManyBadFrames,
        Self::TooManyControlFrames,
        Self::Internal,
    ];

    /// The close frame's number.
    pub fn number(self) -> u16 {
        self as u16
    }

    /// Whether coming back, without a person doing something first, can help.
    pub fn reconnect(self) -> bool {
        !matches!(
            self,
            Self::HelloExpected
                | Self::UnsupportedVersion
                | Self::Revoked
                | Self::WorkspaceUnknown
                | Self::OriginRefused
                | Self::FrameTooBig
                | Self::BinaryFrame
                | Self::TooManyBadFrames
                | Self::TooManyControlFrames
        )
    }

    /// The sentence of `bye`.
    pub fn message(self) -> &'static str {
        match self {
            Self::Draining => "The server restarts; come back and resume.",
            Self::SlowReader => "This connection read too slowly; come back and resume.",
            Self::OutboxBudget => "The server had too much queued to slow readers; come back and resume.",
            Self::IdleTimeout => "Nothing was heard for two minutes; come back and resume.",
            Self::Overloaded => "The server takes no more connections now; come back later.",
            Self::HelloExpected => "The first frame must be a valid hello.",
            Self::HelloTimeout => "No hello came within 10 seconds.",
            Self::UnsupportedVersion => "This protocol version is not spoken here; reload the page.",
            Self::TokenInvalid => "The token is not valid here.",
            Self::TokenExpired => "The token has expired.",
            Self::Revoked => "This log-in has ended.",
            Self::WorkspaceUnknown => "There is no such workspace; check the snippet.",
            Self::OriginRefused => "This page's origin is not allowed for the workspace.",
            Self::FrameTooBig => "A frame may have at most 64 KiB.",
            Self::BinaryFrame => "Frames are text, not binary.",
            Self::TooManyBadFrames => "Too many frames could not be read.",
            Self::TooManyControlFrames => "At most 10 control frames in 10 seconds.",
            Self::Internal => "Something failed on the server; come back and resume.",
        }
    }
}

impl Serialize for CloseCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.number())
    }
}

impl<'de> Deserialize<'de> for CloseCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u16::deserialize(deserializer)?;
        Self::ALL
            .into_iter()
            .find(|code| code.number() == number)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{number} is not a close code of this version")))
    }
}
