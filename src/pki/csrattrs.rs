//! CSR attributes: what a server asks of a CSR (RFC 7030 §4.5.2, RFC 8951 §4, RFC 9908 §3).
//!
//! One answer can be written in two forms: a list of OIDs and attributes, and a template of the
//! CSR. [`CsrAttrs`] is what both of them say. A value that the client has to fill in is left out;
//! in a subjectAltName it is an entry without content. RFC 9908 §3.4 defines that for iPAddress;
//! here it stands for dNSName, rfc822Name and uniformResourceIdentifier alike, none of which can
//! be empty in a certificate.

use super::{
    Error, SubjectAltName,
    algorithm::{self, described},
    name, oid,
};
use crate::types::{CsrAttribute, CsrAttrsForm, Fault, KeyKind, SanKind, SubjectAttribute};
use const_oid::ObjectIdentifier;
use der::{
    Choice, Decode, Encode, Sequence, Tag, Tagged, ValueOrd,
    asn1::{Any, BitString, Ia5String, OctetString, SetOfVec, UintRef},
};
use rsa::pkcs1::RsaPublicKey;
use spki::AlgorithmIdentifierOwned;
use x509_cert::{attr::Attribute, ext::Extension, ext::pkix::name::GeneralName};

/// What a server asks of a CSR. Nothing that is left empty is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsrAttrs {
    /// Attributes of the subject, in the order in which they are to stand.
    pub subject: Vec<SubjectAttribute>,
    /// The kind of key.
    pub key: Option<Key>,
    /// Algorithms of which the CSR's signature has one: that which fits the key.
    pub signatures: Vec<ObjectIdentifier>,
    /// Extensions that the CSR asks for, each once.
    pub extensions: Vec<AskedExtension>,
    /// Further attributes, such as challengePassword.
    pub attributes: Vec<CsrAttribute>,
}

/// A kind of key that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// One that this program knows; an RSA kind has the exact size, which may be any.
    Kind(KeyKind),
    /// An algorithm or a curve that it does not know.
    Other(ObjectIdentifier),
}

/// An extension that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedExtension {
    /// Which.
    pub oid: ObjectIdentifier,
    /// The octets inside its OCTET STRING; none if the client chooses them.
    pub value: Option<Vec<u8>>,
}

impl AskedExtension {
    /// A subjectAltName with an entry of each of these kinds, which the client fills in; otherName
    /// is left out, since it has a type that nobody could guess.
    ///
    /// # Errors
    /// Those of the encoder.
    pub fn open_san(kinds: &[SanKind]) -> der::Result<Self> {
        let empty = || Ia5String::new("");
        let names = kinds
            .iter()
            .filter_map(|kind| match kind {
                SanKind::Dns => Some(empty().map(GeneralName::DnsName)),
                SanKind::Email => Some(empty().map(GeneralName::Rfc822Name)),
                SanKind::Uri => Some(empty().map(GeneralName::UniformResourceIdentifier)),
                SanKind::Ip => Some(OctetString::new([]).map(GeneralName::IpAddress)),
                SanKind::Other => None,
            })
            .collect::<der::Result<Vec<_>>>()?;
        Ok(Self { oid: oid::SUBJECT_ALT_NAME, value: Some(names.to_der()?) })
    }

    /// Whether the client has to fill in something.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let Some(value) = &self.value else { return true };
        self.oid == oid::SUBJECT_ALT_NAME
            && SubjectAltName::parse(value)
                .is_ok_and(|san| san.entries().iter().any(super::san::Entry::is_open))
    }
}

/// `CsrAttrs ::= SEQUENCE SIZE (0..MAX) OF AttrOrOID` (RFC 7030 §4.5.2).
#[derive(Clone, Debug, PartialEq, Eq, Choice)]
enum AttrOrOid {
    Oid(ObjectIdentifier),
    Attribute(Attribute),
}

/// `CertificationRequestInfoTemplate` (RFC 9908 §3.4).
#[derive(Sequence)]
struct Template {
    version: u8,
    #[asn1(optional = "true")]
    subject: Option<Vec<SetOfVec<AttributeTemplate>>>,
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    key: Option<KeyTemplate>,
    /// There even when empty.
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT")]
    attributes: SetOfVec<Attribute>,
}

/// `SingleAttributeTemplate`.
#[derive(Clone, Debug, PartialEq, Eq, Sequence, ValueOrd)]
struct AttributeTemplate {
    kind: ObjectIdentifier,
    #[asn1(optional = "true")]
    value: Option<Any>,
}

/// `SubjectPublicKeyInfoTemplate`.
#[derive(Sequence)]
struct KeyTemplate {
    algorithm: AlgorithmIdentifierOwned,
    #[asn1(optional = "true")]
    public_key: Option<BitString>,
}

/// `ExtensionTemplate`; `critical` is left out, since enrolment does not look at it.
#[derive(Sequence)]
struct ExtensionTemplate {
    oid: ObjectIdentifier,
    #[asn1(optional = "true")]
    critical: Option<bool>,
    #[asn1(optional = "true")]
    value: Option<OctetString>,
}

impl CsrAttrs {
    /// Whether nothing is asked for: the answer is then 204 (D-13).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a CSR has to be linked to its TLS connection (RFC 7030 §3.5, RFC 7894 §3.3).
    #[must_use]
    pub fn asks_for_linking(&self) -> bool {
        let binding = [oid::CHALLENGE_PASSWORD, oid::EST_IDENTITY_LINKING];
        self.attributes.iter().any(|asked| binding.contains(&asked.kind))
    }

    /// Writes the answer, DER.
    ///
    /// A template cannot name the signature's algorithm, and RFC 7030 §3.5 and RFC 7894 §4 want
    /// the attributes that bind a CSR to its connection listed in every answer: both stand beside
    /// the template as they stand in the list.
    ///
    /// # Errors
    /// Those of the encoder, such as for a value that its type cannot hold.
    pub fn to_der(&self, form: CsrAttrsForm) -> der::Result<Vec<u8>> {
        let mut out = Vec::new();
        let list = form != CsrAttrsForm::Rfc9908;
        let template = form != CsrAttrsForm::Rfc8951;
        for attribute in &self.attributes {
            if list || is_challenge(attribute.kind) {
                out.push(match &attribute.value {
                    None => AttrOrOid::Oid(attribute.kind),
                    Some(value) => one_value(attribute.kind, Any::from_der(value)?)?,
                });
            }
        }
        if list {
            for attribute in &self.subject {
                out.push(match &attribute.value {
                    None => AttrOrOid::Oid(attribute.kind),
                    Some(value) => one_value(attribute.kind, string(attribute.kind, value)?)?,
                });
            }
            if let Some(key) = self.key {
                out.push(AttrOrOid::Attribute(key_attribute(key)?));
            }
            let (given, left): (Vec<_>, Vec<_>) =
                self.extensions.iter().partition(|asked| asked.value.is_some());
            if !given.is_empty() {
                out.push(AttrOrOid::Attribute(extension_request(&given)?));
            }
            out.extend(left.iter().map(|asked| AttrOrOid::Oid(asked.oid)));
        }
        if template && self.needs_template() {
            let value = Any::encode_from(&self.template()?)?;
            out.push(one_value(oid::REQUEST_TEMPLATE, value)?);
        }
        out.extend(self.signatures.iter().map(|signature| AttrOrOid::Oid(*signature)));
        out.to_der()
    }

    /// A template that leaves everything open would say nothing.
    fn needs_template(&self) -> bool {
        let rest = Self { signatures: Vec::new(), ..self.clone() };
        !rest.is_empty()
    }

    fn template(&self) -> der::Result<Template> {
        let subject = self.subject.iter().map(|asked| {
            let value = asked.value.as_ref().map(|value| string(asked.kind, value)).transpose()?;
            SetOfVec::try_from([AttributeTemplate { kind: asked.kind, value }])
        });
        let subject = subject.collect::<der::Result<Vec<_>>>()?;
        let mut attributes = Vec::new();
        if self.extensions.iter().any(AskedExtension::is_open) {
            let templates = self.extensions.iter().map(|asked| {
                Ok(ExtensionTemplate {
                    oid: asked.oid,
                    critical: None,
                    value: asked.value.clone().map(OctetString::new).transpose()?,
                })
            });
            // A list, as the module and the example have it, not the single one of the prose (D-16).
            let value = Any::encode_from(&templates.collect::<der::Result<Vec<_>>>()?)?;
            let values = SetOfVec::try_from([value])?;
            attributes.push(Attribute { oid: oid::EXTENSION_REQUEST_TEMPLATE, values });
        } else if !self.extensions.is_empty() {
            attributes.push(extension_request(&self.extensions.iter().collect::<Vec<_>>())?);
        }
        for asked in &self.attributes {
            let value = asked.value.as_deref().map(Any::from_der).transpose()?;
            let values = SetOfVec::try_from(value.into_iter().collect::<Vec<_>>())?;
            attributes.push(Attribute { oid: asked.kind, values });
        }
        Ok(Template {
            version: 0,
            subject: Some(subject).filter(|subject| !subject.is_empty()),
            key: self.key.map(key_template).transpose()?,
            attributes: attributes.try_into()?,
        })
    }

    /// Reads an answer of any server.
    ///
    /// Of an answer with a template the rest is passed over (RFC 9908 §4), but for the signature's
    /// algorithm and the attributes that bind a CSR to its connection. What is not known is kept as
    /// an attribute. Read, too: the sample of RFC 7030 §4.5.2, whose extensionRequest holds a bare
    /// OID; curves and hash functions as bare OIDs; an extensionReqTemplate that holds a single
    /// template (D-16).
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is no CsrAttrs.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        read(der).map_err(|fault| {
            Error::Malformed(Fault::new(
                "csrattrs.form",
                "CSR attributes are a SEQUENCE of OIDs and attributes (RFC 7030 section 4.5.2), with at most one template (RFC 9908 section 3.4)",
                fault,
                "an answer such as MAsGCSqGSIb3DQEJBw==",
            ))
        })
    }

    fn take_oid(&mut self, found: ObjectIdentifier) {
        if name::is_of_subject(found) {
            self.subject.push(SubjectAttribute { kind: found, value: None });
        } else if algorithm::is_of_signature(found) {
            self.signatures.push(found);
        } else if let Some(key) = bare_key(found) {
            self.key.get_or_insert(key);
        } else if is_extension(found) {
            self.extensions.push(AskedExtension { oid: found, value: None });
        } else {
            self.attributes.push(CsrAttribute { kind: found, value: None });
        }
    }

    fn take_attribute(&mut self, attribute: &Attribute) -> der::Result<()> {
        let found = attribute.oid;
        let values = attribute.values.as_slice();
        if found == oid::EXTENSION_REQUEST {
            for value in values {
                match value.decode_as::<ObjectIdentifier>() {
                    Ok(bare) => self.take_oid(bare),
                    Err(_) => self.take_extensions(value.decode_as::<Vec<Extension>>()?),
                }
            }
        } else if found == oid::EXTENSION_REQUEST_TEMPLATE {
            // Outside of a template, too: what it says is plain.
            values.iter().try_for_each(|value| self.take_extension_templates(value))?;
        } else if found == oid::REQUEST_TEMPLATE {
            // A template inside a template says nothing.
        } else if let Some(key) = key_of(found, values) {
            self.key.get_or_insert(key);
        } else if values.is_empty() {
            self.take_oid(found);
        } else if name::is_of_subject(found) {
            for value in values {
                self.subject.push(SubjectAttribute { kind: found, value: Some(text(value)?) });
            }
        } else {
            for value in values {
                let value = Some(value.to_der()?);
                self.attributes.push(CsrAttribute { kind: found, value });
            }
        }
        Ok(())
    }

    fn take_extensions(&mut self, extensions: Vec<Extension>) {
        self.extensions.extend(extensions.into_iter().map(|extension| AskedExtension {
            oid: extension.extn_id,
            value: Some(extension.extn_value.as_bytes().to_vec()),
        }));
    }

    fn take_template(&mut self, template: &Template) -> der::Result<()> {
        if template.version != 0 {
            return Err(Tag::Integer.value_error().into());
        }
        for asked in template.subject.iter().flatten().flat_map(SetOfVec::iter) {
            let value = asked.value.as_ref().map(text).transpose()?;
            self.subject.push(SubjectAttribute { kind: asked.kind, value });
        }
        self.key = template.key.as_ref().map(key_of_template).transpose()?;
        template.attributes.iter().try_for_each(|attribute| self.take_attribute(attribute))
    }

    fn take_extension_templates(&mut self, value: &Any) -> der::Result<()> {
        let list = value
            .decode_as::<Vec<ExtensionTemplate>>()
            .or_else(|_| value.decode_as::<ExtensionTemplate>().map(|single| vec![single]))?;
        self.extensions.extend(list.into_iter().map(|asked| AskedExtension {
            oid: asked.oid,
            value: asked.value.map(|value| value.as_bytes().to_vec()),
        }));
        Ok(())
    }
}

fn read(der: &[u8]) -> der::Result<CsrAttrs> {
    let elements = Vec::<AttrOrOid>::from_der(der)?;
    let mut templates = elements.iter().filter_map(|element| match element {
        AttrOrOid::Attribute(attribute) if attribute.oid == oid::REQUEST_TEMPLATE => {
            Some(&attribute.values)
        }
        _ => None,
    });
    let template = templates.next();
    if templates.next().is_some() || template.is_some_and(|values| values.len() != 1) {
        return Err(Tag::Set.length_error().into());
    }
    let mut answer = CsrAttrs::default();
    for value in template.into_iter().flat_map(SetOfVec::iter) {
        answer.take_template(&value.decode_as()?)?;
    }
    for element in &elements {
        match element {
            AttrOrOid::Oid(found) => {
                let listed = || answer.attributes.iter().any(|asked| asked.kind == *found);
                let beside =
                    algorithm::is_of_signature(*found) || (is_challenge(*found) && !listed());
                if template.is_none() || beside {
                    answer.take_oid(*found);
                }
            }
            AttrOrOid::Attribute(attribute) if template.is_none() => {
                answer.take_attribute(attribute)?;
            }
            AttrOrOid::Attribute(_) => {}
        }
    }
    Ok(answer)
}

/// The attributes that bind a CSR to one connection or one use.
pub(super) fn is_challenge(kind: ObjectIdentifier) -> bool {
    super::csr::CHALLENGES.contains(&kind)
}

/// id-ce (RFC 5280 §4.2.1): what is asked for in an extensionRequest.
fn is_extension(found: ObjectIdentifier) -> bool {
    found.to_string().starts_with("2.5.29.")
}

fn one_value(kind: ObjectIdentifier, value: Any) -> der::Result<AttrOrOid> {
    Ok(AttrOrOid::Attribute(Attribute { oid: kind, values: SetOfVec::try_from([value])? }))
}

/// One extensionRequest with one Extensions (RFC 9908 §3.2).
fn extension_request(asked: &[&AskedExtension]) -> der::Result<Attribute> {
    let extensions = asked.iter().map(|asked| {
        Ok(Extension {
            extn_id: asked.oid,
            critical: false,
            extn_value: OctetString::new(asked.value.clone().unwrap_or_default())?,
        })
    });
    let value = Any::encode_from(&extensions.collect::<der::Result<Vec<_>>>()?)?;
    Ok(Attribute { oid: oid::EXTENSION_REQUEST, values: SetOfVec::try_from([value])? })
}

/// A value of the subject in the string type that certificates have it in (RFC 5280 App. A.1).
pub(super) fn string(kind: ObjectIdentifier, value: &str) -> der::Result<Any> {
    Any::new(name::string_tag(kind), value.as_bytes())
}

fn text(value: &Any) -> der::Result<String> {
    name::text(value.into()).ok_or_else(|| value.tag().value_error().into())
}

const fn curve(kind: KeyKind) -> Option<ObjectIdentifier> {
    match kind {
        KeyKind::P256 => Some(oid::P256),
        KeyKind::P384 => Some(oid::P384),
        KeyKind::P521 => Some(oid::P521),
        KeyKind::Rsa(_) | KeyKind::Ed25519 => None,
    }
}

fn kind_of_curve(found: ObjectIdentifier) -> Option<KeyKind> {
    [KeyKind::P256, KeyKind::P384, KeyKind::P521]
        .into_iter()
        .find(|kind| curve(*kind) == Some(found))
}

/// The attribute of a kind of key: its type is the algorithm, its value the curve or the size
/// (RFC 9908 §3.2). Ed25519 has neither, and no value (D-27).
fn key_attribute(key: Key) -> der::Result<Attribute> {
    let (algorithm, value) = match key {
        Key::Kind(KeyKind::Rsa(bits)) => (oid::RSA, Some(Any::encode_from(&bits)?)),
        Key::Kind(KeyKind::Ed25519) => (oid::ED25519, None),
        Key::Kind(kind) => {
            (oid::EC_PUBLIC_KEY, curve(kind).map(|curve| Any::encode_from(&curve)).transpose()?)
        }
        Key::Other(algorithm) => (algorithm, None),
    };
    let values = SetOfVec::try_from(value.into_iter().collect::<Vec<_>>())?;
    Ok(Attribute { oid: algorithm, values })
}

fn key_of(algorithm: ObjectIdentifier, values: &[Any]) -> Option<Key> {
    let value = values.first();
    match algorithm {
        oid::RSA => {
            let bits = value.map_or(Some(2048), |bits| bits.decode_as::<u16>().ok());
            Some(bits.map_or(Key::Other(algorithm), |bits| Key::Kind(KeyKind::Rsa(bits))))
        }
        oid::ED25519 => Some(Key::Kind(KeyKind::Ed25519)),
        oid::EC_PUBLIC_KEY => Some(match value.map(Any::decode_as::<ObjectIdentifier>) {
            None => Key::Kind(KeyKind::P256),
            Some(Err(_)) => Key::Other(algorithm),
            Some(Ok(curve)) => kind_of_curve(curve).map_or(Key::Other(curve), Key::Kind),
        }),
        _ => None,
    }
}

/// A key or a curve as servers of before RFC 9908 name it.
fn bare_key(found: ObjectIdentifier) -> Option<Key> {
    kind_of_curve(found).map(Key::Kind).or_else(|| key_of(found, &[]))
}

fn key_template(key: Key) -> der::Result<KeyTemplate> {
    let (oid, parameters, public_key) = match key {
        Key::Kind(KeyKind::Rsa(bits)) => {
            (oid::RSA, Some(Any::null()), Some(BitString::from_bytes(&dummy_rsa(bits)?)?))
        }
        Key::Kind(KeyKind::Ed25519) => (oid::ED25519, None, None),
        Key::Kind(kind) => (
            oid::EC_PUBLIC_KEY,
            curve(kind).map(|curve| Any::encode_from(&curve)).transpose()?,
            None,
        ),
        Key::Other(algorithm) => (algorithm, None, None),
    };
    Ok(KeyTemplate { algorithm: AlgorithmIdentifierOwned { oid, parameters }, public_key })
}

/// A public key of this size that nobody has: the modulus is 2^(bits - 1) + 1 (RFC 9908 §3.4).
fn dummy_rsa(bits: u16) -> der::Result<Vec<u8>> {
    let mut modulus = vec![0; usize::from(bits.div_ceil(8))];
    if let Some(first) = modulus.first_mut() {
        *first = 1 << ((bits.max(1) - 1) % 8);
    }
    if let Some(last) = modulus.last_mut() {
        *last |= 1;
    }
    RsaPublicKey { modulus: UintRef::new(&modulus)?, public_exponent: UintRef::new(&[1, 0, 1])? }
        .to_der()
}

fn key_of_template(template: &KeyTemplate) -> der::Result<Key> {
    let algorithm = template.algorithm.oid;
    if algorithm == oid::RSA
        && let Some(bits) = template.public_key.as_ref().and_then(BitString::as_bytes)
    {
        let modulus = RsaPublicKey::<UintRef<'_>>::from_der(bits)?.modulus;
        let octets = modulus.as_bytes();
        let unused = octets.first().map_or(8, |octet| octet.leading_zeros() as usize);
        let size = (octets.len() * 8).saturating_sub(unused);
        return Ok(
            u16::try_from(size).map_or(Key::Other(algorithm), |size| Key::Kind(KeyKind::Rsa(size)))
        );
    }
    let parameters: Vec<Any> =
        template.algorithm.parameters.iter().filter(|any| !any.is_null()).cloned().collect();
    Ok(key_of(algorithm, &parameters).unwrap_or(Key::Other(algorithm)))
}

impl CsrAttrs {
    /// What is asked for in plain words, one demand a line.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut out = Vec::new();
        for asked in &self.subject {
            let kind = described(asked.kind);
            out.push(match &asked.value {
                Some(value) => format!("subject: {kind} = \"{value}\""),
                None => format!("subject: {kind}, which you choose"),
            });
        }
        match self.key {
            Some(Key::Kind(kind)) => out.push(format!("key: {kind}")),
            Some(Key::Other(other)) => {
                out.push(format!("key: {}, which this program does not know", described(other)));
            }
            None => {}
        }
        if !self.signatures.is_empty() {
            let names: Vec<String> = self.signatures.iter().map(|one| described(*one)).collect();
            out.push(format!("signature of the CSR: {}", names.join(" or ")));
        }
        out.extend(self.extensions.iter().map(extension_line));
        for asked in &self.attributes {
            let kind = described(asked.kind);
            out.push(match &asked.value {
                Some(value) => format!("attribute: {kind} = {} (DER)", hex(value)),
                None if is_challenge(asked.kind) => {
                    format!("attribute: {kind}, for this connection or this use alone")
                }
                None => format!("attribute: {kind}, which you choose"),
            });
        }
        out
    }
}

fn extension_line(asked: &AskedExtension) -> String {
    use super::extension::{KeyUsage, extended_key_usage};
    let name = described(asked.oid);
    let Some(value) = &asked.value else {
        return format!("extension: {name}, which you choose");
    };
    let shown = match asked.oid {
        oid::SUBJECT_ALT_NAME => SubjectAltName::parse(value).ok().map(|san| {
            let entries = san.entries().iter().map(|entry| {
                if entry.is_open() {
                    let kind = entry.kind.map_or_else(String::new, |kind| kind.to_string());
                    format!("{kind}, which you choose")
                } else {
                    entry.text.clone()
                }
            });
            entries.collect::<Vec<_>>().join("; ")
        }),
        oid::KEY_USAGE => KeyUsage::parse(value).ok().map(|usage| usage.names().join(", ")),
        oid::EXTENDED_KEY_USAGE => extended_key_usage(value).ok().map(|usages| {
            usages.iter().map(|usage| described(*usage)).collect::<Vec<_>>().join(", ")
        }),
        _ => None,
    };
    format!("extension: {name} = {}", shown.unwrap_or_else(|| format!("{} (DER)", hex(value))))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! vector {
        ($name:literal) => {
            include_bytes!(concat!("../../testdata/csrattrs/", $name, ".der")).as_slice()
        };
    }

    fn open(dotted: &str) -> CsrAttribute {
        CsrAttribute { kind: dotted.parse().unwrap(), value: None }
    }

    fn with_key(key: KeyKind) -> CsrAttrs {
        CsrAttrs { key: Some(Key::Kind(key)), ..CsrAttrs::default() }
    }

    fn named(kind: ObjectIdentifier, value: Option<&str>) -> SubjectAttribute {
        SubjectAttribute { kind, value: value.map(str::to_owned) }
    }

    fn challenge() -> CsrAttribute {
        CsrAttribute { kind: oid::CHALLENGE_PASSWORD, value: None }
    }

    fn usage() -> AskedExtension {
        AskedExtension { oid: oid::KEY_USAGE, value: Some(vec![3, 2, 3, 0x88]) }
    }

    /// All that a profile can ask for.
    fn everything() -> CsrAttrs {
        CsrAttrs {
            subject: vec![
                named(oid::COUNTRY, Some("DE")),
                named(oid::ORGANIZATION, Some("\u{c9}xample")),
                named(oid::ORGANIZATIONAL_UNIT, Some("a")),
                named(oid::ORGANIZATIONAL_UNIT, Some("b")),
                named(oid::COMMON_NAME, None),
            ],
            key: Some(Key::Kind(KeyKind::Rsa(3072))),
            signatures: vec![oid::RSA_SHA384],
            extensions: vec![
                AskedExtension::open_san(&[
                    SanKind::Dns,
                    SanKind::Ip,
                    SanKind::Uri,
                    SanKind::Email,
                ])
                .unwrap(),
                usage(),
            ],
            attributes: vec![
                challenge(),
                open("1.3.6.1.1.1.1.22"),
                CsrAttribute { value: Some(vec![12, 1, 97]), ..open("1.2.3") },
            ],
        }
    }

    #[test]
    fn r_7030_4_5_2_b_the_vectors_are_written_octet_for_octet() {
        let list = |asked: &CsrAttrs| asked.to_der(CsrAttrsForm::Rfc8951).unwrap();
        assert_eq!(list(&CsrAttrs::default()), vector!("empty"));
        assert!(CsrAttrs::parse(vector!("empty")).unwrap().is_empty());
        let linking = CsrAttrs { attributes: vec![challenge()], ..CsrAttrs::default() };
        assert_eq!(list(&linking), vector!("pop-only"));
        let both = CsrAttrs {
            attributes: vec![
                challenge(),
                CsrAttribute { kind: oid::EST_IDENTITY_LINKING, value: None },
            ],
            ..CsrAttrs::default()
        };
        assert_eq!(list(&both), vector!("pop-both"));
        assert_eq!(CsrAttrs::parse(vector!("pop-both")).unwrap(), both);
    }

    #[test]
    fn r_9908_3_2_b_a_key_is_one_attribute_with_its_curve_or_size() {
        let rsa = CsrAttrs {
            signatures: vec![oid::RSA_SHA256],
            attributes: vec![challenge()],
            ..with_key(KeyKind::Rsa(4096))
        };
        assert_eq!(rsa.to_der(CsrAttrsForm::Rfc8951).unwrap(), vector!("rsa4096"));
        assert_eq!(CsrAttrs::parse(vector!("rsa4096")).unwrap(), rsa);
        let revised = CsrAttrs {
            signatures: vec![oid::ECDSA_SHA384],
            attributes: vec![challenge(), open("1.3.6.1.1.1.1.22")],
            ..with_key(KeyKind::P384)
        };
        // In the RFC's sample the MAC address stands behind the key: order means nothing.
        assert_eq!(CsrAttrs::parse(vector!("9908-revised")).unwrap(), revised);
        assert_eq!(
            CsrAttrs::parse(&revised.to_der(CsrAttrsForm::Rfc8951).unwrap()).unwrap(),
            revised
        );
        for kind in [KeyKind::P256, KeyKind::P521, KeyKind::Rsa(2048)] {
            let der = with_key(kind).to_der(CsrAttrsForm::Rfc8951).unwrap();
            let elements = Vec::<AttrOrOid>::from_der(&der).unwrap();
            let [AttrOrOid::Attribute(one)] = elements.as_slice() else { panic!("{elements:?}") };
            assert_eq!(one.values.len(), 1, "D-27");
        }
        assert_eq!(
            with_key(KeyKind::Ed25519).to_der(CsrAttrsForm::Rfc8951).unwrap(),
            [0x30, 9, 0x30, 7, 6, 3, 0x2b, 0x65, 0x70, 0x31, 0]
        );
    }

    /// proves: R-9908-3.4-e
    #[test]
    fn r_9908_3_4_a_the_template_of_the_rfc_is_written_and_read() {
        let mut asked = CsrAttrs {
            subject: vec![
                named(oid::COMMON_NAME, None),
                named(oid::ORGANIZATIONAL_UNIT, Some("myDept")),
                named(oid::ORGANIZATIONAL_UNIT, Some("myGroup")),
            ],
            extensions: vec![
                AskedExtension {
                    oid: oid::SUBJECT_ALT_NAME,
                    value: Some(b"\x30\x14\x82\x10www.myServer.com\x87\x00".to_vec()),
                },
                usage(),
                AskedExtension { oid: oid::EXTENDED_KEY_USAGE, value: None },
            ],
            ..with_key(KeyKind::P256)
        };
        let vector = vector!("9908-template");
        assert_eq!(CsrAttrs::parse(vector).unwrap(), asked);
        // The sample says that keyUsage is critical, which is not asked for here.
        let mut without = vector.to_vec();
        let at = without.windows(3).position(|part| part == [1, 1, 0xff]).unwrap();
        without.drain(at..at + 3);
        // Every length around it: the outer ones have two octets, 0x81 and the length.
        for length in [2, 5, 21, 24, 98, 100, 115, 117, 150] {
            without[length] -= 3;
        }
        assert_eq!(asked.to_der(CsrAttrsForm::Rfc9908).unwrap(), without);
        // A single template in place of the list is read, too (D-16).
        asked.extensions.truncate(1);
        let single = asked.to_der(CsrAttrsForm::Rfc9908).unwrap();
        assert!(CsrAttrs::parse(&single).is_ok());
    }

    #[test]
    fn r_9908_4_a_both_forms_say_the_same() {
        let all = everything();
        for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
            let mut read = CsrAttrs::parse(&all.to_der(form).unwrap()).unwrap();
            // In the template they are a SET.
            read.attributes.sort_by_key(|asked| all.attributes.iter().position(|a| a == asked));
            assert_eq!(read, all, "{form:?}");
        }
        let both = all.to_der(CsrAttrsForm::Both).unwrap();
        let list = all.to_der(CsrAttrsForm::Rfc8951).unwrap();
        // An old client that passes over the template finds the whole list.
        let without: Vec<AttrOrOid> = Vec::<AttrOrOid>::from_der(&both)
            .unwrap()
            .into_iter()
            .filter(
                |one| !matches!(one, AttrOrOid::Attribute(one) if one.oid == oid::REQUEST_TEMPLATE),
            )
            .collect();
        assert_eq!(without.to_der().unwrap(), list);
    }

    fn template_of(asked: &CsrAttrs) -> Template {
        let der = asked.to_der(CsrAttrsForm::Rfc9908).unwrap();
        let elements = Vec::<AttrOrOid>::from_der(&der).unwrap();
        let found = elements.iter().find_map(|element| match element {
            AttrOrOid::Attribute(one) if one.oid == oid::REQUEST_TEMPLATE => Some(one),
            _ => None,
        });
        found.unwrap().values.get(0).unwrap().decode_as().unwrap()
    }

    #[test]
    fn r_9908_3_4_b_the_subject_is_there_only_if_something_of_it_is_demanded() {
        let none = with_key(KeyKind::P256);
        assert!(template_of(&none).subject.is_none());
        let filled = CsrAttrs {
            subject: vec![named(oid::COMMON_NAME, None), named(oid::COUNTRY, Some("DE"))],
            ..none
        };
        let subject = template_of(&filled).subject.unwrap();
        let first = |at: usize| subject[at].get(0).unwrap().clone();
        assert!(first(0).value.is_none());
        assert_eq!(first(1).value.unwrap().tag(), Tag::PrintableString);
    }

    #[test]
    fn r_9908_3_4_c_a_key_only_if_demanded_and_a_dummy_only_for_the_size_of_rsa() {
        let linking = CsrAttrs { attributes: vec![challenge()], ..CsrAttrs::default() };
        assert!(template_of(&linking).key.is_none());
        for kind in [KeyKind::P256, KeyKind::P384, KeyKind::P521, KeyKind::Ed25519] {
            let key = template_of(&with_key(kind)).key.unwrap();
            assert!(key.public_key.is_none(), "{kind}");
            assert_eq!(key_of_template(&key).unwrap(), Key::Kind(kind));
        }
        for bits in [2048, 3072, 4096] {
            let key = template_of(&with_key(KeyKind::Rsa(bits))).key.unwrap();
            let dummy = key.public_key.clone().unwrap();
            let public = RsaPublicKey::<UintRef<'_>>::from_der(dummy.raw_bytes()).unwrap();
            assert_eq!(public.modulus.as_bytes().len() * 8, usize::from(bits));
            assert_eq!(key_of_template(&key).unwrap(), Key::Kind(KeyKind::Rsa(bits)));
        }
    }

    #[test]
    fn r_9908_3_4_d_one_request_of_extensions_of_the_right_kind_or_none() {
        let kinds = |asked: &CsrAttrs| {
            template_of(asked).attributes.iter().map(|one| one.oid).collect::<Vec<_>>()
        };
        let none = with_key(KeyKind::P256);
        assert_eq!(kinds(&none), []);
        // Empty, and there all the same.
        let der = none.to_der(CsrAttrsForm::Rfc9908).unwrap();
        assert!(der.ends_with(&[0xa1, 0]));
        let given = CsrAttrs { extensions: vec![usage()], ..none.clone() };
        assert_eq!(kinds(&given), [oid::EXTENSION_REQUEST]);
        let open = AskedExtension { oid: oid::EXTENDED_KEY_USAGE, value: None };
        let left = CsrAttrs { extensions: vec![usage(), open], ..none.clone() };
        assert_eq!(kinds(&left), [oid::EXTENSION_REQUEST_TEMPLATE]);
        let san = AskedExtension::open_san(&[SanKind::Ip]).unwrap();
        assert_eq!(san.value.as_deref(), Some(&[0x30, 2, 0x87, 0][..]));
        let entry = CsrAttrs { extensions: vec![san], ..none };
        assert_eq!(kinds(&entry), [oid::EXTENSION_REQUEST_TEMPLATE]);
    }

    #[test]
    fn r_9908_3_2_a_one_request_of_extensions_with_each_once() {
        let der = everything().to_der(CsrAttrsForm::Rfc8951).unwrap();
        let elements = Vec::<AttrOrOid>::from_der(&der).unwrap();
        let requests: Vec<&Attribute> = elements
            .iter()
            .filter_map(|one| match one {
                AttrOrOid::Attribute(one) if one.oid == oid::EXTENSION_REQUEST => Some(one),
                _ => None,
            })
            .collect();
        let [request] = requests.as_slice() else { panic!("{requests:?}") };
        assert_eq!(request.values.len(), 1);
        // The strict reader of enrolment: one Extensions, and no extension twice.
        let value = request.values.get(0).unwrap().to_der().unwrap();
        assert_eq!(super::super::extension::requested(&value).unwrap().len(), 2);
    }

    #[test]
    fn the_malformed_sample_of_rfc_7030_is_read_and_never_written() {
        let sample = CsrAttrs::parse(vector!("7030-original")).unwrap();
        assert_eq!(sample, CsrAttrs::parse(vector!("9908-revised")).unwrap());
        for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
            let written = sample.to_der(form).unwrap();
            assert_ne!(written, vector!("7030-original"));
            assert!(!written.windows(9).any(|part| part == oid::EXTENSION_REQUEST.as_bytes()));
        }
    }

    /// proves: R-9908-3.2-c
    #[test]
    fn values_that_a_server_gives_are_kept_as_they_are() {
        let potato = CsrAttrs::parse(vector!("potato")).unwrap();
        let value = potato.extensions[0].value.clone().unwrap();
        let san = SubjectAltName::parse(&value).unwrap();
        assert_eq!(san.entries()[0].kind, Some(SanKind::Other));
        let again = potato.to_der(CsrAttrsForm::Both).unwrap();
        assert_eq!(CsrAttrs::parse(&again).unwrap(), potato);
    }

    #[test]
    fn what_servers_of_before_rfc_9908_say_is_read() {
        // secp384r1 and id-sha384 as bare OIDs, as libest's server sends them; commonName, SAN.
        let der = Vec::<AttrOrOid>::from(
            ["1.3.132.0.34", "2.16.840.1.101.3.4.2.2", "2.5.4.3", "2.5.29.17", "1.2.3"]
                .map(|dotted| AttrOrOid::Oid(dotted.parse().unwrap())),
        )
        .to_der()
        .unwrap();
        let read = CsrAttrs::parse(&der).unwrap();
        assert_eq!(read.key, Some(Key::Kind(KeyKind::P384)));
        assert_eq!(read.signatures, [oid::SHA384]);
        assert_eq!(read.subject, [named(oid::COMMON_NAME, None)]);
        assert_eq!(read.extensions, [AskedExtension { oid: oid::SUBJECT_ALT_NAME, value: None }]);
        assert_eq!(read.attributes, [open("1.2.3")]);
    }

    #[test]
    fn what_is_no_csrattrs_is_refused() {
        let all = everything().to_der(CsrAttrsForm::Both).unwrap();
        for cut in 0..all.len() {
            assert!(CsrAttrs::parse(&all[..cut]).is_err(), "{cut}");
        }
        for bad in [
            &[][..],
            &[0x30, 0, 0],
            &[0x30, 2, 5, 0],
            &[0x31, 0],
            &[0x30, 4, 0x30, 2, 6, 0],
            // A SEQUENCE that is not ended.
            &[0x30, 0x80, 0, 0],
        ] {
            assert!(CsrAttrs::parse(bad).is_err(), "{bad:?}");
        }
        // Two templates, and a template of version 2.
        let one = with_key(KeyKind::P256).to_der(CsrAttrsForm::Rfc9908).unwrap();
        let element = &one[2..];
        let two = [&[0x30, u8::try_from(2 * element.len()).unwrap()], element, element].concat();
        assert!(CsrAttrs::parse(&two).is_err());
        let mut newer = one.clone();
        let version = newer.windows(3).position(|part| part == [2, 1, 0]).unwrap();
        newer[version + 2] = 1;
        assert!(CsrAttrs::parse(&one).is_ok() && CsrAttrs::parse(&newer).is_err());
    }

    /// An octet of each sample changed: what can still be read can be written in
    /// each form and read again, and be said in words.
    #[test]
    fn what_was_read_can_be_written_and_read_again() {
        let check = |der: &[u8]| {
            let Ok(asked) = CsrAttrs::parse(der) else { return false };
            let _ = asked.lines();
            for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
                if let Ok(written) = asked.to_der(form) {
                    assert!(CsrAttrs::parse(&written).is_ok(), "{der:02x?} as {form:?}");
                }
            }
            true
        };
        let mut read = 0;
        for sample in [
            vector!("9908-template"),
            vector!("7030-original"),
            vector!("potato"),
            vector!("rsa4096"),
            vector!("pop-both"),
        ] {
            for at in 0..sample.len() {
                for other in [1, 2, 3, 4, 8, 16, 32, 64, 127, 128, 255] {
                    let mut changed = sample.to_vec();
                    changed[at] ^= other;
                    read += usize::from(check(&changed));
                }
            }
        }
        assert!(read > 1000, "{read}");
    }

    #[test]
    fn the_lines_name_each_demand() {
        let lines = everything().lines();
        let text = lines.join("\n");
        for part in [
            "= \"DE\"",
            "cn (2.5.4.3), which you choose",
            "key: rsa-3072",
            "sha384WithRSAEncryption",
            "dns, which you choose; ip, which you choose",
            "digitalSignature, keyAgreement",
            "(1.2.840.113549.1.9.7), for this connection",
            "1.3.6.1.1.1.1.22, which you choose",
            "1.2.3 = 0c0161 (DER)",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert_eq!(lines.len(), 12, "{text}");
    }
}
