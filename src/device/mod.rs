//! `est`: a device fetches CA certificates, enrolls and re-enrolls, or has its
//! key made by the server (RFC 7030 §4.1, §4.2, §4.4).
//!
//! docs/est.md is the reference of exit codes, files and JSON. `files.rs` describes how key and
//! certificate change together.

mod anchors;
mod cacerts;
mod csrattrs;
mod enroll;
mod files;
mod lock;
mod options;
mod outcome;
mod patience;
mod reenroll;
mod request;
mod serverkeygen;

use crate::clock::{Clock, SystemClock};
use clap::{Parser, Subcommand};
use outcome::{Failure, Report};
use std::{ffi::OsString, process::ExitCode, sync::Arc};

/// A device's client for EST servers (RFC 7030): gets, renews and keeps its certificate.
#[derive(Debug, Parser)]
#[command(name = "est", version, arg_required_else_help = true, after_help = EXIT_CODES)]
struct Arguments {
    /// Print one line of JSON: the result on standard output, or the error as the last line of
    /// standard error.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 done or nothing to do, 1 rejected or failed, 2 wrong \
                          arguments or files, 75 try the same command later";

#[derive(Debug, Subcommand)]
enum Command {
    /// Fetch the CA certificates into ca.pem.
    ///
    /// If they do not verify the server, its anchors are kept beside them in server-ca.pem.
    ///
    /// The first time, give the fingerprint of the CA that the server's operator tells you:
    /// est cacerts --server HOST --fingerprint HEX
    Cacerts(cacerts::CaCerts),
    /// Show what the server asks of a request: key, names, extensions, attributes.
    Csrattrs(csrattrs::Csrattrs),
    /// Generate a key and get the first certificate for it.
    ///
    /// Writes key.pem (readable by its owner only), cert.pem and ca.pem. Repeating the command
    /// after a failure continues with the same key, so that the server can give its first answer.
    Enroll(enroll::Enroll),
    /// Get a new certificate with the present one, by default for a new key.
    ///
    /// Subject and alternative names are those of the present certificate, unless others are asked
    /// for and the server gives them. The present key and
    /// certificate stay in use until the new ones have come; a change that was interrupted is
    /// finished at the next start.
    Reenroll(reenroll::Reenroll),
    /// Have the server generate key and certificate.
    ///
    /// For devices that cannot generate a good key themselves; prefer enroll where they can. Writes
    /// key.pem (readable by its owner only), cert.pem and ca.pem. Repeating the command after a
    /// failure gets another key and another certificate.
    Serverkeygen(serverkeygen::ServerKeyGen),
}

/// Runs `est` with the arguments of the process.
pub fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), Arc::new(SystemClock)))
}

/// Runs one command and returns its exit code.
fn run(arguments: impl IntoIterator<Item = OsString>, clock: Arc<dyn Clock>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let json = arguments.iter().any(|argument| argument == "--json");
    let end = |outcome: Result<Report, Failure>| match outcome {
        Ok(report) => {
            report.print(json);
            0
        }
        Err(failure) => {
            failure.print(json);
            failure.exit
        }
    };
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) if json && error.use_stderr() => {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            return end(Err(Failure::wrong_call(text.trim_end(), "see --help")));
        }
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { outcome::WRONG_CALL } else { 0 };
        }
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return end(Err(Failure::new(error, "free some of the machine's resources")));
        }
    };
    end(runtime.block_on(async {
        match arguments.command {
            Command::Cacerts(command) => cacerts::cacerts(command, clock).await,
            Command::Csrattrs(command) => csrattrs::csrattrs(command, clock).await,
            Command::Enroll(command) => enroll::enroll(command, clock).await,
            Command::Reenroll(command) => reenroll::reenroll(command, clock).await,
            Command::Serverkeygen(command) => serverkeygen::serverkeygen(command, clock).await,
        }
    }))
}

#[cfg(test)]
mod tests;
