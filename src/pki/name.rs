//! Distinguished names (RFC 5280 §4.1.2.4, §4.1.2.6).

use super::{Error, algorithm::described, canonical, oid};
use crate::types::{Code, Rejection};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Reader, SliceReader, Tag, Tagged,
    asn1::{Any, AnyRef, PrintableStringRef, SetOfVec},
};
use std::fmt;
use x509_cert::{attr::AttributeTypeAndValue, name::Name};

/// A distinguished name: its bytes as received, and its parsed attributes. Its text form is
/// computed when it is shown: the names of its attribute types are looked up then.
#[derive(Clone, Debug)]
pub struct DistinguishedName {
    der: Vec<u8>,
    rdns: Vec<Vec<NameAttribute>>,
}

/// One type and value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct NameAttribute {
    kind: ObjectIdentifier,
    /// `None` for every kind of character string: they are compared by content (D-08).
    tag: Option<Tag>,
    value: Vec<u8>,
}

impl DistinguishedName {
    /// Reads a Name (DER).
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a Name.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let malformed = |rejection: der::Error| {
            Error::Malformed(Rejection::of(
                Code::CsrSubjectForm,
                rejection,
                "a subject such as CN=device-1,O=Example",
            ))
        };
        let rdns = read(der).map_err(malformed)?;
        Ok(Self { der: der.to_vec(), rdns })
    }

    /// Reads RFC 4514 text such as `CN=device-1,O=Example`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a Name.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let malformed = |rejection: der::Error| {
            Error::Malformed(Rejection::of(
                Code::NameForm,
                format!("{text}: {rejection}"),
                "a name such as CN=device-1,O=Example",
            ))
        };
        let name: Name = text.parse().map_err(malformed)?;
        Self::parse(&name.to_der().map_err(malformed)?)
    }

    /// Creates a name from its RDNs, in the order of the certificate (`C` before `CN`). Each value gets
    /// the string type of RFC 5280 appendix A.1. Values are never parsed.
    ///
    /// # Errors
    /// [`Error::Malformed`] if an RDN is empty or has an attribute twice.
    pub fn of_rdns(rdns: &[Vec<(ObjectIdentifier, String)>]) -> Result<Self, Error> {
        let rdn = |attributes: &Vec<(ObjectIdentifier, String)>| {
            let mut set = SetOfVec::new();
            for (oid, value) in attributes {
                set.insert(AttributeTypeAndValue { oid: *oid, value: string(*oid, value)? })?;
            }
            Ok(set)
        };
        let der = rdns.iter().map(rdn).collect::<der::Result<Vec<_>>>();
        // Without an encoding the parser rejects it.
        Self::parse(&der.and_then(|rdns| rdns.to_der()).unwrap_or_default())
    }

    /// The RDNs in the order of the certificate: the type of each attribute, and the characters of its
    /// value. None for a value that is no character string.
    pub fn rdns(&self) -> impl ExactSizeIterator<Item = Vec<(ObjectIdentifier, Option<&str>)>> {
        self.rdns.iter().map(|rdn| {
            rdn.iter()
                .map(|one| {
                    let text =
                        one.tag.is_none().then(|| std::str::from_utf8(&one.value).ok()).flatten();
                    (one.kind, text)
                })
                .collect()
        })
    }

    /// Checks that a subject may have an attribute with this value (as [`Self::check_as_subject`]).
    ///
    /// # Errors
    /// [`Error::Unacceptable`] naming the attribute.
    pub fn check_value(kind: ObjectIdentifier, value: &str) -> Result<(), Error> {
        let value = string(kind, value).map_err(|_| unreadable().0)?;
        check_attribute(kind, AnyRef::from(&value)).map_err(|rejection| rejection.0)
    }

    /// The attribute type of this name (`CN`, in either case) or dotted OID.
    #[must_use]
    pub fn attribute_type(text: &str) -> Option<ObjectIdentifier> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if text.is_empty() || !text.chars().all(plain) {
            return None;
        }
        let name = Self::from_text(&format!("{}=x", text.to_ascii_uppercase())).ok()?;
        name.rdns.first()?.first().map(|attribute| attribute.kind)
    }

    /// The bytes as received.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Whether it has no attribute.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rdns.is_empty()
    }

    /// The values of this type, in order: the characters of a string as UTF-8, the content of
    /// anything else.
    pub fn values(&self, kind: ObjectIdentifier) -> impl Iterator<Item = &[u8]> {
        self.rdns
            .iter()
            .flatten()
            .filter(move |attribute| attribute.kind == kind)
            .map(|attribute| attribute.value.as_slice())
    }

    /// Whether both say the same: order of RDNs, types and values; the ASN.1 type of a character
    /// string does not count, case does (D-08).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        self.rdns == other.rdns
    }

    /// Checks that a certificate may have this subject. It must be DER; strings are PrintableString or
    /// UTF8String, or IA5String where the type requires it. Values must not be empty, contain control
    /// characters or exceed the upper bounds of X.520.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] naming the attribute.
    pub fn check_as_subject(&self) -> Result<(), Error> {
        canonical::check_der(&self.der).map_err(|defect| {
            unacceptable(defect, "the one encoding that DER has for the subject")
        })?;
        let mut reader = SliceReader::new(&self.der).map_err(|_| unreadable().0)?;
        reader
            .sequence(|rdns| {
                while !rdns.is_finished() {
                    let rdn: AnyRef<'_> = rdns.decode().map_err(|_| unreadable())?;
                    let mut set = SliceReader::new(rdn.value()).map_err(|_| unreadable())?;
                    let mut before = Vec::new();
                    while !set.is_finished() {
                        let (kind, value) = attribute(&mut set).map_err(|_| unreadable())?;
                        check_attribute(kind, value)?;
                        if before.contains(&kind) {
                            let wanted =
                                "each type of attribute once in an RDN (X.501 section 9.3)";
                            let got = format!("{} twice in one RDN", described(kind));
                            return Err(ReaderError(unacceptable(got, wanted)));
                        }
                        before.push(kind);
                    }
                }
                Ok(())
            })
            .map_err(|rejection: ReaderError| rejection.0)
    }
}

impl PartialEq for DistinguishedName {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for DistinguishedName {}

/// RFC 4514 text; nothing for an empty name.
impl fmt::Display for DistinguishedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        if let Some(text) = plain(&self.der) {
            return f.write_str(&text);
        }
        let mut text = String::new();
        match Name::from_der(&self.der) {
            Ok(name) if write!(text, "{name}").is_ok() => f.write_str(&text),
            // Stricter than `parse`: in that case the bytes are shown (RFC 4514 §2.4).
            _ => {
                f.write_char('#')?;
                self.der.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// The attribute types of nearly every name, as RFC 4514 writes them.
const USUAL: [(ObjectIdentifier, &str); 5] = [
    (oid::COMMON_NAME, "CN"),
    (oid::ORGANIZATION, "O"),
    (oid::ORGANIZATIONAL_UNIT, "OU"),
    (oid::COUNTRY, "C"),
    (oid::SERIAL_NUMBER, "SERIALNUMBER"),
];

/// The text of a name of common types in which nothing must be escaped; none for other names. The
/// general algorithm searches each type among all that have a name, which takes microseconds.
fn plain(der: &[u8]) -> Option<String> {
    let mut reader = SliceReader::new(der).ok()?;
    let parts = reader.sequence(|rdns| {
        let mut parts = Vec::new();
        while !rdns.is_finished() {
            let rdn: AnyRef<'_> = rdns.decode()?;
            let mut set = SliceReader::new(rdn.value())?;
            parts.push(attribute(&mut set)?);
            set.finish()?;
        }
        Ok::<_, der::Error>(parts)
    });
    let mut text = String::with_capacity(der.len());
    // The last comes first (RFC 4514 section 2.1).
    for (kind, value) in parts.ok()?.into_iter().rev() {
        let (_, name) = USUAL.iter().find(|(usual, _)| *usual == kind)?;
        let bytes = value.value();
        let simple = bytes.iter().all(|c| c.is_ascii_alphanumeric() || b"-._: ".contains(c));
        // Spaces are escaped at both ends only.
        let trimmed = !bytes.starts_with(b" ") && !bytes.ends_with(b" ");
        if !simple || !trimmed || !matches!(value.tag(), Tag::PrintableString | Tag::Utf8String) {
            return None;
        }
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push('=');
        text.push_str(std::str::from_utf8(bytes).ok()?);
    }
    Some(text)
}

/// Carries our error through the reader's closures, which require a conversion from their own.
struct ReaderError(Error);

impl From<der::Error> for ReaderError {
    fn from(_: der::Error) -> Self {
        unreadable()
    }
}

fn unreadable() -> ReaderError {
    ReaderError(unacceptable("a name that cannot be read", "a distinguished name"))
}

fn read(der: &[u8]) -> der::Result<Vec<Vec<NameAttribute>>> {
    let mut reader = SliceReader::new(der)?;
    let rdns = reader.sequence(|rdns| {
        let mut out = Vec::new();
        while !rdns.is_finished() {
            let rdn: AnyRef<'_> = rdns.decode()?;
            rdn.tag().assert_eq(Tag::Set)?;
            let mut set = SliceReader::new(rdn.value())?;
            let mut attributes = Vec::new();
            let mut before: &[u8] = &[];
            while !set.is_finished() {
                // A SET OF is in the order of its encodings (X.690 §11.6): these bytes go into
                // certificates as they are.
                let whole = set.tlv_bytes()?;
                if whole <= before {
                    return Err(Tag::Set.value_error().into());
                }
                before = whole;
                let (kind, value) = attribute(&mut SliceReader::new(whole)?)?;
                let (tag, value) = folded(value);
                attributes.push(NameAttribute { kind, tag, value });
            }
            if attributes.is_empty() {
                return Err(Tag::Set.value_error().into());
            }
            attributes.sort();
            out.push(attributes);
        }
        Ok::<_, der::Error>(out)
    })?;
    reader.finish()?;
    Ok(rdns)
}

fn attribute<'a>(set: &mut SliceReader<'a>) -> der::Result<(ObjectIdentifier, AnyRef<'a>)> {
    set.sequence(|pair| Ok((pair.decode()?, pair.decode()?)))
}

/// The content by which values are compared: UTF-8 for every kind of character string.
fn folded(value: AnyRef<'_>) -> (Option<Tag>, Vec<u8>) {
    let bytes = value.value();
    match value.tag() {
        Tag::PrintableString | Tag::Utf8String | Tag::Ia5String => (None, bytes.to_vec()),
        Tag::TeletexString => {
            (None, bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes())
        }
        Tag::BmpString if bytes.len() % 2 == 0 => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0u16, |sum, byte| (sum << 8) | u16::from(*byte)));
            match char::decode_utf16(units).collect::<Result<String, _>>() {
                Ok(text) => (None, text.into_bytes()),
                // No text: only the same bytes are the same value.
                Err(_) => (Some(Tag::BmpString), bytes.to_vec()),
            }
        }
        tag => (Some(tag), bytes.to_vec()),
    }
}

/// The characters of a string of any type.
pub(super) fn text(value: AnyRef<'_>) -> Option<String> {
    let (tag, bytes) = folded(value);
    tag.is_none().then(|| String::from_utf8(bytes).ok()).flatten()
}

/// Whether subjects have attributes of this type: those of X.520, and three more.
pub(super) fn is_of_subject(kind: ObjectIdentifier) -> bool {
    let x520 = kind.to_string();
    x520.strip_prefix("2.5.4.").is_some_and(|last| !last.contains('.'))
        || matches!(kind, oid::EMAIL_ADDRESS | oid::DOMAIN_COMPONENT | oid::USER_ID)
}

/// A value in the string type that it has in certificates (RFC 5280 App. A.1).
pub(super) fn string(kind: ObjectIdentifier, value: &str) -> der::Result<Any> {
    Any::new(string_tag(kind), value.as_bytes())
}

/// The type of string that an attribute of this type has in a new name.
const fn string_tag(kind: ObjectIdentifier) -> Tag {
    match kind {
        oid::EMAIL_ADDRESS | oid::DOMAIN_COMPONENT => Tag::Ia5String,
        oid::COUNTRY | oid::SERIAL_NUMBER | oid::DN_QUALIFIER => Tag::PrintableString,
        _ => Tag::Utf8String,
    }
}

fn check_attribute(kind: ObjectIdentifier, value: AnyRef<'_>) -> Result<(), ReaderError> {
    // Looked up only for the message.
    let name = || described(kind);
    let ia5 = matches!(kind, oid::EMAIL_ADDRESS | oid::DOMAIN_COMPONENT);
    let printable = matches!(kind, oid::COUNTRY | oid::SERIAL_NUMBER | oid::DN_QUALIFIER);
    let tag = value.tag();
    let allowed = match tag {
        Tag::PrintableString => !ia5,
        Tag::Utf8String => !ia5 && !printable,
        Tag::Ia5String => ia5,
        _ => false,
    };
    if !allowed {
        let wanted = match (ia5, printable) {
            (true, _) => "IA5String",
            (_, true) => "PrintableString",
            _ => "PrintableString or UTF8String",
        };
        return Err(ReaderError(unacceptable(format!("{} as {tag}", name()), wanted)));
    }
    let content = value.value();
    let text = std::str::from_utf8(content)
        .map_err(|_| ReaderError(unacceptable(format!("{} that is not UTF-8", name()), "UTF-8")))?;
    if tag == Tag::PrintableString && PrintableStringRef::new(content).is_err() {
        let wanted =
            "letters, digits and ' ( ) + , - . / : = ? in a PrintableString, or a UTF8String";
        return Err(ReaderError(unacceptable(format!("{} {text}", name()), wanted)));
    }
    if text.trim().is_empty() || text.chars().any(char::is_control) || (ia5 && !text.is_ascii()) {
        let wanted = "a value that is not blank and has no control characters";
        return Err(ReaderError(unacceptable(format!("{} \"{text}\"", name()), wanted)));
    }
    let longest = upper_bound(kind);
    let length = text.chars().count();
    if length > longest {
        return Err(ReaderError(unacceptable(
            format!("{} of {length} characters", name()),
            format!("at most {longest} characters"),
        )));
    }
    if kind == oid::COUNTRY && !(length == 2 && text.bytes().all(|c| c.is_ascii_uppercase())) {
        return Err(ReaderError(unacceptable(
            format!("{} {text}", name()),
            "two capital letters, as in ISO 3166",
        )));
    }
    Ok(())
}

/// Characters at most (RFC 5280 appendix A.1, X.520).
fn upper_bound(kind: ObjectIdentifier) -> usize {
    match kind.to_string().as_str() {
        "2.5.4.3" | "2.5.4.5" | "2.5.4.10" | "2.5.4.11" | "2.5.4.12" | "2.5.4.46" | "2.5.4.97" => {
            64
        }
        "2.5.4.6" => 2,
        "2.5.4.7" | "2.5.4.8" | "2.5.4.9" | "2.5.4.65" => 128,
        "2.5.4.17" => 40,
        "2.5.4.20" => 32,
        "0.9.2342.19200300.100.1.1" => 256,
        "0.9.2342.19200300.100.1.25" => 63,
        "1.2.840.113549.1.9.1" => 255,
        // name, surname, givenName, initials, generationQualifier: ub-name. Others have no known
        // bound; this one limits a certificate to a size that devices can store.
        _ => 1024,
    }
}

fn unacceptable(
    seen: impl fmt::Display,
    wanted: impl Into<std::borrow::Cow<'static, str>>,
) -> Error {
    Error::Unacceptable(Rejection::of(Code::CsrSubjectValue, seen, wanted))
}

#[cfg(test)]
mod tests;
