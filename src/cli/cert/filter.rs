//! CertFilter on certificates, and the walk through the pages of those that meet them.

use crate::{
    api,
    cli::{admin_client::AdminClient, failure::Failure, progress::Progress},
    pki::spki_sha256_of_pem,
};
use clap::Args;
use std::{fs, path::Path};

/// Certificates in a page.
const PAGE: usize = 1000;

/// CertFilter on a certificate; all given ones must hold.
#[derive(Debug, Args)]
#[command(next_help_heading = "Conditions, all of which must hold")]
pub(in crate::cli) struct CertFilter {
    /// Values in the subject, such as CN=gw-7* or CN=gw-7*,O=Example. "*" matches any characters,
    /// "\*" an asterisk. Case-sensitive.
    #[arg(long, value_name = "TYPE=VALUE")]
    pub(super) subject: Option<String>,
    /// Entry of the subjectAltName, such as dns:*.lab.example; kinds: dns, ip, uri, email.
    #[arg(long, value_name = "KIND:VALUE")]
    pub(super) san: Option<String>,
    /// Label; "-" for certificates without one.
    #[arg(long)]
    pub(super) label: Option<String>,
    /// Name of the issuing CA.
    #[arg(long)]
    pub(super) ca: Option<String>,
    /// Profile.
    #[arg(long)]
    pub(super) profile: Option<String>,
    /// Account whose password authenticated the request.
    #[arg(long)]
    pub(super) account: Option<String>,
    /// Id of the device.
    #[arg(long, value_name = "ID")]
    pub(super) device: Option<String>,
    /// Id of the request.
    #[arg(long, value_name = "ID")]
    pub(super) request: Option<String>,
    /// SHA-256 of the certificate, with or without colons.
    #[arg(long, value_name = "SHA256")]
    pub(super) fingerprint: Option<String>,
    /// Key: a PEM file with a certificate, CSR or public key, or SHA-256 of the
    /// SubjectPublicKeyInfo.
    #[arg(long, value_name = "FILE|SHA256")]
    pub(super) key: Option<String>,
    /// Issued at or after this time: 2026-12-31 or 2026-12-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    pub(super) issued_after: Option<String>,
    /// Issued before this time.
    #[arg(long, value_name = "TIME")]
    pub(super) issued_before: Option<String>,
    /// Issued within the last 12h, 30d, ...
    #[arg(long, value_name = "LENGTH")]
    pub(super) issued_within: Option<String>,
}

impl CertFilter {
    /// Returns the query for these conditions; none without a condition.
    pub(super) fn query(self) -> Result<Option<api::CertificateQuery>, Failure> {
        let query = api::CertificateQuery {
            subject: self.subject,
            san: self.san,
            label: self.label,
            ca: self.ca,
            profile: self.profile,
            account: self.account,
            device: self.device,
            request: self.request,
            fingerprint: self.fingerprint,
            key: self.key.map(|key| digest_of_key(&key)).transpose()?,
            issued_after: self.issued_after,
            issued_before: self.issued_before,
            issued_within: self.issued_within,
            ..api::CertificateQuery::default()
        };
        Ok(Some(query).filter(|query| *query != api::CertificateQuery::default()))
    }
}

/// Returns the digest of a key: the argument itself, or the digest of the key in a file.
fn digest_of_key(text: &str) -> Result<String, Failure> {
    const REMEDY: &str = "give a PEM file with a certificate, a CSR or a public key, or the SHA-256 \
                          of the SubjectPublicKeyInfo in hexadecimal";
    if !Path::new(text).is_file() {
        return Ok(text.to_owned());
    }
    let pem =
        fs::read(text).map_err(|cause| Failure::arguments(format!("{text}: {cause}"), REMEDY))?;
    let digest = spki_sha256_of_pem(&pem)
        .map_err(|error| Failure::arguments(format!("{text}: {error}"), REMEDY))?;
    Ok(base16ct::lower::encode_string(&digest))
}

/// Passes each page of a query to `take`, which returns how many certificates count against `left`.
/// Returns the cursor of the next page, if one exists.
pub(super) async fn walk(
    client: &AdminClient,
    mut query: api::CertificateQuery,
    mut left: usize,
    mut progress: Option<Progress>,
    mut take: impl FnMut(Vec<api::CertificateEntry>) -> Result<usize, Failure>,
) -> Result<Option<String>, Failure> {
    while left > 0 {
        query.limit = Some(left.min(PAGE));
        let page = client.call(query.clone()).await?;
        if let Some(progress) = &mut progress {
            progress.advance(page.certificates.len());
        }
        left = left.saturating_sub(take(page.certificates)?);
        query.after = page.next;
        if query.after.is_none() {
            break;
        }
    }
    Ok(query.after)
}
