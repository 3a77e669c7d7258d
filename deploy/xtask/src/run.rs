//! `cargo xtask run`: from a clone to a running Bellhop.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use crate::places::Places;
use crate::{tools, web};

pub(crate) fn run(places: &Places, args: &[String]) -> ExitCode {
    match build_and_start(places, args) {
        Ok(code) => code,
        Err(sentence) => {
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}

fn build_and_start(places: &Places, args: &[String]) -> Result<ExitCode, String> {
    let first = if places.binary("release", "bellhop").exists() { "" } else { " The first time takes a few minutes." };
    println!("Bellhop: building what changed, then starting.{first}");
    let began = Instant::now();
    build(places)?;
    println!("Built in {:.0} s. Ctrl-C stops Bellhop; what it stored stays.", began.elapsed().as_secs_f32());
    start(&mut serve(places, args))
}

/// Everything that users run.
pub(crate) fn build(places: &Places) -> Result<(), String> {
    build_front_ends(places)?;
    if tools::check_make().is_err() && tools::can_install() {
        tools::apt(&[tools::MAKE]).iter_mut().try_for_each(|command| finish("installing make", command))?;
    }
    tools::check_make()?;
    let mut cargo = tools::cargo();
    cargo.args(["build", "--release", "--workspace", "--bin", "bellhop"]).current_dir(&places.root);
    finish("building the bellhop binary", &mut cargo)
}

/// What is embedded in every binary of the gateway, the tests' too.
pub(crate) fn build_front_ends(places: &Places) -> Result<(), String> {
    tools::check_node()?;
    web::FRONT_ENDS.iter().try_for_each(|folder| build_front_end(places, folder))
}

fn build_front_end(places: &Places, folder: &str) -> Result<(), String> {
    let disk = |error| format!("{folder}: its build could not be looked at or remembered: {error}.");
    if !web::is_installed(places, folder) {
        println!("{folder}: installing its packages (npm ci)");
        finish(&format!("npm ci in {folder}/"), &mut web::npm_ci(places, folder))?;
        web::remember_installed(places, folder).map_err(disk)?;
    }
    if !web::is_built(places, folder).map_err(disk)? {
        println!("{folder}: building");
        finish(&format!("npm run build in {folder}/"), &mut web::npm(places, folder, &["run", "--silent", "build"]))?;
        web::remember_built(places, folder).map_err(disk)?;
    }
    Ok(())
}

/// Runs a command to its end with its output in view.
pub(crate) fn finish(what: &str, command: &mut Command) -> Result<(), String> {
    let tool = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("Stopped: {what} failed ({status}); its own words are above.")),
        Err(error) => Err(format!("Stopped: {tool} could not be started for {what}: {error}.")),
    }
}

/// `bellhop serve` on ./data with the demo page. Ours are only what the user left open: a configuration file or a
/// variable of theirs holds, and so do their arguments, which bellhop ranks above the environment.
fn serve(places: &Places, args: &[String]) -> Command {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let mut command = Command::new(places.binary("release", "bellhop"));
    command.arg("serve").args(args);
    if !args.iter().any(|arg| arg == "--config" || arg.starts_with("--config=")) {
        let set = |name: &str| std::env::var_os(name).is_some();
        command.envs(ours(&places.root).into_iter().filter(|(name, _)| !set(name)));
    }
    command
}

fn ours(root: &Path) -> [(&'static str, OsString); 2] {
    [("BELLHOP_DATA__DIR", root.join("data").into_os_string()), ("BELLHOP_DEMO__ENABLED", "true".into())]
}

/// Becomes the command, as cargo became us: signals of the terminal, exit code and process id are bellhop's own, and
/// no parent stands between that would have to hand them on.
#[cfg(unix)]
fn start(command: &mut Command) -> Result<ExitCode, String> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(format!("{} could not be started: {error}.", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn start(command: &mut Command) -> Result<ExitCode, String> {
    finish("bellhop serve", command).map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve_with(args: &[&str]) -> (Vec<String>, Vec<String>) {
        let places = Places { root: "/repo".into(), target: "/repo/target".into() };
        let command = serve(&places, &args.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>());
        let text = |it: &std::ffi::OsStr| it.to_string_lossy().into_owned();
        (command.get_args().map(text).collect(), command.get_envs().map(|(name, _)| text(name)).collect())
    }

    #[test]
    fn the_users_arguments_go_to_bellhop() {
        assert_eq!(serve_with(&["--", "--listen", "x"]).0, ["serve", "--listen", "x"]);
        assert_eq!(serve_with(&["--listen", "x"]).0, ["serve", "--listen", "x"]);
    }

    #[test]
    fn the_users_configuration_file_is_not_overridden() {
        assert_eq!(serve_with(&[]).1, ["BELLHOP_DATA__DIR", "BELLHOP_DEMO__ENABLED"]);
        assert!(serve_with(&["--config=mine.toml"]).1.is_empty());
    }
}
