//! Pages and files: the inbox, the widget's parts, the demo.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::App;
use super::answer::Failure;
use crate::assets::{self, Keep};
use crate::demo;

/// What the inbox's pages may do: their own script, style and socket, and nothing else (SECURITY.md, row A).
const INBOX_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const NOT_BUILT: &str =
    "This bellhop was built without its front ends. Build them, then bellhop: `cargo xtask run` does both.\n";

/// Routes of everything that is no API.
pub(super) fn routes(with_demo: bool) -> Router<Arc<App>> {
    let mut router = Router::new()
        .route("/bellhop.js", get(loader))
        .route("/widget/assets/{name}", get(widget_asset))
        .route("/assets/{name}", get(inbox_asset));
    // One page of the browser's own routing under all of these.
    for path in ["/", "/setup", "/invite", "/reset", "/login", "/inbox", "/inbox/", "/inbox/{*rest}"] {
        router = router.route(path, get(inbox));
    }
    if with_demo {
        router = router.route("/demo", get(demo::page)).route("/demo/{name}", get(demo::file));
    }
    router
}

async fn inbox(headers: HeaderMap) -> Response {
    let Some(mut response) = assets::serve("inbox/index.html", &headers, Keep::Ask) else {
        return (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response();
    };
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(INBOX_POLICY));
    response
}

async fn inbox_asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    asset("inbox/assets/", &name, &headers)
}

async fn widget_asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    for_other_pages(asset("widget/widget/assets/", &name, &headers))
}

async fn loader(headers: HeaderMap) -> Response {
    match assets::serve("widget/bellhop.js", &headers, Keep::FiveMinutes) {
        Some(response) => for_other_pages(response),
        None => (StatusCode::SERVICE_UNAVAILABLE, NOT_BUILT).into_response(),
    }
}

fn asset(folder: &str, name: &str, headers: &HeaderMap) -> Response {
    let found = assets::serve(&format!("{folder}{name}"), headers, Keep::Forever);
    found.unwrap_or_else(|| Failure::not_found().into_response())
}

/// The widget lives on other sites' pages.
fn for_other_pages(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));
    response
}

/// What has no route.
pub(super) async fn nothing_here(uri: Uri) -> Response {
    if uri.path().starts_with("/api/") {
        return Failure::new(StatusCode::NOT_FOUND, "not_found", "There is no such route; see /api/v1/openapi.json.")
            .into_response();
    }
    (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response()
}

/// A route that exists, asked in a way that it does not know.
pub(super) async fn wrong_method() -> Response {
    let message = "This route does not take that method; see /api/v1/openapi.json.";
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message).into_response()
}

/// Whether both front ends are in this binary; said in the log at the start.
pub(crate) fn front_ends_are_built() -> bool {
    assets::has("inbox/index.html") && assets::has("widget/bellhop.js")
}
