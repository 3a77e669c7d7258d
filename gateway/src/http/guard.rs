//! What holds for every request: allowed hosts, origins, security headers, and a line in the metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::answer::Failure;
use super::ask::changes;
use crate::accounts::Problem;

/// Headers of every answer. A page that needs more (its Content-Security-Policy) sets it itself.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("x-permitted-cross-domain-policies"), "none"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
];

/// A body that is no page needs nothing: should a browser ever take it for one, it can do nothing.
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Refuses hosts that are not this server's (a forged `Host` would end up in links and caches) and cross-origin
/// requests that change something, then marks the answer.
pub(super) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().map(|it| it.as_str().to_owned());
    let mut response = match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(failure) => failure.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NOTHING));
    headers
        .entry(HeaderName::from_static("cross-origin-resource-policy"))
        .or_insert(HeaderValue::from_static("same-origin"));
    // What an API says is a secret of whoever asked, unless it says otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if app.accounts.site().secure() {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(year);
    }
    // Labels are bounded: the routes are, and a method that no route has is "other".
    let route = path.unwrap_or_else(|| "none".to_owned());
    let method = if matches!(method.as_str(), "GET" | "HEAD" | "POST" | "PATCH" | "DELETE" | "OPTIONS") {
        method.as_str().to_owned()
    } else {
        "other".to_owned()
    };
    let status = response.status().as_u16().to_string();
    metrics::counter!("bellhop_http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("bellhop_http_request_seconds", "route" => route).record(began.elapsed().as_secs_f64());
    response
}

fn check(app: &App, request: &Request) -> Result<(), Failure> {
    let host = request.headers().get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !app.accounts.site().is_own_host(host) {
        let message = "This server is not known by that name. Set server.public_url to the address that people use.";
        return Err(Failure::new(StatusCode::MISDIRECTED_REQUEST, "host", message));
    }
    // Programs with a key are no browsers, and a browser cannot send one across origins without being allowed to.
    if changes(request.method()) && !request.headers().contains_key(header::AUTHORIZATION) {
        let own = |it: &HeaderValue| it.to_str().is_ok_and(|it| app.accounts.site().is_own_origin(it));
        if request.headers().get(header::ORIGIN).is_some_and(|it| !own(it)) {
            return Err(Problem::Origin.into());
        }
    }
    Ok(())
}
