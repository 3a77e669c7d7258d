//! Many pairs on one thread: a visitor's side says messages, an agent's side receives them. What the bytes mean is a
//! [`Tongue`]'s business; here are sockets, turns, the schedule, and what was measured.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;

use super::{arrivals::Arrivals, conn::Conn, epoll::Poll, pair::Pair};
use crate::machine::{Meter, Shares};

/// Connections that are being made at the same time.
const AT_ONCE: usize = 128;
/// One read takes this much: what a busy agent's connection gathers between two looks, many times over.
const READ_BYTES: usize = 256 * 1024;
/// Between looks at the clock while nothing comes.
const LOOK: Duration = Duration::from_millis(20);
/// Between signs of life on connections; a gateway wants one every 45 s.
const ALIVE_NS: u64 = 30_000_000_000;
/// Latencies up to ten minutes, to three digits.
const LONGEST_US: u64 = 600_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// To its sender: it is done.
    Acknowledged,
    /// The other side has it.
    Received,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) pair: usize,
    pub(crate) index: u32,
    pub(crate) what: What,
}

/// How pairs speak with a server. Times are nanoseconds since the crowd's beginning; errors are sentences that end
/// the run.
pub(crate) trait Tongue: Send + 'static {
    /// The connection that a pair's messages go out by.
    fn mouth(&self, pair: usize) -> usize;
    /// The first bytes of a connection.
    fn greet(&mut self, conn: usize, out: &mut Vec<u8>);
    /// Works off all whole frames at the beginning of `bytes` and returns how many bytes they were. `out` goes to the
    /// same connection.
    fn hear(
        &mut self,
        conn: usize,
        bytes: &[u8],
        now: u64,
        out: &mut Vec<u8>,
        heard: &mut Vec<Heard>,
    ) -> Result<usize, String>;
    /// Appends message `index` of a pair.
    fn say(&mut self, pair: usize, index: u32, out: &mut Vec<u8>);
    /// Says that a connection is still there.
    fn keep_alive(&mut self, _conn: usize, _out: &mut Vec<u8>) {}
    /// Connections that are fully there, for pacing the arrival of the others.
    fn arrived(&self) -> usize;
}

/// What a stretch of time gave.
#[derive(Debug, Clone)]
pub(crate) struct Round {
    /// Acknowledged and received.
    pub(crate) messages: u64,
    pub(crate) seconds: f64,
    /// From when a message was due (closed loop: said) to the other side, µs.
    pub(crate) latency: Histogram<u64>,
    pub(crate) shares: Shares,
    /// Share of the time in which the generator had nothing to do and waited for the server.
    pub(crate) waited: f64,
}

impl Round {
    pub(crate) fn rate(&self) -> f64 {
        self.messages as f64 / self.seconds.max(0.001)
    }

    /// CPU of the server a message, µs.
    pub(crate) fn server_us(&self) -> Option<f64> {
        (self.messages > 0).then(|| Some(self.shares.server? * self.seconds * 1e6 / self.messages as f64))?
    }

    /// CPU of the generator a message, µs.
    pub(crate) fn generator_us(&self) -> f64 {
        self.shares.generator * self.seconds * 1e6 / self.messages.max(1) as f64
    }

    /// Whether the generator, not the server, set the pace: its one thread had hardly a moment to wait in.
    pub(crate) fn generator_bound(&self) -> bool {
        self.waited < 0.05 || self.shares.generator > 0.95
    }

    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// When messages are said.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Loop {
    /// One in flight a pair: the next follows when the last was acknowledged and received.
    Closed,
    /// So many a second over all pairs, each when it is due.
    Open(f64),
}

enum Mode {
    /// Nobody says anything new.
    Still,
    /// The next message of a pair follows when its last is through.
    Closed,
    Open(Arrivals),
}

pub(crate) struct Crowd<T: Tongue> {
    pub(crate) tongue: T,
    address: SocketAddr,
    /// The server's process, for its CPU time.
    server: Option<u32>,
    poll: Poll,
    conns: Vec<Conn>,
    pairs: Vec<Pair>,
    mode: Mode,
    buffer: Vec<u8>,
    heard: Vec<Heard>,
    begin: Instant,
    alive_at: u64,
    measuring: bool,
    latency: Histogram<u64>,
    /// Messages that were acknowledged and received, ever.
    through: u64,
    waited: Duration,
    patience: Duration,
}

fn histogram() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, LONGEST_US, 3).map_err(|error| error.to_string())
}

impl<T: Tongue> Crowd<T> {
    pub(crate) fn new(
        tongue: T,
        address: SocketAddr,
        server: Option<u32>,
        pairs: usize,
        patience: Duration,
    ) -> Result<Self, String> {
        Ok(Self {
            tongue,
            address,
            server,
            poll: Poll::new().map_err(|error| format!("no epoll: {error}"))?,
            conns: Vec::new(),
            pairs: (0..pairs).map(|_| Pair::default()).collect(),
            mode: Mode::Still,
            buffer: vec![0; READ_BYTES],
            heard: Vec::new(),
            begin: Instant::now(),
            alive_at: ALIVE_NS,
            measuring: false,
            latency: histogram()?,
            through: 0,
            waited: Duration::ZERO,
            patience,
        })
    }

    fn now(&self) -> u64 {
        self.begin.elapsed().as_nanos() as u64
    }

    /// Messages of a pair so far.
    pub(crate) fn said(&self, pair: usize) -> u32 {
        self.pairs[pair].said()
    }

    /// Connects until there are so many connections, and waits until all have arrived.
    pub(crate) fn connect(&mut self, all: usize) -> Result<(), String> {
        let mut progress = (0, Instant::now());
        loop {
            let arrived = self.tongue.arrived();
            if arrived >= all {
                return Ok(());
            }
            if arrived > progress.0 {
                progress = (arrived, Instant::now());
            } else if progress.1.elapsed() > self.patience {
                return Err(format!("{arrived} of {all} connections came, then no more"));
            }
            while self.conns.len() < all && self.conns.len() < arrived + AT_ONCE {
                let token = self.conns.len();
                let conn = Conn::begin(&self.poll, self.address, token as u32, token)
                    .map_err(|error| format!("connecting to {}: {error}", self.address))?;
                self.conns.push(conn);
                self.tongue.greet(token, &mut self.conns[token].out);
            }
            self.turn(LOOK)?;
        }
    }

    /// Says something out of turn on a connection.
    pub(crate) fn speak(&mut self, conn: usize, say: impl FnOnce(&mut T, &mut Vec<u8>)) -> Result<(), String> {
        say(&mut self.tongue, &mut self.conns[conn].out);
        self.flush(conn, false)
    }

    /// Listens until something is so.
    pub(crate) fn until(&mut self, what: &str, mut done: impl FnMut(&T) -> bool) -> Result<(), String> {
        let begin = Instant::now();
        while !done(&self.tongue) {
            if begin.elapsed() > self.patience {
                return Err(format!("waited {} s for {what}", self.patience.as_secs()));
            }
            self.turn(LOOK)?;
        }
        Ok(())
    }

    /// Listens for a while and says nothing but signs of life.
    pub(crate) fn rest(&mut self, time: Duration) -> Result<(), String> {
        self.pass(time)
    }

    /// A round of one of the two loops: messages flow for `warm_up`, are measured, and settle.
    pub(crate) fn play(&mut self, which: Loop, warm_up: Duration, measured: Duration) -> Result<Round, String> {
        match which {
            Loop::Closed => {
                self.mode = Mode::Closed;
                let now = self.now();
                for pair in 0..self.pairs.len() {
                    self.say(pair, now)?;
                    self.flush(self.tongue.mouth(pair), false)?;
                }
            }
            Loop::Open(rate) => self.mode = Mode::Open(Arrivals::new(self.now(), rate, self.pairs.len())),
        }
        self.round(warm_up, measured)
    }

    /// Open loop for as long as others do something: `phase` says what they do, and each phase up to `last` gets the
    /// times of what was received in it. What is late at the end of the last belongs to it.
    pub(crate) fn watch(&mut self, rate: f64, phase: &AtomicUsize, last: usize) -> Result<Vec<Histogram<u64>>, String> {
        self.mode = Mode::Open(Arrivals::new(self.now(), rate, self.pairs.len()));
        self.measuring = true;
        self.latency.reset();
        let (mut current, mut phases) = (phase.load(Ordering::Relaxed), Vec::new());
        while current <= last {
            self.turn(LOOK)?;
            let now = phase.load(Ordering::Relaxed);
            if now > current {
                if now > last {
                    self.mode = Mode::Still;
                    self.settle()?;
                }
                phases.push(self.latency.clone());
                self.latency.reset();
                current = now;
            }
        }
        self.measuring = false;
        Ok(phases)
    }

    fn round(&mut self, warm_up: Duration, measured: Duration) -> Result<Round, String> {
        self.pass(warm_up)?;
        self.latency.reset();
        self.measuring = true;
        let (through, waited, begin) = (self.through, self.waited, Instant::now());
        let meter = Meter::start(self.server);
        self.pass(measured)?;
        let (shares, seconds) = (meter.read(), begin.elapsed().as_secs_f64());
        self.measuring = false;
        let round = Round {
            messages: self.through - through,
            seconds,
            latency: self.latency.clone(),
            shares,
            waited: (self.waited - waited).as_secs_f64() / seconds.max(0.001),
        };
        self.mode = Mode::Still;
        self.settle()?;
        Ok(round)
    }

    fn pass(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        let mut progress = (self.through, Instant::now());
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            self.turn(left.min(LOOK))?;
            if self.through > progress.0 || matches!(self.mode, Mode::Still) {
                progress = (self.through, Instant::now());
            } else if progress.1.elapsed() > self.patience {
                return Err(self.standstill());
            }
        }
        Ok(())
    }

    /// Waits until every message is through.
    fn settle(&mut self) -> Result<(), String> {
        let mut progress = (self.through, Instant::now());
        while !self.pairs.iter().all(Pair::is_through) {
            self.turn(LOOK)?;
            if self.through > progress.0 {
                progress = (self.through, Instant::now());
            } else if progress.1.elapsed() > self.patience {
                return Err(self.standstill());
            }
        }
        Ok(())
    }

    fn standstill(&self) -> String {
        let waiting: Vec<usize> = (0..self.pairs.len()).filter(|&pair| !self.pairs[pair].is_through()).collect();
        let first = waiting.first().map(|&pair| format!("pair {pair}: {:?}", self.pairs[pair])).unwrap_or_default();
        format!("nothing moved for {} s; {} pairs wait ({first})", self.patience.as_secs(), waiting.len())
    }

    /// One wait, and all that is to do then.
    fn turn(&mut self, longest: Duration) -> Result<(), String> {
        let longest = self.say_what_is_due(longest)?;
        let before = Instant::now();
        let ready = self.poll.wait(Some(longest)).map_err(|error| format!("waiting for sockets: {error}"))?;
        self.waited += before.elapsed();
        for index in 0..ready {
            let ready = self.poll.ready(index);
            if ready.writable {
                self.flush(ready.token, true)?;
            }
            if ready.readable {
                self.read(ready.token)?;
            }
        }
        let now = self.now();
        if now >= self.alive_at {
            self.alive_at = now + ALIVE_NS;
            for conn in 0..self.conns.len() {
                self.tongue.keep_alive(conn, &mut self.conns[conn].out);
                self.flush(conn, false)?;
            }
        }
        Ok(())
    }

    /// Open loop: says all that is due; how long may be waited until the next is.
    fn say_what_is_due(&mut self, longest: Duration) -> Result<Duration, String> {
        let now = self.now();
        loop {
            let Mode::Open(arrivals) = &mut self.mode else { return Ok(longest) };
            let Some((due, pair)) = arrivals.take(now) else {
                return Ok(longest.min(Duration::from_nanos(arrivals.next_at().saturating_sub(now))));
            };
            self.say(pair, due)?;
            self.flush(self.tongue.mouth(pair), false)?;
        }
    }

    fn say(&mut self, pair: usize, due: u64) -> Result<(), String> {
        let index = self.pairs[pair].say(due);
        let mouth = self.tongue.mouth(pair);
        self.tongue.say(pair, index, &mut self.conns[mouth].out);
        Ok(())
    }

    fn read(&mut self, token: usize) -> Result<(), String> {
        let now = self.now();
        let (tongue, heard) = (&mut self.tongue, &mut self.heard);
        let there = self.conns[token]
            .read(&mut self.buffer, |bytes, out| tongue.hear(token, bytes, now, out, heard))
            .map_err(|why| format!("connection {token}: {why}"))?;
        if !there {
            return Err(format!("connection {token} was closed by the server"));
        }
        let mut heard = std::mem::take(&mut self.heard);
        for it in heard.drain(..) {
            self.note(it, now).map_err(|why| format!("pair {}: {why}", it.pair))?;
        }
        self.heard = heard;
        self.flush(token, false)
    }

    fn note(&mut self, heard: Heard, now: u64) -> Result<(), String> {
        let pair = &mut self.pairs[heard.pair];
        let through = match heard.what {
            What::Acknowledged => pair.acknowledge(heard.index)?,
            What::Received => {
                let (due, through) = pair.receive(heard.index)?;
                if self.measuring {
                    self.latency.saturating_record(now.saturating_sub(due) / 1_000);
                }
                through
            }
        };
        if through {
            self.through += 1;
            if matches!(self.mode, Mode::Closed) {
                self.say(heard.pair, now)?;
                self.flush(self.tongue.mouth(heard.pair), false)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, conn: usize, ready: bool) -> Result<(), String> {
        self.conns[conn]
            .flush(&self.poll, ready)
            .map_err(|error| format!("connection {conn} cannot be written to: {error}"))
    }
}
