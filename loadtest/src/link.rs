//! One session's knowledge, apart from its socket: what it follows and up to where, which commands are unanswered,
//! what is to be said next. Outlives connections; a new one is told `open after`, the lists' counters and the
//! unanswered commands again, with the ids and the `seen` that they had. Opens no socket and reads no clock.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::{
    Ack, Bye, ClientFrame, CloseCode, Hello, Id, List, More, Open, Ping, Read, RefusalCode, Refused, Resolve, Resync,
    Seq, Start, View, Welcome,
};
use serde::de::DeserializeOwned;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::{
    dice::Ids,
    valve::Valve,
    wire::{ChangedRows, EventFrame, EventHead, FeedHead, ListRows, OpenedFrame, RowHead, kind},
};

/// An answer that has not come over a live connection in this time is asked for again; the id makes that safe. The
/// client of widget and inbox waits as long.
const ANSWER: Duration = Duration::from_secs(20);
/// When a refusal that a repeat can overcome does not say when.
const REPEAT: Duration = Duration::from_millis(250);

/// How a connection ended, or why there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parting {
    Bye {
        code: CloseCode,
        retry_after_ms: Option<u64>,
    },
    /// The close frame's number; its `bye` did not come.
    Closed(u16),
    /// It ended without a word.
    Broken,
    /// The upgrade was answered with this HTTP status.
    Refused(u16),
    /// Nobody listens, or not in time, or who I am could not be asked.
    Unreachable,
}

/// What a session plays. Everything is called from the session's own task, in the order of the frames.
pub(crate) trait Role: Send + 'static {
    /// What others tell this session to do.
    type Order: Send + 'static;

    /// Who connects; asked before every attempt. An error counts as a failed attempt.
    fn hello(&mut self) -> impl Future<Output = Result<Hello, String>> + Send;
    /// After every `welcome`; what was followed and unanswered is being repaired already.
    fn welcome(&mut self, link: &mut Link, welcome: &Welcome);
    fn order(&mut self, link: &mut Link, order: Self::Order);
    /// An event of a followed conversation: each once, in order, however often the connection broke.
    fn event(&mut self, link: &mut Link, conversation: Id, event: &EventHead);
    /// Too much was missed: what was given of a conversation counts no more, and its newest page follows.
    fn reset(&mut self, _conversation: Id) {}
    /// A command took effect, for the first time heard.
    fn acked(&mut self, link: &mut Link, id: Id, conversation: Option<Id>);
    /// A command or an `open` was refused for good.
    fn refused(&mut self, link: &mut Link, refusal: &Refused);
    /// Rows of the list `mine` that are new or changed, and those that left it.
    fn rows(&mut self, _link: &mut Link, _rows: &[RowHead], _removed: &[Id]) {}
    /// The whole acknowledgement, before [`Role::acked`].
    fn ack(&mut self, _ack: &Ack) {}
    /// A passing refusal came: whether the command is repeated when it says; if not, [`Role::refused`] follows.
    fn repeats(&mut self, _refusal: &Refused) -> bool {
        true
    }
    /// A connection ended, or none was made.
    fn parted(&mut self, _how: Parting) {}
    /// Through what the next connection is read.
    fn valve(&self) -> Option<Arc<Valve>> {
        None
    }
}

#[derive(Debug)]
struct Follow {
    /// Seq of the last event given to the role.
    cursor: Seq,
    /// An `open` is unanswered on this connection.
    opening: bool,
    /// Say `open` (again) then: it was refused for the moment.
    again_at: Option<Instant>,
    /// What the last `open` said; 0 for nothing.
    asked: Seq,
    /// Live frames may have been lost, and the gateway said so: no gap counts until the next `opened`.
    lossy: bool,
}

impl Follow {
    fn new() -> Self {
        Self { cursor: 0, opening: false, again_at: None, asked: 0, lossy: true }
    }

    /// Whether all that comes now must join on to the cursor.
    fn gapless(&self) -> bool {
        !self.opening && !self.lossy
    }
}

#[derive(Debug)]
struct Pending {
    frame: Utf8Bytes,
    /// Rank among the unanswered: repeats go out in the order of the first.
    order: u64,
    /// The next repeat, if no answer comes before.
    repeat_at: Instant,
}

#[derive(Debug)]
struct Feed {
    view: View,
    /// Id and counter that a resuming session says; absent before the first `list`.
    state: Option<(Id, u64)>,
}

/// Counts for the report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Read receipts of the other side.
    pub(crate) reads: u64,
    /// Frames of all kinds.
    pub(crate) frames: u64,
    /// Commands said again, after a reconnect, a passing refusal or silence.
    pub(crate) repeats: u64,
    /// Events and acknowledgements whose `prev` is not the seq before: something was left out without a word (G4).
    pub(crate) gaps: u64,
}

impl Heard {
    pub(crate) fn add(&mut self, other: Self) {
        self.reads += other.reads;
        self.frames += other.frames;
        self.repeats += other.repeats;
        self.gaps += other.gaps;
    }
}

#[derive(Debug)]
pub(crate) struct Link {
    ids: Ids,
    out: VecDeque<Utf8Bytes>,
    pending: HashMap<Id, Pending>,
    follows: HashMap<Id, Follow>,
    feeds: Vec<Feed>,
    made: u64,
    live: bool,
    leaving: bool,
    /// The time of the batch of frames that is being worked on; set by the session before each.
    now: Instant,
    heartbeat: Duration,
    spoke_at: Instant,
    /// A repeat that falls due before the session's regular look.
    wake_at: Option<Instant>,
    heard: Heard,
}

impl Link {
    pub(crate) fn new(ids: Ids, now: Instant) -> Self {
        Self {
            ids,
            out: VecDeque::new(),
            pending: HashMap::new(),
            follows: HashMap::new(),
            feeds: Vec::new(),
            made: 0,
            live: false,
            leaving: false,
            now,
            heartbeat: Duration::from_millis(bellhop_protocol::limits::HEARTBEAT_MS),
            spoke_at: now,
            wake_at: None,
            heard: Heard::default(),
        }
    }

    // -- What a role may do ------------------------------------------------------------------------------------

    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Visitor: begins a conversation. The id is the command's.
    pub(crate) fn start(&mut self, text: String, page: Option<String>) -> Id {
        let id = self.ids.next();
        self.command(id, &ClientFrame::Start(Start { id, text, page }))
    }

    pub(crate) fn send(&mut self, conversation: Id, text: String) -> Id {
        let id = self.ids.next();
        let seen = self.seen(conversation);
        self.command(id, &ClientFrame::Send(bellhop_protocol::Send { id, conversation, seen, text }))
    }

    pub(crate) fn resolve(&mut self, conversation: Id) -> Id {
        let id = self.ids.next();
        let seen = self.seen(conversation);
        self.command(id, &ClientFrame::Resolve(Resolve { id, conversation, seen }))
    }

    pub(crate) fn available(&mut self) -> Id {
        let id = self.ids.next();
        self.command(id, &ClientFrame::Status(bellhop_protocol::SetStatus { id, available: true }))
    }

    /// Not answered and not repeated: the next one says more.
    pub(crate) fn read(&mut self, conversation: Id, seq: Seq) {
        self.say(&ClientFrame::Read(Read { conversation, seq }));
    }

    /// Follows a conversation from its newest page on. Does nothing if it is followed.
    pub(crate) fn open(&mut self, conversation: Id) {
        if self.follows.contains_key(&conversation) {
            return;
        }
        self.follows.insert(conversation, Follow::new());
        self.say_open(conversation);
    }

    pub(crate) fn follows(&self, conversation: Id) -> bool {
        self.follows.contains_key(&conversation)
    }

    pub(crate) fn close(&mut self, conversation: Id) {
        if self.follows.remove(&conversation).is_some() {
            self.say(&ClientFrame::Close(bellhop_protocol::Close { conversation }));
        }
    }

    /// Follows a list; its rows matter only for `mine`.
    pub(crate) fn list(&mut self, view: View) {
        if self.feeds.iter().any(|feed| feed.view == view) {
            return;
        }
        self.feeds.push(Feed { view, state: None });
        self.say(&ClientFrame::List(List { view, feed: None, at: None }));
    }

    pub(crate) fn conversations(&mut self) {
        self.say(&ClientFrame::Conversations(bellhop_protocol::Conversations {}));
    }

    /// Ends the session once everything said is answered.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// Gives up what is unanswered.
    pub(crate) fn abandon(&mut self) {
        self.pending.clear();
    }

    // -- What the session's loop does --------------------------------------------------------------------------

    /// Whether it may go: all said is answered, and nothing that was asked for is still on its way. Who left while an
    /// `open` was being read would miss what it brings, and the judge would call that untold.
    pub(crate) fn left(&self) -> bool {
        let reading = |follow: &Follow| follow.opening || follow.again_at.is_some();
        self.leaving && self.pending.is_empty() && self.out.is_empty() && !self.follows.values().any(reading)
    }

    pub(crate) fn heard(&self) -> Heard {
        self.heard
    }

    /// When `tick` should be called, if that is before its regular time; asked for once.
    pub(crate) fn take_wake(&mut self) -> Option<Instant> {
        self.wake_at.take()
    }

    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now;
    }

    pub(crate) fn next_out(&mut self) -> Option<Utf8Bytes> {
        self.out.pop_front()
    }

    pub(crate) fn has_out(&self) -> bool {
        !self.out.is_empty()
    }

    /// A connection stands: the first frame.
    pub(crate) fn begin(&mut self, hello: Hello) {
        self.out.clear();
        self.live = true;
        self.say(&ClientFrame::Hello(hello));
        self.live = false;
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        self.live = false;
        self.out.clear();
    }

    /// Repeats what waits too long, and keeps the connection known to be alive.
    pub(crate) fn tick(&mut self) {
        if !self.live {
            return;
        }
        let now = self.now;
        let mut due: Vec<(u64, Utf8Bytes)> = Vec::new();
        for pending in self.pending.values_mut().filter(|pending| pending.repeat_at <= now) {
            pending.repeat_at = now + ANSWER;
            due.push((pending.order, pending.frame.clone()));
        }
        self.repeat(due);
        self.wake_at = self.pending.values().map(|pending| pending.repeat_at).min();
        let mut open: Vec<Id> = Vec::new();
        for (id, follow) in &mut self.follows {
            if follow.again_at.is_some_and(|at| at <= now) {
                follow.again_at = None;
                open.push(*id);
            }
        }
        for id in open {
            self.say_open(id);
        }
        if now.duration_since(self.spoke_at) >= self.heartbeat {
            self.say(&ClientFrame::Ping(Ping {}));
        }
    }

    /// Works one frame off. `Ok(Some)` is the gateway's farewell; an error is a frame that breaks the contract.
    pub(crate) fn take<R: Role>(&mut self, text: &str, role: &mut R) -> Result<Option<Bye>, String> {
        self.heard.frames += 1;
        match kind(text) {
            "event" => {
                let frame: EventFrame = parse(text)?;
                self.event(role, frame.conversation, &frame.event);
            }
            "ack" => self.ack(role, &parse(text)?),
            "read" => self.heard.reads += 1,
            "opened" => self.opened(role, &parse(text)?),
            "changes" => self.changes(role, text)?,
            "list" => self.listed(role, text)?,
            "list_page" => {
                let page: ListRows = parse(text)?;
                self.more(&page);
                role.rows(self, &page.rows, &[]);
            }
            "refused" => self.refused(role, &parse(text)?),
            "welcome" => self.welcomed(role, &parse(text)?),
            "resync" => {
                let Resync { conversation } = parse(text)?;
                if let Some(follow) = self.follows.get_mut(&conversation) {
                    follow.opening = false;
                    follow.lossy = true;
                    self.say_open(conversation);
                }
            }
            "bye" => return parse(text).map(Some),
            // Signals, other lists, and kinds of a later version.
            _ => {}
        }
        Ok(None)
    }

    fn welcomed<R: Role>(&mut self, role: &mut R, welcome: &Welcome) {
        self.live = true;
        self.heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(1_000));
        let mut open: Vec<Id> = self.follows.keys().copied().collect();
        open.sort_unstable();
        for id in open {
            if let Some(follow) = self.follows.get_mut(&id) {
                follow.opening = false;
                follow.again_at = None;
            }
            self.say_open(id);
        }
        for index in 0..self.feeds.len() {
            self.say_list(index);
        }
        let mut again: Vec<(u64, Utf8Bytes)> = Vec::with_capacity(self.pending.len());
        for pending in self.pending.values_mut() {
            pending.repeat_at = self.now + ANSWER;
            again.push((pending.order, pending.frame.clone()));
        }
        self.repeat(again);
        role.welcome(self, welcome);
    }

    fn event<R: Role>(&mut self, role: &mut R, conversation: Id, event: &EventHead) {
        let Some(follow) = self.follows.get_mut(&conversation) else { return };
        if event.seq <= follow.cursor {
            return;
        }
        if event.prev != follow.cursor {
            self.heard.gaps += u64::from(follow.gapless());
            self.say_open(conversation);
            return;
        }
        follow.cursor = event.seq;
        role.event(self, conversation, event);
    }

    fn opened<R: Role>(&mut self, role: &mut R, frame: &OpenedFrame) {
        let conversation = frame.conversation.id;
        // A `start` is answered by `opened` without an `open`.
        let follow = self.follows.entry(conversation).or_insert(Follow::new());
        follow.opening = false;
        follow.lossy = false;
        let mut before = if frame.reset.is_some() { None } else { Some(follow.asked) };
        if frame.reset.is_some() && std::mem::take(&mut follow.cursor) > 0 {
            role.reset(conversation);
        }
        for event in &frame.events {
            let Some(follow) = self.follows.get_mut(&conversation) else { return };
            self.heard.gaps += u64::from(before.replace(event.seq).is_some_and(|before| event.prev != before));
            if event.seq > follow.cursor {
                follow.cursor = event.seq;
                role.event(self, conversation, event);
            }
        }
        if frame.more {
            self.say_open(conversation);
        }
    }

    fn ack<R: Role>(&mut self, role: &mut R, ack: &Ack) {
        if self.pending.remove(&ack.id).is_none() {
            return;
        }
        if let (Some(conversation), Some(seq)) = (ack.conversation, ack.seq) {
            match self.follows.get_mut(&conversation) {
                None => self.open(conversation),
                Some(follow) if seq <= follow.cursor => {}
                // The acknowledgement stands where the event would.
                Some(follow) if !ack.again && ack.prev == Some(follow.cursor) => follow.cursor = seq,
                Some(follow) => {
                    self.heard.gaps += u64::from(!ack.again && follow.gapless());
                    self.say_open(conversation);
                }
            }
        }
        role.ack(ack);
        role.acked(self, ack.id, ack.conversation);
    }

    fn refused<R: Role>(&mut self, role: &mut R, refusal: &Refused) {
        let can_pass = matches!(
            refusal.code,
            RefusalCode::Unknown | RefusalCode::Unavailable | RefusalCode::Overloaded | RefusalCode::RateLimited
        );
        let passing = can_pass && role.repeats(refusal);
        let again_at = self.now + refusal.retry_after_ms.map_or(REPEAT, Duration::from_millis);
        if passing {
            self.wake_at = Some(self.wake_at.map_or(again_at, |at| at.min(again_at)));
        }
        match refusal.id {
            Some(id) => {
                let Some(pending) = self.pending.get_mut(&id) else { return };
                if passing {
                    pending.repeat_at = again_at;
                    return;
                }
                self.pending.remove(&id);
            }
            None => {
                let follow = refusal.conversation.and_then(|id| self.follows.get_mut(&id));
                // Also what was asked for on the server's side, for a `start` that was repeated.
                if let Some(follow) = follow {
                    follow.opening = false;
                    if passing {
                        follow.again_at = Some(again_at);
                        return;
                    }
                }
            }
        }
        role.refused(self, refusal);
    }

    fn listed<R: Role>(&mut self, role: &mut R, text: &str) -> Result<(), String> {
        let head: FeedHead = parse(text)?;
        let Some(feed) = self.feeds.iter_mut().find(|feed| feed.view == head.view) else { return Ok(()) };
        feed.state = Some((head.feed, head.at));
        if head.view == View::Mine {
            let list: ListRows = parse(text)?;
            self.more(&list);
            role.rows(self, &list.rows, &[]);
        }
        Ok(())
    }

    fn changes<R: Role>(&mut self, role: &mut R, text: &str) -> Result<(), String> {
        let head: FeedHead = parse(text)?;
        let Some(index) = self.feeds.iter().position(|feed| feed.view == head.view) else { return Ok(()) };
        let Some((feed, at)) = self.feeds[index].state else { return Ok(()) };
        if feed != head.feed || head.from != Some(at) {
            // Something was missed: say what is here and get the rest.
            self.say_list(index);
            return Ok(());
        }
        self.feeds[index].state = Some((head.feed, head.at));
        if head.view == View::Mine {
            let rows: ChangedRows = parse(text)?;
            role.rows(self, &rows.upserts, &rows.removed);
        }
        Ok(())
    }

    fn more(&mut self, list: &ListRows) {
        if list.view == View::Mine
            && let Some(after) = &list.next
        {
            self.say(&ClientFrame::More(More { view: list.view, after: after.clone() }));
        }
    }

    fn say_list(&mut self, index: usize) {
        let Feed { view, state } = self.feeds[index];
        let (feed, at) = state.unzip();
        self.say(&ClientFrame::List(List { view, feed, at }));
    }

    /// `open` from the cursor on, unless one is on its way.
    fn say_open(&mut self, conversation: Id) {
        let live = self.live;
        let Some(follow) = self.follows.get_mut(&conversation) else { return };
        if follow.opening || !live {
            return;
        }
        follow.opening = true;
        follow.asked = follow.cursor;
        let after = (follow.cursor > 0).then_some(follow.cursor);
        self.say(&ClientFrame::Open(Open { conversation, after }));
    }

    fn seen(&self, conversation: Id) -> Seq {
        self.follows.get(&conversation).map_or(0, |follow| follow.cursor)
    }

    fn command(&mut self, id: Id, frame: &ClientFrame) -> Id {
        let frame = encode(frame);
        if self.live {
            self.spoke_at = self.now;
            self.out.push_back(frame.clone());
        }
        self.made += 1;
        self.pending.insert(id, Pending { frame, order: self.made, repeat_at: self.now + ANSWER });
        id
    }

    fn repeat(&mut self, mut frames: Vec<(u64, Utf8Bytes)>) {
        frames.sort_unstable_by_key(|(order, _)| *order);
        self.heard.repeats += frames.len() as u64;
        self.out.extend(frames.into_iter().map(|(_, frame)| frame));
    }

    /// Says a frame that a new connection need not hear again; without a connection it is dropped.
    fn say(&mut self, frame: &ClientFrame) {
        if self.live {
            self.spoke_at = self.now;
            self.out.push_back(encode(frame));
        }
    }
}

fn encode(frame: &ClientFrame) -> Utf8Bytes {
    serde_json::to_string(frame).expect("a frame of ids, numbers and strings always has a JSON form").into()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        format!("the gateway sent a frame that breaks the contract ({error}): {start}")
    })
}

#[cfg(test)]
mod tests;
