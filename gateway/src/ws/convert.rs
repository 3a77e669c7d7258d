//! Between the wire's types and the engine's: the one place where both are known. Total in both directions, so that a
//! new kind on either side fails to compile here and nowhere passes in silence.

use std::sync::Arc;

use bellhop_engine::domain::{
    AssignedReason, Audience, Author, Body, CommandId, ConversationId, Event, FeedId, MemberId, MemberName, Part,
    QueuedReason, Refusal, Role, Row, Side, Status,
};
use bellhop_engine::exchange::{self, Answer, Request};
use bellhop_engine::ports::Reader;
use bellhop_protocol as wire;
use bellhop_protocol::{ClientFrame, Id, RefusalCode, ServerFrame};

use super::frame::Frame;

/// What a client's frame asks for.
pub(super) enum Asked {
    /// The engine's business.
    Of(Request),
    /// `hello` again.
    Hello,
    Status {
        id: Id,
        available: bool,
    },
    Ping,
}

/// Takes a frame apart. Texts move, they are not copied.
pub(super) fn asked(frame: ClientFrame) -> Asked {
    Asked::Of(match frame {
        ClientFrame::Hello(_) => return Asked::Hello,
        ClientFrame::Status(it) => return Asked::Status { id: it.id, available: it.available },
        ClientFrame::Ping(_) => return Asked::Ping,
        ClientFrame::Start(it) => {
            Request::Start { id: CommandId(it.id.0), text: it.text.into(), page: it.page.map(Arc::from) }
        }
        ClientFrame::Send(it) => Request::Send {
            id: CommandId(it.id.0),
            conversation: ConversationId(it.conversation.0),
            seen: it.seen,
            text: it.text.into(),
        },
        ClientFrame::Note(it) => Request::Note {
            id: CommandId(it.id.0),
            conversation: ConversationId(it.conversation.0),
            seen: it.seen,
            text: it.text.into(),
        },
        ClientFrame::Assign(it) => Request::Assign {
            id: CommandId(it.id.0),
            conversation: ConversationId(it.conversation.0),
            seen: it.seen,
            to: it.to.map(|id| MemberId(id.0)),
        },
        ClientFrame::Resolve(it) => {
            Request::Resolve { id: CommandId(it.id.0), conversation: ConversationId(it.conversation.0), seen: it.seen }
        }
        ClientFrame::Reopen(it) => {
            Request::Reopen { id: CommandId(it.id.0), conversation: ConversationId(it.conversation.0), seen: it.seen }
        }
        ClientFrame::Open(it) => Request::Open { conversation: ConversationId(it.conversation.0), after: it.after },
        ClientFrame::Close(it) => Request::Close { conversation: ConversationId(it.conversation.0) },
        ClientFrame::Page(it) => {
            Request::Page { conversation: ConversationId(it.conversation.0), before: it.before, limit: it.limit }
        }
        ClientFrame::Read(it) => Request::Read { conversation: ConversationId(it.conversation.0), seq: it.seq },
        ClientFrame::Typing(it) => Request::Typing { conversation: ConversationId(it.conversation.0), on: it.on },
        ClientFrame::Conversations(_) => Request::Conversations,
        ClientFrame::List(it) => {
            Request::List { view: view_in(it.view), resume: it.feed.zip(it.at).map(|(feed, at)| (FeedId(feed.0), at)) }
        }
        ClientFrame::Unlist(it) => Request::Unlist { view: view_in(it.view) },
        ClientFrame::More(it) => Request::More { view: view_in(it.view), after: it.after },
    })
}

/// Which conversation a request is about.
pub(super) fn conversation_of(request: &Request) -> Option<ConversationId> {
    match request {
        Request::Send { conversation, .. }
        | Request::Note { conversation, .. }
        | Request::Assign { conversation, .. }
        | Request::Resolve { conversation, .. }
        | Request::Reopen { conversation, .. }
        | Request::Open { conversation, .. }
        | Request::Close { conversation }
        | Request::Page { conversation, .. }
        | Request::Read { conversation, .. }
        | Request::Typing { conversation, .. } => Some(*conversation),
        Request::Start { .. }
        | Request::Conversations
        | Request::List { .. }
        | Request::Unlist { .. }
        | Request::More { .. } => None,
    }
}

/// Whether this kind of session may ask that. The engine checks whose conversation it is; this keeps whole kinds away
/// from those who have no business with them.
pub(super) fn may_ask(party: &exchange::Party, request: &Request) -> bool {
    match request {
        Request::Start { .. } | Request::Conversations => matches!(party, exchange::Party::Visitor { .. }),
        Request::Note { .. }
        | Request::Assign { .. }
        | Request::Resolve { .. }
        | Request::Reopen { .. }
        | Request::List { .. }
        | Request::Unlist { .. }
        | Request::More { .. } => matches!(party, exchange::Party::Agent { .. }),
        Request::Send { .. }
        | Request::Open { .. }
        | Request::Close { .. }
        | Request::Page { .. }
        | Request::Read { .. }
        | Request::Typing { .. } => true,
    }
}

/// The frame of an answer, encoded once for all its receivers. `None` for what is not said in a frame (`Revoked`), and
/// for an event that its receivers' audience may not see: the engine never sends one, and if it did it would end here.
pub(super) fn encode(answer: &Answer) -> Option<Frame> {
    server_frame(answer).map(|frame| encode_frame(&frame))
}

/// A frame as the bytes that are sent.
pub(super) fn encode_frame(frame: &ServerFrame) -> Frame {
    Frame::text(|bytes| {
        serde_json::to_writer(bytes, frame)
            .expect("frames hold only strings, numbers, lists and objects with string keys");
    })
}

fn server_frame(answer: &Answer) -> Option<ServerFrame> {
    Some(match answer {
        Answer::Acknowledged { id, conversation, seq, prev, at, again } => ServerFrame::Ack(wire::Ack {
            id: Id(id.0),
            conversation: Some(Id(conversation.0)),
            seq: Some(*seq),
            prev: Some(*prev),
            at: Some(at.0),
            again: *again,
        }),
        Answer::Refused { id, conversation, refusal } => ServerFrame::Refused(refused(*id, *conversation, *refusal)),
        Answer::Opened { view, audience, reset, events, older, more } => ServerFrame::Opened(wire::Opened {
            conversation: conversation(view, *audience),
            reset: reset.map(|reset| match reset {
                exchange::Reset::First => wire::Reset::First,
                exchange::Reset::TooFar => wire::Reset::TooFar,
                exchange::Reset::CursorAhead => wire::Reset::CursorAhead,
                exchange::Reset::Expired => wire::Reset::Expired,
            }),
            events: visible(events, *audience),
            older: *older,
            more: *more,
        }),
        Answer::Page { conversation, audience, events, older } => ServerFrame::Page(wire::EventPage {
            conversation: Id(conversation.0),
            events: visible(events, *audience),
            older: *older,
        }),
        Answer::Event { conversation, audience, event: it } => {
            if !it.visible_to(*audience) {
                tracing::error!(%conversation, seq = it.seq, "an event for staff was about to reach a visitor");
                return None;
            }
            ServerFrame::Event(wire::NewEvent { conversation: Id(conversation.0), event: event(it, *audience) })
        }
        Answer::Read { conversation, reader, seq } => {
            ServerFrame::Read(wire::ReadUpdate { conversation: Id(conversation.0), mark: read_mark(reader, *seq) })
        }
        Answer::Typing { conversation, author: who, on } => {
            ServerFrame::Typing(wire::TypingUpdate { conversation: Id(conversation.0), author: author(who), on: *on })
        }
        Answer::Online { conversation, online } => {
            ServerFrame::Online(wire::Online { conversation: Id(conversation.0), online: *online })
        }
        Answer::Position { conversation, position } => {
            ServerFrame::Position(wire::Position { conversation: Id(conversation.0), position: *position })
        }
        Answer::Team(it) => ServerFrame::Team(wire::TeamUpdate { team: team(it) }),
        Answer::Members(members) => {
            ServerFrame::Members(wire::Members { members: members.iter().map(member_state).collect() })
        }
        Answer::Conversations(rows) => {
            ServerFrame::Conversations(wire::ConversationRows { rows: rows.iter().map(visitor_row).collect() })
        }
        Answer::Conversation(it) => ServerFrame::Conversation(wire::ConversationRow { row: visitor_row(it) }),
        Answer::List { view, feed, at, rows, next, counts: it } => ServerFrame::List(wire::ListReset {
            view: view_out(*view),
            feed: Id(feed.0),
            at: *at,
            rows: rows.iter().map(|it| row(it)).collect(),
            next: next.clone(),
            counts: counts(*it),
        }),
        Answer::Changes { view, feed, from, at, upserts, removed, counts: it } => {
            ServerFrame::Changes(wire::ListChanges {
                view: view_out(*view),
                feed: Id(feed.0),
                from: *from,
                at: *at,
                upserts: upserts.iter().map(|it| row(it)).collect(),
                removed: removed.iter().map(|id| Id(id.0)).collect(),
                counts: counts(*it),
            })
        }
        Answer::ListPage { view, rows, next } => ServerFrame::ListPage(wire::ListPage {
            view: view_out(*view),
            rows: rows.iter().map(|it| row(it)).collect(),
            next: next.clone(),
        }),
        Answer::Resync { conversation } => ServerFrame::Resync(wire::Resync { conversation: Id(conversation.0) }),
        Answer::Revoked => return None,
    })
}

/// A refusal as the wire says it.
pub(super) fn refused(id: Option<CommandId>, conversation: Option<ConversationId>, refusal: Refusal) -> wire::Refused {
    let (code, field, retry_after_ms) = match refusal {
        Refusal::TextEmpty => (RefusalCode::TextEmpty, Some("text"), None),
        Refusal::TextTooLong => (RefusalCode::TextTooLong, Some("text"), None),
        Refusal::TextControl => (RefusalCode::TextControl, Some("text"), None),
        Refusal::PageBad => (RefusalCode::PageBad, Some("page"), None),
        Refusal::NotFound => (RefusalCode::NotFound, Some("conversation"), None),
        Refusal::Forbidden => (RefusalCode::Forbidden, None, None),
        Refusal::MemberUnknown => (RefusalCode::MemberUnknown, Some("to"), None),
        Refusal::IdReused => (RefusalCode::IdReused, Some("id"), None),
        Refusal::Closed => (RefusalCode::Closed, Some("conversation"), None),
        Refusal::NotNow => (RefusalCode::NotNow, None, None),
        Refusal::RateLimited { retry_after_ms } => (RefusalCode::RateLimited, None, Some(retry_after_ms)),
        Refusal::Overloaded { retry_after_ms } => (RefusalCode::Overloaded, None, Some(retry_after_ms)),
        Refusal::Unavailable { retry_after_ms } => (RefusalCode::Unavailable, None, Some(retry_after_ms)),
        Refusal::Unknown { retry_after_ms } => (RefusalCode::Unknown, None, Some(retry_after_ms)),
        Refusal::ConversationUnavailable => (RefusalCode::ConversationUnavailable, Some("conversation"), None),
        Refusal::TooManyOpen => (RefusalCode::TooManyOpen, None, None),
        Refusal::CursorBad => (RefusalCode::CursorBad, Some("after"), None),
    };
    wire::Refused {
        id: id.map(|id| Id(id.0)),
        conversation: conversation.map(|id| Id(id.0)),
        code,
        message: refusal.to_string(),
        field: field.map(str::to_owned),
        retry_after_ms: retry_after_ms.map(u64::from),
    }
}

fn view_in(view: wire::View) -> exchange::View {
    match view {
        wire::View::Mine => exchange::View::Mine,
        wire::View::Unassigned => exchange::View::Unassigned,
        wire::View::Open => exchange::View::Open,
        wire::View::Resolved => exchange::View::Resolved,
    }
}

fn view_out(view: exchange::View) -> wire::View {
    match view {
        exchange::View::Mine => wire::View::Mine,
        exchange::View::Unassigned => wire::View::Unassigned,
        exchange::View::Open => wire::View::Open,
        exchange::View::Resolved => wire::View::Resolved,
    }
}

/// A member's id and name.
pub(crate) fn face(member: &MemberName) -> wire::Face {
    wire::Face { id: Id(member.id.0), name: member.name.to_string() }
}

/// An author as readers see them.
pub(crate) fn author(author: &Author) -> wire::Author {
    match author {
        Author::Visitor { id, name } => {
            wire::Author { kind: wire::AuthorKind::Visitor, id: Some(Id(id.0)), name: Some(name.to_string()) }
        }
        Author::Agent(member) => wire::Author {
            kind: wire::AuthorKind::Agent,
            id: Some(Id(member.id.0)),
            name: Some(member.name.to_string()),
        },
        Author::System => wire::Author { kind: wire::AuthorKind::System, id: None, name: None },
    }
}

fn visible(events: &[Arc<Event>], audience: Audience) -> Vec<wire::Event> {
    events.iter().filter(|it| it.visible_to(audience)).map(|it| event(it, audience)).collect()
}

/// An event as readers of `audience` see it. The caller has checked that they may.
pub(crate) fn event(event: &Event, audience: Audience) -> wire::Event {
    wire::Event {
        seq: event.seq,
        prev: event.prev(audience),
        at: event.at.0,
        author: author(&event.author),
        audience: match event.audience {
            Audience::All => wire::Audience::All,
            Audience::Staff => wire::Audience::Staff,
        },
        cmd: event.command.map(|mark| Id(mark.id.0)),
        body: match &event.body {
            Body::Started { page } => wire::Body::Started { page: page.as_deref().map(str::to_owned) },
            Body::Message { parts: it } => wire::Body::Message { parts: parts(it) },
            Body::Note { parts: it } => wire::Body::Note { parts: parts(it) },
            // The number and who is preferred are the queue's business, never a reader's.
            Body::Queued { number: _, reason, prefer: _ } => wire::Body::Queued {
                reason: match reason {
                    QueuedReason::New => wire::QueuedReason::New,
                    QueuedReason::Reopened => wire::QueuedReason::Reopened,
                    QueuedReason::Released => wire::QueuedReason::Released,
                    QueuedReason::Returned => wire::QueuedReason::Returned,
                },
            },
            Body::Assigned { to, reason } => wire::Body::Assigned {
                to: face(to),
                reason: match reason {
                    AssignedReason::Routed => wire::AssignedReason::Routed,
                    AssignedReason::Taken => wire::AssignedReason::Taken,
                    AssignedReason::Given => wire::AssignedReason::Given,
                    AssignedReason::Replied => wire::AssignedReason::Replied,
                },
            },
            Body::Resolved => wire::Body::Resolved {},
            Body::Reopened => wire::Body::Reopened {},
        },
    }
}

fn parts(parts: &[Part]) -> Vec<wire::Part> {
    parts
        .iter()
        .map(|part| match part {
            Part::Text(text) => wire::Part::Text { text: text.to_string() },
        })
        .collect()
}

fn status(status: Status) -> wire::Status {
    match status {
        Status::Queued => wire::Status::Queued,
        Status::Assigned => wire::Status::Assigned,
        Status::Resolved => wire::Status::Resolved,
    }
}

fn read_mark(reader: &Reader, seq: u64) -> wire::ReadMark {
    let (kind, id) = match reader {
        Reader::Visitor(id) => (wire::AuthorKind::Visitor, id.0),
        Reader::Agent(id) => (wire::AuthorKind::Agent, id.0),
    };
    wire::ReadMark { kind, id: Id(id), seq }
}

/// A conversation as readers of `audience` see it: what is staff's alone is left out for visitors, whatever the view
/// holds.
pub(crate) fn conversation(view: &exchange::ConversationView, audience: Audience) -> wire::Conversation {
    let staff = audience == Audience::Staff;
    wire::Conversation {
        id: Id(view.id.0),
        status: status(view.status),
        assignee: view.assignee.as_ref().map(face),
        visitor: wire::Face { id: Id(view.visitor.0), name: view.visitor_name.to_string() },
        created_at: view.created_at.0,
        page: view.page.as_deref().filter(|_| staff).map(str::to_owned),
        head: view.head,
        first_seq: view.first_seq,
        reads: view.reads.iter().map(|(reader, seq)| read_mark(reader, *seq)).collect(),
        visitor_online: view.visitor_online.filter(|_| staff),
        position: view.position,
    }
}

/// A row of an inbox list.
pub(crate) fn row(row: &Row) -> wire::Row {
    wire::Row {
        id: Id(row.key.conversation.0),
        visitor: wire::Face { id: Id(row.visitor.0), name: row.visitor_name.to_string() },
        status: status(row.status),
        assignee: row.assignee.as_ref().map(face),
        preview: row.preview.to_string(),
        last_author: match row.last_side {
            Side::Visitor => wire::AuthorKind::Visitor,
            Side::Agent => wire::AuthorKind::Agent,
            Side::System => wire::AuthorKind::System,
        },
        last_at: row.last_at.0,
        waiting_since: row.waiting_since.map(|at| at.0),
        answered: row.answered,
        seq: row.seq,
        read: row.staff_read,
        last_visitor_seq: row.last_visitor_seq,
        channel: "chat".to_owned(),
        queue_number: row.queue_number,
        resolved_at: row.resolved_at.map(|at| at.0),
        created_at: row.created_at.0,
    }
}

fn visitor_row(row: &exchange::VisitorRow) -> wire::VisitorRow {
    wire::VisitorRow {
        id: Id(row.id.0),
        status: status(row.status),
        preview: row.preview.to_string(),
        last_author: author(&row.last_author),
        last_at: row.last_at.0,
        head: row.head,
        read: row.read,
        unread: row.unread,
        writable: row.writable,
        created_at: row.created_at.0,
    }
}

/// Who is there to answer.
pub(crate) fn team(team: &exchange::Team) -> wire::Team {
    wire::Team {
        available: team.available,
        faces: team.faces.iter().map(face).collect(),
        answers_in_secs: team.answers_in_secs,
    }
}

/// A member as colleagues see them.
pub(crate) fn member_state(state: &exchange::MemberState) -> wire::MemberState {
    wire::MemberState {
        id: Id(state.member.id.0),
        name: state.member.name.to_string(),
        role: match state.role {
            Role::Owner => wire::Role::Owner,
            Role::Agent => wire::Role::Agent,
        },
        online: state.online,
        available: state.available,
        open: state.open,
    }
}

fn counts(counts: exchange::Counts) -> wire::Counts {
    wire::Counts { mine: counts.mine, unassigned: counts.unassigned, open: counts.open }
}
