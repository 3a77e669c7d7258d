//! What the logs say of who holds what, and whether conversations and lists, read at the end, say the same (G2: the
//! log alone decides, everything else follows from it).

use std::collections::BTreeSet;

use bellhop_protocol::{Audience, Author, AuthorKind, Body, Event, Face, Id, Millis, Part, Row, Seq, Status, View};

use super::{Promise, Verdict, log::Logs};
use crate::faults::record::Last;

/// Characters of a row's preview (`Row::preview`).
const PREVIEW: usize = 120;

/// What a log says, event for event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    pub(super) status: Status,
    pub(super) assignee: Option<Id>,
    pub(super) seq: Seq,
    preview: String,
    last_author: AuthorKind,
    last_at: Millis,
    waiting_since: Option<Millis>,
    answered: bool,
    last_visitor_seq: Seq,
    resolved_at: Option<Millis>,
    created_at: Millis,
    visitor: Option<Id>,
}

impl State {
    pub(super) fn of<'a>(events: impl Iterator<Item = &'a Event>) -> Self {
        let mut state = Self {
            status: Status::Queued,
            assignee: None,
            seq: 0,
            preview: String::new(),
            last_author: AuthorKind::System,
            last_at: 0,
            waiting_since: None,
            answered: false,
            last_visitor_seq: 0,
            resolved_at: None,
            created_at: 0,
            visitor: None,
        };
        for event in events {
            state.take(event);
        }
        state
    }

    fn take(&mut self, event: &Event) {
        self.seq = event.seq;
        match &event.body {
            Body::Started { .. } => {
                self.created_at = event.at;
                self.visitor = event.author.id;
            }
            Body::Message { parts } => self.message(event, parts),
            Body::Note { .. } => {}
            Body::Queued { .. } => (self.status, self.assignee, self.answered) = (Status::Queued, None, false),
            Body::Assigned { to: Face { id, .. }, .. } => {
                (self.status, self.assignee, self.answered) = (Status::Assigned, Some(*id), false);
            }
            Body::Resolved {} => {
                self.status = Status::Resolved;
                self.resolved_at = Some(event.at);
                self.waiting_since = None;
            }
            Body::Reopened {} => self.resolved_at = None,
        }
    }

    fn message(&mut self, event: &Event, parts: &[Part]) {
        let Some(Part::Text { text }) = parts.first() else { return };
        self.preview = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(PREVIEW).collect();
        (self.last_author, self.last_at) = (event.author.kind, event.at);
        match event.author {
            Author { kind: AuthorKind::Visitor, .. } => {
                self.last_visitor_seq = event.seq;
                self.waiting_since.get_or_insert(event.at);
            }
            Author { kind: AuthorKind::Agent, .. } => (self.answered, self.waiting_since) = (true, None),
            _ => {}
        }
    }

    /// A row of an inbox list, as far as the log decides it.
    fn of_row(row: &Row) -> Self {
        Self {
            status: row.status,
            assignee: row.assignee.as_ref().map(|face| face.id),
            seq: row.seq,
            preview: row.preview.clone(),
            last_author: row.last_author,
            last_at: row.last_at,
            waiting_since: row.waiting_since,
            answered: row.answered,
            last_visitor_seq: row.last_visitor_seq,
            resolved_at: row.resolved_at,
            created_at: row.created_at,
            visitor: Some(row.visitor.id),
        }
    }

    /// Whether a view holds it; `me` is whose `mine`.
    pub(super) fn in_view(&self, view: View, me: Option<Id>) -> bool {
        match view {
            View::Mine => self.status != Status::Resolved && self.assignee.is_some() && self.assignee == me,
            View::Unassigned => self.status == Status::Queued,
            View::Open => self.status != Status::Resolved,
            View::Resolved => self.status == Status::Resolved,
        }
    }
}

pub(super) fn check(last: &Last, logs: &Logs<'_>, verdict: &mut Verdict) {
    for (id, why) in &last.unreadable {
        verdict.find(Promise::G1, *id, None, format!("its log cannot be read to the end: {why}"), Vec::new());
    }
    for (id, log) in logs.iter() {
        let state = State::of(log.events());
        changes(id, log.events(), verdict);
        if let Some(conversation) = last.conversations.get(&id) {
            let told = (
                conversation.status,
                conversation.assignee.as_ref().map(|it| it.id),
                conversation.head,
                Some(conversation.visitor.id),
            );
            let says = (state.status, state.assignee, log.head(Audience::Staff), state.visitor);
            if told != says {
                let what = format!("the conversation is told as {told:?}, and its log says {says:?}");
                verdict.find(Promise::G2, id, state.seq, what, Vec::new());
            }
        }
    }
    for (view, rows) in
        [(View::Open, &last.open), (View::Unassigned, &last.unassigned), (View::Resolved, &last.resolved)]
    {
        list(view, rows, logs, verdict);
    }
}

/// Each change of hands follows from the one before.
fn changes<'a>(id: Id, events: impl Iterator<Item = &'a Event>, verdict: &mut Verdict) {
    let mut status: Option<Status> = None;
    let mut reopened = false;
    for event in events {
        let wrong = match (&event.body, status) {
            (Body::Resolved {}, Some(Status::Resolved)) => Some("resolved what was resolved"),
            (Body::Reopened {}, before) if before != Some(Status::Resolved) => Some("reopened what was not resolved"),
            (Body::Queued { .. } | Body::Assigned { .. }, Some(Status::Resolved)) if !reopened => {
                Some("a resolved conversation changed hands")
            }
            _ => None,
        };
        if let Some(what) = wrong {
            verdict.find(Promise::G2, id, event.seq, what, Vec::new());
        }
        match event.body {
            Body::Queued { .. } => (status, reopened) = (Some(Status::Queued), false),
            Body::Assigned { .. } => (status, reopened) = (Some(Status::Assigned), false),
            Body::Resolved {} => (status, reopened) = (Some(Status::Resolved), false),
            Body::Reopened {} => reopened = true,
            _ => {}
        }
    }
}

fn list(view: View, rows: &[Row], logs: &Logs<'_>, verdict: &mut Verdict) {
    let mut seen = BTreeSet::new();
    for row in rows {
        if !seen.insert(row.id) {
            verdict.find(Promise::G2, row.id, row.seq, format!("the list {view:?} shows it twice"), Vec::new());
        }
        let Some(log) = logs.of(row.id) else {
            verdict.find(Promise::G2, row.id, row.seq, format!("the list {view:?} shows what has no log"), Vec::new());
            continue;
        };
        let (says, shown) = (State::of(log.events()), State::of_row(row));
        if says != shown {
            let what = format!("the list {view:?} shows {shown:?}, and the log says {says:?}");
            verdict.find(Promise::G2, row.id, says.seq, what, Vec::new());
        }
        if !says.in_view(view, None) {
            verdict.find(
                Promise::G2,
                row.id,
                says.seq,
                format!("the list {view:?} shows what is not of it"),
                Vec::new(),
            );
        }
    }
    for (id, log) in logs.iter() {
        let state = State::of(log.events());
        if state.in_view(view, None) && !seen.contains(&id) {
            verdict.find(Promise::G2, id, state.seq, format!("the list {view:?} lacks it"), Vec::new());
        }
    }
}
