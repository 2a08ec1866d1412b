//! `est enroll` (RFC 7030 §4.2.1).

use super::{
    Failure, csrattrs,
    files::{self, Pair, Recovered},
    options::{Common, Credentials, account, config, identity, passphrase},
    outcome::{note, say},
    request::{Wish, ask, new_key, put},
};
use crate::{
    client::Client,
    pki::{AltName, CsrAttrs, CsrBuilder, PrivateKey},
    types::{KeyKind, Operation},
};
use clap::Args;
use std::path::PathBuf;
use zeroize::Zeroizing;

#[derive(Debug, Args)]
pub(super) struct Enroll {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: Credentials,
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
    /// The kind of key to make: p-256, p-384, p-521, ed25519, rsa-2048, rsa-3072, rsa-4096
    /// [default: what the server asks for, otherwise p-256].
    #[arg(long, value_name = "KIND", conflicts_with = "key")]
    key_type: Option<KeyKind>,
    /// Do not ask the server what the request has to hold (/csrattrs).
    #[arg(long)]
    no_csrattrs: bool,
    /// Use this key; none is made or written.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Show this certificate, made by the device's maker for example, to the server...
    #[arg(long, value_name = "FILE", requires = "auth_key")]
    auth_cert: Option<PathBuf>,
    /// ...with this key.
    #[arg(long, value_name = "FILE", requires = "auth_cert")]
    auth_key: Option<PathBuf>,
    /// Folder for key.pem, cert.pem and ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Replace a key and a certificate that are there, once the new certificate has come.
    #[arg(long)]
    force: bool,
}

pub(super) async fn enroll(command: Enroll) -> Result<(), Failure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let account = account(&command.credentials)?;
    let ca_file = command.out.join("ca.pem");
    let pair = Pair {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.out.join("cert.pem"),
    };
    // Everything that can be wrong with the call is looked at before a file changes.
    let mut config = config(&command.common, &ca_file)?;
    let request = CsrBuilder::new().subject(&rfc4514(&command.subject))?.san(&command.san)?;
    if let (Some(certificate), Some(key)) = (&command.auth_cert, &command.auth_key) {
        config.identity = Some(identity(certificate, key, passphrase)?);
    }
    config.account = account;
    let client = Client::new(config)?;

    if pair.recover(passphrase)? == Recovered::Finished {
        say(format_args!(
            "finished the change that was interrupted: {} is the new certificate",
            pair.certificate.display()
        ));
        return Ok(());
    }
    let has_certificate = files::read_if_there(&pair.certificate)?.is_some();
    if has_certificate && !command.force {
        return Err(Failure::new(
            format_args!("{} is there already", pair.certificate.display()),
            "renew it with \"est reenroll\", choose another folder with --out, or replace key and \
             certificate with --force",
        ));
    }
    let kept = command.key.is_some();
    let present = files::read_if_there(&pair.key)?;
    if kept && present.is_none() {
        return Err(Failure::wrong_call(
            format_args!("there is no key {}", pair.key.display()),
            "give the file of a private key, or leave --key away to make one",
        ));
    }
    let asked = match command.no_csrattrs {
        true => CsrAttrs::default(),
        false => csrattrs::asked(&client, command.credentials.max_wait).await?,
    };
    let kind = command.key_type.or_else(|| csrattrs::kind(&asked));
    let (key, waiting) = match present {
        Some(pem) if kept || !command.force => {
            let key = PrivateKey::from_pem(Zeroizing::new(pem), passphrase)?;
            if let Some(wanted) = command.key_type.filter(|wanted| *wanted != key.kind()) {
                return Err(Failure::new(
                    format_args!("{} is a {} key, not {wanted}", pair.key.display(), key.kind()),
                    "leave --key-type away to continue with this key, or replace it with --force",
                ));
            }
            if !kept {
                note(format_args!("continuing with the key in {}", pair.key.display()));
            }
            (key, false)
        }
        Some(_) => (new_key(&pair.new_key(), kind, passphrase)?, true),
        None => (new_key(&pair.key, kind, passphrase)?, false),
    };
    let (link, max_wait) = (command.credentials.link, command.credentials.max_wait);
    let request = csrattrs::answering(request, &asked, &key)?;
    let wish = Wish { request, key: &key, link, linking_asked: asked.asks_for_linking() };
    let certificate = ask(&client, Operation::SimpleEnroll, &wish, &ca_file, max_wait).await?;
    put(&pair, &certificate, waiting, passphrase)
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
