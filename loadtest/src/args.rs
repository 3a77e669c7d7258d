//! What can be asked of the tool on its command line.

use std::{path::PathBuf, str::FromStr};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Plays visitors and agents against a Bellhop server over real sockets, checks what came of it, and measures.
#[derive(Debug, Parser)]
#[command(name = "bellhop-loadtest", version, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play recorded conversations, then read each back over the API and compare it word for word.
    Replay(Replay),
    /// Pairs of a visitor and an agent talk, one message in flight a pair: messages a second and latency.
    Chat(Chat),
    /// Messages at a given rate, whatever becomes of those before (open loop): latency, beside a bare durable router.
    Rate(Rate),
    /// Whether work is shared well: the server's CPU a message with two threads against one, and with a thousand pairs
    /// against 64, at one rate.
    Share(Share),
    /// What the machine can do at most: bare routers and a sync loop on raw system calls, with the same generator.
    Baseline(Baseline),
    /// A bare router's own process.
    #[command(hide = true)]
    Router(RouterProcess),
    /// Visitors that are connected and say nothing: the server's memory per session.
    Idle(Idle),
    /// Kill, stop and starve the server while a crowd talks, then let a checker decide from the clients' own records
    /// whether every promise was kept.
    Faults(Faults),
    /// Readers that take nothing, or 100 bytes a second: what they cost in memory, and that they come back whole.
    Slow(Slow),
    /// Many times more commands than the server is set to take: every one is explained, nothing acknowledged is lost.
    Overload(Overload),
    /// The server is killed and everyone comes back at once: all are let in again, and nobody has lost anything.
    Storm(Storm),
    /// Everyone is cut off and comes back at once to a server that goes on: all authenticated, resumed and whole, how
    /// long it takes, and what a bystander feels of it.
    Reconnect(Reconnect),
    /// SIGTERM under full load, again and again: in time, everyone told when to come back, nothing acknowledged lost.
    Terms(Terms),
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// The transcripts: one conversation a line (JSON), plain or gzip.
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// How many times faster than recorded; `max` leaves out all pauses.
    #[arg(long, value_name = "N|max", default_value = "max")]
    pub(crate) speed: Speed,
    /// Play only the first N conversations of the file.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) conversations: Option<u32>,
    // 256: enough in flight that one sync serves many turns, few enough that two cores answer each in milliseconds.
    /// Conversations that run at the same time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) parallel: u32,
    /// Kill the server this many times with `kill -9` while it runs, and start it again (with --spawn).
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "server")]
    pub(crate) kill: u32,
    /// Seed of the moments of the kills; a random one is taken and printed when absent.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Chat {
    /// Visitors, each with a conversation of its own with an agent. Ten agents' sessions carry them, each of which
    /// follows at most 1,000 conversations. With --compare, several numbers with commas between them.
    #[arg(long, value_name = "N", default_value = "64", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) pairs: Vec<u32>,
    /// Seconds that are measured, after the warm-up; with --compare, of each round.
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Seconds before measuring begins, counted from when every pair talks.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) warm_up: u32,
    /// Take turns with a bare durable router (see `baseline`) and print the ratio: what a machine does at the moment
    /// changes from minute to minute, a ratio of neighbouring rounds does so less.
    #[arg(long)]
    pub(crate) compare: bool,
    /// Rounds of each with --compare; the medians are compared.
    #[arg(long, value_name = "N", default_value_t = 3, requires = "compare", value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Rate {
    /// Pairs between whom the messages are shared.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) pairs: u32,
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Seconds of each round.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Seconds before each.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=60))]
    pub(crate) warm_up: u32,
    /// Rounds of Bellhop and of the bare durable router, in turns; medians are compared.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Share {
    #[command(flatten)]
    pub(crate) pace: Pace,
    /// Pairs that the many are compared with.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) few: u32,
    /// Many pairs.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) many: u32,
    /// Seconds of each round.
    #[arg(long, value_name = "S", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Seconds before each.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=60))]
    pub(crate) warm_up: u32,
    /// Rounds of each of the three servers, in turns; medians are compared.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(crate) rounds: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// How fast an open loop goes.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Pace {
    /// Messages a second.
    #[arg(long, value_name = "N", conflicts_with = "of_peak", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rate: Option<u32>,
    /// Part of the peak, which is measured first (closed loop, a round).
    #[arg(long, value_name = "PART", default_value = "0.5", value_parser = part)]
    pub(crate) of_peak: f64,
}

fn part(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(part) if part > 0.0 && part <= 1.0 => Ok(part),
        _ => Err("a part is a number above 0 and at most 1, such as 0.5".into()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct Baseline {
    /// Pairs, one or several numbers with commas between them.
    #[arg(long, value_name = "N", default_value = "64,1000", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) pairs: Vec<u32>,
    /// Seconds of each measurement.
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    pub(crate) seconds: u32,
    /// Seconds before each.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=60))]
    pub(crate) warm_up: u32,
    /// Idle connections of the bare epoll router.
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(2..=19_000))]
    pub(crate) idle: u32,
    /// Only this one.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) only: Option<Limit>,
    /// Directory on the disk to be measured; without it, a temporary one.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Write the figures here as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Seconds without any progress after which the run is given up.
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(5..))]
    pub(crate) patience: u32,
}

/// A limit of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Limit {
    /// Routing over plain TCP, nothing parsed or stored.
    Epoll,
    /// The same, written and synced before it is acknowledged and handed on.
    Durable,
    /// Routing of WebSocket frames, nothing stored.
    Websocket,
    /// Memory of an idle connection of the bare epoll router.
    Idle,
    /// One write and one sync at a time.
    Sync,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RouterKind {
    Epoll,
    Durable,
    Websocket,
}

impl std::fmt::Display for RouterKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Epoll => "epoll",
            Self::Durable => "durable",
            Self::Websocket => "websocket",
        })
    }
}

#[derive(Debug, Args)]
pub(crate) struct RouterProcess {
    #[arg(long)]
    pub(crate) kind: RouterKind,
    /// What a durable one writes.
    #[arg(long)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// Distinct visitors, a session each.
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sessions: u32,
    /// Seconds that they stay, heartbeating.
    #[arg(long, value_name = "S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Faults {
    /// How often something is ended with `kill -9`: the server, and with --store scylla on several nodes every second
    /// time a database node.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) kills: u32,
    /// How often the server is ended with SIGTERM, mixed in.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub(crate) terms: u32,
    /// Seed of the moments, the order and what everyone does; a random one is taken and printed when absent.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Visitors; each fourth has a second tab.
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) visitors: u32,
    /// Agents at work, besides one who reads slowly.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    pub(crate) agents: u32,
    /// Run the `bellhop-sabotaged` binary instead, once with each fault that such a run can show and once with none,
    /// and demand that the checker names the broken promise, and nothing where there is none.
    #[arg(long, conflicts_with_all = ["kills", "terms", "check"])]
    pub(crate) sabotage: bool,
    /// With --sabotage: only this fault, or `none`.
    #[arg(long, value_name = "FAULT", requires = "sabotage")]
    pub(crate) fault: Option<String>,
    /// Run nothing; let the checker look at records that an earlier run kept.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kills", "terms"])]
    pub(crate) check: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Slow {
    // 24 MiB of queues at most: far enough above the noise of a process' memory, and quickly written.
    /// Slow readers, a visitor with a conversation each.
    #[arg(long, value_name = "N", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) readers: u32,
    /// Bytes a second that they read; without it, half of them nothing and half of them 100.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(crate) rate: Option<u32>,
    // Three times what is queued for one before it is closed: the kernel takes some of it before anything is queued.
    /// KiB written to each while it is slow, and as much before, while it is not.
    #[arg(long, value_name = "N", default_value_t = 3_072, value_parser = clap::value_parser!(u32).range(16..))]
    pub(crate) kib: u32,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Overload {
    /// Commands a second that the started server is set to take.
    #[arg(long, value_name = "N", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) admitted: u32,
    /// Commands a second that are offered.
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(10..=1_000_000))]
    pub(crate) offered: u32,
    /// Seconds of overload.
    #[arg(long, value_name = "S", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub(crate) seconds: u32,
    // A session that was told that the server is overloaded is not heard for 20 ms: its own flood must not be what is
    // measured. 20,000 a second are then one in 50 ms each.
    /// Visitors, a conversation each, between whom the commands are shared.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=9_000))]
    pub(crate) sessions: u32,
    /// Judge latency as well (on a quiet machine, with release builds): the stretches before and after are then as long
    /// as the overload.
    #[arg(long)]
    pub(crate) measure: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Storm {
    /// Visitors, a session and a conversation each; with an agent for every hundred.
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    pub(crate) sessions: u32,
    /// Seed of the moment of the kill; a random one is taken and printed when absent.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Reconnect {
    /// Visitors, a session and a conversation each.
    #[arg(long, value_name = "N", default_value_t = 15_000, value_parser = clap::value_parser!(u32).range(1..=18_000))]
    pub(crate) sessions: u32,
    /// Restart the server by SIGTERM between the cut and the return; nobody is a bystander then.
    #[arg(long, conflicts_with = "server")]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

#[derive(Debug, Args)]
pub(crate) struct Terms {
    /// Times that the server is told to stop.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) times: u32,
    /// Visitors who talk as fast as they are answered.
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=2_000))]
    pub(crate) visitors: u32,
    /// Seconds of full load before each stop, and up to half a second more.
    #[arg(long, value_name = "S", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    pub(crate) seconds: u32,
    /// Seconds over which the server closes its sockets, and over which it tells them to come back. A server as a user
    /// gets it takes 5.
    #[arg(long, value_name = "S", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub(crate) drain: u32,
    /// Seed of the moments of the stops; a random one is taken and printed when absent.
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// Which server, and how the figures are kept: the same for every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Target {
    /// Start a `bellhop serve` of its own on a temporary directory and free ports, set it up, and stop it afterwards.
    #[arg(long, conflicts_with_all = ["server", "key"], required_unless_present = "server")]
    pub(crate) spawn: bool,
    /// The `bellhop` to start; without it, the one beside this program.
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    pub(crate) bellhop: Option<PathBuf>,
    /// Empty or new directory on a real disk for the started server's data; kept afterwards.
    #[arg(long, value_name = "DIR", conflicts_with = "server")]
    pub(crate) data_dir: Option<PathBuf>,
    /// The store of the started server.
    #[arg(long, value_name = "KIND", default_value = "embedded", conflicts_with = "server")]
    pub(crate) store: StoreKind,
    /// Directory of a running `cargo xtask cassandra` (with --store scylla); the run takes a keyspace of its own there.
    #[arg(long, value_name = "DIR", default_value = "target/cassandra", conflicts_with = "server")]
    pub(crate) cassandra: PathBuf,
    /// A running server, such as http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", requires = "key")]
    pub(crate) server: Option<String>,
    /// File that holds the text of an API key of the running server's workspace.
    #[arg(long, value_name = "FILE", requires = "server")]
    pub(crate) key: Option<PathBuf>,
    /// Write the figures here as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    // One: the generator's tasks then wake each other without crossing cores, and a core stays for the server.
    /// Threads of the generator; chat, rate, share and reconnect keep to one.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: u16,
    /// Seconds without any progress after which the run is given up.
    #[arg(long, value_name = "S", default_value_t = 90, value_parser = clap::value_parser!(u32).range(5..))]
    pub(crate) patience: u32,
}

/// Where a started server keeps its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    /// Files in the data directory.
    Embedded,
    /// A CQL server (ScyllaDB, Cassandra).
    Scylla,
}

/// How fast a transcript is played.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Speed {
    /// No pauses.
    Max,
    /// Recorded pauses divided by this; above 0.
    Times(f64),
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(times) if times.is_finite() && times > 0.0 => Ok(Self::Times(times)),
            _ => Err("a speed is a number above 0, such as 1 or 20, or `max`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::{Arguments, Speed};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn wrong_options_are_refused_and_right_ones_taken() {
        for (line, good) in [
            ("replay --file x --spawn", true),
            ("replay --file x --spawn --speed 20 --conversations 5 --kill 3 --seed 9", true),
            ("replay --file x --server http://127.0.0.1:1 --key k", true),
            ("replay --file x", false),
            ("replay --spawn", false),
            ("replay --file x --spawn --speed 0", false),
            ("replay --file x --spawn --speed fast", false),
            ("replay --file x --server http://127.0.0.1:1", false),
            ("replay --file x --server http://127.0.0.1:1 --key k --kill 1", false),
            ("replay --file x --spawn --server http://127.0.0.1:1 --key k", false),
            ("chat --spawn --pairs 0", false),
            ("chat --spawn --pairs 64 --seconds 1", true),
            ("chat --spawn --pairs 64,1000 --compare --rounds 5", true),
            ("chat --spawn --rounds 5", false),
            ("rate --spawn --rate 2000", true),
            ("rate --spawn --of-peak 0.25 --pairs 1000", true),
            ("rate --spawn --of-peak 1.5", false),
            ("rate --spawn --of-peak 0.5 --rate 2000", false),
            ("reconnect --spawn --sessions 15000 --restart", true),
            ("reconnect --spawn --sessions 0", false),
            ("share --spawn --rate 5000 --rounds 1", true),
            ("baseline --only durable --pairs 64", true),
            ("baseline --only nothing", false),
            ("idle --spawn --sessions 100 --seconds 1 --json f", true),
            ("slow --spawn --readers 4 --rate 0 --kib 2048", true),
            ("slow --spawn --readers 0", false),
            ("overload --spawn --admitted 2000 --offered 20000 --seconds 30 --measure", true),
            ("storm --spawn --sessions 10000 --seed 4 --store scylla", true),
            ("storm --spawn --sessions 20000", false),
            ("terms --spawn --times 20 --drain 5", true),
            ("terms --times 20", false),
            ("idle --data-dir d --server http://127.0.0.1:1 --key k", false),
            ("faults --spawn --kills 3 --terms 1 --seed 5 --store scylla", true),
            ("faults --spawn --sabotage --fault none", true),
            ("faults --spawn --fault none", false),
            ("faults --spawn --sabotage --kills 3", false),
            ("chat --spawn --store scylla --cassandra d", true),
            ("chat --spawn --store sqlite", false),
            ("chat --server http://127.0.0.1:1 --key k --store scylla", false),
        ] {
            let words = std::iter::once("bellhop-loadtest").chain(line.split(' '));
            assert_eq!(Arguments::try_parse_from(words).is_ok(), good, "{line}");
        }
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("2.5".parse(), Ok(Speed::Times(2.5)));
    }
}
