//! Readiness of many sockets by epoll(7), level-triggered: one thread waits for all of them.

use std::{io, mem::MaybeUninit, os::fd::AsFd, time::Duration};

use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
    io::Errno,
};

/// Sockets told of by one wait: enough that a thousand busy ones cost few waits, few enough that the first of them
/// does not wait long for its answer.
const AT_ONCE: usize = 512;

pub(crate) struct Poll {
    epoll: OwnedFd,
    ready: Vec<Ready>,
}

/// A socket that has something to read, or room again for what is to be written. A broken one has both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    pub(crate) token: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

fn interest(writing: bool) -> EventFlags {
    if writing { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN }
}

impl Poll {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, ready: Vec::with_capacity(AT_ONCE) })
    }

    /// Watches a socket until it is closed; `token` comes back in [`Ready`].
    pub(crate) fn add(&self, socket: impl AsFd, token: usize, writing: bool) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, socket, EventData::new_u64(token as u64), interest(writing))?)
    }

    /// Whether room for writing is told of as well.
    pub(crate) fn change(&self, socket: impl AsFd, token: usize, writing: bool) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, socket, EventData::new_u64(token as u64), interest(writing))?)
    }

    /// Waits until something is ready, `longest` at most (for ever without it); how many sockets are.
    pub(crate) fn wait(&mut self, longest: Option<Duration>) -> io::Result<usize> {
        self.ready.clear();
        let longest = longest.map(|it| Timespec {
            tv_sec: it.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: i64::from(it.subsec_nanos()),
        });
        let mut space = [const { MaybeUninit::<epoll::Event>::uninit() }; AT_ONCE];
        match epoll::wait(&self.epoll, &mut space, longest.as_ref()) {
            Ok((events, _)) => {
                self.ready.extend(events.iter().map(|event| Ready::of(event.flags, event.data.u64())));
                Ok(self.ready.len())
            }
            Err(Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// One of those that the last wait told of.
    pub(crate) fn ready(&self, index: usize) -> Ready {
        self.ready[index]
    }
}

impl Ready {
    fn of(flags: EventFlags, token: u64) -> Self {
        let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
        Self {
            token: token as usize,
            readable: broken || flags.contains(EventFlags::IN),
            writable: broken || flags.contains(EventFlags::OUT),
        }
    }
}
