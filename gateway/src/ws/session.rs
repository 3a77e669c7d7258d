//! One connection: a task that reads frames, asks the engine, and writes what is in its outbox.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellhop_engine::domain::{CommandId, ConversationId, Refusal, SessionId, TokenId};
use bellhop_engine::exchange::{Answer, Party, Request};
use bellhop_engine::sabotage::{self, Spot};
use bellhop_protocol as wire;
use bellhop_protocol::limits::{
    HEARTBEAT_MS, MAX_BAD_FRAMES, MAX_CONTROL_FRAMES_PER_10S, MAX_OPEN_CONVERSATIONS, MAX_TEXT_BYTES,
};
use bellhop_protocol::{CloseCode, Id, RefusalCode, ServerFrame};
use smallvec::SmallVec;
use tokio::time::Sleep;

use super::address::Address;
use super::convert::{self, Asked};
use super::frame::{Frame, Wrong};
use super::hub::{Hub, random_below};
use super::limits::{Bucket, Moment, Rate};
use super::outbox::{Farewell, Outbox, WRITE_BYTES};
use super::socket::{Heard, Input, Pong, Socket};
use super::{Admission, Later};
use crate::authenticate::Admitted;
use crate::doorway;

/// A farewell takes at most this long: what is queued, `bye`, the close frame, and the other end's close in answer.
pub(super) const LINGER: Duration = Duration::from_secs(3);

/// After a breach the socket cannot be read any more; it is held open this long so that the close frame arrives before
/// the reset that unread bytes cause.
const SETTLE: Duration = Duration::from_millis(500);

/// Frames read in one turn of the task before others get theirs.
const FRAMES_PER_TURN: u32 = 32;

/// Requests whose answer may be as large as a batch and that are unanswered, per session, before the next frame is
/// read. Without it a client that opens a hundred conversations at once would be closed for a slow reader. Two, so that
/// one is prepared while the other is sent.
const BULKY_AT_ONCE: u8 = 2;

/// A bulky request that was not answered for this long is not waited for.
const BULKY_WAIT: Duration = Duration::from_millis(250);

/// Reading stops for this long after the engine said that it is overloaded.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(20);

/// A session over its rate is not read for as long as the rate says, and at most this.
const MAX_RATE_PAUSE: Duration = Duration::from_secs(1);

/// Reading stops while more than a quarter of the outbox's bound waits to be written.
const READ_MARK_DIVISOR: usize = 4;

/// Characters of `hello.client` that are logged.
const CLIENT_CHARS: usize = 64;

/// What other threads may know and do of a session.
pub(super) struct Session {
    pub(super) id: SessionId,
    /// `None` for an address that is not limited.
    address: Option<Address>,
    heard: AtomicU32,
    bulky: AtomicU8,
    pub(super) outbox: Outbox,
    /// Set once, when `hello` was good.
    pub(super) guest: OnceLock<Guest>,
}

/// Who a session speaks for.
pub(super) struct Guest {
    pub(super) party: Party,
    pub(super) login: Option<TokenId>,
}

impl Session {
    pub(super) fn new(id: SessionId, address: Option<Address>, now: Moment, outbox: Outbox) -> Self {
        Self { id, address, heard: AtomicU32::new(now), bulky: AtomicU8::new(0), outbox, guest: OnceLock::new() }
    }

    /// When something came from the client last.
    pub(super) fn heard(&self) -> Moment {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn bulky_answered(&self) {
        // Live changes and the like look the same as answers; the count is a throttle and stops at 0.
        let _ = self.bulky.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |count| count.checked_sub(1));
    }
}

fn is_bulky(request: &Request) -> bool {
    matches!(
        request,
        Request::Open { .. }
            | Request::Page { .. }
            | Request::Conversations
            | Request::List { .. }
            | Request::More { .. }
    )
}

pub(super) fn answers_a_bulky_request(answer: &Answer) -> bool {
    matches!(
        answer,
        Answer::Opened { .. }
            | Answer::Page { .. }
            | Answer::Conversations(_)
            | Answer::List { .. }
            | Answer::Changes { .. }
            | Answer::ListPage { .. }
            | Answer::Refused { id: None, .. }
    )
}

/// A session's place in the hub. Dropping it, in whatever way the session ends, gives everything back.
pub(super) struct Place {
    hub: Arc<Hub>,
    session: Arc<Session>,
    /// What the engine is told at the end. One fits without an allocation: all that most visitors have.
    followed: SmallVec<[ConversationId; 1]>,
    connected: bool,
}

impl Place {
    pub(super) fn new(hub: Arc<Hub>, session: Arc<Session>) -> Self {
        Self { hub, session, followed: SmallVec::new(), connected: false }
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> SessionId {
        self.session.id
    }

    fn guest(&self) -> &Guest {
        self.session.guest.get().expect("set by `greet`, without which no frame is served")
    }

    fn push(&self, frame: &ServerFrame) {
        self.session.outbox.push(&convert::encode_frame(frame), &self.hub.budget).wake();
        self.hub.meters.sent.increment(1);
    }

    fn connect(&mut self) {
        let (hub, guest) = (&self.hub, self.guest());
        let Some(behind) = hub.behind() else { return };
        hub.meters.greeting.decrement(1.0);
        match guest.party {
            Party::Visitor { .. } => hub.meters.visitors.increment(1.0),
            Party::Agent { .. } => hub.meters.agents.increment(1.0),
        }
        behind.engine.connect(self.session.id, &guest.party);
        self.connected = true;
    }

    /// Tells the engine that the session is gone.
    fn disconnect(&mut self) {
        if !std::mem::take(&mut self.connected) {
            return;
        }
        let (hub, guest) = (&self.hub, self.guest());
        match guest.party {
            Party::Visitor { .. } => hub.meters.visitors.decrement(1.0),
            Party::Agent { .. } => hub.meters.agents.decrement(1.0),
        }
        // Balanced by `drop`, which takes a session for a greeting one.
        hub.meters.greeting.increment(1.0);
        if let Some(behind) = hub.behind() {
            behind.engine.disconnect(self.session.id, &guest.party, &self.followed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.disconnect();
        self.hub.meters.greeting.decrement(1.0);
        self.hub.sessions.remove(&self.session.id);
        self.session.outbox.end(&self.hub.budget);
        if let Some(address) = self.session.address {
            self.hub.addresses.leave(address);
        }
    }
}

/// How a connection ends.
#[derive(Debug)]
pub(super) enum End {
    /// The connection broke, or ended without a close.
    Left,
    /// The client closed it, perhaps with a code.
    Closed(Option<u16>),
    /// The client broke RFC 6455, which gives the code.
    Breach(u16, &'static str),
    /// By the gateway's will.
    Farewell(Farewell),
}

impl From<CloseCode> for End {
    fn from(code: CloseCode) -> Self {
        End::Farewell(Farewell::new(code))
    }
}

impl From<Wrong> for End {
    fn from(wrong: Wrong) -> Self {
        match wrong {
            Wrong::TooBig => CloseCode::FrameTooBig.into(),
            Wrong::Breach(code, reason) => End::Breach(code, reason),
        }
    }
}

/// The life of a connection. Greeting and parting are boxed: they are short, and the task that stays is small.
pub(super) fn run(place: Place, socket: Socket, origin: Option<Box<str>>) -> impl Future<Output = ()> + Send {
    let mut talk = Talk::new(place, socket);
    async move {
        let greeted = greet(&mut talk, origin).await;
        let end = match greeted {
            Ok(()) => poll_fn(|context| talk.poll_guarded(context)).await,
            Err(end) => end,
        };
        part(&mut talk, end).await;
    }
}

/// The session as its task holds it.
struct Talk {
    place: Place,
    socket: Socket,
    /// `status` being stored: nothing is read meanwhile, so that order is kept.
    storing: Option<Later<'static, ServerFrame>>,
    /// Nothing is read until then.
    pause: Option<Pin<Box<Sleep>>>,
    /// The pause is for bulky answers, and ends when they come.
    waits_for_answers: bool,
    rate: Bucket,
    control_since: Moment,
    control: u32,
    bad: u32,
}

thread_local! {
    /// What one turn hands to the kernel, gathered.
    static GATHERED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl Talk {
    fn new(place: Place, socket: Socket) -> Self {
        let now = place.hub.now();
        let rate = Bucket::full(frame_rate(&place.hub), now);
        Self {
            place,
            socket,
            storing: None,
            pause: None,
            waits_for_answers: false,
            rate,
            control_since: now,
            control: 0,
            bad: 0,
        }
    }

    /// One turn; a panic in it is a bug of ours, which this session's client is told of and the others do not feel.
    fn poll_guarded(&mut self, context: &mut Context<'_>) -> Poll<End> {
        std::panic::catch_unwind(AssertUnwindSafe(|| {
            let mut input = self.socket.begin_turn();
            let outcome = self.poll(&mut input, context);
            self.socket.end_turn(input);
            outcome
        }))
        .unwrap_or_else(|_| Poll::Ready(CloseCode::Internal.into()))
    }

    /// Takes what has come, frame after frame, and writes what is queued before it reads on: what the frames of one read
    /// are answered at once goes out together.
    fn poll(&mut self, input: &mut Input, context: &mut Context<'_>) -> Poll<End> {
        let mut taken = 0;
        loop {
            if let Some(farewell) = self.place.session.outbox.attend(context) {
                return Poll::Ready(End::Farewell(farewell));
            }
            if let Poll::Ready(Err(end)) = self.poll_write(context) {
                return Poll::Ready(end);
            }
            if let Some(storing) = &mut self.storing {
                let frame = ready!(storing.as_mut().poll(context));
                self.storing = None;
                self.place.push(&frame);
                continue;
            }
            let before = taken;
            let may_read = loop {
                if !self.may_read(context) {
                    break false;
                }
                if self.storing.is_some() || taken == FRAMES_PER_TURN {
                    break true;
                }
                match self.take_next(input) {
                    Ok(true) => taken += 1,
                    Ok(false) => break true,
                    Err(end) => return Poll::Ready(end),
                }
            };
            if taken == FRAMES_PER_TURN {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            if taken > before {
                continue;
            }
            if !may_read {
                return Poll::Pending;
            }
            if let Err(end) = ready!(self.poll_read(input, context)) {
                return Poll::Ready(end);
            }
        }
    }

    fn poll_read(&mut self, input: &mut Input, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        let read = ready!(self.socket.poll_read(input, context));
        if !matches!(read, Ok(1..)) {
            return Poll::Ready(Err(End::Left));
        }
        let now = self.place.hub.now();
        self.place.session.heard.store(now, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    /// Hands frames to the kernel until none is left or it takes no more.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut gathered = GATHERED.take();
        gathered.reserve(WRITE_BYTES);
        let outcome = loop {
            gathered.clear();
            if !self.place.session.outbox.gather(&mut gathered, context) {
                break Poll::Ready(Ok(()));
            }
            match self.socket.poll_write(&gathered, context) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(_gone)) => break Poll::Ready(Err(End::Left)),
                Poll::Ready(Ok(bytes)) => {
                    if self.place.session.outbox.taken(bytes, &self.place.hub.budget) {
                        break Poll::Ready(Ok(()));
                    }
                }
            }
        };
        GATHERED.set(gathered);
        outcome
    }

    /// Whether the next frame may be read now; if not, the task will be woken when that may have changed.
    fn may_read(&mut self, context: &mut Context<'_>) -> bool {
        let session = &self.place.session;
        // Over the mark the socket is blocked (all that it takes was just written), and wakes the task when it moves.
        if session.outbox.bytes() > self.place.hub.limits.outbox_bytes / READ_MARK_DIVISOR {
            return false;
        }
        let bulky = session.bulky.load(Ordering::Relaxed) >= BULKY_AT_ONCE;
        if self.waits_for_answers && !bulky {
            (self.pause, self.waits_for_answers) = (None, false);
        }
        if bulky && self.pause.is_none() {
            self.pause_for(BULKY_WAIT);
            self.waits_for_answers = true;
        }
        let Some(pause) = &mut self.pause else { return true };
        if pause.as_mut().poll(context).is_pending() {
            return false;
        }
        self.pause = None;
        if std::mem::take(&mut self.waits_for_answers) {
            self.place.session.bulky.store(0, Ordering::Relaxed);
        }
        true
    }

    fn pause_for(&mut self, time: Duration) {
        self.pause = Some(Box::pin(tokio::time::sleep(time)));
        self.waits_for_answers = false;
    }

    /// Takes the next message that is there; false when more bytes are needed.
    fn take_next(&mut self, input: &mut Input) -> Result<bool, End> {
        match input.next()? {
            None => return Ok(false),
            Some(Heard::Text(text)) => self.take(text)?,
            Some(other) => self.take_other(other)?,
        }
        Ok(true)
    }

    /// What is no text.
    fn take_other(&mut self, heard: Heard<'_>) -> Result<(), End> {
        match heard {
            Heard::Text(_) => Ok(()),
            Heard::Binary(_) => Err(CloseCode::BinaryFrame.into()),
            Heard::Close(code) => Err(End::Closed(code)),
            Heard::Ping(Pong(pong)) => {
                self.count_control()?;
                self.place.session.outbox.push(&pong, &self.place.hub.budget).wake();
                Ok(())
            }
            Heard::Pong => self.count_control(),
        }
    }

    fn count_control(&mut self) -> Result<(), End> {
        let now = self.place.hub.now();
        if now.wrapping_sub(self.control_since) >= 10_000 {
            (self.control_since, self.control) = (now, 0);
        }
        self.control += 1;
        if self.control > MAX_CONTROL_FRAMES_PER_10S {
            return Err(CloseCode::TooManyControlFrames.into());
        }
        Ok(())
    }

    /// The first frame of a client.
    fn poll_first(&mut self, context: &mut Context<'_>) -> Poll<Result<wire::ClientFrame, End>> {
        let mut input = self.socket.begin_turn();
        let outcome = loop {
            if let Some(farewell) = self.place.session.outbox.attend(context) {
                break Poll::Ready(Err(End::Farewell(farewell)));
            }
            if let Poll::Ready(Err(end)) = self.poll_write(context) {
                break Poll::Ready(Err(end));
            }
            let taken = match input.next() {
                Ok(Some(Heard::Text(text))) => {
                    break Poll::Ready(wire::decode_client(text).map_err(|_bad| {
                        self.place.hub.meters.bad_frame();
                        CloseCode::HelloExpected.into()
                    }));
                }
                Ok(Some(other)) => Poll::Ready(self.take_other(other)),
                Ok(None) => self.poll_read(&mut input, context),
                Err(wrong) => Poll::Ready(Err(wrong.into())),
            };
            match taken {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(end)) => break Poll::Ready(Err(end)),
                Poll::Pending => break Poll::Pending,
            }
        };
        self.socket.end_turn(input);
        outcome
    }

    /// A frame of an admitted client.
    fn take(&mut self, text: &str) -> Result<(), End> {
        sabotage::trip(Spot::Session);
        let hub = &self.place.hub;
        let frame = match wire::decode_client(text) {
            Ok(frame) => frame,
            Err(bad) => {
                hub.meters.bad_frame();
                self.bad += 1;
                if self.bad > MAX_BAD_FRAMES {
                    return Err(CloseCode::TooManyBadFrames.into());
                }
                self.place.push(&edge_refusal(bad.id, RefusalCode::BadFrame, bad.message, bad.field));
                return Ok(());
            }
        };
        hub.meters.received(&frame);
        let limited = self.rate.take(frame_rate(hub), hub.now()).err();
        let asked = convert::asked(frame);
        if let Some(retry_after_ms) = limited {
            self.refuse_for_rate(&asked, retry_after_ms);
            self.pause_for(MAX_RATE_PAUSE.min(Duration::from_millis(u64::from(retry_after_ms))));
            return Ok(());
        }
        match asked {
            Asked::Ping => self.place.push(&ServerFrame::Pong(wire::Pong {})),
            Asked::Hello => {
                let sentence = "This connection has said hello before.".to_owned();
                self.place.push(&edge_refusal(None, RefusalCode::AlreadyWelcome, sentence, None));
            }
            Asked::Status { id, available } => self.set_available(id, available),
            Asked::Of(request) => self.submit(request),
        }
        Ok(())
    }

    fn refuse_for_rate(&self, asked: &Asked, retry_after_ms: u32) {
        let (id, conversation) = match asked {
            Asked::Of(Request::Typing { .. }) => return,
            Asked::Of(request) => (request.command_id(), convert::conversation_of(request)),
            Asked::Status { id, .. } => (Some(CommandId(id.0)), None),
            Asked::Hello | Asked::Ping => (None, None),
        };
        self.refuse(id, conversation, Refusal::RateLimited { retry_after_ms });
    }

    fn refuse(&self, id: Option<CommandId>, conversation: Option<ConversationId>, refusal: Refusal) {
        self.place.push(&ServerFrame::Refused(convert::refused(id, conversation, refusal)));
    }

    fn set_available(&mut self, id: Id, available: bool) {
        let Party::Agent { workspace, member } = &self.place.guest().party else {
            return self.refuse(Some(CommandId(id.0)), None, Refusal::Forbidden);
        };
        let (workspace, member) = (*workspace, member.id);
        let Some(behind) = self.place.hub.behind() else { return };
        let admission: Arc<dyn Admission> = Arc::clone(&behind.admission);
        self.storing = Some(Box::pin(async move {
            match admission.set_available(workspace, member, available).await {
                Ok(()) => ServerFrame::Ack(wire::Ack {
                    id,
                    conversation: None,
                    seq: None,
                    prev: None,
                    at: None,
                    again: false,
                }),
                Err(refusal) => ServerFrame::Refused(convert::refused(Some(CommandId(id.0)), None, refusal)),
            }
        }));
    }

    fn submit(&mut self, request: Request) {
        let (id, conversation) = (request.command_id(), convert::conversation_of(&request));
        let silent = matches!(request, Request::Typing { .. });
        let bulky = is_bulky(&request);
        // Counted before the answer can come.
        if bulky {
            self.place.session.bulky.fetch_add(1, Ordering::Relaxed);
        }
        let Err(refusal) = self.try_submit(request) else { return };
        if bulky {
            self.place.session.bulky_answered();
        }
        if matches!(refusal, Refusal::Overloaded { .. }) {
            self.pause_for(OVERLOAD_PAUSE);
        }
        if !silent {
            self.refuse(id, conversation, refusal);
        }
    }

    fn try_submit(&mut self, request: Request) -> Result<(), Refusal> {
        let Place { hub, session, followed, .. } = &mut self.place;
        let guest = session.guest.get().expect("set by `greet`, without which no frame is served");
        let Some(behind) = hub.behind() else { return Err(Refusal::Unavailable { retry_after_ms: 1_000 }) };
        if !convert::may_ask(&guest.party, &request) {
            return Err(Refusal::Forbidden);
        }
        let follows = match (&request, &guest.party) {
            (Request::Start { id, .. }, Party::Visitor { workspace, visitor, .. }) => {
                if let Some(address) = session.address {
                    hub.addresses
                        .start(address, hub.now())
                        .map_err(|retry_after_ms| Refusal::RateLimited { retry_after_ms })?;
                }
                Some(behind.engine.start_id(*workspace, *visitor, *id))
            }
            (Request::Open { conversation, .. }, _) => Some(*conversation),
            (Request::Close { conversation }, _) => {
                if let Some(place) = followed.iter().position(|it| it == conversation) {
                    followed.swap_remove(place);
                }
                None
            }
            _ => None,
        };
        let follows = follows.filter(|conversation| !followed.contains(conversation));
        if follows.is_some() && followed.len() >= MAX_OPEN_CONVERSATIONS {
            return Err(Refusal::TooManyOpen);
        }
        behind.engine.submit(session.id, &guest.party, request)?;
        followed.extend(follows);
        Ok(())
    }
}

fn frame_rate(hub: &Hub) -> Rate {
    let limits = &hub.limits;
    Rate { per_second: limits.frames_per_second.max(1) as f32, burst: limits.frames_burst.max(1) as f32 }
}

fn edge_refusal(id: Option<Id>, code: RefusalCode, message: String, field: Option<String>) -> ServerFrame {
    ServerFrame::Refused(wire::Refused { id, conversation: None, code, message, field, retry_after_ms: None })
}

/// Waits for `hello`, lets the accounts judge it, and welcomes. Boxed: it is gone when the session lives.
fn greet(talk: &mut Talk, origin: Option<Box<str>>) -> Pin<Box<dyn Future<Output = Result<(), End>> + Send + '_>> {
    Box::pin(async move {
        let hub = Arc::clone(&talk.place.hub);
        let session = Arc::clone(&talk.place.session);
        let wire::ClientFrame::Hello(hello) = poll_fn(|context| talk.poll_first(context)).await? else {
            hub.meters.bad_frame();
            return Err(CloseCode::HelloExpected.into());
        };
        if hello.v != wire::VERSION {
            return Err(CloseCode::UnsupportedVersion.into());
        }
        if let Some(Err(wait)) = session.address.map(|address| hub.addresses.hello(address, hub.now())) {
            return Err(overloaded(wait.saturating_add(random_below(1_000))));
        }
        let Some(behind) = hub.behind() else { return Err(CloseCode::Overloaded.into()) };
        let admitting = async {
            let Ok(_permit) = hub.admissions.try_acquire() else {
                let window = hub.limits.reconnect_window.as_millis().min(600_000) as u32;
                return Err(overloaded(random_below(window.max(1))));
            };
            let mut admitting = behind.admission.admit(&hello, origin.as_deref());
            poll_fn(|context| {
                if let Some(farewell) = session.outbox.attend(context) {
                    return Poll::Ready(Err(End::Farewell(farewell)));
                }
                admitting.as_mut().poll(context).map(|admitted| admitted.map_err(|code| refused_hello(&hub, code)))
            })
            .await
        };
        // Who waits for a turn is not being admitted yet.
        let admitted = doorway::begin(pin!(admitting)).await?;
        let client: String = hello.client.as_deref().unwrap_or("-").chars().take(CLIENT_CHARS).collect();
        tracing::debug!(session = session.id.0, who = ?hello.who, client, "welcome");
        welcome(talk, admitted)
    })
}

fn overloaded(retry_after_ms: u32) -> End {
    End::Farewell(Farewell { code: CloseCode::Overloaded, retry_after_ms: Some(retry_after_ms) })
}

/// An overloaded entrance says when to come back as well.
fn refused_hello(hub: &Hub, code: CloseCode) -> End {
    if code == CloseCode::Overloaded {
        return overloaded(random_below(hub.limits.reconnect_window.as_millis().clamp(1, 600_000) as u32));
    }
    code.into()
}

/// Takes the guest in: `welcome` is queued before the engine can queue anything.
fn welcome(talk: &mut Talk, admitted: Admitted) -> Result<(), End> {
    let place = &mut talk.place;
    let Admitted { party, workspace_name, token, available, login } = admitted;
    let Some(behind) = place.hub.behind() else { return Err(CloseCode::Overloaded.into()) };
    let (who, me, team) = match &party {
        Party::Visitor { workspace, visitor, name } => (
            wire::As::Visitor,
            wire::Face { id: Id(visitor.0), name: name.to_string() },
            Some(convert::team(&behind.engine.team(*workspace))),
        ),
        Party::Agent { member, .. } => (wire::As::Agent, convert::face(member), None),
    };
    let frame = ServerFrame::Welcome(wire::Welcome {
        who,
        me,
        workspace: wire::Face { id: Id(party.workspace().0), name: workspace_name.to_string() },
        now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64),
        heartbeat_ms: HEARTBEAT_MS,
        max_text_bytes: MAX_TEXT_BYTES as u32,
        token,
        team,
        available,
    });
    let guest = Guest { party, login };
    if place.session.guest.set(guest).is_err() {
        return Err(CloseCode::Internal.into());
    }
    let guest = place.guest();
    if place.hub.was_revoked(&guest.party, guest.login) {
        return Err(CloseCode::Revoked.into());
    }
    place.push(&frame);
    place.connect();
    Ok(())
}

/// Ends the connection in the way that its end asks for. Boxed, as `greet`.
fn part(talk: &mut Talk, end: End) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    Box::pin(async move {
        // First of all: nothing more is queued for who goes.
        let turn = doorway::turn().await;
        talk.place.disconnect();
        drop(turn);
        let meters = &talk.place.hub.meters;
        let unreadable = matches!(&end, End::Breach(..))
            || matches!(&end, End::Farewell(farewell) if farewell.code == CloseCode::FrameTooBig);
        let mut last = Vec::new();
        let mut add = |frame: Frame| last.extend_from_slice(frame.bytes());
        let closed_by_client = matches!(end, End::Closed(_));
        match end {
            End::Left => {
                meters.left.increment(1);
                return;
            }
            End::Closed(code) => {
                meters.left.increment(1);
                add(Frame::close(code, ""));
            }
            End::Breach(code, reason) => {
                meters.breached.increment(1);
                add(Frame::close(Some(code), reason));
            }
            End::Farewell(farewell) => {
                meters.closed(farewell.code);
                tracing::debug!(session = talk.place.session.id.0, code = farewell.code.number(), "farewell");
                add(bye(farewell));
                add(Frame::close(Some(farewell.code.number()), farewell.code.message()));
            }
        }
        // What the close decided to keep goes out first.
        let hub = Arc::clone(&talk.place.hub);
        talk.place.session.outbox.close(Farewell::new(CloseCode::Internal), &hub.budget).wake();
        let Talk { socket, place, .. } = talk;
        let goodbye = async {
            let mut gathered = Vec::with_capacity(WRITE_BYTES);
            while place.session.outbox.gather_last(&mut gathered) {
                socket.write_all(&gathered).await?;
                place.session.outbox.taken(gathered.len(), &hub.budget);
                gathered.clear();
            }
            socket.write_all(&last).await?;
            if closed_by_client {
                return Ok(());
            }
            // Until the other end's close, so that what it still sends is read and does not become a reset that would
            // throw `bye` away.
            match unreadable {
                true => drop(tokio::time::timeout(SETTLE, socket.hear_out(true)).await),
                false => socket.hear_out(false).await,
            }
            Ok::<(), std::io::Error>(())
        };
        // Either way it is over: who does not read for so long is not waited for.
        let _ = tokio::time::timeout(LINGER, goodbye).await;
    })
}

fn bye(farewell: Farewell) -> Frame {
    convert::encode_frame(&ServerFrame::Bye(wire::Bye {
        code: farewell.code,
        message: farewell.code.message().to_owned(),
        reconnect: farewell.code.reconnect(),
        retry_after_ms: farewell.retry_after_ms.map(u64::from),
    }))
}

/// Sends every message back, reads and ends as a session does: what the conformance test talks to. Left out are the
/// rules above RFC 6455 (text only, `hello` first, 10 control frames in 10 s), which have tests of their own.
#[cfg(test)]
pub(super) async fn echo(place: Place, socket: Socket) {
    let mut talk = Talk::new(place, socket);
    let end = poll_fn(|context| talk.poll_echo(context)).await;
    part(&mut talk, end).await;
}

#[cfg(test)]
impl Talk {
    fn poll_echo(&mut self, context: &mut Context<'_>) -> Poll<End> {
        let mut input = self.socket.begin_turn();
        let end = loop {
            let _ = self.place.session.outbox.attend(context);
            if let Poll::Ready(Err(end)) = self.poll_write(context) {
                break Poll::Ready(end);
            }
            let echoed = match input.next() {
                Ok(Some(Heard::Text(text))) => Frame::text(|bytes| bytes.extend_from_slice(text.as_bytes())),
                Ok(Some(Heard::Binary(binary))) => Frame::binary(|bytes| bytes.extend_from_slice(binary)),
                Ok(Some(Heard::Ping(Pong(pong)))) => pong,
                Ok(Some(Heard::Pong)) => continue,
                Ok(Some(Heard::Close(code))) => break Poll::Ready(End::Closed(code)),
                Err(wrong) => break Poll::Ready(wrong.into()),
                Ok(None) => match self.poll_read(&mut input, context) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(end)) => break Poll::Ready(end),
                    Poll::Pending => break Poll::Pending,
                },
            };
            self.place.session.outbox.push(&echoed, &self.place.hub.budget).wake();
        };
        self.socket.end_turn(input);
        end
    }
}

/// Bytes that the task of a session holds. (A socket cannot be made from nothing, so the future's type is measured.)
#[cfg(test)]
pub(super) fn task_bytes() -> usize {
    fn output<F>(_: fn(Place, Socket, Option<Box<str>>) -> F) -> usize {
        size_of::<F>()
    }
    output(run)
}
