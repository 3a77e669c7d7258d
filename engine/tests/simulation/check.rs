//! The checker: it knows what clients asked for and what they were told, reads the durable log with its own eyes, and
//! says which promise was broken.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use bellhop_engine::domain::*;
use bellhop_engine::exchange::{Answer, Party, Request, Reset};
use bellhop_storage::Model;

use super::words::Words;

/// A promise that did not hold.
#[derive(Debug, Clone)]
pub struct Broken {
    pub promise: &'static str,
    pub what: String,
}

/// One (conversation, sender, id): what was asked with it, and what came of it.
#[derive(Debug, Default)]
struct Issue {
    bodies: Vec<Words>,
    attempts: u32,
    /// Attempts answered with "nothing was written".
    refused: u32,
    acknowledged: Option<Seq>,
}

/// A conversation as its durable log says, judged event by event.
#[derive(Default)]
pub struct Truth {
    pub events: Vec<Arc<Event>>,
    pub status: Option<Status>,
    pub holder: Option<MemberId>,
    /// Whether the queue gave it to its holder.
    routed: bool,
    answered: bool,
    reopening: bool,
    number: u64,
    pub commands: HashMap<(Sender, CommandId), Seq>,
}

impl Truth {
    pub fn head(&self, audience: Audience) -> Seq {
        self.events.iter().rev().find(|event| event.visible_to(audience)).map_or(0, |event| event.seq)
    }

    /// Its place in the line, or the one that it had last.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether the holder has answered.
    pub fn answered(&self) -> bool {
        self.answered
    }
}

pub struct Check {
    pub model: Model,
    workspace: WorkspaceId,
    pub truth: BTreeMap<ConversationId, Truth>,
    ledger: HashMap<(ConversationId, Sender, CommandId), Issue>,
    /// Accepted commands that have no outcome yet, by session.
    waiting: BTreeMap<(SessionId, CommandId), VecDeque<(ConversationId, Words)>>,
    pub sessions: BTreeMap<SessionId, Party>,
    /// Sessions below are those of earlier owners of the store.
    first: SessionId,
    looked_at: ConversationId,
    numbers: BTreeMap<u64, ConversationId>,
    /// Members who were removed at any time.
    pub removed: BTreeSet<MemberId>,
    /// The highest cap of late.
    pub cap: u32,
    /// How often each refusal was given, and other things worth a count.
    pub counts: BTreeMap<&'static str, u64>,
    pub broken: Option<Broken>,
}

impl Check {
    pub fn new(model: Model, workspace: WorkspaceId, cap: u32) -> Self {
        Self {
            model,
            workspace,
            truth: BTreeMap::new(),
            ledger: HashMap::new(),
            waiting: BTreeMap::new(),
            sessions: BTreeMap::new(),
            first: SessionId(0),
            looked_at: ConversationId(0),
            numbers: BTreeMap::new(),
            removed: BTreeSet::new(),
            cap,
            counts: BTreeMap::new(),
            broken: None,
        }
    }

    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// The first thing that breaks is what is told.
    pub fn breaks(&mut self, promise: &'static str, what: String) {
        self.broken.get_or_insert(Broken { promise, what });
    }

    pub fn key(&self, conversation: ConversationId) -> ConversationKey {
        ConversationKey { workspace: self.workspace, conversation }
    }

    /// Every conversation that has an event.
    pub fn known(&self) -> Vec<ConversationId> {
        self.truth.iter().filter(|(_, truth)| !truth.events.is_empty()).map(|(id, _)| *id).collect()
    }

    /// Reads the durable log anew: it may only have grown, and by legal events.
    pub fn refresh(&mut self, conversation: ConversationId) {
        let log = self.model.log(self.key(conversation));
        let truth = self.truth.entry(conversation).or_default();
        if log.len() < truth.events.len() {
            let what = format!("{conversation}: the log ends at {} and ended at {}", log.len(), truth.events.len());
            return self.breaks("G1", what);
        }
        let changed = truth.events.iter().zip(&log).find(|(old, new)| !Arc::ptr_eq(old, new) && !same(old, new));
        if let Some((old, new)) = changed {
            let what = format!("{conversation}: an event changed from {old:?} to {new:?}");
            return self.breaks("G1", what);
        }
        let from = truth.events.len();
        for event in log.into_iter().skip(from) {
            self.judge(conversation, &event);
            if let Some(truth) = self.truth.get_mut(&conversation) {
                truth.events.push(event);
            }
            if self.broken.is_some() {
                return;
            }
        }
    }

    pub fn refresh_all(&mut self) {
        for conversation in self.truth.keys().copied().collect::<Vec<_>>() {
            self.refresh(conversation);
        }
    }

    /// Whether an event may follow what is there.
    fn judge(&mut self, conversation: ConversationId, event: &Event) {
        let Some(truth) = self.truth.get_mut(&conversation) else { return };
        let (last, head_all) = (truth.events.last(), truth.head(Audience::All));
        let mut wrong: Option<(&'static str, String)> = None;
        let mut is_wrong = |promise, what: &str| wrong = Some((promise, what.to_owned()));
        if event.seq != truth.events.len() as Seq + 1 {
            is_wrong("G2", "a gap in seq");
        }
        if event.prev_all != head_all {
            is_wrong("G2", "prev does not name the one before");
        }
        if last.is_some_and(|last| last.at > event.at) {
            is_wrong("conversation", "time fell");
        }
        if last.is_some_and(|last| last.epoch > event.epoch) {
            is_wrong("G6", "an older owner's event follows a newer one's");
        }
        let by_agent = matches!(event.author, Author::Agent(_));
        let status = truth.status;
        let legal = match &event.body {
            Body::Started { .. } => event.seq == 1 && !by_agent,
            _ if event.seq == 1 => false,
            Body::Message { .. } if by_agent => status == Some(Status::Assigned) && !truth.reopening,
            Body::Message { .. } => status != Some(Status::Resolved) || truth.reopening,
            Body::Note { .. } => by_agent && !truth.reopening,
            Body::Queued { reason: QueuedReason::New, .. } => event.seq == 3,
            Body::Queued { reason: QueuedReason::Reopened, .. } => truth.reopening,
            Body::Queued { reason: QueuedReason::Returned, number, .. } => {
                status == Some(Status::Assigned) && by_agent && *number == truth.number
            }
            Body::Queued { reason: QueuedReason::Released, number, .. } => {
                let may = !truth.answered || truth.holder.is_some_and(|it| self.removed.contains(&it));
                status == Some(Status::Assigned) && event.author == Author::System && *number == truth.number && may
            }
            Body::Assigned { reason: AssignedReason::Routed, .. } => {
                status == Some(Status::Queued) && event.author == Author::System
            }
            Body::Assigned { to, .. } => match status {
                Some(Status::Queued) => true,
                Some(Status::Assigned) => truth.holder != Some(to.id),
                _ => truth.reopening,
            },
            Body::Resolved => by_agent && matches!(status, Some(Status::Queued | Status::Assigned)),
            Body::Reopened => status == Some(Status::Resolved) && !truth.reopening,
        };
        if !legal {
            is_wrong("conversation", "not legal in this state");
        }
        if let Some((promise, what)) = wrong {
            let what = format!("{conversation}: {what}: {event:?} after {last:?} ({status:?})");
            return self.breaks(promise, what);
        }
        self.judge_command(conversation, event);
        self.judge_number(conversation, event);
        if let Body::Assigned { to, reason: AssignedReason::Routed } = &event.body {
            self.judge_load(conversation, to.id);
        }
        self.take(conversation, event);
    }

    /// The event's command was asked for, with this content, has not taken effect before, and was not refused.
    fn judge_command(&mut self, conversation: ConversationId, event: &Event) {
        let sender = event.author.sender();
        let Some(mark) = event.command else {
            if matches!(event.body, Body::Message { .. } | Body::Note { .. } | Body::Resolved) {
                self.breaks("G3", format!("{conversation}: words without a command: {event:?}"));
            }
            return;
        };
        if let Some(seq) = self.truth.get(&conversation).and_then(|it| it.commands.get(&(sender, mark.id))) {
            let what = format!("{conversation}: the command of {event:?} took effect at seq {seq} already");
            return self.breaks("G3", what);
        }
        let wrong = match self.ledger.get(&(conversation, sender, mark.id)) {
            None => "nobody asked for",
            Some(issue) if !issue.bodies.iter().any(|words| words.became(&event.body)) => "was asked for otherwise",
            Some(issue) if issue.attempts == issue.refused => "was refused as not written",
            Some(_) => return,
        };
        self.breaks("G11", format!("{conversation}: an event that {wrong}: {event:?}"));
    }

    fn judge_number(&mut self, conversation: ConversationId, event: &Event) {
        if let Body::Queued { number, reason: QueuedReason::New | QueuedReason::Reopened, .. } = &event.body {
            let before = self.truth.get(&conversation).map_or(0, |truth| truth.number);
            if *number <= before {
                self.breaks("conversation", format!("{conversation}: queue number {number} after {before}"));
            }
            if let Some(other) = self.numbers.insert(*number, conversation) {
                self.breaks("conversation", format!("{conversation} and {other} both got queue number {number}"));
            }
        }
    }

    /// Routing gives nobody more than the cap.
    fn judge_load(&mut self, conversation: ConversationId, to: MemberId) {
        let held: Vec<ConversationId> =
            self.truth.iter().filter(|(_, it)| it.holder == Some(to) && it.routed).map(|(id, _)| *id).collect();
        for other in held.iter().filter(|other| **other != conversation) {
            self.refresh(*other);
        }
        let holds = |id: &&ConversationId| {
            **id != conversation && self.truth.get(*id).is_some_and(|it| it.holder == Some(to) && it.routed)
        };
        let held: Vec<_> = held.iter().filter(holds).collect();
        if held.len() as u32 >= self.cap {
            let what = format!("{conversation} was routed to {to}, who was given {held:?} and may get {}", self.cap);
            self.breaks("conversation", what);
        }
    }

    fn take(&mut self, conversation: ConversationId, event: &Event) {
        let Some(truth) = self.truth.get_mut(&conversation) else { return };
        if let Some(mark) = event.command {
            truth.commands.insert((event.author.sender(), mark.id), event.seq);
        }
        match &event.body {
            Body::Message { .. } => truth.answered |= matches!(event.author, Author::Agent(_)),
            Body::Queued { number, .. } => {
                (truth.status, truth.holder, truth.number) = (Some(Status::Queued), None, *number);
                (truth.answered, truth.reopening) = (false, false);
            }
            Body::Assigned { to, reason } => {
                (truth.status, truth.holder) = (Some(Status::Assigned), Some(to.id));
                (truth.answered, truth.reopening) = (false, false);
                truth.routed = *reason == AssignedReason::Routed;
            }
            Body::Resolved => (truth.status, truth.holder) = (Some(Status::Resolved), None),
            Body::Reopened => truth.reopening = true,
            Body::Started { .. } | Body::Note { .. } => {}
        }
    }

    /// A request went through the engine's door.
    pub fn submitted(&mut self, session: SessionId, request: &Request, outcome: Result<(), Refusal>) {
        let (Some((id, conversation, words)), Some(party)) = (Words::of(request), self.sessions.get(&session)) else {
            return;
        };
        let (sender, workspace) = (party.author().sender(), self.workspace);
        let conversation = match (conversation, party) {
            (Some(conversation), _) => conversation,
            (None, Party::Visitor { visitor, .. }) => {
                conversation_id(&bellhop_engine::ports::Store::secret(&self.model), workspace, *visitor, id)
            }
            (None, Party::Agent { .. }) => return,
        };
        self.truth.entry(conversation).or_default();
        let issue = self.ledger.entry((conversation, sender, id)).or_default();
        issue.attempts += 1;
        if !issue.bodies.contains(&words) {
            issue.bodies.push(words.clone());
        }
        match outcome {
            Ok(()) => self.waiting.entry((session, id)).or_default().push_back((conversation, words)),
            Err(refusal) => self.refused(session, id, conversation, &words, refusal),
        }
    }

    /// A new owner has the store: what an earlier one had accepted may have no outcome, and may have happened or not.
    pub fn reborn(&mut self, first: SessionId) {
        self.first = first;
        self.waiting.retain(|(session, _), _| *session >= first);
    }

    /// Looks at the log of one conversation after the other.
    pub fn refresh_some(&mut self) {
        let next = self.truth.range((std::ops::Bound::Excluded(self.looked_at), std::ops::Bound::Unbounded)).next();
        self.looked_at = next.map_or(ConversationId(0), |(id, _)| *id);
        self.refresh(self.looked_at);
    }

    /// Commands without an outcome.
    pub fn unanswered(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    fn outcome(&mut self, session: SessionId, id: CommandId) -> Option<(ConversationId, Words)> {
        let waiting = self.waiting.get_mut(&(session, id));
        let asked = waiting.and_then(VecDeque::pop_front);
        if self.waiting.get(&(session, id)).is_some_and(VecDeque::is_empty) {
            self.waiting.remove(&(session, id));
        }
        if asked.is_none() && session >= self.first {
            self.breaks("G11", format!("{session:?} got an outcome of {id} that it did not wait for"));
        }
        asked
    }

    fn refused(&mut self, session: SessionId, id: CommandId, at: ConversationId, words: &Words, refusal: Refusal) {
        self.count(name(refusal));
        let Some(sender) = self.sessions.get(&session).map(|party| party.author().sender()) else { return };
        if matches!(refusal, Refusal::Unknown { .. }) {
            return;
        }
        if let Some(issue) = self.ledger.get_mut(&(at, sender, id)) {
            issue.refused += 1;
        }
        let passing =
            matches!(refusal, Refusal::Unavailable { .. } | Refusal::Overloaded { .. } | Refusal::RateLimited { .. });
        if passing || refusal == Refusal::ConversationUnavailable {
            return;
        }
        if session < self.first {
            // An owner that was fenced off decides on what it knows; what it says is not heard for long.
            return;
        }
        self.refresh(at);
        let took = self.truth.get(&at).and_then(|it| Some((*it.commands.get(&(sender, id))?, it)));
        let became = took.map(|(seq, truth)| (seq, words.became(&truth.events[seq as usize - 1].body)));
        let fits = match became {
            None => refusal != Refusal::IdReused,
            Some((_, same)) => refusal == Refusal::IdReused && !same,
        };
        if !fits {
            let what = format!("{at}: {id} {words:?} was refused with {refusal:?}; in the log it is at {became:?}");
            self.breaks("G3", what);
        }
    }

    /// The engine tells sessions something; called at that very moment.
    pub fn told(&mut self, to: &[SessionId], answer: &Answer) {
        match answer {
            Answer::Acknowledged { id, conversation, seq, prev, at, again } => {
                self.count(if *again { "acknowledged again" } else { "acknowledged" });
                for session in to {
                    self.acknowledged(*session, (*id, *conversation), (*seq, *prev, *at), *again);
                }
            }
            Answer::Refused { id: Some(id), refusal, .. } => {
                for session in to {
                    if let Some((at, words)) = self.outcome(*session, *id) {
                        self.refused(*session, *id, at, &words, *refusal);
                    }
                }
            }
            Answer::Event { conversation, audience, event } => {
                self.count("events told");
                self.shown(*conversation, *audience, event);
                self.receivers(to, *audience, *conversation);
            }
            Answer::Opened { view, audience, reset, events, .. } => {
                self.count(match reset {
                    None => "resumed",
                    Some(Reset::First) => "opened first",
                    Some(Reset::TooFar | Reset::CursorAhead | Reset::Expired) => "reset",
                });
                for event in events {
                    self.shown(view.id, *audience, event);
                }
                self.chained(view.id, *audience, events);
                self.receivers(to, *audience, view.id);
                if view.head > 0 && self.durable(view.id, view.head).is_none() {
                    self.breaks("G2", format!("{}: opened at {}, which is not durable", view.id, view.head));
                }
            }
            Answer::Page { conversation, audience, events, .. } => {
                for event in events {
                    self.shown(*conversation, *audience, event);
                }
                self.chained(*conversation, *audience, events);
            }
            Answer::List { rows, .. } | Answer::Changes { upserts: rows, .. } | Answer::ListPage { rows, .. } => {
                for row in rows {
                    self.listed(row);
                }
            }
            _ => {}
        }
    }

    fn acknowledged(
        &mut self,
        session: SessionId,
        (id, conversation): (CommandId, ConversationId),
        (seq, prev, at): (Seq, Seq, Millis),
        again: bool,
    ) {
        let Some((asked, words)) = self.outcome(session, id) else { return };
        let Some(party) = self.sessions.get(&session).cloned() else { return };
        let sender = party.author().sender();
        let Some(event) = self.durable(conversation, seq) else {
            return self.breaks("G1", format!("{conversation}: {id} was acknowledged at {seq}, which is not durable"));
        };
        let right = asked == conversation
            && event.command.is_some_and(|mark| mark.id == id)
            && event.author.sender() == sender
            && words.became(&event.body)
            && event.prev(party.audience()) == prev
            && event.at == at;
        if !right {
            let what = format!("{conversation}: {id} {words:?} was acknowledged at ({seq}, {prev}, {at:?}): {event:?}");
            return self.breaks("G3", what);
        }
        let issue = self.ledger.entry((conversation, sender, id)).or_default();
        let before = issue.acknowledged.replace(seq);
        if before.is_some_and(|before| before != seq) || (before.is_some() && !again) {
            let what = format!("{conversation}: {id} was acknowledged at {before:?}, then at {seq} (again: {again})");
            self.breaks("G3", what);
        }
    }

    /// The event with this seq, if it is durable now.
    fn durable(&mut self, conversation: ConversationId, seq: Seq) -> Option<Arc<Event>> {
        if self.truth.get(&conversation).is_none_or(|truth| (truth.events.len() as Seq) < seq) {
            self.refresh(conversation);
        }
        self.truth.get(&conversation)?.events.get((seq as usize).checked_sub(1)?).cloned()
    }

    /// A reader is shown an event.
    fn shown(&mut self, conversation: ConversationId, audience: Audience, event: &Arc<Event>) {
        match self.durable(conversation, event.seq) {
            None => self.breaks("G2", format!("{conversation}: told of what is not durable: {event:?}")),
            Some(durable) if !Arc::ptr_eq(&durable, event) && !same(&durable, event) => {
                self.breaks("G2", format!("{conversation}: told {event:?}, and durable is {durable:?}"));
            }
            Some(_) if !event.visible_to(audience) => {
                self.breaks("G10", format!("{conversation}: {audience:?} is shown {event:?}"));
            }
            Some(_) => {}
        }
    }

    /// Events in one answer follow each other without a gap.
    fn chained(&mut self, conversation: ConversationId, audience: Audience, events: &[Arc<Event>]) {
        if let Some(pair) = events.windows(2).find(|pair| pair[1].prev(audience) != pair[0].seq) {
            self.breaks("G2", format!("{conversation}: {} follows {} for {audience:?}", pair[1].seq, pair[0].seq));
        }
    }

    /// Nobody hears what is not theirs.
    fn receivers(&mut self, to: &[SessionId], audience: Audience, conversation: ConversationId) {
        let visitor = self.durable(conversation, 1).map(|it| it.author.sender());
        for session in to {
            let theirs = match self.sessions.get(session) {
                Some(party @ Party::Visitor { .. }) => {
                    audience == Audience::All && visitor == Some(party.author().sender())
                }
                Some(Party::Agent { .. }) => audience == Audience::Staff,
                None => false,
            };
            if !theirs {
                self.breaks("G10", format!("{conversation}: {session:?} is told {audience:?}'s events"));
            }
        }
    }

    /// A list shows nothing that is not durable.
    fn listed(&mut self, row: &Row) {
        let conversation = row.key.conversation;
        if self.durable(conversation, row.seq).is_none() {
            self.breaks("G2", format!("{conversation}: a list shows seq {}, which is not durable", row.seq));
        }
    }

    /// How many conversations a member holds, as the logs say.
    pub fn load(&self, member: MemberId) -> u32 {
        self.truth.values().filter(|it| it.holder == Some(member)).count() as u32
    }
}

/// The same but for the owner that wrote it (a new owner writes the last rows again).
fn same(one: &Event, other: &Event) -> bool {
    one == &Event { epoch: one.epoch, ..other.clone() }
}

fn name(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown { .. } => "refused: unknown",
        Refusal::Unavailable { .. } => "refused: unavailable",
        Refusal::Overloaded { .. } => "refused: overloaded",
        Refusal::IdReused => "refused: id reused",
        Refusal::NotNow => "refused: not now",
        Refusal::MemberUnknown => "refused: member unknown",
        Refusal::Closed => "refused: closed",
        _ => "refused: other",
    }
}
