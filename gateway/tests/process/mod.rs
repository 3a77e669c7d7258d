//! The real binary as a child process, and visitors that talk to it over real sockets and remember what they were
//! told. They are the record against which the store is read.
#![allow(clippy::unwrap_used, unreachable_pub, reason = "a test")]

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bellhop_protocol::{As, ClientFrame, CloseCode, Hello, Id, Open, Send, ServerFrame, Start, decode_server};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take before the test gives up. Generous: the machines are noisy.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Server {
    child: Child,
    pub data: PathBuf,
    pub port: u16,
    setup_token: Option<String>,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Server {
    /// Starts `bellhop serve`; waits until it has said where it is.
    pub fn start(data: &Path, port: Option<u16>) -> Self {
        Self::start_with(data, port, &[])
    }

    /// The same with more of the environment.
    pub fn start_with(data: &Path, port: Option<u16>, environment: &[(String, String)]) -> Self {
        let port = port.unwrap_or_else(free_port);
        let mut child = Command::new(env!("CARGO_BIN_EXE_bellhop"))
            .arg("serve")
            .arg("--data")
            .arg(data)
            .arg("--listen")
            .arg(format!("127.0.0.1:{port}"))
            .env("BELLHOP_ADMIN__LISTEN", "127.0.0.1:0")
            .env("BELLHOP_DEMO__ENABLED", "false")
            .env("BELLHOP_DRAIN__OVER", "300ms")
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::piped())
            // For whoever looks for a fault: what the server said.
            .stderr(if std::env::var_os("BELLHOP_SHOW_LOG").is_some() { Stdio::inherit() } else { Stdio::null() })
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut setup_token = None;
        for _ in 0..3 {
            let line = lines.next().expect("three lines").unwrap();
            if let Some((_, token)) = line.split_once("/setup#") {
                setup_token = Some(token.trim().to_owned());
            }
        }
        // Keep the pipe open and drained, or the child would block on it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, data: data.to_owned(), port, setup_token }
    }

    /// Sets up the first workspace over its link; returns the workspace.
    pub async fn set_up(&self) -> Id {
        let token = self.setup_token.clone().expect("a fresh server prints a set-up link");
        let body = serde_json::json!({
            "token": token, "workspace_name": "Harbour Goods", "name": "Maya Osei",
            "email": "maya@example.org", "password": "correct horse battery",
        });
        let answer = post(self.port, "/api/v1/setup", &body.to_string()).await;
        Id::parse(answer["workspace"]["id"].as_str().unwrap_or_else(|| panic!("set-up answered {answer}"))).unwrap()
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        let sent = Command::new("kill").arg("-TERM").arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn post(port: u16, path: &str, body: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let text = String::from_utf8(answer).unwrap();
    let body = text.split_once("\r\n\r\n").unwrap().1;
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{path} answered {text}"))
}

/// What all visitors share.
pub struct Run {
    pub port: u16,
    pub workspace: Id,
    /// Set when no new messages are to be made; what is unanswered is still repeated until it is answered.
    pub finish: AtomicBool,
    pub acknowledged: AtomicU64,
    pub farewells: AtomicU64,
}

/// What a visitor was told: the record.
#[derive(Default)]
pub struct Record {
    pub conversation: Option<Id>,
    /// Acknowledged commands: id → (seq, text).
    pub acknowledged: BTreeMap<Id, (u64, String)>,
    /// Every command ever sent: id → text.
    pub sent: BTreeMap<Id, String>,
    /// Events in the order in which they came, over all connections.
    pub seen: Vec<u64>,
    pub resumes: u64,
}

struct Pending {
    id: Id,
    text: String,
    seen: u64,
}

/// One visitor: writes with a few messages in flight, comes back whenever the connection ends, resumes, repeats.
pub struct Visitor {
    run: Arc<Run>,
    name: u64,
    token: Option<String>,
    made: u64,
    last: u64,
    pending: VecDeque<Pending>,
    pub record: Record,
}

pub type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

const IN_FLIGHT: usize = 4;

impl Visitor {
    pub fn new(run: &Arc<Run>, name: u64) -> Self {
        Self {
            run: Arc::clone(run),
            name,
            token: None,
            made: 0,
            last: 0,
            pending: VecDeque::new(),
            record: Record::default(),
        }
    }

    /// Until told to finish and everything is answered.
    pub async fn live(mut self) -> Record {
        let patience = tokio::time::timeout(PATIENCE * 3, async {
            while !self.run.finish.load(Ordering::Relaxed) || !self.pending.is_empty() {
                if self.connection().await.is_none() {
                    // The server is away: the next try comes soon.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
        assert!(patience.await.is_ok(), "visitor {} was not answered in time", self.name);
        self.record
    }

    /// One connection's life; `None` when it ended before it was welcomed.
    async fn connection(&mut self) -> Option<()> {
        let stream = TcpStream::connect(("127.0.0.1", self.run.port)).await.ok()?;
        let url = format!("ws://127.0.0.1:{}/ws", self.run.port);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.ok()?;
        let hello = Hello {
            v: bellhop_protocol::VERSION,
            who: As::Visitor,
            workspace: Some(self.run.workspace),
            token: self.token.clone(),
            client: Some("durability test".into()),
        };
        say(&mut socket, &ClientFrame::Hello(hello)).await?;
        match hear(&mut socket).await? {
            ServerFrame::Welcome(welcome) => self.token = welcome.token.or(self.token.take()),
            _ => return None,
        }
        if let Some(conversation) = self.record.conversation {
            self.record.resumes += 1;
            say(&mut socket, &ClientFrame::Open(Open { conversation, after: Some(self.last) })).await?;
            loop {
                if let ServerFrame::Opened(opened) = hear(&mut socket).await? {
                    assert_eq!(opened.reset, None, "everything missed can be had");
                    for event in &opened.events {
                        self.take_event(event.seq, event.prev, event.cmd);
                    }
                    if !opened.more {
                        break;
                    }
                    say(&mut socket, &ClientFrame::Open(Open { conversation, after: Some(self.last) })).await?;
                }
            }
        }
        for index in 0..self.pending.len() {
            let frame = self.frame(index);
            say(&mut socket, &frame).await?;
        }
        while !self.run.finish.load(Ordering::Relaxed) || !self.pending.is_empty() {
            self.fill(&mut socket).await?;
            match hear(&mut socket).await? {
                ServerFrame::Ack(ack) => {
                    let known = self.record.conversation;
                    assert!(known.is_none() || ack.conversation == known, "one conversation");
                    self.record.conversation = ack.conversation;
                    let seq = ack.seq.unwrap();
                    self.acknowledged(ack.id, seq);
                    if !ack.again && ack.prev == Some(self.last) {
                        self.record.seen.push(seq);
                        self.last = seq;
                    }
                }
                ServerFrame::Event(new) => self.take_event(new.event.seq, new.event.prev, new.event.cmd),
                ServerFrame::Refused(refused) => {
                    let again = refused.retry_after_ms.unwrap_or_else(|| panic!("refused for good: {refused:?}"));
                    tokio::time::sleep(Duration::from_millis(again)).await;
                    for index in 0..self.pending.len() {
                        if Some(self.pending[index].id) == refused.id {
                            let frame = self.frame(index);
                            say(&mut socket, &frame).await?;
                        }
                    }
                }
                ServerFrame::Bye(bye) => {
                    assert_eq!((bye.code, bye.reconnect), (CloseCode::Draining, true));
                    assert!(bye.retry_after_ms.is_some());
                    self.run.farewells.fetch_add(1, Ordering::Relaxed);
                }
                _ => {}
            }
        }
        Some(())
    }

    fn take_event(&mut self, seq: u64, prev: u64, cmd: Option<Id>) {
        assert_eq!(prev, self.last, "visitor {}: a gap before {seq}", self.name);
        self.last = seq;
        self.record.seen.push(seq);
        if let Some(id) = cmd
            && self.pending.iter().any(|it| it.id == id)
        {
            self.acknowledged(id, seq);
        }
    }

    fn acknowledged(&mut self, id: Id, seq: u64) {
        if let Some(index) = self.pending.iter().position(|it| it.id == id)
            && let Some(done) = self.pending.remove(index)
        {
            self.record.acknowledged.insert(id, (seq, done.text));
            self.run.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn frame(&self, index: usize) -> ClientFrame {
        let Pending { id, text, seen } = &self.pending[index];
        match self.record.conversation {
            None => ClientFrame::Start(Start { id: *id, text: text.clone(), page: None }),
            Some(conversation) => ClientFrame::Send(Send { id: *id, conversation, seen: *seen, text: text.clone() }),
        }
    }

    async fn fill(&mut self, socket: &mut Socket) -> Option<()> {
        let most = if self.record.conversation.is_none() { 1 } else { IN_FLIGHT };
        while self.pending.len() < most && !self.run.finish.load(Ordering::Relaxed) {
            self.made += 1;
            let id = Id((u128::from(self.name) << 64) | u128::from(self.made));
            let text = format!("visitor {} says {}", self.name, self.made);
            self.record.sent.insert(id, text.clone());
            self.pending.push_back(Pending { id, text, seen: self.last });
            let frame = self.frame(self.pending.len() - 1);
            say(socket, &frame).await?;
        }
        Some(())
    }
}

pub async fn say(socket: &mut Socket, frame: &ClientFrame) -> Option<()> {
    socket.send(Message::text(serde_json::to_string(frame).unwrap())).await.ok()
}

/// The next frame; `None` when the connection ends.
pub async fn hear(socket: &mut Socket) -> Option<ServerFrame> {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("the server says something");
        match message?.ok()? {
            Message::Text(text) => return Some(decode_server(&text).unwrap_or_else(|bad| panic!("{bad}: {text}"))),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}
