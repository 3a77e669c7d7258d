//! The part that all bare routers share: one thread that takes connections, tells messages apart and knows who belongs
//! to whom. What happens to a message is a [`Route`]'s business.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use socket2::{Domain, Socket, Type};

use super::framing::{Framing, JOIN_BYTES};
use crate::fast::{Conn, Poll};

/// Connections that may wait in the kernel to be taken.
const BACKLOG: i32 = 4_096;
/// One read takes this much.
const READ_BYTES: usize = 64 * 1024;
/// Token of the listening socket.
const LISTENER: usize = usize::MAX;

/// The two ends of a message.
pub(crate) struct Ends<'a> {
    pub(crate) visitor: &'a Arc<TcpStream>,
    pub(crate) agent: &'a Arc<TcpStream>,
}

/// What a router does with messages.
pub(crate) trait Route {
    /// A message of a visitor. `back` goes to them now, `on` to their agent.
    fn message(&mut self, ends: &Ends<'_>, payload: &[u8], back: &mut Vec<u8>, on: &mut Vec<u8>);
    /// All that one wait told of is worked off.
    fn pause(&mut self);
}

struct Peer {
    conn: Conn,
    pair: usize,
    agent: bool,
    upgrading: bool,
}

/// Tokens of a pair's two connections.
#[derive(Clone, Copy, Default)]
struct Pair {
    visitor: Option<usize>,
    agent: Option<usize>,
}

pub(crate) struct Switch {
    framing: Framing,
    listener: TcpListener,
    poll: Poll,
    peers: Vec<Option<Peer>>,
    free: Vec<usize>,
    pairs: Vec<Pair>,
    buffer: Vec<u8>,
    scratch: Vec<u8>,
    on: Vec<u8>,
}

impl Switch {
    /// Listens on a free port of 127.0.0.1.
    pub(crate) fn listen(framing: Framing) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let (listener, poll) = (TcpListener::from(socket), Poll::new()?);
        poll.add(&listener, LISTENER, false)?;
        Ok(Self {
            framing,
            listener,
            poll,
            peers: Vec::new(),
            free: Vec::new(),
            pairs: Vec::new(),
            buffer: vec![0; READ_BYTES],
            scratch: Vec::new(),
            on: Vec::new(),
        })
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Routes until something fails.
    pub(crate) fn run(&mut self, route: &mut impl Route) -> Result<(), String> {
        loop {
            let ready = self.poll.wait(None).map_err(|error| error.to_string())?;
            for index in 0..ready {
                let ready = self.poll.ready(index);
                if ready.token == LISTENER {
                    self.accept()?;
                    continue;
                }
                if ready.writable {
                    self.flush(ready.token, true);
                }
                if ready.readable && !self.read(ready.token, route)? {
                    self.close(ready.token);
                }
            }
            route.pause();
        }
    }

    fn accept(&mut self) -> Result<(), String> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(format!("accepting: {error}")),
            };
            let token = self.free.pop().unwrap_or_else(|| {
                self.peers.push(None);
                self.peers.len() - 1
            });
            let conn = Conn::taken(&self.poll, stream, token).map_err(|error| error.to_string())?;
            let upgrading = self.framing == Framing::WebSocket;
            self.peers[token] = Some(Peer { conn, pair: 0, agent: false, upgrading });
        }
    }

    /// False at the end of the connection.
    fn read(&mut self, token: usize, route: &mut impl Route) -> Result<bool, String> {
        let Some(mut peer) = self.peers[token].take() else { return Ok(true) };
        let partner = self.pairs.get(peer.pair).and_then(|pair| pair.agent).filter(|&it| it != token);
        let agent = partner.and_then(|it| Some(self.peers[it].as_ref()?.conn.stream()));
        let visitor = peer.conn.stream();
        let (framing, scratch, on) = (self.framing, &mut self.scratch, &mut self.on);
        let (upgrading, mut joined) = (&mut peer.upgrading, None);
        let there = peer.conn.read(&mut self.buffer, |bytes, back| {
            let mut used = 0;
            if *upgrading {
                let Some(end) = bytes.windows(4).position(|it| it == b"\r\n\r\n") else { return Ok(0) };
                used = end + 4;
                *upgrading = false;
                // Both ends are this program: nobody looks at the key's digest, so none is made.
                back.extend_from_slice(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                );
            }
            while let Some((payload, length)) = framing.first(&bytes[used..], scratch)? {
                used += length;
                match (&agent, payload.first_chunk::<4>()) {
                    (_, Some(pair)) if payload.len() == JOIN_BYTES => {
                        joined = Some((u32::from_le_bytes(*pair) as usize, payload[4] == 1));
                        framing.answer(back, payload);
                    }
                    (Some(agent), _) => {
                        route.message(&Ends { visitor: &visitor, agent }, payload, back, on);
                    }
                    (None, _) => return Err("words for an agent who is not there".into()),
                }
            }
            Ok(used)
        })?;
        if let Some((pair, agent)) = joined {
            (peer.pair, peer.agent) = (pair, agent);
            if self.pairs.len() <= pair {
                self.pairs.resize(pair + 1, Pair::default());
            }
            let seat = &mut self.pairs[pair];
            *(if agent { &mut seat.agent } else { &mut seat.visitor }) = Some(token);
        }
        self.peers[token] = Some(peer);
        self.flush(token, false);
        if !self.on.is_empty()
            && let Some(partner) = partner
        {
            if let Some(peer) = &mut self.peers[partner] {
                peer.conn.out.extend_from_slice(&self.on);
            }
            self.on.clear();
            self.flush(partner, false);
        }
        Ok(there)
    }

    /// A connection that cannot be written to is closed when its end is read.
    fn flush(&mut self, token: usize, ready: bool) {
        if let Some(peer) = &mut self.peers[token] {
            drop(peer.conn.flush(&self.poll, ready));
        }
    }

    fn close(&mut self, token: usize) {
        if let Some(peer) = self.peers[token].take()
            && let Some(pair) = self.pairs.get_mut(peer.pair)
        {
            let seat = if peer.agent { &mut pair.agent } else { &mut pair.visitor };
            if *seat == Some(token) {
                *seat = None;
            }
        }
        self.free.push(token);
    }
}
