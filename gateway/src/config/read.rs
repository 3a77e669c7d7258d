//! Reading: file, environment and command line become one typed configuration, or errors that name place and remedy.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{BrokenRule, Config, KEYS, Key, build, path};
use super::rules;

/// Values of the command line: (section, key) and the value as TOML.
pub type Overrides = Vec<((&'static str, &'static str), String)>;

/// What is wrong, one sentence each, with its place.
#[derive(Debug, PartialEq, Eq)]
pub struct BadConfig(pub Vec<String>);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for BadConfig {}

/// Where a value came from, for the error.
#[derive(Debug, Clone)]
enum Source {
    Default,
    Line(usize),
    Environment(String),
    CommandLine,
}

/// Reads the configuration. `environment` is the process's, given so that a test can hold it.
///
/// # Errors
/// All that is wrong, each with file, line, key, rule and remedy.
pub fn load(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    overrides: &Overrides,
) -> Result<Config, BadConfig> {
    let name = file.map(|it| it.display().to_string()).unwrap_or_default();
    let text = match file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| BadConfig(vec![format!("{name}: the file cannot be read: {error}.")]))?,
        None => String::new(),
    };
    let mut problems = Vec::new();
    let mut texts: BTreeMap<(&'static str, &'static str), (String, Source)> = BTreeMap::new();
    for key in KEYS {
        texts.insert((key.section, key.name), (key.default.to_owned(), Source::Default));
    }
    read_file(&name, &text, &mut texts, &mut problems);
    read_environment(environment, &mut texts, &mut problems);
    for (key, value) in overrides {
        texts.insert(*key, (value.clone(), Source::CommandLine));
    }
    if !problems.is_empty() {
        return Err(BadConfig(problems));
    }
    finish(&name, &texts)
}

type Texts = BTreeMap<(&'static str, &'static str), (String, Source)>;

/// A value as it was given, for the rules that look at several keys.
pub(super) struct Setting<'a> {
    pub(super) key: &'static Key,
    /// Somebody gave it, and it is not the default.
    pub(super) changed: bool,
    /// It stands in the file.
    pub(super) in_file: bool,
    text: &'a str,
    source: &'a Source,
}

fn finish(name: &str, texts: &Texts) -> Result<Config, BadConfig> {
    let mut parsed: BTreeMap<(&'static str, &'static str), Spanned<DeValue<'_>>> = BTreeMap::new();
    let mut settings = Vec::new();
    for key in KEYS {
        let (text, source) = &texts[&(key.section, key.name)];
        // What is no TOML value (an address in the environment, say) is a text; a secret always is.
        let literal = || Spanned::new(0..0, DeValue::String(text.as_str().into()));
        let value = match source {
            Source::Environment(_) if key.secret => literal(),
            _ => DeValue::parse(text).unwrap_or_else(|_| literal()),
        };
        let is_default =
            DeValue::parse(key.default).is_ok_and(|default| format!("{default:?}") == format!("{value:?}"));
        let changed = !matches!(source, Source::Default) && !is_default;
        settings.push(Setting { key, changed, in_file: matches!(source, Source::Line(_)), text, source });
        parsed.insert((key.section, key.name), value);
    }
    let given = parsed.iter().map(|(key, value)| (*key, value.get_ref())).collect();
    let config = build(&given).and_then(|config| match rules::broken(&config, &settings) {
        broken if broken.is_empty() => Ok(config),
        broken => Err(broken),
    });
    config.map_err(|broken| BadConfig(broken.iter().map(|it| sentence(name, &settings, it)).collect()))
}

fn sentence(name: &str, settings: &[Setting<'_>], broken: &BrokenRule) -> String {
    let path = path(broken.section, broken.name);
    let Some(setting) = settings.iter().find(|it| it.key.path() == path) else {
        return format!("{path} {}.", broken.rule);
    };
    let place = match setting.source {
        Source::Line(line) => format!("{name}:{line}"),
        Source::Environment(variable) => format!("environment {variable}"),
        Source::CommandLine => "command line".to_owned(),
        Source::Default => "default".to_owned(),
    };
    let shown: String =
        if setting.key.secret { "not shown".to_owned() } else { setting.text.chars().take(80).collect() };
    format!("{place}: {path} {}; it is {shown}.", broken.rule)
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn read_file(name: &str, text: &str, texts: &mut Texts, problems: &mut Vec<String>) {
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let message = error.message().trim_end_matches('.');
            problems.push(format!(
                "{name}:{line}: this is not TOML: {message}. `bellhop config print` shows a whole file."
            ));
            return;
        }
    };
    for (section, content) in table.get_ref() {
        let line = line_of(text, section.span().start);
        let section = section.get_ref().as_ref();
        if let Some(known) = find("", section) {
            let raw = text.get(content.span()).unwrap_or_default().to_owned();
            texts.insert((known.section, known.name), (raw, Source::Line(line)));
            continue;
        }
        let Some(content) = content.get_ref().as_table() else {
            problems.push(format!("{name}:{line}: {section} stands outside of a section. {}", remedy("", section)));
            continue;
        };
        if section.is_empty() || !KEYS.iter().any(|key| key.section == section) {
            problems.push(format!("{name}:{line}: there is no section [{section}]. {}", remedy(section, "")));
            continue;
        }
        for (key, value) in content {
            let line = line_of(text, key.span().start);
            let key = key.get_ref().as_ref();
            match find(section, key) {
                Some(known) => {
                    let span = value.span();
                    let raw = text.get(span).unwrap_or_default().to_owned();
                    texts.insert((known.section, known.name), (raw, Source::Line(line)));
                }
                None => {
                    problems.push(format!("{name}:{line}: there is no key {section}.{key}. {}", remedy(section, key)))
                }
            }
        }
    }
}

fn read_environment(
    environment: impl Iterator<Item = (String, String)>,
    texts: &mut Texts,
    problems: &mut Vec<String>,
) {
    for (variable, value) in environment {
        let Some(rest) = variable.strip_prefix("BELLHOP_").map(str::to_ascii_lowercase) else { continue };
        let Some((section, key)) = rest.split_once("__") else {
            // Other names that begin so are none of ours: tests and scripts have theirs.
            if let Some(known) = find("", &rest) {
                texts.insert((known.section, known.name), (value, Source::Environment(variable)));
            }
            continue;
        };
        match find(section, key) {
            Some(known) => {
                texts.insert((known.section, known.name), (value, Source::Environment(variable)));
            }
            None => problems
                .push(format!("environment {variable}: there is no key {section}.{key}. {}", remedy(section, key))),
        }
    }
}

fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.section == section && key.name == name)
}

/// What was probably meant, or where to look.
fn remedy(section: &str, name: &str) -> String {
    let wanted = path(section, name);
    let close = |key: &&Key| {
        // The right name in the wrong section counts as near.
        let by_name = if key.name == name { 0 } else { distance(&key.path(), &wanted) };
        (by_name <= 3).then_some(by_name)
    };
    match KEYS.iter().filter(|key| close(key).is_some()).min_by_key(|key| close(key)) {
        Some(key) => format!("Did you mean {}?", key.path()),
        None => "`bellhop config print` shows every key.".to_owned(),
    }
}

/// Levenshtein's distance: how many letters differ.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let next = (diagonal + usize::from(a != *b)).min(row[j] + 1).min(row[j + 1] + 1);
            diagonal = row[j + 1];
            row[j + 1] = next;
        }
    }
    row[right.len()]
}

/// The whole file with every default, its kind, bounds and reason.
pub fn print() -> String {
    let mut out = String::from(
        "# Bellhop's configuration: every key with its default. A line that is left out keeps it.\n\
         # The environment comes after the file: server.listen is also BELLHOP_SERVER__LISTEN, store is BELLHOP_STORE.\n\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section != section {
            section = key.section;
            // Writing to a String cannot fail.
            let _ = write!(out, "\n[{section}]\n");
        }
        for line in wrap(key.why, 110) {
            let _ = writeln!(out, "# {line}");
        }
        let bounds = (key.bounds)();
        let bounds = if bounds.is_empty() { String::new() } else { format!(", {bounds}") };
        let _ = writeln!(out, "# ({}{bounds})\n{} = {}\n", key.form, key.name, key.default);
    }
    out
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("it begins with one line and only grows");
        if !line.is_empty() && line.len() + word.len() + 1 > width {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::values::{Consistency, StoreKind};
    use super::*;

    fn read(text: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        // One folder a test thread, so that names in errors are the same everywhere.
        let folder = std::env::temp_dir().join(format!("bellhop-config-{:?}", std::thread::current().id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("bellhop.toml");
        std::fs::write(&file, text).unwrap();
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let name = format!("{}/", folder.display());
        load(Some(&file), environment, &Vec::new())
            .map_err(|BadConfig(all)| all.into_iter().map(|it| it.replace(&name, "")).collect())
    }

    #[test]
    fn the_printed_file_is_the_default_configuration() {
        let printed = read(&print(), &[]).unwrap();
        let default = load(None, std::iter::empty(), &Vec::new()).unwrap();
        assert_eq!(format!("{printed:?}"), format!("{default:?}"));
        assert_eq!(default.server.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(default.routing.release_after, Duration::from_secs(60));
        for key in KEYS {
            assert!(key.why.len() > 20 && key.why.ends_with(['.', ')']), "{} lacks its reason", key.path());
        }
    }

    #[test]
    fn a_bad_configuration_names_line_key_rule_and_remedy() {
        for (text, want) in [
            ("[server]\nlisten = 8080", "bellhop.toml:2: server.listen must be an address and a port"),
            ("[server]\nlisten = \"localhost\"", "bellhop.toml:2: server.listen must be an address and a port"),
            (
                "[server]\n\nlistn = \"127.0.0.1:1\"",
                "bellhop.toml:3: there is no key server.listn. Did you mean server.listen?",
            ),
            ("[sever]\nlisten = \"127.0.0.1:1\"", "bellhop.toml:1: there is no section [sever]."),
            (
                "[admin]\nworker_threads = 2",
                "bellhop.toml:2: there is no key admin.worker_threads. Did you mean runtime.worker_threads?",
            ),
            ("listen = \"x\"", "bellhop.toml:1: listen stands outside of a section. Did you mean server.listen?"),
            ("[drain]\nover = 5", "bellhop.toml:2: drain.over must be a time from \"0ms\" to \"1h\""),
            ("[drain]\nover = \"2h\"", "bellhop.toml:2: drain.over must be a time from"),
            ("[drain]\nover = \"5 s\"", "bellhop.toml:2: drain.over must be a time from"),
            ("[limits]\nsessions = 0", "bellhop.toml:2: limits.sessions must be a whole number from 1 to 10000000"),
            ("[limits]\nsessions = -3", "bellhop.toml:2: limits.sessions must be a whole number"),
            ("[limits]\nsessions = \"many\"", "bellhop.toml:2: limits.sessions must be a whole number"),
            ("[demo]\nenabled = \"yes\"", "bellhop.toml:2: demo.enabled must be true or false"),
            ("[log]\nlevel = \"loud\"", "bellhop.toml:2: log.level must be one of"),
            (
                "[server]\npublic_url = \"chat.example\"",
                "bellhop.toml:2: server.public_url must be http:// or https://",
            ),
            ("[server]\npublic_url = \"https://chat.example/x\"", "bellhop.toml:2: server.public_url must be"),
            ("[server]\ntrusted_proxies = [\"10.0.0.0/99\"]", "bellhop.toml:2: server.trusted_proxies must be a list"),
            ("[server]\ntrusted_proxies = [\"::1\", 3]", "bellhop.toml:2: server.trusted_proxies must be a list"),
            ("[data]\ndir = \"\"", "bellhop.toml:2: data.dir must not be empty"),
            ("[server]\nlisten = ", "bellhop.toml:2: this is not TOML"),
            ("[server]\nlisten = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"", "bellhop.toml:3: this is not TOML"),
            ("[[server]]\nlisten = \"127.0.0.1:1\"", "bellhop.toml:1: server stands outside of a section."),
        ] {
            let problems = read(text, &[]).expect_err(text);
            assert!(problems[0].starts_with(want), "{text}\n got: {}\nwant: {want}", problems[0]);
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        assert_eq!(read("[limits]\nsessions = 0\nframes_burst = 0\n[log]\nlevel = 3", &[]).unwrap_err().len(), 3);
        assert_eq!(read("[limits]\nsesions = 0\nframe_burst = 0\n[lgo]", &[]).unwrap_err().len(), 3);
    }

    #[test]
    fn the_environment_overrides_the_file_and_is_checked_as_well() {
        let config = read("[server]\nlisten = \"127.0.0.1:1\"", &[("BELLHOP_SERVER__LISTEN", "127.0.0.1:2")]).unwrap();
        assert_eq!(config.server.listen.port(), 2);
        let config =
            read("", &[("BELLHOP_DRAIN__OVER", "9s"), ("BELLHOP_DEMO__ENABLED", "true"), ("HOME", "/")]).unwrap();
        assert!(config.demo.enabled);
        assert_eq!(config.drain.over, Duration::from_secs(9));
        let problems = read("", &[("BELLHOP_SERVER__LISTN", "x")]).unwrap_err();
        assert_eq!(
            problems,
            ["environment BELLHOP_SERVER__LISTN: there is no key server.listn. Did you mean server.listen?"]
        );
        let problems = read("", &[("BELLHOP_LIMITS__SESSIONS", "x")]).unwrap_err();
        assert!(
            problems[0].starts_with("environment BELLHOP_LIMITS__SESSIONS: limits.sessions must be"),
            "{problems:?}"
        );
    }

    #[test]
    fn the_store_is_chosen_in_front_of_all_sections_or_by_the_environment() {
        let scylla = "[scylla]\ncontact_points = [\"db1.internal\", \"10.0.0.7:9142\", \"[::1]\"]\n";
        let config = read(&format!("store = \"scylla\"\n{scylla}"), &[]).unwrap();
        assert_eq!(config.store, StoreKind::Scylla);
        let points: Vec<&str> = config.scylla.contact_points.iter().map(|it| it.0.as_str()).collect();
        assert_eq!(points, ["db1.internal:9042", "10.0.0.7:9142", "[::1]:9042"]);
        assert_eq!(config.scylla.consistency, Consistency::LocalQuorum);
        let environment = [("BELLHOP_STORE", "scylla"), ("BELLHOP_SCYLLA__CONTACT_POINTS", "[\"127.0.0.1:19042\"]")];
        assert_eq!(read("", &environment).unwrap().store, StoreKind::Scylla);
        assert_eq!(read("", &[("BELLHOP_CQL", "x")]).unwrap().store, StoreKind::Embedded);
    }

    #[test]
    fn keys_of_the_store_that_is_not_chosen_and_halves_of_pairs_are_told_with_their_remedy() {
        let chosen = "store = \"scylla\"\n[scylla]\ncontact_points = [\"a\"]\n";
        for (text, want) in [
            (
                "[scylla]\ncontact_points = [\"a\"]\nkeyspace = \"x\"".to_owned(),
                "bellhop.toml:2: scylla.contact_points is given (and 1 more of [scylla]), but store is \"embedded\"",
            ),
            ("store = \"scylla\"".to_owned(), "default: scylla.contact_points must name a node of the cluster"),
            ("store = \"sqlite\"".to_owned(), "bellhop.toml:1: store must be one of \"embedded\", \"scylla\""),
            ("stor = \"scylla\"".to_owned(), "bellhop.toml:1: stor stands outside of a section. Did you mean store?"),
            ("[store]\nkind = \"scylla\"".to_owned(), "bellhop.toml:1: store must be one of"),
            (format!("{chosen}username = \"u\""), "bellhop.toml:4: scylla.username is given without a password"),
            (
                format!("{chosen}password_file = \"/x\""),
                "bellhop.toml:4: scylla.password_file is given without scylla.username",
            ),
            (
                format!("{chosen}tls_cert_file = \"/x\""),
                "bellhop.toml:4: scylla.tls_cert_file is given without its private key",
            ),
            (
                format!("{chosen}tls_key_file = \"/x\""),
                "bellhop.toml:4: scylla.tls_key_file is given without its certificate",
            ),
            (
                format!("{chosen}tls_cert_file = \"/x\"\ntls_key_file = \"/x\""),
                "bellhop.toml:4: scylla.tls_cert_file is given without scylla.tls_ca_file",
            ),
            (
                format!("{chosen}keyspace = \"Big\""),
                "bellhop.toml:4: scylla.keyspace must be a name of 1 to 48 lower-case",
            ),
            (
                format!("{chosen}replication = 0"),
                "bellhop.toml:4: scylla.replication must be a whole number from 1 to 9",
            ),
            (format!("{chosen}consistency = \"one\""), "bellhop.toml:4: scylla.consistency must be one of"),
            (format!("{chosen}datacentre = \"\""), "bellhop.toml:4: scylla.datacentre must name the datacentre"),
            (
                format!("{chosen}datacentre = \" dc\""),
                "bellhop.toml:4: scylla.datacentre must have no control characters",
            ),
            (
                "[scylla]\ncontact_points = [\"a:b:c\"]".to_owned(),
                "bellhop.toml:2: scylla.contact_points must be a list",
            ),
            ("[scylla]\ncontact_points = [\"a:0\"]".to_owned(), "bellhop.toml:2: scylla.contact_points must be a list"),
            ("[scylla]\ncontact_points = [\"\"]".to_owned(), "bellhop.toml:2: scylla.contact_points must be a list"),
        ] {
            let problems = read(&text, &[]).expect_err(&text);
            assert!(problems[0].starts_with(want), "{text}\n got: {}\nwant: {want}", problems[0]);
        }
        // What `config print` wrote and nobody changed is no choice of a store.
        read("[scylla]\nkeyspace = \"bellhop\"\nreplication = 3", &[]).unwrap();
    }

    #[test]
    fn a_password_comes_from_a_file_or_the_environment_and_is_never_shown() {
        const CANARY: &str = "12345";
        let chosen = "store = \"scylla\"\n[scylla]\ncontact_points = [\"a\"]\nusername = \"u\"\n";
        let variable = [("BELLHOP_SCYLLA__PASSWORD", CANARY)];
        let config = read(chosen, &variable).unwrap();
        assert_eq!(config.scylla.password.expose(), CANARY, "taken to the letter, though it looks like a number");
        assert!(!format!("{config:?}").contains(CANARY));
        for (text, environment) in [
            (format!("{chosen}password = \"{CANARY}\""), &[][..]),
            (format!("{chosen}password = {CANARY}"), &[]),
            (format!("{chosen}password_file = \"/x\""), &variable),
            (chosen.replace("username = \"u\"", ""), &variable),
            ("[limits]\nsessions = 5".to_owned(), &variable),
        ] {
            let problems = read(&text, environment).expect_err(&text);
            assert!(problems.iter().all(|it| !it.contains(CANARY)), "{problems:?}");
            assert!(problems[0].contains("scylla.password"), "{problems:?}");
        }
    }
}
