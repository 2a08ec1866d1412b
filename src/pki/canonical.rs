//! The Distinguished Encoding Rules (X.690 §8, §10, §11), checked on values of any ASN.1 type.
//!
//! Some bytes of a request are copied into the certificate: subject, subjectAltName and key. Every
//! reader must find the same certificate in them, so they pass this check first. It accepts the
//! universal types that `der` supports; it rejects all others, since readers disagree about them.

use der::{
    AnyRef, Reader, SliceReader, Tag, Tagged,
    asn1::{
        GeneralizedTime, Ia5StringRef, IntRef, ObjectIdentifier, PrintableStringRef, UtcTime,
        Utf8StringRef,
    },
};

/// Maximum nesting depth. OpenSSL's is 30; a name with an otherName needs 4.
const DEEPEST: usize = 16;

/// Checks that `der` is one value in DER. Lengths are definite; lengths and tags have their shortest
/// form; the constructed bit and the content have the form that the type requires.
///
/// The content of a primitive value with a context-specific, application or private tag has no
/// known type and is not checked. Elements of a SET must be in ascending order of their encodings.
/// DER requires that of a SET OF, and of a SET whose elements differ in their tag.
///
/// # Errors
/// The first difference from DER, or an unsupported universal type.
pub(super) fn check_der(der: &[u8]) -> der::Result<()> {
    let mut reader = SliceReader::new(der)?;
    element(&mut reader, DEEPEST)?;
    reader.finish()
}

/// Checks that no arc begins with padding (X.690 §8.19.2). `ObjectIdentifier` accepts padding, and
/// compares by bytes: a padded identifier is a second spelling of the same one.
///
/// # Errors
/// `Noncanonical`.
pub(super) fn check_oid(oid: &ObjectIdentifier) -> der::Result<()> {
    let mut begins = true;
    for byte in oid.as_bytes() {
        if begins && *byte == 0x80 {
            return Err(noncanonical(Tag::ObjectIdentifier));
        }
        begins = byte & 0x80 == 0;
    }
    Ok(())
}

fn elements(content: &[u8], depth: usize) -> der::Result<()> {
    let mut reader = SliceReader::new(content)?;
    while !reader.is_finished() {
        element(&mut reader, depth)?;
    }
    Ok(())
}

fn element(reader: &mut SliceReader<'_>, depth: usize) -> der::Result<()> {
    let value: AnyRef<'_> = reader.decode()?;
    let (tag, content) = (value.tag(), value.value());
    let Some(below) = depth.checked_sub(1) else { return Err(tag.value_error().into()) };
    let when = |canonical: bool| if canonical { Ok(()) } else { Err(noncanonical(tag)) };
    let is_made_of = |allowed: fn(&u8) -> bool| when(content.iter().all(allowed));
    match tag {
        Tag::Sequence => elements(content, below),
        Tag::Set => elements(content, below).and_then(|()| ascending(content)),
        Tag::Boolean => when(matches!(content, [0x00 | 0xff])),
        Tag::Integer => value.decode_as::<IntRef<'_>>().map(drop),
        // The same rule as for INTEGER; IntRef accepts only that tag.
        Tag::Enumerated => AnyRef::new(Tag::Integer, content)?.decode_as::<IntRef<'_>>().map(drop),
        Tag::BitString => when(is_bit_string(content)),
        Tag::OctetString => Ok(()),
        Tag::Null => when(content.is_empty()),
        Tag::ObjectIdentifier => check_oid(&value.decode_as()?),
        Tag::Utf8String => value.decode_as::<Utf8StringRef<'_>>().map(drop),
        Tag::PrintableString => value.decode_as::<PrintableStringRef<'_>>().map(drop),
        Tag::Ia5String => value.decode_as::<Ia5StringRef<'_>>().map(drop),
        Tag::NumericString => is_made_of(|byte| byte.is_ascii_digit() || *byte == b' '),
        // Of TeletexString and GeneralString, only the part that all readers agree on.
        Tag::VisibleString | Tag::GeneralString | Tag::TeletexString => {
            is_made_of(|byte| matches!(byte, b' '..=b'~'))
        }
        Tag::BmpString => when(is_bmp(content)),
        Tag::UtcTime => value.decode_as::<UtcTime>().map(drop),
        Tag::GeneralizedTime => value.decode_as::<GeneralizedTime>().map(drop),
        Tag::ContextSpecific { constructed, .. }
        | Tag::Application { constructed, .. }
        | Tag::Private { constructed, .. } => {
            if constructed {
                elements(content, below)
            } else {
                Ok(())
            }
        }
        other => Err(other.value_error().into()),
    }
}

/// The elements of a SET are in the order of their encodings (X.690 §10.3, §11.6).
fn ascending(content: &[u8]) -> der::Result<()> {
    let mut reader = SliceReader::new(content)?;
    let mut before: &[u8] = &[];
    while !reader.is_finished() {
        let element = reader.tlv_bytes()?;
        if element < before {
            return Err(noncanonical(Tag::Set));
        }
        before = element;
    }
    Ok(())
}

/// At most 7 unused bits, which are zero; none without bits (X.690 §8.6.2, §11.2.1).
fn is_bit_string(content: &[u8]) -> bool {
    match content {
        [unused] => *unused == 0,
        [unused @ 0..=7, .., last] => last.trailing_zeros() >= u32::from(*unused),
        _ => false,
    }
}

/// UCS-2: whole units, none of them a surrogate.
fn is_bmp(content: &[u8]) -> bool {
    let (units, rest) = content.as_chunks::<2>();
    rest.is_empty() && !units.iter().any(|[high, _]| matches!(high, 0xd8..=0xdf))
}

fn noncanonical(tag: Tag) -> der::Error {
    der::ErrorKind::Noncanonical { tag }.into()
}

#[cfg(test)]
mod tests {
    use crate::{
        pki::{DistinguishedName, SubjectAltName, extension::KeyUsage},
        types::SanKind,
    };

    const ALL: [SanKind; 5] =
        [SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email, SanKind::Other];

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|c| !c.is_ascii_whitespace()).collect();
        let pair = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        digits.chunks(2).map(pair).collect()
    }

    fn san(names: &str) -> Result<(), String> {
        let names = hex(names);
        let der = [&[0x30, u8::try_from(names.len()).unwrap()], &names[..]].concat();
        let san = SubjectAltName::parse(&der).map_err(|error| error.to_string())?;
        san.check(&ALL).map_err(|error| error.to_string())
    }

    /// proves: R-5280-4.2.1.6-a
    #[test]
    fn attack_6_a_general_name_has_the_form_of_its_kind() {
        san("8203612e62").unwrap();
        for (bad, why) in [
            ("a203612e62", "dNSName, constructed"),
            ("a7047f000001", "iPAddress, constructed"),
            ("a603613a62", "URI, constructed"),
            ("a105614062 2e63", "rfc822Name, constructed"),
            ("8006 06022a03 0500", "otherName, primitive"),
            ("8803 2a0304", "registeredID"),
            ("a402 3000", "directoryName"),
            ("a303 020100", "x400Address"),
            ("a505 a103130161", "ediPartyName"),
            ("8204 c3a92e62", "dNSName that is not ASCII"),
            ("8604 c3a93a62", "URI that is not ASCII"),
            ("8703 7f0000", "iPAddress of 3 bytes"),
            ("82810361 2e62", "length of two bytes"),
            ("9f0203612e62", "tag of two bytes"),
        ] {
            assert!(san(bad).is_err(), "{why}");
        }
    }

    #[test]
    fn attack_6_an_other_name_is_a_type_and_one_canonical_value() {
        for good in [
            "a008 06022a03 a0020500",
            "a00b 06022a03 a0050c03616263",
            // id-on-hardwareModuleName: SEQUENCE { OID, OCTET STRING }.
            "a016 06082b06010505070804 a00a3008 06022a03 04020102",
            // UPN as UTF8String.
            "a011 060a2b060104018237140203 a0030c0161",
        ] {
            san(good).unwrap();
        }
        for (bad, why) in [
            ("a004 06022a03", "no value"),
            ("a006 06022a03 0500", "a value without its tag"),
            ("a006 06022a03 a000", "an empty value"),
            ("a00a 06022a03 a00405000500", "two values"),
            ("a00a 06022a03 a0020500 0500", "something after the value"),
            ("a009 0603 2a8003 a0020500", "an arc with a leading 0x80"),
            ("a009 06022a03 a003010101", "BOOLEAN that is neither 00 nor FF"),
            ("a00a 06022a03 a00402020001", "INTEGER with a leading zero"),
            ("a008 06022a03 a0020200", "INTEGER without content"),
            ("a00a 06022a03 a004030207ff", "BIT STRING with padding that is not zero"),
            ("a009 06022a03 a003030101", "BIT STRING without bits and with unused ones"),
            ("a009 06022a03 a0030c01ff", "UTF8String that is not UTF-8"),
            ("a009 06022a03 a003130140", "PrintableString with @"),
            ("a009 06022a03 a0031601e9", "IA5String that is not ASCII"),
            ("a009 06022a03 a003120161", "NumericString with a letter"),
            ("a009 06022a03 a0031401e9", "TeletexString that is not ASCII"),
            ("a009 06022a03 a0031e0161", "BMPString of one byte"),
            ("a00a 06022a03 a0041e02d800", "BMPString with a surrogate"),
            ("a009 06022a03 a003050100", "NULL with content"),
            ("a00e 06022a03 a0083106 020102 020101", "SET that is not in order"),
            ("a00a 06022a03 a00404810101", "a length of two bytes"),
            ("a00a 06022a03 a00424800000", "indefinite length"),
            ("a00b 06022a03 a00524030401 61", "OCTET STRING in pieces"),
            ("a008 06022a03 a0021000", "SEQUENCE that is not constructed"),
            ("a008 06022a03 a0020900", "REAL"),
            ("a00c 06022a03 a006170431323334", "UTCTime without its form"),
            ("a010 060a2b060104018237140203 a0020500", "UPN that is no UTF8String"),
        ] {
            assert!(san(bad).is_err(), "{why}");
        }
        // Nested deeper than any value of use.
        let mut deep = vec![5, 0];
        for _ in 0..20 {
            deep = [&[0x30, u8::try_from(deep.len()).unwrap()], &deep[..]].concat();
        }
        let value = [&[6, 2, 42, 3, 0xa0, u8::try_from(deep.len()).unwrap()], &deep[..]].concat();
        let name = [
            &[
                0x30,
                u8::try_from(value.len()).unwrap() + 2,
                0xa0,
                u8::try_from(value.len()).unwrap(),
            ],
            &value[..],
        ]
        .concat();
        assert!(SubjectAltName::parse(&name).unwrap().check(&ALL).is_err());
    }

    /// proves: R-5280-4.1.2.6-b
    #[test]
    fn attack_6_a_subject_is_canonical() {
        let check = |name: &str| {
            DistinguishedName::parse(&hex(name)).and_then(|name| name.check_as_subject())
        };
        check("300c310a300806035504030c0161").unwrap();
        for (bad, why) in [
            ("300d310b30090604558004030c0161", "an arc with a leading 0x80"),
            ("300d310b30090604550480030c0161", "another arc with a leading 0x80"),
            ("300c310a300806035504032c0161", "a constructed string"),
            ("300d310b30090603550403 0c810161", "a length of two bytes"),
        ] {
            assert!(check(bad).is_err(), "{why}");
        }
    }

    #[test]
    fn attack_6_a_key_usage_has_no_unknown_bits() {
        assert!(KeyUsage::parse(&hex("03030680 40")).is_err());
        assert!(KeyUsage::parse(&hex("03020780")).is_ok());
    }
}
