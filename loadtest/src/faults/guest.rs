//! One client of the crowd, apart from its socket: keeps to PROTOCOL.md, remembers what it follows and what is
//! unanswered, and writes down everything that it says and hears. What it does next is in [`super::conduct`].

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use bellhop_protocol::{
    Ack, As, ClientFrame, Conversations, Hello, Id, List, ListChanges, Open, Opened, RefusalCode, Refused, Row, Seq,
    ServerFrame, Status, VERSION, View, Welcome,
};

use super::{
    record::{Entry, Record},
    scene::{Scene, Token},
};
use crate::dice::{Dice, Ids};

/// An answer that did not come by then is asked for again.
const ANSWER: Duration = Duration::from_secs(5);
/// When a passing refusal does not say when to come again.
const REPEAT: Duration = Duration::from_millis(200);
/// Acknowledged commands that are remembered, to be repeated long after.
const REMEMBERED: usize = 64;

/// What part a guest plays.
#[derive(Debug, Clone)]
pub(super) enum Part {
    /// `first` begins; another tab of the same visitor waits for the token.
    Visitor { token: Token, first: bool },
    /// Works in the inbox.
    Agent { member: Id },
    /// Follows all and reads in fits and starts over a narrow window.
    Slow { member: Id },
}

#[derive(Debug, Default)]
pub(super) struct Follow {
    pub(super) cursor: Seq,
    pub(super) opening: bool,
    pub(super) status: Option<Status>,
    /// Ask again then: it was refused for the moment.
    again_at: Option<Instant>,
}

#[derive(Debug)]
struct Pending {
    id: Id,
    frame: ClientFrame,
    repeat_at: Instant,
}

pub(super) struct Guest {
    pub(super) part: Part,
    pub(super) scene: Arc<Scene>,
    pub(super) dice: Dice,
    pub(super) ids: Ids,
    pub(super) follows: BTreeMap<Id, Follow>,
    /// Where each list stands.
    feeds: BTreeMap<View, Option<(Id, u64)>>,
    pending: Vec<Pending>,
    /// Some commands that were acknowledged, as they were said.
    pub(super) done: Vec<ClientFrame>,
    pub(super) said: u64,
    out: VecDeque<ClientFrame>,
    pub(super) record: Record,
    live: bool,
    /// As last told to the scene.
    busy: bool,
    /// The server's life that the connection belongs to.
    life: u64,
    /// When the server said to come back, at the earliest.
    pub(super) come_back: Duration,
    /// A farewell that no client can mend.
    pub(super) sent_away: Option<String>,
}

impl Guest {
    pub(super) fn new(name: String, part: Part, scene: Arc<Scene>, seed: u64) -> Result<Self, String> {
        let who = if matches!(part, Part::Visitor { .. }) { As::Visitor } else { As::Agent };
        scene.busy(true);
        Ok(Self {
            part,
            scene,
            dice: Dice::new(seed),
            ids: Ids::new()?,
            follows: BTreeMap::new(),
            feeds: BTreeMap::new(),
            pending: Vec::new(),
            done: Vec::new(),
            said: 0,
            out: VecDeque::new(),
            record: Record::new(name, who),
            live: false,
            busy: true,
            life: 0,
            come_back: Duration::ZERO,
            sent_away: None,
        })
    }

    /// Who connects; `None` while that is not known yet.
    pub(super) async fn hello(&mut self) -> Option<Hello> {
        self.life = self.scene.life();
        let (who, workspace, token) = match &self.part {
            Part::Visitor { token, first } => {
                let token = token.get().cloned();
                if token.is_none() && !first {
                    return None;
                }
                (As::Visitor, Some(self.scene.workspace), token)
            }
            Part::Agent { member } | Part::Slow { member } => {
                (As::Agent, None, Some(self.scene.rest.socket_token(*member).await.ok()?))
            }
        };
        Some(Hello { v: VERSION, who, workspace, token, client: Some("bellhop-loadtest faults".into()) })
    }

    pub(super) fn is_visitor(&self) -> bool {
        matches!(self.part, Part::Visitor { .. })
    }

    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    pub(super) fn unanswered(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn next_out(&mut self) -> Option<ClientFrame> {
        self.out.pop_front()
    }

    /// Says a frame, if there is a connection.
    pub(super) fn say(&mut self, frame: ClientFrame) {
        if self.live {
            self.record.entries.push(Entry::Said(frame.clone()));
            self.out.push_back(frame);
        }
    }

    /// Says a command and waits for its answer; repeats it until it has one.
    pub(super) fn command(&mut self, id: Id, frame: ClientFrame) {
        self.said += 1;
        self.say(frame.clone());
        self.pending.push(Pending { id, frame, repeat_at: Instant::now() + ANSWER });
        self.tell();
    }

    pub(super) fn open(&mut self, conversation: Id) {
        let follow = self.follows.entry(conversation).or_default();
        if follow.opening || !self.live {
            return;
        }
        follow.opening = true;
        follow.again_at = None;
        let after = (follow.cursor > 0).then_some(follow.cursor);
        self.say(ClientFrame::Open(Open { conversation, after }));
        self.tell();
    }

    pub(super) fn close(&mut self, conversation: Id) {
        if self.follows.remove(&conversation).is_some() {
            self.say(ClientFrame::Close(bellhop_protocol::Close { conversation }));
        }
    }

    pub(super) fn seen(&self, conversation: Id) -> Seq {
        self.follows.get(&conversation).map_or(0, |follow| follow.cursor)
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        if self.live {
            self.record.entries.push(Entry::Lost);
        }
        self.live = false;
        self.out.clear();
        for follow in self.follows.values_mut() {
            follow.opening = false;
        }
        self.tell();
    }

    /// Repeats what was not answered in time.
    pub(super) fn tick(&mut self, now: Instant) {
        let due: Vec<ClientFrame> = self
            .pending
            .iter_mut()
            .filter(|pending| pending.repeat_at <= now)
            .map(|pending| {
                pending.repeat_at = now + ANSWER;
                pending.frame.clone()
            })
            .collect();
        due.into_iter().for_each(|frame| self.say(frame));
        let again: Vec<Id> = self
            .follows
            .iter()
            .filter(|(_, follow)| follow.again_at.is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        again.into_iter().for_each(|id| self.open(id));
    }

    /// Works a frame off.
    pub(super) fn hear(&mut self, frame: ServerFrame) {
        let matters = !matches!(
            frame,
            ServerFrame::Typing(_)
                | ServerFrame::Online(_)
                | ServerFrame::Position(_)
                | ServerFrame::Team(_)
                | ServerFrame::Members(_)
                | ServerFrame::Conversation(_)
                | ServerFrame::Pong(_)
        );
        if !matters {
            return;
        }
        if matches!(frame, ServerFrame::Welcome(_)) {
            self.live = true;
        }
        self.record.entries.push(Entry::Heard(frame.clone()));
        self.scene.hear();
        match frame {
            ServerFrame::Welcome(welcome) => self.welcomed(&welcome),
            ServerFrame::Ack(ack) => self.acked(&ack),
            ServerFrame::Refused(refused) => self.refused(&refused),
            ServerFrame::Opened(opened) => self.opened(&opened),
            ServerFrame::Event(frame) => self.event(frame.conversation, frame.event.seq, frame.event.prev),
            ServerFrame::Resync(resync) => self.open_again(resync.conversation),
            ServerFrame::List(list) => {
                self.feeds.insert(list.view, Some((list.feed, list.at)));
                self.rows(list.view, &list.rows, &[]);
            }
            ServerFrame::Changes(changes) => self.changes(&changes),
            ServerFrame::Conversations(rows) => {
                for row in rows.rows {
                    if !self.follows.contains_key(&row.id) {
                        self.open(row.id);
                    }
                }
            }
            ServerFrame::Bye(bye) => {
                self.come_back = Duration::from_millis(bye.retry_after_ms.unwrap_or_default());
                if !bye.reconnect || bye.code == bellhop_protocol::CloseCode::TokenInvalid {
                    self.sent_away = Some(format!("{}: {}", bye.code.number(), bye.message));
                }
            }
            _ => {}
        }
        self.tell();
    }

    fn welcomed(&mut self, welcome: &Welcome) {
        match self.record.me {
            None => self.record.me = Some(welcome.me.id),
            Some(me) if me != welcome.me.id => self.sent_away = Some("came back as somebody else".into()),
            Some(_) => {}
        }
        if let (Part::Visitor { token, .. }, Some(given)) = (&self.part, &welcome.token) {
            // A token that is renewed stands for the same visitor; the first stays good for days.
            token.get_or_init(|| given.clone());
        }
        if self.is_visitor() {
            self.say(ClientFrame::Conversations(Conversations {}));
        } else {
            for view in [View::Open, View::Mine] {
                self.list(view);
            }
        }
        let follows: Vec<Id> = self.follows.keys().copied().collect();
        follows.into_iter().for_each(|id| self.open(id));
        let now = Instant::now();
        let again: Vec<ClientFrame> = self
            .pending
            .iter_mut()
            .map(|pending| {
                pending.repeat_at = now + ANSWER;
                pending.frame.clone()
            })
            .collect();
        again.into_iter().for_each(|frame| self.say(frame));
    }

    fn list(&mut self, view: View) {
        let (feed, at) = self.feeds.entry(view).or_default().unzip();
        self.say(ClientFrame::List(List { view, feed, at }));
    }

    fn acked(&mut self, ack: &Ack) {
        let Some(index) = self.pending.iter().position(|pending| pending.id == ack.id) else { return };
        let pending = self.pending.remove(index);
        if !ack.again {
            self.scene.accept(self.life);
        }
        let (Some(conversation), Some(seq)) = (ack.conversation, ack.seq) else { return };
        if matches!(pending.frame, ClientFrame::Start(_)) && !ack.again {
            self.scene.know(conversation);
        }
        let follow = self.follows.entry(conversation).or_default();
        if seq > follow.cursor {
            if !ack.again && ack.prev == Some(follow.cursor) {
                follow.cursor = seq;
            } else {
                self.open_again(conversation);
            }
        }
        if self.done.len() < REMEMBERED {
            self.done.push(pending.frame);
        } else {
            let place = self.dice.below(REMEMBERED as u64) as usize;
            self.done[place] = pending.frame;
        }
    }

    fn refused(&mut self, refused: &Refused) {
        let passing = matches!(
            refused.code,
            RefusalCode::Unknown | RefusalCode::Unavailable | RefusalCode::Overloaded | RefusalCode::RateLimited
        );
        let again_at = Instant::now() + refused.retry_after_ms.map_or(REPEAT, Duration::from_millis);
        if let Some(id) = refused.id {
            let Some(index) = self.pending.iter().position(|pending| pending.id == id) else { return };
            if passing {
                self.pending[index].repeat_at = again_at;
            } else {
                self.pending.remove(index);
            }
            return;
        }
        let Some(conversation) = refused.conversation else { return };
        if passing {
            if let Some(follow) = self.follows.get_mut(&conversation) {
                follow.opening = false;
                follow.again_at = Some(again_at);
            }
        } else {
            self.follows.remove(&conversation);
        }
    }

    fn opened(&mut self, opened: &Opened) {
        let follow = self.follows.entry(opened.conversation.id).or_default();
        follow.opening = false;
        follow.status = Some(opened.conversation.status);
        if opened.reset.is_some() {
            follow.cursor = 0;
        }
        if let Some(last) = opened.events.last() {
            follow.cursor = follow.cursor.max(last.seq);
        }
        if opened.more {
            self.open(opened.conversation.id);
        }
    }

    fn event(&mut self, conversation: Id, seq: Seq, prev: Seq) {
        let Some(follow) = self.follows.get_mut(&conversation) else { return };
        if seq <= follow.cursor {
            return;
        }
        if prev == follow.cursor {
            follow.cursor = seq;
        } else {
            self.open_again(conversation);
        }
    }

    /// Something was missed.
    fn open_again(&mut self, conversation: Id) {
        self.open(conversation);
    }

    fn changes(&mut self, changes: &ListChanges) {
        let Some(feed) = self.feeds.get_mut(&changes.view) else { return };
        if *feed != Some((changes.feed, changes.from)) {
            return self.list(changes.view);
        }
        *feed = Some((changes.feed, changes.at));
        self.rows(changes.view, &changes.upserts, &changes.removed);
    }

    /// Agents follow what is open, and some of what is resolved.
    fn rows(&mut self, view: View, rows: &[Row], removed: &[Id]) {
        if view != View::Open {
            return;
        }
        for row in rows {
            let follow = self.follows.entry(row.id).or_default();
            follow.status = Some(row.status);
            if follow.cursor == 0 {
                self.open(row.id);
            }
        }
        for id in removed {
            if let Some(follow) = self.follows.get_mut(id) {
                follow.status = Some(Status::Resolved);
                if self.dice.below(2) == 0 {
                    self.close(*id);
                }
            }
        }
    }

    /// Tells the scene whether this guest waits for something.
    fn tell(&mut self) {
        let busy = !self.live
            || !self.pending.is_empty()
            || self.follows.values().any(|it| it.opening || it.again_at.is_some());
        if busy != self.busy {
            self.busy = busy;
            self.scene.busy(busy);
        }
    }

    /// Puts the pen down. `stayed`: all was quiet, and the connection stands.
    pub(super) fn finish(mut self, stayed: bool) -> Record {
        self.record.stayed = stayed && self.live;
        if let Some(why) = &self.sent_away {
            self.scene.trouble(format!("{} was sent away: {why}", self.record.name));
        }
        self.record
    }
}
