//! Turns for those who come and go, so that a crowd of them does not stand between the words of those who talk.
//!
//! The runtime runs what is ready in the order in which it became so. When thousands are cut off, or come back, at once,
//! each has something to be done, and whoever talks meanwhile waits behind all of them at every step between a socket,
//! an actor and another socket. Here they wait outside: a few have a turn, and each takes it behind everything else that
//! is ready.
//!
//! A turn is the work of one poll. It must not be kept while waiting for a client's bytes or for the store: four who say
//! nothing would shut the door for all.

use std::future::{Future, poll_fn};
use std::pin::Pin;

use tokio::sync::{Semaphore, SemaphorePermit};

/// Turns at the same time. 15,000 back at once on 2 cores, a bystander's p99: with 4 in six runs 32, 50, 55, 58, 62 and 65 ms,
/// with 2 in three 18, 24 and 40; all were back after 0.9 s with either (`bellhop-loadtest reconnect`, 2026-11-26). On a
/// slower machine, without turns 700 and 850 ms, with 64 of them 240 and 480, with 16 110 and 150; without the yield below,
/// 16 gave 720 and 1,000 ms: who gets a turn would run before all others. The price: a server whose round of everything
/// that is ready takes 10 ms, because it is loaded to its limit, lets 200 turns a second pass with 2, 400 with 4.
const TURNS: usize = 2;

/// One for the process, as its runtime is.
static TURNSTILE: Semaphore = Semaphore::const_new(TURNS);

/// Waits for a turn, which ends when what is given is dropped.
pub(crate) async fn turn() -> Option<SemaphorePermit<'static>> {
    // It is never closed.
    let turn = TURNSTILE.acquire().await.ok();
    tokio::task::yield_now().await;
    turn
}

/// Waits for a turn and polls a future in it for the first time; from then on the future is polled as any other.
pub(crate) async fn begin<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    let mut turn = turn().await;
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        turn = None;
        polled
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_others_keeps_nobody_from_a_turn() {
        let waiting: Vec<_> = (0..TURNS * 4)
            .map(|_| {
                tokio::spawn(async {
                    let forever = pin!(pending::<()>());
                    begin(forever).await;
                })
            })
            .collect();
        for _ in 0..TURNS * 4 {
            assert_eq!(begin(pin!(async { 7 })).await, 7);
        }
        waiting.iter().for_each(|it| it.abort());
    }

    #[tokio::test]
    async fn a_crowd_takes_turns_and_what_is_ready_besides_goes_on_between_them() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicUsize, Ordering};

        let done = Arc::new(AtomicUsize::new(0));
        let crowd: Vec<_> = (0..TURNS * 64)
            .map(|_| {
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    let _turn = turn().await;
                    done.fetch_add(1, Ordering::Relaxed);
                })
            })
            .collect();
        // Begins behind the whole crowd, which is ready: without turns it would see all of it done.
        let mut most = 0;
        while done.load(Ordering::Relaxed) < crowd.len() {
            let before = done.load(Ordering::Relaxed);
            tokio::task::yield_now().await;
            most = most.max(done.load(Ordering::Relaxed) - before);
        }
        assert!((1..=TURNS * 4).contains(&most), "{most} of a crowd went through between two steps of another task");
    }
}
