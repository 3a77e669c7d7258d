//! The command line.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bellhop_engine::ports::Store;
use bellhop_protocol::Id;
use bellhop_storage::Embedded;
use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accounts::{Accounts, OperatorCommand, Rates};
use crate::admin::{AskError, ask_running};
use crate::config::{self, BadConfig, Config, Overrides, StoreKind};
use crate::database;
use crate::http;
use crate::serve::Server;
use crate::site::Site;
use crate::telemetry::{self, SystemClock};

mod upkeep;

use self::upkeep::OpenOrRead;

/// Exit code of a wrong command line or configuration, as clap's own.
const USAGE: u8 = 2;

/// Bellhop: live chat for websites, in one binary.
#[derive(Debug, Parser)]
#[command(name = "bellhop", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server.
    Serve(Serve),
    /// Workspaces.
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// People.
    #[command(subcommand)]
    User(UserCommand),
    /// API keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make a new set-up link, while nobody owns a workspace.
    SetupLink {
        #[command(flatten)]
        place: Place,
    },
    /// The store itself: while no server uses it.
    #[command(subcommand)]
    Store(StoreCommand),
    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Make the store, or upgrade an older one to this version.
    Migrate {
        #[command(flatten)]
        place: Place,
    },
    /// Look at everything: every log whole, every list and row as the logs say. Names what is broken; exit code 1 then.
    Verify {
        #[command(flatten)]
        place: Place,
    },
    /// Make rows, snapshots and lists anew from the logs.
    Rebuild {
        #[command(flatten)]
        place: Place,
    },
}

/// Which configuration and which data.
#[derive(Debug, Args)]
struct Place {
    /// Configuration file (TOML). Without it the defaults and BELLHOP_<SECTION>__<KEY> of the environment hold.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Data directory; instead of data.dir.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    place: Place,
    /// Address and port for browsers; instead of server.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Address and port for health and metrics; instead of admin.listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin_listen: Option<String>,
    /// The address that visitors and agents use; instead of server.public_url.
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Serve the demo shop; instead of demo.enabled.
    #[arg(long)]
    demo: bool,
    /// Make the keyspace's tables, or upgrade older ones, before serving; instead of scylla.migrate.
    #[arg(long)]
    migrate: bool,
}

#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// Make a workspace; prints its id and the invite of its owner.
    Create {
        #[command(flatten)]
        place: Place,
        #[arg(long)]
        name: String,
        #[arg(long, value_name = "E-MAIL")]
        owner_email: String,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Make an invite link, good for 7 days and one person.
    Invite {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_name = "ID", value_parser = id)]
        workspace: Id,
        /// Only this e-mail may accept it.
        #[arg(long, value_name = "E-MAIL")]
        email: Option<String>,
        /// Invite an owner instead of an agent.
        #[arg(long)]
        owner: bool,
    },
    /// Make a link that sets a new password, good for a day.
    ResetPassword {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_name = "E-MAIL")]
        email: String,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make an API key; it is shown once.
    Create {
        #[command(flatten)]
        place: Place,
        #[arg(long, value_name = "ID", value_parser = id)]
        workspace: Id,
        #[arg(long)]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print a whole configuration file: every key with its default, unit, bounds and reason.
    Print,
    /// Check a configuration file and the environment.
    Check {
        /// The file.
        #[arg(value_name = "FILE", conflicts_with = "config")]
        file: Option<PathBuf>,
        /// The same, as `serve` takes it.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
}

fn id(text: &str) -> Result<Id, String> {
    Id::parse(text).map_err(|error| error.to_string())
}

/// Does what the command line says.
pub fn run(arguments: Arguments) -> ExitCode {
    match arguments.command {
        Command::Serve(it) => serve(&it),
        Command::Workspace(WorkspaceCommand::Create { place, name, owner_email }) => {
            operate(&place, OperatorCommand::CreateWorkspace { name, owner_email })
        }
        Command::User(UserCommand::Invite { place, workspace, email, owner }) => {
            operate(&place, OperatorCommand::InviteUser { workspace, email, owner })
        }
        Command::User(UserCommand::ResetPassword { place, email }) => {
            operate(&place, OperatorCommand::ResetPassword { email })
        }
        Command::Key(KeyCommand::Create { place, workspace, name }) => {
            operate(&place, OperatorCommand::CreateKey { workspace, name })
        }
        Command::SetupLink { place } => operate(&place, OperatorCommand::SetupLink {}),
        Command::Store(StoreCommand::Migrate { place }) => upkeep(&place, upkeep::migrate),
        Command::Store(StoreCommand::Verify { place }) => upkeep(&place, upkeep::verify),
        Command::Store(StoreCommand::Rebuild { place }) => upkeep(&place, upkeep::rebuild),
        Command::Config(ConfigCommand::Print) => say(&config::print()),
        Command::Config(ConfigCommand::Check { file, config }) => {
            let file = file.or(config);
            match config::load(file.as_deref(), config::environment(), &Vec::new()) {
                Ok(_) => say("The configuration is good.\n"),
                Err(error) => complain(USAGE, &error),
            }
        }
    }
}

/// Prints to standard output. A reader that is gone (`bellhop config print | head`) is no error.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}

fn complain(code: u8, error: &dyn std::fmt::Display) -> ExitCode {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{error}");
    ExitCode::from(code)
}

/// A text as a TOML value.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn load(place: &Place, mut overrides: Overrides) -> Result<Config, BadConfig> {
    if let Some(data) = &place.data {
        overrides.push((("data", "dir"), quoted(&data.to_string_lossy())));
    }
    config::load(place.config.as_deref(), config::environment(), &overrides)
}

fn serve(arguments: &Serve) -> ExitCode {
    let mut overrides = Overrides::new();
    for (key, value) in [
        (("server", "listen"), &arguments.listen),
        (("admin", "listen"), &arguments.admin_listen),
        (("server", "public_url"), &arguments.public_url),
    ] {
        overrides.extend(value.as_ref().map(|value| (key, quoted(value))));
    }
    if arguments.demo {
        overrides.push((("demo", "enabled"), "true".to_owned()));
    }
    if arguments.migrate {
        overrides.push((("scylla", "migrate"), "true".to_owned()));
    }
    let config = match load(&arguments.place, overrides) {
        Ok(config) => config,
        Err(error) => return complain(USAGE, &error),
    };
    telemetry::log_to_stderr(config.log.level, config.log.format);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if config.runtime.worker_threads > 0 {
        runtime.worker_threads(config.runtime.worker_threads);
    }
    let code = match runtime.enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(serve_until_told(config));
            // Whatever still runs has no acknowledged work left.
            runtime.shutdown_background();
            code
        }
        Err(error) => return complain(1, &format_args!("The threads could not be started: {error}.")),
    };
    ExitCode::from(code)
}

/// SIGTERM from an orchestrator, SIGINT from a terminal.
struct Told {
    terminate: Signal,
    interrupt: Signal,
}

impl Told {
    async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn serve_until_told(config: Config) -> u8 {
    let (Ok(terminate), Ok(interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        complain(1, &"Signals cannot be received.");
        return 1;
    };
    let mut told = Told { terminate, interrupt };
    let deadline = config.drain.deadline;
    // A database that is waited for may take a minute, and who is told to stop stops.
    let started = tokio::select! {
        started = Server::start(config) => started,
        () = told.again() => {
            tracing::info!("told to stop before the start was done");
            return 0;
        }
    };
    let server = match started {
        Ok(server) => server,
        Err(error) => {
            complain(1, &error);
            return 1;
        }
    };
    match server.welcome().await {
        Ok(welcome) => {
            let (inbox, data) = (welcome.inbox.expose(), &welcome.data);
            say(&format!("Demo page  {}\nInbox      {inbox}\nData       {data}\n", welcome.demo));
        }
        Err(error) => {
            complain(1, &error);
            return 1;
        }
    }
    tracing::info!(public_url = server.site().public_url, admin = %server.admin_address(), "bellhop is ready");
    if !http::front_ends_are_built() {
        tracing::warn!("this binary was built without its front ends; `cargo xtask run` builds them first");
    }
    let failed = tokio::select! {
        () = told.again() => None,
        reason = server.failure() => Some(reason),
    };
    if let Some(reason) = failed {
        tracing::error!("{reason}");
        complain(1, &reason);
        return 1;
    }
    tracing::info!("stopping: sockets are told to come back, accepted commands are finished");
    tokio::select! {
        ended = server.stop() => match ended {
            Ok(()) => {
                tracing::info!("stopped");
                0
            }
            Err(error) => {
                complain(1, &format_args!("The store could not be closed: {error}."));
                1
            }
        },
        () = tokio::time::sleep(deadline) => {
            complain(1, &"drain.deadline is over; stopped at once. Nothing that was acknowledged is lost.");
            // Not by returning: that would wait for what did not end.
            std::process::exit(1)
        }
        () = told.again() => {
            complain(1, &"Told a second time; stopped at once. Nothing that was acknowledged is lost.");
            std::process::exit(1)
        }
    }
}

/// A runtime for one command.
fn command_runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(|it| it.to_string())
}

/// Opens the store, or asks the server that has it open.
fn operate(place: &Place, command: OperatorCommand) -> ExitCode {
    let config = match load(place, Overrides::new()) {
        Ok(config) => config,
        Err(error) => return complain(USAGE, &error),
    };
    let done = command_runtime().and_then(|runtime| match config.store {
        StoreKind::Embedded => operate_embedded(&runtime, &config, command),
        StoreKind::Scylla => operate_scylla(&runtime, &config, command),
    });
    match done {
        Ok(lines) => say(&(lines.join("\n") + "\n")),
        Err(error) => complain(1, &error),
    }
}

fn operate_embedded(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    command: OperatorCommand,
) -> Result<Vec<String>, String> {
    // Opening would make one, and a link into an empty store of its own helps nobody.
    no_data(config)?;
    match runtime.block_on(database::open(config, Duration::ZERO)) {
        Ok(store) => runtime.block_on(operate_here(store, config, command)),
        Err(error) if error.is_in_use() => ask_running(&config.data.dir, &command).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

fn operate_scylla(
    runtime: &tokio::runtime::Runtime,
    config: &Config,
    command: OperatorCommand,
) -> Result<Vec<String>, String> {
    // The server on this machine first: to find the keyspace taken takes as long as a lease.
    match ask_running(&config.data.dir, &command) {
        Ok(lines) => return Ok(lines),
        Err(AskError::Refused(why)) => return Err(why),
        Err(AskError::NoToken { .. } | AskError::Silent { .. }) => {}
    }
    match runtime.block_on(database::open(config, Duration::ZERO)) {
        Ok(store) => runtime.block_on(operate_here(store, config, command)),
        Err(error) if error.is_in_use() => {
            Err(format!("{error} Or run this command beside that server, with its data.dir."))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Says so when there is no embedded store.
fn no_data(config: &Config) -> Result<(), String> {
    if Embedded::exists(&config.data.dir) {
        return Ok(());
    }
    let directory = config.data.dir.display();
    Err(format!("There is no Bellhop data in {directory}: say where with --data, or start bellhop serve there first."))
}

async fn operate_here(store: Arc<dyn Store>, config: &Config, command: OperatorCommand) -> Result<Vec<String>, String> {
    let site = Arc::new(Site::new(config.server.listen, &config.server.public_url.0, false, None));
    let rates = Rates::new(config.limits.key_requests_per_second);
    let accounts = Accounts::open(Arc::clone(&store), Arc::new(SystemClock), site, rates);
    let accounts = accounts.await.map_err(|error| error.to_string())?;
    let done = accounts.operate(command).await.map_err(|problem| problem.to_string());
    // Closed also when it was refused: the next one need not wait for this one's lease.
    store.close().await.map_err(|error| error.to_string())?;
    done
}

/// Does something to the store that needs it alone. What it says goes to standard output, line by line as it is found.
fn upkeep(place: &Place, work: impl AsyncFnOnce(&Config, &mut upkeep::Say) -> Result<bool, OpenOrRead>) -> ExitCode {
    let config = match load(place, Overrides::new()) {
        Ok(config) => config,
        Err(error) => return complain(USAGE, &error),
    };
    telemetry::log_to_stderr(config.log.level, config.log.format);
    let runtime = match command_runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(1, &error),
    };
    match runtime.block_on(work(&config, &mut |line: &str| {
        let _ = say(&format!("{line}\n"));
    })) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => complain(1, &error),
    }
}
