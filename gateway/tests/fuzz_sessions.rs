//! Sessions without end, over real sockets against the whole server: frames valid, spoilt, out of order and about what
//! is not one's own. Every frame is answered as PROTOCOL.md says, the server lives, and a pair of neighbours who talk
//! all the while do not feel it. `BELLHOP_SESSION_FRAMES` is how many frames, `BELLHOP_SEED` the seed.
#![allow(clippy::unwrap_used, reason = "a test")]
#![allow(dead_code, reason = "the support and the generator have more than one test needs")]

#[path = "../protocol/tests/fuzz/grammar.rs"]
mod grammar;
mod http_support;
#[path = "../protocol/tests/fuzz/random.rs"]
mod random;

use std::time::Duration;

use bellhop_protocol::limits::{MAX_BAD_FRAMES, MAX_FRAME_BYTES};
use bellhop_protocol::{ClientFrame, CloseCode, Id, decode_client, decode_server};
use futures_util::{SinkExt as _, StreamExt as _};
use http_support::{House, Login};
use random::Random;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// Longer than any answer takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Frames of one session before the next begins.
const FRAMES_PER_SESSION: u64 = 150;

/// What came next of a session.
enum Heard {
    Frame(Value),
    /// The number of the close frame; `None` when it broke without one.
    End(Option<u16>),
}

struct Talker(Socket);

impl Talker {
    async fn connect(house: &House) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", house.address)).await.unwrap();
        Self(socket)
    }

    async fn welcomed(house: &House, hello: &Value) -> Self {
        let mut talker = Self::connect(house).await;
        talker.say(&hello.to_string()).await;
        let Heard::Frame(frame) = talker.hear().await else { panic!("no welcome for {hello}") };
        assert_eq!(frame["t"], "welcome", "{frame}");
        talker
    }

    async fn say(&mut self, text: &str) {
        // A session that has just been closed for what was said before is seen by the next `hear`.
        let _ = self.0.send(Message::text(text)).await;
    }

    /// Every frame of the gateway's is one of the protocol.
    async fn hear(&mut self) -> Heard {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await.expect("an answer comes in time") {
                Some(Ok(Message::Text(text))) => {
                    decode_server(&text).unwrap_or_else(|bad| panic!("{bad}: {text}"));
                    return Heard::Frame(serde_json::from_str(&text).unwrap());
                }
                Some(Ok(Message::Close(close))) => return Heard::End(close.map(|it| it.code.into())),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Heard::End(None),
            }
        }
    }

    async fn hear_until(&mut self, what: &str, mut answers: impl FnMut(&Value) -> bool) -> Value {
        loop {
            match self.hear().await {
                Heard::Frame(frame) if answers(&frame) => return frame,
                Heard::Frame(_) => {}
                Heard::End(code) => panic!("{what}: the session ended with {code:?}"),
            }
        }
    }

    /// Reads to the end, which must be this code.
    async fn ends_with(&mut self, code: CloseCode, after: &str) {
        let mut bye = None;
        loop {
            match self.hear().await {
                Heard::Frame(frame) if frame["t"] == "bye" => bye = frame["code"].as_u64(),
                Heard::Frame(_) => {}
                Heard::End(number) => {
                    assert_eq!(number, Some(code.number()), "{after}");
                    assert_eq!(bye, Some(u64::from(code.number())), "no bye before the close, {after}");
                    return;
                }
            }
        }
    }
}

/// What must come for a frame that was read; nothing for those that are not answered.
fn answers(frame: &ClientFrame, heard: &Value) -> bool {
    let kind = heard["t"].as_str().unwrap_or_default();
    let refused = kind == "refused" && heard["code"] != "bad_frame";
    let about = |id: &Id| heard["id"] == id.to_string() && (kind == "ack" || refused);
    let of = |conversation: &Id| refused && heard["conversation"] == conversation.to_string();
    match frame {
        ClientFrame::Hello(_) => refused && heard["code"] == "already_welcome",
        ClientFrame::Start(it) => about(&it.id),
        ClientFrame::Send(it) => about(&it.id),
        ClientFrame::Note(it) => about(&it.id),
        ClientFrame::Assign(it) => about(&it.id),
        ClientFrame::Resolve(it) => about(&it.id),
        ClientFrame::Reopen(it) => about(&it.id),
        ClientFrame::Status(it) => about(&it.id),
        ClientFrame::Open(it) => {
            of(&it.conversation) || kind == "opened" && heard["conversation"]["id"] == it.conversation.to_string()
        }
        ClientFrame::Page(it) => {
            of(&it.conversation) || kind == "page" && heard["conversation"] == it.conversation.to_string()
        }
        ClientFrame::Conversations(_) => refused || kind == "conversations",
        ClientFrame::List(_) => refused || kind == "list" || kind == "changes",
        ClientFrame::More(_) => refused || kind == "list_page",
        ClientFrame::Ping(_) => kind == "pong",
        ClientFrame::Close(_) | ClientFrame::Unlist(_) | ClientFrame::Read(_) | ClientFrame::Typing(_) => true,
    }
}

fn is_silent(frame: &ClientFrame) -> bool {
    matches!(frame, ClientFrame::Close(_) | ClientFrame::Unlist(_) | ClientFrame::Read(_) | ClientFrame::Typing(_))
}

/// A frame by grammar; half of the conversations in it are ones that exist.
fn next_frame(random: &mut Random, known: &[String]) -> String {
    let mut text = grammar::frame(random);
    if let Some(at) = text.find("\"conversation\":\"")
        && !random.one_in(4)
        && text.is_char_boundary(at + 48)
        && text.len() > at + 48
    {
        text.replace_range(at + 16..at + 48, random.of::<String>(known));
    }
    // Most that cannot be read are made anew: ten of them are a session's end.
    if decode_client(&text).is_err() && !random.one_in(8) {
        return next_frame(random, known);
    }
    if random.one_in(20) { grammar::by_byte(random, &text) } else { text }
}

/// One fuzzed session; the frames that it said.
async fn session(house: &House, random: &mut Random, hello: &Value, known: &[String]) -> u64 {
    if random.one_in(4) {
        return bad_beginning(house, random, hello).await;
    }
    let mut talker = Talker::welcomed(house, hello).await;
    let (mut said, mut bad) = (0, 0);
    while said < FRAMES_PER_SESSION {
        let text = next_frame(random, known);
        talker.say(&text).await;
        said += 1;
        if text.len() > MAX_FRAME_BYTES {
            talker.ends_with(CloseCode::FrameTooBig, "a frame over the limit").await;
            return said;
        }
        match decode_client(&text) {
            Err(read) => {
                bad += 1;
                if bad > MAX_BAD_FRAMES {
                    talker.ends_with(CloseCode::TooManyBadFrames, &text).await;
                    return said;
                }
                let told = talker.hear_until(&text, |it| it["t"] == "refused" && it["code"] == "bad_frame").await;
                assert_eq!(told["id"].as_str().map(str::to_owned), read.id.map(|id| id.to_string()), "{text}");
                assert_eq!(told["field"].as_str().map(str::to_owned), read.field, "{text}");
            }
            // What is not answered must not be called unreadable either: the pong comes first.
            Ok(frame) if is_silent(&frame) => {
                talker.say(r#"{"t":"ping"}"#).await;
                let end = talker.hear_until(&text, |it| it["t"] == "pong" || it["code"] == "bad_frame").await;
                assert_eq!(end["t"], "pong", "{text}");
            }
            Ok(frame) => {
                let end = talker.hear_until(&text, |it| it["code"] == "bad_frame" || answers(&frame, it)).await;
                assert_ne!(end["code"], "bad_frame", "{text}");
                if end["t"] == "refused" {
                    assert!(end["message"].as_str().is_some_and(|it| it.len() > 10), "{end} for {text}");
                }
            }
        }
    }
    said
}

/// Whatever is said first that is no good `hello` ends the session with a code that says so.
async fn bad_beginning(house: &House, random: &mut Random, hello: &Value) -> u64 {
    let mut talker = Talker::connect(house).await;
    let text = match random.below(4) {
        0 => grammar::frame(random),
        1 => {
            let other = grammar::frame(random);
            grammar::by_token(random, &hello.to_string(), &other)
        }
        2 => {
            // A token or a workspace with a character changed: never somebody else's.
            let mut hello = hello.clone();
            for field in ["token", "workspace"] {
                if let Some(text) = hello[field].as_str().map(str::to_owned) {
                    hello[field] = json!(grammar::by_byte(random, &text));
                }
            }
            hello.to_string()
        }
        _ => grammar::by_byte(random, &hello.to_string()),
    };
    talker.say(&text).await;
    match talker.hear().await {
        Heard::Frame(frame) if frame["t"] == "welcome" => {
            let Ok(ClientFrame::Hello(read)) = decode_client(&text) else { panic!("welcomed for {text}") };
            assert_eq!(read.v, 1, "{text}");
            // A spoilt visitor's hello may still be one, with its workspace whole; an agent's token must be.
            let same = |field: &str, given: Option<String>| hello[field].as_str().map(str::to_owned) == given;
            assert!(same("workspace", read.workspace.map(|id| id.to_string())), "{text}");
            assert!(hello["as"] == "visitor" || same("token", read.token), "{text}");
        }
        Heard::Frame(frame) => {
            assert_eq!(frame["t"], "bye", "{text}");
            let code = frame["code"].as_u64().unwrap();
            assert!((4_010..=4_020).contains(&code), "{frame} for {text}");
            assert!(matches!(talker.hear().await, Heard::End(Some(number)) if u64::from(number) == code), "{text}");
        }
        Heard::End(code) => panic!("closed with {code:?} and no bye: {text}"),
    }
    1
}

fn agent_hello(house: &House, login: &Login) -> Value {
    let token = house.post("/api/v1/socket-token", &login.headers(), json!({})).is(200, "").json();
    json!({"t": "hello", "v": 1, "as": "agent", "token": token["token"]})
}

/// A visitor and an agent beside all this: each word of one reaches the other.
struct Neighbours {
    visitor: Talker,
    agent: Talker,
    conversation: String,
    words: u64,
}

impl Neighbours {
    async fn meet(house: &House, owner: &Login, workspace: &str) -> Self {
        let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace});
        let mut visitor = Talker::welcomed(house, &hello).await;
        visitor.say(&json!({"t": "start", "id": format!("{:032x}", u128::MAX), "text": "Hello"}).to_string()).await;
        let ack = visitor.hear_until("start", |it| it["t"] == "ack").await;
        let conversation = ack["conversation"].as_str().unwrap().to_owned();
        let mut agent = Talker::welcomed(house, &agent_hello(house, owner)).await;
        agent.say(&json!({"t": "open", "conversation": conversation}).to_string()).await;
        agent.hear_until("open", |it| it["t"] == "opened").await;
        Self { visitor, agent, conversation, words: 0 }
    }

    async fn talk(&mut self) {
        self.words += 1;
        let text = format!("word {}", self.words);
        let id = format!("{:032x}", u128::MAX - u128::from(self.words));
        let send = json!({"t": "send", "id": id, "conversation": self.conversation, "seen": 0, "text": text});
        self.visitor.say(&send.to_string()).await;
        // Who only listens is closed after two minutes, which a long run takes.
        self.agent.say(r#"{"t":"ping"}"#).await;
        self.visitor.hear_until("a neighbour's word", |it| it["t"] == "ack" && it["id"] == id.as_str()).await;
        self.agent.hear_until("a neighbour's word", |it| it["event"]["cmd"] == id.as_str()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_frame_of_every_session_is_answered_and_nobody_else_feels_it() {
    let variable = |name: &str, default| std::env::var(name).map_or(default, |it| it.parse().expect("a number"));
    let (frames, seed): (u64, u64) = (variable("BELLHOP_SESSION_FRAMES", 3_000), variable("BELLHOP_SEED", 7));
    let house = House::open().await;
    let owner = house.set_up().await;
    let ada = house.join(&owner, "Ada", "ada@example.org");
    let workspace = owner.me["workspace"]["id"].as_str().unwrap().to_owned();
    let mut neighbours = Neighbours::meet(&house, &owner, &workspace).await;
    // Its own: a visitor with a token and a conversation; one of another visitor; one that is not there.
    let fresh = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace});
    let (mut first, token) = {
        let mut talker = Talker::connect(&house).await;
        talker.say(&fresh.to_string()).await;
        let welcome = talker.hear_until("hello", |it| it["t"] == "welcome").await;
        (talker, welcome["token"].clone())
    };
    first.say(&json!({"t": "start", "id": format!("{seed:032x}"), "text": "Is it open?"}).to_string()).await;
    let own = first.hear_until("start", |it| it["t"] == "ack").await["conversation"].as_str().unwrap().to_owned();
    let known = [own.clone(), own, neighbours.conversation.clone(), "0".repeat(32)];
    let mut visitor = fresh.clone();
    visitor["token"] = token;

    let mut random = Random::new(seed);
    let (mut said, mut sessions) = (0u64, 0u64);
    while said < frames {
        let hello = match random.below(5) {
            0 => fresh.clone(),
            1 | 2 => visitor.clone(),
            _ => agent_hello(&house, &ada),
        };
        said += session(&house, &mut random, &hello, &known).await;
        sessions += 1;
        neighbours.talk().await;
    }
    house.get("/api/v1/workspace", &owner.headers()).is(200, "");
    println!(
        "PROOF {}",
        json!({
            "promise": "Input", "attack": "generated sessions over real sockets: valid, spoilt, out of order, foreign",
            "store": "embedded", "count": format!("{said} frames in {sessions} sessions"),
            "result": format!("every frame answered as the protocol says; {} words of neighbours all delivered", neighbours.words),
            "passed": true, "seed": seed,
        })
    );
    drop((neighbours, first));
    house.close().await;
}
