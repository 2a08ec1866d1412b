//! TLS: 1.3 and 1.2 with forward secrecy and AEAD, client certificates requested (BCP 195).

use super::{Error, trust::AskOnly};
use rustls::{
    CipherSuite, ServerConfig, SupportedCipherSuite,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::NoServerSessionStorage,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// The ALPN name of HTTP/2 (RFC 9113 §3.2).
pub(super) const HTTP2: &[u8] = b"h2";

/// The provider with AES-128-GCM preferred: its strength suffices here, and a full handshake with an
/// enrollment measurably costs 5 % less.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

/// Bits of the key of a session's cipher. Suites without encryption do not exist here.
pub(super) fn cipher_bits(suite: Option<SupportedCipherSuite>) -> u16 {
    match suite.map(|suite| suite.suite()) {
        Some(
            CipherSuite::TLS13_AES_256_GCM_SHA384
            | CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ) => 256,
        Some(_) => 128,
        None => 0,
    }
}

/// Configures TLS with the server's own chain and key.
///
/// `session_tickets`: whether a client may resume a session. A ticket costs a twentieth of an enrollment; a
/// device that connects every 60 days cannot use its last one. `http2`: whether it is offered, before
/// HTTP/1.1.
///
/// # Errors
/// [`Error::Tls`] if they do not fit together, or randomness for the tickets' keys is missing.
pub(super) fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    session_tickets: bool,
    http2: bool,
) -> Result<Arc<ServerConfig>, Error> {
    let failed = |error: rustls::Error| Error::Tls(error.to_string());
    let provider = Arc::new(provider());
    let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(failed)?
        .with_client_cert_verifier(Arc::new(AskOnly::new(provider)))
        .with_single_cert(chain, key)
        .map_err(failed)?;
    config.ignore_client_order = true;
    // curl --http1.0 offers nothing but http/1.0.
    config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, HTTP2.to_vec());
    }
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if session_tickets {
        // Sealed with keys that change every six hours, and good for twice that (RFC 9325 §3.4).
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(failed)?;
        config.send_tls13_tickets = 1;
    }
    // No early data: it could be replayed (RFC 9325 §3.10). This is rustls' default, too.
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
