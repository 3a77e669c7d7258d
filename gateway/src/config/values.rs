//! The kinds of values that a key may have, and how each is read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use crate::accounts::Secret;
use crate::ws::Network;

/// Bounds of a number or of a duration in milliseconds, both ends included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Reads one kind of value. The error says the rule, for a person.
pub(super) trait Value: Sized {
    /// What a value of this kind is, for the printed file: a unit, a form.
    const FORM: &'static str;
    /// Whether its value must not be shown and not stand in a file.
    const SECRET: bool = false;
    fn read(value: &DeValue<'_>, bounds: Bounds) -> Result<Self, String>;
    /// How bounds are written for this kind; empty when they mean nothing.
    fn bounds(_: Bounds) -> String {
        String::new()
    }
}

fn text<'a>(value: &'a DeValue<'_>, form: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("must be {form}, in quotation marks"))
}

fn integer(value: &DeValue<'_>, bounds: Bounds) -> Result<u64, String> {
    let rule = || format!("must be a whole number from {} to {}", bounds.least, bounds.most);
    let number = value.as_integer().ok_or_else(rule)?;
    let number = u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| rule())?;
    if (bounds.least..=bounds.most).contains(&number) { Ok(number) } else { Err(rule()) }
}

impl Value for u32 {
    const FORM: &'static str = "a whole number";
    fn read(value: &DeValue<'_>, bounds: Bounds) -> Result<Self, String> {
        let number = integer(value, bounds)?;
        Self::try_from(number).map_err(|_| format!("must be a whole number up to {}", bounds.most))
    }
    fn bounds(bounds: Bounds) -> String {
        format!("{} to {}", bounds.least, bounds.most)
    }
}

impl Value for usize {
    const FORM: &'static str = "a whole number";
    fn read(value: &DeValue<'_>, bounds: Bounds) -> Result<Self, String> {
        let number = integer(value, bounds)?;
        Self::try_from(number).map_err(|_| format!("must be a whole number up to {}", bounds.most))
    }
    fn bounds(bounds: Bounds) -> String {
        format!("{} to {}", bounds.least, bounds.most)
    }
}

impl Value for bool {
    const FORM: &'static str = "true or false";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        value.as_bool().ok_or_else(|| "must be true or false, without quotation marks".to_owned())
    }
}

impl Value for SocketAddr {
    const FORM: &'static str = "address:port";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let rule = "an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
        text(value, rule)?.parse().map_err(|_| format!("must be {rule}"))
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "a path; a relative one starts where bellhop is started";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let text = text(value, "a path")?;
        if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(Self::from(text)) }
    }
}

/// A path, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalPath(pub Option<PathBuf>);

impl Value for OptionalPath {
    const FORM: &'static str = "a path, or empty";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let text = text(value, "a path or empty")?;
        Ok(Self((!text.is_empty()).then(|| PathBuf::from(text))))
    }
}

/// A name that somebody else gave; may be empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl Value for Text {
    const FORM: &'static str = "a text";
    fn read(value: &DeValue<'_>, bounds: Bounds) -> Result<Self, String> {
        let text = text(value, "a text")?;
        if text.chars().count() as u64 > bounds.most {
            return Err(format!("must have at most {} characters", bounds.most));
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err("must have no control characters and no space at its ends".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
    fn bounds(bounds: Bounds) -> String {
        format!("at most {} characters", bounds.most)
    }
}

impl Value for Secret {
    const FORM: &'static str = "a text, from the environment only";
    const SECRET: bool = true;
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        text(value, "a text").map(|it| Self::new(it.to_owned()))
    }
}

/// The port of CQL, where a contact point names none.
const CQL_PORT: u16 = 9042;

/// A node of the cluster: host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactPoint(pub String);

impl ContactPoint {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.rsplit_once(':') {
            // An IPv6 address without its brackets has more colons.
            Some((host, port)) if !host.contains(':') || (host.starts_with('[') && host.ends_with(']')) => {
                (host, port.parse().ok().filter(|port| *port > 0)?)
            }
            None => (text, CQL_PORT),
            Some(_) if text.starts_with('[') && text.ends_with(']') => (text, CQL_PORT),
            Some(_) => return None,
        };
        let good = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            // A host name has at most 253 letters, digits, hyphens and dots (RFC 1123); `_` is common inside networks.
            None => {
                (1..=253).contains(&host.len())
                    && host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_'))
            }
        };
        good.then(|| Self(format!("{host}:{port}")))
    }
}

/// More would only be a longer list: the rest of the cluster is learned from the first that answers.
const MAX_CONTACT_POINTS: usize = 64;

impl Value for Vec<ContactPoint> {
    const FORM: &'static str = "a list of hosts, each perhaps with a port";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let rule = || {
            format!(
                "must be a list of at most {MAX_CONTACT_POINTS} hosts, each perhaps with a port, such as \
                 [\"db1.internal\", \"10.0.0.7:9042\", \"[::1]:9042\"]"
            )
        };
        let list = value.as_array().filter(|list| list.len() <= MAX_CONTACT_POINTS).ok_or_else(rule)?;
        list.iter().map(|it| it.get_ref().as_str().and_then(ContactPoint::parse).ok_or_else(rule)).collect()
    }
}

/// A keyspace's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyspace(pub String);

impl Value for Keyspace {
    const FORM: &'static str = "a name of 1 to 48 lower-case letters, digits and _, beginning with a letter";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let text = text(value, Self::FORM)?;
        let good = (1..=48).contains(&text.len())
            && text.starts_with(|it: char| it.is_ascii_lowercase())
            && text.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
        if good { Ok(Self(text.to_owned())) } else { Err(format!("must be {}", Self::FORM)) }
    }
}

/// A public address, or empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(pub String);

impl Value for PublicUrl {
    const FORM: &'static str = "http(s)://host[:port], or empty";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let rule =
            "http:// or https:// with a host and perhaps a port, without a path, such as \"https://chat.example\"";
        let text = text(value, rule)?;
        if text.is_empty() {
            return Ok(Self(String::new()));
        }
        crate::accounts::origin(text).map(Self).ok_or_else(|| format!("must be {rule}"))
    }
}

impl Value for Vec<Network> {
    const FORM: &'static str = "a list of addresses or networks";
    fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
        let rule = || "must be a list of addresses or networks, such as [\"10.0.0.0/8\", \"::1\"]".to_owned();
        let list = value.as_array().ok_or_else(rule)?;
        list.iter().map(|it| it.get_ref().as_str().and_then(|it| it.parse().ok()).ok_or_else(rule)).collect()
    }
}

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

fn duration_text(ms: u64) -> String {
    let (unit, factor) =
        UNITS.into_iter().rev().find(|(_, factor)| ms.is_multiple_of(*factor) && ms >= *factor).unwrap_or(UNITS[0]);
    format!("{}{unit}", ms / factor)
}

impl Value for Duration {
    const FORM: &'static str = "a time: a whole number with ms, s, m, h or d";
    fn read(value: &DeValue<'_>, bounds: Bounds) -> Result<Self, String> {
        let rule = || {
            let (least, most) = (duration_text(bounds.least), duration_text(bounds.most));
            format!("must be a time from \"{least}\" to \"{most}\", a whole number with ms, s, m, h or d")
        };
        let text = value.as_str().ok_or_else(rule)?;
        let digits = text.trim_end_matches(|it: char| it.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| rule())?;
        let (_, factor) = UNITS.into_iter().find(|(unit, _)| *unit == &text[digits.len()..]).ok_or_else(rule)?;
        let ms = number.checked_mul(factor).ok_or_else(rule)?;
        if (bounds.least..=bounds.most).contains(&ms) { Ok(Self::from_millis(ms)) } else { Err(rule()) }
    }
    fn bounds(bounds: Bounds) -> String {
        format!("{} to {}", duration_text(bounds.least), duration_text(bounds.most))
    }
}

macro_rules! choices {
    ($(#[$doc:meta])* $name:ident, $form:literal: $($text:literal => $variant:ident,)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant,)* }

        impl Value for $name {
            const FORM: &'static str = $form;
            fn read(value: &DeValue<'_>, _: Bounds) -> Result<Self, String> {
                match value.as_str() {
                    $(Some($text) => Ok(Self::$variant),)*
                    _ => Err(concat!("must be one of ", $form).to_owned()),
                }
            }
        }
    };
}

choices! {
    /// How log lines look.
    LogFormat, "\"auto\", \"human\", \"json\"":
    "auto" => Auto,
    "human" => Human,
    "json" => Json,
}

choices! {
    /// What is logged.
    LogLevel, "\"error\", \"warn\", \"info\", \"debug\", \"trace\"":
    "error" => Error,
    "warn" => Warn,
    "info" => Info,
    "debug" => Debug,
    "trace" => Trace,
}

choices! {
    /// Which store.
    StoreKind, "\"embedded\", \"scylla\"":
    "embedded" => Embedded,
    "scylla" => Scylla,
}

choices! {
    /// How many copies must have answered.
    Consistency, "\"local_quorum\", \"quorum\"":
    "local_quorum" => LocalQuorum,
    "quorum" => Quorum,
}
