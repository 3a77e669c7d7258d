//! Stored rows of lists.

use bellhop_engine::domain::{
    ConversationId, ConversationKey, Epoch, MemberId, Millis, Row, Side, Status, VisitorId, WorkspaceId,
};
use bellhop_engine::ports::StoreError;
use serde::{Deserialize, Serialize};

use super::{IdV1, MemberNameV1, decode, encode, from_id, id};

#[derive(Serialize, Deserialize)]
pub(super) enum StatusV1 {
    Queued,
    Assigned,
    Resolved,
}

impl From<Status> for StatusV1 {
    fn from(status: Status) -> Self {
        match status {
            Status::Queued => Self::Queued,
            Status::Assigned => Self::Assigned,
            Status::Resolved => Self::Resolved,
        }
    }
}

impl From<StatusV1> for Status {
    fn from(status: StatusV1) -> Self {
        match status {
            StatusV1::Queued => Self::Queued,
            StatusV1::Assigned => Self::Assigned,
            StatusV1::Resolved => Self::Resolved,
        }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum SideV1 {
    Visitor,
    Agent,
    System,
}

impl From<Side> for SideV1 {
    fn from(side: Side) -> Self {
        match side {
            Side::Visitor => Self::Visitor,
            Side::Agent => Self::Agent,
            Side::System => Self::System,
        }
    }
}

impl From<SideV1> for Side {
    fn from(side: SideV1) -> Self {
        match side {
            SideV1::Visitor => Self::Visitor,
            SideV1::Agent => Self::Agent,
            SideV1::System => Self::System,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct RowV1<'a> {
    workspace: IdV1,
    conversation: IdV1,
    epoch: u64,
    seq: u64,
    head_all: u64,
    visitor: IdV1,
    visitor_name: &'a str,
    status: StatusV1,
    #[serde(borrow)]
    assignee: Option<MemberNameV1<'a>>,
    queue_number: Option<u64>,
    prefer: Option<IdV1>,
    preview: &'a str,
    last_side: SideV1,
    last_name: &'a str,
    last_at: i64,
    waiting_since: Option<i64>,
    answered: bool,
    last_visitor_seq: u64,
    agent_seqs: Vec<u64>,
    staff_read: u64,
    visitor_read: u64,
    created_at: i64,
    resolved_at: Option<i64>,
    page: Option<&'a str>,
}

/// Ids and numbers, names of usual length and a preview; a longer page grows the buffer once.
const ROW_BYTES: usize = 512;

/// The stored bytes of a row.
pub(crate) fn encode_row(row: &Row) -> Vec<u8> {
    let stored = RowV1 {
        workspace: id(row.key.workspace.0),
        conversation: id(row.key.conversation.0),
        epoch: row.epoch.0,
        seq: row.seq,
        head_all: row.head_all,
        visitor: id(row.visitor.0),
        visitor_name: &row.visitor_name,
        status: row.status.into(),
        assignee: row.assignee.as_ref().map(Into::into),
        queue_number: row.queue_number,
        prefer: row.prefer.map(|member| id(member.0)),
        preview: &row.preview,
        last_side: row.last_side.into(),
        last_name: &row.last_name,
        last_at: row.last_at.0,
        waiting_since: row.waiting_since.map(|at| at.0),
        answered: row.answered,
        last_visitor_seq: row.last_visitor_seq,
        agent_seqs: row.agent_seqs.clone(),
        staff_read: row.staff_read,
        visitor_read: row.visitor_read,
        created_at: row.created_at.0,
        resolved_at: row.resolved_at.map(|at| at.0),
        page: row.page.as_deref(),
    };
    encode(&stored, ROW_BYTES)
}

/// The row in stored bytes.
pub(crate) fn decode_row(bytes: &[u8]) -> Result<Row, StoreError> {
    let stored: RowV1<'_> = decode(bytes, "a conversation's row")?;
    Ok(Row {
        key: ConversationKey {
            workspace: WorkspaceId(from_id(stored.workspace)),
            conversation: ConversationId(from_id(stored.conversation)),
        },
        epoch: Epoch(stored.epoch),
        seq: stored.seq,
        head_all: stored.head_all,
        visitor: VisitorId(from_id(stored.visitor)),
        visitor_name: stored.visitor_name.into(),
        status: stored.status.into(),
        assignee: stored.assignee.map(Into::into),
        queue_number: stored.queue_number,
        prefer: stored.prefer.map(|member| MemberId(from_id(member))),
        preview: stored.preview.into(),
        last_side: stored.last_side.into(),
        last_name: stored.last_name.into(),
        last_at: Millis(stored.last_at),
        waiting_since: stored.waiting_since.map(Millis),
        answered: stored.answered,
        last_visitor_seq: stored.last_visitor_seq,
        agent_seqs: stored.agent_seqs,
        staff_read: stored.staff_read,
        visitor_read: stored.visitor_read,
        created_at: Millis(stored.created_at),
        resolved_at: stored.resolved_at.map(Millis),
        page: stored.page.map(Into::into),
    })
}
