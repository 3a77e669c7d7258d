//! Which faults the model makes, and the seed they come from.

use std::time::Duration;

/// What becomes of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Durable, and said so.
    Done,
    /// Nothing written, and said so (`Unavailable`).
    Refused,
    /// `Unknown`, and it is durable.
    UnknownWritten,
    /// `Unknown`, and nothing was written (but perhaps the dirty mark, which may go ahead of the events).
    UnknownLost,
    /// `Unknown`, and it may become durable at any time until the conversation is loaded next, which settles it.
    UnknownLate,
}

/// How often the model fails, in thousandths of the calls of a kind, and how long appends take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// Appends answered `Unavailable`.
    pub append_refused: u16,
    /// Appends answered `Unknown`: a third each written, lost and late.
    pub append_unknown: u16,
    /// Record writes and projections answered `Unavailable`.
    pub write_refused: u16,
    /// Record writes and projections answered `Unknown`: half of them written.
    pub write_unknown: u16,
    /// Reads and loads answered `Unavailable`.
    pub read_refused: u16,
    /// Appends complete after a random time up to this, so that those of different conversations overtake each other.
    /// Needs a tokio runtime with a timer; zero completes within `append` itself.
    pub delay: Duration,
    /// Reads, projections and record writes take a random time up to this, half of it before and half of it after they
    /// look or write. Needs a tokio runtime with a timer; zero answers at the first poll.
    pub pause: Duration,
}

impl Faults {
    /// A store that never fails and answers at once.
    pub const NONE: Self = Self {
        append_refused: 0,
        append_unknown: 0,
        write_refused: 0,
        write_unknown: 0,
        read_refused: 0,
        delay: Duration::ZERO,
        pause: Duration::ZERO,
    };
}

/// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, enough to spread faults, the same on every machine.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is above zero.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn chance(&mut self, thousandths: u16) -> bool {
        self.below(1_000) < u64::from(thousandths)
    }
}
