//! What counts as a text that people may send each other.

use super::Refusal;

/// Longest text, bytes of UTF-8: 4,000 characters of four bytes. The protocol crate states the same bound; a gateway
/// test holds them equal.
pub const MAX_TEXT_BYTES: usize = 16 * 1024;

/// Longest page address, bytes: what browsers and proxies agree to carry.
pub const MAX_PAGE_BYTES: usize = 2 * 1024;

/// Refuses what is empty or only white space or invisible, too long, or holds control characters besides tab and line
/// breaks. Bidirectional controls pass: Arabic and Hebrew writers need them, and readers show each text in an isolate.
pub fn check_text(text: &str) -> Result<(), Refusal> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Refusal::TextTooLong);
    }
    let mut visible = false;
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\r' | '\t') {
            return Err(Refusal::TextControl);
        }
        visible |= !character.is_whitespace() && !is_invisible(character);
    }
    if visible { Ok(()) } else { Err(Refusal::TextEmpty) }
}

/// Refuses addresses that are not http(s), too long, or hold white space or controls.
pub fn check_page(page: &str) -> Result<(), Refusal> {
    let web = page.starts_with("https://") || page.starts_with("http://");
    let clean = !page.chars().any(|character| character.is_whitespace() || character.is_control());
    if web && clean && page.len() <= MAX_PAGE_BYTES { Ok(()) } else { Err(Refusal::PageBad) }
}

/// Zero-width and bidirectional control characters: they alone do not make a text, and have no place in a name.
pub fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}'
    )
}

/// The first `chars` characters on one line: runs of white space become one space.
pub fn one_line(text: &str, chars: usize) -> String {
    let mut out = String::new();
    let mut left = chars;
    for word in text.split_whitespace() {
        if !out.is_empty() {
            if left == 0 {
                break;
            }
            out.push(' ');
            left -= 1;
        }
        for character in word.chars() {
            if left == 0 {
                return out;
            }
            out.push(character);
            left -= 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_texts_are_refused_by_name_and_good_ones_pass() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        for (text, want) in [
            ("", Err(Refusal::TextEmpty)),
            (" \t\n\u{200B}\u{202E}\u{3000}", Err(Refusal::TextEmpty)),
            ("a\0b", Err(Refusal::TextControl)),
            ("a\u{1b}[31m", Err(Refusal::TextControl)),
            ("a\u{85}", Err(Refusal::TextControl)),
            (&long, Err(Refusal::TextTooLong)),
            (&long[1..], Ok(())),
            ("שלום \u{202B}abc\u{202C}\r\n\tdef", Ok(())),
        ] {
            assert_eq!(check_text(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_preview_is_one_line_of_the_first_characters() {
        assert_eq!(one_line("  a\n\nb\tc ", 120), "a b c");
        assert_eq!(one_line("äöü xyz", 5), "äöü x");
        assert_eq!(one_line("abc def", 3), "abc");
    }
}
