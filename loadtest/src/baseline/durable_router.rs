//! The least that a durable router can do: the socket thread gathers what comes, a commit thread writes what was
//! gathered, syncs it (fdatasync), and only then acknowledges and hands on. While it syncs, the next batch gathers.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Write},
    net::TcpStream,
    path::Path,
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use super::{
    framing::{ACK_BYTES, Framing},
    switch::{Ends, Route},
};
use crate::{fast::MESSAGE_BYTES, stage::lock};

/// Looks between writes to a reader whose socket is full. A closed loop never comes here.
const FULL: Duration = Duration::from_micros(50);

#[derive(Default)]
struct Batch {
    bytes: Vec<u8>,
    ends: Vec<(Arc<TcpStream>, Arc<TcpStream>)>,
}

impl Batch {
    fn append(&mut self, other: &mut Self) {
        self.bytes.append(&mut other.bytes);
        self.ends.append(&mut other.ends);
    }
}

#[derive(Default)]
struct Gathered {
    batch: Mutex<Batch>,
    there: Condvar,
}

/// What the socket thread gathers in one round, before it takes the lock.
pub(crate) struct Durable {
    own: Batch,
    gathered: Arc<Gathered>,
}

impl Durable {
    /// Starts the commit thread on a new file.
    pub(crate) fn start(framing: Framing, path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .open(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        let gathered = Arc::new(Gathered::default());
        let taken = Arc::clone(&gathered);
        std::thread::Builder::new()
            .name("commit".into())
            .spawn(move || {
                if let Err(error) = commit(&taken, file, framing) {
                    eprintln!("The bare durable router cannot go on: {error}.");
                    std::process::exit(1);
                }
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { own: Batch::default(), gathered })
    }
}

impl Route for Durable {
    fn message(&mut self, ends: &Ends<'_>, payload: &[u8], _: &mut Vec<u8>, _: &mut Vec<u8>) {
        self.own.bytes.extend_from_slice(payload);
        self.own.ends.push((Arc::clone(ends.visitor), Arc::clone(ends.agent)));
    }

    fn pause(&mut self) {
        if !self.own.ends.is_empty() {
            lock(&self.gathered.batch).append(&mut self.own);
            self.gathered.there.notify_one();
        }
    }
}

fn commit(gathered: &Gathered, mut file: File, framing: Framing) -> std::io::Result<()> {
    let (mut batch, mut out) = (Batch::default(), Vec::new());
    loop {
        {
            let mut waiting = lock(&gathered.batch);
            while waiting.ends.is_empty() {
                waiting = gathered.there.wait(waiting).unwrap_or_else(std::sync::PoisonError::into_inner);
            }
            std::mem::swap(&mut *waiting, &mut batch);
        }
        file.write_all(&batch.bytes)?;
        file.sync_data()?;
        for (message, (visitor, agent)) in batch.bytes.chunks_exact(MESSAGE_BYTES).zip(&batch.ends) {
            out.clear();
            framing.answer(&mut out, &message[..ACK_BYTES]);
            write(visitor, &out)?;
            out.clear();
            framing.answer(&mut out, message);
            write(agent, &out)?;
        }
        batch.bytes.clear();
        batch.ends.clear();
    }
}

/// Whoever has gone is no concern of the others.
fn write(mut socket: &TcpStream, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(FULL),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
