//! What is queued to one session: encoded frames, bounded, and the way to wake or close its task.
//!
//! Any thread pushes; only the session's task takes. An idle session's outbox holds no allocation.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use axum::extract::ws::Utf8Bytes;
use bellhop_engine::sabotage::{self, Fault};
use bellhop_protocol::CloseCode;
use parking_lot::Mutex;

/// Bytes that a queued frame costs besides its text: its place in the queue, and the head of the frame on the wire.
/// Counted so that many empty frames are bounded as well.
const FRAME_OVERHEAD: usize = size_of::<Utf8Bytes>() + 10;

/// The process's budget for queued bytes (G7).
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    /// Beyond it the fullest sessions are closed.
    limit: usize,
    /// Beyond it nothing is queued: a push that would pass it closes its session. An eighth above `limit`, the room
    /// for what is pushed while the fullest are being looked for.
    wall: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit, wall: limit.saturating_add(limit / 8) }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Bytes by which the budget is passed; while it is, seven eighths of it are aimed at, so that closing one session
    /// is not followed by closing the next at the next frame.
    pub(super) fn excess(&self) -> usize {
        let used = self.used();
        if used > self.limit { used - (self.limit - self.limit / 8) } else { 0 }
    }

    fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }

    fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Why and how a session ends by the gateway's will.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Farewell {
    pub(super) code: CloseCode,
    pub(super) retry_after_ms: Option<u32>,
}

impl Farewell {
    pub(super) fn new(code: CloseCode) -> Self {
        Self { code, retry_after_ms: None }
    }

    /// Whether what is queued still goes out before `bye`. A reader that is too slow would not get it, and who was
    /// sent away is told nothing more.
    fn keeps_queue(self) -> bool {
        !matches!(self.code, CloseCode::SlowReader | CloseCode::OutboxBudget | CloseCode::Revoked)
    }
}

/// What became of a push.
#[must_use]
#[derive(Debug)]
pub(super) enum Pushed {
    /// Queued; wake the task, outside of every lock.
    Wake(Waker),
    /// Queued (the task is awake, or waits for its socket), or the session is closing and needs nothing more.
    Quiet,
}

impl Pushed {
    pub(super) fn wake(self) {
        if let Pushed::Wake(waker) = self {
            waker.wake();
        }
    }
}

#[derive(Debug)]
pub(super) struct Outbox {
    inner: Mutex<Inner>,
    /// Most bytes of `queued` and `writing` together.
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Utf8Bytes>,
    /// Bytes of `frames`, overhead included.
    queued: usize,
    /// Bytes handed to the socket and not yet taken by the kernel.
    writing: usize,
    /// The session's task; taken when it is woken.
    waker: Option<Waker>,
    /// The task has nothing to write and wants to know of the next frame. Otherwise it waits for its socket, and
    /// waking it would be for nothing.
    idle: bool,
    farewell: Option<Farewell>,
}

impl Outbox {
    pub(super) fn new(limit: usize) -> Self {
        Self { inner: Mutex::new(Inner::default()), limit }
    }

    /// Queues a frame, or closes the session if that would pass its bound or the process's. Never blocks.
    pub(super) fn push(&self, frame: &Utf8Bytes, budget: &Budget) -> Pushed {
        let cost = frame.len() + FRAME_OVERHEAD;
        let mut inner = self.inner.lock();
        if inner.farewell.is_some() {
            return Pushed::Quiet;
        }
        if inner.queued + inner.writing + cost > self.limit {
            if sabotage::on(Fault::DropOnFullOutbox) {
                return Pushed::Quiet;
            }
            return inner.close(Farewell::new(CloseCode::SlowReader), budget);
        }
        if budget.used() + cost > budget.wall {
            return inner.close(Farewell::new(CloseCode::OutboxBudget), budget);
        }
        budget.add(cost);
        inner.queued += cost;
        inner.frames.push_back(frame.clone());
        if std::mem::take(&mut inner.idle) { inner.waken() } else { Pushed::Quiet }
    }

    /// Ends the session. The first reason stands.
    pub(super) fn close(&self, farewell: Farewell, budget: &Budget) -> Pushed {
        let mut inner = self.inner.lock();
        if inner.farewell.is_some() {
            return Pushed::Quiet;
        }
        inner.close(farewell, budget)
    }

    /// For the task, at the beginning of each turn: whether it is to end; if not, it will be woken when it is.
    pub(super) fn attend(&self, context: &mut Context<'_>) -> Option<Farewell> {
        let mut inner = self.inner.lock();
        if inner.farewell.is_none() {
            inner.register(context);
            inner.idle = false;
        }
        inner.farewell
    }

    /// For the task: the next frame, or `None` when there is none, and then it is woken by the next push.
    pub(super) fn take(&self, context: &mut Context<'_>) -> Option<Utf8Bytes> {
        let mut inner = self.inner.lock();
        let frame = inner.pop();
        if frame.is_none() {
            inner.register(context);
            inner.idle = true;
        }
        frame
    }

    /// For the task, when it says farewell: the next frame that is still to go out.
    pub(super) fn take_last(&self) -> Option<Utf8Bytes> {
        self.inner.lock().pop()
    }

    /// For the task: all that it took has left for the kernel.
    pub(super) fn written(&self, budget: &Budget) {
        let mut inner = self.inner.lock();
        budget.sub(std::mem::take(&mut inner.writing));
    }

    /// Bytes queued or being written.
    pub(super) fn bytes(&self) -> usize {
        let inner = self.inner.lock();
        inner.queued + inner.writing
    }

    pub(super) fn closing(&self) -> bool {
        self.inner.lock().farewell.is_some()
    }

    /// Gives everything back; nothing can be queued afterwards.
    pub(super) fn end(&self, budget: &Budget) {
        let mut inner = self.inner.lock();
        inner.farewell.get_or_insert(Farewell::new(CloseCode::Internal));
        inner.waker = None;
        inner.clear(budget);
        budget.sub(std::mem::take(&mut inner.writing));
    }

    #[cfg(test)]
    pub(super) fn peek(&self) -> Vec<Utf8Bytes> {
        self.inner.lock().frames.iter().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.inner.lock().frames.capacity()
    }
}

impl Inner {
    fn pop(&mut self) -> Option<Utf8Bytes> {
        let frame = self.frames.pop_front()?;
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        let cost = frame.len() + FRAME_OVERHEAD;
        self.queued -= cost;
        self.writing += cost;
        Some(frame)
    }

    fn register(&mut self, context: &mut Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
    }

    fn waken(&mut self) -> Pushed {
        self.waker.take().map_or(Pushed::Quiet, Pushed::Wake)
    }

    fn close(&mut self, farewell: Farewell, budget: &Budget) -> Pushed {
        self.farewell = Some(farewell);
        if !farewell.keeps_queue() {
            self.clear(budget);
        }
        self.waken()
    }

    fn clear(&mut self, budget: &Budget) {
        self.frames = VecDeque::new();
        budget.sub(std::mem::take(&mut self.queued));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(bytes: usize) -> Utf8Bytes {
        "x".repeat(bytes).into()
    }

    #[test]
    fn many_frames_wake_the_task_once_and_an_idle_outbox_holds_nothing() {
        let budget = Budget::new(1 << 20);
        let outbox = Outbox::new(1 << 16);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        assert!(outbox.attend(&mut context).is_none() && outbox.take(&mut context).is_none());
        for _ in 0..50 {
            outbox.push(&frame(100), &budget).wake();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(budget.used() > 5_000);
        while outbox.take(&mut context).is_some() {}
        assert!(budget.used() > 5_000, "what the kernel has not taken is still counted");
        outbox.written(&budget);
        assert_eq!((budget.used(), outbox.bytes(), outbox.capacity()), (0, 0, 0));
    }

    #[test]
    fn the_push_that_would_pass_the_bound_closes_the_session_and_frees_its_queue() {
        let budget = Budget::new(1 << 20);
        let outbox = Outbox::new(10_000);
        for _ in 0..200 {
            outbox.push(&frame(100), &budget).wake();
            assert!(outbox.bytes() <= 10_000);
        }
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(outbox.attend(&mut context), Some(Farewell::new(CloseCode::SlowReader)));
        assert_eq!((budget.used(), outbox.capacity()), (0, 0));
    }

    #[test]
    fn the_budget_is_a_wall() {
        let budget = Budget::new(8_000);
        let boxes: Vec<_> = (0..100).map(|_| Outbox::new(1 << 20)).collect();
        for outbox in &boxes {
            outbox.push(&frame(500), &budget).wake();
            assert!(budget.used() <= 9_000);
        }
        assert!(budget.excess() > 0, "and the search for the fullest is due");
        let closed = boxes.iter().filter(|outbox| outbox.closing()).count();
        assert!(closed > 80);
    }

    #[test]
    fn a_draining_session_gets_its_last_frames_and_a_revoked_one_nothing() {
        let budget = Budget::new(1 << 20);
        for (code, left) in [(CloseCode::Draining, true), (CloseCode::Revoked, false)] {
            let outbox = Outbox::new(10_000);
            outbox.push(&frame(100), &budget).wake();
            outbox.close(Farewell::new(code), &budget).wake();
            outbox.close(Farewell::new(CloseCode::IdleTimeout), &budget).wake();
            let mut context = Context::from_waker(Waker::noop());
            assert_eq!(outbox.attend(&mut context).map(|it| it.code), Some(code), "the first reason stands");
            assert_eq!(outbox.take_last().is_some(), left);
            outbox.push(&frame(100), &budget).wake();
            assert!(outbox.take_last().is_none(), "nothing is queued after the farewell");
            outbox.end(&budget);
            assert_eq!(budget.used(), 0);
        }
    }
}
