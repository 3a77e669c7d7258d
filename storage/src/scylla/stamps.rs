//! Write timestamps: every one of an epoch is higher than every one of an earlier epoch.
//!
//! A column keeps the value with the highest timestamp, whatever order writes arrive in. So a straggler of a dead owner
//! changes nothing that the new owner has written, and a range tombstone with the epoch's first stamp takes away all
//! that earlier owners wrote there, even what arrives after it.
//!
//! They are microseconds of the wall clock, never falling and never twice, instead of bits of (epoch, seq): ScyllaDB
//! refuses timestamps more than three days ahead (`restrict_future_timestamp`), which leaves 50 bits, too few for both;
//! and a row is written more than once at one (epoch, seq), when somebody has read. What makes them follow the epochs is
//! a bound kept in the lease row: an owner uses none above the bound that its last known renewal wrote, and the next
//! owner begins above it. Within an epoch the order of (epoch, seq) is kept by reading before writing, one writer a
//! conversation.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bellhop_engine::ports::StoreError;

/// How far ahead of the clock a renewal reserves, microseconds: longer than any lease, so that an owner never lacks one;
/// short, since each kill moves the stamps ahead of the clock by what is left of it.
const AHEAD: i64 = 5_000_000;

/// One epoch's timestamps.
#[derive(Debug)]
pub(super) struct Stamps {
    first: i64,
    last: AtomicI64,
    bound: AtomicI64,
}

/// Microseconds since 1970; a clock before it is taken as the start.
fn clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as i64)
}

/// The first stamp of an epoch, and the bound to store with it, above an earlier owner's `bound`.
pub(super) fn begin(bound: i64) -> (i64, i64) {
    let first = clock().max(bound + 1);
    (first, first + AHEAD)
}

impl Stamps {
    /// `first` and `bound` as [`begin`] gave them and the lease row holds them now.
    pub(super) fn new(first: i64, bound: i64) -> Self {
        Self { first, last: AtomicI64::new(first), bound: AtomicI64::new(bound) }
    }

    /// Above all of earlier epochs, below all others of this one.
    pub(super) fn first(&self) -> i64 {
        self.first
    }

    /// The next one.
    pub(super) fn next(&self) -> Result<i64, StoreError> {
        let (now, bound) = (clock(), self.bound.load(Ordering::Acquire));
        let next = |last: i64| {
            let next = (last + 1).max(now.min(bound));
            (next <= bound).then_some(next)
        };
        match self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, next) {
            Ok(last) => Ok((last + 1).max(now.min(bound))),
            Err(_) => Err(StoreError::Unavailable("the lease was not renewed for too long".to_owned())),
        }
    }

    /// The bound that a renewal shall write.
    pub(super) fn ahead(&self) -> i64 {
        (clock().max(self.last.load(Ordering::Acquire)) + AHEAD).max(self.bound.load(Ordering::Acquire))
    }

    /// A renewal is known to have written this bound.
    pub(super) fn reserved(&self, bound: i64) {
        self.bound.fetch_max(bound, Ordering::AcqRel);
    }

    /// What a closing owner leaves as the bound: nothing above it is in use.
    pub(super) fn used(&self) -> i64 {
        self.last.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_only_rise_and_each_epochs_lie_above_all_earlier_ones() {
        let (first, bound) = begin(0);
        let mut last = 0;
        let mut stored = bound;
        for clock_is_behind in [false, true] {
            // A clock that fell by a day is a bound that lies a day ahead.
            let behind = if clock_is_behind { stored + 86_400_000_000 } else { stored };
            let (first, bound) = begin(behind);
            let stamps = Stamps::new(first, bound);
            assert!(first > behind && stamps.next().unwrap() > first);
            for _ in 0..10_000 {
                let next = stamps.next().unwrap();
                assert!(next > last && next <= bound, "{next} after {last}");
                last = next;
            }
            stored = bound;
        }
        assert!(first < bound);
    }

    #[test]
    fn none_is_used_above_the_bound_that_is_known_to_be_stored() {
        let stamps = Stamps::new(i64::MAX / 4, i64::MAX / 4 + 3);
        assert!((0..3).all(|_| stamps.next().is_ok()));
        assert!(stamps.next().is_err() && stamps.next().is_err());
        stamps.reserved(i64::MAX / 4 + 4);
        assert_eq!(stamps.next(), Ok(i64::MAX / 4 + 4));
        assert_eq!(stamps.used(), i64::MAX / 4 + 4);
    }
}
