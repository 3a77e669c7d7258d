//! A reader's valve: how many bytes a second are taken from the socket, from nothing to everything, changed at any
//! time. What is not taken stays with the kernel and, once that is full, with the server.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::sleep,
};

use crate::stage::lock;

/// Between two sips of a slow reader.
const SIP: Duration = Duration::from_millis(100);

/// How fast it may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Open,
    /// Bytes a second; 0 for a reader that reads nothing.
    BytesPerSecond(u32),
}

#[derive(Debug)]
struct State {
    flow: Flow,
    /// Bytes that may be read now. Never above one second's worth: who was away does not gulp.
    credit: f64,
    at: Instant,
    waker: Option<Waker>,
}

#[derive(Debug)]
pub(crate) struct Valve(Mutex<State>);

impl Valve {
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { flow: Flow::Open, credit: 0.0, at: now, waker: None })))
    }

    pub(crate) fn turn(&self, flow: Flow, now: Instant) {
        let waker = {
            let mut state = lock(&self.0);
            (state.flow, state.credit, state.at) = (flow, 0.0, now);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Bytes that may be read now: `None` for any number.
    fn allowance(&self, now: Instant) -> Option<usize> {
        let mut state = lock(&self.0);
        let Flow::BytesPerSecond(rate) = state.flow else { return None };
        let rate = f64::from(rate);
        let since = now.saturating_duration_since(state.at).as_secs_f64();
        state.credit = (state.credit + since * rate).min(rate);
        state.at = now;
        Some(state.credit as usize)
    }

    fn spend(&self, bytes: usize) {
        lock(&self.0).credit -= bytes as f64;
    }

    /// Registers who is to be woken when the valve is turned; the time to try again by itself, if that can help.
    fn wait(&self, waker: &Waker) -> Option<Duration> {
        let mut state = lock(&self.0);
        match state.flow {
            // It was opened in between.
            Flow::Open => Some(Duration::ZERO),
            Flow::BytesPerSecond(rate) => {
                state.waker = Some(waker.clone());
                (rate > 0).then_some(SIP)
            }
        }
    }
}

/// A connection that is read through a valve, if there is one.
pub(crate) struct Tap {
    stream: TcpStream,
    valve: Option<Arc<Valve>>,
    sip: Option<Pin<Box<tokio::time::Sleep>>>,
}

impl Tap {
    pub(crate) fn new(stream: TcpStream, valve: Option<Arc<Valve>>) -> Self {
        Self { stream, valve, sip: None }
    }

    fn poll_sip(&mut self, valve: &Valve, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            match valve.allowance(Instant::now()) {
                None => return Pin::new(&mut self.stream).poll_read(context, buffer),
                Some(0) => {}
                Some(most) => {
                    let most = most.min(buffer.remaining());
                    let mut part = ReadBuf::new(buffer.initialize_unfilled_to(most));
                    let read = Pin::new(&mut self.stream).poll_read(context, &mut part);
                    let bytes = part.filled().len();
                    buffer.advance(bytes);
                    valve.spend(bytes);
                    return read;
                }
            }
            match valve.wait(context.waker()) {
                Some(Duration::ZERO) => {}
                None => return Poll::Pending,
                Some(time) => {
                    let mut timer = Box::pin(sleep(time));
                    if timer.as_mut().poll(context).is_pending() {
                        self.sip = Some(timer);
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.valve.clone() {
            None => Pin::new(&mut self.stream).poll_read(context, buffer),
            Some(valve) => self.poll_sip(&valve, context, buffer),
        }
    }
}

impl AsyncWrite for Tap {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        task::Waker,
        time::{Duration, Instant},
    };

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::{Flow, SIP, Tap, Valve};

    #[test]
    fn a_slow_reader_gets_its_rate_and_never_more_than_a_second_of_it_at_once() {
        let start = Instant::now();
        let valve = Valve::new(start);
        assert_eq!(valve.allowance(start), None);
        valve.turn(Flow::BytesPerSecond(100), start);
        assert_eq!(valve.allowance(start), Some(0));
        assert_eq!(valve.allowance(start + Duration::from_millis(250)), Some(25));
        valve.spend(20);
        assert_eq!(valve.allowance(start + Duration::from_millis(350)), Some(15));
        assert_eq!(valve.allowance(start + Duration::from_secs(3_600)), Some(100));
        valve.turn(Flow::BytesPerSecond(0), start);
        assert_eq!(valve.allowance(start + Duration::from_secs(3_600)), Some(0));
        assert_eq!(valve.wait(Waker::noop()), None, "nothing but turning helps");
        valve.turn(Flow::BytesPerSecond(1), start);
        assert_eq!(valve.wait(Waker::noop()), Some(SIP));
        valve.turn(Flow::Open, start);
        assert_eq!(valve.wait(Waker::noop()), Some(Duration::ZERO));
    }

    #[tokio::test]
    async fn a_closed_valve_holds_everything_back_and_an_opened_one_lets_all_of_it_through() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        let valve = Valve::new(Instant::now());
        valve.turn(Flow::BytesPerSecond(0), Instant::now());
        let mut near = Tap::new(stream, Some(valve.clone()));
        far.write_all(&[7; 5_000]).await.unwrap();
        drop(far);
        let mut all = Vec::new();
        let early = tokio::time::timeout(Duration::from_millis(30), near.read_to_end(&mut all)).await;
        assert!(early.is_err() && all.is_empty());
        valve.turn(Flow::BytesPerSecond(1_000_000), Instant::now());
        near.read_to_end(&mut all).await.unwrap();
        assert_eq!(all, [7; 5_000]);
    }
}
