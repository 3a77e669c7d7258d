//! The REST API over real sockets.
#![allow(clippy::unwrap_used)] // To panic is how a test fails.

mod http_support;

use std::collections::{BTreeMap, BTreeSet};

use bellhop_gateway::accounts::OperatorCommand;
use bellhop_gateway::admin::ask_running;
use bellhop_gateway::http::ROUTES;
use futures_util::{SinkExt as _, StreamExt as _};
use http_support::{House, Login, PASSWORD, ask, bearer, token};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

const UNKNOWN: &str = "0123456789abcdef0123456789abcdef";

/// Routes that need no authentication.
const PUBLIC: [&str; 8] = [
    "/api/v1/setup/look",
    "/api/v1/setup",
    "/api/v1/login",
    "/api/v1/password/reset",
    "/api/v1/invites/look",
    "/api/v1/invites/accept",
    "/api/v1/widget/{workspace}",
    "/api/v1/openapi.json",
];

/// Requests of these tests name the address that they come from, so that each has limits of its own.
const BEHIND_A_PROXY: (&str, &str) = ("BELLHOP_SERVER__TRUSTED_PROXIES", "[\"127.0.0.1\"]");

fn at(path: &str, id: &str) -> String {
    path.replace("{id}", id).replace("{workspace}", id)
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// An agent's socket, welcomed.
async fn agent(house: &House, token: &str) -> Socket {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", house.address)).await.unwrap();
    let hello = json!({"t": "hello", "v": 1, "as": "agent", "token": token}).to_string();
    socket.send(Message::text(hello)).await.unwrap();
    let first = socket.next().await.unwrap().unwrap();
    assert!(first.to_text().unwrap().contains("welcome"), "{first}");
    socket
}

/// The number that a socket is closed with.
async fn close_code(mut socket: Socket) -> u16 {
    while let Some(message) = socket.next().await {
        if let Ok(Message::Close(Some(frame))) = message {
            return frame.code.into();
        }
    }
    panic!("the socket ended without a close frame");
}

async fn agent_of(house: &House, login: &Login) -> Socket {
    let reply = house.post("/api/v1/socket-token", &login.headers(), json!({})).is(200, "");
    assert_eq!(reply.json()["expires_in_ms"], 60_000);
    agent(house, reply.json()["token"].as_str().unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_set_up_link_works_once_and_is_dead_afterwards() {
    let house = House::open().await;
    let old = house.set_up_token().await;
    let link = house.set_up_token().await;
    for dead in [old.as_str(), "", "bhl_", &link[..link.len() - 1], &link.replace("bhl_", "bhk_")] {
        house.post("/api/v1/setup/look", &[], json!({"token": dead})).is(410, "link_dead");
    }
    house.post("/api/v1/setup/look", &[], json!({"token": link})).is(200, "");
    let body = |token: &str| json!({"token": token, "workspace_name": "Harbour", "name": "Olive", "email": "Olive@Example.org", "password": PASSWORD});
    let mut bad = body(&link);
    bad["email"] = json!("nobody");
    house.post("/api/v1/setup", &[], bad).is(422, "bad_field");
    let reply = house.post("/api/v1/setup", &[], body(&link)).is(201, "");
    let set = reply.header("set-cookie").unwrap();
    for part in ["bellhop_session=bhc_", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "plain http on loopback");
    let me = reply.json();
    assert_eq!(me["person"], json!({"name": "Olive", "email": "olive@example.org"}));
    assert_eq!(me["member"]["role"], "owner");
    let workspace = me["workspace"]["id"].as_str().unwrap();
    let snippet = me["snippet"].as_str().unwrap();
    assert!(snippet.starts_with(&format!(r#"<script data-workspace="{workspace}" data-bellhop="{}">"#, house.url())));
    assert!(snippet.ends_with(&format!(r#"import("{}/bellhop.js").catch(()=>{{}}))</script>"#, house.url())));
    assert_eq!(snippet.lines().count(), 1);
    house.post("/api/v1/setup", &[], body(&link)).is(410, "link_dead");
    house.post("/api/v1/setup/look", &[], json!({"token": link})).is(410, "link_dead");
    assert!(house.server.accounts().make_setup_link().await.unwrap().is_none(), "there is an owner now");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_who_use_one_set_up_link_at_once_make_one_workspace() {
    let house = House::open().await;
    let link = house.set_up_token().await;
    let tries: Vec<_> = (0..4)
        .map(|n| {
            let (address, link) = (house.address, link.clone());
            std::thread::spawn(move || {
                let body = json!({"token": link, "workspace_name": "W", "name": "N", "email": format!("n{n}@x.org"), "password": PASSWORD});
                ask(address, "POST", "/api/v1/setup", &[], Some(&body.to_string())).status
            })
        })
        .collect();
    let mut codes: Vec<u16> = tries.into_iter().map(|it| it.join().unwrap()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [201, 410, 410, 410]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_in_and_log_out_work_everywhere() {
    let house = House::open().await;
    let first = house.set_up().await;
    let login =
        |email: &str, password: &str| house.post("/api/v1/login", &[], json!({"email": email, "password": password}));
    let wrong = login("olive@example.org", "wrong horse battery").is(401, "login_failed");
    let unknown = login("nobody@example.org", PASSWORD).is(401, "login_failed");
    assert_eq!(wrong.text, unknown.text);
    let second = Login::of(&login("OLIVE@example.org", PASSWORD).is(200, ""));
    let third = Login::of(&login("olive@example.org", PASSWORD).is(200, ""));
    assert_ne!(second.cookie, third.cookie);
    house.get("/api/v1/me", &second.headers()).is(200, "");

    let socket = agent_of(&house, &second).await;
    let gone = house.post("/api/v1/logout", &second.headers(), json!({})).is(204, "");
    assert!(gone.header("set-cookie").unwrap().contains("Max-Age=0"));
    house.get("/api/v1/me", &second.headers()).is(401, "not_logged_in");
    assert_eq!(close_code(socket).await, 4015);
    house.get("/api/v1/me", &third.headers()).is(200, "");

    let socket = agent_of(&house, &first).await;
    house.post("/api/v1/logout", &third.headers(), json!({"everywhere": true})).is(204, "");
    for ended in [&first, &third] {
        house.get("/api/v1/me", &ended.headers()).is(401, "not_logged_in");
    }
    assert_eq!(close_code(socket).await, 4015);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_outlives_a_restart() {
    let house = House::open().await;
    let login = house.set_up().await;
    let folder = house.close().await;
    let house = House::open_in(folder, &[]).await;
    house.get("/api/v1/me", &login.headers()).is(200, "");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_from_foreign_pages_change_nothing() {
    let house = House::open().await;
    let login = house.set_up().await;
    let (_, key) = house.key(&login);
    let cookie = || ("Cookie", format!("bellhop_session={}", login.cookie));
    let csrf = |text: &str| ("X-Bellhop-Csrf", text.to_owned());
    let origin = |text: &str| ("Origin", text.to_owned());
    let own = house.url();
    let localhost = own.replace("127.0.0.1", "localhost");
    let body = json!({"greeting": "Hello"}).to_string();
    let other = house.join(&login, "Other", "other@example.org");
    for (headers, status, code) in [
        (vec![cookie()], 403, "csrf"),
        (vec![cookie(), csrf("")], 403, "csrf"),
        (vec![cookie(), csrf("AAAA")], 403, "csrf"),
        (vec![cookie(), csrf(&other.csrf)], 403, "csrf"),
        (vec![cookie(), csrf(&login.csrf)], 200, ""),
        (vec![cookie(), csrf(&login.csrf), origin(&own)], 200, ""),
        (vec![cookie(), csrf(&login.csrf), origin(&localhost)], 200, ""),
        (vec![cookie(), csrf(&login.csrf), origin("null")], 403, "origin"),
        (vec![cookie(), csrf(&login.csrf), origin("http://evil.example")], 403, "origin"),
        (vec![cookie(), csrf(&login.csrf), origin(&format!("{own}.evil.example"))], 403, "origin"),
        (vec![cookie(), csrf(&login.csrf), origin(&own.replace("http:", "https:"))], 403, "origin"),
        (vec![cookie(), csrf(&login.csrf), origin("http://127.0.0.1")], 403, "origin"),
        (bearer(&key), 200, ""),
        ([bearer(&key), vec![cookie()]].concat(), 200, ""),
    ] {
        let reply = house.ask("PATCH", "/api/v1/workspace", &headers, Some(&body));
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{headers:?}");
    }
    // Log-in too: a foreign page must not log somebody in as somebody else.
    let body = json!({"email": "olive@example.org", "password": PASSWORD});
    house.post("/api/v1/login", &[origin("http://evil.example")], body).is(403, "origin");

    let port = house.address.port();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("LOCALHOST:{port}"), 200),
        (format!("[::1]:{port}"), 200),
        ("evil.example".to_owned(), 421),
        (format!("evil.example:{port}"), 421),
        (format!("127.0.0.1:{port}.evil.example"), 421),
        ("127.0.0.1".to_owned(), 421),
        (String::new(), 421),
    ] {
        let reply = house.get("/api/v1/openapi.json", &[("Host", host.clone())]);
        assert_eq!(reply.status, status, "{host}");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_works_once_and_for_its_address_only() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let made = house.post("/api/v1/invites", &owner.headers(), json!({"email": "ada@example.org"})).is(201, "").json();
    let link = token(made["link"].as_str().unwrap());
    assert!(made["link"].as_str().unwrap().starts_with(&format!("{}/invite#", house.url())));
    let listed = house.get("/api/v1/invites", &owner.headers()).json();
    assert_eq!(listed["invites"][0]["email"], "ada@example.org");
    assert!(!listed.to_string().contains(&link[37..]), "a link is shown once");
    let look = house.post("/api/v1/invites/look", &[], json!({"token": link})).is(200, "").json();
    assert_eq!(look, json!({"workspace": {"name": "Harbour"}, "email": "ada@example.org", "role": "agent"}));

    let accept = |token: &str, email: &str, password: &str| {
        house.post(
            "/api/v1/invites/accept",
            &[],
            json!({"token": token, "name": "Ada", "email": email, "password": password}),
        )
    };
    accept(&link, "eve@example.org", PASSWORD).is(422, "bad_field");
    accept(&link, "ada@example.org", "short").is(422, "bad_field");
    let ada = Login::of(&accept(&link, "ada@example.org", PASSWORD).is(201, ""));
    assert_eq!(ada.me["member"]["role"], "agent");
    accept(&link, "ada@example.org", PASSWORD).is(410, "link_dead");
    house.post("/api/v1/invites/look", &[], json!({"token": link})).is(410, "link_dead");
    assert_eq!(house.get("/api/v1/invites", &owner.headers()).json()["invites"], json!([]));

    // An e-mail that has a person needs that person's password; a member cannot join twice.
    let open = house.post("/api/v1/invites", &owner.headers(), json!({})).is(201, "").json();
    let open_token = token(open["link"].as_str().unwrap());
    accept(&open_token, "ada@example.org", "another password").is(401, "login_failed");
    accept(&open_token, "ada@example.org", PASSWORD).is(409, "member_exists");
    house
        .ask("DELETE", &format!("/api/v1/invites/{}", open["id"].as_str().unwrap()), &owner.headers(), None)
        .is(204, "");
    accept(&open_token, "new@example.org", PASSWORD).is(410, "link_dead");
    // A set-up link is no invite and the reverse.
    house.post("/api/v1/password/reset", &[], json!({"token": link, "password": PASSWORD})).is(410, "link_dead");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_may_not_what_an_owner_may_and_a_removed_one_nothing() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let ada = house.join(&owner, "Ada", "ada@example.org");
    for (method, path, body) in [
        ("PATCH", "/api/v1/workspace", Some("{}")),
        ("GET", "/api/v1/invites", None),
        ("POST", "/api/v1/invites", Some("{}")),
        ("GET", "/api/v1/keys", None),
        ("POST", "/api/v1/keys", Some("{\"name\":\"x\"}")),
        ("DELETE", "/api/v1/keys/0123456789abcdef0123456789abcdef", None),
        ("DELETE", "/api/v1/invites/0123456789abcdef0123456789abcdef", None),
        ("DELETE", "/api/v1/members/0123456789abcdef0123456789abcdef", None),
    ] {
        house.ask(method, path, &ada.headers(), body).is(403, "owner_only");
    }
    house.get("/api/v1/workspace", &ada.headers()).is(200, "");
    let members = house.get("/api/v1/members", &ada.headers()).json();
    assert_eq!(members["members"].as_array().unwrap().len(), 2);

    let socket = agent_of(&house, &ada).await;
    let member = ada.me["member"]["id"].as_str().unwrap();
    let own = owner.me["member"]["id"].as_str().unwrap();
    house.ask("DELETE", &format!("/api/v1/members/{own}"), &owner.headers(), None).is(409, "last_owner");
    house.ask("DELETE", &format!("/api/v1/members/{member}"), &owner.headers(), None).is(204, "");
    assert_eq!(close_code(socket).await, 4015);
    house.get("/api/v1/me", &ada.headers()).is(401, "not_logged_in");
    house.post("/api/v1/login", &[], json!({"email": "ada@example.org", "password": PASSWORD})).is(401, "login_failed");
    house.ask("DELETE", &format!("/api/v1/members/{member}"), &owner.headers(), None).is(404, "not_found");
    assert_eq!(house.get("/api/v1/members", &owner.headers()).json()["members"].as_array().unwrap().len(), 1);
    // And may be invited again.
    let again = house.join(&owner, "Ada", "ada@example.org");
    assert_ne!(again.me["member"]["id"], ada.me["member"]["id"]);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_every_other_session() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let socket = agent_of(&house, &owner).await;
    let command = OperatorCommand::ResetPassword { email: "Olive@Example.org".into() };
    let lines = house.server.accounts().operate(command.clone()).await.unwrap();
    let older = token(&house.server.accounts().operate(command).await.unwrap()[0]);
    assert!(lines[0].starts_with(&format!("{}/reset#", house.url())));
    let reset =
        |token: &str| house.post("/api/v1/password/reset", &[], json!({"token": token, "password": "a new password"}));
    let new = Login::of(&reset(&token(&lines[0])).is(200, ""));
    assert_eq!(close_code(socket).await, 4015);
    house.get("/api/v1/me", &owner.headers()).is(401, "not_logged_in");
    house.get("/api/v1/me", &new.headers()).is(200, "");
    reset(&token(&lines[0])).is(410, "link_dead");
    reset(&older).is(410, "link_dead");
    house
        .post("/api/v1/login", &[], json!({"email": "olive@example.org", "password": PASSWORD}))
        .is(401, "login_failed");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_of_several_workspaces_chooses_one() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let command = OperatorCommand::CreateWorkspace { name: "Second".into(), owner_email: "olive@example.org".into() };
    let lines = house.server.accounts().operate(command).await.unwrap();
    let accept =
        json!({"token": token(&lines[1]), "name": "Olive", "email": "olive@example.org", "password": PASSWORD});
    house.post("/api/v1/invites/accept", &[], accept).is(201, "");
    let body = json!({"email": "olive@example.org", "password": PASSWORD});
    let choose = house.post("/api/v1/login", &[], body).is(409, "choose_workspace").json();
    let names: BTreeSet<&str> =
        choose["error"]["workspaces"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["Harbour", "Second"]));
    let wanted = owner.me["workspace"]["id"].clone();
    let body = json!({"email": "olive@example.org", "password": PASSWORD, "workspace": wanted});
    assert_eq!(house.post("/api/v1/login", &[], body).is(200, "").json()["workspace"]["id"], wanted);
    let body = json!({"email": "olive@example.org", "password": PASSWORD, "workspace": UNKNOWN});
    house.post("/api/v1/login", &[], body).is(401, "login_failed");
    house.close().await;
}

/// Row D: every route that takes an id answers a foreign one exactly as an unknown one. The routes come from the
/// OpenAPI document; one that is missing below fails.
#[tokio::test(flavor = "multi_thread")]
async fn foreign_ids_answer_like_unknown_ones() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let (_, key) = house.key(&owner);
    // Another workspace, with one of everything.
    let command = OperatorCommand::CreateWorkspace { name: "Other".into(), owner_email: "eve@example.org".into() };
    let lines = house.server.accounts().operate(command).await.unwrap();
    let accept = json!({"token": token(&lines[1]), "name": "Eve", "email": "eve@example.org", "password": PASSWORD});
    let eve = Login::of(&house.post("/api/v1/invites/accept", &[], accept).is(201, ""));
    let (foreign_key, secret) = house.key(&eve);
    let invite = house.post("/api/v1/invites", &eve.headers(), json!({})).is(201, "").json();
    let conversation = conversation_of(&house, eve.me["workspace"]["id"].as_str().unwrap()).await;
    house.get(&format!("/api/v1/conversations/{conversation}"), &bearer(&secret)).is(200, "");

    let document = house.get("/api/v1/openapi.json", &[]).json();
    let mut checked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        if !path.contains('{') {
            continue;
        }
        let foreign = match path.as_str() {
            "/api/v1/members/{id}" | "/api/v1/members/{id}/socket-token" => eve.me["member"]["id"].as_str().unwrap(),
            "/api/v1/invites/{id}" => invite["id"].as_str().unwrap(),
            "/api/v1/keys/{id}" => foreign_key.as_str(),
            "/api/v1/conversations/{id}" | "/api/v1/conversations/{id}/events" => conversation.as_str(),
            // What a widget shows is public by its workspace's id; it grants nothing.
            "/api/v1/widget/{workspace}" => continue,
            other => panic!("{other} takes an id and is not in this matrix"),
        };
        for method in methods.as_object().unwrap().keys() {
            let method = method.to_uppercase();
            for headers in [bearer(&key), owner.headers()] {
                let body = (method == "POST").then_some("{}");
                let answer = |id: &str| {
                    let reply = house.ask(&method, &at(path, id), &headers, body);
                    (reply.status, reply.text)
                };
                let (foreign, unknown) = (answer(foreign), answer(UNKNOWN));
                assert_eq!(foreign, unknown, "{method} {path}");
                assert!(matches!(foreign.0, 403 | 404), "{method} {path}: {foreign:?}");
                assert_eq!(answer("no-id").0, foreign.0, "{method} {path}");
                checked += 1;
            }
        }
    }
    assert!(checked >= 12, "{checked}");
    // Nothing of the other workspace was touched.
    assert_eq!(house.get("/api/v1/keys", &eve.headers()).json()["keys"].as_array().unwrap().len(), 1);
    assert_eq!(house.get("/api/v1/invites", &eve.headers()).json()["invites"].as_array().unwrap().len(), 1);
    house.get("/api/v1/me", &eve.headers()).is(200, "");
    house.close().await;
}

/// A visitor's conversation in a workspace; its id.
async fn conversation_of(house: &House, workspace: &str) -> String {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/ws", house.address)).await.unwrap();
    let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace});
    let start = json!({"t": "start", "id": UNKNOWN, "text": "Is anybody there?"});
    for frame in [hello, start] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    while let Some(Ok(message)) = socket.next().await {
        let frame: Value = serde_json::from_str(message.to_text().unwrap()).unwrap_or_default();
        if frame["t"] == "ack" {
            return frame["conversation"].as_str().unwrap().to_owned();
        }
    }
    panic!("no acknowledgement came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_read_back_word_for_word() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let (_, key) = house.key(&owner);
    let id = conversation_of(&house, owner.me["workspace"]["id"].as_str().unwrap()).await;
    let view = house.get(&format!("/api/v1/conversations/{id}"), &bearer(&key)).is(200, "").json();
    assert_eq!(view["id"], id);
    let path = format!("/api/v1/conversations/{id}/events");
    let all = house.get(&path, &bearer(&key)).is(200, "").json();
    assert!(all.to_string().contains("Is anybody there?"));
    assert_eq!(all["more"], false);
    let count = all["events"].as_array().unwrap().len() as u64;
    assert_eq!(all["head"], count, "no gaps");
    // One by one, the same.
    let mut one_by_one = Vec::new();
    for after in 0..count {
        let page = house.get(&format!("{path}?after={after}&limit=1"), &bearer(&key)).is(200, "").json();
        assert_eq!(page["more"], after + 1 < count);
        one_by_one.extend(page["events"].as_array().unwrap().clone());
    }
    assert_eq!(all["events"], json!(one_by_one));
    assert_eq!(house.get(&format!("{path}?after=999"), &bearer(&key)).json()["events"], json!([]));
    for (query, code) in [
        ("limit=0", "bad_field"),
        ("limit=1001", "bad_field"),
        ("after=-1", "bad_field"),
        ("before=3", "unknown_field"),
    ] {
        house.get(&format!("{path}?{query}"), &bearer(&key)).is(422, code);
    }
    let rows = house.get("/api/v1/conversations?view=open&limit=1", &bearer(&key)).is(200, "").json();
    assert_eq!(rows["rows"][0]["id"], id);
    for (query, code) in [
        ("view=mine", "bad_field"),
        ("view=all", "bad_field"),
        ("limit=101", "bad_field"),
        ("after=zzz", "cursor_bad"),
        ("x=1", "unknown_field"),
    ] {
        house.get(&format!("/api/v1/conversations?{query}"), &bearer(&key)).is(422, code);
    }
    house.get("/api/v1/conversations?view=mine", &owner.headers()).is(200, "");
    house.close().await;
}

/// Row J: every route but the public ones refuses every kind of wrong credential. The routes are the router's own.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_open_no_route() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let (id, key) = house.key(&owner);
    let (_, revoked) = house.key(&owner);
    let revoked_id = revoked[4..36].to_owned();
    house.ask("DELETE", &format!("/api/v1/keys/{revoked_id}"), &owner.headers(), None).is(204, "");
    let cookie =
        |value: &str| vec![("Cookie", format!("bellhop_session={value}")), ("X-Bellhop-Csrf", owner.csrf.clone())];
    let forged = format!("bhk_{id}_{}", "A".repeat(43));
    let as_cookie = owner.cookie.replace(&owner.cookie[37..], &"A".repeat(43));
    for (method, path) in ROUTES {
        if PUBLIC.contains(path) {
            continue;
        }
        let path = at(path, UNKNOWN);
        for headers in [
            vec![],
            cookie(""),
            cookie("x"),
            cookie(&as_cookie),
            cookie(&key),
            bearer(""),
            bearer("x"),
            bearer(&forged),
            bearer(&revoked),
            bearer(&owner.cookie),
            vec![("Authorization", format!("Basic {key}"))],
            vec![("Authorization", key.clone())],
        ] {
            let body = matches!(*method, "post" | "patch").then_some("{}");
            let reply = house.ask(&method.to_uppercase(), &path, &headers, body);
            assert_eq!(reply.status, 401, "{method} {path} {headers:?}: {}", reply.text);
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_closes_the_sockets_that_it_opened() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let (id, key) = house.key(&owner);
    let body = json!({"name": "Robot", "email": "robot@example.org", "role": "agent"});
    house.post("/api/v1/members", &owner.headers(), body.clone()).is(403, "key_only");
    let member = house.post("/api/v1/members", &bearer(&key), body.clone()).is(201, "").json();
    house.post("/api/v1/members", &bearer(&key), body).is(409, "member_exists");
    // An integration's member owns no address: nobody is locked out of theirs by it.
    assert!(
        house
            .server
            .accounts()
            .operate(OperatorCommand::ResetPassword { email: "robot@example.org".into() })
            .await
            .is_err()
    );
    let path = format!("/api/v1/members/{}/socket-token", member["id"].as_str().unwrap());
    house.post(&path, &owner.headers(), json!({})).is(403, "key_only");
    let reply = house.post(&path, &bearer(&key), json!({})).is(200, "");
    let socket = agent(&house, reply.json()["token"].as_str().unwrap()).await;
    house.post("/api/v1/socket-token", &bearer(&key), json!({})).is(403, "person_only");
    house.ask("DELETE", &format!("/api/v1/keys/{id}"), &owner.headers(), None).is(204, "");
    assert_eq!(close_code(socket).await, 4015);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_tries_too_often_is_told_when_to_come_back() {
    let house = House::open_with(&[("BELLHOP_LIMITS__KEY_REQUESTS_PER_SECOND", "1")]).await;
    let owner = house.set_up().await;
    let (_, key) = house.key(&owner);
    let until_limited = |most: usize, mut ask: Box<dyn FnMut() -> http_support::Reply + '_>| {
        for n in 0..=most {
            let reply = ask();
            if reply.status == 429 {
                assert_eq!(reply.code(), "too_many");
                assert!(reply.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
                return n;
            }
        }
        panic!("{most} tries and no limit");
    };
    let per_key = until_limited(20, Box::new(|| house.get("/api/v1/workspace", &bearer(&key))));
    assert!(per_key >= 2, "{per_key}");
    let body = || json!({"email": "olive@example.org", "password": "wrong wrong wrong"});
    let per_email = until_limited(30, Box::new(|| house.post("/api/v1/login", &[], body())));
    assert_eq!(per_email, 20);
    // Another e-mail is not affected, until the address is.
    let mut n = 0;
    let per_address = until_limited(
        100,
        Box::new(|| {
            n += 1;
            house.post("/api/v1/login", &[], json!({"email": format!("e{n}@x.org"), "password": "wrong wrong wrong"}))
        }),
    );
    assert!(per_address >= 30, "{per_address}");
    let links = until_limited(200, Box::new(|| house.post("/api/v1/invites/look", &[], json!({"token": "x"}))));
    assert!(links >= 50, "{links}");
    let widget = until_limited(5_000, Box::new(|| house.get(&format!("/api/v1/widget/{UNKNOWN}"), &[])));
    assert!(widget >= 400, "{widget}");
    house.close().await;
}

/// Row G: whatever takes a link counts its tries by address, and says when the next may come.
#[tokio::test(flavor = "multi_thread")]
async fn who_tries_links_too_often_is_told_when_to_come_back() {
    let house = House::open_with(&[BEHIND_A_PROXY]).await;
    house.set_up().await;
    let person = |token: &str| json!({"token": token, "name": "N", "email": "n@example.org", "password": PASSWORD});
    let mut set_up = person("x");
    set_up["workspace_name"] = json!("W");
    for (place, (path, body)) in [
        ("/api/v1/setup/look", json!({"token": "x"})),
        ("/api/v1/setup", set_up),
        ("/api/v1/invites/look", json!({"token": "x"})),
        ("/api/v1/invites/accept", person("x")),
        ("/api/v1/password/reset", json!({"token": "x", "password": PASSWORD})),
    ]
    .into_iter()
    .enumerate()
    {
        let from = |address: String| house.post(path, &[("X-Forwarded-For", address)], body.clone());
        let mut tries = 0;
        let refused = loop {
            let reply = from(format!("192.0.2.{place}"));
            if reply.status == 429 {
                break reply.is(429, "too_many");
            }
            reply.is(410, "link_dead");
            tries += 1;
            assert!(tries < 200, "{path}: {tries} tries and no limit");
        };
        assert!(tries >= 50, "{path}: {tries}");
        let wait: u64 = refused.header("retry-after").expect("it says when").parse().unwrap();
        assert!((1..=3_600).contains(&wait), "{path}: {wait}");
        from(format!("198.51.100.{place}")).is(410, "link_dead");
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_body_has_its_code_and_changes_nothing() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let before = house.get("/api/v1/workspace", &owner.headers()).text;
    let big = format!("{{\"greeting\":\"{}\"}}", "x".repeat(1024 * 1024));
    let long = format!("{{\"greeting\":\"{}\"}}", "x".repeat(301));
    for (body, status, code, field) in [
        ("", 400, "bad_json", None),
        ("   ", 400, "bad_json", None),
        ("{", 400, "bad_json", None),
        ("{}{}", 400, "bad_json", None),
        ("{\"name\":\"a\\ud800\"}", 400, "bad_json", None),
        ("null", 422, "not_object", None),
        ("[]", 422, "not_object", None),
        ("\"x\"", 422, "not_object", None),
        ("{\"nme\":\"x\"}", 422, "unknown_field", Some("nme")),
        ("{\"name\":3}", 422, "bad_field", Some("name")),
        ("{\"name\":\"\"}", 422, "bad_field", Some("name")),
        ("{\"name\":\"a\\u202eb\"}", 422, "bad_field", Some("name")),
        ("{\"name\":\"a\\u0000b\"}", 422, "bad_field", Some("name")),
        ("{\"name\":\"a\",\"name\":\"b\"}", 422, "bad_field", Some("name")),
        (&long, 422, "bad_field", Some("greeting")),
        ("{\"accent\":\"red\"}", 422, "bad_field", Some("accent")),
        ("{\"accent\":\"#12345g\"}", 422, "bad_field", Some("accent")),
        ("{\"position\":\"top\"}", 422, "bad_field", Some("position")),
        // serde_json calls an enum of another JSON type bad syntax.
        ("{\"position\":3}", 422, "bad_field", Some("position")),
        ("{\"position\":true}", 422, "bad_field", Some("position")),
        ("{\"position\":[\"left\"]}", 422, "bad_field", Some("position")),
        ("{\"position\":{\"left\":1}}", 422, "bad_field", Some("position")),
        ("{\"agent_cap\":0}", 422, "bad_field", Some("agent_cap")),
        ("{\"agent_cap\":1001}", 422, "bad_field", Some("agent_cap")),
        ("{\"agent_cap\":-1}", 422, "bad_field", Some("agent_cap")),
        ("{\"allowed_origins\":[\"null\"]}", 422, "bad_field", Some("allowed_origins")),
        ("{\"allowed_origins\":[\"https://a.example\",5]}", 422, "bad_field", Some("allowed_origins[1]")),
        ("{\"name\":\"Fine\",\"accent\":\"red\"}", 422, "bad_field", Some("accent")),
        (&big, 413, "body_too_big", None),
    ] {
        let reply = house.ask("PATCH", "/api/v1/workspace", &owner.headers(), Some(body));
        let shown: String = body.chars().take(60).collect();
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{shown}: {}", reply.text);
        if let Some(field) = field {
            assert_eq!(reply.json()["error"]["field"], field, "{shown}: {}", reply.text);
        }
    }
    let form = [owner.headers(), vec![("Content-Type", "text/plain".to_owned())]].concat();
    house.ask("PATCH", "/api/v1/workspace", &form, Some("{}")).is(415, "not_json");
    let reply = house.post("/api/v1/login", &[], json!({"email": "a@b.de"})).is(422, "missing_field");
    assert_eq!(reply.json()["error"]["field"], "password");
    house.get("/api/v1/nowhere", &[]).is(404, "not_found");
    house.get("/api/v1/login", &[]).is(405, "method_not_allowed");
    assert_eq!(house.get("/api/v1/workspace", &owner.headers()).text, before);
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_change_and_the_widget_sees_them() {
    let house = House::open().await;
    let owner = house.set_up().await;
    let workspace = owner.me["workspace"]["id"].as_str().unwrap();
    let body = json!({"name": " New name ", "greeting": "Hi", "accent": "#FFD700", "position": "left",
        "allowed_origins": ["https://Shop.example/", "https://shop.example"], "agent_cap": 1000});
    let changed = house.ask("PATCH", "/api/v1/workspace", &owner.headers(), Some(&body.to_string())).is(200, "").json();
    assert_eq!(changed["allowed_origins"], json!(["https://shop.example"]));
    assert_eq!(changed, house.get("/api/v1/workspace", &owner.headers()).json());
    let reply = house.get(&format!("/api/v1/widget/{workspace}"), &[]).is(200, "");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(reply.header("cache-control"), Some("public, max-age=30"));
    let widget = reply.json();
    assert_eq!(widget["workspace"], json!({"id": workspace, "name": "New name"}));
    assert_eq!((&widget["accent"], &widget["accent_text"]), (&json!("#ffd700"), &json!("#000000")));
    assert_eq!(widget["position"], "left");
    house.get(&format!("/api/v1/widget/{UNKNOWN}"), &[]).is(404, "not_found");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_and_files_carry_their_headers() {
    let house = House::open().await;
    for path in ["/", "/setup", "/invite", "/reset", "/login", "/inbox", "/inbox/a/b"] {
        let reply = house.get(path, &[]);
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(reply.header("referrer-policy"), Some("no-referrer"), "{path}");
        if reply.status == 503 {
            assert!(reply.text.contains("cargo xtask run"), "without front ends the page says how to build them");
            continue;
        }
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        let tag = reply.header("etag").unwrap().to_owned();
        assert_eq!(house.get(path, &[("If-None-Match", tag)]).status, 304);
    }
    let loader = house.get("/bellhop.js", &[("Accept-Encoding", "gzip".to_owned())]);
    if loader.status == 200 {
        assert_eq!(loader.header("cache-control"), Some("public, max-age=300"));
        assert_eq!(loader.header("access-control-allow-origin"), Some("*"));
        assert_eq!(loader.header("cross-origin-resource-policy"), Some("cross-origin"));
        assert_eq!(loader.header("content-encoding"), Some("gzip"));
    }
    assert_eq!(house.get("/assets/nothing.js", &[]).status, 404);
    assert_eq!(house.get("/widget/assets/..%2f..%2fsecret", &[]).status, 404);

    let before = house.get("/demo", &[]);
    assert!(before.text.contains("open the set-up link") && !before.text.contains("<script"));
    let owner = house.set_up().await;
    let workspace = owner.me["workspace"]["id"].as_str().unwrap();
    let demo = house.get("/demo", &[]);
    assert!(demo.text.contains(
        &house.server.site().snippet(bellhop_engine::domain::WorkspaceId(u128::from_str_radix(workspace, 16).unwrap()))
    ));
    assert!(demo.header("content-security-policy").unwrap().contains("require-trusted-types-for 'script'"));
    let other = house.server.site().demo_other_url.clone().unwrap();
    let reply = ask(other.trim_start_matches("http://").parse().unwrap(), "GET", "/", &[], None);
    assert!(reply.text.contains(&format!("import(\"{}/bellhop.js\")", house.url())));
    // The policy that settings tell a customer is the one that the demo's page lives by.
    let settings = house.get("/api/v1/workspace", &owner.headers());
    let policy = settings.json()["content_security_policy"].as_str().unwrap().to_owned();
    assert!(reply.header("content-security-policy").unwrap().contains(&policy), "{policy}");
    assert!(house.get(&format!("/demo?workspace={UNKNOWN}"), &[]).text.contains("no such workspace"));
    house.close().await;
}

/// The names of files in `text` that stand between `before` and a quote.
fn names_after<'a>(text: &'a str, before: &str) -> BTreeSet<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

/// Files whose names hold their hash are kept for a year, and come packed to whoever takes that.
#[tokio::test(flavor = "multi_thread")]
async fn hashed_files_are_kept_for_a_year_and_come_packed() {
    let house = House::open().await;
    let (page, loader) = (house.get("/inbox", &[]), house.get("/bellhop.js", &[]));
    if page.status == 503 || loader.status == 503 {
        assert!(
            std::env::var_os("CI").is_none(),
            "this bellhop was built without its front ends, so that nothing of how they are served was tested: build \
             widget and inbox-web before the tests of the gateway"
        );
        house.close().await;
        return;
    }
    let mut paths: Vec<String> =
        names_after(&page.text, "\"/assets/").iter().map(|it| format!("/assets/{it}")).collect();
    for kind in [".js", ".css"] {
        assert!(paths.iter().any(|it| it.ends_with(kind)), "the inbox's page names a {kind} file: {}", page.text);
    }
    // The loader makes a chunk's name from a word and this ending: import(`…"widget/assets/"+e+".3aa5fcbd.js"…`).
    let ending = loader.text.split("\"widget/assets/\"+").nth(1).and_then(|it| it.split('"').nth(1));
    let ending = ending.unwrap_or_else(|| panic!("the loader names its chunks: {}", loader.text));
    assert!(ending.starts_with('.') && ending.ends_with(".js") && ending.len() > ".js".len() + 6, "{ending}");
    paths.extend(["widget", "en"].map(|word| format!("/widget/assets/{word}{ending}")));

    for path in &paths {
        let plain = house.get(path, &[]).is(200, "");
        assert_eq!(plain.header("content-encoding"), None, "{path}");
        let mut tags = BTreeSet::from([plain.header("etag").unwrap().to_owned()]);
        for (accepted, form) in [("gzip, deflate, br", "br"), ("gzip, deflate", "gzip")] {
            let packed = house.get(path, &[("Accept-Encoding", accepted.to_owned())]).is(200, "");
            assert_eq!(packed.header("content-encoding"), Some(form), "{path}");
            assert_eq!(packed.header("vary"), Some("Accept-Encoding"), "{path}");
            assert_eq!(packed.header("content-type"), plain.header("content-type"), "{path}");
            let length = |reply: &http_support::Reply| reply.header("content-length").unwrap().parse::<u64>().unwrap();
            assert!(length(&packed) < length(&plain), "{path}: {form} is smaller");
            for kept in [&plain, &packed] {
                let kept = kept.header("cache-control").unwrap();
                for part in ["public", "max-age=31536000", "immutable"] {
                    assert!(kept.split(", ").any(|it| it == part), "{path}: {kept}");
                }
            }
            let tag = packed.header("etag").unwrap().to_owned();
            assert_eq!(
                house.get(path, &[("Accept-Encoding", form.to_owned()), ("If-None-Match", tag.clone())]).status,
                304
            );
            tags.insert(tag);
        }
        assert_eq!(tags.len(), 3, "{path}: each form is an answer of its own");
        let foreign = path.starts_with("/widget/").then_some("*");
        assert_eq!(plain.header("access-control-allow-origin"), foreign, "{path}");
    }
    // What names the files is itself never kept that long.
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    assert_eq!(loader.header("cache-control"), Some("public, max-age=300"));
    house.close().await;
}

/// What nobody should send, for places that take text.
fn payloads() -> Vec<String> {
    let short = [
        "",
        " ",
        "'",
        "\"",
        "' OR '1'='1' --",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%00",
        "%ff%fe",
        "%",
        "\0",
        "a\r\nX-Injected: 1",
        "<img src=x onerror=alert(1)>",
        "{{7*7}}${7*7}",
        "\u{202E}\u{200B}\u{FFFF}🙂",
        "-1",
        "18446744073709551616",
        "NaN",
        "null",
        "[]",
        UNKNOWN,
    ];
    let long = ["x".repeat(2_000), "é".repeat(32 * 1024), format!("{UNKNOWN}{}", "0".repeat(64 * 1024 - 32))];
    short.map(str::to_owned).into_iter().chain(long).collect()
}

/// What nobody should send, for fields of a JSON body: the texts, and every other type.
fn values() -> Vec<Value> {
    let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
    let others = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(u64::MAX),
        json!([]),
        json!(["'"]),
        json!({}),
        json!({"$ne": null}),
        deep,
    ];
    payloads().into_iter().map(Value::from).chain(others).collect()
}

/// As a part of a target: what cannot stand there is escaped, and what is escaped already stays as it is.
fn in_target(text: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/'".contains(&byte);
    text.bytes().map(|it| if keep(it) { char::from(it).to_string() } else { format!("%{it:02X}") }).collect()
}

/// A good value for a field, so that it is the other field that is looked at.
fn good(field: &str, number: usize, workspace: &str) -> Value {
    match field {
        "email" => json!(format!("e{number}@example.org")),
        "password" => json!(PASSWORD),
        "token" => json!(DEAD),
        "workspace" => json!(workspace),
        "name" | "workspace_name" | "greeting" => json!("Words"),
        "accent" => json!("#ffd700"),
        "position" => json!("left"),
        "allowed_origins" => json!([]),
        "agent_cap" => json!(5),
        "role" => json!("agent"),
        "everywhere" => json!(false),
        other => panic!("the body's field {other} has no good value here"),
    }
}

/// Stands where a link's token belongs, until one that works takes its place.
const DEAD: &str = "bhl_dead";

/// Links that still work, by what takes them: other fields are not looked at with one that does not.
#[derive(Default)]
struct Live(BTreeMap<String, String>);

impl Live {
    async fn link(&mut self, house: &House, owner: &Login, target: &str) -> String {
        if let Some(link) = self.0.get(target) {
            return link.clone();
        }
        let link = match target {
            "/api/v1/setup" | "/api/v1/setup/look" => house.set_up_token().await,
            "/api/v1/invites/look" | "/api/v1/invites/accept" => {
                let invite = house.post("/api/v1/invites", &owner.headers(), json!({})).is(201, "").json();
                token(invite["link"].as_str().unwrap())
            }
            "/api/v1/password/reset" => {
                let command = OperatorCommand::ResetPassword { email: "ada@example.org".into() };
                token(&house.server.accounts().operate(command).await.unwrap()[0])
            }
            _ => return DEAD.to_owned(),
        };
        self.0.insert(target.to_owned(), link.clone());
        link
    }
}

/// Row F: every path parameter, query parameter and body field of every route takes whatever is put into it, and the
/// server goes on. The routes and their fields come from the OpenAPI document.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_put_into_a_request_breaks_the_server() {
    let house = House::open_with(&[BEHIND_A_PROXY, ("BELLHOP_LIMITS__KEY_REQUESTS_PER_SECOND", "10000")]).await;
    let owner = house.set_up().await;
    let workspace = owner.me["workspace"]["id"].as_str().unwrap().to_owned();
    let (_, key) = house.key(&owner);
    let conversation = conversation_of(&house, &workspace).await;
    let document = house.get("/api/v1/openapi.json", &[]).json();
    let mut requests = Vec::new();
    let (mut walked, mut bodies) = (BTreeSet::new(), 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            walked.insert((method.clone(), path.clone()));
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let name = body["$ref"].as_str().map(|it| it.trim_start_matches("#/components/schemas/"));
            let fields: Vec<&String> = name
                .and_then(|it| document["components"]["schemas"][it]["properties"].as_object())
                .map_or_else(Vec::new, |it| it.keys().collect());
            assert_eq!(body.is_null(), name.is_none(), "{method} {path}: a body's schema has a name");
            let whole = |number: usize| {
                let fields = fields.iter().map(|it| ((*it).clone(), good(it, number, &workspace)));
                Value::Object(fields.collect())
            };
            let text = |value: &Value| name.is_some().then(|| value.to_string());
            let there = at(path, &conversation);
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                for payload in payloads() {
                    let payload = in_target(&payload);
                    let target = match parameter["in"].as_str() {
                        Some("path") => path.replace(&format!("{{{name}}}"), &payload),
                        Some("query") => format!("{there}?{name}={payload}"),
                        other => panic!("{path}: a parameter in {other:?}"),
                    };
                    requests.push((method.to_uppercase(), target, text(&whole(requests.len()))));
                }
            }
            for field in &fields {
                for value in values() {
                    let mut body = whole(requests.len());
                    body[field.as_str()] = value;
                    requests.push((method.to_uppercase(), there.clone(), text(&body)));
                }
            }
            bodies += usize::from(!fields.is_empty());
        }
    }
    assert_eq!(walked.len(), ROUTES.len());
    assert!(bodies >= 10 && (700..=1_500).contains(&requests.len()), "{bodies} bodies, {} requests", requests.len());

    let mut login = owner;
    house.join(&login, "Ada", "ada@example.org");
    let (mut live, mut unowned) = (Live::default(), None);
    let mut by_code = BTreeMap::<String, usize>::new();
    for (number, (method, target, body)) in requests.iter().enumerate() {
        let from = ("X-Forwarded-For", format!("10.1.{}.{}", number / 250, number % 250));
        // A first workspace is made where there is none yet.
        let sets_up = target.starts_with("/api/v1/setup");
        if sets_up && unowned.is_none() {
            unowned = Some(House::open_with(&[BEHIND_A_PROXY]).await);
            live.0.retain(|target, _| !target.starts_with("/api/v1/setup"));
        }
        let there = unowned.as_ref().filter(|_| sets_up).unwrap_or(&house);
        let link = live.link(there, &login, target).await;
        let body = body.as_ref().map(|it| it.replace(DEAD, &link));
        let asked = |headers: Vec<(&'static str, String)>| {
            let headers = [headers, vec![from.clone()]].concat();
            there.ask(method, target, &headers, body.as_deref())
        };
        let mut reply = asked(login.headers());
        if reply.code() == "key_only" {
            reply = asked(bearer(&key));
        }
        let shown = |text: &str| text.chars().take(120).collect::<String>();
        let what = format!("{method} {}, {}: {}", shown(target), shown(body.as_deref().unwrap_or("")), reply.status);
        assert!(reply.status < 500, "{what}: {}", reply.text);
        assert_eq!(reply.header("x-injected"), None, "{what}");
        // 414 and 431 come from below the router: the target is longer than a head may be.
        if reply.status >= 400 && !matches!(reply.status, 414 | 431) {
            assert!(!reply.code().is_empty(), "{what}: {}", reply.text);
        }
        *by_code.entry(format!("{} {}", reply.status, reply.code())).or_default() += 1;
        if reply.status < 300 {
            live.0.remove(target);
            if target == "/api/v1/setup" {
                assert_eq!(ask(there.server.admin_address(), "GET", "/readyz", &[], None).status, 200);
                unowned.take().expect("it was set up there").close().await;
            }
        }
        if target == "/api/v1/logout" && reply.status == 204 {
            let body = json!({"email": "olive@example.org", "password": PASSWORD});
            login = Login::of(&house.post("/api/v1/login", &[from], body).is(200, ""));
        }
    }
    if let Some(unowned) = unowned {
        unowned.close().await;
    }
    // They were looked at for what they are, and not turned away at the door: what a link refuses is the links' own.
    let links = 5 * payloads().len();
    for (code, most) in [("401 not_logged_in", 0), ("403 csrf", 0), ("429 too_many", 0), ("410 link_dead", links)] {
        assert!(by_code.get(code).copied().unwrap_or_default() <= most, "{code}: {by_code:?}");
    }

    assert_eq!(ask(house.server.admin_address(), "GET", "/readyz", &[], None).status, 200);
    house.get("/api/v1/me", &login.headers()).is(200, "");
    let good = json!({"name": "Harbour", "greeting": "Hello", "allowed_origins": [], "agent_cap": 5}).to_string();
    house.ask("PATCH", "/api/v1/workspace", &login.headers(), Some(&good)).is(200, "");
    let path = format!("/api/v1/conversations/{}/events", conversation_of(&house, &workspace).await);
    assert!(house.get(&path, &login.headers()).is(200, "").text.contains("Is anybody there?"), "words still arrive");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_tells_health_and_obeys_only_its_token() {
    let house = House::open().await;
    let admin = house.server.admin_address();
    let get = |path: &str| ask(admin, "GET", path, &[], None);
    assert_eq!(get("/healthz").status, 200);
    assert_eq!(get("/readyz").status, 200);
    house.get("/api/v1/openapi.json", &[]);
    let metrics = get("/metrics").text;
    assert!(metrics.contains("bellhop_http_requests_total"), "{metrics}");
    for family in metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(metrics.contains(&format!("# HELP {family} ")), "{family} does not say what it counts");
    }
    for (headers, status) in [
        (vec![], 401),
        (bearer(""), 401),
        (bearer("x"), 401),
        (bearer(&"0".repeat(64)), 401),
        (bearer(&std::fs::read_to_string(house.folder.0.join("admin.token")).unwrap()), 400),
    ] {
        assert_eq!(ask(admin, "POST", "/admin/operate", &headers, Some("{}")).status, status, "{headers:?}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(house.folder.0.join("admin.token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    // The command line's way in while the server holds the lock.
    let lines = ask_running(&house.folder.0, &OperatorCommand::SetupLink {}).unwrap();
    house.post("/api/v1/setup/look", &[], json!({"token": token(&lines[0])})).is(200, "");
    let unknown = OperatorCommand::CreateKey { workspace: bellhop_protocol::Id(7), name: "x".into() };
    assert!(ask_running(&house.folder.0, &unknown).is_err());
    let folder = house.close().await;
    assert!(!folder.0.join("admin.token").exists());
}
