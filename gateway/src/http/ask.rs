//! What a request says: who asks and from where, its body, its query, the ids of its path. One entrance for
//! authentication over HTTP.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use bellhop_engine::domain::{MemberId, Role, TokenId, Workspace};
use bellhop_protocol::Id;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::answer::Failure;
use super::{App, COOKIE, CSRF_HEADER};
use crate::accounts::{LoggedIn, Problem};
use crate::ws::client_address;

/// Largest body, bytes (SECURITY.md: 1 MiB; uploads, which do not exist yet, apart).
const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Time for a body to come: the same as for headers.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON object as the body. Fields that `T` does not know are refused by name, and so are wrong types.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if essence != "application/json" {
            let message = "The body must be JSON: send Content-Type: application/json.";
            return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
        }
        let read = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES);
        let bytes = match tokio::time::timeout(BODY_TIMEOUT, read).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(_)) => {
                let message = "A body may have at most 1 MiB, and must arrive whole.";
                return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_big", message));
            }
            Err(_) => {
                let message = "The body did not come within 30 seconds.";
                return Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow", message));
            }
        };
        // serde would take an array for an object whose fields stand in order, and tell of anything else by the names
        // of our types.
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            serde_json::from_slice::<IgnoredAny>(&bytes).map_err(|error| bad_json(&error))?;
            let message = "The body must be a JSON object.";
            return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, "not_object", message));
        }
        let mut reader = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| explain(&error, &bytes))?;
        reader.end().map_err(|error| bad_json(&error))?;
        Ok(Self(value))
    }
}

fn bad_json(error: &serde_json::Error) -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "bad_json", format!("The body is not JSON: {error}."))
}

/// The word between the first backticks of serde's message: the field that it speaks of.
fn quoted(message: &str) -> Option<&str> {
    message.split('`').nth(1)
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>, body: &[u8]) -> Failure {
    let inner = error.inner();
    let mut message = inner.to_string();
    // A wrong field may stand before the place where the text ends being JSON. (Read wholly: what is ignored may hold
    // half a surrogate.)
    if let Err(error) = serde_json::from_slice::<serde_json::Value>(body) {
        return bad_json(&error);
    }
    if !inner.is_data() {
        // serde_json calls it bad syntax when one of some words is wanted and a number stands there.
        message = "one of some words is wanted, in quotation marks".to_owned();
    }
    // The place in the text says nothing to whoever sees a form.
    let message = message.split(" at line ").next().unwrap_or_default();
    let path = error.path().to_string();
    let code = match message.split(' ').take(2).collect::<Vec<_>>().as_slice() {
        ["unknown", "field"] => "unknown_field",
        ["missing", "field"] => "missing_field",
        _ => "bad_field",
    };
    let field = match code {
        "bad_field" if path == "." => {
            quoted(message).filter(|_| message.starts_with("duplicate field")).map(str::to_owned)
        }
        "bad_field" => Some(path),
        _ => quoted(message).map(str::to_owned),
    };
    unfit("body", code, message, field)
}

/// Characters of a sender's own words (a field's name, a wrong value) that a refusal repeats.
const MAX_ECHO_CHARS: usize = 200;

/// A body or a query of another shape.
fn unfit(what: &str, code: &'static str, message: &str, field: Option<String>) -> Failure {
    let cut = |text: &str| text.chars().take(MAX_ECHO_CHARS).collect::<String>();
    let message = format!("The {what} does not fit: {}.", cut(message));
    let failure = Failure::new(StatusCode::UNPROCESSABLE_ENTITY, code, message);
    match field {
        Some(field) => failure.field(cut(&field)),
        None => failure,
    }
}

/// The query. Unknown fields are refused by name here as well.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        axum::extract::Query::try_from_uri(&parts.uri).map(|axum::extract::Query(value)| Self(value)).map_err(|error| {
            let message = error.body_text();
            // A field without a name leaves its colon behind.
            let message = message.rsplit("query string: ").next().unwrap_or_default().trim_start_matches(": ");
            let code = if message.contains("unknown field") { "unknown_field" } else { "bad_field" };
            let field = message.split(':').next().filter(|it| !it.contains(' ')).or(quoted(message)).map(str::to_owned);
            unfit("query", code, message, field)
        })
    }
}

/// The id in the path. What is no id is answered as what is not there.
pub(crate) struct PathId(pub(crate) u128);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(text): Path<String> =
            Path::from_request_parts(parts, state).await.map_err(|_| Failure::not_found())?;
        Id::parse(&text).map(|id| Self(id.0)).map_err(|_| Failure::not_found())
    }
}

/// The client's address, as far as it can be believed.
pub(crate) struct From(pub(crate) IpAddr);

impl FromRequestParts<Arc<App>> for From {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        // Every connection carries it (see listen.rs); without it the limits would share one address, never none.
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let peer = peer.map_or(IpAddr::from([0, 0, 0, 0]), |it| it.0.ip());
        Ok(Self(client_address(peer, &parts.headers, &app.trusted_proxies)))
    }
}

/// Who asks, once it is certain.
#[must_use]
enum Caller {
    Person(Box<LoggedIn>),
    Key(TokenId, Arc<Workspace>),
}

/// The session cookie's value.
pub(super) fn cookie(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(';'))
        .find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether a method may change something.
pub(super) fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// An API key in `Authorization`, or else the cookie, which needs its CSRF header for whatever changes something.
async fn caller(parts: &Parts, app: &App) -> Result<Caller, Problem> {
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let text = value.to_str().ok().and_then(|it| it.split_once(' '));
        let key = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
        let (key, workspace) = app.accounts.by_key(key.ok_or(Problem::KeyInvalid)?).await?;
        return Ok(Caller::Key(key.id, workspace));
    }
    let who = app.accounts.by_cookie(cookie(&parts.headers).ok_or(Problem::NotLoggedIn)?).await?;
    if changes(&parts.method) {
        let given = parts.headers.get(CSRF_HEADER).and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !app.accounts.csrf_holds(&who, given) {
            return Err(Problem::Csrf);
        }
    }
    Ok(Caller::Person(Box::new(who)))
}

/// A person with a log-in; no API key.
pub(crate) struct Person(pub(crate) LoggedIn);

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        match caller(parts, app).await? {
            Caller::Person(who) => Ok(Self(*who)),
            Caller::Key(..) => Err(Problem::PersonOnly.into()),
        }
    }
}

/// A member, or an API key, which has an owner's rights.
pub(crate) struct Staff {
    pub(crate) workspace: Arc<Workspace>,
    /// Absent for a key.
    pub(crate) member: Option<MemberId>,
    owner: bool,
}

impl FromRequestParts<Arc<App>> for Staff {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        Ok(match caller(parts, app).await? {
            Caller::Person(who) => {
                Self { workspace: who.workspace, member: Some(who.member.id), owner: who.member.role == Role::Owner }
            }
            Caller::Key(_, workspace) => Self { workspace, member: None, owner: true },
        })
    }
}

/// An owner, or an API key.
pub(crate) struct Owner(pub(crate) Arc<Workspace>);

impl FromRequestParts<Arc<App>> for Owner {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        let staff = Staff::from_request_parts(parts, app).await?;
        if staff.owner { Ok(Self(staff.workspace)) } else { Err(Problem::OwnerOnly.into()) }
    }
}

/// An API key; no person.
pub(crate) struct Key {
    pub(crate) id: TokenId,
    pub(crate) workspace: Arc<Workspace>,
}

impl FromRequestParts<Arc<App>> for Key {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Failure> {
        match caller(parts, app).await? {
            Caller::Key(id, workspace) => Ok(Self { id, workspace }),
            Caller::Person(_) => Err(Problem::KeyOnly.into()),
        }
    }
}
