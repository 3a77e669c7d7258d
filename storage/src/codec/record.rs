//! Stored records: workspaces, people and what lets them in, each with its version.

use bellhop_engine::domain::{
    ApiKey, Corner, Link, LinkPurpose, LoginSession, Member, MemberId, Millis, Person, PersonId, Role, TokenId,
    Workspace, WorkspaceId,
};
use bellhop_engine::ports::{Record, StoreError, Version};
use serde::{Deserialize, Serialize};

use super::{IdV1, decode, encode, from_id, id};

#[derive(Serialize, Deserialize)]
struct VersionedV1<'a> {
    version: u64,
    #[serde(borrow)]
    record: RecordV1<'a>,
}

#[derive(Serialize, Deserialize)]
enum RecordV1<'a> {
    #[serde(borrow)]
    Workspace(WorkspaceV1<'a>),
    #[serde(borrow)]
    Person(PersonV1<'a>),
    Email(IdV1),
    #[serde(borrow)]
    Member(MemberV1<'a>),
    #[serde(borrow)]
    Link(LinkV1<'a>),
    #[serde(borrow)]
    LoginSession(LoginSessionV1<'a>),
    #[serde(borrow)]
    ApiKey(ApiKeyV1<'a>),
}

#[derive(Serialize, Deserialize)]
enum RoleV1 {
    Owner,
    Agent,
}

#[derive(Serialize, Deserialize)]
enum CornerV1 {
    Left,
    Right,
}

#[derive(Serialize, Deserialize)]
struct WorkspaceV1<'a> {
    id: IdV1,
    name: &'a str,
    greeting: &'a str,
    accent: u32,
    position: CornerV1,
    #[serde(borrow)]
    allowed_origins: Vec<&'a str>,
    agent_cap: u32,
    created_at: i64,
}

#[derive(Serialize, Deserialize)]
struct PersonV1<'a> {
    id: IdV1,
    email: &'a str,
    name: &'a str,
    password: Option<&'a str>,
    memberships: Vec<(IdV1, IdV1)>,
    generation: u64,
}

#[derive(Serialize, Deserialize)]
struct MemberV1<'a> {
    id: IdV1,
    workspace: IdV1,
    person: IdV1,
    email: &'a str,
    name: &'a str,
    role: RoleV1,
    available: bool,
    created_at: i64,
    removed_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
enum LinkPurposeV1<'a> {
    Setup,
    Invite { workspace: IdV1, role: RoleV1, email: Option<&'a str> },
    ResetPassword { person: IdV1, email: &'a str },
}

#[derive(Serialize, Deserialize)]
struct LinkV1<'a> {
    id: IdV1,
    secret_hash: [u8; 32],
    #[serde(borrow)]
    purpose: LinkPurposeV1<'a>,
    created_at: i64,
    expires_at: i64,
    used_at: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct LoginSessionV1<'a> {
    id: IdV1,
    secret_hash: [u8; 32],
    person: IdV1,
    email: &'a str,
    workspace: IdV1,
    member: IdV1,
    generation: u64,
    created_at: i64,
    expires_at: i64,
}

#[derive(Serialize, Deserialize)]
struct ApiKeyV1<'a> {
    id: IdV1,
    secret_hash: [u8; 32],
    workspace: IdV1,
    name: &'a str,
    created_at: i64,
}

/// A member with names of usual length; longer ones grow the buffer once.
const RECORD_BYTES: usize = 256;

fn role(role: Role) -> RoleV1 {
    match role {
        Role::Owner => RoleV1::Owner,
        Role::Agent => RoleV1::Agent,
    }
}

fn from_role(role: RoleV1) -> Role {
    match role {
        RoleV1::Owner => Role::Owner,
        RoleV1::Agent => Role::Agent,
    }
}

/// The stored bytes of a record.
pub(crate) fn encode_record(record: &Record, version: Version) -> Vec<u8> {
    let record = match record {
        Record::Workspace(it) => RecordV1::Workspace(WorkspaceV1 {
            id: id(it.id.0),
            name: &it.name,
            greeting: &it.greeting,
            accent: it.accent,
            position: match it.position {
                Corner::Left => CornerV1::Left,
                Corner::Right => CornerV1::Right,
            },
            allowed_origins: it.allowed_origins.iter().map(String::as_str).collect(),
            agent_cap: it.agent_cap,
            created_at: it.created_at.0,
        }),
        Record::Person(it) => RecordV1::Person(PersonV1 {
            id: id(it.id.0),
            email: &it.email,
            name: &it.name,
            password: it.password.as_deref(),
            memberships: it.memberships.iter().map(|(workspace, member)| (id(workspace.0), id(member.0))).collect(),
            generation: it.generation,
        }),
        Record::Email(person) => RecordV1::Email(id(person.0)),
        Record::Member(it) => RecordV1::Member(MemberV1 {
            id: id(it.id.0),
            workspace: id(it.workspace.0),
            person: id(it.person.0),
            email: &it.email,
            name: &it.name,
            role: role(it.role),
            available: it.available,
            created_at: it.created_at.0,
            removed_at: it.removed_at.map(|at| at.0),
        }),
        Record::Link(it) => RecordV1::Link(LinkV1 {
            id: id(it.id.0),
            secret_hash: it.secret_hash,
            purpose: match &it.purpose {
                LinkPurpose::Setup => LinkPurposeV1::Setup,
                LinkPurpose::Invite { workspace, role: as_role, email } => {
                    LinkPurposeV1::Invite { workspace: id(workspace.0), role: role(*as_role), email: email.as_deref() }
                }
                LinkPurpose::ResetPassword { person, email } => {
                    LinkPurposeV1::ResetPassword { person: id(person.0), email }
                }
            },
            created_at: it.created_at.0,
            expires_at: it.expires_at.0,
            used_at: it.used_at.map(|at| at.0),
        }),
        Record::LoginSession(it) => RecordV1::LoginSession(LoginSessionV1 {
            id: id(it.id.0),
            secret_hash: it.secret_hash,
            person: id(it.person.0),
            email: &it.email,
            workspace: id(it.workspace.0),
            member: id(it.member.0),
            generation: it.generation,
            created_at: it.created_at.0,
            expires_at: it.expires_at.0,
        }),
        Record::ApiKey(it) => RecordV1::ApiKey(ApiKeyV1 {
            id: id(it.id.0),
            secret_hash: it.secret_hash,
            workspace: id(it.workspace.0),
            name: &it.name,
            created_at: it.created_at.0,
        }),
    };
    encode(&VersionedV1 { version, record }, RECORD_BYTES)
}

/// The record and its version in stored bytes.
pub(crate) fn decode_record(bytes: &[u8]) -> Result<(Record, Version), StoreError> {
    let stored: VersionedV1<'_> = decode(bytes, "a record")?;
    let record = match stored.record {
        RecordV1::Workspace(it) => Record::Workspace(Workspace {
            id: WorkspaceId(from_id(it.id)),
            name: it.name.into(),
            greeting: it.greeting.into(),
            accent: it.accent,
            position: match it.position {
                CornerV1::Left => Corner::Left,
                CornerV1::Right => Corner::Right,
            },
            allowed_origins: it.allowed_origins.into_iter().map(String::from).collect(),
            agent_cap: it.agent_cap,
            created_at: Millis(it.created_at),
        }),
        RecordV1::Person(it) => Record::Person(Person {
            id: PersonId(from_id(it.id)),
            email: it.email.into(),
            name: it.name.into(),
            password: it.password.map(String::from),
            memberships: it
                .memberships
                .into_iter()
                .map(|(workspace, member)| (WorkspaceId(from_id(workspace)), MemberId(from_id(member))))
                .collect(),
            generation: it.generation,
        }),
        RecordV1::Email(person) => Record::Email(PersonId(from_id(person))),
        RecordV1::Member(it) => Record::Member(Member {
            id: MemberId(from_id(it.id)),
            workspace: WorkspaceId(from_id(it.workspace)),
            person: PersonId(from_id(it.person)),
            email: it.email.into(),
            name: it.name.into(),
            role: from_role(it.role),
            available: it.available,
            created_at: Millis(it.created_at),
            removed_at: it.removed_at.map(Millis),
        }),
        RecordV1::Link(it) => Record::Link(Link {
            id: TokenId(from_id(it.id)),
            secret_hash: it.secret_hash,
            purpose: match it.purpose {
                LinkPurposeV1::Setup => LinkPurpose::Setup,
                LinkPurposeV1::Invite { workspace, role, email } => LinkPurpose::Invite {
                    workspace: WorkspaceId(from_id(workspace)),
                    role: from_role(role),
                    email: email.map(String::from),
                },
                LinkPurposeV1::ResetPassword { person, email } => {
                    LinkPurpose::ResetPassword { person: PersonId(from_id(person)), email: email.into() }
                }
            },
            created_at: Millis(it.created_at),
            expires_at: Millis(it.expires_at),
            used_at: it.used_at.map(Millis),
        }),
        RecordV1::LoginSession(it) => Record::LoginSession(LoginSession {
            id: TokenId(from_id(it.id)),
            secret_hash: it.secret_hash,
            person: PersonId(from_id(it.person)),
            email: it.email.into(),
            workspace: WorkspaceId(from_id(it.workspace)),
            member: MemberId(from_id(it.member)),
            generation: it.generation,
            created_at: Millis(it.created_at),
            expires_at: Millis(it.expires_at),
        }),
        RecordV1::ApiKey(it) => Record::ApiKey(ApiKey {
            id: TokenId(from_id(it.id)),
            secret_hash: it.secret_hash,
            workspace: WorkspaceId(from_id(it.workspace)),
            name: it.name.into(),
            created_at: Millis(it.created_at),
        }),
    };
    Ok((record, stored.version))
}
