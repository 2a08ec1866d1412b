//! A request of `est` until it is answered, and its files.

use super::{
    DeviceFailure, DeviceReport,
    anchors::AnchorFiles,
    files::{self, FileError, KeyFiles, Recovered},
    options::{Link, read_certificates},
    outcome::note,
    patience::Patience,
};
use crate::{
    client::{Client, Connection, Error, fingerprint, show_fingerprint},
    pki::{CertificateFields, CsrBuilder, PrivateKey, pem},
    types::{Binding, KeyKind, Operation},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use std::path::Path;
use zeroize::Zeroizing;

/// A request and its key; signed anew for each connection, whose binding may be in it.
pub(super) struct Wish<'a> {
    pub(super) request: CsrBuilder,
    pub(super) key: &'a PrivateKey,
    pub(super) link: Link,
    /// Whether the server requests linking.
    pub(super) linking_asked: bool,
}

impl Wish<'_> {
    pub(super) fn csr(&self, binding: &Binding) -> Result<Vec<u8>, Error> {
        let error = |why: String| Error::Config { what: "the certification request", why };
        let wanted = self.link == Link::Always || self.link == Link::Auto && self.linking_asked;
        let mut request = self.request.clone();
        match binding.of_choice() {
            Some((_, value)) if wanted => {
                request = request
                    .challenge_password(&STANDARD.encode(value))
                    .map_err(|cause| error(cause.to_string()))?;
            }
            None if self.link == Link::Always => {
                return Err(error(
                    "this connection has no channel binding to link it to: use TLS 1.3, or a \
                     server whose TLS 1.2 knows extended_master_secret, or --link auto"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        request.build(self.key).map_err(|cause| error(cause.to_string()))
    }
}

/// Sends a CSR until it is answered or permanently rejected, or the time is up. Refreshes the
/// anchors over the same connection. `csr` signs it for a connection's binding.
pub(super) async fn request_certificate(
    client: &Client,
    operation: Operation,
    anchors: &AnchorFiles,
    patience: &mut Patience,
    csr: impl Fn(&Binding) -> Result<Vec<u8>, Error>,
) -> Result<Vec<u8>, DeviceFailure> {
    ask_with(client, operation, anchors, patience, async |connection| {
        let csr = csr(connection.binding())?;
        if operation == Operation::SimpleReenroll {
            connection.simple_reenroll(&csr).await
        } else {
            connection.simple_enroll(&csr).await
        }
    })
    .await
}

/// The same for any request.
pub(super) async fn ask_with<T>(
    client: &Client,
    operation: Operation,
    anchors: &AnchorFiles,
    patience: &mut Patience,
    request: impl AsyncFn(&mut Connection) -> Result<T, Error>,
) -> Result<T, DeviceFailure> {
    let mut anchors_kept = false;
    let mut again = false;
    loop {
        let mut sent = false;
        let outcome = async {
            client.probe_challenge(operation).await?;
            let mut connection = client.connect().await?;
            if !anchors_kept {
                match connection.cacerts().await {
                    Ok(bag) => anchors.keep(client, &connection, bag)?,
                    Err(error @ (Error::Rejected(_) | Error::Malformed { .. }))
                        if error.later().is_none() =>
                    {
                        note(format_args!("the CA certificates are not refreshed: {error}"));
                        anchors.keep_trusted(client, &connection)?;
                    }
                    Err(error) => return Err(error.into()),
                }
                anchors_kept = true;
                if !connection.is_open().await {
                    connection = client.connect().await?;
                }
            }
            sent = true;
            request(&mut connection).await.map_err(Asked::Client)
        }
        .await;
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(Asked::File(error)) => return Err(error.into()),
            Err(Asked::Client(error)) => error,
        };
        let challenged = matches!(error, Error::Challenged);
        // If the answer with a generated key is lost, so is the key: a retry would get another key
        // and another certificate.
        let repeatable = challenged || !sent || operation != Operation::ServerKeyGen;
        // The server closed the connection after its challenge, or after `/cacerts`.
        if !again && repeatable && (challenged || matches!(error, Error::Http(_))) {
            again = true;
            continue;
        }
        if !repeatable && !matches!(error, Error::Pending { .. } | Error::Rejected(_)) {
            return Err(error.into());
        }
        patience.wait(error).await?;
    }
}

enum Asked {
    Client(Error),
    File(FileError),
}

impl From<Error> for Asked {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<FileError> for Asked {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

/// Finishes an interrupted change, if any; no request is needed then.
pub(super) fn finished(
    command: &str,
    pair: &KeyFiles,
    passphrase: Option<&str>,
) -> Result<Option<DeviceReport>, DeviceFailure> {
    if pair.recover(passphrase)? != Recovered::Finished {
        return Ok(None);
    }
    let certificates = read_certificates(&pair.certificate)?;
    let certificate = certificates.first().map(Vec::as_slice).unwrap_or_default();
    let what = "finished the change that was interrupted; ";
    report(command, what, pair, Some(&pair.key), certificate).map(Some)
}

/// Installs the certificate, and its key if that is pending.
pub(super) fn put(
    command: &str,
    pair: &KeyFiles,
    certificate: &[u8],
    waiting: bool,
    passphrase: Option<&str>,
) -> Result<DeviceReport, DeviceFailure> {
    let pem = pem::encode_certificates([certificate]);
    if waiting {
        pair.replace_both(pem.as_bytes(), passphrase)?;
    } else {
        pair.replace_certificate(pem.as_bytes())?;
    }
    report(command, "", pair, Some(&pair.key), certificate)
}

/// Reports the place of a certificate. `key` is its key, if it is stored.
pub(super) fn report(
    command: &str,
    what: &str,
    pair: &KeyFiles,
    key: Option<&Path>,
    certificate: &[u8],
) -> Result<DeviceReport, DeviceFailure> {
    let fields = CertificateFields::parse(certificate)?;
    let subject = fields.subject_text();
    let place = pair.certificate.display();
    let key_place = key.map_or_else(String::new, |key| format!(", its key in {}", key.display()));
    Ok(DeviceReport::new(
        format_args!(
            "{what}certificate for \"{subject}\" in {place}{key_place}, valid until {}",
            fields.not_after
        ),
        json!({
            "command": command,
            "changed": true,
            "certificate": place.to_string(),
            "key": key.map(|key| key.display().to_string()),
            "subject": subject,
            "serial": hex(fields.serial),
            "sha256": show_fingerprint(&fingerprint(certificate)),
            "not_before": fields.not_before.to_string(),
            "not_after": fields.not_after.to_string(),
        }),
    ))
}

pub(super) fn hex(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(bytes);
    base16ct::lower::encode_string(bytes)
}

/// Reads the key that an attempt with a lost answer left in `path`. Otherwise generates one and writes
/// it there before the request is sent.
pub(super) fn new_key(
    path: &Path,
    kind: Option<KeyKind>,
    passphrase: Option<&str>,
) -> Result<PrivateKey, DeviceFailure> {
    if let Some(pem) = files::read_if_there(path)? {
        let waiting = PrivateKey::from_pem(Zeroizing::new(pem), passphrase);
        if let Ok(key) = waiting
            && kind.is_none_or(|kind| kind == key.kind())
        {
            note(format_args!("continuing with the key in {}", path.display()));
            return Ok(key);
        }
    }
    let key = PrivateKey::generate(kind.unwrap_or(KeyKind::P256))?;
    files::write(path, key.to_pem(passphrase)?.as_bytes(), 0o600)?;
    Ok(key)
}
