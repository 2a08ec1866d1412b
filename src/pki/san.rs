//! subjectAltName (RFC 5280 §4.2.1.6).

use super::{Error, algorithm::described, canonical, oid};
use crate::types::{Code, Rejection, SanKind, is_dns_name};
use const_oid::ObjectIdentifier;
use der::{
    Decode, Encode, Header, Reader, SliceReader, Tag, TagNumber, Tagged,
    asn1::{AnyRef, OctetStringRef},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A subjectAltName: its bytes as received, and its entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAltName {
    der: Vec<u8>,
    entries: Vec<Entry>,
}

/// One GeneralName.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its kind; none for a kind that this server never certifies (directoryName, registeredID,
    /// x400Address, ediPartyName).
    pub kind: Option<SanKind>,
    /// `dns:…`, `ip:…`, `uri:…`, `email:…`, `other:OID`, or the tag's number.
    pub text: String,
    der: Vec<u8>,
    bytes: Vec<u8>,
}

impl SubjectAltName {
    /// Reads the extension's value: GeneralNames, at least one.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not a subjectAltName.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let entries = read(der).map_err(|rejection| {
            Error::Malformed(Rejection::of(
                Code::CsrSanForm,
                rejection,
                "a subjectAltName such as DNS:device-1.example.com",
            ))
        })?;
        Ok(Self { der: der.to_vec(), entries })
    }

    /// Creates one from DNS names and addresses.
    ///
    /// # Errors
    /// [`Error::Malformed`] without names, or if a name is not ASCII.
    pub fn of_hosts(names: &[String], addresses: &[IpAddr]) -> Result<Self, Error> {
        use x509_cert::ext::pkix::name::GeneralName;
        let names =
            names.iter().map(|name| der::asn1::Ia5String::new(name).map(GeneralName::DnsName));
        let addresses = addresses.iter().map(|address| Ok(GeneralName::from(*address)));
        let encoded = names
            .chain(addresses)
            .collect::<der::Result<Vec<_>>>()
            .and_then(|names| names.to_der())
            .unwrap_or_default();
        Self::parse(&encoded)
    }

    /// Creates one from kinds and contents: the bytes of an address, otherwise ASCII text. Contents are
    /// never parsed, and [`Self::check`] has to follow.
    ///
    /// # Errors
    /// [`Error::Malformed`] without entries.
    pub fn of_entries(entries: &[(SanKind, Vec<u8>)]) -> Result<Self, Error> {
        let encode = || {
            let mut names = Vec::new();
            for (kind, content) in entries {
                let (number, constructed) = match kind {
                    SanKind::Other => (TagNumber(0), true),
                    SanKind::Email => (TagNumber(1), false),
                    SanKind::Dns => (TagNumber(2), false),
                    SanKind::Uri => (TagNumber(6), false),
                    SanKind::Ip => (TagNumber(7), false),
                };
                let tag = Tag::ContextSpecific { number, constructed };
                Header::new(tag, content.len().try_into()?).encode_to_vec(&mut names)?;
                names.extend_from_slice(content);
            }
            let mut der = Header::new(Tag::Sequence, names.len().try_into()?).to_der()?;
            der.extend(names);
            Ok::<_, der::Error>(der)
        };
        // Without an encoding the parser rejects it.
        Self::parse(&encode().unwrap_or_default())
    }

    /// The hardwareModuleNames that can be read, in order (RFC 4108 §5).
    pub fn hardware_modules(&self) -> impl Iterator<Item = HardwareModule> {
        self.entries.iter().filter_map(|entry| {
            let (type_id, value) =
                other_name(&entry.bytes).ok().filter(|_| entry.kind == Some(SanKind::Other))?;
            (type_id == oid::HARDWARE_MODULE_NAME).then(|| hardware_module(value).ok()).flatten()
        })
    }

    /// The extension's value as received.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The entries in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries as text, in order.
    #[must_use]
    pub fn texts(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.text.clone()).collect()
    }

    /// Whether both hold the same set of names; their order does not count (D-08).
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        let set = |san: &Self| -> BTreeSet<Vec<u8>> {
            san.entries.iter().map(|entry| entry.der.clone()).collect()
        };
        set(self) == set(other)
    }

    /// Whether `other` holds every name of this one, byte for byte.
    #[must_use]
    pub fn is_part_of(&self, other: &Self) -> bool {
        self.entries.iter().all(|name| other.entries.iter().any(|one| one.der == name.der))
    }

    /// Checks that each name is one of the kinds `accepted` and well formed (RFC 5280 §4.2.1.6):
    ///
    /// - DNS names in preferred syntax, labels that are not ASCII as A-labels;
    /// - addresses of 4 or 16 bytes;
    /// - absolute URIs;
    /// - ASCII mail addresses;
    /// - otherNames with one value in DER.
    ///
    /// # Errors
    /// [`Error::Unacceptable`] naming the entry.
    pub fn check(&self, accepted: &[SanKind]) -> Result<(), Error> {
        self.entries.iter().try_for_each(|entry| entry.check(accepted))
    }
}

/// HardwareModuleName (RFC 4108 §5): the identity of a module, given by its manufacturer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HardwareModule {
    /// hwType: the type of the module.
    pub kind: ObjectIdentifier,
    /// hwSerialNum: the bytes of its serial number.
    pub serial: Vec<u8>,
}

/// `HardwareModuleName ::= SEQUENCE { hwType OBJECT IDENTIFIER, hwSerialNum OCTET STRING }`
fn hardware_module(value: AnyRef<'_>) -> der::Result<HardwareModule> {
    value.tag().assert_eq(Tag::Sequence)?;
    let mut reader = SliceReader::new(value.value())?;
    let kind = reader.decode()?;
    let serial: &OctetStringRef = reader.decode()?;
    let serial = serial.as_bytes().to_vec();
    reader.finish()?;
    Ok(HardwareModule { kind, serial })
}

impl Entry {
    /// The content: the bytes of an address or an otherName, otherwise text.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it has no content: in the demands of a server, the client fills it in (RFC 9908
    /// §3.4). No certificate may hold such an entry.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.bytes.is_empty()
    }

    fn check(&self, accepted: &[SanKind]) -> Result<(), Error> {
        let rejection = |rule: &'static str, wanted: String| {
            Err(Error::Unacceptable(Rejection::new(Code::CsrSanValue, rule, &self.text, wanted)))
        };
        let Some(kind) = self.kind.filter(|kind| accepted.contains(kind)) else {
            let accepted: Vec<String> = accepted.iter().map(ToString::to_string).collect();
            return rejection(
                "each entry of subjectAltName is of a kind that the profile accepts",
                format!("entries of kind {}", accepted.join(", ")),
            );
        };
        if let Err(defect) = canonical::check_der(&self.der) {
            return rejection(
                "each entry of subjectAltName is in DER (RFC 5280 section 4.1)",
                format!("the one encoding that DER has for it, not: {defect}"),
            );
        }
        let text = std::str::from_utf8(&self.bytes).unwrap_or_default();
        match kind {
            SanKind::Dns if !is_dns_name(text) => rejection(
                "a dNSName is in preferred name syntax, with A-labels instead of other characters than ASCII (RFC 5280 section 4.2.1.6)",
                "a name such as device-1.example.com".to_owned(),
            ),
            SanKind::Ip if !matches!(self.bytes.len(), 4 | 16) => rejection(
                "an iPAddress has 4 or 16 bytes (RFC 5280 section 4.2.1.6)",
                "an IPv4 or IPv6 address without a mask".to_owned(),
            ),
            SanKind::Uri if !is_absolute(text) => rejection(
                "a uniformResourceIdentifier has a scheme and a part after it (RFC 5280 section 4.2.1.6)",
                "a URI with a scheme, such as urn:uuid:...".to_owned(),
            ),
            SanKind::Email if !is_mailbox(text) => rejection(
                "an rfc822Name is an ASCII mailbox (RFC 5280 section 4.2.1.6)",
                "an address such as someone@example.com".to_owned(),
            ),
            SanKind::Other => match other_name(&self.bytes) {
                Ok((type_id, value)) if has_type_of(type_id, value) => Ok(()),
                Ok(_) => rejection(
                    "the value of an otherName has the ASN.1 type of its type-id",
                    "a value of that type".to_owned(),
                ),
                Err(defect) => rejection(
                    "an otherName is a type-id and one value with the tag [0] (RFC 5280 section 4.2.1.6)",
                    format!("a type-id and a value, not: {defect}"),
                ),
            },
            SanKind::Dns | SanKind::Ip | SanKind::Uri | SanKind::Email => Ok(()),
        }
    }
}

/// `OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER, value [0] EXPLICIT ANY }`, without its tag.
fn other_name(content: &[u8]) -> der::Result<(ObjectIdentifier, AnyRef<'_>)> {
    let mut reader = SliceReader::new(content)?;
    let type_id = reader.decode()?;
    let explicit: AnyRef<'_> = reader.decode()?;
    reader.finish()?;
    explicit.tag().assert_eq(Tag::ContextSpecific { constructed: true, number: TagNumber(0) })?;
    Ok((type_id, AnyRef::from_der(explicit.value())?))
}

/// Whether a value has the type of its type-id, as far as that is known: readers parse these
/// values. Any other type-id may have any value.
fn has_type_of(type_id: ObjectIdentifier, value: AnyRef<'_>) -> bool {
    let expected = match type_id {
        oid::UPN | oid::XMPP_ADDRESS | oid::NAI_REALM | oid::SMTP_UTF8_MAILBOX => Tag::Utf8String,
        oid::DNS_SRV => Tag::Ia5String,
        oid::HARDWARE_MODULE_NAME => return hardware_module(value).is_ok(),
        _ => return true,
    };
    value.tag() == expected && !value.value().is_empty()
}

/// A scheme, and something after its colon.
fn is_absolute(text: &str) -> bool {
    fluent_uri::Uri::parse(text).is_ok_and(|uri| text.len() > uri.scheme().as_str().len() + 1)
}

fn is_mailbox(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        (1..=64).contains(&local.len())
            && local
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"[]".contains(&byte))
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            // An asterisk is a label of a dNSName only.
            && !domain.starts_with('*')
            && is_dns_name(domain)
    })
}

fn read(der: &[u8]) -> der::Result<Vec<Entry>> {
    let mut reader = SliceReader::new(der)?;
    let entries = reader.sequence(|names| {
        let mut out = Vec::new();
        while !names.is_finished() {
            let header = Header::peek(names)?;
            let whole = names.tlv_bytes()?;
            let skip = usize::try_from(header.encoded_len()?)?;
            let bytes = whole.get(skip..).unwrap_or_default();
            out.push(entry(header.tag(), whole, bytes)?);
        }
        if out.is_empty() {
            Err(Tag::Sequence.value_error().into())
        } else {
            Ok::<_, der::Error>(out)
        }
    })?;
    reader.finish()?;
    Ok(entries)
}

fn entry(tag: Tag, whole: &[u8], bytes: &[u8]) -> der::Result<Entry> {
    let Tag::ContextSpecific { number: TagNumber(number), constructed } = tag else {
        return Err(tag.value_error().into());
    };
    // otherName, x400Address, directoryName and ediPartyName are constructed, the others are not.
    let form = if constructed { "constructed" } else { "primitive" };
    let fits = constructed == matches!(number, 0 | 3..=5);
    let string = || bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let (kind, text) = match number {
        number if !fits => (None, format!("a GeneralName of kind [{number}] that is {form}")),
        0 => {
            let mut inner = SliceReader::new(bytes)?;
            (
                Some(SanKind::Other),
                format!("other:{}", described(ObjectIdentifier::decode(&mut inner)?)),
            )
        }
        1 => (Some(SanKind::Email), format!("email:{}", string())),
        2 => (Some(SanKind::Dns), format!("dns:{}", string())),
        6 => (Some(SanKind::Uri), format!("uri:{}", string())),
        7 => (Some(SanKind::Ip), format!("ip:{}", address(bytes))),
        number => (None, format!("a GeneralName of kind [{number}]")),
    };
    Ok(Entry { kind, text, der: whole.to_vec(), bytes: bytes.to_vec() })
}

fn address(bytes: &[u8]) -> String {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        Ipv4Addr::from(four).to_string()
    } else if let Ok(sixteen) = <[u8; 16]>::try_from(bytes) {
        Ipv6Addr::from(sixteen).to_string()
    } else {
        format!("{} bytes", bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn san(tag: u8, value: &[u8]) -> SubjectAltName {
        let mut der = vec![
            0x30,
            u8::try_from(value.len()).unwrap() + 2,
            tag,
            u8::try_from(value.len()).unwrap(),
        ];
        der.extend_from_slice(value);
        SubjectAltName::parse(&der).unwrap()
    }

    const ALL: [SanKind; 5] =
        [SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email, SanKind::Other];

    #[test]
    fn r_5280_4_2_1_6_a_every_name_is_verified() {
        for (tag, good) in [
            (0x82, &b"device-1.example.com"[..]),
            (0x82, b"*.example.com"),
            (0x82, b"xn--bcher-kva.example"),
            (0x87, &[127, 0, 0, 1]),
            (0x87, &[0; 16]),
            (0x86, b"urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
            (0x86, b"https://example.com/x"),
            (0x81, b"someone@example.com"),
        ] {
            san(tag, good).check(&ALL).unwrap();
        }
        for (tag, bad) in [
            (0x82, &b"device 1"[..]),
            (0x82, b"device_1.example"),
            (0x82, b"example.com."),
            (0x82, b" "),
            (0x82, b""),
            (0x82, b"b\xc3\xbccher.example"),
            (0x82, b"-a.example"),
            (0x82, b"*.com"),
            (0x82, b"a.*.example.com"),
            (0x82, b"192.0.2.1"),
            (0x87, &[127, 0, 0]),
            (0x87, &[10, 0, 0, 0, 255, 0, 0, 0]),
            (0x86, b"/relative"),
            (0x86, b"urn:"),
            (0x81, b"someone@*.example.com"),
            (0x86, b"http://a b/"),
            (0x81, b"nobody"),
            (0x81, b"a@b@c d"),
            (0x81, b"someone@c d"),
            (0x81, b"some one@example.com"),
            (0x81, b".someone@example.com"),
            (0x81, b"someone.@example.com"),
            (0x81, b"some..one@example.com"),
            (0x81, b"@example.com"),
            (0x88, &[42, 3]),
        ] {
            assert!(san(tag, bad).check(&ALL).is_err(), "{:?}", san(tag, bad).texts());
        }
    }

    #[test]
    fn a_profile_chooses_the_kinds() {
        assert!(san(0x82, b"a.example").check(&[SanKind::Ip]).is_err());
    }

    #[test]
    fn order_does_not_count_but_each_name_does() {
        let parse = |der: &[u8]| SubjectAltName::parse(der).unwrap();
        let ab = parse(&[0x30, 6, 0x82, 1, b'a', 0x82, 1, b'b']);
        let ba = parse(&[0x30, 6, 0x82, 1, b'b', 0x82, 1, b'a']);
        assert!(ab.same_as(&ba));
        let a = parse(&[0x30, 3, 0x82, 1, b'a']);
        assert!(!ab.same_as(&a));
        assert!(a.is_part_of(&ba) && !ba.is_part_of(&a));
        // Two otherNames of one type read the same, and are not.
        let other = |value| parse(&[0x30, 10, 0xa0, 8, 6, 2, 42, 3, 0xa0, 2, 5, value]);
        assert_eq!(other(0).texts(), other(1).texts());
        assert!(!other(0).is_part_of(&other(1)) && other(1).is_part_of(&other(1)));
    }

    #[test]
    fn entries_become_an_extension_and_back() {
        let entries = [
            (SanKind::Dns, b"a.example".to_vec()),
            (SanKind::Ip, vec![192, 0, 2, 1]),
            (SanKind::Uri, b"urn:x:1".to_vec()),
            (SanKind::Email, b"a@b.example".to_vec()),
            (SanKind::Other, vec![6, 2, 42, 3, 0xa0, 2, 5, 0]),
        ];
        let san = SubjectAltName::of_entries(&entries).unwrap();
        let back: Vec<_> =
            san.entries().iter().map(|one| (one.kind.unwrap(), one.content().to_vec())).collect();
        assert_eq!(back, entries);
        san.check(&ALL).unwrap();
        assert!(SubjectAltName::of_entries(&[]).is_err());
        let long = SubjectAltName::of_entries(&[(SanKind::Uri, vec![b'x'; 70_000])]).unwrap();
        assert_eq!(long.entries()[0].content().len(), 70_000);
        // A comma is a part of the value.
        let one = SubjectAltName::of_entries(&[(SanKind::Dns, b"a,dns:b".to_vec())]).unwrap();
        assert_eq!(one.texts(), ["dns:a,dns:b"]);
        assert!(one.check(&ALL).is_err());
    }

    #[test]
    fn r_8021ar_8_c_reads_hardware_module_names() {
        // type-id, [0] { SEQUENCE { 1.2.3, 'A1B2'H } }
        let name = [
            &b"\x06\x08\x2b\x06\x01\x05\x05\x07\x08\x04"[..],
            b"\xa0\x0a\x30\x08\x06\x02\x2a\x03\x04\x02\xa1\xb2",
        ]
        .concat();
        let other = (SanKind::Other, vec![6, 2, 42, 3, 0xa0, 2, 5, 0]);
        let san = SubjectAltName::of_entries(&[other, (SanKind::Other, name.clone())]).unwrap();
        san.check(&ALL).unwrap();
        let modules: Vec<_> = san.hardware_modules().collect();
        let kind = ObjectIdentifier::new_unwrap("1.2.3");
        assert_eq!(modules, [HardwareModule { kind, serial: vec![0xa1, 0xb2] }]);
        for (at, wrong) in [(12, 0x31), (14, 0x04), (18, 0x0c), (19, 0x01), (19, 0x03)] {
            let mut bad = name.clone();
            assert_ne!(bad[at], wrong);
            bad[at] = wrong;
            let san = SubjectAltName::of_entries(&[(SanKind::Other, bad)]).unwrap();
            assert_eq!(san.hardware_modules().count(), 0, "{at}");
            assert!(san.check(&ALL).is_err(), "{at}");
        }
    }

    #[test]
    fn rejects_other_bytes() {
        for bad in [
            &[][..],
            &[0x30, 0],
            &[0x30, 2, 5, 0],
            &[0x30, 3, 0x82, 5, 1],
            &[0x30, 3, 0x82, 1, 1, 0],
        ] {
            assert!(SubjectAltName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
