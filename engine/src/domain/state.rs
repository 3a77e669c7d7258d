//! A conversation's state: the fold of its events, and nothing that is not in them.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Audience, Author, Body, CommandId, CommandMark, ConversationKey, Epoch, Event, MemberId, MemberName, Millis,
    PREVIEW_CHARS, Part, Row, Seq, Side, Status, UNREAD_SEQS, VisitorId, one_line,
};

/// Commands remembered in the state. A retry comes within seconds, while a conversation gets a few messages; older
/// ones are searched in the log.
pub const RECENT_COMMANDS: usize = 32;

/// Who sent a command: its id is unique within (conversation, sender).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Sender {
    Visitor(VisitorId),
    Agent(MemberId),
    System,
}

impl Author {
    /// The sender that this author is.
    pub fn sender(&self) -> Sender {
        match self {
            Author::Visitor { id, .. } => Sender::Visitor(*id),
            Author::Agent(member) => Sender::Agent(member.id),
            Author::System => Sender::System,
        }
    }
}

/// A command that took effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Remembered {
    pub sender: Sender,
    pub mark: CommandMark,
    pub seq: Seq,
    /// `prev_all` of its event.
    pub prev_all: Seq,
    pub at: Millis,
}

impl Remembered {
    /// The command whose effect this event is; `None` for one that follows from another.
    pub fn of(event: &Event) -> Option<Self> {
        let (sender, seq) = (event.author.sender(), event.seq);
        event.command.map(|mark| Self { sender, mark, seq, prev_all: event.prev_all, at: event.at })
    }
}

/// The fold of a conversation's events up to (`epoch`, `seq`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ConversationState {
    pub key: ConversationKey,
    pub epoch: Epoch,
    pub seq: Seq,
    pub head_all: Seq,
    pub last_event_at: Millis,
    pub visitor: VisitorId,
    pub visitor_name: Arc<str>,
    pub page: Option<Arc<str>>,
    pub created_at: Millis,
    pub status: Status,
    pub assignee: Option<MemberName>,
    /// The place in the line that it has, or had last: kept for when it must go back.
    pub queue_number: u64,
    pub prefer: Option<MemberId>,
    pub answered: bool,
    pub waiting_since: Option<Millis>,
    pub resolved_at: Option<Millis>,
    pub preview: Arc<str>,
    pub last_side: Side,
    pub last_name: Arc<str>,
    pub last_at: Millis,
    pub last_visitor_seq: Seq,
    pub agent_seqs: VecDeque<Seq>,
    /// The command that started it, for ever.
    pub start: Option<Remembered>,
    /// The latest commands, oldest first, at most [`RECENT_COMMANDS`].
    pub recent: VecDeque<Remembered>,
    /// Every command whose event lies above this seq is in `recent`.
    pub recent_floor: Seq,
}

impl ConversationState {
    /// The state after the first event. `page` is that of the start; it stands on the row, not in an event's body.
    pub fn begin(key: ConversationKey, first: &Event) -> Self {
        let (visitor, visitor_name) = match &first.author {
            Author::Visitor { id, name } => (*id, Arc::clone(name)),
            _ => (VisitorId(0), Arc::from("")),
        };
        let mut state = Self {
            key,
            epoch: first.epoch,
            seq: 0,
            head_all: 0,
            last_event_at: first.at,
            visitor,
            visitor_name,
            page: None,
            created_at: first.at,
            status: Status::Queued,
            assignee: None,
            queue_number: 0,
            prefer: None,
            answered: false,
            waiting_since: None,
            resolved_at: None,
            preview: Arc::from(""),
            last_side: Side::Visitor,
            last_name: Arc::from(""),
            last_at: first.at,
            last_visitor_seq: 0,
            agent_seqs: VecDeque::new(),
            start: None,
            recent: VecDeque::new(),
            recent_floor: 0,
        };
        state.apply(first);
        state
    }

    /// Folds the next event onto what there is; the first one begins it.
    pub fn fold(state: &mut Option<Self>, key: ConversationKey, event: &Event) {
        match state {
            Some(state) => state.apply(event),
            None => *state = Some(Self::begin(key, event)),
        }
    }

    /// Folds the next event in. The caller gives events in order, without gaps.
    pub fn apply(&mut self, event: &Event) {
        debug_assert_eq!(event.seq, self.seq + 1, "events are folded in order, without gaps");
        self.seq = event.seq;
        self.epoch = self.epoch.max(event.epoch);
        self.last_event_at = event.at;
        if event.audience == Audience::All {
            self.head_all = event.seq;
        }
        if let Some(command) = Remembered::of(event) {
            self.remember(command);
        }
        match &event.body {
            Body::Message { parts } => self.apply_message(event, parts),
            Body::Note { .. } => {}
            Body::Started { page } => self.page = page.clone(),
            Body::Queued { number, prefer, .. } => {
                self.status = Status::Queued;
                self.assignee = None;
                self.queue_number = *number;
                self.prefer = *prefer;
                self.answered = false;
            }
            Body::Assigned { to, .. } => {
                self.status = Status::Assigned;
                self.assignee = Some(to.clone());
                self.answered = false;
            }
            Body::Resolved => {
                self.status = Status::Resolved;
                self.resolved_at = Some(event.at);
                self.waiting_since = None;
            }
            // What it becomes (queued, assigned) is the next event of the same command.
            Body::Reopened => self.resolved_at = None,
        }
    }

    fn apply_message(&mut self, event: &Event, parts: &[Part]) {
        let Part::Text(text) = match parts.first() {
            Some(part) => part,
            None => return,
        };
        self.preview = one_line(text, PREVIEW_CHARS).into();
        self.last_at = event.at;
        match &event.author {
            Author::Visitor { name, .. } => {
                self.last_side = Side::Visitor;
                self.last_name = Arc::clone(name);
                self.last_visitor_seq = event.seq;
                self.waiting_since.get_or_insert(event.at);
            }
            Author::Agent(member) => {
                self.last_side = Side::Agent;
                self.last_name = Arc::clone(&member.name);
                self.answered = true;
                self.waiting_since = None;
                if self.agent_seqs.len() >= UNREAD_SEQS {
                    self.agent_seqs.pop_front();
                }
                self.agent_seqs.push_back(event.seq);
            }
            Author::System => {
                self.last_side = Side::System;
                self.last_name = Arc::from("");
            }
        }
    }

    fn remember(&mut self, command: Remembered) {
        self.start.get_or_insert(command);
        // Room is made first: one more than a power of two would double what every live conversation holds.
        if self.recent.len() >= RECENT_COMMANDS
            && let Some(forgotten) = self.recent.pop_front()
        {
            self.recent_floor = forgotten.seq;
        }
        self.recent.push_back(command);
    }

    /// A remembered command of this sender and id.
    pub fn remembered(&self, sender: Sender, id: CommandId) -> Option<&Remembered> {
        let is_it = |it: &&Remembered| it.sender == sender && it.mark.id == id;
        self.start.iter().chain(self.recent.iter().rev()).find(is_it)
    }

    /// The last seq that readers of `audience` see.
    pub fn head(&self, audience: Audience) -> Seq {
        match audience {
            Audience::All => self.head_all,
            Audience::Staff => self.seq,
        }
    }

    /// Brings a row of this conversation up to date whose status and assignee have not changed since: what messages,
    /// notes and read marks change. The same as a new [`Self::row`], without its allocations.
    pub fn refresh(&self, row: &mut Row, staff_read: Seq, visitor_read: Seq) {
        (row.staff_read, row.visitor_read) = (staff_read, visitor_read);
        if (row.epoch, row.seq) != (self.epoch, self.seq) {
            (row.epoch, row.seq, row.head_all) = (self.epoch, self.seq, self.head_all);
            row.preview.clone_from(&self.preview);
            row.last_side = self.last_side;
            row.last_name.clone_from(&self.last_name);
            row.last_at = self.last_at;
            row.waiting_since = self.waiting_since;
            row.answered = self.answered;
            row.last_visitor_seq = self.last_visitor_seq;
            row.agent_seqs.clear();
            row.agent_seqs.extend(&self.agent_seqs);
            // A place in the line and the page are given by events that come with a change of status or begin it all;
            // queued anew while it is queued, it has another place.
            let queued = self.status == Status::Queued;
            row.queue_number = queued.then_some(self.queue_number);
            row.prefer = if queued { self.prefer } else { None };
            row.resolved_at = self.resolved_at;
            row.page.clone_from(&self.page);
        }
        debug_assert_eq!(*row, self.row(staff_read, visitor_read), "a refreshed row is like a new one");
    }

    /// What lists show, given how far any agent and the visitor have read.
    pub fn row(&self, staff_read: Seq, visitor_read: Seq) -> Row {
        let queued = self.status == Status::Queued;
        Row {
            key: self.key,
            epoch: self.epoch,
            seq: self.seq,
            head_all: self.head_all,
            visitor: self.visitor,
            visitor_name: Arc::clone(&self.visitor_name),
            status: self.status,
            assignee: self.assignee.clone(),
            queue_number: queued.then_some(self.queue_number),
            prefer: if queued { self.prefer } else { None },
            preview: Arc::clone(&self.preview),
            last_side: self.last_side,
            last_name: Arc::clone(&self.last_name),
            last_at: self.last_at,
            waiting_since: self.waiting_since,
            answered: self.answered,
            last_visitor_seq: self.last_visitor_seq,
            agent_seqs: self.agent_seqs.iter().copied().collect(),
            staff_read,
            visitor_read,
            created_at: self.created_at,
            resolved_at: self.resolved_at,
            page: self.page.clone(),
        }
    }
}
