//! What all sessions of a run share: who plays which conversation, and what was measured.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bellhop_protocol::Id;
use hdrhistogram::Histogram;

use crate::talk::Talk;

/// Latencies up to ten minutes (a server that was killed comes back before), to three digits.
const LONGEST_US: u64 = 600_000_000;
/// Sentences kept of what went wrong; the rest is counted.
const MOST_TROUBLES: usize = 20;

/// A lock whose holder panicked is as good as any: every update is a single step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct Figures {
    /// Send → the other side has it, µs, without the first words.
    pub(crate) latency: Histogram<u64>,
    /// A visitor's first words → an agent has them: routing and the list feed (at most 4 a second) lie between, µs.
    pub(crate) first: Histogram<u64>,
}

pub(crate) struct Stage {
    /// Turns that were acknowledged and have reached the other side, ever.
    turns: AtomicU64,
    /// Of these, while measuring.
    measured: AtomicU64,
    /// Conversations whose first words an agent has.
    begun: AtomicU64,
    /// Times that an agent came online and available.
    ready: AtomicU64,
    measuring: AtomicBool,
    errors: AtomicU64,
    troubles: Mutex<Vec<String>>,
    figures: Mutex<Figures>,
    /// A conversation is found by its `start` until its visitor knows its id, then by that.
    by_start: Mutex<HashMap<Id, Arc<Talk>>>,
    by_conversation: Mutex<HashMap<Id, Arc<Talk>>>,
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(|error| error.to_string())
}

impl Stage {
    pub(crate) fn new() -> Result<Arc<Self>, String> {
        let figures = Figures { latency: histogram()?, first: histogram()? };
        Ok(Arc::new(Self {
            turns: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            ready: AtomicU64::new(0),
            measuring: AtomicBool::new(false),
            errors: AtomicU64::new(0),
            troubles: Mutex::new(Vec::new()),
            figures: Mutex::new(figures),
            by_start: Mutex::new(HashMap::new()),
            by_conversation: Mutex::new(HashMap::new()),
        }))
    }

    /// From now on turns are measured, or no longer.
    pub(crate) fn measure(&self, on: bool) {
        self.measuring.store(on, Ordering::Relaxed);
    }

    /// The other side has a turn, `latency` after it was sent.
    pub(crate) fn received(&self, first: bool, latency: Duration) {
        if first {
            self.begun.fetch_add(1, Ordering::Relaxed);
        }
        if !self.measuring.load(Ordering::Relaxed) {
            return;
        }
        let us = latency.as_micros().min(u128::from(LONGEST_US)) as u64;
        let mut figures = lock(&self.figures);
        let histogram = if first { &mut figures.first } else { &mut figures.latency };
        histogram.saturating_record(us);
    }

    /// A turn was acknowledged and received.
    pub(crate) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        if self.measuring.load(Ordering::Relaxed) {
            self.measured.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    pub(crate) fn measured(&self) -> u64 {
        self.measured.load(Ordering::Relaxed)
    }

    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// An agent takes conversations from now on.
    pub(crate) fn agent_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn agents_ready(&self) -> u64 {
        self.ready.load(Ordering::Relaxed)
    }

    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        lock(&self.figures)
    }

    pub(crate) fn trouble(&self, what: String) {
        self.errors.fetch_add(1, Ordering::Relaxed);
        let mut troubles = lock(&self.troubles);
        if troubles.len() < MOST_TROUBLES {
            troubles.push(what);
        }
    }

    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        lock(&self.troubles).clone()
    }

    pub(crate) fn starting(&self, start: Id, talk: &Arc<Talk>) {
        lock(&self.by_start).insert(start, Arc::clone(talk));
    }

    pub(crate) fn started(&self, conversation: Id, talk: &Arc<Talk>) {
        lock(&self.by_conversation).insert(conversation, Arc::clone(talk));
    }

    pub(crate) fn find(&self, conversation: Id, cmd: Option<Id>) -> Option<Arc<Talk>> {
        let known = lock(&self.by_conversation).get(&conversation).cloned();
        known.or_else(|| lock(&self.by_start).get(&cmd?).cloned())
    }

    /// A conversation is over: whoever comes upon it now leaves it alone.
    pub(crate) fn forget(&self, start: Id, conversation: Option<Id>) {
        lock(&self.by_start).remove(&start);
        if let Some(conversation) = conversation {
            lock(&self.by_conversation).remove(&conversation);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Stage;

    #[test]
    fn only_what_falls_into_the_measuring_counts() {
        let stage = Stage::new().unwrap();
        stage.received(false, Duration::from_millis(900));
        stage.turn();
        stage.measure(true);
        for ms in 1..=100 {
            stage.received(false, Duration::from_millis(ms));
            stage.turn();
        }
        stage.received(true, Duration::from_secs(3_600));
        stage.measure(false);
        stage.turn();
        assert_eq!((stage.turns(), stage.measured(), stage.begun()), (102, 100, 1));
        let figures = stage.figures();
        assert!((49_900..=50_100).contains(&figures.latency.value_at_quantile(0.5)));
        assert!((98_900..=99_100).contains(&figures.latency.value_at_quantile(0.99)));
        assert_eq!(figures.latency.len(), 100);
        assert!(figures.first.max() >= 599_000_000, "what is beyond the scale is kept at its end");
    }

    #[test]
    fn troubles_are_all_counted_and_the_first_ones_kept() {
        let stage = Stage::new().unwrap();
        for number in 0..50 {
            stage.trouble(number.to_string());
        }
        assert_eq!((stage.errors(), stage.troubles().len(), stage.troubles()[0].as_str()), (50, 20, "0"));
    }
}
