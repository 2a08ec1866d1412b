//! The rules of a label.

use super::{Accept, DeviceRules, RenewalRules};
use crate::naming::NameRules;
use crate::types::{CaName, CsrAttribute, CsrAttrsForm, ProfileName, Time};
use std::time::Duration;

/// `[est]` or `[label.NAME]`: the rules of enrollment under a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRules {
    /// The CA.
    pub ca: CaName,
    /// The profile.
    pub profile: ProfileName,
    /// Whether that profile issues cmcRA: its certificates may request any name (RFC 7030 §3.7).
    pub makes_ra: bool,
    /// Whether only certificates that were issued under this label are renewed under it. Otherwise the
    /// holder of any certificate of the CA could get by renewal what `accept` does not give it, such as
    /// cmcRA or the proof `certificate:LABEL`.
    pub renews_own_only: bool,
    /// The combinations of proofs with which clients enroll.
    pub accept: Accept,
    /// If not empty: the keys of the registration authorities that are accepted, as SHA-256 of their
    /// SubjectPublicKeyInfo (D-34).
    pub ra_keys: Vec<[u8; 32]>,
    /// Whether the key that a manufacturer certified may get a certificate of this label.
    pub idevid_key: bool,
    /// The devices that may enroll.
    pub devices: DeviceRules,
    /// The names that clients may request, or that their certificates get.
    pub names: NameRules,
    /// The rules of renewal.
    pub renewal: RenewalRules,
    /// Whether a CSR must be bound to its TLS connection (RFC 7030 §3.5).
    pub linking: Linking,
    /// Whether `/fullcmc` is offered (RFC 7030 §4.3).
    pub fullcmc: bool,
    /// The layout of base64 in answers.
    pub base64: Base64Form,
    /// Whether the server generates keys for devices (RFC 7030 §4.4).
    pub serverkeygen: KeyGeneration,
    /// Whether a PEM-armored CSR is accepted (D-19).
    pub pem: bool,
    /// Whether a CSR that is no base64 but DER itself is accepted (D-20).
    pub der: bool,
    /// Whether changeSubjectName is acted on (RFC 6402 §2.8). The new names are authorized like any others.
    pub change_names: bool,
    /// Whether the answer of an enrollment holds the issuing CA's certificate beside the device's (D-28).
    pub include_chain: bool,
    /// Whether `/cacerts` also holds the root of the CA that issued the server's certificate (D-38).
    pub server_root: bool,
    /// How long after the first request an equal one gets the same certificate (D-10). At most a day.
    pub retry_window: Duration,
    /// The answer of `/csrattrs`.
    pub csrattrs: CsrAttrs,
    /// The rights of certificates of the CA that are not on record: from `[ca.NAME]`.
    pub unknown_certificates: UnknownCertificates,
}

/// The rights of a certificate that a CA of this server issued and that is not on record (D-36). Its
/// record was lost, for example by a restore from an old backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownCertificates {
    /// Nothing.
    Reject,
    /// Renew itself with its own names, until this time.
    RenewOwnNames {
        /// The end of the exception.
        until: Time,
    },
}

/// `[est.csrattrs]` or `[label.NAME.csrattrs]`: the answer of `/csrattrs` beside the profile's demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrAttrs {
    /// Whether the label offers `/csrattrs`.
    pub offer: bool,
    /// The form of the answer.
    pub form: CsrAttrsForm,
    /// Attributes that a CSR must have, whether the label offers `/csrattrs` or not.
    pub attributes: Vec<CsrAttribute>,
}

/// Linking identity and proof-of-possession (RFC 7030 §3.5): whether a CSR holds the channel binding
/// of its TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linking {
    /// A CSR with a binding is rejected, because the binding cannot be verified.
    Off,
    /// A binding is verified if the CSR has one.
    Optional,
    /// A CSR without a binding is rejected, unless an RA sends it.
    Required,
}

/// Whether the server generates keys for devices, and how it protects them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyGeneration {
    /// Not offered.
    Off,
    /// Encrypted if the CSR names a key for that; otherwise protected by TLS alone.
    On,
    /// Only encrypted to a key that the CSR names.
    Encrypted,
}

/// The layout of base64 in answers (D-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Form {
    /// The layout of the client's own request.
    Auto,
    /// Lines of 64 columns, each ended by LF.
    Wrapped,
    /// One line.
    Line,
}
