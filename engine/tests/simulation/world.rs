//! A world from a seed: clients, links that lose, delay and cut, a server that crashes and drains, a store with its
//! faults, and a driver that makes all of it happen. One thread, one order, one clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bellhop_engine::Options;
use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;
use bellhop_engine::ports::{Colleague, Desk};
use bellhop_storage::{Faults, Model};
use parking_lot::Mutex;
use xxhash_rust::xxh3::Xxh3Default;

use super::check::{Broken, Check};
use super::client::{Client, Known, Timer, Wish};
use super::process::{Process, Victim};
use super::random::Random;
use super::words::Words;

pub const WORKSPACE: WorkspaceId = WorkspaceId(1);

/// How long an agent may be away before what they have not answered goes back to the line.
const RELEASE_AFTER: Duration = Duration::from_secs(8);

/// What came of a world.
pub struct Outcome {
    pub broken: Option<Broken>,
    /// Of everything that happened, in order.
    pub digest: u64,
    pub counts: BTreeMap<&'static str, u64>,
    pub trace: String,
}

/// One connection: in order both ways until it is cut.
struct Link {
    client: usize,
    session: SessionId,
    /// The last arrival each way, so that nothing overtakes.
    up: u64,
    down: u64,
    /// What would arrive later is lost.
    up_until: u64,
    down_until: u64,
    /// Whether the gateway holds it.
    open: bool,
    life: u64,
    followed: Vec<ConversationId>,
}

#[derive(Debug)]
enum Happens {
    Hello(usize),
    Welcome(usize),
    Frame(usize, Request),
    Answer(usize, Answer),
    GatewayLoses(usize),
    ClientLoses(usize),
    Timer(usize, Timer),
    Birth,
    ZombieDies,
    StoreReturns,
}

/// What a driver may do; each world likes some of it more than the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Start,
    Say,
    Note,
    Assign,
    Return,
    Resolve,
    Reopen,
    Read,
    Typing,
    Open,
    Close,
    Page,
    Follow,
    Unfollow,
    Join,
    Leave,
    Cut,
    TakeOver,
    Repeat,
    Misuse,
    Available,
    Member,
    Cap,
    Clock,
    Week,
    Away,
    Panic,
    Idle,
    Crash,
    Zombie,
    Drain,
}

/// Every deed and how often it is done among the others at most.
const DEEDS: [(Deed, u64); 31] = [
    (Deed::Start, 30),
    (Deed::Say, 120),
    (Deed::Note, 15),
    (Deed::Assign, 15),
    (Deed::Return, 10),
    (Deed::Resolve, 25),
    (Deed::Reopen, 10),
    (Deed::Read, 15),
    (Deed::Typing, 8),
    (Deed::Open, 30),
    (Deed::Close, 12),
    (Deed::Page, 8),
    (Deed::Follow, 15),
    (Deed::Unfollow, 5),
    (Deed::Join, 20),
    (Deed::Leave, 10),
    (Deed::Cut, 20),
    (Deed::TakeOver, 8),
    (Deed::Repeat, 12),
    (Deed::Misuse, 5),
    (Deed::Available, 10),
    (Deed::Member, 4),
    (Deed::Cap, 4),
    (Deed::Clock, 4),
    (Deed::Week, 1),
    (Deed::Away, 3),
    (Deed::Panic, 4),
    (Deed::Idle, 6),
    (Deed::Crash, 4),
    (Deed::Zombie, 2),
    (Deed::Drain, 2),
];

pub struct World {
    random: Random,
    pub now: u64,
    queue: BTreeMap<(u64, u64), Happens>,
    ties: u64,
    model: Model,
    process: Option<Process>,
    zombie: Option<Process>,
    life: u64,
    skew: Arc<AtomicI64>,
    check: Arc<Mutex<Check>>,
    clients: Vec<Client>,
    /// Each client's connection, or the one that it is making.
    at: Vec<Option<usize>>,
    links: Vec<Link>,
    by_session: BTreeMap<SessionId, usize>,
    desk: Desk,
    everyone: Vec<Colleague>,
    weights: Vec<(Deed, u64)>,
    latency: (u64, u64),
    calm: bool,
    panics: u32,
    drain_began: u64,
    ids: u128,
    counts: BTreeMap<&'static str, u64>,
    digest: Xxh3Default,
    trace: Option<String>,
}

impl World {
    pub fn new(seed: u64, traced: bool) -> Self {
        let mut random = Random::new(seed);
        let model = Model::new(seed);
        let members = random.within(1, 3);
        let everyone: Vec<_> = (1..=u128::from(members))
            .map(|id| Colleague {
                member: MemberName { id: MemberId(id), name: format!("Member {id}").into() },
                role: Role::Agent,
                available: true,
            })
            .collect();
        let cap = random.within(1, 4) as u32;
        let desk = Desk { workspace: WORKSPACE, agent_cap: cap, members: everyone.clone() };
        let mut clients = Vec::new();
        for visitor in 0..random.within(1, 4) {
            let visitor = VisitorId(100 + u128::from(visitor));
            for _ in 0..random.within(1, 2) {
                let party = Party::Visitor { workspace: WORKSPACE, visitor, name: visitor_name(visitor) };
                clients.push(Client::new(party, random.next()));
            }
        }
        for colleague in &everyone {
            for _ in 0..random.within(1, 2) {
                let party = Party::Agent { workspace: WORKSPACE, member: colleague.member.clone() };
                clients.push(Client::new(party, random.next()));
            }
        }
        // Swarm testing (Groce et al. 2012): each world leaves some deeds out and does others more often.
        let weights = DEEDS.map(|(deed, most)| {
            let share = if random.chance(250) { 0 } else { random.within(1, 4) };
            let share = if matches!(deed, Deed::Start | Deed::Say | Deed::Join) { share.max(1) } else { share };
            (deed, most * share)
        });
        let check = Arc::new(Mutex::new(Check::new(model.clone(), WORKSPACE, cap)));
        let at = vec![None; clients.len()];
        let mut world = Self {
            random,
            now: 0,
            queue: BTreeMap::new(),
            ties: 0,
            model,
            process: None,
            zombie: None,
            life: 0,
            skew: Arc::default(),
            check,
            clients,
            at,
            links: Vec::new(),
            by_session: BTreeMap::new(),
            desk,
            everyone,
            weights: weights.to_vec(),
            latency: (1, 30),
            calm: false,
            panics: 0,
            drain_began: 0,
            ids: 1,
            counts: BTreeMap::new(),
            digest: Xxh3Default::new(),
            trace: traced.then(String::new),
        };
        world.give_birth();
        world
    }

    /// Lives through the whole of it.
    pub fn run(mut self, phases: u64, deeds: u64) -> Outcome {
        for phase in 0..phases {
            self.weather();
            for _ in 0..deeds {
                self.act();
                if self.broken() {
                    return self.end();
                }
            }
            self.settle();
            if self.broken() {
                return self.end();
            }
            self.look_around();
            if phase + 1 == phases {
                self.retire();
            }
            if self.broken() {
                return self.end();
            }
        }
        self.end()
    }

    fn end(self) -> Outcome {
        let mut counts = self.counts;
        let mut add = |more: &BTreeMap<&'static str, u64>| {
            for (what, count) in more {
                *counts.entry(what).or_default() += count;
            }
        };
        for client in &self.clients {
            add(&client.counts);
        }
        let check = self.check.lock();
        add(&check.counts);
        *counts.entry("conversations").or_default() += check.known().len() as u64;
        *counts.entry("events").or_default() += check.truth.values().map(|it| it.events.len() as u64).sum::<u64>();
        *counts.entry("simulated seconds").or_default() += self.now / 1_000;
        let broken = check.broken.clone();
        drop(check);
        Outcome { broken, digest: self.digest.digest(), counts, trace: self.trace.unwrap_or_default() }
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn broken(&self) -> bool {
        self.check.lock().broken.is_some()
    }

    fn breaks(&self, promise: &'static str, what: String) {
        self.check.lock().breaks(promise, what);
    }

    /// Notes what happens: for the digest, and for whoever reads the trace.
    fn note(&mut self, mark: u64, what: impl FnOnce() -> String) {
        self.digest.write_u64(self.now);
        self.digest.write_u64(mark);
        if let Some(trace) = &mut self.trace {
            let _fits = writeln!(trace, "{:>9} {}", self.now, what());
        }
    }

    // Time.

    fn at(&mut self, time: u64, happens: Happens) {
        self.ties += 1;
        self.queue.insert((time.max(self.now), self.ties), happens);
    }

    /// Lets this much time pass, ms.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        loop {
            let next = self.queue.first_key_value().map_or(until, |(at, _)| at.0.min(until));
            self.run_engines(next.max(self.now));
            while let Some(entry) = self.queue.first_entry().filter(|it| it.key().0 <= self.now) {
                let happens = entry.remove();
                self.happen(happens);
            }
            if self.now >= until || self.broken() {
                return;
            }
        }
    }

    /// Runs what is alive up to this time, or to the first thing that is told.
    fn run_engines(&mut self, until: u64) {
        let mut told = Vec::new();
        let mut reached = until;
        if let Some(process) = &self.process {
            told = process.run(until);
            reached = process.now().min(until).max(self.now);
        }
        if let Some(zombie) = &self.zombie {
            told.extend(zombie.run(reached));
        }
        self.now = reached;
        for (to, answer) in told {
            for session in to {
                self.dispatch(session, &answer);
            }
        }
        if self.process.as_ref().is_some_and(|process| process.draining && process.drained()) {
            self.drained();
        }
    }

    fn latency(&mut self) -> u64 {
        self.random.within(self.latency.0, self.latency.1)
    }

    /// An answer goes down its link.
    fn dispatch(&mut self, session: SessionId, answer: &Answer) {
        self.count("answers");
        let Some(link) = self.by_session.get(&session).copied() else { return };
        let mark = mark(answer);
        self.note(mark, || format!("{session:?} is told {answer:?}"));
        if matches!(answer, Answer::Revoked) {
            return self.revoked(link);
        }
        let delay = self.latency();
        let line = &mut self.links[link];
        line.down = line.down.max(self.now + delay);
        let arrival = line.down;
        self.at(arrival, Happens::Answer(link, answer.clone()));
    }

    fn happen(&mut self, happens: Happens) {
        match happens {
            Happens::Hello(link) => self.hello(link),
            Happens::Welcome(link) => {
                let client = self.links[link].client;
                if self.at[client] == Some(link) && self.now <= self.links[link].down_until {
                    self.note(1, || format!("client {client} is welcomed"));
                    self.clients[client].welcome();
                    self.grant(client);
                }
            }
            Happens::Frame(link, request) => self.frame(link, request),
            Happens::Answer(link, answer) => {
                let client = self.links[link].client;
                if self.at[client] == Some(link) && self.now <= self.links[link].down_until {
                    self.note(2, || format!("client {client} hears {answer:?}"));
                    self.clients[client].take(&answer);
                    self.grant(client);
                }
            }
            Happens::GatewayLoses(link) => self.gateway_loses(link),
            Happens::ClientLoses(link) => self.client_loses(link),
            Happens::Timer(client, Timer::Connect) => self.connect(client),
            Happens::Timer(client, timer) => {
                self.clients[client].timer(timer);
                self.grant(client);
            }
            Happens::Birth => self.give_birth(),
            Happens::ZombieDies => self.zombie = None,
            Happens::StoreReturns => self.model.away(false),
        }
    }

    /// Does what a client wants done.
    fn grant(&mut self, client: usize) {
        for (promise, what) in std::mem::take(&mut self.clients[client].complaints) {
            self.breaks(promise, format!("client {client}: {what}"));
        }
        for wish in self.clients[client].wishes() {
            match wish {
                Wish::Later(ms, timer) => self.at(self.now + ms, Happens::Timer(client, timer)),
                Wish::Send(request) => {
                    let Some(link) = self.at[client] else { continue };
                    let delay = self.latency();
                    let line = &mut self.links[link];
                    line.up = line.up.max(self.now + delay);
                    let arrival = line.up;
                    self.at(arrival, Happens::Frame(link, request));
                }
            }
        }
    }

    // Connections.

    fn connect(&mut self, client: usize) {
        if !self.clients[client].wanted || self.at[client].is_some() {
            return;
        }
        let open = self.process.as_ref().is_some_and(|process| !process.draining);
        if !open {
            let pause = self.clients[client].backoff();
            return self.at(self.now + 1 + pause, Happens::Timer(client, Timer::Connect));
        }
        let link = self.links.len();
        let session = SessionId(link as u64 + 1);
        let delay = self.latency();
        self.links.push(Link {
            client,
            session,
            up: self.now + delay,
            down: 0,
            up_until: u64::MAX,
            down_until: u64::MAX,
            open: false,
            life: self.life,
            followed: Vec::new(),
        });
        self.at[client] = Some(link);
        self.at(self.now + delay, Happens::Hello(link));
    }

    fn hello(&mut self, link: usize) {
        let Link { client, session, life, up_until, .. } = self.links[link];
        if self.now > up_until {
            return;
        }
        let party = self.clients[client].party.clone();
        let admitted = match &party {
            Party::Visitor { .. } => true,
            Party::Agent { member, .. } => self.desk.members.iter().any(|it| it.member.id == member.id),
        };
        if !admitted {
            self.clients[client].wanted = false;
        }
        let process = self.process.as_ref().filter(|process| life == self.life && !process.draining);
        let Some(process) = process.filter(|_| admitted) else {
            return self.at(self.now, Happens::ClientLoses(link));
        };
        self.check.lock().sessions.insert(session, party.clone());
        process.with(|engine| engine.connect(session, &party));
        self.by_session.insert(session, link);
        let delay = self.latency();
        let line = &mut self.links[link];
        line.open = true;
        line.down = line.down.max(self.now + delay);
        let arrival = line.down;
        self.at(arrival, Happens::Welcome(link));
    }

    /// The process that a link leads to, if it lives.
    fn behind(&self, link: usize) -> Option<&Process> {
        if self.links[link].life == self.life { self.process.as_ref() } else { self.zombie.as_ref() }
    }

    fn frame(&mut self, link: usize, request: Request) {
        let Link { client, session, open, up_until, .. } = self.links[link];
        if !open || self.now > up_until {
            return;
        }
        let party = self.clients[client].party.clone();
        let Some(process) = self.behind(link) else { return };
        let follows = match &request {
            Request::Start { id, .. } => match &party {
                Party::Visitor { visitor, .. } => {
                    Some(process.with(|engine| engine.start_id(WORKSPACE, *visitor, *id)))
                }
                Party::Agent { .. } => None,
            },
            Request::Open { conversation, .. } => Some(*conversation),
            _ => None,
        };
        // The checker knows of it before the engine answers.
        let kept = Words::of(&request).is_some().then(|| request.clone());
        let outcome = {
            if let Some(request) = &kept {
                self.check.lock().submitted(session, request, Ok(()));
            }
            process.with(|engine| engine.submit(session, &party, request.clone()))
        };
        self.note(3, || format!("{session:?} (client {client}) asks {request:?}: {outcome:?}"));
        self.count("requests");
        if let Request::Close { conversation } = &request {
            self.links[link].followed.retain(|it| it != conversation);
        }
        match outcome {
            Ok(()) => {
                let followed = &mut self.links[link].followed;
                followed.extend(follows.filter(|it| !followed.contains(it)));
            }
            Err(refusal) => {
                let conversation = match &request {
                    Request::Open { conversation, .. } | Request::Page { conversation, .. } => Some(*conversation),
                    _ => None,
                };
                let id = request.command_id();
                let answer = Answer::Refused { id, conversation, refusal };
                if id.is_some() {
                    self.check.lock().told(&[session], &answer);
                }
                self.dispatch(session, &answer);
            }
        }
    }

    /// The link breaks: what is on its way may be lost, and both ends find out some time later.
    fn cut(&mut self, link: usize) {
        self.count("links cut");
        let up = self.now + self.random.below(60);
        let down = self.now + self.random.below(60);
        let line = &mut self.links[link];
        (line.up_until, line.down_until) = (line.up_until.min(up), line.down_until.min(down));
        let (gateway, client) = (self.random.below(3_000), self.random.below(1_000));
        self.at(up + 1 + gateway, Happens::GatewayLoses(link));
        self.at(down + 1 + client, Happens::ClientLoses(link));
    }

    fn gateway_loses(&mut self, link: usize) {
        if !std::mem::take(&mut self.links[link].open) {
            return;
        }
        let Link { client, session, .. } = self.links[link];
        let (party, followed) = (self.clients[client].party.clone(), std::mem::take(&mut self.links[link].followed));
        if let Some(process) = self.behind(link) {
            process.with(|engine| engine.disconnect(session, &party, &followed));
        }
        self.note(4, || format!("{session:?} (client {client}) is gone"));
    }

    fn client_loses(&mut self, link: usize) {
        let client = self.links[link].client;
        if self.at[client] != Some(link) {
            return;
        }
        self.at[client] = None;
        self.clients[client].lost();
        self.note(5, || format!("client {client} lost its connection"));
        if self.clients[client].wanted {
            let pause = self.clients[client].backoff();
            self.at(self.now + 1 + pause, Happens::Timer(client, Timer::Connect));
        }
    }

    fn revoked(&mut self, link: usize) {
        self.gateway_loses(link);
        let client = self.links[link].client;
        self.clients[client].wanted = false;
        self.client_loses(link);
    }

    // The server.

    fn options() -> Options {
        Options {
            max_requests_in_flight: 200,
            max_requests_per_conversation: 24,
            commands_per_second: 0,
            sleep_after: Duration::from_secs(5),
            release_after: RELEASE_AFTER,
        }
    }

    fn give_birth(&mut self) {
        if self.process.is_some() {
            return;
        }
        let started =
            Process::start(self.now, &self.model, &self.check, &self.skew, Self::options(), self.desk.clone());
        match started {
            Ok(process) => {
                self.now = self.now.max(process.now());
                self.process = Some(process);
                self.note(6, || "the server is up".to_owned());
                for client in 0..self.clients.len() {
                    let soon = self.random.below(200);
                    self.at(self.now + soon, Happens::Timer(client, Timer::Connect));
                }
            }
            Err(error) => {
                self.count("starts refused");
                self.note(7, || format!("the server does not start: {error}"));
                self.at(self.now + 500, Happens::Birth);
            }
        }
    }

    /// The store changes hands; the old process, if any is left, is fenced.
    fn take_over(&mut self) {
        self.model = self.model.reopen();
        let first = self.links.len() as u64 + 1;
        let mut check = self.check.lock();
        check.model = self.model.clone();
        check.reborn(SessionId(first));
        drop(check);
        self.life += 1;
        self.panics = 0;
        let pause = self.random.below(1_500);
        self.at(self.now + pause, Happens::Birth);
    }

    fn all_lost(&mut self, life: u64) {
        for link in 0..self.links.len() {
            if self.links[link].life != life || self.links[link].up_until == 0 {
                continue;
            }
            let (down, noticed) = (self.random.below(30), self.random.below(200));
            let line = &mut self.links[link];
            (line.open, line.up_until) = (false, 0);
            line.down_until = line.down_until.min(self.now + down);
            if self.at[line.client] == Some(link) {
                self.at(self.now + down + noticed, Happens::ClientLoses(link));
            }
        }
    }

    fn crash(&mut self) {
        if self.process.is_none() {
            return;
        }
        self.count("crashes");
        self.note(8, || "kill -9".to_owned());
        // The store first: callbacks of the dead process are never called.
        self.take_over();
        self.process = None;
        self.all_lost(self.life - 1);
    }

    /// Another server takes the store, while this one lives on for a while and does not know.
    fn fence(&mut self) {
        if self.process.is_none() || self.zombie.is_some() {
            return;
        }
        self.count("fenced");
        self.note(9, || "another server takes the store".to_owned());
        self.take_over();
        self.zombie = self.process.take();
        let dies = self.random.within(500, 4_000);
        self.at(self.now + dies, Happens::ZombieDies);
        for link in 0..self.links.len() {
            if self.links[link].life + 1 == self.life && self.links[link].up_until == u64::MAX {
                let when = self.random.below(dies);
                self.links[link].up_until = self.now + when;
                self.links[link].down_until = self.now + when;
                self.at(self.now + when + 1, Happens::ClientLoses(link));
            }
        }
    }

    fn drain(&mut self) {
        let store = self.model.clone();
        let Some(process) = self.process.as_mut().filter(|process| !process.draining) else { return };
        process.drain(store);
        self.count("drains");
        self.note(10, || "SIGTERM".to_owned());
        self.drain_began = self.now;
    }

    fn drained(&mut self) {
        self.note(11, || "drained".to_owned());
        let took = self.now - self.drain_began;
        let left = self.check.lock().unanswered();
        if took < 10_000 && left > 0 {
            self.breaks("G8", format!("{left} accepted commands had no outcome when the drain ended after {took} ms"));
        }
        self.take_over();
        self.process = None;
        self.all_lost(self.life - 1);
    }

    // What happens.

    /// How the store and the links are for a while.
    fn weather(&mut self) {
        let mut some = |most: u64| if self.random.chance(500) { 0 } else { self.random.below(most) as u16 };
        let faults = Faults {
            append_refused: some(100),
            append_unknown: some(150),
            write_refused: some(200),
            write_unknown: some(100),
            read_refused: some(80),
            delay: Duration::ZERO,
            pause: Duration::ZERO,
        };
        let mut time = |most: u64| match self.random.below(4) {
            0 => Duration::ZERO,
            1 => Duration::from_millis(most),
            _ => Duration::from_millis(most / 10),
        };
        let faults = Faults { delay: time(400), pause: time(100), ..faults };
        self.model.faults(faults);
        self.calm = false;
        self.latency = match self.random.below(3) {
            0 => (1, 2),
            1 => (1, 40),
            _ => (5, 300),
        };
        self.note(12, || format!("weather: {faults:?}"));
    }

    fn act(&mut self) {
        self.count("steps");
        let total: u64 = self.weights.iter().map(|it| it.1).sum();
        let mut drawn = self.random.below(total);
        let deed = self
            .weights
            .iter()
            .find(|(_, weight)| {
                let found = drawn < *weight;
                drawn = drawn.saturating_sub(*weight);
                found
            })
            .map_or(Deed::Say, |it| it.0);
        self.note(100 + deed as u64, || format!("{deed:?}"));
        self.perform(deed);
        let gap = match self.random.below(20) {
            0..9 => self.random.below(10),
            9..18 => self.random.below(250),
            _ => self.random.below(2_500),
        };
        self.pass(gap);
        self.check.lock().refresh_some();
    }

    fn fresh_id(&mut self) -> CommandId {
        self.ids += 1;
        CommandId(self.ids)
    }

    fn text(&mut self) -> Arc<str> {
        format!("words {}", self.ids).into()
    }

    /// A client that fits.
    fn any(&mut self, fits: impl Fn(&Client) -> bool) -> Option<usize> {
        let all: Vec<usize> = (0..self.clients.len()).filter(|it| fits(&self.clients[*it])).collect();
        self.random.pick(&all)
    }

    /// A conversation that a client has open.
    fn chat(&mut self, client: usize) -> Option<ConversationId> {
        let chats: Vec<_> = self.clients[client].chats.keys().copied().collect();
        self.random.pick(&chats)
    }

    fn perform(&mut self, deed: Deed) {
        match deed {
            Deed::Start => self.start(),
            Deed::Say => self.say(),
            Deed::Note => self.agents_command(|world| Words::Note(world.text())),
            Deed::Assign => self.agents_command(|world| {
                let member = world.random.pick(&world.everyone.clone()).map_or(MemberId(99), |it| it.member.id);
                Words::Assign(member)
            }),
            Deed::Return => self.agents_command(|_| Words::Return),
            Deed::Resolve => self.agents_command(|_| Words::Resolve),
            Deed::Reopen => self.agents_command(|_| Words::Reopen),
            Deed::Read | Deed::Typing | Deed::Close | Deed::Page => self.look(deed),
            Deed::Open => self.open(),
            Deed::Follow | Deed::Unfollow => self.lists(deed),
            Deed::Join => {
                if let Some(client) = self.any(|it| !it.connected) {
                    let removed = self.is_removed(client);
                    self.clients[client].wanted = !removed;
                    self.connect(client);
                }
            }
            Deed::Leave => {
                if let Some(client) = self.any(|it| it.connected) {
                    self.clients[client].wanted = false;
                    if let Some(link) = self.at[client] {
                        self.at(self.now, Happens::ClientLoses(link));
                        let soon = self.latency();
                        let last = self.links[link].up.max(self.now + soon);
                        self.at(last, Happens::GatewayLoses(link));
                    }
                }
            }
            Deed::Cut => {
                if let Some(link) = self.any(|it| it.connected).and_then(|client| self.at[client]) {
                    self.cut(link);
                }
            }
            Deed::TakeOver => self.another_tab(),
            Deed::Repeat | Deed::Misuse => self.repeat(deed),
            Deed::Available => self.availability(),
            Deed::Member => self.membership(),
            Deed::Cap => {
                self.desk.agent_cap = self.random.within(1, 4) as u32;
                let mut check = self.check.lock();
                // What was offered under the old cap may still land.
                check.cap = check.cap.max(self.desk.agent_cap);
                drop(check);
                self.tell_desk();
            }
            Deed::Clock => {
                let skew = self.random.below(7_200_000) as i64 - 3_600_000;
                self.skew.fetch_add(skew, Ordering::Relaxed);
            }
            Deed::Week => {
                self.skew.fetch_add(8 * 24 * 3_600_000, Ordering::Relaxed);
            }
            Deed::Away => {
                self.count("store away");
                self.model.away(true);
                let back = self.random.within(50, 3_000);
                self.at(self.now + back, Happens::StoreReturns);
            }
            Deed::Panic => {
                let victims = [Victim::Conversation, Victim::Lists, Victim::Team];
                // Two in one life: the third crash of one actor within a minute is not restarted.
                if self.panics < 2
                    && let (Some(process), Some(victim)) = (&self.process, self.random.pick(&victims))
                {
                    self.panics += 1;
                    process.port.arm(victim);
                }
            }
            Deed::Idle => {
                let long = self.random.within(3_000, 20_000);
                self.pass(long);
            }
            Deed::Crash => self.crash(),
            Deed::Zombie => self.fence(),
            Deed::Drain => self.drain(),
        }
    }

    fn start(&mut self) {
        let Some(client) = self.any(|it| !it.is_agent()) else { return };
        if self.clients[client].chats.len() >= 4 {
            return self.say();
        }
        let id = self.fresh_id();
        let text = self.text();
        self.clients[client].start(id, text);
        if self.random.chance(300) {
            let (next, text) = (self.fresh_id(), self.text());
            self.clients[client].follow_up(next, id, text);
        }
        self.grant(client);
    }

    fn say(&mut self) {
        let Some(client) = self.any(|it| !it.chats.is_empty()) else { return };
        let Some(conversation) = self.chat(client) else { return };
        let many = if self.random.chance(50) { self.random.within(10, 50) } else { 1 };
        for _ in 0..many {
            let id = self.fresh_id();
            let words = Words::Send(self.text());
            self.clients[client].command(id, conversation, words);
        }
        self.grant(client);
    }

    fn agents_command(&mut self, words: impl Fn(&mut Self) -> Words) {
        let Some(client) = self.any(|it| it.is_agent() && !it.chats.is_empty()) else { return };
        let Some(conversation) = self.chat(client) else { return };
        let id = self.fresh_id();
        let words = words(self);
        self.clients[client].command(id, conversation, words);
        self.grant(client);
    }

    fn look(&mut self, deed: Deed) {
        let Some(client) = self.any(|it| it.connected && !it.chats.is_empty()) else { return };
        let Some(conversation) = self.chat(client) else { return };
        let (limit, on) = (self.random.within(1, 20) as u32, self.random.chance(500));
        let it = &mut self.clients[client];
        match deed {
            Deed::Read => it.read(conversation),
            Deed::Typing => it.typing(conversation, on),
            Deed::Close => it.unfollow(conversation),
            _ => it.load_older(conversation, limit),
        }
        self.grant(client);
    }

    fn open(&mut self) {
        let Some(client) = self.any(|_| true) else { return };
        let conversation = if self.clients[client].is_agent() {
            let known = self.check.lock().known();
            self.random.pick(&known)
        } else {
            let mut own: Vec<_> = self.clients[client].rows.keys().copied().collect();
            own.extend(self.clients[client].chats.keys());
            self.random.pick(&own)
        };
        if let Some(conversation) = conversation {
            self.clients[client].follow(conversation);
            self.grant(client);
        }
    }

    fn lists(&mut self, deed: Deed) {
        let Some(client) = self.any(Client::is_agent) else { return };
        let views = [View::Mine, View::Unassigned, View::Open, View::Resolved];
        let Some(view) = self.random.pick(&views) else { return };
        if deed == Deed::Follow {
            self.clients[client].list_begin(view);
        } else {
            self.clients[client].list_end(view);
        }
        self.grant(client);
    }

    /// Another tab of the same browser sends what this one has not had answered.
    fn another_tab(&mut self) {
        let Some(from) = self.any(|it| !it.outbox.is_empty()) else { return };
        let party = self.clients[from].party.clone();
        let entries = self.clients[from].outbox.values().cloned().collect();
        if let Some(to) = (0..self.clients.len()).find(|it| *it != from && self.clients[*it].party == party) {
            self.clients[to].take_over(entries);
            self.grant(to);
        }
    }

    /// A command that took effect comes once more, as it was or with another content.
    fn repeat(&mut self, deed: Deed) {
        let Some(client) = self.any(|it| it.connected && !it.settled.is_empty()) else { return };
        let settled = self.clients[client].settled.clone();
        let Some(entry) = self.random.pick(&settled) else { return };
        let Some(conversation) = entry.conversation else { return };
        let words = match entry.words {
            Words::Send(_) if deed == Deed::Misuse => Words::Send("other words".into()),
            Words::Start(_) if deed == Deed::Misuse => Words::Start("other words".into()),
            words => words,
        };
        let (Some(link), request) = (self.at[client], words.request(entry.id, conversation, entry.seen)) else {
            return;
        };
        let delay = self.latency();
        let line = &mut self.links[link];
        line.up = line.up.max(self.now + delay);
        let arrival = line.up;
        self.at(arrival, Happens::Frame(link, request));
    }

    fn availability(&mut self) {
        let Some(member) = self.random.pick(&self.desk.members.clone()) else { return };
        let available = self.random.chance(700);
        for colleague in self.desk.members.iter_mut().chain(&mut self.everyone) {
            if colleague.member.id == member.member.id {
                colleague.available = available;
            }
        }
        if let Some(process) = &self.process {
            process.with(|engine| engine.set_available(WORKSPACE, member.member.id, available));
        }
    }

    fn is_removed(&self, client: usize) -> bool {
        match &self.clients[client].party {
            Party::Agent { member, .. } => !self.desk.members.iter().any(|it| it.member.id == member.id),
            Party::Visitor { .. } => false,
        }
    }

    fn membership(&mut self) {
        let Some(colleague) = self.random.pick(&self.everyone.clone()) else { return };
        let id = colleague.member.id;
        if self.desk.members.iter().any(|it| it.member.id == id) {
            self.count("members removed");
            self.check.lock().removed.insert(id);
            self.desk.members.retain(|it| it.member.id != id);
        } else {
            self.desk.members.push(colleague);
        }
        self.tell_desk();
    }

    fn tell_desk(&mut self) {
        let desk = self.desk.clone();
        self.note(13, || format!("{desk:?}"));
        if let Some(process) = &self.process {
            process.with(|engine| engine.set_desk(desk));
        }
    }

    // Rest.

    /// Everything bad stops, everyone comes back, and all comes to rest.
    fn settle(&mut self) {
        self.note(14, || "calm".to_owned());
        self.calm = true;
        self.latency = (1, 20);
        self.model.away(false);
        self.model.faults(Faults { delay: Duration::from_millis(5), pause: Duration::from_millis(5), ..Faults::NONE });
        for client in 0..self.clients.len() {
            if !self.clients[client].wanted && self.random.chance(700) && !self.is_removed(client) {
                self.clients[client].wanted = true;
                self.connect(client);
            }
        }
        let mut unrest = Vec::new();
        for _ in 0..240 {
            self.pass(500);
            unrest = self.unrest();
            if unrest.is_empty() || self.broken() {
                break;
            }
        }
        // A forgotten reservation is settled after 10 s, an absence ends after 8.
        if unrest.is_empty() {
            self.pass(25_000);
            unrest = self.unrest();
        }
        if let Some(why) = unrest.first() {
            self.breaks("liveness", format!("two minutes of calm and still: {why}"));
        }
    }

    fn unrest(&self) -> Vec<String> {
        let mut why = Vec::new();
        if self.process.as_ref().is_none_or(|process| process.draining) {
            why.push("the server is not up".to_owned());
        }
        for (index, client) in self.clients.iter().enumerate() {
            why.extend(client.unrest().into_iter().map(|it| format!("client {index} {it}")));
        }
        let unanswered = self.check.lock().unanswered();
        if unanswered > 0 {
            why.push(format!("{unanswered} accepted commands have no outcome"));
        }
        why
    }

    /// At rest, everything must be as the logs say.
    fn look_around(&mut self) {
        self.count("quiet moments");
        let check = Arc::clone(&self.check);
        let mut check = check.lock();
        check.refresh_all();
        check.cap = self.desk.agent_cap;
        for (index, client) in self.clients.iter().enumerate().filter(|(_, it)| it.connected) {
            look_at_chats(index, client, &mut check);
            look_at_lists(index, client, &mut check);
        }
        self.look_at_staff(&mut check);
        for (index, client) in self.clients.iter().enumerate().filter(|(_, it)| it.connected) {
            look_at_rows(index, client, &mut check);
            let members = self.process.as_ref().map(|process| process.with(|engine| engine.members(WORKSPACE)));
            if client.is_agent() && members.as_ref() != Some(&client.members) {
                let what = format!("client {index} was told {:?}, and they are {members:?}", client.members);
                check.breaks("conversation", what);
            }
        }
        if let Some(violation) = self.model.violations().first() {
            check.breaks("store", violation.clone());
        }
        if let Some(process) = &self.process
            && let Err(why) = process.with(|engine| engine.health())
        {
            check.breaks("G12", why);
        }
    }

    fn online(&self, member: MemberId) -> bool {
        let is_theirs = |client: &Client| matches!(&client.party, Party::Agent { member: it, .. } if it.id == member);
        self.clients.iter().any(|client| client.connected && is_theirs(client))
    }

    fn look_at_staff(&self, check: &mut Check) {
        let Some(process) = &self.process else { return };
        let cap = self.desk.agent_cap;
        let free: Vec<MemberId> = self
            .desk
            .members
            .iter()
            .filter(|it| it.available && self.online(it.member.id) && check.load(it.member.id) < cap)
            .map(|it| it.member.id)
            .collect();
        for id in check.known() {
            let truth = &check.truth[&id];
            let wrong = match (truth.status, truth.holder) {
                (Some(Status::Queued), _) if !free.is_empty() => {
                    Some(("liveness", format!("{id} waits in the line, and {free:?} have room")))
                }
                (Some(Status::Assigned), Some(holder)) => {
                    if !self.desk.members.iter().any(|it| it.member.id == holder) {
                        Some(("conversation", format!("{id} is held by {holder}, who is no member")))
                    } else if !self.online(holder) && !truth.answered() {
                        Some(("liveness", format!("{id} waits for {holder}, who is away")))
                    } else {
                        None
                    }
                }
                _ => None,
            };
            if let Some((promise, what)) = wrong {
                check.breaks(promise, what);
            }
        }
        for state in process.with(|engine| engine.members(WORKSPACE)) {
            let id = state.member.id;
            let want = (self.online(id), check.load(id));
            if (state.online, state.open) != want {
                let what = format!("{id} is shown as {:?} and is {want:?}", (state.online, state.open));
                check.breaks("conversation", what);
            }
        }
    }

    /// Everyone leaves; every conversation must go to sleep, and its projections must be what the log says.
    fn retire(&mut self) {
        for client in 0..self.clients.len() {
            self.clients[client].wanted = false;
            if let Some(link) = self.at[client] {
                self.gateway_loses(link);
                self.client_loses(link);
            }
        }
        self.pass(60_000);
        let Some(process) = &self.process else { return };
        let live = process.with(|engine| engine.live_conversations());
        if live > 0 {
            self.breaks("liveness", format!("{live} conversations do not go to sleep"));
        }
        let store: Arc<dyn bellhop_engine::ports::Store> = Arc::new(self.model.clone());
        let dirty = process.ask(store.dirty()).unwrap_or_default();
        let known = self.check.lock().known();
        if let Some((_, key)) = dirty.iter().find(|(_, key)| known.contains(&key.conversation)) {
            self.breaks("projections", format!("{} sleeps and is marked dirty", key.conversation));
        }
        let mut check = self.check.lock();
        check.refresh_all();
        for id in check.known() {
            let key = check.key(id);
            let mut state = None;
            for event in &check.truth[&id].events {
                ConversationState::fold(&mut state, key, event);
            }
            let row = process.ask(store.row(key)).unwrap_or_default();
            let same = |row: &Row, state: &ConversationState| {
                let want = state.row(row.staff_read, row.visitor_read);
                Row { epoch: want.epoch, ..row.clone() } == want
            };
            if !row.as_ref().zip(state.as_ref()).is_some_and(|(row, state)| same(row, state)) {
                check.breaks("projections", format!("{id}: the log says {state:?} and its row is {row:?}"));
            }
        }
    }
}

/// What a reader has is what the log says, to the end.
fn look_at_chats(index: usize, client: &Client, check: &mut Check) {
    let audience = client.audience();
    for (id, chat) in client.chats.iter().filter(|(_, chat)| chat.following && chat.refused.is_none()) {
        let Some(truth) = check.truth.get(id) else { continue };
        let want: Vec<Known> =
            truth.events.iter().filter(|it| it.visible_to(audience)).map(|it| Known::of(it, audience)).collect();
        let from = want.len().checked_sub(chat.events.len());
        if from.is_none_or(|from| want[from..] != chat.events) {
            let have: Vec<_> = chat.events.iter().map(|it| it.seq).collect();
            let should: Vec<_> = want.iter().map(|it| it.seq).collect();
            let what = format!("client {index} has {have:?} of {id}, and there is {should:?}");
            return check.breaks("G4", what);
        }
        let older = chat.events.first().is_some_and(|first| first.prev > 0);
        if chat.older != older {
            return check.breaks("G4", format!("client {index}, {id}: older is {} and should not be", chat.older));
        }
        if truth.status == Some(Status::Queued) && audience == Audience::All {
            let before = check.truth.values().filter(|it| it.status == Some(Status::Queued));
            let place = before.filter(|it| it.number() <= truth.number()).count() as u64;
            if chat.position != Some(place) {
                let what = format!("client {index}, {id}: told place {:?} and stands at {place}", chat.position);
                return check.breaks("conversation", what);
            }
        }
    }
}

/// A visitor's own list has every conversation of theirs, each as it stands.
fn look_at_rows(index: usize, client: &Client, check: &mut Check) {
    let sender = client.party.author().sender();
    if client.is_agent() {
        return;
    }
    for (id, truth) in &check.truth {
        let Some(first) = truth.events.first().filter(|it| it.author.sender() == sender) else { continue };
        // A conversation that is followed is told by its events.
        let followed = client.chats.get(id).is_some_and(|chat| chat.following);
        let have = client.rows.get(id).map(|row| row.status);
        if have != truth.status && !(followed && have.is_none()) {
            let what = format!("client {index} has {have:?} for {id} of {:?}, and it is {:?}", first.at, truth.status);
            return check.breaks("G4", what);
        }
    }
}

/// What a follower's list holds is what the logs say.
fn look_at_lists(index: usize, client: &Client, check: &mut Check) {
    let Party::Agent { member, .. } = &client.party else { return };
    let in_view = |view: View, status: Option<Status>, holder: Option<MemberId>| match view {
        View::Mine => holder == Some(member.id),
        View::Unassigned => status == Some(Status::Queued),
        View::Open => matches!(status, Some(Status::Queued | Status::Assigned)),
        View::Resolved => status == Some(Status::Resolved),
    };
    let size = |view| check.truth.values().filter(|it| in_view(view, it.status, it.holder)).count() as u32;
    let counts = Counts { mine: size(View::Mine), unassigned: size(View::Unassigned), open: size(View::Open) };
    for (view, feed) in &client.feeds {
        let want: BTreeMap<ConversationId, Seq> = check
            .truth
            .iter()
            .filter(|(_, it)| in_view(*view, it.status, it.holder))
            .map(|(id, it)| (*id, it.head(Audience::All)))
            .collect();
        // Notes change nothing that a list shows.
        let have: BTreeMap<ConversationId, Seq> = feed.rows.iter().map(|(id, row)| (*id, row.head_all)).collect();
        if have != want || feed.counts != counts {
            let what = format!(
                "client {index} ({}) has {have:?} and {:?} in {view:?}, and there is {want:?} and {counts:?}",
                member.name, feed.counts
            );
            return check.breaks("G4", what);
        }
    }
}

/// What of an answer goes into the digest.
fn mark(answer: &Answer) -> u64 {
    let mut hash = Xxh3Default::new();
    let mut add = |numbers: &[u128]| numbers.iter().for_each(|it| hash.write_u128(*it));
    match answer {
        Answer::Acknowledged { id, conversation, seq, again, .. } => {
            add(&[1, id.0, conversation.0, u128::from(*seq), u128::from(*again)]);
        }
        Answer::Refused { id, conversation, .. } => {
            add(&[2, id.map_or(0, |it| it.0), conversation.map_or(0, |it| it.0)]);
        }
        Answer::Event { conversation, event, .. } => {
            add(&[3, conversation.0, u128::from(event.seq), event.at.0 as u128]);
        }
        Answer::Opened { view, events, .. } => {
            add(&[4, view.id.0, u128::from(view.head), events.len() as u128, u128::from(view.position.unwrap_or(0))]);
        }
        Answer::List { at, rows, .. } | Answer::Changes { at, upserts: rows, .. } => {
            add(&[5, u128::from(*at)]);
            rows.iter().for_each(|row| add(&[row.key.conversation.0, u128::from(row.seq)]));
        }
        Answer::Members(members) => {
            add(&[6]);
            members.iter().for_each(|it| add(&[it.member.id.0, u128::from(it.online), u128::from(it.open)]));
        }
        Answer::Read { conversation, seq, .. } => add(&[7, conversation.0, u128::from(*seq)]),
        Answer::Position { conversation, position } => {
            add(&[8, conversation.0, u128::from(position.unwrap_or(0))]);
        }
        _ => add(&[9]),
    }
    hash.digest()
}
