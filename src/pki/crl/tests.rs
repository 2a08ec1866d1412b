use super::{
    made::{Draft, element, encode_time, extension},
    *,
};
use crate::{
    pki::{CertificateExtension, PrivateKey, algorithm::signature_identifier},
    types::KeyKind,
};
use std::{fs, process::Command, time::Duration};

const NOW: Time = Time::from_unix(1_790_000_000);

const WEEK: Duration = Duration::from_secs(7 * 86_400);

fn name() -> DistinguishedName {
    DistinguishedName::from_text("CN=Acme Devices,O=Acme").unwrap()
}

fn draft() -> Draft {
    Draft::new(&name(), NOW, NOW.plus(WEEK))
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyKind::P256).unwrap()
}

fn spki(key: &PrivateKey) -> Vec<u8> {
    key.public_key_spki_der().unwrap()
}

#[test]
fn finds_each_entry_and_no_other() {
    let key = key();
    let mut list = draft();
    // Not in order, of several lengths; two that begin alike.
    let revoked: Vec<Vec<u8>> =
        (1..=300u16).map(|i| [&[0x31][..], &(i * 37 % 331).to_be_bytes()].concat()).collect();
    for serial in &revoked {
        list = list.revoked(serial, NOW, &[]);
    }
    list = list.revoked(&[0x31], NOW, &[]).revoked(&[0, 0x80], NOW, &[]);
    let list = RevocationList::parse(list.sign(&key)).unwrap();
    assert_eq!(list.count(), 302);
    for serial in revoked.iter().map(Vec::as_slice).chain([&[0x31][..], &[0, 0x80]]) {
        let found = list.entry(serial);
        assert_eq!(found, Some(RevokedEntry { since: NOW, reason: None }), "{serial:?}");
    }
    for serial in [&[0x30][..], &[0x31, 0], &[0x31, 0, 0], &[0x31, 1, 0x4c], &[0x7f; 20]] {
        assert_eq!(list.entry(serial), None, "{serial:?}");
    }
    assert_eq!(RevocationList::parse(draft().sign(&key)).unwrap().entry(&[1]), None);
}

#[test]
fn a_serial_number_is_found_with_any_zeros_before_it() {
    let list = draft().revoked(&[0, 0, 0, 1], NOW, &[]).revoked(&[0, 0, 0x80, 1], NOW, &[]);
    let list = RevocationList::parse(list.sign(&key())).unwrap();
    assert!(list.entry(&[1]).is_some());
    assert!(list.entry(&[0, 0x80, 1]).is_some());
    assert!(list.entry(&[0, 0, 1]).is_some(), "nor do those of the certificate count");
    assert!(list.entry(&[0x80, 1]).is_none(), "a negative one");
}

#[test]
fn an_entry_has_its_time_and_its_reason_and_one_on_hold_is_revoked() {
    let since = NOW.minus(WEEK);
    let mut list = draft();
    let reasons = [
        (0, "unspecified"),
        (1, "keyCompromise"),
        (6, "certificateHold"),
        (7, "an unknown reason"),
        (8, "removeFromCRL"),
        (10, "aACompromise"),
    ];
    for (code, _) in reasons {
        let invalidity = extension(24, false, &encode_time(NOW));
        list = list.revoked(
            &[0x40 + code],
            since,
            &[&extension(21, false, &[10, 1, code]), &invalidity],
        );
    }
    let list = RevocationList::parse(list.sign(&key())).unwrap();
    for (code, reason) in reasons {
        let entry = RevokedEntry { since, reason: Some(reason) };
        assert_eq!(list.entry(&[0x40 + code]), Some(entry), "{code}");
    }
}

#[test]
fn the_signature_covers_every_byte() {
    for kind in [KeyKind::P256, KeyKind::Ed25519, KeyKind::P521] {
        let key = PrivateKey::generate(kind).unwrap();
        let der = draft().revoked(&[1], NOW, &[]).number(1).sign(&key);
        let list = RevocationList::parse(der.clone()).unwrap();
        list.verify(&spki(&key)).unwrap();
        let other = PrivateKey::generate(kind).unwrap();
        assert_eq!(list.verify(&spki(&other)), Err(CrlError::Signature));
        let mut parsed = 0;
        for place in 0..der.len() {
            let mut altered = der.clone();
            altered[place] ^= 1;
            if let Ok(list) = RevocationList::parse(altered) {
                parsed += 1;
                assert!(list.verify(&spki(&key)).is_err(), "{kind}: byte {place}");
            }
        }
        assert!(parsed > 50, "{parsed}");
    }
}

#[test]
fn the_key_and_the_algorithms_fit() {
    let key = key();
    let list = RevocationList::parse(draft().sign(&key)).unwrap();
    let other = PrivateKey::generate(KeyKind::Ed25519).unwrap();
    assert_eq!(
        list.verify(&spki(&other)),
        Err(CrlError::Algorithm(
            "ecdsa-with-SHA256 (1.2.840.10045.4.3.2) with a key of kind ed25519".into()
        ))
    );
    assert!(matches!(list.verify(b"no key"), Err(CrlError::Key(_))));
    let inside = signature_identifier(KeyKind::P384);
    let list = RevocationList::parse(draft().sign_as(&key, inside));
    assert_eq!(list.unwrap_err(), CrlError::Algorithms);
}

#[test]
fn a_part_of_a_crl_is_none() {
    let key = key();
    let der =
        draft().revoked(&[1], NOW, &[&extension(21, false, &[10, 1, 1])]).number(1).sign(&key);
    for length in 0..der.len() {
        assert!(RevocationList::parse(der[..length].to_vec()).is_err(), "{length} bytes");
        assert!(RevocationList::from_file(der[..length].to_vec()).is_err(), "{length} bytes");
    }
    let form = |list: Vec<u8>| {
        assert!(matches!(RevocationList::parse(list), Err(CrlError::Form(_))));
    };
    form([der.as_slice(), &[0]].concat());
    form([der.as_slice(), &der].concat());
    // Trailing bytes of the parts that are read by themselves.
    let odd = |change: &dyn Fn(&mut Draft)| {
        let mut list = draft();
        change(&mut list);
        form(list.sign(&key));
    };
    odd(&|list| list.next_update.extend([5, 0]));
    odd(&|list| list.extensions = [extension(20, false, &[2, 1, 1, 0]), vec![]].concat());
    odd(&|list| list.extensions = extension(20, false, &[2, 1, 0x80]));
    odd(&|list| list.extensions = extension(20, false, &[4, 1, 1]));
    odd(&|list| list.entries = element(0x30, &[&[2, 1, 1], &encode_time(NOW), &[5, 0]]));
    odd(&|list| list.entries = element(0x30, &[&[2, 1, 1]]));
    odd(&|list| list.entries = element(0x30, &[&[2, 0], &encode_time(NOW)]));
    odd(&|list| list.entries = element(0x30, &[&[4, 1, 1], &encode_time(NOW)]));
    odd(&|list| {
        list.entries =
            element(0x30, &[&[2, 1, 1], &encode_time(NOW), &element(0x30, &[]), &[5, 0]]);
    });
    odd(&|list| list.issuer = vec![4, 1, 1]);
}

#[test]
fn a_list_that_is_not_full_or_not_understood_is_rejected() {
    let key = key();
    let error = |list: Draft| RevocationList::parse(list.sign(&key)).unwrap_err();
    let indirect = element(0x30, &[&[0x84, 1, 0xff]]);
    let users = element(0x30, &[&[0x81, 1, 0xff]]);
    for critical in [true, false] {
        assert_eq!(error(draft().with(&extension(27, critical, &[2, 1, 1]))), CrlError::Delta);
        assert_eq!(error(draft().with(&extension(28, critical, &users))), CrlError::Partition);
        assert_eq!(error(draft().with(&extension(28, critical, &[0x30, 0]))), CrlError::Partition);
        assert_eq!(error(draft().with(&extension(28, critical, &indirect))), CrlError::Indirect);
        let of_another_issuer = extension(29, critical, &[0x30, 0]);
        let entry = draft().revoked(&[1], NOW, &[&of_another_issuer]);
        assert_eq!(error(entry), CrlError::Indirect);
    }
    let text = error(draft().with(&extension(28, true, &users))).to_string();
    assert!(text.ends_with("give the full CRL"), "{text}");

    // An unknown extension: rejected if it is critical.
    let unknown = |critical| extension(46, critical, &[0x30, 0]);
    assert!(matches!(error(draft().with(&unknown(true))), CrlError::Extension(_)));
    let entry = |critical| draft().revoked(&[1], NOW, &[&unknown(critical)]);
    assert!(matches!(error(entry(true)), CrlError::Extension(_)));
    for known in [draft().with(&unknown(false)), entry(false)] {
        RevocationList::parse(known.sign(&key)).unwrap();
    }
    assert!(matches!(error(draft().number(1).number(1)), CrlError::Twice(_)));

    for (version, expected) in [(&[][..], 1), (&[2, 1, 0], 1), (&[2, 1, 2], 3)] {
        let list = Draft { version: version.to_vec(), ..draft() };
        assert_eq!(error(list), CrlError::Version(expected));
    }
    let list = Draft { next_update: Vec::new(), ..draft() };
    assert_eq!(error(list.clone()), CrlError::NoNextUpdate);
    assert_eq!(error(list.revoked(&[1], NOW, &[])), CrlError::NoNextUpdate);
}

#[test]
fn a_list_is_older_by_its_number_or_its_time() {
    let key = key();
    let list = |number: Option<&[u8]>, this_update| {
        let number = number.map(|number| extension(20, false, &element(2, &[number])));
        let list = Draft { this_update: encode_time(this_update), ..draft() };
        let list = list.with(&number.unwrap_or_default());
        RevocationList::parse(list.sign(&key)).unwrap()
    };
    let later = NOW.plus(Duration::from_secs(1));
    for (one, other, older) in [
        ((Some(&[2][..]), NOW), (Some(&[2][..]), NOW), false),
        ((Some(&[1]), NOW), (Some(&[2]), NOW), true),
        ((Some(&[2]), NOW), (Some(&[1]), NOW), false),
        ((Some(&[0x7f]), NOW), (Some(&[0, 0x80]), NOW), true),
        ((Some(&[0, 0x80]), NOW), (Some(&[0x7f]), NOW), false),
        ((Some(&[0, 0, 2]), NOW), (Some(&[1, 0]), NOW), true),
        ((Some(&[1]), later), (Some(&[2]), NOW), true),
        ((Some(&[2]), NOW), (Some(&[1]), later), true),
        ((None, NOW), (Some(&[2]), NOW), false),
        ((None, NOW), (None, later), true),
        ((None, later), (None, NOW), false),
    ] {
        let place = format!("{one:?} {other:?}");
        assert_eq!(list(one.0, one.1).is_older_than(&list(other.0, other.1)), older, "{place}");
    }
}

#[test]
fn an_issuer_has_the_same_name_and_may_sign() {
    let list = RevocationList::parse(draft().sign(&key())).unwrap();
    assert!(list.is_of(name().der()));
    let text = |tag: u8| {
        let cn = element(0x30, &[&[6, 3, 0x55, 4, 3], &element(tag, &[b"Acme Devices"])]);
        let o = element(0x30, &[&[6, 3, 0x55, 4, 10], &element(12, &[b"Acme"])]);
        element(0x30, &[&element(0x31, &[&o]), &element(0x31, &[&cn])])
    };
    assert!(list.is_of(&text(12)) && list.is_of(&text(19)), "in another string type");
    let other = DistinguishedName::from_text("CN=Acme devices,O=Acme").unwrap();
    assert!(!list.is_of(other.der()) && !list.is_of(&[]));

    let usage = |value: Option<&[u8]>| {
        let usage =
            value.map(|value| CertificateExtension { oid: oid::KEY_USAGE, critical: true, value });
        let ca = CertificateFields {
            tbs: 0..0,
            issuer: &[],
            subject: &[],
            serial: &[],
            not_before: NOW,
            not_after: NOW,
            public_key_spki: &[],
            extensions: usage.into_iter().collect(),
        };
        RevocationList::check_signer(&ca)
    };
    assert_eq!(usage(None), Ok(()));
    assert_eq!(usage(Some(&[3, 2, 1, 6])), Ok(()));
    assert_eq!(usage(Some(&[3, 2, 2, 4])), Err(CrlError::Usage), "keyCertSign only");
    assert_eq!(usage(Some(&[5, 0])), Err(CrlError::Usage), "not readable");
}

#[test]
fn a_file_is_der_or_one_pem_block() {
    let der = draft().revoked(&[1], NOW, &[]).sign(&key());
    let block = pem::encode_block("X509 CRL", &der).to_string();
    let text = format!("Certificate Revocation List (CRL):\n{block}");
    for contents in [der.clone(), block.clone().into_bytes(), text.into_bytes()] {
        assert_eq!(RevocationList::from_file(contents).unwrap().der(), der);
    }
    for (contents, error) in [
        (String::new(), crate::pki::PemError::Missing("X509 CRL")),
        (format!("{block}{block}"), crate::pki::PemError::Several("X509 CRL")),
        (block.replace("-----END", ""), crate::pki::PemError::Unclosed("X509 CRL".into())),
    ] {
        let got = RevocationList::from_file(contents.into_bytes()).unwrap_err();
        assert_eq!(got, CrlError::Pem(error));
    }
    let long = vec![0x30; RevocationList::MAX_BYTES + 1];
    assert_eq!(RevocationList::from_file(long).unwrap_err(), CrlError::TooLong);
}

/// Runs openssl, whose CRLs are read.
fn openssl(folder: &std::path::Path, arguments: &str) {
    let output =
        Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn reads_and_verifies_the_lists_of_openssl() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path();
    fs::write(
        place.join("ca.cnf"),
        "[ca]\ndefault_ca = one\n[one]\ndatabase = index.txt\ncrlnumber = number\n\
         default_md = sha256\ndefault_crl_days = 30\ncrl_extensions = list\n\
         [list]\nauthorityKeyIdentifier = keyid\n",
    )
    .unwrap();
    fs::write(
        place.join("index.txt"),
        "R\t991231235959Z\t260101000000Z,keyCompromise\t0A1B\tunknown\t/CN=a\n\
         R\t991231235959Z\t260101000000Z,holdInstruction,holdInstructionReject\t\
         8F000000000000000000000000000000000001\tunknown\t/CN=b\n\
         V\t991231235959Z\t\t0A1C\tunknown\t/CN=c\n",
    )
    .unwrap();
    for (kind, options) in [
        ("rsa", "rsa:2048"),
        ("pss", "rsa:2048 -sigopt rsa_padding_mode:pss"),
        ("ec", "ec -pkeyopt ec_paramgen_curve:P-384"),
        ("ed", "ed25519"),
    ] {
        fs::write(place.join("number"), "0FFF\n").unwrap();
        let (key, options) = options.split_once(" -sig").map_or((options, ""), |(key, _)| {
            (key, " -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:32")
        });
        openssl(
            place,
            &format!(
                "req -x509 -newkey {key} -nodes -keyout {kind}.key -out {kind}.pem -subj /CN=Acme -days 30"
            ),
        );
        openssl(
            place,
            &format!(
                "ca -gencrl -config ca.cnf -cert {kind}.pem -keyfile {kind}.key -out {kind}.crl{options}"
            ),
        );
        let list = RevocationList::from_file(fs::read(place.join(format!("{kind}.crl"))).unwrap());
        let list = list.unwrap();
        let ca = pem::decode_certificates(&fs::read(place.join(format!("{kind}.pem"))).unwrap())
            .unwrap();
        let ca = crate::pki::Certificate::parse(&ca[0]).unwrap();
        list.verify(ca.spki()).unwrap();
        assert!(list.issuer().same_as(ca.subject()));
        assert_eq!((list.count(), list.number().as_deref()), (2, Some("0FFF")));
        assert_eq!(list.next_update().since(list.this_update()), Duration::from_secs(30 * 86_400));
        let since = Time::from_unix(1_767_225_600);
        let on_hold = [&[0, 0x8f][..], &[0; 17], &[1]].concat();
        for (serial, expected) in [
            (&[0x0a, 0x1b][..], Some(RevokedEntry { since, reason: Some("keyCompromise") })),
            (&on_hold, Some(RevokedEntry { since, reason: Some("certificateHold") })),
            (&[0x0a, 0x1c], None),
        ] {
            assert_eq!(list.entry(serial), expected, "{kind} {serial:?}");
        }
    }
    // Without crl_extensions, openssl writes version 1.
    let config = fs::read_to_string(place.join("ca.cnf")).unwrap();
    fs::write(
        place.join("v1.cnf"),
        config.replace("crl_extensions = list\n", "").replace("crlnumber = number\n", ""),
    )
    .unwrap();
    fs::write(place.join("index.txt"), "").unwrap();
    openssl(place, "ca -gencrl -config v1.cnf -cert ec.pem -keyfile ec.key -out v1.crl");
    let list = RevocationList::from_file(fs::read(place.join("v1.crl")).unwrap());
    assert_eq!(list.unwrap_err(), CrlError::Version(1));
}
