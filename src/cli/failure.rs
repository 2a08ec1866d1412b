//! A command's failure: its cause, exit code and report.

use crate::{
    api::{ConfigError, ErrorKind, ErrorResponse},
    config, server,
    store::{self, transfer},
    types::{escaped_json, escaped_line},
};
use serde::Serialize;
use std::{io, process::ExitCode};

/// Reason why a command fails.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration has errors: exit code 2.
    Config(config::SettingErrors),
    /// Any other; the exit code depends on the kind.
    Failed { kind: FailureKind, what: String, remedy: String },
    /// Errors in lines of a file: exit code 2.
    Lines { what: String, remedy: String, errors: Vec<BadLine> },
}

/// An error in a line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct BadLine {
    pub(super) line: u64,
    pub(super) error: String,
}

/// Kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FailureKind {
    /// The arguments are wrong.
    Arguments,
    /// The work is partly done.
    Partly,
    /// The reader of standard output closed it, as `head` does.
    ReaderGone,
    /// Any other failure.
    Failed,
    /// The server answered with an error of this kind.
    #[serde(untagged)]
    Server(ErrorKind),
}

impl FailureKind {
    /// Exit codes: 0 done, 1 failed, 2 wrong arguments or configuration, 3 done in part. They are
    /// documented in docs/reference/commands.md.
    fn exit_code(self) -> ExitCode {
        match self {
            Self::ReaderGone => ExitCode::SUCCESS,
            Self::Arguments | Self::Server(ErrorKind::Invalid | ErrorKind::Ambiguous) => {
                ExitCode::from(2)
            }
            Self::Partly => ExitCode::from(3),
            Self::Failed | Self::Server(_) => ExitCode::FAILURE,
        }
    }
}

impl Failure {
    pub(super) fn new(what: impl ToString, remedy: impl ToString) -> Self {
        Self::of(FailureKind::Failed, what, remedy)
    }

    /// Wrong arguments: exit code 2.
    pub(super) fn arguments(what: impl ToString, remedy: impl ToString) -> Self {
        Self::of(FailureKind::Arguments, what, remedy)
    }

    pub(super) fn of(kind: FailureKind, what: impl ToString, remedy: impl ToString) -> Self {
        Self::Failed { kind, what: what.to_string(), remedy: remedy.to_string() }
    }

    /// A write to standard output that failed.
    pub(super) fn output(cause: &io::Error) -> Self {
        let kind = match cause.kind() {
            io::ErrorKind::BrokenPipe => FailureKind::ReaderGone,
            _ => FailureKind::Failed,
        };
        Self::of(kind, format!("standard output: {cause}"), "redirect it to a place with room")
    }

    pub(super) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Failed { kind: FailureKind::ReaderGone, .. })
    }

    /// Reports the failure as [`Self::report`] and returns this exit code, except for a closed output.
    pub(super) fn report_as(&self, json: bool, code: ExitCode) -> ExitCode {
        let own = self.report(json);
        if self.is_reader_gone() { own } else { code }
    }

    /// Reports the failure on standard error and returns the exit code.
    pub(super) fn report(&self, json: bool) -> ExitCode {
        if self.is_reader_gone() {
            return ExitCode::SUCCESS;
        }
        if json {
            eprintln!("{}", escaped_json(&self.json().to_string()));
        }
        match self {
            Self::Config(errors) => {
                if !json {
                    eprintln!("{errors}");
                }
                ExitCode::from(2)
            }
            Self::Lines { what, remedy, errors } => {
                if !json {
                    for BadLine { line, error } in errors {
                        eprintln!("line {line}: {}", escaped_line(error));
                    }
                    eprintln!("estd: {}\n  remedy: {}", escaped_line(what), escaped_line(remedy));
                }
                ExitCode::from(2)
            }
            Self::Failed { kind, what, remedy } => {
                if !json {
                    eprintln!("estd: {}\n  remedy: {}", escaped_line(what), escaped_line(remedy));
                }
                kind.exit_code()
            }
        }
    }

    /// `error`, `remedy` and `kind`; for a configuration each of its errors as well.
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Config(errors) => serde_json::json!({
                "error": "the configuration has errors",
                "remedy": "correct each of them",
                "kind": "configuration",
                "errors": errors.0.iter().map(ConfigError::from).collect::<Vec<_>>(),
            }),
            Self::Lines { what, remedy, errors } => serde_json::json!({
                "error": what,
                "remedy": remedy,
                "kind": FailureKind::Server(ErrorKind::Invalid),
                "errors": errors,
            }),
            Self::Failed { kind, what, remedy } => serde_json::json!({
                "error": what,
                "remedy": remedy,
                "kind": kind,
            }),
        }
    }
}

impl From<server::Error> for Failure {
    fn from(error: server::Error) -> Self {
        Self::new(&error, error.remedy())
    }
}

impl From<crate::admin::Error> for Failure {
    fn from(error: crate::admin::Error) -> Self {
        error.response().into()
    }
}

impl From<ErrorResponse> for Failure {
    fn from(response: ErrorResponse) -> Self {
        Self::of(FailureKind::Server(response.kind), response.error, response.remedy)
    }
}

impl From<transfer::Error> for Failure {
    fn from(error: transfer::Error) -> Self {
        use transfer::Error;
        let remedy = match &error {
            Error::Store(store::Error::Conflict(_)) | Error::Foreign(_) => {
                "the target must be empty, or the rest of an interrupted run of this command: name \
                 another, or move the old one away"
            }
            Error::Store(store::Error::InUse(_)) => {
                "stop the estd that uses this data folder, then try again"
            }
            Error::Store(store::Error::Corrupt(_)) => {
                "run estd store check; restore the store from your backup"
            }
            Error::Store(_) => {
                "read the log of estd, if it runs; make room on the disk or repair it, then try again"
            }
            Error::File(_) => "check that the file can be read or written, with room on its disk",
            Error::Damaged { .. } => "use another copy of the export; nothing was imported from it",
            Error::Differs(_) => {
                "stop all users of both stores and try again; the source was not changed"
            }
        };
        Self::new(&error, remedy)
    }
}
