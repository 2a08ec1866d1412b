//! Renews a certificate with a new key; the present certificate authenticates (RFC 7030 section 4.2.2).
//!
//! ```text
//! cargo run --example reenroll -- localhost:8443 root.pem
//! ```
//!
//! Reads key.pem and cert.pem in the current folder and replaces them.

use std::{error::Error, fs, sync::Arc};

use estd::{
    client::{Client, ClientConfig, ClientIdentity, Trust},
    pki::{CsrBuilder, PrivateKey, pem},
};
use zeroize::Zeroizing;

/// Returns a new key and its certificate, both as PEM.
pub(crate) async fn reenroll(
    server: &str,
    anchors: &[u8],
    key: &[u8],
    certificate: &[u8],
) -> Result<(Zeroizing<String>, String), Box<dyn Error>> {
    let chain = pem::decode_certificates(certificate)?;
    let present = chain.first().ok_or("got no certificate")?.clone();
    let old_key = Arc::new(PrivateKey::from_pem(key, None)?);
    let mut config =
        ClientConfig::new(server.parse()?, Trust::Anchors(pem::decode_certificates(anchors)?));
    config.identity = Some(ClientIdentity { chain, key: Arc::clone(&old_key) });
    let client = Client::new(config)?;
    let key = PrivateKey::generate(old_key.kind())?;
    // Subject and alternative names must be those of the present certificate.
    let csr = CsrBuilder::new().like_certificate(&present)?.build(&key)?;
    let certificate = client.simple_reenroll(&csr).await?;
    Ok((key.to_pem(None)?, pem::encode_certificates([certificate.as_slice()])))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [server, anchors] = arguments.as_slice() else {
        return Err("usage: reenroll HOST:PORT ANCHORS.pem".into());
    };
    let (key, certificate) = reenroll(
        server,
        &fs::read(anchors)?,
        &Zeroizing::new(fs::read("key.pem")?),
        &fs::read("cert.pem")?,
    )
    .await?;
    fs::write("key.pem", key.as_bytes())?;
    fs::write("cert.pem", certificate)?;
    Ok(())
}
