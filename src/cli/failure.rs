//! Why a command ends without success, its exit code, and how it is reported.

use crate::{
    api::{ErrorKind, ErrorResponse},
    config, server,
    types::{escaped_json, escaped_line},
};
use std::{io, process::ExitCode};

/// The reason why a command ends without success.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration has errors: exit code 2.
    Config(config::SettingErrors),
    /// Something else: the exit code follows from its kind.
    Failed { kind: Kind, what: String, remedy: String },
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The arguments are wrong, alone or for what the server has.
    Arguments,
    /// Some of the work is done, some is not.
    Partly,
    /// The reader of standard output closed it, as `head` does. It has seen enough.
    ReaderGone,
    /// As the server says.
    Server(ErrorKind),
    /// Anything else.
    Failed,
}

impl Kind {
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

    const fn as_str(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Partly => "partly",
            Self::ReaderGone => "reader-gone",
            Self::Server(kind) => kind.as_str(),
            Self::Failed => "failed",
        }
    }
}

impl Failure {
    pub(super) fn new(what: impl ToString, remedy: impl ToString) -> Self {
        Self::of(Kind::Failed, what, remedy)
    }

    /// Wrong arguments: exit code 2.
    pub(super) fn arguments(what: impl ToString, remedy: impl ToString) -> Self {
        Self::of(Kind::Arguments, what, remedy)
    }

    pub(super) fn of(kind: Kind, what: impl ToString, remedy: impl ToString) -> Self {
        Self::Failed { kind, what: what.to_string(), remedy: remedy.to_string() }
    }

    /// A write to standard output that failed.
    pub(super) fn output(cause: &io::Error) -> Self {
        let kind = match cause.kind() {
            io::ErrorKind::BrokenPipe => Kind::ReaderGone,
            _ => Kind::Failed,
        };
        Self::of(kind, format!("standard output: {cause}"), "give it a place that can be written")
    }

    pub(super) fn is_reader_gone(&self) -> bool {
        matches!(self, Self::Failed { kind: Kind::ReaderGone, .. })
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
            Self::Config(errors) => {
                let each = |error: &config::SettingError| {
                    serde_json::json!({
                        "code": error.code,
                        "file": error.file,
                        "key": error.key,
                        "value": error.value,
                        "error": error.text,
                        "remedy": error.remedy,
                    })
                };
                serde_json::json!({
                    "error": "the configuration has errors",
                    "remedy": "correct each of them",
                    "kind": "configuration",
                    "errors": errors.0.iter().map(each).collect::<Vec<_>>(),
                })
            }
            Self::Failed { kind, what, remedy } => serde_json::json!({
                "error": what,
                "remedy": remedy,
                "kind": kind.as_str(),
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
        Self::of(Kind::Server(response.kind), response.error, response.remedy)
    }
}
