//! A session over a real socket that comes back by itself: connects, says hello, plays a [`Role`], and after any loss
//! tries again with backoff and full jitter. What survives a connection is in [`Link`]; here is only the socket.

use std::{
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bellhop_protocol::{Bye, CloseCode};
use futures_util::{Sink, Stream};
use socket2::SockRef;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::mpsc::UnboundedReceiver,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{
        Error, Message,
        client::IntoClientRequest,
        http::{HeaderValue, header::ORIGIN},
        protocol::{WebSocketConfig, frame::coding::CloseCode as WireClose},
    },
};

use crate::{
    dice::{Dice, Ids},
    link::{Heard, Link, Parting, Role},
    valve::Tap,
};

/// Connecting and the upgrade; the server's own limit for a handshake is 5 s (SECURITY.md).
const CONNECT: Duration = Duration::from_secs(10);
/// Receive buffer and segment size of a reader behind a valve. A segment on loopback is 64 KiB and the kernel's send
/// buffer ten of them, twice: 2.6 MB would lie in the kernel before the server's queue grows. With the segments of an
/// Ethernet it is 46 KB, as it is for a visitor far away.
const VALVE_BUFFER: u32 = 4 * 1024;
const VALVE_SEGMENT: u32 = 1_460;

/// Where and how sessions connect.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) address: SocketAddr,
    /// `http://host:port`, said as the page's origin.
    pub(crate) origin: String,
    /// Connections lost, over all sessions.
    pub(crate) losses: Arc<AtomicU64>,
}

/// What one session costs the generator and how finely it keeps time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// Allocated per connection by the WebSocket library, bytes.
    pub(crate) read_buffer: usize,
    /// Time between looks at repeats and heartbeats.
    pub(crate) tick: Duration,
    pub(crate) backoff: Backoff,
}

/// The pause before attempt n is a random part of `first · 2ⁿ`, at most of `longest`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) longest: Duration,
}

/// What PROTOCOL.md asks of a client ("Coming back").
pub(crate) const PROTOCOL: Backoff = Backoff { first: Duration::from_millis(500), longest: Duration::from_secs(30) };
/// Shorter than a person's client, so that a kill costs the run little.
const QUICK: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(2) };

/// A visitor: short frames, one conversation.
pub(crate) const VISITOR: Manner = Manner { read_buffer: 4 * 1024, tick: Duration::from_millis(500), backoff: QUICK };
/// An agent: hundreds of conversations and lists on one connection.
pub(crate) const AGENT: Manner = Manner { read_buffer: 128 * 1024, tick: Duration::from_millis(500), backoff: QUICK };
/// A visitor of whom there are 18,000 and who says nothing.
pub(crate) const IDLE: Manner = Manner { read_buffer: 512, tick: Duration::from_secs(5), backoff: QUICK };

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The role left, everything answered.
    Left,
    /// It must not or cannot come back; a sentence.
    Stopped(String),
}

/// Why a connection ended.
enum Lost {
    Left,
    /// Come back, not before this.
    Again(Duration),
    Stopped(String),
}

/// The address a session comes from. A Bellhop on loopback counts per address, and the kernel searches long for a
/// free port once thousands of connections leave from one: each visitor takes its own of 127.0.0.0/8.
pub(crate) fn source(number: u32) -> Ipv4Addr {
    // 127.1.0.1 and on, without the last octets 0 and 255, which look like a network's and a broadcast's.
    let (host, net) = (number % 254 + 1, number / 254);
    Ipv4Addr::new(127, 1 + ((net >> 8) % 254) as u8, (net & 255) as u8, host as u8)
}

/// A TCP connection from a source address, if the server is on loopback. `small`: the kernel keeps little of what is
/// not read, at both ends.
pub(crate) async fn connect(address: SocketAddr, from: Ipv4Addr, small: bool) -> std::io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if small {
        socket.set_recv_buffer_size(VALVE_BUFFER)?;
        SockRef::from(&socket).set_tcp_mss(VALVE_SEGMENT)?;
    }
    if let SocketAddr::V4(to) = address
        && to.ip().is_loopback()
    {
        socket.bind(SocketAddr::from((from, 0)))?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Plays a role until it leaves or cannot go on. `number` picks the source address.
pub(crate) async fn run<R: Role>(
    role: &mut R,
    mut orders: UnboundedReceiver<R::Order>,
    place: &Place,
    number: u32,
    manner: Manner,
) -> (Ended, Heard) {
    let (ids, mut dice) = match (Ids::new(), Dice::random()) {
        (Ok(ids), Ok(dice)) => (ids, dice),
        (Err(error), _) | (_, Err(error)) => return (Ended::Stopped(error), Heard::default()),
    };
    let mut link = Link::new(ids, std::time::Instant::now());
    let mut failures = 0u32;
    loop {
        let lost = match attempt(role, place, number, manner).await {
            Ok((mut socket, hello)) => {
                link.begin(hello);
                let frames = link.heard().frames;
                let lost = Play { role, link: &mut link, orders: &mut orders, socket: &mut socket }.run(manner).await;
                link.lost();
                if link.heard().frames > frames {
                    failures = 0;
                }
                lost
            }
            Err(refused) => {
                role.parted(refused);
                Lost::Again(Duration::ZERO)
            }
        };
        let at_least = match lost {
            Lost::Left => return (Ended::Left, link.heard()),
            Lost::Stopped(why) => return (Ended::Stopped(why), link.heard()),
            Lost::Again(at_least) => at_least,
        };
        place.losses.fetch_add(1, Ordering::Relaxed);
        // Full jitter: a share of the whole pause, so that those who fell together do not come back together.
        let bound = manner.backoff.bound(failures);
        failures += 1;
        sleep(at_least + Duration::from_millis(dice.below(bound.as_millis() as u64) + 1)).await;
    }
}

impl Backoff {
    /// Longest pause after so many failed attempts.
    fn bound(self, failures: u32) -> Duration {
        self.first.saturating_mul(1 << failures.min(10)).min(self.longest)
    }
}

type Socket = WebSocketStream<Tap>;

async fn attempt<R: Role>(
    role: &mut R,
    place: &Place,
    number: u32,
    manner: Manner,
) -> Result<(Socket, bellhop_protocol::Hello), Parting> {
    let hello = role.hello().await.map_err(|_| Parting::Unreachable)?;
    let valve = role.valve();
    let connecting = async {
        let stream = connect(place.address, source(number), valve.is_some()).await.map_err(|_| Parting::Unreachable)?;
        let request = format!("ws://{}/ws", place.address).into_client_request();
        let (Ok(mut request), Ok(origin)) = (request, HeaderValue::from_str(&place.origin)) else {
            return Err(Parting::Unreachable);
        };
        request.headers_mut().insert(ORIGIN, origin);
        let config = WebSocketConfig::default().read_buffer_size(manner.read_buffer);
        match client_async_with_config(request, Tap::new(stream, valve), Some(config)).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(answer)) => Err(Parting::Refused(answer.status().as_u16())),
            Err(_) => Err(Parting::Unreachable),
        }
    };
    let socket = timeout(CONNECT, connecting).await.map_err(|_| Parting::Unreachable)??;
    Ok((socket, hello))
}

/// One connection being played.
struct Play<'a, R: Role> {
    role: &'a mut R,
    link: &'a mut Link,
    orders: &'a mut UnboundedReceiver<R::Order>,
    socket: &'a mut Socket,
}

impl<R: Role> Play<'_, R> {
    /// One future polled by hand instead of `select!` over several: each wake-up takes all orders and frames that are
    /// there, works them off, and writes all answers with one system call.
    async fn run(mut self, manner: Manner) -> Lost {
        let mut timer = pin!(sleep(manner.tick));
        poll_fn(|cx| self.poll(cx, timer.as_mut(), manner.tick)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>, timer: Pin<&mut Sleep>, tick: Duration) -> Poll<Lost> {
        self.link.set_now(std::time::Instant::now());
        loop {
            match self.orders.poll_recv(cx) {
                Poll::Ready(Some(order)) => self.role.order(self.link, order),
                Poll::Ready(None) => {
                    self.link.leave();
                    break;
                }
                Poll::Pending => break,
            }
        }
        loop {
            match Pin::new(&mut *self.socket).poll_next(cx) {
                Poll::Ready(Some(Ok(Message::Text(text)))) => match self.link.take(&text, self.role) {
                    Ok(None) => {}
                    Ok(Some(bye)) => {
                        self.role.parted(Parting::Bye { code: bye.code, retry_after_ms: bye.retry_after_ms });
                        return Poll::Ready(farewell(&bye));
                    }
                    Err(why) => return Poll::Ready(Lost::Stopped(why)),
                },
                Poll::Ready(Some(Ok(Message::Close(Some(frame))))) => {
                    self.role.parted(Parting::Closed(frame.code.into()));
                    return Poll::Ready(closed(frame.code, &frame.reason));
                }
                Poll::Ready(Some(Ok(Message::Close(None)) | Err(_)) | None) => {
                    self.role.parted(Parting::Broken);
                    return Poll::Ready(Lost::Again(Duration::ZERO));
                }
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Pending => break,
            }
        }
        self.keep_time(cx, timer, tick);
        if self.write(cx).is_err() {
            self.role.parted(Parting::Broken);
            return Poll::Ready(Lost::Again(Duration::ZERO));
        }
        if self.link.left() { Poll::Ready(Lost::Left) } else { Poll::Pending }
    }

    fn keep_time(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>, tick: Duration) {
        if let Some(at) = self.link.take_wake().map(Instant::from_std)
            && at < timer.deadline()
        {
            timer.as_mut().reset(at);
        }
        while timer.as_mut().poll(cx).is_ready() {
            self.link.set_now(std::time::Instant::now());
            self.link.tick();
            let regular = Instant::now() + tick;
            timer.as_mut().reset(self.link.take_wake().map_or(regular, |at| regular.min(Instant::from_std(at))));
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while self.link.has_out() {
            match Pin::new(&mut *self.socket).poll_ready(cx) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            if let Some(frame) = self.link.next_out() {
                Pin::new(&mut *self.socket).start_send(Message::Text(frame))?;
            }
        }
        match Pin::new(&mut *self.socket).poll_flush(cx) {
            Poll::Ready(done) => done,
            Poll::Pending => Ok(()),
        }
    }
}

fn farewell(bye: &Bye) -> Lost {
    // A visitor could come back without its token, but as somebody else: for a test that is a failure.
    let other = matches!(bye.code, CloseCode::TokenInvalid);
    if bye.reconnect && !other {
        Lost::Again(Duration::from_millis(bye.retry_after_ms.unwrap_or_default()))
    } else {
        Lost::Stopped(format!("the server closed a session with {}: {}", bye.code.number(), bye.message))
    }
}

fn closed(code: WireClose, reason: &str) -> Lost {
    let number = u16::from(code);
    match CloseCode::ALL.into_iter().find(|known| known.number() == number) {
        Some(known) if !known.reconnect() || known == CloseCode::TokenInvalid => {
            Lost::Stopped(format!("the server closed a session with {number}: {reason}"))
        }
        _ => Lost::Again(Duration::ZERO),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::Duration};

    use super::{PROTOCOL, source};

    #[test]
    fn pauses_grow_to_their_bound() {
        let bounds = [0, 1, 2, 5, 6, 60].map(|failures| PROTOCOL.bound(failures));
        assert_eq!(bounds, [500, 1_000, 2_000, 16_000, 30_000, 30_000].map(Duration::from_millis));
    }

    #[test]
    fn sessions_come_from_distinct_loopback_addresses() {
        let all: HashSet<_> = (0..200_000).map(source).collect();
        assert_eq!(all.len(), 200_000);
        assert!(all.iter().all(|it| it.is_loopback() && it.octets()[1] > 0 && it.octets()[3] % 255 != 0));
    }
}
