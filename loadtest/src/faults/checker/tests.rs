//! The checker can fail: one small set of records that is as it should be, and a breach of each kind put into it.

use bellhop_protocol::{
    Ack, As, AssignedReason, Audience, Author, AuthorKind, Body, Bye, ClientFrame, Close, CloseCode, Conversation,
    Counts, Event, Face, Id, List, ListChanges, ListReset, NewEvent, Note, Open, Opened, Part, QueuedReason, Read,
    ReadMark, ReadUpdate, RefusalCode, Refused, Reset, Resolve, Row, Send, Seq, ServerFrame, Start, Status, View,
    Welcome,
};

use super::{Promise, check};
use crate::faults::record::{
    Entry::{self, Heard, Lost, Said},
    Evidence, Last, Record,
};

const TALK: Id = Id(9);
const VISITOR: Id = Id(1);
const AGENT: Id = Id(2);
const FEED: Id = Id(5);

fn face(id: Id) -> Face {
    Face { id, name: "N".into() }
}

fn author(kind: AuthorKind, id: Option<Id>) -> Author {
    Author { kind, id, name: id.map(|_| "N".into()) }
}

fn words(text: &str) -> Vec<Part> {
    vec![Part::Text { text: text.into() }]
}

/// As staff see it.
fn log() -> Vec<Event> {
    let visitor = || author(AuthorKind::Visitor, Some(VISITOR));
    let agent = || author(AuthorKind::Agent, Some(AGENT));
    let system = || author(AuthorKind::System, None);
    let (all, staff) = (Audience::All, Audience::Staff);
    let routed = Body::Assigned { to: face(AGENT), reason: AssignedReason::Routed };
    [
        (visitor(), staff, None, Body::Started { page: None }),
        (visitor(), all, Some(Id(11)), Body::Message { parts: words("hello") }),
        (system(), all, None, Body::Queued { reason: QueuedReason::New }),
        (system(), all, None, routed),
        (agent(), all, Some(Id(21)), Body::Message { parts: words("hi") }),
        (agent(), staff, Some(Id(22)), Body::Note { parts: words("nice") }),
        (visitor(), all, Some(Id(12)), Body::Message { parts: words("thanks") }),
        (agent(), all, Some(Id(23)), Body::Resolved {}),
    ]
    .into_iter()
    .zip(1..)
    .map(|((author, audience, cmd, body), seq)| Event {
        seq,
        prev: seq - 1,
        at: 10 + seq as i64,
        author,
        audience,
        cmd,
        body,
    })
    .collect()
}

/// An event as a reader sees it.
fn event(seq: Seq, prev: Seq) -> Event {
    Event { prev, ..log()[seq as usize - 1].clone() }
}

fn live(seq: Seq, prev: Seq) -> Entry {
    Heard(ServerFrame::Event(NewEvent { conversation: TALK, event: event(seq, prev) }))
}

fn welcome(who: As, me: Id) -> Entry {
    Heard(ServerFrame::Welcome(Welcome {
        who,
        me: face(me),
        workspace: face(Id(7)),
        now: 0,
        heartbeat_ms: 1,
        max_text_bytes: 1,
        token: None,
        team: None,
        available: None,
    }))
}

fn conversation(head: Seq) -> Conversation {
    Conversation {
        id: TALK,
        status: Status::Resolved,
        assignee: Some(face(AGENT)),
        visitor: face(VISITOR),
        created_at: 11,
        page: None,
        head,
        first_seq: 1,
        reads: vec![],
        visitor_online: None,
        position: None,
    }
}

fn opened(reset: Option<Reset>, events: Vec<Event>, head: Seq) -> Entry {
    let conversation = conversation(head);
    Heard(ServerFrame::Opened(Opened { conversation, reset, events, older: false, more: false }))
}

fn ack(id: u128, seq: Seq, prev: Seq, again: bool) -> Entry {
    Heard(ServerFrame::Ack(Ack {
        id: Id(id),
        conversation: Some(TALK),
        seq: Some(seq),
        prev: Some(prev),
        at: Some(10 + seq as i64),
        again,
    }))
}

fn open(after: Option<Seq>) -> Entry {
    Said(ClientFrame::Open(Open { conversation: TALK, after }))
}

fn close() -> Entry {
    Said(ClientFrame::Close(Close { conversation: TALK }))
}

fn send(id: u128, seen: Seq, text: &str) -> Entry {
    Said(ClientFrame::Send(Send { id: Id(id), conversation: TALK, seen, text: text.into() }))
}

fn resolve(id: u128) -> Entry {
    Said(ClientFrame::Resolve(Resolve { id: Id(id), conversation: TALK, seen: 7 }))
}

fn refused(id: u128, code: RefusalCode) -> Entry {
    let conversation = Some(TALK);
    let (message, field, retry_after_ms) = (String::new(), None, None);
    Heard(ServerFrame::Refused(Refused { id: Some(Id(id)), conversation, code, message, field, retry_after_ms }))
}

fn row(status: Status, seq: Seq) -> Row {
    Row {
        id: TALK,
        visitor: face(VISITOR),
        status,
        assignee: Some(face(AGENT)),
        preview: "thanks".into(),
        last_author: AuthorKind::Visitor,
        last_at: 17,
        waiting_since: None,
        answered: true,
        seq,
        read: 0,
        last_visitor_seq: 7,
        channel: "chat".into(),
        queue_number: None,
        resolved_at: Some(18),
        created_at: 11,
    }
}

/// The visitor starts, is answered, loses the connection with a message unanswered, comes back and repeats it.
fn visitor() -> Record {
    let start = ClientFrame::Start(Start { id: Id(11), text: "hello".into(), page: None });
    let entries = vec![
        welcome(As::Visitor, VISITOR),
        Said(start),
        opened(Some(Reset::First), vec![event(2, 0), event(3, 2)], 3),
        ack(11, 2, 0, false),
        live(4, 3),
        live(5, 4),
        Said(ClientFrame::Read(Read { conversation: TALK, seq: 5 })),
        send(12, 5, "thanks"),
        Lost,
        welcome(As::Visitor, VISITOR),
        open(Some(5)),
        send(12, 5, "thanks"),
        opened(None, vec![event(7, 5)], 7),
        ack(12, 7, 5, true),
        live(8, 7),
    ];
    Record { name: "visitor".into(), who: As::Visitor, me: Some(VISITOR), stayed: true, entries }
}

fn agent() -> Record {
    let note = ClientFrame::Note(Note { id: Id(22), conversation: TALK, seen: 5, text: "nice".into() });
    let mark = ReadMark { kind: AuthorKind::Visitor, id: VISITOR, seq: 5 };
    let list = ListReset {
        view: View::Open,
        feed: FEED,
        at: 1,
        rows: vec![row(Status::Assigned, 4)],
        next: None,
        counts: Counts::default(),
    };
    let entries = vec![
        welcome(As::Agent, AGENT),
        Said(ClientFrame::List(List { view: View::Open, feed: None, at: None })),
        Heard(ServerFrame::List(list)),
        open(None),
        opened(Some(Reset::First), (1..=4).map(|seq| event(seq, seq - 1)).collect(), 4),
        send(21, 4, "hi"),
        ack(21, 5, 4, false),
        Said(note),
        ack(22, 6, 5, false),
        Heard(ServerFrame::Read(ReadUpdate { conversation: TALK, mark })),
        live(7, 6),
        resolve(23),
        resolve(24),
        ack(23, 8, 7, false),
        refused(24, RefusalCode::NotNow),
        changes(1, 2),
    ];
    Record { name: "agent".into(), who: As::Agent, me: Some(AGENT), stayed: true, entries }
}

fn changes(from: u64, at: u64) -> Entry {
    let (upserts, removed, counts) = (vec![], vec![TALK], Counts::default());
    Heard(ServerFrame::Changes(ListChanges { view: View::Open, feed: FEED, from, at, upserts, removed, counts }))
}

fn good() -> Evidence {
    let last = Last {
        logs: [(TALK, log())].into(),
        conversations: [(TALK, conversation(8))].into(),
        open: vec![],
        unassigned: vec![],
        resolved: vec![row(Status::Resolved, 8)],
        unreadable: [].into(),
    };
    Evidence { records: vec![visitor(), agent()], last }
}

impl Evidence {
    fn visitor(&mut self) -> &mut Vec<Entry> {
        &mut self.records[0].entries
    }

    fn agent(&mut self) -> &mut Vec<Entry> {
        &mut self.records[1].entries
    }

    fn log(&mut self) -> &mut Vec<Event> {
        self.last.logs.get_mut(&TALK).unwrap()
    }

    /// The log without its last events, and nobody heard of them but by the acknowledgement.
    fn cut(&mut self) {
        self.log().truncate(7);
        self.visitor().pop();
        self.records[1].stayed = false;
        self.last = Last { logs: self.last.logs.clone(), ..Last::default() };
        let state = Conversation { status: Status::Assigned, ..conversation(7) };
        self.last.conversations.insert(TALK, state);
        let assigned = Row { waiting_since: Some(17), resolved_at: None, ..row(Status::Assigned, 7) };
        self.last.open = vec![assigned];
    }
}

#[test]
fn a_run_that_is_as_it_should_be_has_no_findings() {
    let verdict = check(&good());
    assert_eq!(verdict.findings, []);
    let looked = verdict.looked;
    assert_eq!((looked.conversations, looked.events, looked.acknowledged), (1, 8, 5));
    assert_eq!((looked.refusals, looked.connections, looked.resumes, looked.caught_up), (1, 3, 1, 1));
}

/// A name, what goes wrong, and the promise that it breaks.
type Breach = (&'static str, fn(&mut Evidence), Promise);

const BREACHES: &[Breach] = &[
    ("an acknowledged command is not there", |it| it.cut(), Promise::G1),
    (
        "an acknowledged command is not there after a SIGTERM",
        |it| {
            it.cut();
            let (code, message) = (CloseCode::Draining, String::new());
            let bye = Bye { code, message, reconnect: true, retry_after_ms: Some(1) };
            it.agent().extend([Heard(ServerFrame::Bye(bye)), Lost]);
        },
        Promise::G8,
    ),
    (
        "a whole conversation is not there",
        |it| {
            it.last = Last::default();
        },
        Promise::G1,
    ),
    ("it stands there with other words", |it| it.log()[4].body = Body::Message { parts: words("ho") }, Promise::G1),
    ("it took another seq than was said", |it| it.agent()[6] = ack(21, 4, 3, false), Promise::G2),
    ("it took another prev than was said", |it| it.agent()[6] = ack(21, 5, 3, false), Promise::G2),
    (
        "a command took effect twice",
        |it| {
            let again = Event { seq: 9, prev: 8, at: 19, ..event(5, 4) };
            it.log().push(again);
        },
        Promise::G3,
    ),
    (
        "a start made two conversations",
        |it| {
            let copy = it.log()[..3].to_vec();
            it.last.logs.insert(Id(10), copy);
        },
        Promise::G3,
    ),
    ("nobody sent it", |it| it.visitor().retain(|entry| *entry != send(12, 5, "thanks")), Promise::G3),
    ("it has an author and no command", |it| it.log()[6].cmd = None, Promise::G3),
    (
        "a repeat was acknowledged otherwise",
        |it| it.agent().extend([send(21, 4, "hi"), ack(21, 6, 5, true)]),
        Promise::G3,
    ),
    (
        "an id that came before was acknowledged with another body",
        |it| it.agent().extend([send(21, 4, "other"), ack(21, 5, 4, true)]),
        Promise::G3,
    ),
    (
        "somebody is said to have read what they did not",
        |it| {
            let mark = ReadMark { kind: AuthorKind::Visitor, id: VISITOR, seq: 7 };
            it.agent().push(Heard(ServerFrame::Read(ReadUpdate { conversation: TALK, mark })));
        },
        Promise::G3,
    ),
    (
        "a refused command took effect",
        |it| {
            it.agent().extend([send(25, 8, "late"), refused(25, RefusalCode::Overloaded)]);
            let parts = words("late");
            let late =
                Event { seq: 9, prev: 8, at: 19, cmd: Some(Id(25)), body: Body::Message { parts }, ..event(5, 4) };
            it.log().push(late);
        },
        Promise::G11,
    ),
    ("a command was never answered", |it| it.agent().push(send(26, 8, "hello?")), Promise::G11),
    ("the log has a gap", |it| drop(it.log().remove(2)), Promise::G2),
    ("the log has a seq twice", |it| it.log().insert(4, event(4, 3)), Promise::G2),
    ("time falls", |it| it.log()[5].at = 3, Promise::G2),
    (
        "two readers were told different things",
        |it| {
            let other = Event { body: Body::Message { parts: words("bye") }, ..event(5, 4) };
            it.visitor()[5] = Heard(ServerFrame::Event(NewEvent { conversation: TALK, event: other }));
        },
        Promise::G2,
    ),
    (
        "a reader was told what is not there",
        |it| {
            let more = Event { seq: 9, prev: 8, ..event(5, 4) };
            it.visitor().push(Heard(ServerFrame::Event(NewEvent { conversation: TALK, event: more })));
        },
        Promise::G2,
    ),
    ("a reader was told another prev", |it| it.visitor()[14] = live(8, 6), Promise::G2),
    (
        "a connection's commands took effect in another order",
        |it| {
            it.agent()[6] = ack(22, 6, 5, false);
            it.agent()[5] =
                Said(ClientFrame::Note(Note { id: Id(22), conversation: TALK, seen: 5, text: "nice".into() }));
            it.agent()[7] = send(21, 4, "hi");
            it.agent()[8] = ack(21, 5, 4, false);
        },
        Promise::G2,
    ),
    (
        "the cursor that the server gave is ahead of the log",
        |it| {
            it.visitor()[12] = opened(
                Some(Reset::CursorAhead),
                (2..=5)
                    .chain([7])
                    .map(|seq| {
                        event(
                            seq,
                            if seq == 2 {
                                0
                            } else if seq == 7 {
                                5
                            } else {
                                seq - 1
                            },
                        )
                    })
                    .collect(),
                7,
            )
        },
        Promise::G2,
    ),
    ("who comes back misses the first event", |it| it.visitor()[12] = opened(None, vec![], 7), Promise::G4),
    (
        "who comes back misses one in between",
        |it| {
            it.visitor()[10] = open(Some(4));
            it.visitor()[12] = opened(None, vec![event(7, 5)], 7);
        },
        Promise::G4,
    ),
    ("a live event was dropped in between", |it| drop(it.visitor().remove(4)), Promise::G4),
    ("the last live event was dropped", |it| drop(it.visitor().pop()), Promise::G4),
    (
        "an answer misses an event, though the open was closed before it came",
        |it| it.visitor().extend([open(Some(5)), close(), opened(None, vec![event(8, 7)], 8)]),
        Promise::G4,
    ),
    ("an open was never answered", |it| it.visitor().push(open(Some(8))), Promise::G4),
    ("changes of a list were dropped", |it| *it.agent().last_mut().unwrap() = changes(2, 3), Promise::G4),
    ("the last change of a list was dropped", |it| drop(it.agent().pop()), Promise::G4),
    ("a visitor was told a note", |it| it.visitor().insert(6, live(6, 5)), Promise::G10),
    (
        "a visitor was told of another's conversation",
        |it| {
            it.records[0].me = Some(Id(3));
        },
        Promise::G10,
    ),
    ("words for staff have the audience of all", |it| it.log()[5].audience = Audience::All, Promise::G10),
    (
        "a conversation is told otherwise than its log",
        |it| {
            it.last.conversations.insert(TALK, Conversation { assignee: None, ..conversation(8) });
        },
        Promise::G2,
    ),
    ("a log cannot be read to its end", |it| drop(it.last.unreadable.insert(TALK, "why".into())), Promise::G1),
    ("a list lacks it", |it| it.last.resolved.clear(), Promise::G2),
    ("a list shows it twice", |it| it.last.resolved.push(row(Status::Resolved, 8)), Promise::G2),
    ("a list shows an older state", |it| it.last.resolved[0].seq = 7, Promise::G2),
    ("the wrong list shows it", |it| it.last.open.push(row(Status::Resolved, 8)), Promise::G2),
    ("what is resolved is resolved", |it| it.log()[3].body = Body::Resolved {}, Promise::G2),
    (
        "a conversation that is there is said not to be",
        |it| {
            it.agent().extend([send(27, 8, "x"), refused(27, RefusalCode::NotFound)]);
        },
        Promise::G1,
    ),
];

#[test]
fn each_breach_is_found_and_its_promise_named() {
    for (name, breach, promise) in BREACHES {
        let mut evidence = good();
        breach(&mut evidence);
        let verdict = check(&evidence);
        let told = || verdict.findings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  ");
        assert!(verdict.broken().contains(promise), "{name}: {promise} is not named, but\n  {}", told());
    }
}

#[test]
fn a_finding_says_where_it_is_and_what_shows_it() {
    let mut evidence = good();
    evidence.cut();
    let verdict = check(&evidence);
    let [finding] = &verdict.findings[..] else { panic!("{:?}", verdict.findings) };
    assert_eq!((finding.promise, finding.conversation, finding.seq), (Promise::G1, Some(TALK), Some(8)));
    // The file's lines of saying and of acknowledgement: its first line is the head.
    assert_eq!(finding.shown_by, ["agent:13", "agent:15"]);
}

#[test]
fn what_is_allowed_is_no_breach() {
    type Change = fn(&mut Evidence);
    let allowed: [(&str, Change); 6] = [
        ("an unanswered command on a broken connection did not take effect", |it| {
            it.records[1].stayed = false;
            it.agent().extend([send(30, 8, "gone"), Lost]);
        }),
        ("an explicit reset instead of what was missed", |it| {
            let events = vec![event(2, 0), event(3, 2), event(4, 3), event(5, 4), event(7, 5)];
            it.visitor()[12] = opened(Some(Reset::TooFar), events, 7);
        }),
        ("an acknowledgement ahead of the answer to open", |it| it.visitor().swap(12, 13)),
        ("an answer to an open that was closed before it came", |it| {
            it.visitor().extend([open(Some(7)), close(), opened(None, vec![event(8, 7)], 8)]);
        }),
        ("a reader who comes back with what it knows from an answer that it had closed", |it| {
            let answered = [open(Some(5)), close(), opened(None, vec![event(7, 5)], 7), Lost];
            it.visitor().splice(10..14, answered);
            it.visitor().splice(14..14, [welcome(As::Visitor, VISITOR), open(Some(7)), opened(None, vec![], 7)]);
        }),
        ("a repeat after long, acknowledged alike", |it| {
            it.agent().extend([send(21, 4, "hi"), ack(21, 5, 4, true)]);
        }),
    ];
    for (name, change) in allowed {
        let mut evidence = good();
        change(&mut evidence);
        assert_eq!(check(&evidence).findings, [], "{name}");
    }
}

#[test]
fn records_are_read_back_as_they_were_written() {
    let directory = std::env::temp_dir().join(format!("bellhop-records-{}", std::process::id()));
    let mut evidence = good();
    evidence.records.sort_by(|one, other| one.name.cmp(&other.name));
    evidence.write(&directory).unwrap();
    let read = Evidence::read(&directory).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(read, evidence);
}
