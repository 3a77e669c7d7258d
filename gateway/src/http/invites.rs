//! Invites.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use bellhop_engine::domain::{Role, TokenId};
use bellhop_protocol::Id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, ErrorBody};
use super::ask::{Body, From, Owner, PathId};
use super::members::RoleBody;
use super::openapi::{Email, Name, Password};
use super::session::{Me, TokenBody, logged_in, role};
use crate::accounts::Secret;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InviteBody {
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    role: bellhop_protocol::Role,
    created_at: i64,
    expires_at: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitesBody {
    invites: Vec<InviteBody>,
}

/// Invites that can still be accepted, newest first.
#[utoipa::path(
    get, path = "/api/v1/invites", tag = "invites", security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "The invites.", body = InvitesBody),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`", body = ErrorBody),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, Owner(workspace): Owner) -> Answer<Json<InvitesBody>> {
    let invites = app.accounts.invites(workspace.id).await?;
    let invites = invites
        .into_iter()
        .map(|it| InviteBody {
            id: Id(it.id.0),
            email: it.email,
            role: role(it.role),
            created_at: it.created_at.0,
            expires_at: it.expires_at.0,
        })
        .collect();
    Ok(Json(InvitesBody { invites }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvite {
    /// Only this e-mail may accept it.
    #[schema(value_type = Option<Email>)]
    email: Option<String>,
    /// `agent` when absent.
    role: Option<RoleBody>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeInvite {
    id: Id,
    /// Shown once.
    link: String,
    expires_at: i64,
}

/// Makes an invite, good for 7 days and one person.
#[utoipa::path(
    post, path = "/api/v1/invites", tag = "invites", request_body = NewInvite, security(("cookie" = []), ("key" = [])),
    responses(
        (status = 201, description = "Made; the link is shown once.", body = MadeInvite),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`, `csrf`, `origin`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
    ),
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Owner(workspace): Owner,
    Body(body): Body<NewInvite>,
) -> Answer<(StatusCode, Json<MadeInvite>)> {
    let role = body.role.map_or(Role::Agent, Role::from);
    let invite = app.accounts.invite(workspace.id, role, body.email.as_deref()).await?;
    let made =
        MadeInvite { id: Id(invite.id.0), link: invite.link.expose().to_owned(), expires_at: invite.expires_at.0 };
    Ok((StatusCode::CREATED, Json(made)))
}

/// Takes an invite back.
#[utoipa::path(
    delete, path = "/api/v1/invites/{id}", tag = "invites", params(("id" = bellhop_protocol::Id, Path, description = "The invite.")),
    security(("cookie" = []), ("key" = [])),
    responses(
        (status = 204, description = "Taken back."),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`, `csrf`, `origin`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
    ),
)]
pub(super) async fn remove(
    State(app): State<Arc<App>>,
    Owner(workspace): Owner,
    PathId(id): PathId,
) -> Answer<StatusCode> {
    app.accounts.delete_invite(workspace.id, TokenId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InviteLookBody {
    workspace: InvitingWorkspace,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    role: bellhop_protocol::Role,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InvitingWorkspace {
    name: String,
}

/// What an invite is for.
#[utoipa::path(
    post, path = "/api/v1/invites/look", tag = "invites", request_body = TokenBody,
    responses(
        (status = 200, description = "It can be accepted.", body = InviteLookBody),
        (status = 410, description = "`link_dead`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn look(
    State(app): State<Arc<App>>,
    From(from): From,
    Body(body): Body<TokenBody>,
) -> Answer<Json<InviteLookBody>> {
    let look = app.accounts.look_at_invite(&body.token, from).await?;
    Ok(Json(InviteLookBody {
        workspace: InvitingWorkspace { name: look.workspace_name },
        email: look.email,
        role: role(look.role),
    }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptBody {
    #[schema(value_type = String)]
    token: Secret,
    #[schema(value_type = Name)]
    name: String,
    #[schema(value_type = Email)]
    email: String,
    #[schema(value_type = Password)]
    password: Secret,
}

/// Becomes a member. If the e-mail has a person already, the password must be theirs.
#[utoipa::path(
    post, path = "/api/v1/invites/accept", tag = "invites", request_body = AcceptBody,
    responses(
        (status = 201, description = "A member now, and logged in by cookie.", body = Me),
        (status = 401, description = "`login_failed`", body = ErrorBody),
        (status = 409, description = "`member_exists`", body = ErrorBody),
        (status = 410, description = "`link_dead`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn accept(
    State(app): State<Arc<App>>,
    From(from): From,
    Body(body): Body<AcceptBody>,
) -> Answer<(StatusCode, (HeaderMap, Json<Me>))> {
    let login = app.accounts.accept_invite(&body.token, &body.name, &body.email, body.password, from).await?;
    Ok((StatusCode::CREATED, logged_in(&app, login)))
}
