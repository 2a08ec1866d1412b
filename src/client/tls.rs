//! The TLS of a client: versions, ciphers, its certificate.

use super::{
    Client, ClientIdentity, Error, TlsVersions,
    trust::{Anchors, Verifier},
};
use crate::{clock::Clock, pki::CertificateFields};
use rustls::{
    CipherSuite,
    client::{ResolvesClientCert, Resumption},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
    time_provider::TimeProvider,
};
use std::{fmt, sync::Arc, time::Duration};
use tokio_rustls::TlsConnector;

struct ClockTime(Arc<dyn Clock>);

impl fmt::Debug for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClockTime({})", self.0.now())
    }
}

impl ClockTime {
    fn unix(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(self.0.now().unix()))
    }
}

impl TimeProvider for ClockTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.unix())
    }
}

impl Client {
    pub(super) fn connector(
        &self,
        anchors: Option<Anchors>,
        identity: Option<Arc<CertifiedKey>>,
    ) -> Result<TlsConnector, Error> {
        let versions: &[&rustls::SupportedProtocolVersion] = match self.config.tls {
            TlsVersions::Both => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersions::Tls12 => &[&rustls::version::TLS12],
            TlsVersions::Tls13 => &[&rustls::version::TLS13],
        };
        let verifier = Verifier::new(anchors, self.provider.signature_verification_algorithms);
        let builder = rustls::ClientConfig::builder_with_details(
            Arc::clone(&self.provider),
            Arc::new(ClockTime(Arc::clone(&self.config.clock))),
        )
        .with_protocol_versions(versions)
        .map_err(|error| Error::Config { what: "TLS", why: error.to_string() })?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
        let mut tls = match identity {
            Some(identity) => {
                let resolver: Arc<dyn ResolvesClientCert> =
                    Arc::new(SingleCertAndKey::from(identity));
                builder.with_client_cert_resolver(resolver)
            }
            None => builder.with_no_client_auth(),
        };
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A device connects a few times a year.
        tls.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(tls)))
    }
}

pub(super) const fn has_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

pub(super) fn certified_key(identity: &ClientIdentity) -> Result<Arc<CertifiedKey>, Error> {
    let error = |why: String| Error::Config { what: "the certificate and key of the device", why };
    let Some(certificate) = identity.chain.first() else {
        return Err(error("the chain has no certificate".to_owned()));
    };
    // Not by rustls, which parses version 3 only; a certificate that was issued may be of version 1.
    let fields = CertificateFields::parse(certificate).map_err(|cause| error(cause.to_string()))?;
    let spki = identity.key.public_key_spki_der().map_err(|cause| error(cause.to_string()))?;
    if fields.public_key_spki != spki {
        return Err(error("the certificate is not for this key".to_owned()));
    }
    let chain = identity.chain.iter().map(|each| CertificateDer::from(each.clone())).collect();
    let key = identity.key.to_pkcs8_der().map_err(|cause| error(cause.to_string()))?;
    // Borrowed, so that the serialized key is overwritten when this returns.
    let key = aws_lc_rs::sign::any_supported_type(&PrivateKeyDer::Pkcs8(key.as_slice().into()))
        .map_err(|cause| error(cause.to_string()))?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}
