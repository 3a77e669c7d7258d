//! The schedule of an open loop: message k is due at `k / rate` after the beginning, whatever has become of those
//! before it, and latency counts from then (no coordinated omission, as Gil Tene calls it: a server that stops for a
//! second is seen by all that should have been said in that second).

/// Times are nanoseconds since the crowd's beginning.
#[derive(Debug, Clone)]
pub(crate) struct Arrivals {
    begin: u64,
    /// Messages a second over all pairs.
    rate: f64,
    given: u64,
    pairs: usize,
}

impl Arrivals {
    pub(crate) fn new(begin: u64, rate: f64, pairs: usize) -> Self {
        Self { begin, rate, given: 0, pairs }
    }

    /// When the next message is due.
    pub(crate) fn next_at(&self) -> u64 {
        self.begin + (self.given as f64 * 1e9 / self.rate) as u64
    }

    /// A message that is due by `now`: its time and its pair, in turns.
    pub(crate) fn take(&mut self, now: u64) -> Option<(u64, usize)> {
        let at = self.next_at();
        if at > now {
            return None;
        }
        let pair = (self.given % self.pairs as u64) as usize;
        self.given += 1;
        Some((at, pair))
    }
}

#[cfg(test)]
mod tests {
    use super::Arrivals;

    #[test]
    fn a_stall_makes_no_message_later_than_it_was_due() {
        let mut arrivals = Arrivals::new(1_000, 1_000.0, 3);
        assert_eq!(arrivals.take(999), None);
        assert_eq!(arrivals.take(1_000), Some((1_000, 0)));
        assert_eq!(arrivals.take(1_000), None);
        // Nobody looked for 4 ms: all four are due, each at its own time.
        let late: Vec<_> = std::iter::from_fn(|| arrivals.take(4_001_000)).collect();
        assert_eq!(late, [(1_001_000, 1), (2_001_000, 2), (3_001_000, 0), (4_001_000, 1)]);
        assert_eq!(arrivals.next_at(), 5_001_000);
    }

    #[test]
    fn the_rate_is_kept_over_a_long_time() {
        let mut arrivals = Arrivals::new(0, 33_333.0, 64);
        let second = 1_000_000_000;
        let given = std::iter::from_fn(|| arrivals.take(100 * second)).count();
        assert!((3_333_300..=3_333_302).contains(&given), "{given}");
    }
}
