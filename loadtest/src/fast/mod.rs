//! The generator of the measuring commands: one thread on raw epoll that costs a message little, so that the figures
//! are the server's. It reads many frames a system call, recognises the two that matter by their bytes, and still
//! checks each: acknowledged once, received once, in order, nothing left out.
//!
//! The attacks (faults, slow, storm …) keep the sessions of `client.rs`, which come back by themselves.

mod arrivals;
mod bellhop;
mod conn;
mod crowd;
mod epoll;
pub(crate) mod frame;
mod pair;
mod returners;
mod scan;
mod text;

use std::time::Duration;

pub(crate) use bellhop::Bellhop;
pub(crate) use conn::Conn;
pub(crate) use crowd::{Crowd, Heard, Loop, Round, Tongue, What};
pub(crate) use epoll::Poll;
pub(crate) use returners::{Return, Returners};
pub(crate) use text::MESSAGE_BYTES;
use tokio::sync::oneshot;

/// Seconds as the options name them.
pub(crate) fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

/// Plays on a thread of its own, so that the runtime hears an interrupt meanwhile. Whatever is used is handed in and
/// back.
pub(crate) async fn apart<T: Send + 'static>(play: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new()
        .name("crowd".into())
        .spawn(move || drop(sender.send(play())))
        .map_err(|error| format!("no thread for the crowd: {error}"))?;
    receiver.await.map_err(|_| "the crowd's thread panicked".into())
}

/// Lets a crowd play on a thread of its own.
pub(crate) async fn with<T: Tongue, R: Send + 'static>(
    mut crowd: Crowd<T>,
    play: impl FnOnce(&mut Crowd<T>) -> Result<R, String> + Send + 'static,
) -> Result<(Crowd<T>, R), String> {
    apart(move || play(&mut crowd).map(|result| (crowd, result))).await?
}
