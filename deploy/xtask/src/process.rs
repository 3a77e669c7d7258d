//! Running a command with its output in view and in a tally, and never for ever.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::tally::{Counter, Tally};

/// How long a child's output may stay open after it ended. Something that it left running would hold it for ever.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Runs to the end or to `limit`, prints every line as it comes, and counts what the lines say.
pub(crate) fn run_counted(command: &mut Command, counter: Counter, limit: Duration) -> Tally {
    let (mut tally, success) = run_lines(command, limit, move |tally: &mut Tally, line| tally.line(counter, line));
    tally.settle(counter, success);
    tally
}

/// Runs to the end or to `limit`, prints every line as it comes and hands it, without colours, to `read` together with
/// what that has kept so far. Then gives back what was kept, and the exit's success or the sentence why there was none.
pub(crate) fn run_lines<T: Default + Send + 'static>(
    command: &mut Command,
    limit: Duration,
    read: impl Fn(&mut T, &str) + Send + Sync + 'static,
) -> (T, Result<bool, String>) {
    let tool = command.get_program().to_string_lossy().into_owned();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => return (T::default(), Err(format!("{tool} could not be started: {error}"))),
    };
    let kept = Arc::new(Mutex::new(T::default()));
    let read = Arc::new(read);
    let mut readers = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        readers.push(read_each(stdout, Arc::clone(&read), Arc::clone(&kept)));
    }
    if let Some(stderr) = child.stderr.take() {
        readers.push(read_each(stderr, read, Arc::clone(&kept)));
    }
    let success = wait(&mut child, limit);
    let deadline = Instant::now() + AFTERMATH;
    while readers.iter().any(|it| !it.is_finished()) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    if readers.iter().any(|it| !it.is_finished()) {
        println!("xtask: {tool} ended, but something that it started still runs and holds its output");
    }
    let kept = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    (kept, success)
}

/// `Ok` is the exit's success; `Err` the sentence why there was none.
fn wait(child: &mut Child, limit: Duration) -> Result<bool, String> {
    let deadline = Instant::now() + limit;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                kill_with_descendants(child);
                return Err(format!("it was still running after {} s and was ended", limit.as_secs()));
            }
            Err(error) => return Err(format!("its end could not be waited for: {error}")),
        }
    }
}

fn read_each<T: Send + 'static>(
    stream: impl Read + Send + 'static,
    read: Arc<impl Fn(&mut T, &str) + Send + Sync + 'static>,
    kept: Arc<Mutex<T>>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_end_matches(['\n', '\r']);
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            // Under the lock, so that lines of the two streams are never mixed. A reader who has gone is not our fault.
            let _ = writeln!(std::io::stdout(), "{text}");
            read(&mut kept, &without_escapes(text));
            drop(kept);
            line.clear();
        }
    })
}

/// Drops ANSI escape sequences (`ESC [ … letter`).
fn without_escapes(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            for inner in chars.by_ref() {
                if inner.is_ascii_alphabetic() {
                    break;
                }
            }
        } else {
            clean.push(char);
        }
    }
    clean
}

/// Ends a child and all that it started. Its descendants are looked up in /proc: a process group of its own would
/// make this simpler, but would also keep the terminal's Ctrl-C from them.
fn kill_with_descendants(child: &mut Child) {
    let mut family = vec![child.id()];
    let mut next = 0;
    while next < family.len() {
        family.extend(children_of(family[next]));
        next += 1;
    }
    let ids: Vec<String> = family.iter().map(u32::to_string).collect();
    let _ = Command::new("kill").arg("-KILL").args(&ids).status();
    let _ = child.kill();
    let _ = child.wait();
}

fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| parent_of(*id) == Some(parent)).collect()
}

/// The fourth field of /proc/PID/stat; the second is a name in brackets that may hold anything, so count from its end.
fn parent_of(id: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_hangs_is_ended_with_all_it_started_and_fails() {
        let began = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 60 & sleep 60"]);
        let tally = run_counted(&mut command, Counter::Exit, Duration::from_millis(200));
        assert!(began.elapsed() < Duration::from_secs(9), "took {:?}", began.elapsed());
        assert_eq!((tally.passed, tally.failed), (0, 1));
    }

    #[test]
    fn a_tool_that_is_missing_is_a_failure_with_a_sentence() {
        let tally = run_counted(&mut Command::new("/no/such/tool"), Counter::Exit, Duration::from_secs(1));
        assert_eq!(tally.failed, 1);
        assert!(tally.failures[0].contains("/no/such/tool could not be started"));
    }

    #[test]
    fn colours_do_not_hide_a_count() {
        assert_eq!(without_escapes("\u{1b}[32mtest result: \u{1b}[1;32mok\u{1b}[0m."), "test result: ok.");
    }
}
