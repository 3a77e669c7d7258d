//! The hub knows every session of this process: it admits sockets, delivers answers, and closes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellhop_engine::domain::{MemberId, SessionId, TokenId, WorkspaceId};
use bellhop_engine::exchange::{Answer, Party};
use bellhop_engine::ports::Answers;
use bellhop_protocol::CloseCode;
use bellhop_protocol::limits::MAX_OUTBOX_BYTES;
use dashmap::DashMap;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::address::{Address, client_address};
use super::limits::{Addresses, Limits, Moment, since};
use super::meters::Meters;
use super::outbox::{Budget, Farewell, Outbox};
use super::session::{self, LINGER, Place, Session};
use super::{Admission, Switchboard, convert, handshake};

/// How long a revocation is remembered for a `hello` that was being checked meanwhile.
const REVOCATION_KEPT: Duration = Duration::from_secs(60);

/// Places that the queue of overdue greetings keeps in any case.
const GREETING_ROOM: usize = 64;

/// Idle sessions are looked for this often within the idle timeout.
const IDLE_LOOKS: u32 = 12;

/// Every session of this process, by id.
pub struct Hub {
    pub(super) limits: Limits,
    pub(super) meters: Meters,
    pub(super) budget: Budget,
    pub(super) addresses: Addresses,
    pub(super) admissions: Semaphore,
    /// By a quick hasher: nobody outside chooses these numbers.
    pub(super) sessions: DashMap<SessionId, Arc<Session>, foldhash::fast::RandomState>,
    myself: Weak<Hub>,
    began: Instant,
    next: AtomicU64,
    draining: AtomicBool,
    behind: OnceLock<Behind>,
    /// Sessions that have not said a good `hello` by their deadline, in the order of their deadlines.
    greeting: Mutex<VecDeque<(Moment, SessionId)>>,
    revocations: Mutex<VecDeque<(Instant, Revocation)>>,
    over_budget: Notify,
}

/// What stands behind the sessions.
pub(super) struct Behind {
    pub(super) engine: Box<dyn Switchboard>,
    pub(super) admission: Arc<dyn Admission>,
}

/// Whom a revocation sends away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revocation {
    Login(TokenId),
    Member(WorkspaceId, MemberId),
}

impl Revocation {
    pub(super) fn meets(self, party: &Party, login: Option<TokenId>) -> bool {
        match (self, party) {
            (Revocation::Login(it), _) => login == Some(it),
            (Revocation::Member(workspace, id), Party::Agent { workspace: theirs, member }) => {
                workspace == *theirs && id == member.id
            }
            (Revocation::Member(..), Party::Visitor { .. }) => false,
        }
    }
}

impl Hub {
    /// An empty hub that refuses every connection until [`Self::attach`]. The metrics recorder must be installed
    /// before, or this hub's figures go nowhere.
    pub fn new(limits: Limits) -> Arc<Hub> {
        Arc::new_cyclic(|myself| Hub {
            meters: Meters::new(),
            budget: Budget::new(limits.outbox_budget_bytes),
            addresses: Addresses::new(&limits),
            admissions: Semaphore::new(limits.admissions_at_once.clamp(1, Semaphore::MAX_PERMITS)),
            sessions: DashMap::with_hasher(foldhash::fast::RandomState::default()),
            myself: myself.clone(),
            began: Instant::now(),
            // Ids of an earlier run of this process do not come again soon; half the range is left to count through.
            next: AtomicU64::new(getrandom::u64().unwrap_or_default() >> 1),
            draining: AtomicBool::new(false),
            behind: OnceLock::new(),
            greeting: Mutex::new(VecDeque::new()),
            revocations: Mutex::new(VecDeque::new()),
            over_budget: Notify::new(),
            limits,
        })
    }

    /// Joins the hub to the engine and the accounts; from here on connections are taken. Called once, inside of the
    /// runtime; a second call changes nothing.
    pub fn attach(&self, engine: impl Switchboard, admission: Arc<dyn Admission>) {
        if self.behind.set(Behind { engine: Box::new(engine), admission }).is_ok() {
            tokio::spawn(sweep(self.myself.clone()));
        }
    }

    /// Closes every session of a log-in with `Revoked`, those whose `hello` is being checked as well.
    pub fn revoke_login(&self, login: TokenId) {
        self.revoke(Revocation::Login(login));
    }

    /// Closes every session of a member with `Revoked`, those whose `hello` is being checked as well.
    pub fn revoke_member(&self, workspace: WorkspaceId, member: MemberId) {
        self.revoke(Revocation::Member(workspace, member));
    }

    /// Live connections, those that have not yet said `hello` included.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Bytes queued to sessions or being written to them, over all.
    pub fn queued_bytes(&self) -> usize {
        self.budget.used()
    }

    /// Takes no more connections, and closes those that are there: in random order, evenly over `over`, each told to
    /// come back after a random part of the reconnect window. Returns when all are gone; at the latest a few seconds
    /// (what a farewell may take) after `over`.
    pub async fn drain(&self, over: Duration) {
        self.draining.store(true, Ordering::SeqCst);
        let mut ids: Vec<SessionId> = self.sessions.iter().map(|entry| *entry.key()).collect();
        for place in (1..ids.len()).rev() {
            ids.swap(place, random_below(place as u32 + 1) as usize);
        }
        let began = tokio::time::Instant::now();
        let count = ids.len().max(1) as u32;
        for (place, id) in (0u32..).zip(ids) {
            let due = began + over.mul_f64(f64::from(place) / f64::from(count));
            // A pause below the timer's step of 1 ms would only slow it down.
            if due > tokio::time::Instant::now() + Duration::from_millis(1) {
                tokio::time::sleep_until(due).await;
            }
            self.close(id, self.draining_farewell());
        }
        let deadline = tokio::time::Instant::now() + LINGER + Duration::from_secs(1);
        while !self.sessions.is_empty() && tokio::time::Instant::now() < deadline {
            // Who was in the middle of the upgrade when it began.
            let late: Vec<SessionId> = self
                .sessions
                .iter()
                .filter(|entry| !entry.value().outbox.closing())
                .map(|entry| *entry.key())
                .collect();
            for id in late {
                self.close(id, self.draining_farewell());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn draining_farewell(&self) -> Farewell {
        let window = self.limits.reconnect_window.as_millis().min(u128::from(u32::MAX)) as u32;
        Farewell { code: CloseCode::Draining, retry_after_ms: Some(random_below(window.max(1))) }
    }

    pub(super) fn behind(&self) -> Option<&Behind> {
        self.behind.get()
    }

    /// Milliseconds since the hub began.
    pub(super) fn now(&self) -> Moment {
        self.began.elapsed().as_millis() as Moment
    }

    pub(super) fn close(&self, id: SessionId, farewell: Farewell) {
        // The waker is called after the map's lock is gone: waking may drop a task, whose end asks for that lock.
        let pushed = self.sessions.get(&id).map(|session| session.outbox.close(farewell, &self.budget));
        if let Some(pushed) = pushed {
            pushed.wake();
        }
    }

    /// Whether somebody was sent away while their `hello` was being checked.
    pub(super) fn was_revoked(&self, party: &Party, login: Option<TokenId>) -> bool {
        self.revocations.lock().iter().any(|(_, revocation)| revocation.meets(party, login))
    }

    /// First noted, then acted on; a session first takes its place and then reads the notes ([`Self::was_revoked`]).
    /// Whichever is later sees the other.
    fn revoke(&self, revocation: Revocation) {
        {
            let mut kept = self.revocations.lock();
            while kept.front().is_some_and(|(at, _)| at.elapsed() > REVOCATION_KEPT) {
                kept.pop_front();
            }
            kept.push_back((Instant::now(), revocation));
        }
        let met: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|entry| entry.value().guest.get().is_some_and(|guest| revocation.meets(&guest.party, guest.login)))
            .map(|entry| *entry.key())
            .collect();
        for id in met {
            self.close(id, Farewell::new(CloseCode::Revoked));
        }
    }

    /// A new session takes its place; its `hello` is due in time.
    pub(super) fn enter(self: &Arc<Self>, address: Option<Address>) -> Place {
        let id = SessionId(self.next.fetch_add(1, Ordering::Relaxed));
        let now = self.now();
        let session =
            Arc::new(Session::new(id, address, now, Outbox::new(self.limits.outbox_bytes.min(MAX_OUTBOX_BYTES))));
        self.sessions.insert(id, Arc::clone(&session));
        let due = now.wrapping_add(self.limits.hello_timeout.as_millis() as Moment);
        self.greeting.lock().push_back((due, id));
        self.meters.greeting.increment(1.0);
        Place::new(Arc::clone(self), session)
    }

    /// Closes those whose `hello` is overdue.
    fn sweep_greetings(&self) {
        let now = self.now();
        loop {
            let id = {
                let mut greeting = self.greeting.lock();
                match greeting.front() {
                    // Passed, also across the wrap of the clock.
                    Some((due, id)) if now.wrapping_sub(*due) < Moment::MAX / 2 => {
                        let id = *id;
                        greeting.pop_front();
                        id
                    }
                    _ => {
                        // What a rush needed is not kept for ever: 16 B for each of those who came.
                        let few = greeting.len().max(GREETING_ROOM);
                        if greeting.capacity() > 4 * few {
                            greeting.shrink_to(2 * few);
                        }
                        return;
                    }
                }
            };
            let silent = self.sessions.get(&id).is_some_and(|session| session.guest.get().is_none());
            if silent {
                self.close(id, Farewell::new(CloseCode::HelloTimeout));
            }
        }
    }

    /// Closes those from whom nothing came for too long.
    fn sweep_idle(&self) {
        let now = self.now();
        let timeout = self.limits.idle_timeout.as_millis() as Moment;
        let silent: Vec<SessionId> = self
            .sessions
            .iter()
            .filter(|entry| since(now, entry.value().heard()) > timeout && entry.value().guest.get().is_some())
            .map(|entry| *entry.key())
            .collect();
        for id in silent {
            self.close(id, Farewell::new(CloseCode::IdleTimeout));
        }
    }

    /// Closes the fullest sessions until the budget is kept again.
    fn relieve(&self) {
        let mut excess = self.budget.excess();
        if excess == 0 {
            return;
        }
        let mut full: Vec<(usize, SessionId)> = Vec::new();
        for entry in self.sessions.iter() {
            let outbox = &entry.value().outbox;
            let bytes = outbox.bytes();
            if outbox.closing() {
                excess = excess.saturating_sub(bytes);
            } else if bytes > 0 {
                full.push((bytes, *entry.key()));
            }
        }
        full.sort_unstable_by(|a, b| b.cmp(a));
        for (bytes, id) in full {
            if excess == 0 {
                break;
            }
            self.close(id, Farewell::new(CloseCode::OutboxBudget));
            excess = excess.saturating_sub(bytes);
        }
    }
}

impl Answers for Hub {
    fn deliver(&self, to: &[SessionId], answer: &Answer) {
        let Some(frame) = convert::encode(answer) else {
            if matches!(answer, Answer::Revoked) {
                for id in to {
                    self.close(*id, Farewell::new(CloseCode::Revoked));
                }
            }
            return;
        };
        let answers = session::answers_a_bulky_request(answer);
        for id in to {
            let pushed = self.sessions.get(id).map(|session| {
                if answers {
                    session.bulky_answered();
                }
                session.outbox.push(&frame, &self.budget)
            });
            // Outside of the map's lock, as in `close`.
            if let Some(pushed) = pushed {
                pushed.wake();
            }
        }
        self.meters.sent.increment(to.len() as u64);
        if self.budget.excess() > 0 {
            self.over_budget.notify_one();
        }
    }
}

/// The one task that watches over all sessions, so that none needs a timer. Ends with the hub.
async fn sweep(hub: Weak<Hub>) {
    let Some(limits) = hub.upgrade().map(|hub| hub.limits.clone()) else { return };
    let step = Duration::from_secs(1).min(limits.hello_timeout / 4).min(limits.idle_timeout / 4);
    let step = step.max(Duration::from_millis(5));
    let mut idle_look = Instant::now();
    loop {
        let relief = {
            let Some(hub) = hub.upgrade() else { return };
            // Cancelled at the step's end; a notification that comes in between is kept by `Notify`.
            tokio::time::timeout(step, hub.over_budget.notified()).await.is_ok()
        };
        let Some(hub) = hub.upgrade() else { return };
        hub.sweep_greetings();
        if idle_look.elapsed() >= limits.idle_timeout / IDLE_LOOKS {
            idle_look = Instant::now();
            hub.sweep_idle();
        }
        hub.meters.outbox_bytes.set(hub.budget.used() as f64);
        if relief {
            hub.relieve();
            // Those who were closed need a moment to give their bytes back before it is worth looking again.
            drop(hub);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A random number below `bound` (at least 1). If the system has no randomness, the middle: order and spread are all
/// that is at stake.
pub(super) fn random_below(bound: u32) -> u32 {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    ((u64::from(random) * u64::from(bound)) >> 32) as u32
}

/// `GET /ws`. Answers 503 while draining or full and 429 when the address has too many sessions, both with
/// `Retry-After`; otherwise switches protocols. Serve it with
/// [`crate::http::listen::serve`]: the connection is taken from under HTTP, and another loop's cannot be.
pub async fn upgrade(
    State(hub): State<Arc<Hub>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
) -> Response {
    let accept = match handshake::accept(&request) {
        Ok(accept) => accept,
        Err(refused) => return refused.into_response(),
    };
    let full = hub.sessions.len() >= hub.limits.max_sessions;
    if full || hub.behind().is_none() || hub.draining.load(Ordering::SeqCst) {
        return later(&hub, StatusCode::SERVICE_UNAVAILABLE);
    }
    let headers = request.headers();
    let client = client_address(peer.ip(), headers, &hub.limits.trusted_proxies);
    let address = (hub.limits.limit_loopback || !client.is_loopback()).then(|| Address::of(client));
    if address.is_some_and(|address| !hub.addresses.enter(address)) {
        return later(&hub, StatusCode::TOO_MANY_REQUESTS);
    }
    // An origin that is no text is not "no origin": that would pass where a foreign one does not.
    let origin = headers.get(header::ORIGIN).map(|origin| Box::from(origin.to_str().unwrap_or("null")));
    let place = hub.enter(address);
    handshake::switch(&mut request, accept, move |socket| session::run(place, socket, origin))
}

fn later(hub: &Hub, status: StatusCode) -> Response {
    hub.meters.refused_upgrades.increment(1);
    let seconds = 1 + random_below(hub.limits.reconnect_window.as_secs().clamp(1, 600) as u32);
    let sentence = "The server takes no more connections now; come back later.\n";
    (status, [(header::RETRY_AFTER, seconds.to_string())], sentence).into_response()
}
