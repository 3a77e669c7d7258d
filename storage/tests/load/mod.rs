//! A store under load in a process of its own, and an independent reader that decides from what was acknowledged.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bellhop_engine::domain::{Body, ConversationState, Epoch, Event, Part, PersonId, Seq};
use bellhop_engine::ports::{Audit, Expect, Loaded, Projection, Range, Record, RecordKey, Store, Written};

use crate::words::{begin_append, key, message};

/// Names the data directory to a child; without it the child's functions are tests that have nothing to do.
pub(crate) const CHILD: &str = "BELLHOP_TEST_CHILD";

/// Conversations that a child appends to at once: enough that commits hold many.
pub(crate) const CONVERSATIONS: u128 = 40;

/// The test binary, to run one function of it as a child on a directory.
pub(crate) fn child(of: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([of, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdin(std::process::Stdio::null());
    command
}

/// The text that this seq of this conversation must hold, told from the two alone: an independent reader knows it.
pub(crate) fn text(conversation: u128, seq: Seq, weight: usize) -> String {
    let word = format!("{conversation}:{seq} ");
    word.repeat(weight * (1 + (conversation as usize * 31 + seq as usize * 7) % 40))
}

/// The events of an append that begins at this seq: of one to three.
pub(crate) fn together(first: Seq) -> Seq {
    1 + first % 3
}

pub(crate) fn line(words: std::fmt::Arguments<'_>) {
    // One write a line: the process may end at any moment, and a torn line must be the last. No println!, which locks
    // and buffers differently under the test harness.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{words}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// What a child does.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    /// It ends after so many acknowledged appends.
    pub(crate) appends: u64,
    /// Multiplies the length of texts.
    pub(crate) weight: usize,
    /// Writes a projection now and then: writes that are not synced, between those that are.
    pub(crate) projects: bool,
}

impl Load {
    /// Goes on where each log ends, appends to every conversation, and says what was acknowledged.
    pub(crate) async fn put_on(self, store: Arc<dyn Store>) {
        // The test harness has begun a line of its own.
        line(format_args!("\nOPEN {}", store.epoch().0));
        let done = Arc::new(AtomicU64::new(0));
        let mut writers = tokio::task::JoinSet::<()>::new();
        for conversation in 0..CONVERSATIONS {
            writers.spawn(self.write(Arc::clone(&store), conversation, Arc::clone(&done)));
        }
        while let Some(ended) = writers.join_next().await {
            ended.unwrap();
        }
    }

    async fn write(self, store: Arc<dyn Store>, conversation: u128, done: Arc<AtomicU64>) {
        let epoch = store.epoch();
        let loaded = store.load(key(conversation)).await.unwrap().unwrap_or_default();
        let mut state = whole(loaded, conversation);
        while done.fetch_add(1, Ordering::Relaxed) < self.appends {
            let next = state.as_ref().map_or(0, |state| state.seq) + 1;
            let count = together(next);
            let events: Vec<_> =
                (next..next + count).map(|seq| message(seq, epoch, &text(conversation, seq, self.weight))).collect();
            // A store that fails has said so; what was acknowledged until then is what counts.
            let Ok(()) = begin_append(&*store, key(conversation), events.clone()).await.unwrap() else { return };
            for event in &events {
                match &mut state {
                    Some(state) => state.apply(event),
                    None => state = Some(ConversationState::begin(key(conversation), event)),
                }
            }
            let last = next + count - 1;
            line(format_args!("ACK {conversation} {last}"));
            if self.projects
                && last.is_multiple_of(5)
                && let Some(state) = &state
            {
                let projection =
                    Projection { row: state.row(0, 0), state: state.clone(), reads: Vec::new(), clear_dirty: false };
                let _failed = store.project(projection).await;
            }
            if last.is_multiple_of(10) && !put_record(&*store, conversation, last).await {
                return;
            }
        }
    }
}

async fn put_record(store: &dyn Store, conversation: u128, value: Seq) -> bool {
    let email = RecordKey::Email(format!("{conversation}"));
    let record = Record::Email(PersonId(value.into()));
    let Ok(stored) = store.record(email.clone()).await else { return false };
    let expect = stored.map_or(Expect::Absent, |(_, version)| Expect::Version(version));
    let Ok(written) = store.put_record(email, record, expect).await else { return false };
    assert!(matches!(written, Written::Done(_)));
    line(format_args!("PUT {conversation} {value}"));
    true
}

fn whole(loaded: Loaded, conversation: u128) -> Option<ConversationState> {
    loaded.tail.iter().fold(loaded.state, |state, event| match state {
        Some(mut state) => {
            state.apply(event);
            Some(state)
        }
        None => Some(ConversationState::begin(key(conversation), event)),
    })
}

/// What children have said, complete lines only.
#[derive(Default, Clone, Debug)]
pub(crate) struct Said {
    pub(crate) epoch: u64,
    pub(crate) acknowledged: BTreeMap<u128, Seq>,
    pub(crate) put: BTreeMap<u128, u128>,
    /// Appends.
    pub(crate) count: u64,
}

impl Said {
    pub(crate) fn hear(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["OPEN", epoch] => self.epoch = self.epoch.max(epoch.parse().unwrap_or(0)),
            // A line that the end tore has fewer digits: it only claims less.
            ["ACK", conversation, seq] => {
                let (Ok(conversation), Ok(seq)) = (conversation.parse(), seq.parse::<Seq>()) else { return };
                let last = self.acknowledged.entry(conversation).or_insert(0);
                *last = seq.max(*last);
                self.count += 1;
            }
            ["PUT", conversation, value] => {
                let (Ok(conversation), Ok(value)) = (conversation.parse(), value.parse::<u128>()) else { return };
                let last = self.put.entry(conversation).or_insert(0);
                *last = value.max(*last);
            }
            _ => {}
        }
    }
}

/// All events of a conversation, page by page.
pub(crate) async fn events(store: &dyn Store, conversation: u128) -> Result<Vec<Arc<Event>>, String> {
    let mut all: Vec<Arc<Event>> = Vec::new();
    loop {
        let after = all.last().map_or(0, |event| event.seq);
        let page = store.events(key(conversation), Range::After(after), 1_000).await;
        let page = page.map_err(|error| format!("{conversation} after {after}: {error}"))?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Reads everything as an outsider: all that was acknowledged is there, whole, in order, and nothing in part. Says what
/// is not as promised; else how many events there are.
pub(crate) async fn check(store: &dyn Store, said: &Said, weight: usize) -> Result<u64, String> {
    let mut found = 0;
    for conversation in 0..CONVERSATIONS {
        found +=
            check_one(store, said, conversation, weight).await.map_err(|what| format!("{conversation}: {what}"))?;
    }
    let dirty = store.dirty().await.map_err(|error| error.to_string())?.len() as u128;
    let begun = said.acknowledged.len() as u128;
    if dirty < begun {
        return Err(format!("{begun} conversations begun and never put to sleep, {dirty} marks"));
    }
    Ok(found)
}

async fn check_one(store: &dyn Store, said: &Said, conversation: u128, weight: usize) -> Result<u64, String> {
    let acknowledged = said.acknowledged.get(&conversation).copied().unwrap_or(0);
    let events = events(store, conversation).await?;
    let found = events.len() as Seq;
    if found < acknowledged {
        return Err(format!("lost: {acknowledged} acknowledged, {found} found"));
    }
    let mut epoch = Epoch(0);
    for (event, seq) in events.iter().zip(1..) {
        let Event { body: Body::Message { parts }, .. } = &**event else { return Err(format!("foreign: {event:?}")) };
        let [Part::Text(words)] = &parts[..] else { return Err(format!("foreign: {event:?}")) };
        if event.seq != seq || **words != *text(conversation, seq, weight) {
            return Err(format!("wrong: at {seq} lies {} with other words", event.seq));
        }
        if event.epoch < epoch || event.epoch.0 > said.epoch {
            return Err(format!("an epoch that never was: {:?}", event.epoch));
        }
        epoch = event.epoch;
    }
    let mut whole = 0;
    while whole < found {
        whole += together(whole + 1);
    }
    if whole != found {
        return Err(format!("an append in part: {found} events"));
    }
    let loaded = store.load(key(conversation)).await.map_err(|error| error.to_string())?.unwrap_or_default();
    let folded = loaded.state.map_or(0, |state| state.seq) + loaded.tail.len() as Seq;
    if folded != found {
        return Err(format!("the snapshot and its tail say {folded}, the log {found}"));
    }
    let audit = store.audit(key(conversation)).await.map_err(|error| error.to_string())?;
    if audit != (Audit { head: found, leftovers: audit.leftovers, ..Audit::default() }) {
        return Err(format!("audit: {audit:?}"));
    }
    let email = store.record(RecordKey::Email(format!("{conversation}"))).await.map_err(|error| error.to_string())?;
    let value = email.map_or(0, |(record, _)| if let Record::Email(person) = record { person.0 } else { 0 });
    let put = said.put.get(&conversation).copied().unwrap_or(0);
    if value < put {
        return Err(format!("lost: record {put} acknowledged, {value} found"));
    }
    Ok(found)
}
