//! What a widget must know before it connects: public, and the same for everybody.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use bellhop_engine::domain::WorkspaceId;
use bellhop_protocol as wire;
use bellhop_protocol::Id;
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, ErrorBody, Failure};
use super::ask::{From, PathId};
use super::workspace::Position;
use crate::accounts::Counted;
use crate::ws::convert;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WidgetBody {
    workspace: WidgetWorkspace,
    greeting: String,
    accent: String,
    /// Black or white, whichever reads better on the accent (at least 4.5:1).
    accent_text: &'static str,
    position: Position,
    team: wire::Team,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WidgetWorkspace {
    id: Id,
    name: String,
}

/// Relative luminance of an sRGB colour (WCAG 2.2).
fn luminance(colour: u32) -> f64 {
    let channel = |shift: u32| {
        let value = f64::from((colour >> shift) & 0xff) / 255.0;
        if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
    };
    0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0)
}

/// White where it reads well enough, black otherwise: one of the two always has at least 4.58:1.
fn text_on(colour: u32) -> &'static str {
    if 1.05 / (luminance(colour) + 0.05) >= 4.5 { "#ffffff" } else { "#000000" }
}

/// A workspace, as its widget shows it before anything is said.
#[utoipa::path(
    get, path = "/api/v1/widget/{workspace}", tag = "widget",
    params(("workspace" = bellhop_protocol::Id, Path, description = "The workspace.")),
    responses(
        (status = 200, description = "What to show.", body = WidgetBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 429, description = "`too_many`", body = ErrorBody),
    ),
)]
pub(super) async fn look(
    State(app): State<Arc<App>>,
    From(from): From,
    PathId(id): PathId,
) -> Answer<([(HeaderName, &'static str); 3], Json<WidgetBody>)> {
    app.accounts.rates().take(Counted::WidgetPerAddress, from)?;
    let workspace = app.accounts.workspace(WorkspaceId(id)).ok_or_else(Failure::not_found)?;
    let body = WidgetBody {
        workspace: WidgetWorkspace { id: Id(id), name: workspace.name.clone() },
        greeting: workspace.greeting.clone(),
        accent: format!("#{:06x}", workspace.accent),
        accent_text: text_on(workspace.accent),
        position: workspace.position.into(),
        team: convert::team(&app.engine.team(workspace.id)),
    };
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (header::CACHE_CONTROL, "public, max-age=30"),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ];
    Ok((headers, Json(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_on_every_accent_has_at_least_4_5_to_1() {
        for colour in (0..=0xff_ffff).step_by(257) {
            let text = if text_on(colour) == "#ffffff" { 1.0 } else { 0.0 };
            let (light, dark) = (luminance(colour).max(text), luminance(colour).min(text));
            assert!((light + 0.05) / (dark + 0.05) >= 4.5, "#{colour:06x}");
        }
    }
}
