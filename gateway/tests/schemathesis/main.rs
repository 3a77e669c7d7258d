//! Every route of the REST API by its own document: schemathesis makes valid and invalid requests of each kind, sends
//! them to the real binary as nobody, with an API key, as an agent and as the owner, and judges the answers.
//!
//! `BELLHOP_PYTHON` is the python that has schemathesis (`gateway/tests/requirements.txt`); `BELLHOP_EXAMPLES` is how
//! many requests are drawn per operation and caller on top of the systematic ones; `BELLHOP_SEED` the seed.
#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../http_support/mod.rs"]
mod http_support;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use futures_util::{SinkExt as _, StreamExt as _};
use http_support::{Folder, Login, PASSWORD, Reply, ask, bearer, token};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// Requests drawn per operation and caller: the systematic ones (about 30 an operation) come on top.
const EXAMPLES: &str = "8";

/// The real binary; killed when the test ends.
struct Bellhop {
    child: Child,
    address: SocketAddr,
    setup_token: String,
}

impl Drop for Bellhop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Bellhop {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_bellhop"))
            .arg("serve")
            .env("BELLHOP_SERVER__LISTEN", "127.0.0.1:0")
            .env("BELLHOP_ADMIN__LISTEN", "127.0.0.1:0")
            .env("BELLHOP_DEMO__ENABLED", "false")
            .env("BELLHOP_DATA__DIR", data)
            // Each request names an address of its own (hooks.py), or the limits of one address would answer them all.
            .env("BELLHOP_SERVER__TRUSTED_PROXIES", "[\"127.0.0.1\"]")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("/setup#")).expect("a fresh server prints a set-up link");
        // Keep the pipe open and drained, or the child would block on it.
        std::thread::spawn(move || lines.for_each(drop));
        let link = &line[line.find("http://").expect("a link")..];
        let address = link["http://".len()..].split('/').next().unwrap().parse().unwrap();
        Self { child, address, setup_token: token(link.trim()) }
    }

    fn post(&self, path: &str, headers: &[(&'static str, String)], body: &Value) -> Reply {
        ask(self.address, "POST", path, headers, Some(&body.to_string()))
    }

    fn set_up(&self) -> Login {
        let body = json!({"token": self.setup_token, "workspace_name": "Harbour", "name": "Olive Owner",
            "email": "olive@example.org", "password": PASSWORD});
        Login::of(&self.post("/api/v1/setup", &[], &body).is(201, ""))
    }

    fn join(&self, owner: &Login, email: &str) -> Login {
        let invite = self.post("/api/v1/invites", &owner.headers(), &json!({})).is(201, "").json();
        let body = json!({"token": token(invite["link"].as_str().unwrap()), "name": "Ada", "email": email,
            "password": PASSWORD});
        Login::of(&self.post("/api/v1/invites/accept", &[], &body).is(201, ""))
    }

    fn log_in(&self) -> Login {
        let body = json!({"email": "olive@example.org", "password": PASSWORD});
        Login::of(&self.post("/api/v1/login", &[], &body).is(200, ""))
    }
}

/// A visitor's conversation; its id.
async fn conversation(address: SocketAddr, workspace: &str) -> String {
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/ws")).await.unwrap();
    let hello = json!({"t": "hello", "v": 1, "as": "visitor", "workspace": workspace});
    let start = json!({"t": "start", "id": "0123456789abcdef0123456789abcdef", "text": "Is anybody there?"});
    for frame in [hello, start] {
        socket.send(Message::text(frame.to_string())).await.unwrap();
    }
    loop {
        let text = socket.next().await.expect("an ack comes").unwrap();
        let frame: Value = serde_json::from_str(text.to_text().unwrap()).unwrap();
        if frame["t"] == "ack" {
            return frame["conversation"].as_str().unwrap().to_owned();
        }
    }
}

/// Who asks, and which operations.
struct Caller {
    name: &'static str,
    /// Lines of the configuration that say how to prove who asks.
    proof: String,
    /// Of schemathesis: which operations.
    filter: &'static [&'static str],
}

/// Log-out ends the log-in that the other requests need: it has a run and a log-in of its own.
const BUT_LOG_OUT: &[&str] = &["--exclude-path", "/api/v1/logout"];

fn by_cookie(login: &Login) -> String {
    format!("[headers]\nX-Bellhop-Csrf = \"{}\"\n[auth.openapi.cookie]\napi_key = \"{}\"\n", login.csrf, login.cookie)
}

/// Runs schemathesis; the number of its requests, and what it found.
fn run(python: &str, bellhop: &Bellhop, folder: &Path, known: &Known, caller: &Caller) -> (u64, Option<String>) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
    let (config, report) = (folder.join("schemathesis.toml"), folder.join("report.json"));
    let text = format!(
        include_str!("schemathesis.toml"),
        hooks = here.join("hooks.py").display(),
        conversation = known.conversation,
        workspace = known.workspace,
        member = known.member,
        proof = caller.proof,
    );
    std::fs::write(&config, text).unwrap();
    let examples = std::env::var("BELLHOP_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let out = Command::new(python)
        .current_dir(folder)
        .env("BELLHOP_KEEP", known.keep.join(","))
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "--config-file"])
        .arg(&config)
        .args(["run", "openapi.json", "--url", &format!("http://{}", bellhop.address)])
        .args(["--max-examples", &examples, "--seed", &seed().to_string(), "--no-color", "--report-json-path"])
        .arg(&report)
        .args(caller.filter)
        .output()
        .expect("BELLHOP_PYTHON runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let report: Value = std::fs::read_to_string(&report)
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_else(|| panic!("no report: {said}{}", String::from_utf8_lossy(&out.stderr)));
    let requests = report["test_cases"]["generated"].as_u64().unwrap();
    let fine = out.status.success() && report["complete"] == true && report["operations"]["errored"] == 0;
    (requests, (!fine).then_some(said))
}

fn seed() -> u32 {
    std::env::var("BELLHOP_SEED").map_or(7, |it| it.parse().expect("BELLHOP_SEED is a number"))
}

/// What is there, so that valid requests meet something, and what must stay.
struct Known {
    conversation: String,
    workspace: String,
    member: String,
    keep: Vec<String>,
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis and kosoku: cargo xtask test installs them"]
async fn every_route_keeps_its_document_for_every_kind_of_caller() {
    let python = std::env::var("BELLHOP_PYTHON").expect("BELLHOP_PYTHON is the python that has schemathesis");
    let folder = Folder::new();
    std::fs::create_dir_all(&folder.0).unwrap();
    let bellhop = Bellhop::start(&folder.0.join("data"));
    let owner = bellhop.set_up();
    let agent = bellhop.join(&owner, "ada@example.org");
    let other = bellhop.join(&owner, "bea@example.org");
    let made = bellhop.post("/api/v1/keys", &owner.headers(), &json!({"name": "tests"})).is(201, "").json();
    let workspace = owner.me["workspace"]["id"].as_str().unwrap().to_owned();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let known = Known {
        conversation: conversation(bellhop.address, &workspace).await,
        workspace,
        member: text(&other.me["member"]["id"]),
        keep: vec![
            text(&made["id"]),
            text(&agent.me["member"]["id"]),
            text(&other.me["member"]["id"]),
            text(&owner.me["member"]["id"]),
        ],
    };
    let document = ask(bellhop.address, "GET", "/api/v1/openapi.json", &[], None).is(200, "");
    std::fs::write(folder.0.join("openapi.json"), &document.text).unwrap();
    let key = made["key"].as_str().unwrap();
    ask(bellhop.address, "GET", "/api/v1/workspace", &bearer(key), None).is(200, "");

    let callers = [
        Caller { name: "nobody", proof: String::new(), filter: &[] },
        Caller { name: "a key", proof: format!("[auth.openapi.key]\nbearer = \"{key}\"\n"), filter: &[] },
        Caller { name: "an agent", proof: by_cookie(&agent), filter: BUT_LOG_OUT },
        Caller { name: "the owner", proof: by_cookie(&owner), filter: BUT_LOG_OUT },
        Caller {
            name: "one who logs out",
            proof: by_cookie(&bellhop.log_in()),
            filter: &["--include-path", "/api/v1/logout"],
        },
    ];
    let (mut requests, mut findings) = (0, Vec::new());
    for caller in &callers {
        let (sent, found) = run(&python, &bellhop, &folder.0, &known, caller);
        println!("{}: {sent} requests{}", caller.name, if found.is_some() { ", and findings" } else { "" });
        requests += sent;
        findings.extend(found.map(|said| format!("as {}:\n{said}", caller.name)));
    }
    let alive = ask(bellhop.address, "GET", "/api/v1/workspace", &bearer(key), None);
    println!(
        "PROOF {}",
        json!({
            "promise": "Input", "attack": "every route of the OpenAPI document by schemathesis, as nobody, key, agent and owner",
            "store": "-", "count": format!("{} requests, {} routes", commas(requests), routes(&document)),
            "result": format!("{} findings", findings.len()), "passed": findings.is_empty(), "seed": seed(),
        })
    );
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    assert_eq!(alive.status, 200, "the server lives and the key works");
}

fn routes(document: &Reply) -> usize {
    let document = document.json();
    document["paths"].as_object().unwrap().values().map(|methods| methods.as_object().unwrap().len()).sum()
}

fn commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
