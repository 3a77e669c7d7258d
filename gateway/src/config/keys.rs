//! Every key. The macro makes of this one list the typed configuration, the printed file and the check for unknown
//! keys; there is no other place where a default stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::values::{Bounds, LogFormat, LogLevel, PublicUrl, Value};
use crate::ws::Network;

/// What the printed file says of a key.
#[derive(Debug)]
pub struct Key {
    pub section: &'static str,
    pub name: &'static str,
    /// As it stands in a TOML file.
    pub default: &'static str,
    /// What kind of value it takes.
    pub form: &'static str,
    /// "1 to 10", or empty.
    pub bounds: fn() -> String,
    /// What it does, and why the default is what it is.
    pub why: &'static str,
}

/// The keys' values by (section, name): every key is there.
pub(super) type Given<'a> = BTreeMap<(&'static str, &'static str), &'a DeValue<'a>>;

/// A key's value breaks its rule.
#[derive(Debug)]
pub(super) struct BrokenRule {
    pub(super) section: &'static str,
    pub(super) name: &'static str,
    pub(super) rule: String,
}

macro_rules! keys {
    ($($section:ident: $Section:ident { $($name:ident: $kind:ty = $default:literal, $least:literal..=$most:literal, $why:literal;)* })*) => {
        /// The whole configuration. It has no `Default`: each default is written in the list of keys, with its reason.
        #[derive(Debug, Clone)]
        pub struct Config { $(pub $section: $Section,)* }

        $(
            #[derive(Debug, Clone)]
            pub struct $Section { $(#[doc = $why] pub $name: $kind,)* }
        )*

        /// Every key, in the order of the printed file.
        pub static KEYS: &[Key] = &[$($(
            Key {
                section: stringify!($section),
                name: stringify!($name),
                default: $default,
                form: <$kind as Value>::FORM,
                bounds: || <$kind as Value>::bounds(Bounds { least: $least, most: $most }),
                why: $why,
            },
        )*)*];

        /// Reads every key; all broken rules at once.
        pub(super) fn build(given: &Given<'_>) -> Result<Config, Vec<BrokenRule>> {
            let mut broken = Vec::new();
            $($(
                let $name = {
                    let (section, name) = (stringify!($section), stringify!($name));
                    let bounds = Bounds { least: $least, most: $most };
                    match given.get(&(section, name)).map(|value| <$kind as Value>::read(value, bounds)) {
                        Some(Ok(value)) => Some(value),
                        Some(Err(rule)) => { broken.push(BrokenRule { section, name, rule }); None }
                        None => { broken.push(BrokenRule { section, name, rule: "must be given".to_owned() }); None }
                    }
                };
            )*
            let $section = (|| Some($Section { $($name: $name?,)* }))();
            )*
            match ($($section,)*) {
                ($(Some($section),)*) if broken.is_empty() => Ok(Config { $($section,)* }),
                _ => Err(broken),
            }
        }
    };
}

keys! {
    server: Server {
        listen: SocketAddr = "\"127.0.0.1:8080\"", 0..=0,
            "Where browsers connect. Loopback, so that nothing is open to the world before somebody decides it; put a proxy with TLS in front, or say \"0.0.0.0:8080\" on a closed network.";
        public_url: PublicUrl = "\"\"", 0..=0,
            "The address that visitors and agents use: it stands in the snippet and in links, and pages of other hosts are refused. Empty means http:// and server.listen. With https, cookies are marked Secure.";
        trusted_proxies: Vec<Network> = "[]", 0..=0,
            "Proxies whose X-Forwarded-For is believed. Empty: the peer's address counts, so nobody can choose the address that limits are counted against.";
        connections: usize = "1500", 16..=1000000,
            "Plain HTTP connections at once (sockets are not among them once they are open). Beyond it new ones wait in the kernel's queue. Each takes about 20 KB and one open file; with limits.sessions and the store's own files it stays under 20,000 open files, the usual limit of a process.";
    }
    admin: Admin {
        listen: SocketAddr = "\"127.0.0.1:9090\"", 0..=0,
            "Health, metrics and the command line's door. Never to be open to the world: /metrics is not authenticated.";
    }
    data: Data {
        dir: PathBuf = "\"data\"", 0..=0,
            "Where everything is stored. One server at a time; it is locked. Put it on a disk that keeps what it has synced.";
    }
    demo: Demo {
        enabled: bool = "false", 0..=0,
            "The shop page at /demo, and the same page on another origin. Off, because a company's server needs no example shop; `cargo xtask run` turns it on.";
        other_origin_listen: SocketAddr = "\"127.0.0.1:8081\"", 0..=0,
            "Where the demo page of another origin is served, with the strict Content-Security-Policy that a careful site has.";
    }
    routing: Routing {
        release_after: Duration = "\"60s\"", 1000..=86400000,
            "An agent without a connection for this long loses the conversations they have not answered. A minute outlasts a reload, a changed network and a closed lid between two desks. (How many conversations the queue gives one agent is a setting of the workspace, 5 at first.)";
    }
    engine: Engine {
        sleep_after: Duration = "\"5m\"", 1000..=86400000,
            "An idle conversation that nobody follows leaves memory after this long (about 9 KB each); the next command wakes it in under a millisecond. People answer within five minutes or much later.";
    }
    limits: Limits {
        requests_in_flight: usize = "65536", 64..=1048576,
            "Commands accepted and not yet durable, over all conversations. At 100,000 a second and 10 ms a sync about 1,000 are in flight; 64 times that rides out a slow disk of half a second, and holds at most 1 GB if all are of the greatest size.";
        requests_per_conversation: usize = "1024", 1..=65536,
            "The same for one conversation: nobody types that fast, a script that does is told so.";
        sessions: usize = "18000", 1..=10000000,
            "Open sockets. Each needs one open file and about 6.5 KB with the kernel's share; 18,000 fits the common limit of 20,000 open files. Raise both together.";
        sessions_per_address: u32 = "2000", 1..=10000000,
            "Open sockets of one address. A large office, or a mobile network's shared address, has hundreds.";
        hellos_per_minute: u32 = "1200", 1..=10000000,
            "Connects of one address a minute: 20 a second lets a company behind one address come back together.";
        starts_per_minute: u32 = "120", 1..=10000000,
            "New conversations of one address a minute: two a second is more than an office asks, and less than a flood.";
        limit_loopback: bool = "false", 0..=0,
            "Whether 127.0.0.0/8 and ::1 are held to the three limits above. Off: what connects from the machine itself is a proxy that is not named in server.trusted_proxies, or a load test.";
        frames_per_second: u32 = "5000", 1..=1000000,
            "Frames that one socket may send a second. An agent's busy inbox stays under 50; the load test sends 2,000 a second over one agent's socket with this default, and an integration may as well.";
        frames_burst: u32 = "10000", 1..=1000000,
            "Frames at once on top of that: two seconds' worth, what a client sends that comes back with a full outbox.";
        addresses_remembered: usize = "100000", 2..=10000000,
            "Addresses whose recent connects are remembered (about 100 B each, 10 MB); beyond it the oldest are forgotten.";
        admissions_at_once: usize = "512", 1..=65536,
            "First frames checked at the same time. When everyone comes back at once, the rest are told to come a little later, spread out.";
        outbox_bytes: usize = "1048576", 65536..=1048576,
            "Bytes queued to one slow reader before it is closed and told to come back and resume.";
        outbox_budget_bytes: usize = "268435456", 1048576..=68719476736,
            "The same over all readers; beyond it the fullest are closed.";
        key_requests_per_second: u32 = "5000", 1..=1000000,
            "REST requests of one API key a second, twice that at once. It stops a program that has run wild, and lets the load test read back what it wrote.";
    }
    log: Log {
        level: LogLevel = "\"info\"", 0..=0,
            "What is logged. At info a quiet server logs its start, its stop and what went wrong; requests are counted in the metrics instead.";
        format: LogFormat = "\"auto\"", 0..=0,
            "auto: for people on a terminal, JSON otherwise.";
    }
    runtime: Runtime {
        worker_threads: usize = "0", 0..=1024,
            "Threads that serve sockets and conversations; 0 means one a core.";
    }
    drain: Drain {
        over: Duration = "\"5s\"", 0..=3600000,
            "On SIGTERM sockets are closed over this long, so that they do not come back all at once. Raise it with the number of sockets: 5 s for 18,000 is 3,600 reconnects a second.";
        reconnect_window: Duration = "\"5s\"", 0..=3600000,
            "Each of them is told to come back after a random part of this.";
        deadline: Duration = "\"30s\"", 1000..=7200000,
            "After this long a stop ends at once, with exit code 1. Nothing acknowledged is lost by it. The usual limit of an orchestrator is 30 s.";
    }
}
