//! How many appends are on their way at once.
//!
//! Additive increase, multiplicative decrease by the latency seen, as TCP does by loss: while appends are answered
//! about as fast as an idle database answers them, one more each window; when they wait in the database, a quarter
//! fewer; when one times out, half. So the queue stands here, where it is bounded and fair, and not in the database,
//! where it would slow down reads and lease renewals too.

use std::time::Duration;

/// Never fewer: a lone visitor's server must not wait for itself.
pub(super) const LEAST: usize = 16;

/// Never more: 17,000 appends a second at the 60 ms of a database in trouble; beyond it a connection's 32,768 stream
/// ids would be next.
pub(super) const MOST: usize = 1_024;

/// Where a start begins: what one Cassandra node answered fastest with (10–17k/s at 256; 64 gets there in 4 windows).
pub(super) const FIRST: usize = 64;

/// An append may take this long without anybody calling it slow: five synced writes of a busy disk (4 ms each, FACTS).
const UNHURRIED: Duration = Duration::from_millis(20);

/// Beyond this many times the latency of an idle database it is a queue that answers: distant quorums are no trouble.
const TIMES_IDLE: u32 = 3;

/// The limit, and the window of latencies that changes it next. Pure: times come in as arguments.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    answered: usize,
    total: Duration,
    full: bool,
    idle: Option<Duration>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { limit: FIRST, answered: 0, total: Duration::ZERO, full: false, idle: None }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// An append was answered after `took`; `full` when as many as may were on their way.
    pub(super) fn answered(&mut self, took: Duration, full: bool) {
        self.answered += 1;
        self.total += took;
        self.full |= full;
        if self.answered < self.limit {
            return;
        }
        let mean = self.total / self.answered as u32;
        // The fastest window seen, slowly forgotten (1 in 64 a window), so that a changed network becomes the measure.
        let idle = self.idle.map_or(mean, |idle| mean.min(idle + idle / 64));
        self.idle = Some(idle);
        if mean > UNHURRIED.max(idle * TIMES_IDLE) {
            self.set(self.limit - self.limit / 4);
        } else if self.full {
            self.set(self.limit + (self.limit / 8).max(1));
        }
        self.begin();
    }

    /// An append got no answer in its time.
    pub(super) fn timed_out(&mut self) {
        self.set(self.limit / 2);
        self.begin();
    }

    fn set(&mut self, limit: usize) {
        self.limit = limit.clamp(LEAST, MOST);
    }

    fn begin(&mut self) {
        (self.answered, self.total, self.full) = (0, Duration::ZERO, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A database that answers `parallel` at once in `base` each, and lets the others wait.
    fn settle(base: Duration, parallel: usize, appends: usize) -> usize {
        let mut pace = Pace::new();
        for _ in 0..appends {
            let rounds = pace.limit().div_ceil(parallel) as u32;
            pace.answered(base * rounds, true);
        }
        pace.limit()
    }

    #[test]
    fn the_number_in_flight_follows_what_the_database_can_do() {
        assert_eq!(settle(Duration::from_millis(1), 10_000, 200_000), MOST, "never slow");
        let some = settle(Duration::from_millis(10), 100, 200_000);
        assert!((100..=400).contains(&some), "about what is answered within thrice the idle time: {some}");
        assert!(settle(Duration::from_millis(50), 10_000, 200_000) == MOST, "distant is not slow");
        assert!(settle(Duration::from_millis(10), 4, 200_000) < 40, "a small one is not flooded");
    }

    #[test]
    fn time_outs_halve_it_and_idleness_does_not_raise_it() {
        let mut pace = Pace::new();
        (0..10).for_each(|_| pace.timed_out());
        assert_eq!(pace.limit(), LEAST);
        (0..10_000).for_each(|_| pace.answered(Duration::from_millis(1), false));
        assert_eq!(pace.limit(), LEAST, "nobody waited, so nothing says that more would be answered as fast");
    }
}
