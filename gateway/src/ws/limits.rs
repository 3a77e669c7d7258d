//! The bounds of the WebSocket gateway and what keeps them: token buckets and the table of addresses.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::address::{Address, Network};

/// Every bound an operator may set. The configuration gives each its default and reason; where the protocol has a
/// bound of its own (frame size, bad frames, control frames), that one holds and is not set here.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions of this process; beyond it an upgrade is answered 503. Each takes one open file and at most
    /// 1.6 KB here and 3.3 KB in the kernel. At least 1.
    pub max_sessions: usize,
    /// Sessions of one address at the same time; beyond it an upgrade is answered 429. An office behind one address
    /// is the reason not to be strict. At least 1.
    pub sessions_per_address: u32,
    /// `hello` frames of one address a minute, and as many at once. At least 1.
    pub hellos_per_minute: u32,
    /// New conversations (`start`) of one address a minute, and as many at once. At least 1.
    pub starts_per_minute: u32,
    /// Whether loopback addresses are held to the three limits above. Who connects from the machine itself is a proxy
    /// that was not named in `trusted_proxies` (all visitors would share one limit) or a load test.
    pub limit_loopback: bool,
    /// Frames of one session a second after `hello`. The inbox of a busy agent stays under 50; a load generator's
    /// agent needs thousands. At least 1.
    pub frames_per_second: u32,
    /// Frames of one session at once, on top of the rate. At least 1.
    pub frames_burst: u32,
    /// Addresses whose recent hellos and starts are remembered (at most about 100 B each); beyond it the oldest are
    /// forgotten. At least 2.
    pub addresses_remembered: usize,
    /// `hello` frames being checked at the same time; beyond it a connection is closed `overloaded` with a spread
    /// time to come back (G9). At least 1.
    pub admissions_at_once: usize,
    /// Bytes queued to one session before it is closed `slow_reader`; at most
    /// [`bellhop_protocol::limits::MAX_OUTBOX_BYTES`], which is used when this is more.
    pub outbox_bytes: usize,
    /// Bytes queued to all sessions together before the fullest are closed `outbox_budget` (G7).
    pub outbox_budget_bytes: usize,
    /// From upgrade to a good `hello`.
    pub hello_timeout: Duration,
    /// A session from which nothing came for this long is closed.
    pub idle_timeout: Duration,
    /// A draining server tells each session to come back after a random part of this, so that they do not come at once.
    pub reconnect_window: Duration,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
}

/// Milliseconds since the hub began; wraps after 49 days, which a bucket does not notice because a difference is all it
/// uses.
pub(super) type Moment = u32;

/// Milliseconds from `then` to `now`, across the wrap; 0 if `then` is the later one: a look that goes through thousands
/// of sessions meets some that heard something after it began.
pub(super) fn since(now: Moment, then: Moment) -> Moment {
    let apart = now.wrapping_sub(then);
    if apart > Moment::MAX / 2 { 0 } else { apart }
}

/// A token bucket. It holds no rate of its own: thousands of them share one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    tokens: f32,
    at: Moment,
}

/// Tokens a second and the most that gather.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) per_second: f32,
    pub(super) burst: f32,
}

impl Rate {
    pub(super) fn per_minute(count: u32) -> Self {
        Self { per_second: count.max(1) as f32 / 60.0, burst: count.max(1) as f32 }
    }
}

impl Bucket {
    pub(super) fn full(rate: Rate, now: Moment) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    /// Takes one, or says after how many milliseconds one will be there.
    pub(super) fn take(&mut self, rate: Rate, now: Moment) -> Result<(), u32> {
        let elapsed = since(now, self.at);
        self.at = now;
        self.tokens = (self.tokens + elapsed as f32 / 1000.0 * rate.per_second).min(rate.burst);
        if self.tokens >= 1.0 {
            self.tokens -= 1.0;
            return Ok(());
        }
        Err(((1.0 - self.tokens) / rate.per_second * 1000.0).ceil().max(1.0) as u32)
    }
}

#[derive(Debug, Clone, Copy)]
struct Recent {
    hellos: Bucket,
    starts: Bucket,
}

/// What came from each address lately. Two generations instead of a list by age: when the young one is full the old
/// one is dropped and the young one grows old, so the memory is bounded and forgetting costs nothing per request.
pub(super) struct Addresses {
    generation: usize,
    hellos: Rate,
    starts: Rate,
    sessions_each: u32,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    young: HashMap<Address, Recent>,
    old: HashMap<Address, Recent>,
    /// Bounded by the number of sessions.
    present: HashMap<Address, u32>,
}

impl Addresses {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            generation: (limits.addresses_remembered / 2).max(1),
            hellos: Rate::per_minute(limits.hellos_per_minute),
            starts: Rate::per_minute(limits.starts_per_minute),
            sessions_each: limits.sessions_per_address.max(1),
            inner: Mutex::new(Inner::default()),
        }
    }

    /// A session of the address begins; false if it has too many. Each true is followed by one [`Self::leave`].
    pub(super) fn enter(&self, address: Address) -> bool {
        let mut inner = self.inner.lock();
        let count = inner.present.entry(address).or_insert(0);
        if *count >= self.sessions_each {
            return false;
        }
        *count += 1;
        true
    }

    pub(super) fn leave(&self, address: Address) {
        let mut inner = self.inner.lock();
        if let Some(count) = inner.present.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                inner.present.remove(&address);
            }
        }
    }

    /// Counts a `hello`; the error is the time to wait, milliseconds.
    pub(super) fn hello(&self, address: Address, now: Moment) -> Result<(), u32> {
        self.recent(address, now, |recent| recent.hellos.take(self.hellos, now))
    }

    /// Counts a new conversation; the error is the time to wait, milliseconds.
    pub(super) fn start(&self, address: Address, now: Moment) -> Result<(), u32> {
        self.recent(address, now, |recent| recent.starts.take(self.starts, now))
    }

    fn recent<T>(&self, address: Address, now: Moment, with: impl FnOnce(&mut Recent) -> T) -> T {
        let mut inner = self.inner.lock();
        if !inner.young.contains_key(&address) {
            let known = inner.old.remove(&address);
            if inner.young.len() >= self.generation {
                inner.old = std::mem::take(&mut inner.young);
            }
            let fresh = || Recent { hellos: Bucket::full(self.hellos, now), starts: Bucket::full(self.starts, now) };
            inner.young.insert(address, known.unwrap_or_else(fresh));
        }
        with(inner.young.get_mut(&address).expect("it was there or was inserted above"))
    }

    #[cfg(test)]
    fn remembered(&self) -> usize {
        let inner = self.inner.lock();
        inner.young.len() + inner.old.len()
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn addresses(remembered: usize) -> Addresses {
        Addresses::new(&Limits {
            addresses_remembered: remembered,
            hellos_per_minute: 60,
            starts_per_minute: 2,
            sessions_per_address: 2,
            ..super::super::tests::limits()
        })
    }

    fn address(last: u32) -> Address {
        Address::of(IpAddr::V4(std::net::Ipv4Addr::from(0x0A00_0000 + last)))
    }

    /// Found by the load test: a busy session was closed for two minutes' silence.
    #[test]
    fn who_was_heard_after_a_look_began_was_not_silent_for_49_days() {
        assert_eq!(since(1_000, 1_001), 0);
        assert_eq!(since(Moment::MAX, 2), 0, "heard after the wrap");
        assert_eq!(since(5, Moment::MAX - 4), 10, "heard before it");
        assert_eq!(since(130_000, 5_000), 125_000);
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 10.0, burst: 3.0 };
        let start = Moment::MAX - 50; // The clock wraps in the middle.
        let mut bucket = Bucket::full(rate, start);
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start), Ok(()));
        }
        assert_eq!(bucket.take(rate, start), Err(100));
        assert_eq!(bucket.take(rate, start.wrapping_add(50)), Err(50));
        assert_eq!(bucket.take(rate, start.wrapping_add(110)), Ok(()));
        for _ in 0..3 {
            assert_eq!(bucket.take(rate, start.wrapping_add(3_600_000)), Ok(()), "no more than the burst gathers");
        }
        assert!(bucket.take(rate, start.wrapping_add(3_600_000)).is_err());
    }

    #[test]
    fn the_table_of_addresses_is_bounded_and_forgets_the_oldest() {
        let table = addresses(100);
        for last in 100..10_000 {
            assert_eq!(table.start(address(last), 0), Ok(()));
            assert_eq!(table.start(address(7), 0).is_ok(), last < 102, "7 comes often and is not forgotten");
            assert!(table.remembered() <= 100);
        }
        assert_eq!(table.start(address(100), 0), Ok(()), "long forgotten");
        assert_eq!(table.start(address(100), 0), Ok(()), "long forgotten: a full bucket again");
    }

    #[test]
    fn hellos_and_starts_of_an_address_have_limits_of_their_own() {
        let table = addresses(10);
        assert_eq!([table.start(address(1), 0), table.start(address(1), 0)], [Ok(()), Ok(())]);
        assert_eq!(table.start(address(1), 0), Err(30_000), "2 a minute");
        assert_eq!(table.start(address(2), 0), Ok(()), "another address is another matter");
        assert_eq!(table.hello(address(1), 0), Ok(()));
        assert_eq!(table.start(address(1), 30_000), Ok(()));
    }

    #[test]
    fn sessions_of_an_address_are_counted_in_and_out() {
        let table = addresses(10);
        assert!(table.enter(address(1)) && table.enter(address(1)) && !table.enter(address(1)));
        table.leave(address(1));
        assert!(table.enter(address(1)));
        table.leave(address(1));
        table.leave(address(1));
        assert!(table.inner.lock().present.is_empty(), "nothing is kept of who is gone");
    }
}
