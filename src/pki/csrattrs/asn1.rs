//! The ASN.1 types of an answer: the list of RFC 7030 §4.5.2 and the template of RFC 9908 §3.4.

use const_oid::ObjectIdentifier;
use der::{
    Choice, Sequence, ValueOrd,
    asn1::{Any, BitString, OctetString, SetOfVec},
};
use spki::AlgorithmIdentifierOwned;
use x509_cert::attr::Attribute;

/// `CsrAttrs ::= SEQUENCE SIZE (0..MAX) OF AttrOrOID` (RFC 7030 §4.5.2).
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
pub(super) enum AttrOrOid {
    Oid(ObjectIdentifier),
    Attribute(Attribute),
}

/// `CertificationRequestInfoTemplate` (RFC 9908 §3.4).
#[derive(Sequence)]
pub(super) struct Template {
    pub(super) version: u8,
    #[asn1(optional = "true")]
    pub(super) subject: Option<Vec<SetOfVec<AttributeTemplate>>>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(super) key: Option<KeyTemplate>,
    /// There even when empty.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT")]
    pub(super) attributes: SetOfVec<Attribute>,
}

/// `SingleAttributeTemplate`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
pub(super) struct AttributeTemplate {
    pub(super) kind: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(super) value: Option<Any>,
}

/// `SubjectPublicKeyInfoTemplate`.
#[derive(Sequence)]
pub(super) struct KeyTemplate {
    pub(super) algorithm: AlgorithmIdentifierOwned,
    #[asn1(optional = "true")]
    pub(super) public_key: Option<BitString>,
}

/// `ExtensionTemplate`; `critical` is left out, since enrollment ignores it.
#[derive(Sequence)]
pub(super) struct ExtensionTemplate {
    pub(super) oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    pub(super) critical: Option<bool>,
    #[asn1(optional = "true")]
    pub(super) value: Option<OctetString>,
}
