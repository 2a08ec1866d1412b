//! `/serverkeygen` (RFC 7030 §4.4): the server generates the key.
//!
//! Every check that can reject the request runs before a key is generated. The key is then packed, signed
//! by this server and, if the CSR requests that, encrypted. Only then is the issuance recorded, so that
//! an error leaves no certificate without a key. The key is only in this request's memory, which is
//! overwritten, and in no record, event or log.

use super::{Endpoint, Error, Service};
use crate::{
    pki::{
        Certificate, Csr, PrivateKey, PublicKey,
        keygen::{
            self, Capabilities, EnvelopePlan, KeygenSigner, Protection, Recipient, SealError,
        },
        oid,
    },
    policy::{DecryptKeys, KeyGeneration},
    ra::{Authenticated, Peer, Rejected},
    store::Issuance,
    types::{Code, DecryptKey, KeyKind, Rejection, Time},
};
use std::{collections::HashMap, fmt, sync::Arc};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

/// Maximum number of requests that wait for an RSA key: each takes up to a second of a core.
const WAITING: usize = 64;

/// Generates keys and packs them.
pub struct KeyMaker {
    signer: Arc<KeygenIdentity>,
    symmetric: HashMap<Vec<u8>, DecryptKey>,
    recipients: Vec<Certificate>,
    waiting: Arc<Semaphore>,
    making: Arc<Semaphore>,
}

/// The server's own key, which signs the generated keys, and its certificates.
struct KeygenIdentity {
    key: Arc<PrivateKey>,
    certificate: Certificate,
    chain: Vec<Certificate>,
}

/// A certificate and its key for a client.
#[derive(Debug)]
pub struct Generated {
    /// The certificate's record.
    pub issuance: Arc<Issuance>,
    /// The key.
    pub key: KeyPart,
}

/// A private key in the form that is sent to the client.
pub enum KeyPart {
    /// PKCS#8, DER; protected by TLS alone.
    Clear(Zeroizing<Vec<u8>>),
    /// EnvelopedData, DER.
    Sealed(Vec<u8>),
}

/// Does not print the key.
impl fmt::Debug for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear",
            Self::Sealed(_) => "Sealed",
        })
    }
}

impl KeyMaker {
    /// Takes the server's own key and certificates, and the keys of the configuration by which
    /// devices decrypt.
    ///
    /// # Errors
    /// The error of a certificate of the configuration.
    pub fn new(
        key: Arc<PrivateKey>,
        certificate: Certificate,
        chain: Vec<Certificate>,
        keys: &DecryptKeys,
    ) -> Result<Self, String> {
        let recipients = keys
            .recipients
            .iter()
            .map(|der| Certificate::parse(der).map_err(|rejection| rejection.to_string()))
            .collect::<Result<_, _>>()?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            signer: Arc::new(KeygenIdentity { key, certificate, chain }),
            symmetric: keys.symmetric.iter().map(|key| (key.id().to_vec(), key.clone())).collect(),
            recipients,
            waiting: Arc::new(Semaphore::new(WAITING)),
            making: Arc::new(Semaphore::new(cores)),
        })
    }

    /// Selects the encryption of a key of this kind; none if the CSR does not request encryption.
    fn plan(
        &self,
        csr: &Csr,
        shown: Option<&Certificate>,
        now: Time,
    ) -> Result<Option<EnvelopePlan>, Error> {
        let Some(protection) = keygen::protection(csr)? else { return Ok(None) };
        let capabilities = csr.attribute(oid::SMIME_CAPABILITIES)?.ok_or_else(|| {
            Error::Unacceptable(Rejection::new(
                Code::KeygenCapabilities,
                "a CSR that names a key to encrypt to says by SMIMECapabilities which algorithms the client knows (RFC 7030 section 4.4.1)",
                "no SMIMECapabilities",
                "the attribute SMIMECapabilities (RFC 8551 section 2.5.2)",
            ))
        })?;
        let capabilities = Capabilities::parse(capabilities)?;
        let plan = match &protection {
            Protection::Symmetric(id) => {
                let key = self.symmetric.get(id).ok_or_else(|| unknown(id))?;
                let recipient = Recipient::Symmetric { id, key: key.key() };
                EnvelopePlan::new(&recipient, &capabilities, csr.key().kind(), now)?
            }
            Protection::Asymmetric(id) => {
                // If two have the same identifier, the valid one.
                let named = || {
                    shown
                        .into_iter()
                        .chain(&self.recipients)
                        .filter(|one| one.key_identifier() == *id)
                };
                let valid = |one: &&Certificate| now >= one.not_before() && now <= one.not_after();
                let certificate =
                    named().find(valid).or_else(|| named().next()).ok_or_else(|| unknown(id))?;
                let recipient = Recipient::Certificate(certificate);
                EnvelopePlan::new(&recipient, &capabilities, csr.key().kind(), now)?
            }
        };
        Ok(Some(plan))
    }

    /// Generates and packs a key, on a thread of its own because RSA takes up to seconds.
    async fn make(
        &self,
        kind: KeyKind,
        plan: Option<EnvelopePlan>,
    ) -> Result<(PublicKey, KeyPart), Error> {
        let permits = match kind {
            KeyKind::Rsa(_) => {
                let busy = |_| Error::Busy("RSA keys are being generated");
                let waiting = Arc::clone(&self.waiting).try_acquire_owned().map_err(busy)?;
                let making = Arc::clone(&self.making).acquire_owned().await;
                Some((waiting, making.map_err(|rejection| Error::Internal(rejection.to_string()))?))
            }
            KeyKind::P256 | KeyKind::P384 | KeyKind::P521 | KeyKind::Ed25519 => None,
        };
        let own = Arc::clone(&self.signer);
        let made = tokio::task::spawn_blocking(move || {
            let made = own.make(kind, plan.as_ref());
            // Held until the key is generated, even if the client hangs up.
            drop(permits);
            made
        });
        made.await
            .map_err(|rejection| Error::Internal(rejection.to_string()))?
            .map_err(Error::Internal)
    }
}

impl KeygenIdentity {
    fn make(
        &self,
        kind: KeyKind,
        plan: Option<&EnvelopePlan>,
    ) -> Result<(PublicKey, KeyPart), String> {
        let text = |rejection: SealError| rejection.to_string();
        let key = PrivateKey::generate(kind).map_err(|rejection| rejection.to_string())?;
        let spki = key.public_key_spki_der().map_err(|rejection| rejection.to_string())?;
        let public = PublicKey::parse(&spki).map_err(|rejection| rejection.to_string())?;
        let pkcs8 = key.to_pkcs8_der().map_err(|rejection| rejection.to_string())?;
        let Some(plan) = plan else { return Ok((public, KeyPart::Clear(pkcs8))) };
        let package = keygen::key_package(&pkcs8).map_err(text)?;
        let signer =
            KeygenSigner { key: &self.key, certificate: &self.certificate, chain: &self.chain };
        let signed = keygen::sign(oid::KEY_PACKAGE, &package, signer).map_err(text)?;
        Ok((public, KeyPart::Sealed(plan.seal(&signed).map_err(text)?)))
    }
}

fn unknown(id: &[u8]) -> Error {
    Error::Unacceptable(Rejection::of(
        Code::KeygenUnknownKey,
        id.escape_ascii(),
        "an identifier that the operator has registered under [serverkeygen]",
    ))
}

impl Service {
    /// `/serverkeygen` (RFC 7030 §4.4). The CSR is treated like one of `/simpleenroll`, with two
    /// exceptions: only the algorithm of its key is used, and its signature is not verified.
    ///
    /// # Errors
    /// [`Rejected`].
    pub async fn generate(
        &self,
        endpoint: &Endpoint,
        client: &Authenticated<'_>,
        csr: &[u8],
        adapted: &[&'static str],
    ) -> Result<Generated, Rejected> {
        match self.make(endpoint, client, csr, adapted).await {
            Ok(generated) => Ok(generated),
            Err(error) => Err(client.call().reject_csr(error, csr).await),
        }
    }

    async fn make(
        &self,
        endpoint: &Endpoint,
        client: &Authenticated<'_>,
        csr: &[u8],
        adapted: &[&'static str],
    ) -> Result<Generated, Error> {
        let now = self.now();
        let csr = Csr::for_key_to_be_made(csr, endpoint.policy.profile.key_kinds())?;
        let csr = Arc::new(csr);
        client.has_csr(&csr);
        let kind = csr.key().kind();
        let plan = self.key_maker.plan(&csr, client.identity().certificate(), now)?;
        if plan.is_none() {
            reject_clear(endpoint.policy.rules.serverkeygen, kind, client.call().peer())?;
        }
        let mut order = client.order(&csr, adapted).await?;

        let how = plan.as_ref().map_or("made here, protected by TLS", |plan| plan.summary());
        let (public, key) = self.key_maker.make(kind, plan).await?;
        order.content = order
            .content
            .for_generated_key(public.clone())
            .ok_or_else(|| Error::Internal("a key of another kind was generated".to_owned()))?;
        // On a task of its own: a client that hangs up must not stop an issuance half-way.
        let ca = Arc::clone(&endpoint.policy.ca);
        let issuing =
            tokio::spawn(async move { ca.issue_for_generated_key(order, how, now).await });
        let issuance = issuing.await.map_err(|error| Error::Internal(error.to_string()))??;
        let certificate = Certificate::parse(&issuance.certificate)
            .map_err(|rejection| Error::Internal(rejection.to_string()))?;
        if certificate.spki() != public.spki() {
            return Err(Error::Internal("the certificate is not for the generated key".to_owned()));
        }
        client.has_certificate(&issuance.intent.serial);
        Ok(Generated { issuance, key })
    }
}

/// Whether a key may leave with TLS as its only protection.
fn reject_clear(policy: KeyGeneration, kind: KeyKind, peer: &Peer) -> Result<(), Error> {
    if policy == KeyGeneration::Encrypted {
        return Err(Error::Unacceptable(Rejection::of(
            Code::KeygenEncryptionRequired,
            "a CSR that names no key to encrypt to",
            "DecryptKeyIdentifier or AsymmetricDecryptKeyIdentifier, and SMIMECapabilities",
        )));
    }
    let needed = keygen::strength(kind);
    if peer.cipher_bits < needed {
        return Err(Error::Unacceptable(Rejection::of(
            Code::KeygenSession,
            format!("a session of {} bits for {kind}", peer.cipher_bits),
            format!(
                "a cipher suite of {needed} bits, such as TLS_AES_256_GCM_SHA384; or a key that is encrypted, too; or another kind of key"
            ),
        )));
    }
    Ok(())
}
