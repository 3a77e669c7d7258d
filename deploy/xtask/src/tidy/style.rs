//! Rules about colours and sizes: they live in gateway/client/tokens.css.

use super::Finding;
use super::code::{Language, blanked, word};
use super::tree::{File, Tree, numbered};

/// Functions that make a colour of numbers. `color-mix`, `light-dark` and `var` work on given ones.
const COLOUR_FUNCTIONS: [&str; 9] = ["rgb(", "rgba(", "hsl(", "hsla(", "hwb(", "lab(", "lch(", "oklab(", "oklch("];

/// The names that people reach for. System colours (`Canvas`, `Highlight`), `transparent` and `currentColor` are not
/// literal: they follow the user.
const COLOUR_NAMES: [&str; 16] = [
    "black", "white", "red", "green", "blue", "yellow", "orange", "purple", "pink", "brown", "gray", "grey", "silver",
    "gold", "teal", "navy",
];

/// Properties that the tokens have a scale for.
const SCALED: [&str; 8] =
    ["font-size", "line-height", "border-radius", "padding", "margin", "gap", "row-gap", "column-gap"];

fn styles(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| file.is(&["css"]) && file.below(&["widget", "inbox-web"]))
}

struct Declaration {
    line: usize,
    property: String,
    value: String,
}

/// The declarations of a style sheet. What ends in `{` is a selector or an at-rule, where `#add` is an id and a media
/// query cannot use tokens.
fn declarations(text: &str) -> Vec<Declaration> {
    let code = blanked(text, Language::Css, true);
    let mut found = Vec::new();
    let mut start = 0;
    for (at, end) in code.match_indices(['{', '}', ';']) {
        let part = &code[start..at];
        if end != "{"
            && let Some((property, value)) = part.split_once(':')
        {
            let before = start + part.len() - part.trim_start().len();
            found.push(Declaration {
                line: code[..before].matches('\n').count() + 1,
                property: property.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        }
        start = at + 1;
    }
    found
}

pub(super) fn colours(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in styles(tree) {
        for it in declarations(&file.text) {
            if let Some(colour) = literal_colour(&it.value) {
                found.push(Finding::new(&file.path, it.line, format!("{}: {colour}", it.property)));
            }
        }
    }
    let ships =
        |file: &&File| file.is(&["ts", "tsx"]) && file.below(&["widget/src", "inbox-web/src"]) && !file.is_test();
    for file in tree.files.iter().filter(ships) {
        for (line, text) in numbered(&blanked(&file.text, Language::TypeScript, false)) {
            for quoted in
                text.split(['"', '\'', '`']).skip(1).step_by(2).filter(|it| is_hex_colour(it) && !is_end_of_scale(it))
            {
                found.push(Finding::new(&file.path, line, format!("the colour {quoted} in code")));
            }
        }
    }
    found
}

fn literal_colour(value: &str) -> Option<&str> {
    let mut words = value.split(|char: char| char.is_whitespace() || matches!(char, ',' | '(' | ')' | '/'));
    words
        .find(|word| is_hex_colour(word) || COLOUR_NAMES.contains(&word.to_ascii_lowercase().as_str()))
        .or_else(|| COLOUR_FUNCTIONS.into_iter().find(|it| is_literal_call(value, it)))
}

/// `oklch(0.5 0.1 200)` is a literal colour, `oklch(from var(--accent) …)` works on a given one.
fn is_literal_call(value: &str, function: &str) -> bool {
    word(value, function).is_some_and(|at| !value[at + function.len()..].trim_start().starts_with("from "))
}

/// Black and white: in code they are the ends that a contrast is computed against.
fn is_end_of_scale(word: &str) -> bool {
    let hex = word.trim_start_matches('#').to_ascii_lowercase();
    hex.chars().all(|char| char == '0') || hex.chars().all(|char| char == 'f')
}

fn is_hex_colour(word: &str) -> bool {
    word.strip_prefix('#')
        .is_some_and(|hex| matches!(hex.len(), 3 | 4 | 6 | 8) && hex.chars().all(|char| char.is_ascii_hexdigit()))
}

pub(super) fn sizes(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in styles(tree) {
        for it in declarations(&file.text) {
            let scaled = SCALED.iter().any(|name| {
                it.property.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
            });
            if scaled && let Some(size) = literal_size(&it.value) {
                found.push(Finding::new(&file.path, it.line, format!("{}: {size}", it.property)));
            }
        }
    }
    found
}

/// A px or rem number. 1px is a hairline, and -1px its overlap, in any property.
fn literal_size(value: &str) -> Option<&str> {
    value.split(|char: char| char.is_whitespace() || matches!(char, ',' | '(' | ')')).find(|word| {
        let number = word.strip_suffix("px").or_else(|| word.strip_suffix("rem"));
        number.is_some_and(|it| it.trim_start_matches('-') != "1" && it.parse::<f32>().is_ok_and(|size| size != 0.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn a_literal_colour_in_a_style_sheet_or_in_code_fails() {
        let css = "#add:hover { color: var(--bh-ink); }\n/* #fff */\n.a {\n  background: #FFF;\n  border: 1px solid rgb(1 2 3 / 4%);\n  color: white;\n  fill: currentColor;\n  stroke: oklch(from var(--bh-accent) l c h);\n  white-space: pre;\n}\n";
        assert_eq!(lines(colours, "widget/src/a.css", css), [4, 5, 6]);
        assert_eq!(lines(colours, "gateway/client/tokens.css", css), []);
        assert_eq!(
            lines(
                colours,
                "widget/src/a.ts",
                "const a = \"#0f5c63\";\nconst b = \"#add-me\";\nconst c = contrast(d, \"#ffffff\");\n"
            ),
            [1]
        );
    }

    #[test]
    fn a_literal_size_where_the_tokens_have_a_scale_fails() {
        let css = ".a {\n  padding: var(--bh-2) 7px;\n  width: 384px;\n  margin-left: -1px;\n  border-radius: 0;\n  font-size: 15px\n}\n@media (max-width: 480px) { .a { gap: 4px } }\n";
        assert_eq!(lines(sizes, "inbox-web/src/a.css", css), [2, 6, 8]);
    }
}
