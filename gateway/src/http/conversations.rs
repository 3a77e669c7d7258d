//! Conversations, read only: lists, one, its events. Shapes are those of the protocol.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bellhop_engine::domain::{Audience, ConversationId, ConversationKey, Refusal};
use bellhop_engine::exchange::View;
use bellhop_engine::ports::Range;
use bellhop_protocol as wire;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::App;
use super::answer::{Answer, ErrorBody, Failure};
use super::ask::{PathId, Query, Staff};
use crate::accounts::Problem;
use crate::ws::convert;

/// Events of one answer: what the store reads at once.
const MAX_EVENTS: usize = 1_000;
/// The largest integer that every JSON reader holds exactly (RFC 8259, 6).
const MAX_EXACT: u64 = (1 << 53) - 1;
/// Without a limit.
const DEFAULT_EVENTS: usize = 200;
/// Rows without a limit.
const DEFAULT_ROWS: usize = 50;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ViewName {
    Open,
    Unassigned,
    Resolved,
    Mine,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `open` when absent. `mine` needs a member: an API key has none.
    #[param(inline)]
    view: Option<ViewName>,
    /// `next` of the page before.
    after: Option<String>,
    /// 50 when absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RowsBody {
    rows: Vec<wire::Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

fn limit(given: Option<usize>, default: usize, most: usize) -> Answer<usize> {
    match given.unwrap_or(default) {
        limit if (1..=most).contains(&limit) => Ok(limit),
        _ => Err(Problem::BadField { field: "limit", message: format!("The limit is 1 to {most}.") }.into()),
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::CursorBad => {
            let message = "This cursor is not one of this server. Start the list anew.";
            Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "cursor_bad", message).field("after")
        }
        Refusal::NotFound => Failure::not_found(),
        other => {
            tracing::debug!(%other, "a list was refused");
            Problem::Overloaded { retry_after_secs: 1 }.into()
        }
    }
}

/// A list of the inbox.
#[utoipa::path(
    get, path = "/api/v1/conversations", tag = "conversations", params(ListQuery),
    security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "A page.", body = RowsBody),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 422, description = "`bad_field`, `unknown_field`, `cursor_bad`", body = ErrorBody),
        (status = 503, description = "`overloaded`, `unavailable`", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    Query(query): Query<ListQuery>,
) -> Answer<Json<RowsBody>> {
    let view = match query.view.unwrap_or(ViewName::Open) {
        ViewName::Open => View::Open,
        ViewName::Unassigned => View::Unassigned,
        ViewName::Resolved => View::Resolved,
        ViewName::Mine if staff.member.is_none() => {
            let message = "An API key has no conversations of its own; ask for open.".into();
            return Err(Problem::BadField { field: "view", message }.into());
        }
        ViewName::Mine => View::Mine,
    };
    let limit = limit(query.limit, DEFAULT_ROWS, wire::limits::MAX_LIST_ROWS)?;
    let page = app.engine.rows(staff.workspace.id, staff.member, view, query.after.as_deref(), limit).await?;
    let (rows, next) = page.map_err(refused)?;
    Ok(Json(RowsBody { rows: rows.iter().map(|row| convert::row(row)).collect(), next }))
}

/// One conversation, as staff see it.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}", tag = "conversations",
    params(("id" = bellhop_protocol::Id, Path, description = "The conversation.")), security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "The conversation.", body = wire::Conversation),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 503, description = "`unavailable`", body = ErrorBody),
    ),
)]
pub(super) async fn read(
    State(app): State<Arc<App>>,
    staff: Staff,
    PathId(id): PathId,
) -> Answer<Json<wire::Conversation>> {
    let key = ConversationKey { workspace: staff.workspace.id, conversation: ConversationId(id) };
    let view = app.engine.view(key).await?.ok_or_else(Failure::not_found)?;
    Ok(Json(convert::conversation(&view, Audience::Staff)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Events above this seq; 0 when absent.
    #[param(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    after: Option<u64>,
    /// 200 when absent.
    #[param(minimum = 1, maximum = 1_000)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventsBody {
    /// Staff's view, oldest first.
    events: Vec<wire::Event>,
    /// The conversation's last seq.
    head: u64,
    /// Whether there are later ones than these.
    more: bool,
}

/// The conversation's events, oldest first.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/events", tag = "conversations",
    params(("id" = bellhop_protocol::Id, Path, description = "The conversation."), EventsQuery),
    security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "A page.", body = EventsBody),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 404, description = "`not_found`", body = ErrorBody),
        (status = 422, description = "`bad_field`, `unknown_field`", body = ErrorBody),
        (status = 503, description = "`unavailable`", body = ErrorBody),
    ),
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    staff: Staff,
    PathId(id): PathId,
    Query(query): Query<EventsQuery>,
) -> Answer<Json<EventsBody>> {
    let after = query.after.unwrap_or(0);
    if after > MAX_EXACT {
        return Err(Problem::BadField { field: "after", message: format!("A seq is at most {MAX_EXACT}.") }.into());
    }
    let limit = limit(query.limit, DEFAULT_EVENTS, MAX_EVENTS)?;
    let key = ConversationKey { workspace: staff.workspace.id, conversation: ConversationId(id) };
    let head = app.engine.view(key).await?.ok_or_else(Failure::not_found)?.head;
    let events = app.engine.events(key, Range::After(after), limit).await?;
    // Events may have been added since the view was read; then they are newer than its head.
    let head = head.max(events.last().map_or(0, |event| event.seq));
    let last = events.last().map_or(after, |event| event.seq);
    let events = events.iter().map(|event| convert::event(event, Audience::Staff)).collect();
    Ok(Json(EventsBody { events, head, more: last < head }))
}
