//! Channel bindings of TLS connections, for both ends (RFC 7030 §3.5).
//!
//! TLS 1.3: tls-exporter, which rustls computes (RFC 9266). TLS 1.2: tls-unique, the first Finished
//! message of the handshake (RFC 5929 §3.1), which rustls does not expose. This module computes it
//! again: PRF(master secret, label, hash of the handshake) (RFC 5246 §7.4.9). [`Recorded`] records the
//! plaintext of the handshake; rustls reports the master secret to its key log. The first Finished is
//! the client's in a full handshake, the server's in a resumed session.
//!
//! Without extended_master_secret a TLS 1.2 connection has no binding: a man in the middle could
//! give two connections the same master secret (RFC 7627 §1).

mod recorded;

pub use recorded::{Recorded, Side};

use crate::types::{Binding, Unbound};
use aws_lc_rs::tls_prf;
use recorded::HandshakeFacts;
use rustls::{ClientConfig, ConnectionCommon, KeyLog, ProtocolVersion, ServerConfig, SideData};
use std::{
    fmt,
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// The label of tls-exporter (RFC 9266 §2).
const EXPORTER: &[u8] = b"EXPORTER-Channel-Binding";

/// The label of a TLS 1.2 master secret in rustls' key log.
const MASTER_SECRET: &str = "CLIENT_RANDOM";

/// The master secret of one TLS 1.2 connection, which [`HandshakeSecret::binding`] reads.
#[derive(Default)]
struct MasterSecret(Mutex<Option<Zeroizing<[u8; 48]>>>);

impl MasterSecret {
    fn take(&self) -> Option<Zeroizing<[u8; 48]>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for MasterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterSecret")
    }
}

impl KeyLog for MasterSecret {
    fn log(&self, label: &str, _client_random: &[u8], secret: &[u8]) {
        if let (MASTER_SECRET, Ok(secret)) = (label, secret.try_into()) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Zeroizing::new(secret));
        }
    }

    fn will_log(&self, label: &str) -> bool {
        label == MASTER_SECRET
    }
}

/// Receives the master secret of one handshake, for its channel binding. rustls' key log belongs to
/// a configuration, so each connection gets a copy of it, which costs less than a microsecond.
#[derive(Debug, Default)]
pub struct HandshakeSecret(Arc<MasterSecret>);

impl HandshakeSecret {
    /// Returns the configuration for the connection whose secret this receives.
    #[must_use]
    pub fn server(&self, config: &ServerConfig) -> Arc<ServerConfig> {
        let mut config = config.clone();
        config.key_log = Arc::clone(&self.0) as _;
        Arc::new(config)
    }

    /// Returns the configuration for the connection whose secret this receives.
    #[must_use]
    pub fn client(&self, config: &ClientConfig) -> Arc<ClientConfig> {
        let mut config = config.clone();
        config.key_log = Arc::clone(&self.0) as _;
        Arc::new(config)
    }

    /// The binding, when the handshake of `connection` over `stream` has ended.
    pub fn binding<S, C, D>(self, stream: &mut Recorded<S>, connection: &C) -> Binding
    where
        C: Deref<Target = ConnectionCommon<D>>,
        D: SideData,
    {
        let facts = stream.end();
        let secret = self.0.take();
        match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => exporter(connection)
                .map_or(Binding::None(Unbound::NotRecorded), |exporter| Binding::Tls13 {
                    exporter,
                }),
            Some(ProtocolVersion::TLSv1_2) => {
                let (Some(facts), Some(secret)) = (facts, secret) else {
                    return Binding::None(Unbound::NotRecorded);
                };
                if !facts.extended_master_secret {
                    return Binding::None(Unbound::NoExtendedMasterSecret);
                }
                match (unique(&facts, &secret), exporter(connection)) {
                    (Some(unique), Some(exporter)) => Binding::Tls12 { unique, exporter },
                    _ => Binding::None(Unbound::NotRecorded),
                }
            }
            _ => Binding::None(Unbound::NotRecorded),
        }
    }
}

fn exporter<C, D>(connection: &C) -> Option<Zeroizing<[u8; 32]>>
where
    C: Deref<Target = ConnectionCommon<D>>,
    D: SideData,
{
    // The context is present and empty (RFC 9266 §2): in TLS 1.2 that differs from none (RFC 5705 §4).
    let value = connection.export_keying_material([0; 32], EXPORTER, Some(b""));
    value.ok().map(Zeroizing::new)
}

fn unique(facts: &HandshakeFacts, secret: &[u8; 48]) -> Option<Zeroizing<[u8; 12]>> {
    let prf = if facts.hash.algorithm() == &aws_lc_rs::digest::SHA384 {
        &tls_prf::P_SHA384
    } else {
        &tls_prf::P_SHA256
    };
    let label: &[u8] = if facts.resumed { b"server finished" } else { b"client finished" };
    let secret = tls_prf::Secret::new(prf, secret).ok()?;
    let value = secret.derive(label, facts.hash.as_ref(), 12).ok()?;
    value.try_into().ok().map(Zeroizing::new)
}
