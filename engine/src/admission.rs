//! How many commands a second the whole server takes: a token bucket in one atomic.
//!
//! The generic cell rate algorithm (ITU-T I.371, annex A): what is kept is not a number of tokens but the moment at
//! which the bucket will be full again. So there is nothing to refill, no lock, and one compare-and-swap a command.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::Millis;

/// A full bucket holds what comes in this long, and at least one command. People and their scripts come in bursts, so a
/// bucket of a few milliseconds would refuse at half the rate; what a quarter of a second lets through at once is worked
/// off before anybody notices.
const BURST_MS: u64 = 250;

/// A bucket that is empty for longer than this to come was emptied by a clock that has been set back since. Less is a
/// caller who looked at the clock and was kept from going on while others took the places of later moments: with more
/// threads than processors that takes up to some time slices of the kernel's scheduler, tens of milliseconds.
const LATE_MS: u64 = 1_000;

/// Microseconds in a second: the bucket counts in them, for a rate above 1,000 a second comes in parts of a millisecond.
const SECOND: u64 = 1_000_000;

/// Admission of commands over the whole server.
pub(crate) struct Admission {
    /// Microseconds of the bucket that one command takes; 0 while there is no limit.
    each: u64,
    /// Microseconds that a full bucket holds.
    burst: u64,
    /// When the bucket will be full, in microseconds since 1970; in the past while it is.
    full_at: AtomicU64,
}

impl Admission {
    /// `per_second` commands, 0 for no limit; beyond 1,000,000 it is 1,000,000.
    pub(crate) fn new(per_second: u32) -> Self {
        let each = match u64::from(per_second) {
            0 => 0,
            per_second => (SECOND / per_second).max(1),
        };
        Self { each, burst: (BURST_MS * 1_000).max(each), full_at: AtomicU64::new(0) }
    }

    /// Takes one command's place at `now`; `false` when there is none.
    #[must_use]
    pub(crate) fn admits(&self, now: Millis) -> bool {
        if self.each == 0 {
            return true;
        }
        let now = u64::try_from(now.0).unwrap_or(0).saturating_mul(1_000);
        let taken = self.full_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| {
            // The clock was set back: the bucket begins anew, full.
            let full_at = if full_at > now + self.burst + LATE_MS * 1_000 { now } else { full_at.max(now) };
            let then = full_at + self.each;
            (then <= now + self.burst).then_some(then)
        });
        taken.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(admission: &Admission, at: i64, asked: usize) -> usize {
        (0..asked).filter(|_| admission.admits(Millis(at))).count()
    }

    const START: i64 = 1_763_838_000_000;

    #[test]
    fn a_burst_and_then_the_rate_and_never_more() {
        let admission = Admission::new(2_000);
        assert_eq!(admitted(&admission, START, 10_000), 500, "a quarter of a second's worth at once");
        let mut over_a_second = 0;
        for millisecond in 1..=1_000 {
            over_a_second += admitted(&admission, START + millisecond, 20);
        }
        assert_eq!(over_a_second, 2_000, "ten times as much was asked for");
        assert_eq!(admitted(&admission, START + 60_000, 10_000), 500, "no more is saved up than a burst");
    }

    #[test]
    fn zero_is_no_limit_and_one_a_second_is_one_a_second() {
        assert_eq!(admitted(&Admission::new(0), START, 100_000), 100_000);
        let slow = Admission::new(1);
        let each_ms = (0..10_000).filter(|at| slow.admits(Millis(START + at))).count();
        assert_eq!(each_ms, 10);
    }

    #[test]
    fn a_clock_that_is_set_back_stops_nobody() {
        let admission = Admission::new(100);
        assert!(admission.admits(Millis(START)));
        assert_eq!(admitted(&admission, START - 3_600_000, 1_000), 25);
        assert_eq!(admitted(&admission, START - 3_600_000 + 1_000, 1_000), 25);
    }

    #[test]
    fn who_looked_at_the_clock_before_others_finds_what_they_left() {
        let admission = Admission::new(2_000);
        assert_eq!(admitted(&admission, START + 5, 10_000), 500, "somebody empties the bucket");
        assert_eq!(admitted(&admission, START, 10_000), 0, "who is 5 ms late does not fill it");
        assert_eq!(admitted(&admission, START + 6, 10_000), 2);
    }

    #[test]
    fn many_threads_share_one_bucket() {
        let admission = Admission::new(4_000);
        let all: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| admitted(&admission, START, 5_000))).collect();
            threads.into_iter().map(|it| it.join().unwrap()).sum()
        });
        assert_eq!(all, 1_000);
    }
}
