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

/// An append may take this long without anybody calling it slow: five synced writes of a busy disk (4 ms each, FACTS).
const UNHURRIED: Duration = Duration::from_millis(20);

/// Beyond this many times the latency of an idle database it is a queue that answers: distant quorums are no trouble.
const TIMES_IDLE: u32 = 3;

/// Windows until the idle latency is measured anew, from [`LEAST`] on: under load that never ends it could not be told
/// from a queue's, and would creep up with it for ever. At 256 in flight every 260,000 appends; growing again takes 30
/// windows.
const MEASURED_ANEW: u32 = 1_024;

/// The limit, and the window of latencies that changes it next. Pure: times come in as arguments.
#[derive(Debug)]
pub(super) struct Pace {
    limit: usize,
    answered: usize,
    total: Duration,
    full: bool,
    /// The fastest window since it was last measured.
    idle: Option<Duration>,
    windows: u32,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { limit: LEAST, answered: 0, total: Duration::ZERO, full: false, idle: None, windows: 0 }
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
        let idle = self.idle.map_or(mean, |idle| idle.min(mean));
        self.idle = Some(idle);
        self.windows += 1;
        if self.windows == MEASURED_ANEW {
            (self.idle, self.windows, self.limit) = (None, 0, LEAST);
            return self.begin();
        }
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

    /// A database that answers `parallel` at once in `base` each, and lets the others wait: the most in flight after a
    /// while of load that never ends.
    fn most(base: Duration, parallel: usize) -> usize {
        let mut pace = Pace::new();
        let limits = (0..400_000).map(|_| {
            let rounds = pace.limit().div_ceil(parallel) as u32;
            pace.answered(base * rounds, true);
            pace.limit()
        });
        limits.skip(100_000).max().unwrap()
    }

    #[test]
    fn the_number_in_flight_follows_what_the_database_can_do() {
        assert_eq!(most(Duration::from_millis(1), 10_000), MOST, "never slow");
        assert_eq!(most(Duration::from_millis(50), 10_000), MOST, "distant is not slow");
        let some = most(Duration::from_millis(10), 100);
        assert!((200..=400).contains(&some), "about what is answered within thrice the idle time: {some}");
        let small = most(Duration::from_millis(10), 4);
        assert!(small <= 64, "a small one is not flooded: {small}");
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
