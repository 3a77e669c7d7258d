//! What the tests of sockets share: a server on a free port, a client that speaks JSON, and stand-ins for the engine
//! and the accounts where those are not the subject.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use bellhop_engine::domain::{
    CommandId, ConversationId, MemberId, MemberName, Millis, Refusal, SessionId, TokenId, VisitorId, WorkspaceId,
};
use bellhop_engine::exchange::{Answer, MemberState, Party, Request, Team};
use bellhop_engine::ports::Answers;
use bellhop_gateway::authenticate::Admitted;
use bellhop_gateway::ws::{Admission, Hub, Later, Limits, Switchboard, upgrade};
use bellhop_protocol::{As, CloseCode, Hello};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub(crate) const WORKSPACE: u128 = 0xACE;
pub(crate) const VISITOR: u128 = 0x51;
pub(crate) const AGENT: u128 = 0xA6;
pub(crate) const LOGIN: u128 = 0x106;
/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Nothing is limited that a test does not limit itself.
pub(crate) fn limits() -> Limits {
    Limits {
        max_sessions: 10_000,
        sessions_per_address: 10_000,
        hellos_per_minute: 1_000_000,
        starts_per_minute: 1_000_000,
        limit_loopback: true,
        frames_per_second: 1_000_000,
        frames_burst: 1_000_000,
        addresses_remembered: 1_000,
        admissions_at_once: 100,
        outbox_bytes: 1 << 20,
        outbox_budget_bytes: 256 << 20,
        hello_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(120),
        reconnect_window: Duration::from_secs(10),
        trusted_proxies: Vec::new(),
    }
}

pub(crate) fn id(value: u128) -> String {
    format!("{value:032x}")
}

/// What the scripted engine was told.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Connected(Party),
    Disconnected(Vec<ConversationId>),
    Asked(Request),
}

/// An engine that answers each command at once and writes down what it was told.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) told: Mutex<Vec<(SessionId, Told)>>,
    pub(crate) hub: OnceLock<Weak<Hub>>,
    /// `open` is answered with an event of this many bytes.
    pub(crate) open_bytes: usize,
}

impl Script {
    pub(crate) fn asked(&self) -> Vec<Request> {
        let told = self.told.lock();
        told.iter().filter_map(|(_, it)| if let Told::Asked(it) = it { Some(it.clone()) } else { None }).collect()
    }

    pub(crate) fn last_session(&self) -> SessionId {
        let told = self.told.lock();
        told.iter().rev().find(|(_, it)| matches!(it, Told::Connected(_))).map(|(id, _)| *id).expect("one connected")
    }

    pub(crate) fn disconnections(&self) -> Vec<Vec<ConversationId>> {
        let told = self.told.lock();
        told.iter()
            .filter_map(|(_, it)| if let Told::Disconnected(it) = it { Some(it.clone()) } else { None })
            .collect()
    }

    fn hub(&self) -> Arc<Hub> {
        self.hub.get().and_then(Weak::upgrade).expect("the hub lives as long as its sessions")
    }
}

#[derive(Clone)]
pub(crate) struct Scripted(pub Arc<Script>);

impl Switchboard for Scripted {
    fn connect(&self, session: SessionId, party: &Party) {
        self.0.told.lock().push((session, Told::Connected(party.clone())));
        if let Party::Agent { .. } = party {
            self.0.hub().deliver(&[session], &Answer::Members(Vec::<MemberState>::new()));
        }
    }

    fn disconnect(&self, session: SessionId, _party: &Party, followed: &[ConversationId]) {
        self.0.told.lock().push((session, Told::Disconnected(followed.to_vec())));
    }

    fn submit(&self, session: SessionId, _party: &Party, request: Request) -> Result<(), Refusal> {
        self.0.told.lock().push((session, Told::Asked(request.clone())));
        if let Request::Send { text, .. } = &request {
            match text.as_ref() {
                "overload" => return Err(Refusal::Overloaded { retry_after_ms: 77 }),
                "panic" => panic!("asked for by the test"),
                _ => {}
            }
        }
        let hub = self.0.hub();
        if let Some(id) = request.command_id() {
            let conversation = ConversationId(1);
            let at = Millis(5);
            hub.deliver(&[session], &Answer::Acknowledged { id, conversation, seq: 2, prev: 0, at, again: false });
        }
        if let Request::Open { conversation, .. } = request {
            let refusal = Refusal::NotFound;
            let refused = Answer::Refused { id: None, conversation: Some(conversation), refusal };
            if self.0.open_bytes == 0 {
                hub.deliver(&[session], &refused);
            } else {
                // As the real engine does, from elsewhere and a little later.
                let large = bulk(self.0.open_bytes);
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    hub.deliver(&[session], &large);
                });
            }
        }
        Ok(())
    }

    fn start_id(&self, _workspace: WorkspaceId, _visitor: VisitorId, id: CommandId) -> ConversationId {
        ConversationId(id.0 ^ 0xFF)
    }

    fn team(&self, _workspace: WorkspaceId) -> Team {
        Team { available: true, faces: Vec::new(), answers_in_secs: None }
    }
}

/// An answer whose frame is a little larger than `bytes`.
pub(crate) fn bulk(bytes: usize) -> Answer {
    Answer::ListPage { view: bellhop_engine::exchange::View::Open, rows: Vec::new(), next: Some("x".repeat(bytes)) }
}

/// Accounts with one visitor, one agent, and tokens that say what is wrong with them.
#[derive(Default)]
pub(crate) struct Doorman {
    pub(crate) origins: Mutex<Vec<Option<String>>>,
    pub(crate) stored: Mutex<Vec<bool>>,
    pub(crate) held: Mutex<bool>,
}

impl Admission for Doorman {
    fn admit<'a>(&'a self, hello: &'a Hello, origin: Option<&'a str>) -> Later<'a, Result<Admitted, CloseCode>> {
        Box::pin(async move {
            self.origins.lock().push(origin.map(str::to_owned));
            match hello.token.as_deref() {
                Some("expired") => return Err(CloseCode::TokenExpired),
                Some("invalid") => return Err(CloseCode::TokenInvalid),
                Some("held") => {
                    while *self.held.lock() {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                }
                _ => {}
            }
            let workspace = WorkspaceId(WORKSPACE);
            let party = match hello.who {
                As::Visitor => {
                    Party::Visitor { workspace, visitor: VisitorId(VISITOR), name: "Amber Falcon 27".into() }
                }
                As::Agent => Party::Agent { workspace, member: MemberName { id: MemberId(AGENT), name: "Ada".into() } },
            };
            let agent = hello.who == As::Agent;
            Ok(Admitted {
                party,
                workspace_name: "Acme".into(),
                token: (!agent).then(|| "a-new-token".to_owned()),
                available: agent.then_some(true),
                login: agent.then_some(TokenId(LOGIN)),
            })
        })
    }

    fn set_available(&self, _: WorkspaceId, _: MemberId, available: bool) -> Later<'_, Result<(), Refusal>> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.stored.lock().push(available);
            Ok(())
        })
    }
}

pub(crate) struct Server {
    pub(crate) hub: Arc<Hub>,
    pub(crate) engine: Arc<Script>,
    pub(crate) doorman: Arc<Doorman>,
    pub(crate) address: SocketAddr,
}

pub(crate) async fn listen(hub: &Arc<Hub>) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/ws", get(upgrade)).with_state(Arc::clone(hub));
    tokio::spawn(async move {
        let (_never, stop) = tokio::sync::watch::channel(false);
        bellhop_gateway::http::listen::serve(listener, router, 20_000, stop).await;
    });
    address
}

pub(crate) async fn serve(limits: Limits) -> Server {
    serve_script(limits, Script::default()).await
}

pub(crate) async fn serve_script(limits: Limits, script: Script) -> Server {
    let hub = Hub::new(limits);
    let engine = Arc::new(script);
    engine.hub.set(Arc::downgrade(&hub)).expect("set once");
    let doorman = Arc::new(Doorman::default());
    hub.attach(Scripted(Arc::clone(&engine)), Arc::clone(&doorman) as Arc<dyn Admission>);
    let address = listen(&hub).await;
    Server { hub, engine, doorman, address }
}

pub(crate) struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

/// How a connection ended: the last `bye`, and the number of the close frame (`None`: it just broke).
#[derive(Debug, PartialEq)]
pub(crate) struct Ended {
    pub(crate) bye: Option<Value>,
    pub(crate) close: Option<u16>,
    /// Frames before.
    pub(crate) frames: Vec<Value>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        Self::connect_from(address, None).await
    }

    pub(crate) async fn connect_from(address: SocketAddr, origin: Option<&str>) -> Client {
        Self::try_connect(address, origin).await.expect("the server takes connections")
    }

    pub(crate) async fn try_connect(address: SocketAddr, origin: Option<&str>) -> Result<Client, tungstenite::Error> {
        let mut request = format!("ws://{address}/ws").into_client_request().unwrap();
        if let Some(origin) = origin {
            request.headers_mut().insert("origin", origin.parse().unwrap());
        }
        let (socket, _) = tokio_tungstenite::connect_async(request).await?;
        Ok(Client(socket))
    }

    pub(crate) async fn visitor(address: SocketAddr) -> Client {
        let mut client = Self::connect(address).await;
        client.say(json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(WORKSPACE)})).await;
        assert_eq!(client.hear().await["t"], "welcome");
        client
    }

    /// Welcomed, and past the `members` that follow.
    pub(crate) async fn agent(address: SocketAddr) -> Client {
        let mut client = Self::connect(address).await;
        client.say(json!({"t": "hello", "v": 1, "as": "agent", "token": "good"})).await;
        assert_eq!(client.hear().await["t"], "welcome");
        assert_eq!(client.hear().await["t"], "members");
        client
    }

    pub(crate) async fn say(&mut self, frame: Value) {
        self.say_text(frame.to_string()).await;
    }

    pub(crate) async fn say_text(&mut self, text: String) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next frame.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("a frame comes in time") {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("a frame was expected and {other:?} came"),
            }
        }
    }

    /// The next frame of a kind; others are passed over.
    pub(crate) async fn hear_kind(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.hear().await;
            if frame["t"] == kind {
                return frame;
            }
        }
    }

    /// The connection still works.
    pub(crate) async fn still_there(&mut self) {
        self.say(json!({"t": "ping"})).await;
        self.hear_kind("pong").await;
    }

    /// Reads to the end.
    pub(crate) async fn end(&mut self) -> Ended {
        let mut ended = Ended { bye: None, close: None, frames: Vec::new() };
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("the end comes in time") {
                Some(Ok(Message::Text(text))) => {
                    let frame: Value = serde_json::from_str(&text).unwrap();
                    if frame["t"] == "bye" {
                        ended.bye = Some(frame);
                    } else {
                        ended.frames.push(frame);
                    }
                }
                Some(Ok(Message::Close(close))) => ended.close = close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return ended,
            }
        }
    }

    /// Reads to the end, which must be this code, said in `bye` and in the close frame alike.
    pub(crate) async fn ends_with(&mut self, code: CloseCode) -> Ended {
        let ended = self.end().await;
        assert_eq!(ended.close, Some(code.number()), "{ended:?}");
        let bye = ended.bye.as_ref().expect("a bye before the close");
        assert_eq!(bye["code"], code.number());
        assert_eq!(bye["message"], code.message());
        assert_eq!(bye["reconnect"], code.reconnect());
        ended
    }
}

/// Waits for something that other tasks bring about.
pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "never came true: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
