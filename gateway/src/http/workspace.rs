//! The workspace's settings.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use bellhop_engine::domain::{Corner, Workspace};
use bellhop_protocol::Id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, ErrorBody};
use super::ask::{Body, Owner, Staff};
use super::openapi::Name;
use crate::accounts::WorkspaceChange;

/// Which corner the bubble sits in.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Position {
    Left,
    Right,
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bellhop_protocol::by_name(deserializer, &["left", "right"], &[Self::Left, Self::Right])
    }
}

impl From<Corner> for Position {
    fn from(corner: Corner) -> Self {
        match corner {
            Corner::Left => Self::Left,
            Corner::Right => Self::Right,
        }
    }
}

impl From<Position> for Corner {
    fn from(position: Position) -> Self {
        match position {
            Position::Left => Self::Left,
            Position::Right => Self::Right,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkspaceView {
    id: Id,
    name: String,
    greeting: String,
    /// `#rrggbb`
    accent: String,
    position: Position,
    /// Origins whose pages may connect; empty means any.
    allowed_origins: Vec<String>,
    /// Conversations that the queue gives one agent at most.
    agent_cap: u32,
    snippet: String,
    /// What a page with a Content-Security-Policy must allow for the snippet.
    content_security_policy: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    demo_url: Option<String>,
}

fn view(app: &App, workspace: &Workspace) -> WorkspaceView {
    let site = app.accounts.site();
    WorkspaceView {
        id: Id(workspace.id.0),
        name: workspace.name.clone(),
        greeting: workspace.greeting.clone(),
        accent: format!("#{:06x}", workspace.accent),
        position: workspace.position.into(),
        allowed_origins: workspace.allowed_origins.clone(),
        agent_cap: workspace.agent_cap,
        snippet: site.snippet(workspace.id),
        content_security_policy: site.content_security_policy(),
        demo_url: site.demo.then(|| format!("{}/demo?workspace={}", site.public_url, workspace.id)),
    }
}

/// The workspace of whoever asks.
#[utoipa::path(
    get, path = "/api/v1/workspace", tag = "workspace", security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "The settings.", body = WorkspaceView),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
    ),
)]
pub(super) async fn read(State(app): State<Arc<App>>, staff: Staff) -> Json<WorkspaceView> {
    Json(view(&app, &staff.workspace))
}

/// Fields that are left out stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkspaceBody {
    #[schema(value_type = Option<Name>)]
    name: Option<String>,
    #[schema(max_length = 300)]
    greeting: Option<String>,
    #[schema(pattern = "^#[0-9a-fA-F]{6}$")]
    accent: Option<String>,
    position: Option<Position>,
    #[schema(max_items = 50)]
    allowed_origins: Option<Vec<String>>,
    #[schema(minimum = 1, maximum = 1_000)]
    agent_cap: Option<u32>,
}

/// Changes settings: all that are said, or, when one does not fit, none.
#[utoipa::path(
    patch, path = "/api/v1/workspace", tag = "workspace", request_body = WorkspaceBody,
    security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "The settings now.", body = WorkspaceView),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`, `csrf`, `origin`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
    ),
)]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Owner(workspace): Owner,
    Body(body): Body<WorkspaceBody>,
) -> Answer<Json<WorkspaceView>> {
    let change = WorkspaceChange {
        name: body.name,
        greeting: body.greeting,
        accent: body.accent,
        position: body.position.map(Corner::from),
        allowed_origins: body.allowed_origins,
        agent_cap: body.agent_cap,
    };
    let workspace = app.accounts.change_workspace(workspace.id, change).await?;
    Ok(Json(view(&app, &workspace)))
}
