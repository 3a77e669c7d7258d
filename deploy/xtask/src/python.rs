//! The Python tools of the input tests (schemathesis, kosoku), in a virtual environment below target/.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::places::Places;
use crate::steps::Steps;
use crate::tally::Counter;
use crate::{run, tools};

/// Pinned, each file with its hash.
const REQUIREMENTS: &str = "gateway/tests/requirements.txt";

/// Debian's package for what the `python3` package leaves out.
const PACKAGE: &str = "python3-venv";

fn folder(places: &Places) -> PathBuf {
    places.target.join("python")
}

/// The environment's interpreter, if it holds what the requirements ask for now. The stamp is the requirements.
pub(crate) fn installed(places: &Places) -> Option<PathBuf> {
    let wanted = fs::read(places.root.join(REQUIREMENTS)).ok()?;
    let python = folder(places).join("bin/python");
    let stamp = fs::read(folder(places).join("requirements")).ok()?;
    (stamp == wanted && python.exists()).then_some(python)
}

/// Whether python3 can make virtual environments with pip in them.
fn can_make() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import venv, ensurepip"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Makes the environment and fills it, in this order.
fn commands(places: &Places) -> [(&'static str, Command); 2] {
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(folder(places));
    let mut install = Command::new(folder(places).join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    install.args(["--require-hashes", "--requirement"]).arg(places.root.join(REQUIREMENTS));
    [("virtual environment", make), ("pip install", install)]
}

fn remember(places: &Places) {
    // Without the stamp, the next run installs once more.
    let _ = fs::copy(places.root.join(REQUIREMENTS), folder(places).join("requirements"));
}

/// Installs what is missing, in steps named after `what`. The error is the reason to skip.
pub(crate) fn prepare(steps: &mut Steps, what: &str) -> Result<PathBuf, String> {
    let places = steps.places;
    if let Some(python) = installed(places) {
        return Ok(python);
    }
    if !can_make() && tools::can_install() {
        steps.apt(what, &[PACKAGE]);
    }
    if !can_make() {
        return Err(absent());
    }
    for (name, command) in commands(places) {
        if !steps.command(&format!("{what}: {name}"), Counter::Exit, command) {
            return Err("its Python packages could not be installed".to_owned());
        }
    }
    remember(places);
    Ok(folder(places).join("bin/python"))
}

/// The same without counting, and without packages of the system.
pub(crate) fn build(places: &Places) -> Result<(), String> {
    if installed(places).is_some() {
        return Ok(());
    }
    if !can_make() {
        return Err(absent());
    }
    for (name, mut command) in commands(places) {
        run::finish(&format!("Python's {name}"), &mut command)?;
    }
    remember(places);
    Ok(())
}

fn absent() -> String {
    format!("python3 with venv is missing; on Debian: sudo apt-get install {PACKAGE}")
}
