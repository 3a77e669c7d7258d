//! One connection of a crowd: bytes that came and are no whole frame yet, and bytes that are to be written.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    sync::Arc,
};

use socket2::{Domain, Protocol, Socket, Type};

use super::epoll::Poll;
use crate::client::source;

pub(crate) struct Conn {
    stream: Arc<TcpStream>,
    token: usize,
    kept: Vec<u8>,
    pub(crate) out: Vec<u8>,
    /// Bytes of `out` that are written.
    gone: usize,
    /// The kernel is asked to tell when there is room again.
    waits_for_room: bool,
}

impl Conn {
    /// Begins to connect and does not wait for it: the first [`Conn::flush`] goes when the connection stands. `number`
    /// picks the source address.
    pub(crate) fn begin(poll: &Poll, to: SocketAddr, number: u32, token: usize) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if to.is_ipv4() && to.ip().is_loopback() {
            socket.bind(&SocketAddr::from((source(number), 0)).into())?;
        }
        match socket.connect(&to.into()) {
            // EINPROGRESS has no kind of its own in std.
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(error);
            }
            _ => {}
        }
        let stream = TcpStream::from(socket);
        poll.add(&stream, token, true)?;
        Ok(Self { stream: Arc::new(stream), token, kept: Vec::new(), out: Vec::new(), gone: 0, waits_for_room: true })
    }

    /// A connection that a listening socket gave.
    pub(crate) fn taken(poll: &Poll, stream: TcpStream, token: usize) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poll.add(&stream, token, false)?;
        Ok(Self { stream: Arc::new(stream), token, kept: Vec::new(), out: Vec::new(), gone: 0, waits_for_room: false })
    }

    /// For whoever writes to it from elsewhere.
    pub(crate) fn stream(&self) -> Arc<TcpStream> {
        Arc::clone(&self.stream)
    }

    /// Reads once into `buffer`, hands all bytes that are there to `hear`, which says how many of them were whole
    /// frames, and keeps the rest. False at the end of the connection.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        mut hear: impl FnMut(&[u8], &mut Vec<u8>) -> Result<usize, String>,
    ) -> Result<bool, String> {
        let length = match (&*self.stream).read(buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => return Ok(true),
            Err(_) => return Ok(false),
        };
        if self.kept.is_empty() {
            let used = hear(&buffer[..length], &mut self.out)?;
            self.kept.extend_from_slice(&buffer[used..length]);
        } else {
            self.kept.extend_from_slice(&buffer[..length]);
            let used = hear(&self.kept, &mut self.out)?;
            self.kept.drain(..used);
        }
        Ok(true)
    }

    /// Writes what there is. `ready`: the kernel said that there is room (or that the connection stands now).
    pub(crate) fn flush(&mut self, poll: &Poll, ready: bool) -> io::Result<()> {
        if self.waits_for_room && !ready {
            return Ok(());
        }
        while self.gone < self.out.len() {
            match (&*self.stream).write(&self.out[self.gone..]) {
                Ok(length) => self.gone += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return self.wait_for_room(poll, true),
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.gone = 0;
        self.wait_for_room(poll, false)
    }

    fn wait_for_room(&mut self, poll: &Poll, wait: bool) -> io::Result<()> {
        if self.waits_for_room != wait {
            poll.change(&*self.stream, self.token, wait)?;
            self.waits_for_room = wait;
        }
        Ok(())
    }
}
