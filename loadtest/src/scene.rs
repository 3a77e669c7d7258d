//! What the sessions of an attack share: who is there, how connections ended, what was refused, and tallies of what
//! became of commands that were timed.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bellhop_protocol::{Id, RefusalCode, Refused};
use hdrhistogram::Histogram;

use crate::{
    link::Parting,
    stage::{Stage, lock},
};

/// Latencies up to ten minutes, to three digits.
const LONGEST_US: u64 = 600_000_000;

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(|error| error.to_string())
}

fn record(histogram: &Mutex<Histogram<u64>>, time: Duration) {
    lock(histogram).saturating_record(time.as_micros().clamp(1, u128::from(LONGEST_US)) as u64);
}

/// What became of the commands of one stretch of time.
#[derive(Debug)]
pub(crate) struct Tally {
    offered: AtomicU64,
    refused: AtomicU64,
    /// From the moment that a command was said to its acknowledgement, µs.
    accepted: Mutex<Histogram<u64>>,
    /// From the moment that it was due until it was said: the generator's own share, µs.
    late: Mutex<Histogram<u64>>,
}

impl Tally {
    pub(crate) fn new() -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self {
            offered: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            accepted: Mutex::new(histogram()?),
            late: Mutex::new(histogram()?),
        }))
    }

    pub(crate) fn said(&self, late: Duration) {
        self.offered.fetch_add(1, Ordering::Relaxed);
        record(&self.late, late);
    }

    pub(crate) fn acknowledged(&self, latency: Duration) {
        record(&self.accepted, latency);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn offered(&self) -> u64 {
        self.offered.load(Ordering::Relaxed)
    }

    pub(crate) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    pub(crate) fn acknowledgements(&self) -> u64 {
        lock(&self.accepted).len()
    }

    pub(crate) fn unanswered(&self) -> u64 {
        self.offered().saturating_sub(self.refusals() + self.acknowledgements())
    }

    pub(crate) fn accepted(&self) -> Histogram<u64> {
        lock(&self.accepted).clone()
    }

    pub(crate) fn late(&self) -> Histogram<u64> {
        lock(&self.late).clone()
    }
}

/// A quantile of a histogram of microseconds, in milliseconds.
pub(crate) fn quantile_ms(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1_000.0
}

/// Refusals of one code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Refusals {
    pub(crate) all: u64,
    /// Those that did not say when to repeat.
    pub(crate) without_time: u64,
}

pub(crate) struct Scene {
    pub(crate) stage: Arc<Stage>,
    pub(crate) workspace: Id,
    /// Whoever was answered says the next at once.
    talking: AtomicBool,
    present: AtomicU64,
    welcomes: AtomicU64,
    acknowledged: AtomicU64,
    /// Messages of agents that visitors were given.
    answers: AtomicU64,
    /// Conversations of which so much was missed that they began anew.
    resets: AtomicU64,
    partings: Mutex<Vec<(Instant, Parting)>>,
    refusals: Mutex<BTreeMap<String, Refusals>>,
    /// By the visitor's number.
    conversations: Mutex<BTreeMap<u32, Id>>,
}

impl Scene {
    pub(crate) fn new(stage: Arc<Stage>, workspace: Id) -> Arc<Self> {
        Arc::new(Self {
            stage,
            workspace,
            talking: AtomicBool::new(false),
            present: AtomicU64::new(0),
            welcomes: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            answers: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            partings: Mutex::new(Vec::new()),
            refusals: Mutex::new(BTreeMap::new()),
            conversations: Mutex::new(BTreeMap::new()),
        })
    }

    pub(crate) fn talk(&self, on: bool) {
        self.talking.store(on, Ordering::Relaxed);
    }

    pub(crate) fn talking(&self) -> bool {
        self.talking.load(Ordering::Relaxed)
    }

    pub(crate) fn came(&self) {
        self.present.fetch_add(1, Ordering::Relaxed);
        self.welcomes.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection ended or was not made; `welcomed` if the session had been let in on it.
    pub(crate) fn parted(&self, welcomed: bool, how: Parting) {
        if welcomed {
            self.present.fetch_sub(1, Ordering::Relaxed);
        }
        lock(&self.partings).push((Instant::now(), how));
    }

    pub(crate) fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn reset(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn began(&self, number: u32, conversation: Id) {
        lock(&self.conversations).insert(number, conversation);
    }

    /// A refusal that a repeat can overcome; one that cannot is trouble for the report.
    pub(crate) fn refuse(&self, refusal: &Refused) {
        let mut refusals = lock(&self.refusals);
        let count = refusals.entry(name(refusal.code)).or_default();
        count.all += 1;
        count.without_time += u64::from(refusal.retry_after_ms.is_none());
    }

    /// Sessions that are let in now.
    pub(crate) fn present(&self) -> u64 {
        self.present.load(Ordering::Relaxed)
    }

    pub(crate) fn welcomes(&self) -> u64 {
        self.welcomes.load(Ordering::Relaxed)
    }

    pub(crate) fn acknowledgements(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    pub(crate) fn resets(&self) -> u64 {
        self.resets.load(Ordering::Relaxed)
    }

    pub(crate) fn conversations(&self) -> BTreeMap<u32, Id> {
        lock(&self.conversations).clone()
    }

    pub(crate) fn begun(&self) -> u64 {
        lock(&self.conversations).len() as u64
    }

    /// How connections ended since then.
    pub(crate) fn partings_since(&self, since: Instant) -> Vec<(Instant, Parting)> {
        lock(&self.partings).iter().filter(|(at, _)| *at >= since).copied().collect()
    }

    pub(crate) fn refusals(&self) -> BTreeMap<String, Refusals> {
        lock(&self.refusals).clone()
    }
}

/// As it stands on the wire.
fn name(code: RefusalCode) -> String {
    serde_json::to_value(code).ok().and_then(|it| it.as_str().map(str::to_string)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use bellhop_protocol::{CloseCode, Id, RefusalCode, Refused};

    use super::{Refusals, Scene, Tally, quantile_ms};
    use crate::{link::Parting, stage::Stage};

    #[test]
    fn a_tally_accounts_for_every_command() {
        let tally = Tally::new().unwrap();
        for ms in 1..=100 {
            tally.said(Duration::from_micros(10));
            match ms % 4 {
                0 => tally.refused(),
                1 => {}
                _ => tally.acknowledged(Duration::from_millis(ms)),
            }
        }
        assert_eq!(
            (tally.offered(), tally.refusals(), tally.acknowledgements(), tally.unanswered()),
            (100, 25, 50, 25)
        );
        assert!((98.0..=99.5).contains(&quantile_ms(&tally.accepted(), 0.99)));
        assert!(quantile_ms(&tally.late(), 1.0) < 0.02);
    }

    #[test]
    fn who_is_there_and_what_was_refused_is_known() {
        let scene = Scene::new(Stage::new().unwrap(), Id(1));
        scene.came();
        scene.came();
        let since = Instant::now();
        scene.parted(true, Parting::Bye { code: CloseCode::Draining, retry_after_ms: Some(5) });
        scene.parted(false, Parting::Unreachable);
        assert_eq!((scene.present(), scene.welcomes(), scene.partings_since(since).len()), (1, 2, 2));
        for retry_after_ms in [Some(5), None] {
            scene.refuse(&Refused {
                id: None,
                conversation: None,
                code: RefusalCode::Overloaded,
                message: String::new(),
                field: None,
                retry_after_ms,
            });
        }
        assert_eq!(scene.refusals().get("overloaded"), Some(&Refusals { all: 2, without_time: 1 }));
    }
}
