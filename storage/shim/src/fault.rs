//! Failures on demand: `BELLHOP_SHIM_FAULT=<what>=<errno>@<from>[,…]`.
//!
//! `what` is `write`, `sync`, `change` (all that needs a disk that may be written: also opening for writing) or `space`
//! (all that takes room: writing and making), each also with `:part`, which binds it to paths that hold `part`. It
//! fails from the `from`-th such operation on (0: at once); for `space=28@100000b` from the moment at which 100,000
//! bytes were written, the last write being short. `halves` alone makes every write write half.

/// What an operation is, for a fault to match.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Doing {
    OpenToWrite,
    Make,
    Write,
    Sync,
    Resize,
    Name,
}

struct Fault {
    what: String,
    part: String,
    errno: i32,
    from: u64,
    bytes: bool,
    seen: u64,
}

impl Fault {
    fn parse(text: &str) -> Option<Self> {
        let (what, rest) = text.split_once('=')?;
        let (errno, from) = rest.split_once('@')?;
        let (what, part) = what.split_once(':').unwrap_or((what, ""));
        let (from, bytes) = from.strip_suffix('b').map_or((from, false), |from| (from, true));
        Some(Self {
            what: what.to_owned(),
            part: part.to_owned(),
            errno: errno.parse().ok()?,
            from: from.parse().ok()?,
            bytes,
            seen: 0,
        })
    }

    fn matches(&self, doing: Doing, path: &str) -> bool {
        let kind = match self.what.as_str() {
            "write" => doing == Doing::Write,
            "sync" => doing == Doing::Sync,
            "change" => doing != Doing::Sync,
            "space" => matches!(doing, Doing::Write | Doing::Make),
            _ => false,
        };
        kind && path.contains(&self.part)
    }
}

/// What to do with an operation.
pub(crate) enum Verdict {
    Go,
    /// Write no more than this.
    Short(usize),
    Fail(i32),
}

/// The faults that were asked for.
pub(crate) struct Faults {
    faults: Vec<Fault>,
    halves: bool,
}

impl Faults {
    pub(crate) fn parse(text: &str) -> Self {
        Self {
            faults: text.split(',').filter_map(Fault::parse).collect(),
            halves: text.split(',').any(|it| it == "halves"),
        }
    }

    /// Judges one operation on `bytes` bytes.
    pub(crate) fn judge(&mut self, doing: Doing, path: &str, bytes: usize) -> Verdict {
        for fault in &mut self.faults {
            if !fault.matches(doing, path) {
                continue;
            }
            if fault.bytes {
                let room = fault.from.saturating_sub(fault.seen);
                if doing == Doing::Write && (bytes as u64) <= room {
                    fault.seen += bytes as u64;
                    continue;
                }
                if doing != Doing::Write && room > 0 {
                    continue;
                }
                fault.seen = fault.from;
                return if room > 0 { Verdict::Short(room as usize) } else { Verdict::Fail(fault.errno) };
            }
            fault.seen += 1;
            if fault.seen > fault.from {
                return Verdict::Fail(fault.errno);
            }
        }
        match self.halves && doing == Doing::Write && bytes > 1 {
            true => Verdict::Short(bytes / 2),
            false => Verdict::Go,
        }
    }
}
