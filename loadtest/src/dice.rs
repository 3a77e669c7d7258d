//! Randomness that a seed repeats, and ids that never repeat.

use bellhop_protocol::Id;

/// SplitMix64 (Steele, Lea, Flood 2014): a few instructions, equally distributed, the same on every machine and in
/// every version of every crate, so that a printed seed stays good.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From the operating system's randomness.
    pub(crate) fn random() -> Result<Self, String> {
        getrandom::u64().map(Self).map_err(|error| format!("the system gives no random numbers: {error}"))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Below `bound` (0 if the bound is 0); the bias of 2^-64 × bound does not matter here.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

/// The finaliser of SplitMix64: every bit of the input changes about half of the output's.
pub(crate) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Makes command ids. 16 bytes from the system for each would be a system call a message; the first 8 come from the
/// system once, the others count through a permutation, so no two of one maker are equal and makers differ by 64 bits.
#[derive(Debug)]
pub(crate) struct Ids {
    high: u64,
    low: Dice,
}

impl Ids {
    pub(crate) fn new() -> Result<Self, String> {
        let mut dice = Dice::random()?;
        Ok(Self { high: dice.next(), low: dice })
    }

    pub(crate) fn next(&mut self) -> Id {
        Id((u128::from(self.high) << 64) | u128::from(self.low.next()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Dice, Ids};

    #[test]
    fn a_seed_gives_the_same_numbers_for_ever() {
        let mut dice = Dice::new(0);
        assert_eq!(dice.next(), 0xe220_a839_7b1d_cdaf);
        assert!((0..1000).all(|_| dice.below(7) < 7));
        assert_eq!(dice.below(0), 0);
    }

    #[test]
    fn ids_do_not_repeat() {
        let mut ids = Ids::new().unwrap();
        let set: HashSet<_> = (0..10_000).map(|_| ids.next()).collect();
        assert_eq!(set.len(), 10_000);
    }
}
