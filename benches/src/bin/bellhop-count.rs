//! The hot path counted in instructions: does each thing [`TIMES`] times inside of [`bellhop_counted`], which callgrind
//! counts and dumps after (`cargo xtask count`). A count does not depend on what else the machine does, as a time does.
//!
//! Prints a name and how often it was done, one line each, in the order of the dumps. Without callgrind it merely runs.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bellhop_benches::hall::{Line, arrived, open};
use bellhop_benches::{Talk, WORDS, WORKSPACE, event_frame, follow, message, send, start, visitor};
use bellhop_engine::domain::{Audience, CommandId, ConversationId, ConversationKey, decide};
use bellhop_engine::exchange::Answer;
use bellhop_engine::ports::{Answers, Append, Appended, Store};
use bellhop_protocol::{Ack, ClientFrame, Id, Send, ServerFrame, decode_client};
use bellhop_storage::{Embedded, EmbeddedOptions};

/// How often each thing is done: enough for what happens now and then (a table that grows) to weigh little.
const TIMES: usize = 100;

/// Sessions that one event goes to.
const SESSIONS: [usize; 3] = [1, 10, 100];

/// All that is counted runs below this function; callgrind knows it by its name.
#[inline(never)]
fn bellhop_counted(work: &mut dyn FnMut()) {
    work();
    // So that the call above is no tail call, which would leave this function before it.
    black_box(&work);
}

fn count(name: &str, mut work: impl FnMut()) {
    // The first time makes what is made once.
    work();
    bellhop_counted(&mut || (0..TIMES).for_each(|_| work()));
    println!("{name} {TIMES}");
}

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: bellhop-count EMPTY-DIRECTORY");
        return ExitCode::from(2);
    };
    transition();
    frames();
    fan_out();
    append(&folder);
    ExitCode::SUCCESS
}

fn transition() {
    let talk = Talk::new();
    let new = send(&talk.visitor, 1_000);
    count("transition/decide_message", || {
        drop(black_box(decide(black_box(Some(&talk.state)), black_box(&new), black_box(&talk.context))));
    });
    let repeated = send(&talk.visitor, 39);
    count("transition/decide_repeated_message", || {
        drop(black_box(decide(black_box(Some(&talk.state)), black_box(&repeated), black_box(&talk.context))));
    });
    let first = start(&talk.visitor, 1);
    count("transition/decide_start", || {
        drop(black_box(decide(black_box(None), black_box(&first), black_box(&talk.context))));
    });
    // Each on a state of its own: making them is not counted.
    let mut states: Vec<_> = (0..=TIMES).map(|_| Some(talk.state.clone())).collect();
    let mut next = 0;
    count("transition/decide_and_apply_message", || {
        follow(&mut states[next], black_box(&new), &talk.context);
        next += 1;
    });
}

fn frames() {
    let send = ClientFrame::Send(Send {
        id: Id(u128::MAX / 3),
        conversation: Id(u128::MAX / 5),
        seen: 41,
        text: WORDS.to_owned(),
    });
    let text = serde_json::to_string(&send).expect("frames are plain data");
    count("frames/decode_send", || drop(black_box(decode_client(black_box(&text)))));
    let event = event_frame();
    count("frames/encode_event", || drop(black_box(serde_json::to_string(black_box(&event)))));
    let ack = ServerFrame::Ack(Ack {
        id: Id(u128::MAX / 3),
        conversation: Some(Id(u128::MAX / 5)),
        seq: Some(42),
        prev: Some(41),
        at: Some(1_700_000_000_000),
        again: false,
    });
    count("frames/encode_ack", || drop(black_box(serde_json::to_string(black_box(&ack)))));
}

/// On a runtime of one thread: every session's task waits when the event comes, so that each delivery does the same.
fn fan_out() {
    let most = SESSIONS[SESSIONS.len() - 1];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let (got, receipts) = sync_channel(most);
        let line = Line::default();
        let hub = open(&line, most, &got, &receipts).await;
        let sessions = line.sessions();
        let talk = Talk::new();
        let conversation = talk.context.key.conversation;
        let answer = Answer::Event { conversation, audience: Audience::All, event: Arc::new(talk.event()) };
        for count in SESSIONS {
            let to = &sessions[..count];
            hub.deliver(to, &answer);
            arrived(&receipts, count).await;
            // Once alone: a second one would find the tasks awake.
            bellhop_counted(&mut || hub.deliver(to, &answer));
            arrived(&receipts, count).await;
            println!("fan_out/deliver/{count} 1");
        }
    });
}

/// What the caller of an append does: keys and rows are encoded there, and handed to the commit thread. That thread is
/// not counted: what it gathers into a batch depends on how the threads take turns.
fn append(folder: &str) {
    let author = visitor(1);
    let store = Embedded::open(folder, EmbeddedOptions::new()).expect("a new store opens");
    let key = ConversationKey { workspace: WORKSPACE, conversation: ConversationId(1) };
    let (done, finished) = sync_channel(TIMES + 1);
    // Made ready beforehand, so that the rows are counted and the events are not.
    let mut appends: Vec<_> = (1..=TIMES as u64 + 1)
        .rev()
        .map(|seq| {
            let done = done.clone();
            let events = vec![Arc::new(message(&author, seq, CommandId(u128::from(seq))))];
            let done: Appended = Box::new(move |outcome| drop(done.send(outcome)));
            (Append { key, events, mark_dirty: false }, done)
        })
        .collect();
    count("append/hand_over", || {
        let (append, done) = appends.pop().expect("one for each time");
        store.append(append, done);
    });
    for _ in 0..=TIMES {
        finished.recv().expect("every append is answered").expect("the disk takes it");
    }
}
