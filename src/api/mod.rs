//! JSON that the operator's interface speaks: `/v1/` on the Unix socket, and `--json` of the
//! commands. Records of the store never leave as they are: these types are the contract.

mod audit;
pub mod call;
mod process;
mod store;

pub use process::{
    CaStatus, ConfigError, LeftOut, Reload, Reloaded, RenewServerCertificate, ServerCertificate,
    ShowStatus, Status, StoreStatus, Warning,
};

pub use audit::{EventEntry, EventQuery, Events, ListWriters, WriterEntry, Writers};
use call::{Call, Method};
use serde::{Deserialize, Serialize};
pub use store::{ReadStore, StoreItems};

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

impl Call for CertificateQuery {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/v1/certificates";
    type Answer = Certificates;
}

/// Asks for one certificate and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCertificate {
    /// Serial number, hexadecimal, or 4 and more digits from its beginning.
    pub serial: String,
}

impl Call for ShowCertificate {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/v1/certificates/{serial}";
    type Answer = CertificateEntry;
}

/// Lists the certificates that another one renews or rekeys, a page at a time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListRenewed {
    /// The cursor of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl Call for ListRenewed {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/v1/renewed";
    type Answer = Renewed;
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

impl Call for Revoke {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/v1/revocations";
    type Answer = Revocations;
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
    pub reason: Refusal,
}

/// Asks for the CAs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShowCas {}

impl Call for ShowCas {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/v1/cas";
    type Answer = Cas;
}

/// The CAs of this server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cas {
    /// By name.
    pub cas: Vec<CaEntry>,
}

/// One CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaEntry {
    /// Its name in the configuration.
    pub name: String,
    /// The root: the trust anchor.
    pub root: CaCertificate,
    /// The certificate of the key that signs.
    pub issuing: CaCertificate,
}

/// One certificate of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaCertificate {
    /// Subject, RFC 4514.
    pub subject: String,
    /// SHA-256 of the whole certificate, `AB:CD:…`: compare it out of band (RFC 7030 §4.1.1).
    pub sha256: String,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// Last moment of validity, RFC 3339.
    pub not_after: String,
    /// The certificate.
    pub pem: String,
}

/// Asks for the enrollment accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListUsers {}

impl Call for ListUsers {
    const METHOD: Method = Method::Get;
    const PATH: &'static str = "/v1/users";
    type Answer = Users;
}

/// Removes an enrollment account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveUser {
    /// User name.
    pub name: String,
}

impl Call for RemoveUser {
    const METHOD: Method = Method::Delete;
    const PATH: &'static str = "/v1/users/{name}";
    type Answer = ();
}

/// The enrolment accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// By name.
    pub users: Vec<UserEntry>,
}

/// One enrolment account. Its password is not known here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// User name.
    pub name: String,
    /// When it was added, RFC 3339.
    pub added: String,
    /// What is kept of the password: `argon2id`; or `digest`, with it `digest-md5` and
    /// `identity-proof`.
    pub kept: Vec<String>,
    /// The realm that it was made for; none with `argon2id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub realm: Option<String>,
    /// The labels it may enrol under; none: all, and without a label.
    pub labels: Option<Vec<String>>,
}

/// Adds an enrollment account.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// User name.
    pub name: String,
    /// Password: 8 characters or more.
    pub password: String,
    /// The labels it may enrol under; none: all, and without a label.
    #[serde(default)]
    pub labels: Option<Vec<String>>,
    /// Keeps the secret of HTTP Digest with SHA-256 instead of a hash of the password.
    #[serde(default)]
    pub digest: bool,
    /// Keeps that of HTTP Digest with MD5, too.
    #[serde(default)]
    pub digest_md5: bool,
    /// Keeps SHA-256 of the password, too: the key of CMC's identity proof.
    #[serde(default)]
    pub identity_proof: bool,
    /// Accepts an empty name (RFC 7030 §3.2.3).
    #[serde(default)]
    pub allow_empty_name: bool,
    /// Checks all of it and adds nothing.
    #[serde(default)]
    pub dry_run: bool,
}

impl Call for NewUser {
    const METHOD: Method = Method::Post;
    const PATH: &'static str = "/v1/users";
    type Answer = ();
}

/// The answer to a call that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}")]
pub struct Refusal {
    /// What is wrong.
    pub error: String,
    /// What to do.
    pub remedy: String,
    /// What kind of error it is.
    #[serde(default)]
    pub kind: RefusalKind,
}

/// What kind of error keeps a call from succeeding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// The call has a value that is not accepted.
    Invalid,
    /// The thing that the call names does not exist.
    NotFound,
    /// The thing that the call adds exists.
    Exists,
    /// The call names several things where one is meant.
    Ambiguous,
    /// The store does not answer.
    Unavailable,
    /// Anything else.
    #[default]
    #[serde(other)]
    Failed,
}

impl RefusalKind {
    /// The name in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::Ambiguous => "ambiguous",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}
