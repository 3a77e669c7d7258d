//! Sessions over real sockets. The engine and the accounts are stand-ins here: what is tested is the gateway's own
//! part. `ws_whole.rs` has the same sockets with the real ones behind them.

#![allow(clippy::unwrap_used, reason = "helpers of tests, too: a failed unwrap is a failed test")]

mod ws_support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bellhop_engine::domain::{
    Audience, Author, Body, Channel, CommandId, ConversationId, Epoch, Event, MemberId, MemberName, Millis, Part,
    TokenId, WorkspaceId,
};
use bellhop_engine::exchange::{Answer, Party, Request, View};
use bellhop_engine::ports::Answers;
use bellhop_gateway::ws::Limits;
use bellhop_protocol::CloseCode;
use bellhop_protocol::limits::{MAX_FRAME_BYTES, MAX_OPEN_CONVERSATIONS};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::{self, Message};
use ws_support::{AGENT, Client, LOGIN, Script, Told, WORKSPACE, bulk, id, limits, serve, serve_script, until};

fn command(number: u128) -> Value {
    json!(id(number))
}

#[tokio::test]
async fn a_good_hello_is_welcomed_before_anything_else_comes() {
    let server = serve(limits()).await;
    let mut client = Client::connect_from(server.address, Some("https://shop.example")).await;
    client.say(json!({"t": "hello", "v": 1, "as": "agent", "token": "good", "client": "x".repeat(500)})).await;
    let welcome = client.hear().await;
    assert_eq!(
        (&welcome["t"], &welcome["as"], &welcome["available"]),
        (&json!("welcome"), &json!("agent"), &json!(true))
    );
    assert_eq!(welcome["me"], json!({"id": id(AGENT), "name": "Ada"}));
    assert_eq!(welcome["workspace"], json!({"id": id(WORKSPACE), "name": "Acme"}));
    assert_eq!(client.hear().await["t"], "members", "what the engine says on connecting comes after it");
    assert_eq!(*server.doorman.origins.lock(), [Some("https://shop.example".to_owned())]);

    let mut visitor = Client::connect(server.address).await;
    visitor.say(json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(WORKSPACE)})).await;
    let welcome = visitor.hear().await;
    assert_eq!((&welcome["token"], &welcome["team"]["available"]), (&json!("a-new-token"), &json!(true)));
    assert_eq!(server.hub.sessions(), 2);

    // Closing from the client's side is answered, and everything is given back.
    visitor.0.close(None).await.unwrap();
    client.0.close(None).await.unwrap();
    until("both sessions are gone", || server.hub.sessions() == 0).await;
    assert_eq!((server.hub.queued_bytes(), server.engine.disconnections().len()), (0, 2));
}

#[tokio::test]
async fn a_bad_beginning_is_closed_with_its_code() {
    let server = serve(Limits { hello_timeout: Duration::from_millis(200), ..limits() }).await;
    for (first, code) in [
        (None, CloseCode::HelloTimeout),
        (Some("hello".to_owned()), CloseCode::HelloExpected),
        (Some("{}".to_owned()), CloseCode::HelloExpected),
        (Some(json!({"t": "ping"}).to_string()), CloseCode::HelloExpected),
        (
            Some(json!({"t": "send", "id": id(1), "conversation": id(2), "seen": 0, "text": "x"}).to_string()),
            CloseCode::HelloExpected,
        ),
        (Some(json!({"t": "hello", "v": 1}).to_string()), CloseCode::HelloExpected),
        (Some(json!({"t": "hello", "v": "1", "as": "visitor"}).to_string()), CloseCode::HelloExpected),
        (Some(json!({"t": "hello", "v": 2, "as": "visitor"}).to_string()), CloseCode::UnsupportedVersion),
        (Some(json!({"t": "hello", "v": 1, "as": "agent", "token": "expired"}).to_string()), CloseCode::TokenExpired),
        (Some(json!({"t": "hello", "v": 1, "as": "agent", "token": "invalid"}).to_string()), CloseCode::TokenInvalid),
    ] {
        let mut client = Client::connect(server.address).await;
        if let Some(first) = first {
            client.say_text(first).await;
        }
        assert_eq!(client.ends_with(code).await.frames, Vec::<Value>::new());
    }
    until("all are gone", || server.hub.sessions() == 0).await;
    assert_eq!(*server.engine.told.lock(), [], "the engine never heard of them");
    Client::visitor(server.address).await.still_there().await;
}

#[tokio::test]
async fn frames_that_cannot_be_read_are_refused_ten_times_and_then_it_is_over() {
    let server = serve(limits()).await;
    let mut client = Client::visitor(server.address).await;
    for (text, carries) in [
        ("no JSON".to_owned(), Value::Null),
        (String::new(), Value::Null),
        ("[]".to_owned(), Value::Null),
        (json!({"t": "shout", "id": id(7)}).to_string(), command(7)),
        (json!({"t": "send", "id": id(8), "conversation": id(1), "text": "x"}).to_string(), command(8)),
        (json!({"t": "send", "id": "8", "conversation": id(1), "seen": 0, "text": "x"}).to_string(), Value::Null),
        (format!(r#"{{"t":"send","id":"{}","conversation":"{}","seen":0,"text":"\ud800"}}"#, id(9), id(1)), command(9)),
        (json!({"t": "read", "conversation": id(1), "seq": -1}).to_string(), Value::Null),
        (format!(r#"{{"t":{}1{}}}"#, "[".repeat(1000), "]".repeat(1000)), Value::Null),
        ("{\"t\":\"ping\"".to_owned(), Value::Null),
    ] {
        client.say_text(text.clone()).await;
        let refused = client.hear().await;
        assert_eq!((&refused["t"], &refused["code"]), (&json!("refused"), &json!("bad_frame")), "{text}");
        assert_eq!(refused["id"], carries, "{text}");
    }
    client.say(json!({"t": "hello", "v": 1, "as": "visitor"})).await;
    assert_eq!(client.hear().await["code"], "already_welcome");
    client.still_there().await;
    client.say_text("the eleventh".to_owned()).await;
    client.ends_with(CloseCode::TooManyBadFrames).await;
    assert_eq!(server.engine.asked(), [], "nothing of it reached the engine");
}

#[tokio::test]
async fn frames_of_the_wrong_kind_or_size_end_the_session_with_their_code() {
    let server = serve(limits()).await;
    for size in [MAX_FRAME_BYTES + 1, 1 << 20] {
        let mut client = Client::visitor(server.address).await;
        // The rest of a far too large frame may meet a closed door; what counts is what the client is told.
        let _ = client.0.send(Message::text("x".repeat(size))).await;
        client.ends_with(CloseCode::FrameTooBig).await;
    }
    let mut fragments = Client::visitor(server.address).await;
    for number in 0..20 {
        use tungstenite::protocol::frame::{
            Frame,
            coding::{Data, OpCode},
        };
        let kind = if number == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message("x".repeat(4_000), OpCode::Data(kind), false);
        if fragments.0.send(Message::Frame(frame)).await.is_err() {
            break;
        }
    }
    fragments.ends_with(CloseCode::FrameTooBig).await;

    let mut binary = Client::visitor(server.address).await;
    binary.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    binary.ends_with(CloseCode::BinaryFrame).await;

    let mut pings = Client::visitor(server.address).await;
    for _ in 0..10 {
        pings.0.send(Message::Ping("x".into())).await.unwrap();
    }
    pings.still_there().await;
    pings.0.send(Message::Ping("x".into())).await.unwrap();
    pings.ends_with(CloseCode::TooManyControlFrames).await;

    let mut text = Client::visitor(server.address).await;
    use tungstenite::protocol::frame::{
        Frame,
        coding::{Data, OpCode},
    };
    let broken = Frame::message(vec![b'"', 0xED, 0xA0, 0x80, b'"'], OpCode::Data(Data::Text), true);
    text.0.send(Message::Frame(broken)).await.unwrap();
    assert_eq!(text.end().await.close, Some(1007), "RFC 6455, 8.1");

    let mut whole = Client::visitor(server.address).await;
    let frame = format!(r#"{{"t":"ping"{}}}"#, " ".repeat(MAX_FRAME_BYTES - 12));
    assert_eq!(frame.len(), MAX_FRAME_BYTES);
    whole.say_text(frame).await;
    assert_eq!(whole.hear().await["t"], "pong", "the largest frame is a good one");
}

#[tokio::test]
async fn bytes_that_are_no_websocket_frames_are_a_breach() {
    let server = serve(limits()).await;
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        server.address
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 2048];
    let read = stream.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 101"));
    stream.write_all(b"\x81\x05hello").await.unwrap(); // Not masked.
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert_eq!(&rest[..1], &[0x88], "a close frame");
    assert_eq!(u16::from_be_bytes([rest[2], rest[3]]), 1002);
    until("it is gone", || server.hub.sessions() == 0).await;
}

/// Frames of every kind, with whether a visitor and an agent may say them.
fn every_frame() -> Vec<(Value, bool, bool)> {
    let (c, k) = (id(1), id(2));
    vec![
        (json!({"t": "start", "id": k, "text": "x"}), true, false),
        (json!({"t": "send", "id": k, "conversation": c, "seen": 0, "text": "x"}), true, true),
        (json!({"t": "open", "conversation": c}), true, true),
        (json!({"t": "close", "conversation": c}), true, true),
        (json!({"t": "page", "conversation": c, "before": 9}), true, true),
        (json!({"t": "read", "conversation": c, "seq": 1}), true, true),
        (json!({"t": "typing", "conversation": c, "on": true}), true, true),
        (json!({"t": "conversations"}), true, false),
        (json!({"t": "note", "id": k, "conversation": c, "seen": 0, "text": "x"}), false, true),
        (json!({"t": "assign", "id": k, "conversation": c, "seen": 0, "to": null}), false, true),
        (json!({"t": "resolve", "id": k, "conversation": c, "seen": 0}), false, true),
        (json!({"t": "reopen", "id": k, "conversation": c, "seen": 0}), false, true),
        (json!({"t": "list", "view": "open"}), false, true),
        (json!({"t": "unlist", "view": "open"}), false, true),
        (json!({"t": "more", "view": "open", "after": "x"}), false, true),
    ]
}

#[tokio::test]
async fn a_visitor_and_an_agent_may_each_say_what_is_theirs() {
    let server = serve(limits()).await;
    for agent in [false, true] {
        let mut client =
            if agent { Client::agent(server.address).await } else { Client::visitor(server.address).await };
        for (frame, visitor_may, agent_may) in every_frame() {
            let before = server.engine.asked().len();
            client.say(frame.clone()).await;
            client.say(json!({"t": "ping"})).await;
            let allowed = if agent { agent_may } else { visitor_may };
            let answer = client.hear().await;
            if allowed {
                client_reaches_pong(&mut client, answer).await;
                assert_eq!(server.engine.asked().len(), before + 1, "{frame}");
            } else {
                assert_eq!(answer["code"], "forbidden", "{frame}");
                assert_eq!(answer["id"], frame["id"], "{frame}");
                assert_eq!(client.hear().await["t"], "pong");
                assert_eq!(server.engine.asked().len(), before, "{frame}");
            }
        }
    }
}

async fn client_reaches_pong(client: &mut Client, first: Value) {
    if first["t"] != "pong" {
        client.hear_kind("pong").await;
    }
}

#[tokio::test]
async fn a_status_is_stored_before_it_is_acknowledged_and_keeps_its_place() {
    let server = serve(limits()).await;
    let mut agent = Client::agent(server.address).await;
    agent.say(json!({"t": "status", "id": id(5), "available": false})).await;
    agent.say(json!({"t": "ping"})).await;
    assert_eq!(agent.hear().await, json!({"t": "ack", "id": id(5)}));
    assert_eq!(agent.hear().await["t"], "pong");
    assert_eq!(*server.doorman.stored.lock(), [false]);

    let mut visitor = Client::visitor(server.address).await;
    visitor.say(json!({"t": "status", "id": id(6), "available": false})).await;
    let refused = visitor.hear().await;
    assert_eq!((&refused["code"], &refused["id"]), (&json!("forbidden"), &command(6)));
    assert_eq!(*server.doorman.stored.lock(), [false]);
}

#[tokio::test]
async fn what_a_session_followed_is_told_to_the_engine_once_at_its_end() {
    let server = serve(limits()).await;
    let mut visitor = Client::visitor(server.address).await;
    visitor.say(json!({"t": "start", "id": id(0x100), "text": "x"})).await;
    visitor.say(json!({"t": "start", "id": id(0x100), "text": "x"})).await;
    for conversation in [2, 3, 2] {
        visitor.say(json!({"t": "open", "conversation": id(conversation)})).await;
    }
    visitor.say(json!({"t": "close", "conversation": id(3)})).await;
    visitor.still_there().await;
    drop(visitor); // The connection breaks, without a close.
    until("the engine knows", || server.engine.disconnections().len() == 1).await;
    assert_eq!(server.engine.disconnections(), [[ConversationId(0x1FF), ConversationId(2)]]);
    until("it is gone", || server.hub.sessions() == 0).await;
}

#[tokio::test]
async fn a_session_follows_a_bounded_number_of_conversations() {
    let server = serve(limits()).await;
    let mut agent = Client::agent(server.address).await;
    for number in 0..MAX_OPEN_CONVERSATIONS as u128 {
        agent.say(json!({"t": "open", "conversation": id(number + 1)})).await;
        assert_eq!(agent.hear().await["code"], "not_found", "the answer of the scripted engine");
    }
    agent.say(json!({"t": "open", "conversation": id(5)})).await;
    assert_eq!(agent.hear().await["code"], "not_found", "one that is followed takes no further room");
    agent.say(json!({"t": "open", "conversation": id(0xFFFF)})).await;
    assert_eq!(agent.hear().await["code"], "too_many_open");
    agent.say(json!({"t": "close", "conversation": id(5)})).await;
    agent.say(json!({"t": "open", "conversation": id(0xFFFF)})).await;
    assert_eq!(agent.hear().await["code"], "not_found");
}

#[tokio::test]
async fn an_overloaded_engine_is_a_quick_refusal_with_a_time() {
    let server = serve(limits()).await;
    let mut client = Client::visitor(server.address).await;
    client.say(json!({"t": "send", "id": id(3), "conversation": id(1), "seen": 0, "text": "overload"})).await;
    let refused = client.hear().await;
    assert_eq!(
        (&refused["code"], &refused["retry_after_ms"], &refused["id"], &refused["conversation"]),
        (&json!("overloaded"), &json!(77), &command(3), &command(1))
    );
    client.say(json!({"t": "send", "id": id(3), "conversation": id(1), "seen": 0, "text": "again"})).await;
    assert_eq!(client.hear().await["t"], "ack");
}

#[tokio::test]
async fn a_panic_ends_its_own_session_only() {
    let server = serve(limits()).await;
    let mut neighbour = Client::visitor(server.address).await;
    let mut client = Client::visitor(server.address).await;
    client.say(json!({"t": "send", "id": id(3), "conversation": id(1), "seen": 0, "text": "panic"})).await;
    client.ends_with(CloseCode::Internal).await;
    neighbour.still_there().await;
    until("it is gone", || server.hub.sessions() == 1).await;
    assert_eq!(server.engine.disconnections().len(), 1);
}

fn message(audience: Audience) -> Arc<Event> {
    Arc::new(Event {
        seq: 2,
        prev_all: 1,
        epoch: Epoch(1),
        at: Millis(5),
        author: Author::System,
        audience,
        channel: Channel::Chat,
        external_id: None,
        command: None,
        body: Body::Note { parts: vec![Part::Text("between us".into())] },
    })
}

#[tokio::test]
async fn an_event_for_staff_is_stopped_at_a_visitors_door_whoever_sent_it() {
    let server = serve(limits()).await;
    let mut visitor = Client::visitor(server.address).await;
    let session = server.engine.last_session();
    let conversation = ConversationId(1);
    let (audience, event) = (Audience::All, message(Audience::Staff));
    server.hub.deliver(&[session], &Answer::Event { conversation, audience, event: Arc::clone(&event) });
    server.hub.deliver(&[session], &Answer::Page { conversation, audience, events: vec![event], older: false });
    let (audience, event) = (Audience::Staff, message(Audience::Staff));
    server.hub.deliver(&[session], &Answer::Event { conversation, audience, event });
    assert_eq!(visitor.hear().await["events"], json!([]));
    assert_eq!(visitor.hear().await["event"]["prev"], 1, "for staff it is an ordinary event");
}

#[tokio::test]
async fn a_slow_reader_costs_at_most_its_bound_and_is_told_to_come_back() {
    let server = serve(limits()).await;
    let mut slow = Client::visitor(server.address).await;
    let session = server.engine.last_session();
    let mut quick = Client::visitor(server.address).await;
    let quick_session = server.engine.last_session();
    let answer = bulk(60_000);
    let (mut delivered, mut most) = (0, 0);
    // The slow one reads nothing; the kernel's buffers take some megabytes before the outbox fills.
    while server.engine.disconnections().is_empty() {
        server.hub.deliver(&[session, quick_session], &answer);
        most = most.max(server.hub.queued_bytes());
        delivered += 1;
        assert_eq!(quick.hear().await["t"], "list_page", "its neighbour gets every frame");
        assert!(delivered < 1_000, "64 MB were queued to somebody who does not read");
    }
    assert!(most <= (1 << 20) + 70_000, "{most} bytes were held");
    let ended = slow.ends_with(CloseCode::SlowReader).await;
    assert!(ended.frames.len() < delivered);
    until("all is given back", || server.hub.sessions() == 1 && server.hub.queued_bytes() == 0).await;
    quick.still_there().await;
}

#[tokio::test]
async fn beyond_the_process_budget_the_fullest_are_closed() {
    let budget = 1 << 20;
    let server = serve(Limits { outbox_budget_bytes: budget, ..limits() }).await;
    let mut clients = Vec::new();
    let mut sessions = Vec::new();
    for _ in 0..6 {
        clients.push(Client::visitor(server.address).await);
        sessions.push(server.engine.last_session());
    }
    let mut modest = Client::visitor(server.address).await;
    let answer = bulk(60_000);
    let mut most = 0;
    // Nobody reads; the later ones are a little fuller than the earlier ones.
    for round in 0.. {
        assert!(round < 1_000);
        for (place, session) in sessions.iter().enumerate() {
            if round % 10 <= place + 4 {
                server.hub.deliver(&[*session], &answer);
                most = most.max(server.hub.queued_bytes());
                tokio::task::yield_now().await;
            }
        }
        if !server.engine.disconnections().is_empty() {
            break;
        }
    }
    assert!(most <= budget + budget / 8, "{most} bytes were held");
    until("the budget is kept", || server.hub.queued_bytes() <= budget).await;
    modest.still_there().await;
    let mut codes = Vec::new();
    for mut client in clients.drain(..) {
        // Those who are still there are ended here.
        let _ = client.0.close(None).await;
        codes.push(client.end().await.close);
    }
    assert!(codes.contains(&Some(CloseCode::OutboxBudget.number())), "{codes:?}");
}

#[tokio::test]
async fn opening_many_conversations_at_once_is_paced_and_not_a_slow_reader() {
    let server = serve_script(limits(), Script { open_bytes: 200_000, ..Script::default() }).await;
    let mut agent = Client::agent(server.address).await;
    for number in 0..100 {
        agent.say(json!({"t": "open", "conversation": id(number)})).await;
    }
    let began = Instant::now();
    for _ in 0..100 {
        agent.hear_kind("list_page").await;
    }
    agent.still_there().await;
    assert!(began.elapsed() < Duration::from_secs(8), "it goes on when answers come, not when a timer ends");
}

#[tokio::test]
async fn silence_is_closed_and_a_ping_is_not_silence() {
    let server = serve(Limits { idle_timeout: Duration::from_millis(600), ..limits() }).await;
    let mut silent = Client::visitor(server.address).await;
    let mut alive = Client::visitor(server.address).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(1_500) {
        alive.still_there().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    silent.ends_with(CloseCode::IdleTimeout).await;
    alive.still_there().await;
}

#[tokio::test]
async fn draining_is_paced_in_random_order_with_spread_returns() {
    let window = Duration::from_secs(8);
    let server = serve(Limits { reconnect_window: window, ..limits() }).await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        clients.push(Client::visitor(server.address).await);
    }
    let greeting = Client::connect(server.address).await;
    let began = Instant::now();
    let ends: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                let ended = client.ends_with(CloseCode::Draining).await;
                (began.elapsed(), ended.bye.unwrap()["retry_after_ms"].as_u64().unwrap())
            })
        })
        .collect();
    let hub = Arc::clone(&server.hub);
    let drained = tokio::spawn(async move { hub.drain(Duration::from_secs(1)).await });
    until("it has begun", || server.hub.sessions() < 41).await;

    let refused = Client::try_connect(server.address, None).await.err().expect("no new connection");
    let tungstenite::Error::Http(response) = refused else { panic!("{refused}") };
    assert_eq!(response.status(), 503);
    let after: u64 = response.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=9).contains(&after));

    let (mut times, mut returns) = (Vec::new(), Vec::new());
    for end in ends {
        let (time, back) = end.await.unwrap();
        times.push(time);
        returns.push(back);
    }
    drop(greeting);
    drained.await.unwrap();
    assert_eq!(server.hub.sessions(), 0);
    assert!(began.elapsed() < Duration::from_secs(6));
    let mut sorted = times.clone();
    sorted.sort();
    assert_ne!(sorted, times, "not in the order in which they came");
    assert!(sorted[39] - sorted[0] > Duration::from_millis(600), "spread over the second: {sorted:?}");
    assert!(sorted[20] - sorted[0] > Duration::from_millis(200), "{sorted:?}");
    returns.sort_unstable();
    assert!(returns[39] < 8_000 && returns[39] - returns[0] > 3_000, "full jitter over the window: {returns:?}");
}

#[tokio::test]
async fn a_session_over_its_rate_is_refused_and_then_slowed() {
    let server = serve(Limits { frames_per_second: 50, frames_burst: 5, ..limits() }).await;
    let mut client = Client::visitor(server.address).await;
    for number in 0..8 {
        client.say(json!({"t": "send", "id": id(number), "conversation": id(1), "seen": 0, "text": "x"})).await;
    }
    let mut refused = Vec::new();
    for _ in 0..8 {
        let frame = client.hear().await;
        if frame["t"] == "refused" {
            assert_eq!(frame["code"], "rate_limited");
            assert!((1..=20).contains(&frame["retry_after_ms"].as_u64().unwrap()), "{frame}");
            assert_eq!(frame["conversation"], id(1));
            refused.push(frame["id"].clone());
        }
    }
    assert!(!refused.is_empty() && refused.len() <= 3, "{refused:?}");
    assert_eq!(server.engine.asked().len(), 8 - refused.len());
    client.still_there().await;
}

#[tokio::test]
async fn an_address_has_a_rate_of_hellos_and_of_new_conversations_and_a_number_of_sessions() {
    let server =
        serve(Limits { hellos_per_minute: 3, starts_per_minute: 2, sessions_per_address: 4, ..limits() }).await;
    let mut client = Client::visitor(server.address).await;
    for (number, code) in [(1, None), (2, None), (3, Some("rate_limited"))] {
        client.say(json!({"t": "start", "id": id(number), "text": "x"})).await;
        let answer = client.hear().await;
        assert_eq!(answer["code"].as_str(), code);
        if code.is_some() {
            assert!(answer["retry_after_ms"].as_u64().unwrap() > 20_000, "{answer}");
        }
    }
    client.say(json!({"t": "send", "id": id(4), "conversation": id(1), "seen": 0, "text": "x"})).await;
    assert_eq!(client.hear().await["t"], "ack", "messages are another matter");

    let mut others = vec![Client::visitor(server.address).await, Client::visitor(server.address).await];
    let mut fourth = Client::connect(server.address).await;
    let tungstenite::Error::Http(response) = Client::try_connect(server.address, None).await.err().unwrap() else {
        panic!("the fifth session of the address is refused over HTTP")
    };
    assert_eq!(response.status(), 429);
    assert!(response.headers().contains_key("retry-after"));
    fourth.say(json!({"t": "hello", "v": 1, "as": "visitor", "workspace": id(WORKSPACE)})).await;
    let ended = fourth.ends_with(CloseCode::Overloaded).await;
    assert!(ended.bye.unwrap()["retry_after_ms"].as_u64().unwrap() > 10_000);
    until("its place is free", || server.hub.sessions() == 3).await;
    Client::connect(server.address).await;
    others.pop();
}

#[tokio::test]
async fn a_full_server_refuses_before_the_upgrade() {
    let server = serve(Limits { max_sessions: 1, ..limits() }).await;
    let mut first = Client::visitor(server.address).await;
    let tungstenite::Error::Http(response) = Client::try_connect(server.address, None).await.err().unwrap() else {
        panic!("refused over HTTP")
    };
    assert_eq!(response.status(), 503);
    first.still_there().await;
}

#[tokio::test]
async fn who_is_removed_or_logged_out_is_closed_at_once_even_in_the_middle_of_hello() {
    let workspace = WorkspaceId(WORKSPACE);
    let member = MemberId(AGENT);
    for case in 0..3 {
        // A server of its own: notes of who was sent away are kept a minute.
        let server = serve(limits()).await;
        let mut visitor = Client::visitor(server.address).await;
        let mut agent = Client::agent(server.address).await;
        let session = server.engine.last_session();
        server.hub.revoke_login(TokenId(LOGIN + 1));
        server.hub.revoke_member(WorkspaceId(1), member);
        agent.still_there().await;
        *server.doorman.held.lock() = true;
        let mut held = Client::connect(server.address).await;
        let before = server.doorman.origins.lock().len();
        held.say(json!({"t": "hello", "v": 1, "as": "agent", "token": "held"})).await;
        until("it is being checked", || server.doorman.origins.lock().len() > before).await;
        match case {
            0 => server.hub.revoke_login(TokenId(LOGIN)),
            1 => server.hub.revoke_member(workspace, member),
            // The engine's word to one session: whoever says hello meanwhile is another.
            _ => server.hub.deliver(&[session], &Answer::Revoked),
        }
        agent.ends_with(CloseCode::Revoked).await;
        *server.doorman.held.lock() = false;
        if case < 2 {
            assert_eq!(held.ends_with(CloseCode::Revoked).await.frames, Vec::<Value>::new(), "case {case}");
        } else {
            assert_eq!(held.hear().await["t"], "welcome");
        }
        visitor.still_there().await;
    }
}

#[tokio::test]
async fn frames_keep_their_order_and_each_is_asked_once() {
    let server = serve(limits()).await;
    let mut client = Client::visitor(server.address).await;
    let (mut write, mut read) = client.0.split();
    let writer = tokio::spawn(async move {
        for number in 0..5_000u128 {
            let frame =
                json!({"t": "send", "id": id(number), "conversation": id(1), "seen": 0, "text": number.to_string()});
            write.feed(Message::text(frame.to_string())).await.unwrap();
        }
        write.flush().await.unwrap();
        write
    });
    for number in 0..5_000u128 {
        let Some(Ok(Message::Text(text))) = read.next().await else { panic!("an ack") };
        let ack: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ack["id"], id(number));
    }
    client = Client(writer.await.unwrap().reunite(read).unwrap());
    client.still_there().await;
    let asked = server.engine.asked();
    assert_eq!(asked.len(), 5_000);
    for (number, request) in (0u128..).zip(asked) {
        assert!(matches!(request, Request::Send { id, .. } if id == CommandId(number)));
    }
}

#[tokio::test]
async fn the_engine_hears_of_the_party_that_was_admitted() {
    let server = serve(limits()).await;
    let _agent = Client::agent(server.address).await;
    let told = server.engine.told.lock().clone();
    let member = MemberName { id: MemberId(AGENT), name: "Ada".into() };
    assert_eq!(told[0].1, Told::Connected(Party::Agent { workspace: WorkspaceId(WORKSPACE), member }));
    let mut agent = Client::agent(server.address).await;
    agent.say(json!({"t": "list", "view": "mine", "feed": id(4), "at": 9})).await;
    agent.say(json!({"t": "list", "view": "mine", "at": 9})).await;
    agent.still_there().await;
    assert_eq!(
        server.engine.asked(),
        [
            Request::List { view: View::Mine, resume: Some((bellhop_engine::domain::FeedId(4), 9)) },
            Request::List { view: View::Mine, resume: None }
        ]
    );
}
