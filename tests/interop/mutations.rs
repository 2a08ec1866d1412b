//! Unusual CSRs that verify: each is rejected, or other programs can read its certificate.
//!
//! A CSR is taken apart into a tree of values, also inside its OCTET STRINGs and BIT STRINGs. One to
//! three mutations alter the tree; it is encoded with correct lengths and signed with the correct
//! key. tests/interop/drivers/der_judge.py gets the issued certificates. It has OpenSSL parse them and
//! encodes them again with two independent DER encoders.
//!
//! ```text
//! ESTD_MUTATIONS=1000000 cargo test --release --locked --test interop mutations -- --nocapture
//! ```

use crate::common::*;
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use estd::{
    ca::{Ca, Hierarchy, Order, OrderedDevice, Profile, signer::SoftSigner},
    config,
    entropy::{Entropy, SystemEntropy},
    pki::{Csr, PrivateKey},
    store::{Conditions, IdempotencyKey, MemoryStore},
    telemetry::audit::NoTrail,
    types::{Actor, KeyKind, Operation, RenewalPoint, RequestId, Time},
};
use std::{
    collections::HashSet,
    io::{Read, Write},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

const NOW: Time = Time::from_unix(1_795_262_400);

/// Numbers that are the same for the same seed (SplitMix64, Steele et al., OOPSLA 2014).
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// A value of a CSR.
#[derive(Clone)]
struct Node {
    tag: Vec<u8>,
    /// How its length is written.
    length: Length,
    content: Content,
}

#[derive(Clone, Copy, PartialEq)]
enum Length {
    Shortest,
    /// With this many bytes more than needed.
    Longer(usize),
    Indefinite,
}

#[derive(Clone)]
enum Content {
    Bytes(Vec<u8>),
    /// Values, behind bytes that belong to no value: the number of unused bits of a BIT STRING.
    Values(Vec<u8>, Vec<Node>),
}

/// The values in these bytes, if they hold nothing else.
fn values(mut bytes: &[u8]) -> Option<Vec<Node>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let (&tag, rest) = bytes.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81 => (usize::from(*rest.first()?), &rest[1..]),
            0x82 => (usize::from(*rest.first()?) << 8 | usize::from(*rest.get(1)?), &rest[2..]),
            _ => return None,
        };
        if tag & 0x1f == 0x1f || rest.len() < length {
            return None;
        }
        let (content, rest) = rest.split_at(length);
        let inner = match tag {
            _ if tag & 0x20 != 0 => Some((Vec::new(), values(content)?)),
            0x04 => values(content).filter(|all| all.len() == 1).map(|all| (Vec::new(), all)),
            0x03 if content.first() == Some(&0) => {
                values(&content[1..]).filter(|all| all.len() == 1).map(|all| (vec![0], all))
            }
            _ => None,
        };
        let content = inner.map_or_else(
            || Content::Bytes(content.to_vec()),
            |(before, all)| Content::Values(before, all),
        );
        out.push(Node { tag: vec![tag], length: Length::Shortest, content });
        bytes = rest;
    }
    Some(out)
}

impl Node {
    fn write(&self, out: &mut Vec<u8>) {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Values(before, all) => {
                let mut content = before.clone();
                all.iter().for_each(|node| node.write(&mut content));
                content
            }
        };
        out.extend_from_slice(&self.tag);
        let length = content.len().to_be_bytes();
        let needed = &length[length.iter().take_while(|byte| **byte == 0).count().min(7)..];
        match self.length {
            Length::Shortest if content.len() < 128 => out.push(length[7]),
            Length::Shortest => {
                out.push(0x80 | u8::try_from(needed.len()).unwrap());
                out.extend_from_slice(needed);
            }
            Length::Longer(more) => {
                out.push(0x80 | u8::try_from(needed.len() + more).unwrap());
                out.extend(std::iter::repeat_n(0, more));
                out.extend_from_slice(needed);
            }
            Length::Indefinite => out.push(0x80),
        }
        out.extend_from_slice(&content);
        if self.length == Length::Indefinite {
            out.extend_from_slice(&[0, 0]);
        }
    }

    fn count(&self) -> usize {
        match &self.content {
            Content::Bytes(_) => 1,
            Content::Values(_, all) => 1 + all.iter().map(Self::count).sum::<usize>(),
        }
    }

    /// The value at this place, in the order of writing.
    fn at(&mut self, place: &mut usize) -> Option<&mut Self> {
        if *place == 0 {
            return Some(self);
        }
        *place -= 1;
        match &mut self.content {
            Content::Bytes(_) => None,
            Content::Values(_, all) => all.iter_mut().find_map(|node| node.at(place)),
        }
    }

    /// Alters this value or what is directly in it.
    fn mutate(&mut self, choice: &mut Choice, others: &[Self]) {
        match (choice.below(16), &mut self.content) {
            (0, _) => self.tag[0] ^= 0x20,
            (1, _) => self.tag = vec![choice.one_of(&TAGS)],
            (2, _) => self.tag[0] = choice.byte(),
            (3, _) => {
                // The same tag with its number in further bytes.
                let number = self.tag[0] & 0x1f;
                self.tag = vec![self.tag[0] | 0x1f];
                if choice.below(2) == 0 {
                    self.tag.push(0x80);
                }
                self.tag.push(number);
            }
            (4, _) => {
                self.length = match choice.below(3) {
                    0 => Length::Indefinite,
                    more => Length::Longer(more - 1),
                }
            }
            (5, _) => *self = others[choice.below(others.len())].clone(),
            (6, _) => {
                let inner = vec![self.clone()];
                let tag = vec![choice.one_of(&[0x30, 0x31, 0xa0, 0x24])];
                *self =
                    Self { tag, length: Length::Shortest, content: Content::Values(vec![], inner) };
            }
            (_, Content::Values(before, all)) => match choice.below(6) {
                0 if !before.is_empty() => before[0] = choice.byte(),
                0 | 1 if !all.is_empty() => drop(all.remove(choice.below(all.len()))),
                2 if !all.is_empty() => {
                    let copy = all[choice.below(all.len())].clone();
                    all.insert(choice.below(all.len() + 1), copy);
                }
                3 if all.len() > 1 => {
                    let (one, other) = (choice.below(all.len()), choice.below(all.len()));
                    all.swap(one, other);
                }
                4 => all.clear(),
                _ => {
                    let other = others[choice.below(others.len())].clone();
                    all.insert(choice.below(all.len() + 1), other);
                }
            },
            (_, Content::Bytes(bytes)) => alter(bytes, self.tag[0], choice),
        }
    }
}

/// The universal types and the tags of GeneralName.
const TAGS: [u8; 34] = [
    0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x11, 0x12,
    0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1e, 0x30, 0x31, 0x80, 0x82, 0x86,
    0xa0, 0xa4,
];

/// Alters the content of a value without inner ones.
fn alter(bytes: &mut Vec<u8>, tag: u8, choice: &mut Choice) {
    let at = choice.below(bytes.len().max(1));
    match choice.below(10) {
        0 => bytes.clear(),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, choice.byte()),
        3 => bytes.insert(at, 0x80),
        4 => bytes.insert(0, choice.one_of(&[0, 0x80, 0xff])),
        5 => bytes.extend_from_slice(b"\0"),
        6 if tag == 0x06 => bytes.extend_from_slice(&[0x80, 1]),
        6 => *bytes = choice.one_of(&STRINGS).to_vec(),
        7 if !bytes.is_empty() => bytes[at] ^= 1 << choice.below(8),
        8 if !bytes.is_empty() => drop(bytes.remove(at)),
        _ if !bytes.is_empty() => bytes[at] = choice.byte(),
        _ => bytes.push(choice.byte()),
    }
}

const STRINGS: [&[u8]; 12] = [
    b"",
    b" ",
    b"a",
    b"a.example",
    b"\xc3\xa9",
    b"\xff\xfe",
    b"\0a",
    b"\xed\xa0\x80",
    b"urn:x:y",
    b"a@b.example",
    b"\x7f\0\0\x01",
    b"DE",
];

enum Key {
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
    Rsa(RsaKeyPair),
}

impl Key {
    fn new(pkcs8: &[u8], kind: KeyKind) -> Self {
        match kind {
            KeyKind::Rsa(_) => Self::Rsa(RsaKeyPair::from_pkcs8(pkcs8).unwrap()),
            KeyKind::Ed25519 => Self::Ed(Ed25519KeyPair::from_pkcs8(pkcs8).unwrap()),
            _ => {
                Self::Ec(EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8).unwrap())
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Ec(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(message).as_ref().to_vec(),
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

/// A CSR to begin with: its certificationRequestInfo, the rest of it, and its key.
struct Sample {
    info: Node,
    algorithm: Node,
    key: Key,
}

impl Sample {
    fn new(kind: KeyKind, arguments: &[&str]) -> Self {
        let private = PrivateKey::generate(kind).unwrap();
        let pem = private.to_pem(None).unwrap();
        let csr = csr_with(&pem, arguments);
        let Content::Values(_, parts) = values(&csr).unwrap().remove(0).content else { panic!() };
        let [info, algorithm, _] = parts.try_into().ok().unwrap();
        let key = Key::new(&private.to_pkcs8_der().unwrap(), kind);
        Self { info, algorithm, key }
    }

    /// This CSR, altered and signed.
    fn mutated(&self, choice: &mut Choice, others: &[Node]) -> Vec<u8> {
        let mut info = self.info.clone();
        for _ in 0..choice.one_of(&[1, 1, 1, 2, 3]) {
            let mut place = 1 + choice.below(info.count() - 1);
            if let Some(node) = info.at(&mut place) {
                node.mutate(choice, others);
            }
        }
        let mut signed = Vec::new();
        info.write(&mut signed);
        let signature = [&[0], &self.key.sign(&signed)[..]].concat();
        let mut content = signed;
        self.algorithm.write(&mut content);
        let signature =
            Node { tag: vec![0x03], length: Length::Shortest, content: Content::Bytes(signature) };
        signature.write(&mut content);
        let mut out = Vec::new();
        Node { tag: vec![0x30], length: Length::Shortest, content: Content::Bytes(content) }
            .write(&mut out);
        out
    }
}

fn samples() -> Vec<Sample> {
    let san =
        "subjectAltName=DNS:a.example,IP:192.0.2.1,IP:2001:db8::1,URI:urn:x:y,email:a@b.example";
    let other = "subjectAltName=otherName:1.2.3.4;UTF8:value,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:a@b,otherName:1.3.6.1.5.5.7.8.7;IA5:_x.example,otherName:1.2.3;INT:5,otherName:1.2.3;BITSTR:x,otherName:1.2.3;BOOL:TRUE,otherName:1.2.3;UTC:261121110000Z";
    let subject = "/C=DE/O=Example/OU=a+CN=device-1/serialNumber=12/emailAddress=a@b.example/DC=example/title=\u{e9}";
    let usage = [
        "-addext",
        "keyUsage=critical,digitalSignature",
        "-addext",
        "extendedKeyUsage=clientAuth,serverAuth",
    ];
    let more = ["-addext", "basicConstraints=CA:FALSE", "-addext", "subjectKeyIdentifier=hash"];
    let with = |kind, subject: &str, extensions: &[&str]| {
        let all = [&["-utf8", "-multivalue-rdn", "-subj", subject][..], extensions].concat();
        Sample::new(kind, &all)
    };
    vec![
        with(KeyKind::P256, subject, &[&["-addext", san][..], &usage, &more].concat()),
        with(KeyKind::Ed25519, "/CN=device-1", &["-addext", other]),
        with(KeyKind::Ed25519, "/", &["-addext", san]),
        with(KeyKind::Rsa(2048), "/CN=device-1/O=Example", &usage),
    ]
}

/// The outcome of a mutated CSR.
#[derive(Default)]
struct Tally {
    all: usize,
    rejected: usize,
    issued: usize,
    /// Certificates with different contents, which were judged.
    different: usize,
}

#[tokio::test]
#[allow(clippy::print_stdout, reason = "a long run reports its figures")]
async fn bar_5_a_mutated_csr_is_rejected_or_its_certificate_is_read_by_others() {
    let number = std::env::var("ESTD_MUTATIONS").map_or(20_000, |text| text.parse().unwrap());
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let text = "version = 1\n[profile.device]\nsan = [\"dns\", \"ip\", \"uri\", \"email\", \"other\"]\nextended_key_usage = [\"clientAuth\", \"serverAuth\"]\n";
    let settings = config::parse(text, &folder.path().join("est.toml"), &|_| None).unwrap();
    let (name, rules) = settings.live.policies.profiles.iter().next().unwrap();
    let profile = Profile::new(name.clone(), rules.clone(), &[]);
    let (ca_name, ca_rules) = settings.boot.cas.iter().next().unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let hierarchy =
        || Hierarchy::open_or_make(folder.path(), ca_name, ca_rules, None, &*entropy, NOW);
    let ca = || {
        let (hierarchy, _) = hierarchy().unwrap();
        let signer = Arc::new(SoftSigner::new(hierarchy.key));
        let store = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        let (root, issuing) = (hierarchy.root, hierarchy.issuing);
        Ca::new(ca_name.clone(), root, issuing, signer, store, Arc::clone(&entropy)).unwrap()
    };

    let samples = samples();
    let others: Vec<Node> = samples.iter().flat_map(|sample| all_of(&sample.info)).collect();
    let mut choice = Choice(7030);
    let mut tally = Tally::default();
    let mut judge = Judge::start();
    let mut seen = HashSet::new();
    let mut issuing = ca();
    for count in 0..number {
        // The store in memory grows with each certificate, so the CA is replaced periodically.
        if count % 50_000 == 49_999 {
            issuing = ca();
        }
        // RSA signatures are slow: one CSR in sixteen.
        let rsa = samples.len() - 1;
        let sample = if count % 16 == 0 { rsa } else { choice.below(rsa) };
        let csr = samples[sample].mutated(&mut choice, &others);
        tally.all += 1;
        let content = match Csr::verify(&csr).map(|csr| profile.content(&csr)) {
            Ok(Ok(content)) => content,
            Ok(Err(_))
            | Err(estd::pki::Error::Malformed(_) | estd::pki::Error::Unacceptable(_)) => {
                tally.rejected += 1;
                continue;
            }
            // Only where the mutation has altered the key itself.
            Err(_) => {
                tally.rejected += 1;
                continue;
            }
        };
        tally.issued += 1;
        if !seen.insert(format!("{content:?}")) {
            continue;
        }
        tally.different += 1;
        let mut key = [0; 32];
        key[..8].copy_from_slice(&u64::try_from(count).unwrap().to_be_bytes());
        let order = Order {
            content,
            idempotency_key: IdempotencyKey(key),
            retry_window: Duration::from_secs(600),
            due: RenewalPoint::DEFAULT,
            label: None,
            operation: Some(Operation::SimpleEnroll),
            actor: Actor::server(),
            predecessor: None,
            request_id: RequestId::new([0; 8]),
            device: OrderedDevice::Nothing,
            token: None,
            conditions: Conditions::default(),
            proofs: Vec::new(),
            address: None,
            facts: Vec::new(),
        };
        let issued = issuing.issue(order, NOW).await.unwrap();
        judge.ask(&issued.issuance.certificate, &csr);
    }
    let judged = judge.finish();
    println!(
        "{} mutated CSRs: {} rejected, {} accepted, {} different contents, {judged} judged",
        tally.all, tally.rejected, tally.issued, tally.different
    );
    assert_eq!(judged, tally.different);
    // Some are rejected and some accepted.
    assert!(tally.different > number / 100 && tally.rejected > number / 4);
}

fn all_of(node: &Node) -> Vec<Node> {
    let mut out = vec![node.clone()];
    if let Content::Values(_, all) = &node.content {
        out.extend(all.iter().flat_map(all_of));
    }
    out
}

/// The process that checks certificates. It stops at the first bad one and prints the error.
struct Judge {
    process: std::process::Child,
    asked: usize,
}

impl Judge {
    fn start() -> Self {
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/drivers/der_judge.py");
        let process = Command::new("/usr/bin/python3")
            .arg(driver)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self { process, asked: 0 }
    }

    fn ask(&mut self, certificate: &[u8], csr: &[u8]) {
        self.asked += 1;
        let input = self.process.stdin.as_mut().unwrap();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_be_bytes();
        let message = [&length(certificate), certificate, &length(csr), csr].concat();
        if input.write_all(&message).is_err() {
            self.report();
        }
    }

    /// Returns the number of correct certificates; all must be.
    fn finish(mut self) -> usize {
        drop(self.process.stdin.take());
        self.report()
    }

    fn report(&mut self) -> usize {
        drop(self.process.stdin.take());
        let mut said = String::new();
        self.process.stdout.as_mut().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.process.wait().unwrap().success(), "{said}");
        said.trim().parse().unwrap()
    }
}
