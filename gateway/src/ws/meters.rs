//! The WebSocket gateway's figures. Handles are resolved once; every label has a fixed set of values.

use bellhop_protocol::{ClientFrame, CloseCode};
use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};

/// Label values of `bellhop_frames_received_total`; the last is for what could not be read.
const KINDS: [&str; 19] = [
    "hello",
    "start",
    "send",
    "note",
    "assign",
    "resolve",
    "reopen",
    "status",
    "open",
    "close",
    "page",
    "read",
    "typing",
    "conversations",
    "list",
    "unlist",
    "more",
    "ping",
    "bad",
];

fn kind(frame: &ClientFrame) -> usize {
    match frame {
        ClientFrame::Hello(_) => 0,
        ClientFrame::Start(_) => 1,
        ClientFrame::Send(_) => 2,
        ClientFrame::Note(_) => 3,
        ClientFrame::Assign(_) => 4,
        ClientFrame::Resolve(_) => 5,
        ClientFrame::Reopen(_) => 6,
        ClientFrame::Status(_) => 7,
        ClientFrame::Open(_) => 8,
        ClientFrame::Close(_) => 9,
        ClientFrame::Page(_) => 10,
        ClientFrame::Read(_) => 11,
        ClientFrame::Typing(_) => 12,
        ClientFrame::Conversations(_) => 13,
        ClientFrame::List(_) => 14,
        ClientFrame::Unlist(_) => 15,
        ClientFrame::More(_) => 16,
        ClientFrame::Ping(_) => 17,
    }
}

/// Made with the hub, so the recorder must be installed before it.
pub(super) struct Meters {
    /// Not yet admitted, visitors, agents.
    pub(super) greeting: Gauge,
    pub(super) visitors: Gauge,
    pub(super) agents: Gauge,
    received: [Counter; KINDS.len()],
    pub(super) sent: Counter,
    closes: [Counter; CloseCode::ALL.len()],
    /// The client closed, or its connection broke.
    pub(super) left: Counter,
    /// A breach of RFC 6455: closed with 1002 or 1007.
    pub(super) breached: Counter,
    pub(super) outbox_bytes: Gauge,
    pub(super) refused_upgrades: Counter,
}

impl Meters {
    pub(super) fn new() -> Self {
        describe_gauge!(
            "bellhop_sessions",
            "Live connections, by kind: greeting (before hello is answered), visitor, agent."
        );
        describe_counter!("bellhop_frames_received_total", "Frames of clients, by kind; bad ones could not be read.");
        describe_counter!("bellhop_frames_sent_total", "Frames queued to clients.");
        describe_counter!(
            "bellhop_closes_total",
            "Ended connections, by close code; client: the client closed or vanished; breach: it broke RFC 6455."
        );
        describe_gauge!("bellhop_outbox_bytes", "Bytes queued to clients or being written.");
        describe_counter!("bellhop_upgrades_refused_total", "Connections refused before the upgrade (503 or 429).");
        Self {
            greeting: gauge!("bellhop_sessions", "kind" => "greeting"),
            visitors: gauge!("bellhop_sessions", "kind" => "visitor"),
            agents: gauge!("bellhop_sessions", "kind" => "agent"),
            received: KINDS.map(|kind| counter!("bellhop_frames_received_total", "kind" => kind)),
            sent: counter!("bellhop_frames_sent_total"),
            closes: CloseCode::ALL.map(|code| counter!("bellhop_closes_total", "code" => code.number().to_string())),
            left: counter!("bellhop_closes_total", "code" => "client"),
            breached: counter!("bellhop_closes_total", "code" => "breach"),
            outbox_bytes: gauge!("bellhop_outbox_bytes"),
            refused_upgrades: counter!("bellhop_upgrades_refused_total"),
        }
    }

    pub(super) fn received(&self, frame: &ClientFrame) {
        self.received[kind(frame)].increment(1);
    }

    pub(super) fn bad_frame(&self) {
        self.received[KINDS.len() - 1].increment(1);
    }

    pub(super) fn closed(&self, code: CloseCode) {
        if let Some(place) = CloseCode::ALL.iter().position(|it| *it == code) {
            self.closes[place].increment(1);
        }
    }
}
