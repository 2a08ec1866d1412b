//! Fetches the CA certificates of a server that is known by the SHA-256 fingerprint of one of them.
//!
//! ```text
//! cargo run --example cacerts -- localhost:8443 5F:0C:4A:... > ca.pem
//! ```

use std::{error::Error, io::Write};

use estd::{
    client::{Client, ClientConfig, Trust, parse_fingerprint},
    pki::pem,
};

/// Returns the CA certificates as PEM, from a verified server.
pub(crate) async fn cacerts(server: &str, fingerprint: &str) -> Result<String, Box<dyn Error>> {
    let trust = Trust::Fingerprint(parse_fingerprint(fingerprint)?);
    let client = Client::new(ClientConfig::new(server.parse()?, trust))?;
    let certificates = client.cacerts().await?;
    Ok(pem::encode_certificates(certificates.bag.iter().map(Vec::as_slice)))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [server, fingerprint] = arguments.as_slice() else {
        return Err("usage: cacerts HOST:PORT SHA256".into());
    };
    let pem = cacerts(server, fingerprint).await?;
    std::io::stdout().write_all(pem.as_bytes())?;
    Ok(())
}
