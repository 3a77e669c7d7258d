//! What schemathesis and the fuzzers found in the REST API, each case once.
#![allow(clippy::unwrap_used, reason = "a test")]

mod http_support;

use http_support::{House, bearer};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_speaks_of_fields_never_of_our_types_and_never_at_length() {
    let house = House::open().await;
    for (body, status, code) in [
        ("null", 422, "not_object"),
        ("5", 422, "not_object"),
        ("true", 422, "not_object"),
        ("\"text\"", 422, "not_object"),
        (" [\"token\"]", 422, "not_object"),
        ("5`", 400, "bad_json"),
        ("[\"token\"", 400, "bad_json"),
        ("", 400, "bad_json"),
        ("{", 400, "bad_json"),
        ("{} {}", 400, "bad_json"),
        ("{\"\": 1}", 422, "unknown_field"),
    ] {
        let reply = house.ask("POST", "/api/v1/setup/look", &[], Some(body)).is(status, code);
        assert!(!reply.text.contains("struct"), "{body}: {}", reply.text);
    }
    let owner = house.set_up().await;
    for position in ["{\"left\":null}", "[\"left\"]", "0", "\"\"", "\"Left\""] {
        let body = format!("{{\"position\":{position}}}");
        let reply = house.ask("PATCH", "/api/v1/workspace", &owner.headers(), Some(&body)).is(422, "bad_field");
        assert_eq!(reply.json()["error"]["field"], "position", "{position}");
    }
    let long = "x".repeat(100_000);
    for body in [json!({ long.as_str(): 1 }), json!({"token": [long.as_str()]}), json!({"token": {long.as_str(): 1}})] {
        let reply = house.ask("POST", "/api/v1/setup/look", &[], Some(&body.to_string()));
        assert_eq!(reply.status, 422);
        assert!(reply.text.len() < 1_000, "{} bytes for a refusal", reply.text.len());
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_without_a_name_is_refused_in_a_whole_sentence() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let reply = house.get("/api/v1/conversations?=x", &owner.headers()).is(422, "unknown_field");
    let message = reply.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.starts_with("The query does not fit: unknown field"), "{message}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_events_beyond_the_head_tells_the_head_as_it_is() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let (_, key) = house.key(&owner);
    let workspace = owner.me["workspace"]["id"].as_str().unwrap();
    let conversation = conversation(&house, workspace).await;
    let events =
        |after: &str| house.get(&format!("/api/v1/conversations/{conversation}/events?after={after}"), &bearer(&key));
    let head = events("0").is(200, "").json()["head"].as_u64().unwrap();
    for after in ["99", "9007199254740991"] {
        assert_eq!(events(after).is(200, "").json(), json!({"events": [], "head": head, "more": false}), "{after}");
    }
    for after in ["9007199254740992", "18446744073709551615", "18446744073709551616", "-1"] {
        events(after).is(422, "bad_field");
    }
    house.close().await;
}

async fn conversation(house: &House, workspace: &str) -> String {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", house.address)).await.unwrap();
    let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace});
    let start = json!({"t": "start", "id": "0123456789abcdef0123456789abcdef", "text": "Is anybody there?"});
    for frame in [hello, start] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    loop {
        let text = socket.next().await.expect("an ack comes").unwrap();
        let frame: serde_json::Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
        if frame["t"] == "ack" {
            return frame["conversation"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_cursor_of_another_spelling_is_not_ours() {
    let house = House::open().await;
    let owner = house.set_up().await;
    for (view, after) in [
        ("open", "+0-+0-+0"),
        ("open", "0-0-0"),
        ("open", "0-0000000000000000-0000000000000000000000000000000A"),
        ("resolved", "%2B1%2B1"),
        ("resolved", "AA"),
    ] {
        let path = format!("/api/v1/conversations?view={view}&after={after}");
        house.get(&path, &owner.headers()).is(422, "cursor_bad");
    }
    house.close().await;
}
