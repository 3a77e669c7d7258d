//! Stored snapshots of conversations.

use bellhop_engine::domain::{
    ConversationId, ConversationKey, ConversationState, Epoch, MemberId, Millis, Remembered, Sender, VisitorId,
    WorkspaceId,
};
use bellhop_engine::ports::StoreError;
use serde::{Deserialize, Serialize};

use super::row::{SideV1, StatusV1};
use super::{CommandMarkV1, IdV1, MemberNameV1, decode, encode, from_id, id};

#[derive(Serialize, Deserialize)]
enum SenderV1 {
    Visitor(IdV1),
    Agent(IdV1),
    System,
}

#[derive(Serialize, Deserialize)]
struct RememberedV1 {
    sender: SenderV1,
    mark: CommandMarkV1,
    seq: u64,
    prev_all: u64,
    at: i64,
}

impl From<&Remembered> for RememberedV1 {
    fn from(it: &Remembered) -> Self {
        Self {
            sender: match it.sender {
                Sender::Visitor(visitor) => SenderV1::Visitor(id(visitor.0)),
                Sender::Agent(member) => SenderV1::Agent(id(member.0)),
                Sender::System => SenderV1::System,
            },
            mark: it.mark.into(),
            seq: it.seq,
            prev_all: it.prev_all,
            at: it.at.0,
        }
    }
}

impl From<RememberedV1> for Remembered {
    fn from(it: RememberedV1) -> Self {
        Self {
            sender: match it.sender {
                SenderV1::Visitor(visitor) => Sender::Visitor(VisitorId(from_id(visitor))),
                SenderV1::Agent(member) => Sender::Agent(MemberId(from_id(member))),
                SenderV1::System => Sender::System,
            },
            mark: it.mark.into(),
            seq: it.seq,
            prev_all: it.prev_all,
            at: Millis(it.at),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct StateV1<'a> {
    workspace: IdV1,
    conversation: IdV1,
    epoch: u64,
    seq: u64,
    head_all: u64,
    last_event_at: i64,
    visitor: IdV1,
    visitor_name: &'a str,
    page: Option<&'a str>,
    created_at: i64,
    status: StatusV1,
    #[serde(borrow)]
    assignee: Option<MemberNameV1<'a>>,
    queue_number: u64,
    prefer: Option<IdV1>,
    answered: bool,
    waiting_since: Option<i64>,
    resolved_at: Option<i64>,
    preview: &'a str,
    last_side: SideV1,
    last_name: &'a str,
    last_at: i64,
    last_visitor_seq: u64,
    agent_seqs: Vec<u64>,
    start: Option<RememberedV1>,
    recent: Vec<RememberedV1>,
    recent_floor: u64,
}

/// 32 remembered commands of about 52 bytes, and what a row takes.
const STATE_BYTES: usize = 2_304;

/// The stored bytes of a snapshot.
pub(crate) fn encode_state(state: &ConversationState) -> Vec<u8> {
    let stored = StateV1 {
        workspace: id(state.key.workspace.0),
        conversation: id(state.key.conversation.0),
        epoch: state.epoch.0,
        seq: state.seq,
        head_all: state.head_all,
        last_event_at: state.last_event_at.0,
        visitor: id(state.visitor.0),
        visitor_name: &state.visitor_name,
        page: state.page.as_deref(),
        created_at: state.created_at.0,
        status: state.status.into(),
        assignee: state.assignee.as_ref().map(Into::into),
        queue_number: state.queue_number,
        prefer: state.prefer.map(|member| id(member.0)),
        answered: state.answered,
        waiting_since: state.waiting_since.map(|at| at.0),
        resolved_at: state.resolved_at.map(|at| at.0),
        preview: &state.preview,
        last_side: state.last_side.into(),
        last_name: &state.last_name,
        last_at: state.last_at.0,
        last_visitor_seq: state.last_visitor_seq,
        agent_seqs: state.agent_seqs.iter().copied().collect(),
        start: state.start.as_ref().map(Into::into),
        recent: state.recent.iter().map(Into::into).collect(),
        recent_floor: state.recent_floor,
    };
    encode(&stored, STATE_BYTES)
}

/// The snapshot in stored bytes.
pub(crate) fn decode_state(bytes: &[u8]) -> Result<ConversationState, StoreError> {
    let stored: StateV1<'_> = decode(bytes, "a conversation's snapshot")?;
    Ok(ConversationState {
        key: ConversationKey {
            workspace: WorkspaceId(from_id(stored.workspace)),
            conversation: ConversationId(from_id(stored.conversation)),
        },
        epoch: Epoch(stored.epoch),
        seq: stored.seq,
        head_all: stored.head_all,
        last_event_at: Millis(stored.last_event_at),
        visitor: VisitorId(from_id(stored.visitor)),
        visitor_name: stored.visitor_name.into(),
        page: stored.page.map(Into::into),
        created_at: Millis(stored.created_at),
        status: stored.status.into(),
        assignee: stored.assignee.map(Into::into),
        queue_number: stored.queue_number,
        prefer: stored.prefer.map(|member| MemberId(from_id(member))),
        answered: stored.answered,
        waiting_since: stored.waiting_since.map(Millis),
        resolved_at: stored.resolved_at.map(Millis),
        preview: stored.preview.into(),
        last_side: stored.last_side.into(),
        last_name: stored.last_name.into(),
        last_at: Millis(stored.last_at),
        last_visitor_seq: stored.last_visitor_seq,
        agent_seqs: stored.agent_seqs.into(),
        start: stored.start.map(Into::into),
        recent: stored.recent.into_iter().map(Into::into).collect(),
        recent_floor: stored.recent_floor,
    })
}
