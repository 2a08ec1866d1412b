use super::{
    Chain, Databases, Judgment,
    made::{NOW, Party, day},
};
use crate::{
    ra::{RevocationStatus, Verdict},
    types::{CaName, ManufacturerName},
};
use rustls::pki_types::CertificateDer;

fn judge(databases: &Databases, chain: &[CertificateDer<'static>]) -> Judgment {
    databases.judge(&Chain::new(chain).unwrap(), NOW)
}

fn verdict(databases: &Databases, chain: &[CertificateDer<'static>]) -> Verdict {
    judge(databases, chain).certificate.verdict
}

#[test]
fn a_verdict_names_the_own_ca_that_ends_the_path() {
    let (first, second): (CaName, CaName) = ("first".parse().unwrap(), "second".parse().unwrap());
    let [acme, other_maker] = ["acme", "other"].map(|name| name.parse().unwrap());
    // The same subject with another key is another CA.
    let (one, other) = (Party::new("CN=Issuing"), Party::new("CN=Issuing"));
    let (root, listed, maker) =
        (Party::new("CN=Root"), Party::new("CN=Listed"), Party::new("CN=Maker"));
    let (old, device) = (Party::new("CN=Old issuing"), Party::new("CN=device"));
    let anchors = [&one, &other, &root, &listed, &maker].map(|ca| ca.certify_ca(ca));
    let [of_one, of_other, of_root, of_listed, of_maker] = anchors.each_ref().map(|one| &**one);
    let databases = Databases::new(
        [(&first, of_one), (&second, of_other), (&first, of_root)],
        // Listed once more beside our own: it stays ours.
        [(&acme, of_listed), (&acme, of_other), (&acme, of_maker), (&other_maker, of_maker)],
    )
    .unwrap();
    let ours = |issuer: &CaName| Verdict::Ours(issuer.clone());
    assert_eq!(verdict(&databases, &[one.certify_device(&device)]), ours(&first));
    assert_eq!(verdict(&databases, &[other.certify_device(&device)]), ours(&second));
    let of_old = [old.certify_device(&device), root.certify_ca(&old)];
    assert_eq!(verdict(&databases, &of_old), ours(&first), "by a CA under our root");
    let of_listed = [listed.certify_device(&device)];
    assert_eq!(verdict(&databases, &of_listed), manufacturers([acme.clone()]));
    let of_maker = [maker.certify_device(&device)];
    let both = manufacturers([acme, other_maker]);
    assert_eq!(verdict(&databases, &of_maker), both, "in the order of the configuration");

    let expired =
        |ca: &Party| verdict(&databases, &[ca.certify_device_for(&device, day(-2), day(-1))]);
    assert_eq!(expired(&other), Verdict::Expired(second));
    assert!(matches!(expired(&listed), Verdict::Untrusted(_)));
    assert!(matches!(expired(&maker), Verdict::Untrusted(_)));
}

/// The verdict of a path to the anchors of manufacturers without CRLs.
fn manufacturers<const N: usize>(names: [ManufacturerName; N]) -> Verdict {
    Verdict::Manufacturers(names.map(|name| (name, RevocationStatus::Unchecked)).into())
}

fn maker() -> ManufacturerName {
    "maker".parse().unwrap()
}

/// A root of a manufacturer, one of this server, and the result and cost of a validation.
struct Bench {
    root: Party,
    databases: Databases,
}

impl Bench {
    fn new() -> Self {
        let (root, other) = (Party::new("CN=Root"), Party::new("CN=Other root"));
        let [of_root, of_other] = [&root, &other].map(|ca| ca.certify_ca(ca));
        let ours: CaName = "ours".parse().unwrap();
        let databases = Databases::new([(&ours, &*of_other)], [(&maker(), &*of_root)]).unwrap();
        Self { root, databases }
    }

    /// The reason, empty if it is trusted, and the signatures.
    fn judge(&self, chain: &[CertificateDer<'static>]) -> (String, usize) {
        let Judgment { certificate, signatures } = judge(&self.databases, chain);
        match certificate.verdict {
            Verdict::Manufacturers(_) => (String::new(), signatures),
            Verdict::Untrusted(reason) => (reason, signatures),
            other => panic!("{other:?}"),
        }
    }
}

const TOO_MANY: &str = "one whose chain takes more than 8 signatures to verify";

/// proves: R-7030-3.3.2-c
#[test]
fn a_chain_costs_a_signature_for_each_certificate_in_any_order() {
    let (bench, device) = (Bench::new(), Party::new("CN=device"));
    let cas: Vec<Party> = (0..6).map(|number| Party::new(&format!("CN=CA {number}"))).collect();
    for length in 0..=cas.len() {
        let issuers: Vec<&Party> = [&bench.root].into_iter().chain(&cas[..length]).collect();
        let mut chain = vec![issuers[length].certify_device(&device)];
        chain.extend(issuers.windows(2).rev().map(|pair| pair[0].certify_ca(pair[1])));
        assert_eq!(bench.judge(&chain), (String::new(), length + 1));
        chain[1..].reverse();
        assert_eq!(bench.judge(&chain), (String::new(), length + 1), "in the wrong order");
        // The root, which the server has, and an unrelated certificate.
        if chain.len() < 7 {
            chain.push(bench.root.certify_ca(&bench.root));
            chain.insert(1, device.certify_ca(&device));
            assert_eq!(bench.judge(&chain), (String::new(), length + 1), "with others in it");
        }
    }
}

#[test]
fn attack_2_chains_of_one_name_loops_and_long_names_are_cheap() {
    let (bench, device) = (Bench::new(), Party::new("CN=device"));
    for length in 1..50 {
        // Each certifies each: every order of them is a path by name.
        let (first, second) = (Party::new("CN=CA"), Party::new("CN=CA"));
        let mut to_nobody = vec![first.certify_device(&device)];
        to_nobody.extend((0..length).map(|_| second.certify_ca(&Party::new("CN=CA"))));
        let too_long = format!("a chain of {} certificates; at most 8 are read", length + 1);
        let unknown =
            (if length < 8 { "one of an unknown issuer".to_owned() } else { too_long }, 0);
        assert_eq!(bench.judge(&to_nobody), unknown, "{length} of one name, to no anchor");

        // The same, and one of them names our anchor as issuer.
        let liar = Party::new("CN=Root");
        let mut to_anchor = to_nobody.clone();
        to_anchor.pop();
        to_anchor.push(liar.certify_ca(&first));
        let (reason, signatures) = bench.judge(&to_anchor);
        if length < 8 {
            // A path of one, and one of two for each of the others: one signature each at least.
            assert!(signatures <= 8, "{length} of one name: {signatures}, {reason}");
            assert!(signatures >= length.min(8), "{length} of one name: {signatures}, {reason}");
        } else {
            assert_eq!((reason, signatures), unknown);
        }

        // All have the anchor's own name.
        let mut as_anchor = vec![liar.certify_device(&device)];
        as_anchor.extend((0..length).map(|_| liar.certify_ca(&Party::new("CN=Root"))));
        let (reason, signatures) = bench.judge(&as_anchor);
        match length {
            1..3 => assert!(signatures <= 8),
            3..8 => assert_eq!((reason.as_str(), signatures), (TOO_MANY, 8), "{length}"),
            _ => assert_eq!((reason, signatures), unknown),
        }

        // A ring of different names.
        let ring: Vec<Party> =
            (0..length).map(|number| Party::new(&format!("CN=CA {number}"))).collect();
        let mut loops = vec![ring[0].certify_device(&device)];
        loops.extend(
            (0..length).map(|number| ring[(number + 1) % length].certify_ca(&ring[number])),
        );
        assert_eq!(bench.judge(&loops), unknown, "a ring of {length}");
    }
    // Three CAs with names of 15 KiB.
    let long = format!("CN={}", "x".repeat(15 << 10));
    let names: Vec<Party> = (0..3).map(|_| Party::new(&long)).collect();
    let chain = [names[0].certify_device(&device), names[1].certify_ca(&names[0])];
    assert_eq!(bench.judge(&chain), ("one of an unknown issuer".to_owned(), 0));
    let chain = [chain[0].clone(), chain[1].clone(), names[2].certify_ca(&names[1])];
    let (reason, signatures) = bench.judge(&chain);
    assert!(reason.starts_with("a chain of ") && reason.ends_with("; at most 49152 are read"));
    assert_eq!(signatures, 0);
}

#[test]
fn a_second_look_at_another_time_is_paid_from_the_same_budget() {
    let (bench, device) = (Bench::new(), Party::new("CN=device"));
    let root = &bench.root;
    let ours: CaName = "ours".parse().unwrap();
    let of_root = root.certify_ca(root);
    let databases = Databases::new([(&ours, &*of_root)], [(&maker(), &*of_root)]).unwrap();
    let expired = root.certify_device_for(&device, day(-2), day(-1));
    let judgment = judge(&databases, &[expired]);
    assert_eq!(judgment.certificate.verdict, Verdict::Expired(ours));
    assert_eq!(judgment.signatures, 1);
    let later = root.certify_device_for(&device, day(1), day(2));
    let judgment = judge(&databases, &[later]);
    assert_eq!((judgment.certificate.verdict, judgment.signatures), (Verdict::NotYet(day(1)), 1));
    // Of an unknown CA with our CA's name: two databases, and again at another time.
    let stranger = Party::new("CN=Root");
    let expired = stranger.certify_device_for(&device, day(-2), day(-1));
    let judgment = judge(&databases, &[expired]);
    assert!(matches!(judgment.certificate.verdict, Verdict::Untrusted(_)), "{judgment:?}");
    assert_eq!(judgment.signatures, 1);
    let mut chain = vec![stranger.certify_device_for(&device, day(1), day(2))];
    chain.extend((0..7).map(|_| stranger.certify_ca(&Party::new("CN=Root"))));
    let judgment = judge(&databases, &chain);
    assert_eq!(judgment.certificate.verdict, Verdict::Untrusted(TOO_MANY.to_owned()));
    assert_eq!(judgment.signatures, 8);
}

#[test]
fn a_ca_may_certify_its_next_key_under_the_same_name() {
    let (bench, device) = (Bench::new(), Party::new("CN=device"));
    let (old, new) = (Party::new("CN=CA"), Party::new("CN=CA"));
    let leaf = new.certify_device(&device);
    let [next, old] = [old.certify_ca(&new), bench.root.certify_ca(&old)];
    let (reason, signatures) = bench.judge(&[leaf.clone(), next.clone(), old.clone()]);
    assert_eq!(reason, "");
    assert!(signatures <= 8, "{signatures}");
    assert_eq!(bench.judge(&[leaf, old, next]).0, "");
}

#[test]
fn four_certificates_of_ml_dsa_87_are_read() {
    // FIPS 204 table 2: a public key of 2592 bytes, a signature of 4627.
    let certificate = CertificateDer::from(vec![0; 2592 + 4627 + 512]);
    assert!(Chain::new(&vec![certificate.clone(); 4]).unwrap().excess().is_none());
    assert!(Chain::new(&vec![certificate; 8]).unwrap().excess().is_some());
    assert!(Chain::new(&[]).is_none());
}

/// Anybody signs a handshake for such a key: R = identity and S = 0 verify for every message.
#[test]
fn attack_7_a_client_certificate_with_a_key_of_small_order_is_not_trusted() {
    let (root, device) = (Party::new("CN=Root"), Party::new("CN=device"));
    let databases = Databases::new([], [(&maker(), &*root.certify_ca(&root))]).unwrap();
    let certified = |point: [u8; 32]| {
        // SubjectPublicKeyInfo of Ed25519 (RFC 8410 section 4).
        let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
        verdict(&databases, &[root.certify_key(&device, &[&head[..], &point].concat())])
    };
    let mut identity = [0; 32];
    identity[0] = 1;
    let small = "one whose key is an Ed25519 point of small order";
    assert_eq!(certified(identity), Verdict::Untrusted(small.to_owned()));
    let trusted = manufacturers([maker()]);
    assert_eq!(certified([9; 32]), trusted);
}
