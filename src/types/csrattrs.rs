//! The configured answer of `/csrattrs`.

use const_oid::ObjectIdentifier;

/// The form in which `/csrattrs` lists the required contents of a CSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CsrAttrsForm {
    /// The list of RFC 7030 §4.5.2, as corrected by RFC 8951 §4 and RFC 9908 §3.2.
    Rfc8951,
    /// The template of RFC 9908 §3.4.
    Rfc9908,
    /// Both: a client uses the one that it supports (RFC 9908 §4).
    Both,
}

/// An attribute that a subject must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAttribute {
    /// Its type.
    pub kind: ObjectIdentifier,
    /// Its value; none if the client chooses it.
    pub value: Option<String>,
}

/// An attribute that a CSR must contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsrAttribute {
    /// Its type.
    pub kind: ObjectIdentifier,
    /// Its value, DER; none if the client chooses it.
    pub value: Option<Vec<u8>>,
}
