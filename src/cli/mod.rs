//! The commands `estd` and `est`: arguments in, text and an exit code out. The only modules that
//! print.

mod admin_client;
mod audit;
mod failure;
mod first_password;
mod init;
mod operator;
mod output;
mod process;
mod progress;
mod serve;
mod served;
mod store;
mod welcome;

use crate::{
    config::{self, Secrets, Settings, Source},
    server,
};
use clap::{Args, Parser, Subcommand};
use failure::{Failure, Kind};
use operator::args::{CaCommand, CertCommand, UserCommand};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// An RFC 7030 (EST) enrollment server with its own CA.
#[derive(Debug, Parser)]
#[command(name = "estd", version, max_term_width = 100)]
struct Estd {
    /// The configuration file. Without it: est.toml here, or /etc/estd/est.toml, or built-in defaults
    /// that serve this machine only.
    #[arg(long, short, global = true, env = "ESTD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints JSON instead of text. Errors are JSON, too, on standard error.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Writes an annotated configuration for a new server.
    Init(init::InitArguments),
    /// Serves EST until SIGTERM; SIGHUP reads the configuration again.
    Serve,
    /// Checks the configuration and reports every error in it.
    CheckConfig,
    /// Shows the state of the running server, and what needs attention.
    Status,
    /// Has the running server read its configuration again, and prints the verdict.
    Reload,
    /// Renews the certificate of the running server.
    #[command(subcommand)]
    ServerCertificate(ServerCertificateCommand),
    /// Lists, shows and revokes certificates.
    #[command(subcommand)]
    Cert(CertCommand),
    /// Shows the CAs of this server.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Lists, follows and exports the audit trail: committed events of all nodes.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Adds, removes and lists enrollment accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Checks, compacts, exports, imports and copies the store while no server uses it.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Subcommand)]
enum ServerCertificateCommand {
    /// Has the running server renew it now, with a new key, due or not.
    Renew,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Reads everything and reports what is wrong, also while the server runs (not on PostgreSQL).
    /// Exit code 1 if anything is wrong.
    Check,
    /// Gives back disk space that the store no longer needs. Needs as much room again meanwhile.
    Compact,
    /// Writes all that the store holds, password hashes too, as lines of JSON. Also while the server
    /// runs (not on PostgreSQL).
    Export {
        /// A file that does not exist yet; standard output without it.
        file: Option<PathBuf>,
    },
    /// Imports an export into an empty store, or continues an import that was interrupted.
    Import {
        /// The file that `estd store export` wrote.
        file: PathBuf,
    },
    /// Copies one store into another, empty one, and compares both.
    Copy(CopyArguments),
}

#[derive(Debug, Args)]
struct CopyArguments {
    /// The store of this configuration to read. sled: the one in the data folder.
    #[arg(long)]
    from: BackendName,
    /// The store to fill.
    #[arg(long)]
    to: BackendName,
    /// The configuration of the target; the same one by default.
    #[arg(long, value_name = "FILE")]
    target_config: Option<PathBuf>,
}

/// A kind of store that outlasts the process.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum BackendName {
    /// In the data folder.
    Sled,
    /// The database that [store] names.
    Postgres,
}

impl From<BackendName> for server::BackendKind {
    fn from(name: BackendName) -> Self {
        match name {
            BackendName::Sled => Self::Sled,
            BackendName::Postgres => Self::Postgres,
        }
    }
}

/// What every command of the operator gets.
struct Context {
    settings: Settings,
    /// Whether JSON is wanted.
    json: bool,
}

/// Runs `estd` with the arguments of the process. Exit codes: 0 done, 1 failed, 2 wrong arguments
/// or configuration, 3 done in part.
#[must_use]
pub fn estd() -> ExitCode {
    let arguments = match Estd::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_arguments(&error),
    };
    let json = arguments.json;
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

/// Reports what is wrong with the arguments; `--help` and `--version` come this way, too.
fn wrong_arguments(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        return Failure::arguments(text.trim_end(), "see --help").report(true);
    }
    // Nobody may be there to read it.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run(arguments: Estd) -> Result<(), Failure> {
    let Estd { config, json, command } = arguments;
    let source = config.map_or(Source::Search, Source::File);
    let environment = |name: &str| std::env::var(name).ok();
    let context = |secrets| {
        let settings = source.read(&environment, secrets).map_err(Failure::Config)?;
        Ok::<_, Failure>(Context { settings, json })
    };
    match command {
        Command::Init(arguments) => init::run(arguments, json),
        Command::Serve => serve::run(context(Secrets::All)?.settings),
        Command::Status => process::status(&context(Secrets::None)?),
        Command::Reload => process::reload(&context(Secrets::None)?),
        Command::ServerCertificate(ServerCertificateCommand::Renew) => {
            process::renew_server_certificate(&context(Secrets::None)?)
        }
        Command::CheckConfig => operator::config_is_good(&context(Secrets::All)?),
        Command::Cert(command) => operator::cert(&context(Secrets::None)?, command),
        Command::Ca(CaCommand::Show) => operator::ca_show(&context(Secrets::None)?),
        Command::User(command) => operator::user(&context(Secrets::None)?, command),
        Command::Audit(command) => audit::run(&context(Secrets::None)?, command),
        Command::Store(command) => store::run(&context(Secrets::Store)?, command),
    }
}

/// Reads a configuration with those of its secrets that a command needs.
fn load_for(file: &Path, secrets: Secrets) -> Result<Settings, Failure> {
    config::load_for(file, &|name| std::env::var(name).ok(), secrets).map_err(Failure::Config)
}
