//! `estd cert`.

mod filter;
pub(super) mod list;
mod revoke;
mod show;

use super::{context::Context, failure::Failure};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum CertCommand {
    /// Lists certificates in the order in which they were issued.
    List(Box<list::ListArguments>),
    /// Shows one certificate and its record.
    Show {
        /// Serial number, hexadecimal, or a prefix of at least 4 digits.
        serial: String,
    },
    /// Revokes certificates permanently: they can no longer authenticate or be renewed. Their
    /// devices must enroll with other credentials.
    Revoke(Box<revoke::RevokeArguments>),
}

pub(super) fn cert_command(context: &Context, command: CertCommand) -> Result<(), Failure> {
    match command {
        CertCommand::List(arguments) => list::list_certificates(context, *arguments),
        CertCommand::Show { serial } => show::show_certificate(context, serial),
        CertCommand::Revoke(arguments) => revoke::revoke_certificates(context, *arguments),
    }
}
