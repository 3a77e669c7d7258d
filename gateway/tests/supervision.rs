//! A panic in each kind of code of the running server, on real sockets and a real disk: who restarts it, what is kept,
//! who notices, and what comes of a code that goes on panicking. The table `engine/SUPERVISION.md` is written by this
//! test (`BELLHOP_BLESS=1`), and held by it otherwise. Needs the feature `sabotage`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod http_support;
mod ws_support;

use std::fmt::Write as _;
use std::time::Duration;

use bellhop_engine::sabotage::{Spot, arm};
use bellhop_protocol::CloseCode;
use http_support::{House, Login, ask};
use serde_json::{Value, json};
use ws_support::{Client, id, until};

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/SUPERVISION.md");

/// A line of the table.
struct Line {
    code: &'static str,
    restarted: &'static str,
    kept: &'static str,
    noticed: &'static str,
    again: &'static str,
}

/// A visitor with a conversation of their own.
struct Talk {
    socket: Client,
    token: String,
    workspace: String,
    conversation: String,
    sent: u128,
    /// What was acknowledged, in order.
    kept: Vec<String>,
}

impl Talk {
    async fn begin(house: &House, owner: &Login, number: u128) -> Self {
        let workspace = owner.me["workspace"]["id"].as_str().unwrap().to_owned();
        let mut socket = Client::connect(house.address).await;
        socket.say(json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace})).await;
        let welcome = socket.hear_kind("welcome").await;
        let token = welcome["token"].as_str().unwrap().to_owned();
        let text = format!("hello from {number}");
        socket.say(json!({"t": "start", "id": id(number << 64), "text": text, "page": null})).await;
        let ack = socket.hear_kind("ack").await;
        let conversation = ack["conversation"].as_str().unwrap().to_owned();
        Self { socket, token, workspace, conversation, sent: number << 64, kept: vec![text] }
    }

    async fn send(&mut self, text: &str) -> String {
        self.sent += 1;
        let id = id(self.sent);
        self.send_as(&id, text).await;
        id
    }

    async fn send_as(&mut self, id: &str, text: &str) {
        let frame = json!({"t": "send", "id": id, "conversation": self.conversation, "seen": 0, "text": text});
        self.socket.say(frame).await;
    }

    /// The answer to a command: `ack` or `refused`.
    async fn answer(&mut self, id: &str) -> Value {
        loop {
            let frame = self.socket.hear().await;
            if frame["id"] == id && (frame["t"] == "ack" || frame["t"] == "refused") {
                return frame;
            }
        }
    }

    async fn says(&mut self, text: &str) {
        let id = self.send(text).await;
        let answer = self.answer(&id).await;
        assert_eq!(answer["t"], "ack", "{answer}");
        self.kept.push(text.to_owned());
    }

    /// The same command again until it is acknowledged; whether it had taken effect before.
    async fn repeats(&mut self, id: &str, text: &str) {
        loop {
            self.send_as(id, text).await;
            let answer = self.answer(id).await;
            if answer["t"] == "ack" {
                self.kept.push(text.to_owned());
                return;
            }
            assert!(answer["retry_after_ms"].as_u64().is_some(), "a refusal for now says for how long: {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn come_back(&mut self, house: &House) {
        self.socket = Client::connect(house.address).await;
        let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": self.workspace, "token": self.token});
        self.socket.say(hello).await;
        self.socket.hear_kind("welcome").await;
    }

    /// A fresh reader finds exactly what was acknowledged, once and in order.
    async fn is_whole(&mut self) {
        self.socket.say(json!({"t": "open", "conversation": self.conversation, "after": null})).await;
        let opened = self.socket.hear_kind("opened").await;
        let events = opened["events"].as_array().unwrap();
        let texts: Vec<_> = events.iter().filter_map(|it| it["body"]["parts"][0]["text"].as_str()).collect();
        assert_eq!(texts, self.kept);
    }
}

async fn agent(house: &House, owner: &Login) -> Client {
    let token = house.post("/api/v1/socket-token", &owner.headers(), json!({})).is(200, "").json();
    let mut socket = Client::connect(house.address).await;
    socket.say(json!({"t": "hello", "v": 1, "as": "agent", "token": token["token"]})).await;
    socket.hear_kind("welcome").await;
    socket
}

fn ready(house: &House) -> bool {
    ask(house.server.admin_address(), "GET", "/readyz", &[], None).status == 200
}

/// Whether a new conversation comes to the agent's hands.
async fn is_routed(house: &House, owner: &Login, number: u128) {
    let mut talk = Talk::begin(house, owner, number).await;
    talk.socket.say(json!({"t": "open", "conversation": talk.conversation, "after": null})).await;
    loop {
        let frame = talk.socket.hear().await;
        let events = match frame["t"].as_str() {
            Some("opened") => frame["events"].as_array().cloned().unwrap_or_default(),
            Some("event") => vec![frame["event"].clone()],
            _ => continue,
        };
        if events.iter().any(|event| event["body"]["kind"] == "assigned") {
            return;
        }
    }
}

async fn in_a_conversation() -> Line {
    let house = House::open().await;
    let owner = house.set_up().await;
    let mut staff = agent(&house, &owner).await;
    let mut talk = Talk::begin(&house, &owner, 1).await;
    let mut neighbour = Talk::begin(&house, &owner, 2).await;
    staff.say(json!({"t": "open", "conversation": talk.conversation, "after": null})).await;
    staff.hear_kind("opened").await;
    talk.says("before").await;

    arm(Spot::Conversation, 1);
    let id = talk.send("in its hands").await;
    let answer = talk.answer(&id).await;
    assert_eq!((&answer["t"], &answer["code"]), (&json!("refused"), &json!("unknown")), "{answer}");
    staff.hear_kind("resync").await;
    neighbour.says("I felt nothing").await;
    talk.repeats(&id, "in its hands").await;
    talk.is_whole().await;

    arm(Spot::Conversation, 3);
    let mut last = json!(null);
    for _ in 0..4 {
        let id = talk.send("again and again").await;
        last = talk.answer(&id).await;
    }
    assert_eq!(last["code"], "conversation_unavailable", "{last}");
    arm(Spot::Conversation, 0);
    neighbour.says("nor now").await;
    neighbour.is_whole().await;
    assert!(ready(&house), "one conversation is not the server");
    house.close().await;
    Line {
        code: "conversation",
        restarted: "its supervisor, from the log",
        kept: "everything acknowledged; the inbox in front of it; its followers",
        noticed: "the sender in hand: `unknown`, the repeat takes effect once; followers: `resync`; others: nothing",
        again: "three in a minute: quarantined, `conversation_unavailable`, the others go on",
    }
}

/// Panics in an actor of the workspace, set off by what `stir` does.
async fn in_a_desk(spot: Spot) {
    let house = House::open().await;
    let owner = house.set_up().await;
    let mut staff = agent(&house, &owner).await;
    let mut talk = Talk::begin(&house, &owner, 1).await;
    is_routed(&house, &owner, 2).await;

    arm(spot, 1);
    staff.say(json!({"t": "available", "on": false})).await;
    staff.say(json!({"t": "available", "on": true})).await;
    talk.says("while it is down").await;
    is_routed(&house, &owner, 3).await;
    assert!(ready(&house));
    talk.is_whole().await;

    arm(spot, 1_000);
    staff.say(json!({"t": "available", "on": false})).await;
    staff.say(json!({"t": "available", "on": true})).await;
    let mut others = Vec::new();
    for number in 4..8 {
        others.push(Talk::begin(&house, &owner, number).await);
    }
    let why = tokio::time::timeout(Duration::from_secs(20), house.server.failure()).await.expect("it escalates");
    assert!(why.contains("crashed three times in a minute"), "{why}");
    assert!(!ready(&house), "and readiness says so");
    arm(spot, 0);
    let folder = house.close().await;
    let house = House::open_in(folder, &[]).await;
    talk.come_back(&house).await;
    talk.is_whole().await;
    house.close().await;
}

async fn in_an_agent() -> Line {
    in_a_desk(Spot::Agent).await;
    Line {
        code: "agent",
        restarted: "the workspace's supervisor, from the open conversations' rows",
        kept: "who holds what (the logs say it); sessions",
        noticed: "nobody: routing goes on",
        again: "three in a minute: the server stops and starts anew; nothing acknowledged is lost",
    }
}

async fn in_a_queue() -> Line {
    in_a_desk(Spot::Queue).await;
    Line {
        code: "queue",
        restarted: "the workspace's supervisor, from the open conversations' rows",
        kept: "the line and its order (numbers lie in the logs)",
        noticed: "nobody: routing goes on",
        again: "three in a minute: the server stops and starts anew; nothing acknowledged is lost",
    }
}

async fn in_the_journal() -> Line {
    let house = House::open().await;
    let owner = house.set_up().await;
    let mut talk = Talk::begin(&house, &owner, 1).await;
    let mut neighbour = Talk::begin(&house, &owner, 2).await;
    talk.says("before").await;

    arm(Spot::Journal, 1);
    let id = talk.send("in the batch").await;
    let answer = talk.answer(&id).await;
    assert_eq!((&answer["t"], &answer["code"]), (&json!("refused"), &json!("unknown")), "{answer}");
    let later = neighbour.send("after it").await;
    let refused = neighbour.answer(&later).await;
    assert_eq!(refused["code"], "unavailable", "{refused}");
    let why = tokio::time::timeout(Duration::from_secs(20), house.server.failure()).await.expect("it stops");
    assert!(why.contains("Nothing that was acknowledged is lost"), "{why}");
    assert!(!ready(&house));

    let folder = house.close().await;
    let house = House::open_in(folder, &[]).await;
    talk.come_back(&house).await;
    neighbour.come_back(&house).await;
    talk.repeats(&id, "in the batch").await;
    neighbour.repeats(&later, "after it").await;
    talk.is_whole().await;
    neighbour.is_whole().await;
    house.close().await;
    Line {
        code: "journal (embedded store)",
        restarted: "the process, by whoever started it: only reading the disk anew tells what it holds",
        kept: "everything acknowledged",
        noticed: "senders in the batch: `unknown`; later ones: `unavailable`; readiness says no; each repeat takes effect once",
        again: "the same each time",
    }
}

async fn in_a_session() -> Line {
    let house = House::open().await;
    let owner = house.set_up().await;
    let mut talk = Talk::begin(&house, &owner, 1).await;
    let mut neighbour = Talk::begin(&house, &owner, 2).await;
    for _ in 0..4 {
        arm(Spot::Session, 1);
        let id = talk.send("in its hands").await;
        talk.socket.ends_with(CloseCode::Internal).await;
        neighbour.says("I felt nothing").await;
        talk.come_back(&house).await;
        talk.repeats(&id, "in its hands").await;
    }
    talk.is_whole().await;
    neighbour.is_whole().await;
    until("the broken ones are gone", || ready(&house)).await;
    house.close().await;
    Line {
        code: "session",
        restarted: "its client, which comes back and resumes",
        kept: "everything: a session holds nothing that is not in its client or in the log",
        noticed: "its client: `bye` with the code `internal`; others: nothing",
        again: "the same each time, for that client alone",
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_anywhere_is_mended_where_the_table_says_and_loses_nothing() {
    // One after another: what is armed is armed for the process.
    let lines = [
        in_a_conversation().await,
        in_an_agent().await,
        in_a_queue().await,
        in_the_journal().await,
        in_a_session().await,
    ];
    let mut table = String::from(
        "# What a panic does\n\nWritten and held by `gateway/tests/supervision.rs`, which sets each of them off in a running \
         server (`BELLHOP_BLESS=1` writes it anew).\n\n\
         | A panic in | Restarted by | Kept | Who notices | Again and again |\n|---|---|---|---|---|\n",
    );
    for Line { code, restarted, kept, noticed, again } in &lines {
        writeln!(table, "| {code} | {restarted} | {kept} | {noticed} | {again} |").unwrap();
    }
    if std::env::var_os("BELLHOP_BLESS").is_some() {
        std::fs::write(TABLE, &table).unwrap();
    }
    assert_eq!(std::fs::read_to_string(TABLE).unwrap_or_default(), table, "BELLHOP_BLESS=1 writes the table anew");
    let proof = json!({
        "promise": "G12",
        "attack": "a panic in conversation, agent, queue, journal and session code, once and again and again",
        "store": "embedded",
        "count": format!("{} kinds of code, each alone and repeated", lines.len()),
        "result": "each restarted or escalated as declared; 0 acknowledged lost; neighbours felt nothing",
        "passed": true,
    });
    println!("PROOF {proof}");
}
