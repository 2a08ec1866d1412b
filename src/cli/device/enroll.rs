//! `est enroll` (RFC 7030 §4.2.1).

use super::{
    Failure,
    anchors::Anchors,
    csrattrs,
    files::{self, Pair},
    options::{Common, Credentials, Names, Shown, account, config, passphrase},
    outcome::note,
    request::{Wish, ask, finished, new_key, put},
};
use crate::{
    client::Client,
    pki::{CsrAttrs, PrivateKey},
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
    #[command(flatten)]
    names: Names,
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
    #[command(flatten)]
    shown: Shown,
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
    let anchors = Anchors::read(&command.out, &command.common)?;
    let pair = Pair {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.out.join("cert.pem"),
    };
    // Everything that can be wrong with the call is looked at before a file changes.
    let mut config = config(&command.common, &anchors);
    let request = command.names.request()?;
    config.identity = command.shown.identity(passphrase)?;
    config.account = account;
    let client = Client::new(config)?;

    if finished(&pair, passphrase)? {
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
    let certificate = ask(&client, Operation::SimpleEnroll, &wish, &anchors, max_wait).await?;
    put(&pair, &certificate, waiting, passphrase)
}
