//! Enough of CQL's binary protocol (version 4) to ask a node one question.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

const STARTUP: u8 = 1;
const READY: u8 = 2;
const QUERY: u8 = 7;
const RESULT: u8 = 8;

const ONE: u16 = 1;
const ALL: u16 = 5;

/// A node that is starting may take a connection and say nothing.
const PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);

/// A frame's body is at most this long here; the questions below have answers of a few hundred bytes.
const LONGEST: usize = 1 << 20;

/// One node: answers. Several: each sees all the others alive, which a read of a table with three copies at consistency
/// ALL through every node shows.
pub(super) fn wait_for(contacts: &[&str], limit: Duration) -> std::result::Result<(), String> {
    let deadline = Instant::now() + limit;
    for contact in contacts {
        loop {
            let asked = if contacts.len() == 1 {
                ask(contact, ONE, "SELECT cluster_name FROM system.local")
            } else {
                ask(contact, ALL, "SELECT keyspace_name FROM system_distributed.view_build_status LIMIT 1")
            };
            match asked {
                Ok(()) => break,
                Err(error) if Instant::now() > deadline => {
                    return Err(format!("Cassandra: {contact} did not answer within {} s: {error}.", limit.as_secs()));
                }
                Err(_) => thread::sleep(PAUSE),
            }
        }
    }
    Ok(())
}

fn ask(contact: &str, consistency: u16, query: &str) -> Result<()> {
    let address: SocketAddr = contact.parse().map_err(|_| Error::other(format!("{contact} is no address")))?;
    let mut node = TcpStream::connect_timeout(&address, PATIENCE)?;
    node.set_read_timeout(Some(PATIENCE))?;
    node.set_write_timeout(Some(PATIENCE))?;
    node.write_all(&frame(STARTUP, &startup()))?;
    expect(&mut node, READY)?;
    node.write_all(&frame(QUERY, &question(consistency, query)))?;
    expect(&mut node, RESULT)
}

/// Version 4, no flags, stream 1.
fn frame(opcode: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![4, 0, 0, 1, opcode];
    frame.extend(u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
    frame.extend(body);
    frame
}

/// A map of one pair.
fn startup() -> Vec<u8> {
    let mut body = vec![0, 1];
    for text in ["CQL_VERSION", "3.0.0"] {
        body.extend(u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        body.extend(text.as_bytes());
    }
    body
}

fn question(consistency: u16, query: &str) -> Vec<u8> {
    let mut body = u32::try_from(query.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    body.extend(query.as_bytes());
    body.extend(consistency.to_be_bytes());
    // No flags.
    body.push(0);
    body
}

fn expect(node: &mut impl Read, opcode: u8) -> Result<()> {
    let mut head = [0; 9];
    node.read_exact(&mut head)?;
    let length = usize::try_from(u32::from_be_bytes([head[5], head[6], head[7], head[8]])).unwrap_or(usize::MAX);
    if length > LONGEST {
        return Err(Error::new(ErrorKind::InvalidData, "its answer is no CQL"));
    }
    let mut body = vec![0; length];
    node.read_exact(&mut body)?;
    if head[4] == opcode {
        return Ok(());
    }
    // An error: a code of 4 bytes, then a sentence behind its length.
    let sentence = String::from_utf8_lossy(body.get(6..).unwrap_or_default()).into_owned();
    Err(Error::other(if sentence.is_empty() { "its answer is no CQL".to_owned() } else { sentence }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_laid_out_as_version_4_says() {
        let bytes = frame(QUERY, &question(ONE, "SELECT"));
        assert_eq!(bytes, [&[4, 0, 0, 1, 7, 0, 0, 0, 13, 0, 0, 0, 6][..], b"SELECT", &[0, 1, 0]].concat());
    }

    #[test]
    fn an_answer_of_another_kind_is_an_error_with_its_sentence() {
        let mut good: &[u8] = &[0x84, 0, 0, 1, RESULT, 0, 0, 0, 0];
        assert!(expect(&mut good, RESULT).is_ok());
        let bad = [&[0x84, 0, 0, 1, 0, 0, 0, 0, 8, 0, 0, 0x10, 0, 0, 2][..], b"no"].concat();
        assert_eq!(expect(&mut &bad[..], RESULT).unwrap_err().to_string(), "no");
        let mut cut: &[u8] = &[0x84, 0];
        assert!(expect(&mut cut, RESULT).is_err());
    }
}
