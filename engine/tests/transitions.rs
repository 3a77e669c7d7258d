//! The conversation's state machine, whole: every (state, command) pair and what comes of it, in
//! `transitions.snapshot`. `BELLHOP_BLESS=1 cargo test -p bellhop-engine` writes it anew; read the difference.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write;
use std::sync::Arc;

use bellhop_engine::domain::*;

const KEY: ConversationKey = ConversationKey { workspace: WorkspaceId(1), conversation: ConversationId(2) };
const DAY: i64 = 24 * 3600 * 1000;

fn visitor(id: u128) -> Author {
    Author::Visitor { id: VisitorId(id), name: "Amber Falcon 27".into() }
}

fn member(id: u128, name: &str) -> MemberName {
    MemberName { id: MemberId(id), name: name.into() }
}

fn maya() -> MemberName {
    member(10, "Maya")
}

fn jonas() -> MemberName {
    member(11, "Jonas")
}

fn text(text: &str) -> Arc<str> {
    text.into()
}

fn issued(author: Author, id: u128, command: Command) -> Issued {
    let id = (!matches!(author, Author::System)).then_some(CommandId(id));
    Issued { author, id, command }
}

fn context(now: i64) -> Context {
    Context { key: KEY, now: Millis(now), epoch: Epoch(7), next_number: 100 }
}

/// Folds the outcome of a good command.
fn then(state: Option<ConversationState>, issued: &Issued, now: i64) -> Option<ConversationState> {
    let Decision::Events { events, .. } = decide(state.as_ref(), issued, &context(now)).unwrap() else {
        panic!("the script repeats no command")
    };
    let mut state = state;
    for event in &events {
        match &mut state {
            Some(state) => state.apply(event),
            None => state = Some(ConversationState::begin(KEY, event)),
        }
    }
    state
}

/// Each state that a conversation can be in, by a script that leads there.
fn states() -> Vec<(&'static str, Option<ConversationState>)> {
    let start =
        issued(visitor(3), 1, Command::Start { text: text("Hello"), page: Some(text("https://shop.example/")) });
    let queued = then(None, &start, 1_000);
    let route = issued(Author::System, 0, Command::Route { to: maya(), number: 100 });
    let assigned = then(queued.clone(), &route, 2_000);
    let reply = issued(Author::Agent(maya()), 2, Command::Send { text: text("Hi") });
    let answered = then(assigned.clone(), &reply, 3_000);
    let resolve = issued(Author::Agent(maya()), 3, Command::Resolve);
    let resolved = then(answered.clone(), &resolve, 4_000);
    vec![
        ("none", None),
        ("queued", queued),
        ("assigned to Maya, unanswered", assigned),
        ("assigned to Maya, answered", answered),
        ("resolved", resolved),
    ]
}

fn commands() -> Vec<(&'static str, i64, Issued)> {
    let agent = |member: MemberName, command| issued(Author::Agent(member), 99, command);
    let system = |command| issued(Author::System, 0, command);
    let send = || Command::Send { text: text("Words") };
    vec![
        ("visitor starts", 0, issued(visitor(3), 99, Command::Start { text: text("Words"), page: None })),
        (
            "visitor starts, repeated",
            0,
            issued(visitor(3), 1, Command::Start { text: text("Hello"), page: Some(text("https://shop.example/")) }),
        ),
        ("visitor starts, id reused", 0, issued(visitor(3), 1, Command::Start { text: text("Other"), page: None })),
        ("visitor writes", 0, issued(visitor(3), 99, send())),
        ("visitor writes within 7 days", 7 * DAY - 4_000, issued(visitor(3), 99, send())),
        ("visitor writes after 7 days", 7 * DAY + 5_000, issued(visitor(3), 99, send())),
        ("visitor writes nothing", 0, issued(visitor(3), 99, Command::Send { text: text(" \n") })),
        ("another visitor writes", 0, issued(visitor(4), 99, send())),
        ("visitor notes", 0, issued(visitor(3), 99, Command::Note { text: text("Words") })),
        ("visitor resolves", 0, issued(visitor(3), 99, Command::Resolve)),
        ("Maya replies", 0, agent(maya(), send())),
        ("Maya's first reply, repeated", 0, issued(Author::Agent(maya()), 2, Command::Send { text: text("Hi") })),
        ("Maya's first reply, id reused", 0, issued(Author::Agent(maya()), 2, Command::Send { text: text("Ho") })),
        ("Jonas replies", 0, agent(jonas(), send())),
        ("Maya notes", 0, agent(maya(), Command::Note { text: text("Words") })),
        ("Maya takes", 0, agent(maya(), Command::Assign { to: maya() })),
        ("Maya gives to Jonas", 0, agent(maya(), Command::Assign { to: jonas() })),
        ("Maya puts back", 0, agent(maya(), Command::Return)),
        ("Maya resolves", 0, agent(maya(), Command::Resolve)),
        ("Maya reopens", 0, agent(maya(), Command::Reopen)),
        ("queue routes to Jonas", 0, system(Command::Route { to: jonas(), number: 100 })),
        ("queue routes a place that is gone", 0, system(Command::Route { to: jonas(), number: 99 })),
        ("Maya is offline too long", 0, system(Command::Release { from: MemberId(10), removed: false })),
        ("Maya is removed", 0, system(Command::Release { from: MemberId(10), removed: true })),
        ("Jonas is removed", 0, system(Command::Release { from: MemberId(11), removed: true })),
        ("visitor routes", 0, issued(visitor(3), 99, Command::Route { to: maya(), number: 100 })),
    ]
}

fn describe(event: &Event) -> String {
    let body = match &event.body {
        Body::Started { page } => format!("started on {}", page.as_deref().unwrap_or("nothing")),
        Body::Message { parts } => format!("message {parts:?}"),
        Body::Note { parts } => format!("note {parts:?}"),
        Body::Queued { number, reason, prefer } => format!("queued at {number}, {reason:?}, prefers {prefer:?}"),
        Body::Assigned { to, reason } => format!("assigned to {}, {reason:?}", to.name),
        Body::Resolved => "resolved".into(),
        Body::Reopened => "reopened".into(),
    };
    let by = match &event.author {
        Author::Visitor { .. } => "visitor",
        Author::Agent(member) => &member.name,
        Author::System => "system",
    };
    let own = if event.command.is_some() { " *" } else { "" };
    format!("{}<{} {:?} by {by}: {body}{own}", event.seq, event.prev_all, event.audience)
}

fn table() -> String {
    let mut out = String::from("seq<prev for visitors, audience, author: what; * is the command's own event\n");
    for (name, state) in states() {
        writeln!(out, "\n# {name}").unwrap();
        for (what, later, issued) in commands() {
            writeln!(out, "{what}").unwrap();
            match decide(state.as_ref(), &issued, &context(5_000 + later)) {
                Ok(Decision::Events { events, .. }) => {
                    for event in &events {
                        writeln!(out, "    {}", describe(event)).unwrap();
                    }
                    let mut after = state.clone();
                    for event in &events {
                        match &mut after {
                            Some(after) => after.apply(event),
                            None => after = Some(ConversationState::begin(KEY, event)),
                        }
                    }
                    let after = after.unwrap();
                    let holder = after.assignee.as_ref().map_or("nobody", |it| &it.name);
                    let (status, answered, waits) = (after.status, after.answered, after.waiting_since.is_some());
                    writeln!(out, "    => {status:?}, holder {holder}, answered {answered}, visitor waits {waits}")
                        .unwrap();
                }
                Ok(Decision::Again(before)) => writeln!(out, "    again: seq {}", before.seq).unwrap(),
                Err(refusal) => writeln!(out, "    refused: {refusal:?}").unwrap(),
            }
        }
    }
    out
}

#[test]
fn every_state_and_command_leads_where_the_snapshot_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/transitions.snapshot");
    let table = table();
    if std::env::var_os("BELLHOP_BLESS").is_some() {
        std::fs::write(path, &table).unwrap();
    }
    let have = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        have == table,
        "the state machine changed: BELLHOP_BLESS=1 cargo test -p bellhop-engine, and read the diff"
    );
}

#[test]
fn folding_events_one_by_one_or_from_a_snapshot_gives_the_same_state() {
    for (name, state) in states() {
        let Some(state) = state else { continue };
        let reply = issued(Author::Agent(jonas()), 50, Command::Send { text: text("More") });
        let Decision::Events { events, .. } = decide(Some(&state), &reply, &context(9_000)).unwrap() else {
            panic!("a new command")
        };
        let (mut one, mut other) = (state.clone(), state.clone());
        for event in &events {
            one.apply(event);
            let copy = other.clone();
            other = copy;
            other.apply(event);
        }
        assert_eq!(one, other, "{name}");
        assert_eq!(one.seq, state.seq + events.len() as u64);
    }
}

#[test]
fn the_time_of_events_never_falls() {
    let start = issued(visitor(3), 1, Command::Start { text: text("Hello"), page: None });
    let state = then(None, &start, 10_000);
    let send = issued(visitor(3), 2, Command::Send { text: text("Later") });
    let state = then(state, &send, 4_000).unwrap();
    assert_eq!(state.last_event_at, Millis(10_000), "the machine's clock was set back");
}

#[test]
fn a_conversations_id_follows_from_secret_workspace_visitor_and_command() {
    let id = |secret: u8, w, v, c| conversation_id(&[secret; 32], WorkspaceId(w), VisitorId(v), CommandId(c));
    let base = id(1, 1, 1, 1);
    assert_eq!(base, id(1, 1, 1, 1));
    for other in [id(2, 1, 1, 1), id(1, 2, 1, 1), id(1, 1, 2, 1), id(1, 1, 1, 2)] {
        assert_ne!(base, other);
    }
}

#[test]
fn commands_are_remembered_as_far_as_they_say() {
    let start = issued(visitor(3), 1, Command::Start { text: text("Hello"), page: None });
    let mut state = then(None, &start, 0);
    for id in 2..=100 {
        state = then(state, &issued(visitor(3), id, Command::Send { text: text("x") }), 0);
    }
    let state = state.unwrap();
    let sender = Sender::Visitor(VisitorId(3));
    assert!(state.remembered(sender, CommandId(1)).is_some(), "the start, for ever");
    assert!(state.remembered(sender, CommandId(2)).is_none(), "forgotten: the log is searched");
    for remembered in &state.recent {
        assert!(remembered.seq > state.recent_floor);
    }
    assert_eq!(state.recent.len(), RECENT_COMMANDS);
    assert!(state.remembered(Sender::Agent(MemberId(3)), CommandId(100)).is_none(), "ids are a sender's own");
}
