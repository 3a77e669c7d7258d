//! A running server: its parts, in one list that gives start, health and stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellhop_engine::ports::{Clock, Store, StoreError};
use bellhop_engine::{Engine, Options, Ports};
use bellhop_protocol::limits::{HELLO_TIMEOUT_SECS, IDLE_TIMEOUT_MS};
use bellhop_storage::LOCK_WAIT;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::accounts::{Accounts, Problem, Rates, Secret, desks};
use crate::admin::{Admin, Door};
use crate::config::{Config, StoreKind};
use crate::database::{self, OpenFailure};
use crate::demo;
use crate::http::{self, App};
use crate::site::Site;
use crate::telemetry::{self, SystemClock};
use crate::ws::{Hub, Limits};

/// What a server consists of, in the order of the start; the stop goes the other way. Ports come first, so that a
/// second server on the same ones ends before it has touched anything; until `Http` starts, the kernel lets clients wait.
const PARTS: [Part; 8] =
    [Part::Listeners, Part::Store, Part::Hub, Part::Engine, Part::Accounts, Part::Sessions, Part::Http, Part::Admin];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Start: every port is bound.
    Listeners,
    /// Start: the store is opened and this server's alone. Stop: everything handed over is durable, the next may have it.
    Store,
    /// Start: an empty hub. (The engine needs it for its answers.)
    Hub,
    /// Start: supervision tree, open conversations. Stop: every accepted command is answered, projections are written.
    Engine,
    /// Start: workspaces are read. Stop: nothing, there is no write of theirs that anybody still waits for.
    Accounts,
    /// Start: sockets are taken. Stop: they are closed, paced, each with "come back and resume".
    Sessions,
    /// Start: connections are accepted. Stop: no more of them; requests under way end.
    Http,
    /// Start: health, metrics, the command line's door. Stop: `/readyz` says no; the port goes with the process.
    Admin,
}

/// Plain HTTP requests that are under way at a stop get this long: as long as the slowest answer, a log-in in a queue.
const HTTP_STOP: Duration = Duration::from_secs(5);

/// Connections that the kernel may hold until they are accepted. When everyone comes back at once, what does not fit is
/// dropped and tried again by the client's kernel after 1, 3, 7 s: with the library's 1,024, 15,000 returns took 12 s on
/// a busy machine, of which the server used a quarter of a core. The kernel caps it at `net.core.somaxconn` (4,096 by default).
const BACKLOG: u32 = 65_535;

/// How often the store is asked whether it still takes writes.
const HEALTH_LOOK: Duration = Duration::from_millis(250);

/// Old log-ins and links are looked for this often.
const SWEEP_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Why a server did not start; each a sentence with its remedy.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{address} is in use by another program: stop it, or set {key} to another address.")]
    PortInUse { key: &'static str, address: SocketAddr },
    #[error("{address} cannot be listened on ({reason}): set {key} to an address of this machine.")]
    Port { key: &'static str, address: SocketAddr, reason: String },
    #[error("{0}")]
    Store(#[from] OpenFailure),
    #[error("The store could not be read at the start: {0}.")]
    Read(#[from] StoreError),
    #[error("The set-up link could not be made: {0}")]
    SetupLink(Problem),
    #[error("{path} cannot be written ({reason}): give the user that runs bellhop the right to write there.", path = path.display())]
    File { path: PathBuf, reason: String },
}

struct Listeners {
    http: TcpListener,
    admin: std::net::TcpListener,
    demo: Option<TcpListener>,
}

/// A server that runs.
pub struct Server {
    config: Config,
    listeners: Option<Listeners>,
    store: Arc<dyn Store>,
    hub: Arc<Hub>,
    engine: Engine,
    accounts: Arc<Accounts>,
    ready: Arc<AtomicBool>,
    accepting: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    sweeper: Option<JoinHandle<()>>,
    admin: Option<Admin>,
}

/// What a person needs to know at the start, as three lines.
#[derive(Debug)]
pub struct Welcome {
    pub demo: String,
    /// With the one-time set-up link while nobody owns a workspace.
    pub inbox: Secret,
    /// Where the data lies: a directory, or a keyspace and its cluster.
    pub data: String,
}

/// Where the data lies, for people.
fn place(config: &Config) -> String {
    match config.store {
        StoreKind::Embedded => {
            let directory = &config.data.dir;
            directory.canonicalize().unwrap_or_else(|_| directory.clone()).display().to_string()
        }
        StoreKind::Scylla => {
            let points: Vec<&str> = config.scylla.contact_points.iter().map(|it| it.0.as_str()).collect();
            format!("keyspace {} at {}", config.scylla.keyspace.0, points.join(", "))
        }
    }
}

fn bind(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As the library's own `bind` does: a restart finds the port free, though its last connections linger.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|error: std::io::Error| match error.kind() {
        std::io::ErrorKind::AddrInUse => StartError::PortInUse { key, address },
        _ => StartError::Port { key, address, reason: error.to_string() },
    })
}

fn actual(listener: &TcpListener, asked: SocketAddr) -> SocketAddr {
    listener.local_addr().unwrap_or(asked)
}

fn socket_limits(config: &Config) -> Limits {
    let limits = &config.limits;
    Limits {
        max_sessions: limits.sessions,
        sessions_per_address: limits.sessions_per_address,
        hellos_per_minute: limits.hellos_per_minute,
        starts_per_minute: limits.starts_per_minute,
        limit_loopback: limits.limit_loopback,
        frames_per_second: limits.frames_per_second,
        frames_burst: limits.frames_burst,
        addresses_remembered: limits.addresses_remembered,
        admissions_at_once: limits.admissions_at_once,
        outbox_bytes: limits.outbox_bytes,
        outbox_budget_bytes: limits.outbox_budget_bytes,
        hello_timeout: Duration::from_secs(HELLO_TIMEOUT_SECS),
        idle_timeout: Duration::from_millis(IDLE_TIMEOUT_MS),
        reconnect_window: config.drain.reconnect_window,
        trusted_proxies: config.server.trusted_proxies.clone(),
    }
}

/// What is there so far while a server starts.
#[derive(Default)]
struct Rising {
    listeners: Option<Listeners>,
    site: Option<Arc<Site>>,
    store: Option<Arc<dyn Store>>,
    hub: Option<Arc<Hub>>,
    engine: Option<Engine>,
    accounts: Option<Arc<Accounts>>,
}

const ORDER: &str = "PARTS starts what this part needs before it";

impl Server {
    /// Starts every part in order. Must be called inside a multi-threaded runtime.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        telemetry::metrics();
        let mut rising = Rising::default();
        let mut server: Option<Self> = None;
        for part in PARTS {
            tracing::debug!(?part, "starting");
            match &mut server {
                Some(server) => server.raise(part).await?,
                None => rising.raise(part, &config).await?,
            }
            if part == Part::Accounts {
                server = Some(std::mem::take(&mut rising).stand(config.clone()));
            }
        }
        Ok(server.expect(ORDER))
    }

    async fn raise(&mut self, part: Part) -> Result<(), StartError> {
        match part {
            Part::Sessions => self.hub.attach(self.engine.clone(), Arc::clone(&self.accounts) as Arc<_>),
            Part::Http => self.open_http(),
            Part::Admin => self.open_admin()?,
            Part::Listeners | Part::Store | Part::Hub | Part::Engine | Part::Accounts => {}
        }
        Ok(())
    }

    fn open_http(&mut self) {
        let app = Arc::new(App {
            accounts: Arc::clone(&self.accounts),
            engine: self.engine.clone(),
            trusted_proxies: self.config.server.trusted_proxies.clone(),
        });
        let router = http::router(Arc::clone(&app), Arc::clone(&self.hub));
        let connections = self.config.server.connections;
        let listeners = self.listeners.as_mut().expect(ORDER);
        // The listener moves into its loop; the address stays known through the site.
        if let Some(demo) = listeners.demo.take() {
            let router = demo::other_origin(Arc::clone(&app));
            self.tasks.push(tokio::spawn(http::listen::serve(demo, router, connections, self.accepting.subscribe())));
        }
        let listeners = self.listeners.take().expect(ORDER);
        let serving = http::listen::serve(listeners.http, router, connections, self.accepting.subscribe());
        self.tasks.push(tokio::spawn(serving));
        self.admin = Some(Admin::prepared(listeners.admin));
        let accounts = Arc::clone(&self.accounts);
        self.sweeper = Some(tokio::spawn(async move {
            loop {
                if let Err(error) = accounts.sweep().await {
                    tracing::warn!(%error, "old log-ins and links could not be removed; trying again tomorrow");
                }
                tokio::time::sleep(SWEEP_EVERY).await;
            }
        }));
    }

    fn open_admin(&mut self) -> Result<(), StartError> {
        let (store, engine) = (Arc::clone(&self.store), self.engine.clone());
        let ready = Arc::clone(&self.ready);
        let unhealthy = match self.config.store {
            StoreKind::Embedded => format!("the disk under {} takes no writes now", place(&self.config)),
            StoreKind::Scylla => format!(
                "the database ({}) does not answer in time: commands are refused until it does, and what is in memory \
                 is still read",
                place(&self.config)
            ),
        };
        let door = Door {
            accounts: Arc::clone(&self.accounts),
            ready: Box::new(move || {
                if !ready.load(Ordering::SeqCst) {
                    return Err("the server is stopping".to_owned());
                }
                if let Some(why) = store.failed() {
                    return Err(why);
                }
                if !store.healthy() {
                    return Err(unhealthy.clone());
                }
                engine.health()
            }),
            data: self.config.data.dir.clone(),
        };
        self.ready.store(true, Ordering::SeqCst);
        self.admin.as_mut().expect(ORDER).open(door)
    }

    /// Where the public port is.
    pub fn site(&self) -> &Site {
        self.accounts.site()
    }

    /// The accounts, for whoever started this server in their own process.
    pub fn accounts(&self) -> &Arc<Accounts> {
        &self.accounts
    }

    /// Where the admin port is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.as_ref().expect("a started server has its admin port").address()
    }

    /// What to print. Makes a new set-up link if nobody owns a workspace.
    pub async fn welcome(&self) -> Result<Welcome, StartError> {
        let site = self.site();
        let demo = match (&site.demo, &site.demo_other_url) {
            (true, Some(other)) => format!("{}/demo (and on another origin: {other}/)", site.public_url),
            (true, None) => format!("{}/demo", site.public_url),
            (false, _) => "off (demo.enabled = true turns it on)".to_owned(),
        };
        let link = self.accounts.make_setup_link().await.map_err(StartError::SetupLink)?;
        let inbox = link.unwrap_or_else(|| Secret::new(format!("{}/login", site.public_url)));
        Ok(Welcome { demo, inbox, data: place(&self.config) })
    }

    /// Returns, with the reason, when the server cannot go on and must start anew: the store failed, or actors crashed
    /// beyond what restarting them one by one mends.
    pub async fn failure(&self) -> String {
        loop {
            tokio::time::sleep(HEALTH_LOOK).await;
            if let Some(why) = self.store.failed() {
                return why;
            }
            if let Some(what) = self.engine.broken() {
                return format!("The supervision tree is broken: {what}. Nothing that was acknowledged is lost.");
            }
        }
    }

    /// Stops every part, last started first. Loses no acknowledged command.
    pub async fn stop(mut self) -> Result<(), StoreError> {
        for part in PARTS.into_iter().rev() {
            tracing::debug!(?part, "stopping");
            match part {
                Part::Admin => self.ready.store(false, Ordering::SeqCst),
                Part::Http => self.close_http().await,
                Part::Sessions => self.hub.drain(self.config.drain.over).await,
                Part::Engine => self.engine.drain().await,
                Part::Store => self.store.close().await?,
                Part::Accounts | Part::Hub | Part::Listeners => {}
            }
        }
        if let Some(admin) = self.admin.take() {
            admin.close();
        }
        Ok(())
    }

    async fn close_http(&mut self) {
        if let Some(sweeper) = self.sweeper.take() {
            sweeper.abort();
        }
        // The loops see it at once; nobody else holds the other end.
        self.accepting.send_replace(true);
        let all = futures_util::future::join_all(std::mem::take(&mut self.tasks));
        if tokio::time::timeout(HTTP_STOP, all).await.is_err() {
            tracing::warn!("some requests did not end in time; their connections are cut with the process");
        }
    }
}

impl Rising {
    async fn raise(&mut self, part: Part, config: &Config) -> Result<(), StartError> {
        match part {
            Part::Listeners => self.listen(config).await?,
            Part::Store => self.store = Some(database::open(config, LOCK_WAIT).await?),
            Part::Hub => self.hub = Some(Hub::new(socket_limits(config))),
            Part::Engine => self.engine = Some(self.start_engine(config).await?),
            Part::Accounts => {
                let accounts = Accounts::open(
                    Arc::clone(self.store.as_ref().expect(ORDER)),
                    Arc::new(SystemClock),
                    Arc::clone(self.site.as_ref().expect(ORDER)),
                    Rates::new(config.limits.key_requests_per_second),
                )
                .await?;
                accounts.attach(self.engine.clone().expect(ORDER), Arc::clone(self.hub.as_ref().expect(ORDER)));
                self.accounts = Some(Arc::new(accounts));
            }
            Part::Sessions | Part::Http | Part::Admin => {}
        }
        Ok(())
    }

    async fn listen(&mut self, config: &Config) -> Result<(), StartError> {
        let http = bind("server.listen", config.server.listen)?;
        let admin = bind("admin.listen", config.admin.listen)?;
        let demo = match config.demo.enabled {
            true => Some(bind("demo.other_origin_listen", config.demo.other_origin_listen)?),
            false => None,
        };
        let other = demo.as_ref().map(|it| actual(it, config.demo.other_origin_listen));
        let listen = actual(&http, config.server.listen);
        self.site = Some(Arc::new(Site::new(listen, &config.server.public_url.0, config.demo.enabled, other)));
        // The admin port is served by a thread with a runtime of its own.
        let admin = admin.into_std().map_err(|error| StartError::Port {
            key: "admin.listen",
            address: config.admin.listen,
            reason: error.to_string(),
        })?;
        self.listeners = Some(Listeners { http, admin, demo });
        Ok(())
    }

    async fn start_engine(&self, config: &Config) -> Result<Engine, StoreError> {
        let store = Arc::clone(self.store.as_ref().expect(ORDER));
        let desks = desks(store.as_ref()).await?;
        let ports = Ports {
            store,
            answers: Arc::clone(self.hub.as_ref().expect(ORDER)) as Arc<_>,
            clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        };
        let options = Options {
            max_requests_in_flight: config.limits.requests_in_flight,
            max_requests_per_conversation: config.limits.requests_per_conversation,
            commands_per_second: config.limits.commands_per_second,
            sleep_after: config.engine.sleep_after,
            release_after: config.routing.release_after,
        };
        Engine::start(ports, options, desks).await
    }

    fn stand(self, config: Config) -> Server {
        Server {
            config,
            listeners: self.listeners,
            store: self.store.expect(ORDER),
            hub: self.hub.expect(ORDER),
            engine: self.engine.expect(ORDER),
            accounts: self.accounts.expect(ORDER),
            ready: Arc::new(AtomicBool::new(false)),
            accepting: watch::channel(false).0,
            tasks: Vec::new(),
            sweeper: None,
            admin: None,
        }
    }
}
