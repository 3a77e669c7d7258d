//! The command line's side: asks the server that holds the data directory.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use super::{address_file, token_file};
use crate::accounts::OperatorCommand;

/// A command takes milliseconds; a server that does not answer for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer, bytes: a few lines.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;

/// Why a running server did not do it.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    #[error("A server uses this data directory, but {path} cannot be read ({reason}): run this as the same user.", path = path.display())]
    NoToken { path: std::path::PathBuf, reason: String },
    #[error("A server uses this data directory, but its admin port {address} does not answer ({reason}).")]
    Silent { address: String, reason: String },
    /// The server's own sentence.
    #[error("{0}")]
    Refused(String),
}

/// Hands a command to the server that holds `data`, and returns its lines.
pub fn ask_running(data: &Path, command: &OperatorCommand) -> Result<Vec<String>, AskError> {
    let read = |path: std::path::PathBuf| {
        std::fs::read_to_string(&path).map_err(|error| AskError::NoToken { path, reason: error.to_string() })
    };
    let token = read(token_file(data))?;
    let address = read(address_file(data))?;
    let silent = |reason: String| AskError::Silent { address: address.clone(), reason };
    let target: SocketAddr = address.trim().parse().map_err(|_| silent("this is no address".into()))?;
    let body = serde_json::to_string(command).map_err(|error| silent(error.to_string()))?;
    let answer = exchange(reachable(target), token.trim(), &body).map_err(|error| silent(error.to_string()))?;
    let (head, text) = answer.split_once("\r\n\r\n").ok_or_else(|| silent("it is no HTTP server".into()))?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(text.lines().map(str::to_owned).collect()),
        _ => Err(AskError::Refused(text.trim().to_owned())),
    }
}

/// A port that is bound to every address is reached by loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn exchange(target: SocketAddr, token: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    write!(
        stream,
        "POST /admin/operate HTTP/1.0\r\nHost: {target}\r\nAuthorization: Bearer {token}\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER_BYTES).read_to_string(&mut answer)?;
    Ok(answer)
}
