//! The commands `estd` and `est`: arguments in, text and an exit code out. The only modules that
//! print.

pub mod device;
mod office;
mod operator;
mod serve;
mod store;
mod welcome;

use crate::{
    api,
    config::{self, Settings},
    server,
    types::{RevocationReason, escaped_line},
};
use clap::{Args, Parser, Subcommand};
use std::{path::PathBuf, process::ExitCode};

/// An RFC 7030 (EST) enrollment server with its own CA.
#[derive(Debug, Parser)]
#[command(name = "estd", version, about, max_term_width = 100)]
struct Estd {
    /// The configuration file.
    #[arg(
        long,
        short,
        global = true,
        default_value = "est.toml",
        env = "ESTD_CONFIG",
        value_name = "FILE"
    )]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves EST until it is told to stop (SIGTERM); SIGHUP reads the configuration again.
    Serve,
    /// Checks the configuration and tells every fault.
    CheckConfig,
    /// Certificates that were issued.
    #[command(subcommand)]
    Cert(CertCommand),
    /// The CAs of this server.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Enrolment accounts.
    #[command(subcommand)]
    User(UserCommand),
    /// The store as a whole, while no server uses it.
    #[command(subcommand)]
    Store(StoreCommand),
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Reads everything and tells what is wrong: exit code 1 if anything is.
    Check,
    /// Gives back the disk that the store no longer needs. Takes as much room again meanwhile.
    Compact,
    /// Writes all that the store holds, password hashes too, as lines of JSON.
    Export {
        /// A file that does not exist yet; standard output without it.
        file: Option<PathBuf>,
    },
    /// Brings an export into an empty store, or goes on with an import that was cut short.
    Import {
        /// What `estd store export` wrote.
        file: PathBuf,
    },
    /// Copies all that one store holds into another, empty one, and compares both.
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
    /// The configuration that the target is of; without it the same one.
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

#[derive(Debug, Subcommand)]
enum CertCommand {
    /// Lists certificates in the order in which they were issued.
    List {
        /// Part of the subject or of a subjectAltName entry.
        #[arg(long)]
        subject: Option<String>,
        /// Those in this state; issued ones are valid or expired.
        #[arg(long, value_parser = ["open", "issued", "void", "revoked", "valid", "expired"])]
        state: Option<String>,
        /// The same as --state open: recorded, and without a certificate.
        #[arg(long, conflicts_with = "state")]
        open: bool,
        /// The same as --state revoked.
        #[arg(long, conflicts_with_all = ["state", "open"])]
        revoked: bool,
        /// The label; "-" for those without one.
        #[arg(long)]
        label: Option<String>,
        /// Those that expire before this moment, such as 2027-01-31T00:00:00Z.
        #[arg(long, value_name = "MOMENT")]
        expires_before: Option<String>,
        /// At most so many; all without it.
        #[arg(long)]
        limit: Option<usize>,
        #[command(flatten)]
        output: Output,
    },
    /// Shows one certificate and its record.
    Show {
        /// The serial number, hexadecimal.
        serial: String,
        #[command(flatten)]
        output: Output,
    },
    /// Revokes one certificate, for good: from now on it is no proof of anything here. Its device
    /// needs another way to show who it is.
    Revoke {
        /// The serial number, hexadecimal.
        serial: String,
        /// A reason of RFC 5280: unspecified, keyCompromise, cACompromise, affiliationChanged,
        /// superseded, cessationOfOperation, privilegeWithdrawn or aACompromise.
        #[arg(long, default_value_t = RevocationReason::Unspecified)]
        reason: RevocationReason,
        /// What the audit event is to say beside it.
        #[arg(long)]
        comment: Option<String>,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Shows the CAs with the fingerprints of their certificates.
    Show {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Adds an account and shows its password once. A password of your own comes from standard
    /// input: an argument could be read by every user of the machine.
    Add {
        /// The user name.
        name: String,
        /// A label that it may enrol under; repeat for more. Without it: all, but for those whose
        /// profile makes registration authorities.
        #[arg(long = "label", value_name = "LABEL")]
        labels: Vec<String>,
        /// Reads the password from the first line of standard input.
        #[arg(long)]
        password_stdin: bool,
        /// For HTTP Digest (SHA-256), and Basic. Instead of a hash, the store then holds a secret with
        /// which whoever reads it can enrol as this account: see docs/configuration.md.
        #[arg(long)]
        digest: bool,
        /// For HTTP Digest with MD5, too: only for clients that know nothing else, such as libest.
        #[arg(long)]
        digest_md5: bool,
        /// For the identity proof of CMC with SHA-256, too: the store then holds SHA-256 of the password.
        #[arg(long)]
        identity_proof: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Removes an account.
    Remove {
        /// The user name.
        name: String,
    },
    /// Lists the accounts.
    List {
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, Args)]
struct Output {
    /// JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Why a command ends without success.
#[derive(Debug)]
enum Failure {
    /// The configuration has faults: exit code 2.
    Config(config::Faults),
    /// Something failed: exit code 1.
    Failed { what: String, remedy: String },
}

impl Failure {
    fn new(what: impl ToString, remedy: impl ToString) -> Self {
        Self::Failed { what: what.to_string(), remedy: remedy.to_string() }
    }
}

impl From<server::Error> for Failure {
    fn from(fault: server::Error) -> Self {
        Self::new(&fault, fault.remedy())
    }
}

impl From<crate::admin::Error> for Failure {
    fn from(fault: crate::admin::Error) -> Self {
        Self::new(&fault, fault.remedy())
    }
}

impl From<api::Refusal> for Failure {
    fn from(refusal: api::Refusal) -> Self {
        Self::new(refusal.error, refusal.remedy)
    }
}

/// Runs `estd` with the arguments of the process. Exit codes: 0 done, 1 failed, 2 wrong arguments
/// or configuration.
#[must_use]
pub fn estd() -> ExitCode {
    match run(Estd::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(faults)) => {
            eprintln!("{faults}");
            ExitCode::from(2)
        }
        Err(Failure::Failed { what, remedy }) => {
            eprintln!("estd: {}\n  remedy: {}", escaped_line(what), escaped_line(remedy));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Estd) -> Result<(), Failure> {
    let file = arguments.config;
    if matches!(arguments.command, Command::Serve) {
        return serve::run(&file);
    }
    let settings = load(&file)?;
    match arguments.command {
        Command::Serve => Ok(()),
        Command::CheckConfig => operator::config_is_good(&settings),
        Command::Cert(command) => operator::cert(&settings, command),
        Command::Ca(CaCommand::Show { output }) => operator::ca_show(&settings, output),
        Command::User(command) => operator::user(&settings, command),
        Command::Store(command) => store::run(&settings, command),
    }
}

fn load(file: &std::path::Path) -> Result<Settings, Failure> {
    config::load(file, &|name| std::env::var(name).ok()).map_err(Failure::Config)
}
