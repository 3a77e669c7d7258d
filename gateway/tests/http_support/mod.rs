//! A server of the test's own, in its process: real sockets, real disk, ports of the system's choice.
#![allow(dead_code)] // Each test file uses its part of it.
#![allow(clippy::unwrap_used)] // To panic is how a test fails.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bellhop_gateway::config;
use bellhop_gateway::serve::Server;
use serde_json::{Value, json};

/// Whoever waits longer waits for ever.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const PASSWORD: &str = "correct horse battery";

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("bellhop-http-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {} {}", self.status, self.text))
    }

    /// The error's code, or nothing.
    pub(crate) fn code(&self) -> String {
        let body: Value = serde_json::from_str(&self.text).unwrap_or_default();
        body["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The session cookie's value.
    pub(crate) fn cookie(&self) -> String {
        let set = self.header("set-cookie").expect("the answer sets a cookie");
        set.split(['=', ';']).nth(1).expect("a cookie has a value").to_owned()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16, code: &str) -> Self {
        assert_eq!((self.status, self.code().as_str()), (status, code), "{}", self.text);
        self
    }
}

/// A log-in in a browser.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) cookie: String,
    pub(crate) csrf: String,
    pub(crate) me: Value,
}

impl Login {
    pub(crate) fn of(reply: &Reply) -> Self {
        let me = reply.json();
        Self { cookie: reply.cookie(), csrf: me["csrf"].as_str().unwrap().to_owned(), me }
    }

    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        vec![("Cookie", format!("other=1; bellhop_session={}", self.cookie)), ("X-Bellhop-Csrf", self.csrf.clone())]
    }
}

pub(crate) fn bearer(key: &str) -> Vec<(&'static str, String)> {
    vec![("Authorization", format!("Bearer {key}"))]
}

pub(crate) struct House {
    pub(crate) server: Server,
    pub(crate) folder: Folder,
    pub(crate) address: SocketAddr,
}

impl House {
    pub(crate) async fn open() -> Self {
        Self::open_with(&[]).await
    }

    pub(crate) async fn open_with(more: &[(&str, &str)]) -> Self {
        Self::open_in(Folder::new(), more).await
    }

    pub(crate) async fn open_in(folder: Folder, more: &[(&str, &str)]) -> Self {
        let data = folder.0.display().to_string();
        let mut environment = vec![
            ("BELLHOP_SERVER__LISTEN", "127.0.0.1:0"),
            ("BELLHOP_ADMIN__LISTEN", "127.0.0.1:0"),
            ("BELLHOP_DEMO__OTHER_ORIGIN_LISTEN", "127.0.0.1:0"),
            ("BELLHOP_DEMO__ENABLED", "true"),
            ("BELLHOP_DRAIN__OVER", "0ms"),
            ("BELLHOP_DATA__DIR", data.as_str()),
        ];
        environment.extend_from_slice(more);
        let environment = environment.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = config::load(None, environment, &Vec::new()).unwrap();
        let server = Server::start(config).await.unwrap();
        let address = server.site().public_url.trim_start_matches("http://").parse().unwrap();
        Self { server, folder, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&'static str, String)]) -> Reply {
        ask(self.address, "GET", path, headers, None)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&'static str, String)], body: Value) -> Reply {
        ask(self.address, "POST", path, headers, Some(&body.to_string()))
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: Option<&str>,
    ) -> Reply {
        ask(self.address, method, path, headers, body)
    }

    /// The token of a new set-up link.
    pub(crate) async fn set_up_token(&self) -> String {
        let link = self.server.accounts().make_setup_link().await.unwrap().expect("nobody owns a workspace yet");
        token(link.expose())
    }

    /// The first workspace and its owner.
    pub(crate) async fn set_up(&self) -> Login {
        let token = self.set_up_token().await;
        let body = json!({"token": token, "workspace_name": "Harbour", "name": "Olive Owner",
            "email": "olive@example.org", "password": PASSWORD});
        let reply = self.post("/api/v1/setup", &[], body);
        assert_eq!(reply.status, 201, "{}", reply.text);
        Login::of(&reply)
    }

    /// Invites by `owner` and accepts.
    pub(crate) fn join(&self, owner: &Login, name: &str, email: &str) -> Login {
        let invite = self.post("/api/v1/invites", &owner.headers(), json!({"email": email})).is(201, "");
        let token = token(invite.json()["link"].as_str().unwrap());
        let body = json!({"token": token, "name": name, "email": email, "password": PASSWORD});
        Login::of(&self.post("/api/v1/invites/accept", &[], body).is(201, ""))
    }

    pub(crate) fn key(&self, owner: &Login) -> (String, String) {
        let made = self.post("/api/v1/keys", &owner.headers(), json!({"name": "tests"})).is(201, "").json();
        (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
    }

    pub(crate) async fn close(self) -> Folder {
        self.server.stop().await.unwrap();
        self.folder
    }
}

/// What stands after the `#` of a link.
pub(crate) fn token(link: &str) -> String {
    link.split_once('#').expect("a link has its token in the fragment").1.to_owned()
}

/// One request on a connection of its own.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&'static str, String)],
    body: Option<&str>,
) -> Reply {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let given = |name: &str| headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
    if !given("host") {
        text += &format!("Host: {address}\r\n");
    }
    if let Some(body) = body {
        if !given("content-type") {
            text += "Content-Type: application/json\r\n";
        }
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    stream.write_all(text.as_bytes()).unwrap();
    if let Some(body) = body {
        // A server that refuses a body early may have closed before it was all sent.
        let _ = stream.write_all(body.as_bytes());
    }
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").expect("an answer has a head");
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let text = String::from_utf8_lossy(&bytes[end + 4..]).into_owned();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Reply { status, head, text }
}
