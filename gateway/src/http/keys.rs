//! API keys.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bellhop_engine::domain::TokenId;
use bellhop_protocol::Id;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::App;
use super::answer::{Answer, ErrorBody};
use super::ask::{Body, Owner, PathId};
use super::openapi::Name;

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyBody {
    id: Id,
    name: String,
    created_at: i64,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeysBody {
    keys: Vec<KeyBody>,
}

/// The workspace's keys, newest first.
#[utoipa::path(
    get, path = "/api/v1/keys", tag = "keys", security(("cookie" = []), ("key" = [])),
    responses(
        (status = 200, description = "The keys.", body = KeysBody),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`", body = ErrorBody),
    ),
)]
pub(super) async fn list(State(app): State<Arc<App>>, Owner(workspace): Owner) -> Answer<Json<KeysBody>> {
    let keys = app.accounts.keys(workspace.id).await?;
    let view =
        |it: bellhop_engine::domain::ApiKey| KeyBody { id: Id(it.id.0), name: it.name, created_at: it.created_at.0 };
    Ok(Json(KeysBody { keys: keys.into_iter().map(view).collect() }))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    #[schema(value_type = Name)]
    name: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MadeKey {
    id: Id,
    /// Shown once.
    key: String,
}

/// Makes a key, with an owner's rights.
#[utoipa::path(
    post, path = "/api/v1/keys", tag = "keys", request_body = NewKey, security(("cookie" = []), ("key" = [])),
    responses(
        (status = 201, description = "Made; the key is shown once.", body = MadeKey),
        (status = 401, description = "`not_logged_in`, `key_invalid`", body = ErrorBody),
        (status = 403, description = "`owner_only`, `csrf`, `origin`", body = ErrorBody),
        (status = 422, description = "`bad_field`", body = ErrorBody),
    ),
)]
pub(super) async fn add(
    State(app): State<Arc<App>>,
    Owner(workspace): Owner,
    Body(body): Body<NewKey>,
) -> Answer<(StatusCode, Json<MadeKey>)> {
    let (id, key) = app.accounts.add_key(workspace.id, &body.name).await?;
    Ok((StatusCode::CREATED, Json(MadeKey { id: Id(id.0), key: key.expose().to_owned() })))
}

/// Revokes a key: requests with it fail from here on, sockets that it opened are closed.
#[utoipa::path(
    delete, path = "/api/v1/keys/{id}", tag = "keys", params(("id" = bellhop_protocol::Id, Path, description = "The key.")),
    security(("cookie" = []), ("key" = [])),
    responses(
        (status = 204, description = "Revoked."),
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
    app.accounts.delete_key(workspace.id, TokenId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
