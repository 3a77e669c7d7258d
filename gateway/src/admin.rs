//! The admin port: health, metrics, and the door by which the command line asks a running server. It has a thread and
//! a runtime of its own, so that a busy data plane cannot make a healthy server look dead, and the reverse.

mod ask;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::watch;

pub use ask::{AskError, ask_running};

use crate::accounts::{Accounts, OperatorCommand, Problem, Secret, random_bytes};
use crate::http::listen;
use crate::serve::StartError;
use crate::telemetry;

/// Connections at once: a scraper, a probe and a person need three.
const CONNECTIONS: usize = 64;

/// Largest body of the command line, bytes: a command holds a name and an e-mail.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// How often gauges that nobody updates are forgotten and histograms are gathered.
const UPKEEP: Duration = Duration::from_secs(5);

/// What the port answers about.
pub struct Door {
    pub accounts: Arc<Accounts>,
    /// Whether work is taken; the sentence says why not.
    pub ready: Box<dyn Fn() -> Result<(), String> + Send + Sync>,
    /// Where the address and the token for the command line are written.
    pub data: PathBuf,
}

/// The port: bound, then open.
pub struct Admin {
    listener: Option<std::net::TcpListener>,
    address: SocketAddr,
    files: Option<PathBuf>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The file that says where the admin port is.
fn address_file(data: &Path) -> PathBuf {
    data.join("admin.address")
}

/// The file with the token that commands need; readable by the server's user alone.
fn token_file(data: &Path) -> PathBuf {
    data.join("admin.token")
}

fn write_private(path: &Path, text: &str) -> Result<(), StartError> {
    let failed = |error: std::io::Error| StartError::File { path: path.to_owned(), reason: error.to_string() };
    // Made anew, so that an old file's looser rights are not kept.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

impl Admin {
    /// A bound port that is not answered yet.
    pub(crate) fn prepared(listener: std::net::TcpListener) -> Self {
        let address = listener.local_addr().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
        Self { listener: Some(listener), address, files: None, stop: watch::channel(false).0, thread: None }
    }

    /// Answers from a thread of its own.
    pub(crate) fn open(&mut self, door: Door) -> Result<(), StartError> {
        let token = Secret::new(random_bytes().iter().map(|byte| format!("{byte:02x}")).collect());
        write_private(&token_file(&door.data), token.expose())?;
        write_private(&address_file(&door.data), &self.address.to_string())?;
        self.files = Some(door.data.clone());
        let failed = |error: std::io::Error| StartError::Port {
            key: "admin.listen",
            address: self.address,
            reason: error.to_string(),
        };
        let listener = self.listener.take().expect("a port is opened once, by the one list of parts");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let stop = self.stop.subscribe();
        let state = Arc::new((door, token));
        let serving = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(async {
                // It was bound by a runtime, so it does not block.
                match tokio::net::TcpListener::from_std(listener) {
                    Ok(listener) => {
                        tokio::spawn(upkeep());
                        listen::serve_staff(listener, router(state), CONNECTIONS, stop).await;
                    }
                    Err(error) => tracing::error!(%error, "the admin port cannot be served"),
                }
            });
        });
        self.thread = Some(serving.map_err(failed)?);
        Ok(())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends the thread and takes its files away.
    pub(crate) fn close(mut self) {
        self.stop.send_replace(true);
        if let Some(data) = &self.files {
            // What is left behind only makes the next command try a port that is closed.
            let _ = std::fs::remove_file(address_file(data));
            let _ = std::fs::remove_file(token_file(data));
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn upkeep() {
    loop {
        tokio::time::sleep(UPKEEP).await;
        telemetry::metrics().run_upkeep();
    }
}

type Shared = Arc<(Door, Secret)>;

fn router(state: Shared) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .route("/admin/operate", post(operate))
        .with_state(state)
}

async fn ready(State(state): State<Shared>) -> Response {
    match (state.0.ready)() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics() -> Response {
    let text = telemetry::metrics().render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn operate(State(state): State<Shared>, headers: HeaderMap, body: axum::body::Body) -> Response {
    let given = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()).unwrap_or_default();
    if !same_text(given.strip_prefix("Bearer ").unwrap_or_default(), state.1.expose()) {
        return (StatusCode::UNAUTHORIZED, "The token is wrong; it stands in admin.token in the data directory.\n")
            .into_response();
    }
    let Ok(bytes) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return (StatusCode::PAYLOAD_TOO_LARGE, "The command is too long.\n").into_response();
    };
    let command: OperatorCommand = match serde_json::from_slice(&bytes) {
        Ok(command) => command,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("This is no command: {error}.\n")).into_response(),
    };
    match state.0.accounts.operate(command).await {
        Ok(lines) => lines.join("\n").into_response(),
        Err(problem) => {
            let status = match problem {
                Problem::Store(_) | Problem::Busy | Problem::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, problem.to_string()).into_response()
        }
    }
}

/// Compares without telling by its time where the first difference lies; lengths are no secret.
fn same_text(left: &str, right: &str) -> bool {
    let difference = left.bytes().zip(right.bytes()).fold(0u8, |sum, (a, b)| sum | (a ^ b));
    left.len() == right.len() && std::hint::black_box(difference) == 0
}
