//! The commands of `estd`: arguments in, text and an exit code out. No other module prints.

mod admin_client;
mod audit;
mod ca;
mod cert;
mod check_config;
mod context;
mod device;
mod explain;
mod failure;
mod first_password;
mod init;
mod many;
mod output;
mod process;
mod progress;
mod serve;
mod store;
mod token;
mod user;
mod welcome;

use crate::config::{Secrets, SettingsSource};
use ca::CaCommand;
use cert::CertCommand;
use clap::{Parser, Subcommand};
use context::Context;
use device::RegistryCommand;
use failure::Failure;
use std::{path::PathBuf, process::ExitCode};
use store::StoreCommand;
use token::TokenCommand;
use user::UserCommand;

/// An RFC 7030 (EST) enrollment server with its own CA.
#[derive(Debug, Parser)]
#[command(name = "estd", version, max_term_width = 100)]
struct Estd {
    /// Configuration file. Default: est.toml in the working folder, else /etc/estd/est.toml, else
    /// built-in settings that serve this machine only.
    #[arg(
        long,
        short,
        global = true,
        env = "ESTD_CONFIG",
        value_name = "FILE",
        display_order = 900
    )]
    config: Option<PathBuf>,
    /// Prints JSON instead of text; errors and warnings, too, on standard error.
    #[arg(long, global = true, display_order = 900)]
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
    /// Checks the configuration and reports each error in it.
    CheckConfig,
    /// Shows the state of the running server, and its warnings.
    Status,
    /// Reloads the configuration of the running server, and prints the outcome.
    Reload,
    /// Renews the running server's own certificate.
    #[command(subcommand)]
    ServerCertificate(ServerCertificateCommand),
    /// Lists, shows and revokes certificates.
    #[command(subcommand)]
    Cert(CertCommand),
    /// Shows the CAs of this server.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Explains what the server decides on a request, and why. Issues, counts and records nothing.
    Explain(explain::ExplainArguments),
    /// Lists, follows and exports the audit trail: the committed events of all nodes.
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Registers, lists, shows, blocks and retires devices.
    #[command(subcommand)]
    Device(RegistryCommand),
    /// Creates, lists and revokes one-time tokens.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Adds, changes, removes and lists enrollment accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// Checks, compacts, exports, imports and copies the store.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Subcommand)]
enum ServerCertificateCommand {
    /// Renews it now, with a new key, even if it is not due.
    Renew,
}

/// Runs `estd` with the arguments of the process. Exit codes: 0 done, 1 failed, 2 wrong arguments
/// or configuration, 3 done in part. `estd explain` answers a question: 0 yes, 1 no, 2 an error, 3 undecided.
#[must_use]
pub fn estd() -> ExitCode {
    let arguments = match Estd::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return wrong_arguments(&error),
    };
    let json = arguments.json;
    let asks = matches!(arguments.command, Command::Explain(_));
    match run(arguments) {
        Ok(code) => code,
        Err(failure) if asks => failure.report_as(json, ExitCode::from(2)),
        Err(failure) => failure.report(json),
    }
}

/// Reports an error in the arguments, or prints the text of `--help` and `--version`.
fn wrong_arguments(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        return Failure::arguments(text.trim_end(), "read --help").report(true);
    }
    // A closed standard error must not change the exit code.
    let _ = error.print();
    u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn run(arguments: Estd) -> Result<ExitCode, Failure> {
    let Estd { config, json, command } = arguments;
    let source = config.map_or(SettingsSource::Search, SettingsSource::File);
    let environment = |name: &str| std::env::var(name).ok();
    let context = |secrets| {
        let settings = source.read(&environment, secrets).map_err(Failure::Config)?;
        Ok::<_, Failure>(Context { settings, json })
    };
    match command {
        Command::Explain(arguments) => {
            return explain::explain_command(&context(Secrets::None)?, arguments);
        }
        Command::Init(arguments) => init::init(arguments, json),
        Command::Serve => serve::start_server(context(Secrets::All)?.settings),
        Command::Status => process::status(&context(Secrets::None)?),
        Command::Reload => process::reload(&context(Secrets::None)?),
        Command::ServerCertificate(ServerCertificateCommand::Renew) => {
            process::renew_server_certificate(&context(Secrets::None)?)
        }
        Command::CheckConfig => check_config::check_config(&context(Secrets::All)?),
        Command::Cert(command) => cert::cert_command(&context(Secrets::None)?, command),
        Command::Device(command) => device::device_command(&context(Secrets::None)?, command),
        Command::Token(command) => token::token_command(&context(Secrets::None)?, command),
        Command::Ca(CaCommand::Show) => ca::show_cas(&context(Secrets::None)?),
        Command::User(command) => user::user_command(&context(Secrets::None)?, command),
        Command::Audit(command) => audit::audit_command(&context(Secrets::None)?, command),
        Command::Store(command) => store::store_command(&context(Secrets::Store)?, command),
    }?;
    Ok(ExitCode::SUCCESS)
}
