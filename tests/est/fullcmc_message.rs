//! CMC messages built and parsed without the server's own types: plain DER, signatures by openssl.

use crate::common::*;
use der::{Decode, Encode, asn1::Any};
use x509_cert::{Certificate, spki::SubjectPublicKeyInfoOwned};

pub(crate) const PKI_DATA: &str = "1.3.6.1.5.5.7.12.2";
pub(crate) const SHA256: &str = "2.16.840.1.101.3.4.2.1";
pub(crate) const HMAC_SHA256: &str = "1.2.840.113549.2.9";

pub(crate) fn cmc(number: u32) -> String {
    format!("1.3.6.1.5.5.7.7.{number}")
}

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, short @ 0..=127] => out.push(short),
        [0, one] => out.extend([0x81, one]),
        [one, two] => out.extend([0x82, one, two]),
    }
    out.extend_from_slice(content);
    out
}

pub(crate) fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut parts = parts.to_vec();
    parts.sort();
    tlv(0x31, &parts.concat())
}

pub(crate) fn int(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let from = bytes.iter().position(|byte| *byte != 0).unwrap_or(7);
    let mut content = bytes[from..].to_vec();
    if content[0] >= 0x80 {
        content.insert(0, 0);
    }
    tlv(2, &content)
}

pub(crate) fn oct(value: &[u8]) -> Vec<u8> {
    tlv(4, value)
}

pub(crate) fn utf8(value: &str) -> Vec<u8> {
    tlv(0x0c, value.as_bytes())
}

pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    der::asn1::ObjectIdentifier::new_unwrap(dotted).to_der().unwrap()
}

pub(crate) fn algorithm(dotted: &str) -> Vec<u8> {
    seq(&[oid(dotted)])
}

pub(crate) fn control(part: u64, number: u32, value: Vec<u8>) -> Vec<u8> {
    control_oid(part, &cmc(number), &[value])
}

pub(crate) fn control_oid(part: u64, kind: &str, values: &[Vec<u8>]) -> Vec<u8> {
    seq(&[int(part), oid(kind), set(values)])
}

/// A PKCS#10 request in a PKIData.
pub(crate) fn tcr(part: u64, csr: &[u8]) -> Vec<u8> {
    tlv(0xa0, &[int(part), csr.to_vec()].concat())
}

/// The signer, and the form of its name.
#[derive(Clone)]
pub(crate) struct Signer {
    pub key: String,
    pub sid: Vec<u8>,
    pub hash: &'static str,
    pub certificate: Option<Vec<u8>>,
}

impl Signer {
    pub(crate) fn certificate(identity: &Identity) -> Self {
        let der = identity.der();
        let parsed = Certificate::from_der(&der).unwrap();
        let tbs = parsed.tbs_certificate();
        let sid = seq(&[tbs.issuer().to_der().unwrap(), tbs.serial_number().to_der().unwrap()]);
        Self { key: identity.key.clone(), sid, hash: "sha256", certificate: Some(der) }
    }

    /// The key of a request, by its identifier.
    pub(crate) fn new_key(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            sid: tlv(0x80, &key_identifier(key)),
            hash: "sha256",
            certificate: None,
        }
    }
}

/// SHA-1 of the key's bits, as openssl sees them.
pub(crate) fn key_identifier(key: &str) -> Vec<u8> {
    let spki = openssl_with(&["pkey", "-pubout", "-outform", "DER"], key.as_bytes());
    let spki = SubjectPublicKeyInfoOwned::from_der(&spki).unwrap();
    openssl_with(&["dgst", "-sha1", "-binary"], spki.subject_public_key.raw_bytes())
}

pub(crate) fn spki(key: &str) -> Vec<u8> {
    openssl_with(&["pkey", "-pubout", "-outform", "DER"], key.as_bytes())
}

/// A signature by openssl.
pub(crate) fn sign(key: &str, hash: &str, message: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("key"), key).unwrap();
    openssl_with(&["dgst", &format!("-{hash}"), "-sign", &at("key")], message)
}

pub(crate) fn hash(name: &str, bytes: &[u8]) -> Vec<u8> {
    openssl_with(&["dgst", &format!("-{name}"), "-binary"], bytes)
}

pub(crate) fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    openssl_with(
        &["dgst", "-sha256", "-mac", "HMAC", "-macopt", &format!("hexkey:{hex}"), "-binary"],
        message,
    )
}

/// A Full PKI Request.
#[derive(Clone)]
pub(crate) struct Message {
    pub controls: Vec<Vec<u8>>,
    pub requests: Vec<Vec<u8>>,
    pub cms: Vec<Vec<u8>>,
    pub others: Vec<Vec<u8>>,
    pub content_type: &'static str,
    pub signers: Vec<Signer>,
    pub signed_attributes: bool,
    pub broken_signature: bool,
    pub broken_digest: bool,
}

impl Message {
    pub(crate) fn by(signer: Signer) -> Self {
        Self {
            controls: Vec::new(),
            requests: Vec::new(),
            cms: Vec::new(),
            others: Vec::new(),
            content_type: PKI_DATA,
            signers: vec![signer],
            signed_attributes: true,
            broken_signature: false,
            broken_digest: false,
        }
    }

    pub(crate) fn control(mut self, control: Vec<u8>) -> Self {
        self.controls.push(control);
        self
    }

    pub(crate) fn request(mut self, request: Vec<u8>) -> Self {
        self.requests.push(request);
        self
    }

    pub(crate) fn pki_data(&self) -> Vec<u8> {
        seq(&[seq(&self.controls), seq(&self.requests), seq(&self.cms), seq(&self.others)])
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        signed_data(self, &self.pki_data())
    }
}

/// A SignedData around any content.
pub(crate) fn signed_data(message: &Message, content: &[u8]) -> Vec<u8> {
    let infos: Vec<Vec<u8>> = message
        .signers
        .iter()
        .map(|signer| {
            let (digest_oid, ecdsa) = match signer.hash {
                "sha1" => ("1.3.14.3.2.26", "1.2.840.10045.4.1"),
                "sha384" => ("2.16.840.1.101.3.4.2.2", "1.2.840.10045.4.3.3"),
                "sha512" => ("2.16.840.1.101.3.4.2.3", "1.2.840.10045.4.3.4"),
                _ => (SHA256, "1.2.840.10045.4.3.2"),
            };
            let rsa = spki(&signer.key).len() > 200;
            let mut digest = hash(signer.hash, content);
            if message.broken_digest {
                digest[0] ^= 1;
            }
            let attributes = [
                seq(&[oid("1.2.840.113549.1.9.3"), set(&[oid(message.content_type)])]),
                seq(&[oid("1.2.840.113549.1.9.4"), set(&[oct(&digest)])]),
            ];
            let signed = set(&attributes);
            let over = if message.signed_attributes { &signed } else { content };
            let mut signature = sign(&signer.key, signer.hash, over);
            if message.broken_signature {
                *signature.last_mut().unwrap() ^= 1;
            }
            let mut implicit = signed.clone();
            implicit[0] = 0xa0;
            let version = if signer.sid[0] == 0x80 { 3 } else { 1 };
            let scheme = if rsa {
                seq(&[oid("1.2.840.113549.1.1.1"), vec![5, 0]])
            } else {
                algorithm(ecdsa)
            };
            let mut parts = vec![int(version), signer.sid.clone(), algorithm(digest_oid)];
            if message.signed_attributes {
                parts.push(implicit);
            }
            parts.extend([scheme, oct(&signature)]);
            seq(&parts)
        })
        .collect();
    let certificates: Vec<Vec<u8>> =
        message.signers.iter().filter_map(|signer| signer.certificate.clone()).collect();
    let mut parts = vec![
        int(3),
        set(&[algorithm(SHA256)]),
        seq(&[oid(message.content_type), tlv(0xa0, &oct(content))]),
    ];
    if !certificates.is_empty() {
        let mut bag = set(&certificates);
        bag[0] = 0xa0;
        parts.push(bag);
    }
    parts.push(set(&infos));
    content_info("1.2.840.113549.1.7.2", &seq(&parts))
}

pub(crate) fn content_info(kind: &str, content: &[u8]) -> Vec<u8> {
    seq(&[oid(kind), tlv(0xa0, content)])
}

/// A CRMF request: the encoded fields of the template, and a proof of possession.
pub(crate) fn crm(
    cert_request: &[u8],
    popo: Option<Vec<u8>>,
    reg_info: Option<Vec<u8>>,
) -> Vec<u8> {
    let parts = [Some(cert_request.to_vec()), popo, reg_info];
    tlv(0xa1, &parts.into_iter().flatten().collect::<Vec<_>>().concat())
}

pub(crate) fn cert_request(part: u64, template: &[Vec<u8>], controls: Option<Vec<u8>>) -> Vec<u8> {
    let mut parts = vec![int(part), seq(template)];
    parts.extend(controls);
    seq(&parts)
}

/// `[5] EXPLICIT Name`.
pub(crate) fn subject(common_name: &str) -> Vec<u8> {
    tlv(0xa5, &name(common_name))
}

pub(crate) fn name(common_name: &str) -> Vec<u8> {
    seq(&[set(&[seq(&[oid("2.5.4.3"), utf8(common_name)])])])
}

/// `[6] IMPLICIT SubjectPublicKeyInfo`.
pub(crate) fn public_key(key: &str) -> Vec<u8> {
    let mut spki = spki(key);
    spki[0] = 0xa6;
    spki
}

/// `[9] IMPLICIT Extensions` with the key's identifier and more.
pub(crate) fn extensions(list: &[Vec<u8>]) -> Vec<u8> {
    tlv(0xa9, &list.concat())
}

pub(crate) fn extension(kind: &str, value: &[u8]) -> Vec<u8> {
    seq(&[oid(kind), oct(value)])
}

pub(crate) fn key_identifier_extension(key: &str) -> Vec<u8> {
    extension("2.5.29.14", &oct(&key_identifier(key)))
}

/// `[1] POPOSigningKey` over a CertRequest.
pub(crate) fn popo(key: &str, cert_request: &[u8]) -> Vec<u8> {
    let signature = sign(key, "sha256", cert_request);
    let bits = tlv(3, &[vec![0], signature].concat());
    tlv(0xa1, &[algorithm("1.2.840.10045.4.3.2"), bits].concat())
}

/// The contents of a PKI Response.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub full: bool,
    pub statuses: Vec<Status>,
    /// Type and value of the other controls.
    pub controls: Vec<(String, Vec<u8>)>,
    /// ContentInfos of the cmsSequence with their numbers.
    pub cms: Vec<(u64, Vec<u8>)>,
    pub certificates: Vec<Certificate>,
}

#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) struct Status {
    pub status: u64,
    pub parts: Vec<u64>,
    pub fail: Option<u64>,
    pub pending: Option<(Vec<u8>, String)>,
}

impl Answer {
    pub(crate) fn control(&self, number: u32) -> Option<&[u8]> {
        let mut found = self.controls.iter().filter(|(kind, _)| *kind == cmc(number));
        let value = found.next().map(|(_, value)| value.as_slice());
        assert!(found.next().is_none());
        value
    }

    pub(crate) fn only_certificate(&self) -> &Certificate {
        let mut own = self.certificates.iter().filter(|certificate| {
            !certificate.tbs_certificate().subject().to_string().contains("CA")
        });
        let certificate = own.next().expect("a certificate");
        assert!(own.next().is_none(), "one certificate");
        certificate
    }

    /// Status, code and parts of the only status.
    pub(crate) fn only_status(&self) -> (u64, Option<u64>, Vec<u64>) {
        assert_eq!(self.statuses.len(), 1, "{self:?}");
        (self.statuses[0].status, self.statuses[0].fail, self.statuses[0].parts.clone())
    }
}

pub(crate) fn decoded(reply: &Reply) -> Vec<u8> {
    let compact: Vec<u8> =
        reply.body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    openssl_with(&["base64", "-d", "-A"], &compact)
}

/// Parses an answer; openssl verifies the signature of a full one up to the root.
pub(crate) fn read(server: &TestServer, reply: &Reply) -> Answer {
    let kind = reply.header("Content-Type").unwrap_or_default().to_owned();
    let full = match kind.as_str() {
        "application/pkcs7-mime; smime-type=CMC-response" => true,
        "application/pkcs7-mime; smime-type=certs-only" => false,
        other => panic!("{} {other}: {}", reply.status, reply.text()),
    };
    let answer = read_der(server, &decoded(reply), full);
    assert_eq!(answer.full, full);
    answer
}

pub(crate) fn read_der(server: &TestServer, der: &[u8], full: bool) -> Answer {
    if !full {
        let pem = openssl_with(&["pkcs7", "-inform", "DER", "-print_certs"], der);
        let certificates = Certificate::load_pem_chain(&pem).unwrap();
        return Answer { certificates, ..Answer::default() };
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(at("answer.der"), der).unwrap();
    let anchors: Vec<u8> = std::fs::read_dir(server.path("data/ca"))
        .unwrap()
        .flat_map(|ca| std::fs::read(ca.unwrap().path().join("root.pem")).unwrap())
        .collect();
    std::fs::write(at("anchors.pem"), anchors).unwrap();
    openssl(&[
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-binary",
        "-purpose",
        "any",
        "-no_check_time",
        "-CAfile",
        &at("anchors.pem"),
        "-in",
        &at("answer.der"),
        "-out",
        &at("content"),
        "-certsout",
        &at("certificates.pem"),
    ]);
    let content = std::fs::read(at("content")).unwrap();
    let pem = std::fs::read(at("certificates.pem")).unwrap();
    let certificates = Certificate::load_pem_chain(&pem).unwrap();
    Answer { certificates, ..read_content(&content) }
}

/// Reads what is inside the signature of a Full PKI Response.
pub(crate) fn read_content(content: &[u8]) -> Answer {
    let mut answer = Answer { full: true, ..Answer::default() };
    let [controls, cms, others] = <[Any; 3]>::try_from(list(content)).unwrap();
    assert!(others.value().is_empty());
    for control in list(&controls.to_der().unwrap()) {
        let [_, kind, values] = <[Any; 3]>::try_from(list(&control.to_der().unwrap())).unwrap();
        let kind = kind.decode_as::<der::asn1::ObjectIdentifier>().unwrap().to_string();
        let value = values.value().to_vec();
        if kind == cmc(25) {
            answer.statuses.push(status(&value));
        } else {
            answer.controls.push((kind, value));
        }
    }
    for object in list(&cms.to_der().unwrap()) {
        let [id, info] = <[Any; 2]>::try_from(list(&object.to_der().unwrap())).unwrap();
        answer.cms.push((number(&id), info.to_der().unwrap()));
    }
    answer
}

fn status(der: &[u8]) -> Status {
    let mut fields = list(der).into_iter();
    let status = number(&fields.next().unwrap());
    let parts = list(&fields.next().unwrap().to_der().unwrap()).iter().map(number).collect();
    let (mut fail, mut pending) = (None, None);
    for field in fields {
        match field.to_der().unwrap()[0] {
            0x0c => {}
            2 => fail = Some(number(&field)),
            0x30 => {
                let [token, time] = <[Any; 2]>::try_from(list(&field.to_der().unwrap())).unwrap();
                let time = String::from_utf8(time.value().to_vec()).unwrap();
                pending = Some((token.value().to_vec(), time));
            }
            other => panic!("tag {other}"),
        }
    }
    Status { status, parts, fail, pending }
}

pub(crate) fn list(der: &[u8]) -> Vec<Any> {
    Vec::<Any>::from_der(der).unwrap()
}

fn number(any: &Any) -> u64 {
    any.decode_as().unwrap()
}
