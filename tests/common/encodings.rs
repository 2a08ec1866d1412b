//! A certificate in encodings that its issuer never signed: what a client can alter without the CA's
//! key. The TBSCertificate is the same in all of them.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "shared by several test binaries; a test stops at the first surprise"
)]

use crate::common::{Connection, Identity, Reply, anyone};
use der::{Any, Decode, Encode};
use rustls::{
    ClientConfig, SignatureScheme,
    client::ResolvesClientCert,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{net::SocketAddr, sync::Arc};

/// The order of P-256's base point.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The form that every verifier of ECDSA accepts: (r, n - s) in place of (r, s).
pub(crate) const MALLEABLE: &str = "s replaced by n - s";

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=0x7f => out.push(u8::try_from(length).unwrap()),
        0x80..=0xff => out.extend([0x81, u8::try_from(length).unwrap()]),
        _ => {
            out.push(0x82);
            out.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// An INTEGER, DER.
fn integer(number: &[u8]) -> Vec<u8> {
    let start = number.iter().position(|byte| *byte != 0).unwrap();
    let sign: &[u8] = if number[start] >= 0x80 { &[0] } else { &[] };
    tlv(2, &[sign, &number[start..]].concat())
}

/// n - s.
fn negated(s: &[u8]) -> Vec<u8> {
    let mut padded = [0u8; 32];
    let digits = &s[s.len().saturating_sub(32)..];
    padded[32 - digits.len()..].copy_from_slice(digits);
    let (mut out, mut borrow) = (vec![0u8; 32], 0i16);
    for at in (0..32).rev() {
        let digit = i16::from(N[at]) - i16::from(padded[at]) - borrow;
        borrow = i16::from(digit < 0);
        out[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    out
}

/// Each alteration of a certificate that a P-256 CA has signed, with its name; the first one is
/// [`MALLEABLE`].
pub(crate) fn forms(der: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let [tbs, algorithm, signature] = <[Any; 3]>::try_from(Vec::<Any>::from_der(der).unwrap())
        .map(|parts| parts.map(|part| part.to_der().unwrap()))
        .unwrap();
    let bits = Any::from_der(&signature).unwrap().value().to_vec();
    let value = &bits[1..];
    let [r, s] = <[Any; 2]>::try_from(Vec::<Any>::from_der(value).unwrap()).unwrap();
    let (r, s) = (r.value(), s.value());
    let (plain_r, plain_s) = (tlv(2, r), tlv(2, s));
    let whole = |signature: Vec<u8>| tlv(0x30, &[&tbs[..], &algorithm, &signature].concat());
    let with = |value: Vec<u8>| whole(tlv(3, &[&[0][..], &value].concat()));
    let content = [&tbs[..], &algorithm, &signature].concat();
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let null = {
        let kind = Any::from_der(&algorithm).unwrap().value().to_vec();
        tlv(0x30, &[&kind[..], &[5, 0]].concat())
    };
    vec![
        (MALLEABLE, with(tlv(0x30, &[plain_r.clone(), integer(&negated(s))].concat()))),
        (
            "s replaced by n - s, lengths of the signature in the long form",
            with(
                [&[0x30, 0x81][..], &{
                    let parts = [plain_r.clone(), integer(&negated(s))].concat();
                    [&[u8::try_from(parts.len()).unwrap()][..], &parts].concat()
                }]
                .concat(),
            ),
        ),
        (
            "a leading zero in r",
            with(tlv(0x30, &[tlv(2, &[&[0], r].concat()), plain_s.clone()].concat())),
        ),
        (
            "a leading zero in s",
            with(tlv(0x30, &[plain_r.clone(), tlv(2, &[&[0], s].concat())].concat())),
        ),
        ("s + n", {
            // One byte longer than n: a verifier that reduces it accepts it.
            let (mut sum, mut carry) = (vec![0u8; 33], 0u16);
            let digits = &s[s.len().saturating_sub(32)..];
            for at in 0..32 {
                let digit = digits.len().checked_sub(at + 1).map_or(0, |at| digits[at]);
                let both = u16::from(digit) + u16::from(N[31 - at]) + carry;
                sum[32 - at] = both.to_le_bytes()[0];
                carry = both >> 8;
            }
            sum[0] = carry.to_le_bytes()[0];
            with(tlv(0x30, &[plain_r.clone(), integer(&sum)].concat()))
        }),
        (
            "bytes after s",
            with(tlv(0x30, &[plain_r.clone(), plain_s.clone(), vec![5, 0]].concat())),
        ),
        (
            "bytes after the signature",
            with([tlv(0x30, &[plain_r, plain_s].concat()), vec![0]].concat()),
        ),
        ("unused bits in the BIT STRING", whole(tlv(3, &[&[1][..], value].concat()))),
        ("a constructed BIT STRING", whole(tlv(0x23, &tlv(3, &[&[0][..], value].concat())))),
        (
            "the BIT STRING's length in the long form",
            whole([&[3, 0x82, 0][..], &[u8::try_from(bits.len()).unwrap()], &bits].concat()),
        ),
        ("NULL as parameters of the algorithm", tlv(0x30, &[&tbs[..], &null, &signature].concat())),
        ("the outer length in the long form", [&[0x30, 0x83, 0][..], &length, &content].concat()),
        ("an indefinite outer length", [&[0x30, 0x80][..], &content, &[0, 0]].concat()),
        ("bytes after the certificate", [der, &[5, 0]].concat()),
        ("bytes after the signature's BIT STRING", tlv(0x30, &[&content[..], &[5, 0]].concat())),
    ]
}

/// Shows a certificate as it is: rustls would look whether it can be read.
#[derive(Debug)]
struct AsItIs(Arc<CertifiedKey>);

impl ResolvesClientCert for AsItIs {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
    fn has_certs(&self) -> bool {
        true
    }
}

/// TLS that shows these bytes as the certificate of the device's key. Sessions are resumed.
pub(crate) fn showing(certificate: &[u8], device: &Identity) -> Arc<ClientConfig> {
    showing_chain(&[certificate.to_vec()], device)
}

/// The same with the certificates of CAs.
pub(crate) fn showing_chain(chain: &[Vec<u8>], device: &Identity) -> Arc<ClientConfig> {
    let key = PrivateKeyDer::from_pem_slice(device.key.as_bytes()).unwrap();
    let key = aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let chain = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let certified = CertifiedKey::new(chain, key);
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(anyone())
        .with_client_cert_resolver(Arc::new(AsItIs(Arc::new(certified))));
    Arc::new(config)
}

/// The answer on a new connection; none if the server ends the handshake.
pub(crate) async fn ask(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    request: &[u8],
) -> Option<Reply> {
    Connection::open_with(address, Arc::clone(config)).await.ok()?.try_send(request).await
}
