//! The rules for one kind of certificate.

use crate::types::{Digest, KeyKind, KeyUsage, SanKind, SubjectAttribute};
use const_oid::ObjectIdentifier;
use std::time::Duration;

/// `[profile.NAME]`: rules for one kind of certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRules {
    /// Lifetime, cut at the CA's own end.
    pub validity: Duration,
    /// How far notBefore lies before the moment of issue.
    pub backdate: Duration,
    /// Kinds of key accepted; an RSA kind accepts its size and any larger one up to 4096.
    pub keys: Vec<KeyKind>,
    /// extKeyUsage when the CSR asks for none, and all that it may ask for.
    pub extended_key_usage: Vec<ObjectIdentifier>,
    /// Kinds of SAN entry accepted.
    pub san: Vec<SanKind>,
    /// Whether a certificate may have an empty subject (its SAN is critical then).
    pub empty_subject: bool,
    /// Requested extensions that are left out without refusing the CSR.
    pub ignore_extensions: Vec<ObjectIdentifier>,
    /// Hash functions accepted in the CSR's signature.
    pub digests: Vec<Digest>,
    /// What the subject has to hold.
    pub require_subject: Vec<SubjectAttribute>,
    /// Kinds of SAN entry of which there has to be one each.
    pub require_san: Vec<SanKind>,
    /// The key usage that the CSR has to ask for.
    pub require_key_usage: Option<KeyUsage>,
    /// The extended key usages that the CSR has to ask for.
    pub require_extended_key_usage: Vec<ObjectIdentifier>,
}
