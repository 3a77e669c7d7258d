//! The frame that is written most: a message, with 128 B of words.

use bellhop_protocol::{Audience, Author, AuthorKind, Body, Event, Id, NewEvent, Part, ServerFrame};

use crate::WORDS;

/// A visitor's message as the wire has it.
pub fn event_frame() -> ServerFrame {
    ServerFrame::Event(NewEvent {
        conversation: Id(u128::MAX / 5),
        event: Event {
            seq: 42,
            prev: 41,
            at: 1_700_000_000_000,
            author: Author {
                kind: AuthorKind::Visitor,
                id: Some(Id(u128::MAX / 7)),
                name: Some("Amber Otter".to_owned()),
            },
            audience: Audience::All,
            cmd: Some(Id(u128::MAX / 3)),
            body: Body::Message { parts: vec![Part::Text { text: WORDS.to_owned() }] },
        },
    })
}
