//! `est serverkeygen` (RFC 7030 §4.4).

use super::{
    DeviceFailure, DeviceReport, csrattrs,
    files::{self, KeyFiles},
    lock::Lock,
    options::{
        Common, CredentialOptions, Link, Names, Shown, client, identity, passphrase,
        password_account, private_key,
    },
    patience::Patience,
    request::{Wish, ask_with, finished, put},
};
use crate::{
    clock::Clock,
    pki::{
        Certificate, PrivateKey,
        keygen::{self, Decryption},
    },
    types::{DecryptKey, KeyKind, Operation},
};
use clap::Args;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(super) struct ServerKeyGen {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: CredentialOptions,
    #[command(flatten)]
    names: Names,
    /// The kind of key to ask for: p-256, p-384, p-521, ed25519, rsa-2048, rsa-3072, rsa-4096.
    #[arg(long, value_name = "KIND", default_value = "p-256")]
    key_type: KeyKind,
    /// Have the key encrypted to a symmetric key: a file with a line IDENTIFIER:KEY, the key as 32 or
    /// 64 hexadecimal digits. The server knows the same key by that identifier.
    #[arg(long, value_name = "FILE", conflicts_with = "decrypt_cert")]
    decrypt_key: Option<PathBuf>,
    /// Have the key encrypted to the RSA or EC key of this certificate, which the server knows...
    #[arg(long, value_name = "FILE", requires = "decrypt_cert_key")]
    decrypt_cert: Option<PathBuf>,
    /// ...and decrypt with this key.
    #[arg(long, value_name = "FILE", requires = "decrypt_cert")]
    decrypt_cert_key: Option<PathBuf>,
    #[command(flatten)]
    shown: Shown,
    /// Folder for key.pem, cert.pem and ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace the existing key and certificate once the new ones have arrived.
    #[arg(long)]
    force: bool,
}

/// The decrypting key, as it was read.
enum Decrypts {
    Symmetric(DecryptKey),
    Certificate(Box<Certificate>, PrivateKey),
}

impl Decrypts {
    fn read(
        command: &ServerKeyGen,
        passphrase: Option<&str>,
    ) -> Result<Option<Self>, DeviceFailure> {
        if let Some(path) = &command.decrypt_key {
            return Ok(Some(Self::Symmetric(one_key(path)?)));
        }
        let (Some(certificate), Some(key)) = (&command.decrypt_cert, &command.decrypt_cert_key)
        else {
            return Ok(None);
        };
        let identity = identity(certificate, key, passphrase)?;
        let first = identity.chain.first().map(Vec::as_slice).unwrap_or_default();
        let parsed = Certificate::parse(first).map_err(|error| {
            DeviceFailure::file(certificate, error, "give a certificate in PEM form")
        })?;
        let key = private_key(key, passphrase)?;
        Ok(Some(Self::Certificate(Box::new(parsed), key)))
    }

    fn as_decryption(&self) -> Decryption<'_> {
        match self {
            Self::Symmetric(key) => Decryption::Symmetric { id: key.id(), key: key.key() },
            Self::Certificate(certificate, key) => Decryption::Certificate { certificate, key },
        }
    }
}

fn one_key(path: &Path) -> Result<DecryptKey, DeviceFailure> {
    let bytes = Zeroizing::new(files::read(path)?);
    let unfit = |why: String| {
        DeviceFailure::file(
            path,
            why,
            "write one line IDENTIFIER:KEY, the key as 32 or 64 hexadecimal digits",
        )
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| unfit("it is not UTF-8".to_owned()))?;
    let mut keys = DecryptKey::parse_all(text).map_err(|error| unfit(error.to_string()))?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok(key),
        _ => Err(unfit("it holds not exactly one key".to_owned())),
    }
}

pub(super) async fn serverkeygen(
    command: ServerKeyGen,
    clock: Arc<dyn Clock>,
) -> Result<DeviceReport, DeviceFailure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let account = password_account(&command.credentials)?;
    let anchors = command.common.anchors(&command.out)?;
    let pair =
        KeyFiles { key: command.out.join("key.pem"), certificate: command.out.join("cert.pem") };
    // All arguments are checked before a file changes.
    let decrypts = Decrypts::read(&command, passphrase)?;
    let decryption = decrypts.as_ref().map(Decrypts::as_decryption);
    let mut config = command.common.config(&anchors, clock);
    config.identity = command.shown.identity(passphrase)?;
    config.account = account;
    config.scheme = command.credentials.scheme();
    if decryption.is_none() {
        config.cipher_bits = keygen::strength(command.key_type);
    }
    let mut request = command.names.request()?;
    if let Some(decryption) = decryption {
        request = keygen::ask_for_encryption(request, decryption)?;
    }
    let client = client(config)?;
    let mut patience = Patience::new(command.common.max_wait);

    let _lock = Lock::acquire(&command.out)?;
    if let Some(report) = finished("serverkeygen", &pair, passphrase)? {
        return Ok(report);
    }
    for path in [&pair.key, &pair.certificate] {
        if !command.force && files::read_if_there(path)?.is_some() {
            return Err(DeviceFailure::new(
                format_args!("{} exists already", path.display()),
                "choose another folder with --out, or replace key and certificate with --force",
            ));
        }
    }
    // A temporary key: its kind is the requested one, and it signs the request.
    let key = PrivateKey::generate(command.key_type)?;
    let link = command.credentials.link;
    let linking_asked =
        link == Link::Auto && csrattrs::asked(&client, &mut patience).await?.asks_for_linking();
    let wish = Wish { request, key: &key, link, linking_asked };
    let operation = Operation::ServerKeyGen;
    let made = ask_with(&client, operation, &anchors, &mut patience, async |connection| {
        let csr = wish.csr(connection.binding())?;
        connection.server_key_gen(&csr, decryption).await
    })
    .await?;
    files::write(&pair.new_key(), made.key.to_pem(passphrase)?.as_bytes(), 0o600)?;
    put("serverkeygen", &pair, &made.certificate, true, passphrase)
}
