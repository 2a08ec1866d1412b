//! Whether the server is the right one (RFC 7030 §3.6 and §4.1.1).

use crate::client::Error;
use crate::client::error::why_unusable;
use crate::clock::Clock;
use crate::pki::{CertificateFields, sha256};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280;
use der::Decode;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::sync::Arc;
use std::time::Duration;
use x509_cert::ext::pkix::{AuthorityKeyIdentifier, ExtendedKeyUsage, SubjectKeyIdentifier};

/// id-kp-cmcRA (RFC 6402 §2.10).
const ID_KP_CMC_RA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.28");

/// The trust in a server.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Certificates, each as DER: the explicit TA database (RFC 7030 §1.1), such as an answer of
    /// `/cacerts`. The self-signed ones are anchors; the others only help to build the chain. If none
    /// is self-signed, each is an anchor.
    Anchors(Vec<Vec<u8>>),
    /// Several such sets, each of them sorted by itself: a server under any of them is trusted.
    AnyOf(Vec<Vec<Vec<u8>>>),
    /// SHA-256 over the DER of one CA certificate of the server. The client fetches `/cacerts`
    /// before it trusts the server and finds that certificate. Then it verifies the same connection
    /// with it (RFC 7030 §4.1.1; the fingerprint replaces the human).
    Fingerprint([u8; 32]),
}

impl Trust {
    /// Checks that a set has an anchor, and that each anchor can verify a server.
    ///
    /// # Errors
    /// [`Error::Config`] if not.
    pub fn check(set: &[Vec<u8>]) -> Result<(), Error> {
        Anchors::sort(&[set.to_vec()], false).map(|_| ())
    }
}

/// SHA-256 over the DER of a certificate.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    sha256(certificate)
}

/// Reads a SHA-256 fingerprint: 64 hexadecimal digits in either case. Colons are optional, and so is the
/// prefix `SHA256:` or `sha256 Fingerprint=` that tools write.
///
/// # Errors
/// A text with the error.
pub fn parse_fingerprint(text: &str) -> Result<[u8; 32], String> {
    let error = || {
        format!(
            "a fingerprint is 64 hexadecimal digits, the SHA-256 of a certificate; got {text:?}"
        )
    };
    let mut digits = text.trim();
    if let Some((_, after)) = digits.split_once('=') {
        digits = after;
    }
    if let Some((name, after)) = digits.split_once(':')
        && name.eq_ignore_ascii_case("sha256")
    {
        digits = after;
    }
    let digits: String = digits.chars().filter(|one| !matches!(one, ':' | ' ')).collect();
    let bytes = base16ct::mixed::decode_vec(digits).map_err(|_| error())?;
    bytes.try_into().map_err(|_| error())
}

/// Writes a fingerprint as OpenSSL does: capitals, colons between bytes.
#[must_use]
pub fn show_fingerprint(fingerprint: &[u8; 32]) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Verifies the server against anchors; and the signature in the handshake, always.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None during the bootstrap: the connection keeps the chain, which is verified afterwards.
    anchors: Option<Anchors>,
    algorithms: WebPkiSupportedAlgorithms,
}

/// Anchors, certificates that help to build a chain to them, and how names are judged.
#[derive(Debug, Clone)]
pub(super) struct Anchors {
    roots: RootCertStore,
    helpers: Vec<CertificateDer<'static>>,
    accept_cmc_ra: bool,
}

impl Anchors {
    /// Sorts each set into anchors and helpers, as [`Trust::Anchors`] describes.
    ///
    /// # Errors
    /// [`Error::Config`] if the set has no anchor, or one cannot be used.
    pub(super) fn sort(sets: &[Vec<Vec<u8>>], accept_cmc_ra: bool) -> Result<Self, Error> {
        let (mut anchors, mut helpers) = (Vec::new(), Vec::new());
        for set in sets {
            let (own, other): (Vec<_>, Vec<_>) =
                set.iter().partition(|certificate| is_self_signed(certificate));
            if own.is_empty() {
                anchors.extend(other);
            } else {
                anchors.extend(own);
                helpers.extend(other);
            }
        }
        Self::new(anchors, helpers, accept_cmc_ra)
    }

    pub(super) fn new<'a>(
        anchors: impl IntoIterator<Item = &'a Vec<u8>>,
        helpers: impl IntoIterator<Item = &'a Vec<u8>>,
        accept_cmc_ra: bool,
    ) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for anchor in anchors {
            roots.add(CertificateDer::from(anchor.clone())).map_err(|error| Error::Config {
                what: "a trust anchor",
                why: match &error {
                    rustls::Error::InvalidCertificate(error) => why_unusable(error),
                    other => other.to_string(),
                },
            })?;
        }
        if roots.is_empty() {
            return Err(no_anchors());
        }
        let helpers =
            helpers.into_iter().map(|helper| CertificateDer::from(helper.clone())).collect();
        Ok(Self { roots, helpers, accept_cmc_ra })
    }

    /// Verifies a chain, leaf first, and then the name (RFC 7030 §3.6.1).
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
        algorithms: &WebPkiSupportedAlgorithms,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(leaf)?;
        let intermediates: Vec<CertificateDer<'_>> =
            intermediates.iter().chain(&self.helpers).cloned().collect();
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            &intermediates,
            now,
            algorithms.all,
        )
        .map_err(|error| match error {
            // An anchor of the right name with another key: the CA was set up anew.
            rustls::Error::InvalidCertificate(CertificateError::BadSignature) => {
                CertificateError::UnknownIssuer.into()
            }
            other => other,
        })?;
        match verify_server_name(&parsed, name) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if self.accept_cmc_ra && has_cmc_ra(leaf) => Ok(()),
            verdict => verdict,
        }
    }
}

pub(super) fn no_anchors() -> Error {
    Error::Config { what: "the trust anchors", why: "none is configured".to_owned() }
}

/// Criteria for a server other than the anchors: its name, and the algorithms.
pub(super) struct Criteria {
    pub(super) name: ServerName<'static>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    pub(super) accept_cmc_ra: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Criteria {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Criteria").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The chain that a verified server showed in the handshake.
#[derive(Debug, Clone)]
pub struct ServerChain {
    /// The server's own certificate first.
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) criteria: Arc<Criteria>,
}

impl ServerChain {
    /// Verifies the chain and the server's name by this set of certificates alone, sorted as
    /// [`Trust::Anchors`] describes. Returns whether they are met.
    #[must_use]
    pub fn leads_to(&self, set: &[Vec<u8>]) -> bool {
        Anchors::sort(&[set.to_vec()], self.criteria.accept_cmc_ra)
            .is_ok_and(|anchors| self.verify(&anchors).is_ok())
    }

    pub(super) fn verify(&self, anchors: &Anchors) -> Result<(), rustls::Error> {
        let Some((leaf, intermediates)) = self.certificates.split_first() else {
            return Err(rustls::Error::NoCertificatesPresented);
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(self.criteria.clock.now().unix()));
        anchors.verify(leaf, intermediates, &self.criteria.name, now, &self.criteria.algorithms)
    }
}

/// Whether the certificate names id-kp-cmcRA as a purpose (RFC 6402 §2.10).
fn has_cmc_ra(certificate: &[u8]) -> bool {
    CertificateFields::parse(certificate)
        .ok()
        .and_then(|fields| {
            let extension = fields.extension(rfc5280::ID_CE_EXT_KEY_USAGE)?;
            ExtendedKeyUsage::from_der(extension.value).ok()
        })
        .is_some_and(|usage| usage.0.contains(&ID_KP_CMC_RA))
}

/// Whether a certificate says that its own key signed it. Its
/// signature is not verified: the operator vouches for anchors.
fn is_self_signed(certificate: &[u8]) -> bool {
    let Ok(fields) = CertificateFields::parse(certificate) else { return false };
    if fields.issuer != fields.subject {
        return false;
    }
    let issuer_key = fields
        .extension(rfc5280::ID_CE_AUTHORITY_KEY_IDENTIFIER)
        .and_then(|extension| AuthorityKeyIdentifier::from_der(extension.value).ok())
        .and_then(|identifier| identifier.key_identifier);
    let own_key = fields
        .extension(rfc5280::ID_CE_SUBJECT_KEY_IDENTIFIER)
        .and_then(|extension| SubjectKeyIdentifier::from_der(extension.value).ok());
    match (issuer_key, own_key) {
        // A key roll-over certificate (RFC 4210 §4.4) names itself as issuer, and another key.
        (Some(issuer), Some(own)) => issuer == own.0,
        _ => true,
    }
}

impl Verifier {
    pub(super) const fn new(
        anchors: Option<Anchors>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self { anchors, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(anchors) = &self.anchors {
            anchors.verify(end_entity, intermediates, server_name, now, &self.algorithms)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_fingerprints_as_tools_write_them() {
        let bytes = fingerprint(b"abc");
        let shown = show_fingerprint(&bytes);
        assert!(shown.starts_with("BA:78:16:BF:"));
        for text in [
            shown.clone(),
            shown.replace(':', "").to_lowercase(),
            format!("SHA256:{shown}"),
            format!("sha256 Fingerprint={shown}\n"),
        ] {
            assert_eq!(parse_fingerprint(&text), Ok(bytes), "{text}");
        }
        for bad in ["", "BA", &shown[2..], "zz", &format!("{shown}:00")] {
            assert!(parse_fingerprint(bad).is_err(), "{bad}");
        }
    }
}
