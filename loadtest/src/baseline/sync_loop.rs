//! The disk alone: write 128 bytes, sync (fdatasync), again. What one message at a time would get at most.

use std::{
    fs::{OpenOptions, remove_file},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use crate::fast::MESSAGE_BYTES;

/// How long each sync took, µs.
pub(crate) fn run(path: &Path, time: Duration) -> Result<Histogram<u64>, String> {
    let error = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = OpenOptions::new().create_new(true).append(true).open(path).map_err(error)?;
    let mut syncs = Histogram::new(3).map_err(|error| error.to_string())?;
    let end = Instant::now() + time;
    loop {
        let begin = Instant::now();
        if begin >= end {
            break;
        }
        file.write_all(&[b'x'; MESSAGE_BYTES]).and_then(|()| file.sync_data()).map_err(error)?;
        syncs.saturating_record(begin.elapsed().as_micros() as u64);
    }
    remove_file(path).map_err(error)?;
    Ok(syncs)
}
