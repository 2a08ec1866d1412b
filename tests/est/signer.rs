//! The CA's key is temporarily unavailable, like one behind a network or in a token. Checks the answers
//! when signing fails after the record was written, and how the record gets its certificate later.

use crate::{
    common::*,
    fullcmc::{by_new_key, csr},
    fullcmc_message::*,
};
use async_trait::async_trait;
use der::Encode;
use estd::{
    ca::{
        Ca, Hierarchy,
        signer::{Signer as KeyHolder, SoftSigner, Unavailable},
    },
    clock::Clock,
    entropy::SystemEntropy,
    est::{Endpoints, KeyMaker, Service},
    http::{
        est::{RequestContext, handle},
        framing::Framing,
        progress::ConnectionProgress,
    },
    lint::LintedTbs,
    pki::{self, PrivateKey, cmc::SignedAttributes},
    ra::{Authenticator, Authority, Peer},
    server::Swept,
    store::{Issuance, State},
    types::{Binding, KeyKind, Operation, Unbound},
};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use x509_cert::Certificate;

const FULL: &str = "application/pkcs7-mime; smime-type=CMC-request";

/// A label with a CA of its own; and an RA, which asks for more than one certificate at once.
const CONFIG: &str = "[est]\nfullcmc = true\nserverkeygen = \"on\"\n\
                      [ca.default]\n[ca.other]\nroot_subject = \"CN=other root CA\"\nissuing_subject = \"CN=other CA\"\n[label.other]\nca = \"other\"\nfullcmc = true\n\
                      [profile.ra]\nextended_key_usage = [\"clientAuth\", \"cmcRA\"]\n\
                      [label.ra]\nprofile = \"ra\"\naccept = [\"password\"]\n";

/// The CA's key, which fails for a number of coming signatures.
struct Failing {
    key: SoftSigner,
    failures: AtomicU32,
}

#[async_trait]
impl KeyHolder for Failing {
    fn kind(&self) -> KeyKind {
        self.key.kind()
    }

    async fn sign(&self, tbs: &LintedTbs) -> Result<Vec<u8>, Unavailable> {
        self.fail()?;
        self.key.sign(tbs).await
    }

    async fn sign_attributes(&self, attributes: &SignedAttributes) -> Result<Vec<u8>, Unavailable> {
        self.fail()?;
        self.key.sign_attributes(attributes).await
    }
}

impl Failing {
    fn fail(&self) -> Result<(), Unavailable> {
        let one_less = |left: u32| left.checked_sub(1);
        match self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less) {
            Ok(_) => Err(Unavailable("the token is not there".to_owned())),
            Err(_) => Ok(()),
        }
    }
}

/// A server's operations over its store, accounts and CAs, where the key of CA `default` can fail.
/// Requests are handled as usual, but without a connection.
struct Sick {
    server: TestServer,
    signer: Arc<Failing>,
    context: RequestContext,
}

impl Sick {
    async fn start() -> Self {
        let server = TestServer::start_with(CONFIG).await;
        let (settings, now) = (server.settings("").unwrap(), server.clock.now());
        let store = Arc::clone(server.running.store());
        let entropy = Arc::new(SystemEntropy::new());
        let mut cas = server.running.cas().clone();
        let name = "default".parse().unwrap();
        let hierarchy = Hierarchy::open(&server.path("data/ca/default"), None).unwrap();
        let key = SoftSigner::new(hierarchy.key);
        let signer = Arc::new(Failing { key, failures: AtomicU32::new(0) });
        let (root, issuing) = (hierarchy.root, hierarchy.issuing.clone());
        let holder = Arc::clone(&signer) as _;
        let (records, random) = (Arc::clone(&store), Arc::clone(&entropy) as _);
        let ca = Ca::new(name, root, issuing, holder, records, random).unwrap();
        cas.insert(ca.name().clone(), Arc::new(ca));

        let own = Arc::new(PrivateKey::generate(KeyKind::P256).unwrap());
        let leaf = server.running.certificate().await;
        let chain = vec![hierarchy.issuing];
        let key_maker = KeyMaker::new(own, leaf, chain, &settings.live.decrypt_keys).unwrap();
        let authenticator = Arc::new(Authenticator::new(
            Arc::clone(&store),
            Arc::clone(&entropy) as _,
            &settings.boot.passwords,
            now,
        ));
        let clock = Arc::clone(&server.clock) as Arc<dyn Clock>;
        let server_ca = &settings.boot.server_certificate.ca;
        let service = Service::new(
            Endpoints::new(&settings.live.policies, server_ca, &cas).unwrap(),
            key_maker,
            Authority::new(authenticator, Arc::clone(&server.events) as _, clock),
            store,
        );
        let context = RequestContext {
            service: Arc::new(service),
            peer: Arc::new(Peer {
                address: ([127, 0, 0, 1], 1).into(),
                cipher_bits: 256,
                chain: None,
                binding: Binding::None(Unbound::NotWanted),
                spent: Arc::default(),
            }),
            entropy,
            max_body: settings.live.server.max_body,
            body_timeout: settings.live.server.body_timeout,
        };
        Self { server, signer, context }
    }

    /// Makes this many of the next signatures fail.
    fn fails(&self, signatures: u32) {
        self.signer.failures.store(signatures, Ordering::SeqCst);
    }

    async fn post(&self, path: &str, kind: &str, der: &[u8]) -> Reply {
        let authorization = basic("tester", PASSWORD);
        let (name, value) = authorization.trim_end().split_once(": ").unwrap();
        let request = Request::post(format!("/.well-known/est/{path}"))
            .header("Host", "localhost")
            .header("Content-Type", kind)
            .header(name, value)
            .body(Full::new(Bytes::from(wrapped(der))))
            .unwrap();
        let now = Instant::now();
        let framing = Framing::new(Arc::new(ConnectionProgress::new(now, now)));
        let (head, body) = handle(&self.context, &framing, request).await.into_parts();
        let text = |name: &str| head.headers.get(name).map(|value| value.to_str().unwrap());
        let headers = ["Content-Type", "Retry-After"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), text(name)?.to_owned())))
            .collect();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { start: String::new(), status: head.status.as_u16(), headers, body }
    }

    async fn full(&self, message: &Message) -> Reply {
        self.post("fullcmc", FULL, &message.der()).await
    }

    /// The records of this subject.
    async fn records_of(&self, subject: &str) -> Vec<Arc<Issuance>> {
        let all = self.server.issued().await;
        all.into_iter().filter(|record| record.intent.subject == subject).collect()
    }

    /// The only record of this subject: open, with no certificate and no event of one.
    async fn open_record(&self, subject: &str) -> Arc<Issuance> {
        let records = self.records_of(subject).await;
        let [record] = records.as_slice() else { panic!("{} records", records.len()) };
        assert_eq!((record.state, record.certificate.len()), (State::Open, 0));
        assert_eq!(self.events_of(record), 0, "nothing was issued");
        Arc::clone(record)
    }

    /// The number of issuance events of this record.
    fn events_of(&self, record: &Issuance) -> usize {
        let serial = ("serial".to_owned(), record.intent.serial.to_string());
        let issued = self.server.events_named("certificate.issued");
        issued.iter().filter(|event| event.details.contains(&serial)).count()
    }

    /// Checks that the record has this certificate, issued once, under its own serial number.
    async fn is_completed(&self, open: &Issuance, certificate: &[u8]) {
        let records = self.records_of(&open.intent.subject).await;
        let [record] = records.as_slice() else { panic!("{} records", records.len()) };
        assert_eq!((record.state, record.certificate.as_slice()), (State::Issued, certificate));
        assert_eq!(record.intent.serial, open.intent.serial);
        let certificate = pki::Certificate::parse(certificate).unwrap();
        assert_eq!(*certificate.serial(), open.intent.serial);
        assert_eq!(self.events_of(record), 1);
    }
}

/// Checks for status 202 and a CMC pending status for this record.
fn is_pending(reply: &Reply, answer: &Answer, part: u64, open: &Issuance) {
    assert_eq!((reply.status, reply.header("Retry-After")), (202, Some("60")), "{}", reply.text());
    let later: Vec<_> = answer.statuses.iter().filter(|one| one.status == 3).collect();
    let [pending] = later.as_slice() else { panic!("{answer:?}") };
    let token = open.intent.serial.as_bytes().to_vec();
    // A minute after it was begun, whenever that is said.
    let time = "20261121120100Z".to_owned();
    assert_eq!(pending.parts, [part]);
    assert_eq!((&pending.fail, &pending.pending), (&None, &Some((token, time))));
}

/// An unsigned answer: the unavailable key cannot sign it, either.
fn unsigned(reply: &Reply) -> Answer {
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/pkcs7-mime; smime-type=CMC-response")
    );
    let der = decoded(reply);
    let printed = openssl_with(&["cms", "-cmsout", "-print", "-noout", "-inform", "DER"], &der);
    let printed = String::from_utf8(printed).unwrap();
    assert!(printed.trim_end().ends_with("signerInfos:\n      <EMPTY>"), "{printed}");
    assert!(printed.contains("certificates:\n      <ABSENT>"), "{printed}");
    let signed_data = list(list(&der)[1].value());
    let content = list(&signed_data[2].to_der().unwrap());
    let bytes: der::asn1::OctetString = der::Decode::from_der(content[1].value()).unwrap();
    read_content(bytes.as_bytes())
}

/// Queries a record; signed with the key of another request, since a signature is required.
fn query(open: &Issuance) -> Message {
    by_new_key("/CN=asks").0.control(control(4, 21, oct(open.intent.serial.as_bytes())))
}

/// proves: R-5272-6.13-a, R-7030-4.2.3-d
#[tokio::test]
async fn fullcmc_is_pending_when_the_key_fails_after_the_record_and_done_when_asked_for() {
    let sick = Sick::start().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    sick.fails(u32::MAX);
    let reply = sick.full(&message).await;
    let open = sick.open_record("CN=cmc-1").await;
    assert_eq!(open.intent.operation, Some(Operation::FullCmc));
    let answer = unsigned(&reply);
    assert_eq!(answer.statuses.len(), 1, "nothing else is said");
    is_pending(&reply, &answer, 1, &open);

    // While it lasts, a retry and a query get the same answer from the same record.
    sick.server.clock.advance(Duration::from_secs(20));
    let reply = sick.full(&message).await;
    is_pending(&reply, &unsigned(&reply), 1, &open);
    let reply = sick.full(&query(&open)).await;
    let mut answer = unsigned(&reply);
    answer.statuses.retain(|one| one.parts == [4]);
    is_pending(&reply, &answer, 4, &open);
    assert_eq!(sick.open_record("CN=cmc-1").await, open);

    sick.fails(0);
    let reply = sick.full(&query(&open)).await;
    assert_eq!((reply.status, reply.header("Retry-After")), (200, None), "{}", reply.text());
    let answer = read(&sick.server, &reply);
    assert_eq!(answer.only_status(), (0, None, vec![1, 4]));
    let subject = |one: &&Certificate| one.tbs_certificate().subject().to_string() == "CN=cmc-1";
    let certificate = answer.certificates.iter().find(subject).unwrap().to_der().unwrap();
    sick.is_completed(&open, &certificate).await;
    // A retry after that gets the same one.
    let answer = read(&sick.server, &sick.full(&message).await);
    assert_eq!(answer.only_certificate().to_der().unwrap(), certificate);
    sick.is_completed(&open, &certificate).await;
}

/// The key is available again when the answer itself is signed: openssl verifies it.
#[tokio::test]
async fn pending_fullcmc_is_done_when_retried() {
    let sick = Sick::start().await;
    let (message, _) = by_new_key("/CN=cmc-1");
    sick.fails(1);
    let reply = sick.full(&message).await;
    let open = sick.open_record("CN=cmc-1").await;
    let answer = read(&sick.server, &reply);
    assert_eq!(answer.statuses.len(), 1);
    is_pending(&reply, &answer, 1, &open);

    let reply = sick.full(&message).await;
    assert_eq!((reply.status, reply.header("Retry-After")), (200, None), "{}", reply.text());
    let certificate = read(&sick.server, &reply).only_certificate().to_der().unwrap();
    sick.is_completed(&open, &certificate).await;
    let answer = read(&sick.server, &sick.full(&query(&open)).await);
    assert!(answer.certificates.iter().any(|one| one.to_der().unwrap() == certificate));
    sick.is_completed(&open, &certificate).await;
}

/// Of two requests in one message, the one whose signature fails waits, and the other is done.
#[tokio::test]
async fn fullcmc_says_of_each_request_what_became_of_it() {
    let sick = Sick::start().await;
    let ra = sick.server.registration_authority("/CN=ra-1").await;
    let (one, two) = (csr("/CN=cmc-1").0, csr("/CN=cmc-2").0);
    let both = Message::by(Signer::certificate(&ra)).request(tcr(1, &one)).request(tcr(2, &two));
    sick.fails(1);
    let reply = sick.full(&both).await;
    let open = sick.open_record("CN=cmc-1").await;
    let answer = read(&sick.server, &reply);
    is_pending(&reply, &answer, 1, &open);
    let done: Vec<_> = answer.statuses.iter().filter(|one| one.status == 0).collect();
    assert_eq!((done.len(), answer.statuses.len()), (1, 2), "{answer:?}");
    assert_eq!(done[0].parts, [2]);
    let second = answer.only_certificate().to_der().unwrap();
    assert_eq!(sick.records_of("CN=cmc-2").await[0].certificate, second);

    let answer = read(&sick.server, &sick.full(&both).await);
    let all: Vec<_> = answer.certificates.iter().map(|one| one.to_der().unwrap()).collect();
    assert!(all.contains(&second), "the same one again");
    let first = sick.records_of("CN=cmc-1").await[0].certificate.clone();
    assert!(all.contains(&first));
    sick.is_completed(&open, &first).await;
}

/// A record queried under a label with another CA waits for its own: only its issuer may sign it.
#[tokio::test]
async fn fullcmc_that_is_pending_is_signed_by_its_own_ca_alone() {
    let sick = Sick::start().await;
    sick.fails(u32::MAX);
    sick.full(&by_new_key("/CN=cmc-1").0).await;
    let open = sick.open_record("CN=cmc-1").await;
    let reply = sick.post("other/fullcmc", FULL, &query(&open).der()).await;
    is_pending(&reply, &read(&sick.server, &reply), 4, &open);
    assert_eq!(sick.open_record("CN=cmc-1").await, open);
    sick.fails(0);
    sick.full(&query(&open)).await;
    let certificate = sick.records_of("CN=cmc-1").await[0].certificate.clone();
    sick.is_completed(&open, &certificate).await;
    // It has its certificate now, and can be fetched there as well.
    let reply = sick.post("other/fullcmc", FULL, &query(&open).der()).await;
    let answer = read(&sick.server, &reply);
    assert!(answer.certificates.iter().any(|one| one.to_der().unwrap() == certificate));
}

#[tokio::test]
async fn simpleenroll_is_503_when_the_key_fails_after_the_record_and_done_when_retried() {
    let sick = Sick::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    sick.fails(2);
    for _ in 0..2 {
        let reply = sick.post("simpleenroll", "application/pkcs10", &csr).await;
        assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("30")));
        assert!(reply.text().starts_with("server.signer: the CA cannot sign"), "{}", reply.text());
    }
    let open = sick.open_record("CN=device-1").await;
    let reply = sick.post("simpleenroll", "application/pkcs10", &csr).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let device = Identity { pem: reply.certificate_pem(), key: String::new() };
    sick.is_completed(&open, &device.der()).await;
}

/// The generated key is lost with the answer, so its record gets no certificate.
#[tokio::test]
async fn serverkeygen_is_503_when_the_key_fails_after_the_record_and_a_retry_begins_anew() {
    let sick = Sick::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    sick.fails(1);
    let reply = sick.post("serverkeygen", "application/pkcs10", &csr).await;
    assert_eq!((reply.status, reply.header("Retry-After")), (503, Some("30")));
    let open = sick.open_record("CN=device-1").await;
    let reply = sick.post("serverkeygen", "application/pkcs10", &csr).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let mut records = sick.records_of("CN=device-1").await;
    records.retain(|record| record.intent.serial != open.intent.serial);
    assert_eq!((records.len(), records[0].state), (1, State::Issued));
    let event = sick.server.events_named("certificate.issued").pop().unwrap();
    assert!(event.details.contains(&("retry_of".to_owned(), open.intent.serial.to_string())));
    let first = sick.server.running.store().find(&open.intent.serial).await.unwrap().unwrap();
    assert_eq!(first, open);
}

/// Each certificate whose key may be lost is named by the next one, whatever was left open between
/// them or before them.
#[tokio::test]
async fn serverkeygen_names_each_certificate_that_a_retry_follows() {
    let sick = Sick::start().await;
    let (csr, _) = new_csr(&["-subj", "/CN=device-1"]);
    let ask = async || sick.post("serverkeygen", "application/pkcs10", &csr).await.status;
    let event = || sick.server.events_named("certificate.issued").pop().unwrap();
    let detail = |name: &str| {
        let details = event().details;
        details.into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    };
    let left_open = async || {
        sick.fails(1);
        assert_eq!(ask().await, 503);
        let records = sick.records_of("CN=device-1").await;
        // Sorted by serial number, which begins with the time.
        let open = records.iter().rev().find(|record| record.state == State::Open).unwrap();
        open.intent.serial.to_string()
    };
    let first_open = left_open().await;
    assert_eq!(ask().await, 200);
    assert_eq!(detail("retry_of"), Some(first_open));
    let first = detail("serial").unwrap();

    // Records that retries need are not voided.
    sick.server.clock.advance(Duration::from_secs(300));
    assert_eq!(sick.server.running.sweep().await.unwrap(), Swept::default());
    assert_eq!(ask().await, 200);
    assert_eq!(detail("retry_of"), Some(first));
    let second = detail("serial").unwrap();

    // It may become a certificate, or not: both are named.
    let second_open = left_open().await;
    assert_eq!(ask().await, 200);
    assert_eq!(detail("retry_of"), Some(format!("{second} {second_open}")));

    // The window is the first one's, for all.
    sick.server.clock.advance(Duration::from_secs(300));
    assert_eq!(ask().await, 200);
    assert_eq!(detail("retry_of"), None);
    sick.server.clock.advance(Duration::from_secs(60));
    assert_eq!(sick.server.running.sweep().await.unwrap(), Swept { finished: 0, voided: 2 });
}
