//! What this process may do now: whether it owns the keyspace, whether the database answers, whether it was closed.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bellhop_engine::ports::StoreError;

use super::clock::Tick;

/// Read on every append; written by the lease's keeper and by `close`.
#[derive(Debug, Default)]
pub(super) struct Standing {
    closed: AtomicBool,
    /// Why another one owns the keyspace now.
    lost: OnceLock<String>,
    /// Whether the last renewal got no answer in its time.
    away: AtomicBool,
    /// Until when the lease is known to be ours, microseconds of [`Tick`].
    ours_until: AtomicU64,
}

impl Standing {
    /// Whether reads are answered.
    pub(super) fn open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        if self.lost.get().is_some() {
            return Err(StoreError::Fenced);
        }
        Ok(())
    }

    /// Whether a write may begin.
    pub(super) fn writable(&self) -> Result<(), StoreError> {
        self.open()?;
        if self.away.load(Ordering::Acquire) {
            return Err(StoreError::Unavailable("the database does not answer".to_owned()));
        }
        if !self.ours() {
            return Err(StoreError::Unavailable("the lease of the keyspace could not be renewed".to_owned()));
        }
        Ok(())
    }

    /// Whether what was written until now counts as ours.
    pub(super) fn ours(&self) -> bool {
        self.lost.get().is_none() && Tick::now().micros() < self.ours_until.load(Ordering::Acquire)
    }

    pub(super) fn healthy(&self) -> bool {
        self.writable().is_ok()
    }

    pub(super) fn lost(&self) -> Option<String> {
        self.lost.get().cloned()
    }

    /// A renewal is known to have succeeded; the lease counts from the moment that it was sent.
    pub(super) fn renewed(&self, until: Tick) {
        self.ours_until.fetch_max(until.micros(), Ordering::AcqRel);
        if self.away.swap(false, Ordering::AcqRel) {
            tracing::info!("the database answers again");
        }
    }

    pub(super) fn unanswered(&self, why: &str) {
        if !self.away.swap(true, Ordering::AcqRel) {
            tracing::warn!(why, "the database does not answer: writes are refused until it does");
        }
    }

    pub(super) fn fence(&self, why: String) {
        if self.lost.set(why).is_ok() {
            tracing::error!(why = self.lost.get(), "this server has lost its keyspace");
        }
    }

    pub(super) fn closing(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}
