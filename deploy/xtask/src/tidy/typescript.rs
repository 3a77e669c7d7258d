//! Rules about the front ends' TypeScript.

use super::Finding;
use super::code::{Language, blanked, word};
use super::tree::{File, Tree, numbered};

/// Which folders a file of each room may import from by path, besides its own.
const ARROWS: [(&str, &[&str]); 4] = [
    ("widget", &["gateway/client"]),
    ("inbox-web", &["gateway/client"]),
    ("gateway/e2e", &["gateway/client"]),
    ("gateway/client", &[]),
];

/// XML namespaces: names that look like addresses and are never fetched.
const NAMESPACES: &str = "www.w3.org";

const SCRIPTS: [&str; 4] = ["ts", "tsx", "mjs", "js"];

pub(super) fn arrows(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|it| it.is(&SCRIPTS) || it.is(&["css", "html"])) {
        let Some((room, others)) = ARROWS.iter().find(|(room, _)| file.below(&[room])) else { continue };
        for (line, text) in file.lines() {
            let Some(specifier) = import_of(text) else { continue };
            if specifier.starts_with('.') {
                let target = resolve(&file.path, specifier);
                let inside =
                    |folder: &str| target.strip_prefix(folder).is_some_and(|it| it.is_empty() || it.starts_with('/'));
                if !inside(room) && !others.iter().any(|it| inside(it)) {
                    found.push(Finding::new(&file.path, line, format!("{room} → {target} is no arrow of the design")));
                }
            } else if *room == "gateway/client" && !file.is_test() {
                let what = format!("gateway/client imports the package {specifier}: both front ends would pay for it");
                found.push(Finding::new(&file.path, line, what));
            }
        }
    }
    found
}

/// What an `import`, `export … from`, dynamic import or CSS `@import` on this line names.
fn import_of(line: &str) -> Option<&str> {
    let after = ["from ", "import(", "import ", "@import "].into_iter().find_map(|it| {
        let rest = line[word(line, it)? + it.len()..].trim_start();
        rest.starts_with(['"', '\'']).then_some(rest)
    })?;
    let quote = after.chars().next()?;
    after[1..].split(quote).next()
}

/// `widget/src/a.ts` and `../../gateway/client/src/b` make `gateway/client/src/b`.
fn resolve(path: &str, specifier: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in specifier.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

pub(super) fn focus(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|it| it.is(&SCRIPTS)) {
        for (line, text) in numbered(&blanked(&file.text, Language::TypeScript, true)) {
            for focus in ["test.only", "it.only", "describe.only", "debugger"] {
                if word(text, focus).is_some() {
                    found.push(Finding::new(&file.path, line, focus));
                }
            }
        }
    }
    found
}

pub(super) fn same_origin(tree: &Tree) -> Vec<Finding> {
    let ships = |file: &&File| file.below(&["widget/src", "inbox-web/src", "gateway/client/src"]) && !file.is_test();
    let mut found = Vec::new();
    for file in tree.files.iter().filter(|it| it.is(&["ts", "tsx", "css", "html"])).filter(ships) {
        let language = if file.is(&["css"]) { Language::Css } else { Language::TypeScript };
        for (line, text) in numbered(&blanked(&file.text, language, false)) {
            for scheme in ["http://", "https://", "ws://", "wss://"] {
                for (at, _) in text.match_indices(scheme) {
                    let rest = &text[at + scheme.len()..];
                    let end = rest
                        .find(|char: char| !char.is_ascii_alphanumeric() && char != '.' && char != '-')
                        .unwrap_or(rest.len());
                    let host = &rest[..end];
                    if !host.is_empty() && host != NAMESPACES && !is_example(host) {
                        found.push(Finding::new(
                            &file.path,
                            line,
                            format!("the host {host} is written into a front end"),
                        ));
                    }
                }
            }
        }
    }
    found
}

/// Names that RFC 2606 keeps for examples; they stand in placeholders of forms.
fn is_example(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|it| it.is_empty() || it.ends_with('.'));
    below("example") || below("example.com") || below("example.org")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> Vec<usize> {
        rule(&Tree::of(&[(path, text)])).into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn an_import_across_rooms_fails() {
        let code = "import { a } from \"../../gateway/client/src/socket\";\nimport b from \"../../inbox-web/src/b\";\nimport \"./c.css\";\nconst d = await import(\"../../engine/x\");\nimport { h } from \"preact\";\n";
        assert_eq!(lines(arrows, "widget/src/a.ts", code), [2, 4]);
        assert_eq!(lines(arrows, "gateway/client/src/a.ts", "import { h } from \"preact\";\nimport \"./b\";\n"), [1]);
        assert_eq!(lines(arrows, "inbox-web/src/a.css", "@import \"../../widget/src/bubble.css\";\n"), [1]);
    }

    #[test]
    fn a_focused_test_fails() {
        assert_eq!(lines(focus, "widget/tests/a.test.ts", "test(\"x\", f);\ntest.only(\"y\", f);\n"), [2]);
    }

    #[test]
    fn a_third_party_host_fails() {
        let code = "// see https://developer.mozilla.org\nfetch(\"https://cdn.evil.net/x\");\nconst ns = \"http://www.w3.org/2000/svg\";\nnew WebSocket(`wss://${location.host}/ws`);\nconst hint = \"https://www.example.com\" + \"https://shop.example.\";\nlet x = \"https://myexample.com\";\n";
        assert_eq!(lines(same_origin, "widget/src/a.ts", code), [2, 6]);
    }
}
