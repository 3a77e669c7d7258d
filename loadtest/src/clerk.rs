//! An agent under attack: one session that writes to the conversations it is told to, a few messages in flight, and a
//! diary of all it said and heard. Subscribed as an inbox is.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use bellhop_protocol::{Ack, As, Hello, Id, Refused, VERSION, View, Welcome};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::{
    client::{AGENT, Ended, Manner, run},
    house::House,
    ledger::{Diary, Outcome, Said, words},
    link::{Heard, Link, Parting, Role},
    rest::Rest,
    scene::Scene,
    stage::lock,
    wire::EventHead,
};

/// Messages of one clerk that are unanswered at a time: enough to keep the store's batches full, few enough that their
/// answers do not wait behind each other.
const IN_FLIGHT: usize = 16;
/// Source addresses of clerks, above those of any visitors and below those of the load test's agents.
const FIRST_SOURCE: u32 = 13_000_000;
/// Keys of clerks have this bit, so that no guest has the same.
const KEYS: u64 = 1 << 63;

pub(crate) enum ClerkOrder {
    /// One message to each, in this order.
    Write(Vec<Id>),
    /// The same, round after round, while the scene talks.
    Chatter(Vec<Id>),
}

struct Clerk {
    number: u32,
    member: Id,
    bytes: u32,
    rest: Arc<Rest>,
    scene: Arc<Scene>,
    diary: Arc<Mutex<Diary>>,
    waiting: VecDeque<Id>,
    chatter: Vec<Id>,
    turn: usize,
    in_flight: HashSet<Id>,
    made: u32,
    welcomed: bool,
    acknowledged: Arc<AtomicU64>,
}

impl Clerk {
    fn next(&mut self) -> Option<Id> {
        if let Some(id) = self.waiting.pop_front() {
            return Some(id);
        }
        if self.chatter.is_empty() || !self.scene.talking() {
            return None;
        }
        self.turn = (self.turn + 1) % self.chatter.len();
        Some(self.chatter[self.turn])
    }

    fn write(&mut self, link: &mut Link) {
        while self.in_flight.len() < IN_FLIGHT {
            let Some(conversation) = self.next() else { return };
            self.made += 1;
            let key = KEYS | (u64::from(self.number) << 32) | u64::from(self.made);
            let id = link.send(conversation, words(key, self.bytes));
            let said = Said { conversation: Some(conversation), key, bytes: self.bytes, outcome: Outcome::Open };
            lock(&self.diary).said.insert(id, said);
            self.in_flight.insert(id);
        }
    }
}

impl Role for Clerk {
    type Order = ClerkOrder;

    async fn hello(&mut self) -> Result<Hello, String> {
        // Good for 60 s, so a new one for every connection.
        let token = self.rest.socket_token(self.member).await.map_err(|trouble| trouble.to_string())?;
        Ok(Hello {
            v: VERSION,
            who: As::Agent,
            workspace: None,
            token: Some(token),
            client: Some(concat!("bellhop-loadtest/", env!("CARGO_PKG_VERSION")).into()),
        })
    }

    fn welcome(&mut self, link: &mut Link, _: &Welcome) {
        self.welcomed = true;
        self.scene.came();
        for view in [View::Mine, View::Unassigned] {
            link.list(view);
        }
    }

    fn order(&mut self, link: &mut Link, order: ClerkOrder) {
        match order {
            ClerkOrder::Write(conversations) => self.waiting.extend(conversations),
            ClerkOrder::Chatter(conversations) => self.chatter = conversations,
        }
        self.write(link);
    }

    fn event(&mut self, _: &mut Link, conversation: Id, event: &EventHead) {
        lock(&self.diary).heard.entry(conversation).or_default().push(event.seq);
    }

    fn reset(&mut self, conversation: Id) {
        self.scene.reset();
        lock(&self.diary).heard.remove(&conversation);
    }

    fn ack(&mut self, ack: &Ack) {
        if let (Some(said), Some(seq)) = (lock(&self.diary).said.get_mut(&ack.id), ack.seq) {
            said.outcome = Outcome::Acknowledged(seq);
        }
    }

    fn acked(&mut self, link: &mut Link, id: Id, _: Option<Id>) {
        self.scene.acknowledge();
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.in_flight.remove(&id);
        self.write(link);
    }

    fn repeats(&mut self, refusal: &Refused) -> bool {
        self.scene.refuse(refusal);
        true
    }

    fn refused(&mut self, _: &mut Link, refusal: &Refused) {
        self.scene.stage.trouble(format!("an agent was refused: {:?}, {}", refusal.code, refusal.message));
    }

    fn parted(&mut self, how: Parting) {
        self.scene.parted(std::mem::take(&mut self.welcomed), how);
    }
}

/// A clerk's session as its attack holds it. Dropping `orders` lets it leave once all is answered.
pub(crate) struct Desk {
    pub(crate) orders: UnboundedSender<ClerkOrder>,
    pub(crate) diary: Arc<Mutex<Diary>>,
    pub(crate) session: tokio::task::JoinHandle<Heard>,
    acknowledged: Arc<AtomicU64>,
}

impl Desk {
    /// Messages of this clerk that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// So many agents at work, each a member of its own, who write `bytes` a message. They take nothing from the line.
pub(crate) async fn desks(house: &House, scene: &Arc<Scene>, count: u32, bytes: u32) -> Result<Vec<Desk>, String> {
    let mut desks = Vec::with_capacity(count as usize);
    for number in 0..count {
        let added =
            house.rest.add_member(&format!("Clerk {number}"), &format!("clerk-{number}@loadtest.invalid")).await;
        let member = added.map_err(|trouble| format!("adding an agent: {trouble}"))?.id;
        let diary = Arc::new(Mutex::new(Diary::default()));
        // tidy(every queue is bounded): orders come from the attack itself, a few in all
        let (orders, receiver) = unbounded_channel();
        let mut clerk = Clerk {
            number,
            member,
            bytes,
            rest: Arc::clone(&house.rest),
            scene: Arc::clone(scene),
            diary: Arc::clone(&diary),
            waiting: VecDeque::new(),
            chatter: Vec::new(),
            turn: 0,
            in_flight: HashSet::new(),
            made: 0,
            welcomed: false,
            acknowledged: Arc::default(),
        };
        let acknowledged = Arc::clone(&clerk.acknowledged);
        let place = house.place.clone();
        let session = tokio::spawn(async move {
            let manner = Manner { backoff: crate::client::PROTOCOL, ..AGENT };
            let (ended, heard) = run(&mut clerk, receiver, &place, FIRST_SOURCE + number, manner).await;
            if let Ended::Stopped(why) = ended {
                clerk.scene.stage.trouble(why);
            }
            heard
        });
        desks.push(Desk { orders, diary, session, acknowledged });
    }
    Ok(desks)
}
