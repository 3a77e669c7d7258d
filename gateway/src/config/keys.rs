//! Every key. The macro makes of this one list the typed configuration, the printed file and the check for unknown
//! keys; there is no other place where a default stands. Keys in front of the first section stand in none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::values::{
    Bounds, Consistency, ContactPoint, Keyspace, LogFormat, LogLevel, OptionalPath, PublicUrl, StoreKind, Text, Value,
};
use crate::accounts::Secret;
use crate::ws::Network;

/// What the printed file says of a key.
#[derive(Debug)]
pub struct Key {
    /// Empty for a key in front of all sections.
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
    /// Its value is never shown, and may not stand in the file.
    pub secret: bool,
}

impl Key {
    /// As people write it: `server.listen`, or `store`.
    pub fn path(&self) -> String {
        path(self.section, self.name)
    }
}

/// Section and key as people write them.
pub(super) fn path(section: &str, name: &str) -> String {
    if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") }
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

/// A key as the printed file and the reader see it.
macro_rules! key {
    ($section:expr, $name:ident: $kind:ty = $default:literal, $least:literal..=$most:literal, $why:literal) => {
        Key {
            section: $section,
            name: stringify!($name),
            default: $default,
            form: <$kind as Value>::FORM,
            bounds: || <$kind as Value>::bounds(Bounds { least: $least, most: $most }),
            why: $why,
            secret: <$kind as Value>::SECRET,
        }
    };
}

/// A key's value out of what was given, or nothing and the broken rule.
fn value<K: Value>(
    given: &Given<'_>,
    section: &'static str,
    name: &'static str,
    bounds: Bounds,
    broken: &mut Vec<BrokenRule>,
) -> Option<K> {
    let rule = match given.get(&(section, name)).map(|value| K::read(value, bounds)) {
        Some(Ok(value)) => return Some(value),
        Some(Err(rule)) => rule,
        None => "must be given".to_owned(),
    };
    broken.push(BrokenRule { section, name, rule });
    None
}

macro_rules! keys {
    ({ $($top:ident: $top_kind:ty = $top_default:literal, $top_least:literal..=$top_most:literal, $top_why:literal;)* }
     $($section:ident: $Section:ident { $($name:ident: $kind:ty = $default:literal, $least:literal..=$most:literal, $why:literal;)* })*) => {
        /// The whole configuration. It has no `Default`: each default is written in the list of keys, with its reason.
        #[derive(Debug, Clone)]
        pub struct Config { $(#[doc = $top_why] pub $top: $top_kind,)* $(pub $section: $Section,)* }

        $(
            #[derive(Debug, Clone)]
            pub struct $Section { $(#[doc = $why] pub $name: $kind,)* }
        )*

        /// Every key, in the order of the printed file.
        pub static KEYS: &[Key] = &[
            $(key!("", $top: $top_kind = $top_default, $top_least..=$top_most, $top_why),)*
            $($(key!(stringify!($section), $name: $kind = $default, $least..=$most, $why),)*)*
        ];

        /// Reads every key; all broken rules at once.
        pub(super) fn build(given: &Given<'_>) -> Result<Config, Vec<BrokenRule>> {
            let mut broken = Vec::new();
            $(
                let $top: Option<$top_kind> =
                    value(given, "", stringify!($top), Bounds { least: $top_least, most: $top_most }, &mut broken);
            )*
            $($(
                let $name: Option<$kind> = value(
                    given, stringify!($section), stringify!($name), Bounds { least: $least, most: $most }, &mut broken,
                );
            )*
            let $section = (|| Some($Section { $($name: $name?,)* }))();
            )*
            match ($($top,)* $($section,)*) {
                ($(Some($top),)* $(Some($section),)*) if broken.is_empty() => Ok(Config { $($top,)* $($section,)* }),
                _ => Err(broken),
            }
        }
    };
}

keys! {
    {
        store: StoreKind = "\"embedded\"", 0..=0,
            "Where everything is kept. embedded: in data.dir, by this process alone, nothing else to run. scylla: in a ScyllaDB or Cassandra cluster, see [scylla]: a word survives the loss of a machine, and the cluster is yours to run. One is not turned into the other by changing this key.";
    }
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
            "Where the embedded store keeps everything. One server at a time; it is locked. Put it on a disk that keeps what it has synced. With store = \"scylla\" only the two files lie there by which the command line finds a running server (admin.address, admin.token).";
    }
    scylla: Scylla {
        contact_points: Vec<ContactPoint> = "[]", 0..=0,
            "Nodes that are asked first, each as host or host:port (9042 without one); the others are learned from them. Two or three, so that a start does not depend on one. Required with store = \"scylla\".";
        datacentre: Text = "\"datacenter1\"", 0..=100,
            "The datacentre that this server stands in, as the cluster calls it (nodetool status shows it): its nodes are asked, its quorum counts. The default is what ScyllaDB and Cassandra call the only one while nobody has named it.";
        keyspace: Keyspace = "\"bellhop\"", 0..=0,
            "The keyspace. One server serves it at a time.";
        migrate: bool = "false", 0..=0,
            "Whether a start makes the keyspace and its tables, or upgrades older ones, before it serves. Off, because after an upgrade the older program is refused: say it once, with `bellhop store migrate` or `bellhop serve --migrate`.";
        replication: u32 = "3", 1..=9,
            "Copies of everything in the datacentre; a keyspace that is there must have as many. Three, so that a quorum outlives the loss of any one machine; 1 is for trying it out.";
        username: Text = "\"\"", 0..=256,
            "Who logs in to the cluster. Empty: the cluster asks nobody.";
        password_file: OptionalPath = "\"\"", 0..=0,
            "A file that holds the password on its first line, readable by the server's user alone. It is read at each start.";
        password: Secret = "\"\"", 0..=0,
            "The password itself, from BELLHOP_SCYLLA__PASSWORD only: a configuration file is copied, backed up and shown to colleagues, so it is refused there. It is never printed.";
        tls_ca_file: OptionalPath = "\"\"", 0..=0,
            "Certificates (PEM) of the authority that signs the nodes' certificates. Given, every connection is encrypted and each node must show a certificate of it. Empty: nothing is encrypted, for a network that is yours alone.";
        tls_cert_file: OptionalPath = "\"\"", 0..=0,
            "The certificate (PEM) that this server shows, for a cluster that asks for one; with scylla.tls_key_file.";
        tls_key_file: OptionalPath = "\"\"", 0..=0,
            "The private key (PEM) of scylla.tls_cert_file.";
        consistency: Consistency = "\"local_quorum\"", 0..=0,
            "How many copies must answer before a word counts as written or read. local_quorum: most copies of the datacentre, and no wait for another one. quorum: most copies of all datacentres, which survives the loss of a whole datacentre and waits for the way there and back. Fewer than most could lose what was acknowledged, so there is no such choice.";
        start_wait: Duration = "\"60s\"", 0..=3600000,
            "A cluster that does not answer at the start is tried again for this long, then the start fails. A minute outlasts a machine that boots together with its database.";
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
        commands_per_second: u32 = "0", 0..=10000000,
            "Commands (messages, notes, assignments …) accepted a second over the whole server, and a quarter of a second's worth at once; beyond it they are refused with `overloaded` and a time to come back, before anything is done for them. 0: no limit, because the right one depends on the machine and a wrong one refuses what could be served; requests_in_flight bounds memory all the same. Where the time of the accepted ones matters more than their number, set about two thirds of what `bellhop-loadtest chat` measures on your machine.";
        sessions: usize = "18000", 1..=10000000,
            "Open sockets. Each needs one open file, about 1.2 KB of the server's memory while idle, and the kernel's buffers; 18,000 fits the common limit of 20,000 open files. Raise both together.";
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
        outbox_bytes: usize = "1048576", 524288..=1048576,
            "Bytes queued to one slow reader before it is closed and told to come back and resume. Not below half a megabyte: one answer to who comes back may be that large, and would be refused each time.";
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

#[cfg(test)]
mod tests {
    use bellhop_protocol::limits::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS};

    use super::KEYS;

    /// Found by the kill runs: with 65,536, a reader with much to catch up on was closed, came back, and was closed.
    #[test]
    fn the_smallest_outbox_holds_the_largest_answer_or_nobody_could_resume() {
        let key = KEYS.iter().find(|key| key.name == "outbox_bytes").unwrap();
        let least: String = (key.bounds)().chars().take_while(char::is_ascii_digit).collect();
        // Every byte of its texts may need an escape of two; what stands around a text takes under 512 bytes.
        let largest = MAX_BATCH_BYTES * 2 + MAX_BATCH_EVENTS * 512;
        assert!(least.parse::<usize>().unwrap() >= largest, "{least} < {largest}");
    }
}
