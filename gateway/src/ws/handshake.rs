//! The upgrade of an HTTP/1.1 request to a WebSocket (RFC 6455, 4.2).

use std::future::Future;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::TokioIo;
use sha1::{Digest as _, Sha1};
use tokio::net::TcpStream;

use super::socket::Socket;

/// What every server appends to the client's key (RFC 6455, 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a request is not upgraded, for whoever writes a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoUpgrade {
    status: StatusCode,
    sentence: &'static str,
}

impl IntoResponse for NoUpgrade {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.sentence).into_response();
        if self.status == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        response
    }
}

/// Whether one of a header's comma-separated words is `word`, in whatever case.
fn says(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    values
        .iter()
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','))
        .any(|it| it.trim().eq_ignore_ascii_case(word))
}

/// Judges the request; gives the value of `Sec-WebSocket-Accept`.
pub(super) fn accept(request: &Request) -> Result<HeaderValue, NoUpgrade> {
    let refused = |status, sentence| Err(NoUpgrade { status, sentence });
    let headers = request.headers();
    if request.method() != Method::GET {
        return refused(StatusCode::METHOD_NOT_ALLOWED, "A WebSocket is opened with GET.\n");
    }
    if !says(headers, header::CONNECTION, "upgrade") || !says(headers, header::UPGRADE, "websocket") {
        let sentence = "Here is a WebSocket: send \"Connection: Upgrade\" and \"Upgrade: websocket\". \
                        A proxy in front has to pass both on.\n";
        return refused(StatusCode::UPGRADE_REQUIRED, sentence);
    }
    if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|it| it != "13") {
        return refused(StatusCode::UPGRADE_REQUIRED, "Only version 13 of the WebSocket protocol is spoken here.\n");
    }
    // 16 random bytes; that they are random is the client's affair.
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let Some(key) = key.filter(|key| STANDARD.decode(key.as_bytes()).is_ok_and(|bytes| bytes.len() == 16)) else {
        return refused(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key must be 16 bytes in base64.\n");
    };
    let accept = STANDARD.encode(Sha1::new().chain_update(key.as_bytes()).chain_update(GUID).finalize());
    Ok(HeaderValue::from_str(&accept).expect("base64 is visible ASCII"))
}

/// Answers `101`, and runs `session` on the connection once HTTP has let go of it.
pub(super) fn switch<F>(
    request: &mut Request,
    accept: HeaderValue,
    session: impl FnOnce(Socket) -> F + Send + 'static,
) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        // The client was gone before the answer.
        let Ok(upgraded) = upgrade.await else { return };
        match upgraded.downcast::<TokioIo<TcpStream>>() {
            // A task of its own: this one would hold what the handshake needed for as long as the session lives.
            Ok(parts) => drop(tokio::spawn(session(Socket::new(parts.io.into_inner(), &parts.read_buf)))),
            Err(_other) => tracing::error!("a socket was accepted by another loop than http::listen; it is closed"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[(&str, &str)]) -> Request {
        let mut request = Request::new(Body::empty());
        for (name, value) in lines {
            request.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        request
    }

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    #[test]
    fn the_example_of_the_rfc_is_answered_as_the_rfc_says() {
        assert_eq!(accept(&request(&GOOD)).unwrap(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_request_that_asks_for_something_else_is_told_what_is_missing() {
        for (at, status) in [(0, 426), (1, 426), (2, 426), (3, 400)] {
            let mut lines = GOOD.to_vec();
            lines.remove(at);
            assert_eq!(accept(&request(&lines)).unwrap_err().status.as_u16(), status, "without {}", GOOD[at].0);
            let mut lines = GOOD.to_vec();
            lines[at].1 = "8";
            assert_eq!(accept(&request(&lines)).unwrap_err().status.as_u16(), status, "with a wrong {}", GOOD[at].0);
        }
        let mut posted = request(&GOOD);
        *posted.method_mut() = Method::POST;
        assert_eq!(accept(&posted).unwrap_err().status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
