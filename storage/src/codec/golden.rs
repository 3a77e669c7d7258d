//! Each stored kind against the bytes that were once written of it (`storage/golden`): what is read from them and what
//! is written today must both stay as they are. `BELLHOP_BLESS=1 cargo test -p bellhop-storage` writes the files that
//! are missing, and never another: a stored shape that changes is a new version with files of its own.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellhop_engine::domain::*;
use bellhop_engine::ports::{Record, StoreError};

use super::*;

/// A kind with its value in all of today's code paths.
struct Golden {
    name: &'static str,
    written: Vec<u8>,
    /// Reads bytes and says whether they are the value.
    read: Box<Read>,
}

type Read = dyn Fn(&[u8]) -> Result<bool, StoreError>;

fn golden<T: PartialEq + Debug + 'static>(
    name: &'static str,
    value: T,
    encode: impl Fn(&T) -> Vec<u8>,
    decode: impl Fn(&[u8]) -> Result<T, StoreError> + 'static,
) -> Golden {
    let written = encode(&value);
    Golden { name, written, read: Box::new(move |bytes| Ok(decode(bytes)? == value)) }
}

fn all() -> Vec<Golden> {
    let visitor = VisitorId(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let ada = MemberName { id: MemberId(0xada0 << 100), name: "Ada Ågren".into() };
    let by_visitor = Author::Visitor { id: visitor, name: "Quiet Heron".into() };
    let by_ada = Author::Agent(ada.clone());
    let text = |text: &str| vec![Part::Text(text.into())];
    let event = |author: &Author, audience, command: bool, body| Event {
        seq: 300,
        prev_all: 299,
        epoch: Epoch(4),
        at: Millis(1_763_838_383_123),
        author: author.clone(),
        audience,
        channel: Channel::Chat,
        external_id: (!command).then(|| "<id@mail.example>".into()),
        command: command.then_some(CommandMark { id: CommandId(u128::MAX - 1), hash: 0xfeed_beef_dead_0001 }),
        body,
    };
    let mut all: Vec<Golden> = [
        (
            "event-started",
            event(&by_visitor, Audience::Staff, false, Body::Started { page: Some("https://a.example/".into()) }),
        ),
        ("event-started-nowhere", event(&by_visitor, Audience::Staff, false, Body::Started { page: None })),
        ("event-message", event(&by_visitor, Audience::All, true, Body::Message { parts: text("Hallo \u{1F44B}") })),
        ("event-note", event(&by_ada, Audience::Staff, true, Body::Note { parts: [text("a"), text("b\nc")].concat() })),
        (
            "event-queued",
            event(
                &Author::System,
                Audience::Staff,
                false,
                Body::Queued { number: 70_000, reason: QueuedReason::New, prefer: None },
            ),
        ),
        (
            "event-queued-reopened",
            event(
                &Author::System,
                Audience::Staff,
                false,
                Body::Queued { number: 1, reason: QueuedReason::Reopened, prefer: Some(ada.id) },
            ),
        ),
        (
            "event-queued-released",
            event(
                &Author::System,
                Audience::Staff,
                false,
                Body::Queued { number: 1, reason: QueuedReason::Released, prefer: None },
            ),
        ),
        (
            "event-queued-returned",
            event(
                &by_ada,
                Audience::Staff,
                true,
                Body::Queued { number: 1, reason: QueuedReason::Returned, prefer: None },
            ),
        ),
        (
            "event-assigned-routed",
            event(
                &Author::System,
                Audience::All,
                false,
                Body::Assigned { to: ada.clone(), reason: AssignedReason::Routed },
            ),
        ),
        (
            "event-assigned-taken",
            event(&by_ada, Audience::All, true, Body::Assigned { to: ada.clone(), reason: AssignedReason::Taken }),
        ),
        (
            "event-assigned-given",
            event(&by_ada, Audience::All, true, Body::Assigned { to: ada.clone(), reason: AssignedReason::Given }),
        ),
        (
            "event-assigned-replied",
            event(&by_ada, Audience::All, false, Body::Assigned { to: ada.clone(), reason: AssignedReason::Replied }),
        ),
        ("event-resolved", event(&by_ada, Audience::All, true, Body::Resolved)),
        ("event-reopened", event(&by_visitor, Audience::All, false, Body::Reopened)),
    ]
    .into_iter()
    .map(|(name, value)| golden(name, value, encode_event, decode_event))
    .collect();

    let key = ConversationKey { workspace: WorkspaceId(0x77 << 120), conversation: ConversationId(u128::MAX / 3) };
    let remembered = |seq, sender| Remembered {
        sender,
        mark: CommandMark { id: CommandId(u128::from(seq)), hash: seq },
        seq,
        prev_all: seq - 1,
        at: Millis(-5),
    };
    let state = ConversationState {
        key,
        epoch: Epoch(4),
        seq: 300,
        head_all: 299,
        last_event_at: Millis(1_763_838_383_123),
        visitor,
        visitor_name: "Quiet Heron".into(),
        page: Some("https://a.example/".into()),
        created_at: Millis(1_763_838_000_000),
        status: Status::Assigned,
        assignee: Some(ada.clone()),
        queue_number: 12,
        prefer: Some(ada.id),
        answered: true,
        waiting_since: Some(Millis(1_763_838_383_000)),
        resolved_at: None,
        preview: "Is it still there?".into(),
        last_side: Side::Visitor,
        last_name: "Quiet Heron".into(),
        last_at: Millis(1_763_838_383_100),
        last_visitor_seq: 298,
        agent_seqs: [5, 200, 299].into(),
        start: Some(remembered(2, Sender::Visitor(visitor))),
        recent: [remembered(290, Sender::Agent(ada.id)), remembered(298, Sender::System)].into(),
        recent_floor: 280,
    };
    let mut queued = state.clone();
    queued.status = Status::Queued;
    queued.last_side = Side::System;
    queued.assignee = None;
    let mut resolved = state.clone();
    resolved.status = Status::Resolved;
    resolved.resolved_at = Some(Millis(1_763_838_384_000));
    resolved.waiting_since = None;
    resolved.last_side = Side::Agent;
    resolved.page = None;
    for (name, row) in [("row-assigned", &state), ("row-queued", &queued), ("row-resolved", &resolved)] {
        all.push(golden(name, row.row(7, 9), encode_row, decode_row));
    }
    for (name, state) in [("state-assigned", state), ("state-queued", queued), ("state-resolved", resolved)] {
        all.push(golden(name, state, encode_state, decode_state));
    }
    all.push(golden("read", 70_000, |seq| encode_read(*seq), decode_read));

    let link = |purpose, used_at| {
        Record::Link(Link {
            id: TokenId(1 << 90),
            secret_hash: [0xab; 32],
            purpose,
            created_at: Millis(1),
            expires_at: Millis(2),
            used_at,
        })
    };
    let member = |role, removed_at: Option<Millis>| {
        Record::Member(Member {
            id: ada.id,
            workspace: key.workspace,
            person: PersonId(5),
            email: "ada@example.org".to_owned(),
            name: "Ada Ågren".to_owned(),
            role,
            available: removed_at.is_none(),
            created_at: Millis(1_763_838_000_000),
            removed_at,
        })
    };
    let invite =
        LinkPurpose::Invite { workspace: key.workspace, role: Role::Agent, email: Some("b@example.org".to_owned()) };
    let reset = LinkPurpose::ResetPassword { person: PersonId(5), email: "ada@example.org".to_owned() };
    let workspace = |position| {
        Record::Workspace(Workspace {
            id: key.workspace,
            name: "Hôtel".to_owned(),
            greeting: "Hello".to_owned(),
            accent: 0x00ff_8800,
            position,
            allowed_origins: vec!["https://shop.example".to_owned()],
            agent_cap: 5,
            created_at: Millis(1_763_838_000_000),
        })
    };
    let records = [
        ("record-workspace-left", workspace(Corner::Left)),
        ("record-workspace-right", workspace(Corner::Right)),
        (
            "record-person",
            Record::Person(Person {
                id: PersonId(5),
                email: "ada@example.org".to_owned(),
                name: "Ada Ågren".to_owned(),
                password: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
                memberships: vec![(key.workspace, ada.id)],
                generation: 3,
            }),
        ),
        ("record-email", Record::Email(PersonId(5))),
        ("record-member-owner", member(Role::Owner, None)),
        ("record-member-removed", member(Role::Agent, Some(Millis(1_763_838_400_000)))),
        ("record-link-setup", link(LinkPurpose::Setup, None)),
        ("record-link-invite", link(invite, Some(Millis(3)))),
        ("record-link-reset", link(reset, None)),
        (
            "record-login-session",
            Record::LoginSession(LoginSession {
                id: TokenId(2),
                secret_hash: [7; 32],
                person: PersonId(5),
                email: "ada@example.org".to_owned(),
                workspace: key.workspace,
                member: ada.id,
                generation: 3,
                created_at: Millis(4),
                expires_at: Millis(5),
            }),
        ),
        (
            "record-api-key",
            Record::ApiKey(ApiKey {
                id: TokenId(3),
                secret_hash: [8; 32],
                workspace: key.workspace,
                name: "shop".to_owned(),
                created_at: Millis(6),
            }),
        ),
    ];
    for (name, record) in records {
        all.push(golden(name, (record, 9), |(record, version)| encode_record(record, *version), decode_record));
    }
    all
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.v1.bin"))
}

#[test]
fn every_stored_kind_is_read_and_written_as_it_ever_was() {
    let bless = std::env::var_os("BELLHOP_BLESS").is_some();
    for golden in all() {
        let path = file(golden.name);
        if bless && !path.exists() {
            std::fs::write(&path, &golden.written).unwrap();
        }
        let stored = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!((golden.read)(&stored).unwrap(), "{} is read as another value", golden.name);
        assert_eq!(stored, golden.written, "{} is written as other bytes: make a version 2 instead", golden.name);
    }
}

#[test]
fn every_golden_file_is_read() {
    let known: Vec<_> = all().iter().map(|golden| file(golden.name)).collect();
    let folder = file("read").parent().map(Path::to_owned).unwrap();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert!(known.contains(&path), "nothing reads {}", path.display());
    }
}

#[test]
fn bytes_that_are_not_one_whole_value_are_damaged_and_never_a_panic() {
    let (mut cut, mut flipped) = (0, 0);
    for golden in all() {
        for end in 0..golden.written.len() {
            let outcome = (golden.read)(&golden.written[..end]);
            assert!(matches!(outcome, Err(StoreError::Damaged(_))), "{} cut at {end}: {outcome:?}", golden.name);
            cut += 1;
        }
        let longer = [golden.written.as_slice(), &[0]].concat();
        assert!(matches!((golden.read)(&longer), Err(StoreError::Damaged(_))), "{} with a byte more", golden.name);
        for version in [0, 2, 255] {
            let mut other = golden.written.clone();
            other[0] = version;
            assert!(
                matches!((golden.read)(&other), Err(StoreError::Damaged(_))),
                "{} of version {version}",
                golden.name
            );
        }
        for bit in 8..golden.written.len() * 8 {
            let mut other = golden.written.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            // A flipped bit may well be another value; fjall's checksums tell that. It must only not panic.
            let _ = (golden.read)(&other);
            flipped += 1;
        }
    }
    println!("{cut} cuts, {flipped} flipped bits");
}

#[test]
fn an_event_of_usual_size_is_stored_in_few_bytes() {
    let event = Event {
        seq: 9,
        prev_all: 8,
        epoch: Epoch(2),
        at: Millis(1_763_838_383_123),
        author: Author::Visitor { id: VisitorId(u128::MAX), name: Arc::from("Quiet Heron") },
        audience: Audience::All,
        channel: Channel::Chat,
        external_id: None,
        command: Some(CommandMark { id: CommandId(u128::MAX), hash: u64::MAX }),
        body: Body::Message { parts: vec![Part::Text("x".repeat(128).into())] },
    };
    assert_eq!(encode_event(&event).len(), 128 + 72);
}
