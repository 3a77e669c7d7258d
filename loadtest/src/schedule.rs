//! When commands are due, whatever the server does: an open loop. Stretches of time, each at its own rate.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Stretch {
    pub(crate) per_second: u32,
    pub(crate) lasts: Duration,
}

#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    stretches: Vec<Stretch>,
}

/// One command of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// From the schedule's beginning.
    pub(crate) at: Duration,
    /// Index of its stretch.
    pub(crate) stretch: usize,
}

impl Schedule {
    pub(crate) fn new(stretches: Vec<Stretch>) -> Self {
        Self { stretches }
    }

    /// Commands of a stretch.
    fn count(stretch: &Stretch) -> u64 {
        (f64::from(stretch.per_second) * stretch.lasts.as_secs_f64()) as u64
    }

    /// Command `index`, counted from 0; `None` after the last.
    pub(crate) fn due(&self, mut index: u64) -> Option<Due> {
        let mut begin = Duration::ZERO;
        for (number, stretch) in self.stretches.iter().enumerate() {
            let count = Self::count(stretch);
            if index < count {
                let at = begin + Duration::from_secs_f64(index as f64 / f64::from(stretch.per_second));
                return Some(Due { at, stretch: number });
            }
            index -= count;
            begin += stretch.lasts;
        }
        None
    }

    /// When a stretch begins.
    pub(crate) fn begins(&self, stretch: usize) -> Duration {
        self.stretches.iter().take(stretch).map(|it| it.lasts).sum()
    }

    pub(crate) fn lasts(&self) -> Duration {
        self.begins(self.stretches.len())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Due, Schedule, Stretch};

    #[test]
    fn commands_are_due_evenly_and_each_stretch_at_its_own_rate() {
        let ms = Duration::from_millis;
        let schedule = Schedule::new(vec![
            Stretch { per_second: 10, lasts: ms(500) },
            Stretch { per_second: 0, lasts: ms(100) },
            Stretch { per_second: 1_000, lasts: ms(3) },
        ]);
        let all: Vec<Due> = (0..).map_while(|index| schedule.due(index)).collect();
        let at: Vec<u64> = all.iter().map(|due| due.at.as_millis() as u64).collect();
        assert_eq!(at, [0, 100, 200, 300, 400, 600, 601, 602]);
        assert_eq!(all.iter().filter(|due| due.stretch == 2).count(), 3);
        assert_eq!((schedule.begins(2), schedule.lasts()), (ms(600), ms(603)));
    }
}
