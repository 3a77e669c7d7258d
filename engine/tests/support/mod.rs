//! An engine on the model store, with sessions whose answers are kept, and a clock in the test's hand. Tests run on
//! tokio's paused time: timers fire when nothing else is left to do, in no time at all.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use bellhop_engine::domain::*;
use bellhop_engine::exchange::*;
use bellhop_engine::ports::{Answers, Clock, Colleague, Desk};
use bellhop_engine::{Engine, Options, Ports};
use bellhop_storage::Model;
use tokio::sync::Notify;

pub const WORKSPACE: WorkspaceId = WorkspaceId(1);
/// Longer than any timer of the engine; virtual.
const PATIENCE: Duration = Duration::from_secs(300);

/// Every answer that a session got, in order.
#[derive(Default)]
pub struct Mail {
    got: std::sync::Mutex<HashMap<SessionId, Vec<Answer>>>,
    news: Notify,
    /// Delivering an event with this text panics so many times more, within the conversation's actor.
    poison: std::sync::Mutex<Option<(String, u32)>>,
}

impl Answers for Mail {
    fn deliver(&self, to: &[SessionId], answer: &Answer) {
        if let Answer::Acknowledged { .. } | Answer::Event { .. } = answer {
            self.panic_if_poisoned(answer);
        }
        let mut got = self.got.lock().unwrap();
        for session in to {
            got.entry(*session).or_default().push(answer.clone());
        }
        drop(got);
        self.news.notify_waiters();
    }
}

impl Mail {
    fn panic_if_poisoned(&self, answer: &Answer) {
        let mut poison = self.poison.lock().unwrap();
        let Some((text, left)) = poison.as_mut() else { return };
        if *left > 0 && format!("{answer:?}").contains(text.as_str()) {
            *left -= 1;
            drop(poison);
            panic!("injected: this answer crashes its actor");
        }
    }

    /// Everything that a session got, also one that is gone.
    pub fn got(&self, session: SessionId) -> Vec<Answer> {
        self.got.lock().unwrap().get(&session).cloned().unwrap_or_default()
    }

    /// The next `times` deliveries that mention `text` crash the actor that makes them.
    pub fn poison(&self, text: &str, times: u32) {
        *self.poison.lock().unwrap() = Some((text.to_owned(), times));
    }
}

pub struct HandClock(pub AtomicI64);

impl Clock for HandClock {
    fn now(&self) -> Millis {
        Millis(self.0.load(Ordering::Relaxed))
    }
}

pub struct World {
    pub engine: Engine,
    pub model: Model,
    pub mail: Arc<Mail>,
    pub clock: Arc<HandClock>,
    pub desk: Desk,
    next_session: Arc<AtomicU64>,
}

pub fn options() -> Options {
    Options {
        max_requests_in_flight: 10_000,
        max_requests_per_conversation: 256,
        commands_per_second: 0,
        sleep_after: Duration::from_secs(30),
        release_after: Duration::from_secs(60),
    }
}

pub fn member(id: u128) -> MemberName {
    MemberName { id: MemberId(id), name: format!("Member {id}").into() }
}

pub fn desk(members: u128) -> Desk {
    let members =
        (1..=members).map(|id| Colleague { member: member(id), role: Role::Agent, available: true }).collect();
    Desk { workspace: WORKSPACE, agent_cap: 5, members }
}

impl World {
    pub async fn new(members: u128) -> Self {
        Self::with(Model::new(7), members, options()).await
    }

    pub async fn with(model: Model, members: u128, options: Options) -> Self {
        let mail = Arc::new(Mail::default());
        let clock = Arc::new(HandClock(AtomicI64::new(1_000_000)));
        let desk = desk(members);
        let ports = Ports {
            store: Arc::new(model.clone()),
            answers: Arc::clone(&mail) as Arc<dyn Answers>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
        };
        let engine = Engine::start(ports, options, vec![desk.clone()]).await.unwrap();
        Self { engine, model, mail, clock, desk, next_session: Arc::new(AtomicU64::new(1)) }
    }

    /// The process dies and starts again on what is durable.
    pub async fn restart(&self) -> Self {
        let members = self.desk.members.len() as u128;
        let next = Self::with(self.model.reopen(), members, options()).await;
        next.clock.0.store(self.clock.0.load(Ordering::Relaxed), Ordering::Relaxed);
        next.next_session.store(self.next_session.load(Ordering::Relaxed) + 1_000, Ordering::Relaxed);
        next
    }

    pub fn visitor(&self, id: u128) -> Client<'_> {
        let visitor = VisitorId(id);
        self.client(Party::Visitor { workspace: WORKSPACE, visitor, name: visitor_name(visitor) })
    }

    pub fn agent(&self, id: u128) -> Client<'_> {
        self.client(Party::Agent { workspace: WORKSPACE, member: member(id) })
    }

    pub fn client(&self, party: Party) -> Client<'_> {
        let session = SessionId(self.next_session.fetch_add(1, Ordering::Relaxed));
        self.engine.connect(session, &party);
        Client { world: self, session, party, read: AtomicU64::new(0) }
    }

    pub fn key(&self, conversation: ConversationId) -> ConversationKey {
        ConversationKey { workspace: WORKSPACE, conversation }
    }
}

/// One session.
pub struct Client<'a> {
    pub world: &'a World,
    pub session: SessionId,
    pub party: Party,
    read: AtomicU64,
}

impl Client<'_> {
    pub fn ask(&self, request: Request) -> Result<(), Refusal> {
        self.world.engine.submit(self.session, &self.party, request)
    }

    /// The next answer that `pick` takes; those before it are passed over.
    pub async fn next<T>(&self, what: &str, pick: impl Fn(&Answer) -> Option<T>) -> T {
        let waiting = async {
            loop {
                let news = self.world.mail.news.notified();
                if let Some(found) = self.take(&pick) {
                    return found;
                }
                news.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(found) => found,
            Err(_) => panic!("{what} did not come to {:?}; it got {:#?}", self.session, self.all()),
        }
    }

    fn take<T>(&self, pick: &impl Fn(&Answer) -> Option<T>) -> Option<T> {
        let got = self.world.mail.got.lock().unwrap();
        let answers = got.get(&self.session)?;
        for (index, answer) in answers.iter().enumerate().skip(self.read.load(Ordering::Relaxed) as usize) {
            if let Some(found) = pick(answer) {
                self.read.store(index as u64 + 1, Ordering::Relaxed);
                return Some(found);
            }
        }
        None
    }

    /// Everything that the session got so far.
    pub fn all(&self) -> Vec<Answer> {
        self.world.mail.got.lock().unwrap().get(&self.session).cloned().unwrap_or_default()
    }

    pub async fn acknowledged(&self, id: u128) -> (ConversationId, Seq, bool) {
        self.next(&format!("the acknowledgement of {id}"), |answer| match answer {
            Answer::Acknowledged { id: it, conversation, seq, again, .. } if it.0 == id => {
                Some((*conversation, *seq, *again))
            }
            Answer::Refused { id: Some(it), refusal, .. } if it.0 == id => panic!("{id} was refused: {refusal:?}"),
            _ => None,
        })
        .await
    }

    pub async fn refused(&self, id: u128) -> Refusal {
        self.next(&format!("the refusal of {id}"), |answer| match answer {
            Answer::Refused { id: Some(it), refusal, .. } if it.0 == id => Some(*refusal),
            Answer::Acknowledged { id: it, .. } if it.0 == id => panic!("{id} was acknowledged"),
            _ => None,
        })
        .await
    }

    /// Starts a conversation.
    pub async fn start(&self, id: u128, text: &str) -> ConversationId {
        self.ask(Request::Start { id: CommandId(id), text: text.into(), page: None }).unwrap();
        self.acknowledged(id).await.0
    }

    pub fn send(&self, conversation: ConversationId, id: u128, seen: Seq, text: &str) {
        self.ask(Request::Send { id: CommandId(id), conversation, seen, text: text.into() }).unwrap();
    }

    pub async fn says(&self, conversation: ConversationId, id: u128, text: &str) -> Seq {
        self.send(conversation, id, 0, text);
        self.acknowledged(id).await.1
    }

    /// Opens a conversation to its end; what came, in order, and the first frame's reset.
    pub async fn open(&self, conversation: ConversationId, after: Option<Seq>) -> (Option<Reset>, Vec<Arc<Event>>) {
        let (mut all, mut first, mut after) = (Vec::new(), None, after);
        loop {
            self.ask(Request::Open { conversation, after }).unwrap();
            let (reset, events, more) = self
                .next("opened", |answer| match answer {
                    Answer::Opened { view, reset, events, more, .. } if view.id == conversation => {
                        Some((*reset, events.clone(), *more))
                    }
                    Answer::Refused { id: None, refusal, .. } => panic!("open was refused: {refusal:?}"),
                    _ => None,
                })
                .await;
            first = first.or(reset);
            all.extend(events);
            if !more {
                return (first, all);
            }
            after = all.last().map(|event| event.seq);
        }
    }

    pub async fn event(&self, what: &str, pick: impl Fn(&Event) -> bool) -> Arc<Event> {
        self.next(what, |answer| match answer {
            Answer::Event { event, .. } if pick(event) => Some(Arc::clone(event)),
            _ => None,
        })
        .await
    }

    /// The next event with this text.
    pub async fn hears(&self, text: &str) -> Arc<Event> {
        self.event(&format!("{text:?}"), |event| said(event) == Some(text)).await
    }

    pub fn leave(self, followed: &[ConversationId]) {
        self.world.engine.disconnect(self.session, &self.party, followed);
    }
}

/// The text of a message or note.
pub fn said(event: &Event) -> Option<&str> {
    match &event.body {
        Body::Message { parts } | Body::Note { parts } => parts.first().map(|part| match part {
            Part::Text(text) => text.as_ref(),
        }),
        _ => None,
    }
}
