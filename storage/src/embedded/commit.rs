//! The commit thread: the one writer of the embedded store.
//!
//! Writes come through a bounded channel. The thread takes the first, then all that wait already, writes one batch,
//! syncs once and answers all of them. So a lone write is committed at once, and what arrives during a sync shares the
//! next: the batch grows with the load and no timer holds anything back.
//!
//! The channel is the standard library's for the way it waits. Crossbeam's receiver yields a few times before it sleeps
//! (crossbeam #366; the port in std does not, rust-lang #106668), here 7,000 times a second, and Linux's scheduler puts who
//! yields behind the others: after the next sync the thread waited for a core. At 24,000 messages a second on two cores,
//! four runs each in turns, p99 was 1.9 to 3.3 ms for 2.6 to 6.0 with crossbeam's, p99.9 4.8 to 6.5 for 7.5 to 18.7.
//!
//! A failed write or sync poisons the store: nobody knows what of the batch reached the disk, and asking the page cache
//! again would believe a liar. That batch is answered `Unknown`, all later writes `Unavailable`, until a restart reads
//! the disk afresh.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use bellhop_engine::domain::WorkspaceId;
use bellhop_engine::ports::{Appended, Expect, Projection, Record, StoreError, Written};
use bellhop_engine::sabotage::{self, Fault, Spot};
use fjall::PersistMode;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::batch::Batch;
use super::keys::Place;
use super::memory::Memory;
use super::numbers::Numbers;
use super::open::Opened;
use super::{Closable, metrics};
use crate::codec::encode_record;

/// Writes in one commit. At the measured 4.5 µs each, 1,024 take about as long as a sync on a busy disk (4 ms, FACTS);
/// more would only delay the answers of those that came first.
pub(super) const BATCH_WRITES: usize = 1_024;

/// Bytes in one commit: 10 ms of a disk that writes 200 MB/s. One write is never split, so a batch may pass it by one.
pub(super) const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// Writes that wait: 16 full batches, a third of a second at 50,000 a second. Whoever comes later is told at once.
pub(super) const QUEUE_WRITES: usize = 16 * BATCH_WRITES;

/// Bytes that wait: 32 full batches. It binds when texts are long; short ones reach `QUEUE_WRITES` first.
pub(super) const QUEUE_BYTES: usize = 32 * BATCH_BYTES;

/// A commit that takes longer than this makes the store unhealthy: writes are stalled, even though none has failed.
/// A sync takes 4 ms on a busy disk; a disk that needs a thousand times as long is no longer one to send visitors to.
const STALL: Duration = Duration::from_secs(4);

/// One write on its way.
pub(super) enum Job {
    Append {
        rows: Vec<(Vec<u8>, Vec<u8>)>,
        mark: Option<Vec<u8>>,
        done: Completion,
    },
    Project {
        projection: Box<Projection>,
        done: Answering<()>,
    },
    PutRecord {
        place: Place,
        key: Vec<u8>,
        record: Box<Record>,
        expect: Expect,
        done: Answering<Written>,
    },
    DeleteRecord {
        place: Place,
        key: Vec<u8>,
        done: Answering<()>,
    },
    Restore {
        projection: Box<Projection>,
        done: Answering<()>,
    },
    Prune {
        workspace: WorkspaceId,
        done: Answering<u64>,
    },
    /// The last one: the thread ends.
    Close,
}

/// Where the answer of a write goes that somebody awaits.
pub(super) type Answering<T> = oneshot::Sender<Result<T, StoreError>>;

/// An append's callback. Called exactly once, whatever happens: dropped unanswered (the thread died), it says so.
pub(super) struct Completion(Option<Appended>);

impl Completion {
    pub(super) fn new(done: Appended) -> Self {
        Self(Some(done))
    }

    pub(super) fn finish(mut self, outcome: Result<(), StoreError>) {
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
        self.call(Err(StoreError::Unknown("the commit thread ended".to_owned())));
    }
}

/// What the thread and its callers share.
struct Gauges {
    poisoned: AtomicBool,
    closed: AtomicBool,
    waiting_writes: AtomicUsize,
    waiting_bytes: AtomicUsize,
    opened: Instant,
    /// Milliseconds from `opened` to the start of the commit that runs now, plus one; 0 while none runs.
    commit_began: AtomicU64,
}

impl Gauges {
    /// A write of so many bytes waits. Returns how many waited before it.
    fn came(&self, bytes: usize) -> usize {
        self.waiting_writes.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed)
    }

    fn went(&self, bytes: usize) {
        self.waiting_writes.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The commit thread as its callers hold it.
pub(super) struct Commit {
    jobs: SyncSender<(Job, usize)>,
    gauges: Arc<Gauges>,
    thread: Mutex<Option<JoinHandle<()>>>,
    thread_id: ThreadId,
}

impl Commit {
    pub(super) fn start(store: Arc<Closable<Opened>>, numbers: Numbers, memory: Memory) -> std::io::Result<Self> {
        metrics::describe();
        let (jobs, inbox) = sync_channel(QUEUE_WRITES);
        let gauges = Arc::new(Gauges {
            poisoned: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            waiting_writes: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            opened: Instant::now(),
            commit_began: AtomicU64::new(0),
        });
        let thread = std::thread::Builder::new().name("bellhop-commit".to_owned()).spawn({
            let gauges = Arc::clone(&gauges);
            move || run(&store, &inbox, &gauges, numbers, memory)
        })?;
        let thread_id = thread.thread().id();
        Ok(Self { jobs, gauges, thread: Mutex::new(Some(thread)), thread_id })
    }

    /// Queues a write of about `bytes`, or answers `Unavailable` at once.
    pub(super) fn send(&self, job: Job, bytes: usize) {
        if let Err(error) = self.open() {
            return job.refuse(&error);
        }
        if self.gauges.came(bytes) > QUEUE_BYTES {
            self.gauges.went(bytes);
            return job.refuse(&StoreError::Unavailable("too many bytes wait to be written".to_owned()));
        }
        let (reason, (job, bytes)) = match self.jobs.try_send((job, bytes)) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => ("too many writes wait", job),
            Err(TrySendError::Disconnected(job)) => ("the store is closed", job),
        };
        self.gauges.went(bytes);
        job.refuse(&StoreError::Unavailable(reason.to_owned()));
    }

    /// Whether writes are taken at all.
    pub(super) fn open(&self) -> Result<(), StoreError> {
        if self.gauges.closed.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the store is closed".to_owned()));
        }
        if self.gauges.poisoned.load(Ordering::Acquire) {
            return Err(poisoned());
        }
        Ok(())
    }

    /// Whether a write or sync has failed: only a restart reads the disk afresh.
    pub(super) fn failed(&self) -> bool {
        self.gauges.poisoned.load(Ordering::Acquire)
    }

    pub(super) fn healthy(&self) -> bool {
        let began = self.gauges.commit_began.load(Ordering::Relaxed);
        let stalled = began != 0 && self.gauges.opened.elapsed() > Duration::from_millis(began) + STALL;
        self.open().is_ok() && !stalled
    }

    /// Refuses new writes and ends the thread after those that wait. Blocks until it has ended.
    pub(super) fn close(&self) {
        self.gauges.closed.store(true, Ordering::Release);
        // The last handle may be dropped by a callback, on the thread itself, which cannot wait for its own end: there
        // the dropping of the channel ends it.
        if self.thread_id == std::thread::current().id() {
            return;
        }
        // Held while joining, so that whoever closes at the same time waits as well.
        let mut thread = self.thread.lock();
        let Some(thread) = thread.take() else { return };
        // Waits for room in a full queue; fails only when the thread has ended already, which joining shows.
        let _ = self.jobs.send((Job::Close, 0));
        if thread.join().is_err() {
            tracing::error!("the commit thread panicked");
        }
    }
}

impl Job {
    fn refuse(self, error: &StoreError) {
        // A receiver that is gone has stopped waiting.
        match self {
            Job::Append { done, .. } => done.finish(Err(error.clone())),
            Job::Project { done, .. } | Job::DeleteRecord { done, .. } => drop(done.send(Err(error.clone()))),
            Job::PutRecord { done, .. } => drop(done.send(Err(error.clone()))),
            Job::Restore { done, .. } => drop(done.send(Err(error.clone()))),
            Job::Prune { done, .. } => drop(done.send(Err(error.clone()))),
            Job::Close => {}
        }
    }
}

fn poisoned() -> StoreError {
    StoreError::Unavailable("a write or sync of the disk failed; mend the disk and restart the server".to_owned())
}

/// An answer that waits for its batch.
enum Waiting {
    Append(Completion),
    Done(Answering<()>, Result<(), StoreError>),
    Written(Answering<Written>, Result<Written, StoreError>),
    Pruned(Answering<u64>, Result<u64, StoreError>),
}

impl Waiting {
    /// Answers, after its batch was committed or (`failed`) perhaps not.
    fn answer(self, failed: Option<&StoreError>) {
        match (self, failed) {
            (Waiting::Append(done), None) => done.finish(Ok(())),
            (Waiting::Append(done), Some(error)) => done.finish(Err(error.clone())),
            (Waiting::Done(done, outcome), None) => drop(done.send(outcome)),
            (Waiting::Done(done, _), Some(error)) => drop(done.send(Err(error.clone()))),
            (Waiting::Written(done, outcome), None) => drop(done.send(outcome)),
            (Waiting::Written(done, _), Some(error)) => drop(done.send(Err(error.clone()))),
            (Waiting::Pruned(done, outcome), None) => drop(done.send(outcome)),
            (Waiting::Pruned(done, _), Some(error)) => drop(done.send(Err(error.clone()))),
        }
    }
}

fn run(
    store: &Closable<Opened>,
    inbox: &Receiver<(Job, usize)>,
    gauges: &Gauges,
    mut numbers: Numbers,
    mut memory: Memory,
) {
    let mut jobs = Vec::with_capacity(BATCH_WRITES);
    let mut last_rows = Vec::new();
    while let Ok(first) = inbox.recv() {
        let mut closing = false;
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some((job, size)) = next {
            if let Job::Close = job {
                closing = true;
                break;
            }
            gauges.went(size);
            bytes += size;
            jobs.push(job);
            next = if jobs.len() < BATCH_WRITES && bytes < BATCH_BYTES { inbox.try_recv().ok() } else { None };
        }
        if gauges.poisoned.load(Ordering::Acquire) {
            jobs.drain(..).for_each(|job| job.refuse(&poisoned()));
        } else if !jobs.is_empty() {
            if sabotage::on(Fault::LoseLastBatchOnDrain) {
                note_rows(&jobs, &mut last_rows);
            }
            commit(store, &mut jobs, gauges, &mut numbers);
            // After the answers. A store that is closed has no tables.
            let _closed = store.with(|opened| memory.look(&opened.tables));
        }
        if closing {
            if sabotage::on(Fault::LoseLastBatchOnDrain) {
                lose(store, &last_rows);
            }
            break;
        }
    }
    if !gauges.poisoned.load(Ordering::Acquire)
        && let Err(error) = end(store, &mut numbers)
    {
        tracing::error!(%error, "the store was not closed in peace; nothing acknowledged is lost");
    }
    // Whoever raced with the closing.
    let closed = StoreError::Unavailable("the store is closed".to_owned());
    while let Ok((job, _)) = inbox.try_recv() {
        job.refuse(&closed);
    }
}

/// The last sync: also of what did not need one. The side file says so, and that nothing comes after.
fn end(store: &Closable<Opened>, numbers: &mut Numbers) -> Result<(), String> {
    let synced = store.with(|opened| opened.tables.db.persist(PersistMode::SyncAll));
    synced.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
    numbers.close().map_err(|error| error.to_string())
}

fn commit(store: &Closable<Opened>, jobs: &mut Vec<Job>, gauges: &Gauges, numbers: &mut Numbers) {
    let began = Instant::now();
    let queued = gauges.waiting_writes.load(Ordering::Relaxed);
    let since_open = began.duration_since(gauges.opened).as_millis() as u64;
    gauges.commit_began.store(since_open + 1, Ordering::Relaxed);
    let writes = jobs.len();
    let mut waiting = Vec::with_capacity(writes);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        store.with(|opened| {
            let mut batch = Batch::new(&opened.tables, &numbers.next(&opened.tables));
            for job in jobs.drain(..) {
                prepare(&mut batch, job, &mut waiting);
            }
            sabotage::trip(Spot::Journal);
            if sabotage::on(Fault::AcknowledgeBeforeSync) {
                // The answers are on their way: long enough for a kill to come between.
                std::thread::sleep(Duration::from_millis(10));
            }
            let failed =
                |error: &dyn Display| StoreError::Unknown(format!("a write or sync of the disk failed: {error}"));
            let committed = batch.commit().map_err(|error| failed(&error))?;
            numbers.committed(committed).map_err(|error| failed(&error))
        })
    }));
    let outcome = match outcome {
        Ok(Ok(outcome)) => outcome,
        // The thread is joined before the store is closed, so this cannot be; nothing was written.
        Ok(Err(closed)) => Err(closed),
        Err(_) => Err(StoreError::Unknown("the commit panicked".to_owned())),
    };
    gauges.commit_began.store(0, Ordering::Relaxed);
    if let Err(error) = &outcome {
        // Before anyone is answered: whoever hears `unknown` finds no later write succeed.
        gauges.poisoned.store(true, Ordering::Release);
        tracing::error!(%error, writes, "the store takes no more writes");
    }
    metrics::committed(writes, began.elapsed(), queued);
    let failed = outcome.err();
    for one in waiting {
        one.answer(failed.as_ref());
    }
}

/// Keeps the keys of a batch's events, for [`lose`].
fn note_rows(jobs: &[Job], last_rows: &mut Vec<Vec<u8>>) {
    let rows = jobs.iter().filter_map(|job| match job {
        Job::Append { rows, .. } => Some(rows),
        _ => None,
    });
    let rows: Vec<_> = rows.flatten().map(|(key, _)| key.clone()).collect();
    if !rows.is_empty() {
        *last_rows = rows;
    }
}

/// The fault `lose-last-batch-on-drain`: what was acknowledged last is taken away again.
fn lose(store: &Closable<Opened>, rows: &[Vec<u8>]) {
    let _lost = store.with(|opened| {
        let mut batch = opened.tables.db.batch();
        for row in rows {
            batch.remove(&opened.tables.events, row.as_slice());
        }
        batch.commit()
    });
}

fn prepare(batch: &mut Batch<'_>, job: Job, waiting: &mut Vec<Waiting>) {
    match job {
        Job::Append { rows, mark, done } => {
            batch.append(rows, mark);
            if sabotage::on(Fault::AcknowledgeBeforeSync) {
                return done.finish(Ok(()));
            }
            waiting.push(Waiting::Append(done));
        }
        Job::Project { projection, done } => {
            let outcome = batch.project(&projection);
            waiting.push(Waiting::Done(done, outcome));
        }
        Job::PutRecord { place, key, record, expect, done } => {
            let outcome = batch.put_record(place, key, expect, |version| encode_record(&record, version));
            waiting.push(Waiting::Written(done, outcome));
        }
        Job::DeleteRecord { place, key, done } => {
            batch.delete_record(place, key);
            waiting.push(Waiting::Done(done, Ok(())));
        }
        Job::Restore { projection, done } => {
            let outcome = batch.restore(&projection);
            waiting.push(Waiting::Done(done, outcome));
        }
        Job::Prune { workspace, done } => {
            let outcome = batch.prune(workspace);
            waiting.push(Waiting::Pruned(done, outcome));
        }
        // `run` keeps it back.
        Job::Close => {}
    }
}
