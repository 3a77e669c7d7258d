//! One pair's count of its messages: each is acknowledged once and received once, in the order in which it was said.

use std::collections::VecDeque;

/// Times are nanoseconds since the crowd's beginning.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    said: u32,
    acked: u32,
    received: u32,
    /// When those were due that were not received yet.
    due: VecDeque<u64>,
}

impl Pair {
    /// The next message's number, counted from 0; it was due at `due`.
    pub(crate) fn say(&mut self, due: u64) -> u32 {
        self.due.push_back(due);
        self.said += 1;
        self.said - 1
    }

    /// An acknowledgement of message `index`. True if the message is through by it.
    pub(crate) fn acknowledge(&mut self, index: u32) -> Result<bool, String> {
        if index != self.acked || index >= self.said {
            return Err(format!("message {index} was acknowledged where {} should be", self.acked));
        }
        self.acked += 1;
        Ok(self.acked <= self.received)
    }

    /// Message `index` has come to the other side: when it was due, and whether it is through by it.
    pub(crate) fn receive(&mut self, index: u32) -> Result<(u64, bool), String> {
        match self.due.front() {
            Some(&due) if index == self.received => {
                self.due.pop_front();
                self.received += 1;
                Ok((due, self.received <= self.acked))
            }
            _ => Err(format!("message {index} was received where {} should be", self.received)),
        }
    }

    /// Nothing is under way.
    pub(crate) fn is_through(&self) -> bool {
        self.acked == self.said && self.received == self.said
    }

    /// Messages said so far.
    pub(crate) fn said(&self) -> u32 {
        self.said
    }
}

#[cfg(test)]
mod tests {
    use super::Pair;

    #[test]
    fn a_message_is_through_when_it_is_acknowledged_and_received_whichever_comes_first() {
        let mut pair = Pair::default();
        assert_eq!((pair.say(10), pair.say(20)), (0, 1));
        assert_eq!(pair.acknowledge(0), Ok(false));
        assert_eq!(pair.receive(0), Ok((10, true)));
        assert!(!pair.is_through());
        assert_eq!(pair.receive(1), Ok((20, false)));
        assert_eq!(pair.acknowledge(1), Ok(true));
        assert!(pair.is_through());
    }

    #[test]
    fn what_comes_twice_or_out_of_order_or_was_never_said_is_an_error() {
        let mut pair = Pair::default();
        assert!(pair.acknowledge(0).is_err() && pair.receive(0).is_err());
        pair.say(1);
        pair.say(2);
        assert!(pair.acknowledge(1).is_err() && pair.receive(1).is_err());
        pair.acknowledge(0).unwrap();
        pair.receive(0).unwrap();
        assert!(pair.acknowledge(0).is_err() && pair.receive(0).is_err());
    }
}
