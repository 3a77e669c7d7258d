//! RFC 6455 with the settings of production: `kosoku` (the Autobahn cases) against an echo behind the same accept loop,
//! the same upgrade and the same reading and parting as a session's. It exists in test builds only.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bellhop_protocol::CloseCode;
use bellhop_protocol::limits::MAX_FRAME_BYTES;
use serde_json::Value;
use tokio::sync::watch;

use super::hub::Hub;
use super::{handshake, session};

/// Compression (permessage-deflate) is not offered: SECURITY.md.
const LEFT_OUT: [&str; 2] = ["12.*", "13.*"];

/// Cases whose message passes [`MAX_FRAME_BYTES`], which must be refused with [`CloseCode::FrameTooBig`] instead of
/// being echoed: (group, first refused, last refused). 9.1 and 9.2: one frame of 256 KiB to 16 MiB; 9.3 and 9.4: 4 MiB
/// in fragments; 9.5 and 9.6: 1 MiB in small writes.
const TOO_BIG: [(&str, u32, u32); 6] =
    [("9.1", 2, 6), ("9.2", 2, 6), ("9.3", 1, 9), ("9.4", 1, 9), ("9.5", 1, 6), ("9.6", 1, 6)];

/// One frame whose text is broken in the middle, sent in pieces: the connection is failed with 1007 when the frame is
/// whole and not at the broken byte. RFC 6455 (8.1) asks for the first only; frames are judged when they are whole, and
/// have at most [`MAX_FRAME_BYTES`].
const WHEN_WHOLE: [&str; 2] = ["6.4.3", "6.4.4"];

fn too_big(case: &str) -> bool {
    let Some((group, number)) = case.rsplit_once('.') else { return false };
    let number: u32 = number.parse().unwrap();
    TOO_BIG.iter().any(|(it, first, last)| *it == group && (*first..=*last).contains(&number))
}

async fn echo(State(hub): State<Arc<Hub>>, mut request: Request) -> Response {
    match handshake::accept(&request) {
        Ok(accept) => {
            let place = hub.enter(None);
            handshake::switch(&mut request, accept, move |socket| session::echo(place, socket))
        }
        Err(refused) => refused.into_response(),
    }
}

/// The index of kosoku's report: one object a case.
fn report(python: &str, address: std::net::SocketAddr, folder: &Path) -> Value {
    let mut command = Command::new(python);
    command.args(["-c", "from kosoku._cli import main; main()", "-m", "fuzzingclient", "-p", "8"]);
    for case in LEFT_OUT {
        command.args(["-x", case]);
    }
    // Its exit code counts the cases that are too big for us as failures; the report is what is judged.
    let said = command.arg("-o").arg(folder).arg(address.to_string()).output().expect("BELLHOP_PYTHON runs");
    let index = folder.join("index.json");
    let text = std::fs::read_to_string(&index)
        .unwrap_or_else(|error| panic!("{}: {error}; {}", index.display(), String::from_utf8_lossy(&said.stderr)));
    let report: Value = serde_json::from_str(&text).expect("the report is JSON");
    report.as_object().and_then(|agents| agents.values().next().cloned()).expect("one agent is reported")
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs schemathesis and kosoku: cargo xtask test installs them"]
async fn every_case_of_rfc_6455_passes_or_is_refused_for_its_size() {
    let python = std::env::var("BELLHOP_PYTHON").expect("BELLHOP_PYTHON is the python that has kosoku");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hub = Hub::new(super::tests::limits());
    let router = Router::new().route("/", get(echo)).with_state(Arc::clone(&hub));
    let (stop, stopped) = watch::channel(false);
    let server = tokio::spawn(crate::http::listen::serve(listener, router, 100, stopped));

    let folder = Folder(std::env::temp_dir().join(format!("bellhop-kosoku-{}", std::process::id())));
    let place = folder.0.clone();
    let cases = tokio::task::spawn_blocking(move || report(&python, address, &place)).await.unwrap();
    let (mut passed, mut informational, mut late, mut refused, mut wrong) = (0, 0, 0, 0, Vec::new());
    for (case, result) in cases.as_object().expect("cases by their numbers") {
        let behavior = result["behavior"].as_str().unwrap_or_default();
        let close = result["behaviorClose"].as_str().unwrap_or_default();
        if too_big(case) {
            if result["remoteCloseCode"] == CloseCode::FrameTooBig.number() {
                refused += 1;
            } else {
                wrong.push(format!("{case} passes {MAX_FRAME_BYTES} B and was not refused for it: {result}"));
            }
            continue;
        }
        match (behavior, close) {
            ("OK", "OK" | "INFORMATIONAL") => passed += 1,
            ("INFORMATIONAL", "OK" | "INFORMATIONAL") => informational += 1,
            ("NON-STRICT", "OK") if WHEN_WHOLE.contains(&case.as_str()) && result["remoteCloseCode"] == 1007 => {
                late += 1
            }
            _ => wrong.push(format!("{case}: {result}")),
        }
    }
    // A parting takes a moment ([`session::LINGER`]); the drain waits for all of them, and a little longer.
    hub.drain(std::time::Duration::ZERO).await;
    assert_eq!(hub.sessions(), 0, "every connection gives its place back");
    stop.send(true).unwrap();
    server.await.unwrap();
    println!(
        "PROOF {}",
        serde_json::json!({
            "promise": "Input", "attack": "RFC 6455: the Autobahn cases (kosoku) against the settings of production",
            "store": "-", "count": format!("{} cases", passed + informational + late + refused + wrong.len()),
            "result": format!("{passed} passed, {informational} informational, {late} non-strict (UTF-8 judged a frame at a time), {refused} refused for their size (over 64 KiB) as meant, {} failed", wrong.len()),
            "passed": wrong.is_empty(), "seed": 0,
        })
    );
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(passed > 200, "the suite ran");
}
