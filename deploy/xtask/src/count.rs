//! `cargo xtask count`: the hot path in instructions (benches/src/bin/bellhop-count.rs under valgrind's callgrind), held
//! against what is recorded in the tree.
//!
//! Our own few lines instead of gungraun: that needs a second program of its version, built from about a hundred crates
//! on every fresh machine, and a bench harness, while `bellhop-count` is one more binary of the build that the tests make
//! anyway. For the same reason the tests' profile is counted and not that of users: a guard against growth needs the
//! same build each time, and criterion measures what users run.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use crate::places::Places;
use crate::process::run_lines;
use crate::steps::{STEP_LIMIT, Steps};
use crate::tally::Tally;
use crate::{run, tools};

pub(crate) const USAGE: &str = "usage: cargo xtask count [--record]

  counts the hot path's instructions and compares them with benches/instructions.txt; --record writes that file";

/// What is recorded: compiler and processor on the first line, then a benchmark and its count a line.
const RECORD: &str = "benches/instructions.txt";

const BINARY: &str = "bellhop-count";

/// The function of the binary whose callees are counted, and after which callgrind writes its counts out. In full:
/// valgrind 3.19 takes a `*` in `--toggle-collect` and overlooks it in `--dump-after`.
const COUNTED: &str = "bellhop_count::bellhop_counted";

/// glibc chooses its `memcpy` and the like by the processor; these are what it chooses by, so that every x86-64 machine
/// takes the same ones. What crates choose by themselves (memchr) cannot be pinned: only the same kind of processor is
/// compared.
const PINNED: &str =
    "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM,-BMI2,-RTM";

/// Debian's package.
const PACKAGE: &str = "valgrind";

/// A count may grow, or shrink without a word, by so many thousandths of what is recorded.
const TOLERATED_THOUSANDTHS: u64 = 50;

const REMEDY: &str = "if that is meant: cargo xtask count --record";

/// Counts, and what they depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    /// The compiler that made what was counted, and the kind of processor.
    setting: String,
    /// Name and instructions, in the order of the benchmarks.
    counts: Vec<(String, u64)>,
}

impl Record {
    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines();
        let setting = lines.next().unwrap_or_default().to_owned();
        let counts = lines.map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        });
        let counts: Option<_> = counts.collect();
        let counts = counts.ok_or_else(|| format!("{RECORD} cannot be read; cargo xtask count --record"))?;
        Ok(Self { setting, counts })
    }

    fn text(&self) -> String {
        let lines = self.counts.iter().map(|(name, count)| format!("{name} {count}\n"));
        std::iter::once(format!("{}\n", self.setting)).chain(lines).collect()
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.counts.iter().find(|(it, _)| it == name).map(|(_, count)| *count)
    }
}

/// One test a benchmark. Hints are what to say besides.
fn compare(recorded: &Record, now: &Record) -> (Tally, Vec<String>) {
    if recorded.setting != now.setting {
        let (then, now) = (&recorded.setting, &now.setting);
        let why =
            format!("NOT COMPARED: recorded with {then}, this is {now}; to hold this one: cargo xtask count --record");
        return (Tally::skip(why), Vec::new());
    }
    let (mut tally, mut hints) = (Tally::default(), Vec::new());
    let fail = |tally: &mut Tally, sentence: String| {
        tally.failed += 1;
        tally.failures.push(sentence);
    };
    for (name, was) in &recorded.counts {
        let Some(is) = now.of(name) else {
            fail(&mut tally, format!("{name} is recorded and was not counted; {REMEDY}"));
            continue;
        };
        let percent = (is as f64 / (*was).max(1) as f64 - 1.0) * 100.0;
        let said = format!("{name}: {was} instructions recorded, {is} now, {percent:+.1} %");
        if is * 1_000 > was * (1_000 + TOLERATED_THOUSANDTHS) {
            fail(&mut tally, format!("{said}; {REMEDY}"));
        } else {
            tally.passed += 1;
            if is * 1_000 < was * (1_000 - TOLERATED_THOUSANDTHS) {
                hints.push(format!("{said}: better; hold it by cargo xtask count --record"));
            }
        }
    }
    for (name, is) in now.counts.iter().filter(|(name, _)| recorded.of(name).is_none()) {
        fail(&mut tally, format!("{name} ({is} instructions) is not recorded; {REMEDY}"));
    }
    (tally, hints)
}

pub(crate) fn count(places: &Places, args: &[String]) -> ExitCode {
    let record = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--record"] => true,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let counted = tools::version_of(PACKAGE).ok_or_else(absent).and_then(|_| {
        let mut cargo = tools::cargo();
        cargo.args(["build", "--workspace", "--bin", BINARY]).current_dir(&places.root);
        run::finish("building what is counted", &mut cargo)?;
        counted(places)
    });
    let tally = counted.and_then(|now| {
        if record {
            fs::write(places.root.join(RECORD), now.text()).map_err(|error| format!("{RECORD}: {error}"))?;
            println!("{}recorded in {RECORD}", now.text());
            return Ok(Tally::default());
        }
        now.counts.iter().for_each(|(name, count)| println!("{name} {count}"));
        judged(places, &now)
    });
    match tally {
        Ok(tally) => {
            tally.failures.iter().chain(&tally.skips).for_each(|it| println!("{it}"));
            if tally.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

/// The step of `cargo xtask test`, after the build of the binaries.
pub(crate) fn step(steps: &mut Steps) {
    const NAME: &str = "count";
    if !steps.wanted(NAME) {
        return;
    }
    if tools::version_of(PACKAGE).is_none() && tools::can_install() {
        steps.apt(NAME, &[PACKAGE]);
    }
    if tools::version_of(PACKAGE).is_none() {
        steps.skip(NAME, &absent());
        return;
    }
    let places = steps.places;
    steps.step(NAME, || counted(places).and_then(|now| judged(places, &now)).unwrap_or_else(Tally::failure));
}

fn absent() -> String {
    format!("{PACKAGE} is missing; on Debian: sudo apt-get install {PACKAGE}")
}

fn judged(places: &Places, now: &Record) -> Result<Tally, String> {
    let text = match fs::read_to_string(places.root.join(RECORD)) {
        Ok(text) => text,
        Err(error) => {
            return Ok(Tally::skip(format!("NOT COMPARED: {RECORD}: {error}; cargo xtask count --record")));
        }
    };
    let (tally, hints) = compare(&Record::parse(&text)?, now);
    hints.iter().for_each(|it| println!("{it}"));
    Ok(tally)
}

/// Runs the binary, which is built, under callgrind.
fn counted(places: &Places) -> Result<Record, String> {
    let folder = places.target.join("count");
    let disk = |error: std::io::Error| format!("{}: {error}", folder.display());
    match fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(disk(error)),
        _ => fs::create_dir_all(&folder).map_err(disk)?,
    }
    let dump = folder.join("callgrind");
    let mut valgrind = Command::new(PACKAGE);
    valgrind.args(["--tool=callgrind", "--quiet"]);
    valgrind.arg(format!("--callgrind-out-file={}", dump.display()));
    valgrind.arg(format!("--toggle-collect={COUNTED}")).arg(format!("--dump-after={COUNTED}"));
    valgrind.arg(places.binary("debug", BINARY)).arg(folder.join("store")).env("GLIBC_TUNABLES", PINNED);
    let (names, success) = run_lines(&mut valgrind, STEP_LIMIT, |names: &mut Vec<(String, u64)>, line| {
        if let Some((name, Ok(times))) = line.rsplit_once(' ').map(|(name, times)| (name, times.parse()))
            && name.contains('/')
            && !name.contains(' ')
        {
            names.push((name.to_owned(), times));
        }
    });
    if !success? {
        return Err(format!("{BINARY} failed under valgrind; its own words are above"));
    }
    if names.is_empty() {
        return Err(format!("{BINARY} named no benchmark"));
    }
    let mut counts = Vec::new();
    for (number, (name, times)) in (1..).zip(names) {
        let file = PathBuf::from(format!("{}.{number}", dump.display()));
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let total = total(&text).filter(|it| *it > 0).ok_or_else(|| format!("{} counted nothing", file.display()))?;
        counts.push((name, total / times.max(1)));
    }
    Ok(Record { setting: format!("{}, {}", compiler(places)?, processor()), counts })
}

/// What callgrind counted until a dump.
fn total(dump: &str) -> Option<u64> {
    dump.lines().find_map(|line| line.strip_prefix("totals: "))?.trim().parse().ok()
}

/// `AuthenticAMD 26.2`: vendor, family and model.
fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let of =
            |line: &str| line.split_once(':').filter(|(key, _)| key.trim() == name).map(|(_, it)| it.trim().to_owned());
        text.lines().find_map(of).unwrap_or_else(|| "unknown".to_owned())
    };
    format!("{} {}.{}", field("vendor_id"), field("cpu family"), field("model"))
}

/// `rustc 1.95.0 (59807616e 2026-04-14) for x86_64-unknown-linux-gnu`.
fn compiler(places: &Places) -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").current_dir(&places.root).stdin(Stdio::null()).output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).into_owned());
    let text = text.map_err(|error| format!("rustc could not be started: {error}"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    match (text.lines().next(), host) {
        (Some(version), Some(host)) => Ok(format!("{version} for {host}")),
        _ => Err("rustc does not say its version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(setting: &str, counts: &[(&str, u64)]) -> Record {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Record { setting: setting.to_owned(), counts }
    }

    #[test]
    fn growth_past_five_percent_fails_and_says_what_grew() {
        let recorded = record("rustc 1", &[("frames/a", 1_000), ("frames/b", 1_000)]);
        let (tally, hints) = compare(&recorded, &record("rustc 1", &[("frames/a", 1_050), ("frames/b", 1_051)]));
        assert_eq!((tally.passed, tally.failed, hints.len()), (1, 1, 0));
        assert_eq!(
            tally.failures,
            ["frames/b: 1000 instructions recorded, 1051 now, +5.1 %; if that is meant: cargo xtask count --record"]
        );
    }

    #[test]
    fn shrinking_passes_and_is_told() {
        let recorded = record("rustc 1", &[("frames/a", 1_000), ("frames/b", 1_000)]);
        let (tally, hints) = compare(&recorded, &record("rustc 1", &[("frames/a", 950), ("frames/b", 949)]));
        assert_eq!((tally.passed, tally.failed), (2, 0));
        assert!(hints.len() == 1 && hints[0].contains("frames/b") && hints[0].contains("-5.1 %"), "{hints:?}");
    }

    #[test]
    fn a_missing_and_an_extra_benchmark_fail_by_name() {
        let (tally, _) = compare(&record("rustc 1", &[("frames/a", 10)]), &record("rustc 1", &[("frames/b", 10)]));
        assert_eq!((tally.passed, tally.failed), (0, 2));
        assert!(tally.failures[0].contains("frames/a") && tally.failures[1].contains("frames/b"));
    }

    #[test]
    fn another_compiler_or_processor_is_a_skip_with_its_reason() {
        let (tally, _) = compare(&record("rustc 1", &[("frames/a", 10)]), &record("rustc 2", &[("frames/a", 99)]));
        assert_eq!((tally.passed, tally.failed, tally.skipped), (0, 0, 1));
        assert!(tally.skips[0].contains("rustc 1") && tally.skips[0].contains("rustc 2"));
    }

    #[test]
    fn a_record_says_again_what_was_written() {
        let it = record("rustc 1 for here", &[("frames/a", 10), ("frames/b", 0)]);
        assert_eq!(Record::parse(&it.text()), Ok(it));
        assert!(Record::parse("rustc 1\nframes/a ten\n").is_err());
        assert_eq!(total("version: 1\nfn=(1)\n1 2\n\ntotals: 345\n"), Some(345));
    }
}
