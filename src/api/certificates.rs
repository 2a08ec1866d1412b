//! Certificates: lists, one with its record, revocation.

use super::error::ErrorResponse;
use serde::{Deserialize, Serialize};

/// Lists certificates: every condition that is set must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateQuery {
    /// Part of the subject or of a SAN entry as they are shown, in either case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search: Option<String>,
    /// Patterns for values in the subject: `CN=gw-7*`, several with commas between them. `*` stands
    /// for any characters, `\*` for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A pattern for a SAN entry: `dns:*.lab.example`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub san: Option<String>,
    /// `open`, `issued`, `void`, `revoked`, `valid` (issued and not expired) or `expired`. One that
    /// is revoked is neither `issued` nor `expired`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// The label; `-` for those without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The CA.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// The profile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The account whose password authenticated the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The id of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// SHA-256 of the certificate, hexadecimal, with or without colons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, the same way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Those recorded at this time or later: RFC 3339 or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_after: Option<String>,
    /// Those recorded before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_before: Option<String>,
    /// Those recorded within this length of time, such as `24h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issued_within: Option<String>,
    /// Those that expire before this time: RFC 3339 or a date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_before: Option<String>,
    /// Those that are valid and expire within this length of time, such as `30d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_within: Option<String>,
    /// Those after this cursor: the serial number of the last one seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// How many at most: 1 to 1000, 100 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Asks for one certificate and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCertificate {
    /// Serial number, hexadecimal, or 4 and more digits from its beginning.
    pub serial: String,
}

/// Lists the certificates that another one renews or rekeys, a page at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListRenewed {
    /// The cursor of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The answer to [`ListRenewed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Serial numbers, hexadecimal.
    pub serials: Vec<String>,
    /// Pass this as `after` for the next page; none if this is the last.
    pub next: Option<String>,
}

/// A page of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// In the order in which they were issued. There may be none although there is a next page.
    pub certificates: Vec<CertificateEntry>,
    /// Pass this as `after` for the next page; none if this is the last.
    pub next: Option<String>,
}

/// One certificate and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateEntry {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// `open`, `valid`, `expired`, `void` or `revoked`.
    pub state: String,
    /// Subject, RFC 4514.
    pub subject: String,
    /// SAN entries.
    pub san: Vec<String>,
    /// First moment of validity, RFC 3339.
    pub not_before: String,
    /// Last moment of validity, RFC 3339.
    pub not_after: String,
    /// Label.
    pub label: Option<String>,
    /// Profile.
    pub profile: String,
    /// CA.
    pub ca: String,
    /// The operation that asked.
    pub operation: Option<String>,
    /// Who asked.
    pub actor: String,
    /// How that is known.
    pub authenticated_by: String,
    /// Serial number of the certificate that it renews or rekeys.
    pub predecessor: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
    pub spki_sha256: String,
    /// The request that asked.
    pub request: String,
    /// When it was recorded, RFC 3339.
    pub begun: String,
    /// When it was issued or voided, RFC 3339.
    pub ended: Option<String>,
    /// When it was revoked, RFC 3339.
    #[serde(default)]
    pub revoked: Option<String>,
    /// Why it was revoked: a CRLReason of RFC 5280 §5.3.1, such as `keyCompromise`.
    #[serde(default)]
    pub revocation_reason: Option<String>,
    /// The certificate; none unless it was issued, or in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
}

/// Revokes exactly these certificates, for good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Revoke {
    /// Serial numbers, hexadecimal: 1 to 1000.
    pub serials: Vec<String>,
    /// A CRLReason of RFC 5280 §5.3.1, such as `keyCompromise`; `unspecified` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Text for the audit events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// The answer to [`Revoke`]: each serial number is in one of the lists, in the order of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// Those that are revoked now.
    pub revoked: Vec<Revoked>,
    /// Those that are not.
    pub failed: Vec<NotRevoked>,
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Subject, RFC 4514.
    pub subject: String,
    /// When it was revoked, RFC 3339.
    pub revoked: String,
    /// Why.
    pub reason: String,
    /// Whether it was revoked before: then `revoked` and `reason` are those of that time.
    pub before: bool,
}

/// A certificate that could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRevoked {
    /// The serial number as the call gave it.
    pub serial: String,
    /// Why.
    #[serde(flatten)]
    pub reason: ErrorResponse,
}
