//! A visitor's message through the actor, from `submit` to its acknowledgement, durable, with so many in flight. What
//! `append` of the same number costs is the store's share.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellhop_benches::{WORDS, WORKSPACE};
use bellhop_engine::domain::{CommandId, ConversationId, Millis, Seq, SessionId, VisitorId};
use bellhop_engine::exchange::{Answer, Party, Request};
use bellhop_engine::ports::{Answers, Clock, Desk};
use bellhop_engine::{Engine, Options, Ports};
use criterion::{BenchmarkId, Criterion, Throughput};
use tokio::runtime::Runtime;

use crate::data::{IN_FLIGHT, keep_in_flight, new_store};

pub(crate) fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    group.throughput(Throughput::Elements(1));
    for lanes in IN_FLIGHT {
        let (store, path) = new_store(&format!("command-{lanes}"));
        let runtime = Runtime::new().expect("a runtime starts");
        let (answers, answered) = Answered::new(lanes);
        let ports = Ports { store: Arc::new(store), answers: Arc::new(answers), clock: Arc::new(SystemClock) };
        let desk = Desk { workspace: WORKSPACE, agent_cap: 5, members: Vec::new() };
        let engine = runtime.block_on(Engine::start(ports, options(), vec![desk])).expect("the engine starts");
        let guard = runtime.enter();
        let mut room = Room::open(&engine, lanes, &answered);
        group.bench_function(BenchmarkId::new("in_flight", lanes), |bench| {
            bench.iter_custom(|count| room.talk(count));
        });
        runtime.block_on(engine.drain());
        drop(guard);
        drop(engine);
        drop(runtime);
        let _ = std::fs::remove_dir_all(path);
    }
    group.finish();
}

/// Far above what is in flight here: nothing is refused.
fn options() -> Options {
    Options {
        max_requests_in_flight: 65_536,
        max_requests_per_conversation: 1_024,
        commands_per_second: 0,
        sleep_after: Duration::from_secs(3_600),
        release_after: Duration::from_secs(60),
    }
}

/// Visitors, each with a conversation and one message under way.
struct Room<'a> {
    engine: &'a Engine,
    answered: &'a Receiver<Acknowledged>,
    lanes: Vec<Lane>,
    /// Which lane a command is of.
    under_way: HashMap<CommandId, usize>,
    last_id: u128,
}

struct Lane {
    session: SessionId,
    party: Party,
    conversation: ConversationId,
    seen: Seq,
}

struct Acknowledged {
    id: CommandId,
    seq: Seq,
}

impl<'a> Room<'a> {
    /// Connects the visitors and lets each begin a conversation.
    fn open(engine: &'a Engine, count: usize, answered: &'a Receiver<Acknowledged>) -> Self {
        let mut room = Self { engine, answered, lanes: Vec::new(), under_way: HashMap::new(), last_id: 0 };
        for lane in 0..count {
            let visitor = VisitorId(lane as u128 + 1);
            let id = room.next_id(lane);
            let session = SessionId(lane as u64 + 1);
            let party = Party::Visitor { workspace: WORKSPACE, visitor, name: Arc::from("Amber Otter") };
            engine.connect(session, &party);
            let request = Request::Start { id, text: Arc::from(WORDS), page: None };
            engine.submit(session, &party, request).expect("a start is taken");
            let conversation = engine.start_id(WORKSPACE, visitor, id);
            room.lanes.push(Lane { session, party, conversation, seen: 0 });
        }
        for _ in 0..count {
            room.finished();
        }
        room
    }

    fn talk(&mut self, count: u64) -> Duration {
        let room = std::cell::RefCell::new(self);
        let lanes = room.borrow().lanes.len();
        keep_in_flight(count, lanes, |lane| room.borrow_mut().say(lane), || room.borrow_mut().finished())
    }

    fn say(&mut self, lane: usize) {
        let id = self.next_id(lane);
        let Lane { session, party, conversation, seen } = &self.lanes[lane];
        let request = Request::Send { id, conversation: *conversation, seen: *seen, text: Arc::from(WORDS) };
        self.engine.submit(*session, party, request).expect("a message is taken");
    }

    fn finished(&mut self) -> usize {
        let Acknowledged { id, seq } =
            self.answered.recv_timeout(Duration::from_secs(30)).expect("every command is acknowledged");
        let lane = self.under_way.remove(&id).expect("it was under way");
        self.lanes[lane].seen = seq;
        lane
    }

    fn next_id(&mut self, lane: usize) -> CommandId {
        self.last_id += 1;
        let id = CommandId(self.last_id);
        self.under_way.insert(id, lane);
        id
    }
}

/// Stands where the gateway stands, and hands on acknowledgements only.
struct Answered(SyncSender<Acknowledged>);

impl Answered {
    fn new(lanes: usize) -> (Self, Receiver<Acknowledged>) {
        let (sender, receiver) = sync_channel(lanes);
        (Self(sender), receiver)
    }
}

impl Answers for Answered {
    fn deliver(&self, _to: &[SessionId], answer: &Answer) {
        match answer {
            // Never blocks: the channel holds one answer of every lane.
            Answer::Acknowledged { id, seq, .. } => drop(self.0.send(Acknowledged { id: *id, seq: *seq })),
            Answer::Refused { refusal, .. } => panic!("a good command was refused: {refusal:?}"),
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
