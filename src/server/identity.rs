//! The server's own key and certificate, which it issues and renews itself.

use super::Error;
use crate::{
    ca::{self, Ca, KeyFile, Order, OrderedDevice, Profile, write_private},
    config::Keys,
    durable,
    pki::{Certificate, PrivateKey, PublicKey, SubjectAltName, pem, sha256},
    policy::ServerCertificateRules,
    store::{Conditions, IdempotencyKey, Store},
    types::{Actor, ProfileName, RenewalPoint, RequestId, Time},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use zeroize::Zeroizing;

/// The input for a certificate of the server.
pub(super) struct Needed<'a> {
    pub(super) folder: &'a Path,
    pub(super) wanted: &'a ServerCertificateRules,
    pub(super) keys: &'a Keys,
    pub(super) ca: &'a Ca,
    pub(super) request_id: RequestId,
}

/// The identity in use, and the error of its renewal.
pub(super) struct Current {
    pub(super) identity: OwnIdentity,
    pub(super) failed: Option<String>,
}

/// The server's key and certificate chain.
pub(super) struct OwnIdentity {
    pub(super) key: Arc<PrivateKey>,
    pub(super) leaf: Certificate,
    pub(super) issuing: Certificate,
}

/// Key and chain in one file, so that they are replaced in one step.
const FILE: &str = "server.pem";

/// Bytes that exceed every key and chain.
const LARGEST: usize = 32 << 10;

/// The file's path while it is written. Removes the file that a killed start has left.
fn unfinished(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(".server.pem.unfinished");
    match fs::remove_file(&path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(Error::File { path, cause }),
        _ => Ok(path),
    }
}

impl OwnIdentity {
    /// Reads the key and certificate. Issues new ones if the file does not exist, or if they are due for
    /// renewal, revoked, or do not fit the configuration.
    ///
    /// A CA outside its validity period issues nothing. The existing certificate then stays in use,
    /// so that the server still starts.
    pub(super) async fn current(
        needed: Needed<'_>,
        store: &dyn Store,
        now: Time,
    ) -> Result<Current, Error> {
        let found = Self::read(needed.folder, needed.keys)?;
        let reason = match &found {
            None => "there was none",
            Some(found) if !found.fits(needed.wanted, needed.ca, now) => {
                "it was due, or the configuration asks for another one"
            }
            Some(found) if found.is_revoked(store).await? => "the one before is revoked",
            Some(_) => "",
        };
        let found = match found {
            Some(identity) if reason.is_empty() => {
                return Ok(Current { identity, failed: None });
            }
            found => found,
        };
        match (Self::renew(&needed, &Actor::server(), reason, now).await, found) {
            (Err(Error::Ca(error @ ca::Error::NotValid { .. })), Some(identity)) => {
                Ok(Current { identity, failed: Some(error.to_string()) })
            }
            (renewed, _) => Ok(Current { identity: renewed?, failed: None }),
        }
    }

    /// Returns whether the certificate is revoked.
    pub(super) async fn is_revoked(&self, store: &dyn Store) -> Result<bool, Error> {
        let record = store.find(self.leaf.serial()).await?;
        Ok(record.is_some_and(|record| record.revocation.is_some()))
    }

    /// Returns whether a third of its life is left and it fits the configuration.
    pub(super) fn fits(&self, wanted: &ServerCertificateRules, ca: &Ca, now: Time) -> bool {
        let life = self.leaf.not_after().since(self.leaf.not_before());
        let left = self.leaf.not_after().since(now);
        let names = SubjectAltName::of_hosts(&wanted.names, &wanted.addresses);
        left > life / 3
            && now >= self.leaf.not_before()
            && self.issuing.der() == ca.issuing().der()
            && self.key.kind() == wanted.key
            && match (&names, self.leaf.san()) {
                (Ok(wanted), Some(held)) => wanted.same_as(held),
                _ => false,
            }
    }

    /// Reads key and chain. Returns `None` if the file does not exist.
    ///
    /// # Errors
    /// [`Error`] naming the file.
    pub(super) fn read(folder: &Path, keys: &Keys) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::File { path, cause }),
        };
        let passphrase = keys.passphrase.as_ref().map(|passphrase| passphrase.as_str());
        let key = KeyFile { path: &path, passphrase }.read()?;
        let certificates = pem::decode_certificates(&text).unwrap_or_default();
        let mut certificates = certificates.iter().map(|der| Certificate::parse(der));
        match (certificates.next(), certificates.next()) {
            (Some(Ok(leaf)), Some(Ok(issuing))) => {
                Ok(Some(Self { key: Arc::new(key), leaf, issuing }))
            }
            _ => Err(Error::Unfit {
                path,
                error: "got other contents; expected: two PEM certificates after the key"
                    .to_owned(),
                remedy: "move the file away: a start creates a new one".to_owned(),
            }),
        }
    }

    /// Issues a certificate for a new key and stores both. The event has `reason`.
    pub(super) async fn renew(
        needed: &Needed<'_>,
        actor: &Actor,
        reason: &str,
        now: Time,
    ) -> Result<Self, Error> {
        let Needed { folder, wanted, keys, ca, .. } = *needed;
        let kind = wanted.key;
        let key = tokio::task::spawn_blocking(move || PrivateKey::generate(kind))
            .await
            .map_err(|error| Error::Internal(error.to_string()))?
            .map_err(|error| Error::Internal(error.to_string()))?;
        let spki = key.public_key_spki_der().map_err(|error| Error::Internal(error.to_string()))?;
        let public = PublicKey::parse(&spki).map_err(|error| Error::Internal(error.to_string()))?;
        let profile: ProfileName =
            "server".parse().map_err(|_| Error::Internal("profile".to_owned()))?;
        let content = Profile::of_server(profile, wanted, public)
            .map_err(|error| Error::Tls(error.to_string()))?;
        let order = Order {
            content,
            // The key is new: no two orders of the server are equal.
            idempotency_key: IdempotencyKey(sha256(&spki)),
            retry_window: Duration::ZERO,
            due: RenewalPoint::DEFAULT,
            label: None,
            operation: None,
            actor: actor.clone(),
            predecessor: None,
            request_id: needed.request_id.clone(),
            device: OrderedDevice::Nothing,
            token: None,
            conditions: Conditions::default(),
            proofs: Vec::new(),
            address: None,
            facts: vec![("reason", reason.to_owned())],
        };
        // Reserves the file first: a certificate that cannot be stored must not be issued at each check.
        let unfinished = unfinished(folder)?;
        write_private(&unfinished, &[0; LARGEST])?;
        let issued = ca.issue(order, now).await?;
        let leaf = Certificate::parse(&issued.issuance.certificate)
            .map_err(|error| Error::Internal(error.to_string()))?;
        let own = Self { key: Arc::new(key), leaf, issuing: ca.issuing().clone() };
        own.write(folder, keys)?;
        Ok(own)
    }

    /// Stores key and chain in one step: a crash leaves the old file or the new one.
    fn write(&self, folder: &Path, keys: &Keys) -> Result<(), Error> {
        let passphrase = keys.passphrase.as_ref().map(|passphrase| passphrase.as_str());
        let mut text =
            self.key.to_pem(passphrase).map_err(|error| Error::Internal(error.to_string()))?;
        text.push_str(&self.leaf.to_pem());
        text.push_str(&self.issuing.to_pem());
        let (unfinished, path) = (unfinished(folder)?, folder.join(FILE));
        write_private(&unfinished, text.as_bytes())?;
        durable::rename(&unfinished, &path).map_err(|cause| Error::File { path, cause })
    }

    /// Returns chain and key in the types of rustls.
    pub(super) fn for_tls(
        &self,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
        let key = self.key.to_pkcs8_der().map_err(|error| Error::Internal(error.to_string()))?;
        let chain = [&self.leaf, &self.issuing].map(|one| CertificateDer::from(one.der().to_vec()));
        Ok((chain.to_vec(), PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()))))
    }
}
