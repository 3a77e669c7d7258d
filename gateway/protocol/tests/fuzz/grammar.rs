//! Frames by the grammar of PROTOCOL.md, written down a second time (not taken from the code under test), and the three
//! ways to spoil them: by structure, by token, by byte.

use serde_json::Value;

use crate::random::Random;

/// What a field holds.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Holds {
    Id,
    Text,
    Number,
    Small16,
    Small32,
    Flag,
    Who,
    View,
}

/// A kind: its name, and each field with its contents and whether it must be there.
pub(crate) type Kind = (&'static str, &'static [(&'static str, Holds, bool)]);

const COMMAND: &[(&str, Holds, bool)] =
    &[("id", Holds::Id, true), ("conversation", Holds::Id, true), ("seen", Holds::Number, true)];
const WORDS: &[(&str, Holds, bool)] = &[
    ("id", Holds::Id, true),
    ("conversation", Holds::Id, true),
    ("seen", Holds::Number, true),
    ("text", Holds::Text, true),
];

/// The table "What a client says" of PROTOCOL.md.
pub(crate) const KINDS: [Kind; 18] = [
    (
        "hello",
        &[
            ("v", Holds::Small16, true),
            ("as", Holds::Who, true),
            ("workspace", Holds::Id, false),
            ("token", Holds::Text, false),
            ("client", Holds::Text, false),
        ],
    ),
    ("start", &[("id", Holds::Id, true), ("text", Holds::Text, true), ("page", Holds::Text, false)]),
    ("send", WORDS),
    ("note", WORDS),
    (
        "assign",
        &[
            ("id", Holds::Id, true),
            ("conversation", Holds::Id, true),
            ("seen", Holds::Number, true),
            ("to", Holds::Id, false),
        ],
    ),
    ("resolve", COMMAND),
    ("reopen", COMMAND),
    ("status", &[("id", Holds::Id, true), ("available", Holds::Flag, true)]),
    ("open", &[("conversation", Holds::Id, true), ("after", Holds::Number, false)]),
    ("close", &[("conversation", Holds::Id, true)]),
    ("page", &[("conversation", Holds::Id, true), ("before", Holds::Number, true), ("limit", Holds::Small32, false)]),
    ("read", &[("conversation", Holds::Id, true), ("seq", Holds::Number, true)]),
    ("typing", &[("conversation", Holds::Id, true), ("on", Holds::Flag, true)]),
    ("conversations", &[]),
    ("list", &[("view", Holds::View, true), ("feed", Holds::Id, false), ("at", Holds::Number, false)]),
    ("unlist", &[("view", Holds::View, true)]),
    ("more", &[("view", Holds::View, true), ("after", Holds::Text, true)]),
    ("ping", &[]),
];

impl Holds {
    /// Whether a JSON value is one of these.
    pub(crate) fn fits(self, value: &Value) -> bool {
        match self {
            Self::Id => value.as_str().is_some_and(|text| {
                text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
            }),
            Self::Text => value.is_string(),
            Self::Number => value.is_u64(),
            Self::Small16 => value.as_u64().is_some_and(|it| it <= u64::from(u16::MAX)),
            Self::Small32 => value.as_u64().is_some_and(|it| it <= u64::from(u32::MAX)),
            Self::Flag => value.is_boolean(),
            Self::Who => matches!(value.as_str(), Some("visitor" | "agent")),
            Self::View => matches!(value.as_str(), Some("mine" | "unassigned" | "open" | "resolved")),
        }
    }

    fn good(self, random: &mut Random) -> String {
        match self {
            Self::Id => format!("\"{:016x}{:016x}\"", random.number(), random.number()),
            Self::Text => text(random),
            Self::Number => number(random),
            Self::Small16 => random.below(65_536).to_string(),
            Self::Small32 => random.below(1 << 32).to_string(),
            Self::Flag => random.one_in(2).to_string(),
            Self::Who => format!("\"{}\"", random.of(&["visitor", "agent"])),
            Self::View => format!("\"{}\"", random.of(&["mine", "unassigned", "open", "resolved"])),
        }
    }
}

fn number(random: &mut Random) -> String {
    let edge = *random.of(&[0, 1, 255, 65_535, u64::from(u32::MAX), (1 << 53) - 1, 1 << 53, u64::MAX]);
    if random.one_in(3) { (random.number() >> random.below(64)).to_string() } else { edge.to_string() }
}

/// Characters that have broken parsers, renderers or lengths.
const TRAPS: [&str; 24] = [
    "a",
    "ß",
    "\u{1F44B}",
    "e\u{301}",
    "\u{202E}",
    "\u{200B}",
    "\u{FEFF}",
    "\u{FFFD}",
    "\u{10FFFF}",
    "\u{7F}",
    "\u{85}",
    "\u{2028}",
    "İ",
    "\\u0000",
    "\\u001f",
    "\\ud83d\\ude00",
    "\\n",
    "\\\"",
    "\\\\",
    "\\/",
    "%00",
    "<b>",
    "'--",
    "\u{E0001}",
];

/// A JSON string, with its quotes. Now and then as long as a limit, give or take one.
fn text(random: &mut Random) -> String {
    let mut out = String::from('"');
    if random.one_in(2_000) {
        let limit = *random.of(&[2_048, 16_384, 65_400]);
        out.push_str(&"x".repeat(limit + random.below(3) - 1));
    } else {
        for _ in 0..random.below(12) {
            out.push_str(random.of::<&str>(&TRAPS));
        }
    }
    out.push('"');
    out
}

/// Any JSON value, and some that only look like one.
pub(crate) fn odd(random: &mut Random, depth: usize) -> String {
    const ODD: [&str; 37] = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "-1",
        "1.0",
        "1e2",
        "1E400",
        "-1e-400",
        "0x10",
        "01",
        "1.",
        ".5",
        "+1",
        "NaN",
        "Infinity",
        "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775809",
        "99999999999999999999999999999999999999",
        "\"\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u12\"",
        "\"\\x41\"",
        "'a'",
        "\"0123456789ABCDEF0123456789ABCDEF\"",
        "\"0123456789abcdef0123456789abcde\"",
        "\"0123456789abcdef0123456789abcdef0\"",
        "\"００００００００００\"",
        "undefined",
        "",
        "\"visitor\"",
        "{\"visitor\":null}",
        "{\"mine\":null}",
        "[\"mine\"]",
    ];
    match random.below(if depth > 3 { 3 } else { 6 }) {
        0 => text(random),
        1 => number(random),
        2 => (*random.of(&ODD)).to_owned(),
        3 => {
            let items: Vec<String> = (0..random.below(4)).map(|_| odd(random, depth + 1)).collect();
            format!("[{}]", items.join(","))
        }
        4 => {
            let items: Vec<String> =
                (0..random.below(4)).map(|_| format!("{}:{}", text(random), odd(random, depth + 1))).collect();
            format!("{{{}}}", items.join(","))
        }
        _ => {
            // Rarely as deep as a frame can be.
            let deep = if random.one_in(500) { 16_000 } else { 1 + random.below(200) };
            if random.one_in(2) {
                format!("{}{}", "[".repeat(deep), "]".repeat(deep))
            } else {
                format!("{}0{}", "{\"\":".repeat(deep), "}".repeat(deep))
            }
        }
    }
}

fn key(random: &mut Random, name: &str) -> String {
    // An escape stands for its character in keys as well.
    if random.one_in(20)
        && let Some(first) = name.chars().next()
    {
        return format!("\"\\u{:04x}{}\"", u32::from(first), &name[1..]);
    }
    format!("\"{name}\"")
}

/// A frame of a known kind, whole or spoilt in its structure.
pub(crate) fn frame(random: &mut Random) -> String {
    const SPACE: [&str; 4] = ["", " ", "\n\t", "\r\n  "];
    let (name, fields) = random.of(&KINDS);
    let spoil = random.one_in(2);
    let mut members: Vec<String> = Vec::with_capacity(fields.len() + 2);
    let said = if spoil && random.one_in(8) { odd(random, 0) } else { format!("\"{name}\"") };
    if !(spoil && random.one_in(12)) {
        members.push(format!("{}:{said}", key(random, "t")));
    }
    for (field, holds, must) in *fields {
        if if *must { spoil && random.one_in(8) } else { random.one_in(2) } {
            continue;
        }
        let value = if spoil && random.one_in(4) {
            odd(random, 0)
        } else if !must && random.one_in(8) {
            "null".to_owned()
        } else {
            holds.good(random)
        };
        members.push(format!("{}:{value}", key(random, field)));
        if spoil && random.one_in(20) {
            let again = members[random.below(members.len())].clone();
            members.push(again);
        }
    }
    for _ in 0..random.below(3) {
        // Fields of other kinds, unknown ones, and ones that are nearly known.
        let name = *random.of(&["future", "T", "t ", "id\u{200B}", "text", "seen", "", "__proto__", "ïd", "to"]);
        if fields.iter().all(|(field, ..)| *field != name) {
            let value = if spoil { odd(random, 0) } else { text(random) };
            members
                .push(format!("{}:{value}", if name.is_ascii() { key(random, name) } else { format!("\"{name}\"") }));
        }
    }
    for place in (1..members.len()).rev() {
        members.swap(place, random.below(place + 1));
    }
    let space = *random.of(&SPACE);
    let mut out = format!("{space}{{{space}{}{space}}}{space}", members.join(&format!("{space},{space}")));
    if spoil && random.one_in(10) {
        out = format!("[{out}]");
    }
    if spoil && random.one_in(15) {
        out.push_str(random.of::<&str>(&["x", "{}", ",", "\0", "\u{FEFF}", "]"]));
    }
    out
}

/// The text's tokens: what stands between them is nothing but white space.
fn tokens(text: &str) -> Vec<&str> {
    let bytes = text.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let from = at;
        at += 1;
        match bytes[from] {
            b'"' => {
                while at < bytes.len() && bytes[at] != b'"' {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at = (at + 1).min(bytes.len());
            }
            b'{' | b'}' | b'[' | b']' | b':' | b',' => {}
            _ => {
                while at < bytes.len() && !b"\"{}[]:,".contains(&bytes[at]) {
                    at += 1;
                }
            }
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
        found.push(&text[from..at]);
    }
    found
}

/// A few tokens gone, doubled, exchanged, or replaced by others.
pub(crate) fn by_token(random: &mut Random, good: &str, other: &str) -> String {
    let mut list: Vec<String> = tokens(good).into_iter().map(str::to_owned).collect();
    let pool = tokens(other);
    for _ in 0..=random.below(3) {
        if list.is_empty() {
            break;
        }
        let at = random.below(list.len());
        match random.below(5) {
            0 => _ = list.remove(at),
            1 => list.insert(at, list[at].clone()),
            2 => {
                let to = random.below(list.len());
                list.swap(at, to);
            }
            3 if !pool.is_empty() => list[at] = (*random.of(&pool)).to_owned(),
            _ => list[at] = odd(random, 0),
        }
    }
    list.concat()
}

/// A few bytes changed, put in or taken out; a cut. What is no UTF-8 any more never reaches a decoder (RFC 6455 makes
/// the socket fail first), so it is mended.
pub(crate) fn by_byte(random: &mut Random, good: &str) -> String {
    let mut bytes = good.as_bytes().to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => bytes.insert(at, *random.of(b"\"\\{}[]:,0-e.nt\0\x7f\xc3")),
            3 => _ = bytes.remove(at),
            _ => bytes.truncate(at),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
