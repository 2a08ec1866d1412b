//! The rules for one kind of certificate.

use crate::types::{Digest, KeyKind, KeyUsage, SanKind, SubjectAttribute};
use const_oid::ObjectIdentifier;
use std::time::Duration;

/// `[profile.NAME]`: rules for one kind of certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRules {
    /// Lifetime, cut at the CA's own end.
    pub validity: Duration,
    /// How far notBefore is before the time of issue.
    pub backdate: Duration,
    /// Kinds of key accepted; an RSA kind accepts its size and any larger one up to 4096.
    pub keys: Vec<KeyKind>,
    /// extKeyUsage when the CSR requests none, and all usages that it may request.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Kinds of SAN entry accepted.
    pub san: Vec<SanKind>,
    /// Whether a certificate may have an empty subject (its SAN is critical then).
    pub empty_subject: bool,
    /// Extensions to drop from the CSR instead of rejecting it.
    pub ignore_extensions: Vec<ObjectIdentifier>,
    /// Hash functions accepted in the CSR's signature.
    pub digests: Vec<Digest>,
    /// Attributes that the subject must have.
    pub require_subject: Vec<SubjectAttribute>,
    /// Kinds of SAN entry, of each of which the CSR must have one.
    pub require_san: Vec<SanKind>,
    /// The key usage that the CSR must request.
    pub require_key_usage: Option<KeyUsage>,
    /// The extended key usages that the CSR must request.
    pub require_extended_key_usage: Vec<ObjectIdentifier>,
}
