//! How often somebody may try: token buckets by address, e-mail and key (SECURITY.md, row G).

use std::hash::{BuildHasher, RandomState};
use std::time::Instant;

use dashmap::DashMap;

use super::Problem;

/// What is counted, and against what.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Counted {
    LoginPerAddress,
    LoginPerEmail,
    LinkPerAddress,
    WidgetPerAddress,
    PerKey,
}

/// A bucket holds `burst` attempts and gains `per_second`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) burst: f64,
    pub(crate) per_second: f64,
}

/// Log-ins from one address: an office behind one address logs in at nine o'clock (60 at once); a guesser gets one a
/// second, 86,400 a day over all accounts, against passwords of at least 10 characters.
const LOGIN_PER_ADDRESS: Rate = Rate { burst: 60.0, per_second: 1.0 };

/// Wrong passwords for one e-mail from anywhere: 20, then one in 30 s (2,880 a day). A right one is not counted.
const LOGIN_PER_EMAIL: Rate = Rate { burst: 20.0, per_second: 1.0 / 30.0 };

/// Set-up, invite and reset links tried from one address. Their 256 bits cannot be guessed; this spares the store.
const LINK_PER_ADDRESS: Rate = Rate { burst: 60.0, per_second: 1.0 };

/// Looks of a widget at its workspace from one address: a company behind one address opens many pages, and the answer
/// is cached by browsers for 30 s.
const WIDGET_PER_ADDRESS: Rate = Rate { burst: 400.0, per_second: 50.0 };

/// Buckets kept at once (about 64 B each: 6 MB). Beyond it the full ones go, and if none is full, all: losing counts is
/// better than losing the server.
const MAX_BUCKETS: usize = 100_000;

struct Bucket {
    left: f64,
    at: Instant,
}

/// All buckets. Keys are hashed with a random key, so that nobody can choose to collide with another.
pub struct Rates {
    buckets: DashMap<(Counted, u64), Bucket>,
    hasher: RandomState,
    per_key: Rate,
}

impl Rates {
    /// `per_key` comes from the configuration (`limits.key_requests_per_second`); its burst is two seconds' worth.
    pub fn new(key_requests_per_second: u32) -> Self {
        let per_second = f64::from(key_requests_per_second);
        Self {
            buckets: DashMap::new(),
            hasher: RandomState::new(),
            per_key: Rate { burst: per_second * 2.0, per_second },
        }
    }

    fn rate(&self, counted: Counted) -> Rate {
        match counted {
            Counted::LoginPerAddress => LOGIN_PER_ADDRESS,
            Counted::LoginPerEmail => LOGIN_PER_EMAIL,
            Counted::LinkPerAddress => LINK_PER_ADDRESS,
            Counted::WidgetPerAddress => WIDGET_PER_ADDRESS,
            Counted::PerKey => self.per_key,
        }
    }

    /// Takes one attempt, or says when there will be one.
    pub fn take(&self, counted: Counted, whose: impl std::hash::Hash) -> Result<(), Problem> {
        self.take_at(counted, self.hasher.hash_one(whose), Instant::now())
    }

    /// Gives an attempt back: it turned out to be a good one.
    pub fn give_back(&self, counted: Counted, whose: impl std::hash::Hash) {
        let rate = self.rate(counted);
        if let Some(mut bucket) = self.buckets.get_mut(&(counted, self.hasher.hash_one(whose))) {
            bucket.left = (bucket.left + 1.0).min(rate.burst);
        }
    }

    fn take_at(&self, counted: Counted, whose: u64, now: Instant) -> Result<(), Problem> {
        let rate = self.rate(counted);
        if self.buckets.len() >= MAX_BUCKETS {
            self.sweep(now);
        }
        let mut bucket = self.buckets.entry((counted, whose)).or_insert(Bucket { left: rate.burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        bucket.left = (bucket.left + passed * rate.per_second).min(rate.burst);
        bucket.at = now;
        if bucket.left >= 1.0 {
            bucket.left -= 1.0;
            return Ok(());
        }
        let wait = ((1.0 - bucket.left) / rate.per_second).ceil();
        metrics::counter!("bellhop_rate_limited_total", "counted" => counted.label()).increment(1);
        Err(Problem::TooMany { retry_after_secs: wait.clamp(1.0, 3_600.0) as u64 })
    }

    fn sweep(&self, now: Instant) {
        self.buckets.retain(|(counted, _), bucket| {
            let rate = self.rate(*counted);
            let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
            bucket.left + passed * rate.per_second < rate.burst
        });
        if self.buckets.len() >= MAX_BUCKETS {
            self.buckets.clear();
        }
    }
}

impl Counted {
    fn label(self) -> &'static str {
        match self {
            Self::LoginPerAddress => "login_per_address",
            Self::LoginPerEmail => "login_per_email",
            Self::LinkPerAddress => "link_per_address",
            Self::WidgetPerAddress => "widget_per_address",
            Self::PerKey => "per_key",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_empties_says_when_and_fills_again() {
        let rates = Rates::new(10);
        let start = Instant::now();
        for _ in 0..20 {
            rates.take_at(Counted::LoginPerEmail, 1, start).unwrap();
        }
        assert_eq!(rates.take_at(Counted::LoginPerEmail, 1, start), Err(Problem::TooMany { retry_after_secs: 30 }));
        rates.take_at(Counted::LoginPerEmail, 2, start).unwrap();
        rates.take_at(Counted::LoginPerAddress, 1, start).unwrap();
        assert!(rates.take_at(Counted::LoginPerEmail, 1, start + Duration::from_secs(29)).is_err());
        rates.take_at(Counted::LoginPerEmail, 1, start + Duration::from_secs(31)).unwrap();
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let rates = Rates::new(10);
        let now = Instant::now();
        for whose in 0..(MAX_BUCKETS as u64 + 10) {
            rates.take_at(Counted::WidgetPerAddress, whose, now).unwrap();
        }
        assert!(rates.buckets.len() <= MAX_BUCKETS);
    }
}
