//! Stored events.

use bellhop_engine::domain::{
    AssignedReason, Audience, Author, Body, Channel, Epoch, Event, MemberId, Millis, Part, QueuedReason, VisitorId,
};
use bellhop_engine::ports::StoreError;
use serde::{Deserialize, Serialize};

use super::{CommandMarkV1, IdV1, MemberNameV1, decode, encode, from_id, id};

#[derive(Serialize, Deserialize)]
struct EventV1<'a> {
    seq: u64,
    prev_all: u64,
    epoch: u64,
    at: i64,
    #[serde(borrow)]
    author: AuthorV1<'a>,
    audience: AudienceV1,
    channel: ChannelV1,
    external_id: Option<&'a str>,
    command: Option<CommandMarkV1>,
    body: BodyV1<'a>,
}

#[derive(Serialize, Deserialize)]
enum AuthorV1<'a> {
    Visitor {
        id: IdV1,
        name: &'a str,
    },
    #[serde(borrow)]
    Agent(MemberNameV1<'a>),
    System,
}

#[derive(Serialize, Deserialize)]
enum AudienceV1 {
    All,
    Staff,
}

#[derive(Serialize, Deserialize)]
enum ChannelV1 {
    Chat,
}

#[derive(Serialize, Deserialize)]
enum PartV1<'a> {
    Text(&'a str),
}

#[derive(Serialize, Deserialize)]
enum QueuedReasonV1 {
    New,
    Reopened,
    Released,
    Returned,
}

#[derive(Serialize, Deserialize)]
enum AssignedReasonV1 {
    Routed,
    Taken,
    Given,
    Replied,
}

#[derive(Serialize, Deserialize)]
enum BodyV1<'a> {
    Started {
        page: Option<&'a str>,
    },
    Message {
        #[serde(borrow)]
        parts: Vec<PartV1<'a>>,
    },
    Note {
        #[serde(borrow)]
        parts: Vec<PartV1<'a>>,
    },
    Queued {
        number: u64,
        reason: QueuedReasonV1,
        prefer: Option<IdV1>,
    },
    Assigned {
        #[serde(borrow)]
        to: MemberNameV1<'a>,
        reason: AssignedReasonV1,
    },
    Resolved,
    Reopened,
}

/// Envelope without texts: ids, numbers, tags. Measured at most 90 bytes; one allocation then holds every event.
const ENVELOPE_BYTES: usize = 160;

/// The stored bytes of an event.
pub(crate) fn encode_event(event: &Event) -> Vec<u8> {
    let stored = EventV1 {
        seq: event.seq,
        prev_all: event.prev_all,
        epoch: event.epoch.0,
        at: event.at.0,
        author: match &event.author {
            Author::Visitor { id: visitor, name } => AuthorV1::Visitor { id: id(visitor.0), name },
            Author::Agent(member) => AuthorV1::Agent(member.into()),
            Author::System => AuthorV1::System,
        },
        audience: match event.audience {
            Audience::All => AudienceV1::All,
            Audience::Staff => AudienceV1::Staff,
        },
        channel: match event.channel {
            Channel::Chat => ChannelV1::Chat,
        },
        external_id: event.external_id.as_deref(),
        command: event.command.map(Into::into),
        body: match &event.body {
            Body::Started { page } => BodyV1::Started { page: page.as_deref() },
            Body::Message { parts } => BodyV1::Message { parts: parts_to(parts) },
            Body::Note { parts } => BodyV1::Note { parts: parts_to(parts) },
            Body::Queued { number, reason, prefer } => BodyV1::Queued {
                number: *number,
                reason: match reason {
                    QueuedReason::New => QueuedReasonV1::New,
                    QueuedReason::Reopened => QueuedReasonV1::Reopened,
                    QueuedReason::Released => QueuedReasonV1::Released,
                    QueuedReason::Returned => QueuedReasonV1::Returned,
                },
                prefer: prefer.map(|member| id(member.0)),
            },
            Body::Assigned { to, reason } => BodyV1::Assigned {
                to: to.into(),
                reason: match reason {
                    AssignedReason::Routed => AssignedReasonV1::Routed,
                    AssignedReason::Taken => AssignedReasonV1::Taken,
                    AssignedReason::Given => AssignedReasonV1::Given,
                    AssignedReason::Replied => AssignedReasonV1::Replied,
                },
            },
            Body::Resolved => BodyV1::Resolved,
            Body::Reopened => BodyV1::Reopened,
        },
    };
    encode(&stored, ENVELOPE_BYTES + event.text_bytes())
}

/// The event in stored bytes.
pub(crate) fn decode_event(bytes: &[u8]) -> Result<Event, StoreError> {
    let stored: EventV1<'_> = decode(bytes, "an event")?;
    Ok(Event {
        seq: stored.seq,
        prev_all: stored.prev_all,
        epoch: Epoch(stored.epoch),
        at: Millis(stored.at),
        author: match stored.author {
            AuthorV1::Visitor { id, name } => Author::Visitor { id: VisitorId(from_id(id)), name: name.into() },
            AuthorV1::Agent(member) => Author::Agent(member.into()),
            AuthorV1::System => Author::System,
        },
        audience: match stored.audience {
            AudienceV1::All => Audience::All,
            AudienceV1::Staff => Audience::Staff,
        },
        channel: match stored.channel {
            ChannelV1::Chat => Channel::Chat,
        },
        external_id: stored.external_id.map(Into::into),
        command: stored.command.map(Into::into),
        body: match stored.body {
            BodyV1::Started { page } => Body::Started { page: page.map(Into::into) },
            BodyV1::Message { parts } => Body::Message { parts: parts_from(parts) },
            BodyV1::Note { parts } => Body::Note { parts: parts_from(parts) },
            BodyV1::Queued { number, reason, prefer } => Body::Queued {
                number,
                reason: match reason {
                    QueuedReasonV1::New => QueuedReason::New,
                    QueuedReasonV1::Reopened => QueuedReason::Reopened,
                    QueuedReasonV1::Released => QueuedReason::Released,
                    QueuedReasonV1::Returned => QueuedReason::Returned,
                },
                prefer: prefer.map(|member| MemberId(from_id(member))),
            },
            BodyV1::Assigned { to, reason } => Body::Assigned {
                to: to.into(),
                reason: match reason {
                    AssignedReasonV1::Routed => AssignedReason::Routed,
                    AssignedReasonV1::Taken => AssignedReason::Taken,
                    AssignedReasonV1::Given => AssignedReason::Given,
                    AssignedReasonV1::Replied => AssignedReason::Replied,
                },
            },
            BodyV1::Resolved => Body::Resolved,
            BodyV1::Reopened => Body::Reopened,
        },
    })
}

fn parts_to(parts: &[Part]) -> Vec<PartV1<'_>> {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => PartV1::Text(text),
        })
        .collect()
}

fn parts_from(parts: Vec<PartV1<'_>>) -> Vec<Part> {
    parts
        .into_iter()
        .map(|part| match part {
            PartV1::Text(text) => Part::Text(text.into()),
        })
        .collect()
}
