//! The kinds of values that a key may have, and how each is read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

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
