//! `est reenroll` (RFC 7030 §4.2.2).

use super::{
    DeviceFailure, DeviceReport,
    anchors::AnchorFiles,
    csrattrs,
    files::KeyFiles,
    lock::Lock,
    options::{Common, CredentialOptions, client, identity, passphrase, password_account, rfc4514},
    outcome::note,
    patience::Patience,
    request::{Wish, finished, new_key, put, request_certificate},
};
use crate::{
    client::{ClientConfig, ClientIdentity},
    clock::Clock,
    pki::{AltName, CertificateFields, CsrAttrsResponse, CsrBuilder, CsrError},
    types::{KeyKind, Operation, RenewalPoint, Time},
};
use clap::Args;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, Args)]
pub(super) struct Reenroll {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: CredentialOptions,
    /// The present certificate, which is replaced [default: cert.pem in the folder].
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key, which is replaced [default: key.pem in the folder].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Renew only if it is due; otherwise say from when on it is, with exit code 0. It is due from this
    /// part of the lifetime on: --if-due, --if-due=0.5, --if-due=75% [default: 2/3].
    #[arg(
        long,
        value_name = "PART",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2/3"
    )]
    if_due: Option<RenewalPoint>,
    /// Keep the key.
    #[arg(long)]
    renew: bool,
    /// The kind of the new key [default: the kind that the server requests, otherwise as before].
    #[arg(long, value_name = "KIND", conflicts_with = "renew")]
    key_type: Option<KeyKind>,
    /// Ask for another subject (RFC 6402 ChangeSubjectName), such as "CN=device-2,O=Example"; ""
    /// for none [default: as before].
    #[arg(long, value_name = "NAME")]
    new_subject: Option<String>,
    /// Ask for other alternative names in place of all present ones: dns:NAME, ip:ADDRESS, uri:URI
    /// or email:ADDRESS; may be repeated [default: as before].
    #[arg(long, value_name = "KIND:NAME")]
    new_san: Vec<AltName>,
    /// Ask for a certificate without alternative names.
    #[arg(long, conflicts_with = "new_san")]
    no_san: bool,
    /// Do not fetch the server's demands on the request (/csrattrs).
    #[arg(long)]
    no_csrattrs: bool,
    /// Folder of key.pem, cert.pem and ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) async fn reenroll(
    command: Reenroll,
    clock: Arc<dyn Clock>,
) -> Result<DeviceReport, DeviceFailure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let anchors = command.common.anchors(&command.out)?;
    let pair = KeyFiles {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.cert.clone().unwrap_or_else(|| command.out.join("cert.pem")),
    };
    let now = clock.now();
    let mut config = command.common.config(&anchors, clock);
    let _lock = Lock::acquire(&command.out)?;
    if let Some(report) = finished("reenroll", &pair, passphrase)? {
        return Ok(report);
    }
    let identity = identity(&pair.certificate, &pair.key, passphrase)?;
    let present = identity.chain.first().cloned().unwrap_or_default();
    let fields = CertificateFields::parse(&present)?;
    if let Some(point) = command.if_due
        && let Some(report) = not_due(&pair, &fields, point, now)
    {
        return Ok(report);
    }
    config.account = password_account(&command.credentials)?;
    config.scheme = command.credentials.scheme();
    let expired = (now > fields.not_after).then_some(fields.not_after);
    if let Some(end) = expired {
        note(format_args!("{} expired ({end})", pair.certificate.display()));
    }
    let outcome = renew(&command, config, identity, &anchors, &pair, passphrase).await;
    outcome.map_err(|failure| match expired {
        Some(end) if failure.is_rejection() => failure.with_remedy(format!(
            "the certificate expired ({end}), and the server does not renew it any more: get another \
             one with \"est enroll --force\" and an account; if this device's clock is wrong, set it"
        )),
        _ => failure,
    })
}

/// Prints when the renewal will be due, unless it is due now (D-39).
fn not_due(
    pair: &KeyFiles,
    fields: &CertificateFields<'_>,
    point: RenewalPoint,
    now: Time,
) -> Option<DeviceReport> {
    let due = point.due(fields.not_before, fields.not_after);
    let place = pair.certificate.display();
    (now < due).then(|| {
        DeviceReport::new(
            format_args!(
                "{place} is valid until {}; its renewal is due from {due} on: nothing to do",
                fields.not_after
            ),
            json!({
                "command": "reenroll",
                "changed": false,
                "certificate": place.to_string(),
                "due": due.to_string(),
                "not_before": fields.not_before.to_string(),
                "not_after": fields.not_after.to_string(),
            }),
        )
    })
}

async fn renew(
    command: &Reenroll,
    mut config: ClientConfig,
    identity: ClientIdentity,
    anchors: &AnchorFiles,
    pair: &KeyFiles,
    passphrase: Option<&str>,
) -> Result<DeviceReport, DeviceFailure> {
    let present = identity.chain.first().cloned().unwrap_or_default();
    let present_key = Arc::clone(&identity.key);
    config.identity = Some(identity);
    let client = client(config)?;
    let mut patience = Patience::new(command.common.max_wait);

    let request = renamed(CsrBuilder::new().like_certificate(&present)?, command)?;
    let asked = match command.no_csrattrs {
        true => CsrAttrsResponse::default(),
        false => csrattrs::of_a_renewal(csrattrs::asked(&client, &mut patience).await?),
    };
    let new = if command.renew {
        None
    } else {
        let kind = command.key_type.unwrap_or_else(|| csrattrs::next(&asked, present_key.kind()));
        Some(new_key(&pair.new_key(), Some(kind), passphrase)?)
    };
    let key = new.as_ref().unwrap_or(&present_key);
    let request = csrattrs::answering(request, &asked, key)?;
    let (link, linking_asked) = (command.credentials.link, asked.asks_for_linking());
    let wish = Wish { request, key, link, linking_asked };
    let csr = |binding: &_| wish.csr(binding);
    let operation = Operation::SimpleReenroll;
    let certificate = request_certificate(&client, operation, anchors, &mut patience, csr).await?;
    put("reenroll", pair, &certificate, !command.renew, passphrase)
}

/// Requests the new names, if any. The request itself has the names of the current certificate.
/// Unchanged names are requested, too; otherwise they would be removed.
fn renamed(request: CsrBuilder, command: &Reenroll) -> Result<CsrBuilder, CsrError> {
    let mut wanted = request.clone();
    if let Some(subject) = &command.new_subject {
        wanted = wanted.subject(&rfc4514(subject))?;
    }
    if command.no_san || !command.new_san.is_empty() {
        wanted = wanted.san(&command.new_san)?;
    }
    if command.new_subject.is_none() && command.new_san.is_empty() && !command.no_san {
        return Ok(request);
    }
    request.change_names(&wanted)
}
