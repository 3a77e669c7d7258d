//! Data directories on a real disk, and what is in flight.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bellhop_storage::{Embedded, EmbeddedOptions};

/// One alone, the loads of the design page's figures, and as many as a busy second brings.
pub(crate) const IN_FLIGHT: [usize; 3] = [1, 64, 512];

/// A new store in `target/tmp`: a temporary directory of the system may lie in memory, where a sync costs nothing.
pub(crate) fn new_store(name: &str) -> (Embedded, PathBuf) {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bench-{name}"));
    let _ = fs::remove_dir_all(&path);
    let store = Embedded::open(&path, EmbeddedOptions::new()).expect("a new store opens");
    (store, path)
}

/// Does `count` things with at most `lanes` under way at once, and says how long that took. `begin` starts the next
/// one of a lane; `finished` waits for any and says whose it was.
pub(crate) fn keep_in_flight(
    count: u64,
    lanes: usize,
    mut begin: impl FnMut(usize),
    mut finished: impl FnMut() -> usize,
) -> Duration {
    let began = Instant::now();
    let mut begun = 0;
    for lane in (0..lanes).take_while(|lane| (*lane as u64) < count) {
        begin(lane);
        begun += 1;
    }
    for _ in 0..count {
        let lane = finished();
        if begun < count {
            begin(lane);
            begun += 1;
        }
    }
    began.elapsed()
}
