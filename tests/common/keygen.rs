//! Requests for keys that the server makes, and what comes back: by openssl, which knows nothing of
//! the code under test.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test binaries; a test stops at the first surprise"
)]

use super::common::{new_key, openssl, openssl_with};
use const_oid::ObjectIdentifier;
use estd::{
    clock::{Clock, SystemClock},
    pki::{CsrBuilder, PrivateKey},
};
use std::path::Path;

/// id-aa-decryptKeyID.
pub(crate) const DECRYPT_KEY_ID: &str = "1.2.840.113549.1.9.16.2.37";
/// id-aa-asymmDecryptKeyID.
pub(crate) const ASYMMETRIC_DECRYPT_KEY_ID: &str = "1.2.840.113549.1.9.16.2.54";
/// smimeCapabilities.
pub(crate) const SMIME_CAPABILITIES: &str = "1.2.840.113549.1.9.15";

pub(crate) const AES_128_CBC: &str = "300b0609608648016503040102";
pub(crate) const AES_256_CBC: &str = "300b060960864801650304012a";
pub(crate) const AES_128_WRAP: &str = "300b0609608648016503040105";
pub(crate) const AES_256_WRAP: &str = "300b060960864801650304012d";
pub(crate) const DES_EDE3_CBC: &str = "300a06082a864886f70d0307";
pub(crate) const RSA_PKCS1: &str = "300d06092a864886f70d0101010500";
pub(crate) const OAEP_SHA1: &str = "300d06092a864886f70d0101073000";
pub(crate) const OAEP_SHA256: &str = "303c06092a864886f70d010107302fa00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500";
/// dhSinglePass-stdDH-sha256kdf with aes256-wrap.
pub(crate) const ECDH_SHA256_AES_256: &str = "301506062b8104010b01300b060960864801650304012d";
/// dhSinglePass-stdDH-sha384kdf with aes256-wrap.
pub(crate) const ECDH_SHA384_AES_256: &str = "301506062b8104010b02300b060960864801650304012d";
/// dhSinglePass-stdDH-sha512kdf with aes128-wrap.
pub(crate) const ECDH_SHA512_AES_128: &str = "301506062b8104010b03300b0609608648016503040105";

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A DER element.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match content.len() {
        short @ 0..=127 => out.push(u8::try_from(short).unwrap()),
        middle @ 128..=255 => out.extend([0x81, u8::try_from(middle).unwrap()]),
        long => {
            out.push(0x82);
            out.extend(u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

/// A CSR (DER) for a key to be made.
pub(crate) struct Wanted {
    kind: &'static str,
    builder: CsrBuilder,
}

impl Wanted {
    /// `kind` as `new_key` takes it.
    pub(crate) fn new(kind: &'static str, subject: &str) -> Self {
        Self { kind, builder: CsrBuilder::new().subject(subject).unwrap() }
    }

    pub(crate) fn attribute(mut self, oid: &str, value: &[u8]) -> Self {
        let oid = ObjectIdentifier::new(oid).unwrap();
        self.builder = self.builder.attribute(oid, value).unwrap();
        self
    }

    pub(crate) fn symmetric(self, id: &[u8]) -> Self {
        self.attribute(DECRYPT_KEY_ID, &tlv(4, id))
    }

    pub(crate) fn asymmetric(self, id: &[u8]) -> Self {
        self.attribute(ASYMMETRIC_DECRYPT_KEY_ID, &tlv(4, id))
    }

    pub(crate) fn capabilities(self, listed: &[&str]) -> Self {
        let listed: Vec<u8> = listed.iter().flat_map(|one| unhex(one)).collect();
        self.attribute(SMIME_CAPABILITIES, &tlv(0x30, &listed))
    }

    pub(crate) fn csr(&self) -> Vec<u8> {
        let key = PrivateKey::from_pem(new_key(self.kind), None).unwrap();
        self.builder.build(&key).unwrap()
    }
}

/// A part of a multipart answer: its header lines, and its content as it stands.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub headers: Vec<String>,
    pub content: Vec<u8>,
}

impl Part {
    pub(crate) fn der(&self) -> Vec<u8> {
        openssl_with(&["base64", "-d", "-A"], &compact(&self.content))
    }
}

fn compact(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect()
}

/// Splits a multipart body to the letter of RFC 2046 §5.1.1: no preamble, no epilogue, CRLF only.
pub(crate) fn parts(content_type: &str, body: &[u8]) -> Vec<Part> {
    let boundary = content_type.strip_prefix("multipart/mixed; boundary=").unwrap();
    assert!(boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()) && boundary.len() <= 70);
    let text = std::str::from_utf8(body).unwrap();
    assert!(!text.replace("\r\n", "").contains(['\r', '\n']), "CRLF line ends only");
    let inside = text
        .strip_prefix(&format!("--{boundary}\r\n"))
        .unwrap()
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .unwrap();
    inside
        .split(&format!("\r\n--{boundary}\r\n"))
        .map(|part| {
            let (head, content) = part.split_once("\r\n\r\n").unwrap();
            assert!(content.split("\r\n").all(|line| (1..=76).contains(&line.len())), "{content}");
            Part {
                headers: head.split("\r\n").map(str::to_owned).collect(),
                content: content.as_bytes().to_vec(),
            }
        })
        .collect()
}

/// The public key of a private key in PKCS#8, PEM.
pub(crate) fn public_of_pkcs8(der: &[u8]) -> Vec<u8> {
    openssl_with(&["pkey", "-inform", "DER", "-pubout"], der)
}

/// The certificate in a certs-only message, PEM.
pub(crate) fn certificate_of(certs_only: &[u8]) -> Vec<u8> {
    openssl_with(&["pkcs7", "-inform", "DER", "-print_certs"], certs_only)
}

/// The public key of a certificate, PEM.
pub(crate) fn public_of_certificate(pem: &[u8]) -> Vec<u8> {
    openssl_with(&["x509", "-noout", "-pubkey"], pem)
}

/// `openssl cms -decrypt`, then `-verify` under this root: the private key, PKCS#8. `with` is what
/// decrypts, as openssl's arguments.
pub(crate) fn opened(message: &[u8], with: &[&str], root: &Path) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("enveloped"), message).unwrap();
    let (enveloped, signed) = (at("enveloped"), at("signed"));
    let decrypt =
        ["cms", "-decrypt", "-binary", "-inform", "DER", "-in", &enveloped, "-out", &signed];
    openssl(&[&decrypt[..], with].concat());
    // EnvelopedData says of which type its content is, so that is the bare SignedData (RFC 5652
    // §6.1); openssl wants a ContentInfo around it.
    let bare = std::fs::read(&signed).unwrap();
    assert_eq!(bare[0], 0x30);
    let signed_data = unhex("06092a864886f70d010702");
    let whole = tlv(0x30, &[signed_data, tlv(0xa0, &bare)].concat());
    std::fs::write(&signed, whole).unwrap();
    let package = at("package");
    // Some servers under test have a clock that is an hour ahead.
    let later = (SystemClock.now().unix() + 7200).to_string();
    // The signer is a server: not somebody who signs mail.
    openssl(&[
        "cms",
        "-verify",
        "-binary",
        "-inform",
        "DER",
        "-in",
        &signed,
        "-CAfile",
        root.to_str().unwrap(),
        "-purpose",
        "any",
        "-attime",
        &later,
        "-out",
        &package,
    ]);
    let listed = openssl(&["cms", "-cmsout", "-print", "-inform", "DER", "-in", &signed]);
    let listed = String::from_utf8(listed).unwrap();
    assert!(listed.contains("eContentType: undefined (2.16.840.1.101.2.1.2.78.5)"), "{listed}");
    // AsymmetricKeyPackage: a SEQUENCE OF one OneAsymmetricKey.
    let parsed = openssl(&["asn1parse", "-inform", "DER", "-in", &package]);
    let parsed = String::from_utf8(parsed).unwrap();
    assert_eq!(parsed.lines().filter(|line| line.contains("d=1 ")).count(), 1, "{parsed}");
    openssl(&[
        "asn1parse",
        "-inform",
        "DER",
        "-in",
        &package,
        "-strparse",
        &inner(&parsed),
        "-noout",
        "-out",
        &at("key"),
    ]);
    std::fs::read(at("key")).unwrap()
}

/// Where the element of depth 1 begins.
fn inner(parsed: &str) -> String {
    let line = parsed.lines().find(|line| line.contains("d=1 ")).unwrap();
    line.split(':').next().unwrap().trim().to_owned()
}

/// A self-signed certificate for decryption, with its key: files `NAME.pem`, `NAME.key`. Returns its
/// subjectKeyIdentifier.
pub(crate) fn recipient(folder: &Path, name: &str, kind: &str, extensions: &[&str]) -> Vec<u8> {
    let at = |suffix: &str| folder.join(format!("{name}.{suffix}")).to_str().unwrap().to_owned();
    std::fs::write(at("key"), new_key(kind)).unwrap();
    let subject = format!("/CN={name}");
    let (key, pem) = (at("key"), at("pem"));
    let mut arguments = vec![
        "req", "-x509", "-new", "-key", &key, "-subj", &subject, "-days", "9000", "-out", &pem,
    ];
    for extension in extensions {
        arguments.extend(["-addext", extension]);
    }
    openssl(&arguments);
    let shown = openssl(&["x509", "-in", &pem, "-noout", "-ext", "subjectKeyIdentifier"]);
    let shown = String::from_utf8(shown).unwrap();
    unhex(&shown.lines().nth(1).unwrap().trim().replace(':', ""))
}
