//! `est reenroll` (RFC 7030 §4.2.2).

use super::{
    Failure,
    anchors::Anchors,
    csrattrs,
    files::Pair,
    options::{Common, Credentials, account, config, identity, passphrase, rfc4514},
    request::{Wish, ask, finished, new_key, put},
};
use crate::{
    client::Client,
    pki::{AltName, CsrAttrs, CsrBuilder, CsrError},
    types::{KeyKind, Operation},
};
use clap::Args;
use std::{path::PathBuf, sync::Arc};

#[derive(Debug, Args)]
pub(super) struct Reenroll {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    credentials: Credentials,
    /// The present certificate, which is replaced [default: cert.pem in the folder].
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key, which is replaced [default: key.pem in the folder].
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Keep the key.
    #[arg(long)]
    renew: bool,
    /// The kind of the new key [default: what the server asks for, otherwise as before].
    #[arg(long, value_name = "KIND", conflicts_with = "renew")]
    key_type: Option<KeyKind>,
    /// Ask for another subject (RFC 6402 ChangeSubjectName), such as "CN=device-2,O=Example"; ""
    /// for none [default: as before].
    #[arg(long, value_name = "NAME")]
    new_subject: Option<String>,
    /// Ask for other alternative names in place of all present ones: dns:NAME, ip:ADDRESS, uri:URI
    /// or email:ADDRESS; may be repeated [default: as before].
    #[arg(long, value_name = "KIND:NAME")]
    new_san: Vec<AltName>,
    /// Ask for a certificate without alternative names.
    #[arg(long, conflicts_with = "new_san")]
    no_san: bool,
    /// Do not ask the server what the request has to hold (/csrattrs).
    #[arg(long)]
    no_csrattrs: bool,
    /// Folder of key.pem, cert.pem and ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

pub(super) async fn reenroll(command: Reenroll) -> Result<(), Failure> {
    let passphrase = passphrase(&command.credentials)?;
    let passphrase = passphrase.as_ref().map(|text| text.as_str());
    let anchors = Anchors::read(&command.out, &command.common)?;
    let pair = Pair {
        key: command.key.clone().unwrap_or_else(|| command.out.join("key.pem")),
        certificate: command.cert.clone().unwrap_or_else(|| command.out.join("cert.pem")),
    };
    let mut config = config(&command.common, &anchors);
    if finished(&pair, passphrase)? {
        return Ok(());
    }
    let identity = identity(&pair.certificate, &pair.key, passphrase)?;
    let present = identity.chain.first().cloned().unwrap_or_default();
    let present_key = Arc::clone(&identity.key);
    config.identity = Some(identity);
    config.account = account(&command.credentials)?;
    let client = Client::new(config)?;

    let request = renamed(CsrBuilder::new().like_certificate(&present)?, &command)?;
    let asked = match command.no_csrattrs {
        true => CsrAttrs::default(),
        false => {
            csrattrs::of_a_renewal(csrattrs::asked(&client, command.credentials.max_wait).await?)
        }
    };
    let new = if command.renew {
        None
    } else {
        let kind = command.key_type.unwrap_or_else(|| csrattrs::next(&asked, present_key.kind()));
        Some(new_key(&pair.new_key(), Some(kind), passphrase)?)
    };
    let key = new.as_ref().unwrap_or(&present_key);
    let (link, max_wait) = (command.credentials.link, command.credentials.max_wait);
    let request = csrattrs::answering(request, &asked, key)?;
    let wish = Wish { request, key, link, linking_asked: asked.asks_for_linking() };
    let certificate = ask(&client, Operation::SimpleReenroll, &wish, &anchors, max_wait).await?;
    put(&pair, &certificate, !command.renew, passphrase)
}

/// Asks for the new names, if there are any. The request itself keeps those of the present
/// certificate; what is not to change is asked for as it is, or it would be removed.
fn renamed(request: CsrBuilder, command: &Reenroll) -> Result<CsrBuilder, CsrError> {
    let mut wanted = request.clone();
    if let Some(subject) = &command.new_subject {
        wanted = wanted.subject(&rfc4514(subject))?;
    }
    if command.no_san || !command.new_san.is_empty() {
        wanted = wanted.san(&command.new_san)?;
    }
    if command.new_subject.is_none() && command.new_san.is_empty() && !command.no_san {
        return Ok(request);
    }
    request.change_names(&wanted)
}
