//! Set-up, log-in, log-out, who am I.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bellhop_engine::domain::{Role, WorkspaceId};
use bellhop_protocol::Id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::answer::{Answer, ErrorBody};
use super::ask::{Body, From, Person};
use super::openapi::{Email, Name, Password};
use super::{App, COOKIE};
use crate::accounts::{LoggedIn, NewLogin, Secret, Setup};

/// The cookie's life in the browser, seconds: as long as the log-in's, 30 days from its last use.
const COOKIE_SECS: u32 = 30 * 24 * 60 * 60;

/// Who is logged in, and what their page needs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Me {
    person: PersonView,
    member: MeMember,
    workspace: WorkspaceName,
    /// For the header X-Bellhop-Csrf of everything that changes something.
    csrf: String,
    /// The line for the workspace's pages.
    snippet: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonView {
    name: String,
    email: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MeMember {
    id: Id,
    name: String,
    role: bellhop_protocol::Role,
    available: bool,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkspaceName {
    id: Id,
    name: String,
}

pub(super) fn role(role: Role) -> bellhop_protocol::Role {
    match role {
        Role::Owner => bellhop_protocol::Role::Owner,
        Role::Agent => bellhop_protocol::Role::Agent,
    }
}

fn view(app: &App, who: LoggedIn) -> Me {
    Me {
        snippet: app.accounts.site().snippet(who.workspace.id),
        person: PersonView { name: who.person.name, email: who.person.email },
        member: MeMember {
            id: Id(who.member.id.0),
            name: who.member.name,
            role: role(who.member.role),
            available: who.member.available,
        },
        workspace: WorkspaceName { id: Id(who.workspace.id.0), name: who.workspace.name.clone() },
        csrf: who.csrf,
    }
}

/// `Set-Cookie` for a value, or one that takes it away.
fn set_cookie(app: &App, value: Option<&str>) -> HeaderMap {
    let (value, age) = value.map_or(("", 0), |it| (it, COOKIE_SECS));
    let secure = if app.accounts.site().secure() { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; HttpOnly; SameSite=Lax; Path=/; Max-Age={age}{secure}");
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.insert(header::SET_COOKIE, value);
    }
    headers
}

pub(super) fn logged_in(app: &App, login: NewLogin) -> (HeaderMap, Json<Me>) {
    (set_cookie(app, Some(login.cookie.expose())), Json(view(app, login.who)))
}

/// A link's token, as its page posts it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    #[schema(value_type = String)]
    pub(super) token: Secret,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Fine {
    ok: bool,
}

/// Whether a set-up link still works.
#[utoipa::path(
    post, path = "/api/v1/setup/look", tag = "session", request_body = TokenBody,
    responses(
        (status = 200, description = "It works.", body = Fine),
        (status = 410, description = "`link_dead`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn look_at_setup(
    State(app): State<Arc<App>>,
    From(from): From,
    Body(body): Body<TokenBody>,
) -> Answer<Json<Fine>> {
    app.accounts.look_at_setup(&body.token, from).await?;
    Ok(Json(Fine { ok: true }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetupBody {
    #[schema(value_type = String)]
    token: Secret,
    #[schema(value_type = Name)]
    workspace_name: String,
    #[schema(value_type = Name)]
    name: String,
    #[schema(value_type = Email)]
    email: String,
    #[schema(value_type = Password)]
    password: Secret,
}

/// Makes the first workspace and its owner; the link is dead afterwards.
#[utoipa::path(
    post, path = "/api/v1/setup", tag = "session", request_body = SetupBody,
    responses(
        (status = 201, description = "Made, and logged in by cookie.", body = Me),
        (status = 401, description = "`login_failed`: the e-mail has an account with another password", body = ErrorBody),
        (status = 410, description = "`link_dead`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn set_up(
    State(app): State<Arc<App>>,
    From(from): From,
    Body(body): Body<SetupBody>,
) -> Answer<(StatusCode, (HeaderMap, Json<Me>))> {
    let SetupBody { token, workspace_name, name, email, password } = body;
    let login = app.accounts.set_up(&token, Setup { workspace_name, name, email, password }, from).await?;
    Ok((StatusCode::CREATED, logged_in(&app, login)))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginBody {
    #[schema(value_type = Email)]
    email: String,
    #[schema(value_type = String)]
    password: Secret,
    workspace: Option<Id>,
}

/// Logs in by password.
#[utoipa::path(
    post, path = "/api/v1/login", tag = "session", request_body = LoginBody,
    responses(
        (status = 200, description = "Logged in by cookie.", body = Me),
        (status = 401, description = "`login_failed`, the same for an unknown e-mail and a wrong password", body = ErrorBody),
        (status = 409, description = "`choose_workspace`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    From(from): From,
    Body(body): Body<LoginBody>,
) -> Answer<(HeaderMap, Json<Me>)> {
    let workspace = body.workspace.map(|it| WorkspaceId(it.0));
    let login = app.accounts.log_in(&body.email, body.password, workspace, from).await?;
    Ok(logged_in(&app, login))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogoutBody {
    /// Ends all sessions of the person, in all tabs and browsers.
    #[serde(default)]
    everywhere: bool,
}

/// Logs out; the sockets of what ended are closed with 4015.
#[utoipa::path(
    post, path = "/api/v1/logout", tag = "session", request_body = LogoutBody, security(("cookie" = [])),
    responses(
        (status = 204, description = "Logged out."),
        (status = 401, description = "`not_logged_in`", body = ErrorBody),
        (status = 403, description = "`csrf`, `origin`, `person_only`", body = ErrorBody),
    ),
)]
pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    Person(who): Person,
    Body(body): Body<LogoutBody>,
) -> Answer<(StatusCode, HeaderMap)> {
    app.accounts.log_out(&who, body.everywhere).await?;
    Ok((StatusCode::NO_CONTENT, set_cookie(&app, None)))
}

/// Who is logged in. Moves the log-in's end to 30 days from now.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "session", security(("cookie" = [])),
    responses(
        (status = 200, description = "Logged in.", body = Me),
        (status = 401, description = "`not_logged_in`", body = ErrorBody),
        (status = 403, description = "`person_only`", body = ErrorBody),
    ),
)]
pub(super) async fn me(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Person(who): Person,
) -> Answer<(HeaderMap, Json<Me>)> {
    let mut answer = HeaderMap::new();
    if app.accounts.slide(&who).await?
        && let Some(value) = super::ask::cookie(&headers)
    {
        answer = set_cookie(&app, Some(value));
    }
    Ok((answer, Json(view(&app, who))))
}

/// A body without fields.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// For a socket's first frame.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SocketToken {
    pub(super) token: String,
    /// How long it may be used for connecting.
    pub(super) expires_in_ms: i64,
}

/// A token for the WebSocket's `hello` as an agent, good for 60 s.
#[utoipa::path(
    post, path = "/api/v1/socket-token", tag = "session", request_body = Nothing, security(("cookie" = [])),
    responses(
        (status = 200, description = "The token.", body = SocketToken),
        (status = 401, description = "`not_logged_in`", body = ErrorBody),
        (status = 403, description = "`csrf`, `origin`, `person_only`", body = ErrorBody),
    ),
)]
pub(super) async fn socket_token(
    State(app): State<Arc<App>>,
    Person(who): Person,
    Body(Nothing {}): Body<Nothing>,
) -> Json<SocketToken> {
    let token = app.accounts.socket_token(&who).expose().to_owned();
    Json(SocketToken { token, expires_in_ms: crate::accounts::SOCKET_TOKEN_MS })
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetBody {
    #[schema(value_type = String)]
    token: Secret,
    #[schema(value_type = Password)]
    password: Secret,
}

/// Sets a new password by a link; every other session of the person ends.
#[utoipa::path(
    post, path = "/api/v1/password/reset", tag = "session", request_body = ResetBody,
    responses(
        (status = 200, description = "Set, and logged in by cookie.", body = Me),
        (status = 410, description = "`link_dead`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn reset_password(
    State(app): State<Arc<App>>,
    From(from): From,
    Body(body): Body<ResetBody>,
) -> Answer<(HeaderMap, Json<Me>)> {
    let login = app.accounts.reset_password(&body.token, body.password, from).await?;
    Ok(logged_in(&app, login))
}
