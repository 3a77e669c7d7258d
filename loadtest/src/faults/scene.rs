//! What everyone in a run shares: where the server is, who is there, how far the run is, and when commands were
//! accepted last.

use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bellhop_protocol::Id;
use tokio::sync::Notify;

use crate::{client::Place, dice::Dice, rest::Rest, stage::lock};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Phase {
    /// Everyone does as the dice say.
    Playing,
    /// Nobody begins anything; what is unanswered is repeated until it is answered.
    Settling,
    /// All is quiet: everyone puts the pen down.
    Over,
}

/// How lively a crowd is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mood {
    pub(super) visitors: u32,
    pub(super) agents: u32,
    /// Mean pause of one client between two doings.
    pub(super) think: Duration,
    /// Of 1,000 texts, how many are of 4 to 12 KB.
    pub(super) long_texts: u64,
    /// Of 1,000 doings, how many break the connection.
    pub(super) drops: u64,
    /// Conversations that are begun at most; those whose start was refused count as well.
    pub(super) conversations: u32,
    /// How long the slow reader stops reading at a time, at most.
    pub(super) stall: Duration,
}

pub(super) struct Scene {
    pub(super) place: Place,
    pub(super) rest: Arc<Rest>,
    pub(super) workspace: Id,
    pub(super) members: Vec<Id>,
    pub(super) mood: Mood,
    phase: AtomicU8,
    /// Conversations that somebody knows of, to knock at others' doors.
    known: Mutex<Vec<Id>>,
    begun: AtomicU32,
    accepted: Mutex<Accepted>,
    again: Notify,
    /// Guests that have something unanswered or no connection.
    busy: AtomicU32,
    /// Milliseconds since `born` of the last thing that anybody heard.
    heard: AtomicU64,
    born: Instant,
    /// Ends of sessions that should not be; sentences.
    troubles: Mutex<Vec<String>>,
}

#[derive(Debug)]
struct Accepted {
    /// Connections of an earlier life of the server do not count.
    life: u64,
    in_this_life: bool,
    last: Instant,
    longest: Duration,
}

/// A visitor's identity, shared by their tabs.
pub(super) type Token = Arc<OnceLock<String>>;

impl Scene {
    pub(super) fn new(place: Place, rest: Arc<Rest>, workspace: Id, members: Vec<Id>, mood: Mood) -> Arc<Self> {
        let now = Instant::now();
        let accepted = Accepted { life: 0, in_this_life: false, last: now, longest: Duration::ZERO };
        Arc::new(Self {
            place,
            rest,
            workspace,
            members,
            mood,
            phase: AtomicU8::new(Phase::Playing as u8),
            known: Mutex::new(Vec::new()),
            begun: AtomicU32::new(0),
            accepted: Mutex::new(accepted),
            again: Notify::new(),
            busy: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            born: now,
            troubles: Mutex::new(Vec::new()),
        })
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Playing,
            1 => Phase::Settling,
            _ => Phase::Over,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// Whether one more conversation may be begun.
    pub(super) fn may_begin(&self) -> bool {
        self.begun
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |begun| {
                (begun < self.mood.conversations).then_some(begun + 1)
            })
            .is_ok()
    }

    pub(super) fn know(&self, conversation: Id) {
        lock(&self.known).push(conversation);
    }

    pub(super) fn somebodys(&self, dice: &mut Dice) -> Option<Id> {
        let known = lock(&self.known);
        (!known.is_empty()).then(|| known[dice.below(known.len() as u64) as usize])
    }

    /// A guest waits for something from now on, or no longer.
    pub(super) fn busy(&self, busy: bool) {
        if busy {
            self.busy.fetch_add(1, Ordering::Relaxed);
        } else {
            self.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn hear(&self) {
        self.heard.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
    }

    /// Whether nobody waits for anything and nobody heard anything for so long.
    pub(super) fn quiet_for(&self, time: Duration) -> bool {
        let heard = Duration::from_millis(self.heard.load(Ordering::Relaxed));
        self.busy.load(Ordering::Relaxed) == 0 && self.born.elapsed().saturating_sub(heard) > time
    }

    pub(super) fn waiting(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }

    /// The server's life that a connection belongs to.
    pub(super) fn life(&self) -> u64 {
        lock(&self.accepted).life
    }

    /// A command was acknowledged for the first time, on a connection of this life.
    pub(super) fn accept(&self, life: u64) {
        let mut accepted = lock(&self.accepted);
        if accepted.life == life {
            let now = Instant::now();
            accepted.longest = accepted.longest.max(now - accepted.last);
            accepted.last = now;
            if !std::mem::replace(&mut accepted.in_this_life, true) {
                self.again.notify_waiters();
            }
        }
    }

    /// Something ends now: what is accepted later is of another life, and time counts from here.
    pub(super) fn ends(&self, server: bool) {
        let mut accepted = lock(&self.accepted);
        if server {
            accepted.life += 1;
            accepted.in_this_life = false;
        }
        (accepted.last, accepted.longest) = (Instant::now(), Duration::ZERO);
    }

    /// Waits until commands are accepted in this life; an error after `limit`.
    pub(super) async fn accepting(&self, limit: Duration) -> Result<(), String> {
        let wait = async {
            loop {
                let again = self.again.notified();
                if lock(&self.accepted).in_this_life {
                    return;
                }
                again.await;
            }
        };
        tokio::time::timeout(limit, wait)
            .await
            .map_err(|_| format!("no command was accepted within {} s of a restart", limit.as_secs()))
    }

    /// The longest time without an acknowledgement since the last [`Self::ends`], the present one included.
    pub(super) fn longest(&self) -> Duration {
        lock(&self.accepted).longest
    }

    pub(super) fn trouble(&self, sentence: String) {
        lock(&self.troubles).push(sentence);
    }

    pub(super) fn troubles(&self) -> Vec<String> {
        lock(&self.troubles).clone()
    }
}
