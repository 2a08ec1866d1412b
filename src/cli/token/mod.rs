//! `estd token`.

mod create;
pub(super) mod list;
mod revoke;

use super::{context::Context, failure::Failure};
use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Creates one-time tokens, each for one certificate, and shows them once: at the terminal or in
    /// a file. A device sends its token as the password of HTTP Basic, with its id or nothing as the
    /// user name.
    Create(Box<create::CreateArguments>),
    /// Lists tokens by id, without their texts.
    List(list::ListTokensArguments),
    /// Disables tokens: they can no longer be used. Certificates that they were used for stay valid.
    Revoke(revoke::RevokeTokensArguments),
}

pub(super) fn token_command(context: &Context, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create(arguments) => create::create_tokens(context, *arguments),
        TokenCommand::List(arguments) => list::print_tokens(context, arguments),
        TokenCommand::Revoke(arguments) => revoke::revoke_tokens(context, arguments),
    }
}
