//! `est enroll` (RFC 7030 §4.2.1).

use super::{
    DeviceFailure, DeviceReport, csrattrs,
    files::{self, KeyFiles},
    lock::Lock,
    options::{
        Common, CredentialOptions, Link, Names, Shown, client, passphrase, password_account,
        private_key,
    },
    outcome::note,
    patience::Patience,
    request::{Wish, finished, new_key, put, report, request_certificate},
};
use crate::{
    clock::Clock,
    pki::{CsrAttrsResponse, PrivateKey, pem, request_public_key_spki},
    types::{KeyKind, Operation},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(super) struct Enroll {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: CredentialOptions,
    #[command(flatten)]
    names: Names,
    /// The kind of key to generate: p-256, p-384, p-521, ed25519, rsa-2048, rsa-3072, rsa-4096
    /// [default: the kind that the server requests, otherwise p-256].
    #[arg(long, value_name = "KIND", conflicts_with = "key")]
    key_type: Option<KeyKind>,
    /// Do not fetch the server's demands on the request (/csrattrs).
    #[arg(long)]
    no_csrattrs: bool,
    /// Use this key; none is generated or written.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Send this CSR, PEM or DER, whose key stays elsewhere: in a secure element, for example. Only
    /// the certificate is written.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["key", "key_type", "subject", "san", "no_csrattrs"]
    )]
    csr: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    /// Folder for key.pem, cert.pem and ca.pem; docs/est.md describes its files.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace the existing key and certificate once the new certificate has arrived.
    #[arg(long)]
    force: bool,
}

/// The request: built for a key, or read from a file.
enum Sent {
    Built { asked: Box<CsrAttrsResponse>, key: PrivateKey, waiting: bool },
    Ready(Vec<u8>),
}

pub(super) async fn enroll(
    command: Enroll,
    clock: Arc<dyn Clock>,
) -> Result<DeviceReport, DeviceFailure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let account = password_account(&command.credentials)?;
    let anchors = command.common.anchors(&command.out)?;
    let pair = KeyFiles {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.out.join("cert.pem"),
    };
    // All arguments are checked before a file changes.
    let mut config = command.common.config(&anchors, clock);
    let ready = command.csr.as_deref().map(|path| csr(path, &command, &pair)).transpose()?;
    let request = ready.is_none().then(|| command.names.request()).transpose()?;
    config.identity = command.shown.identity(passphrase)?;
    config.account = account;
    config.scheme = command.credentials.scheme();
    let client = client(config)?;
    let mut patience = Patience::new(command.common.max_wait);

    let _lock = Lock::acquire(&command.out)?;
    if let Some(report) = finished("enroll", &pair, passphrase)? {
        return Ok(report);
    }
    let has_certificate = files::read_if_there(&pair.certificate)?.is_some();
    if has_certificate && !command.force {
        return Err(DeviceFailure::new(
            format_args!("{} exists already", pair.certificate.display()),
            "renew it with \"est reenroll\", choose another folder with --out, or replace key and \
             certificate with --force",
        ));
    }
    let sent = match ready {
        Some(csr) => Sent::Ready(csr),
        None => {
            let asked = match command.no_csrattrs {
                true => CsrAttrsResponse::default(),
                false => csrattrs::asked(&client, &mut patience).await?,
            };
            let (key, waiting) = key(&command, &pair, &asked, passphrase)?;
            Sent::Built { asked: Box::new(asked), key, waiting }
        }
    };
    let operation = Operation::SimpleEnroll;
    let (patience, link) = (&mut patience, command.credentials.link);
    match (sent, request) {
        (Sent::Built { asked, key, waiting }, Some(request)) => {
            let request = csrattrs::answering(request, &asked, &key)?;
            let linking_asked = asked.asks_for_linking();
            let wish = Wish { request, key: &key, link, linking_asked };
            let csr = |binding: &_| wish.csr(binding);
            let certificate =
                request_certificate(&client, operation, &anchors, patience, csr).await?;
            put("enroll", &pair, &certificate, waiting, passphrase)
        }
        (Sent::Built { .. }, None) => {
            Err(DeviceFailure::wrong_call("no name is asked for", "see --help"))
        }
        (Sent::Ready(csr), _) => {
            let csr = |_: &_| Ok(csr.clone());
            let certificate =
                request_certificate(&client, operation, &anchors, patience, csr).await?;
            put("enroll", &pair, &certificate, false, None)?;
            report("enroll", "", &pair, None, &certificate)
        }
    }
}

/// Reads a CSR that was created elsewhere.
fn csr(path: &Path, command: &Enroll, pair: &KeyFiles) -> Result<Vec<u8>, DeviceFailure> {
    if command.credentials.link == Link::Always {
        return Err(DeviceFailure::wrong_call(
            "a CSR that was created elsewhere cannot be bound to this connection",
            "leave --link away, or have est build the request",
        ));
    }
    let remedy = "give a CSR (PKCS#10) in PEM or DER";
    let unusable = |why: String| DeviceFailure::file(path, why, remedy);
    let bytes = files::read(path)?;
    let csr = match bytes.first() {
        // A SEQUENCE: DER.
        Some(0x30) => bytes,
        _ => pem::request(&bytes).map_err(|error| unusable(error.to_string()))?,
    };
    let spki = request_public_key_spki(&csr).map_err(|error| unusable(error.to_string()))?;
    // The next renewal could not use a certificate beside another key.
    let beside = files::read_if_there(&pair.key)?
        .and_then(|pem| PrivateKey::from_pem(Zeroizing::new(pem), None).ok())
        .and_then(|key| key.public_key_spki_der().ok());
    if beside.is_some_and(|beside| beside != spki) {
        return Err(DeviceFailure::file(
            &pair.key,
            format_args!("it is not the key of {}", path.display()),
            "choose another folder with --out",
        ));
    }
    Ok(csr)
}

/// Returns the key to enroll, and whether it is stored beside an existing one until the answer.
fn key(
    command: &Enroll,
    pair: &KeyFiles,
    asked: &CsrAttrsResponse,
    passphrase: Option<&str>,
) -> Result<(PrivateKey, bool), DeviceFailure> {
    let kept = command.key.is_some();
    let kind = command.key_type.or_else(|| csrattrs::kind(asked));
    let present = kept || files::read_if_there(&pair.key)?.is_some();
    if !present {
        return Ok((new_key(&pair.key, kind, passphrase)?, false));
    }
    if !kept && command.force {
        return Ok((new_key(&pair.new_key(), kind, passphrase)?, true));
    }
    let key = private_key(&pair.key, passphrase)?;
    if let Some(wanted) = command.key_type.filter(|wanted| *wanted != key.kind()) {
        return Err(DeviceFailure::file(
            &pair.key,
            format_args!("it is a {} key, not {wanted}", key.kind()),
            "leave --key-type away to continue with this key, or replace it with --force",
        ));
    }
    if !kept {
        note(format_args!("continuing with the key in {}", pair.key.display()));
    }
    Ok((key, false))
}
