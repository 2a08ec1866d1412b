//! TBS structures that break one rule of the linter each: good ones, written by hand, and changes to them.
//! Nothing here is of the library, so that neither writer nor linter can agree with itself.
#![allow(dead_code, reason = "est and interop use different parts")]

use estd::{
    lint::{
        CertificateRole, CrlScope, ExpectedCertificate, ExpectedCrl, ExpectedIssuer, ProfileLimits,
    },
    pki::{PrivateKey, sha256},
    types::{KeyKind, SanKind, Serial, Time},
};
use std::{sync::Arc, time::Duration};

/// DER as a tree. A change may write what no encoder would.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Leaf(u8, Vec<u8>),
    Tree(u8, Vec<Self>),
    Raw(Vec<u8>),
}
use Node::{Leaf, Raw, Tree};

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let head = match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, short @ 0..128] => vec![tag, short],
        [0, long] => vec![tag, 0x81, long],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

impl Node {
    pub(crate) fn parse(mut bytes: &[u8]) -> Vec<Self> {
        let mut out = Vec::new();
        while let [tag, first, rest @ ..] = bytes {
            let (length, rest) = match first {
                0x81 => (usize::from(rest[0]), &rest[1..]),
                0x82 => (usize::from(rest[0]) << 8 | usize::from(rest[1]), &rest[2..]),
                short => (usize::from(*short), rest),
            };
            let (content, rest) = rest.split_at(length);
            out.push(if tag & 0x20 == 0 {
                Leaf(*tag, content.to_vec())
            } else {
                Tree(*tag, Self::parse(content))
            });
            bytes = rest;
        }
        out
    }

    fn one(bytes: &[u8]) -> Self {
        Self::parse(bytes).remove(0)
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        match self {
            Leaf(tag, content) => tlv(*tag, content),
            Tree(tag, nodes) => tlv(*tag, &nodes.iter().flat_map(Self::der).collect::<Vec<_>>()),
            Raw(bytes) => bytes.clone(),
        }
    }

    fn nodes(&mut self) -> &mut Vec<Self> {
        match self {
            Tree(_, nodes) => nodes,
            other => panic!("{other:?}"),
        }
    }

    fn bytes(&mut self) -> &mut Vec<u8> {
        match self {
            Leaf(_, bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    fn at(&mut self, path: &[usize]) -> &mut Self {
        path.iter().fold(self, |node, place| &mut node.nodes()[*place])
    }

    fn tag(&mut self) -> &mut u8 {
        match self {
            Leaf(tag, _) | Tree(tag, _) => tag,
            Raw(_) => panic!(),
        }
    }
}

fn seq(nodes: Vec<Node>) -> Node {
    Tree(0x30, nodes)
}

fn oid(bytes: &[u8]) -> Node {
    Leaf(6, bytes.to_vec())
}

fn ce(last: u8) -> Vec<u8> {
    vec![0x55, 0x1d, last]
}

const AIA: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

fn extension(kind: &[u8], critical: bool, value: &Node) -> Node {
    let critical = critical.then(|| Leaf(1, vec![0xff]));
    let value = Leaf(4, value.der());
    seq(std::iter::once(oid(kind)).chain(critical).chain([value]).collect())
}

fn attribute(last: u8, tag: u8, text: &str) -> Node {
    Tree(0x31, vec![seq(vec![oid(&[0x55, 4, last]), Leaf(tag, text.into())])])
}

const NAME_TAG: u8 = 12;

fn ca_name(text: &str) -> Node {
    seq(vec![attribute(10, NAME_TAG, "Example"), attribute(3, NAME_TAG, text)])
}

const KEY_ID: [u8; 20] = [7; 20];
const URI: &[u8] = b"http://crl.example.com/1.crl";
/// 2026-11-26.
const FROM: u64 = 1_795_651_200;

/// AlgorithmIdentifier of the CA: ecdsa-with-SHA256, or that of another kind.
fn algorithm(kind: KeyKind) -> Node {
    let ecdsa = |last| seq(vec![oid(&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, last])]);
    match kind {
        KeyKind::Ed25519 => seq(vec![oid(&[0x2b, 0x65, 0x70])]),
        KeyKind::Rsa(_) => {
            seq(vec![oid(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), Leaf(5, vec![])])
        }
        KeyKind::P384 => ecdsa(3),
        _ => ecdsa(2),
    }
}

fn key_usage(bits: &[u8]) -> Node {
    extension(&ce(15), true, &Leaf(3, bits.to_vec()))
}

fn key_identifier(number: u8) -> Node {
    if number == 35 {
        extension(&ce(35), false, &seq(vec![Leaf(0x80, KEY_ID.to_vec())]))
    } else {
        extension(&ce(14), false, &Leaf(4, [9; 20].to_vec()))
    }
}

fn distribution_points() -> Node {
    let name = Tree(0xa0, vec![Tree(0xa0, vec![Leaf(0x86, URI.to_vec())])]);
    extension(&ce(31), false, &seq(vec![seq(vec![name])]))
}

fn access(ocsp: bool) -> Node {
    let one = |last, uri: &[u8]| {
        seq(vec![oid(&[0x2b, 6, 1, 5, 5, 7, 0x30, last]), Leaf(0x86, uri.to_vec())])
    };
    let mut all = vec![one(2, b"http://ca.example.com/ca.cer")];
    if ocsp {
        all.push(one(1, b"http://ocsp.example.com/"));
    }
    extension(AIA, false, &seq(all))
}

fn policies() -> Node {
    let cps = seq(vec![
        oid(&[0x2b, 6, 1, 5, 5, 7, 2, 1]),
        Leaf(0x16, b"https://example.com/cps".to_vec()),
    ]);
    let notice = seq(vec![
        oid(&[0x2b, 6, 1, 5, 5, 7, 2, 2]),
        seq(vec![Leaf(12, b"for devices of Example".to_vec())]),
    ]);
    let policy = |last| oid(&[0x2b, 6, 1, 4, 1, 0x82, 0x37, last]);
    let all = vec![seq(vec![policy(1), seq(vec![cps, notice])]), seq(vec![policy(2)])];
    extension(&ce(32), false, &seq(all))
}

fn names(critical: bool) -> Node {
    let all = vec![
        Leaf(0x82, b"device-1.example.com".to_vec()),
        Leaf(0x87, vec![192, 0, 2, 1]),
        Leaf(0x86, b"https://example.com/device-1".to_vec()),
        Leaf(0x81, b"device-1@example.com".to_vec()),
    ];
    extension(&ce(17), critical, &seq(all))
}

fn purposes() -> Node {
    let purpose = |last| oid(&[0x2b, 6, 1, 5, 5, 7, 3, last]);
    extension(&ce(37), false, &seq(vec![purpose(2), purpose(1)]))
}

fn ca_constraints(path_len: Option<u8>) -> Node {
    let length = path_len.map(|length| Leaf(2, vec![length]));
    extension(&ce(19), true, &seq(std::iter::once(Leaf(1, vec![0xff])).chain(length).collect()))
}

fn name_constraints() -> Node {
    let subtree = |tag, name: &[u8]| seq(vec![Leaf(tag, name.to_vec())]);
    let permitted = vec![
        subtree(0x82, b"example.com"),
        subtree(0x87, &[192, 0, 2, 0, 255, 255, 255, 0]),
        subtree(0x81, b"example.com"),
    ];
    let excluded = vec![subtree(0x82, b"secret.example.com")];
    extension(&ce(30), true, &seq(vec![Tree(0xa0, permitted), Tree(0xa1, excluded)]))
}

/// A good structure, and what it must agree with.
#[derive(Clone)]
pub(crate) struct Good {
    pub(crate) name: &'static str,
    pub(crate) tbs: Node,
    pub(crate) crl: bool,
    path_len: Option<u8>,
    ca: bool,
    pub(crate) self_signed: bool,
    /// The certificate's own key.
    pub(crate) key: Option<Arc<PrivateKey>>,
    partition: bool,
    last_number: Option<Vec<u8>>,
    pub(crate) issuer: Vec<u8>,
    pub(crate) algorithm: Vec<u8>,
    serial: Serial,
    spki_sha256: [u8; 32],
    limits: ProfileLimits,
}

pub(crate) fn limits() -> ProfileLimits {
    ProfileLimits {
        extended_key_usage: ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]
            .map(|oid| oid.parse().unwrap())
            .to_vec(),
        keys: vec![KeyKind::P256, KeyKind::Ed25519, KeyKind::Rsa(2048)],
        san: vec![SanKind::Dns, SanKind::Ip, SanKind::Uri, SanKind::Email],
        longest: Duration::from_secs(365 * 86_400),
    }
}

fn certificate(
    name: &'static str,
    signer: KeyKind,
    kind: KeyKind,
    subject: Node,
    extensions: Vec<Node>,
) -> Good {
    let own = PrivateKey::generate(kind).unwrap();
    let key = own.public_key_spki_der().unwrap();
    let serial = [0x0d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    let issuer = ca_name("Test CA");
    let validity =
        seq(vec![Leaf(0x17, b"261126000000Z".to_vec()), Leaf(0x17, b"271125235959Z".to_vec())]);
    let tbs = seq(vec![
        Tree(0xa0, vec![Leaf(2, vec![2])]),
        Leaf(2, serial.to_vec()),
        algorithm(signer),
        issuer.clone(),
        validity,
        subject,
        Node::one(&key),
        Tree(0xa3, vec![seq(extensions)]),
    ]);
    Good {
        name,
        tbs,
        crl: false,
        path_len: None,
        ca: false,
        self_signed: false,
        key: Some(Arc::new(own)),
        partition: false,
        last_number: None,
        issuer: issuer.der(),
        algorithm: algorithm(signer).der(),
        serial: Serial::parse(&serial).unwrap(),
        spki_sha256: sha256(&key),
        limits: limits(),
    }
}

fn entry(serial: u8, extensions: Vec<Node>) -> Node {
    let list = (!extensions.is_empty()).then(|| seq(extensions));
    let serial = Leaf(2, vec![0x0d, 1, 2, 3, 4, 5, 6, 7, serial]);
    let date = Leaf(0x17, b"261125120000Z".to_vec());
    seq([serial, date].into_iter().chain(list).collect())
}

fn crl(name: &'static str, partition: bool, entries: Option<Vec<Node>>) -> Good {
    let number = extension(&ce(20), false, &Leaf(2, vec![0x67, 1, 2, 3]));
    let mut extensions = vec![key_identifier(35), number];
    if partition {
        let name = Tree(0xa0, vec![Tree(0xa0, vec![Leaf(0x86, URI.to_vec())])]);
        extensions.push(extension(&ce(28), true, &seq(vec![name])));
    }
    let issuer = ca_name("Test CA");
    let times = [&b"261126000000Z"[..], b"261127000000Z"].map(|time| Leaf(0x17, time.to_vec()));
    let head = [Leaf(2, vec![1]), algorithm(KeyKind::P256), issuer.clone()];
    let all = head.into_iter().chain(times).chain(entries.map(seq));
    let tbs = seq(all.chain([Tree(0xa0, vec![seq(extensions)])]).collect());
    Good {
        name,
        tbs,
        crl: true,
        path_len: None,
        ca: false,
        self_signed: false,
        key: None,
        partition,
        last_number: Some(vec![0x67, 1, 2, 2]),
        issuer: issuer.der(),
        algorithm: algorithm(KeyKind::P256).der(),
        serial: Serial::placeholder(),
        spki_sha256: [0; 32],
        limits: limits(),
    }
}

/// The good structures: end entities with each type of key, CAs, CRLs.
pub(crate) fn good() -> Vec<Good> {
    let subject = || {
        seq(vec![
            attribute(6, 0x13, "DE"),
            attribute(10, 12, "Example"),
            attribute(5, 0x13, "4711"),
            attribute(3, 12, "device-1"),
        ])
    };
    let ids = || vec![key_identifier(35), key_identifier(14)];
    let with = |more: Vec<Node>| ids().into_iter().chain(more).collect::<Vec<_>>();
    let device = certificate(
        "device p-256",
        KeyKind::P256,
        KeyKind::P256,
        subject(),
        with(vec![
            key_usage(&[7, 0x80]),
            purposes(),
            names(false),
            distribution_points(),
            access(false),
        ]),
    );
    let rsa = certificate(
        "device rsa-2048",
        KeyKind::Rsa(2048),
        KeyKind::Rsa(2048),
        subject(),
        with(vec![
            key_usage(&[5, 0xa0]),
            purposes(),
            policies(),
            names(false),
            distribution_points(),
            access(true),
        ]),
    );
    let short = certificate(
        "unnamed device ed25519",
        KeyKind::Ed25519,
        KeyKind::Ed25519,
        seq(vec![]),
        with(vec![
            key_usage(&[7, 0x80]),
            purposes(),
            names(true),
            extension(&ce(56), false, &Leaf(5, vec![])),
        ]),
    );
    let mut subordinate = certificate(
        "subordinate CA",
        KeyKind::P384,
        KeyKind::P256,
        ca_name("Subordinate CA"),
        with(vec![
            key_usage(&[1, 6]),
            ca_constraints(Some(0)),
            name_constraints(),
            policies(),
            distribution_points(),
            access(false),
        ]),
    );
    subordinate.ca = true;
    subordinate.path_len = Some(0);
    let mut root = certificate(
        "root CA",
        KeyKind::P256,
        KeyKind::P256,
        ca_name("Test CA"),
        vec![
            extension(&ce(14), false, &Leaf(4, KEY_ID.to_vec())),
            key_usage(&[1, 6]),
            ca_constraints(None),
        ],
    );
    (root.ca, root.self_signed) = (true, true);
    let reason = |number| extension(&ce(21), false, &Leaf(10, vec![number]));
    let since = || extension(&ce(24), false, &Leaf(0x18, b"20261120000000Z".to_vec()));
    let entries =
        || vec![entry(1, vec![reason(1), since()]), entry(2, vec![reason(4)]), entry(3, vec![])];
    vec![
        device,
        rsa,
        short,
        subordinate,
        root,
        crl("full CRL", false, Some(entries())),
        crl("CRL of a partition", true, Some(entries())),
        crl("CRL without entries", false, None),
    ]
}

impl Good {
    fn expected_issuer(&self) -> ExpectedIssuer<'_> {
        ExpectedIssuer {
            name: &self.issuer,
            key_identifier: &KEY_ID,
            signature_algorithm: &self.algorithm,
            not_before: Time::from_unix(FROM - 86_400),
            not_after: Time::from_unix(FROM + 40 * 365 * 86_400),
        }
    }

    pub(crate) fn expected_certificate(&self) -> ExpectedCertificate<'_> {
        let role = if self.ca {
            CertificateRole::Ca { path_len: self.path_len, self_signed: self.self_signed }
        } else {
            CertificateRole::EndEntity(Some(&self.limits))
        };
        let issuer = self.expected_issuer();
        ExpectedCertificate { issuer, serial: &self.serial, spki_sha256: &self.spki_sha256, role }
    }

    pub(crate) fn expected_crl(&self) -> ExpectedCrl<'_> {
        ExpectedCrl {
            issuer: self.expected_issuer(),
            last_number: self.last_number.as_deref(),
            scope: if self.partition {
                CrlScope::Partition(std::str::from_utf8(URI).unwrap())
            } else {
                CrlScope::Full
            },
        }
    }

    /// The kind of key that signs it.
    pub(crate) fn signer(&self) -> KeyKind {
        [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519, KeyKind::Rsa(2048)]
            .into_iter()
            .find(|kind| algorithm(*kind).der() == self.algorithm)
            // Of no kind: the signature is not checked.
            .unwrap_or(KeyKind::P256)
    }
}

/// A structure that breaks a rule.
pub(crate) struct Malformed {
    /// The id of the rule.
    pub(crate) rule: &'static str,
    /// The good one, and the change.
    pub(crate) name: String,
    pub(crate) good: Good,
    pub(crate) der: Vec<u8>,
}

#[path = "malformed_changes.rs"]
mod changes;

/// Every change to every good structure that it applies to.
pub(crate) fn all() -> Vec<Malformed> {
    let all = good();
    let mut out = Vec::new();
    for (rule, change, apply) in changes::ALL {
        for one in &all {
            let mut good = one.clone();
            let mut tbs = one.tbs.clone();
            if apply(&mut tbs, &mut good).is_none() {
                continue;
            }
            let der = tbs.der();
            assert_ne!(der, one.tbs.der(), "{change} changes {}", one.name);
            let name = format!("{}: {change}", one.name);
            out.push(Malformed { rule, name, good, der });
        }
    }
    out
}
