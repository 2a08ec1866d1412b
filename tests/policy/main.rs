//! The server's verdicts and certificates against those of a model, over generated configurations and
//! requests. `ESTD_POLICY_REQUESTS=20000 cargo test --test policy` takes 200 requests for each of 100
//! configurations; `ESTD_POLICY_SEED=N` takes others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test stops at the first surprise, and prints its tally"
)]

mod generate;
mod model;
mod server;
mod words;

use der::{Any, Decode, Encode};
use estd::pki::Certificate;
use generate::Draft;
use model::Verdict;
use proptest::{
    prelude::{TestCaseError, prop_assert_eq},
    strategy::{Strategy, ValueTree},
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
    tuple::TupleValueTree,
};
use server::{Server, san_der, subject_der, tlv};
use std::collections::BTreeMap;
use words::{Names, Request, Rules};

const CONFIGURATIONS: u64 = 100;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn server_explain_and_model_agree_on_verdict_names_and_content() {
    let requests = number("ESTD_POLICY_REQUESTS", 6_000).div_ceil(CONFIGURATIONS);
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("ESTD_POLICY_SEED", 1).to_be_bytes());
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let config = Config { failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, random);
    let server = Server::new();
    let mut tally = BTreeMap::<String, u64>::new();
    for _ in 0..CONFIGURATIONS {
        let configuration = generate::rules().new_tree(&mut runner).unwrap();
        let rules = configuration.current();
        let label = server.label(&rules);
        for _ in 0..requests {
            let draft = generate::draft().new_tree(&mut runner).unwrap();
            match agree(&server, &label, &rules, &generate::request(&rules, &draft.current())) {
                Ok(what) => *tally.entry(what).or_default() += 1,
                Err(_) => shrink(&server, &mut runner, TupleValueTree::new((configuration, draft))),
            }
        }
    }
    println!("{tally:#?}");
    for what in [
        "issued",
        "400 csr.no-name",
        "400 csr.san-value",
        "400 csr.subject-value",
        "401 auth.no-password",
        "401 auth.password",
        "401 auth.scheme",
        "401 enroll.names",
        "403 auth.certificate",
        "403 auth.crl",
        "403 auth.revoked",
        "403 auth.unknown-certificate",
        "403 enroll.idevid-key",
        "403 enroll.names",
        "403 label.ca",
        "403 label.certificate",
        "403 label.manufacturer",
        "403 names.match",
        "403 names.value",
        "403 reenroll.certificate",
        "403 reenroll.identity",
        "403 reenroll.key-change",
        "403 reenroll.key-reuse",
        "403 renewal.early",
        "503 auth.not-yet-valid",
    ] {
        assert!(tally.contains_key(what), "no request got {what}");
    }
    let all: u64 = tally.values().sum();
    assert!(all == requests * CONFIGURATIONS && tally["issued"] * 8 > all, "{tally:?}");
}

/// Finds the smallest configuration and request that fail, and panics with them.
fn shrink(
    server: &Server,
    runner: &mut TestRunner,
    case: impl ValueTree<Value = (Rules, Draft)>,
) -> ! {
    let outcome = runner.run_one(case, |(rules, draft)| {
        let label = server.label(&rules);
        agree(server, &label, &rules, &generate::request(&rules, &draft)).map(|_| ())
    });
    match outcome {
        Err(TestError::Fail(reason, _) | TestError::Abort(reason)) => panic!("{reason}"),
        Ok(_) => panic!("it failed once"),
    }
}

/// Compares the answers to a request. Returns the server's, for the tally.
fn agree(
    server: &Server,
    label: &server::Label,
    rules: &Rules,
    request: &Request,
) -> Result<String, TestCaseError> {
    let wanted = model::verdict(rules, request);
    let answer = server.send(label, request);
    let about = || format!("{rules:#?}\n{request:#?}");
    let what = match &answer.outcome {
        Ok(_) => "issued".to_owned(),
        Err((status, code)) => format!("{status} {code}"),
    };
    match (&wanted, &answer.outcome) {
        (Verdict::Issued(names), Ok(certificate)) => {
            let (got, wanted) = (content(certificate), expected(server, request, names));
            prop_assert_eq!(got, wanted, "content of the certificate: {}", about());
        }
        (Verdict::Rejected(status, code), Err((got, got_code)))
            if status == got && (code.is_empty() || code == got_code) => {}
        _ => {
            prop_assert_eq!(format!("{wanted:?}"), &*what, "model and server: {}", about());
        }
    }
    let issued = answer.outcome.is_ok();
    prop_assert_eq!(answer.records, usize::from(issued), "records: {}", about());
    let challenge = what.starts_with("401 ");
    prop_assert_eq!(answer.challenged, challenge, "a challenge with {}: {}", what, about());
    let (explained, issued) = (answer.explained.as_ref(), answer.outcome.as_ref());
    prop_assert_eq!(explained.map(content), issued.map(content), "explain: {}", about());
    Ok(what)
}

/// The parts of a certificate's content, DER, but serial number, times and key identifier.
type Content = Vec<Vec<u8>>;

fn content(certificate: &Certificate) -> Content {
    let mut parts: Vec<Any> = Any::from_der(certificate.tbs()).unwrap().decode_as().unwrap();
    let extensions: Vec<Any> =
        Any::from_der(parts.pop().unwrap().value()).unwrap().decode_as().unwrap();
    let places = [(0, "version"), (2, "algorithm"), (3, "issuer"), (5, "subject"), (6, "key")];
    let fields = places.into_iter().map(|(place, _)| parts[place].to_der().unwrap());
    let key_identifier = [0x06, 0x03, 0x55, 0x1d, 0x0e];
    let extensions = extensions.iter().filter(|one| !one.value().starts_with(&key_identifier));
    fields.chain(extensions.map(|one| one.to_der().unwrap())).collect()
}

/// The content of a certificate with these names.
fn expected(server: &Server, request: &Request, names: &Names) -> Content {
    let extension = |last: u8, critical: bool, value: &[u8]| {
        let oid = tlv(6, &[0x55, 0x1d, last]);
        let critical = if critical { tlv(1, &[0xff]) } else { Vec::new() };
        tlv(0x30, &[oid, critical, tlv(4, value)].concat())
    };
    let issuer = server.issuer();
    let client_auth = [0x30, 0x0a, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 2];
    let mut content = vec![
        vec![0xa0, 3, 2, 1, 2],
        // ecdsa-with-SHA256.
        vec![0x30, 0x0a, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2],
        issuer.subject().der().to_vec(),
        subject_der(&names.subject),
        server.spki(request),
        extension(0x23, false, &tlv(0x30, &tlv(0x80, issuer.subject_key_identifier().unwrap()))),
        // digitalSignature.
        extension(0x0f, true, &[3, 2, 7, 0x80]),
        extension(0x25, false, &client_auth),
    ];
    if !names.san.is_empty() {
        content.push(extension(0x11, names.subject.is_empty(), &san_der(&names.san)));
    }
    content
}
