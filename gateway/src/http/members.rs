//! Members.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bellhop_engine::domain::{MemberId, Role};
use bellhop_protocol::Id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, ErrorBody};
use super::ask::{Body, Key, Owner, PathId, Staff};
use super::openapi::{Email, Name};
use super::session::{Nothing, SocketToken, role};
use crate::accounts::{MemberView, SOCKET_TOKEN_MS};

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MemberBody {
    id: Id,
    name: String,
    email: String,
    role: bellhop_protocol::Role,
    /// Takes new conversations.
    available: bool,
    online: bool,
    /// Conversations they hold.
    open: u32,
    /// Milliseconds since 1970.
    created_at: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MembersBody {
    members: Vec<MemberBody>,
}

fn view(it: MemberView) -> MemberBody {
    MemberBody {
        id: Id(it.member.id.0),
        name: it.member.name,
        email: it.member.email,
        role: role(it.member.role),
        available: it.member.available,
        online: it.online,
        open: it.open,
        created_at: it.member.created_at.0,
    }
}

/// What a member may do.
#[derive(Debug, Clone, Copy, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RoleBody {
    Owner,
    Agent,
}

impl<'de> Deserialize<'de> for RoleBody {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bellhop_protocol::by_name(deserializer, &["owner", "agent"], &[Self::Owner, Self::Agent])
    }
}

impl From<RoleBody> for Role {
    fn from(role: RoleBody) -> Self {
        match role {
            RoleBody::Owner => Self::Owner,
            RoleBody::Agent => Self::Agent,
        }
    }
}

/// The members, first joined first.
#[utoipa::path(
    get, path = "/api/v1/members", tag = "members", security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "The members.", body = MembersBody),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, staff: Staff) -> Answer<Json<MembersBody>> {
    let members = app.accounts.members(staff.workspace.id).await?;
    Ok(Json(MembersBody { members: members.into_iter().map(view).collect() }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMember {
    #[schema(value_type = Name)]
    name: String,
    #[schema(value_type = Email)]
    email: String,
    role: RoleBody,
}

/// A member for an integration: acts through its API key and cannot log in.
#[utoipa::path(
    post, path = "/api/v1/members", tag = "members", request_body = NewMember, security(("key" = [])),
    responses(
        (status = 201, description = "Made.", body = MemberBody),
        (status = 401, description = "`key_invalid`", body = ErrorBody),
        (status = 403, description = "`key_only`", body = ErrorBody),
        (status = 409, description = "`member_exists`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
    ),
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    key: Key,
    Body(body): Body<NewMember>,
) -> Answer<(StatusCode, Json<MemberBody>)> {
    let member = app.accounts.add_member(key.workspace.id, &body.name, &body.email, body.role.into()).await?;
    Ok((StatusCode::CREATED, Json(view(member))))
}

/// Removes a member; their sessions and sockets end at once.
#[utoipa::path(
    delete, path = "/api/v1/members/{id}", tag = "members", params(("id" = bellhop_protocol::Id, Path, description = "The member.")),
    security(("cookie" = []), ("key" = [])),
    responses(
        (status = 204, description = "Removed."),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`, `csrf`, `origin`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 409, description = "`last_owner`", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Owner(workspace): Owner,
    PathId(id): PathId,
) -> Answer<StatusCode> {
    app.accounts.remove_member(workspace.id, MemberId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A token by which a program connects as a member, good for 60 s.
#[utoipa::path(
    post, path = "/api/v1/members/{id}/socket-token", tag = "members", request_body = Nothing,
    params(("id" = bellhop_protocol::Id, Path, description = "The member.")), security(("key" = [])),
    responses(
        (status = 200, description = "The token.", body = SocketToken),
        (status = 401, description = "`key_invalid`", body = ErrorBody),
        (status = 403, description = "`key_only`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(super) async fn socket_token(
    State(app): State<Arc<App>>,
    key: Key,
    PathId(id): PathId,
) -> Answer<Json<SocketToken>> {
    let token = app.accounts.socket_token_for(key.workspace.id, key.id, MemberId(id)).await?;
    Ok(Json(SocketToken { token: token.expose().to_owned(), expires_in_ms: SOCKET_TOKEN_MS }))
}
