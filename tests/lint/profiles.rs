//! The server's own certificates pass: every shipped profile with every type of key, and certificates with
//! random names.

use crate::{counting::Counting, malformed::tlv};
use estd::{
    ca::{Ca, Content, Error, Hierarchy, Order, OrderedDevice, Profile},
    config,
    entropy::{Entropy, SystemEntropy},
    pki::{Csr, CsrBuilder, DistinguishedName, PrivateKey, SubjectAltName},
    store::{Conditions, IdempotencyKey, MemoryStore, State},
    telemetry::audit::NoTrail,
    types::{Actor, KeyKind, Operation, RenewalPoint, RequestId, Time},
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use std::{sync::Arc, time::Duration};

pub(crate) const NOW: Time = Time::from_unix(1_795_651_200);

pub(crate) const KINDS: [KeyKind; 7] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::P521,
    KeyKind::Ed25519,
    KeyKind::Rsa(2048),
    KeyKind::Rsa(3072),
    KeyKind::Rsa(4096),
];

pub(crate) fn settings(text: &str) -> config::Settings {
    settings_in(std::path::Path::new("/nonexistent"), text)
}

fn settings_in(folder: &std::path::Path, text: &str) -> config::Settings {
    config::parse(text, &folder.join("est.toml"), &|_| None)
        .unwrap_or_else(|errors| panic!("{errors}\n{text}"))
}

/// A CA with a key of this kind.
pub(crate) fn hierarchy(text: &str) -> Hierarchy {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(text);
    let (name, rules) = settings.boot.cas.iter().next().unwrap();
    let entropy = SystemEntropy::new();
    Hierarchy::open_or_make(folder.path(), name, rules, None, &entropy, NOW).unwrap().0
}

pub(crate) fn order(profile: &Profile, csr: &Csr, number: u64) -> Order {
    order_of(profile.content(csr).unwrap(), number)
}

fn order_of(content: Content, number: u64) -> Order {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    Order {
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
    }
}

fn example(name: &str) -> String {
    let path = format!("{}/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The configurations of the documents: est.toml, and the blocks of docs/policy.md.
fn shipped() -> Vec<String> {
    let policy = example("docs/policy.md");
    let blocks = policy.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let whole = blocks.filter(|block| block.starts_with("version = 1")).map(str::to_owned);
    std::iter::once(example("est.toml")).chain(whole).collect()
}

#[tokio::test]
async fn every_shipped_profile_passes_with_every_type_of_key() {
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let keys: Vec<_> = KINDS.into_iter().map(|kind| PrivateKey::generate(kind).unwrap()).collect();
    let mut issued = 0_usize;
    // The anchor that the pages name.
    let folder = tempfile::tempdir().unwrap();
    let anchor = hierarchy("version = 1\n").root.to_pem();
    std::fs::write(folder.path().join("acme-idevid-ca.pem"), anchor).unwrap();
    for ca_kind in ["p-256", "p-384", "p-521", "rsa-2048"] {
        let hierarchy = hierarchy(&format!("version = 1\n[ca.default]\nkey = \"{ca_kind}\"\n"));
        let store = Arc::new(MemoryStore::new(Arc::new(NoTrail)));
        let signer = Arc::new(Counting::new(hierarchy.key, false));
        let ca = Ca::new(
            "default".parse().unwrap(),
            hierarchy.root,
            hierarchy.issuing,
            Arc::clone(&signer) as _,
            store,
            Arc::clone(&entropy),
        )
        .unwrap();
        let before = issued;
        for text in shipped() {
            for (name, rules) in &settings_in(folder.path(), &text).live.policies.profiles {
                for key in &keys {
                    // Checks of RSA keys take long, and know nothing of the CA; of large ones, nor of
                    // the profile.
                    let least = if ca_kind != "p-256" {
                        0
                    } else if issued < 7 {
                        4096
                    } else {
                        2048
                    };
                    if matches!(key.kind(), KeyKind::Rsa(bits) if bits > least) {
                        continue;
                    }
                    let mut rules = rules.clone();
                    if !rules.keys.contains(&key.kind()) {
                        rules.keys.push(key.kind());
                    }
                    let profile = Profile::new(name.clone(), rules.clone(), &[]);
                    let dns = format!("device-{issued}.example.com");
                    let mut csr = CsrBuilder::new().subject("CN=device-1,O=Example,C=DE").unwrap();
                    if rules.san.contains(&estd::types::SanKind::Dns) {
                        csr = csr.san(&[estd::pki::AltName::Dns(dns)]).unwrap();
                    }
                    let csr = Csr::verify(&csr.build(key).unwrap()).unwrap();
                    issued += 1;
                    let order = order(&profile, &csr, issued as u64);
                    let done = ca.issue(order, NOW).await.unwrap();
                    assert_eq!(done.issuance.state, State::Issued);
                }
            }
        }
        assert_eq!(signer.signed(), issued - before);
    }
    assert!(issued >= 100, "{issued}");
}

/// A Name of RDNs with these types, string types and values.
fn name_of(rdns: &[Vec<(Vec<u8>, u8, String)>]) -> Vec<u8> {
    let rdn = |rdn: &Vec<(Vec<u8>, u8, String)>| {
        let pair = |(kind, tag, text): &(Vec<u8>, u8, String)| {
            tlv(0x30, &[tlv(6, kind), tlv(*tag, text.as_bytes())].concat())
        };
        let mut pairs: Vec<_> = rdn.iter().map(pair).collect();
        pairs.sort();
        tlv(0x31, &pairs.concat())
    };
    tlv(0x30, &rdns.iter().flat_map(rdn).collect::<Vec<_>>())
}

/// A client must not be able to cause an internal error: names that the profile accepts keep the rules.
#[test]
fn whatever_names_a_profile_accepts_the_linter_accepts_too() {
    let kinds = [&[0x55, 4, 3][..], &[0x55, 4, 5], &[0x55, 4, 6], &[0x55, 4, 7], &[0x55, 4, 10]]
        .into_iter()
        .chain([
            &[0x55, 4, 12][..],
            &[0x55, 4, 46],
            &[0x55, 4, 65],
            &[0x55, 4, 97],
            &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1],
            &[9, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25],
            &[0x2a, 3, 4],
        ])
        .map(<[u8]>::to_vec)
        .collect::<Vec<_>>();
    let value = prop_oneof![
        "[A-Z]{2}",
        "[a-zA-Z0-9 '()+,./:=?-]{1,12}",
        "\\PC{0,8}",
        "[a-z]{60,70}",
        "[a-z]{125,131}",
    ];
    let tags = prop::sample::select(vec![12_u8, 12, 12, 19, 19, 22, 30]);
    let attribute = (prop::sample::select(kinds), tags, value);
    // Of one type, so that two of them in one RDN are tried.
    let named = ("[a-z]{1,4}").prop_map(|text| (vec![0x55, 4, 3], 12_u8, text));
    let attribute = prop_oneof![attribute, named];
    let rdn = prop_oneof![
        3 => prop::collection::vec(attribute.clone(), 1),
        1 => prop::collection::vec(attribute, 2),
    ];
    let subject = prop::collection::vec(rdn, 0..3);
    let entry = prop_oneof![
        "[a-z*]{1,3}(\\.[a-z0-9_-]{1,4}){0,3}".prop_map(|text| tlv(0x82, text.as_bytes())),
        "[a-z]{0,6}:[a-z0-9/?#%@\\[\\]:. ]{0,12}".prop_map(|text| tlv(0x86, text.as_bytes())),
        "[a-z.+\" ]{0,5}@[a-z.*-]{0,12}".prop_map(|text| tlv(0x81, text.as_bytes())),
        prop::collection::vec(any::<u8>(), 3..6).prop_map(|bytes| tlv(0x87, &bytes)),
        prop::collection::vec(any::<u8>(), 0..6).prop_map(|bytes| {
            tlv(0xa0, &[tlv(6, &[0x2a, 3]), tlv(0xa0, &tlv(4, &bytes))].concat())
        }),
    ];
    let san = prop::collection::vec(entry, 0..2);

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let hierarchy = hierarchy("version = 1\n");
    let rules = settings("version = 1\n").live.policies.profiles.into_iter().next().unwrap();
    let all = "san = [\"dns\", \"ip\", \"uri\", \"email\", \"other\"]\nempty_subject = true\n";
    let text = format!("version = 1\n[profile.{}]\n{all}", rules.0);
    let profiles = settings(&text).live.policies.profiles;
    let profile = Profile::new(rules.0.clone(), profiles[&rules.0].clone(), &[]);
    let signer = Arc::new(Counting::new(hierarchy.key, true));
    let ca = Ca::new(
        "default".parse().unwrap(),
        hierarchy.root,
        hierarchy.issuing,
        signer,
        Arc::new(MemoryStore::new(Arc::new(NoTrail))),
        Arc::new(SystemEntropy::new()),
    )
    .unwrap();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = CsrBuilder::new().subject("CN=device-1").unwrap().build(&key).unwrap();
    let csr = Csr::verify(&csr).unwrap();
    let count = std::cell::Cell::new(0_u64);
    let mut runner =
        TestRunner::new(Config { cases: 3_000, failure_persistence: None, ..Config::default() });
    let ran = runner.run(&(subject, san), |(subject, san)| {
        let Ok(subject) = DistinguishedName::parse(&name_of(&subject)) else { return Ok(()) };
        let san = (!san.is_empty()).then(|| SubjectAltName::parse(&tlv(0x30, &san.concat())));
        let Ok(san) = san.transpose() else { return Ok(()) };
        let Ok(content) = profile.content_with_names(&csr, &subject, san.as_ref()) else {
            return Ok(());
        };
        count.set(count.get() + 1);
        // The signer fails: it is called, and it costs nothing.
        let done = runtime.block_on(ca.issue(order_of(content, count.get()), NOW));
        prop_assert!(matches!(done, Err(Error::Signer { .. })), "{done:?}");
        Ok(())
    });
    ran.unwrap();
    assert!(count.get() >= 300, "{} of 3000 were accepted", count.get());
}
