//! Arguments of several commands of `est`: server, trust anchors, credentials, names.

use super::{DeviceFailure, anchors::AnchorFiles, files, outcome::WRONG_CALL};
use crate::{
    client::{
        Client, ClientConfig, ClientIdentity, PasswordAccount, PasswordScheme, ServerAddress,
        TlsVersions, parse_fingerprint,
    },
    clock::Clock,
    pki::{AltName, CertificateFields, CsrBuilder, PrivateKey, pem},
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
    /// How long to keep trying while the request is pending, or the server busy or unreachable: 0s,
    /// 90s, 10m, 2h. Then the exit code is 75.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = humantime::parse_duration)]
    pub(super) max_wait: Duration,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Tls {
    #[value(name = "1.2")]
    V12,
    #[value(name = "1.3")]
    V13,
}

/// How the password is proved, to a server that was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Auth {
    Offered,
    Basic,
    Digest,
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
pub(super) struct CredentialOptions {
    /// The account for HTTP Basic or Digest; may be "". Its password is read from the environment
    /// variable EST_PASSWORD or from --password-file. It is no argument because ps shows arguments to
    /// every user of the machine, and the shell's history keeps them.
    #[arg(long, value_name = "NAME")]
    pub(super) user: Option<String>,
    /// Scheme that proves the password. offered: the server's best one, after a first request
    /// without credentials. basic: with the first request. digest: never sends the password.
    #[arg(long, value_name = "SCHEME", value_enum, default_value_t = Auth::Offered, requires = "user")]
    pub(super) auth: Auth,
    /// File whose first line is the password; "-" reads standard input.
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(super) password_file: Option<PathBuf>,
    /// File whose first line is the passphrase of the key files; "-" reads standard input. New
    /// keys are then written encrypted. The environment variable EST_KEY_PASSPHRASE does the same.
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
    /// Put the channel binding of the TLS connection into the request. Servers that link identity and
    /// proof-of-possession require it (RFC 7030 §3.5): tls-unique in TLS 1.2, tls-exporter in 1.3. Not
    /// every server supports the latter.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Link::Auto)]
    pub(super) link: Link,
}

/// The names in the request for a first certificate.
#[derive(Debug, Args)]
pub(super) struct Names {
    /// The subject, such as "CN=device-1,O=Example" (RFC 4514) or "/O=Example/CN=device-1".
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    subject: String,
    /// An alternative name: dns:NAME, ip:ADDRESS, uri:URI or email:ADDRESS; may be repeated.
    #[arg(long, value_name = "KIND:NAME")]
    san: Vec<AltName>,
}

impl Names {
    pub(super) fn are_given(&self) -> bool {
        !self.subject.is_empty() || !self.san.is_empty()
    }

    /// Builds a request for these names.
    ///
    /// # Errors
    /// The name is missing, or no certificate can contain it.
    pub(super) fn request(&self) -> Result<CsrBuilder, DeviceFailure> {
        if !self.are_given() {
            return Err(DeviceFailure::wrong_call(
                "no name is asked for",
                "name the device with --subject, such as --subject CN=device-1, or with --san",
            ));
        }
        Ok(CsrBuilder::new().subject(&rfc4514(&self.subject))?.san(&self.san)?)
    }
}

/// The certificate of a device without a certificate of this server.
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
    pub(super) fn identity(
        &self,
        passphrase: Option<&str>,
    ) -> Result<Option<ClientIdentity>, DeviceFailure> {
        match (&self.auth_cert, &self.auth_key) {
            (Some(certificate), Some(key)) => identity(certificate, key, passphrase).map(Some),
            _ => Ok(None),
        }
    }
}

impl Common {
    /// Reads the anchors of the arguments, otherwise those of the folder.
    ///
    /// # Errors
    /// Those of [`AnchorFiles::read`].
    pub(super) fn anchors(&self, folder: &Path) -> Result<AnchorFiles, DeviceFailure> {
        AnchorFiles::read(folder, self.cacert.as_deref(), self.fingerprint)
    }

    pub(super) fn config(&self, anchors: &AnchorFiles, clock: Arc<dyn Clock>) -> ClientConfig {
        let mut config = ClientConfig::new(self.server.clone(), anchors.trust());
        config.label = self.label.clone();
        config.accept_cmc_ra = self.accept_cmc_ra;
        config.clock = clock;
        config.tls = match self.tls {
            None => TlsVersions::Both,
            Some(Tls::V12) => TlsVersions::Tls12,
            Some(Tls::V13) => TlsVersions::Tls13,
        };
        config
    }
}

/// Builds the client and checks its configuration.
///
/// # Errors
/// Exit code 2.
pub(super) fn client(config: ClientConfig) -> Result<Client, DeviceFailure> {
    Client::new(config).map_err(|error| DeviceFailure { exit: WRONG_CALL, ..error.into() })
}

/// Reads certificates.
///
/// # Errors
/// An error naming the file.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<Vec<u8>>, DeviceFailure> {
    let remedy = "give a certificate in PEM form";
    pem::decode_certificates(&files::read(path)?)
        .map_err(|error| DeviceFailure::file(path, error, remedy))
}

/// Reads a private key.
///
/// # Errors
/// An error naming the file.
pub(super) fn private_key(
    path: &Path,
    passphrase: Option<&str>,
) -> Result<PrivateKey, DeviceFailure> {
    let pem = Zeroizing::new(files::read(path)?);
    PrivateKey::from_pem(pem, passphrase).map_err(|error| DeviceFailure::from(error).about(path))
}

pub(super) fn identity(
    certificate: &Path,
    key: &Path,
    passphrase: Option<&str>,
) -> Result<ClientIdentity, DeviceFailure> {
    let chain = read_certificates(certificate)?;
    let private = private_key(key, passphrase)?;
    let first = chain.first().map(Vec::as_slice).unwrap_or_default();
    let fields = CertificateFields::parse(first).map_err(|error| {
        DeviceFailure::file(certificate, error, "give a certificate in PEM form")
    })?;
    if fields.public_key_spki != private.public_key_spki_der()? {
        return Err(DeviceFailure::file(
            certificate,
            format_args!("the certificate is not for the key in {}", key.display()),
            "give a certificate and its own key",
        ));
    }
    Ok(ClientIdentity { chain, key: Arc::new(private) })
}

pub(super) fn password_account(
    credentials: &CredentialOptions,
) -> Result<Option<PasswordAccount>, DeviceFailure> {
    let Some(name) = &credentials.user else { return Ok(None) };
    let password = match &credentials.password_file {
        Some(path) => first_line(path)?,
        None => variable("EST_PASSWORD").ok_or_else(|| {
            DeviceFailure::wrong_call(
                "--user is given without a password",
                "set EST_PASSWORD, or name a file with --password-file",
            )
        })?,
    };
    Ok(Some(PasswordAccount { name: name.clone(), password }))
}

impl CredentialOptions {
    pub(super) const fn scheme(&self) -> PasswordScheme {
        match self.auth {
            Auth::Offered => PasswordScheme::Offered,
            Auth::Basic => PasswordScheme::Basic,
            Auth::Digest => PasswordScheme::Digest,
        }
    }
}

pub(super) fn passphrase(
    credentials: &CredentialOptions,
) -> Result<Option<Zeroizing<String>>, DeviceFailure> {
    match &credentials.passphrase_file {
        Some(path) => first_line(path).map(Some),
        None => Ok(variable("EST_KEY_PASSPHRASE")),
    }
}

pub(super) fn variable(name: &str) -> Option<Zeroizing<String>> {
    std::env::var(name).ok().map(Zeroizing::new)
}

pub(super) fn first_line(path: &Path) -> Result<Zeroizing<String>, DeviceFailure> {
    let bytes = Zeroizing::new(if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().take(64 * 1024).read_to_end(&mut bytes).map_err(|error| {
            DeviceFailure::new(
                format_args!("cannot read standard input: {error}"),
                "send the secret to standard input, or name a file",
            )
        })?;
        bytes
    } else {
        files::read(path)?
    });
    let text = std::str::from_utf8(&bytes).map_err(|_| {
        DeviceFailure::new(
            format_args!("{} is not UTF-8", path.display()),
            "write the secret as text",
        )
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
