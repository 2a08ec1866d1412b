//! ChangeSubjectName (RFC 6402 §2.8, now RFC 10002): the requested names of a certificate, which
//! replace those in its CSR.
//!
//! RFC 6402 has two untagged fields that both begin with 0x30; a later draft tags the second one.
//! Both forms are read (D-31): the contents of a field distinguish them.

use super::{DistinguishedName, Error, SubjectAltName};
use crate::types::{Code, Rejection};
use der::{Encode, Header, Reader, SliceReader, Tag, TagNumber};

/// The requested names. At least one of them is present and not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeSubjectName {
    subject: DistinguishedName,
    san: Option<SubjectAltName>,
}

/// The kind of a field of the value.
enum Field {
    Subject,
    Names,
    /// GeneralNames with the tag `[1]` instead of SEQUENCE.
    TaggedNames,
}

impl ChangeSubjectName {
    /// Reads the values of the attribute: the content of its SET.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not one ChangeSubjectName; [`Error::Unacceptable`] if a
    /// certificate with these names would have none (RFC 5280 §4.1.2.6).
    pub fn parse(values: &[u8]) -> Result<Self, Error> {
        let (subject, san) = read(values).map_err(|rejection| malformed(&rejection))?;
        let subject = match subject {
            Some(der) => DistinguishedName::parse(der)?,
            // Absent: the new subject is empty.
            None => DistinguishedName::parse(&[0x30, 0])?,
        };
        let san = san.map(|der| SubjectAltName::parse(&der)).transpose()?;
        if subject.is_empty() && san.is_none() {
            return Err(Error::Unacceptable(Rejection::new(
                Code::CsrChangeSubjectName,
                "changeSubjectName has a subject, a subjectAltName, or both (RFC 6402 section 2.8)",
                "neither: the certificate would have no name",
                "the names that the new certificate is to have",
            )));
        }
        Ok(Self { subject, san })
    }

    /// Writes the value in the form of RFC 6402, from the DER of a Name and of GeneralNames.
    #[must_use]
    pub fn encode(subject: Option<&[u8]>, san: Option<&[u8]>) -> Vec<u8> {
        let content = [subject.unwrap_or_default(), san.unwrap_or_default()].concat();
        der::Any::new(Tag::Sequence, content).and_then(|value| value.to_der()).unwrap_or_default()
    }

    /// The new subject; empty if absent.
    #[must_use]
    pub const fn subject(&self) -> &DistinguishedName {
        &self.subject
    }

    /// The new subjectAltName; none if absent: then the certificate has none.
    #[must_use]
    pub const fn san(&self) -> Option<&SubjectAltName> {
        self.san.as_ref()
    }
}

type Fields<'a> = (Option<&'a [u8]>, Option<Vec<u8>>);

fn read(values: &[u8]) -> der::Result<Fields<'_>> {
    let mut set = SliceReader::new(values)?;
    let fields = set.sequence(|value| {
        let (mut subject, mut san) = (None, None);
        while !value.is_finished() {
            let header = Header::peek(value)?;
            let whole = value.tlv_bytes()?;
            let skip = usize::try_from(header.encoded_len()?)?;
            let content = whole.get(skip..).unwrap_or_default();
            match field(header.tag(), content)? {
                // In this order, and each once.
                Field::Subject if subject.is_none() && san.is_none() => subject = Some(whole),
                Field::Names if san.is_none() => san = Some(whole.to_vec()),
                Field::TaggedNames if san.is_none() => {
                    let rest = whole.get(1..).unwrap_or_default();
                    san = Some([&[0x30], rest].concat());
                }
                _ => return Err(header.tag().value_error().into()),
            }
        }
        Ok::<_, der::Error>((subject, san))
    })?;
    set.finish()?;
    Ok(fields)
}

/// Distinguishes a Name, which holds SETs, from GeneralNames, which have context-specific tags.
fn field(tag: Tag, content: &[u8]) -> der::Result<Field> {
    const TAGGED: Tag = Tag::ContextSpecific { constructed: true, number: TagNumber(1) };
    match (tag, content.first()) {
        (TAGGED, _) => Ok(Field::TaggedNames),
        (Tag::Sequence, None | Some(0x31)) => Ok(Field::Subject),
        (Tag::Sequence, Some(first)) if first & 0xc0 == 0x80 => Ok(Field::Names),
        _ => Err(tag.value_error().into()),
    }
}

fn malformed(rejection: &der::Error) -> Error {
    Error::Malformed(Rejection::new(
        Code::CsrChangeSubjectName,
        "changeSubjectName has one value: an optional Name and optional GeneralNames (RFC 6402 section 2.8)",
        rejection,
        "SEQUENCE { subject Name OPTIONAL, subjectAlt GeneralNames OPTIONAL }",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CN=new-name and dNSName new.example.com: the whole attributes of the two forms.
    const UNTAGGED: &str = "303606082b06010505070724312a3028301331113 00f06035504030c086e65772d6e616d653011820f6e65772e6578616d706c652e636f6d";
    const TAGGED: &str = "303606082b06010505070724312a3028301331113 00f06035504030c086e65772d6e616d65a111820f6e65772e6578616d706c652e636f6d";

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|c| *c != b' ').collect();
        let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    /// The content of the SET of an attribute.
    fn values(attribute: &[u8]) -> &[u8] {
        &attribute[14..]
    }

    #[test]
    fn r_6402_2_8_a_both_forms_are_read_and_say_the_same() {
        for form in [UNTAGGED, TAGGED] {
            let new = ChangeSubjectName::parse(values(&hex(form))).unwrap();
            assert_eq!(new.subject().to_string(), "CN=new-name");
            assert_eq!(new.san().unwrap().texts(), ["dns:new.example.com"]);
        }
        let (subject, san) =
            (hex("3013311130 0f06035504030c086e65772d6e616d65"), hex("3003820161"));
        let parse = |subject: Option<&[u8]>, san: Option<&[u8]>| {
            ChangeSubjectName::parse(&ChangeSubjectName::encode(subject, san))
        };
        let both = parse(Some(&subject), Some(&san)).unwrap();
        assert_eq!(both.subject().der(), subject);
        assert_eq!(both.san().unwrap().der(), san);
        let no_san = parse(Some(&subject), None).unwrap();
        assert!(no_san.san().is_none() && !no_san.subject().is_empty());
        let no_subject = parse(None, Some(&san)).unwrap();
        assert!(no_subject.subject().is_empty());
        assert_eq!(no_subject.san().unwrap().texts(), ["dns:a"]);
        // An empty name, and the tagged form alone.
        assert!(parse(Some(&[0x30, 0]), Some(&san)).unwrap().subject().is_empty());
        let tagged = ChangeSubjectName::parse(&hex("3005a103820161")).unwrap();
        assert_eq!(tagged.san().unwrap().der(), san, "as the extension holds it");
    }

    #[test]
    fn r_6402_2_8_b_no_name_and_other_bytes_are_rejected() {
        for nothing in ["3000", "30023000"] {
            let rejection = ChangeSubjectName::parse(&hex(nothing)).unwrap_err();
            assert!(matches!(&rejection, Error::Unacceptable(_)), "{nothing}: {rejection}");
        }
        for bad in [
            "",
            "0500",
            // Two values in the SET.
            "3005300382016130053003820161",
            // The names before the subject, twice, empty; a subject twice.
            "301a300382016130133111300f06035504030c086e65772d6e616d65",
            "300a30038201613003820162",
            "300a3003820161a103820162",
            "30023000 00",
            "3002a100",
            "300430003000",
            // Neither SET nor context-specific inside; another tag; an end that is not there.
            "300430020500",
            "3005a203820161",
            "3005a003820161",
            "3005300482016100",
        ] {
            let rejection = ChangeSubjectName::parse(&hex(bad)).unwrap_err();
            assert!(matches!(&rejection, Error::Malformed(_)), "{bad}: {rejection}");
        }
    }
}
