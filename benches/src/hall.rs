//! A hub that serves real sockets on loopback, without an engine behind it: the readers of the fan-out's benchmarks.

use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use bellhop_engine::domain::{CommandId, ConversationId, MemberId, Refusal, SessionId, VisitorId, WorkspaceId};
use bellhop_engine::exchange::{Party, Request, Team};
use bellhop_gateway::authenticate::Admitted;
use bellhop_gateway::ws::{Admission, Hub, Later, Limits, Switchboard, upgrade};
use bellhop_protocol::{As, ClientFrame, CloseCode, Hello, Id, VERSION};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::WORKSPACE;

/// How long a reader may take before the benchmark is given up.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Lets the runtime work, of one thread or many, until `count` readers got a frame.
///
/// # Panics
/// After [`PATIENCE`].
pub async fn arrived(receipts: &Receiver<()>, count: usize) {
    let began = Instant::now();
    let mut left = count;
    while left > 0 {
        if receipts.try_recv().is_ok() {
            left -= 1;
            continue;
        }
        assert!(began.elapsed() < PATIENCE, "every reader gets the frame");
        tokio::task::yield_now().await;
    }
}

/// A hub that serves sockets, and `count` visitors connected to it who say when a frame came.
///
/// # Panics
/// If loopback cannot be had, or a visitor is not let in.
pub async fn open(line: &Line, count: usize, got: &SyncSender<()>, receipts: &Receiver<()>) -> Arc<Hub> {
    let hub = Hub::new(limits());
    hub.attach(line.clone(), Arc::new(Everyone));
    let router = Router::new().route("/ws", get(upgrade)).with_state(Arc::clone(&hub));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let (_never, stop) = tokio::sync::watch::channel(false);
        bellhop_gateway::http::listen::serve(listener, router, 20_000, stop).await;
    });
    for _ in 0..count {
        let (mut socket, _) =
            tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await.expect("the hub takes it");
        let hello = ClientFrame::Hello(Hello {
            v: VERSION,
            who: As::Visitor,
            workspace: Some(Id(WORKSPACE.0)),
            token: None,
            client: None,
        });
        let hello = serde_json::to_string(&hello).expect("frames are plain data");
        socket.send(Message::text(hello)).await.expect("the socket is open");
        let got = got.clone();
        tokio::spawn(async move {
            while let Some(Ok(frame)) = socket.next().await {
                if frame.is_text() && got.send(()).is_err() {
                    return;
                }
            }
        });
        // `welcome`.
        arrived(receipts, 1).await;
    }
    hub
}

/// Nothing is limited but what one reader may hold up.
fn limits() -> Limits {
    Limits {
        max_sessions: 10_000,
        sessions_per_address: 10_000,
        hellos_per_minute: 1_000_000,
        starts_per_minute: 1_000_000,
        limit_loopback: false,
        frames_per_second: 1_000_000,
        frames_burst: 1_000_000,
        addresses_remembered: 1_000,
        admissions_at_once: 512,
        outbox_bytes: 1 << 20,
        outbox_budget_bytes: 256 << 20,
        hello_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(3_600),
        reconnect_window: Duration::from_secs(10),
        trusted_proxies: Vec::new(),
    }
}

/// Lets everyone in as a visitor.
struct Everyone;

impl Admission for Everyone {
    fn admit<'a>(&'a self, _hello: &'a Hello, _origin: Option<&'a str>) -> Later<'a, Result<Admitted, CloseCode>> {
        Box::pin(std::future::ready(Ok(Admitted {
            party: Party::Visitor { workspace: WORKSPACE, visitor: VisitorId(1), name: Arc::from("Amber Otter") },
            workspace_name: Arc::from("Northwind Tea"),
            token: None,
            available: None,
            login: None,
        })))
    }

    fn set_available(
        &self,
        _workspace: WorkspaceId,
        _member: MemberId,
        _available: bool,
    ) -> Later<'_, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Stands where the engine stands: remembers who connected and does nothing else.
#[derive(Clone, Default)]
pub struct Line(Arc<Mutex<Vec<SessionId>>>);

impl Line {
    /// In the order in which they came.
    pub fn sessions(&self) -> Vec<SessionId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Switchboard for Line {
    fn connect(&self, session: SessionId, _party: &Party) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(session);
    }

    fn disconnect(&self, _session: SessionId, _party: &Party, _followed: &[ConversationId]) {}

    fn submit(&self, _session: SessionId, _party: &Party, _request: Request) -> Result<(), Refusal> {
        Ok(())
    }

    fn start_id(&self, _workspace: WorkspaceId, _visitor: VisitorId, _id: CommandId) -> ConversationId {
        ConversationId(0)
    }

    fn team(&self, _workspace: WorkspaceId) -> Team {
        Team::default()
    }
}
