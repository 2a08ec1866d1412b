//! `est cacerts` (RFC 7030 §4.1).

use super::{
    Failure,
    anchors::Anchors,
    options::{Common, config},
    outcome::say,
};
use crate::{
    client::{Client, certificates_to_pem, fingerprint, show_fingerprint},
    pki::CertificateFields,
};
use clap::Args;
use std::{io::Write, path::PathBuf};

#[derive(Debug, Args)]
pub(super) struct CaCerts {
    #[command(flatten)]
    common: Common,
    /// Folder for ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Print the PEM instead of writing ca.pem.
    #[arg(long)]
    print: bool,
}

pub(super) async fn cacerts(command: CaCerts) -> Result<(), Failure> {
    let anchors = Anchors::read(&command.out, &command.common)?;
    let client = Client::new(config(&command.common, &anchors))?;
    let answer = client.cacerts().await?;
    let bag = &answer.bag;
    if command.print {
        let pem = certificates_to_pem(bag.iter().map(Vec::as_slice));
        let _ = std::io::stdout().write_all(pem.as_bytes());
        return Ok(());
    }
    anchors.keep_all(&answer)?;
    for certificate in bag {
        let fields = CertificateFields::parse(certificate)?;
        say(format_args!(
            "{} SHA256:{}",
            fields.subject_text(),
            show_fingerprint(&fingerprint(certificate))
        ));
    }
    say(format_args!("{} written", anchors.ca.display()));
    Ok(())
}
