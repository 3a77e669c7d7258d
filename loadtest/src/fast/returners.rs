//! Visitors who are cut off all at once, some with a command under way, and come back all at once: each with its token,
//! from its cursor on, repeating what was not answered. One thread, so that thousands of them cost the server's machine
//! little beside the server.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bellhop_protocol::{Ack, Bye, ClientFrame, CloseCode, Id, Open, Send, Seq, Start, Welcome};

use super::{
    bellhop::{parse, utf8, write},
    conn::Conn,
    epoll::Poll,
    frame::{self, CLOSE, PING, PONG, TEXT},
    text::Texts,
};
use crate::{
    dice::{Dice, mix},
    visitor,
    wire::{EventFrame, OpenedFrame, kind},
};

/// Connections that are being made at the same time before the cut.
const AT_ONCE: usize = 128;
/// Connections that are begun between two looks at those that stand, in coming back: all begin within milliseconds.
const BURST: usize = 256;
const LOOK: Duration = Duration::from_millis(10);
/// Between looks at those who wait: there may be thousands of them.
const SCAN: Duration = Duration::from_millis(50);
/// An attempt that is not welcomed in this time is given up, as by other clients (client.rs): a connection that the
/// kernel's full queue has dropped is told of it after half a minute or never.
const CONNECT: Duration = Duration::from_secs(10);
const READ_BYTES: usize = 64 * 1024;
/// Who was turned away without being told for how long waits this long, and everyone a random part of it more.
const PAUSE_MS: u64 = 500;
/// One of so many has a command under way when it is cut off. Were it all of them, a flood of messages would be measured.
const UNDER_WAY_ONE_OF: usize = 10;
/// Source addresses of those who return, above those of a bystander.
const FIRST_SOURCE: usize = 1_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Comes (again) at this time.
    Away(Instant),
    Upgrading,
    Greeting,
    /// Welcomed; what was missed and what was under way is not all answered yet.
    Resuming,
    There,
}

struct Guest {
    conn: Option<Conn>,
    stage: Stage,
    /// When its present attempt began.
    came_at: Instant,
    token: Option<String>,
    conversation: u128,
    cursor: Seq,
    /// The cursor when the last words were first said.
    seen: Seq,
    said: u32,
    acked: u32,
    opened: bool,
}

/// How a return went.
#[derive(Debug, Clone)]
pub(crate) struct Return {
    /// From the first attempt until everyone was welcomed, and until everyone had everything.
    pub(crate) welcomed: Duration,
    pub(crate) whole: Duration,
    /// Attempts that were turned away or broke, by what was said.
    pub(crate) turned_away: BTreeMap<String, u64>,
    /// Repeats that had taken effect before the cut.
    pub(crate) again: u64,
}

pub(crate) struct Returners {
    address: SocketAddr,
    host: String,
    origin: String,
    workspace: Id,
    nonce: u64,
    seed: u64,
    texts: Texts,
    dice: Dice,
    poll: Poll,
    guests: Vec<Guest>,
    buffer: Vec<u8>,
    patience: Duration,
    /// So many have begun to come.
    begun: usize,
    there: usize,
    welcomed: usize,
    again: u64,
    turned_away: BTreeMap<String, u64>,
}

impl Returners {
    pub(crate) fn new(
        workspace: Id,
        address: SocketAddr,
        origin: String,
        count: usize,
        seed: u64,
        patience: Duration,
    ) -> Result<Self, String> {
        let guest = |now| Guest {
            conn: None,
            stage: Stage::Away(now),
            came_at: now,
            token: None,
            conversation: 0,
            cursor: 0,
            seen: 0,
            said: 1,
            acked: 0,
            opened: false,
        };
        let now = Instant::now();
        Ok(Self {
            address,
            host: address.to_string(),
            origin,
            workspace,
            nonce: mix(seed),
            seed,
            texts: Texts::new(),
            dice: Dice::new(seed),
            poll: Poll::new().map_err(|error| format!("no epoll: {error}"))?,
            guests: (0..count).map(|_| guest(now)).collect(),
            buffer: vec![0; READ_BYTES],
            patience,
            begun: 0,
            there: 0,
            welcomed: 0,
            again: 0,
            turned_away: BTreeMap::new(),
        })
    }

    /// Everyone comes and begins a conversation.
    pub(crate) fn gather(&mut self) -> Result<(), String> {
        self.until_all(|crowd| crowd.there + AT_ONCE).map(drop)
    }

    /// Everyone is cut off, one of some before the answer to what it said can come.
    pub(crate) fn cut(&mut self) -> Result<(), String> {
        for number in 0..self.guests.len() {
            let command = self.command(number, 1);
            let guest = &mut self.guests[number];
            let Some(mut conn) = guest.conn.take() else { return Err("somebody was gone before the cut".into()) };
            if number.is_multiple_of(UNDER_WAY_ONE_OF) {
                guest.said = 2;
                guest.seen = guest.cursor;
                write(&mut conn.out, &command);
                conn.flush(&self.poll, false).map_err(|error| format!("cutting off: {error}"))?;
            }
        }
        (self.there, self.welcomed) = (0, 0);
        Ok(())
    }

    /// Everyone comes back at once.
    pub(crate) fn come_back(&mut self) -> Result<Return, String> {
        let begin = Instant::now();
        for guest in &mut self.guests {
            guest.stage = Stage::Away(begin);
        }
        self.begun = 0;
        let welcomed = self.until_all(|crowd| crowd.begun + BURST)?;
        let turned_away = std::mem::take(&mut self.turned_away);
        Ok(Return { welcomed, whole: begin.elapsed(), turned_away, again: self.again })
    }

    /// Words that a guest has said.
    pub(crate) fn said(&self, number: usize) -> u32 {
        self.guests[number].said
    }

    pub(crate) fn count(&self) -> usize {
        self.guests.len()
    }

    pub(crate) fn conversation(&self, number: usize) -> Id {
        Id(self.guests[number].conversation)
    }

    /// Words `index` of a guest, counted from 0.
    pub(crate) fn text(&self, number: usize, index: u32) -> String {
        let mut text = Vec::new();
        self.texts.append(&mut text, self.seed.wrapping_add(number as u64), index);
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Lets everyone come, up to the one that `may` says at each look, and waits until all are there; after how long
    /// all were welcomed.
    fn until_all(&mut self, may: impl Fn(&Self) -> usize) -> Result<Duration, String> {
        let (begin, all) = (Instant::now(), self.guests.len());
        let (mut progress, mut scanned, mut welcomed) = ((self.there, begin), begin, None);
        while self.there < all {
            let most = may(self).min(all);
            while self.begun < most {
                self.come(self.begun)?;
                self.begun += 1;
            }
            if scanned.elapsed() >= SCAN {
                scanned = Instant::now();
                self.scan(scanned)?;
            }
            self.turn()?;
            if self.welcomed >= all && welcomed.is_none() {
                welcomed = Some(begin.elapsed());
            }
            if self.there > progress.0 {
                progress = (self.there, Instant::now());
            } else if progress.1.elapsed() > self.patience {
                return Err(format!("{} of {all} are there, then no more came ({:?})", self.there, self.turned_away));
            }
        }
        Ok(welcomed.unwrap_or_else(|| begin.elapsed()))
    }

    fn turn(&mut self) -> Result<(), String> {
        let ready = self.poll.wait(Some(LOOK)).map_err(|error| format!("waiting for sockets: {error}"))?;
        for index in 0..ready {
            let ready = self.poll.ready(index);
            if ready.writable {
                self.flush(ready.token, true);
            }
            if ready.readable {
                self.read(ready.token)?;
            }
        }
        Ok(())
    }

    /// Who is due comes again; who waits too long for a welcome gives this attempt up.
    fn scan(&mut self, now: Instant) -> Result<(), String> {
        for number in 0..self.begun {
            match self.guests[number].stage {
                Stage::Away(at) if at <= now => self.come(number)?,
                Stage::Upgrading | Stage::Greeting if self.guests[number].came_at + CONNECT < now => {
                    self.guests[number].conn = None;
                    self.turn_away(number, "no welcome in time", None);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn come(&mut self, number: usize) -> Result<(), String> {
        let source = (FIRST_SOURCE + number) as u32;
        let mut conn = Conn::begin(&self.poll, self.address, source, number)
            .map_err(|error| format!("connecting to {}: {error}", self.address))?;
        frame::upgrade(&mut conn.out, &self.host, &self.origin);
        let guest = &mut self.guests[number];
        guest.conn = Some(conn);
        guest.stage = Stage::Upgrading;
        guest.came_at = Instant::now();
        guest.opened = false;
        Ok(())
    }

    /// A connection that cannot be written to is seen to have ended when it is read.
    fn flush(&mut self, number: usize, ready: bool) {
        if let Some(conn) = &mut self.guests[number].conn {
            drop(conn.flush(&self.poll, ready));
        }
    }

    fn read(&mut self, number: usize) -> Result<(), String> {
        let Some(mut conn) = self.guests[number].conn.take() else { return Ok(()) };
        let mut buffer = std::mem::take(&mut self.buffer);
        let there = conn.read(&mut buffer, |bytes, out| self.hear(number, bytes, out));
        self.buffer = buffer;
        let guest = &mut self.guests[number];
        if there.map_err(|why| format!("guest {number}: {why}"))? && !matches!(guest.stage, Stage::Away(_)) {
            guest.conn = Some(conn);
            self.flush(number, false);
        } else if !matches!(guest.stage, Stage::Away(_)) {
            self.turn_away(number, "broken", None);
        }
        Ok(())
    }

    fn turn_away(&mut self, number: usize, how: &str, wait_ms: Option<u64>) {
        *self.turned_away.entry(how.into()).or_default() += 1;
        match self.guests[number].stage {
            Stage::Resuming => self.welcomed -= 1,
            Stage::There => {
                self.welcomed -= 1;
                self.there -= 1;
            }
            _ => {}
        }
        let wait = wait_ms.unwrap_or(PAUSE_MS) + self.dice.below(PAUSE_MS);
        self.guests[number].stage = Stage::Away(Instant::now() + Duration::from_millis(wait));
    }

    fn hear(&mut self, number: usize, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, String> {
        let mut used = 0;
        if self.guests[number].stage == Stage::Upgrading {
            match frame::upgraded(bytes) {
                Ok(None) => return Ok(0),
                Ok(Some(length)) => used = length,
                Err(status @ (429 | 503)) => {
                    self.turn_away(number, &format!("HTTP {status}"), None);
                    return Ok(bytes.len());
                }
                Err(status) => return Err(format!("the upgrade was answered with HTTP {status}")),
            }
            self.guests[number].stage = Stage::Greeting;
            let hello = visitor::hello(self.workspace, self.guests[number].token.as_ref());
            write(out, &ClientFrame::Hello(hello));
        }
        while let Some(frame) = frame::first(&bytes[used..])? {
            used += frame.length;
            match frame.opcode {
                TEXT => self.text_frame(number, utf8(frame.payload)?, out)?,
                PING => frame::masked(out, PONG, frame.payload),
                CLOSE if !matches!(self.guests[number].stage, Stage::Away(_)) => {
                    self.turn_away(number, "closed", None);
                }
                _ => {}
            }
        }
        Ok(used)
    }

    fn text_frame(&mut self, number: usize, text: &str, out: &mut Vec<u8>) -> Result<(), String> {
        match kind(text) {
            "welcome" => {
                let welcome: Welcome = parse(text)?;
                let command = self.command(number, self.guests[number].said - 1);
                let guest = &mut self.guests[number];
                let first = guest.acked == 0;
                if first {
                    (guest.conversation, guest.cursor) = (0, 0);
                }
                guest.token = welcome.token.or(guest.token.take());
                guest.stage = Stage::Resuming;
                self.welcomed += 1;
                if !first {
                    let (conversation, after) = (Id(guest.conversation), Some(guest.cursor));
                    write(out, &ClientFrame::Open(Open { conversation, after }));
                }
                if guest.acked < guest.said {
                    write(out, &command);
                }
            }
            "opened" => self.opened(number, &parse(text)?)?,
            "ack" => self.acked(number, &parse(text)?)?,
            "event" => {
                let event = parse::<EventFrame>(text)?.event;
                self.follow(number, event.seq, event.prev)?;
            }
            "bye" => {
                let bye: Bye = parse(text)?;
                if !bye.reconnect || bye.code == CloseCode::TokenInvalid {
                    return Err(format!("it was told {text}"));
                }
                self.turn_away(number, &format!("told {}", bye.code.number()), bye.retry_after_ms);
            }
            "refused" | "resync" => return Err(format!("it was told {text}")),
            _ => {}
        }
        Ok(())
    }

    fn opened(&mut self, number: usize, opened: &OpenedFrame) -> Result<(), String> {
        let guest = &mut self.guests[number];
        if guest.conversation == 0 {
            guest.conversation = opened.conversation.id.0;
            guest.cursor = opened.events.last().map_or(0, |event| event.seq);
        } else if opened.reset.is_some() || opened.more {
            return Err("it was not resumed: its conversation began anew".into());
        } else {
            for event in &opened.events {
                self.follow(number, event.seq, event.prev)?;
            }
        }
        self.guests[number].opened = true;
        self.look_whether_it_is_there(number);
        Ok(())
    }

    fn acked(&mut self, number: usize, ack: &Ack) -> Result<(), String> {
        let guest = &self.guests[number];
        if ack.id != self.id(number, guest.said - 1) || guest.acked >= guest.said {
            return Err("an acknowledgement of what is not under way".into());
        }
        if ack.again {
            self.again += 1;
        } else if let (Some(seq), Some(prev)) = (ack.seq, ack.prev)
            && seq > guest.cursor
        {
            self.follow(number, seq, prev)?;
        }
        self.guests[number].acked += 1;
        self.look_whether_it_is_there(number);
        Ok(())
    }

    fn follow(&mut self, number: usize, seq: Seq, prev: Seq) -> Result<(), String> {
        let guest = &mut self.guests[number];
        if prev != guest.cursor {
            return Err(format!("event {seq} after {prev} came where {} was the last", guest.cursor));
        }
        guest.cursor = seq;
        Ok(())
    }

    fn look_whether_it_is_there(&mut self, number: usize) {
        let guest = &mut self.guests[number];
        if guest.stage == Stage::Resuming && guest.opened && guest.acked == guest.said {
            guest.stage = Stage::There;
            self.there += 1;
        }
    }

    fn id(&self, number: usize, index: u32) -> Id {
        Id((u128::from(self.nonce) << 64) | ((number as u128) << 32) | u128::from(index))
    }

    /// The first words begin a conversation; a repeat says what was said, with the old id and `seen`.
    fn command(&self, number: usize, index: u32) -> ClientFrame {
        let (id, text, guest) = (self.id(number, index), self.text(number, index), &self.guests[number]);
        if index == 0 {
            return ClientFrame::Start(Start { id, text, page: None });
        }
        let seen = if guest.said == 2 { guest.seen } else { guest.cursor };
        ClientFrame::Send(Send { id, conversation: Id(guest.conversation), seen, text })
    }
}
