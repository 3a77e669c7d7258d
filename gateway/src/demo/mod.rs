//! A believable shop page with the widget on it: at /demo, and once more on another origin, where the page's own
//! Content-Security-Policy is as strict as a careful site's.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use bellhop_engine::domain::WorkspaceId;
use bellhop_protocol::Id;
use serde::Deserialize;

use crate::http::App;
use crate::site::Site;

const PAGE: &str = include_str!("shop.html");
const STYLE: &str = include_str!("shop.css");

/// Stands in the page where the snippet goes.
const SNIPPET: &str = "<!-- snippet -->";
/// Stands where a calm sentence goes when there is nothing to chat with yet.
const NOTE: &str = "<!-- note -->";

/// Which workspace's widget is shown.
#[derive(Debug, Deserialize)]
pub(crate) struct Wanted {
    workspace: Option<String>,
}

/// Only this server's script and socket, the snippet by its hash, its own style, and no string ever becomes script:
/// what a site that takes care would say. The widget needs no Trusted Types policy.
fn policy(site: &Site) -> String {
    let bellhop = site.content_security_policy();
    format!(
        "default-src 'none'; {bellhop}; style-src 'self'; img-src 'self' data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; \
         trusted-types 'none'"
    )
}

fn note(text: &str) -> String {
    format!("<p class=\"notice\" role=\"status\">{text}</p>")
}

/// The shop page.
pub(crate) async fn page(State(app): State<Arc<App>>, Query(wanted): Query<Wanted>) -> Response {
    let accounts = &app.accounts;
    let workspace = match wanted.workspace.as_deref() {
        Some(text) => Id::parse(text).ok().and_then(|id| accounts.workspace(WorkspaceId(id.0))),
        None => accounts.first_workspace(),
    };
    let (snippet, note) = match (workspace, &wanted.workspace) {
        (Some(workspace), _) => (accounts.site().snippet(workspace.id), String::new()),
        (None, Some(_)) => (String::new(), note("There is no such workspace here, so this page has no chat.")),
        (None, None) => (
            String::new(),
            note(
                "The chat appears here once Bellhop is set up: open the set-up link that the server printed, then reload this page.",
            ),
        ),
    };
    let html = PAGE.replace(SNIPPET, &snippet).replace(NOTE, &note);
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy(accounts.site())) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // The widget tells staff the page's address; another site's page would tell its origin by default.
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("cross-origin-opener-policy"), HeaderValue::from_static("same-origin"));
    response
}

/// The page's style.
pub(crate) async fn file(Path(name): Path<String>) -> Response {
    if name != "shop.css" {
        return (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response();
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    (headers, STYLE).into_response()
}

/// The same page, served as another site.
pub(crate) fn other_origin(app: Arc<App>) -> Router {
    Router::new().route("/", get(page)).route("/demo", get(page)).route("/demo/{name}", get(file)).with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_keeps_its_own_policy() {
        assert!(PAGE.contains(SNIPPET) && PAGE.contains(NOTE));
        for forbidden in ["<script", "style=", "onclick", "javascript:", "http://", "https://", "<style"] {
            // The namespace of SVG is a name, not an address that is fetched; inline SVG in HTML needs none.
            assert!(!PAGE.contains(forbidden), "{forbidden}");
        }
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }
}
