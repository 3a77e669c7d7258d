//! The gateway whole: real sockets, the real accounts, the real engine, the embedded store on a disk.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

mod ws_support;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bellhop_engine::domain::{ConversationId, ConversationKey, Event, MemberId, Millis, Role, TokenId, WorkspaceId};
use bellhop_engine::ports::{Clock, Range, Store};
use bellhop_engine::{Engine, Options, Ports};
use bellhop_gateway::accounts::{Accounts, OperatorCommand, Rates, Secret, Setup, WorkspaceChange, desks};
use bellhop_gateway::site::Site;
use bellhop_gateway::ws::{Hub, Limits};
use bellhop_protocol::CloseCode;
use bellhop_storage::{Embedded, EmbeddedOptions};
use serde_json::{Value, json};
use ws_support::{Client, id, limits, listen, until};

/// The machine's time and as much as a test adds.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Millis {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        Millis(now + self.0.load(Ordering::Relaxed))
    }
}

/// A directory that goes with the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("bellhop-ws-{}-{number}", std::process::id())))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

struct Whole {
    address: SocketAddr,
    hub: Arc<Hub>,
    engine: Engine,
    accounts: Arc<Accounts>,
    store: Arc<Embedded>,
    clock: Arc<TestClock>,
    workspace: WorkspaceId,
    owner: MemberId,
    key: TokenId,
    directory: Directory,
}

fn options() -> Options {
    Options {
        max_requests_in_flight: 10_000,
        max_requests_per_conversation: 1_000,
        commands_per_second: 0,
        sleep_after: Duration::from_secs(60),
        release_after: Duration::from_secs(60),
    }
}

/// A server without accounts, on the data of a directory.
async fn rise(
    directory: &Directory,
    limits: Limits,
) -> (SocketAddr, Arc<Hub>, Engine, Arc<Accounts>, Arc<Embedded>, Arc<TestClock>) {
    let store = Arc::new(Embedded::open(&directory.0, EmbeddedOptions::new()).unwrap());
    let clock = Arc::new(TestClock(AtomicI64::new(0)));
    let hub = Hub::new(limits);
    let desks = desks(store.as_ref()).await.unwrap();
    let ports = Ports {
        store: Arc::clone(&store) as Arc<dyn Store>,
        answers: Arc::clone(&hub) as Arc<_>,
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
    };
    let engine = Engine::start(ports, options(), desks).await.unwrap();
    let address = listen(&hub).await;
    let site = Arc::new(Site::new(address, "", false, None));
    let accounts = Accounts::open(
        Arc::clone(&store) as Arc<dyn Store>,
        Arc::clone(&clock) as Arc<dyn Clock>,
        site,
        Rates::new(1_000),
    )
    .await
    .unwrap();
    let accounts = Arc::new(accounts);
    accounts.attach(engine.clone(), Arc::clone(&hub));
    hub.attach(engine.clone(), Arc::clone(&accounts) as Arc<_>);
    (address, hub, engine, accounts, store, clock)
}

impl Whole {
    async fn start() -> Whole {
        Self::start_with(limits()).await
    }

    async fn start_with(limits: Limits) -> Whole {
        let directory = Directory::new();
        let (address, hub, engine, accounts, store, clock) = rise(&directory, limits).await;
        let link = accounts.make_setup_link().await.unwrap().unwrap();
        let token = Secret::new(link.expose().split_once('#').unwrap().1.to_owned());
        let setup = Setup {
            workspace_name: "Acme".into(),
            name: "Ada".into(),
            email: "ada@acme.example".into(),
            password: Secret::new("correct horse battery".into()),
        };
        let login = accounts.set_up(&token, setup, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap();
        let (workspace, owner) = (login.who.workspace.id, login.who.member.id);
        let (key, _) = accounts.add_key(workspace, "tests").await.unwrap();
        Whole { address, hub, engine, accounts, store, clock, workspace, owner, key, directory }
    }

    /// Another workspace with an agent and a key.
    async fn foreign(&self) -> (WorkspaceId, MemberId, TokenId) {
        let command =
            OperatorCommand::CreateWorkspace { name: "Foreign".into(), owner_email: "eve@foreign.example".into() };
        let lines = self.accounts.operate(command).await.unwrap();
        let hex = lines[0].strip_prefix("workspace ").unwrap();
        let workspace = WorkspaceId(u128::from_str_radix(hex, 16).unwrap());
        let member = self.accounts.add_member(workspace, "Eve", "eve2@foreign.example", Role::Agent).await.unwrap();
        let (key, _) = self.accounts.add_key(workspace, "tests").await.unwrap();
        (workspace, member.member.id, key)
    }

    async fn token(&self, workspace: WorkspaceId, key: TokenId, member: MemberId) -> String {
        self.accounts.socket_token_for(workspace, key, member).await.unwrap().expose().to_owned()
    }

    async fn agent(&self) -> Client {
        let token = self.token(self.workspace, self.key, self.owner).await;
        self.welcome(json!({"t": "hello", "v": 1, "as": "agent", "token": token})).await.0
    }

    async fn visitor(&self) -> (Client, String) {
        let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(self.workspace.0)});
        let (client, welcome) = self.welcome(hello).await;
        (client, welcome["token"].as_str().unwrap().to_owned())
    }

    async fn visitor_again(&self, token: &str) -> Client {
        let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(self.workspace.0), "token": token});
        let (client, welcome) = self.welcome(hello).await;
        assert!(welcome["token"].is_null(), "a young token is kept");
        client
    }

    async fn welcome(&self, hello: Value) -> (Client, Value) {
        let mut client = Client::connect(self.address).await;
        client.say(hello).await;
        let welcome = client.hear().await;
        assert_eq!(welcome["t"], "welcome", "{welcome}");
        (client, welcome)
    }

    async fn log(&self, conversation: &str) -> Vec<Arc<Event>> {
        let conversation = ConversationId(u128::from_str_radix(conversation, 16).unwrap());
        let key = ConversationKey { workspace: self.workspace, conversation };
        self.store.events(key, Range::After(0), 1_000).await.unwrap()
    }
}

/// Starts a conversation and returns its id.
async fn start(visitor: &mut Client, number: u128, text: &str) -> String {
    visitor.say(json!({"t": "start", "id": id(number), "text": text, "page": "https://shop.example/"})).await;
    let ack = visitor.hear_kind("ack").await;
    assert_eq!(ack["id"], id(number));
    ack["conversation"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_travel_between_a_visitor_and_an_agent() {
    let whole = Whole::start().await;
    let mut agent = whole.agent().await;
    agent.say(json!({"t": "list", "view": "open"})).await;
    assert_eq!(agent.hear_kind("list").await["rows"], json!([]));
    let (mut visitor, token) = whole.visitor().await;
    let conversation = start(&mut visitor, 1, "Do you ship to Oslo? \u{202B}שלום\u{202C} 🙂").await;
    let changes = agent.hear_kind("changes").await;
    assert_eq!(changes["upserts"][0]["id"], conversation.as_str());

    agent.say(json!({"t": "open", "conversation": conversation})).await;
    let opened = agent.hear_kind("opened").await;
    assert_eq!(opened["reset"], "first");
    assert_eq!(opened["events"][0]["body"], json!({"kind": "started", "page": "https://shop.example/"}));
    assert_eq!(opened["events"][1]["body"]["parts"][0]["text"], "Do you ship to Oslo? \u{202B}שלום\u{202C} 🙂");
    let seen = opened["conversation"]["head"].as_u64().unwrap();

    agent
        .say(json!({"t": "note", "id": id(2), "conversation": conversation, "seen": seen, "text": "between us"}))
        .await;
    agent.say(json!({"t": "send", "id": id(3), "conversation": conversation, "seen": seen, "text": "We do."})).await;
    let note = agent.hear_kind("ack").await;
    let sent = agent.hear_kind("ack").await;
    assert_eq!((&note["id"], &sent["id"]), (&json!(id(2)), &json!(id(3))));
    let heard = loop {
        let event = visitor.hear_kind("event").await;
        assert_ne!(event["event"]["body"]["kind"], "note", "a note is for staff");
        assert_eq!(event["event"]["audience"], "all");
        if event["event"]["body"]["kind"] == "message" {
            break event;
        }
    };
    assert_eq!(heard["event"]["seq"], sent["seq"]);
    assert_eq!(heard["event"]["body"]["parts"][0]["text"], "We do.");

    visitor.say(json!({"t": "read", "conversation": conversation, "seq": sent["seq"]})).await;
    let read = agent.hear_kind("read").await;
    assert_eq!((&read["mark"]["kind"], &read["mark"]["seq"]), (&json!("visitor"), &sent["seq"]));
    visitor.say(json!({"t": "typing", "conversation": conversation, "on": true})).await;
    assert_eq!(agent.hear_kind("typing").await["on"], true);

    // The connection breaks after a command was sent; the same visitor comes back and says it again.
    visitor
        .say(json!({"t": "send", "id": id(4), "conversation": conversation, "seen": sent["seq"], "text": "Great!"}))
        .await;
    drop(visitor);
    let mut visitor = whole.visitor_again(&token).await;
    visitor.say(json!({"t": "open", "conversation": conversation, "after": sent["seq"]})).await;
    let opened = visitor.hear_kind("opened").await;
    assert!(opened["reset"].is_null(), "{opened}");
    visitor
        .say(json!({"t": "send", "id": id(4), "conversation": conversation, "seen": sent["seq"], "text": "Great!"}))
        .await;
    let ack = visitor.hear_kind("ack").await;
    assert_eq!(ack["id"], id(4));
    let words: Vec<u64> = whole
        .log(&conversation)
        .await
        .iter()
        .filter(|event| event.command.is_some_and(|mark| mark.id.0 == 4))
        .map(|event| event.seq)
        .collect();
    assert_eq!(words, [ack["seq"].as_u64().unwrap()], "once");

    // Whoever starts again is told what there is.
    visitor.say(json!({"t": "conversations"})).await;
    let rows = visitor.hear_kind("conversations").await;
    assert_eq!(rows["rows"][0]["id"], conversation.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_input_gets_its_code_and_changes_nothing() {
    let whole = Whole::start().await;
    let mut agent = whole.agent().await;
    let (mut visitor, _) = whole.visitor().await;
    let conversation = start(&mut visitor, 1, "Hello").await;
    let (mut other, _) = whole.visitor().await;
    let foreign = start(&mut other, 1, "Mine alone").await;
    assert_ne!(conversation, foreign, "the same command id of another visitor is another conversation");
    let unknown = id(0xBAD);
    until("it is assigned", || {
        let members = whole.engine.members(whole.workspace);
        members.iter().any(|member| member.open == 2)
    })
    .await;
    let before = (whole.log(&conversation).await, whole.log(&foreign).await);

    let text = |text: &str| json!({"t": "send", "id": id(9), "conversation": conversation, "seen": 0, "text": text});
    let page = |page: &str| json!({"t": "start", "id": id(9), "text": "x", "page": page});
    let long_page = format!("https://shop.example/{}", "x".repeat(2_048));
    let (too_long, spaces) = ("x".repeat(16 * 1024 + 1), " \t\r\n\u{3000}".to_owned());
    let mut as_visitor: Vec<(&str, Value, &str)> = vec![
        ("an empty text", text(""), "text_empty"),
        ("only spaces", text(&spaces), "text_empty"),
        ("only invisible characters", text("\u{200B}\u{202E}\u{2060}\u{FEFF}"), "text_empty"),
        ("a text of 16 KiB and a byte", text(&too_long), "text_too_long"),
        ("NUL", text("a\0b"), "text_control"),
        ("a terminal's escape", text("\u{1b}[31mred"), "text_control"),
        ("a start without words", json!({"t": "start", "id": id(9), "text": " "}), "text_empty"),
        ("a page of script", page("javascript:alert(1)"), "page_bad"),
        ("a page that is long", page(&long_page), "page_bad"),
        ("a page with a space", page("https://shop.example/ x"), "page_bad"),
        (
            "the id of the first message with other words",
            json!({"t": "start", "id": id(1), "text": "Other"}),
            "id_reused",
        ),
        ("a conversation's list as a visitor", json!({"t": "list", "view": "open"}), "forbidden"),
        (
            "a note as a visitor",
            json!({"t": "note", "id": id(9), "conversation": conversation, "seen": 0, "text": "x"}),
            "forbidden",
        ),
        ("hello again", json!({"t": "hello", "v": 1, "as": "visitor"}), "already_welcome"),
        ("an unknown kind", json!({"t": "delete", "conversation": conversation}), "bad_frame"),
        (
            "a field of the wrong type",
            json!({"t": "send", "id": id(9), "conversation": 7, "seen": 0, "text": "x"}),
            "bad_frame",
        ),
    ];
    // Every frame that names a conversation, with one that is another visitor's and one that there is not.
    for theirs in [&foreign, &unknown] {
        as_visitor.extend([
            ("send", json!({"t": "send", "id": id(9), "conversation": theirs, "seen": 0, "text": "x"}), "not_found"),
            ("open", json!({"t": "open", "conversation": theirs}), "not_found"),
            ("open after", json!({"t": "open", "conversation": theirs, "after": 1}), "not_found"),
            ("page", json!({"t": "page", "conversation": theirs, "before": 9}), "not_found"),
        ]);
    }
    for (name, frame, code) in as_visitor {
        visitor.say(frame.clone()).await;
        let refused = visitor.hear_kind("refused").await;
        assert_eq!(refused["code"], code, "{name}: {refused}");
        assert!(refused["message"].as_str().unwrap().len() > 10, "{name}: a sentence");
        if frame["id"].is_string() && code != "bad_frame" {
            assert_eq!(refused["id"], frame["id"], "{name}");
        }
        visitor.still_there().await;
    }
    // Not answered, whosever it is.
    for theirs in [&foreign, &unknown] {
        visitor.say(json!({"t": "typing", "conversation": theirs, "on": true})).await;
        visitor.say(json!({"t": "read", "conversation": theirs, "seq": 1})).await;
        visitor.say(json!({"t": "close", "conversation": theirs})).await;
    }
    visitor.still_there().await;
    visitor.say(json!({"t": "open", "conversation": conversation, "after": 9_999})).await;
    let opened = visitor.hear_kind("opened").await;
    assert_eq!(opened["reset"], "cursor_ahead", "a cursor ahead of the log");

    let (_, eve, _) = whole.foreign().await;
    let command = |kind: &str, rest: Value| {
        let mut frame = json!({"t": kind, "id": id(9), "conversation": conversation, "seen": 0});
        frame.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        frame
    };
    for (name, frame, code) in [
        ("a note without words", command("note", json!({"text": "\n"})), "text_empty"),
        ("assigning to nobody that there is", command("assign", json!({"to": id(0xBAD)})), "member_unknown"),
        ("assigning to another workspace's agent", command("assign", json!({"to": id(eve.0)})), "member_unknown"),
        ("assigning to who holds it", command("assign", json!({"to": id(whole.owner.0)})), "not_now"),
        ("reopening what is open", command("reopen", json!({})), "not_now"),
        (
            "a cursor that is not this server's",
            json!({"t": "more", "view": "open", "after": "no cursor"}),
            "cursor_bad",
        ),
        ("a start as an agent", json!({"t": "start", "id": id(9), "text": "x"}), "forbidden"),
        ("a visitor's list as an agent", json!({"t": "conversations"}), "forbidden"),
        (
            "an unknown conversation",
            json!({"t": "resolve", "id": id(9), "conversation": unknown, "seen": 0}),
            "not_found",
        ),
    ] {
        agent.say(frame).await;
        let refused = agent.hear_kind("refused").await;
        assert_eq!(refused["code"], code, "{name}: {refused}");
    }
    agent.still_there().await;
    assert_eq!((whole.log(&conversation).await, whole.log(&foreign).await), before, "nothing was changed");
    visitor.say(text("And a good one \u{202E}")).await;
    assert_eq!(visitor.hear_kind("ack").await["id"], id(9), "a refused id is free to be used");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_workspaces_agent_sees_and_changes_nothing() {
    let whole = Whole::start().await;
    let (workspace, member, key) = whole.foreign().await;
    let (mut visitor, _) = whole.visitor().await;
    let conversation = start(&mut visitor, 1, "Hello").await;
    let before = whole.log(&conversation).await;
    let token = whole.token(workspace, key, member).await;
    let (mut eve, _) = whole.welcome(json!({"t": "hello", "v": 1, "as": "agent", "token": token})).await;
    eve.say(json!({"t": "list", "view": "open"})).await;
    assert_eq!(eve.hear_kind("list").await["rows"], json!([]));
    let command = |kind: &str| json!({"t": kind, "id": id(9), "conversation": conversation, "seen": 0});
    let worded = |kind: &str| json!({"t": kind, "id": id(9), "conversation": conversation, "seen": 0, "text": "x"});
    for frame in [
        worded("send"),
        worded("note"),
        json!({"t": "assign", "id": id(9), "conversation": conversation, "seen": 0, "to": id(member.0)}),
        json!({"t": "assign", "id": id(9), "conversation": conversation, "seen": 0}),
        command("resolve"),
        command("reopen"),
        json!({"t": "open", "conversation": conversation}),
        json!({"t": "page", "conversation": conversation, "before": 9}),
    ] {
        eve.say(frame.clone()).await;
        assert_eq!(eve.hear_kind("refused").await["code"], "not_found", "{frame}");
    }
    assert_eq!(whole.log(&conversation).await, before);
    let (mut visitor, _) = whole.visitor().await;
    visitor.say(json!({"t": "send", "id": id(9), "conversation": conversation, "seen": 0, "text": "x"})).await;
    assert_eq!(visitor.hear_kind("refused").await["code"], "not_found");
}

/// How a frame that names somebody else's conversation is answered, to a visitor and to an agent: a refusal's code, or
/// silence. `None`: frames of this kind name no conversation. A kind that is not here fails the test.
fn to_strangers(kind: &str) -> Option<[Option<&'static str>; 2]> {
    match kind {
        "send" | "open" | "page" => Some([Some("not_found"), Some("not_found")]),
        "note" | "assign" | "resolve" | "reopen" => Some([Some("forbidden"), Some("not_found")]),
        "close" | "read" | "typing" => Some([None, None]),
        "hello" | "start" | "status" | "conversations" | "list" | "unlist" | "more" | "ping" => None,
        other => panic!("frames of kind {other} are not in this matrix"),
    }
}

/// What comes until the refusal of the command `last`, without that refusal and without what comes unasked.
async fn heard_before(client: &mut Client, last: &str) -> Vec<Value> {
    let mut heard = Vec::new();
    loop {
        let frame = client.hear().await;
        if frame["t"] == "refused" && frame["id"] == last {
            return heard;
        }
        if !matches!(frame["t"].as_str(), Some("team" | "members")) {
            heard.push(frame);
        }
    }
}

/// SECURITY.md, row D: every frame that names a conversation answers a foreign one exactly as an unknown one. The
/// frames are the protocol's own fixtures.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_with_a_foreign_conversation_are_answered_like_those_with_an_unknown_one() {
    let fixtures: Value = serde_json::from_str(include_str!("../protocol/fixtures/client.json")).unwrap();
    let whole = Whole::start().await;
    let (workspace, eve, key) = whole.foreign().await;
    let (mut visitor, _) = whole.visitor().await;
    let conversation = start(&mut visitor, 1, "Mine alone").await;
    let mut agent = whole.agent().await;
    until("it is assigned", || whole.engine.members(whole.workspace).iter().any(|member| member.open == 1)).await;
    agent.say(json!({"t": "open", "conversation": conversation})).await;
    let before = agent.hear_kind("opened").await;
    agent.still_there().await;
    visitor.still_there().await;
    let log = whole.log(&conversation).await;

    let as_visitor =
        |workspace: WorkspaceId| json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(workspace.0)});
    let token = whole.token(workspace, key, eve).await;
    let (unknown, last) = (id(0xBAD), id(0x1A57));
    let mut checked = BTreeSet::new();
    for (who, place, hello) in [
        ("another visitor", 0, as_visitor(whole.workspace)),
        ("another workspace's visitor", 0, as_visitor(workspace)),
        ("another workspace's agent", 1, json!({"t": "hello", "v": 1, "as": "agent", "token": token})),
    ] {
        let (mut stranger, _) = whole.welcome(hello).await;
        for fixture in fixtures["frames"].as_array().unwrap() {
            let (name, frame) = (&fixture["name"], &fixture["frame"]);
            let answers = to_strangers(frame["t"].as_str().unwrap());
            assert_eq!(answers.is_some(), !frame["conversation"].is_null(), "{name}: the matrix knows its fields");
            let Some(answers) = answers else { continue };
            let mut alike = Vec::new();
            for theirs in [&conversation, &unknown] {
                let mut frame = frame.clone();
                frame["conversation"] = json!(theirs);
                if frame["to"].is_string() {
                    frame["to"] = json!(id(eve.0));
                }
                stranger.say(frame).await;
                // The same conversation's next frame: when it is answered, so was the one before.
                stranger
                    .say(json!({"t": "send", "id": last, "conversation": theirs, "seen": 0, "text": "the last"}))
                    .await;
                let heard = heard_before(&mut stranger, &last).await;
                let codes: Vec<&str> = heard.iter().map(|it| it["code"].as_str().unwrap_or("no refusal")).collect();
                assert_eq!(codes, Vec::from_iter(answers[place]), "{name} of {who}: {heard:?}");
                alike.push(json!(heard).to_string().replace(theirs.as_str(), "that one"));
            }
            assert_eq!(alike[0], alike[1], "{name} of {who}");
            checked.insert((who, fixture["frame"]["t"].as_str().unwrap().to_owned()));
        }
        stranger.still_there().await;
    }
    assert_eq!(checked.len(), 3 * 10, "every kind that names a conversation, by everybody: {checked:?}");

    // Nothing was changed, and those whose conversation it is heard nothing of it.
    assert_eq!(whole.log(&conversation).await, log);
    for (who, client) in [("visitor", &mut visitor), ("agent", &mut agent)] {
        client.say(json!({"t": "ping"})).await;
        loop {
            let frame = client.hear().await;
            match frame["t"].as_str().unwrap() {
                "pong" => break,
                "team" | "members" => {}
                _ => panic!("the {who} heard {frame}"),
            }
        }
    }
    agent.say(json!({"t": "open", "conversation": conversation})).await;
    assert_eq!(agent.hear_kind("opened").await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_expired_foreign_or_misused_token_is_closed_with_its_code() {
    let whole = Whole::start().await;
    let (foreign, eve, foreign_key) = whole.foreign().await;
    let (_, visitor) = whole.visitor().await;
    let ours = id(whole.workspace.0);
    let agent = whole.token(whole.workspace, whole.key, whole.owner).await;
    let of_eve = whole.token(foreign, foreign_key, eve).await;
    let mut altered = visitor.clone().into_bytes();
    let last = altered.len() - 3;
    altered[last] = if altered[last] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();

    let as_visitor = |workspace: &str, token: &str| json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace, "token": token});
    let as_agent = |token: &str| json!({"t": "hello", "v": 1, "as": "agent", "token": token});
    let cases = [
        ("no workspace", json!({"t": "hello", "v": 1, "as": "visitor"}), CloseCode::HelloExpected),
        (
            "an unknown workspace",
            json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(5)}),
            CloseCode::WorkspaceUnknown,
        ),
        ("an empty token", as_visitor(&ours, ""), CloseCode::TokenInvalid),
        ("nonsense", as_visitor(&ours, "nonsense"), CloseCode::TokenInvalid),
        ("an altered token", as_visitor(&ours, &altered), CloseCode::TokenInvalid),
        ("another workspace's visitor", as_visitor(&id(foreign.0), &visitor), CloseCode::TokenInvalid),
        ("an agent's token as a visitor's", as_visitor(&ours, &agent), CloseCode::TokenInvalid),
        ("a visitor's token as an agent's", as_agent(&visitor), CloseCode::TokenInvalid),
        ("an agent without a token", json!({"t": "hello", "v": 1, "as": "agent"}), CloseCode::TokenInvalid),
        ("an agent's empty token", as_agent(""), CloseCode::TokenInvalid),
        (
            "an agent who names another workspace",
            json!({"t": "hello", "v": 1, "as": "agent", "token": of_eve, "workspace": ours}),
            CloseCode::TokenInvalid,
        ),
    ];
    for (name, hello, code) in cases {
        let mut client = Client::connect(whole.address).await;
        client.say(hello).await;
        let ended = client.end().await;
        assert_eq!(ended.close, Some(code.number()), "{name}: {ended:?}");
        assert_eq!(ended.frames, Vec::<Value>::new(), "{name}");
    }
    // A minute and a second later.
    whole.clock.0.store(61_000, Ordering::Relaxed);
    let mut client = Client::connect(whole.address).await;
    client.say(as_agent(&agent)).await;
    client.ends_with(CloseCode::TokenExpired).await;
    // Ten years later.
    whole.clock.0.store(10 * 365 * 24 * 3_600_000, Ordering::Relaxed);
    let mut client = Client::connect(whole.address).await;
    client.say(as_visitor(&ours, &visitor)).await;
    client.ends_with(CloseCode::TokenExpired).await;
    until("only the first visitor may be left", || whole.hub.sessions() <= 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_foreign_origin_is_refused() {
    let whole = Whole::start().await;
    let change =
        WorkspaceChange { allowed_origins: Some(vec!["https://shop.example".into()]), ..WorkspaceChange::default() };
    whole.accounts.change_workspace(whole.workspace, change).await.unwrap();
    for (origin, welcome) in [
        (Some("https://shop.example"), true),
        (None, false),
        (Some("null"), false),
        (Some("http://shop.example"), false),
        (Some("https://shop.example:8443"), false),
        (Some("https://shop.example.evil.example"), false),
        (Some("https://evil.example/https://shop.example"), false),
    ] {
        let mut client = Client::connect_from(whole.address, origin).await;
        client.say(json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(whole.workspace.0)})).await;
        if welcome {
            assert_eq!(client.hear().await["t"], "welcome");
        } else {
            client.ends_with(CloseCode::OriginRefused).await;
        }
    }
    // An agent's page is the server's own, or it is a program without an origin.
    let own = format!("http://{}", whole.address);
    for (origin, welcome) in [(None, true), (Some(own.as_str()), true), (Some("https://shop.example"), false)] {
        let token = whole.token(whole.workspace, whole.key, whole.owner).await;
        let mut client = Client::connect_from(whole.address, origin).await;
        client.say(json!({"t": "hello", "v": 1, "as": "agent", "token": token})).await;
        if welcome {
            assert_eq!(client.hear().await["t"], "welcome");
        } else {
            client.ends_with(CloseCode::OriginRefused).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_member_and_a_deleted_key_are_felt_at_once() {
    let whole = Whole::start().await;
    let member = whole.accounts.add_member(whole.workspace, "Ben", "ben@acme.example", Role::Agent).await.unwrap();
    let ben = member.member.id;
    let token = whole.token(whole.workspace, whole.key, ben).await;
    let hello = json!({"t": "hello", "v": 1, "as": "agent", "token": token});
    let (mut first, _) = whole.welcome(hello.clone()).await;
    let mut owner = whole.agent().await;
    whole.accounts.remove_member(whole.workspace, ben).await.unwrap();
    first.ends_with(CloseCode::Revoked).await;
    let mut again = Client::connect(whole.address).await;
    again.say(hello).await;
    again.ends_with(CloseCode::Revoked).await;
    owner.still_there().await;

    let token = whole.token(whole.workspace, whole.key, whole.owner).await;
    whole.accounts.delete_key(whole.workspace, whole.key).await.unwrap();
    owner.ends_with(CloseCode::Revoked).await;
    let mut late = Client::connect(whole.address).await;
    late.say(json!({"t": "hello", "v": 1, "as": "agent", "token": token})).await;
    late.ends_with(CloseCode::Revoked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_kept_and_the_team_hears_of_it() {
    let whole = Whole::start().await;
    let (mut visitor, _) = whole.visitor().await;
    let mut agent = whole.agent().await;
    assert_eq!(visitor.hear_kind("team").await["team"]["available"], true);
    agent.say(json!({"t": "status", "id": id(1), "available": false})).await;
    assert_eq!(agent.hear_kind("ack").await, json!({"t": "ack", "id": id(1)}));
    assert_eq!(visitor.hear_kind("team").await["team"]["available"], false);
    let token = whole.token(whole.workspace, whole.key, whole.owner).await;
    let (_, welcome) = whole.welcome(json!({"t": "hello", "v": 1, "as": "agent", "token": token})).await;
    assert_eq!(welcome["available"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resume_returns_exactly_what_was_missed_at_every_cut() {
    let whole = Whole::start().await;
    let mut agent = whole.agent().await;
    let (mut visitor, token) = whole.visitor().await;
    let conversation = start(&mut visitor, 1, "Hello").await;
    for number in 0..12u128 {
        let kind = if number % 3 == 0 { "note" } else { "send" };
        let text = format!("word {number}");
        agent
            .say(json!({"t": kind, "id": id(100 + number), "conversation": conversation, "seen": 0, "text": text}))
            .await;
        agent.hear_kind("ack").await;
    }
    let log = whole.log(&conversation).await;
    let head = log.last().unwrap().seq;
    for staff in [false, true] {
        let mine: Vec<u64> = log
            .iter()
            .filter(|event| staff || event.audience == bellhop_engine::domain::Audience::All)
            .map(|event| event.seq)
            .collect();
        for cut in 0..=head {
            let mut client = if staff { whole.agent().await } else { whole.visitor_again(&token).await };
            client.say(json!({"t": "open", "conversation": conversation, "after": cut})).await;
            let opened = client.hear_kind("opened").await;
            let got: Vec<u64> =
                opened["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()).collect();
            let want: Vec<u64> = mine.iter().copied().filter(|seq| *seq > cut).collect();
            assert_eq!((got, &opened["more"], &opened["reset"]), (want, &json!(false), &Value::Null), "after {cut}");
            let mut last = mine.iter().copied().filter(|seq| *seq <= cut).max().unwrap_or(0);
            for event in opened["events"].as_array().unwrap() {
                assert_eq!(event["prev"], last, "no gap");
                last = event["seq"].as_u64().unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_server_has_lost_nothing_that_it_acknowledged() {
    let mut whole = Whole::start().await;
    let mut talks = Vec::new();
    for number in 0..8u128 {
        let (mut visitor, token) = whole.visitor().await;
        let conversation = start(&mut visitor, 1, "Hello").await;
        talks.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for word in 0..u128::MAX {
                let frame = json!({"t": "send", "id": id(1_000 + word), "conversation": conversation, "seen": 0, "text": format!("{number} {word}")});
                if futures_util::SinkExt::send(&mut visitor.0, frame.to_string().into()).await.is_err() {
                    break;
                }
                let ended = loop {
                    use futures_util::StreamExt;
                    use tokio_tungstenite::tungstenite::Message;
                    match visitor.0.next().await {
                        Some(Ok(Message::Text(text))) => {
                            let frame: Value = serde_json::from_str(&text).unwrap();
                            match frame["t"].as_str() {
                                Some("ack") => {
                                    acknowledged.push(frame["id"].as_str().unwrap().to_owned());
                                    break false;
                                }
                                Some("bye") => {
                                    assert_eq!(frame["code"], CloseCode::Draining.number());
                                    assert!(frame["retry_after_ms"].is_u64());
                                }
                                Some("refused") => break true,
                                _ => {}
                            }
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break true,
                    }
                };
                if ended {
                    break;
                }
            }
            (conversation, token, acknowledged)
        }));
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    whole.hub.drain(Duration::from_millis(500)).await;
    assert_eq!((whole.hub.sessions(), whole.hub.queued_bytes()), (0, 0));
    whole.engine.drain().await;
    whole.store.close().await.unwrap();
    let directory = std::mem::replace(&mut whole.directory, Directory::new());
    let workspace = whole.workspace;
    drop(whole);

    let (_, _, engine, _, _, _) = {
        // The old server's threads let go of the directory when the last of them ends.
        rise(&directory, limits()).await
    };
    let mut total = 0;
    for talk in talks {
        let (conversation, _, acknowledged) = talk.await.unwrap();
        let conversation = ConversationId(u128::from_str_radix(&conversation, 16).unwrap());
        let key = ConversationKey { workspace, conversation };
        let mut stored = Vec::new();
        loop {
            let after = stored.last().map_or(0, |event: &Arc<Event>| event.seq);
            let events = engine.events(key, Range::After(after), 1_000).await.unwrap();
            if events.is_empty() {
                break;
            }
            stored.extend(events);
        }
        let ids: Vec<String> =
            stored.iter().filter_map(|event| event.command).map(|mark| id(mark.id.0)).skip(1).collect();
        assert!(ids.len() >= acknowledged.len() && ids.len() <= acknowledged.len() + 1);
        assert_eq!(ids[..acknowledged.len()], acknowledged, "in order, and once each");
        total += acknowledged.len();
    }
    assert!(total > 20, "{total} were acknowledged while it ran");
}
