//! Counting crashes: what ends restarts, and what is not one actor's fault.

use std::collections::VecDeque;

use crate::domain::Millis;

/// Crashes of one actor within [`CRASH_WINDOW_MS`] that end its restarts (G12).
pub(super) const MOST_CRASHES: usize = 3;
const CRASH_WINDOW_MS: i64 = 60_000;

/// Different conversations of one supervisor failing within [`STORM_WINDOW_MS`] mean that not they are at fault.
pub(super) const STORM_CRASHES: usize = 32;
const STORM_WINDOW_MS: i64 = 10_000;

/// Recent crashes of many actors, by their names.
pub(super) struct Crashes<K> {
    recent: VecDeque<(Millis, K)>,
}

impl<K: PartialEq + Copy> Crashes<K> {
    pub(super) fn new() -> Self {
        Self { recent: VecDeque::new() }
    }

    /// Notes a crash; returns how many this one had within its window, and how many different ones within the storm's.
    pub(super) fn note(&mut self, now: Millis, key: K) -> (usize, usize) {
        self.recent.retain(|(at, _)| now.since(*at) < CRASH_WINDOW_MS);
        self.recent.push_back((now, key));
        let same = self.recent.iter().filter(|(_, it)| *it == key).count();
        let mut different: Vec<K> = Vec::new();
        for (_, it) in self.recent.iter().filter(|(at, _)| now.since(*at) < STORM_WINDOW_MS) {
            if !different.contains(it) {
                different.push(*it);
            }
        }
        (same, different.len())
    }
}
