//! The server and its operator's commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    estd::cli::estd()
}
