//! The changes: each breaks one rule in every structure that has the field.

use super::{
    AIA, Good,
    Node::{self, Leaf, Raw, Tree},
    attribute, ca_name, ce, entry, extension, oid, seq, tlv,
};
use estd::types::{KeyKind, SanKind, Serial};
use std::time::Duration;

/// Applies a change; none if the structure lacks the field.
type Change = fn(&mut Node, &mut Good) -> Option<()>;

const VERSION: usize = 0;
const SERIAL: usize = 1;
const SIGNATURE: usize = 2;
const ISSUER: usize = 3;
const VALIDITY: usize = 4;
const SUBJECT: usize = 5;
const SPKI: usize = 6;

fn certificate(good: &Good) -> Option<()> {
    (!good.crl).then_some(())
}

fn crl(good: &Good) -> Option<()> {
    good.crl.then_some(())
}

/// Extensions of a certificate or a CRL.
fn extensions(tbs: &mut Node) -> &mut Vec<Node> {
    let last = tbs.nodes().len() - 1;
    tbs.at(&[last, 0]).nodes()
}

fn find<'a>(tbs: &'a mut Node, kind: &[u8]) -> Option<&'a mut Node> {
    let want = oid(kind).der();
    let found = extensions(tbs).iter_mut().position(|one| one.at(&[0]).der() == want)?;
    Some(&mut extensions(tbs)[found])
}

fn remove(tbs: &mut Node, kind: &[u8]) -> Option<()> {
    find(tbs, kind)?;
    let want = oid(kind).der();
    extensions(tbs).retain_mut(|one| one.at(&[0]).der() != want);
    Some(())
}

/// Changes the value inside the OCTET STRING.
fn value(one: &mut Node, change: impl FnOnce(&mut Node)) -> Option<()> {
    let last = one.nodes().pop()?;
    let Leaf(4, bytes) = last else { panic!() };
    let mut inner = Node::one(&bytes);
    change(&mut inner);
    one.nodes().push(Leaf(4, inner.der()));
    Some(())
}

fn set(tbs: &mut Node, kind: &[u8], new: Node) -> Option<()> {
    value(find(tbs, kind)?, |inner| *inner = new)
}

/// Makes an extension critical, or not.
fn toggle(one: &mut Node) -> Option<()> {
    if one.nodes().len() == 3 {
        one.nodes().remove(1);
    } else {
        one.nodes().insert(1, Leaf(1, vec![0xff]));
    }
    Some(())
}

/// A new extension at the end.
fn add(tbs: &mut Node, one: Node) -> Option<()> {
    extensions(tbs).push(one);
    Some(())
}

/// The first entry of a CRL.
fn first_entry(tbs: &mut Node, good: &Good) -> Option<Node> {
    crl(good)?;
    // version, signature, issuer, two times, entries, extensions.
    (tbs.nodes().len() == 7).then(|| tbs.at(&[5, 0]).clone())
}

fn set_entry(tbs: &mut Node, good: &Good, new: Vec<Node>) -> Option<()> {
    first_entry(tbs, good)?;
    *tbs.at(&[5, 0]) = entry(1, new);
    Some(())
}

fn reason(content: &[u8]) -> Node {
    extension(&ce(21), false, &Leaf(10, content.to_vec()))
}

/// Replaces one attribute of the subject, or adds it.
fn subject(tbs: &mut Node, good: &Good, new: Node) -> Option<()> {
    certificate(good)?;
    if good.self_signed || tbs.at(&[SUBJECT]).nodes().is_empty() {
        return None;
    }
    tbs.at(&[SUBJECT]).nodes().push(new);
    Some(())
}

fn not_before(tbs: &mut Node, good: &Good, tag: u8, text: &[u8]) -> Option<()> {
    certificate(good)?;
    *tbs.at(&[VALIDITY, 0]) = Leaf(tag, text.to_vec());
    Some(())
}

fn not_after(tbs: &mut Node, good: &Good, tag: u8, text: &[u8]) -> Option<()> {
    certificate(good)?;
    *tbs.at(&[VALIDITY, 1]) = Leaf(tag, text.to_vec());
    Some(())
}

fn this_update(tbs: &mut Node, good: &Good, tag: u8, text: &[u8]) -> Option<()> {
    crl(good)?;
    *tbs.at(&[3]) = Leaf(tag, text.to_vec());
    Some(())
}

fn next_update(tbs: &mut Node, good: &Good, tag: u8, text: &[u8]) -> Option<()> {
    crl(good)?;
    *tbs.at(&[4]) = Leaf(tag, text.to_vec());
    Some(())
}

fn san(tbs: &mut Node, tag: u8, content: &[u8]) -> Option<()> {
    value(find(tbs, &ce(17))?, |names| {
        let place = names.nodes().iter_mut().position(|one| *one.tag() == tag);
        let new =
            if tag & 0x20 == 0 { Leaf(tag, content.to_vec()) } else { Raw(tlv(tag, content)) };
        match place {
            Some(place) => names.nodes()[place] = new,
            None => names.nodes().push(new),
        }
    })
}

/// A serial number that the record has, too.
fn recorded(tbs: &mut Node, good: &mut Good, content: &[u8]) -> Option<()> {
    certificate(good)?;
    good.serial = Serial::parse(content).unwrap();
    *tbs.at(&[SERIAL]) = Leaf(2, content.to_vec());
    Some(())
}

/// The AlgorithmIdentifier of the CA, in both places.
fn algorithm(tbs: &mut Node, good: &mut Good, new: Node) -> Option<()> {
    good.algorithm = new.der();
    let place = if good.crl { 1 } else { SIGNATURE };
    *tbs.at(&[place]) = new;
    Some(())
}

/// A name of the CA, in both places.
fn issuer(tbs: &mut Node, good: &mut Good, new: Node) -> Option<()> {
    good.issuer = new.der();
    let place = if good.crl { 2 } else { ISSUER };
    *tbs.at(&[place]) = new;
    Some(())
}

/// A key, as on record.
fn key(tbs: &mut Node, good: &mut Good, new: Node) -> Option<()> {
    good.spki_sha256 = estd::pki::sha256(&new.der());
    *tbs.at(&[SPKI]) = new;
    Some(())
}

/// The key of a certificate if it is of this kind: 0 for RSA, 1 for a curve, 2 for Ed25519.
fn key_of(tbs: &mut Node, good: &Good, kind: usize) -> Option<Node> {
    certificate(good)?;
    let kinds: [&[u8]; 3] = [
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1],
        &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1],
        &[0x2b, 0x65, 0x70],
    ];
    let same = tbs.at(&[SPKI, 0, 0]).der() == oid(kinds[kind]).der();
    same.then(|| tbs.at(&[SPKI]).clone())
}

fn usage(tbs: &mut Node, good: &Good, kind: usize, bits: &[u8]) -> Option<()> {
    key_of(tbs, good, kind)?;
    if good.ca {
        return None;
    }
    set(tbs, &ce(15), Leaf(3, bits.to_vec()))
}

fn rsa_key(tbs: &mut Node, good: &mut Good, change: fn(&mut Node)) -> Option<()> {
    let mut spki = key_of(tbs, good, 0)?;
    let Leaf(3, bits) = spki.at(&[1]).clone() else { panic!() };
    let mut inner = Node::one(&bits[1..]);
    change(&mut inner);
    *spki.at(&[1]) = Leaf(3, [&[0], &inner.der()[..]].concat());
    key(tbs, good, spki)
}

fn subtree(tbs: &mut Node, change: impl FnOnce(&mut Node)) -> Option<()> {
    value(find(tbs, &ce(30))?, |all| change(all.at(&[0])))
}

fn point(tbs: &mut Node, change: impl FnOnce(&mut Node)) -> Option<()> {
    value(find(tbs, &ce(31))?, change)
}

fn policy(tbs: &mut Node, change: impl FnOnce(&mut Node)) -> Option<()> {
    value(find(tbs, &ce(32))?, change)
}

/// explicitText of the user notice.
fn text(tbs: &mut Node, tag: u8, text: &[u8]) -> Option<()> {
    policy(tbs, |all| *all.at(&[0, 1, 1, 1, 0]) = Leaf(tag, text.to_vec()))
}

fn idp(tbs: &mut Node, new: Node) -> Option<()> {
    set(tbs, &ce(28), new)
}

fn not_self_signed(good: &Good) -> Option<()> {
    (!good.self_signed).then_some(())
}

fn end_entity(good: &Good) -> Option<()> {
    (!good.crl && !good.ca).then_some(())
}

pub(super) const ALL: &[(&str, &str, Change)] = &[
    // DER.
    ("x690.10.1.form", "a byte after the end", |tbs, _| {
        *tbs = Raw([tbs.der(), vec![0]].concat());
        Some(())
    }),
    ("x690.10.1.form", "cut short", |tbs, _| {
        let mut der = tbs.der();
        der.pop();
        *tbs = Raw(der);
        Some(())
    }),
    ("x690.10.1.form", "a long form of a short length", |tbs, good| {
        certificate(good)?;
        let mut serial = tbs.at(&[SERIAL]).der();
        serial.insert(1, 0x81);
        *tbs.at(&[SERIAL]) = Raw(serial);
        Some(())
    }),
    ("x690.10.1.form", "a length that exceeds its field", |tbs, good| {
        crl(good)?;
        let mut time = tbs.at(&[3]).der();
        time.splice(1..2, [0x82, 0x7f, 0xff]);
        *tbs.at(&[3]) = Raw(time);
        Some(())
    }),
    ("x690.10.1.form", "an extension value that is no DER", |tbs, _| {
        let kind = oid(&[0x2a, 3, 4]);
        add(tbs, seq(vec![kind, Leaf(4, vec![0x30, 5, 0])]))
    }),
    ("x690.11.1.boolean", "critical is 01", |tbs, good| {
        let kind = if good.crl { ce(28) } else { ce(15) };
        *find(tbs, &kind)?.at(&[1]) = Leaf(1, vec![1]);
        Some(())
    }),
    ("x690.11.1.boolean", "cA is 01", |tbs, _| {
        value(find(tbs, &ce(19))?, |inner| *inner.at(&[0]) = Leaf(1, vec![1]))
    }),
    ("x690.8.3.integer", "a serial number with a leading zero", |tbs, good| {
        certificate(good)?;
        tbs.at(&[SERIAL]).bytes().insert(0, 0);
        Some(())
    }),
    ("x690.8.3.integer", "a cRLNumber with a leading zero", |tbs, _| {
        value(find(tbs, &ce(20))?, |inner| inner.bytes().insert(0, 0))
    }),
    ("x690.8.8.null", "NULL with content", |tbs, good| {
        let mut spki = key_of(tbs, good, 0)?;
        *spki.at(&[0, 1]) = Leaf(5, vec![0]);
        key(tbs, good, spki)
    }),
    ("x690.8.8.null", "noRevAvail with content", |tbs, _| set(tbs, &ce(56), Leaf(5, vec![0]))),
    ("x690.8.19.oid", "an extension's OID that is padded", |tbs, _| {
        add(tbs, extension(&[0x2a, 0x80, 3], false, &Leaf(5, vec![])))
    }),
    ("x690.8.19.oid", "a purpose that ends inside an arc", |tbs, _| {
        value(find(tbs, &ce(37))?, |inner| inner.nodes().push(oid(&[0x2b, 6, 0x81])))
    }),
    ("x690.8.23.text", "PrintableString with an asterisk", |tbs, good| {
        subject(tbs, good, attribute(4, 0x13, "*"))
    }),
    ("x690.8.23.text", "UTF8String that is not UTF-8", |tbs, good| {
        let one = vec![seq(vec![oid(&[0x55, 4, 3]), Leaf(12, vec![0xff, 0xfe])])];
        subject(tbs, good, Tree(0x31, one))
    }),
    ("x690.11.2.bit-string", "keyUsage with unused bits that are set", |tbs, good| {
        end_entity(good)?;
        set(tbs, &ce(15), Leaf(3, vec![7, 0x81]))
    }),
    ("x690.11.6.set-order", "an RDN out of order", |tbs, good| {
        let pair = |last, text: &str| seq(vec![oid(&[0x55, 4, last]), Leaf(12, text.into())]);
        subject(tbs, good, Tree(0x31, vec![pair(11, "B"), pair(4, "A")]))
    }),
    ("x690.11.5.default", "critical FALSE", |tbs, _| {
        let kind = find(tbs, &ce(35))?;
        kind.nodes().insert(1, Leaf(1, vec![0]));
        Some(())
    }),
    ("x690.11.5.default", "critical FALSE of another one", |tbs, _| {
        let kind = find(tbs, &ce(37))?;
        kind.nodes().insert(1, Leaf(1, vec![0]));
        Some(())
    }),
    ("x690.11.5.default", "cA FALSE", |tbs, good| {
        end_entity(good)?;
        add(tbs, extension(&ce(19), true, &seq(vec![Leaf(1, vec![0])])))
    }),
    ("x690.11.5.default", "onlyContainsUserCerts FALSE", |tbs, good| {
        crl(good)?;
        value(find(tbs, &ce(28))?, |inner| inner.nodes().push(Leaf(0x81, vec![0])))
    }),
    ("x690.11.2.2.named-bits", "keyUsage with zero bits at its end", |tbs, good| {
        end_entity(good)?;
        set(tbs, &ce(15), Leaf(3, vec![0, 0x80]))
    }),
    // TBSCertificate.
    ("rfc5280.4.1.structure", "no serial number", |tbs, good| {
        certificate(good)?;
        tbs.nodes().remove(SERIAL);
        Some(())
    }),
    ("rfc5280.4.1.structure", "no validity", |tbs, good| {
        certificate(good)?;
        tbs.nodes().remove(VALIDITY);
        Some(())
    }),
    ("rfc5280.4.1.structure", "one time in validity", |tbs, good| {
        certificate(good)?;
        tbs.at(&[VALIDITY]).nodes().pop();
        Some(())
    }),
    ("rfc5280.4.1.structure", "a field after the extensions", |tbs, good| {
        certificate(good)?;
        tbs.nodes().push(Leaf(5, vec![]));
        Some(())
    }),
    ("rfc5280.4.1.1.2.equal", "another algorithm than beside the signature", |tbs, good| {
        let place = if good.crl { 1 } else { SIGNATURE };
        let other = seq(vec![oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4])]);
        *tbs.at(&[place]) = other;
        Some(())
    }),
    ("rfc5280.4.1.1.2.form", "an algorithm with two parameters", |tbs, good| {
        let null = || Leaf(5, vec![]);
        let sha512 = oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13]);
        algorithm(tbs, good, seq(vec![sha512, null(), null()]))
    }),
    ("rfc4055.5.parameters", "sha256WithRSAEncryption without NULL", |tbs, good| {
        algorithm(tbs, good, seq(vec![oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11])]))
    }),
    ("rfc5758.3.2.parameters", "ecdsa-with-SHA256 with NULL", |tbs, good| {
        let oid = oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2]);
        algorithm(tbs, good, seq(vec![oid, Leaf(5, vec![])]))
    }),
    ("rfc8410.3.parameters", "Ed25519 with NULL", |tbs, good| {
        algorithm(tbs, good, seq(vec![oid(&[0x2b, 0x65, 0x70]), Leaf(5, vec![])]))
    }),
    ("rfc5280.4.1.2.1.version", "version 2", |tbs, good| {
        certificate(good)?;
        *tbs.at(&[VERSION, 0]) = Leaf(2, vec![1]);
        Some(())
    }),
    ("rfc5280.4.1.2.1.version", "version 1, not written", |tbs, good| {
        certificate(good)?;
        tbs.nodes().remove(VERSION);
        Some(())
    }),
    ("rfc5280.4.1.2.1.version", "version 4", |tbs, good| {
        certificate(good)?;
        *tbs.at(&[VERSION, 0]) = Leaf(2, vec![3]);
        Some(())
    }),
    ("rfc5280.4.1.2.2.serial-positive", "serial number 0", |tbs, good| {
        certificate(good)?;
        *tbs.at(&[SERIAL]) = Leaf(2, vec![0]);
        Some(())
    }),
    ("rfc5280.4.1.2.2.serial-positive", "a negative serial number", |tbs, good| {
        certificate(good)?;
        tbs.at(&[SERIAL]).bytes()[0] = 0x8d;
        Some(())
    }),
    ("rfc5280.4.1.2.2.serial-length", "a serial number of 21 bytes", |tbs, good| {
        certificate(good)?;
        *tbs.at(&[SERIAL]) = Leaf(2, vec![0x0d; 21]);
        Some(())
    }),
    ("rfc5280.4.1.2.4.issuer-empty", "an empty issuer", |tbs, good| issuer(tbs, good, seq(vec![]))),
    ("rfc5280.4.1.2.4.issuer-form", "an issuer with an empty RDN", |tbs, good| {
        issuer(tbs, good, seq(vec![Tree(0x31, vec![])]))
    }),
    ("rfc5280.4.1.2.5.form", "notBefore without seconds", |tbs, good| {
        not_before(tbs, good, 0x17, b"2611260000Z")
    }),
    ("rfc5280.4.1.2.5.form", "notBefore in another zone", |tbs, good| {
        not_before(tbs, good, 0x17, b"261126000000+0100")
    }),
    ("rfc5280.4.1.2.5.form", "notAfter with a fraction", |tbs, good| {
        not_after(tbs, good, 0x18, b"20510101000000.5Z")
    }),
    ("rfc5280.4.1.2.5.form", "notAfter in month 13", |tbs, good| {
        not_after(tbs, good, 0x17, b"271325235959Z")
    }),
    ("rfc5280.4.1.2.5.type", "notBefore of 2026 as GeneralizedTime", |tbs, good| {
        not_before(tbs, good, 0x18, b"20261126000000Z")
    }),
    ("rfc5280.4.1.2.5.type", "notAfter of 2027 as GeneralizedTime", |tbs, good| {
        not_after(tbs, good, 0x18, b"20271125235959Z")
    }),
    ("rfc5280.4.1.2.5.type", "notAfter as a string", |tbs, good| {
        not_after(tbs, good, 0x13, b"271125235959Z")
    }),
    ("rfc5280.4.1.2.5.order", "notAfter before notBefore", |tbs, good| {
        not_after(tbs, good, 0x17, b"261125235959Z")
    }),
    ("rfc5280.4.1.2.8.unique-ids", "a subjectUniqueID", |tbs, good| {
        certificate(good)?;
        tbs.nodes().insert(SPKI + 1, Leaf(0x82, vec![0, 1]));
        Some(())
    }),
    ("rfc5280.4.1.2.8.unique-ids", "an issuerUniqueID", |tbs, good| {
        certificate(good)?;
        tbs.nodes().insert(SPKI + 1, Leaf(0x81, vec![0, 1]));
        Some(())
    }),
    // Subject.
    ("rfc5280.4.1.2.6.form", "a subject with an empty RDN", |tbs, good| {
        subject(tbs, good, Tree(0x31, vec![]))
    }),
    ("rfc5280.4.1.2.6.form", "a subject with a SEQUENCE for an RDN", |tbs, good| {
        let one = seq(vec![oid(&[0x55, 4, 3]), Leaf(12, b"x".to_vec())]);
        subject(tbs, good, seq(vec![one]))
    }),
    ("rfc5280.4.1.2.6.ca", "a CA without a name", |tbs, good| {
        (good.ca && !good.self_signed).then_some(())?;
        *tbs.at(&[SUBJECT]) = seq(vec![]);
        add(tbs, extension(&ce(17), true, &seq(vec![Leaf(0x82, b"ca.example.com".to_vec())])))
    }),
    ("rfc5280.4.1.2.6.empty", "an empty subject without subjectAltName", |tbs, good| {
        end_entity(good)?;
        *tbs.at(&[SUBJECT]) = seq(vec![]);
        remove(tbs, &ce(17))
    }),
    ("rfc5280.4.1.2.6.string-type", "commonName as TeletexString", |tbs, good| {
        subject(tbs, good, attribute(3, 0x14, "device"))
    }),
    ("rfc5280.4.1.2.6.string-type", "commonName as IA5String", |tbs, good| {
        subject(tbs, good, attribute(3, 0x16, "device"))
    }),
    ("rfc5280.4.1.2.6.string-type", "commonName as BMPString", |tbs, good| {
        subject(tbs, good, attribute(3, 0x1e, "ab"))
    }),
    ("rfc5280.4.1.2.6.string-type", "serialNumber as UTF8String", |tbs, good| {
        subject(tbs, good, attribute(5, 12, "4711"))
    }),
    ("rfc5280.4.1.2.6.string-type", "countryName as UTF8String", |tbs, good| {
        subject(tbs, good, attribute(6, 12, "DE"))
    }),
    ("rfc5280.a.1.empty", "an empty commonName", |tbs, good| {
        subject(tbs, good, attribute(3, 12, ""))
    }),
    ("rfc5280.a.1.empty", "an empty organizationalUnitName", |tbs, good| {
        subject(tbs, good, attribute(11, 0x13, ""))
    }),
    ("rfc5280.a.1.upper-bound", "commonName of 65 characters", |tbs, good| {
        subject(tbs, good, attribute(3, 12, &"x".repeat(65)))
    }),
    ("rfc5280.a.1.upper-bound", "localityName of 129 characters", |tbs, good| {
        subject(tbs, good, attribute(7, 12, &"x".repeat(129)))
    }),
    ("rfc5280.a.1.upper-bound", "serialNumber of 65 characters", |tbs, good| {
        subject(tbs, good, attribute(5, 0x13, &"4".repeat(65)))
    }),
    ("rfc5280.a.1.country", "countryName of one letter", |tbs, good| {
        subject(tbs, good, attribute(6, 0x13, "D"))
    }),
    ("x501.9.3.attribute-types", "two commonNames in one RDN", |tbs, good| {
        let pair = |text: &str| seq(vec![oid(&[0x55, 4, 3]), Leaf(12, text.into())]);
        subject(tbs, good, Tree(0x31, vec![pair("A"), pair("B")]))
    }),
    // Keys.
    ("rfc5280.4.1.2.7.form", "a key of 7 bits too many", |tbs, good| {
        certificate(good)?;
        let mut spki = tbs.at(&[SPKI]).clone();
        let bits = spki.at(&[1]).bytes();
        bits[0] = 1;
        let last = bits.len() - 1;
        bits[last] &= 0xfe;
        key(tbs, good, spki)
    }),
    ("rfc3279.2.3.1.parameters", "an RSA key without NULL", |tbs, good| {
        let mut spki = key_of(tbs, good, 0)?;
        spki.at(&[0]).nodes().pop();
        key(tbs, good, spki)
    }),
    ("rfc3279.2.3.1.rsa-key", "an RSA key with exponent 1", |tbs, good| {
        rsa_key(tbs, good, |inner| *inner.at(&[1]) = Leaf(2, vec![1]))
    }),
    ("rfc3279.2.3.1.rsa-key", "an RSA key with an even modulus", |tbs, good| {
        rsa_key(tbs, good, |inner| {
            let modulus = inner.at(&[0]).bytes();
            let last = modulus.len() - 1;
            modulus[last] &= 0xfe;
        })
    }),
    ("rfc3279.2.3.1.rsa-key", "an RSA key without exponent", |tbs, good| {
        rsa_key(tbs, good, |inner| {
            inner.nodes().pop();
        })
    }),
    ("rfc5480.2.1.1.named-curve", "a curve that is not named", |tbs, good| {
        let mut spki = key_of(tbs, good, 1)?;
        *spki.at(&[0, 1]) = Leaf(5, vec![]);
        key(tbs, good, spki)
    }),
    ("rfc5480.2.2.point", "a point that is cut short", |tbs, good| {
        let mut spki = key_of(tbs, good, 1)?;
        spki.at(&[1]).bytes().pop();
        key(tbs, good, spki)
    }),
    ("rfc5480.2.2.point", "a point with another first byte", |tbs, good| {
        let mut spki = key_of(tbs, good, 1)?;
        spki.at(&[1]).bytes()[1] = 6;
        key(tbs, good, spki)
    }),
    ("rfc8410.3.key-parameters", "a key of Ed25519 with NULL", |tbs, good| {
        let mut spki = key_of(tbs, good, 2)?;
        spki.at(&[0]).nodes().push(Leaf(5, vec![]));
        key(tbs, good, spki)
    }),
    ("rfc8410.4.key-length", "a key of Ed25519 with 31 bytes", |tbs, good| {
        let mut spki = key_of(tbs, good, 2)?;
        spki.at(&[1]).bytes().pop();
        key(tbs, good, spki)
    }),
    ("rfc3279.2.3.1.key-usage", "keyAgreement of an RSA key", |tbs, good| {
        usage(tbs, good, 0, &[3, 0x88])
    }),
    ("rfc8813.3.key-usage", "keyEncipherment of a key on a curve", |tbs, good| {
        usage(tbs, good, 1, &[5, 0xa0])
    }),
    ("rfc8813.3.key-usage", "dataEncipherment of a key on a curve", |tbs, good| {
        usage(tbs, good, 1, &[4, 0x90])
    }),
    ("rfc8410.5.key-usage", "keyEncipherment of a key of Ed25519", |tbs, good| {
        usage(tbs, good, 2, &[5, 0xa0])
    }),
    ("rfc8410.5.key-usage", "keyAgreement of a key of Ed25519", |tbs, good| {
        usage(tbs, good, 2, &[3, 0x88])
    }),
    ("rfc5280.4.2.1.3.agreement-only", "encipherOnly without keyAgreement", |tbs, good| {
        usage(tbs, good, 1, &[0, 0x81])
    }),
    ("rfc5280.4.2.1.3.agreement-only", "encipherOnly and decipherOnly", |tbs, good| {
        usage(tbs, good, 1, &[7, 0x09, 0x80])
    }),
    // Extensions as such.
    ("rfc5280.4.1.2.9.structure", "an extension without a value", |tbs, _| {
        find(tbs, &ce(35))?.nodes().pop();
        Some(())
    }),
    ("rfc5280.4.1.2.9.structure", "an extension whose value is no OCTET STRING", |tbs, _| {
        *find(tbs, &ce(35))?.at(&[1]) = Leaf(12, vec![]);
        Some(())
    }),
    ("rfc5280.4.1.2.9.present", "no extension in the field", |tbs, good| {
        if !good.crl && tbs.at(&[SUBJECT]).nodes().is_empty() {
            return None;
        }
        extensions(tbs).clear();
        Some(())
    }),
    ("rfc5280.4.2.unique", "keyUsage twice", |tbs, _| {
        let one = find(tbs, &ce(15))?.clone();
        add(tbs, one)
    }),
    ("rfc5280.4.2.unique", "extKeyUsage twice", |tbs, _| {
        let one = find(tbs, &ce(37))?.clone();
        add(tbs, one)
    }),
    ("rfc5280.4.2.unique", "subjectAltName twice", |tbs, _| {
        let one = find(tbs, &ce(17))?.clone();
        add(tbs, one)
    }),
    ("rfc5280.4.2.unique", "cRLNumber twice", |tbs, _| {
        let one = find(tbs, &ce(20))?.clone();
        add(tbs, one)
    }),
    ("rfc5280.4.2.unique", "authorityKeyIdentifier twice", |tbs, _| {
        let one = find(tbs, &ce(35))?.clone();
        add(tbs, one)
    }),
    ("rfc5280.4.2.known-critical", "a critical extension that nobody knows", |tbs, _| {
        add(tbs, extension(&[0x2a, 3, 4], true, &Leaf(5, vec![])))
    }),
    // authorityKeyIdentifier.
    ("rfc5280.4.2.1.1.present", "no authorityKeyIdentifier", |tbs, good| {
        not_self_signed(good)?;
        remove(tbs, &ce(35))
    }),
    ("rfc5280.4.2.1.1.not-critical", "a critical authorityKeyIdentifier", |tbs, _| {
        toggle(find(tbs, &ce(35))?)
    }),
    ("rfc5280.4.2.1.1.form", "authorityKeyIdentifier is an OCTET STRING", |tbs, _| {
        set(tbs, &ce(35), Leaf(4, vec![7; 20]))
    }),
    ("rfc5280.4.2.1.1.key-identifier", "authorityKeyIdentifier without keyIdentifier", |tbs, _| {
        let name = Tree(0xa1, vec![Tree(0xa4, vec![ca_name("Test CA")])]);
        set(tbs, &ce(35), seq(vec![name, Leaf(0x82, vec![1])]))
    }),
    ("rfc5280.4.2.1.1.issuer-and-serial", "authorityCertIssuer alone", |tbs, _| {
        let name = Tree(0xa1, vec![Tree(0xa4, vec![ca_name("Test CA")])]);
        value(find(tbs, &ce(35))?, |inner| inner.nodes().push(name))
    }),
    ("rfc5280.4.2.1.1.issuer-and-serial", "authorityCertSerialNumber alone", |tbs, _| {
        value(find(tbs, &ce(35))?, |inner| inner.nodes().push(Leaf(0x82, vec![1])))
    }),
    // subjectKeyIdentifier.
    ("rfc5280.4.2.1.2.present", "no subjectKeyIdentifier", |tbs, _| remove(tbs, &ce(14))),
    ("rfc5280.4.2.1.2.not-critical", "a critical subjectKeyIdentifier", |tbs, _| {
        toggle(find(tbs, &ce(14))?)
    }),
    ("rfc5280.4.2.1.2.form", "subjectKeyIdentifier is a BIT STRING", |tbs, _| {
        set(tbs, &ce(14), Leaf(3, vec![0, 9]))
    }),
    // keyUsage.
    ("rfc5280.4.2.1.3.present", "no keyUsage", |tbs, _| remove(tbs, &ce(15))),
    ("rfc5280.4.2.1.3.critical", "keyUsage that is not critical", |tbs, _| {
        toggle(find(tbs, &ce(15))?)
    }),
    ("rfc5280.4.2.1.3.form", "keyUsage is an OCTET STRING", |tbs, _| {
        set(tbs, &ce(15), Leaf(4, vec![7, 0x80]))
    }),
    ("rfc5280.4.2.1.3.some-bit", "keyUsage without bits", |tbs, good| {
        end_entity(good)?;
        set(tbs, &ce(15), Leaf(3, vec![7, 0]))
    }),
    ("rfc5280.4.2.1.3.known-bits", "keyUsage with a tenth bit", |tbs, good| {
        end_entity(good)?;
        set(tbs, &ce(15), Leaf(3, vec![6, 0x80, 0x40]))
    }),
    ("rfc5280.4.2.1.3.ca", "a CA without keyCertSign", |tbs, good| {
        good.ca.then_some(())?;
        set(tbs, &ce(15), Leaf(3, vec![1, 2]))
    }),
    ("rfc5280.4.2.1.3.end-entity", "keyCertSign of a device", |tbs, good| {
        end_entity(good)?;
        set(tbs, &ce(15), Leaf(3, vec![2, 0x84]))
    }),
    // extKeyUsage.
    ("rfc5280.4.2.1.12.form", "an OCTET STRING in extKeyUsage", |tbs, _| {
        value(find(tbs, &ce(37))?, |inner| inner.nodes().push(Leaf(4, vec![1])))
    }),
    ("rfc5280.4.2.1.12.form", "an empty extKeyUsage", |tbs, good| {
        good.limits.extended_key_usage.clear();
        set(tbs, &ce(37), seq(vec![]))
    }),
    ("rfc5280.4.2.1.12.any-critical", "a critical anyExtendedKeyUsage", |tbs, good| {
        good.limits.extended_key_usage.push("2.5.29.37.0".parse().unwrap());
        value(find(tbs, &ce(37))?, |inner| inner.nodes().push(oid(&[0x55, 0x1d, 37, 0])))?;
        toggle(find(tbs, &ce(37))?)
    }),
    // basicConstraints.
    ("rfc5280.4.2.1.9.form", "basicConstraints with a string", |tbs, _| {
        value(find(tbs, &ce(19))?, |inner| inner.nodes().push(Leaf(12, vec![])))
    }),
    ("rfc5280.4.2.1.9.critical", "basicConstraints that is not critical", |tbs, _| {
        toggle(find(tbs, &ce(19))?)
    }),
    ("rfc5280.4.2.1.9.path-len", "pathLenConstraint of a device", |tbs, good| {
        end_entity(good)?;
        add(tbs, extension(&ce(19), true, &seq(vec![Leaf(2, vec![0])])))
    }),
    ("rfc5280.4.2.1.9.path-len", "a negative pathLenConstraint", |tbs, good| {
        good.path_len?;
        value(find(tbs, &ce(19))?, |inner| *inner.at(&[1]) = Leaf(2, vec![0xff]))
    }),
    // subjectAltName.
    ("rfc5280.4.2.1.6.form", "an empty subjectAltName", |tbs, _| set(tbs, &ce(17), seq(vec![]))),
    ("rfc5280.4.2.1.6.form", "a string in subjectAltName", |tbs, good| {
        good.limits.san.clear();
        set(tbs, &ce(17), seq(vec![Leaf(12, b"device-1".to_vec())]))
    }),
    ("rfc5280.4.2.1.6.critical", "subjectAltName critical with a subject", |tbs, _| {
        if tbs.at(&[SUBJECT]).der().len() == 2 {
            return None;
        }
        toggle(find(tbs, &ce(17))?)
    }),
    ("rfc5280.4.2.1.6.dns-name", "a dNSName with a blank", |tbs, _| {
        san(tbs, 0x82, b"device 1.example.com")
    }),
    ("rfc5280.4.2.1.6.dns-name", "a dNSName with an underscore", |tbs, _| {
        san(tbs, 0x82, b"device!1.example.com")
    }),
    ("rfc5280.4.2.1.6.dns-name", "a dNSName with an empty label", |tbs, _| {
        san(tbs, 0x82, b"a..example.com")
    }),
    ("rfc5280.4.2.1.6.dns-name", "a dNSName with a long label", |tbs, _| {
        san(tbs, 0x82, format!("{}.example.com", "a".repeat(64)).as_bytes())
    }),
    ("rfc5280.4.2.1.6.dns-name", "a dNSName of 300 bytes", |tbs, _| {
        san(tbs, 0x82, format!("{}com", "abcdefghi.".repeat(30)).as_bytes())
    }),
    ("rfc5280.4.2.1.6.ip-address", "an iPAddress of 5 bytes", |tbs, _| {
        san(tbs, 0x87, &[192, 0, 2, 1, 0])
    }),
    ("rfc5280.4.2.1.6.ip-address", "an iPAddress with a mask", |tbs, _| {
        san(tbs, 0x87, &[192, 0, 2, 0, 255, 255, 255, 0])
    }),
    ("rfc5280.4.2.1.6.uri", "a URI without a scheme", |tbs, _| san(tbs, 0x86, b"/device-1")),
    ("rfc5280.4.2.1.6.uri", "a URI with a blank", |tbs, _| {
        san(tbs, 0x86, b"https://example.com/device 1")
    }),
    ("rfc5280.4.2.1.6.uri", "a URI with half an escape", |tbs, _| {
        san(tbs, 0x86, b"https://example.com/%4")
    }),
    ("rfc5280.4.2.1.6.rfc822-name", "a mailbox without a host", |tbs, _| {
        san(tbs, 0x81, b"device-1")
    }),
    ("rfc5280.4.2.1.6.rfc822-name", "a mailbox with a blank", |tbs, _| {
        san(tbs, 0x81, b"device 1@example.com")
    }),
    ("rfc5280.4.2.1.6.rfc822-name", "a mailbox with two dots", |tbs, _| {
        san(tbs, 0x81, b"device..1@example.com")
    }),
    ("rfc5280.4.2.1.6.directory-name", "an empty directoryName", |tbs, _| {
        san(tbs, 0xa4, &[0x30, 0])
    }),
    ("rfc5280.4.2.1.6.registered-id", "a registeredID that is cut short", |tbs, _| {
        san(tbs, 0x88, &[0x2a, 0x86])
    }),
    ("rfc5280.4.2.1.6.other-name", "an otherName without a value", |tbs, good| {
        good.limits.san.push(SanKind::Other);
        san(tbs, 0xa0, &[6, 2, 0x2a, 3])
    }),
    // nameConstraints.
    ("rfc5280.4.2.1.10.critical", "nameConstraints that is not critical", |tbs, _| {
        toggle(find(tbs, &ce(30))?)
    }),
    ("rfc5280.4.2.1.10.ca", "nameConstraints of a device", |tbs, good| {
        end_entity(good)?;
        let base = seq(vec![Leaf(0x82, b"example.com".to_vec())]);
        add(tbs, extension(&ce(30), true, &seq(vec![Tree(0xa0, vec![base])])))
    }),
    ("rfc5280.4.2.1.10.form", "an empty nameConstraints", |tbs, _| set(tbs, &ce(30), seq(vec![]))),
    ("rfc5280.4.2.1.10.form", "nameConstraints that permit an empty list", |tbs, _| {
        set(tbs, &ce(30), seq(vec![Tree(0xa0, vec![])]))
    }),
    ("rfc5280.4.2.1.10.distance", "a subtree with a minimum", |tbs, _| {
        subtree(tbs, |all| all.at(&[0]).nodes().push(Leaf(0x80, vec![1])))
    }),
    ("rfc5280.4.2.1.10.distance", "a subtree with a maximum", |tbs, _| {
        subtree(tbs, |all| all.at(&[0]).nodes().push(Leaf(0x81, vec![1])))
    }),
    ("rfc5280.4.2.1.10.address", "a subtree of an address without a mask", |tbs, _| {
        subtree(tbs, |all| *all.at(&[1, 0]) = Leaf(0x87, vec![192, 0, 2, 0]))
    }),
    ("rfc5280.4.2.1.10.address", "a subtree with a mask of scattered bits", |tbs, _| {
        subtree(tbs, |all| *all.at(&[1, 0]) = Leaf(0x87, vec![192, 0, 2, 0, 255, 0, 255, 0]))
    }),
    ("rfc5280.4.2.1.10.host", "a subtree of a name with a blank", |tbs, _| {
        subtree(tbs, |all| *all.at(&[0, 0]) = Leaf(0x82, b"example com".to_vec()))
    }),
    ("rfc5280.4.2.1.10.host", "a subtree of a dNSName with a dot before it", |tbs, _| {
        subtree(tbs, |all| *all.at(&[0, 0]) = Leaf(0x82, b".example.com".to_vec()))
    }),
    // certificatePolicies.
    ("rfc5280.4.2.1.4.form", "an empty certificatePolicies", |tbs, _| {
        set(tbs, &ce(32), seq(vec![]))
    }),
    ("rfc5280.4.2.1.4.form", "a policy with an empty list of qualifiers", |tbs, _| {
        policy(tbs, |all| *all.at(&[0, 1]) = seq(vec![]))
    }),
    ("rfc5280.4.2.1.4.unique", "a policy twice", |tbs, _| {
        policy(tbs, |all| {
            let one = all.at(&[1]).clone();
            all.nodes().push(one);
        })
    }),
    ("rfc5280.4.2.1.4.qualifier", "a qualifier that nobody knows", |tbs, _| {
        policy(tbs, |all| *all.at(&[0, 1, 0, 0]) = oid(&[0x2a, 3, 4]))
    }),
    ("rfc5280.4.2.1.4.cps", "a CPS pointer as UTF8String", |tbs, _| {
        policy(tbs, |all| *all.at(&[0, 1, 0, 1]) = Leaf(12, b"https://example.com/cps".to_vec()))
    }),
    ("rfc5280.4.2.1.4.cps", "a CPS pointer without a scheme", |tbs, _| {
        policy(tbs, |all| *all.at(&[0, 1, 0, 1]) = Leaf(0x16, b"example.com cps".to_vec()))
    }),
    ("rfc6818.3.explicit-text", "explicitText as VisibleString", |tbs, _| {
        text(tbs, 0x1a, b"for devices")
    }),
    ("rfc6818.3.explicit-text", "explicitText as BMPString", |tbs, _| text(tbs, 0x1e, &[0, b'x'])),
    ("rfc6818.3.explicit-text", "explicitText of 201 characters", |tbs, _| {
        text(tbs, 12, &[b'x'; 201])
    }),
    ("rfc5280.4.2.1.11.policy-constraints", "policyConstraints of a device", |tbs, good| {
        end_entity(good)?;
        add(tbs, extension(&ce(36), true, &seq(vec![Leaf(0x80, vec![0])])))
    }),
    (
        "rfc5280.4.2.1.11.policy-constraints",
        "policyConstraints that is not critical",
        |tbs, good| {
            good.ca.then_some(())?;
            add(tbs, extension(&ce(36), false, &seq(vec![Leaf(0x80, vec![0])])))
        },
    ),
    ("rfc5280.4.2.1.14.inhibit-any-policy", "inhibitAnyPolicy of a device", |tbs, good| {
        end_entity(good)?;
        add(tbs, extension(&ce(54), true, &Leaf(2, vec![0])))
    }),
    (
        "rfc5280.4.2.1.14.inhibit-any-policy",
        "inhibitAnyPolicy that is not critical",
        |tbs, good| {
            good.ca.then_some(())?;
            add(tbs, extension(&ce(54), false, &Leaf(2, vec![0])))
        },
    ),
    // Status.
    ("rfc5280.4.2.1.13.not-critical", "a critical cRLDistributionPoints", |tbs, good| {
        certificate(good)?;
        toggle(find(tbs, &ce(31))?)
    }),
    ("rfc5280.4.2.1.13.form", "an empty cRLDistributionPoints", |tbs, _| {
        set(tbs, &ce(31), seq(vec![]))
    }),
    (
        "rfc5280.4.2.1.13.name-or-issuer",
        "a DistributionPoint with nothing but reasons",
        |tbs, _| point(tbs, |all| all.nodes().push(seq(vec![Leaf(0x81, vec![6, 0x40])]))),
    ),
    ("rfc5280.4.2.1.13.name-or-issuer", "an empty DistributionPoint", |tbs, _| {
        point(tbs, |all| all.nodes().push(seq(vec![])))
    }),
    ("rfc5280.4.2.1.13.all-reasons", "a DistributionPoint for one reason alone", |tbs, _| {
        point(tbs, |all| all.at(&[0]).nodes().push(Leaf(0x81, vec![6, 0x40])))
    }),
    ("rfc5280.4.2.1.13.uri", "a DistributionPoint at a relative URI", |tbs, _| {
        point(tbs, |all| *all.at(&[0, 0, 0, 0]) = Leaf(0x86, b"/1.crl".to_vec()))
    }),
    ("rfc5280.4.2.1.13.uri", "a DistributionPoint without a host", |tbs, _| {
        point(tbs, |all| *all.at(&[0, 0, 0, 0]) = Leaf(0x86, b"http:///1.crl".to_vec()))
    }),
    ("rfc5280.4.2.2.1.not-critical", "a critical authorityInfoAccess", |tbs, _| {
        toggle(find(tbs, AIA)?)
    }),
    ("rfc5280.4.2.2.1.form", "an empty authorityInfoAccess", |tbs, _| set(tbs, AIA, seq(vec![]))),
    ("rfc5280.4.2.2.1.form", "a method without a location", |tbs, _| {
        value(find(tbs, AIA)?, |all| {
            all.at(&[0]).nodes().pop();
        })
    }),
    ("rfc5280.4.2.2.1.uri", "a location with a blank", |tbs, _| {
        value(find(tbs, AIA)?, |all| {
            *all.at(&[0, 1]) = Leaf(0x86, b"http://ca example.com/".to_vec())
        })
    }),
    ("rfc9608.2.form", "noRevAvail is an OCTET STRING", |tbs, _| {
        set(tbs, &ce(56), Leaf(4, vec![]))
    }),
    ("rfc9608.2.not-critical", "a critical noRevAvail", |tbs, _| toggle(find(tbs, &ce(56))?)),
    ("rfc9608.3.alone", "noRevAvail beside cRLDistributionPoints", |tbs, _| {
        find(tbs, &ce(31))?;
        add(tbs, extension(&ce(56), false, &Leaf(5, vec![])))
    }),
    // TBSCertList.
    ("rfc5280.5.1.structure", "no thisUpdate and no nextUpdate", |tbs, good| {
        crl(good)?;
        tbs.nodes().drain(3..5);
        Some(())
    }),
    ("rfc5280.5.1.structure", "an entry without a date", |tbs, good| {
        first_entry(tbs, good)?;
        tbs.at(&[5, 0]).nodes().remove(1);
        Some(())
    }),
    ("rfc5280.5.1.structure", "a field after the extensions", |tbs, good| {
        crl(good)?;
        tbs.nodes().push(Leaf(5, vec![]));
        Some(())
    }),
    ("rfc5280.5.1.2.1.version", "no version", |tbs, good| {
        crl(good)?;
        tbs.nodes().remove(0);
        Some(())
    }),
    ("rfc5280.5.1.2.1.version", "version 3", |tbs, good| {
        crl(good)?;
        *tbs.at(&[0]) = Leaf(2, vec![2]);
        Some(())
    }),
    ("rfc5280.5.1.2.4.form", "thisUpdate without seconds", |tbs, good| {
        this_update(tbs, good, 0x17, b"2611260000Z")
    }),
    ("rfc5280.5.1.2.4.form", "nextUpdate in another zone", |tbs, good| {
        next_update(tbs, good, 0x17, b"261127000000+0000")
    }),
    ("rfc5280.5.1.2.4.form", "nextUpdate with a fraction", |tbs, good| {
        next_update(tbs, good, 0x18, b"20510101000000.5Z")
    }),
    ("rfc5280.5.1.2.4.type", "thisUpdate of 2026 as GeneralizedTime", |tbs, good| {
        this_update(tbs, good, 0x18, b"20261126000000Z")
    }),
    ("rfc5280.5.1.2.4.type", "nextUpdate of 2026 as GeneralizedTime", |tbs, good| {
        next_update(tbs, good, 0x18, b"20261127000000Z")
    }),
    ("rfc5280.5.1.2.5.present", "no nextUpdate", |tbs, good| {
        crl(good)?;
        tbs.nodes().remove(4);
        Some(())
    }),
    ("rfc5280.5.1.2.5.order", "nextUpdate before thisUpdate", |tbs, good| {
        next_update(tbs, good, 0x17, b"261125000000Z")
    }),
    ("rfc5280.5.1.2.6.empty", "an empty list", |tbs, good| {
        crl(good)?;
        if tbs.nodes().len() == 7 {
            tbs.at(&[5]).nodes().clear();
        } else {
            tbs.nodes().insert(5, seq(vec![]));
        }
        Some(())
    }),
    ("rfc5280.5.1.2.6.unique", "a certificate twice", |tbs, good| {
        let one = first_entry(tbs, good)?;
        tbs.at(&[5]).nodes().push(one);
        Some(())
    }),
    ("rfc5280.5.1.2.6.serial", "an entry with serial number 0", |tbs, good| {
        first_entry(tbs, good)?;
        *tbs.at(&[5, 0, 0]) = Leaf(2, vec![0]);
        Some(())
    }),
    ("rfc5280.5.1.2.6.serial", "an entry with a negative serial number", |tbs, good| {
        first_entry(tbs, good)?;
        tbs.at(&[5, 0, 0]).bytes()[0] = 0x8d;
        Some(())
    }),
    ("rfc5280.5.1.2.6.serial", "an entry with a serial number of 21 bytes", |tbs, good| {
        first_entry(tbs, good)?;
        *tbs.at(&[5, 0, 0]) = Leaf(2, vec![0x0d; 21]);
        Some(())
    }),
    ("rfc5280.5.1.2.6.date", "a revocationDate of 2026 as GeneralizedTime", |tbs, good| {
        first_entry(tbs, good)?;
        *tbs.at(&[5, 0, 1]) = Leaf(0x18, b"20261125120000Z".to_vec());
        Some(())
    }),
    ("rfc5280.5.1.2.6.date", "a revocationDate without seconds", |tbs, good| {
        first_entry(tbs, good)?;
        *tbs.at(&[5, 0, 1]) = Leaf(0x17, b"2611251200Z".to_vec());
        Some(())
    }),
    ("rfc5280.5.2.3.present", "no cRLNumber", |tbs, _| remove(tbs, &ce(20))),
    ("rfc5280.5.2.3.not-critical", "a critical cRLNumber", |tbs, _| toggle(find(tbs, &ce(20))?)),
    ("rfc5280.5.2.3.form", "a negative cRLNumber", |tbs, _| set(tbs, &ce(20), Leaf(2, vec![0xff]))),
    ("rfc5280.5.2.3.form", "a cRLNumber of 21 bytes", |tbs, _| {
        set(tbs, &ce(20), Leaf(2, vec![0x67; 21]))
    }),
    ("rfc5280.5.2.3.form", "a cRLNumber as OCTET STRING", |tbs, _| {
        set(tbs, &ce(20), Leaf(4, vec![0x67]))
    }),
    ("rfc5280.5.2.4.critical", "a deltaCRLIndicator that is not critical", |tbs, good| {
        crl(good)?;
        add(tbs, extension(&ce(27), false, &Leaf(2, vec![1])))
    }),
    ("rfc5280.5.2.5.critical", "issuingDistributionPoint that is not critical", |tbs, _| {
        toggle(find(tbs, &ce(28))?)
    }),
    ("rfc5280.5.2.5.form", "an empty issuingDistributionPoint", |tbs, _| idp(tbs, seq(vec![]))),
    ("rfc5280.5.2.5.form", "issuingDistributionPoint with an unknown field", |tbs, _| {
        value(find(tbs, &ce(28))?, |all| all.nodes().push(Leaf(0x86, vec![0xff])))
    }),
    ("rfc5280.5.2.5.one-scope", "a CRL of users alone and of CAs alone", |tbs, _| {
        value(find(tbs, &ce(28))?, |all| {
            all.nodes().extend([Leaf(0x81, vec![0xff]), Leaf(0x82, vec![0xff])]);
        })
    }),
    ("rfc5280.5.3.present", "an empty list of extensions of an entry", |tbs, good| {
        first_entry(tbs, good)?;
        *tbs.at(&[5, 0, 2]) = seq(vec![]);
        Some(())
    }),
    ("rfc5280.5.3.unique", "reasonCode twice", |tbs, good| {
        set_entry(tbs, good, vec![reason(&[1]), reason(&[1])])
    }),
    ("rfc5280.5.3.critical", "a critical reasonCode", |tbs, good| {
        set_entry(tbs, good, vec![extension(&ce(21), true, &Leaf(10, vec![1]))])
    }),
    ("rfc5280.5.3.critical", "a critical invalidityDate", |tbs, good| {
        let date = Leaf(0x18, b"20261120000000Z".to_vec());
        set_entry(tbs, good, vec![extension(&ce(24), true, &date)])
    }),
    ("rfc5280.5.3.1.form", "reasonCode 7", |tbs, good| set_entry(tbs, good, vec![reason(&[7])])),
    ("rfc5280.5.3.1.form", "reasonCode 11", |tbs, good| set_entry(tbs, good, vec![reason(&[11])])),
    ("rfc5280.5.3.1.form", "reasonCode as INTEGER", |tbs, good| {
        set_entry(tbs, good, vec![extension(&ce(21), false, &Leaf(2, vec![1]))])
    }),
    ("rfc5280.5.3.1.unspecified", "reasonCode unspecified", |tbs, good| {
        set_entry(tbs, good, vec![reason(&[0])])
    }),
    ("rfc5280.5.3.1.remove", "reasonCode removeFromCRL", |tbs, good| {
        set_entry(tbs, good, vec![reason(&[8])])
    }),
    ("rfc5280.5.3.2.form", "invalidityDate as UTCTime", |tbs, good| {
        let date = Leaf(0x17, b"261120000000Z".to_vec());
        set_entry(tbs, good, vec![extension(&ce(24), false, &date)])
    }),
    ("rfc5280.5.3.2.form", "invalidityDate with a fraction", |tbs, good| {
        let date = Leaf(0x18, b"20261120000000.5Z".to_vec());
        set_entry(tbs, good, vec![extension(&ce(24), false, &date)])
    }),
    ("rfc5280.5.3.3.indirect", "certificateIssuer in a CRL that is not indirect", |tbs, good| {
        let names = seq(vec![Tree(0xa4, vec![ca_name("Test CA")])]);
        set_entry(tbs, good, vec![extension(&ce(29), true, &names)])
    }),
    // Agreement with CA, record and profile.
    ("profile.issuer", "another issuer", |tbs, good| {
        let place = if good.crl { 2 } else { ISSUER };
        *tbs.at(&[place]) = ca_name("Other CA");
        Some(())
    }),
    ("profile.issuer", "the issuer in another string type", |tbs, good| {
        let place = if good.crl { 2 } else { ISSUER };
        *tbs.at(&[place]) = seq(vec![attribute(10, 0x13, "Example"), attribute(3, 12, "Test CA")]);
        Some(())
    }),
    ("profile.authority-key", "the key identifier of another CA", |tbs, _| {
        set(tbs, &ce(35), seq(vec![Leaf(0x80, vec![8; 20])]))
    }),
    ("profile.serial-number", "another serial number than on record", |tbs, good| {
        certificate(good)?;
        tbs.at(&[SERIAL]).bytes()[3] ^= 1;
        Some(())
    }),
    ("profile.serial-random", "a serial number of 7 bytes", |tbs, good| {
        recorded(tbs, good, &[0x0d, 1, 2, 3, 4, 5, 6])
    }),
    ("profile.public-key", "another key than on record", |tbs, good| {
        certificate(good)?;
        good.spki_sha256[0] ^= 1;
        let serial = [0x0d, 9, 9, 9, 9, 9, 9, 9, 9];
        recorded(tbs, good, &serial)
    }),
    ("profile.validity", "valid before the CA", |tbs, good| {
        good.limits.longest = Duration::from_secs(u64::MAX);
        not_before(tbs, good, 0x17, b"200101000000Z")
    }),
    ("profile.validity", "valid after the CA", |tbs, good| {
        good.limits.longest = Duration::from_secs(u64::MAX);
        not_after(tbs, good, 0x18, b"99991231235959Z")
    }),
    ("profile.lifetime", "valid for longer than the profile has it", |tbs, good| {
        end_entity(good)?;
        not_after(tbs, good, 0x17, b"281126000000Z")
    }),
    ("profile.ca", "cA of a device", |tbs, good| {
        end_entity(good)?;
        if find(tbs, &ce(56)).is_some() {
            return None;
        }
        set(tbs, &ce(15), Leaf(3, vec![1, 6]))?;
        add(tbs, super::ca_constraints(None))
    }),
    ("profile.path-len", "another pathLenConstraint", |tbs, good| {
        good.path_len?;
        value(find(tbs, &ce(19))?, |inner| *inner.at(&[1]) = Leaf(2, vec![3]))
    }),
    ("profile.path-len", "no pathLenConstraint", |tbs, good| {
        good.path_len?;
        value(find(tbs, &ce(19))?, |inner| {
            inner.nodes().pop();
        })
    }),
    ("profile.key-kind", "a key that the profile does not accept", |tbs, good| {
        end_entity(good)?;
        good.limits.keys = vec![KeyKind::P384, KeyKind::Rsa(3072)];
        let serial = [0x0d, 8, 8, 8, 8, 8, 8, 8, 8];
        recorded(tbs, good, &serial)
    }),
    ("profile.extended-key-usage", "a purpose that the profile does not allow", |tbs, _| {
        let purpose = oid(&[0x2b, 6, 1, 5, 5, 7, 3, 9]);
        value(find(tbs, &ce(37))?, |inner| inner.nodes().push(purpose))
    }),
    ("profile.extended-key-usage", "no extKeyUsage", |tbs, _| remove(tbs, &ce(37))),
    ("profile.san-kind", "a kind of name that the profile does not accept", |tbs, _| {
        san(tbs, 0x88, &[0x2a, 3, 4])
    }),
    ("profile.crl-number", "the number of the last CRL", |tbs, good| {
        crl(good)?;
        set(tbs, &ce(20), Leaf(2, good.last_number.clone()?))
    }),
    ("profile.crl-number", "a shorter number than that of the last CRL", |tbs, good| {
        crl(good)?;
        set(tbs, &ce(20), Leaf(2, vec![0x7f]))
    }),
    ("profile.crl-scope", "a partition at another URI", |tbs, _| {
        let name = Tree(0xa0, vec![Leaf(0x86, b"http://crl.example.com/2.crl".to_vec())]);
        idp(tbs, seq(vec![Tree(0xa0, vec![name])]))
    }),
    ("profile.crl-scope", "a full CRL with issuingDistributionPoint", |tbs, good| {
        crl(good)?;
        if good.partition {
            return None;
        }
        add(tbs, extension(&ce(28), true, &seq(vec![Leaf(0x81, vec![0xff])])))
    }),
];
