//! The people, words and steps that the cases are told with.

use std::fmt::Debug;
use std::sync::Arc;

use bellhop_engine::domain::{
    AssignedReason, Audience, Author, Body, Channel, CommandId, CommandMark, ConversationId, ConversationKey,
    ConversationState, Epoch, Event, MemberId, MemberName, Millis, Part, QueuedReason, Seq, VisitorId, WorkspaceId,
};
use bellhop_engine::ports::{Append, Projection, Store, StoreError};
use tokio::sync::oneshot;

use super::Outcome;

/// Ids with high bytes set, so that an order by anything but all 16 bytes shows.
pub(super) fn key(workspace: u128, conversation: u128) -> ConversationKey {
    ConversationKey {
        workspace: WorkspaceId(workspace << 64 | 1),
        conversation: ConversationId(conversation << 96 | 7),
    }
}

pub(super) const VISITOR: VisitorId = VisitorId(0xA1 << 100);

pub(super) fn agent() -> MemberName {
    MemberName { id: MemberId(0xB2 << 90), name: "Ada Ågren".into() }
}

/// A visitor's message.
pub(super) fn message(seq: Seq, epoch: Epoch, text: &str) -> Arc<Event> {
    Arc::new(Event {
        seq,
        prev_all: seq - 1,
        epoch,
        at: Millis(1_763_838_000_000 + seq as i64),
        author: Author::Visitor { id: VISITOR, name: "Quiet Heron".into() },
        audience: Audience::All,
        channel: Channel::Chat,
        external_id: None,
        command: Some(CommandMark { id: CommandId(u128::from(seq) << 70 | 5), hash: u64::MAX - seq }),
        body: Body::Message { parts: vec![Part::Text(text.into())] },
    })
}

/// Messages with these seqs.
pub(super) fn messages(seqs: std::ops::RangeInclusive<Seq>, epoch: Epoch) -> Vec<Arc<Event>> {
    seqs.map(|seq| message(seq, epoch, &format!("word {seq}"))).collect()
}

/// One event of every kind, seq 1 and up.
pub(super) fn every_kind(epoch: Epoch) -> Vec<Arc<Event>> {
    let text = |text: &str| vec![Part::Text(text.into())];
    let visitor = || Author::Visitor { id: VISITOR, name: "Quiet Heron".into() };
    let bodies = [
        (visitor(), Audience::Staff, Body::Started { page: Some("https://shop.example/ä?q=1".into()) }),
        (visitor(), Audience::All, Body::Message { parts: text("Is it still there? \u{1F9E6} \u{202B}שלום") }),
        (Author::System, Audience::Staff, Body::Queued { number: 7, reason: QueuedReason::New, prefer: None }),
        (Author::System, Audience::All, Body::Assigned { to: agent(), reason: AssignedReason::Routed }),
        (Author::Agent(agent()), Audience::Staff, Body::Note { parts: text("ask the\nwarehouse") }),
        (
            Author::Agent(agent()),
            Audience::All,
            Body::Message { parts: vec![Part::Text("Yes".into()), Part::Text("!".into())] },
        ),
        (Author::Agent(agent()), Audience::All, Body::Resolved),
        (visitor(), Audience::All, Body::Reopened),
        (
            Author::System,
            Audience::Staff,
            Body::Queued { number: u64::MAX, reason: QueuedReason::Released, prefer: Some(agent().id) },
        ),
    ];
    let event = |(seq, (author, audience, body)): (usize, _)| {
        let event = message(seq as Seq + 1, epoch, "");
        let external_id = (seq == 1).then(|| "<mail@example>".into());
        Arc::new(Event { author, audience, body, external_id, ..Event::clone(&event) })
    };
    bodies.into_iter().enumerate().map(event).collect()
}

/// The fold of a conversation's first events.
pub(super) fn fold(key: ConversationKey, events: &[Arc<Event>]) -> Result<ConversationState, String> {
    let (first, rest) = events.split_first().ok_or("a conversation without events has no state")?;
    let mut state = ConversationState::begin(key, first);
    rest.iter().for_each(|event| state.apply(event));
    Ok(state)
}

/// What the engine would project of these events.
pub(super) fn projection(key: ConversationKey, events: &[Arc<Event>]) -> Result<Projection, String> {
    let state = fold(key, events)?;
    Ok(Projection { row: state.row(0, 0), state, reads: Vec::new(), clear_dirty: false })
}

/// Appends and waits for the outcome.
pub(super) async fn append(
    store: &dyn Store,
    key: ConversationKey,
    events: Vec<Arc<Event>>,
    mark_dirty: bool,
) -> Result<(), StoreError> {
    begin_append(store, key, events, mark_dirty)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unknown("the callback was dropped uncalled".to_owned())))
}

/// Appends and leaves the waiting to the caller.
pub(super) fn begin_append(
    store: &dyn Store,
    key: ConversationKey,
    events: Vec<Arc<Event>>,
    mark_dirty: bool,
) -> oneshot::Receiver<Result<(), StoreError>> {
    let (done, outcome) = oneshot::channel();
    let callback = Box::new(move |result| drop(done.send(result)));
    store.append(Append { key, events, mark_dirty }, callback);
    outcome
}

/// A store's answer, or what it said instead.
pub(super) fn ok<T>(answer: Result<T, StoreError>) -> Result<T, String> {
    answer.map_err(|error| error.to_string())
}

/// A failed check's values are cut here: a text of 64 KiB tells nobody anything.
const SHOWN_BYTES: usize = 600;

/// Fails unless both are equal.
pub(super) fn same<T: PartialEq<U> + Debug, U: Debug>(what: &str, got: &T, want: &U) -> Outcome {
    if got == want {
        return Ok(());
    }
    let shown = |text: String| text.chars().take(SHOWN_BYTES).collect::<String>();
    Err(format!("{what}: got {}, want {}", shown(format!("{got:?}")), shown(format!("{want:?}"))))
}

/// Fails unless it holds.
pub(super) fn check(holds: bool, what: &str) -> Outcome {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

pub(super) fn seqs(events: &[Arc<Event>]) -> Vec<Seq> {
    events.iter().map(|event| event.seq).collect()
}
