//! Faults put in on purpose, so that the checkers of our promises can be seen to fail (feature `sabotage`, tests only).
//!
//! Without the feature [`on`] is a constant `false` and [`trip`] is nothing: the code that users run holds no trace of
//! either. With it one fault is chosen for the whole process, at run time.

use std::fmt;
use std::str::FromStr;

/// A way to break a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The embedded store answers before it has written (G1).
    AcknowledgeBeforeSync,
    /// A conversation that wakes has forgotten which commands it has seen (G3).
    SkipDedupAfterRestart,
    /// A conversation that wakes gives the next event the number of the last one (G1, G2).
    RenumberOnWake,
    /// A full outbox drops a frame where it should close the session (G4).
    DropOnFullOutbox,
    /// Who comes back gets what follows the first event that they missed (G4).
    ResumeFromSeqPlusOne,
    /// Readers hear of an event before it is durable (G2).
    FanOutBeforeDurable,
    /// Rows are read without regard to who owned the conversation when (G2, G6).
    IgnoreEpoch,
    /// The embedded store loses the last batch that it acknowledged when it is closed (G8).
    LoseLastBatchOnDrain,
}

impl Fault {
    pub const ALL: [Self; 8] = [
        Self::AcknowledgeBeforeSync,
        Self::SkipDedupAfterRestart,
        Self::RenumberOnWake,
        Self::DropOnFullOutbox,
        Self::ResumeFromSeqPlusOne,
        Self::FanOutBeforeDurable,
        Self::IgnoreEpoch,
        Self::LoseLastBatchOnDrain,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::AcknowledgeBeforeSync => "acknowledge-before-sync",
            Self::SkipDedupAfterRestart => "skip-dedup-after-restart",
            Self::RenumberOnWake => "renumber-on-wake",
            Self::DropOnFullOutbox => "drop-on-full-outbox",
            Self::ResumeFromSeqPlusOne => "resume-from-seq-plus-one",
            Self::FanOutBeforeDurable => "fan-out-before-durable",
            Self::IgnoreEpoch => "ignore-epoch",
            Self::LoseLastBatchOnDrain => "lose-last-batch-on-drain",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|it| it.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no fault {name:?}; there are {names}")
        })
    }
}

/// Code in which a panic can be set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spot {
    /// A conversation's actor, with a piece of work in its hands.
    Conversation,
    /// An agent's actor.
    Agent,
    /// A queue's actor.
    Queue,
    /// The embedded store's commit thread.
    Journal,
    /// A session's task, with a frame in its hands.
    Session,
}

#[cfg(feature = "sabotage")]
mod chosen {
    use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

    use super::{Fault, Spot};

    static FAULT: AtomicU8 = AtomicU8::new(u8::MAX);
    static ARMED: [AtomicU32; 5] = [const { AtomicU32::new(0) }; 5];

    /// Breaks this from now on; `None` breaks nothing any more.
    pub fn choose(fault: Option<Fault>) {
        FAULT.store(fault.map_or(u8::MAX, |it| it as u8), Ordering::SeqCst);
    }

    /// Whether this is to be broken.
    pub fn on(fault: Fault) -> bool {
        FAULT.load(Ordering::Relaxed) == fault as u8
    }

    /// The next `times` passes of this spot panic.
    pub fn arm(spot: Spot, times: u32) {
        ARMED[spot as usize].store(times, Ordering::SeqCst);
    }

    /// Panics if this spot is armed.
    ///
    /// # Panics
    /// That is what it is for.
    pub fn trip(spot: Spot) {
        let armed = &ARMED[spot as usize];
        if armed.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |times| times.checked_sub(1)).is_ok() {
            panic!("injected: a panic in the code of {spot:?}");
        }
    }
}

#[cfg(feature = "sabotage")]
pub use chosen::{arm, choose, on, trip};

/// Whether this is to be broken: never, in what users run.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn on(_: Fault) -> bool {
    false
}

/// Panics if this spot is armed: none is, in what users run.
#[cfg(not(feature = "sabotage"))]
#[inline(always)]
pub const fn trip(_: Spot) {}
