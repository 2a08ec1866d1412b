//! Certificates: lists, details, revocation.

use super::{audit::EventEntry, error::ErrorResponse};
use serde::{Deserialize, Serialize};

/// Lists certificates in the order of issuance; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateQuery {
    /// Part of the subject or of a SAN entry as shown, not case-sensitive.
    pub search: Option<String>,
    /// Patterns for values in the subject, separated by commas: `CN=gw-7*`. `*` matches any
    /// characters, `\*` an asterisk.
    pub subject: Option<String>,
    /// Pattern for a SAN entry: `dns:*.lab.example`.
    pub san: Option<String>,
    /// `open`, `issued`, `void`, `revoked`, `valid` (issued and not expired) or `expired`. A
    /// revoked certificate is neither `issued` nor `expired`.
    pub state: Option<String>,
    /// Label; `-` for certificates without one.
    pub label: Option<String>,
    /// The CA.
    pub ca: Option<String>,
    /// The profile.
    pub profile: Option<String>,
    /// Account whose password authenticated the request.
    pub account: Option<String>,
    /// The id of the request.
    pub request: Option<String>,
    /// SHA-256 of the certificate, hexadecimal, with or without colons.
    pub fingerprint: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, in the same form.
    pub key: Option<String>,
    /// Recorded at or after this time: RFC 3339 or a date.
    pub issued_after: Option<String>,
    /// Recorded before this time.
    pub issued_before: Option<String>,
    /// Recorded within the last `24h`, `30d`, ...
    pub issued_within: Option<String>,
    /// Expires before this time: RFC 3339 or a date.
    pub expires_before: Option<String>,
    /// Valid, and expires within `30d`, `12h`, ...
    pub expires_within: Option<String>,
    /// Id of the device.
    pub device: Option<String>,
    /// Cursor: the serial number of the last certificate of the previous page.
    pub after: Option<String>,
    /// Largest number of certificates: 1 to 1000. Default: 100.
    pub limit: Option<usize>,
}

/// Shows one certificate, its record and the event of its issuance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCertificate {
    /// Serial number, hexadecimal, or a prefix of at least 4 digits.
    pub serial: String,
}

/// Lists the certificates that another one renews or rekeys, a page at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListRenewed {
    /// Cursor of the previous page.
    pub after: Option<String>,
}

/// The answer to [`ListRenewed`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// Serial numbers, hexadecimal.
    pub serials: Vec<String>,
    /// Value of `after` for the next page; none if this is the last.
    pub next: Option<String>,
}

/// A page of certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificates {
    /// Certificates in the order of issuance. A page may be empty although a next one exists.
    pub certificates: Vec<CertificateEntry>,
    /// Value of `after` for the next page; none if this is the last.
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
    /// Start of validity, RFC 3339.
    pub not_before: String,
    /// End of validity, inclusive, RFC 3339.
    pub not_after: String,
    /// Label.
    pub label: Option<String>,
    /// Profile.
    pub profile: String,
    /// CA.
    pub ca: String,
    /// Operation of the request.
    pub operation: Option<String>,
    /// Name of the requester.
    pub actor: String,
    /// How the requester was authenticated.
    pub authenticated_by: String,
    /// Serial number of the certificate that it renews or rekeys.
    pub predecessor: Option<String>,
    /// SHA-256 of the SubjectPublicKeyInfo, hexadecimal.
    pub spki_sha256: String,
    /// Id of the device, if known.
    #[serde(default)]
    pub device: Option<String>,
    /// The first 16 digits of the id of the one-time token that was spent for it.
    #[serde(default)]
    pub token: Option<String>,
    /// Proofs of identity that held, in the words of `accept`.
    #[serde(default)]
    pub proofs: Vec<String>,
    /// Address of the client.
    #[serde(default)]
    pub address: Option<String>,
    /// Id of the request.
    pub request: String,
    /// Time at which it was recorded, RFC 3339.
    pub begun: String,
    /// Time at which it was issued or voided, RFC 3339.
    pub ended: Option<String>,
    /// Time of revocation, RFC 3339.
    #[serde(default)]
    pub revoked: Option<String>,
    /// Reason of revocation: a CRLReason of RFC 5280 §5.3.1, such as `keyCompromise`.
    #[serde(default)]
    pub revocation_reason: Option<String>,
    /// Certificate, PEM; none in a list, and unless it was issued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pem: Option<String>,
    /// Event that recorded the end of the issuance, with the client's address; none in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventEntry>,
}

/// Revokes exactly these certificates, permanently.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Revoke {
    /// Serial numbers, hexadecimal: 1 to 1000.
    pub serials: Vec<String>,
    /// A CRLReason of RFC 5280 §5.3.1, such as `keyCompromise`; `unspecified` by default.
    pub reason: Option<String>,
    /// Text for the audit events.
    pub comment: Option<String>,
}

/// The answer to [`Revoke`]: each serial number is in one of the lists, in the order of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// Certificates that are revoked now.
    pub revoked: Vec<Revoked>,
    /// Certificates that could not be revoked.
    pub failed: Vec<NotRevoked>,
}

/// A certificate that is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Subject, RFC 4514.
    pub subject: String,
    /// Time of revocation, RFC 3339.
    pub revoked: String,
    /// Reason of revocation.
    pub reason: String,
    /// Whether it was revoked before: `revoked` and `reason` are then of the first revocation.
    pub before: bool,
}

/// A certificate that could not be revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRevoked {
    /// Serial number as given in the call.
    pub serial: String,
    /// Error.
    #[serde(flatten)]
    pub reason: ErrorResponse,
}
