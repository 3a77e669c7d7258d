//! Work that nobody waits for stands back behind those who answer people.

use std::any::Any;

/// How far it stands back when processors are short (setpriority(2)): it gets a tenth of the time of a thread that answers.
/// One run with fjall's threads so had p99 and p99.9 at half of the peak at 1.8 times the bare router's, the next one without at
/// 4.8 and 5.6 times (2 cores); from run to run both vary as much.
const NICE: i32 = 10;

/// From now on the calling thread, and those that it starts, stand back. On Linux that is a property of the thread.
pub(super) fn stand_back() {
    // A server that was started further back stays there: as root the call would bring it forward.
    let nice = rustix::process::getpriority_process(None).map_or(NICE, |now| now.max(NICE));
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(%error, "flushes and compactions compete with those who answer people");
    }
}

/// Runs `work` on a thread of its own, so that the threads that it starts stand back and the caller does not. The error is
/// what a panic said.
pub(super) fn run<T: Send>(work: impl FnOnce() -> T + Send) -> std::thread::Result<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new().name("bellhop-open".to_owned()).spawn_scoped(scope, || {
            stand_back();
            work()
        });
        worker
            .map_err(|error| -> Box<dyn Any + Send> { Box::new(format!("no thread can be started: {error}")) })?
            .join()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nice() -> i32 {
        rustix::process::getpriority_process(None).unwrap()
    }

    #[test]
    fn what_is_started_from_there_stands_back_and_the_caller_does_not() {
        let before = nice();
        let inherited = run(|| std::thread::spawn(nice).join().unwrap()).unwrap();
        assert_eq!((inherited, nice()), (NICE.max(before), before));
    }

    #[test]
    fn a_panic_is_an_answer() {
        let panic = run(|| -> () { panic!("a table breaks an assumption") }).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"a table breaks an assumption"));
    }
}
