//! `cargo xtask run`: from a clone to a running Bellhop.

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
    println!("Bellhop: building what changed, then starting. The first time takes a few minutes.");
    tools::check_node()?;
    let began = Instant::now();
    for folder in web::FRONT_ENDS {
        build_front_end(places, folder)?;
    }
    let mut cargo = tools::cargo();
    cargo.args(["build", "--release", "--package", "bellhop-gateway", "--bin", "bellhop"]).current_dir(&places.root);
    finish("building the bellhop binary", &mut cargo)?;
    println!("Built in {:.0} s. Ctrl-C stops Bellhop; what it stored stays.", began.elapsed().as_secs_f32());
    start(&mut serve(places, args))
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
fn finish(what: &str, command: &mut Command) -> Result<(), String> {
    let tool = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("Stopped: {what} failed ({status}); its own words are above.")),
        Err(error) => Err(format!("Stopped: {tool} could not be started for {what}: {error}.")),
    }
}

/// `bellhop serve` on ./data with the demo page, unless the user's own arguments say otherwise.
fn serve(places: &Places, args: &[String]) -> Command {
    let mut command = Command::new(places.binary("release", "bellhop"));
    command.arg("serve").args(serve_args(&places.root, args));
    command
}

fn serve_args(root: &Path, args: &[String]) -> Vec<String> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let says = |flag: &str| args.iter().any(|arg| arg == flag || arg.starts_with(&format!("{flag}=")));
    let mut all = Vec::new();
    if !says("--data") {
        all.extend(["--data".to_owned(), root.join("data").to_string_lossy().into_owned()]);
    }
    if !says("--demo") {
        all.push("--demo".to_owned());
    }
    all.extend(args.iter().cloned());
    all
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

    fn args(given: &[&str]) -> Vec<String> {
        serve_args(Path::new("/repo"), &given.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_users_arguments_go_to_bellhop_and_override_ours() {
        assert_eq!(args(&[]), ["--data", "/repo/data", "--demo"]);
        assert_eq!(args(&["--", "--listen", "x"]), ["--data", "/repo/data", "--demo", "--listen", "x"]);
        assert_eq!(args(&["--data=/elsewhere"]), ["--demo", "--data=/elsewhere"]);
    }
}
