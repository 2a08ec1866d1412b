//! `est cacerts` (RFC 7030 §4.1).

use super::{
    Failure,
    files::{self, FileError},
    options::{Common, config},
    outcome::say,
};
use crate::{
    client::{Client, certificates_to_pem, fingerprint, show_fingerprint},
    pki::CertificateFields,
};
use clap::Args;
use std::{
    io::Write,
    path::{Path, PathBuf},
};

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
    let ca_file = command.out.join("ca.pem");
    let client = Client::new(config(&command.common, &ca_file)?)?;
    let bag = client.cacerts().await?;
    if command.print {
        let pem = certificates_to_pem(bag.iter().map(Vec::as_slice));
        let _ = std::io::stdout().write_all(pem.as_bytes());
        return Ok(());
    }
    write_anchors(&ca_file, &bag)?;
    for certificate in &bag {
        let fields = CertificateFields::parse(certificate)?;
        say(format_args!(
            "{} SHA256:{}",
            fields.subject_text(),
            show_fingerprint(&fingerprint(certificate))
        ));
    }
    say(format_args!("{} written", ca_file.display()));
    Ok(())
}

pub(super) fn write_anchors(path: &Path, bag: &[Vec<u8>]) -> Result<(), FileError> {
    let pem = certificates_to_pem(bag.iter().map(Vec::as_slice));
    // A device checks its anchors often; its flash need not wear for what is there already.
    if files::read_if_there(path)?.as_deref() == Some(pem.as_bytes()) {
        return Ok(());
    }
    files::write(path, pem.as_bytes(), 0o644)
}
