//! Where this server is reached: its public address, and the hosts and origins that are its own.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bellhop_engine::domain::WorkspaceId;
use sha2::{Digest, Sha256};

/// Fixed once the listener is bound (a port of 0 becomes a real one then).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// Scheme, host and port, without a slash at the end.
    pub public_url: String,
    /// Lower-case `Host` headers that are answered.
    hosts: HashSet<String>,
    /// Origins of this server's own pages.
    origins: HashSet<String>,
    /// Where the demo page of another origin is, when there is one.
    pub demo_other_url: Option<String>,
    pub demo: bool,
}

/// A loopback or unspecified address is reached by its own text and by the loopback's names.
fn names(listen: SocketAddr) -> Vec<String> {
    let port = listen.port();
    let mut names = vec![format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
    if !listen.ip().is_unspecified() {
        names.push(listen.to_string());
    }
    if port == 80 {
        for name in names.clone() {
            names.push(name.trim_end_matches(":80").to_owned());
        }
    }
    names
}

impl Site {
    /// `public_url` is empty when it follows from the address.
    pub fn new(listen: SocketAddr, public_url: &str, demo: bool, demo_other: Option<SocketAddr>) -> Self {
        let public_url = if public_url.is_empty() { url_of(listen) } else { public_url.to_owned() };
        let names = names(listen);
        let mut hosts: HashSet<String> = names.iter().cloned().collect();
        let mut origins: HashSet<String> = names.iter().map(|name| format!("http://{name}")).collect();
        if let Some(origin) = crate::accounts::origin(&public_url) {
            if let Some((scheme, host)) = origin.split_once("://") {
                hosts.insert(host.to_owned());
                // A proxy may say the scheme's own port although no browser does.
                hosts.insert(format!("{host}:{}", if scheme == "https" { 443 } else { 80 }));
            }
            origins.insert(origin);
        }
        Self { public_url, hosts, origins, demo_other_url: demo_other.map(url_of), demo }
    }

    /// Whether a `Host` header names this server.
    #[must_use]
    pub fn is_own_host(&self, host: &str) -> bool {
        self.hosts.contains(&host.to_ascii_lowercase())
    }

    /// Whether an `Origin` header is one of this server's pages. `null` never is.
    #[must_use]
    pub fn is_own_origin(&self, origin: &str) -> bool {
        self.origins.contains(origin)
    }

    /// Whether cookies must only travel encrypted.
    pub fn secure(&self) -> bool {
        self.public_url.starts_with("https://")
    }

    /// The line that an owner pastes into their pages. A script element that stands in a page delays the page's load
    /// event until its server has answered, `async` or not (HTML, "delay the load event"); so this one waits for that
    /// event and imports the loader then. `import` of an address needs no Trusted Types policy; a server that
    /// cannot be reached is no error of the page's.
    pub fn snippet(&self, workspace: WorkspaceId) -> String {
        format!(
            r#"<script data-workspace="{workspace}" data-bellhop="{}">{}</script>"#,
            self.public_url,
            self.snippet_code()
        )
    }

    fn snippet_code(&self) -> String {
        format!(
            r#"(f=>document.readyState=="complete"?f():addEventListener("load",f))(()=>import("{}/bellhop.js").catch(()=>{{}}))"#,
            self.public_url
        )
    }

    /// What a page with a Content-Security-Policy must allow: the snippet's code by its hash (the same for every
    /// workspace), this server's files, and its socket.
    pub fn content_security_policy(&self) -> String {
        let hash = STANDARD.encode(Sha256::digest(self.snippet_code().as_bytes()));
        let (url, socket) = (&self.public_url, self.socket_url());
        format!("script-src {url} 'sha256-{hash}'; connect-src {url} {socket}")
    }

    /// A one-time link; its token stands in the fragment, which no server and no referrer sees.
    pub fn link(&self, page: &str, token: &crate::accounts::Secret) -> crate::accounts::Secret {
        crate::accounts::Secret::new(format!("{}/{page}#{}", self.public_url, token.expose()))
    }

    /// The same host and port for WebSockets.
    pub fn socket_url(&self) -> String {
        match self.public_url.strip_prefix("https://") {
            Some(rest) => format!("wss://{rest}"),
            None => format!("ws://{}", self.public_url.trim_start_matches("http://")),
        }
    }
}

fn url_of(listen: SocketAddr) -> String {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => format!("http://127.0.0.1:{}", listen.port()),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("http://[::1]:{}", listen.port()),
        _ => format!("http://{listen}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_address_the_listener_and_loopback_are_own() {
        let listen: SocketAddr = "10.0.0.5:8080".parse().unwrap();
        let site = Site::new(listen, "https://chat.example", false, None);
        for (host, own) in [
            ("chat.example", true),
            ("CHAT.example:443", true),
            ("10.0.0.5:8080", true),
            ("localhost:8080", true),
            ("[::1]:8080", true),
            ("localhost", false),
            ("chat.example.evil", false),
            ("evil", false),
            ("", false),
        ] {
            assert_eq!(site.is_own_host(host), own, "{host}");
        }
        for (origin, own) in [
            ("https://chat.example", true),
            ("http://chat.example", false),
            ("https://chat.example:8443", false),
            ("https://chat.example.evil", false),
            ("null", false),
            ("", false),
            ("http://127.0.0.1:8080", true),
        ] {
            assert_eq!(site.is_own_origin(origin), own, "{origin}");
        }
        assert_eq!(site.socket_url(), "wss://chat.example");
        assert!(site.secure());
    }
}
