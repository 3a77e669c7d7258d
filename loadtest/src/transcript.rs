//! Recorded conversations: one a line, `{"id", "turns": [{"from": "visitor"|"agent", "text", "delay_ms"?}]}`.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use bellhop_protocol::limits::MAX_TEXT_BYTES;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Visitor,
    Agent,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Turn {
    #[serde(rename = "from")]
    pub(crate) side: Side,
    pub(crate) text: String,
    /// Pause since the previous turn.
    #[serde(default)]
    pub(crate) delay_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Transcript {
    pub(crate) id: String,
    pub(crate) turns: Vec<Turn>,
}

/// Reads the first `most` conversations of a file (all if `None`), gzip by its name's ending.
///
/// Errors are sentences: no such file, a line that is not a transcript (with its number), a conversation that nobody
/// could have had here (empty, begun by the agent, a text that the server must refuse).
pub(crate) fn read(path: &Path, most: Option<usize>) -> Result<Vec<Transcript>, String> {
    let file = File::open(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    let gzip = path.extension().is_some_and(|extension| extension == "gz");
    let reader: Box<dyn Read> = if gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let transcripts = parse(BufReader::new(reader), most).map_err(|error| format!("{}: {error}", path.display()))?;
    if transcripts.is_empty() {
        return Err(format!("{} holds no conversation", path.display()));
    }
    Ok(transcripts)
}

fn parse(reader: impl BufRead, most: Option<usize>) -> Result<Vec<Transcript>, String> {
    let mut transcripts = Vec::new();
    for (index, line) in reader.lines().enumerate() {
        if most.is_some_and(|most| transcripts.len() >= most) {
            break;
        }
        let number = index + 1;
        let line = line.map_err(|error| format!("line {number} cannot be read: {error}"))?;
        if line.trim().is_empty() {
            continue;
        }
        let transcript: Transcript =
            serde_json::from_str(&line).map_err(|error| format!("line {number} is not a transcript: {error}"))?;
        check(&transcript).map_err(|error| format!("line {number} ({}): {error}", transcript.id))?;
        transcripts.push(transcript);
    }
    Ok(transcripts)
}

fn check(transcript: &Transcript) -> Result<(), String> {
    let first = transcript.turns.first().ok_or("it has no turns")?;
    if first.side != Side::Visitor {
        return Err("its first turn is the agent's, but only a visitor can begin a conversation".into());
    }
    for (index, turn) in transcript.turns.iter().enumerate() {
        if turn.text.trim().is_empty() {
            return Err(format!("turn {} is empty", index + 1));
        }
        if turn.text.len() > MAX_TEXT_BYTES {
            return Err(format!("turn {} is longer than {MAX_TEXT_BYTES} bytes", index + 1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{io::Write, path::Path};

    use super::{Side, parse, read};

    const GOOD: &str = r#"{"id":"a","source":"x","turns":[{"from":"visitor","text":"Hi\n","delay_ms":7},{"from":"agent","text":"你好"}]}"#;

    #[test]
    fn sides_order_words_and_pauses_are_read() {
        let text = format!("{GOOD}\n\n{}\n", GOOD.replace("\"a\"", "\"b\""));
        let all = parse(text.as_bytes(), None).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].id, "b");
        let turns = &all[0].turns;
        assert_eq!((turns[0].side, turns[0].text.as_str(), turns[0].delay_ms), (Side::Visitor, "Hi\n", 7));
        assert_eq!((turns[1].side, turns[1].text.as_str(), turns[1].delay_ms), (Side::Agent, "你好", 0));
        assert_eq!(parse(text.as_bytes(), Some(1)).unwrap().len(), 1);
    }

    #[test]
    fn what_cannot_be_played_is_named_with_its_line() {
        for (line, says) in [
            ("nonsense", "line 2 is not a transcript"),
            (r#"{"id":"b","turns":[]}"#, "line 2 (b): it has no turns"),
            (r#"{"id":"b","turns":[{"from":"agent","text":"x"}]}"#, "first turn is the agent's"),
            (r#"{"id":"b","turns":[{"from":"visitor","text":" "}]}"#, "turn 1 is empty"),
            (r#"{"id":"b","turns":[{"from":"robot","text":"x"}]}"#, "robot"),
        ] {
            let error = parse(format!("{GOOD}\n{line}\n").as_bytes(), None).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn gzip_is_read_and_a_missing_or_empty_file_is_a_sentence() {
        let directory = std::env::temp_dir().join(format!("bellhop-transcript-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("t.jsonl.gz");
        let mut gzip =
            flate2::write::GzEncoder::new(std::fs::File::create(&path).unwrap(), flate2::Compression::fast());
        gzip.write_all(GOOD.as_bytes()).unwrap();
        gzip.finish().unwrap();
        assert_eq!(read(&path, None).unwrap().len(), 1);
        let empty = directory.join("e.jsonl");
        std::fs::write(&empty, "").unwrap();
        assert!(read(&empty, None).unwrap_err().contains("holds no conversation"));
        assert!(read(Path::new("/nowhere/x"), None).unwrap_err().contains("/nowhere/x cannot be read"));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
