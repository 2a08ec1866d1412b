//! `est csrattrs` (RFC 7030 §4.5), and what enrolments make of the answer.

use super::{
    Failure,
    anchors::Anchors,
    options::{Common, config},
    outcome::{note, say},
    request::wait,
};
use crate::{
    client::{Client, Error},
    pki::{CsrAttrs, CsrBuilder, PrivateKey, csrattrs::Key, oid},
    types::KeyKind,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use std::{path::PathBuf, time::Duration};
use tokio::time::Instant;

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

pub(super) async fn csrattrs(command: Csrattrs) -> Result<(), Failure> {
    let anchors = Anchors::read(&command.out, &command.common)?;
    let client = Client::new(config(&command.common, &anchors))?;
    let answer = match client.connect().await?.csrattrs().await {
        Err(Error::Refused(refusal)) if matches!(refusal.status, 404 | 501) => {
            say("the server does not say what it asks of a request");
            return Ok(());
        }
        other => other?,
    };
    let asked = match &answer {
        Some(der) => CsrAttrs::parse(der).map_err(unreadable)?,
        None => CsrAttrs::default(),
    };
    if asked.is_empty() {
        say("the server asks for nothing in particular");
    } else {
        say("the server asks of a request:");
        for line in asked.lines() {
            say(format_args!("  {line}"));
        }
    }
    if let Some(der) = answer.filter(|_| command.print) {
        say(STANDARD.encode(der));
    }
    Ok(())
}

fn unreadable(fault: crate::pki::Error) -> Failure {
    Failure::new(fault, "tell the server's operator; enrol with --no-csrattrs meanwhile")
}

/// What the server asks of a request. That it does not say, or not in a way that can be read, keeps
/// nobody from enrolling (RFC 7030 §4.5.2).
pub(super) async fn asked(client: &Client, max_wait: Duration) -> Result<CsrAttrs, Failure> {
    let end = Instant::now() + max_wait;
    let fault = loop {
        let mut connection = client.connect().await?;
        match connection.csrattrs().await {
            Ok(None) => return Ok(CsrAttrs::default()),
            Ok(Some(der)) => match CsrAttrs::parse(&der) {
                Ok(asked) => return Ok(asked),
                Err(fault) => break fault.to_string(),
            },
            Err(Error::Refused(refusal)) if matches!(refusal.status, 404 | 501) => {
                return Ok(CsrAttrs::default());
            }
            Err(fault) if fault.later().is_some() => wait(fault, end).await?,
            Err(fault) => break fault.to_string(),
        }
    };
    note(format_args!("going on without what the server asks of a request: {fault}"));
    Ok(CsrAttrs::default())
}

/// The kind of key asked for, if one can be made.
pub(super) const fn kind(asked: &CsrAttrs) -> Option<KeyKind> {
    match asked.key {
        Some(Key::Kind(KeyKind::Rsa(bits))) if !matches!(bits, 2048 | 3072 | 4096) => None,
        Some(Key::Kind(kind)) => Some(kind),
        Some(Key::Other(_)) | None => None,
    }
}

/// The kind of the key that follows one: an RSA key does not become shorter.
pub(super) fn next(asked: &CsrAttrs, present: KeyKind) -> KeyKind {
    match (kind(asked), present) {
        (Some(KeyKind::Rsa(least)), KeyKind::Rsa(bits)) if bits >= least => present,
        (Some(kind), _) => kind,
        (None, _) => present,
    }
}

/// What is asked of a renewal: its names are those of the present certificate (RFC 7030 §4.2.2).
pub(super) fn of_a_renewal(mut asked: CsrAttrs) -> CsrAttrs {
    asked.subject.clear();
    asked.extensions.retain(|extension| extension.oid != oid::SUBJECT_ALT_NAME);
    asked
}

/// Adds what the server asks for and gives the value of, and tells what is still missing: the
/// server decides whether it can do without.
pub(super) fn answering(
    request: CsrBuilder,
    asked: &CsrAttrs,
    key: &PrivateKey,
) -> Result<CsrBuilder, Failure> {
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
