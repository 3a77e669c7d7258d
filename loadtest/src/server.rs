//! The server under test: one that runs already, or one of our own that is started, killed, started again and
//! cleaned away.

use std::{
    fs::{self, File, OpenOptions},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{
    args::{StoreKind, Target},
    cassandra::Cassandra,
    machine,
    rest::Rest,
    stage::lock,
};

/// A start: recovery of a large log on a busy machine included.
const START: Duration = Duration::from_secs(60);
/// After SIGTERM: longer than the server's own deadline for draining.
const STOP: Duration = Duration::from_secs(40);
/// Between looks at something that will happen soon.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) struct Server {
    pub(crate) rest: Arc<Rest>,
    own: Option<Own>,
}

/// What an attack wants otherwise than a user gets it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extras {
    /// Lines of the configuration by section, such as `("limits", "commands_per_second = 2000")`. The sections
    /// `server`, `admin` and `data` hold the run's addresses and places already.
    pub(crate) settings: Vec<(&'static str, String)>,
    /// Variables of the server's environment, at every start.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// How a server of our own ended after SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// Exit code; `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    /// From the signal to the end of the process.
    pub(crate) took: Duration,
}

/// A server of our own.
struct Own {
    binary: PathBuf,
    directory: PathBuf,
    environment: Vec<(&'static str, String)>,
    /// The database, if the store is not embedded.
    cassandra: Option<Cassandra>,
    /// Whether the directory stays at the end.
    kept: AtomicBool,
    process: Mutex<Child>,
    /// Killed by us and not started again yet.
    down: AtomicBool,
    /// The token of the printed set-up link.
    set_up: String,
}

impl Server {
    /// Reaches the server that the options name, or starts one with `extras`. Errors are sentences.
    pub(crate) async fn reach(target: &Target, extras: Extras) -> Result<Self, String> {
        match (&target.server, &target.key) {
            (Some(url), Some(key)) => {
                let key =
                    fs::read_to_string(key).map_err(|error| format!("the key file {}: {error}", key.display()))?;
                let rest = Arc::new(Rest::new(url)?);
                rest.set_key(key.trim().to_string());
                if !rest.is_up().await {
                    return Err(format!("there is no server at {url}; start one, or let --spawn do it"));
                }
                Ok(Self { rest, own: None })
            }
            _ => Self::spawn(target, extras).await,
        }
    }

    async fn spawn(target: &Target, extras: Extras) -> Result<Self, String> {
        let binary = match &target.bellhop {
            Some(path) => path.clone(),
            None => beside_this("bellhop")?,
        };
        if !binary.is_file() {
            return Err(format!(
                "{} is not there; build it (cargo build -p bellhop-gateway, for bellhop-sabotaged with --features \
                 sabotage) or say --bellhop PATH",
                binary.display()
            ));
        }
        let (directory, temporary) = match &target.data_dir {
            Some(directory) => (directory.clone(), false),
            None => (temporary_directory()?, true),
        };
        prepare(&directory)?;
        let [address, admin] = free_addresses()?;
        let cassandra = match target.store {
            StoreKind::Embedded => None,
            StoreKind::Scylla => Some(Cassandra::find(&target.cassandra)?),
        };
        fs::write(
            directory.join("bellhop.toml"),
            configuration(address, admin, &directory, cassandra.as_ref(), &extras.settings),
        )
        .map_err(|error| format!("{}: {error}", directory.display()))?;
        let rest = Arc::new(Rest::new(&format!("http://{address}"))?);
        let process = start(&binary, &directory, &extras.environment)?;
        // Owned from here on, so that it is stopped and cleaned away if setting up fails.
        let own = Own {
            binary,
            directory,
            environment: extras.environment,
            cassandra,
            kept: AtomicBool::new(!temporary),
            process: Mutex::new(process),
            down: AtomicBool::new(false),
            set_up: String::new(),
        };
        let mut server = Self { rest, own: Some(own) };
        server.until_up().await?;
        server.find_set_up_link().await?;
        Ok(server)
    }

    /// Waits until the server answers; [`START`] at most.
    pub(crate) async fn until_up(&self) -> Result<(), String> {
        let begin = Instant::now();
        while !self.rest.is_up().await {
            self.alive()?;
            if begin.elapsed() > START {
                return Err(format!(
                    "the server did not answer within {} s of its start{}",
                    START.as_secs(),
                    self.last_words()
                ));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn find_set_up_link(&mut self) -> Result<(), String> {
        let begin = Instant::now();
        loop {
            if let Some(own) = &mut self.own
                && let Some(token) = set_up_token(&fs::read_to_string(own.log()).unwrap_or_default())
            {
                own.set_up = token;
                return Ok(());
            }
            self.alive()?;
            if begin.elapsed() > Duration::from_secs(10) {
                return Err(format!("the server printed no set-up link{}", self.last_words()));
            }
            sleep(LOOK).await;
        }
    }

    /// The printed link's token, of a server of our own.
    pub(crate) fn set_up_token(&self) -> Option<&str> {
        self.own.as_ref().map(|own| own.set_up.as_str())
    }

    /// The server's process, if it is one of this machine.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.own {
            Some(own) => Some(lock(&own.process).id()),
            None if self.rest.address().ip().is_loopback() => machine::listener(self.rest.address()),
            None => None,
        }
    }

    /// Kind of the file system that the data lies on.
    pub(crate) fn file_system(&self) -> Option<String> {
        machine::file_system(&self.own.as_ref()?.directory)
    }

    /// An error if a server of our own has ended by itself.
    pub(crate) fn alive(&self) -> Result<(), String> {
        let Some(own) = &self.own else { return Ok(()) };
        if own.down.load(Ordering::Relaxed) {
            return Ok(());
        }
        match lock(&own.process).try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the server ended by itself ({status}){}", self.last_words())),
            Err(error) => Err(format!("the server cannot be watched: {error}")),
        }
    }

    /// `kill -9`, wait until it is gone, `pause`, start it again on the same data and ports, wait until it answers.
    /// Returns the time from the new start to the first answer.
    pub(crate) async fn kill_and_restart(&self, pause: Duration) -> Result<Duration, String> {
        self.kill()?;
        sleep(pause).await;
        let begin = Instant::now();
        self.start()?;
        self.until_up().await?;
        Ok(begin.elapsed())
    }

    /// `kill -9`, and wait until it is gone.
    pub(crate) fn kill(&self) -> Result<(), String> {
        let own = self.own.as_ref().ok_or("only a server of our own can be killed")?;
        own.down.store(true, Ordering::Relaxed);
        let mut process = lock(&own.process);
        process.kill().map_err(|error| format!("the server cannot be killed: {error}"))?;
        process.wait().map_err(|error| format!("the killed server cannot be waited for: {error}"))?;
        Ok(())
    }

    /// SIGTERM, and wait until it is gone: `limit` at most, then it is killed and that is an error.
    pub(crate) async fn terminate(&self, limit: Duration) -> Result<Farewell, String> {
        let own = self.own.as_ref().ok_or("only a server of our own can be stopped")?;
        self.alive()?;
        own.down.store(true, Ordering::Relaxed);
        let begin = Instant::now();
        if let Some(pid) = i32::try_from(lock(&own.process).id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::TERM).map_err(|error| format!("the server cannot be told to stop: {error}"))?;
        }
        loop {
            let ended = lock(&own.process).try_wait();
            if let Some(status) = ended.map_err(|error| format!("the server cannot be watched: {error}"))? {
                return Ok(Farewell { code: status.code(), took: begin.elapsed() });
            }
            if begin.elapsed() > limit {
                self.kill()?;
                return Err(format!("the server did not stop within {} s of SIGTERM and was killed", limit.as_secs()));
            }
            sleep(LOOK).await;
        }
    }

    /// Starts a server of our own again that was killed or stopped, on the same data and ports; does not wait for it.
    pub(crate) fn start(&self) -> Result<(), String> {
        let own = self.own.as_ref().ok_or("only a server of our own can be started")?;
        *lock(&own.process) = start(&own.binary, &own.directory, &own.environment)?;
        own.down.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Resident memory of the server's process, bytes.
    pub(crate) fn resident(&self) -> Option<u64> {
        machine::resident(self.pid()?)
    }

    /// The database of a server of our own, if its store is not embedded.
    pub(crate) fn cassandra(&self) -> Option<&Cassandra> {
        self.own.as_ref()?.cassandra.as_ref()
    }

    /// Directory of a server of our own: configuration, log, data.
    pub(crate) fn directory(&self) -> Option<&Path> {
        self.own.as_ref().map(|own| own.directory.as_path())
    }

    /// The data of a server of our own stays after the end, for a look at what went wrong.
    pub(crate) fn keep(&self) {
        if let Some(own) = &self.own {
            own.kept.store(true, Ordering::Relaxed);
        }
    }

    /// Ends a server of our own by SIGTERM, and says so if it does not go.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        if self.own.is_none() {
            return Ok(());
        }
        self.terminate(STOP).await.map(drop)
    }

    /// The end of the log of a server of our own, for an error.
    fn last_words(&self) -> String {
        let Some(own) = &self.own else { return String::new() };
        let log = fs::read_to_string(own.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(8)..];
        if tail.is_empty() { String::new() } else { format!("; its last words:\n  {}", tail.join("\n  ")) }
    }
}

impl Own {
    fn log(&self) -> PathBuf {
        self.directory.join("server.log")
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let mut process = lock(&self.process);
        // Both fail only when it is gone already.
        drop(process.kill());
        drop(process.wait());
        if self.kept.load(Ordering::Relaxed) {
            eprintln!("The server's data and log are kept in {}.", self.directory.display());
        } else {
            drop(fs::remove_dir_all(&self.directory));
        }
    }
}

/// A program in the directory of this one.
pub(crate) fn beside_this(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    Ok(own.with_file_name(name))
}

/// A new directory on a disk: a sync to memory costs nothing and would flatter every figure.
pub(crate) fn temporary_directory() -> Result<PathBuf, String> {
    let places = [std::env::temp_dir(), PathBuf::from("/var/tmp"), PathBuf::from(".")];
    let real =
        |place: &&PathBuf| machine::file_system(place).is_some_and(|kind| !matches!(kind.as_str(), "tmpfs" | "ramfs"));
    let place = places.iter().find(real).ok_or("no temporary directory lies on a disk; name one with --data-dir")?;
    let name = format!("bellhop-loadtest-{}-{}", std::process::id(), crate::dice::Dice::random()?.next() % 1_000_000);
    Ok(place.join(name))
}

fn prepare(directory: &Path) -> Result<(), String> {
    let error = |error: std::io::Error| format!("the data directory {}: {error}", directory.display());
    fs::create_dir_all(directory).map_err(error)?;
    if fs::read_dir(directory).map_err(error)?.next().is_some() {
        return Err(format!("the data directory {} is not empty; name a new one", directory.display()));
    }
    if machine::file_system(directory).is_some_and(|kind| kind == "tmpfs") {
        eprintln!(
            "Warning: {} lies in memory (tmpfs): syncs cost nothing there, the figures say little.",
            directory.display()
        );
    }
    Ok(())
}

/// Two ports that are free now. Both are held until both are known, so that they differ.
fn free_addresses() -> Result<[SocketAddr; 2], String> {
    let bind = || TcpListener::bind("127.0.0.1:0").map_err(|error| format!("no free port: {error}"));
    let address = |socket: &TcpListener| socket.local_addr().map_err(|error| format!("no free port: {error}"));
    let (one, two) = (bind()?, bind()?);
    Ok([address(&one)?, address(&two)?])
}

/// Only addresses and places, and what the attack asks for: everything else stays as a user gets it, or the figures
/// would be of something else.
fn configuration(
    address: SocketAddr,
    admin: SocketAddr,
    directory: &Path,
    cassandra: Option<&Cassandra>,
    settings: &[(&'static str, String)],
) -> String {
    let data = directory.join("data");
    let mut sections: Vec<(&str, Vec<String>)> = vec![
        ("server", vec![format!("listen = \"{address}\"")]),
        ("admin", vec![format!("listen = \"{admin}\"")]),
        ("data", vec![format!("dir = {data:?}")]),
    ];
    let mut text = String::new();
    if let Some(cassandra) = cassandra {
        text.push_str("store = \"scylla\"\n\n");
        sections.push(("scylla", cassandra.settings()));
    }
    for (section, line) in settings {
        match sections.iter_mut().find(|(name, _)| name == section) {
            Some((_, lines)) => lines.push(line.clone()),
            None => sections.push((section, vec![line.clone()])),
        }
    }
    for (section, lines) in sections {
        text.push_str(&format!("[{section}]\n{}\n\n", lines.join("\n")));
    }
    text
}

fn start(binary: &Path, directory: &Path, environment: &[(&'static str, String)]) -> Result<Child, String> {
    let log = directory.join("server.log");
    let open = || -> std::io::Result<(File, File)> {
        let file = OpenOptions::new().create(true).append(true).open(&log)?;
        Ok((file.try_clone()?, file))
    };
    let (out, err) = open().map_err(|error| format!("{}: {error}", log.display()))?;
    Command::new(binary)
        .arg("serve")
        .arg("--config")
        .arg(directory.join("bellhop.toml"))
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .map_err(|error| format!("{} cannot be started: {error}", binary.display()))
}

/// The token of the last `…/setup#<token>` in a text.
fn set_up_token(text: &str) -> Option<String> {
    const MARK: &str = "/setup#";
    let rest = &text[text.rfind(MARK)? + MARK.len()..];
    let token: String =
        rest.chars().take_while(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_')).collect();
    // Without a letter after it, the line may not be written to its end yet.
    (!token.is_empty() && token.len() < rest.len()).then_some(token)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{configuration, set_up_token};
    use crate::cassandra::Cassandra;

    #[test]
    fn a_configuration_names_each_section_once_and_the_store_before_all() {
        let listen = "127.0.0.1:1".parse().unwrap();
        let settings = [("limits", "a = 1".to_string()), ("server", "b = 2".into()), ("limits", "c = 3".into())];
        let cassandra = Cassandra::of("127.0.0.1:19042,127.0.0.2:19042", Path::new("c"), "k_1".into()).unwrap();
        let text = configuration(listen, listen, Path::new("/d"), Some(&cassandra), &settings);
        assert_eq!(
            text,
            "store = \"scylla\"\n\n[server]\nlisten = \"127.0.0.1:1\"\nb = 2\n\n[admin]\nlisten = \
             \"127.0.0.1:1\"\n\n[data]\ndir = \"/d/data\"\n\n[scylla]\ncontact_points = [\"127.0.0.1:19042\", \
             \"127.0.0.2:19042\"]\nkeyspace = \"k_1\"\nreplication = 2\nmigrate = \
             true\n\n[limits]\na = 1\nc = 3\n\n"
        );
        assert!(!configuration(listen, listen, Path::new("/d"), None, &[]).contains("store"));
    }

    #[test]
    fn the_set_up_link_is_found_in_lines_and_in_json_once_it_is_whole() {
        for (text, token) in [
            ("Inbox: http://127.0.0.1:1/setup#abc_D-9\nData: x", Some("abc_D-9")),
            (r#"{"link":"http://x/setup#abc"}"#, Some("abc")),
            ("http://x/setup#old\nhttp://x/setup#new \n", Some("new")),
            ("http://x/setup#ab", None),
            ("http://x/setup#", None),
            ("nothing", None),
        ] {
            assert_eq!(set_up_token(text).as_deref(), token, "{text}");
        }
    }
}
