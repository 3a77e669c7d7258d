//! The journal: many appends on their way, as many as the database answers well; the others wait, within bounds.
//!
//! An append is one unlogged batch in one partition at quorum, its `dirty` mark before it. It is acknowledged only if
//! the lease was still valid after the quorum had answered (design page, "Many nodes"). One that gets no answer is sent
//! again with the same rows until [`DEADLINE`]; then its caller hears `Unknown`, and its rows are remembered: the next
//! `load` of the conversation repeats them until they are in, so that one (seq, epoch) never gets two contents and
//! nothing arrives late.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bellhop_engine::domain::{ConversationKey, Shard};
use bellhop_engine::ports::{Append, Appended, StoreError};
use parking_lot::Mutex;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::CqlValue;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::buckets::{MAX_APPEND_BYTES, MAX_APPEND_EVENTS, MAX_EVENT_BYTES, bucket, number};
use super::core::Core;
use super::metrics;
use super::pace::Pace;
use crate::codec::encode_event;

/// Appends that wait: a second at 16,000 a second, which one node answers at best. Whoever comes later is told at once.
pub(super) const QUEUE_APPENDS: usize = 16 * 1_024;

/// Bytes that wait, are on their way, or are remembered with their outcome unknown.
pub(super) const QUEUE_BYTES: usize = 64 * 1024 * 1024;

/// What an append weighs beside its rows' values, a row.
const ROW_BYTES: usize = 256;

/// How long an append is tried from when it is first sent. Three attempts of a second: a node that hangs is cut from by
/// then and the next one asked; longer, and people have sent again what they wait for. An append that waited so long
/// in the queue is refused: nothing of it was written.
pub(super) const DEADLINE: Duration = Duration::from_secs(3);

/// Between two attempts of an append: long enough for a broken connection to be replaced.
const PAUSE: Duration = Duration::from_millis(50);

/// How long `close` tries to settle what is unknown; what is left is settled by the next owner's first load.
const SETTLING: Duration = Duration::from_secs(2);

/// The rows of one append, ready to be written any number of times.
pub(super) struct Rows {
    key: ConversationKey,
    mark_dirty: bool,
    values: Vec<Vec<CqlValue>>,
    bytes: usize,
}

/// An append's callback. Called exactly once, whatever happens: dropped unanswered, it says so.
struct Completion(Option<Appended>);

impl Completion {
    fn finish(mut self, outcome: Result<(), StoreError>) {
        self.call(outcome);
    }

    fn call(&mut self, outcome: Result<(), StoreError>) {
        // A callback that panics is its owner's fault, and must not take the other conversations' answers with it.
        if let Some(done) = self.0.take()
            && catch_unwind(AssertUnwindSafe(|| done(outcome))).is_err()
        {
            tracing::error!("the callback of an append panicked");
        }
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        self.call(Err(StoreError::Unknown("the journal ended".to_owned())));
    }
}

struct Job {
    rows: Rows,
    handed_over: Instant,
    done: Completion,
}

/// What waits and what is on its way.
pub(super) struct Journal {
    core: Arc<Core>,
    runtime: Handle,
    queue: Mutex<Queue>,
    bytes: AtomicUsize,
    idle: Notify,
    /// Appends of unknown outcome.
    unknown: Mutex<HashMap<ConversationKey, Arc<Rows>>>,
}

struct Queue {
    waiting: VecDeque<Job>,
    in_flight: usize,
    pace: Pace,
}

impl Journal {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            runtime: Handle::current(),
            queue: Mutex::new(Queue { waiting: VecDeque::new(), in_flight: 0, pace: Pace::new() }),
            bytes: AtomicUsize::new(0),
            idle: Notify::new(),
            unknown: Mutex::new(HashMap::new()),
        }
    }

    pub(super) fn append(self: &Arc<Self>, append: Append, done: Appended) {
        let done = Completion(Some(done));
        let rows = match self.core.standing.writable().and_then(|()| self.rows(&append)) {
            Ok(rows) => rows,
            Err(error) => return done.finish(Err(error)),
        };
        let bytes = rows.bytes;
        if self.bytes.fetch_add(bytes, Ordering::AcqRel) + bytes > QUEUE_BYTES {
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            return done.finish(Err(StoreError::Unavailable("too many bytes wait to be written".to_owned())));
        }
        let job = Job { rows, handed_over: Instant::now(), done };
        let mut queue = self.queue.lock();
        if queue.in_flight < queue.pace.limit() {
            queue.in_flight += 1;
            drop(queue);
            self.start(job);
        } else if queue.waiting.len() < QUEUE_APPENDS {
            queue.waiting.push_back(job);
        } else {
            drop(queue);
            self.bytes.fetch_sub(bytes, Ordering::AcqRel);
            job.done.finish(Err(StoreError::Unavailable("too many appends wait".to_owned())));
        }
    }

    /// Encoded on the caller's thread; refused when it is larger than a partition's bound allows.
    fn rows(&self, append: &Append) -> Result<Rows, StoreError> {
        let refused = |why: String| Err(StoreError::Unavailable(why));
        let (Some(first), Some(last)) = (append.events.first(), append.events.last()) else {
            return refused("an append without events".to_owned());
        };
        if append.events.len() > MAX_APPEND_EVENTS {
            return refused(format!("an append of more than {MAX_APPEND_EVENTS} events; repeat it in parts"));
        }
        let epoch = self.core.lease.epoch();
        if append.events.iter().any(|event| event.epoch != epoch) {
            return Err(StoreError::Fenced);
        }
        let (first, last) = (first.seq, last.seq);
        let stamp = self.core.lease.stamps().next()?;
        let mut bytes = 0;
        let mut values = Vec::with_capacity(append.events.len());
        for event in &append.events {
            let value = encode_event(event);
            if value.len() > MAX_EVENT_BYTES {
                return refused(format!("an event of more than {MAX_EVENT_BYTES} bytes"));
            }
            bytes += value.len();
            values.push(event_row(append.key, event.seq, epoch.0, first, last, value, stamp));
        }
        if bytes > MAX_APPEND_BYTES {
            return refused(format!("an append of more than {MAX_APPEND_BYTES} bytes; repeat it in parts"));
        }
        let bytes = bytes + values.len() * ROW_BYTES;
        Ok(Rows { key: append.key, mark_dirty: append.mark_dirty, values, bytes })
    }

    fn start(self: &Arc<Self>, job: Job) {
        // Boxed: a worker starts others like itself.
        let work: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(Arc::clone(self).work(job));
        self.runtime.spawn(work);
    }

    /// Does one append after the other, as long as so many may be on their way.
    async fn work(self: Arc<Self>, mut job: Job) {
        loop {
            self.settle(job).await;
            let mut queue = self.queue.lock();
            metrics::queued(queue.waiting.len(), queue.pace.limit());
            // The limit has grown: company.
            while queue.in_flight < queue.pace.limit() {
                let Some(more) = queue.waiting.pop_front() else { break };
                queue.in_flight += 1;
                self.start(more);
            }
            let next = if queue.in_flight <= queue.pace.limit() { queue.waiting.pop_front() } else { None };
            match next {
                Some(next) => job = next,
                None => {
                    queue.in_flight -= 1;
                    if queue.in_flight == 0 {
                        self.idle.notify_waiters();
                    }
                    return;
                }
            }
        }
    }

    async fn settle(&self, job: Job) {
        let Job { rows, handed_over, done } = job;
        let bytes = rows.bytes;
        let waited = handed_over.elapsed() > DEADLINE;
        let refusal = match self.core.standing.writable() {
            // Handed over before the closing: it is still done.
            Err(_) if self.core.standing.closing() => None,
            Err(error) => Some(error),
            Ok(()) if waited => Some(StoreError::Unavailable("the append waited too long to be sent".to_owned())),
            Ok(()) => None,
        };
        let outcome = match refusal {
            Some(error) => Err(error),
            None => self.write(&rows, DEADLINE).await,
        };
        match outcome {
            Err(StoreError::Unknown(why)) => {
                // Its bytes stay counted until it is settled.
                self.unknown.lock().insert(rows.key, Arc::new(rows));
                done.finish(Err(StoreError::Unknown(why)));
            }
            outcome => {
                self.bytes.fetch_sub(bytes, Ordering::AcqRel);
                done.finish(outcome);
            }
        }
    }

    /// Writes the rows until they are known to be in, and the lease to have been ours then.
    async fn write(&self, rows: &Rows, deadline: Duration) -> Result<(), StoreError> {
        let begun = Instant::now();
        if rows.mark_dirty {
            let shard = i32::from(Shard::of(rows.key.workspace, rows.key.conversation).0);
            let (workspace, conversation) = super::ids(rows.key);
            let stamp = self.core.lease.stamps().next()?;
            let database = &self.core.database;
            // Of the events nothing is written yet: no answer here is a refusal.
            database
                .write(&database.statements.put_dirty, &(shard, workspace, conversation, stamp))
                .await
                .map_err(|error| StoreError::Unavailable(format!("the dirty mark was not written: {error}")))?;
        }
        let statement: &PreparedStatement = &self.core.database.statements.put_event;
        let writes: Vec<_> = rows.values.iter().map(|values| (statement, values.clone())).collect();
        loop {
            let sent = Instant::now();
            match self.core.database.batch(&writes).await {
                Ok(()) => {
                    let mut queue = self.queue.lock();
                    let full = queue.in_flight >= queue.pace.limit();
                    queue.pace.answered(sent.elapsed(), full);
                    drop(queue);
                    metrics::appended(sent.elapsed());
                    break;
                }
                Err(error) => {
                    self.queue.lock().pace.timed_out();
                    metrics::unanswered();
                    if begun.elapsed() + PAUSE >= deadline || self.core.standing.lost().is_some() {
                        return Err(error);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        if self.core.standing.ours() {
            Ok(())
        } else if self.core.standing.lost().is_some() {
            // Another owner decides what becomes of it.
            Err(StoreError::Fenced)
        } else {
            Err(StoreError::Unknown("the lease ran out while it was written".to_owned()))
        }
    }

    /// Repeats what is unknown of a conversation until it is in.
    pub(super) async fn settle_unknown(&self, key: ConversationKey) -> Result<(), StoreError> {
        let Some(rows) = self.unknown.lock().get(&key).cloned() else { return Ok(()) };
        self.write(&rows, DEADLINE).await.map_err(|error| match error {
            StoreError::Unknown(why) => {
                StoreError::Unavailable(format!("an append of unknown outcome could not be repeated yet: {why}"))
            }
            error => error,
        })?;
        if self.unknown.lock().remove(&key).is_some() {
            self.bytes.fetch_sub(rows.bytes, Ordering::AcqRel);
        }
        Ok(())
    }

    /// Waits until everything handed over is answered, and tries to settle what is unknown.
    pub(super) async fn drain(&self) {
        loop {
            let mut idle = std::pin::pin!(self.idle.notified());
            idle.as_mut().enable();
            {
                let queue = self.queue.lock();
                if queue.in_flight == 0 && queue.waiting.is_empty() {
                    break;
                }
            }
            idle.await;
        }
        let keys: Vec<_> = self.unknown.lock().keys().copied().collect();
        let settled = tokio::time::timeout(SETTLING, async {
            for key in keys {
                if self.settle_unknown(key).await.is_err() {
                    break;
                }
            }
        });
        if settled.await.is_err() || !self.unknown.lock().is_empty() {
            tracing::warn!("appends of unknown outcome are left to the next start, which adopts or drops them");
        }
    }
}

/// The values of one `put_event`.
pub(super) fn event_row(
    key: ConversationKey,
    seq: u64,
    epoch: u64,
    first: u64,
    last: u64,
    value: Vec<u8>,
    stamp: i64,
) -> Vec<CqlValue> {
    let (workspace, conversation) = super::ids(key);
    vec![
        CqlValue::Blob(workspace.to_vec()),
        CqlValue::Blob(conversation.to_vec()),
        CqlValue::BigInt(bucket(first)),
        CqlValue::BigInt(number(seq)),
        CqlValue::BigInt(number(epoch)),
        CqlValue::BigInt(number(first)),
        CqlValue::BigInt(number(last)),
        CqlValue::Blob(value),
        CqlValue::BigInt(stamp),
    ]
}
