//! One event to many sessions, over real sockets on loopback. `deliver` is how long the caller (a conversation's actor)
//! is held up: encoding once, queueing to each, waking each. `to_the_last_reader` goes on until everyone has it; the
//! readers run in this process and share its cores.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use bellhop_benches::{Talk, WORKSPACE};
use bellhop_engine::domain::{
    Audience, CommandId, ConversationId, MemberId, Refusal, SessionId, VisitorId, WorkspaceId,
};
use bellhop_engine::exchange::{Answer, Party, Request, Team};
use bellhop_engine::ports::Answers;
use bellhop_gateway::authenticate::Admitted;
use bellhop_gateway::ws::{Admission, Hub, Later, Limits, Switchboard, upgrade};
use bellhop_protocol::{As, ClientFrame, CloseCode, Hello, Id, VERSION};
use criterion::{BenchmarkId, Criterion, Throughput};
use futures_util::{SinkExt, StreamExt};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;

const SESSIONS: [usize; 3] = [1, 10, 100];

/// How long a reader may take before the benchmark is given up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn bench(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let (got, receipts) = sync_channel(SESSIONS[SESSIONS.len() - 1]);
    let line = Line::default();
    let hub = runtime.block_on(open(&line, SESSIONS[SESSIONS.len() - 1], &got, &receipts));
    let sessions = line.sessions();
    let talk = Talk::new();
    let answer = Answer::Event {
        conversation: talk.context.key.conversation,
        audience: Audience::All,
        event: Arc::new(talk.event()),
    };

    let mut group = criterion.benchmark_group("fan_out");
    for count in SESSIONS {
        let to = &sessions[..count];
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("deliver", count), |bench| {
            bench.iter_custom(|iterations| {
                (0..iterations)
                    .map(|_| {
                        let began = Instant::now();
                        hub.deliver(to, &answer);
                        let took = began.elapsed();
                        wait(&receipts, count);
                        took
                    })
                    .sum()
            });
        });
        group.bench_function(BenchmarkId::new("to_the_last_reader", count), |bench| {
            bench.iter(|| {
                hub.deliver(to, &answer);
                wait(&receipts, count);
            });
        });
    }
    group.finish();
}

fn wait(receipts: &Receiver<()>, count: usize) {
    for _ in 0..count {
        receipts.recv_timeout(PATIENCE).expect("every reader gets the frame");
    }
}

/// A hub that serves sockets, and `count` visitors connected to it who say when a frame came.
async fn open(line: &Line, count: usize, got: &SyncSender<()>, receipts: &Receiver<()>) -> Arc<Hub> {
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
        tokio::task::block_in_place(|| wait(receipts, 1));
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
struct Line(Arc<Mutex<Vec<SessionId>>>);

impl Line {
    fn sessions(&self) -> Vec<SessionId> {
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
