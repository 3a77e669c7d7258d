//! Every key of the embedded store. Numbers are big-endian, so that the order of bytes is the order of values; a
//! number that a list shows highest first is stored as its complement (`!`).
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `events` | workspace 16, conversation 16, seq 8, epoch 8 | event |
//! | `workspaces` | workspace 16, `01`, conversation 16 | row |
//! | | workspace 16, `02`, conversation 16 | snapshot of the state |
//! | | workspace 16, `03`, conversation 16, reader kind 1, reader 16 | read mark |
//! | | workspace 16, `04`, conversation 16 | empty: the list Open |
//! | | workspace 16, `05`, !resolved at 8, conversation 16 | empty: the list Resolved |
//! | | workspace 16, `06`, visitor 16, !created at 8, conversation 16 | empty: the list OfVisitor |
//! | | workspace 16, `07`, member 16 | record |
//! | `directory` | `01`, workspace 16 | record |
//! | | `02`, person 16 | record |
//! | | `03`, e-mail address, UTF-8 | record |
//! | | `04` / `05` / `06`, token 16 | record: link / log-in session / API key |
//! | `dirty` | shard 2, workspace 16, conversation 16 | empty |
//! | `meta` | `epoch`, `secret`; `batch` | see `open.rs`; `journal.rs` |
//!
//! All data of a workspace starts with its id (G10: no range can leave it). The directory holds what is asked for
//! before a workspace is known; the marks are the store's own, ordered by the shard that will own them.

use bellhop_engine::domain::{
    ConversationId, ConversationKey, Epoch, MemberId, Millis, Row, Seq, Shard, Status, VisitorId, WorkspaceId,
};
use bellhop_engine::ports::{Reader, RecordKey, RecordList, RowList};

pub(super) const META_EPOCH: &[u8] = b"epoch";
pub(super) const META_SECRET: &[u8] = b"secret";

const ROW: u8 = 0x01;
const STATE: u8 = 0x02;
const READ: u8 = 0x03;
const OPEN: u8 = 0x04;
const RESOLVED: u8 = 0x05;
const OF_VISITOR: u8 = 0x06;
const MEMBER: u8 = 0x07;

const BY_VISITOR: u8 = 0;
const BY_AGENT: u8 = 1;

const WORKSPACE: u8 = 0x01;
const PERSON: u8 = 0x02;
const EMAIL: u8 = 0x03;
const LINK: u8 = 0x04;
const LOGIN_SESSION: u8 = 0x05;
const API_KEY: u8 = 0x06;

/// Bytes of an id.
const ID: usize = 16;

/// Which keyspace a record lies in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    Workspaces,
    Directory,
}

fn join<const N: usize>(parts: [&[u8]; N]) -> Vec<u8> {
    parts.concat()
}

/// Milliseconds so that their order as bytes is their order, latest first.
fn latest_first(at: Millis) -> [u8; 8] {
    // Flipping the sign bit maps i64 onto u64 in order.
    let ascending = (at.0 as u64) ^ (1 << 63);
    (!ascending).to_be_bytes()
}

/// One event's row.
pub(super) fn event(key: ConversationKey, seq: Seq, epoch: Epoch) -> Vec<u8> {
    join([
        &key.workspace.0.to_be_bytes(),
        &key.conversation.0.to_be_bytes(),
        &seq.to_be_bytes(),
        &epoch.0.to_be_bytes(),
    ])
}

/// Seq and epoch of an event's key; `None` if it is none.
pub(super) fn event_place(key: &[u8]) -> Option<(Seq, Epoch)> {
    let place: &[u8; 16] = key.get(2 * ID..)?.try_into().ok()?;
    let place = u128::from_be_bytes(*place);
    Some(((place >> 64) as u64, Epoch(place as u64)))
}

/// What all events of a conversation start with.
pub(super) fn conversation(key: ConversationKey) -> Vec<u8> {
    join([&key.workspace.0.to_be_bytes(), &key.conversation.0.to_be_bytes()])
}

/// The conversation that an event's key, or what it starts with, belongs to; `None` if it is too short.
pub(super) fn conversation_of(key: &[u8]) -> Option<ConversationKey> {
    let (workspace, rest) = key.split_first_chunk::<ID>()?;
    let conversation = rest.first_chunk::<ID>()?;
    Some(ConversationKey {
        workspace: WorkspaceId(u128::from_be_bytes(*workspace)),
        conversation: ConversationId(u128::from_be_bytes(*conversation)),
    })
}

fn of_workspace(workspace: WorkspaceId, tag: u8) -> Vec<u8> {
    join([&workspace.0.to_be_bytes(), &[tag]])
}

fn of_conversation(key: ConversationKey, tag: u8) -> Vec<u8> {
    join([&key.workspace.0.to_be_bytes(), &[tag], &key.conversation.0.to_be_bytes()])
}

pub(super) fn row(key: ConversationKey) -> Vec<u8> {
    of_conversation(key, ROW)
}

pub(super) fn state(key: ConversationKey) -> Vec<u8> {
    of_conversation(key, STATE)
}

/// What all read marks of a conversation start with.
pub(super) fn reads(key: ConversationKey) -> Vec<u8> {
    of_conversation(key, READ)
}

pub(super) fn read(key: ConversationKey, reader: Reader) -> Vec<u8> {
    let (kind, id) = match reader {
        Reader::Visitor(visitor) => (BY_VISITOR, visitor.0),
        Reader::Agent(member) => (BY_AGENT, member.0),
    };
    join([&reads(key), &[kind], &id.to_be_bytes()])
}

/// Whose mark lies under a key that starts with [`reads`].
pub(super) fn reader(key: &[u8]) -> Option<Reader> {
    let (kind, id) = key.get(2 * ID + 1..)?.split_first()?;
    let id = u128::from_be_bytes(id.try_into().ok()?);
    match *kind {
        BY_VISITOR => Some(Reader::Visitor(VisitorId(id))),
        BY_AGENT => Some(Reader::Agent(MemberId(id))),
        _ => None,
    }
}

/// The lists that a row stands in.
pub(super) fn indexes(row: &Row) -> [Vec<u8>; 2] {
    let ConversationKey { workspace, conversation } = row.key;
    let conversation = conversation.0.to_be_bytes();
    let by_status = match row.status {
        Status::Queued | Status::Assigned => join([&of_workspace(workspace, OPEN), &conversation]),
        Status::Resolved => {
            // The engine gives every resolved row its time; one without would list as the oldest.
            let at = row.resolved_at.unwrap_or(Millis(i64::MIN));
            join([&of_workspace(workspace, RESOLVED), &latest_first(at), &conversation])
        }
    };
    let of_visitor = join([
        &of_workspace(workspace, OF_VISITOR),
        &row.visitor.0.to_be_bytes(),
        &latest_first(row.created_at),
        &conversation,
    ]);
    [by_status, of_visitor]
}

/// What all entries of all lists of a workspace start with.
pub(super) fn lists(workspace: WorkspaceId) -> [Vec<u8>; 3] {
    [OPEN, RESOLVED, OF_VISITOR].map(|tag| of_workspace(workspace, tag))
}

/// What all rows of a workspace start with.
pub(super) fn rows(workspace: WorkspaceId) -> Vec<u8> {
    of_workspace(workspace, ROW)
}

/// The conversation that the last 16 bytes of a key of `workspace` name.
pub(super) fn named(workspace: WorkspaceId, key: &[u8]) -> Option<ConversationKey> {
    let id: &[u8; ID] = key.last_chunk()?;
    Some(ConversationKey { workspace, conversation: ConversationId(u128::from_be_bytes(*id)) })
}

/// What all entries of a list start with, and how many bytes follow.
pub(super) fn list(list: RowList) -> (Vec<u8>, usize) {
    match list {
        RowList::Open(workspace) => (of_workspace(workspace, OPEN), ID),
        RowList::Resolved(workspace) => (of_workspace(workspace, RESOLVED), 8 + ID),
        RowList::OfVisitor(workspace, visitor) => {
            (join([&of_workspace(workspace, OF_VISITOR), &visitor.0.to_be_bytes()]), 8 + ID)
        }
    }
}

/// The conversation that a list's entry names.
pub(super) fn listed(list: RowList, entry: &[u8]) -> Option<ConversationKey> {
    let workspace = match list {
        RowList::Open(workspace) | RowList::Resolved(workspace) | RowList::OfVisitor(workspace, _) => workspace,
    };
    named(workspace, entry)
}

/// Where a record lies.
pub(super) fn record(key: &RecordKey) -> (Place, Vec<u8>) {
    let directory = |tag: u8, id: u128| (Place::Directory, join([&[tag], &id.to_be_bytes()]));
    match key {
        RecordKey::Workspace(workspace) => directory(WORKSPACE, workspace.0),
        RecordKey::Person(person) => directory(PERSON, person.0),
        RecordKey::Email(email) => (Place::Directory, join([&[EMAIL], email.as_bytes()])),
        RecordKey::Member(workspace, member) => {
            (Place::Workspaces, join([&of_workspace(*workspace, MEMBER), &member.0.to_be_bytes()]))
        }
        RecordKey::Link(token) => directory(LINK, token.0),
        RecordKey::LoginSession(token) => directory(LOGIN_SESSION, token.0),
        RecordKey::ApiKey(token) => directory(API_KEY, token.0),
    }
}

/// What all records of a list start with; 16 bytes of id follow.
pub(super) fn records(list: RecordList) -> (Place, Vec<u8>) {
    match list {
        RecordList::Workspaces => (Place::Directory, vec![WORKSPACE]),
        RecordList::Members(workspace) => (Place::Workspaces, of_workspace(workspace, MEMBER)),
        RecordList::Links => (Place::Directory, vec![LINK]),
        RecordList::ApiKeys => (Place::Directory, vec![API_KEY]),
        RecordList::LoginSessions => (Place::Directory, vec![LOGIN_SESSION]),
    }
}

pub(super) fn dirty(key: ConversationKey) -> Vec<u8> {
    let shard = Shard::of(key.workspace, key.conversation);
    join([&shard.0.to_be_bytes(), &key.workspace.0.to_be_bytes(), &key.conversation.0.to_be_bytes()])
}

/// Shard and conversation of a mark's key.
pub(super) fn marked(key: &[u8]) -> Option<(Shard, ConversationKey)> {
    let (shard, rest) = key.split_first_chunk::<2>()?;
    let (workspace, rest) = rest.split_first_chunk::<ID>()?;
    let conversation: &[u8; ID] = rest.try_into().ok()?;
    let key = ConversationKey {
        workspace: WorkspaceId(u128::from_be_bytes(*workspace)),
        conversation: ConversationId(u128::from_be_bytes(*conversation)),
    };
    Some((Shard(u16::from_be_bytes(*shard)), key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ConversationKey = ConversationKey { workspace: WorkspaceId(7), conversation: ConversationId(9) };

    #[test]
    fn the_order_of_keys_is_the_order_of_what_they_name() {
        let ascending = [(1, 1), (1, 2), (2, 1), (255, 1), (256, 1), (u64::MAX, 1), (u64::MAX, u64::MAX)];
        for pair in ascending.windows(2) {
            let [low, high] = [pair[0], pair[1]].map(|(seq, epoch)| event(KEY, seq, Epoch(epoch)));
            assert!(low < high, "{pair:?}");
        }
        for pair in [i64::MIN, -1, 0, 1, 1_700_000_000_000, i64::MAX].windows(2) {
            assert!(latest_first(Millis(pair[0])) > latest_first(Millis(pair[1])), "{pair:?}");
        }
    }

    #[test]
    fn a_key_says_again_what_it_was_made_of() {
        assert_eq!(event_place(&event(KEY, 5, Epoch(3))), Some((5, Epoch(3))));
        for it in [Reader::Visitor(VisitorId(u128::MAX)), Reader::Agent(MemberId(0))] {
            assert_eq!(reader(&read(KEY, it)), Some(it));
        }
        assert_eq!(marked(&dirty(KEY)), Some((Shard::of(KEY.workspace, KEY.conversation), KEY)));
        assert_eq!((event_place(b"short"), reader(b"short"), marked(b"short")), (None, None, None));
    }

    #[test]
    fn keys_lie_as_they_ever_did() {
        let hex = |key: &[u8]| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let (ws, id) = ("00000000000000000000000000000007", "00000000000000000000000000000009");
        let mut row = {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/event-message.v1.bin");
            let event = crate::codec::decode_event(&std::fs::read(file).unwrap()).unwrap();
            let first = bellhop_engine::domain::Event { seq: 1, ..event };
            bellhop_engine::domain::ConversationState::begin(KEY, &first).row(0, 0)
        };
        row.visitor = VisitorId(3);
        row.created_at = Millis(1);
        let [open, of_visitor] = indexes(&row);
        row.status = Status::Resolved;
        row.resolved_at = Some(Millis(2));
        let [resolved, _] = indexes(&row);
        let visitor = "00000000000000000000000000000003";
        let token = bellhop_engine::domain::TokenId(9);
        let person = bellhop_engine::domain::PersonId(9);
        let keys = [
            (event(KEY, 1, Epoch(2)), format!("{ws}{id}00000000000000010000000000000002")),
            (self::row(KEY), format!("{ws}01{id}")),
            (state(KEY), format!("{ws}02{id}")),
            (read(KEY, Reader::Visitor(VisitorId(3))), format!("{ws}03{id}00{visitor}")),
            (read(KEY, Reader::Agent(MemberId(3))), format!("{ws}03{id}01{visitor}")),
            (open, format!("{ws}04{id}")),
            (resolved, format!("{ws}057ffffffffffffffd{id}")),
            (of_visitor, format!("{ws}06{visitor}7ffffffffffffffe{id}")),
            (record(&RecordKey::Member(WorkspaceId(7), MemberId(9))).1, format!("{ws}07{id}")),
            (record(&RecordKey::Workspace(WorkspaceId(9))).1, format!("01{id}")),
            (record(&RecordKey::Person(person)).1, format!("02{id}")),
            (record(&RecordKey::Email("a@b".to_owned())).1, "03614062".to_owned()),
            (record(&RecordKey::Link(token)).1, format!("04{id}")),
            (record(&RecordKey::LoginSession(token)).1, format!("05{id}")),
            (record(&RecordKey::ApiKey(token)).1, format!("06{id}")),
            (dirty(KEY), format!("{:04x}{ws}{id}", Shard::of(KEY.workspace, KEY.conversation).0)),
        ];
        for (key, want) in keys {
            assert_eq!(hex(&key), want);
        }
    }
}
