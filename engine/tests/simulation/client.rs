//! A client as the real ones are (`gateway/client/src`: socket, outbox, conversation, list): a tab of a visitor's
//! browser or of an agent's inbox. It says what is to be sent and which timers it wants; the world does both.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;

use super::random::Random;
use super::words::Words;

/// An answer that has not come over a live connection in this time is asked for again, ms (`outbox.ts`).
const ANSWER_MS: u64 = 20_000;

/// What a client wants done.
#[derive(Debug, Clone)]
pub enum Wish {
    Send(Request),
    /// In so many ms.
    Later(u64, Timer),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// Try to connect.
    Connect,
    /// An `open` was refused for now.
    Reopen(ConversationId),
    /// A list was refused for now.
    Refollow,
    /// A command's answer has not come; the number says which sending of it this is about.
    Unanswered(CommandId, u64),
    /// A lane that was refused for now goes on.
    Lane(u128, u64),
}

/// An event as the client knows it: its own ones it writes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub seq: Seq,
    pub prev: Seq,
    pub at: Millis,
    pub author: Author,
    pub command: Option<CommandId>,
    pub body: Body,
}

impl Known {
    pub fn of(event: &Event, audience: Audience) -> Self {
        Self {
            seq: event.seq,
            prev: event.prev(audience),
            at: event.at,
            author: event.author.clone(),
            command: event.command.map(|mark| mark.id),
            body: event.body.clone(),
        }
    }
}

/// A command that waits for its answer.
#[derive(Debug, Clone)]
pub struct Entry {
    pub id: CommandId,
    pub words: Words,
    /// `None` for a start, and for what waits for one.
    pub conversation: Option<ConversationId>,
    pub seen: Seq,
    pub lane: u128,
    pub order: u64,
}

#[derive(Debug, Clone, Copy)]
struct Ack {
    seq: Seq,
    prev: Seq,
    at: Millis,
    again: bool,
}

/// One conversation as one reader sees it (`conversation.ts`).
#[derive(Debug, Default)]
pub struct Chat {
    /// Without gaps, oldest first.
    pub events: Vec<Known>,
    pub cursor: Seq,
    pub older: bool,
    /// Pages asked for and not here yet, and whether the log was begun anew since.
    paging: u32,
    stale: bool,
    pub live: bool,
    opening: bool,
    pub following: bool,
    pub refused: Option<Refusal>,
    acked: BTreeMap<CommandId, (Entry, Ack)>,
    pub status: Option<Status>,
    pub position: Option<u64>,
    pub reads: BTreeMap<bellhop_engine::ports::Reader, Seq>,
}

/// One followed list (`list.ts`).
#[derive(Debug, Default)]
pub struct Feed {
    feed: Option<FeedId>,
    at: u64,
    pub rows: BTreeMap<ConversationId, Arc<Row>>,
    pub counts: Counts,
    pub catching_up: bool,
}

pub struct Client {
    pub party: Party,
    /// Whether it wants to be connected.
    pub wanted: bool,
    pub connected: bool,
    pub chats: BTreeMap<ConversationId, Chat>,
    pub feeds: BTreeMap<View, Feed>,
    pub outbox: BTreeMap<CommandId, Entry>,
    /// Commands that took effect: what a late repeat is made of.
    pub settled: Vec<Entry>,
    flying: BTreeMap<CommandId, u64>,
    paused: BTreeMap<u128, u64>,
    failures: u32,
    ticks: u64,
    pub random: Random,
    /// What the client itself noticed: (promise, sentence).
    pub complaints: Vec<(&'static str, String)>,
    pub counts: BTreeMap<&'static str, u64>,
    /// A visitor's own list.
    pub rows: BTreeMap<ConversationId, VisitorRow>,
    pub asked_rows: bool,
    /// An agent's colleagues as last told.
    pub members: Vec<MemberState>,
    wishes: Vec<Wish>,
}

impl Client {
    pub fn new(party: Party, seed: u64) -> Self {
        Self {
            party,
            wanted: true,
            connected: false,
            chats: BTreeMap::new(),
            feeds: BTreeMap::new(),
            outbox: BTreeMap::new(),
            settled: Vec::new(),
            flying: BTreeMap::new(),
            paused: BTreeMap::new(),
            failures: 0,
            ticks: 0,
            random: Random::new(seed),
            complaints: Vec::new(),
            counts: BTreeMap::new(),
            rows: BTreeMap::new(),
            asked_rows: false,
            members: Vec::new(),
            wishes: Vec::new(),
        }
    }

    pub fn is_agent(&self) -> bool {
        matches!(self.party, Party::Agent { .. })
    }

    pub fn audience(&self) -> Audience {
        self.party.audience()
    }

    pub fn wishes(&mut self) -> Vec<Wish> {
        std::mem::take(&mut self.wishes)
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn tick(&mut self) -> u64 {
        self.ticks += 1;
        self.ticks
    }

    fn send(&mut self, request: Request) -> bool {
        if self.connected {
            self.wishes.push(Wish::Send(request));
        }
        self.connected
    }

    /// With full jitter, the bound doubling at each failure.
    pub fn backoff(&mut self) -> u64 {
        let bound = (250u64 << self.failures.min(4)).min(2_000);
        self.failures += 1;
        self.random.below(bound)
    }

    // The connection.

    /// The gateway said welcome.
    pub fn welcome(&mut self) {
        self.connected = true;
        self.count("connections");
        for chat in self.chats.values_mut() {
            (chat.live, chat.opening, chat.paging, chat.stale) = (false, false, 0, false);
        }
        for id in self.chats.keys().copied().collect::<Vec<_>>() {
            self.open(id);
        }
        for view in self.feeds.keys().copied().collect::<Vec<_>>() {
            self.list(view);
        }
        if !self.is_agent() {
            self.asked_rows = true;
            self.send(Request::Conversations);
        }
        self.flying.clear();
        self.paused.clear();
        self.flush();
    }

    pub fn lost(&mut self) {
        self.connected = false;
        for chat in self.chats.values_mut() {
            chat.live = false;
        }
    }

    // What a person does.

    pub fn start(&mut self, id: CommandId, text: Arc<str>) {
        let order = self.tick();
        let entry = Entry { id, words: Words::Start(text), conversation: None, seen: 0, lane: id.0, order };
        self.outbox.insert(id, entry);
        self.flush();
    }

    /// A command about a conversation that is here, or a message behind a start that is not answered yet.
    pub fn command(&mut self, id: CommandId, conversation: ConversationId, words: Words) {
        let seen = self.chats.get(&conversation).map_or(0, |chat| chat.cursor);
        let (order, lane) = (self.tick(), conversation.0);
        self.outbox.insert(id, Entry { id, words, conversation: Some(conversation), seen, lane, order });
        self.flush();
    }

    /// A message behind a start that is not answered yet.
    pub fn follow_up(&mut self, id: CommandId, start: CommandId, text: Arc<str>) {
        let order = self.tick();
        let entry = Entry { id, words: Words::Send(text), conversation: None, seen: 0, lane: start.0, order };
        self.outbox.insert(id, entry);
        self.flush();
    }

    /// Another tab of the same browser left these unanswered.
    pub fn take_over(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.outbox.entry(entry.id).or_insert(entry);
        }
        self.flush();
    }

    pub fn follow(&mut self, conversation: ConversationId) {
        self.chats.entry(conversation).or_default().following = true;
        self.open(conversation);
    }

    pub fn unfollow(&mut self, conversation: ConversationId) {
        if let Some(chat) = self.chats.get_mut(&conversation) {
            (chat.following, chat.live, chat.opening) = (false, false, false);
            self.send(Request::Close { conversation });
        }
    }

    pub fn load_older(&mut self, conversation: ConversationId, limit: u32) {
        let Some(chat) = self.chats.get_mut(&conversation) else { return };
        let (Some(first), true, 0) = (chat.events.first(), chat.older, chat.paging) else { return };
        let before = first.seq;
        chat.paging += u32::from(self.connected);
        self.send(Request::Page { conversation, before, limit: Some(limit) });
    }

    pub fn read(&mut self, conversation: ConversationId) {
        if let Some(chat) = self.chats.get(&conversation) {
            let seq = chat.cursor;
            self.send(Request::Read { conversation, seq });
        }
    }

    pub fn typing(&mut self, conversation: ConversationId, on: bool) {
        self.send(Request::Typing { conversation, on });
    }

    pub fn list_begin(&mut self, view: View) {
        self.feeds.entry(view).or_default();
        self.list(view);
    }

    pub fn list_end(&mut self, view: View) {
        self.feeds.remove(&view);
        self.send(Request::Unlist { view });
    }

    fn list(&mut self, view: View) {
        let Some(feed) = self.feeds.get_mut(&view) else { return };
        feed.catching_up = true;
        let resume = feed.feed.map(|id| (id, feed.at));
        self.send(Request::List { view, resume });
    }

    fn open(&mut self, conversation: ConversationId) {
        let Some(chat) = self.chats.get_mut(&conversation) else { return };
        if !chat.following || chat.opening {
            return;
        }
        let after = (!chat.events.is_empty()).then_some(chat.cursor);
        chat.opening = self.connected;
        self.send(Request::Open { conversation, after });
    }

    // The outbox.

    fn entries(&self) -> Vec<Entry> {
        let mut entries: Vec<_> = self.outbox.values().cloned().collect();
        entries.sort_by_key(|entry| (entry.order, entry.id));
        entries
    }

    fn flush(&mut self) {
        if !self.connected {
            return;
        }
        let mut busy: BTreeSet<u128> = self.paused.keys().copied().collect();
        for entry in self.entries() {
            if !busy.insert(entry.lane) || self.flying.contains_key(&entry.id) {
                continue;
            }
            let request = match (&entry.words, entry.conversation) {
                (words, Some(conversation)) => words.request(entry.id, conversation, entry.seen),
                (words @ Words::Start(_), None) => words.request(entry.id, ConversationId(0), 0),
                // Its start is gone: the words begin a conversation themselves.
                (_, None) => {
                    self.start_anew(&entry);
                    let Some(Entry { words, .. }) = self.outbox.get(&entry.id) else { continue };
                    words.request(entry.id, ConversationId(0), 0)
                }
            };
            let sending = self.tick();
            self.send(request);
            self.flying.insert(entry.id, sending);
            self.wishes.push(Wish::Later(ANSWER_MS, Timer::Unanswered(entry.id, sending)));
        }
    }

    fn start_anew(&mut self, entry: &Entry) -> bool {
        let Words::Send(text) = &entry.words else { return false };
        for later in self.outbox.values_mut().filter(|it| it.lane == entry.lane && it.order > entry.order) {
            if matches!(later.words, Words::Send(_)) {
                (later.lane, later.conversation, later.seen) = (entry.id.0, None, 0);
            }
        }
        let anew =
            Entry { words: Words::Start(Arc::clone(text)), conversation: None, lane: entry.id.0, ..entry.clone() };
        self.outbox.insert(entry.id, anew);
        true
    }

    /// A command took effect: the answer says so, or its event was seen.
    fn confirm(&mut self, id: CommandId, conversation: ConversationId, ack: Ack) {
        let Some(entry) = self.outbox.remove(&id) else { return };
        self.flying.remove(&id);
        self.failures = 0;
        if matches!(entry.words, Words::Start(_)) {
            for later in self.outbox.values_mut().filter(|it| it.lane == entry.lane && it.conversation.is_none()) {
                (later.lane, later.conversation) = (conversation.0, Some(conversation));
            }
            self.chats.entry(conversation).or_default().following = true;
        }
        let entry = Entry { conversation: Some(conversation), ..entry };
        self.settled.push(entry.clone());
        if let Some(chat) = self.chats.get_mut(&conversation)
            && ack.seq > chat.cursor
        {
            chat.acked.insert(id, (entry, ack));
            self.settle(conversation);
            let chat = &self.chats[&conversation];
            if !chat.acked.is_empty() || !chat.live {
                self.open(conversation);
            }
        } else if self.chats.get(&conversation).is_some_and(|chat| !chat.live) {
            self.open(conversation);
        }
        self.flush();
    }

    fn refused(&mut self, id: CommandId, refusal: Refusal) {
        let Some(entry) = self.outbox.get(&id).cloned() else { return };
        self.flying.remove(&id);
        let again = match refusal {
            Refusal::Unknown { retry_after_ms }
            | Refusal::Unavailable { retry_after_ms }
            | Refusal::Overloaded { retry_after_ms }
            | Refusal::RateLimited { retry_after_ms } => Some(u64::from(retry_after_ms)),
            // Until an operator restarts it, which here happens by itself.
            Refusal::ConversationUnavailable => Some(5_000),
            _ => None,
        };
        if let Some(after) = again {
            let (pause, backoff) = (self.tick(), self.backoff());
            self.paused.insert(entry.lane, pause);
            self.wishes.push(Wish::Later(after + backoff, Timer::Lane(entry.lane, pause)));
        } else if !(matches!(refusal, Refusal::Closed | Refusal::NotFound)
            && !self.is_agent()
            && self.start_anew(&entry))
        {
            self.outbox.remove(&id);
        }
        self.flush();
    }

    // What comes.

    pub fn timer(&mut self, timer: Timer) {
        match timer {
            Timer::Connect => {}
            Timer::Reopen(conversation) => self.open(conversation),
            Timer::Refollow => {
                if self.asked_rows {
                    self.send(Request::Conversations);
                }
                for view in self.feeds.iter().filter(|(_, feed)| feed.catching_up).map(|it| *it.0).collect::<Vec<_>>() {
                    self.list(view);
                }
            }
            Timer::Unanswered(id, sending) if self.flying.get(&id) == Some(&sending) => {
                self.count("answers that did not come");
                self.flying.remove(&id);
                self.flush();
            }
            Timer::Lane(lane, pause) if self.paused.get(&lane) == Some(&pause) => {
                self.paused.remove(&lane);
                self.flush();
            }
            Timer::Unanswered(..) | Timer::Lane(..) => {}
        }
    }

    pub fn take(&mut self, answer: &Answer) {
        match answer {
            Answer::Acknowledged { id, conversation, seq, prev, at, again } => {
                self.confirm(*id, *conversation, Ack { seq: *seq, prev: *prev, at: *at, again: *again });
            }
            Answer::Refused { id: Some(id), refusal, .. } => self.refused(*id, *refusal),
            Answer::Refused { id: None, conversation: Some(conversation), refusal } => {
                self.open_refused(*conversation, *refusal);
            }
            Answer::Refused { id: None, conversation: None, .. } => {
                // A list or a visitor's conversations could not be read.
                let backoff = 500 + self.backoff();
                self.wishes.push(Wish::Later(backoff, Timer::Refollow));
            }
            Answer::Opened { view, reset, events, older, more, .. } => {
                self.opened(view, *reset, events, *older, *more);
            }
            Answer::Page { conversation, events, older, .. } => self.page(*conversation, events, *older),
            Answer::Event { conversation, event, .. } => self.event(*conversation, event),
            Answer::Resync { conversation } => {
                self.count("resyncs");
                if let Some(chat) = self.chats.get_mut(conversation) {
                    (chat.opening, chat.stale) = (false, true);
                    self.open(*conversation);
                }
            }
            Answer::Read { conversation, reader, seq } => {
                if let Some(chat) = self.chats.get_mut(conversation) {
                    let mark = chat.reads.entry(*reader).or_default();
                    *mark = (*mark).max(*seq);
                }
            }
            Answer::Position { conversation, position } => {
                if let Some(chat) = self.chats.get_mut(conversation) {
                    chat.position = *position;
                }
            }
            Answer::Conversations(rows) => {
                self.asked_rows = false;
                for row in rows {
                    self.rows.insert(row.id, row.clone());
                }
            }
            Answer::Conversation(row) => {
                self.rows.insert(row.id, row.clone());
            }
            Answer::List { view, feed, at, rows, counts, next } => {
                let told = (*feed, *at, *counts);
                self.listed(*view, told, rows, next.is_some());
            }
            Answer::Changes { view, feed, from, at, upserts, removed, counts } => {
                self.changes(*view, (*feed, *from, *at), (upserts, removed), *counts);
            }
            Answer::ListPage { .. }
            | Answer::Typing { .. }
            | Answer::Online { .. }
            | Answer::Team(_)
            | Answer::Revoked => {}
            Answer::Members(members) => self.members.clone_from(members),
        }
    }

    fn open_refused(&mut self, conversation: ConversationId, refusal: Refusal) {
        let Some(chat) = self.chats.get_mut(&conversation) else { return };
        (chat.opening, chat.stale) = (false, true);
        if matches!(refusal, Refusal::NotFound | Refusal::Forbidden) {
            chat.refused = Some(refusal);
        } else {
            self.wishes.push(Wish::Later(500, Timer::Reopen(conversation)));
        }
    }

    fn opened(
        &mut self,
        view: &ConversationView,
        reset: Option<Reset>,
        events: &[Arc<Event>],
        older: bool,
        more: bool,
    ) {
        let audience = self.audience();
        if !self.chats.contains_key(&view.id) {
            if self.is_agent() {
                return;
            }
            // A conversation that this tab started greets before its first event.
            self.chats.entry(view.id).or_default().following = true;
        }
        let Some(chat) = self.chats.get_mut(&view.id) else { return };
        (chat.opening, chat.refused) = (false, None);
        (chat.status, chat.position) = (Some(view.status), view.position);
        for (reader, seq) in &view.reads {
            let mark = chat.reads.entry(*reader).or_default();
            *mark = (*mark).max(*seq);
        }
        if reset.is_some() {
            (chat.events, chat.cursor) = (Vec::new(), 0);
            (chat.older, chat.stale) = (older, chat.paging > 0);
        }
        let mut first = reset.is_some();
        let mut gap = None;
        for event in events {
            let known = Known::of(event, audience);
            if known.seq <= chat.cursor {
                continue;
            }
            if !std::mem::take(&mut first) && known.prev != chat.cursor {
                gap = Some(format!("{}: resumed from {} with {}", view.id, chat.cursor, known.seq));
            }
            chat.append(known);
        }
        if let Some(gap) = gap {
            self.complaints.push(("G4", gap));
        }
        self.seen(view.id);
        if more {
            self.open(view.id);
            return;
        }
        let Some(chat) = self.chats.get_mut(&view.id) else { return };
        chat.live = true;
        self.settle(view.id);
        if !self.chats[&view.id].acked.is_empty() {
            self.open(view.id);
        }
    }

    fn event(&mut self, conversation: ConversationId, event: &Arc<Event>) {
        let audience = self.audience();
        let Some(chat) = self.chats.get_mut(&conversation) else { return };
        let known = Known::of(event, audience);
        if known.seq <= chat.cursor {
            return;
        }
        if known.prev != chat.cursor {
            self.count("gaps noticed");
            return self.open(conversation);
        }
        chat.append(known);
        self.seen(conversation);
        self.settle(conversation);
    }

    /// Own commands among the events are settled by being seen.
    fn seen(&mut self, conversation: ConversationId) {
        if self.outbox.is_empty() {
            return;
        }
        let own = self.party.author();
        let Some(chat) = self.chats.get(&conversation) else { return };
        let settled: Vec<_> = chat
            .events
            .iter()
            .filter_map(|it| {
                let id = it.command.filter(|id| self.outbox.contains_key(id) && it.author == own)?;
                Some((id, Ack { seq: it.seq, prev: it.prev, at: it.at, again: true }))
            })
            .collect();
        for (id, ack) in settled {
            self.confirm(id, conversation, ack);
        }
    }

    /// Writes own events into the log as far as it reaches them: who was acknowledged gets no event for them.
    fn settle(&mut self, conversation: ConversationId) {
        let author = self.party.author();
        let Some(chat) = self.chats.get_mut(&conversation) else { return };
        loop {
            let cursor = chat.cursor;
            chat.acked.retain(|_, (_, ack)| ack.seq > cursor);
            let next = chat.acked.iter().find_map(|(id, (entry, ack))| {
                let body = (ack.prev == cursor && !ack.again).then(|| own_body(&entry.words)).flatten()?;
                let author = author.clone();
                Some(Known { seq: ack.seq, prev: ack.prev, at: ack.at, author, command: Some(*id), body })
            });
            match next {
                Some(known) => chat.append(known),
                None => return,
            }
        }
    }

    fn page(&mut self, conversation: ConversationId, events: &[Arc<Event>], older: bool) {
        let audience = self.audience();
        let Some(chat) = self.chats.get_mut(&conversation) else { return };
        let expected = chat.paging == 1 && !chat.stale;
        chat.paging = chat.paging.saturating_sub(1);
        chat.stale &= chat.paging > 0;
        let Some(first) = chat.events.first().map(|it| (it.seq, it.prev)) else { return };
        let before: Vec<_> =
            events.iter().filter(|it| it.seq < first.0).map(|event| Known::of(event, audience)).collect();
        if before.last().map_or(0, |last| last.seq) != first.1 || before.is_empty() {
            // Otherwise it was asked for before the log was begun anew, and continues something that is gone.
            if expected {
                let what = format!("{conversation}: a page ends at {:?} below {first:?}", before.last());
                self.complaints.push(("G4", what));
            }
            return;
        }
        chat.events.splice(0..0, before);
        chat.older = older;
    }

    fn listed(&mut self, view: View, (feed, at, counts): (FeedId, u64, Counts), rows: &[Arc<Row>], more: bool) {
        self.count("list pages");
        let Some(list) = self.feeds.get_mut(&view) else { return };
        if more {
            self.complaints.push(("simulation", "a list has more than one page".to_owned()));
        }
        list.catching_up = false;
        (list.feed, list.at, list.counts) = (Some(feed), at, counts);
        list.rows = rows.iter().map(|row| (row.key.conversation, Arc::clone(row))).collect();
    }

    fn changes(
        &mut self,
        view: View,
        (feed, from, at): (FeedId, u64, u64),
        (upserts, removed): (&[Arc<Row>], &[ConversationId]),
        counts: Counts,
    ) {
        self.count("list changes");
        let Some(list) = self.feeds.get_mut(&view) else { return };
        let Some(mine) = list.feed else { return };
        if feed == mine && from < list.at && at <= list.at {
            // An answer that was overtaken: all of it is known.
            return;
        }
        if feed != mine || from != list.at {
            self.count("list gaps noticed");
            if !self.feeds[&view].catching_up {
                self.list(view);
            }
            return;
        }
        (list.catching_up, list.at, list.counts) = (false, at, counts);
        for id in removed {
            list.rows.remove(id);
        }
        for row in upserts {
            let newer = list.rows.get(&row.key.conversation).is_none_or(|have| have.seq <= row.seq);
            if newer {
                list.rows.insert(row.key.conversation, Arc::clone(row));
            }
        }
    }

    /// What is not as it should be when everything has come to rest; empty if all is.
    pub fn unrest(&self) -> Vec<String> {
        let mut why = Vec::new();
        if self.wanted && !self.connected {
            why.push("is not connected".to_owned());
        }
        if !self.connected {
            return why;
        }
        if let Some(entry) = self.outbox.values().next() {
            why.push(format!("waits for the answer to {entry:?}"));
        }
        for (id, chat) in &self.chats {
            if chat.following && chat.refused.is_none() && (!chat.live || chat.opening) {
                why.push(format!("{id} is not open (live: {}, opening: {})", chat.live, chat.opening));
            }
            if chat.following && !chat.acked.is_empty() {
                why.push(format!("{id}: own events beyond the log: {:?}", chat.acked.keys()));
            }
        }
        if self.asked_rows {
            why.push("waits for its conversations".to_owned());
        }
        for (view, feed) in &self.feeds {
            if feed.catching_up || feed.feed.is_none() {
                why.push(format!("{view:?} has not come"));
            }
        }
        why
    }
}

impl Chat {
    fn append(&mut self, known: Known) {
        if let Some(id) = known.command {
            self.acked.remove(&id);
        }
        self.cursor = known.seq;
        self.events.push(known);
    }
}

fn own_body(words: &Words) -> Option<Body> {
    Some(match words {
        Words::Start(text) | Words::Send(text) => Body::Message { parts: vec![Part::Text(Arc::clone(text))] },
        Words::Note(text) => Body::Note { parts: vec![Part::Text(Arc::clone(text))] },
        Words::Resolve => Body::Resolved,
        Words::Reopen => Body::Reopened,
        // The client shows reason and holder; the queue's number is not its to know. Fetched instead.
        Words::Assign(_) | Words::Return => return None,
    })
}
