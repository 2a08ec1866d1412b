//! Measures an issuance beside the cryptography that it needs, in one run.
//!
//! cargo bench --bench issuance
//!
//! Wall-clock microseconds of one thread, the median of eleven rounds; on sled with 64 at once,
//! CPU microseconds of the whole process.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark prints, reads clocks and stops at the first surprise"
)]

use aws_lc_rs::{
    agreement::{
        EphemeralPrivateKey, UnparsedPublicKey as UnparsedAgreementKey, X25519, agree_ephemeral,
    },
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use estd::{
    ca::{Ca, Content, Hierarchy, Order, OrderedDevice, Profile, signer::SoftSigner},
    config,
    entropy::{Entropy, SystemEntropy},
    lint::{self, CertificateRole, ExpectedCertificate, ExpectedIssuer},
    pki::{self, Csr, CsrBuilder, PrivateKey, PublicKey, base64, cms},
    store::{Conditions, IdempotencyKey, MemoryStore, SledStore, Store},
    telemetry::audit::NoTrail,
    types::{Actor, KeyKind, Operation, RenewalPoint, RequestId, Time},
};
use std::{
    hint::black_box,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const NOW: Time = Time::from_unix(1_795_262_400);

fn row(name: &str, times: usize, mut step: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..11)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..times {
                step();
            }
            start.elapsed().as_secs_f64() * 1e6 / times as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{name:<52} {:>8.2} us", rounds[5]);
    rounds[5]
}

fn ca(folder: &Path, store: Arc<dyn Store>, settings: &config::Settings) -> Arc<Ca> {
    let (name, rules) = settings.boot.cas.iter().next().unwrap();
    let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::new());
    let (hierarchy, _) =
        Hierarchy::open_or_make(folder, name, rules, None, &*entropy, NOW).unwrap();
    let signer = Arc::new(SoftSigner::new(hierarchy.key));
    Arc::new(
        Ca::new(name.clone(), hierarchy.root, hierarchy.issuing, signer, store, entropy).unwrap(),
    )
}

fn order(content: &Content, number: u64) -> Order {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_be_bytes());
    Order {
        content: content.clone(),
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

/// CPU time of this process, microseconds: user and system, in ticks of 10 ms.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) * 10_000.0
}

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let settings =
        config::parse("version = 1", &folder.path().join("est.toml"), &|_| None).unwrap();
    let (name, rules) = settings.live.policies.profiles.iter().next().unwrap();
    let profile = Profile::new(name.clone(), rules.clone(), &[]);

    println!("primitives (aws-lc-rs)");
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let message = [7u8; 500];
    let sign = row("  P-256 signature", 2000, || drop(black_box(key.sign(&message).unwrap())));
    let (signature, _) = key.sign(&message).unwrap();
    let spki = key.public_key_spki_der().unwrap();
    // The point is what follows the 26 bytes that name the algorithm.
    let point = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &spki[26..]);
    let verify = row("  P-256 verification", 2000, || point.verify(&message, &signature).unwrap());
    row("  X25519 key and agreement", 1000, || {
        let random = SystemRandom::new();
        let own = EphemeralPrivateKey::generate(&X25519, &random).unwrap();
        let peer = UnparsedAgreementKey::new(&X25519, own.compute_public_key().unwrap());
        agree_ephemeral(own, peer, (), |_| Ok(())).unwrap();
    });
    for kind in [KeyKind::P384, KeyKind::Rsa(2048)] {
        let key = PrivateKey::generate(kind).unwrap();
        row(&format!("  {kind} signature"), 200, || drop(black_box(key.sign(&message).unwrap())));
    }

    println!("whether a key belongs to everybody");
    for kind in [KeyKind::Rsa(2048), KeyKind::Rsa(3072), KeyKind::Rsa(4096), KeyKind::P256] {
        let spki = PrivateKey::generate(kind).unwrap().public_key_spki_der().unwrap();
        let key = PublicKey::parse(&spki).unwrap();
        row(&format!("  PublicKey::check_strength of {kind}"), 5, || key.check_strength().unwrap());
    }

    println!("steps of an enrollment");
    let csr = CsrBuilder::new().subject("CN=device-000001").unwrap().build(&key).unwrap();
    let body = base64::encode(&csr, base64::Layout::Wrapped);
    row("  base64 of the body", 5000, || drop(black_box(base64::decode(&body, true).unwrap())));
    let checked = row("  Csr::verify, with its verification", 2000, || {
        drop(black_box(Csr::verify(&csr).unwrap()))
    });
    let csr = Csr::verify(&csr).unwrap();
    row("  Profile::content", 5000, || drop(black_box(profile.content(&csr).unwrap())));
    let content = profile.content(&csr).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let memory = ca(
        &folder.path().join("ca-memory"),
        Arc::new(MemoryStore::new(Arc::new(NoTrail))),
        &settings,
    );
    let mut number = 0;
    let issue = row("  Ca::issue in memory, with its signature", 1000, || {
        number += 1;
        runtime.block_on(memory.issue(order(&content, number), NOW)).unwrap();
    });
    let issued = runtime.block_on(memory.issue(order(&content, 1), NOW)).unwrap().issuance;
    let tbs: Arc<[u8]> = pki::cert::tbs(&issued.certificate).unwrap().into();
    let issuing = memory.issuing();
    let expected = ExpectedCertificate {
        issuer: ExpectedIssuer {
            name: issuing.subject().der(),
            key_identifier: issuing.subject_key_identifier().unwrap(),
            signature_algorithm: pki::algorithm::signature_identifier(KeyKind::P256),
            not_before: issuing.not_before(),
            not_after: issuing.not_after(),
        },
        serial: &issued.intent.serial,
        spki_sha256: &issued.intent.spki_sha256,
        role: CertificateRole::EndEntity(None),
    };
    row("  lint::certificate", 5000, || {
        drop(black_box(lint::certificate(Arc::clone(&tbs), &expected).unwrap()));
    });
    row("  certs-only CMS and base64 of the answer", 5000, || {
        let message = cms::certs_only([issued.certificate.as_slice()]).unwrap();
        drop(black_box(base64::encode(&message, base64::Layout::Wrapped)));
    });
    println!(
        "  beside the two primitives ({:.1} us): {:.1} us",
        sign + verify,
        checked + issue - sign - verify
    );

    println!("Ca::issue on sled, durable twice");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for at_once in [1u64, 16, 64] {
        let home = folder.path().join(format!("store-{at_once}"));
        let store = Arc::new(SledStore::open(&home, 64 << 20, NOW, Arc::new(NoTrail)).unwrap());
        let ca =
            ca(&folder.path().join(format!("ca-{at_once}")), Arc::clone(&store) as _, &settings);
        let each = if at_once == 1 { 2000 } else { 20_000 / at_once };
        let (before, start) = (cpu(), Instant::now());
        runtime.block_on(async {
            let tasks: Vec<_> = (0..at_once)
                .map(|task| {
                    let (ca, content) = (Arc::clone(&ca), content.clone());
                    tokio::spawn(async move {
                        for round in 0..each {
                            ca.issue(order(&content, task * 1_000_000 + round), NOW).await.unwrap();
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        let total = (at_once * each) as f64;
        println!(
            "  {at_once:>3} at once {:>10.0} a second {:>8.1} us of CPU each",
            total / start.elapsed().as_secs_f64(),
            (cpu() - before) / total
        );
        runtime.block_on(store.close());
    }
}
