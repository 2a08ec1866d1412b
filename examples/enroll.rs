//! Generates a key and enrolls it with a user name and a password (RFC 7030 section 4.2.1).
//!
//! ```text
//! EST_PASSWORD=... cargo run --example enroll -- localhost:8443 root.pem enroll CN=device-1
//! ```
//!
//! Writes key.pem and cert.pem into the current folder. A device sets modes and durability as it
//! needs; `est enroll` does both.

use std::{error::Error, fs};

use estd::{
    client::{Client, ClientConfig, PasswordAccount, Trust},
    pki::{CsrBuilder, PrivateKey, pem},
    types::KeyKind,
};
use zeroize::Zeroizing;

/// Returns a new key and its certificate, both as PEM.
pub(crate) async fn enroll(
    server: &str,
    anchors: &[u8],
    account: PasswordAccount,
    subject: &str,
) -> Result<(Zeroizing<String>, String), Box<dyn Error>> {
    let mut config =
        ClientConfig::new(server.parse()?, Trust::Anchors(pem::decode_certificates(anchors)?));
    config.account = Some(account);
    let client = Client::new(config)?;
    let key = PrivateKey::generate(KeyKind::P256)?;
    let csr = CsrBuilder::new().subject(subject)?.build(&key)?;
    let certificate = client.simple_enroll(&csr).await?;
    Ok((key.to_pem(None)?, pem::encode_certificates([certificate.as_slice()])))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [server, anchors, user, subject] = arguments.as_slice() else {
        return Err("usage: enroll HOST:PORT ANCHORS.pem USER SUBJECT".into());
    };
    let password = Zeroizing::new(std::env::var("EST_PASSWORD")?);
    let account = PasswordAccount { name: user.clone(), password };
    let (key, certificate) = enroll(server, &fs::read(anchors)?, account, subject).await?;
    fs::write("key.pem", key.as_bytes())?;
    fs::write("cert.pem", certificate)?;
    Ok(())
}
