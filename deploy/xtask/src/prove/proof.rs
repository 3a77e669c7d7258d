//! The line that every attack ends with, one a store attacked: `PROOF {…}`, an object of strings, truths and numbers.

use std::collections::BTreeMap;

/// What was promised, how it was attacked, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    pub(super) promise: String,
    pub(super) attack: String,
    pub(super) store: String,
    pub(super) count: String,
    pub(super) result: String,
    pub(super) passed: bool,
}

impl Proof {
    /// The proof on a line of output. libtest may have begun the line with the test's name.
    pub(super) fn on_line(line: &str) -> Option<Result<(Self, &str), String>> {
        let text = &line[line.find("PROOF {")? + "PROOF ".len()..];
        Some(Self::parse(text).map(|proof| (proof, text)))
    }

    /// From the object alone; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fields = flat_object(text).ok_or_else(|| format!("no flat JSON object: {text}"))?;
        let string = |name: &str| match fields.get(name) {
            Some(Value::String(text)) if !text.trim().is_empty() => Ok(text.clone()),
            _ => Err(format!("\"{name}\" is missing or no text: {text}")),
        };
        Ok(Self {
            promise: string("promise")?,
            attack: string("attack")?,
            store: string("store")?,
            count: string("count")?,
            result: string("result")?,
            passed: match fields.get("passed") {
                Some(Value::Truth(passed)) => *passed,
                _ => return Err(format!("\"passed\" is missing or no truth: {text}")),
            },
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Value {
    String(String),
    Truth(bool),
    /// As it was written.
    Number(String),
    Null,
}

/// A JSON object without arrays and objects in it; `None` for anything else.
pub(super) fn flat_object(text: &str) -> Option<BTreeMap<String, Value>> {
    let mut reader = Reader { rest: text.trim() };
    let mut fields = BTreeMap::new();
    reader.expect('{')?;
    if reader.expect('}').is_none() {
        loop {
            let name = reader.string()?;
            reader.expect(':')?;
            fields.insert(name, reader.value()?);
            if reader.expect(',').is_none() {
                break;
            }
        }
        reader.expect('}')?;
    }
    reader.rest.is_empty().then_some(fields)
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn expect(&mut self, char: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(char)?.trim_start();
        Some(())
    }

    fn value(&mut self) -> Option<Value> {
        for (word, value) in [("true", Value::Truth(true)), ("false", Value::Truth(false)), ("null", Value::Null)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest;
                return Some(value);
            }
        }
        if self.rest.starts_with('"') {
            return self.string().map(Value::String);
        }
        let end = self.rest.find([',', '}', ' ']).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        number.parse::<f64>().ok()?;
        self.rest = rest;
        Some(Value::Number(number.to_owned()))
    }

    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.rest.strip_prefix('"')?.chars();
        loop {
            match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    'n' | 'r' | 't' | 'b' | 'f' => text.push(' '),
                    'u' => text.push(escaped(&mut chars)?),
                    char @ ('"' | '\\' | '/') => text.push(char),
                    _ => return None,
                },
                char => text.push(char),
            }
        }
        self.rest = chars.as_str();
        Some(text)
    }
}

/// Behind `\u`: four hexadecimal digits, twice for what lies beyond the first plane.
fn escaped(chars: &mut std::str::Chars<'_>) -> Option<char> {
    let first = unit(chars)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first);
    }
    (chars.next()? == '\\' && chars.next()? == 'u').then_some(())?;
    let second = unit(chars)?.checked_sub(0xDC00).filter(|it| *it < 0x400)?;
    char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + second)
}

fn unit(chars: &mut std::str::Chars<'_>) -> Option<u32> {
    let digits: String = chars.by_ref().take(4).collect();
    (digits.len() == 4).then(|| u32::from_str_radix(&digits, 16).ok())?
}

/// A text as JSON writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char.is_control() => out.push(' '),
            char => out.push(char),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"PROOF {"promise":"G1 G3","attack":"kill -9 of \"it\"","store":"embedded","count":"200 kills, 41,233 commands","result":"0 lost \u2013 \ud83d\ude00","passed":true,"seed":7}"#;

    #[test]
    fn a_proof_is_read_from_its_line_also_behind_a_tests_name() {
        let (proof, text) = Proof::on_line(LINE).unwrap().unwrap();
        assert_eq!((proof.promise.as_str(), proof.attack.as_str()), ("G1 G3", "kill -9 of \"it\""));
        assert_eq!((proof.result.as_str(), proof.passed), ("0 lost – 😀", true));
        assert_eq!(Proof::parse(text).unwrap(), proof);
        let behind = format!("test simulation::all ... {LINE}");
        assert_eq!(Proof::on_line(&behind).unwrap().unwrap().0, proof);
        assert!(Proof::on_line("PROOF of nothing").is_none());
    }

    #[test]
    fn a_broken_proof_is_an_error_and_not_overlooked() {
        let without = LINE.replace("\"passed\":true,", "");
        assert!(Proof::on_line(&without).unwrap().is_err_and(|it| it.contains("\"passed\" is missing")));
        assert!(Proof::on_line(&LINE.replace("\"embedded\"", "3")).unwrap().is_err());
        assert!(Proof::on_line(&LINE[..LINE.len() - 1]).unwrap().is_err());
        assert!(Proof::on_line("PROOF {\"a\":[1]}").unwrap().is_err());
    }

    #[test]
    fn what_is_quoted_is_read_back() {
        let text = "a \"b\" \\ c";
        let object = format!("{{\"x\": {}, \"y\": null, \"z\": -1.5e3 }}", quoted(text));
        let fields = flat_object(&object).unwrap();
        assert_eq!(fields["x"], Value::String(text.to_owned()));
        assert_eq!(fields["z"], Value::Number("-1.5e3".to_owned()));
        assert_eq!(flat_object("{}").unwrap().len(), 0);
    }
}
