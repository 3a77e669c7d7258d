//! Frames as the hot loop needs them: only the fields that a player acts on, borrowed, without a tree. A field that
//! is not named here is skipped unread. Everything rare is read by bellhop-protocol's own types.

use bellhop_protocol::{AuthorKind, Id, Reset, Seq, Status, View};
use serde::Deserialize;

#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    t: &'a str,
}

/// A frame's `t`. The gateway writes it first, so no parsing is needed; if one ever does not, it is looked for.
pub(crate) fn kind(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix("{\"t\":\"")
        && let Some(end) = rest.find('"')
    {
        return &rest[..end];
    }
    serde_json::from_str::<Tag<'_>>(text).map(|tag| tag.t).unwrap_or_default()
}

#[derive(Debug, Deserialize)]
pub(crate) struct EventFrame {
    pub(crate) conversation: Id,
    pub(crate) event: EventHead,
}

/// An event without its words.
#[derive(Debug, Deserialize)]
pub(crate) struct EventHead {
    pub(crate) seq: Seq,
    pub(crate) prev: Seq,
    pub(crate) author: AuthorHead,
    #[serde(default)]
    pub(crate) cmd: Option<Id>,
    pub(crate) body: BodyHead,
}

#[derive(Debug, Deserialize)]
pub(crate) struct AuthorHead {
    pub(crate) kind: AuthorKind,
}

#[derive(Debug, Deserialize)]
pub(crate) struct BodyHead {
    pub(crate) kind: BodyKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BodyKind {
    Message,
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
pub(crate) struct OpenedFrame {
    pub(crate) conversation: ConversationHead,
    #[serde(default)]
    pub(crate) reset: Option<Reset>,
    pub(crate) events: Vec<EventHead>,
    pub(crate) more: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ConversationHead {
    pub(crate) id: Id,
}

/// What `list` and `changes` have in common.
#[derive(Debug, Deserialize)]
pub(crate) struct FeedHead {
    pub(crate) view: View,
    pub(crate) feed: Id,
    /// Absent in `list`.
    #[serde(default)]
    pub(crate) from: Option<u64>,
    pub(crate) at: u64,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListRows {
    pub(crate) view: View,
    pub(crate) rows: Vec<RowHead>,
    #[serde(default)]
    pub(crate) next: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ChangedRows {
    pub(crate) upserts: Vec<RowHead>,
    pub(crate) removed: Vec<Id>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct RowHead {
    pub(crate) id: Id,
    pub(crate) status: Status,
}

#[cfg(test)]
mod tests {
    use bellhop_protocol::{
        Audience, Author, AuthorKind, Body, Conversation, Counts, Event, Face, Id, ListChanges, NewEvent, Opened, Part,
        Reset, ServerFrame, Status, View,
    };

    use super::{BodyKind, ChangedRows, EventFrame, FeedHead, OpenedFrame, kind};

    fn event() -> Event {
        Event {
            seq: 7,
            prev: 6,
            at: 1,
            author: Author { kind: AuthorKind::Agent, id: Some(Id(2)), name: Some("Zoë \"Z\"".into()) },
            audience: Audience::All,
            cmd: Some(Id(3)),
            body: Body::Message { parts: vec![Part::Text { text: "{\"t\":\"bye\"} \n".into() }] },
        }
    }

    #[test]
    fn the_lean_reading_agrees_with_the_contract() {
        let text =
            serde_json::to_string(&ServerFrame::Event(NewEvent { conversation: Id(9), event: event() })).unwrap();
        assert_eq!(kind(&text), "event");
        let frame: EventFrame = serde_json::from_str(&text).unwrap();
        assert_eq!((frame.conversation, frame.event.seq, frame.event.prev), (Id(9), 7, 6));
        assert_eq!((frame.event.cmd, frame.event.author.kind), (Some(Id(3)), AuthorKind::Agent));
        assert_eq!(frame.event.body.kind, BodyKind::Message);

        let conversation = Conversation {
            id: Id(9),
            status: Status::Assigned,
            assignee: None,
            visitor: Face { id: Id(1), name: "V".into() },
            created_at: 0,
            page: None,
            head: 8,
            first_seq: 1,
            reads: vec![],
            visitor_online: Some(true),
            position: None,
        };
        let resolved = Event { seq: 8, prev: 7, body: Body::Resolved {}, cmd: None, ..event() };
        let events = vec![event(), resolved];
        let opened = Opened { conversation, reset: Some(Reset::First), events, older: true, more: false };
        let text = serde_json::to_string(&ServerFrame::Opened(opened)).unwrap();
        assert_eq!(kind(&text), "opened");
        let frame: OpenedFrame = serde_json::from_str(&text).unwrap();
        assert_eq!((frame.conversation.id, frame.reset, frame.more), (Id(9), Some(Reset::First), false));
        assert_eq!(frame.events[1].body.kind, BodyKind::Other);

        let changes = ListChanges {
            view: View::Mine,
            feed: Id(5),
            from: 3,
            at: 4,
            upserts: vec![],
            removed: vec![Id(9)],
            counts: Counts::default(),
        };
        let text = serde_json::to_string(&ServerFrame::Changes(changes)).unwrap();
        let head: FeedHead = serde_json::from_str(&text).unwrap();
        assert_eq!((head.view, head.feed, head.from, head.at), (View::Mine, Id(5), Some(3), 4));
        assert_eq!(serde_json::from_str::<ChangedRows>(&text).unwrap().removed, [Id(9)]);
    }

    #[test]
    fn a_tag_that_does_not_stand_first_is_found_and_rubbish_is_no_kind() {
        assert_eq!(kind(r#"{"now":1,"t":"pong"}"#), "pong");
        assert_eq!(kind("rubbish"), "");
    }
}
