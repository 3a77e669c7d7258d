//! What Linux tells of the machine and of processes, from /proc.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

/// Ticks of /proc's CPU times, a second: fixed at 100 towards programs (`USER_HZ`, Linux time(7)).
const USER_HZ: f64 = 100.0;

/// The machine in one line, for beside a figure.
pub(crate) fn describe() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = field(&cpuinfo, "model name").unwrap_or("unknown processor");
    let memory = field(&read("/proc/meminfo"), "MemTotal").and_then(kibibytes).unwrap_or_default();
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{} × {model}, {:.0} GiB, Linux {}", cores(), memory as f64 / 1_048_576.0 / 1_024.0, kernel.trim())
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Processes that ran or waited to run, mean of the last minute.
pub(crate) fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split_whitespace().next()?.parse().ok()
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}

/// `1234 kB` in bytes.
fn kibibytes(value: &str) -> Option<u64> {
    value.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1_024)
}

/// Resident memory of a process, bytes.
pub(crate) fn resident(pid: u32) -> Option<u64> {
    kibibytes(field(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS")?)
}

/// CPU time that a process has used, in user and kernel.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    cpu_of(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn cpu_of(stat: &str) -> Option<Duration> {
    // The name may hold spaces and brackets; fields are counted after its last bracket: utime is the 14th of all.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs_f64((user + system) / USER_HZ))
}

/// Open files this process may have.
pub(crate) fn file_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

/// The process that listens on an address of this machine, if it may be seen (same user, or root).
pub(crate) fn listener(address: SocketAddr) -> Option<u32> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let inode = tables.iter().find_map(|table| listening_inode(table, address.port()))?;
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        let mut files = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        files.any(|file| fs::read_link(file.path()).is_ok_and(|it| it.as_os_str() == wanted.as_str())).then_some(pid)
    })
}

fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = u16::from_str_radix(fields.get(1)?.rsplit(':').next()?, 16).ok()?;
        (local == port && *fields.get(3)? == LISTEN).then(|| fields.get(9)?.parse().ok())?
    })
}

/// Kind of the file system that a directory lies on (`ext4`, `tmpfs`).
pub(crate) fn file_system(directory: &Path) -> Option<String> {
    let directory = directory.canonicalize().ok()?;
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    kind_of(&mounts, &directory)
}

fn kind_of(mounts: &str, directory: &Path) -> Option<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            Some((Path::new(fields.next()?), fields.next()?))
        })
        .filter(|(point, _)| directory.starts_with(point))
        // A later mount covers an earlier one of the same place.
        .max_by_key(|(point, _)| point.components().count())
        .map(|(_, kind)| kind.to_string())
}

/// CPU time of generator and server over a stretch of time.
pub(crate) struct Meter {
    begin: Instant,
    server: Option<(u32, Duration)>,
    own: Duration,
}

/// Shares of one core: 1.0 is a core's whole time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Shares {
    pub(crate) generator: f64,
    /// Absent when the server is not a process of this machine, or was started anew meanwhile.
    pub(crate) server: Option<f64>,
}

impl Meter {
    pub(crate) fn start(server: Option<u32>) -> Self {
        let server = server.and_then(|pid| Some((pid, cpu(pid)?)));
        Self { begin: Instant::now(), server, own: cpu(std::process::id()).unwrap_or_default() }
    }

    pub(crate) fn read(&self) -> Shares {
        let seconds = self.begin.elapsed().as_secs_f64().max(0.001);
        let share = |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / seconds;
        Shares {
            generator: share(cpu(std::process::id()).unwrap_or_default(), self.own),
            server: self.server.and_then(|(pid, before)| Some(share(cpu(pid)?, before))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, path::Path, time::Duration};

    use super::{cpu, cpu_of, describe, file_limit, kind_of, listener, resident};

    #[test]
    fn this_process_and_machine_are_known() {
        let own = std::process::id();
        assert!(resident(own).unwrap() > 1024 * 1024);
        assert!(cpu(own).is_some());
        assert!(file_limit().unwrap() > 0);
        assert!(describe().contains("Linux"));
        assert!(resident(0).is_none());
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()), Some(own));
    }

    #[test]
    fn a_process_name_with_brackets_and_spaces_is_skipped() {
        let stat = "7 (a) b (c) S 1 1 1 0 -1 0 0 0 0 0 150 50 0 0 20 0 1 0 0 0 0";
        assert_eq!(cpu_of(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu_of("nothing"), None);
    }

    #[test]
    fn the_deepest_and_latest_mount_counts() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmp/disk xfs rw 0 0\n";
        for (path, kind) in [("/var", "ext4"), ("/tmp/x", "tmpfs"), ("/tmp/disk/x", "xfs"), ("/tmpfile", "ext4")] {
            assert_eq!(kind_of(mounts, Path::new(path)).as_deref(), Some(kind), "{path}");
        }
    }
}
