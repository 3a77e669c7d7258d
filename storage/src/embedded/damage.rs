//! Damage under the store's feet, and that `verify` names it and `rebuild` mends what a log can mend.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bellhop_engine::domain::{
    Audience, Author, Body, Channel, ConversationId, ConversationKey, ConversationState, Epoch, Event, MemberId,
    MemberName, Millis, Part, QueuedReason, Row, Seq, Status, VisitorId, WorkspaceId,
};
use bellhop_engine::ports::{Append, Projection, Reader, RowList, Store};
use tokio::sync::oneshot;

use super::tables::Tables;
use super::{Embedded, EmbeddedOptions, keys};
use crate::codec::{encode_event, encode_row, encode_state};
use crate::verify::{Finding, News, Verdict, rebuild, verify};

const WORKSPACE: WorkspaceId = WorkspaceId(3 << 100);
const VISITOR: VisitorId = VisitorId(5 << 90);

fn key(conversation: u128) -> ConversationKey {
    ConversationKey { workspace: WORKSPACE, conversation: ConversationId(conversation) }
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bellhop-damage-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    fn open(&self) -> Embedded {
        Embedded::open(&self.0, EmbeddedOptions::new()).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// Started, said something, queued; then as many words as asked for; resolved or not.
fn log(epoch: Epoch, begun: i64, words: u64, resolved: bool) -> Vec<Arc<Event>> {
    let visitor = || Author::Visitor { id: VISITOR, name: "Quiet Heron".into() };
    let agent = MemberName { id: MemberId(9), name: "Ada".into() };
    let text = |text: String| Body::Message { parts: vec![Part::Text(text.into())] };
    let mut bodies = vec![
        (visitor(), Audience::Staff, Body::Started { page: None }),
        (visitor(), Audience::All, text("is it there?".into())),
        (Author::System, Audience::Staff, Body::Queued { number: 1, reason: QueuedReason::New, prefer: None }),
    ];
    bodies.extend((0..words).map(|word| (Author::Agent(agent.clone()), Audience::All, text(format!("word {word}")))));
    if resolved {
        bodies.push((Author::Agent(agent), Audience::All, Body::Resolved));
    }
    let mut prev_all = 0;
    let mut events = Vec::new();
    for (index, (author, audience, body)) in bodies.into_iter().enumerate() {
        let seq = index as Seq + 1;
        let at = Millis(1_763_838_000_000 + begun * 1_000 + index as i64);
        let (channel, external_id, command) = (Channel::Chat, None, None);
        events.push(Arc::new(Event {
            seq,
            prev_all,
            epoch,
            at,
            author,
            audience,
            channel,
            external_id,
            command,
            body,
        }));
        if audience == Audience::All {
            prev_all = seq;
        }
    }
    events
}

async fn append(store: &Embedded, key: ConversationKey, events: Vec<Arc<Event>>, mark_dirty: bool) {
    let (done, outcome) = oneshot::channel();
    store.append(Append { key, events, mark_dirty }, Box::new(move |result| drop(done.send(result))));
    outcome.await.unwrap().unwrap();
}

fn fold(key: ConversationKey, events: &[Arc<Event>]) -> ConversationState {
    let mut state = None;
    events.iter().for_each(|event| ConversationState::fold(&mut state, key, event));
    state.unwrap()
}

async fn project(store: &Embedded, key: ConversationKey, events: &[Arc<Event>], clear_dirty: bool) {
    let state = fold(key, events);
    let reads = vec![(Reader::Agent(MemberId(9)), 2), (Reader::Visitor(VISITOR), 1)];
    store.project(Projection { row: state.row(2, 1), state, reads, clear_dirty }).await.unwrap();
}

/// Six conversations of one visitor, four open and two resolved, each of five or six events.
async fn filled(scratch: &Scratch) -> Embedded {
    let store = scratch.open();
    for number in 1..=6u32 {
        let events = log(store.epoch(), i64::from(number), 2, number > 4);
        append(&store, key(number.into()), events.clone(), true).await;
        project(&store, key(number.into()), &events, true).await;
    }
    store
}

async fn look(store: &Embedded) -> (Verdict, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut tell = |news: News<'_>| {
        if let News::Found(finding) = news {
            findings.push(finding.clone());
        }
    };
    let verdict = verify(store, &mut tell).await.unwrap();
    assert_eq!(verdict.findings, findings.len() as u64);
    (verdict, findings)
}

fn row(tables: &Tables, conversation: u128) -> Row {
    crate::codec::decode_row(&tables.workspaces.get(keys::row(key(conversation))).unwrap().unwrap()).unwrap()
}

fn state(tables: &Tables, conversation: u128) -> ConversationState {
    crate::codec::decode_state(&tables.workspaces.get(keys::state(key(conversation))).unwrap().unwrap()).unwrap()
}

fn put(tables: &Tables, key: Vec<u8>, value: Vec<u8>) {
    tables.workspaces.insert(key, value).unwrap();
}

fn put_row(tables: &Tables, row: &Row) {
    put(tables, keys::row(row.key), encode_row(row));
}

fn event_key(tables: &Tables, conversation: u128, seq: Seq) -> Vec<u8> {
    keys::event(key(conversation), seq, state(tables, conversation).epoch)
}

/// One kind of damage.
struct Damage {
    name: &'static str,
    spoil: fn(&Tables),
    /// What is said of it; `{1}` is the id of conversation 1.
    said: &'static str,
    mended: bool,
}

const DAMAGES: &[Damage] = &[
    Damage {
        name: "a row with another holder's words",
        spoil: |tables| put_row(tables, &Row { preview: "words of nobody".into(), ..row(tables, 1) }),
        said: "conversation {1} of workspace {w}: its row differs from its log in `preview`",
        mended: true,
    },
    Damage {
        name: "a row of another status",
        spoil: |tables| put_row(tables, &Row { status: Status::Assigned, ..row(tables, 1) }),
        said: "conversation {1} of workspace {w}: its row differs from its log in `status`",
        mended: true,
    },
    Damage {
        name: "a row that cannot be read",
        spoil: |tables| put(tables, keys::row(key(1)), vec![1, 2, 3]),
        said: "conversation {1} of workspace {w}: its row cannot be read",
        mended: true,
    },
    Damage {
        name: "a row that is missing",
        spoil: |tables| tables.workspaces.remove(keys::row(key(1))).unwrap(),
        said: "conversation {1} of workspace {w}: it has no row",
        mended: true,
    },
    Damage {
        name: "a row beyond its log",
        spoil: |tables| put_row(tables, &Row { seq: 70, ..row(tables, 1) }),
        said: "conversation {1} of workspace {w}: its row is at seq 70, beyond the end of its log at 5",
        mended: true,
    },
    Damage {
        name: "a row that says more was read than was",
        spoil: |tables| put_row(tables, &Row { staff_read: 4, ..row(tables, 1) }),
        said: "conversation {1} of workspace {w}: its row says that staff has read to seq 4, the marks say 2",
        mended: true,
    },
    Damage {
        name: "a snapshot with other content",
        spoil: |tables| {
            let other = ConversationState { queue_number: 77, ..state(tables, 1) };
            put(tables, keys::state(key(1)), encode_state(&other));
        },
        said: "conversation {1} of workspace {w}: its snapshot differs from its log in `queue_number`",
        mended: true,
    },
    Damage {
        name: "a snapshot that cannot be read",
        spoil: |tables| put(tables, keys::state(key(1)), vec![9]),
        said: "conversation {1} of workspace {w}: it cannot be loaded",
        mended: true,
    },
    Damage {
        name: "an entry missing in the list of open ones",
        spoil: |tables| tables.workspaces.remove(keys::indexes(&row(tables, 1))[0].as_slice()).unwrap(),
        said: "conversation {1} of workspace {w}: it is missing in the list of open conversations",
        mended: true,
    },
    Damage {
        name: "an entry missing in the list of resolved ones",
        spoil: |tables| tables.workspaces.remove(keys::indexes(&row(tables, 6))[0].as_slice()).unwrap(),
        said: "conversation {6} of workspace {w}: it is missing in the list of resolved conversations",
        mended: true,
    },
    Damage {
        name: "an entry missing in its visitor's list",
        spoil: |tables| tables.workspaces.remove(keys::indexes(&row(tables, 3))[1].as_slice()).unwrap(),
        said: "conversation {3} of workspace {w}: it is missing in the list of its visitor's conversations",
        mended: true,
    },
    Damage {
        name: "a resolved one in the list of open ones",
        spoil: |tables| {
            let open = Row { status: Status::Queued, ..row(tables, 6) };
            put(tables, keys::indexes(&open)[0].clone(), Vec::new());
        },
        said: "workspace {w}: the list of open conversations holds {6}, which does not belong there",
        mended: true,
    },
    Damage {
        name: "an entry of an older time in the list of resolved ones",
        spoil: |tables| {
            let older = Row { resolved_at: Some(Millis(5)), ..row(tables, 6) };
            put(tables, keys::indexes(&older)[0].clone(), Vec::new());
        },
        said: "workspace {w}: the list of resolved conversations holds {6} twice or out of its order",
        mended: true,
    },
    Damage {
        name: "an entry that names no row",
        spoil: |tables| {
            let nobody = Row { key: key(77), ..row(tables, 1) };
            put(tables, keys::indexes(&nobody)[0].clone(), Vec::new());
        },
        said: "workspace {w}: the list of open conversations cannot be read",
        mended: true,
    },
    Damage {
        name: "a row without a log",
        spoil: |tables| {
            let nobody = Row { key: key(77), ..row(tables, 1) };
            put_row(tables, &nobody);
            keys::indexes(&nobody).into_iter().for_each(|entry| put(tables, entry, Vec::new()));
        },
        said: "conversation {77} of workspace {w}: it has no log and stands in the list of open conversations",
        mended: true,
    },
    Damage {
        name: "a projection behind its log, and no mark",
        spoil: |tables| {
            let events = log(state(tables, 1).epoch, 1, 1, false);
            let state = fold(key(1), &events);
            put_row(tables, &state.row(2, 1));
            put(tables, keys::state(key(1)), encode_state(&state));
        },
        said: "conversation {1} of workspace {w}: its row is at seq 4, behind its log at 5, and no mark says so",
        mended: true,
    },
    Damage {
        name: "a read mark beyond the log",
        spoil: |tables| {
            put(tables, keys::read(key(1), Reader::Visitor(VISITOR)), crate::codec::encode_read(50));
        },
        said: "conversation {1} of workspace {w}: the visitor has read to seq 50, beyond the end of its log at 5",
        mended: true,
    },
    Damage {
        name: "a read mark that cannot be read",
        spoil: |tables| put(tables, keys::read(key(1), Reader::Visitor(VISITOR)), vec![7, 7]),
        said: "conversation {1} of workspace {w}: it cannot be loaded",
        mended: true,
    },
    Damage {
        name: "a hole in the log",
        spoil: |tables| tables.events.remove(event_key(tables, 1, 3)).unwrap(),
        said: "conversation {1} of workspace {w}: seq 4 lies above a hole: the log ends at 2",
        mended: false,
    },
    Damage {
        name: "an event that cannot be read",
        spoil: |tables| tables.events.insert(event_key(tables, 1, 3), [200, 1]).unwrap(),
        said: "conversation {1} of workspace {w}: seq 3 cannot be read",
        mended: false,
    },
    Damage {
        name: "an event under another one's key",
        spoil: |tables| {
            let other = &log(state(tables, 1).epoch, 1, 2, false)[3];
            tables.events.insert(event_key(tables, 1, 3), encode_event(other)).unwrap();
        },
        said: "conversation {1} of workspace {w}: seq 3 cannot be read",
        mended: false,
    },
    Damage {
        name: "an event that names another one before it",
        spoil: |tables| {
            let event = &log(state(tables, 1).epoch, 1, 2, false)[4];
            let event = Event { prev_all: 3, ..Event::clone(event) };
            tables.events.insert(event_key(tables, 1, 5), encode_event(&event)).unwrap();
        },
        said: "conversation {1} of workspace {w}: seq 5 says that 3 came before it for visitors, and 4 did",
        mended: false,
    },
];

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_is_named_and_what_the_log_can_mend_is_mended() {
    for Damage { name, spoil, said, mended } in DAMAGES {
        let scratch = Scratch::new();
        let store = filled(&scratch).await;
        store.store.with(|opened| spoil(&opened.tables)).unwrap();
        let mut said = said.replace("{w}", &WORKSPACE.to_string());
        for number in [1, 3, 6, 77] {
            said = said.replace(&format!("{{{number}}}"), &ConversationId(number).to_string());
        }
        let (_, findings) = look(&store).await;
        let told: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(told.iter().any(|it| it.starts_with(&said)), "{name}: {told:#?}\nshould say {said}");
        assert!(!told.iter().any(|it| it.contains("words of nobody")), "{name}: {told:#?}");
        let mut left = Vec::new();
        let mut tell = |news: News<'_>| {
            if let News::Found(finding) = news {
                left.push(finding.clone());
            }
        };
        let rebuilt = rebuild(&store, &mut tell).await.unwrap();
        let (_, findings) = look(&store).await;
        if *mended {
            assert_eq!((rebuilt.conversations, rebuilt.left), (6, 0), "{name}: {left:#?}");
            assert_eq!(findings, [], "{name}");
            let open = store.rows(RowList::Open(WORKSPACE), None, 100).await.unwrap().rows;
            let resolved = store.rows(RowList::Resolved(WORKSPACE), None, 100).await.unwrap().rows;
            assert_eq!((open.len(), resolved.len()), (4, 2), "{name}");
        } else {
            assert_eq!((rebuilt.conversations, rebuilt.left), (5, 1), "{name}");
            assert_eq!(left[0].conversation, Some(ConversationId(1)), "{name}");
            assert!(findings.iter().all(|it| it.conversation == Some(ConversationId(1))), "{name}: {findings:#?}");
        }
        // What was rebuilt outlives the process.
        store.close().await.unwrap();
        assert_eq!(look(&scratch.open()).await.1, findings, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undamaged_store_verifies_and_one_that_is_behind_and_says_so_does_too() {
    let scratch = Scratch::new();
    let store = filled(&scratch).await;
    let clean = Verdict { conversations: 6, events: 32, leftovers: 0, behind: 0, findings: 0 };
    assert_eq!(look(&store).await, (clean, Vec::new()));
    // Live when the process died: never projected; projected in the middle of it.
    append(&store, key(7), log(store.epoch(), 7, 400, false), true).await;
    let events = log(store.epoch(), 8, 6, true);
    append(&store, key(8), events.clone(), true).await;
    project(&store, key(8), &events[..4], false).await;
    let behind = Verdict { conversations: 8, events: 32 + 403 + 10, behind: 2, ..clean };
    assert_eq!(look(&store).await, (behind, Vec::new()));
    let rebuilt = rebuild(&store, &mut |_| {}).await.unwrap();
    // The entry among the open ones that the last projection of the eighth made.
    assert_eq!((rebuilt.conversations, rebuilt.left, rebuilt.pruned), (8, 0, 1));
    assert_eq!(look(&store).await, (Verdict { behind: 0, ..behind }, Vec::new()));
    assert_eq!(store.dirty().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dead_owner_are_counted_and_no_damage() {
    let scratch = Scratch::new();
    let store = filled(&scratch).await;
    let events = log(store.epoch(), 1, 4, false);
    store
        .store
        .with(|opened| {
            // Of an epoch before everything: left half written, then passed over.
            let stale = Event { epoch: Epoch(0), ..Event::clone(&events[4]) };
            let key = keys::event(key(1), 5, Epoch(0));
            opened.tables.events.insert(key, encode_event(&stale)).unwrap();
        })
        .unwrap();
    let (verdict, findings) = look(&store).await;
    assert_eq!((verdict.leftovers, findings), (1, Vec::new()));
}

/// As many conversations as a page of the walk does not hold, of several visitors.
#[tokio::test(flavor = "multi_thread")]
async fn many_pages_are_gone_through_and_one_missing_entry_among_them_is_found() {
    let scratch = Scratch::new();
    let store = scratch.open();
    for number in 1..=1_300u32 {
        let key = key(u128::from(number) << 77);
        let mut events = log(store.epoch(), i64::from(number), 0, number % 3 == 0);
        for event in &mut events {
            if let Author::Visitor { id, .. } = &mut Arc::make_mut(event).author {
                *id = VisitorId(u128::from(number % 7));
            }
        }
        append(&store, key, events.clone(), false).await;
        let state = fold(key, &events);
        let projection = Projection { row: state.row(0, 0), state, reads: Vec::new(), clear_dirty: true };
        store.project(projection).await.unwrap();
    }
    let (verdict, findings) = look(&store).await;
    assert_eq!((verdict.conversations, findings), (1_300, Vec::new()));
    let lost = key(801 << 77);
    store
        .store
        .with(|opened| {
            let row = opened.tables.workspaces.get(keys::row(lost)).unwrap().unwrap();
            for entry in keys::indexes(&crate::codec::decode_row(&row).unwrap()) {
                opened.tables.workspaces.remove(entry).unwrap();
            }
        })
        .unwrap();
    let (_, findings) = look(&store).await;
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().all(|it| it.conversation == Some(lost.conversation)), "{findings:#?}");
}
