//! Which certificates a command means.

use crate::{
    api,
    cli::{Failure, admin_client::AdminClient, operator::args::Conditions, progress::Progress},
    pki::spki_sha256_of_pem,
};
use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader, Read},
    path::Path,
};

/// Certificates in a page.
const PAGE: usize = 1000;

impl Conditions {
    /// The query for these conditions; none if none is given.
    pub(super) fn query(self) -> Result<Option<api::CertificateQuery>, Failure> {
        let Self {
            subject,
            san,
            label,
            ca,
            profile,
            account,
            request,
            fingerprint,
            key,
            issued_after,
            issued_before,
            issued_within,
        } = self;
        let query = api::CertificateQuery {
            subject,
            san,
            label,
            ca,
            profile,
            account,
            request,
            fingerprint,
            key: key.map(|key| digest_of_key(&key)).transpose()?,
            issued_after,
            issued_before,
            issued_within,
            ..api::CertificateQuery::default()
        };
        Ok(Some(query).filter(|query| *query != api::CertificateQuery::default()))
    }
}

/// The digest of a key: as it is given, or of the key in a file.
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
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Walks through all pages of a query, and gives each to `take` until that has enough. Returns the
/// cursor behind which there is more.
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

/// Serial numbers of all certificates that another one renews or rekeys.
pub(super) async fn renewed(client: &AdminClient) -> Result<HashSet<String>, Failure> {
    let mut progress = Progress::new("renewals found", None);
    let mut serials = HashSet::new();
    let mut call = api::ListRenewed::default();
    loop {
        let page = client.call(call).await?;
        progress.advance(page.serials.len());
        serials.extend(page.serials);
        let Some(next) = page.next else { return Ok(serials) };
        call = api::ListRenewed { after: Some(next) };
    }
}

/// Reads serial numbers from a file: the first word of each line. `-` is standard input. Empty
/// lines, the head of a table and what begins with `#` are passed over.
pub(super) fn serials_from(file: &Path) -> Result<Vec<String>, Failure> {
    let failed = |cause: std::io::Error| {
        let what = format!("{}: {cause}", file.display());
        Failure::arguments(what, "name a file with a serial number at the start of each line")
    };
    let input: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(fs::File::open(file).map_err(failed)?)
    };
    let mut serials = Vec::new();
    for line in BufReader::new(input).lines() {
        let line = line.map_err(failed)?;
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.is_empty() && !first.starts_with('#') && first != "SERIAL" {
            serials.push(first.to_owned());
        }
    }
    Ok(serials)
}
