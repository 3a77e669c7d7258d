//! One life of the server: the engine on a one-threaded runtime of its own, whose clock stands unless nothing is left
//! to do. Dropping it is `kill -9`: every task ends where it stands.

use std::panic::panic_any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use bellhop_engine::domain::{Millis, SessionId};
use bellhop_engine::exchange::Answer;
use bellhop_engine::ports::{Answers, Clock, Desk, Store, StoreError};
use bellhop_engine::{Engine, Options, Ports};
use bellhop_storage::Model;
use parking_lot::Mutex;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::check::Check;

/// A panic that the simulation put in.
pub struct Injected;

/// In which actor the next panic is to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Conversation,
    Lists,
    Team,
}

/// The way out of the engine: the checker sees what is told at the moment when it is told.
pub struct Port {
    check: Arc<Mutex<Check>>,
    out: Mutex<Vec<(Vec<SessionId>, Answer)>>,
    news: Notify,
    victim: Mutex<Option<Victim>>,
}

impl Port {
    pub fn arm(&self, victim: Victim) {
        *self.victim.lock() = Some(victim);
    }
}

impl Answers for Port {
    fn deliver(&self, to: &[SessionId], answer: &Answer) {
        let within = match answer {
            Answer::Acknowledged { .. } | Answer::Event { .. } | Answer::Opened { .. } | Answer::Page { .. } => {
                Some(Victim::Conversation)
            }
            Answer::List { .. } | Answer::Changes { .. } => Some(Victim::Lists),
            Answer::Members(_) => Some(Victim::Team),
            _ => None,
        };
        let mut victim = self.victim.lock();
        if victim.is_some() && *victim == within {
            *victim = None;
            drop(victim);
            self.check.lock().count("panics");
            panic_any(Injected);
        }
        drop(victim);
        self.check.lock().told(to, answer);
        self.out.lock().push((to.to_vec(), answer.clone()));
        self.news.notify_one();
    }
}

/// Wall-clock time of the world: virtual, and it may be set.
pub struct WallClock {
    zero: Instant,
    at: i64,
    skew: Arc<AtomicI64>,
}

/// The world's time 0, ms since 1970.
const DAWN: i64 = 1_700_000_000_000;

impl Clock for WallClock {
    fn now(&self) -> Millis {
        let ran = self.zero.elapsed().as_millis() as i64;
        Millis(DAWN + self.at + ran + self.skew.load(Ordering::Relaxed))
    }
}

pub struct Process {
    runtime: Runtime,
    zero: Instant,
    /// The world's time at `zero`, ms.
    born: u64,
    pub engine: Engine,
    pub port: Arc<Port>,
    drained: Arc<AtomicBool>,
    pub draining: bool,
}

impl Process {
    /// Starts on what is durable; `Err` when the store could not be read. Takes time: see [`Self::now`].
    pub fn start(
        born: u64,
        model: &Model,
        check: &Arc<Mutex<Check>>,
        skew: &Arc<AtomicI64>,
        options: Options,
        desk: Desk,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime needs nothing from outside");
        let port = Arc::new(Port {
            check: Arc::clone(check),
            out: Mutex::new(Vec::new()),
            news: Notify::new(),
            victim: Mutex::new(None),
        });
        let zero = runtime.block_on(async { Instant::now() });
        let clock = WallClock { zero, at: born as i64, skew: Arc::clone(skew) };
        let ports = Ports {
            store: Arc::new(model.clone()),
            answers: Arc::clone(&port) as Arc<dyn Answers>,
            clock: Arc::new(clock),
        };
        let engine = runtime.block_on(Engine::start(ports, options, vec![desk]))?;
        Ok(Self { runtime, zero, born, engine, port, drained: Arc::default(), draining: false })
    }

    /// The world's time here, ms.
    pub fn now(&self) -> u64 {
        let _inside = self.runtime.enter();
        self.born + self.zero.elapsed().as_millis() as u64
    }

    /// Runs until the world's time `until`, or until somebody is told something.
    pub fn run(&self, until: u64) -> Vec<(Vec<SessionId>, Answer)> {
        let until = self.zero + Duration::from_millis(until.saturating_sub(self.born));
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.port.news.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        });
        std::mem::take(&mut *self.port.out.lock())
    }

    /// Calls into the engine as the gateway does.
    pub fn with<T>(&self, call: impl FnOnce(&Engine) -> T) -> T {
        let _inside = self.runtime.enter();
        call(&self.engine)
    }

    /// Asks the engine and waits for the answer.
    pub fn ask<T>(&self, question: impl Future<Output = T>) -> T {
        self.runtime.block_on(question)
    }

    /// SIGTERM: the engine drains beside what goes on, then the store is closed.
    pub fn drain(&mut self, store: Model) {
        self.draining = true;
        let (engine, drained) = (self.engine.clone(), Arc::clone(&self.drained));
        self.runtime.spawn(async move {
            engine.drain().await;
            let _closed = store.close().await;
            drained.store(true, Ordering::Release);
        });
    }

    pub fn drained(&self) -> bool {
        self.drained.load(Ordering::Acquire)
    }
}
