//! Seeing code without its comments, strings and tests, line numbers kept.

/// Which language's comments and strings to blank.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    TypeScript,
    Css,
}

/// The text with the inside of comments, and of strings if `strings`, replaced by spaces. The same number of lines.
pub(super) fn blanked(text: &str, language: Language, strings: bool) -> String {
    Blanker { rest: text, language, strings, out: String::with_capacity(text.len()) }.run()
}

struct Blanker<'a> {
    rest: &'a str,
    language: Language,
    strings: bool,
    out: String,
}

impl Blanker<'_> {
    fn run(mut self) -> String {
        let mut before = '\0';
        while let Some(char) = self.rest.chars().next() {
            if self.language != Language::Css && self.rest.starts_with("//") && before != ':' {
                self.blank(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.blank(self.rest[2..].find("*/").map_or(self.rest.len(), |at| at + 4));
            } else if let Some(length) = self.string(char, before) {
                if self.strings {
                    self.blank(length);
                } else {
                    self.keep(length);
                }
            } else {
                self.keep(char.len_utf8());
            }
            before = char;
        }
        self.out
    }

    fn keep(&mut self, length: usize) {
        let (kept, rest) = self.rest.split_at(length);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.out.extend(gone.chars().map(|char| if char == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }

    /// The length in bytes of the string or character literal that starts here.
    fn string(&self, char: char, before: char) -> Option<usize> {
        match (self.language, char) {
            (Language::Rust, 'r') if !is_word(before) => self.raw_string(),
            (_, '"') => Some(self.quoted('"')),
            (Language::Rust, '\'') => self.char_literal(),
            (Language::TypeScript | Language::Css, '\'') => Some(self.quoted('\'')),
            (Language::TypeScript, '`') => Some(self.quoted('`')),
            _ => None,
        }
    }

    fn raw_string(&self) -> Option<usize> {
        let hashes = self.rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        let body = self.rest[1 + hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        Some(body.find(&end).map_or(self.rest.len(), |at| 2 + hashes + at + end.len()))
    }

    /// `'x'` and `'\n'`, but not the lifetime `'a`.
    fn char_literal(&self) -> Option<usize> {
        let mut chars = self.rest.char_indices().skip(1);
        let (_, first) = chars.next()?;
        if first == '\\' {
            chars.next()?;
            return chars.find(|(_, char)| *char == '\'').map(|(at, _)| at + 1);
        }
        chars.next().filter(|(_, char)| *char == '\'').map(|(at, _)| at + 1)
    }

    fn quoted(&self, end: char) -> usize {
        let mut escaped = false;
        for (at, char) in self.rest.char_indices().skip(1) {
            match char {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                // Only Rust's strings and templates go over lines; elsewhere it was an apostrophe in prose (JSX).
                '\n' if self.language != Language::Rust && end != '`' => return 1,
                _ if char == end => return at + char.len_utf8(),
                _ => {}
            }
        }
        self.rest.len()
    }
}

pub(super) fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

/// Rust code without comments, strings, and whatever stands under `#[cfg(test)]`.
pub(super) fn rust_outside_tests(text: &str) -> String {
    let mut code = blanked(text, Language::Rust, true);
    let mut from = 0;
    while let Some(at) = code[from..].find("#[cfg(test)]").map(|at| at + from) {
        let end = item_end(&code, at + "#[cfg(test)]".len());
        let gone: String = code[at..end].chars().map(|char| if char == '\n' { '\n' } else { ' ' }).collect();
        code.replace_range(at..end, &gone);
        from = at + gone.len();
    }
    code
}

/// Where the item that starts here ends: after its block, or after its semicolon if that comes first.
fn item_end(code: &str, from: usize) -> usize {
    let Some(at) = code[from..].find(['{', ';']).map(|at| at + from) else { return code.len() };
    if code[at..].starts_with(';') { at + 1 } else { block_end(code, at) }
}

/// Where the block whose `{` stands at `open` ends, in blanked code.
pub(super) fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, char) in code[open..].char_indices() {
        match char {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

/// Where `word` stands in the line as a word of its own (no letter, digit or `_` before or after it).
pub(super) fn word(line: &str, word: &str) -> Option<usize> {
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = line[..*at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let first = word.starts_with(is_word);
        let last = word.ends_with(is_word);
        !(first && before.is_some_and(is_word) || last && after.is_some_and(is_word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_blanked_and_lines_kept() {
        let code = "let a = \"x // y\"; // todo!()\nlet b = r#\"dbg!(\"#; /* \n */ let c = '\"'; fn f<'a>() {}";
        let blank = blanked(code, Language::Rust, true);
        assert_eq!(blank.lines().count(), code.lines().count());
        assert!(!blank.contains("todo") && !blank.contains("dbg"));
        assert!(blank.contains("let b") && blank.contains("let c") && blank.contains("fn f<'a>() {}"));
        let kept = blanked("fetch(\"https://x.y\"); // https://z", Language::TypeScript, false);
        assert!(kept.contains("https://x.y") && !kept.contains("https://z"));
    }

    #[test]
    fn test_modules_are_left_out() {
        let code = rust_outside_tests("fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { c(); }\n}\nfn d() {}");
        assert!(code.contains("fn a") && code.contains("fn d") && !code.contains("fn b"));
    }

    #[test]
    fn words_are_whole() {
        assert_eq!(word("operand::x", "rand::"), None);
        assert_eq!(word("use rand::x", "rand::"), Some(4));
    }
}
