//! The actors. What they guarantee, on one page:
//!
//! - **Order.** Messages of one sender to one actor are handled in the order sent; none across senders. Answers to one
//!   session leave in the order in which its conversation decided them.
//! - **Bounds.** Requests are admitted before the mailbox: so many over all, so many in front of one conversation
//!   ([`crate::Options`]). A mailbox itself holds at most one `Wake` for them, and control messages.
//! - **Stop and crash.** `stop` lets the current message finish and drops the rest of the mailbox; nothing is lost by
//!   it, since work waits in the slot, not in the mailbox. A panic ends one actor; its supervisor starts another, which
//!   reads the log. Followers are told to resync, and what was in the crashed actor's hands is answered `unknown`.
//! - **Restart keeps** the slot (inbox, followers) and the log; it loses typing and other signals.
//! - **Three crashes in a minute** quarantine a conversation; many different ones at once break the tree, which
//!   readiness shows ([`tree`]).

pub(crate) mod agent;
pub(crate) mod conversation;
mod crashes;
pub(crate) mod desks;
pub(crate) mod lists;
mod nursery;
mod pending;
pub(crate) mod queue;
mod reading;
pub(crate) mod runtime;
pub(crate) mod slot;
pub(crate) mod sweeper;
pub(crate) mod team;
pub(crate) mod tree;
pub(crate) mod workroom;
