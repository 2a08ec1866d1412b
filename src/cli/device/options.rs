//! What more than one command of `est` is told: the server, whom to trust, who asks, for what names.

use super::{Failure, anchors::Anchors, files};
use crate::{
    client::{
        Account, ClientConfig, Identity, ServerAddress, TlsVersions, certificates_from_pem,
        parse_fingerprint,
    },
    pki::{AltName, CsrBuilder, CsrError, PrivateKey},
    types::Label,
};
use clap::{Args, ValueEnum};
use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(super) struct Common {
    /// The EST server: `https://host` (port 443), `https://host:port`, `host` (port 8443) or
    /// `host:port`.
    #[arg(long, value_name = "URL", default_value = "https://localhost:8443", env = "EST_SERVER")]
    pub(super) server: ServerAddress,
    /// The label that chooses CA and profile (RFC 7030 §3.2.2).
    #[arg(long)]
    pub(super) label: Option<Label>,
    /// Trust anchors, as PEM [default: ca.pem and server-ca.pem in the folder].
    #[arg(long, value_name = "FILE", conflicts_with = "fingerprint")]
    pub(super) cacert: Option<PathBuf>,
    /// SHA-256 of one of the server's CA certificates, in hexadecimal: trusts that CA.
    #[arg(long, value_name = "HEX", value_parser = parse_fingerprint)]
    pub(super) fingerprint: Option<[u8; 32]>,
    /// Offer this version of TLS only.
    #[arg(long, value_name = "VERSION")]
    pub(super) tls: Option<Tls>,
    /// Accept a server under the anchors that has the purpose id-kp-cmcRA, whatever its name
    /// (RFC 7030 §3.6.1).
    #[arg(long)]
    pub(super) accept_cmc_ra: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Tls {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

/// Whether the CSR is bound to the TLS connection that it is sent over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Link {
    /// No.
    Never,
    /// If the server asks for it in /csrattrs and the connection has something to bind it by.
    Auto,
    /// Yes; without a binding nothing is sent.
    Always,
}

#[derive(Debug, Args)]
pub(super) struct Credentials {
    /// The account for HTTP Basic or Digest, whichever is the best that the server offers; may be
    /// "". Its password comes from the environment variable
    /// EST_PASSWORD or from --password-file. It is no argument because arguments are shown to
    /// every user of the machine by ps and stay in the shell's history.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// File whose first line is the password; "-" reads standard input.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(super) password_file: Option<PathBuf>,
    /// File whose first line is the passphrase of the key files; "-" reads standard input. New
    /// keys are then written encrypted. The environment variable EST_KEY_PASSPHRASE does the same.
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// Put the channel binding of the TLS connection into the request, as servers demand that link
    /// identity and proof-of-possession (RFC 7030 §3.5): tls-unique in TLS 1.2, tls-exporter in 1.3.
    /// Not every server knows the latter.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Link::Auto)]
    pub(super) link: Link,
    /// How long to keep asking when the request is pending or the server busy: 0s, 90s, 10m, 2h.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(super) max_wait: Duration,
}

/// The names that a first certificate is asked for with.
#[derive(Debug, Args)]
pub(super) struct Names {
    /// The subject, such as "CN=device-1,O=Example" (RFC 4514) or "/O=Example/CN=device-1".
    #[arg(
        long,
        value_name = "NAME",
        required_unless_present = "san",
        default_value = "",
        hide_default_value = true
    )]
    subject: String,
    /// An alternative name: dns:NAME, ip:ADDRESS, uri:URI or email:ADDRESS; may be repeated.
    #[arg(long, value_name = "KIND:NAME")]
    san: Vec<AltName>,
}

impl Names {
    /// A request for these names.
    pub(super) fn request(&self) -> Result<CsrBuilder, CsrError> {
        CsrBuilder::new().subject(&rfc4514(&self.subject))?.san(&self.san)
    }
}

/// What a device shows that has no certificate of this server's yet.
#[derive(Debug, Args)]
pub(super) struct Shown {
    /// Show this certificate, made by the device's maker for example, to the server...
    #[arg(long, value_name = "FILE", requires = "auth_key")]
    auth_cert: Option<PathBuf>,
    /// ...with this key.
    #[arg(long, value_name = "FILE", requires = "auth_cert")]
    auth_key: Option<PathBuf>,
}

impl Shown {
    pub(super) fn identity(&self, passphrase: Option<&str>) -> Result<Option<Identity>, Failure> {
        match (&self.auth_cert, &self.auth_key) {
            (Some(certificate), Some(key)) => identity(certificate, key, passphrase).map(Some),
            _ => Ok(None),
        }
    }
}

pub(super) fn config(common: &Common, anchors: &Anchors) -> ClientConfig {
    let trust = anchors.trust();
    let mut config = ClientConfig::new(common.server.clone(), trust);
    config.label = common.label.clone();
    config.accept_cmc_ra = common.accept_cmc_ra;
    config.tls = match common.tls {
        None => TlsVersions::Both,
        Some(Tls::V12) => TlsVersions::Tls12,
        Some(Tls::V13) => TlsVersions::Tls13,
    };
    config
}

pub(super) fn identity(
    certificate: &Path,
    key: &Path,
    passphrase: Option<&str>,
) -> Result<Identity, Failure> {
    let chain = certificates_from_pem(&files::read(certificate)?)?;
    let pem = Zeroizing::new(files::read(key)?);
    Ok(Identity { chain, key: Arc::new(PrivateKey::from_pem(pem, passphrase)?) })
}

pub(super) fn account(credentials: &Credentials) -> Result<Option<Account>, Failure> {
    let Some(name) = &credentials.user else { return Ok(None) };
    let password = match &credentials.password_file {
        Some(path) => first_line(path)?,
        None => variable("EST_PASSWORD").ok_or_else(|| {
            Failure::wrong_call(
                "--user is given without a password",
                "set EST_PASSWORD, or name a file with --password-file",
            )
        })?,
    };
    Ok(Some(Account { name: name.clone(), password }))
}

pub(super) fn passphrase(credentials: &Credentials) -> Result<Option<Zeroizing<String>>, Failure> {
    match &credentials.passphrase_file {
        Some(path) => first_line(path).map(Some),
        None => Ok(variable("EST_KEY_PASSPHRASE")),
    }
}

pub(super) fn variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().map(Zeroizing::new)
}

pub(super) fn first_line(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let octets = Zeroizing::new(if path == Path::new("-") {
        let mut octets = Vec::new();
        std::io::stdin().take(64 * 1024).read_to_end(&mut octets).map_err(|error| {
            Failure::new(
                format_args!("cannot read standard input: {error}"),
                "send the secret to standard input, or name a file",
            )
        })?;
        octets
    } else {
        files::read(path)?
    });
    let text = std::str::from_utf8(&octets).map_err(|_| {
        Failure::new(format_args!("{} is not UTF-8", path.display()), "write the secret as text")
    })?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// Turns OpenSSL's `/O=Example/CN=device-1` into RFC 4514 text; leaves other text as it is.
pub(super) fn rfc4514(subject: &str) -> String {
    let Some(rest) = subject.strip_prefix('/') else { return subject.to_owned() };
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for character in rest.chars() {
        let part = match parts.last_mut() {
            Some(part) if escaped || character != '/' => part,
            _ => {
                parts.push(String::new());
                continue;
            }
        };
        match character {
            '\\' if !escaped => {
                escaped = true;
                continue;
            }
            ',' | ';' | '"' | '<' | '>' | '\\' => part.push('\\'),
            // OpenSSL also joins two values into one RDN by a plain plus.
            '+' if escaped => part.push('\\'),
            _ => {}
        }
        part.push(character);
        escaped = false;
    }
    parts.reverse();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_openssl_subjects() {
        assert_eq!(rfc4514("CN=a,O=b"), "CN=a,O=b");
        assert_eq!(rfc4514("/C=CH/O=A, B/CN=a\\/b"), "CN=a/b,O=A\\, B,C=CH");
    }
}
