//! The identifiers of the domain: 128 bits each, opaque outside, a type of their own each so that none can stand for
//! another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            /// 32 lower-case hexadecimal digits.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:032x}", self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:032x})"), self.0)
            }
        }
    )*};
}

ids! {
    /// One company's account.
    WorkspaceId;
    /// A browser or app that loaded the widget.
    VisitorId;
    /// A global log-in.
    PersonId;
    /// A person in a workspace.
    MemberId;
    /// A conversation; for one started by a visitor see [`crate::domain::conversation_id`].
    ConversationId;
    /// Chosen by a command's sender; scoped to (conversation, sender).
    CommandId;
    /// A list feed's identity: another one after each start of the server.
    FeedId;
    /// An invite, key or log-in session, by the public half of its token.
    TokenId;
}

/// One live connection, unique within a server's run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct SessionId(pub u64);

/// An event's number within its conversation: 1, 2, 3 … without gaps. 0 stands for "before the first".
pub type Seq = u64;

/// The number of a store's ownership: each start of a server on a store takes a higher one (G6).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Epoch(pub u64);

/// Milliseconds since 1970-01-01 UTC. For display only: no order follows from it (G2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Millis(pub i64);

impl Millis {
    /// This time and `ms` milliseconds.
    pub fn plus(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to this; negative when the clock fell.
    pub fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// Number of shards, fixed when a store is made (design page): 4096 leaves a hundred a node in a fleet of forty.
pub const SHARDS: u16 = 4096;

/// A stable slice of all conversations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Shard(pub u16);

impl Shard {
    /// xxh3-64 of the 32 big-endian bytes (workspace, conversation), mod [`SHARDS`]. Never to change: stored marks
    /// and, later, ownership rest on it.
    pub fn of(workspace: WorkspaceId, conversation: ConversationId) -> Self {
        let mut bytes = [0u8; 32];
        bytes[..16].copy_from_slice(&workspace.0.to_be_bytes());
        bytes[16..].copy_from_slice(&conversation.0.to_be_bytes());
        let hash = xxhash_rust::xxh3::xxh3_64(&bytes);
        Self((hash % u64::from(SHARDS)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversations_shard_never_changes() {
        let shard = |w, c| Shard::of(WorkspaceId(w), ConversationId(c)).0;
        assert_eq!([shard(0, 0), shard(1, 2), shard(u128::MAX, 7)], [2461, 1587, 188]);
    }
}
