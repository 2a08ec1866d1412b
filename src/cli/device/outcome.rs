//! What a command of `est` prints, and how it ends.

use super::{TRY_LATER, files::FileError};
use crate::pki::{CsrError, KeyError};
use crate::types::escaped_line;
use std::{fmt, io::Write};

/// Why a command ends otherwise than well: what failed, what to do, and the exit code.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) what: String,
    pub(super) remedy: Option<String>,
    pub(super) code: u8,
}

impl Failure {
    pub(super) fn new(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { what: what.to_string(), remedy: Some(remedy.into()), code: 1 }
    }

    pub(super) fn wrong_call(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { code: 2, ..Self::new(what, remedy) }
    }
}

impl From<crate::client::Error> for Failure {
    fn from(error: crate::client::Error) -> Self {
        let code = if error.later().is_some() { TRY_LATER } else { 1 };
        Self { what: error.to_string(), remedy: error.remedy(), code }
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::new(error, "check that the folder exists, its permissions, and the space on the disk")
    }
}

impl From<CsrError> for Failure {
    fn from(error: CsrError) -> Self {
        Self { what: error.to_string(), remedy: None, code: 2 }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Self {
        let remedy = match &error {
            KeyError::PassphraseNeeded | KeyError::WrongPassphrase => {
                "give the passphrase in EST_KEY_PASSPHRASE or with --passphrase-file"
            }
            _ => "give a key in PEM form of a supported kind",
        };
        Self::new(error, remedy)
    }
}

/// Prints lines; a reader that has gone away is no reason to stop half-way. What a server chose
/// cannot steer the terminal.
pub(super) fn say(text: impl fmt::Display) {
    for line in text.to_string().lines() {
        let _ = writeln!(std::io::stdout(), "{}", escaped_line(line));
    }
}

/// Prints to standard error, as [`say`] does.
pub(super) fn note(text: impl fmt::Display) {
    for line in text.to_string().lines() {
        let _ = writeln!(std::io::stderr(), "est: {}", escaped_line(line));
    }
}

pub(super) fn complain(failure: &Failure) {
    note(&failure.what);
    if let Some(remedy) = &failure.remedy {
        note(format_args!("what to do: {remedy}"));
    }
}
