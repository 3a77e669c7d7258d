//! A bare router runs in a process of its own, this program started again: so its CPU time and memory are told apart
//! from the generator's.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use super::{durable_router::Durable, epoll_router::AtOnce, framing::Framing, switch::Switch};
use crate::args::{RouterKind, RouterProcess};

impl RouterKind {
    pub(super) fn framing(self) -> Framing {
        match self {
            Self::Epoll | Self::Durable => Framing::Length,
            Self::Websocket => Framing::WebSocket,
        }
    }
}

/// A bare router that runs; it ends with this value.
pub(crate) struct Router {
    kind: RouterKind,
    process: Child,
    address: SocketAddr,
    file: PathBuf,
}

impl Router {
    /// `directory` is for what a durable one writes; the file is removed at the end.
    pub(crate) fn start(kind: RouterKind, directory: &Path) -> Result<Self, String> {
        let own = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
        let file = directory.join("bare-durable-router.log");
        let mut process = Command::new(own)
            .arg("router")
            .arg("--kind")
            .arg(kind.to_string())
            .arg("--file")
            .arg(&file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("a bare router cannot be started: {error}"))?;
        let mut line = String::new();
        if let Some(out) = process.stdout.take() {
            BufReader::new(out).read_line(&mut line).map_err(|error| error.to_string())?;
        }
        let address = line.trim().parse();
        let mut router = Self { kind, process, address: SocketAddr::from(([127, 0, 0, 1], 0)), file };
        router.address = address.map_err(|_| "a bare router did not say where it listens".to_string())?;
        Ok(router)
    }

    pub(crate) fn kind(&self) -> RouterKind {
        self.kind
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        // All three fail only when it is gone already, or never wrote.
        drop(self.process.kill());
        drop(self.process.wait());
        drop(std::fs::remove_file(&self.file));
    }
}

/// The other process: says where it listens, and routes until its starter is gone.
pub(crate) fn serve(options: &RouterProcess) -> Result<(), String> {
    let framing = options.kind.framing();
    let mut switch = Switch::listen(framing).map_err(|error| format!("no port for a bare router: {error}"))?;
    // The other end of stdin is the starter's; it ends with them, however they end.
    std::thread::Builder::new()
        .name("starter".into())
        .spawn(|| {
            drop(std::io::stdin().read_to_end(&mut Vec::new()));
            std::process::exit(0);
        })
        .map_err(|error| error.to_string())?;
    println!("{}", switch.address().map_err(|error| error.to_string())?);
    match options.kind {
        RouterKind::Epoll | RouterKind::Websocket => switch.run(&mut AtOnce(framing)),
        RouterKind::Durable => switch.run(&mut Durable::start(framing, &options.file)?),
    }
}
