//! A request of `est` until it is answered, and what is kept of it.

use super::{
    Failure,
    anchors::Anchors,
    files::{self, FileError, Pair, Recovered},
    options::Link,
    outcome::{note, say},
};
use crate::{
    client::{Client, Connection, Error, certificates_to_pem},
    pki::{CertificateFields, CsrBuilder, PrivateKey},
    types::{Binding, KeyKind, Operation},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use std::{path::Path, time::Duration};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Pause between two tries if the server names none, and the least pause.
const PAUSE: Duration = Duration::from_secs(5);
const LEAST_PAUSE: Duration = Duration::from_secs(1);

/// What is asked for, with which key; signed anew for each connection, whose binding may be in it.
pub(super) struct Wish<'a> {
    pub(super) request: CsrBuilder,
    pub(super) key: &'a PrivateKey,
    pub(super) link: Link,
    /// Whether the server asks for linking.
    pub(super) linking_asked: bool,
}

impl Wish<'_> {
    pub(super) fn csr(&self, binding: &Binding) -> Result<Vec<u8>, Error> {
        let fault = |why: String| Error::Config { what: "the certification request", why };
        let wanted = self.link == Link::Always || self.link == Link::Auto && self.linking_asked;
        let mut request = self.request.clone();
        match binding.of_choice() {
            Some((_, value)) if wanted => {
                request = request
                    .challenge_password(&STANDARD.encode(value))
                    .map_err(|error| fault(error.to_string()))?;
            }
            None if self.link == Link::Always => {
                return Err(fault(
                    "this connection has no channel binding to link it to: use TLS 1.3, or a \
                     server whose TLS 1.2 knows extended_master_secret, or --link auto"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        request.build(self.key).map_err(|error| fault(error.to_string()))
    }
}

/// Sends the request until it is answered, refused for good, or the time is up; refreshes the
/// anchors on the way, over the same connection.
pub(super) async fn ask(
    client: &Client,
    operation: Operation,
    wish: &Wish<'_>,
    anchors: &Anchors,
    max_wait: Duration,
) -> Result<Vec<u8>, Failure> {
    ask_with(client, operation, anchors, max_wait, async |connection| {
        let csr = wish.csr(connection.binding())?;
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
    anchors: &Anchors,
    max_wait: Duration,
    request: impl AsyncFn(&mut Connection) -> Result<T, Error>,
) -> Result<T, Failure> {
    let end = Instant::now() + max_wait;
    let mut anchors_kept = false;
    let mut again = false;
    loop {
        let outcome = async {
            client.hear(operation).await?;
            let mut connection = client.connect().await?;
            if !anchors_kept {
                match connection.cacerts().await {
                    Ok(bag) => anchors.keep(client, &connection, bag)?,
                    Err(error @ (Error::Refused(_) | Error::Malformed { .. }))
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
            request(&mut connection).await.map_err(Asked::Client)
        }
        .await;
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(Asked::File(error)) => return Err(error.into()),
            // The server closed the connection after its challenge, or after `/cacerts`.
            Err(Asked::Client(Error::Challenged | Error::Http(_))) if !again => {
                again = true;
                continue;
            }
            Err(Asked::Client(error)) => error,
        };
        wait(error, end).await?;
    }
}

/// Waits as long as an answer says, if it says so and there is time.
pub(super) async fn wait(error: Error, end: Instant) -> Result<(), Failure> {
    let Some(pause) = error.later() else { return Err(error.into()) };
    let pause = pause.unwrap_or(PAUSE).max(LEAST_PAUSE);
    if Instant::now() + pause > end {
        return Err(error.into());
    }
    note(format_args!("{error}; asking again in {} s", pause.as_secs()));
    tokio::time::sleep(pause).await;
    Ok(())
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

/// Finishes a change that was interrupted, if there is one, and says so: then there is nothing to
/// ask for.
pub(super) fn finished(pair: &Pair, passphrase: Option<&str>) -> Result<bool, Failure> {
    let finished = pair.recover(passphrase)? == Recovered::Finished;
    if finished {
        say(format_args!(
            "finished the change that was interrupted: {} is the new certificate",
            pair.certificate.display()
        ));
    }
    Ok(finished)
}

pub(super) fn put(
    pair: &Pair,
    certificate: &[u8],
    waiting: bool,
    passphrase: Option<&str>,
) -> Result<(), Failure> {
    let pem = certificates_to_pem([certificate]);
    if waiting {
        pair.replace_both(pem.as_bytes(), passphrase)?;
    } else {
        pair.replace_certificate(pem.as_bytes())?;
    }
    let fields = CertificateFields::parse(certificate)?;
    say(format_args!(
        "certificate for \"{}\" in {}, its key in {}",
        fields.subject_text(),
        pair.certificate.display(),
        pair.key.display()
    ));
    Ok(())
}

/// Takes the key that waits in `path` from an attempt whose answer was lost, or makes one and
/// writes it there before anybody is told of it.
pub(super) fn new_key(
    path: &Path,
    kind: Option<KeyKind>,
    passphrase: Option<&str>,
) -> Result<PrivateKey, Failure> {
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
