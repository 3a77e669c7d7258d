//! Commands that were looked up in the log, kept for those that come next.
//!
//! Whoever lags behind (a connection that was away, a store that is slow) has every command looked for between what it
//! had seen and what the state remembers. A read of the log for each, one after the other, is slower than the commands
//! come, and once they are repeated for want of an answer it never ends: on three busy Cassandra nodes a conversation with
//! fifty messages a second fell a minute behind and stayed there. So the stretch is read once.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::domain::{CommandId, Remembered, Sender, Seq};

/// Commands kept at most, about 200 B each: four times what may wait in front of a conversation by default. What lies
/// further back is read anew.
pub(super) const SEARCHED_COMMANDS: usize = 4_096;

/// They are forgotten after this long, and read once more if somebody still lags: one read each time costs nothing, and
/// the memory is soon free.
pub(super) const FORGET_AFTER: Duration = Duration::from_secs(10);

/// Every command whose event lies above a floor, up to what is decided.
pub(super) struct Searched {
    floor: Seq,
    in_order: VecDeque<Remembered>,
    by_id: HashMap<(Sender, CommandId), Remembered>,
}

impl Searched {
    /// None known yet, but that none lies above `floor`.
    pub(super) fn above(floor: Seq) -> Self {
        Self { floor, in_order: VecDeque::new(), by_id: HashMap::new() }
    }

    pub(super) fn floor(&self) -> Seq {
        self.floor
    }

    pub(super) fn find(&self, sender: Sender, id: CommandId) -> Option<&Remembered> {
        self.by_id.get(&(sender, id))
    }

    /// The next command, of an event above all those that are here.
    pub(super) fn push(&mut self, command: Remembered) {
        self.in_order.push_back(command);
        self.by_id.insert((command.sender, command.mark.id), command);
        self.forget_beyond_the_bound();
    }

    /// All commands between `floor` and the floor until now, ascending.
    pub(super) fn extend_down(&mut self, floor: Seq, below: Vec<Remembered>) {
        self.floor = floor;
        for command in below.into_iter().rev() {
            self.in_order.push_front(command);
            self.by_id.insert((command.sender, command.mark.id), command);
        }
        self.forget_beyond_the_bound();
    }

    fn forget_beyond_the_bound(&mut self) {
        while self.in_order.len() > SEARCHED_COMMANDS {
            let Some(oldest) = self.in_order.pop_front() else { return };
            self.by_id.remove(&(oldest.sender, oldest.mark.id));
            self.floor = oldest.seq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CommandMark, Millis};

    fn command(seq: Seq) -> Remembered {
        let mark = CommandMark { id: CommandId(u128::from(seq)), hash: seq };
        Remembered { sender: Sender::System, mark, seq, prev_all: seq - 1, at: Millis(0) }
    }

    #[test]
    fn everything_above_the_floor_is_known_and_the_bound_raises_the_floor() {
        let mut searched = Searched::above(100);
        (101..=110).for_each(|seq| searched.push(command(seq)));
        searched.extend_down(50, (51..=100).map(command).collect());
        for bound in [false, true] {
            if bound {
                let most = SEARCHED_COMMANDS as Seq;
                (111..=50 + most + 7).for_each(|seq| searched.push(command(seq)));
                assert_eq!(searched.floor(), 57);
            }
            let known = |seq: Seq| searched.find(Sender::System, CommandId(u128::from(seq))).map(|it| it.seq);
            assert_eq!(known(searched.floor()), None);
            assert!((searched.floor() + 1..=110).all(|seq| known(seq) == Some(seq)));
        }
    }
}
