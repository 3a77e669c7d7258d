//! Bellhop's protocol as a crowd speaks it. A pair is a visitor with a session and a conversation of its own, and the
//! agent whom the server gives that conversation to; an agent's session carries many. Everything is subscribed as
//! widget and inbox do: a visitor's conversations, an agent's lists `mine` and `unassigned`, each held conversation,
//! receipts.

use std::collections::HashMap;

use bellhop_protocol::{
    As, ClientFrame, Conversations, Hello, Id, List, More, Open, Ping, Read, Resolve, Seq, SetStatus, Start, Status,
    VERSION, View, Welcome,
};
use serde::Deserialize;

use super::{
    crowd::{Heard, Tongue, What},
    frame::{self, CLOSE, PING, PONG, TEXT},
    scan::{Scanned, scan},
    text::Texts,
};
use crate::{
    visitor,
    wire::{BodyKind, ChangedRows, EventFrame, FeedHead, ListRows, OpenedFrame, RowHead, kind},
};

/// An agent who watches says at most this often how far they have read: one receipt a message would measure receipts.
const READ_EVERY_NS: u64 = 1_000_000_000;

/// One connection's way in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    /// The hello is said.
    Greeting,
    There,
}

/// One pair.
#[derive(Debug, Clone, Copy, Default)]
struct Seat {
    conversation: Id128,
    /// Last seq that each side has.
    visitor: Seq,
    agent: Seq,
    /// The start is acknowledged.
    started: bool,
    /// The agent's connection that follows the conversation.
    desk: Option<usize>,
    /// When the agent last said how far they have read.
    read_at: u64,
}

/// An id that may not be known yet: 0.
type Id128 = u128;

/// A visitor who came before.
pub(crate) struct Bellhop {
    workspace: Id,
    host: String,
    origin: String,
    /// Socket tokens, one an agent; agents are the first connections.
    agents: Vec<String>,
    /// Upper half of every command's id; the lower says pair and number.
    nonce: u64,
    texts: Texts,
    seed: u64,
    stages: Vec<Stage>,
    seats: Vec<Seat>,
    pairs_by_conversation: HashMap<u128, usize>,
    /// Conversations that an agent follows, whoever's they are.
    followed: Vec<HashMap<u128, Seq>>,
    scratch: Vec<u8>,
    arrived: usize,
    resolved: usize,
    /// Read receipts that visitors heard.
    pub(crate) receipts: u64,
}

/// Number of the command with which an agent says that they are available.
const AVAILABLE: u32 = u32::MAX;
/// Number of the command that resolves a conversation.
const RESOLVE: u32 = u32::MAX - 1;
/// The conversation's first words, which are said in arriving; a crowd's message i is number i + 1.
const START: u32 = 0;

impl Bellhop {
    pub(crate) fn new(workspace: Id, host: String, origin: String, agents: Vec<String>, seed: u64) -> Self {
        Self {
            workspace,
            host,
            origin,
            followed: agents.iter().map(|_| HashMap::new()).collect(),
            agents,
            nonce: crate::dice::mix(seed),
            texts: Texts::new(),
            seed,
            stages: Vec::new(),
            seats: Vec::new(),
            pairs_by_conversation: HashMap::new(),
            scratch: Vec::new(),
            arrived: 0,
            resolved: 0,
            receipts: 0,
        }
    }

    /// Conversations that were resolved.
    pub(crate) fn resolved(&self) -> usize {
        self.resolved
    }

    pub(crate) fn conversation(&self, pair: usize) -> Id {
        Id(self.seats[pair].conversation)
    }

    /// Text `index` of a pair, the first words being 0.
    pub(crate) fn text(&self, pair: usize, index: u32) -> String {
        let mut text = Vec::new();
        self.texts.append(&mut text, self.seed.wrapping_add(pair as u64), index);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The agent's connection of a pair, and the resolving of its conversation.
    pub(crate) fn desk(&self, pair: usize) -> Option<usize> {
        self.seats[pair].desk
    }

    pub(crate) fn resolve(&mut self, pair: usize, out: &mut Vec<u8>) {
        let seat = self.seats[pair];
        let (id, conversation) = (self.command(pair, RESOLVE), Id(seat.conversation));
        write(out, &ClientFrame::Resolve(Resolve { id, conversation, seen: seat.agent }));
    }

    fn command(&self, pair: usize, number: u32) -> Id {
        Id((u128::from(self.nonce) << 64) | ((pair as u128) << 32) | u128::from(number))
    }

    /// Pair and number of a command of this crowd.
    fn own(&self, id: u128) -> Option<(usize, u32)> {
        ((id >> 64) as u64 == self.nonce).then_some((((id as u64) >> 32) as usize, id as u32))
    }

    fn pair_of(&self, conn: usize) -> Option<usize> {
        conn.checked_sub(self.agents.len())
    }

    fn hello(&self, conn: usize) -> Hello {
        match self.agents.get(conn) {
            Some(token) => Hello {
                v: VERSION,
                who: As::Agent,
                workspace: None,
                token: Some(token.clone()),
                client: Some(concat!("bellhop-loadtest/", env!("CARGO_PKG_VERSION")).into()),
            },
            None => visitor::hello(self.workspace, None),
        }
    }

    fn text_frame(
        &mut self,
        conn: usize,
        payload: &[u8],
        now: u64,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), String> {
        match (scan(payload), self.pair_of(conn)) {
            (Scanned::Ack { id, seq, prev }, Some(pair)) => self.acked(pair, id, seq, prev, heard),
            (Scanned::Message { cmd, seq, prev }, None) if self.own(cmd).is_some() => {
                self.received(cmd, seq, prev, now, out, heard)
            }
            (_, Some(pair)) => self.visitor_hears(conn, pair, payload, out, heard),
            (_, None) => self.agent_hears(conn, payload, now, out, heard),
        }
    }

    /// An acknowledgement to a visitor, which stands where the event would.
    fn acked(&mut self, pair: usize, id: u128, seq: Seq, prev: Seq, heard: &mut Vec<Heard>) -> Result<(), String> {
        let (owner, number) = self.own(id).ok_or("an acknowledgement of a command of somebody else")?;
        if owner != pair {
            return Err("an acknowledgement of another visitor's command".into());
        }
        let seat = &mut self.seats[pair];
        if seq > seat.visitor {
            if prev != seat.visitor {
                return Err(gap(seat.visitor, seq, prev));
            }
            seat.visitor = seq;
        }
        if number == START {
            if seat.started {
                return Err("the first words were acknowledged twice".into());
            }
            seat.started = true;
            self.look_whether_it_is_there(pair);
        } else {
            heard.push(Heard { pair, index: number - 1, what: What::Acknowledged });
        }
        Ok(())
    }

    fn visitor_hears(
        &mut self,
        conn: usize,
        pair: usize,
        payload: &[u8],
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), String> {
        let text = utf8(payload)?;
        match kind(text) {
            "welcome" => {
                self.stages[conn] = Stage::There;
                write(out, &ClientFrame::Conversations(Conversations {}));
                let start = Start { id: self.command(pair, START), text: self.text(pair, START), page: None };
                write(out, &ClientFrame::Start(start));
            }
            "opened" => {
                let frame: OpenedFrame = parse(text)?;
                let seat = &mut self.seats[pair];
                seat.conversation = frame.conversation.id.0;
                seat.visitor = frame.events.last().map_or(seat.visitor, |event| event.seq);
                self.pairs_by_conversation.insert(seat.conversation, pair);
            }
            "ack" => {
                let ack: bellhop_protocol::Ack = parse(text)?;
                let (seq, prev) = (ack.seq.unwrap_or_default(), ack.prev.unwrap_or_default());
                return self.acked(pair, ack.id.0, seq, prev, heard);
            }
            "event" => {
                let event = parse::<EventFrame>(text)?.event;
                let seat = &mut self.seats[pair];
                if event.prev != seat.visitor {
                    return Err(gap(seat.visitor, event.seq, event.prev));
                }
                seat.visitor = event.seq;
            }
            "read" => self.receipts += 1,
            "refused" | "bye" | "resync" => return Err(format!("a visitor was told {text}")),
            _ => {}
        }
        Ok(())
    }

    /// Words of a visitor of ours that have come to their agent.
    fn received(
        &mut self,
        cmd: u128,
        seq: Seq,
        prev: Seq,
        now: u64,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), String> {
        let (pair, number) = self.own(cmd).ok_or("words that nobody here said")?;
        let seat = self.seats.get_mut(pair).ok_or("words of a pair that is not there")?;
        if prev != seat.agent {
            return Err(gap(seat.agent, seq, prev));
        }
        seat.agent = seq;
        if seat.read_at == 0 || now.saturating_sub(seat.read_at) >= READ_EVERY_NS {
            seat.read_at = now;
            write(out, &ClientFrame::Read(Read { conversation: Id(seat.conversation), seq }));
        }
        heard.push(Heard { pair, index: number.wrapping_sub(1), what: What::Received });
        Ok(())
    }

    fn agent_hears(
        &mut self,
        conn: usize,
        payload: &[u8],
        now: u64,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<(), String> {
        let text = utf8(payload)?;
        match kind(text) {
            "welcome" => {
                self.stages[conn] = Stage::There;
                for view in [View::Mine, View::Unassigned] {
                    write(out, &ClientFrame::List(List { view, feed: None, at: None }));
                }
                if parse::<Welcome>(text)?.available == Some(true) {
                    self.arrived += 1;
                } else {
                    let id = self.command(conn, AVAILABLE);
                    write(out, &ClientFrame::Status(SetStatus { id, available: true }));
                }
            }
            "ack" => match self.own(parse::<bellhop_protocol::Ack>(text)?.id.0) {
                Some((_, AVAILABLE)) => self.arrived += 1,
                Some((_, RESOLVE)) => self.resolved += 1,
                _ => return Err(format!("an agent was told {text}")),
            },
            "list" | "list_page" => {
                let list: ListRows = parse(text)?;
                if list.view == View::Mine {
                    self.open(conn, &list.rows, out);
                    if let Some(after) = list.next {
                        write(out, &ClientFrame::More(More { view: View::Mine, after }));
                    }
                }
            }
            "changes" if view(text)? == View::Mine => {
                self.open(conn, &parse::<ChangedRows>(text)?.upserts, out);
            }
            "opened" => return self.agent_follows(conn, &parse(text)?),
            "event" => {
                let frame: EventFrame = parse(text)?;
                // What the scanner was unsure of: a name that is escaped, another order of fields.
                if let Some(cmd) = frame.event.cmd.filter(|cmd| self.own(cmd.0).is_some())
                    && frame.event.body.kind == BodyKind::Message
                {
                    return self.received(cmd.0, frame.event.seq, frame.event.prev, now, out, heard);
                }
                let pair = self.pairs_by_conversation.get(&frame.conversation.0);
                let cursor = match pair {
                    Some(&pair) => &mut self.seats[pair].agent,
                    None => self.followed[conn].entry(frame.conversation.0).or_default(),
                };
                if frame.event.prev != *cursor {
                    return Err(gap(*cursor, frame.event.seq, frame.event.prev));
                }
                *cursor = frame.event.seq;
            }
            "refused" | "bye" | "resync" => return Err(format!("an agent was told {text}")),
            _ => {}
        }
        Ok(())
    }

    /// Follows what an agent was given.
    fn open(&mut self, conn: usize, rows: &[RowHead], out: &mut Vec<u8>) {
        for row in rows {
            if row.status == Status::Assigned && !self.followed[conn].contains_key(&row.id.0) {
                self.followed[conn].insert(row.id.0, 0);
                write(out, &ClientFrame::Open(Open { conversation: row.id, after: None }));
            }
        }
    }

    fn agent_follows(&mut self, conn: usize, opened: &OpenedFrame) -> Result<(), String> {
        let head = opened.events.last().map_or(0, |event| event.seq);
        let conversation = opened.conversation.id.0;
        let pair = opened.events.iter().find_map(|event| self.own(event.cmd?.0)).map(|(pair, _)| pair);
        let Some(pair) = pair else {
            // Somebody's of before this run.
            self.followed[conn].insert(conversation, head);
            return Ok(());
        };
        let seat = self.seats.get_mut(pair).ok_or("a conversation of a pair that is not there")?;
        seat.conversation = conversation;
        seat.agent = head;
        seat.desk = Some(conn);
        self.pairs_by_conversation.insert(conversation, pair);
        self.look_whether_it_is_there(pair);
        Ok(())
    }

    fn look_whether_it_is_there(&mut self, pair: usize) {
        let seat = &self.seats[pair];
        if seat.started && seat.desk.is_some() {
            self.arrived += 1;
        }
    }
}

impl Tongue for Bellhop {
    fn mouth(&self, pair: usize) -> usize {
        self.agents.len() + pair
    }

    fn greet(&mut self, conn: usize, out: &mut Vec<u8>) {
        self.stages.push(Stage::Upgrading);
        if self.pair_of(conn).is_some() {
            self.seats.push(Seat::default());
        }
        frame::upgrade(out, &self.host, &self.origin);
    }

    fn hear(
        &mut self,
        conn: usize,
        bytes: &[u8],
        now: u64,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<usize, String> {
        let mut used = 0;
        if self.stages[conn] == Stage::Upgrading {
            match frame::upgraded(bytes) {
                Ok(None) => return Ok(0),
                Ok(Some(length)) => used = length,
                Err(status) => return Err(format!("the upgrade was answered with HTTP {status}")),
            }
            self.stages[conn] = Stage::Greeting;
            write(out, &ClientFrame::Hello(self.hello(conn)));
        }
        while let Some(frame) = frame::first(&bytes[used..])? {
            used += frame.length;
            match frame.opcode {
                TEXT => self.text_frame(conn, frame.payload, now, out, heard)?,
                PING => frame::masked(out, PONG, frame.payload),
                CLOSE => return Err("the server closed it".into()),
                _ => {}
            }
        }
        Ok(used)
    }

    fn say(&mut self, pair: usize, index: u32, out: &mut Vec<u8>) {
        let seat = &self.seats[pair];
        let id = self.command(pair, index + 1);
        // As serde writes `ClientFrame::Send`, without its ways of escaping: the text has nothing to escape.
        let scratch = &mut self.scratch;
        scratch.clear();
        scratch.extend_from_slice(b"{\"t\":\"send\",\"id\":\"");
        hex(scratch, id.0);
        scratch.extend_from_slice(b"\",\"conversation\":\"");
        hex(scratch, seat.conversation);
        scratch.extend_from_slice(b"\",\"seen\":");
        number(scratch, seat.visitor);
        scratch.extend_from_slice(b",\"text\":\"");
        self.texts.append(scratch, self.seed.wrapping_add(pair as u64), index + 1);
        scratch.extend_from_slice(b"\"}");
        frame::masked(out, TEXT, scratch);
    }

    fn keep_alive(&mut self, conn: usize, out: &mut Vec<u8>) {
        if self.stages[conn] == Stage::There {
            write(out, &ClientFrame::Ping(Ping {}));
        }
    }

    fn arrived(&self) -> usize {
        self.arrived
    }
}

fn gap(cursor: Seq, seq: Seq, prev: Seq) -> String {
    format!("event {seq} after {prev} came where {cursor} was the last: something was left out or came twice")
}

pub(super) fn utf8(payload: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(payload).map_err(|error| format!("a text frame is no UTF-8: {error}"))
}

pub(super) fn write(out: &mut Vec<u8>, frame: &ClientFrame) {
    let text = serde_json::to_vec(frame).expect("a frame of ids, numbers and strings always has a JSON form");
    frame::masked(out, TEXT, &text);
}

pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| {
        let start: String = text.chars().take(200).collect();
        format!("the gateway sent a frame that breaks the contract ({error}): {start}")
    })
}

fn view(text: &str) -> Result<View, String> {
    parse::<FeedHead>(text).map(|head| head.view)
}

fn hex(out: &mut Vec<u8>, id: u128) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 32];
    for (index, byte) in id.to_be_bytes().into_iter().enumerate() {
        digits[index * 2] = DIGITS[usize::from(byte >> 4)];
        digits[index * 2 + 1] = DIGITS[usize::from(byte & 15)];
    }
    out.extend_from_slice(&digits);
}

fn number(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
