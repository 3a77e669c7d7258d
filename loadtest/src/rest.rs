//! The REST API of a Bellhop server: a small HTTP/1.1 client over kept-alive connections, and the calls that a load
//! test needs.

use std::{
    fmt,
    net::{SocketAddr, ToSocketAddrs},
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use bellhop_protocol::{Conversation, Event, Id, Row, Seq, View};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{SendRequest, handshake},
    header,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::{
    client::{connect, source},
    stage::lock,
};

/// One answer; the slowest call hashes a password (argon2id), on a busy machine.
const ANSWER: Duration = Duration::from_secs(30);
/// How long a call that may be repeated is repeated while the server is away or asks to wait.
const PATIENCE: Duration = Duration::from_secs(60);
/// Events a page; the most that the API gives.
const PAGE: usize = 200;
/// First source address of REST connections: far above those of the visitors (see [`source`]).
const FIRST_SOURCE: u32 = 15_000_000;

/// Why a call brought nothing.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// No connection, or it broke before an answer.
    Unreachable(String),
    /// The server answered with an error.
    Refused { status: StatusCode, code: String, message: String, retry_after: Option<u64> },
    /// It answered with something else than its contract says.
    Unreadable(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the server does not answer: {why}"),
            Self::Refused { status, code, message, .. } => {
                write!(f, "the server refused ({status}, {code}): {message}")
            }
            Self::Unreadable(why) => write!(f, "the server's answer cannot be read: {why}"),
        }
    }
}

/// How a call proves who makes it.
#[derive(Debug, Clone, Copy)]
enum Proof<'a> {
    Nobody,
    Key,
    Cookie(&'a Owner),
}

/// The owner's browser session that setting up gave.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    cookie: String,
    csrf: String,
    pub(crate) workspace: Id,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorText,
}

#[derive(Deserialize)]
struct ErrorText {
    code: String,
    message: String,
}

#[derive(Deserialize)]
struct Me {
    workspace: Workspace,
    csrf: String,
}

#[derive(Deserialize)]
struct Workspace {
    id: Id,
}

#[derive(Deserialize)]
struct MemberRows {
    members: Vec<Member>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Member {
    pub(crate) id: Id,
    pub(crate) email: String,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
struct Key {
    key: String,
}

#[derive(Deserialize)]
struct EventPage {
    events: Vec<Event>,
    more: bool,
}

#[derive(Deserialize)]
struct RowPage {
    rows: Vec<Row>,
    #[serde(default)]
    next: Option<String>,
}

struct Answer {
    cookie: Option<String>,
    body: Bytes,
}

pub(crate) struct Rest {
    address: SocketAddr,
    /// `http://host:port`.
    origin: String,
    host: String,
    key: OnceLock<String>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    connections: AtomicU32,
}

impl Rest {
    /// `url` is `http://host[:port]`; a path is not part of it.
    pub(crate) fn new(url: &str) -> Result<Self, String> {
        let bad = |why: &str| format!("{url} is not the address of a server: {why}");
        let host = match url.split_once("://") {
            Some(("http", host)) => host.trim_end_matches('/'),
            Some(("https", _)) => return Err(bad("this tool speaks no TLS; name the server's own http:// address")),
            _ => return Err(bad("it must begin with http://")),
        };
        if host.is_empty() || host.contains(['/', '?', '#', '@']) {
            return Err(bad("it must be http://host:port and nothing more"));
        }
        let named = if host.rsplit(']').next().is_some_and(|rest| rest.contains(':')) {
            host.into()
        } else {
            format!("{host}:80")
        };
        let address = named
            .to_socket_addrs()
            .map_err(|error| bad(&error.to_string()))?
            .next()
            .ok_or_else(|| bad("its name has no address"))?;
        Ok(Self {
            address,
            origin: format!("http://{host}"),
            host: host.into(),
            key: OnceLock::new(),
            idle: Mutex::new(Vec::new()),
            connections: AtomicU32::new(FIRST_SOURCE),
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The API key of all further calls; the first one said stays.
    pub(crate) fn set_key(&self, key: String) {
        self.key.get_or_init(|| key);
    }

    /// A page of text that anybody may read, such as the admin port's `/metrics`.
    pub(crate) async fn text(&self, path: &str) -> Result<String, Trouble> {
        let answer = self.call(Method::GET, path, Proof::Nobody, None).await?;
        String::from_utf8(answer.body.to_vec()).map_err(|error| Trouble::Unreadable(error.to_string()))
    }

    /// Whether the server answers at all.
    pub(crate) async fn is_up(&self) -> bool {
        !matches!(self.call(Method::GET, "/api/v1/me", Proof::Nobody, None).await, Err(Trouble::Unreachable(_)))
    }

    /// Uses a set-up link's token: the first workspace and its owner.
    pub(crate) async fn set_up(&self, token: &str, name: &str) -> Result<Owner, Trouble> {
        let body = json!({
            "token": token,
            "workspace_name": name,
            "name": "Load test",
            "email": "owner@loadtest.invalid",
            "password": "only for a load test",
        });
        let answer = self.call(Method::POST, "/api/v1/setup", Proof::Nobody, Some(body.to_string())).await?;
        let me: Me = read(&answer.body)?;
        let cookie = answer.cookie.ok_or_else(|| Trouble::Unreadable("setting up set no cookie".into()))?;
        Ok(Owner { cookie, csrf: me.csrf, workspace: me.workspace.id })
    }

    pub(crate) async fn make_key(&self, owner: &Owner) -> Result<String, Trouble> {
        let body = json!({ "name": "load test" }).to_string();
        let answer = self.call(Method::POST, "/api/v1/keys", Proof::Cookie(owner), Some(body)).await?;
        read::<Key>(&answer.body).map(|key| key.key)
    }

    /// The workspace that the key belongs to.
    pub(crate) async fn workspace(&self) -> Result<Id, Trouble> {
        let answer = self.call(Method::GET, "/api/v1/workspace", Proof::Key, None).await?;
        read::<Workspace>(&answer.body).map(|workspace| workspace.id)
    }

    /// Conversations an agent may hold at once; by the owner where one is known, else by the key.
    pub(crate) async fn set_agent_cap(&self, cap: u32, owner: Option<&Owner>) -> Result<(), Trouble> {
        let proof = owner.map_or(Proof::Key, Proof::Cookie);
        let body = json!({ "agent_cap": cap }).to_string();
        self.call(Method::PATCH, "/api/v1/workspace", proof, Some(body)).await.map(drop)
    }

    pub(crate) async fn members(&self) -> Result<Vec<Member>, Trouble> {
        let answer = self.call(Method::GET, "/api/v1/members", Proof::Key, None).await?;
        read::<MemberRows>(&answer.body).map(|rows| rows.members)
    }

    pub(crate) async fn add_member(&self, name: &str, email: &str) -> Result<Member, Trouble> {
        let body = json!({ "name": name, "email": email, "role": "agent" }).to_string();
        let answer = self.call(Method::POST, "/api/v1/members", Proof::Key, Some(body)).await?;
        read(&answer.body)
    }

    /// For an agent's hello; good for 60 s.
    pub(crate) async fn socket_token(&self, member: Id) -> Result<String, Trouble> {
        let path = format!("/api/v1/members/{member}/socket-token");
        let answer = self.call(Method::POST, &path, Proof::Key, Some("{}".into())).await?;
        read::<Token>(&answer.body).map(|token| token.token)
    }

    /// A conversation's whole log, page by page, waiting for a server that is away or asks for it.
    pub(crate) async fn events(&self, conversation: Id) -> Result<Vec<Event>, Trouble> {
        match self.events_as_far_as_they_go(conversation).await {
            (events, None) => Ok(events),
            (_, Some(trouble)) => Err(trouble),
        }
    }

    /// The same; where it cannot be read on, what was read until then and why.
    pub(crate) async fn events_as_far_as_they_go(&self, conversation: Id) -> (Vec<Event>, Option<Trouble>) {
        let mut events: Vec<Event> = Vec::new();
        loop {
            let after: Seq = events.last().map_or(0, |event| event.seq);
            let path = format!("/api/v1/conversations/{conversation}/events?after={after}&limit={PAGE}");
            let page = self.patiently(&path).await.and_then(|answer| read::<EventPage>(&answer.body));
            let page = match page {
                Ok(page) => page,
                Err(trouble) => return (events, Some(trouble)),
            };
            if page.more && page.events.is_empty() {
                let what = "a page of events is empty but says that there are more";
                return (events, Some(Trouble::Unreadable(what.into())));
            }
            events.extend(page.events);
            if !page.more {
                return (events, None);
            }
        }
    }

    /// A conversation as staff see it now.
    pub(crate) async fn conversation(&self, id: Id) -> Result<Conversation, Trouble> {
        read(&self.patiently(&format!("/api/v1/conversations/{id}")).await?.body)
    }

    /// A whole list, page by page. `Mine` is nobody's here: a key is no member.
    pub(crate) async fn rows(&self, view: View) -> Result<Vec<Row>, Trouble> {
        let name = match view {
            View::Mine => "mine",
            View::Unassigned => "unassigned",
            View::Open => "open",
            View::Resolved => "resolved",
        };
        let mut rows = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/api/v1/conversations?view={name}&limit=100{after}");
            let page: RowPage = read(&self.patiently(&path).await?.body)?;
            rows.extend(page.rows);
            match page.next {
                Some(next) => after = format!("&after={next}"),
                None => return Ok(rows),
            }
        }
    }

    async fn patiently(&self, path: &str) -> Result<Answer, Trouble> {
        let begin = Instant::now();
        loop {
            let trouble = match self.call(Method::GET, path, Proof::Key, None).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            let wait = match &trouble {
                Trouble::Unreachable(_) => Duration::from_millis(200),
                Trouble::Refused { status, retry_after, .. }
                    if *status == StatusCode::TOO_MANY_REQUESTS || *status == StatusCode::SERVICE_UNAVAILABLE =>
                {
                    Duration::from_secs(retry_after.unwrap_or(1).clamp(1, 10))
                }
                _ => return Err(trouble),
            };
            if begin.elapsed() > PATIENCE {
                return Err(trouble);
            }
            sleep(wait).await;
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        proof: Proof<'_>,
        body: Option<String>,
    ) -> Result<Answer, Trouble> {
        let body = Bytes::from(body.unwrap_or_default());
        // A kept connection may have died meanwhile, which shows only in using it.
        loop {
            let kept = lock(&self.idle).pop();
            let fresh = kept.is_none();
            let sender = match kept {
                Some(sender) => sender,
                None => self.dial().await?,
            };
            let request = self.request(&method, path, proof, body.clone())?;
            match timeout(ANSWER, self.exchange(sender, request)).await {
                Ok(Err(Trouble::Unreachable(_))) if !fresh => {}
                Ok(result) => return result,
                Err(_) => {
                    return Err(Trouble::Unreachable(format!(
                        "no answer to {method} {path} in {} s",
                        ANSWER.as_secs()
                    )));
                }
            }
        }
    }

    async fn dial(&self) -> Result<SendRequest<Full<Bytes>>, Trouble> {
        let number = self.connections.fetch_add(1, Ordering::Relaxed);
        let unreachable = |error: &dyn fmt::Display| Trouble::Unreachable(format!("{}: {error}", self.host));
        let stream = connect(self.address, source(number), false).await.map_err(|error| unreachable(&error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| unreachable(&error))?;
        // Ends with the connection; what goes wrong in it is told to the call that waits.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        proof: Proof<'_>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, Trouble> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request = match proof {
            Proof::Nobody => request.header(header::ORIGIN, &self.origin),
            Proof::Key => {
                let key = self.key.get().map_or("", String::as_str);
                request.header(header::AUTHORIZATION, format!("Bearer {key}"))
            }
            Proof::Cookie(owner) => request
                .header(header::ORIGIN, &self.origin)
                .header(header::COOKIE, &owner.cookie)
                .header("x-bellhop-csrf", &owner.csrf),
        };
        request.body(Full::new(body)).map_err(|error| Trouble::Unreadable(format!("no request can be made: {error}")))
    }

    async fn exchange(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Trouble> {
        let unreachable = |error: hyper::Error| Trouble::Unreachable(error.to_string());
        sender.ready().await.map_err(unreachable)?;
        let response = sender.send_request(request).await.map_err(unreachable)?;
        let status = response.status();
        let text = |name: header::HeaderName| response.headers().get(name).and_then(|value| value.to_str().ok());
        let retry_after = text(header::RETRY_AFTER).and_then(|value| value.parse().ok());
        let cookie = text(header::SET_COOKIE).and_then(|value| value.split(';').next()).map(str::to_string);
        let body = response.into_body().collect().await.map_err(unreachable)?.to_bytes();
        if !sender.is_closed() {
            lock(&self.idle).push(sender);
        }
        if status.is_success() {
            return Ok(Answer { cookie, body });
        }
        let (code, message) = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(ErrorBody { error }) => (error.code, error.message),
            Err(_) => ("no_code".into(), String::from_utf8_lossy(&body).chars().take(200).collect()),
        };
        Err(Trouble::Refused { status, code, message, retry_after })
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Trouble> {
    serde_json::from_slice(body).map_err(|error| Trouble::Unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Rest, Trouble};

    #[test]
    fn only_a_plain_http_address_is_taken() {
        for (url, says) in [
            ("https://chat.example", "no TLS"),
            ("127.0.0.1:8080", "must begin with http://"),
            ("http://", "nothing more"),
            ("http://127.0.0.1:8080/api", "nothing more"),
            ("http://127.0.0.1:port", "not the address of a server"),
        ] {
            let error = Rest::new(url).err().unwrap_or_default();
            assert!(error.contains(says), "{url}: {error}");
        }
        let rest = Rest::new("http://127.0.0.1:8080/").unwrap();
        assert_eq!((rest.address().port(), rest.origin()), (8080, "http://127.0.0.1:8080"));
        assert_eq!(Rest::new("http://127.0.0.1").unwrap().address().port(), 80);
        assert_eq!(Rest::new("http://[::1]:81").unwrap().address().port(), 81);
    }

    #[tokio::test]
    async fn a_dead_server_is_a_sentence() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let rest = Rest::new(&format!("http://127.0.0.1:{port}")).unwrap();
        assert!(!rest.is_up().await);
        let trouble = rest.workspace().await.unwrap_err();
        assert!(matches!(trouble, Trouble::Unreachable(_)));
        assert!(trouble.to_string().contains("the server does not answer"));
    }
}
