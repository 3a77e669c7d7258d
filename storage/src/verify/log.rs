//! A conversation's log from its first event, folded as it is read.

use bellhop_engine::domain::{Audience, ConversationKey, ConversationState, Epoch, Event};
use bellhop_engine::ports::{Range, Store, StoreError};

use super::ask;

/// Events read at a time: 8 MiB of the longest texts.
pub(super) const EVENTS: usize = 128;

/// What a log came to.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The fold of all that could be read; absent without an event.
    pub(super) state: Option<ConversationState>,
    pub(super) events: u64,
    /// What breaks the rules of a log; empty for a good one.
    pub(super) faults: Vec<String>,
}

/// Reads and folds; `at_each` sees the state after every event.
pub(super) async fn read(
    store: &dyn Store,
    key: ConversationKey,
    mut at_each: impl FnMut(&ConversationState),
) -> Result<Log, StoreError> {
    let mut log = Log::default();
    loop {
        let last = log.state.as_ref().map_or(0, |state| state.seq);
        let page = match ask(|| store.events(key, Range::After(last), EVENTS)).await? {
            Ok(page) => page,
            Err(what) => {
                log.faults.push(format!("its log cannot be read after seq {last}: {what}"));
                return Ok(log);
            }
        };
        if page.is_empty() {
            return Ok(log);
        }
        for event in &page {
            let seq = log.state.as_ref().map_or(0, |state| state.seq) + 1;
            if event.seq != seq {
                log.faults.push(format!("its log has seq {} where {seq} must come", event.seq));
                return Ok(log);
            }
            if let Some(state) = &log.state
                && let Some(fault) = out_of_order(state, event)
            {
                log.faults.push(fault);
            }
            ConversationState::fold(&mut log.state, key, event);
            log.events += 1;
            if let Some(state) = &log.state {
                at_each(state);
            }
        }
    }
}

/// What an event says of those before it, against what they are.
fn out_of_order(before: &ConversationState, event: &Event) -> Option<String> {
    let seq = event.seq;
    let Epoch(epoch) = event.epoch;
    if event.prev_all != before.head(Audience::All) {
        let head = before.head(Audience::All);
        return Some(format!("seq {seq} says that {} came before it for visitors, and {head} did", event.prev_all));
    }
    if event.at < before.last_event_at {
        return Some(format!("the time of seq {seq} lies before that of the event before it"));
    }
    if event.epoch < before.epoch {
        return Some(format!("seq {seq} is of epoch {epoch}, lower than one before it"));
    }
    None
}
