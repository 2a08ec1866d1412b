//! `est csrattrs` (RFC 7030 §4.5), and how enrollments use the answer.

use super::{
    DeviceFailure, DeviceReport,
    options::{Common, client},
    outcome::note,
    patience::Patience,
};
use crate::{
    client::{Client, Error},
    clock::Clock,
    pki::{CsrAttrsResponse, CsrBuilder, PrivateKey, csrattrs::Key, oid},
    types::KeyKind,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, Args)]
pub(super) struct Csrattrs {
    #[command(flatten)]
    common: Common,
    /// Folder of ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Print the answer itself, too: DER in base64.
    #[arg(long)]
    print: bool,
}

pub(super) async fn csrattrs(
    command: Csrattrs,
    clock: Arc<dyn Clock>,
) -> Result<DeviceReport, DeviceFailure> {
    let anchors = command.common.anchors(&command.out)?;
    let client = client(command.common.config(&anchors, clock))?;
    let mut patience = Patience::new(command.common.max_wait);
    let answer = match (fetch(&client, &mut patience).await?, &command.common.label) {
        (Ok(answer), _) => Some(answer),
        (Err(error), None) if not_offered(&error) => None,
        (Err(error), Some(label)) if not_offered(&error) => {
            let what = format!("the server has no label \"{label}\", or no csrattrs under it");
            return Err(DeviceFailure { what: format!("{what}: {error}"), ..error.into() });
        }
        (Err(error), _) => return Err(error.into()),
    };
    let offered = answer.is_some();
    let der = answer.flatten();
    let asked = match &der {
        Some(der) => CsrAttrsResponse::parse(der).map_err(unreadable)?,
        None => CsrAttrsResponse::default(),
    };
    let lines: Vec<String> = asked.lines();
    let mut text = match (offered, lines.is_empty()) {
        (false, _) => "the server does not say what it asks of a request".to_owned(),
        (true, true) => "the server asks for nothing in particular".to_owned(),
        (true, false) => format!("the server asks of a request:\n  {}", lines.join("\n  ")),
    };
    let der = der.map(|der| STANDARD.encode(der));
    if let Some(der) = der.as_ref().filter(|_| command.print) {
        text = format!("{text}\n{der}");
    }
    let json =
        json!({ "command": "csrattrs", "offered": offered, "asked": lines, "attributes": der });
    Ok(DeviceReport::new(text, json))
}

/// RFC 7030 §4.5.2: 404 means a server without `/csrattrs`. It can also mean a wrong label.
fn not_offered(error: &Error) -> bool {
    matches!(error, Error::Rejected(rejection) if matches!(rejection.status, 404 | 501))
}

fn unreadable(error: crate::pki::Error) -> DeviceFailure {
    DeviceFailure::new(
        format_args!("the server's answer to csrattrs cannot be read: {error}"),
        "ask the server's operator; enroll with --no-csrattrs meanwhile",
    )
}

/// Fetches the server's answer, or the error of an answer that a retry does not change.
async fn fetch(
    client: &Client,
    patience: &mut Patience,
) -> Result<Result<Option<Vec<u8>>, Error>, DeviceFailure> {
    let request = async || match async { client.connect().await?.csrattrs().await }.await {
        Err(error @ (Error::Rejected(_) | Error::Malformed { .. } | Error::TooLong { .. }))
            if error.later().is_none() =>
        {
            Ok(Err(error))
        }
        answer => answer.map(Ok),
    };
    patience.retry(request).await
}

/// Fetches the demands of the server. Enrollment continues without readable demands (RFC 7030
/// §4.5.2).
pub(super) async fn asked(
    client: &Client,
    patience: &mut Patience,
) -> Result<CsrAttrsResponse, DeviceFailure> {
    let error = match fetch(client, patience).await? {
        Ok(None) => return Ok(CsrAttrsResponse::default()),
        Ok(Some(der)) => match CsrAttrsResponse::parse(&der) {
            Ok(asked) => return Ok(asked),
            Err(error) => error.to_string(),
        },
        Err(error) if not_offered(&error) => return Ok(CsrAttrsResponse::default()),
        Err(error) => error.to_string(),
    };
    note(format_args!("continuing without the demands of the server: {error}"));
    Ok(CsrAttrsResponse::default())
}

/// Returns the requested kind of key, if this client can generate it.
pub(super) const fn kind(asked: &CsrAttrsResponse) -> Option<KeyKind> {
    match asked.key {
        Some(Key::Kind(KeyKind::Rsa(bits))) if !matches!(bits, 2048 | 3072 | 4096) => None,
        Some(Key::Kind(kind)) => Some(kind),
        Some(Key::Other(_)) | None => None,
    }
}

/// The kind of the next key: an RSA key does not become shorter.
pub(super) fn next(asked: &CsrAttrsResponse, present: KeyKind) -> KeyKind {
    match (kind(asked), present) {
        (Some(KeyKind::Rsa(least)), KeyKind::Rsa(bits)) if bits >= least => present,
        (Some(kind), _) => kind,
        (None, _) => present,
    }
}

/// Retains the demands that apply to a renewal: its names are those of the current certificate (RFC
/// 7030 §4.2.2).
pub(super) fn of_a_renewal(mut asked: CsrAttrsResponse) -> CsrAttrsResponse {
    asked.subject.clear();
    asked.extensions.retain(|extension| extension.oid != oid::SUBJECT_ALT_NAME);
    asked
}

/// Adds the demands that have values, and reports the missing ones: the
/// server decides whether it can do without.
pub(super) fn answering(
    request: CsrBuilder,
    asked: &CsrAttrsResponse,
    key: &PrivateKey,
) -> Result<CsrBuilder, DeviceFailure> {
    let (request, mut missing) = request.answering(asked, key.kind())?;
    let keeps = match (asked.key, key.kind()) {
        (None, _) => true,
        (Some(Key::Kind(KeyKind::Rsa(least))), KeyKind::Rsa(bits)) => bits >= least,
        (Some(Key::Kind(kind)), present) => kind == present,
        (Some(Key::Other(_)), _) => false,
    };
    if let Some(Key::Kind(kind)) = asked.key.filter(|_| !keeps) {
        missing.push(format!("a key of kind {kind}"));
    } else if !keeps {
        missing.push("a key of a kind that est does not know".to_owned());
    }
    if !missing.is_empty() {
        note(format_args!(
            "the server asks for more than this request holds: {}",
            missing.join("; ")
        ));
    }
    Ok(request)
}
