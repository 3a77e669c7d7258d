//! A live conversation's place in the registry: what must outlive a crash of its actor.
//!
//! ractor's mailboxes are unbounded, so requests wait in a bounded inbox here and the mailbox holds at most one
//! `Wake` for them. Who follows the conversation and which requests are in the actor's hands are kept here as well:
//! when the actor crashes, the next one goes on with the inbox, and whoever waited for an answer gets one.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use ractor::ActorRef;
use smallvec::SmallVec;

use super::conversation::ConversationMessage;
use crate::domain::{Audience, CommandId, ConversationKey, MemberId, Seq, SessionId};
use crate::exchange::{Party, Request};

/// Whom an outcome goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Session(SessionId),
    /// A `Route` on behalf of this agent's reservation.
    Reservation(MemberId),
    /// Nobody waits (a `Release`).
    Nobody,
}

/// What waits in front of a conversation.
pub(crate) enum Work {
    Request {
        session: SessionId,
        party: Party,
        request: Request,
        permit: Permit,
    },
    Route {
        to: crate::domain::MemberName,
        number: u64,
    },
    Release {
        from: MemberId,
        removed: bool,
    },
    /// A session closed the conversation or ended: behind an `Open` of theirs that still waits.
    Unfollow {
        session: SessionId,
    },
}

/// One of the requests that the engine has accepted and not answered; dropping it gives its place back (G11).
pub(crate) struct Permit(Arc<AtomicUsize>);

impl Permit {
    /// Takes a place if fewer than `most` are taken.
    pub(crate) fn take(counter: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        if counter.fetch_add(1, Ordering::Relaxed) >= most {
            counter.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::clone(counter)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

/// A session that gets a conversation's live events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Follower {
    pub(crate) session: SessionId,
    pub(crate) audience: Audience,
}

/// A request in the actor's hands that somebody waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InHand {
    pub(crate) session: SessionId,
    /// `None` for an `Open` or a `Page`.
    pub(crate) command: Option<CommandId>,
}

/// An [`InHand`] as a slot keeps it: without the alignment of a number of 16 bytes it takes 32 bytes less.
struct Kept {
    session: SessionId,
    command: Option<[u8; 16]>,
}

impl From<InHand> for Kept {
    fn from(piece: InHand) -> Self {
        Self { session: piece.session, command: piece.command.map(|id| id.0.to_ne_bytes()) }
    }
}

impl From<&Kept> for InHand {
    fn from(kept: &Kept) -> Self {
        let command = kept.command.map(|id| CommandId(u128::from_ne_bytes(id)));
        Self { session: kept.session, command }
    }
}

/// As many pieces of work wait as may.
pub(crate) struct Full;

pub(crate) struct Slot {
    pub(crate) key: ConversationKey,
    inbox: Mutex<VecDeque<Work>>,
    /// Whether a `Wake` is on its way to the actor.
    scheduled: AtomicBool,
    /// The session whose request was taken out of the inbox last; changed under its lock.
    serving: AtomicU64,
    /// Sweeps that found it quiet since it was last woken.
    quiet_sweeps: AtomicU32,
    actor: Mutex<Option<ActorRef<ConversationMessage>>>,
    /// A visitor and an agent, as a rule.
    pub(crate) followers: Mutex<SmallVec<[Follower; 2]>>,
    in_hand: Mutex<SmallVec<[Kept; 1]>>,
    /// The last seq known durable: what reads from outside the actor are bounded by.
    pub(crate) durable: AtomicU64,
    /// The last seq that followers were told of: what a next life of the actor goes on from.
    pub(crate) told: AtomicU64,
    /// The last seq that queue and agents were told of; behind `told` when the actor crashed in between.
    pub(crate) staff_told: AtomicU64,
    /// Whether a life of the actor has read the log: what a later one finds beyond `told` was not told yet.
    pub(crate) loaded_before: AtomicBool,
    /// Whether an append is in flight, of this actor or of one that crashed before its outcome.
    appending: AtomicBool,
    append_ended: tokio::sync::Notify,
    /// Set after three crashes in a minute: nothing is tried any more.
    pub(crate) quarantined: AtomicBool,
}

impl Slot {
    pub(crate) fn new(key: ConversationKey) -> Self {
        Self {
            key,
            inbox: Mutex::new(VecDeque::new()),
            scheduled: AtomicBool::new(false),
            serving: AtomicU64::new(0),
            quiet_sweeps: AtomicU32::new(0),
            actor: Mutex::new(None),
            followers: Mutex::new(SmallVec::new()),
            in_hand: Mutex::new(SmallVec::new()),
            durable: AtomicU64::new(0),
            told: AtomicU64::new(0),
            staff_told: AtomicU64::new(0),
            loaded_before: AtomicBool::new(false),
            appending: AtomicBool::new(false),
            append_ended: tokio::sync::Notify::new(),
            quarantined: AtomicBool::new(false),
        }
    }

    /// The actor that serves this slot from now on.
    pub(crate) fn staff(&self, actor: ActorRef<ConversationMessage>) {
        *self.actor.lock() = Some(actor);
        self.woken();
    }

    /// Adds work unless `most` pieces wait already, and sees to it that the actor knows.
    pub(crate) fn push(&self, work: Work, most: usize) -> Result<(), Full> {
        {
            let mut inbox = self.inbox.lock();
            if inbox.len() >= most {
                return Err(Full);
            }
            inbox.push_back(work);
        }
        self.wake();
        Ok(())
    }

    /// Ends a session's following, now and behind whatever of theirs waits in the inbox; returns whether it followed.
    /// Not bounded: it stands at most once behind each of a session's admitted requests.
    pub(crate) fn part(&self, session: SessionId) -> bool {
        let followed = self.unfollow(session);
        let waits = {
            let mut inbox = self.inbox.lock();
            let last = inbox.iter().rev().find_map(|work| match work {
                Work::Request { session: theirs, .. } if *theirs == session => Some(true),
                Work::Unfollow { session: theirs } if *theirs == session => Some(false),
                _ => None,
            });
            let served = last.is_none() && self.serving.load(Ordering::Acquire) == session.0;
            let waits = last == Some(true) || served;
            if waits {
                inbox.push_back(Work::Unfollow { session });
            }
            waits
        };
        if waits {
            self.wake();
        }
        followed
    }

    /// Casts a `Wake` unless one is on its way.
    pub(crate) fn wake(&self) {
        if !self.scheduled.swap(true, Ordering::AcqRel) {
            self.cast(ConversationMessage::Wake);
        }
    }

    /// Sends a message to the actor; dropped when there is none any more.
    pub(crate) fn cast(&self, message: ConversationMessage) {
        if let Some(actor) = self.actor.lock().as_ref() {
            let _gone = actor.cast(message);
        }
    }

    /// Called by the actor on `Wake`: from here on a new piece of work wakes again.
    pub(crate) fn woken(&self) {
        self.quiet_sweeps.store(0, Ordering::Relaxed);
        self.scheduled.store(false, Ordering::Release);
    }

    /// A sweep; returns whether it has been quiet for so many, this one included.
    pub(crate) fn sweep(&self, sweeps: u32) -> bool {
        self.is_quiet() && self.quiet_sweeps.fetch_add(1, Ordering::Relaxed) + 1 >= sweeps
    }

    /// Whether it has been quiet for so many sweeps, and is.
    pub(crate) fn is_sleepy(&self, sweeps: u32) -> bool {
        self.quiet_sweeps.load(Ordering::Relaxed) >= sweeps && self.is_quiet()
    }

    pub(crate) fn next(&self) -> Option<Work> {
        let mut inbox = self.inbox.lock();
        let next = inbox.pop_front();
        if inbox.is_empty() {
            // Its room is 640 B, and it is empty nearly always.
            *inbox = VecDeque::new();
        }
        let session = match &next {
            Some(Work::Request { session, .. }) => session.0,
            _ => 0,
        };
        self.serving.store(session, Ordering::Release);
        next
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.inbox.lock().is_empty() && self.followers.lock().is_empty() && self.in_hand.lock().is_empty()
    }

    pub(crate) fn has_work(&self) -> bool {
        !self.inbox.lock().is_empty()
    }

    pub(crate) fn follow(&self, follower: Follower) {
        let mut followers = self.followers.lock();
        if !followers.iter().any(|it| it.session == follower.session) {
            followers.push(follower);
        }
    }

    /// Returns whether the session did follow.
    pub(crate) fn unfollow(&self, session: SessionId) -> bool {
        let mut followers = self.followers.lock();
        let before = followers.len();
        followers.retain(|it| it.session != session);
        followers.len() < before
    }

    pub(crate) fn visitor_follows(&self) -> bool {
        self.followers.lock().iter().any(|it| it.audience == Audience::All)
    }

    /// Sessions of an audience, without `except`.
    pub(crate) fn sessions(&self, audience: Audience, except: Option<SessionId>) -> SmallVec<[SessionId; 8]> {
        let followers = self.followers.lock();
        followers
            .iter()
            .filter(|it| it.audience == audience && Some(it.session) != except)
            .map(|it| it.session)
            .collect()
    }

    pub(crate) fn take_in_hand(&self, piece: InHand) {
        self.in_hand.lock().push(piece.into());
    }

    pub(crate) fn put_down(&self, piece: InHand) {
        let mut in_hand = self.in_hand.lock();
        if let Some(index) = in_hand.iter().position(|it| InHand::from(it) == piece) {
            in_hand.swap_remove(index);
        }
    }

    /// Takes all of them.
    pub(crate) fn drop_in_hand(&self) -> Vec<InHand> {
        std::mem::take(&mut *self.in_hand.lock()).iter().map(InHand::from).collect()
    }

    pub(crate) fn append_begins(&self) {
        self.appending.store(true, Ordering::Release);
    }

    /// Called by the journal, before the actor hears of the outcome.
    pub(crate) fn append_ends(&self) {
        self.appending.store(false, Ordering::Release);
        self.append_ended.notify_waiters();
    }

    /// Waits until no append is in flight: the log is read only when none of our own can still change it.
    pub(crate) async fn appends_ended(&self) {
        loop {
            let ended = self.append_ended.notified();
            if !self.appending.load(Ordering::Acquire) {
                return;
            }
            ended.await;
        }
    }

    pub(crate) fn set_durable(&self, seq: Seq) {
        self.durable.store(seq, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationId, WorkspaceId};

    #[test]
    fn an_inbox_without_work_holds_no_room_for_it() {
        let slot = Slot::new(ConversationKey { workspace: WorkspaceId(1), conversation: ConversationId(1) });
        let work = || Work::Unfollow { session: SessionId(1) };
        assert!((0..100).all(|_| slot.push(work(), 100).is_ok()));
        assert!(slot.push(work(), 100).is_err(), "it is full");
        assert_eq!(std::iter::from_fn(|| slot.next()).count(), 100);
        assert_eq!(slot.inbox.lock().capacity(), 0);
    }

    #[test]
    fn it_is_sleepy_after_so_many_quiet_sweeps_in_a_row_and_not_while_somebody_follows() {
        let slot = Slot::new(ConversationKey { workspace: WorkspaceId(1), conversation: ConversationId(1) });
        let sleepy_after = |sweeps: u32| (0..sweeps).map(|_| slot.sweep(3)).last() == Some(true) && slot.is_sleepy(3);
        assert!(!sleepy_after(2));
        assert!(sleepy_after(1));
        slot.woken();
        assert!(!sleepy_after(2), "they count anew");
        slot.follow(Follower { session: SessionId(1), audience: Audience::All });
        assert!(!sleepy_after(5));
        slot.unfollow(SessionId(1));
        assert!(!slot.is_sleepy(3), "it was not quiet");
        assert!(sleepy_after(1));
    }
}
