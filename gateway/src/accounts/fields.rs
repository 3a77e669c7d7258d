//! What people may type: names, addresses, passwords, origins. Each check returns the form that is stored.

use bellhop_engine::domain::{is_invisible, is_visible};
use bellhop_protocol::limits::MAX_NAME_CHARS;

use super::{Problem, Secret};

/// The bytes of a longest e-mail address (RFC 5321, 4.5.3.1.3: a path of 256 with its brackets).
pub(crate) const MAX_EMAIL_CHARS: usize = 254;
/// Shortest password, characters: above NIST SP 800-63B's 8.
pub(crate) const MIN_PASSWORD_CHARS: usize = 10;
/// Longest password, characters and bytes: room for any passphrase, no room for making argon2 read megabytes.
pub(crate) const MAX_PASSWORD_CHARS: usize = 200;
const MAX_PASSWORD_BYTES: usize = 800;
/// Longest greeting, characters: four lines of the widget.
const MAX_GREETING_CHARS: usize = 300;
/// Origins on a workspace's list: each connect compares against all of them.
const MAX_ORIGINS: usize = 50;
/// Longest origin, bytes: a host name has at most 253 (RFC 1035), plus scheme and port.
const MAX_ORIGIN_BYTES: usize = 270;
/// Conversations that the queue may give one agent.
pub(super) const MAX_AGENT_CAP: u32 = 1_000;

fn bad<T>(field: &'static str, message: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::BadField { field, message: message.into() })
}

/// What has no place in a name: control, bidirectional and zero-width characters, which could make one name look like
/// another, and line separators, which could make it look like two.
pub(crate) fn is_out_of_a_name(character: char) -> bool {
    character.is_control() || is_invisible(character) || matches!(character, '\u{2028}' | '\u{2029}')
}

/// 1–60 characters after trimming, at least one of which is seen; none that [`is_out_of_a_name`].
pub(super) fn name(field: &'static str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > MAX_NAME_CHARS {
        return bad(field, format!("A name has 1 to {MAX_NAME_CHARS} characters."));
    }
    if text.chars().any(is_out_of_a_name) {
        return bad(field, "A name has no control, direction or zero-width characters.");
    }
    if !text.chars().any(is_visible) {
        return bad(field, "A name needs a character that can be seen.");
    }
    Ok(text.to_owned())
}

/// 3–254 characters, one `@` with something on both sides, no white space; lower-cased.
pub(super) fn email(field: &'static str, text: &str) -> Result<String, Problem> {
    let text = text.trim();
    let length = text.chars().count();
    let sides =
        text.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    let clean = !text.chars().any(|it| it.is_whitespace() || it.is_control() || is_invisible(it));
    if !(3..=MAX_EMAIL_CHARS).contains(&length) || !sides || !clean {
        return bad(field, "This is not an e-mail address: it needs one @ with something on both sides.");
    }
    Ok(text.to_lowercase())
}

/// 10–200 characters; nothing is trimmed or normalised.
pub(super) fn password(field: &'static str, text: &Secret) -> Result<(), Problem> {
    let (chars, bytes) = (text.expose().chars().count(), text.expose().len());
    if !(MIN_PASSWORD_CHARS..=MAX_PASSWORD_CHARS).contains(&chars) || bytes > MAX_PASSWORD_BYTES {
        return bad(field, format!("A password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters."));
    }
    Ok(())
}

/// At most 300 characters, may be empty; no control characters but line breaks.
pub(super) fn greeting(text: &str) -> Result<String, Problem> {
    let text = text.trim();
    if text.chars().count() > MAX_GREETING_CHARS {
        return bad("greeting", format!("A greeting has at most {MAX_GREETING_CHARS} characters."));
    }
    if text.chars().any(|it| it.is_control() && it != '\n') {
        return bad("greeting", "A greeting has no control characters besides line breaks.");
    }
    Ok(text.to_owned())
}

/// `#rrggbb`.
pub(super) fn accent(text: &str) -> Result<u32, Problem> {
    let digits = text.strip_prefix('#').filter(|it| it.len() == 6 && it.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match digits.and_then(|it| u32::from_str_radix(it, 16).ok()) {
        Some(colour) => Ok(colour),
        None => bad("accent", "A colour is written #rrggbb."),
    }
}

/// 1–1,000.
pub(super) fn agent_cap(cap: u32) -> Result<u32, Problem> {
    if (1..=MAX_AGENT_CAP).contains(&cap) {
        Ok(cap)
    } else {
        bad("agent_cap", format!("The cap is 1 to {MAX_AGENT_CAP} conversations."))
    }
}

/// At most 50 origins, each `scheme://host[:port]` as a browser writes it (RFC 6454, 6.2), lower-cased, without its
/// scheme's own port; doubles are dropped.
pub(super) fn origins(list: &[String]) -> Result<Vec<String>, Problem> {
    if list.len() > MAX_ORIGINS {
        return bad("allowed_origins", format!("At most {MAX_ORIGINS} origins."));
    }
    let mut out: Vec<String> = Vec::with_capacity(list.len());
    for text in list {
        match origin(text) {
            Some(origin) if out.contains(&origin) => {}
            Some(origin) => out.push(origin),
            None => {
                let shown: String = text.chars().filter(|it| !it.is_control()).take(60).collect();
                return bad(
                    "allowed_origins",
                    format!("\"{shown}\" is not an origin. Write https://shop.example, without a path."),
                );
            }
        }
    }
    Ok(out)
}

/// The canonical form of an origin; `None` when it is not one of http(s).
pub(crate) fn origin(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let own_port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let authority = rest.strip_suffix(own_port).unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host_fits = match host.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty() && host.bytes().all(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'.' | b'_'))
        }
    };
    let port_fits = port.is_none_or(|it| !it.starts_with('0') && it.parse::<u16>().is_ok_and(|it| it > 0));
    (host_fits && port_fits && text.len() <= MAX_ORIGIN_BYTES).then(|| format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_form_and_nothing_else_passes() {
        for (text, want) in [
            ("https://Shop.Example", Some("https://shop.example")),
            ("https://shop.example/", Some("https://shop.example")),
            ("https://shop.example:443", Some("https://shop.example")),
            ("http://localhost:8081", Some("http://localhost:8081")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("http://[::1]", Some("http://[::1]")),
            ("null", None),
            ("*", None),
            ("https://", None),
            ("https://a b", None),
            ("https://shop.example/path", None),
            ("https://user@shop.example", None),
            ("https://shop.example:0", None),
            ("https://shop.example:99999", None),
            ("ftp://shop.example", None),
            ("https://*.example", None),
        ] {
            assert_eq!(origin(text).as_deref(), want, "{text}");
        }
    }

    #[test]
    fn names_addresses_and_passwords_keep_their_rules() {
        for good in ["A", " Aya ", "\u{2764}\u{fe0f}", &"ß".repeat(60), "عائشة"] {
            assert!(name("name", good).is_ok(), "{good}");
        }
        for wrong in [
            "",
            "  ",
            &"x".repeat(61),
            "a\u{202e}b",
            "a\u{200b}b",
            "a\nb",
            "a\0b",
            "a\u{2028}b",
            "\u{3164}",
            "\u{2800}",
            "a\u{e0062}",
            "\u{fe0f}",
        ] {
            assert!(name("name", wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(email("email", " Aya@Example.ORG ").unwrap(), "aya@example.org");
        let long = format!("{}@b", "x".repeat(253));
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@\u{200b}b", &long] {
            assert!(email("email", wrong).is_err(), "{wrong:?}");
        }
        for (length, fits) in [(9, false), (10, true), (200, true), (201, false)] {
            assert_eq!(password("password", &Secret::new("x".repeat(length))).is_ok(), fits, "{length}");
        }
        assert!(password("password", &Secret::new("\u{1f600}".repeat(200))).is_ok());
    }
}
