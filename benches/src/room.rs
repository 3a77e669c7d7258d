//! Visitors who talk to one engine in this process, without sockets: each with a conversation and at most one message
//! under way.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bellhop_engine::domain::{CommandId, ConversationId, Millis, Seq, SessionId, VisitorId};
use bellhop_engine::exchange::{Answer, Party, Request};
use bellhop_engine::ports::{Answers, Clock, Desk};
use bellhop_engine::{Engine, Options, Ports};
use bellhop_storage::Embedded;
use tokio::runtime::Runtime;

use crate::{WORDS, WORKSPACE};

/// An answer takes milliseconds; what takes so long never comes.
const PATIENCE: Duration = Duration::from_secs(60);

/// Visitors of a room have numbers from here on: what was stored before has others.
const FIRST_VISITOR: u128 = 1 << 64;

/// An engine with its visitors.
pub struct Room {
    engine: Engine,
    heard: Receiver<Heard>,
    lanes: Vec<Lane>,
    under_way: HashMap<CommandId, (usize, Instant)>,
    last_id: u128,
    last_session: u64,
    /// Last, so that the engine goes first.
    runtime: Runtime,
}

struct Lane {
    session: SessionId,
    party: Party,
    conversation: ConversationId,
    seen: Seq,
}

enum Heard {
    Acknowledged { id: CommandId, seq: Seq },
    Opened(ConversationId),
}

impl Room {
    /// Starts an engine on this store, with room for `most` messages under way.
    pub fn new(store: Embedded, most: usize) -> Self {
        let runtime = Runtime::new().expect("a runtime starts");
        let (sender, heard) = sync_channel(2 * most);
        let ports = Ports { store: Arc::new(store), answers: Arc::new(Listener(sender)), clock: Arc::new(SystemClock) };
        let desk = Desk { workspace: WORKSPACE, agent_cap: 5, members: Vec::new() };
        let engine = runtime.block_on(Engine::start(ports, options(), vec![desk])).expect("the engine starts");
        Self { engine, heard, lanes: Vec::new(), under_way: HashMap::new(), last_id: 0, last_session: 0, runtime }
    }

    /// Lets `count` more visitors begin a conversation, `at_once` at a time.
    pub fn begin(&mut self, count: usize, at_once: usize) {
        for _ in 0..count {
            if self.under_way.len() == at_once {
                self.finished();
            }
            self.start();
        }
        while !self.under_way.is_empty() {
            self.finished();
        }
    }

    fn start(&mut self) {
        let lane = self.lanes.len();
        let visitor = VisitorId(FIRST_VISITOR + lane as u128);
        let (session, party) = self.connect(visitor);
        let id = self.next_id(lane);
        let request = Request::Start { id, text: Arc::from(WORDS), page: None };
        let conversation = self.engine.start_id(WORKSPACE, visitor, id);
        self.submit(session, &party, request);
        self.lanes.push(Lane { session, party, conversation, seen: 0 });
    }

    /// Begins a message of a visitor who has none under way.
    pub fn say(&mut self, lane: usize) {
        let id = self.next_id(lane);
        let Lane { session, party, conversation, seen } = &self.lanes[lane];
        let request = Request::Send { id, conversation: *conversation, seen: *seen, text: Arc::from(WORDS) };
        let (session, party) = (*session, party.clone());
        self.submit(session, &party, request);
    }

    /// Waits for any message to be acknowledged: whose it was, and how long it took.
    pub fn finished(&mut self) -> (usize, Duration) {
        loop {
            // What a start opens is told besides.
            let Heard::Acknowledged { id, seq } = self.hear() else { continue };
            let (lane, began) = self.under_way.remove(&id).expect("it was under way");
            self.lanes[lane].seen = seq;
            return (lane, began.elapsed());
        }
    }

    /// How long a visitor waits who comes and opens a conversation that is not in memory.
    pub fn wake(&mut self, visitor: VisitorId, conversation: ConversationId) -> Duration {
        let (session, party) = self.connect(visitor);
        let began = Instant::now();
        self.submit(session, &party, Request::Open { conversation, after: None });
        while !matches!(self.hear(), Heard::Opened(opened) if opened == conversation) {}
        let took = began.elapsed();
        self.engine.disconnect(session, &party, &[conversation]);
        took
    }

    /// Conversations in memory.
    pub fn live(&self) -> usize {
        self.engine.live_conversations()
    }

    /// Visitors.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Ends in peace.
    pub fn drain(self) {
        self.runtime.block_on(self.engine.drain());
    }

    fn connect(&mut self, visitor: VisitorId) -> (SessionId, Party) {
        self.last_session += 1;
        let session = SessionId(self.last_session);
        let party = Party::Visitor { workspace: WORKSPACE, visitor, name: Arc::from("Amber Otter") };
        self.engine.connect(session, &party);
        (session, party)
    }

    fn submit(&self, session: SessionId, party: &Party, request: Request) {
        let _within = self.runtime.enter();
        self.engine.submit(session, party, request).expect("a good request is taken");
    }

    fn hear(&self) -> Heard {
        self.heard.recv_timeout(PATIENCE).expect("every request is answered")
    }

    fn next_id(&mut self, lane: usize) -> CommandId {
        self.last_id += 1;
        let id = CommandId(self.last_id);
        self.under_way.insert(id, (lane, Instant::now()));
        id
    }
}

/// Far above what is under way here: nothing is refused. Nothing sleeps.
fn options() -> Options {
    Options {
        max_requests_in_flight: 65_536,
        max_requests_per_conversation: 1_024,
        commands_per_second: 0,
        sleep_after: Duration::from_secs(3_600),
        release_after: Duration::from_secs(60),
    }
}

/// Stands where the gateway stands, and hands on what a room waits for.
struct Listener(SyncSender<Heard>);

impl Answers for Listener {
    fn deliver(&self, _to: &[SessionId], answer: &Answer) {
        // Never blocks: the channel holds what everything under way is answered with.
        match answer {
            Answer::Acknowledged { id, seq, .. } => drop(self.0.send(Heard::Acknowledged { id: *id, seq: *seq })),
            Answer::Opened { view, .. } => drop(self.0.send(Heard::Opened(view.id))),
            Answer::Refused { refusal, .. } => panic!("a good request was refused: {refusal:?}"),
            _ => {}
        }
    }
}

struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Millis {
        Millis(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis() as i64))
    }
}
