//! Reading a conversation for one reader: bounded batches of what is durable and visible to them.

use std::sync::Arc;

use crate::domain::{Audience, ConversationKey, Event, Seq};
use crate::exchange::{BATCH_BYTES, BATCH_EVENTS, RESUME_EVENTS, Reset};
use crate::ports::{Range, Store, StoreError};
use crate::sabotage::{self, Fault};

/// A stretch of a conversation as one audience sees it.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) reset: Option<Reset>,
    /// Ascending.
    pub(crate) events: Vec<Arc<Event>>,
    /// Whether visible events lie below.
    pub(crate) older: bool,
    /// Whether durable events are left above (forward reading only).
    pub(crate) more: bool,
}

/// What is read of which conversation, for whom.
pub(crate) struct Reading<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) key: ConversationKey,
    pub(crate) audience: Audience,
    /// The last durable seq: nothing above it is shown.
    pub(crate) durable: Seq,
}

impl Reading<'_> {
    /// What a reader whose last seq is `after` missed, or the newest page with the reason for a reset.
    pub(crate) async fn resume(&self, after: Option<Seq>, first: usize) -> Result<Batch, StoreError> {
        let reset = match after {
            None => Reset::First,
            Some(after) if after > self.durable => Reset::CursorAhead,
            Some(after) if self.durable - after > RESUME_EVENTS => Reset::TooFar,
            Some(after) if sabotage::on(Fault::ResumeFromSeqPlusOne) => return self.forward(after + 1).await,
            Some(after) => return self.forward(after).await,
        };
        let batch = self.backward(self.durable + 1, first).await?;
        Ok(Batch { reset: Some(reset), ..batch })
    }

    async fn forward(&self, after: Seq) -> Result<Batch, StoreError> {
        let (mut events, mut bytes, mut at) = (Vec::new(), 0, after);
        while at < self.durable {
            let chunk = self.store.events(self.key, Range::After(at), BATCH_EVENTS).await?;
            if chunk.is_empty() {
                return Err(StoreError::Damaged(format!("events after {at} of {:?} are missing", self.key)));
            }
            for event in chunk {
                if event.seq > self.durable {
                    at = self.durable;
                    break;
                }
                if event.visible_to(self.audience) {
                    bytes += event.text_bytes();
                    if !events.is_empty() && (bytes > BATCH_BYTES || events.len() == BATCH_EVENTS) {
                        return Ok(Batch { reset: None, events, older: false, more: true });
                    }
                    at = event.seq;
                    events.push(event);
                } else {
                    at = event.seq;
                }
            }
        }
        Ok(Batch { reset: None, events, older: false, more: false })
    }

    /// The newest `limit` visible events below `before`.
    pub(crate) async fn backward(&self, before: Seq, limit: usize) -> Result<Batch, StoreError> {
        let limit = limit.clamp(1, BATCH_EVENTS);
        let (mut newest_first, mut bytes) = (Vec::new(), 0);
        let mut below = before.min(self.durable + 1);
        'reading: while below > 1 {
            let chunk = self.store.events(self.key, Range::Before(below), BATCH_EVENTS).await?;
            let Some(lowest) = chunk.first().map(|event| event.seq) else { break };
            for event in chunk.into_iter().rev().filter(|event| event.visible_to(self.audience)) {
                bytes += event.text_bytes();
                let full = newest_first.len() == limit || (bytes > BATCH_BYTES && !newest_first.is_empty());
                if full {
                    break 'reading;
                }
                newest_first.push(event);
            }
            below = lowest;
        }
        newest_first.reverse();
        let older = newest_first.first().is_some_and(|event: &Arc<Event>| event.prev(self.audience) > 0);
        Ok(Batch { reset: None, events: newest_first, older, more: false })
    }
}
