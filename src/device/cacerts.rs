//! `est cacerts` (RFC 7030 §4.1).

use super::{
    DeviceFailure, DeviceReport,
    lock::Lock,
    options::{Common, client},
    patience::Patience,
};
use crate::{
    client::{fingerprint, show_fingerprint},
    clock::Clock,
    pki::{CertificateFields, pem},
};
use clap::Args;
use serde_json::json;
use std::{fmt::Write, path::PathBuf, sync::Arc};

#[derive(Debug, Args)]
pub(super) struct CaCerts {
    #[command(flatten)]
    common: Common,
    /// Folder for ca.pem.
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Print the certificates in PEM instead of writing files.
    #[arg(long)]
    print: bool,
}

pub(super) async fn cacerts(
    command: CaCerts,
    clock: Arc<dyn Clock>,
) -> Result<DeviceReport, DeviceFailure> {
    let anchors = command.common.anchors(&command.out)?;
    let client = client(command.common.config(&anchors, clock))?;
    let mut patience = Patience::new(command.common.max_wait);
    let answer = patience.retry(async || client.cacerts().await).await?;
    let mut text = String::new();
    let mut listed = Vec::new();
    for certificate in &answer.bag {
        let fields = CertificateFields::parse(certificate)?;
        let (subject, sha256) =
            (fields.subject_text(), show_fingerprint(&fingerprint(certificate)));
        let _ = writeln!(text, "{subject} SHA256:{sha256}");
        listed.push(json!({
            "subject": subject,
            "sha256": sha256,
            "not_after": fields.not_after.to_string(),
        }));
    }
    let pem = pem::encode_certificates(answer.bag.iter().map(Vec::as_slice));
    if command.print {
        let json = json!({ "command": "cacerts", "certificates": listed, "pem": pem });
        return Ok(DeviceReport::new(pem, json));
    }
    let lock = Lock::acquire(&command.out)?;
    let server = anchors.keep_all(&answer)?;
    drop(lock);
    let _ = writeln!(text, "{} written", anchors.ca.display());
    if let Some(server) = server {
        let _ = writeln!(text, "{} holds the anchors of the server", server.display());
    }
    let json = json!({
        "command": "cacerts",
        "certificates": listed,
        "ca": anchors.ca.display().to_string(),
        "server_ca": server.map(|path| path.display().to_string()),
    });
    Ok(DeviceReport::new(text, json))
}
