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
    // Most texts are ASCII: without decoding, and without a way out in the loop, it is a tenth of the time.
    if text.is_ascii() {
        let is_bad = |byte: u8| (byte < b' ' && !matches!(byte, b'\n' | b'\r' | b'\t')) || byte == 0x7F;
        if text.bytes().fold(false, |bad, byte| bad | is_bad(byte)) {
            return Err(Refusal::TextControl);
        }
        return if text.bytes().any(|byte| byte.is_ascii_graphic()) { Ok(()) } else { Err(Refusal::TextEmpty) };
    }
    let mut visible = false;
    for character in text.chars() {
        if character.is_control() && !matches!(character, '\n' | '\r' | '\t') {
            return Err(Refusal::TextControl);
        }
        visible = visible || is_visible(character);
    }
    if visible { Ok(()) } else { Err(Refusal::TextEmpty) }
}

/// Refuses addresses that are not http(s), too long, or hold white space or controls.
pub fn check_page(page: &str) -> Result<(), Refusal> {
    let web = page.starts_with("https://") || page.starts_with("http://");
    let clean = !page.chars().any(|character| character.is_whitespace() || character.is_control());
    if web && clean && page.len() <= MAX_PAGE_BYTES { Ok(()) } else { Err(Refusal::PageBad) }
}

/// Characters that show nothing and so have no place in a name: zero-width and bidirectional controls, the fillers of
/// Hangul and Khmer and the empty Braille cell (with which chats are sent blank words), and tags (which can carry a
/// whole hidden text). Those of Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties 16.0) but for variation
/// selectors, which belong to many emoji; and U+2800.
pub fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{00AD}'
            | '\u{034F}'
            | '\u{061C}'
            | '\u{115F}'..='\u{1160}'
            | '\u{17B4}'..='\u{17B5}'
            | '\u{180E}'
            | '\u{200B}'..='\u{200F}'
            | '\u{202A}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{FEFF}'
            | '\u{FFA0}'
            | '\u{FFF0}'..='\u{FFF8}'
            | '\u{1BCA0}'..='\u{1BCA3}'
            | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E00FF}'
            | '\u{E01F0}'..='\u{E0FFF}'
    )
}

/// Whether a character shows something by itself. A text or a name needs one that does; variation selectors only
/// change the one before them.
pub fn is_visible(character: char) -> bool {
    let selector = matches!(character, '\u{180B}'..='\u{180F}' | '\u{FE00}'..='\u{FE0F}' | '\u{E0100}'..='\u{E01EF}');
    !selector && !character.is_whitespace() && !character.is_control() && !is_invisible(character)
}

/// The first `chars` characters on one line: runs of white space become one space.
pub fn one_line(text: &str, chars: usize) -> String {
    if text.is_ascii() {
        return one_ascii_line(text, chars);
    }
    // Two bytes a character hold most scripts without growing.
    let mut out = String::with_capacity(text.len().min(2 * chars));
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

/// The same of a text whose characters are bytes: every message is shown in a list, and most are ASCII.
fn one_ascii_line(text: &str, chars: usize) -> String {
    let mut out = String::with_capacity(text.len().min(chars));
    // What `char::is_whitespace` says of ASCII; `u8::is_ascii_whitespace` leaves out the vertical tab.
    let is_space = |character: char| character == ' ' || ('\t'..='\r').contains(&character);
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        if out.len() >= chars {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        let fits = word.len().min(chars - out.len());
        out.push_str(&word[..fits]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What both did before there was a way for ASCII: the two must agree on every text.
    #[test]
    fn ascii_texts_are_judged_and_shortened_like_all_others() {
        let texts =
            ["", " ", "a", "a b", "  a \x0b\x0c\tb\r\nc  ", "abc def ghi", "\x1c", "\x7f", "a\x1f", "\x0b a", "~!"];
        for text in texts {
            let other = text.chars().all(|it| !it.is_control() || matches!(it, '\n' | '\r' | '\t'));
            let want = match (other, text.chars().any(is_visible)) {
                (false, _) => Err(Refusal::TextControl),
                (true, false) => Err(Refusal::TextEmpty),
                (true, true) => Ok(()),
            };
            assert_eq!(check_text(text), want, "{text:?}");
            for chars in 0..12 {
                // A character that is not ASCII, far behind what is kept, takes the other way.
                let long = format!("{text} {}é", "x".repeat(20));
                let ascii = format!("{text} {}e", "x".repeat(20));
                assert_eq!(one_line(&ascii, chars), one_line(&long, chars), "{text:?} in {chars}");
            }
        }
    }

    #[test]
    fn bad_texts_are_refused_by_name_and_good_ones_pass() {
        let long = "x".repeat(MAX_TEXT_BYTES + 1);
        for (text, want) in [
            ("", Err(Refusal::TextEmpty)),
            (" \t\n\u{200B}\u{202E}\u{3000}", Err(Refusal::TextEmpty)),
            // Blank words, each once seen in a chat: Hangul fillers, the empty Braille cell, tags, a lone selector.
            ("\u{3164}\u{115F}\u{1160}\u{FFA0}", Err(Refusal::TextEmpty)),
            ("\u{2800}\u{2800}", Err(Refusal::TextEmpty)),
            ("\u{E0068}\u{E0069}\u{E007F}", Err(Refusal::TextEmpty)),
            ("\u{FE0F}\u{034F}\u{17B4}", Err(Refusal::TextEmpty)),
            ("\u{2764}\u{FE0F}", Ok(())),
            ("\u{1F3F4}\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}", Ok(())),
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
