//! `est`: the device's client for EST (RFC 7030).

use std::process::ExitCode;

fn main() -> ExitCode {
    estd::device::main()
}
