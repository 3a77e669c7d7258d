//! The clock that leases are measured with: it never falls, and goes on while the machine sleeps.
//!
//! `std::time::Instant` stands still during a suspend on Linux: an owner that slept through its lease would wake up in
//! the belief that it still had it.

use std::time::Duration;

/// A point on this process's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tick(Duration);

impl Tick {
    pub(super) fn now() -> Self {
        #[cfg(target_os = "linux")]
        let clock = rustix::time::ClockId::Boottime;
        #[cfg(not(target_os = "linux"))]
        let clock = rustix::time::ClockId::Monotonic;
        let time = rustix::time::clock_gettime(clock);
        Self(Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32))
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(super) fn plus(self, time: Duration) -> Self {
        Self(self.0 + time)
    }

    /// As a number that an atomic holds.
    pub(super) fn micros(self) -> u64 {
        self.0.as_micros() as u64
    }
}
