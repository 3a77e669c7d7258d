//! A store in memory with exactly the faults that the trait permits, for tests of whatever stands on a store.
//!
//! Everything random comes from one seed and is drawn in the order of the calls: the same calls from one thread fail
//! the same way. The model also watches its caller: [`Model::violations`] lists each breach of what the trait asks of
//! callers, and of what was promised to readers.
//!
//! ```
//! use bellhop_storage::{Fate, Faults, Model};
//!
//! let model = Model::new(7);
//! model.faults(Faults { append_unknown: 100, read_refused: 20, ..Faults::NONE });
//! model.script([Fate::Done, Fate::UnknownLate]); // the next two appends; the seed decides after them
//! model.hold(); // completions wait for model.release_one() and its like
//! let after_a_crash = model.reopen(); // what is durable, a higher epoch; the old handle is fenced
//! # drop(after_a_crash);
//! ```

mod contents;
mod faults;

pub use faults::{Fate, Faults};

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bellhop_engine::domain::{ConversationKey, Epoch, Event, Row, Seq, Shard, WorkspaceId};
use bellhop_engine::ports::{
    APPEND_EVENTS, Answer, Append, Appended, Audit, ConversationPage, Expect, Loaded, Projection, Range, Reader,
    Record, RecordKey, RecordList, RowList, RowPage, Store, StoreError, Version, Written,
};
use parking_lot::Mutex;

use self::contents::Contents;
use self::faults::Random;
use crate::fits::fits;

/// A handle on the model: of one epoch, cheap to clone.
#[derive(Clone)]
pub struct Model {
    world: Arc<Mutex<World>>,
    epoch: Epoch,
    secret: [u8; 32],
}

/// The disk, its faults, and what is on its way.
struct World {
    epoch: Epoch,
    closed: bool,
    /// The database cannot be reached.
    away: bool,
    random: Random,
    faults: Faults,
    script: VecDeque<Fate>,
    holding: bool,
    /// Appends whose completion has not come yet, by the order of their arrival.
    waiting: BTreeMap<u64, Waiting>,
    arrivals: u64,
    /// Appends that may still become durable.
    late: Vec<Append>,
    /// Appends of earlier epochs that were fenced off: their rows may still turn up, and must count for nothing.
    leftovers: Vec<Append>,
    /// Conversations loaded under this epoch.
    loaded: HashSet<ConversationKey>,
    contents: Contents,
    /// Conversations that must be loaded before the next append.
    unsettled: HashSet<ConversationKey>,
    /// What was acknowledged.
    acknowledged: HashMap<(ConversationKey, Seq), Arc<Event>>,
    violations: Vec<String>,
}

struct Waiting {
    append: Append,
    fate: Fate,
    done: Appended,
}

impl Model {
    /// An empty store that never fails, until told to. Everything random comes from `seed`.
    pub fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut secret = [0; 32];
        for chunk in secret.chunks_exact_mut(8) {
            chunk.copy_from_slice(&random.next().to_be_bytes());
        }
        let world = World {
            epoch: Epoch(1),
            closed: false,
            away: false,
            random,
            faults: Faults::NONE,
            script: VecDeque::new(),
            holding: false,
            waiting: BTreeMap::new(),
            arrivals: 0,
            late: Vec::new(),
            leftovers: Vec::new(),
            loaded: HashSet::new(),
            contents: Contents::default(),
            unsettled: HashSet::new(),
            acknowledged: HashMap::new(),
            violations: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)), epoch: Epoch(1), secret }
    }

    /// From now on, fail like this.
    pub fn faults(&self, faults: Faults) {
        self.world.lock().faults = faults;
    }

    /// The fates of the next appends, in order, after those scripted already; then the seed decides again.
    pub fn script(&self, fates: impl IntoIterator<Item = Fate>) {
        self.world.lock().script.extend(fates);
    }

    /// From now on the store cannot be reached, or can be again. What is on its way then is not refused: its outcome
    /// comes when it is released or as its fate says.
    pub fn away(&self, away: bool) {
        self.world.lock().away = away;
    }

    /// From now on, completions of appends wait until they are released.
    pub fn hold(&self) {
        self.world.lock().holding = true;
    }

    /// Releases what is held, in a random order, and holds nothing any more.
    pub fn flow(&self) {
        self.world.lock().holding = false;
        self.release_all();
    }

    /// The conversations whose appends are held, in the order of their arrival.
    pub fn held(&self) -> Vec<ConversationKey> {
        self.world.lock().waiting.values().map(|waiting| waiting.append.key).collect()
    }

    /// Completes the held append of a conversation; whether there was one.
    pub fn release(&self, key: ConversationKey) -> bool {
        let arrival = {
            let world = self.world.lock();
            world.waiting.iter().find(|(_, waiting)| waiting.append.key == key).map(|(arrival, _)| *arrival)
        };
        arrival.is_some_and(|arrival| self.complete(arrival))
    }

    /// Completes a random one of the held appends; its conversation.
    pub fn release_one(&self) -> Option<ConversationKey> {
        let (arrival, key) = {
            let mut world = self.world.lock();
            let count = world.waiting.len() as u64;
            if count == 0 {
                return None;
            }
            let chosen = world.random.below(count) as usize;
            let (arrival, waiting) = world.waiting.iter().nth(chosen)?;
            (*arrival, waiting.append.key)
        };
        self.complete(arrival);
        Some(key)
    }

    /// Completes every held append, in a random order, also those that a completion gives rise to; how many.
    pub fn release_all(&self) -> usize {
        std::iter::from_fn(|| self.release_one()).count()
    }

    /// The process dies and starts again: what is durable is kept, an append on its way may have become durable or
    /// not, its callback is never called, and the new handle has a higher epoch. This one is fenced from now on.
    pub fn reopen(&self) -> Self {
        let mut dropped = Vec::new();
        let mut world = self.world.lock();
        for (_, waiting) in std::mem::take(&mut world.waiting) {
            match waiting.fate {
                Fate::Refused | Fate::UnknownLost => {}
                Fate::UnknownLate => world.is_late(waiting.append),
                Fate::Done | Fate::UnknownWritten => {
                    if world.random.chance(500) {
                        world.contents.append(&waiting.append);
                    }
                }
            }
            dropped.push(waiting.done);
        }
        world.epoch = Epoch(world.epoch.0 + 1);
        world.closed = false;
        world.loaded.clear();
        // Every conversation is loaded anew by a new process; asking for it would only repeat the trait.
        world.unsettled.clear();
        let epoch = world.epoch;
        drop(world);
        // Outside the lock: what a callback holds may call the store when it goes.
        drop(dropped);
        Self { world: Arc::clone(&self.world), epoch, secret: self.secret }
    }

    /// What callers did against the trait, and readers could notice: empty after a correct run.
    pub fn violations(&self) -> Vec<String> {
        self.world.lock().violations.clone()
    }

    /// The durable log of a conversation as an independent reader sees it, without faults.
    pub fn log(&self, key: ConversationKey) -> Vec<Arc<Event>> {
        self.world.lock().contents.log(key).cloned().collect()
    }

    /// Lets a waiting append take its effect and calls its callback.
    fn complete(&self, arrival: u64) -> bool {
        let (done, outcome) = {
            let mut world = self.world.lock();
            let Some(Waiting { append, fate, done }) = world.waiting.remove(&arrival) else { return false };
            (done, world.settle(append, fate))
        };
        // Outside the lock: a callback may call the store.
        done(outcome);
        true
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        self.pausing(move |world| {
            let refused = world.faults.read_refused;
            if world.random.chance(refused) {
                return Err(StoreError::Unavailable("the model refuses a read".to_owned()));
            }
            read(world)
        })
    }

    fn write<T: Send + 'static>(&self, write: impl FnOnce(&mut Contents) -> T + Send + 'static) -> Answer<'_, T> {
        self.pausing(move |world| {
            let Faults { write_refused, write_unknown, .. } = world.faults;
            if world.random.chance(write_refused) {
                return Err(StoreError::Unavailable("the model refuses a write".to_owned()));
            }
            let unknown = world.random.chance(write_unknown);
            if unknown && world.random.chance(500) {
                return Err(StoreError::Unknown("the model lost a write".to_owned()));
            }
            let written = write(&mut world.contents);
            if unknown { Err(StoreError::Unknown("the model lost an answer".to_owned())) } else { Ok(written) }
        })
    }

    /// Does something in its time, unless the store is closed to this handle by then.
    fn pausing<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut World) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'_, T> {
        Box::pin(async move {
            self.pause().await;
            let outcome = {
                let mut world = self.world.lock();
                world.open(self.epoch).and_then(|()| act(&mut world))
            };
            self.pause().await;
            outcome
        })
    }

    async fn pause(&self) {
        let pause = {
            let mut world = self.world.lock();
            let most = world.faults.pause.as_micros() as u64 / 2;
            if most == 0 { 0 } else { world.random.below(most + 1) }
        };
        if pause > 0 {
            tokio::time::sleep(Duration::from_micros(pause)).await;
        }
    }
}

impl World {
    fn open(&self, epoch: Epoch) -> Result<(), StoreError> {
        if epoch < self.epoch {
            return Err(StoreError::Fenced);
        }
        if self.closed {
            return Err(StoreError::Unavailable("the store is closed".to_owned()));
        }
        if self.away {
            return Err(StoreError::Unavailable("the store is away".to_owned()));
        }
        Ok(())
    }

    fn fate(&mut self) -> Fate {
        if let Some(fate) = self.script.pop_front() {
            return fate;
        }
        let Faults { append_refused, append_unknown, .. } = self.faults;
        if self.random.chance(append_refused) {
            return Fate::Refused;
        }
        if self.random.chance(append_unknown) {
            let fates = [Fate::UnknownWritten, Fate::UnknownLost, Fate::UnknownLate];
            return fates[self.random.below(3) as usize];
        }
        Fate::Done
    }

    fn settle(&mut self, append: Append, fate: Fate) -> Result<(), StoreError> {
        let unknown = || Err(StoreError::Unknown("the model does not say".to_owned()));
        match fate {
            Fate::Done => {
                self.contents.append(&append);
                for event in &append.events {
                    self.acknowledged.insert((append.key, event.seq), Arc::clone(event));
                }
                Ok(())
            }
            Fate::Refused => Err(StoreError::Unavailable("the model refuses an append".to_owned())),
            Fate::UnknownWritten => {
                self.unsettled.insert(append.key);
                self.contents.append(&append);
                unknown()
            }
            Fate::UnknownLost => {
                self.unsettled.insert(append.key);
                if self.random.chance(500) {
                    self.contents.mark(&append);
                }
                unknown()
            }
            Fate::UnknownLate => {
                self.unsettled.insert(append.key);
                self.is_late(append);
                unknown()
            }
        }
    }

    /// Its rows may come later, even under another owner. Its mark does not: a store whose rows can be late writes it
    /// before them, since a new owner reads the marks once.
    fn is_late(&mut self, append: Append) {
        self.contents.mark(&append);
        self.late.push(append);
    }

    /// Late appends of a conversation may become durable now; after a load none will.
    fn land(&mut self, key: ConversationKey, settle: bool) {
        if settle && self.loaded.insert(key) {
            self.take_over(key);
        }
        for append in std::mem::take(&mut self.leftovers) {
            if append.key == key && self.random.chance(300) {
                self.contents.append(&Append { mark_dirty: false, ..append });
            } else {
                self.leftovers.push(append);
            }
        }
        for append in std::mem::take(&mut self.late) {
            if append.key != key {
                self.late.push(append);
            } else if self.random.chance(500) {
                self.contents.append(&append);
            } else if !settle {
                self.late.push(append);
            }
        }
        if settle {
            self.unsettled.remove(&key);
        }
    }

    /// The first load under an epoch (design page, "Many nodes"): the last rows are written again under it, and from
    /// then on what an earlier owner's appends still bring lies below them.
    fn take_over(&mut self, key: ConversationKey) {
        let of_others = |append: &Append, epoch| append.key == key && append.events.iter().all(|it| it.epoch < epoch);
        if !self.late.iter().any(|append| of_others(append, self.epoch)) || !self.random.chance(500) {
            return;
        }
        let rows = 1 + self.random.below(3) as usize;
        if self.contents.write_again(key, rows, self.epoch) {
            let (fenced, late) = std::mem::take(&mut self.late).into_iter().partition(|it| of_others(it, self.epoch));
            self.late = late;
            self.leftovers.extend::<Vec<Append>>(fenced);
        }
    }

    /// Holds the caller to what the trait asks of it.
    fn watch(&mut self, append: &Append, epoch: Epoch) {
        let key = append.key;
        let mut breaches = Vec::new();
        if append.events.is_empty() {
            breaches.push("an append without events".to_owned());
        }
        if append.events.len() > APPEND_EVENTS {
            breaches.push(format!("an append of {} events", append.events.len()));
        }
        if self.waiting.values().any(|waiting| waiting.append.key == key) {
            breaches.push("two appends in flight".to_owned());
        }
        if self.unsettled.contains(&key) {
            breaches.push("an append after an unknown outcome without a load".to_owned());
        }
        if append.events.windows(2).any(|pair| pair[1].seq != pair[0].seq + 1) {
            breaches.push("events that are not gapless".to_owned());
        }
        let head = self.contents.log(key).last().map_or(0, |event| event.seq);
        if let Some(first) = append.events.first().filter(|first| first.seq > head + 1) {
            breaches.push(format!("an append at {} over a hole above {head}", first.seq));
        }
        for event in &append.events {
            if event.epoch != epoch {
                breaches.push(format!("seq {} under epoch {} instead of {}", event.seq, event.epoch.0, epoch.0));
            }
            if self.contents.event(key, event.seq, event.epoch).is_some_and(|stored| stored != event) {
                breaches.push(format!("two contents for seq {} of epoch {}", event.seq, event.epoch.0));
            }
            let acknowledged = self.acknowledged.get(&(key, event.seq));
            if acknowledged.is_some_and(|old| Event { epoch: old.epoch, ..Event::clone(event) } != **old) {
                breaches.push(format!("seq {} was acknowledged with another content", event.seq));
            }
        }
        self.violations.extend(breaches.into_iter().map(|breach| format!("{}: {breach}", key.conversation)));
    }
}

impl Store for Model {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn secret(&self) -> [u8; 32] {
        self.secret
    }

    fn append(&self, append: Append, done: Appended) {
        let mut world = self.world.lock();
        if let Err(error) = world.open(self.epoch) {
            drop(world);
            return done(Err(error));
        }
        world.watch(&append, self.epoch);
        let fate = world.fate();
        let delay = world.faults.delay.as_micros() as u64;
        let delay = Duration::from_micros(if delay == 0 { 0 } else { world.random.below(delay + 1) });
        let arrival = world.arrivals;
        world.arrivals += 1;
        world.waiting.insert(arrival, Waiting { append, fate, done });
        let holding = world.holding;
        drop(world);
        if holding {
            return;
        }
        if delay.is_zero() {
            self.complete(arrival);
        } else {
            let model = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                model.complete(arrival);
            });
        }
    }

    fn load(&self, key: ConversationKey) -> Answer<'_, Option<Loaded>> {
        self.read(move |world| {
            world.land(key, true);
            Ok(world.contents.load(key))
        })
    }

    fn events(&self, key: ConversationKey, range: Range, limit: usize) -> Answer<'_, Vec<Arc<Event>>> {
        self.read(move |world| {
            world.land(key, false);
            Ok(world.contents.events(key, range, limit))
        })
    }

    fn project(&self, projection: Projection) -> Answer<'_, ()> {
        self.write(move |contents| contents.project(&projection))
    }

    fn restore(&self, projection: Projection) -> Answer<'_, ()> {
        self.write(move |contents| contents.restore(&projection))
    }

    fn prune(&self, workspace: WorkspaceId) -> Answer<'_, u64> {
        self.write(move |contents| contents.prune(workspace))
    }

    fn row(&self, key: ConversationKey) -> Answer<'_, Option<Row>> {
        self.read(move |world| Ok(world.contents.row(key)))
    }

    fn reads(&self, key: ConversationKey) -> Answer<'_, Vec<(Reader, Seq)>> {
        self.read(move |world| Ok(world.contents.reads(key)))
    }

    fn rows(&self, list: RowList, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, RowPage> {
        self.read(move |world| Ok(world.contents.rows(list, after.as_deref(), limit)))
    }

    fn dirty(&self) -> Answer<'_, Vec<(Shard, ConversationKey)>> {
        self.read(|world| Ok(world.contents.dirty()))
    }

    fn record(&self, key: RecordKey) -> Answer<'_, Option<(Record, Version)>> {
        self.read(move |world| Ok(world.contents.record(&key)))
    }

    fn put_record(&self, key: RecordKey, record: Record, expect: Expect) -> Answer<'_, Written> {
        if !fits(&key, &record) {
            let error = StoreError::Unavailable(format!("{key:?} is not the key of such a record"));
            return Box::pin(std::future::ready(Err(error)));
        }
        self.write(move |contents| contents.put_record(key, record, expect))
    }

    fn delete_record(&self, key: RecordKey) -> Answer<'_, ()> {
        self.write(move |contents| contents.delete_record(&key))
    }

    fn records(&self, list: RecordList, after: Option<u128>, limit: usize) -> Answer<'_, Vec<(Record, Version)>> {
        self.read(move |world| Ok(world.contents.records(list, after, limit)))
    }

    fn conversations(&self, after: Option<Vec<u8>>, limit: usize) -> Answer<'_, ConversationPage> {
        self.read(move |world| Ok(world.contents.conversations(after.as_deref(), limit)))
    }

    fn audit(&self, key: ConversationKey) -> Answer<'_, Audit> {
        self.read(move |world| Ok(world.contents.audit(key)))
    }

    fn healthy(&self) -> bool {
        self.world.lock().open(self.epoch).is_ok()
    }

    fn failed(&self) -> Option<String> {
        let fenced = self.epoch < self.world.lock().epoch;
        fenced.then(|| "Another server owns this store now.".to_owned())
    }

    fn close(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            // A fenced handle has nothing to close any more.
            if self.epoch == self.world.lock().epoch {
                self.release_all();
                self.world.lock().closed = true;
            }
            Ok(())
        })
    }
}
