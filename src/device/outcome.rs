//! The output of a command of `est`, and its exit code.

use super::files::FileError;
use crate::{
    client::Error,
    pki::{CsrError, KeyError},
    types::{escaped_json, escaped_line},
};
use serde_json::{Map, Value, json};
use std::{fmt, io::Write, path::Path};

/// Exit code: the server rejected the request, or something failed; a retry changes nothing.
const FAILED: u8 = 1;
/// Exit code: wrong arguments, or a file that they name cannot be used.
pub(super) const WRONG_CALL: u8 = 2;
/// Exit code: EX_TEMPFAIL of sysexits.h. The same command may succeed later.
pub(super) const TRY_LATER: u8 = 75;

/// The result of a command, as text and as JSON.
#[derive(Debug)]
pub(super) struct DeviceReport {
    text: String,
    json: Value,
}

impl DeviceReport {
    pub(super) fn new(text: impl fmt::Display, json: Value) -> Self {
        Self { text: text.to_string(), json }
    }

    /// Prints one of both. A closed pipe is no error: the work is done.
    pub(super) fn print(&self, json: bool) {
        let mut out = std::io::stdout();
        let _ = if json {
            writeln!(out, "{}", escaped_json(&self.json.to_string()))
        } else {
            self.text.lines().try_for_each(|line| writeln!(out, "{}", escaped_line(line)))
        };
    }
}

/// Why a command ends without success: what failed, what to do, and the exit code.
#[derive(Debug)]
pub(super) struct DeviceFailure {
    pub(super) what: String,
    pub(super) remedy: Option<String>,
    pub(super) exit: u8,
    pub(super) kind: &'static str,
    /// The server's answer, for JSON: status, rule, request id, when to retry.
    pub(super) server: Map<String, Value>,
}

impl DeviceFailure {
    pub(super) fn new(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self {
            what: what.to_string(),
            remedy: Some(remedy.into()),
            exit: FAILED,
            kind: "failed",
            server: Map::new(),
        }
    }

    /// Wrong arguments.
    pub(super) fn wrong_call(what: impl fmt::Display, remedy: impl Into<String>) -> Self {
        Self { exit: WRONG_CALL, kind: "arguments", ..Self::new(what, remedy) }
    }

    /// A file that the command needs and cannot use.
    pub(super) fn file(path: &Path, why: impl fmt::Display, remedy: impl Into<String>) -> Self {
        let what = format!("{}: {why}", path.display());
        Self { exit: WRONG_CALL, kind: "file", ..Self::new(what, remedy) }
    }

    /// A failure that passes.
    pub(super) fn later(
        kind: &'static str,
        what: impl fmt::Display,
        remedy: impl Into<String>,
    ) -> Self {
        Self { exit: TRY_LATER, kind, ..Self::new(what, remedy) }
    }

    /// Names the file that the failure is about.
    pub(super) fn about(mut self, path: &Path) -> Self {
        self.what = format!("{}: {}", path.display(), self.what);
        self
    }

    /// Whether the server rejected the request or the client certificate.
    pub(super) fn is_rejection(&self) -> bool {
        self.exit == FAILED && matches!(self.kind, "rejected" | "tls")
    }

    pub(super) fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    fn json(&self) -> Value {
        let mut value = self.server.clone();
        value.insert("error".to_owned(), json!(self.what));
        value.insert("remedy".to_owned(), json!(self.remedy));
        value.insert("kind".to_owned(), json!(self.kind));
        value.insert("exit".to_owned(), json!(self.exit));
        Value::Object(value)
    }

    /// Prints what failed on standard error: two lines for a person, or one line of JSON.
    pub(super) fn print(&self, json: bool) {
        if json {
            let text = self.json().to_string();
            let _ = writeln!(std::io::stderr(), "{}", escaped_json(&text));
            return;
        }
        note(&self.what);
        if let Some(remedy) = &self.remedy {
            note(format_args!("what to do: {remedy}"));
        }
    }
}

impl From<Error> for DeviceFailure {
    fn from(error: Error) -> Self {
        let later = error.later();
        let mut server = Map::new();
        if let Error::Rejected(rejection) = &error {
            server.insert("status".to_owned(), json!(rejection.status));
            server.insert("rule".to_owned(), json!(rejection.rule()));
            if let Some(time) = rejection.retry_at {
                server.insert("retry_at".to_owned(), json!(time.to_string()));
            }
        }
        if let Some(id) = error.request_id() {
            server.insert("request_id".to_owned(), json!(id));
        }
        if let Some(Some(pause)) = later {
            server.insert("retry_after".to_owned(), json!(pause.as_secs()));
        }
        let exit = match (&error, later) {
            (_, Some(_)) => TRY_LATER,
            (Error::Config { .. } | Error::Address { .. }, _) => WRONG_CALL,
            _ => FAILED,
        };
        Self { what: error.to_string(), remedy: error.remedy(), exit, kind: error.kind(), server }
    }
}

impl From<FileError> for DeviceFailure {
    fn from(error: FileError) -> Self {
        let exit = if error.is_missing() { WRONG_CALL } else { FAILED };
        let remedy = error.remedy();
        Self { exit, kind: "file", ..Self::new(error, remedy) }
    }
}

impl From<CsrError> for DeviceFailure {
    fn from(error: CsrError) -> Self {
        Self::wrong_call(error, "correct the value and run the command again")
    }
}

impl From<KeyError> for DeviceFailure {
    fn from(error: KeyError) -> Self {
        let remedy = match &error {
            KeyError::PassphraseNeeded | KeyError::WrongPassphrase => {
                "give the passphrase in EST_KEY_PASSPHRASE or with --passphrase-file"
            }
            _ => "give a private key in PEM form of a supported kind",
        };
        Self::wrong_call(error, remedy)
    }
}

/// Prints a line for a person on standard error.
pub(super) fn note(text: impl fmt::Display) {
    for line in text.to_string().lines() {
        let _ = writeln!(std::io::stderr(), "est: {}", escaped_line(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        client::ServerRejection,
        types::{Code, Time},
    };
    use std::time::Duration;

    /// First-user finding 32.
    #[test]
    fn an_error_is_json_with_the_servers_text() {
        let rejection = |status, text: &str| ServerRejection {
            status,
            text: text.to_owned(),
            request_id: Some("00ff".to_owned()),
            retry_after: (status == 503).then_some(Duration::from_secs(30)),
            retry_at: (status == 503).then_some(Time::from_unix(1_795_262_430)),
        };
        let failure = |status, text: &str| {
            DeviceFailure::from(Error::Rejected(Box::new(rejection(status, text)))).json()
        };
        let code = Code::LinkingRequired.as_str();
        let value = failure(400, &format!("{code}: got rsa-1024 (00ff)"));
        assert_eq!(value["status"], 400);
        assert_eq!(value["rule"], code);
        assert_eq!(value["request_id"], "00ff");
        assert_eq!(value["kind"], "rejected");
        assert_eq!(value["exit"], 1);
        assert!(value["error"].as_str().unwrap().contains("rsa-1024"));
        assert!(value["remedy"].is_string());
        let value = failure(503, "Try again: later");
        assert_eq!((&value["rule"], &value["retry_after"]), (&Value::Null, &json!(30)));
        assert_eq!(value["retry_at"], "2026-11-21T12:00:30Z");
        assert_eq!(value["exit"], 75);
        let early = rejection(403, &format!("{}: too early", Code::RenewalEarly));
        let again = Time::from_unix(1_795_348_800);
        let retry_after = Some(Duration::from_secs(86_400));
        let early = ServerRejection { retry_after, retry_at: Some(again), ..early };
        let value = DeviceFailure::from(Error::Rejected(Box::new(early))).json();
        assert_eq!((&value["exit"], &value["status"]), (&json!(75), &json!(403)));
        assert_eq!(value["retry_at"], "2026-11-22T12:00:00Z");
        assert_eq!(value["retry_after"], 86_400);
        assert_eq!(value["remedy"], "repeat the same command from 2026-11-22T12:00:00Z on");
        let value = DeviceFailure::wrong_call("a", "b").json();
        assert_eq!((&value["kind"], &value["exit"]), (&json!("arguments"), &json!(2)));
        assert!(value.get("request_id").is_none());
    }
}
