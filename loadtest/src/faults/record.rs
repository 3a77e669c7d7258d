//! What one client wrote down: everything that it said and heard and that matters to a promise, in order. The checker
//! sees nothing else of a run, but for what fresh readers read at its end.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader, BufWriter, Write},
    path::Path,
};

use bellhop_protocol::{As, ClientFrame, Conversation, Event, Id, Row, ServerFrame};
use serde::{Deserialize, Serialize};

/// One line of a record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Entry {
    /// Written to a socket; whether it arrived, only an answer tells. `hello` is not written down: it holds a token.
    Said(ClientFrame),
    /// A new connection begins with `welcome`. Signals (typing, places, who is there) are not written down.
    Heard(ServerFrame),
    /// The connection is gone, whoever ended it.
    Lost,
}

/// Everything that one client said and heard, over all its connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// For reports, and the name of its file.
    pub(crate) name: String,
    pub(crate) who: As,
    /// The visitor's or the member's id, from `welcome`; `None` if it never came in.
    pub(crate) me: Option<Id>,
    /// Whether it stayed until all was quiet, so that it must have heard everything of what it follows.
    pub(crate) stayed: bool,
    pub(crate) entries: Vec<Entry>,
}

impl Record {
    pub(crate) fn new(name: String, who: As) -> Self {
        Self { name, who, me: None, stayed: false, entries: Vec::new() }
    }
}

/// All that the checker sees.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Evidence {
    pub(crate) records: Vec<Record>,
    pub(crate) last: Last,
}

/// What was read over the API after the end, from a server that was started anew.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// Whole logs, as staff see them.
    pub(crate) logs: BTreeMap<Id, Vec<Event>>,
    /// Logs that could not be read to their end, and why.
    pub(crate) unreadable: BTreeMap<Id, String>,
    pub(crate) conversations: BTreeMap<Id, Conversation>,
    /// The lists `open`, `unassigned` and `resolved`, each in its order.
    pub(crate) open: Vec<Row>,
    pub(crate) unassigned: Vec<Row>,
    pub(crate) resolved: Vec<Row>,
}

const LAST: &str = "last.json";
const LINES: &str = "jsonl";

impl Evidence {
    /// Writes a file a client and one of what was read last into a new directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), String> {
        let write = || -> std::io::Result<()> {
            fs::create_dir_all(directory)?;
            serde_json::to_writer(BufWriter::new(File::create(directory.join(LAST))?), &self.last)?;
            for record in &self.records {
                let file = File::create(directory.join(&record.name).with_extension(LINES))?;
                let mut file = BufWriter::new(file);
                let head = record.head();
                serde_json::to_writer(&mut file, &head)?;
                for entry in &record.entries {
                    file.write_all(b"\n")?;
                    serde_json::to_writer(&mut file, entry)?;
                }
                file.flush()?;
            }
            Ok(())
        };
        write().map_err(|error| format!("the records cannot be written to {}: {error}", directory.display()))
    }

    /// Reads what [`Self::write`] wrote.
    pub(crate) fn read(directory: &Path) -> Result<Self, String> {
        let read = || -> std::io::Result<Self> {
            let last = serde_json::from_reader(BufReader::new(File::open(directory.join(LAST))?))?;
            let mut records = Vec::new();
            for file in fs::read_dir(directory)? {
                let path = file?.path();
                if path.extension().is_none_or(|it| it != LINES) {
                    continue;
                }
                let mut lines = BufReader::new(File::open(path)?).lines();
                let head = lines.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
                let mut record: Record = serde_json::from_str(&head)?;
                for line in lines {
                    record.entries.push(serde_json::from_str(&line?)?);
                }
                records.push(record);
            }
            records.sort_by(|one, other| one.name.cmp(&other.name));
            Ok(Self { records, last })
        };
        read().map_err(|error| format!("the records in {}: {error}", directory.display()))
    }
}

impl Record {
    /// Without the entries.
    fn head(&self) -> Self {
        Self { name: self.name.clone(), who: self.who, me: self.me, stayed: self.stayed, entries: Vec::new() }
    }
}
