//! The rules of a label.

use super::{Authentication, Scheme};
use crate::types::{CaName, CsrAttribute, CsrAttrsForm, ProfileName, Time};
use std::time::Duration;

/// `[est]` or `[label.NAME]`: what enrolment under a label means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRules {
    /// The CA.
    pub ca: CaName,
    /// The profile.
    pub profile: ProfileName,
    /// Whether that profile gives cmcRA: who enrols here may ask in any name afterwards (RFC 7030 §3.7).
    pub makes_ra: bool,
    /// How clients prove who they are.
    pub authentication: Authentication,
    /// How a password is proved, in the order of the challenges; never empty.
    pub schemes: Vec<Scheme>,
    /// Which names a client may have that shows a certificate and no password.
    pub certificate_names: CertificateNames,
    /// Whether a CSR has to be bound to the TLS connection that it comes over (RFC 7030 §3.5).
    pub linking: Linking,
    /// Whether `/fullcmc` is offered (RFC 7030 §4.3).
    pub fullcmc: bool,
    /// Whether re-enrolment with the same key (renew) is allowed.
    pub renew: bool,
    /// Whether re-enrolment with a new key (rekey) is allowed.
    pub rekey: bool,
    /// How base64 goes out.
    pub base64: Base64Form,
    /// Whether keys are made for devices (RFC 7030 §4.4).
    pub serverkeygen: KeyGeneration,
    /// Whether a PEM-armoured CSR is accepted (D-19).
    pub pem: bool,
    /// Whether a CSR that is no base64 but DER itself is accepted (D-20).
    pub der: bool,
    /// Whether changeSubjectName is acted on (RFC 6402 §2.8). The new names are authorised like any.
    pub change_names: bool,
    /// How long after its end a certificate may still be renewed by `/simplereenroll`; zero: not at
    /// all.
    pub expired_grace: Duration,
    /// Whether an enrolment's answer holds the issuing CA's certificate beside the device's (D-28).
    pub include_chain: bool,
    /// Whether `/cacerts` also holds the root of the CA that issued the server's certificate (D-38).
    pub server_root: bool,
    /// How long after the first request an equal one gets the same certificate (D-10). At most a day.
    pub retry_window: Duration,
    /// What `/csrattrs` says.
    pub csrattrs: CsrAttrs,
    /// What a certificate of the CA may do that is not on record: from `[ca.NAME]`.
    pub unknown_certificates: UnknownCertificates,
}

/// What a certificate may do that a CA of ours vouches for and that is not on record (D-36): the
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

/// `[est.csrattrs]` or `[label.NAME.csrattrs]`: what `/csrattrs` says beside the profile's demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrAttrs {
    /// Whether there is a `/csrattrs`.
    pub offer: bool,
    /// In which form it answers.
    pub form: CsrAttrsForm,
    /// Attributes that a CSR has to hold, offered or not.
    pub attributes: Vec<CsrAttribute>,
}

/// Which names a client may have that shows a certificate and no password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateNames {
    /// Those of its certificate (RFC 6402 §2.4); an RA of ours may ask for any.
    Own,
    /// Any.
    Any,
}

/// Linking identity and proof-of-possession (RFC 7030 §3.5): whether a CSR holds the channel binding
/// of the TLS connection that it comes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Linking {
    /// No binding is known here: a CSR that has one is refused, for it cannot be verified.
    Off,
    /// A binding that is there is verified; none need be.
    Optional,
    /// A CSR without a binding is refused, unless it comes from an RA.
    Required,
}

/// Whether keys are made for devices, and how they leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyGeneration {
    /// Not offered.
    Off,
    /// Encrypted if the CSR names a key for that; otherwise protected by TLS alone.
    On,
    /// Only encrypted to a key that the CSR names.
    Encrypted,
}

/// How base64 goes out (D-02).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base64Form {
    /// As the client's own request shows that it can read.
    Auto,
    /// Lines of 64 columns, each ended by LF.
    Wrapped,
    /// One line.
    Line,
}
