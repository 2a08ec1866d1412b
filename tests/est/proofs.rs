//! Every proof in every case: a right one enrolls, and no other does. The test writes the tables of
//! docs/policy.md: `ESTD_BLESS=1 cargo test --test est proofs`.

use crate::{
    acme::Acme,
    common::*,
    encodings::{ask, forms, showing_chain},
    postgres::Postgres,
    tokens::{self, granting},
};
use estd::{
    ca::Withdrawal,
    clock::Clock,
    digest::{Challenge, Target},
    entropy::SystemEntropy,
    pki::{Certificate, CsrBuilder, PrivateKey},
    ra::{Recomputed, TokenText},
    store::{Filter, Grant, Password, Token},
    telemetry::audit::{Event, Name},
    types::{Actor, KeyKind, RevocationReason, Time},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::fmt::Write;

const DAY: u64 = 86_400;
/// The clients' certificates are issued at this time, and requests are sent an hour later.
const ISSUED: u64 = NOW + DAY;
/// The CRLs are of this time and to be replaced by the next.
const CRL: [&str; 2] = ["20261119120000Z", "20280101000000Z"];
/// 2028-02-01, past the grace period of the CRLs.
const STALE: u64 = 1_832_976_000;

/// The cases, in the order of the tables.
const CASES: [&str; 11] = [
    "right",
    "wrong",
    "missing",
    "expired",
    "not yet valid",
    "revoked",
    "altered, n - s",
    "altered, a bit",
    "another label's",
    "stale CRL",
    "store down",
];

/// The proofs, and the label that accepts each alone.
const PROOFS: [(&str, &str); 9] = [
    ("certificate", "own"),
    ("certificate:bootstrap", "chained"),
    ("manufacturer:acme", "factory"),
    ("ra", "lines"),
    ("password", "basic"),
    ("password:digest", "digest"),
    ("password:digest-md5", "md5"),
    ("token", "tokens"),
    ("certificate and password", "both"),
];

const RECORD: &str = "the record in the store holds the revocation, not a CRL";

/// A row of a table.
struct Row {
    proof: &'static str,
    case: &'static str,
    /// The client's request.
    sent: String,
    /// Status and code; or why the case does not apply.
    outcome: Result<(u16, String), &'static str>,
}

/// A client's password.
#[derive(Clone, Copy)]
struct Secret {
    user: &'static str,
    password: &'static str,
    /// Whether the answer to a challenge of Digest is altered by a bit.
    altered: bool,
    /// Seconds between the challenge of Digest and its answer.
    delay: u64,
}

const RIGHT: Secret = Secret { user: "plant", password: "s3cret", altered: false, delay: 0 };

/// A certificate with its chain and key, PEM, in the encoding in which it is shown.
#[derive(Clone)]
struct Shown(Identity, Encoding);

#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    AsSigned,
    NegatedS,
    FlippedBit,
}

struct Bench {
    server: TestServer,
    acme: Acme,
    /// The anchor of the other manufacturer.
    _bolt: tempfile::TempDir,
    rows: Vec<Row>,
    /// The certificates of clients.
    device: Identity,
    revoked: Identity,
    sibling: Identity,
    foreign: Identity,
    ra: Identity,
    revoked_ra: Identity,
    foreign_ra: Identity,
    stranger: Identity,
    neighbor: Identity,
}

fn config(acme: &Acme, bolt: &str) -> String {
    let mut text = format!(
        "[ca.default]\n[ca.other]\nroot_subject = \"CN=other root\"\nissuing_subject = \"CN=other CA\"\n\
         [profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n\
         [manufacturer.bolt]\nanchors = [{bolt:?}]\n{}",
        acme.label(&["root.crl", "issuing.crl"], "crl_grace = \"7d\"")
    );
    for (label, lines) in [
        ("bootstrap", "accept = [\"password\"]"),
        ("sibling", "accept = [\"password\"]"),
        ("foreign", "ca = \"other\"\naccept = [\"password\"]"),
        ("ra", "profile = \"ra\"\naccept = [\"password\"]"),
        ("foreign-ra", "ca = \"other\"\nprofile = \"ra\"\naccept = [\"password\"]"),
        ("neighbors", "accept = [\"manufacturer:bolt\"]"),
        ("own", "accept = [\"certificate\"]"),
        ("chained", "accept = [\"certificate:bootstrap\"]"),
        ("lines", "accept = [\"ra\"]"),
        ("basic", "accept = [\"password\"]"),
        ("digest", "accept = [\"password:digest\"]"),
        ("md5", "accept = [\"password:digest-md5\"]"),
        ("tokens", "accept = [\"token\"]"),
        ("both", "accept = [[\"certificate\", \"password\"]]"),
    ] {
        write!(text, "[label.{label}]\n{lines}\n").unwrap();
    }
    for (_, label) in PROOFS {
        write!(text, "[label.{label}.names]\nmode = \"any\"\n").unwrap();
    }
    text
}

/// A CSR with a new key, DER.
fn csr(subject: &str) -> Vec<u8> {
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    CsrBuilder::new().subject(subject).unwrap().build(&key).unwrap()
}

impl Bench {
    async fn start(backend: &str) -> Self {
        let acme = Acme::new(CRL[0], CRL[1]);
        acme.certify("issuing", "gone", "of_device", "/CN=gone");
        acme.revoke("issuing", "gone");
        acme.publish("issuing", CRL[0], CRL[1]);
        let bolt = tempfile::tempdir().unwrap();
        let (anchor, neighbor) = stranger(bolt.path(), "/CN=neighbor", "");
        let elsewhere = tempfile::tempdir().unwrap();
        let (_, stranger) = stranger(elsewhere.path(), "/CN=stranger", "");
        let text = config(&acme, anchor.to_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let server = TestServer::start_in(folder, &text, backend, NOW).await;
        server.clock.set(Time::from_unix(ISSUED));
        for (user, label) in [("plant", None), ("bound", Some("sibling")), ("gone", None)] {
            let kinds = Recomputed { md5: true, identity_proof: false };
            let kept = estd::ra::recomputable(user, "estd", RIGHT.password, kinds).unwrap();
            let labels = label.map(|label| vec![label]);
            server.add_account_with(user, Password::Recomputable(Box::new(kept)), labels).await;
        }
        let event = Event::new(server.clock.now(), Name::AccountRemoved, Actor::server());
        server.running.store().remove_account("gone", event).await.unwrap();
        let makers = Some(vec!["ra", "foreign-ra"]);
        let hash = estd::ra::hash(RIGHT.password, &SystemEntropy::new()).unwrap();
        server.add_account_with("maker", Password::Hash(hash), makers).await;
        let certificate = async |label: &str, user: &str, subject: &str| {
            let (csr, key) = new_csr(&["-subj", subject]);
            let request =
                post(&format!("{label}/simpleenroll"), &csr, &basic(user, RIGHT.password));
            let reply = server.send(request).await;
            assert_eq!(reply.status, 200, "{label}: {}", reply.reason());
            Identity { pem: reply.certificate_pem(), key }
        };
        let (device, revoked) = (
            certificate("bootstrap", "plant", "/CN=device").await,
            certificate("bootstrap", "plant", "/CN=lost").await,
        );
        let (sibling, foreign) = (
            certificate("sibling", "plant", "/CN=sibling").await,
            certificate("foreign", "plant", "/CN=foreign").await,
        );
        let ra = certificate("ra", "maker", "/CN=line-1").await;
        let revoked_ra = certificate("ra", "maker", "/CN=line-2").await;
        let foreign_ra = certificate("foreign-ra", "maker", "/CN=line-3").await;
        for gone in [&revoked, &revoked_ra] {
            let withdrawal = Withdrawal {
                serial: Certificate::parse(&gone.der()).unwrap().serial().clone(),
                reason: RevocationReason::KeyCompromise,
                comment: None,
                actor: Actor::operator(0),
                request_id: None,
                successor: None,
            };
            let store = &**server.running.store();
            estd::ca::revoke(store, withdrawal, server.clock.now()).await.unwrap();
        }
        let rows = Vec::new();
        Self {
            server,
            acme,
            _bolt: bolt,
            rows,
            device,
            revoked,
            sibling,
            foreign,
            ra,
            revoked_ra,
            foreign_ra,
            stranger,
            neighbor,
        }
    }

    /// The manufacturer's certificate of the device with other dates (UTCTime).
    fn dated(&self, from: &str, to: &str) -> Identity {
        let Identity { pem, key } = self.acme.identity("device");
        let (leaf, issuing) = pem.split_at(pem.rfind("-----BEGIN").unwrap());
        let key_file = self.acme.at("issuing.key");
        let leaf = dated(leaf.as_bytes(), key_file.as_ref(), from, to);
        Identity { pem: String::from_utf8(leaf).unwrap() + issuing, key }
    }

    /// A request to a label, with the proof of a password if it has one. Asks for a challenge first, if
    /// the label's password is one of Digest.
    async fn request(&self, label: &str, secret: Option<Secret>) -> Vec<u8> {
        let path = format!("{label}/simpleenroll");
        let csr = csr("CN=new");
        let Some(Secret { user, password, altered, delay }) = secret else {
            return post(&path, &csr, "");
        };
        if matches!(label, "basic" | "both" | "tokens") {
            return post(&path, &csr, &basic(user, password));
        }
        let reply = self.server.send(post(&path, &csr, "")).await;
        let challenge = Challenge::parse(reply.header("WWW-Authenticate").unwrap()).remove(0);
        self.server.clock.advance(std::time::Duration::from_secs(delay));
        let uri = format!("/.well-known/est/{path}");
        let target = Target { method: "POST", uri: &uri };
        let mut field = challenge.answer(user, password, target, 1, "0a4f113b").to_string();
        if altered {
            let at = field.rfind("response=\"").unwrap() + "response=\"".len();
            let digit = if &field[at..=at] == "0" { "1" } else { "0" };
            field.replace_range(at..=at, digit);
        }
        post(&path, &csr, &format!("Authorization: {field}\r\n"))
    }

    /// The answer to a request: its status and its code.
    async fn answer(&self, request: &[u8], shown: Option<&Shown>) -> (u16, String) {
        let reply = match shown {
            None => self.server.send(request).await,
            Some(Shown(identity, encoding)) => {
                let ders = CertificateDer::pem_slice_iter(identity.pem.as_bytes());
                let mut chain: Vec<Vec<u8>> = ders.map(|der| der.unwrap().to_vec()).collect();
                match encoding {
                    Encoding::AsSigned => {}
                    Encoding::NegatedS => chain[0] = forms(&chain[0]).swap_remove(0).1,
                    Encoding::FlippedBit => *chain[0].last_mut().unwrap() ^= 1,
                }
                ask(self.server.address(), &showing_chain(&chain, identity), request).await.unwrap()
            }
        };
        let code = match reply.status {
            200 => String::new(),
            _ => reply.reason().split(": ").next().unwrap().to_owned(),
        };
        (reply.status, code)
    }

    async fn issued(&self) -> usize {
        self.server.running.store().list(&Filter::default(), None, 1000).await.unwrap().len()
    }

    /// Sends a request at a time. `enrolls`: whether it gets a certificate; if not, nothing is stored.
    async fn check(
        &mut self,
        (proof, label): (&'static str, &'static str),
        (case, sent): (&'static str, &str),
        at: u64,
        (shown, secret): (Option<Shown>, Option<Secret>),
        enrolls: bool,
    ) {
        self.server.clock.set(Time::from_unix(at));
        let request = self.request(label, secret).await;
        let before = self.issued().await;
        let (status, code) = self.answer(&request, shown.as_ref()).await;
        let about = format!("{proof}, {case}: {sent}: {status} {code}");
        assert_eq!(status == 200, enrolls, "{about}");
        assert!(enrolls || matches!(status, 401 | 403 | 503), "{about}");
        assert_eq!(self.issued().await - before, usize::from(enrolls), "{about}");
        let sent = sent.to_owned();
        self.rows.push(Row { proof, case, sent, outcome: Ok((status, code)) });
    }

    fn skip(&mut self, proof: &'static str, case: &'static str, reason: &'static str) {
        self.rows.push(Row { proof, case, sent: String::new(), outcome: Err(reason) });
    }

    /// A proof by a certificate, with a password if the label demands both.
    async fn check_certificate(&mut self, place: usize) {
        let at = PROOFS[place];
        let maker = at.1 == "factory";
        let secret = (at.1 == "both").then_some(RIGHT);
        let with = if secret.is_some() { " and the password" } else { "" };
        let (right, gone, wrong, what) = match at.1 {
            "factory" => (
                self.acme.device.clone(),
                self.acme.identity("gone"),
                self.stranger.clone(),
                "the manufacturer's certificate",
            ),
            "lines" => (
                self.ra.clone(),
                self.revoked_ra.clone(),
                self.device.clone(),
                "a certificate with cmcRA",
            ),
            _ => (
                self.device.clone(),
                self.revoked.clone(),
                self.stranger.clone(),
                "the certificate",
            ),
        };
        let (expired, early) = if maker {
            (
                self.dated("260101000000Z", "261101000000Z"),
                self.dated("270601000000Z", "491231235959Z"),
            )
        } else {
            (right.clone(), right.clone())
        };
        let now = ISSUED + 3600;
        let (after, before) = if maker { (now, now) } else { (ISSUED + 91 * DAY, NOW + 3600) };
        let signed = |identity: &Identity| Some(Shown(identity.clone(), Encoding::AsSigned));
        let encoded = |encoding| Some(Shown(right.clone(), encoding));
        let nobody = match at.1 {
            "lines" => "a device's certificate without cmcRA",
            _ => "a certificate of a CA that nobody here trusts",
        };
        let half = if secret.is_some() { "the password alone" } else { "no certificate" };
        for (case, sent, time, shown, enrolls) in [
            ("right", what, now, signed(&right), true),
            ("wrong", nobody, now, signed(&wrong), false),
            ("missing", half, now, None, false),
            ("expired", "the certificate after its end", after, signed(&expired), false),
            ("not yet valid", "the certificate before its begin", before, signed(&early), false),
            ("revoked", "a certificate that was revoked", now, signed(&gone), false),
            (
                "altered, n - s",
                "the certificate with the signature (r, n - s)",
                now,
                encoded(Encoding::NegatedS),
                true,
            ),
            (
                "altered, a bit",
                "the certificate with a flipped bit in its signature",
                now,
                encoded(Encoding::FlippedBit),
                false,
            ),
        ] {
            let sent = if case == "missing" { sent.to_owned() } else { format!("{sent}{with}") };
            self.check(at, (case, &sent), time, (shown, secret), enrolls).await;
        }
        let others = match at.1 {
            "factory" => vec![(
                "that of another manufacturer, which another label accepts",
                self.neighbor.clone(),
                false,
            )],
            "lines" => vec![(
                "a certificate with cmcRA of another label's CA",
                self.foreign_ra.clone(),
                false,
            )],
            "chained" => vec![(
                "a certificate of the same CA, issued under another label",
                self.sibling.clone(),
                false,
            )],
            _ => vec![
                ("a certificate of another label's CA", self.foreign.clone(), false),
                (
                    "a certificate of the same CA, issued under another label",
                    self.sibling.clone(),
                    true,
                ),
            ],
        };
        for (sent, identity, enrolls) in others {
            let sent = format!("{sent}{with}");
            let client = (signed(&identity), secret);
            self.check(at, ("another label's", &sent), now, client, enrolls).await;
        }
        if maker {
            let client = (signed(&right), None);
            let sent = "the certificate, later than `crl_grace` after nextUpdate";
            self.check(at, ("stale CRL", sent), STALE, client, false).await;
        } else {
            self.skip(at.0, "stale CRL", RECORD);
        }
    }

    /// The password of a label that demands both.
    async fn check_password_of_pair(&mut self, place: usize) {
        let at = PROOFS[place];
        let now = ISSUED + 3600;
        for (case, sent, secret) in [
            (
                "wrong",
                "the certificate and a wrong password",
                Some(Secret { password: "other", ..RIGHT }),
            ),
            ("missing", "the certificate alone", None),
            (
                "revoked",
                "the certificate and the password of an account that was removed",
                Some(Secret { user: "gone", ..RIGHT }),
            ),
            (
                "another label's",
                "the certificate and the password of an account that is bound to another label",
                Some(Secret { user: "bound", ..RIGHT }),
            ),
        ] {
            let shown = Some(Shown(self.device.clone(), Encoding::AsSigned));
            self.check(at, (case, sent), now, (shown, secret), false).await;
        }
    }

    /// A proof by a password alone.
    async fn check_password(&mut self, place: usize) {
        let at = PROOFS[place];
        let digest = at.1 != "basic";
        let now = ISSUED + 3600;
        let altered = Secret { password: "s3cres", ..RIGHT };
        for (case, sent, secret) in [
            ("right", "the password", Some(RIGHT)),
            ("wrong", "another password", Some(Secret { password: "other", ..RIGHT })),
            ("missing", "no password", None),
            (
                "revoked",
                "the password of an account that was removed",
                Some(Secret { user: "gone", ..RIGHT }),
            ),
            ("altered, a bit", "the password with a flipped bit", Some(altered)),
            (
                "another label's",
                "the password of an account that is bound to another label",
                Some(Secret { user: "bound", ..RIGHT }),
            ),
        ] {
            self.check(at, (case, sent), now, (None, secret), case == "right").await;
        }
        if digest {
            let late = Some(Secret { delay: 301, ..RIGHT });
            let sent = "the answer to a challenge that is older than `nonce_lifetime`";
            self.check(at, ("expired", sent), now, (None, late), false).await;
            let altered = Some(Secret { altered: true, ..RIGHT });
            let sent = "the answer to a challenge with an altered digit";
            self.check(at, ("altered, a bit", sent), now, (None, altered), false).await;
        } else {
            self.skip(at.0, "expired", "a password has no end");
        }
        self.skip(at.0, "not yet valid", "a password has no begin");
        self.skip(at.0, "altered, n - s", "a password is no signature");
        self.skip(at.0, "stale CRL", "no CRL has passwords");
    }

    /// A new token of a label, as the password of a user without a name.
    async fn token(&self, label: &str, change: impl FnOnce(&mut Token)) -> Secret {
        let mut token = granting(Grant::AnyName, label);
        token.expires = Time::from_unix(ISSUED + 2 * DAY);
        change(&mut token);
        let text = tokens::add(&self.server, token).await;
        Secret { user: "", password: text.leak(), ..RIGHT }
    }

    /// A proof by a token.
    async fn check_token(&mut self, place: usize) {
        let (at, now) = (PROOFS[place], ISSUED + 3600);
        let right = self.token(at.1, |_| {}).await;
        let flipped = match right.password.split_at(right.password.len() - 1) {
            (start, "a") => format!("{start}b"),
            (start, _) => format!("{start}a"),
        };
        let unknown = TokenText::generate(&SystemEntropy::new()).unwrap();
        let unknown = Secret { password: unknown.reveal().to_owned().leak(), ..right };
        let disabled = self.token(at.1, |token| token.disabled = true).await;
        let of_another = self.token("sibling", |_| {}).await;
        let fresh = self.token(at.1, |_| {}).await;
        let end = ISSUED + 2 * DAY;
        for (case, sent, time, secret) in [
            ("right", "the token", now, Some(right)),
            ("wrong", "a token that is not on record", now, Some(unknown)),
            ("missing", "no token", now, None),
            ("expired", "the token at its end", end, Some(fresh)),
            ("revoked", "a token that was disabled", now, Some(disabled)),
            ("revoked", "the token in another request", now, Some(right)),
            (
                "altered, a bit",
                "the token with another last character",
                now,
                Some(Secret { password: flipped.leak(), ..right }),
            ),
            ("another label's", "a token of another label", now, Some(of_another)),
        ] {
            self.check(at, (case, sent), time, (None, secret), case == "right").await;
        }
        self.skip(at.0, "not yet valid", "a token has no begin");
        self.skip(at.0, "altered, n - s", "a token is no signature");
        self.skip(at.0, "stale CRL", "no CRL has tokens");
    }

    /// The right proofs, as requests that are sent while the store is down.
    async fn right(&self) -> Vec<(usize, Vec<u8>, Option<Shown>)> {
        self.server.clock.set(Time::from_unix(ISSUED + 3600));
        let mut all = Vec::new();
        for (place, (_, label)) in PROOFS.into_iter().enumerate() {
            let identity = match label {
                "own" | "chained" | "both" => Some(&self.device),
                "factory" => Some(&self.acme.device),
                "lines" => Some(&self.ra),
                _ => None,
            };
            let password = match label {
                "tokens" => Some(self.token(label, |_| {}).await),
                "basic" | "digest" | "md5" | "both" => Some(RIGHT),
                _ => None,
            };
            let shown = identity.map(|one| Shown(one.clone(), Encoding::AsSigned));
            all.push((place, self.request(label, password).await, shown));
        }
        all
    }

    /// Sends requests that prove what is right while the store is down.
    async fn check_down(&mut self, requests: Vec<(usize, Vec<u8>, Option<Shown>)>) {
        for (place, request, shown) in requests {
            let (status, code) = self.answer(&request, shown.as_ref()).await;
            let proof = PROOFS[place].0;
            assert_eq!((status, &*code), (503, "server.store"), "{proof}");
            let sent = "what is right".to_owned();
            self.rows.push(Row { proof, case: "store down", sent, outcome: Ok((status, code)) });
        }
    }

    async fn check_all(&mut self) {
        for (place, (_, label)) in PROOFS.into_iter().enumerate() {
            match label {
                "basic" | "digest" | "md5" => self.check_password(place).await,
                "tokens" => self.check_token(place).await,
                _ => self.check_certificate(place).await,
            }
            if label == "both" {
                self.check_password_of_pair(place).await;
            }
        }
    }

    /// The tables of the page.
    fn tables(&self) -> String {
        let mut text = String::new();
        for (proof, _) in PROOFS {
            let title = match proof.split_once(" and ") {
                Some((one, other)) => format!("[\"{one}\", \"{other}\"]"),
                None => proof.to_owned(),
            };
            write!(
                text,
                "\n### `{title}`\n\n| Case | The client sends | Answer |\n|---|---|---|\n"
            )
            .unwrap();
            for case in CASES {
                let rows = self.rows.iter().filter(|row| row.proof == proof && row.case == case);
                assert!(rows.clone().count() > 0, "{proof}, {case}");
                for Row { sent, outcome, .. } in rows {
                    match outcome {
                        Ok((200, _)) => writeln!(text, "| {case} | {sent} | 200 |"),
                        Ok((status, code)) => {
                            writeln!(text, "| {case} | {sent} | {status} `{code}` |")
                        }
                        Err(reason) => writeln!(text, "| {case} | | not applicable: {reason} |"),
                    }
                    .unwrap();
                }
            }
        }
        text + "\n"
    }
}

async fn on_sled() -> String {
    let mut bench = Bench::start("sled").await;
    bench.check_all().await;
    let (requests, before) = (bench.right().await, bench.issued().await);
    bench.server.running.store().close().await;
    bench.check_down(requests).await;
    let tables = bench.tables();
    let Bench { server, .. } = bench;
    let text = server.text().to_owned();
    let folder = server.stop().await;
    let settings = estd::config::parse(&text, &folder.path().join("est.toml"), &|_| None).unwrap();
    let environment = estd::server::Environment {
        clock: std::sync::Arc::new(estd::clock::SetClock::new(Time::from_unix(ISSUED + 3600))),
        entropy: std::sync::Arc::new(SystemEntropy::new()),
        trail: std::sync::Arc::new(Kept::default()),
    };
    let again = estd::server::start(settings, environment).await.unwrap();
    let after = again.store().list(&Filter::default(), None, 1000).await.unwrap().len();
    assert_eq!(after, before, "nothing was stored");
    tables
}

async fn on_postgresql() -> String {
    let mut database = Postgres::start();
    database.sql("postgres", "CREATE DATABASE estd");
    let socket = database.socket().display();
    // Text after `backend = "` in the configuration.
    let backend = format!(
        "postgres\"\npatience = \"1s\"\nconnection = \"host={socket} dbname=estd user=estd"
    );
    let mut bench = Bench::start(&backend).await;
    bench.check_all().await;
    let (requests, before) = (bench.right().await, bench.issued().await);
    database.stop();
    bench.check_down(requests).await;
    database.run();
    assert_eq!(bench.issued().await, before, "nothing was stored");
    bench.tables()
}

/// Puts lines between two marks of a page.
fn put(page: &str, lines: &str) -> String {
    let (start, end) = ("<!-- cases -->\n", "<!-- end of cases -->");
    let (before, rest) = page.split_once(start).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    format!("{before}{start}{lines}{end}{after}")
}

/// proves: R-7030-3.3.2-c
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_proof_in_each_case_has_the_answer_of_the_page_on_both_stores() {
    let tables = on_sled().await;
    assert_eq!(on_postgresql().await, tables, "the stores differ");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/policy.md");
    let found = std::fs::read_to_string(file).unwrap();
    let page = put(&found, &tables);
    if std::env::var_os("ESTD_BLESS").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    assert_eq!(found, page, "ESTD_BLESS=1 writes the tables of docs/policy.md");
}
