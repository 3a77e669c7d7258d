//! Which key belongs to which record.

use bellhop_engine::ports::{Record, RecordKey};

/// Whether `key` names `record`.
pub(crate) fn fits(key: &RecordKey, record: &Record) -> bool {
    match (key, record) {
        (RecordKey::Workspace(id), Record::Workspace(it)) => *id == it.id,
        (RecordKey::Person(id), Record::Person(it)) => *id == it.id,
        (RecordKey::Email(_), Record::Email(_)) => true,
        (RecordKey::Member(workspace, id), Record::Member(it)) => *id == it.id && *workspace == it.workspace,
        (RecordKey::Link(id), Record::Link(it)) => *id == it.id,
        (RecordKey::LoginSession(id), Record::LoginSession(it)) => *id == it.id,
        (RecordKey::ApiKey(id), Record::ApiKey(it)) => *id == it.id,
        _ => false,
    }
}
