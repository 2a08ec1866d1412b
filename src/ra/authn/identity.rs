//! The identity of an authenticated client, and the credentials that it may send.

use crate::{
    digest::{Algorithm, DigestResponse},
    pki::{Certificate, sha256},
    policy::{Proof, Scheme},
    ra::TokenText,
    store::{Issuance, Token},
    telemetry::audit::Facts,
    types::{Actor, CaName, DeviceId, ManufacturerName, Rejection, Time, TrustClass},
};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// Credentials of HTTP authentication.
#[derive(Clone)]
pub enum Credentials {
    /// HTTP Basic (RFC 7617 §2).
    Basic {
        /// The user name; may be empty (RFC 7030 §3.2.3).
        user: String,
        /// The password.
        password: Zeroizing<String>,
    },
    /// HTTP Digest (RFC 7616 §3.4), whose `uri` is the request's target.
    Digest {
        /// The client's answer to the challenge.
        answer: Box<DigestResponse>,
        /// The request's method.
        method: String,
    },
}

impl Credentials {
    pub(super) fn user(&self) -> &str {
        match self {
            Self::Basic { user, .. } => user,
            Self::Digest { answer, .. } => &answer.user,
        }
    }

    pub(in crate::ra) fn scheme(&self) -> Scheme {
        match self {
            Self::Basic { password, .. } if TokenText::recognize(password).is_some() => {
                Scheme::Token
            }
            Self::Basic { .. } => Scheme::Basic,
            Self::Digest { answer, .. } => match answer.algorithm {
                Algorithm::Sha256 => Scheme::Digest,
                Algorithm::Md5 => Scheme::DigestMd5,
            },
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user())
            .field("scheme", &self.scheme())
            .finish_non_exhaustive()
    }
}

/// An authenticated client.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The client, and the method that authenticated it.
    pub actor: Actor,
    /// The certificate that it presented, if that was accepted.
    pub presented: Option<Presented>,
    /// The account whose password it proved, and the scheme that proved it.
    pub account: Option<(String, Scheme)>,
    /// The one-time token that it sent, which may have been used.
    pub token: Option<Box<Token>>,
    /// When the certificate expired, if it was accepted for its renewal only.
    pub expired: Option<Time>,
    /// The rights that its proofs give under the label.
    pub rights: Rights,
}

/// The rights that a client's proofs give under a label.
#[derive(Clone, Debug)]
pub struct Rights {
    /// The proofs of the label that hold.
    pub proofs: Vec<Proof>,
    /// Whether the client may do nothing but renew its certificate.
    pub renewal_only: bool,
    /// Why its certificate does not authenticate, if it presented one and may only renew.
    pub not_accepted: Option<Rejection>,
    /// Why the client may only retry a request: its certificate has expired beyond the grace period since.
    pub retry_only: Option<Rejection>,
    /// Whether the client would have more rights with a password, which it has not sent (D-41).
    pub password_helps: bool,
}

impl Identity {
    /// Returns the certificate that the client presented, if that was accepted.
    #[must_use]
    pub fn certificate(&self) -> Option<&Certificate> {
        self.presented.as_ref().map(|presented| &*presented.certificate)
    }

    /// Adds the facts about the client that are not in its actor to those of an event.
    pub fn describe(&self, facts: &mut Facts) {
        if let Some(certificate) = self.certificate() {
            super::certificate::describe(certificate, facts);
        }
    }

    /// Returns the device that its token is for.
    #[must_use]
    pub fn granted_device(&self) -> Option<&DeviceId> {
        self.token.as_ref().and_then(|token| token.device())
    }

    /// Returns the record of that certificate, if this server issued it. It is not revoked.
    #[must_use]
    pub fn record(&self) -> Option<&Arc<Issuance>> {
        self.presented.as_ref().and_then(Presented::record)
    }
}

/// A client certificate that was accepted.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The certificate.
    pub certificate: Arc<Certificate>,
    /// Its relation to this server.
    pub standing: Standing,
}

/// The relation of an accepted certificate to this server.
#[derive(Clone, Debug)]
pub enum Standing {
    /// On record here, and not revoked.
    Ours(Arc<Issuance>),
    /// Signed by this CA of this server, and not on record (D-36). It may renew its own names only.
    OursUnknown(CaName),
    /// Anchors of these manufacturers vouch for it.
    Manufacturers(Vec<ManufacturerName>),
}

impl Presented {
    /// Returns the kind of anchor that vouches for it (RFC 7030 §1.1).
    #[must_use]
    pub const fn class(&self) -> TrustClass {
        match self.standing {
            Standing::Ours(_) | Standing::OursUnknown(_) => TrustClass::Explicit,
            Standing::Manufacturers(_) => TrustClass::Implicit,
        }
    }

    /// Whether this is the same certificate: its issuer signed the same TBSCertificate.
    #[must_use]
    pub fn is(&self, other: &Certificate) -> bool {
        self.certificate.tbs() == other.tbs()
    }

    const fn record(&self) -> Option<&Arc<Issuance>> {
        match &self.standing {
            Standing::Ours(record) => Some(record),
            Standing::OursUnknown(_) | Standing::Manufacturers(_) => None,
        }
    }

    /// Identifies the certificate, however its signature is encoded: by CA and serial number if this
    /// server issued it, else by the digest of its TBSCertificate.
    pub(crate) fn identity(&self) -> (&str, Vec<u8>) {
        let serial = || self.certificate.serial().as_bytes().to_vec();
        match &self.standing {
            Standing::Ours(record) => (record.intent.ca.as_str(), serial()),
            Standing::OursUnknown(ca) => (ca.as_str(), serial()),
            Standing::Manufacturers(_) => ("", sha256(self.certificate.tbs()).to_vec()),
        }
    }
}
