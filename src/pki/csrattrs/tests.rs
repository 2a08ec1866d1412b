//! Answers written and read: the RFCs' own, those of older servers, and damaged ones.

use super::{
    asn1::{AttrOrOid, Template},
    key::key_of_template,
    *,
};
use crate::types::CsrAttrsForm;
use der::{Decode, Tag, Tagged, asn1::UintRef};
use rsa::pkcs1::RsaPublicKey;
use x509_cert::attr::Attribute;

macro_rules! vector {
    ($name:literal) => {
        include_bytes!(concat!("../../../testdata/csrattrs/", $name, ".der")).as_slice()
    };
}

fn open(dotted: &str) -> CsrAttribute {
    CsrAttribute { kind: dotted.parse().unwrap(), value: None }
}

fn with_key(key: KeyKind) -> CsrAttrsResponse {
    CsrAttrsResponse { key: Some(Key::Kind(key)), ..CsrAttrsResponse::default() }
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

/// All demands that a profile can have.
fn everything() -> CsrAttrsResponse {
    CsrAttrsResponse {
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
            AskedExtension::open_san(&[SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email])
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
fn r_7030_4_5_2_b_the_vectors_are_written_byte_for_byte() {
    let list = |asked: &CsrAttrsResponse| asked.to_der(CsrAttrsForm::Rfc8951).unwrap();
    assert_eq!(list(&CsrAttrsResponse::default()), vector!("empty"));
    assert!(CsrAttrsResponse::parse(vector!("empty")).unwrap().is_empty());
    let linking = CsrAttrsResponse { attributes: vec![challenge()], ..CsrAttrsResponse::default() };
    assert_eq!(list(&linking), vector!("pop-only"));
    let both = CsrAttrsResponse {
        attributes: vec![
            challenge(),
            CsrAttribute { kind: oid::EST_IDENTITY_LINKING, value: None },
        ],
        ..CsrAttrsResponse::default()
    };
    assert_eq!(list(&both), vector!("pop-both"));
    assert_eq!(CsrAttrsResponse::parse(vector!("pop-both")).unwrap(), both);
}

#[test]
fn r_9908_3_2_b_a_key_is_one_attribute_with_its_curve_or_size() {
    let rsa = CsrAttrsResponse {
        signatures: vec![oid::RSA_SHA256],
        attributes: vec![challenge()],
        ..with_key(KeyKind::Rsa(4096))
    };
    assert_eq!(rsa.to_der(CsrAttrsForm::Rfc8951).unwrap(), vector!("rsa4096"));
    assert_eq!(CsrAttrsResponse::parse(vector!("rsa4096")).unwrap(), rsa);
    let revised = CsrAttrsResponse {
        signatures: vec![oid::ECDSA_SHA384],
        attributes: vec![challenge(), open("1.3.6.1.1.1.1.22")],
        ..with_key(KeyKind::P384)
    };
    // In the RFC's sample the MAC address is after the key: the order has no meaning.
    assert_eq!(CsrAttrsResponse::parse(vector!("9908-revised")).unwrap(), revised);
    assert_eq!(
        CsrAttrsResponse::parse(&revised.to_der(CsrAttrsForm::Rfc8951).unwrap()).unwrap(),
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
    let mut asked = CsrAttrsResponse {
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
    assert_eq!(CsrAttrsResponse::parse(vector).unwrap(), asked);
    // In the sample, keyUsage is critical; here it is not.
    let mut without = vector.to_vec();
    let at = without.windows(3).position(|part| part == [1, 1, 0xff]).unwrap();
    without.drain(at..at + 3);
    // Every length around it: the outer ones have two bytes, 0x81 and the length.
    for length in [2, 5, 21, 24, 98, 100, 115, 117, 150] {
        without[length] -= 3;
    }
    assert_eq!(asked.to_der(CsrAttrsForm::Rfc9908).unwrap(), without);
    // A single template instead of the list is accepted, too (D-16).
    asked.extensions.truncate(1);
    let single = asked.to_der(CsrAttrsForm::Rfc9908).unwrap();
    assert!(CsrAttrsResponse::parse(&single).is_ok());
}

#[test]
fn r_9908_4_a_both_forms_say_the_same() {
    let all = everything();
    for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
        let mut read = CsrAttrsResponse::parse(&all.to_der(form).unwrap()).unwrap();
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
        .filter(|one| !matches!(one, AttrOrOid::Attribute(one) if one.oid == oid::REQUEST_TEMPLATE))
        .collect();
    assert_eq!(without.to_der().unwrap(), list);
}

fn template_of(asked: &CsrAttrsResponse) -> Template {
    let der = asked.to_der(CsrAttrsForm::Rfc9908).unwrap();
    let elements = Vec::<AttrOrOid>::from_der(&der).unwrap();
    let found = elements.iter().find_map(|element| match element {
        AttrOrOid::Attribute(one) if one.oid == oid::REQUEST_TEMPLATE => Some(one),
        _ => None,
    });
    found.unwrap().values.get(0).unwrap().decode_as().unwrap()
}

#[test]
fn r_9908_3_4_b_the_subject_is_present_only_if_demanded() {
    let none = with_key(KeyKind::P256);
    assert!(template_of(&none).subject.is_none());
    let filled = CsrAttrsResponse {
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
    let linking = CsrAttrsResponse { attributes: vec![challenge()], ..CsrAttrsResponse::default() };
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
    let kinds = |asked: &CsrAttrsResponse| {
        template_of(asked).attributes.iter().map(|one| one.oid).collect::<Vec<_>>()
    };
    let none = with_key(KeyKind::P256);
    assert_eq!(kinds(&none), []);
    // Empty, but present.
    let der = none.to_der(CsrAttrsForm::Rfc9908).unwrap();
    assert!(der.ends_with(&[0xa1, 0]));
    let given = CsrAttrsResponse { extensions: vec![usage()], ..none.clone() };
    assert_eq!(kinds(&given), [oid::EXTENSION_REQUEST]);
    let open = AskedExtension { oid: oid::EXTENDED_KEY_USAGE, value: None };
    let left = CsrAttrsResponse { extensions: vec![usage(), open], ..none.clone() };
    assert_eq!(kinds(&left), [oid::EXTENSION_REQUEST_TEMPLATE]);
    let san = AskedExtension::open_san(&[SanKind::Ip]).unwrap();
    assert_eq!(san.value.as_deref(), Some(&[0x30, 2, 0x87, 0][..]));
    let entry = CsrAttrsResponse { extensions: vec![san], ..none };
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
    // The strict reader of enrollment: one Extensions, and no extension twice.
    let value = request.values.get(0).unwrap().to_der().unwrap();
    assert_eq!(crate::pki::extension::requested(&value).unwrap().len(), 2);
}

#[test]
fn the_malformed_sample_of_rfc_7030_is_read_and_never_written() {
    let sample = CsrAttrsResponse::parse(vector!("7030-original")).unwrap();
    assert_eq!(sample, CsrAttrsResponse::parse(vector!("9908-revised")).unwrap());
    for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
        let written = sample.to_der(form).unwrap();
        assert_ne!(written, vector!("7030-original"));
        assert!(!written.windows(9).any(|part| part == oid::EXTENSION_REQUEST.as_bytes()));
    }
}

/// proves: R-9908-3.2-c
#[test]
fn values_that_a_server_gives_are_kept_as_they_are() {
    let potato = CsrAttrsResponse::parse(vector!("potato")).unwrap();
    let value = potato.extensions[0].value.clone().unwrap();
    let san = SubjectAltName::parse(&value).unwrap();
    assert_eq!(san.entries()[0].kind, Some(SanKind::Other));
    let again = potato.to_der(CsrAttrsForm::Both).unwrap();
    assert_eq!(CsrAttrsResponse::parse(&again).unwrap(), potato);
}

#[test]
fn answers_from_before_rfc_9908_are_read() {
    // secp384r1 and id-sha384 as bare OIDs, as libest's server sends them; commonName, SAN.
    let der = Vec::<AttrOrOid>::from(
        ["1.3.132.0.34", "2.16.840.1.101.3.4.2.2", "2.5.4.3", "2.5.29.17", "1.2.3"]
            .map(|dotted| AttrOrOid::Oid(dotted.parse().unwrap())),
    )
    .to_der()
    .unwrap();
    let read = CsrAttrsResponse::parse(&der).unwrap();
    assert_eq!(read.key, Some(Key::Kind(KeyKind::P384)));
    assert_eq!(read.signatures, [oid::SHA384]);
    assert_eq!(read.subject, [named(oid::COMMON_NAME, None)]);
    assert_eq!(read.extensions, [AskedExtension { oid: oid::SUBJECT_ALT_NAME, value: None }]);
    assert_eq!(read.attributes, [open("1.2.3")]);
}

#[test]
fn other_bytes_are_rejected() {
    let all = everything().to_der(CsrAttrsForm::Both).unwrap();
    for cut in 0..all.len() {
        assert!(CsrAttrsResponse::parse(&all[..cut]).is_err(), "{cut}");
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
        assert!(CsrAttrsResponse::parse(bad).is_err(), "{bad:?}");
    }
    // Two templates, and a template of version 2.
    let one = with_key(KeyKind::P256).to_der(CsrAttrsForm::Rfc9908).unwrap();
    let element = &one[2..];
    let two = [&[0x30, u8::try_from(2 * element.len()).unwrap()], element, element].concat();
    assert!(CsrAttrsResponse::parse(&two).is_err());
    let mut newer = one.clone();
    let version = newer.windows(3).position(|part| part == [2, 1, 0]).unwrap();
    newer[version + 2] = 1;
    assert!(CsrAttrsResponse::parse(&one).is_ok() && CsrAttrsResponse::parse(&newer).is_err());
}

/// One byte of each sample is changed. Attributes that can still be read can be written in each
/// form, read again, and described.
#[test]
fn attributes_can_be_written_and_read_again() {
    let check = |der: &[u8]| {
        let Ok(asked) = CsrAttrsResponse::parse(der) else { return false };
        let _ = asked.lines();
        for form in [CsrAttrsForm::Rfc8951, CsrAttrsForm::Rfc9908, CsrAttrsForm::Both] {
            if let Ok(written) = asked.to_der(form) {
                assert!(CsrAttrsResponse::parse(&written).is_ok(), "{der:02x?} as {form:?}");
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
