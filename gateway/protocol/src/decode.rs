//! Reading frames. serde's internally tagged enums copy the whole frame into a tree first; reading `t` alone and then
//! the frame as its own type does not, and names the faulty field in the error.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{ClientFrame, Id, ServerFrame};

/// A frame that could not be read: what is wrong, and the command's id if at least that could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadFrame {
    pub id: Option<Id>,
    pub message: String,
}

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    t: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Identified {
    id: Id,
}

fn bad(text: &str, message: impl ToString) -> BadFrame {
    BadFrame { id: serde_json::from_str::<Identified>(text).ok().map(|it| it.id), message: message.to_string() }
}

/// Reads one frame of a client. The error's sentence names the field and the rule.
pub fn decode_client(text: &str) -> Result<ClientFrame, BadFrame> {
    let tag: Tag<'_> = serde_json::from_str(text).map_err(|error| bad(text, error))?;
    macro_rules! read {
        ($kind:ident) => {
            serde_json::from_str(text).map(ClientFrame::$kind).map_err(|error| bad(text, error))
        };
    }
    match tag.t.as_ref() {
        "hello" => read!(Hello),
        "start" => read!(Start),
        "send" => read!(Send),
        "note" => read!(Note),
        "assign" => read!(Assign),
        "resolve" => read!(Resolve),
        "reopen" => read!(Reopen),
        "status" => read!(Status),
        "open" => read!(Open),
        "close" => read!(Close),
        "page" => read!(Page),
        "read" => read!(Read),
        "typing" => read!(Typing),
        "conversations" => read!(Conversations),
        "list" => read!(List),
        "unlist" => read!(Unlist),
        "more" => read!(More),
        "ping" => read!(Ping),
        other => {
            let shown: String = other.chars().take(32).collect();
            Err(bad(text, format_args!("unknown frame kind t = {shown:?}; see PROTOCOL.md for the kinds")))
        }
    }
}

/// Reads one frame of a gateway; for clients in Rust (the load test).
pub fn decode_server(text: &str) -> Result<ServerFrame, BadFrame> {
    let tag: Tag<'_> = serde_json::from_str(text).map_err(|error| bad(text, error))?;
    macro_rules! read {
        ($kind:ident) => {
            serde_json::from_str(text).map(ServerFrame::$kind).map_err(|error| bad(text, error))
        };
    }
    match tag.t.as_ref() {
        "welcome" => read!(Welcome),
        "ack" => read!(Ack),
        "refused" => read!(Refused),
        "opened" => read!(Opened),
        "page" => read!(Page),
        "event" => read!(Event),
        "read" => read!(Read),
        "typing" => read!(Typing),
        "online" => read!(Online),
        "position" => read!(Position),
        "team" => read!(Team),
        "members" => read!(Members),
        "conversations" => read!(Conversations),
        "conversation" => read!(Conversation),
        "list" => read!(List),
        "changes" => read!(Changes),
        "list_page" => read!(ListPage),
        "resync" => read!(Resync),
        "bye" => read!(Bye),
        "pong" => read!(Pong),
        other => Err(bad(text, format_args!("unknown frame kind t = {other:?}"))),
    }
}
