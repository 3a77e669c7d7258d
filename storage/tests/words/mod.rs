//! What tests append, and how they wait for it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;

use bellhop_engine::domain::{
    Audience, Author, Body, Channel, ConversationId, ConversationKey, Epoch, Event, Millis, Part, Seq, VisitorId,
    WorkspaceId,
};
use bellhop_engine::ports::{Append, Store, StoreError};
use tokio::sync::oneshot;

pub(crate) fn key(conversation: u128) -> ConversationKey {
    ConversationKey { workspace: WorkspaceId(1), conversation: ConversationId(conversation) }
}

pub(crate) fn message(seq: Seq, epoch: Epoch, text: &str) -> Arc<Event> {
    Arc::new(Event {
        seq,
        prev_all: seq - 1,
        epoch,
        at: Millis(seq as i64),
        author: Author::Visitor { id: VisitorId(1), name: "Quiet Heron".into() },
        audience: Audience::All,
        channel: Channel::Chat,
        external_id: None,
        command: None,
        body: Body::Message { parts: vec![Part::Text(text.into())] },
    })
}

pub(crate) type Outcome = Result<(), StoreError>;

/// Appends and leaves the waiting to the caller. A callback that is dropped uncalled shows as an error there.
pub(crate) fn begin_append(
    store: &dyn Store,
    key: ConversationKey,
    events: Vec<Arc<Event>>,
) -> oneshot::Receiver<Outcome> {
    let (done, outcome) = oneshot::channel();
    let mark_dirty = events.first().is_some_and(|first| first.seq == 1);
    store.append(Append { key, events, mark_dirty }, Box::new(move |result| drop(done.send(result))));
    outcome
}
