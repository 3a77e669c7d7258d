//! A stand-in for the server, in memory and small, for testing the tool itself: it keeps the contract, cuts
//! connections in the worst places, and can be told to break a promise, which the judge must then find.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bellhop_protocol::{
    Ack, As, Audience, Author, AuthorKind, Body, ClientFrame, Conversation, Counts, Event, Face, Id, ListChanges,
    ListReset, NewEvent, Opened, Part, ReadMark, ReadUpdate, RefusalCode, Refused, Reset, Row, Seq, ServerFrame,
    Status, View, Welcome, decode_client,
};
use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedSender, unbounded_channel},
};
use tokio_tungstenite::{accept_async, tungstenite::Message};

use crate::{dice::Dice, stage::lock};

/// A promise that is broken, at the fifth message of each conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// Acknowledged and sent on, but not kept.
    Lose,
    /// Kept twice.
    Double,
    /// Kept in other words.
    Alter,
    /// Kept as the other side's.
    WrongSide,
    /// Kept before the one before it.
    Reorder,
    /// A repeated command takes effect again.
    Forget,
}

struct Log {
    visitor: Id,
    agent: Id,
    resolved: bool,
    events: Vec<Event>,
}

struct Peer {
    who: Id,
    side: As,
    frames: UnboundedSender<ServerFrame>,
    follows: Vec<Id>,
    feed_at: u64,
}

struct World {
    logs: HashMap<Id, Log>,
    peers: HashMap<u64, Peer>,
    members: Vec<(Id, String)>,
    dice: Dice,
    sabotage: Sabotage,
    /// One of so many frames costs the connection; 0 for never.
    cut_one_of: u64,
    next: u64,
}

const WORKSPACE: Id = Id(77);
const FEED: Id = Id(78);

/// Runs until the test's runtime ends.
pub(crate) async fn run(sabotage: Sabotage, cut_one_of: u64) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = Arc::new(Mutex::new(World {
        logs: HashMap::new(),
        peers: HashMap::new(),
        members: Vec::new(),
        dice: Dice::new(5),
        sabotage,
        cut_one_of,
        next: 0,
    }));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&world)));
        }
    });
    address
}

async fn serve(stream: TcpStream, world: Arc<Mutex<World>>) {
    let mut start = [0; 7];
    while stream.peek(&mut start).await.is_ok_and(|read| read > 0 && read < start.len()) {}
    if &start == b"GET /ws" {
        socket(stream, world).await;
    } else {
        let answer = service_fn(|request: Request<hyper::body::Incoming>| {
            let world = Arc::clone(&world);
            async move { Ok::<_, std::convert::Infallible>(rest(&mut lock(&world), &request)) }
        });
        drop(http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await);
    }
}

fn rest<T>(world: &mut World, request: &Request<T>) -> Response<Full<Bytes>> {
    let path = request.uri().path().trim_start_matches("/api/v1/");
    let parts: Vec<&str> = path.split('/').collect();
    let body = match (request.method().as_str(), parts.as_slice()) {
        ("GET" | "PATCH", ["workspace"]) => json!({ "id": WORKSPACE }),
        ("GET", ["members"]) => json!({ "members": [] }),
        ("POST", ["members"]) => {
            let id = Id(1_000 + world.members.len() as u128);
            world.members.push((id, String::new()));
            json!({ "id": id, "email": "x" })
        }
        ("POST", ["members", id, "socket-token"]) => json!({ "token": id, "expires_in_ms": 60_000 }),
        ("GET", ["conversations", id, "events"]) => {
            let query = request.uri().query().unwrap_or_default();
            let after: u64 = query.split(['=', '&']).nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
            let all = Id::parse(id).ok().and_then(|id| world.logs.get(&id)).map_or(&[][..], |log| &log.events);
            // Small pages, so that paging is played as well.
            let page: Vec<&Event> = all.iter().filter(|event| event.seq > after).take(3).collect();
            let more = page.last().is_some_and(|last| last.seq < all.len() as u64);
            json!({ "events": page, "head": all.len(), "more": more })
        }
        _ => return Response::builder().status(401).body(Full::new(Bytes::from("{}"))).unwrap(),
    };
    Response::new(Full::new(Bytes::from(body.to_string())))
}

async fn socket(stream: TcpStream, world: Arc<Mutex<World>>) {
    let Ok(mut socket) = accept_async(stream).await else { return };
    let (frames, mut out) = unbounded_channel();
    let number = {
        let mut world = lock(&world);
        world.next += 1;
        world.next
    };
    loop {
        tokio::select! {
            frame = socket.next() => {
                let Some(Ok(Message::Text(text))) = frame else { break };
                let mut world = lock(&world);
                let one_of = world.cut_one_of;
                let cut = one_of > 0 && world.dice.below(one_of) == 0;
                // Half of the cuts come before the frame takes effect, half after, with its answer lost.
                if cut && world.dice.below(2) == 0 {
                    break;
                }
                world.take(number, &frames, decode_client(&text).unwrap());
                if cut {
                    break;
                }
            }
            Some(frame) = out.recv() => {
                let text = serde_json::to_string(&frame).unwrap();
                if socket.send(Message::text(text)).await.is_err() {
                    break;
                }
            }
        }
    }
    lock(&world).peers.remove(&number);
}

impl World {
    fn take(&mut self, number: u64, frames: &UnboundedSender<ServerFrame>, frame: ClientFrame) {
        let say = |frame| drop(frames.send(frame));
        match frame {
            ClientFrame::Hello(hello) => {
                let token = hello.token.unwrap_or_else(|| Id(self.next.into()).to_string());
                let who = Id::parse(&token).unwrap();
                let peer = Peer { who, side: hello.who, frames: frames.clone(), follows: vec![], feed_at: 0 };
                self.peers.insert(number, peer);
                let face = Face { id: who, name: "x".into() };
                say(ServerFrame::Welcome(Welcome {
                    who: hello.who,
                    me: face.clone(),
                    workspace: face,
                    now: 0,
                    heartbeat_ms: 45_000,
                    max_text_bytes: 16_384,
                    token: (hello.who == As::Visitor).then_some(token),
                    team: None,
                    available: Some(false),
                }));
            }
            ClientFrame::Status(status) => say(ServerFrame::Ack(ack(status.id, None, None, false))),
            ClientFrame::Start(start) => {
                let visitor = self.peers[&number].who;
                let id = Id(visitor.0 ^ start.id.0);
                let again = self.logs.contains_key(&id);
                if !again {
                    let agent = self.members[self.logs.len() % self.members.len()].0;
                    let log = Log { visitor, agent, resolved: false, events: vec![] };
                    self.logs.insert(id, log);
                    self.append(id, number, visitor, As::Visitor, None, Body::Started { page: None });
                    self.append(id, number, visitor, As::Visitor, Some(start.id), message(start.text));
                    self.row(id);
                }
                self.follow(number, id, 0);
                say(ServerFrame::Ack(ack(start.id, Some(id), self.find(id, start.id), again)));
            }
            ClientFrame::Send(send) => {
                let Peer { who, side, .. } = self.peers[&number];
                // Now and then a command is refused for a moment.
                if self.cut_one_of > 0 && self.dice.below(20) == 0 {
                    return say(ServerFrame::Refused(Refused {
                        id: Some(send.id),
                        conversation: Some(send.conversation),
                        code: RefusalCode::Overloaded,
                        message: String::new(),
                        field: None,
                        retry_after_ms: Some(5),
                    }));
                }
                let known = self.find(send.conversation, send.id);
                if known.is_none() || self.sabotage == Sabotage::Forget {
                    self.append(send.conversation, number, who, side, Some(send.id), message(send.text));
                }
                let event = self.find(send.conversation, send.id).or(Some((0, 0)));
                say(ServerFrame::Ack(ack(send.id, Some(send.conversation), event, known.is_some())));
            }
            ClientFrame::Resolve(resolve) => {
                let known = self.find(resolve.conversation, resolve.id);
                if known.is_none() {
                    let who = self.peers[&number].who;
                    self.append(resolve.conversation, number, who, As::Agent, Some(resolve.id), Body::Resolved {});
                    if let Some(log) = self.logs.get_mut(&resolve.conversation) {
                        log.resolved = true;
                    }
                    self.row(resolve.conversation);
                }
                let event = self.find(resolve.conversation, resolve.id);
                say(ServerFrame::Ack(ack(resolve.id, Some(resolve.conversation), event, known.is_some())));
            }
            ClientFrame::Open(open) => self.follow(number, open.conversation, open.after.unwrap_or_default()),
            ClientFrame::Close(close) => {
                if let Some(peer) = self.peers.get_mut(&number) {
                    peer.follows.retain(|id| *id != close.conversation);
                }
            }
            ClientFrame::Read(read) => {
                let mark = ReadMark { kind: AuthorKind::Agent, id: self.peers[&number].who, seq: read.seq };
                let update = ReadUpdate { conversation: read.conversation, mark };
                self.tell(read.conversation, Some(number), |_| Some(ServerFrame::Read(update.clone())));
            }
            ClientFrame::List(list) => {
                let peer = &self.peers[&number];
                let mine = self.logs.iter().filter(|(_, log)| log.agent == peer.who && !log.resolved);
                let rows = mine.map(|(id, log)| row(*id, log)).collect();
                let rows = if list.view == View::Mine { rows } else { vec![] };
                let (at, counts) = (peer.feed_at, Counts::default());
                say(ServerFrame::List(ListReset { view: list.view, feed: FEED, at, rows, next: None, counts }));
            }
            _ => {}
        }
    }

    /// Seq and prev, as its sender sees them, of the event that a command caused.
    fn find(&self, conversation: Id, cmd: Id) -> Option<(Seq, Seq)> {
        let events = &self.logs.get(&conversation)?.events;
        events.iter().find(|event| event.cmd == Some(cmd)).map(|event| (event.seq, visible_prev(event)))
    }

    fn append(&mut self, id: Id, number: u64, who: Id, side: As, cmd: Option<Id>, mut body: Body) {
        let sabotage = self.sabotage;
        let Some(log) = self.logs.get_mut(&id) else { return };
        let kind = if side == As::Visitor { AuthorKind::Visitor } else { AuthorKind::Agent };
        let audience = if matches!(body, Body::Started { .. }) { Audience::Staff } else { Audience::All };
        let seq = log.events.len() as u64 + 1;
        let author = Author { kind, id: Some(who), name: None };
        let mut event = Event { seq, prev: seq - 1, at: 0, author, audience, cmd, body: body.clone() };
        let told = event.clone();
        log.events.push(event.clone());
        if seq == 6 && matches!(body, Body::Message { .. }) {
            match sabotage {
                Sabotage::None | Sabotage::Forget => {}
                Sabotage::Lose => body = Body::Resolved {},
                Sabotage::Alter => body = message("something else".into()),
                Sabotage::WrongSide => {
                    event.author.kind = if side == As::Visitor { AuthorKind::Agent } else { AuthorKind::Visitor };
                }
                Sabotage::Double => {
                    log.events[4].body = body.clone();
                    log.events[4].author.kind = kind;
                }
                Sabotage::Reorder => {
                    let before = log.events[4].clone();
                    log.events[4].body = body;
                    log.events[4].author = event.author;
                    event.author = before.author;
                    body = before.body;
                }
            }
            log.events[5] = Event { body, ..event };
        }
        self.tell(id, Some(number), |side| {
            let mut event = told.clone();
            if side == As::Visitor {
                event.prev = visible_prev(&event);
            }
            let shown = side == As::Agent || event.audience == Audience::All;
            shown.then_some(ServerFrame::Event(NewEvent { conversation: id, event }))
        });
    }

    fn tell(&self, id: Id, but: Option<u64>, frame: impl Fn(As) -> Option<ServerFrame>) {
        for (number, peer) in &self.peers {
            if Some(*number) != but
                && peer.follows.contains(&id)
                && let Some(frame) = frame(peer.side)
            {
                drop(peer.frames.send(frame));
            }
        }
    }

    /// Tells the agent's list of a change.
    fn row(&mut self, id: Id) {
        let log = &self.logs[&id];
        let (upserts, removed) = if log.resolved { (vec![], vec![id]) } else { (vec![row(id, log)], vec![]) };
        for peer in self.peers.values_mut().filter(|peer| peer.who == log.agent) {
            let from = peer.feed_at;
            peer.feed_at += 1;
            drop(peer.frames.send(ServerFrame::Changes(ListChanges {
                view: View::Mine,
                feed: FEED,
                from,
                at: peer.feed_at,
                upserts: upserts.clone(),
                removed: removed.clone(),
                counts: Counts::default(),
            })));
        }
    }

    fn follow(&mut self, number: u64, id: Id, after: Seq) {
        let (Some(peer), Some(log)) = (self.peers.get_mut(&number), self.logs.get(&id)) else { return };
        peer.follows.push(id);
        let visitor = peer.side == As::Visitor;
        let mut events: Vec<Event> = log.events.iter().filter(|event| event.seq > after).cloned().collect();
        if visitor {
            events.retain(|event| event.audience == Audience::All);
            events.iter_mut().for_each(|event| event.prev = visible_prev(event));
        }
        let more = events.len() > 4;
        events.truncate(4);
        let conversation = Conversation {
            id,
            status: Status::Assigned,
            assignee: None,
            visitor: Face { id: log.visitor, name: "x".into() },
            created_at: 0,
            page: None,
            head: log.events.len() as u64,
            first_seq: 1,
            reads: vec![],
            visitor_online: None,
            position: None,
        };
        let reset = (after == 0).then_some(Reset::First);
        drop(peer.frames.send(ServerFrame::Opened(Opened { conversation, reset, events, older: false, more })));
    }
}

/// `started`, seq 1, is the only event here that visitors do not see.
fn visible_prev(event: &Event) -> Seq {
    if event.prev == 1 && event.author.kind == AuthorKind::Visitor { 0 } else { event.prev }
}

fn message(text: String) -> Body {
    Body::Message { parts: vec![Part::Text { text }] }
}

fn ack(id: Id, conversation: Option<Id>, event: Option<(Seq, Seq)>, again: bool) -> Ack {
    let (seq, prev) = event.unzip();
    Ack { id, conversation, seq, prev, at: seq.map(|_| 0), again }
}

fn row(id: Id, log: &Log) -> Row {
    Row {
        id,
        visitor: Face { id: log.visitor, name: "x".into() },
        status: if log.resolved { Status::Resolved } else { Status::Assigned },
        assignee: None,
        preview: String::new(),
        last_author: AuthorKind::Visitor,
        last_at: 0,
        waiting_since: None,
        answered: false,
        seq: log.events.len() as u64,
        read: 0,
        last_visitor_seq: 0,
        channel: "chat".into(),
        queue_number: None,
        resolved_at: None,
        created_at: 0,
    }
}

mod tests;
