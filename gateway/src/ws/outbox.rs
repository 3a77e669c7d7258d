//! What is queued to one session: frames, bounded, and the way to wake or close its task.
//!
//! Any thread pushes; only the session's task writes: it copies what fits into one buffer, hands that to the kernel, and
//! then takes off the queue what the kernel took. An idle session's outbox holds no allocation.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

use bellhop_engine::sabotage::{self, Fault};
use bellhop_protocol::CloseCode;
use parking_lot::Mutex;

use super::frame::Frame;

/// Bytes that a queued frame costs besides its own: its place in the queue. Counted so that many empty frames are bounded
/// as well.
const FRAME_OVERHEAD: usize = size_of::<Frame>();

/// Bytes handed to the kernel at once: some hundred short frames in one system call.
pub(super) const WRITE_BYTES: usize = 32 * 1024;

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
    /// Most bytes of the queue.
    limit: usize,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Frame>,
    /// Bytes of `frames`, overhead included; those that the kernel has taken of the first one as well.
    queued: usize,
    /// Bytes of the first frame that the kernel has taken.
    sent: usize,
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
    pub(super) fn push(&self, frame: &Frame, budget: &Budget) -> Pushed {
        let cost = frame.bytes().len() + FRAME_OVERHEAD;
        let mut inner = self.inner.lock();
        if inner.farewell.is_some() {
            return Pushed::Quiet;
        }
        if inner.queued + cost > self.limit {
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

    /// For the task: copies what is to go to the kernel next, at most [`WRITE_BYTES`]. False when there is nothing, and
    /// then the task is woken by the next push.
    pub(super) fn gather(&self, into: &mut Vec<u8>, context: &mut Context<'_>) -> bool {
        let mut inner = self.inner.lock();
        let any = inner.copy(into);
        if !any {
            inner.register(context);
            inner.idle = true;
        }
        any
    }

    /// The same when the task says farewell: nothing is pushed any more.
    pub(super) fn gather_last(&self, into: &mut Vec<u8>) -> bool {
        self.inner.lock().copy(into)
    }

    /// For the task: the kernel took so many of the bytes that were gathered. True if nothing is left, and then the task is
    /// woken by the next push.
    pub(super) fn taken(&self, bytes: usize, budget: &Budget) -> bool {
        let mut inner = self.inner.lock();
        let freed = inner.take_off(bytes);
        budget.sub(freed);
        inner.idle = inner.frames.is_empty();
        inner.idle
    }

    /// Bytes queued.
    pub(super) fn bytes(&self) -> usize {
        self.inner.lock().queued
    }

    pub(super) fn closing(&self) -> bool {
        self.inner.lock().farewell.is_some()
    }

    /// Gives everything back; nothing can be queued afterwards.
    pub(super) fn end(&self, budget: &Budget) {
        let mut inner = self.inner.lock();
        inner.farewell.get_or_insert(Farewell::new(CloseCode::Internal));
        inner.waker = None;
        inner.sent = 0;
        inner.clear(budget);
    }

    #[cfg(test)]
    pub(super) fn peek(&self) -> Vec<Frame> {
        self.inner.lock().frames.iter().cloned().collect()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.inner.lock().frames.capacity()
    }
}

impl Inner {
    fn copy(&self, into: &mut Vec<u8>) -> bool {
        let mut skip = self.sent;
        for frame in &self.frames {
            let rest = frame.bytes().get(skip..).unwrap_or_default();
            skip = 0;
            let room = WRITE_BYTES.saturating_sub(into.len());
            if rest.len() > room {
                into.extend_from_slice(&rest[..room]);
                break;
            }
            into.extend_from_slice(rest);
        }
        !into.is_empty()
    }

    /// Returns the cost of the frames that are whole in the kernel.
    fn take_off(&mut self, mut bytes: usize) -> usize {
        let mut freed = 0;
        while let Some(front) = self.frames.front() {
            let rest = front.bytes().len() - self.sent;
            if bytes < rest {
                self.sent += bytes;
                break;
            }
            bytes -= rest;
            freed += front.bytes().len() + FRAME_OVERHEAD;
            self.sent = 0;
            self.frames.pop_front();
        }
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
        self.queued -= freed;
        freed
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

    /// Throws the queue away, but for a frame of which the kernel has a part: what follows must begin behind its end.
    fn clear(&mut self, budget: &Budget) {
        let begun = (self.sent > 0).then(|| self.frames.pop_front()).flatten();
        self.frames = VecDeque::new();
        let kept = begun.as_ref().map_or(0, |frame| frame.bytes().len() + FRAME_OVERHEAD);
        self.frames.extend(begun);
        budget.sub(self.queued - kept);
        self.queued = kept;
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

    fn frame(bytes: usize) -> Frame {
        Frame::text(|text| text.resize(text.len() + bytes, b'x'))
    }

    /// Writes all that is queued, at most `at_once` bytes at a time; what went out.
    fn write(outbox: &Outbox, budget: &Budget, at_once: usize, context: &mut Context<'_>) -> Vec<u8> {
        let mut written = Vec::new();
        let mut buffer = Vec::new();
        while outbox.gather(&mut buffer, context) {
            let part = &buffer[..at_once.min(buffer.len())];
            written.extend_from_slice(part);
            outbox.taken(part.len(), budget);
            buffer.clear();
        }
        written
    }

    #[test]
    fn many_frames_wake_the_task_once_and_an_idle_outbox_holds_nothing() {
        let budget = Budget::new(1 << 20);
        let outbox = Outbox::new(1 << 16);
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        assert!(outbox.attend(&mut context).is_none() && !outbox.gather(&mut Vec::new(), &mut context));
        for _ in 0..50 {
            outbox.push(&frame(100), &budget).wake();
        }
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(budget.used() > 5_000);
        let mut gathered = Vec::new();
        assert!(outbox.attend(&mut context).is_none() && outbox.gather(&mut gathered, &mut context));
        assert!(budget.used() > 5_000, "what the kernel has not taken is still counted");
        assert!(outbox.taken(gathered.len(), &budget), "all of it went at once");
        outbox.push(&frame(100), &budget).wake();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 2, "and the next frame wakes the task again");
        write(&outbox, &budget, usize::MAX, &mut context);
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
            let mut last = Vec::new();
            assert_eq!(outbox.gather_last(&mut last), left);
            outbox.taken(last.len(), &budget);
            outbox.push(&frame(100), &budget).wake();
            assert!(!outbox.gather_last(&mut Vec::new()), "nothing is queued after the farewell");
            outbox.end(&budget);
            assert_eq!(budget.used(), 0);
        }
    }

    #[test]
    fn whatever_the_kernel_takes_at_a_time_the_same_bytes_go_out_in_order() {
        let budget = Budget::new(1 << 20);
        let frames: Vec<Frame> = [0, 1, 200, 70_000, 3, WRITE_BYTES, 9].map(frame).into();
        let expected: Vec<u8> = frames.iter().flat_map(|it| it.bytes().to_vec()).collect();
        let mut context = Context::from_waker(Waker::noop());
        for at_once in [1, 7, 1_000, WRITE_BYTES, usize::MAX] {
            let outbox = Outbox::new(1 << 20);
            frames.iter().for_each(|it| outbox.push(it, &budget).wake());
            assert!(write(&outbox, &budget, at_once, &mut context) == expected, "{at_once} at a time");
            assert_eq!((budget.used(), outbox.bytes()), (0, 0));
        }
    }

    #[test]
    fn a_frame_that_was_begun_is_ended_before_the_farewell() {
        let budget = Budget::new(1 << 20);
        let outbox = Outbox::new(10_000);
        outbox.push(&frame(100), &budget).wake();
        outbox.push(&frame(100), &budget).wake();
        let mut buffer = Vec::new();
        assert!(outbox.gather_last(&mut buffer));
        outbox.taken(40, &budget);
        outbox.close(Farewell::new(CloseCode::Revoked), &budget).wake();
        buffer.clear();
        assert!(outbox.gather_last(&mut buffer));
        assert_eq!(buffer, frame(100).bytes()[40..], "the rest of it, and not the other one");
        outbox.taken(buffer.len(), &budget);
        assert_eq!((budget.used(), outbox.bytes()), (0, 0));
    }
}
