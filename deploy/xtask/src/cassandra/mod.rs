//! `cargo xtask cassandra`: a real CQL server for tests, Apache Cassandra 5.0.9, one node or three.
//!
//! While it runs its folder holds `contacts` (`127.0.0.1:19042,127.0.0.2:19042,…`), `ready` (there once every node
//! answers), and for each node `node-N/pid` and `node-N/start`: an executable that starts the node again after somebody
//! killed it, and returns at once. Here all is prepared; deploy/cassandra/cluster.sh then takes this process over.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{fs, io, thread};

use crate::places::Places;

mod cql;
mod jars;
mod java;
mod running;

pub(crate) use running::Running;

/// Debian's packages for what is checked below.
pub(crate) const PACKAGES: [&str; 2] = [java::PACKAGE, jars::PACKAGE];

/// Which server this is, to be said beside every figure. Not ScyllaDB: shard-aware routing and tablets stay untested.
pub(crate) const SERVER: &str = "Apache Cassandra 5.0.9";

/// Where the nodes speak CQL, if nobody else does there; otherwise a hundred further up, and so on.
const CQL_PORT: u16 = 19_042;
/// The nodes speak with each other at this distance below.
const STORAGE_BELOW: u16 = 2_042;
const PORT_STEP: u16 = 100;
const PORT_TRIES: u16 = 20;

/// A third of the ring each; a single node takes the first.
const TOKENS: [i64; 3] = [i64::MIN, -3_074_457_345_618_258_603, 3_074_457_345_618_258_602];

/// One node answers within 3 s on a quiet machine, three within 7 s; a machine that builds meanwhile is ten times slower.
const START_LIMIT: Duration = Duration::from_secs(180);

/// How long the guard of a killed cluster may take to clean; it needs about 0.1 s.
const GUARD_LIMIT: Duration = Duration::from_secs(15);

pub(crate) const USAGE: &str = "usage: cargo xtask cassandra [--nodes 1|3] [--dir DIR] [--tied]";

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    nodes: usize,
    dir: Option<PathBuf>,
    /// Ends when standard input ends: whoever starts this and dies takes it along.
    tied: bool,
}

pub(crate) fn cassandra(places: &Places, args: &[String]) -> ExitCode {
    // cluster.sh asks its own xtask to wait for the nodes.
    if let [flag, contacts] = args
        && flag == "--await"
    {
        let contacts: Vec<&str> = contacts.split(',').collect();
        return finish(cql::wait_for(&contacts, START_LIMIT));
    }
    finish(parse(args).and_then(|asked| start(places, &asked)))
}

fn finish(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let mut asked = Asked { nodes: 1, dir: None, tied: false };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--tied" => asked.tied = true,
            "--nodes" => {
                asked.nodes = match args.next().map(String::as_str) {
                    Some("1") => 1,
                    Some("3") => 3,
                    _ => return Err(format!("--nodes is 1 or 3.\n{USAGE}")),
                }
            }
            "--dir" => {
                let dir = args.next().ok_or_else(|| format!("--dir needs a folder.\n{USAGE}"))?;
                asked.dir = Some(dir.into());
            }
            other => return Err(format!("cargo xtask cassandra knows no \"{other}\".\n{USAGE}")),
        }
    }
    Ok(asked)
}

/// Whether it could run here: Java, and the jars or Maven to fetch them. The error says what to do.
pub(crate) fn check(places: &Places) -> Result<(), String> {
    java::find()?;
    jars::obtainable(places)
}

fn start(places: &Places, asked: &Asked) -> Result<(), String> {
    let java = java::find()?;
    let lib = jars::fetch(places)?;
    let dir = asked.dir.clone().unwrap_or_else(|| places.target.join("cassandra"));
    let disk = |error: io::Error| format!("Cassandra's folder {} could not be made: {error}.", dir.display());
    fs::create_dir_all(&dir).map_err(disk)?;
    let dir = dir.canonicalize().map_err(disk)?;
    let scripts = places.root.join("deploy/cassandra");
    sweep(&dir, &scripts)?;

    let port = free_port(asked.nodes)?;
    let addresses: Vec<Ipv4Addr> = (1..=asked.nodes).map(address).collect();
    let join = |port: u16| addresses.iter().map(|it| format!("{it}:{port}")).collect::<Vec<_>>().join(",");
    for (index, address) in addresses.iter().enumerate() {
        let node = dir.join(format!("node-{}", index + 1));
        let node = Node {
            folder: &node,
            address: *address,
            token: TOKENS[index],
            seeds: &join(port - STORAGE_BELOW),
            port,
            java: &java,
            lib: &lib,
            script: &scripts.join("node.sh"),
        };
        node.write().map_err(disk)?;
    }
    println!("Cassandra: starting {} node(s) in {}.", asked.nodes, dir.display());
    let xtask = Places::xtask()?;
    let mut command = Command::new(scripts.join("cluster.sh"));
    command.arg(xtask).arg(&dir).arg(join(port)).arg(if asked.tied { "1" } else { "0" });
    become_command(&mut command)
}

#[cfg(unix)]
fn become_command(command: &mut Command) -> Result<(), String> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(format!("{} could not be started: {error}.", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn become_command(_: &mut Command) -> Result<(), String> {
    Err("cargo xtask cassandra needs a Unix: its scripts are bash.".to_owned())
}

fn address(node: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, u8::try_from(node).unwrap_or(u8::MAX))
}

/// Takes away what an earlier run left, unless that one still runs.
fn sweep(dir: &Path, scripts: &Path) -> Result<(), String> {
    if let Some(id) = holder(dir, "pid") {
        return Err(format!(
            "A Cassandra already runs in {} (process {id}): stop that one, or give this one a folder of its own with --dir.",
            dir.display()
        ));
    }
    // Its guard may be cleaning this very moment, and must not clean away what we write.
    let deadline = std::time::Instant::now() + GUARD_LIMIT;
    while holder(dir, "guard").is_some() && std::time::Instant::now() < deadline {
        thread::sleep(Duration::from_millis(20));
    }
    match Command::new(scripts.join("clean.sh")).arg(dir).status() {
        Ok(status) if status.success() => {
            fs::create_dir_all(dir).map_err(|error| format!("{}: {error}", dir.display()))
        }
        Ok(_) => Err(format!("What an earlier Cassandra left in {} would not go.", dir.display())),
        Err(error) => Err(format!("deploy/cassandra/clean.sh could not be started: {error}.")),
    }
}

/// The process that a file of `dir` names, if it lives and is a cluster.sh of that folder.
fn holder(dir: &Path, file: &str) -> Option<u32> {
    let id: u32 = fs::read_to_string(dir.join(file)).ok()?.trim().parse().ok()?;
    let command = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let words: Vec<&[u8]> = command.split(|byte| *byte == 0).collect();
    let script = words.iter().any(|word| word.ends_with(b"/cluster.sh"));
    (script && words.contains(&dir.as_os_str().as_encoded_bytes())).then_some(id)
}

/// A port that is free on every address, with the one below it that the nodes use among themselves and its TLS twin.
fn free_port(nodes: usize) -> Result<u16, String> {
    let free = |port: u16| (1..=nodes).all(|node| TcpListener::bind((address(node), port)).is_ok());
    (0..PORT_TRIES)
        .map(|step| CQL_PORT + step * PORT_STEP)
        .find(|port| [*port, port - STORAGE_BELOW, port - STORAGE_BELOW + 1].into_iter().all(free))
        .ok_or_else(|| format!("No free port for Cassandra among {PORT_TRIES} from {CQL_PORT} upwards."))
}

/// What makes one node.
struct Node<'a> {
    folder: &'a Path,
    address: Ipv4Addr,
    token: i64,
    seeds: &'a str,
    port: u16,
    java: &'a Path,
    lib: &'a Path,
    script: &'a Path,
}

impl Node<'_> {
    fn write(&self) -> io::Result<()> {
        fs::create_dir_all(self.folder)?;
        let path = self.folder.join("start");
        fs::write(&path, self.start_script())?;
        make_executable(&path)
    }

    /// A session of its own keeps the terminal's Ctrl-C from the node: cluster.sh ends it, with kill -9, since SIGTERM
    /// would drain for 5 s what is thrown away anyway.
    fn start_script(&self) -> String {
        let quoted = |path: &Path| quote(&path.to_string_lossy());
        let folder = quoted(self.folder);
        format!(
            "#!/bin/sh\n\
             # Starts this node again in the background, writes its process id to `pid` and returns at once.\n\
             export JAVA={java} LIB={lib} CQL_PORT={port} STORAGE_PORT={storage}\n\
             setsid {script} {folder} {address} {seeds} {token} >> {folder}/out 2>&1 < /dev/null &\n\
             echo $! > {folder}/pid.new && mv {folder}/pid.new {folder}/pid\n",
            java = quoted(self.java),
            lib = quoted(self.lib),
            port = self.port,
            storage = self.port - STORAGE_BELOW,
            script = quoted(self.script),
            address = self.address,
            seeds = self.seeds,
            token = self.token,
        )
    }
}

/// For a shell.
fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(unix)]
fn make_executable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<Asked, String> {
        parse(&args.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn one_node_in_target_unless_asked_otherwise() {
        assert_eq!(parsed(&[]), Ok(Asked { nodes: 1, dir: None, tied: false }));
        let three = Asked { nodes: 3, dir: Some("x".into()), tied: true };
        assert_eq!(parsed(&["--tied", "--nodes", "3", "--dir", "x"]), Ok(three));
        assert!(parsed(&["--nodes", "2"]).is_err_and(|it| it.starts_with("--nodes is 1 or 3")));
        assert!(parsed(&["--node", "1"]).is_err());
    }

    #[test]
    fn a_process_that_only_took_over_a_number_holds_no_folder() {
        let dir = std::env::temp_dir().join(format!("xtask-holder-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        assert_eq!(holder(&dir, "pid"), None);
        fs::write(dir.join("pid"), std::process::id().to_string()).unwrap();
        assert_eq!(holder(&dir, "pid"), None, "this test is no cluster.sh");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn odd_folders_survive_the_shell() {
        assert_eq!(quote("it's $HOME"), "'it'\\''s $HOME'");
    }
}
