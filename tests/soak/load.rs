//! The requests of the devices, one after the other, and the checks of the answers.

use crate::common::{
    Connection, Identity, Reply, base64, basic, client_config, post_body, wrapped,
};
use estd::{
    pki::{Certificate, CsrBuilder, PrivateKey},
    types::KeyKind,
};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Time limit for an answer, on a machine that is busy with other work.
const PATIENCE: Duration = Duration::from_secs(60);

/// Idle time after which a kept connection is abandoned: the server ends it after 30 s.
const STALE: Duration = Duration::from_secs(15);

const TYPE: &str = "Content-Type: application/pkcs10\r\n";

/// The server.
pub(crate) struct Target {
    pub port: u16,
    pub password: String,
    pub window: Duration,
}

/// The requests and answers of all devices of one server.
#[derive(Default)]
pub(crate) struct Ledger(Mutex<Entries>);

#[derive(Default)]
pub(crate) struct Entries {
    /// Certificates by serial number, DER.
    pub received: BTreeMap<String, Vec<u8>>,
    /// Expected rejections, by rule.
    pub rejected: BTreeMap<String, u64>,
    /// Retries that got the certificate of the first request.
    pub retried: u64,
    /// Requests by kind.
    done: BTreeMap<&'static str, u64>,
    /// Duration of each request with its connection, in microseconds.
    times: Vec<u32>,
    errors: Vec<String>,
}

impl Ledger {
    pub(crate) fn error(&self, error: String) {
        eprintln!("error: {error}");
        self.with(|entries| entries.errors.push(error));
    }

    pub(crate) fn errors(&self) -> Vec<String> {
        self.with(|entries| entries.errors.clone())
    }

    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Entries) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// Returns the numbers of requests and certificates so far.
    pub(crate) fn counts(&self) -> (usize, usize) {
        self.with(|entries| (entries.times.len(), entries.received.len()))
    }

    fn rejected(&self, rule: &str) {
        self.with(|entries| *entries.rejected.entry(rule.to_owned()).or_default() += 1);
    }

    /// Counts the rejection of a path, which is the answer to a label that does not exist.
    pub(crate) fn path_rejected(&self) {
        self.rejected("http.path");
    }

    pub(crate) fn print(&self, length: Duration) {
        self.with(|entries| {
            entries.times.sort_unstable();
            let at = |part: f64| {
                let last = entries.times.len() - 1;
                f64::from(entries.times[(last as f64 * part) as usize]) / 1000.0
            };
            eprintln!(
                "  {} requests, {:.1} a second; p50 {:.1} ms, p99 {:.1}, longest {:.1}",
                entries.times.len(),
                entries.times.len() as f64 / length.as_secs_f64(),
                at(0.5),
                at(0.99),
                at(1.0)
            );
            for (what, count) in &entries.done {
                eprintln!("    {what:<32} {count:>8}");
            }
            eprintln!(
                "  {} certificates received, {} retries answered with the first certificate",
                entries.received.len(),
                entries.retried
            );
            let rejected: u64 = entries.rejected.values().sum();
            eprintln!("  {rejected} rejections, all as expected: {:?}", entries.rejected);
        });
    }
}

/// A bad request.
#[derive(Clone, Copy)]
enum Bad {
    Base64,
    ContentType,
    Size,
    Signature,
    Form,
    Label,
    Password,
    Nobody,
    OtherNames,
    OtherIdentity,
    Method,
}

/// Each kind with the expected status and rule of its rejection.
const BAD: [(Bad, u16, &str); 11] = [
    (Bad::Base64, 400, "body.base64"),
    (Bad::ContentType, 415, "http.content-type"),
    (Bad::Size, 413, "http.body-size"),
    (Bad::Signature, 400, "csr.proof-of-possession"),
    (Bad::Form, 400, "csr.form"),
    (Bad::Label, 404, "http.path"),
    (Bad::Password, 401, "auth.password"),
    (Bad::Nobody, 401, "auth.none"),
    (Bad::OtherNames, 401, "enroll.names"),
    (Bad::OtherIdentity, 403, "reenroll.identity"),
    (Bad::Method, 405, "http.method"),
];

/// A step of a device.
#[derive(Clone, Copy)]
enum Step {
    /// /cacerts on a new connection without a certificate, or on the kept one.
    CaCerts,
    CaCertsKept,
    /// The device's own names with a new key, on the kept connection.
    OwnNames,
    /// Other names with a new key under a label that allows it; a full handshake.
    AnyNames,
    /// Retries the last successful request, byte for byte: on a new connection, or on the kept one
    /// if it was sent there.
    Retry,
    RetryKept,
    Renew,
    Rekey,
    /// A new device that has only a password.
    Password,
    Bad,
}

/// Between two renewals, the first is retried at least once.
const CYCLE: [Step; 38] = {
    use Step::*;
    [
        CaCertsKept,
        OwnNames,
        RetryKept,
        Bad,
        OwnNames,
        CaCerts,
        AnyNames,
        Retry,
        Bad,
        OwnNames,
        OwnNames,
        CaCertsKept,
        Bad,
        Renew,
        Retry,
        CaCerts,
        OwnNames,
        Bad,
        RetryKept,
        AnyNames,
        OwnNames,
        Bad,
        CaCertsKept,
        AnyNames,
        RetryKept,
        CaCertsKept,
        Bad,
        Rekey,
        Retry,
        OwnNames,
        Bad,
        Password,
        Retry,
        OwnNames,
        CaCertsKept,
        AnyNames,
        Retry,
        Bad,
    ]
};

/// A request that got a certificate.
struct Sent {
    bytes: Vec<u8>,
    identity: Option<Arc<Identity>>,
    at: Instant,
    certificate: Vec<u8>,
}

pub(crate) struct Device {
    number: usize,
    target: Arc<Target>,
    ledger: Arc<Ledger>,
    key: Arc<PrivateKey>,
    identity: Arc<Identity>,
    /// For the kept connection: it resumes sessions.
    config: Arc<ClientConfig>,
    kept: Option<(Connection, Instant)>,
    connections: usize,
    steps: usize,
    named: usize,
    bads: usize,
    last: Sent,
    cacerts: Vec<u8>,
}

fn key() -> PrivateKey {
    PrivateKey::generate(KeyKind::P256).unwrap()
}

fn csr(subject: &str, key: &PrivateKey) -> Vec<u8> {
    CsrBuilder::new().subject(subject).unwrap().build(key).unwrap()
}

fn identity(certificate: &[u8], key: &PrivateKey) -> Arc<Identity> {
    Arc::new(Identity {
        pem: Certificate::parse(certificate).unwrap().to_pem(),
        key: key.to_pem(None).unwrap().to_string(),
    })
}

fn versions(number: usize) -> &'static [&'static SupportedProtocolVersion] {
    const TLS13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
    const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
    if number.is_multiple_of(3) { TLS12 } else { TLS13 }
}

/// Enrolls devices by password, one after the other.
pub(crate) async fn devices(
    count: usize,
    target: &Arc<Target>,
    ledger: &Arc<Ledger>,
) -> Vec<Device> {
    let mut devices = Vec::new();
    let address = SocketAddr::from(([127, 0, 0, 1], target.port));
    let mut connection = Connection::open(address, None, versions(1)).await.unwrap();
    let cacerts =
        connection.send("GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(cacerts.status, 200);
    for number in 0..count {
        let key = key();
        let bytes = post_body(
            "simpleenroll",
            base64(&csr(&format!("CN=device-{number},O=Soak"), &key)).as_bytes(),
            &format!("{TYPE}{}", basic("enroll", &target.password)),
        );
        let at = Instant::now();
        let reply = connection.send(&bytes).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let certificate = issued(&reply).unwrap();
        let serial = Certificate::parse(&certificate).unwrap().serial().to_string();
        ledger.with(|entries| entries.received.insert(serial, certificate.clone()));
        let identity = identity(&certificate, &key);
        devices.push(Device {
            number,
            target: Arc::clone(target),
            ledger: Arc::clone(ledger),
            key: Arc::new(key),
            config: Arc::new(client_config(Some(&identity), versions(number))),
            identity,
            kept: None,
            connections: number,
            // The devices start at different steps.
            steps: number * 3,
            named: 0,
            bads: number,
            last: Sent { bytes, identity: None, at, certificate },
            cacerts: cacerts.body.clone(),
        });
    }
    devices
}

fn issued(reply: &Reply) -> Result<Vec<u8>, String> {
    let der = estd::pki::base64::decode(&reply.body, false).map_err(|error| error.to_string())?.der;
    let mut all = estd::pki::cms::parse_certs_only(&der).map_err(|error| error.to_string())?;
    match all.len() {
        1 => Ok(all.remove(0)),
        count => Err(format!("{count} certificates in an answer")),
    }
}

impl Device {
    /// Takes one step a tick until `end`.
    pub(crate) async fn work(mut self, tick: Duration, end: Instant) {
        let mut pace = tokio::time::interval(tick);
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < end {
            pace.tick().await;
            let step = CYCLE[self.steps % CYCLE.len()];
            self.steps += 1;
            let outcome = tokio::time::timeout(PATIENCE, self.step(step)).await;
            let outcome = outcome.unwrap_or_else(|_| Err("no answer in a minute".to_owned()));
            if let Err(error) = outcome {
                self.kept = None;
                self.ledger.error(format!("device {}: {error}", self.number));
            }
        }
    }

    async fn step(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::CaCerts => self.cacerts(false).await,
            Step::CaCertsKept => self.cacerts(true).await,
            Step::OwnNames => {
                let subject = self.subject();
                self.enroll("new key, own names, kept alive", "simpleenroll", &subject, true).await
            }
            Step::AnyNames => {
                let subject = self.new_subject("part");
                self.enroll("new key, any names", "line/simpleenroll", &subject, false).await
            }
            Step::Retry => self.retry(false).await,
            Step::RetryKept => self.retry(true).await,
            Step::Renew => self.reenroll(false).await,
            Step::Rekey => self.reenroll(true).await,
            Step::Password => self.enroll_by_password().await,
            Step::Bad => {
                self.bads += 1;
                let (bad, status, rule) = BAD[self.bads % BAD.len()];
                self.bad(bad, status, rule).await
            }
        }
    }

    fn subject(&self) -> String {
        Certificate::parse(&self.identity.der()).unwrap().subject().to_string()
    }

    fn new_subject(&mut self, kind: &str) -> String {
        self.named += 1;
        format!("CN={kind}-{}-{},O=Soak", self.number, self.named)
    }

    /// Uses another certificate for all later requests.
    fn become_one(&mut self, certificate: &[u8], key: Arc<PrivateKey>) {
        self.identity = identity(certificate, &key);
        self.key = key;
        self.connections += 1;
        self.config = Arc::new(client_config(Some(&self.identity), versions(self.connections)));
        self.kept = None;
    }

    /// Sends on the kept connection, which is opened if it does not exist.
    async fn on_kept(&mut self, what: &'static str, bytes: &[u8]) -> Result<Reply, String> {
        let start = Instant::now();
        let mut connection = match self.kept.take().filter(|(_, last)| last.elapsed() < STALE) {
            Some((connection, _)) => connection,
            None => {
                let address = SocketAddr::from(([127, 0, 0, 1], self.target.port));
                Connection::open_with(address, Arc::clone(&self.config))
                    .await
                    .map_err(|error| format!("{what}: connecting: {error}"))?
            }
        };
        let reply = connection.try_send(bytes).await.ok_or_else(|| format!("{what}: no answer"))?;
        let ends = |value: &str| value.eq_ignore_ascii_case("close");
        if !reply.header("Connection").is_some_and(ends) {
            self.kept = Some((connection, Instant::now()));
        }
        self.count(what, start);
        Ok(reply)
    }

    /// Sends on a new connection with a full handshake.
    async fn on_new(
        &mut self,
        what: &'static str,
        identity: Option<Arc<Identity>>,
        bytes: &[u8],
    ) -> Result<Reply, String> {
        let start = Instant::now();
        self.connections += 1;
        let address = SocketAddr::from(([127, 0, 0, 1], self.target.port));
        let versions = versions(self.connections);
        let mut connection = Connection::open(address, identity.as_deref(), versions)
            .await
            .map_err(|error| format!("{what}: connecting: {error}"))?;
        let reply = connection.try_send(bytes).await.ok_or_else(|| format!("{what}: no answer"))?;
        self.count(what, start);
        Ok(reply)
    }

    fn count(&self, what: &'static str, start: Instant) {
        let took = u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX);
        self.ledger.with(|entries| {
            entries.times.push(took);
            *entries.done.entry(what).or_default() += 1;
        });
    }

    async fn cacerts(&mut self, kept: bool) -> Result<(), String> {
        let bytes = b"GET /.well-known/est/cacerts HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let reply = if kept {
            self.on_kept("cacerts, kept alive", bytes).await?
        } else {
            self.on_new("cacerts", None, bytes).await?
        };
        if reply.status == 200 && reply.body == self.cacerts {
            Ok(())
        } else {
            Err(format!("cacerts: {} {}", reply.start, reply.text()))
        }
    }

    /// Adds a new certificate to the ledger, if it matches the request.
    fn receive(&self, what: &str, reply: &Reply, key: &PrivateKey) -> Result<Vec<u8>, String> {
        if reply.status != 200 {
            return Err(format!("{what}: {} {}", reply.start, reply.text()));
        }
        let der = issued(reply).map_err(|error| format!("{what}: {error}"))?;
        let certificate = Certificate::parse(&der).map_err(|error| format!("{what}: {error}"))?;
        if certificate.spki() != key.public_key_spki_der().unwrap() {
            return Err(format!("{what}: a certificate for another key"));
        }
        let serial = certificate.serial().to_string();
        let before =
            self.ledger.with(|entries| entries.received.insert(serial.clone(), der.clone()));
        match before {
            None => Ok(der),
            Some(_) => Err(format!("{what}: serial number {serial} twice")),
        }
    }

    async fn enroll(
        &mut self,
        what: &'static str,
        operation: &str,
        subject: &str,
        kept: bool,
    ) -> Result<(), String> {
        let key = key();
        let body = if kept { base64(&csr(subject, &key)) } else { wrapped(&csr(subject, &key)) };
        let bytes = post_body(operation, body.as_bytes(), TYPE);
        let (at, identity) = (Instant::now(), Arc::clone(&self.identity));
        let reply = if kept {
            self.on_kept(what, &bytes).await?
        } else {
            self.on_new(what, Some(Arc::clone(&identity)), &bytes).await?
        };
        let certificate = self.receive(what, &reply, &key)?;
        self.last = Sent { bytes, identity: Some(identity), at, certificate };
        Ok(())
    }

    async fn reenroll(&mut self, rekey: bool) -> Result<(), String> {
        let what = if rekey { "rekey" } else { "renew" };
        let key = if rekey { Arc::new(key()) } else { Arc::clone(&self.key) };
        let csr =
            CsrBuilder::new().like_certificate(&self.identity.der()).unwrap().build(&key).unwrap();
        let bytes = post_body("simplereenroll", base64(&csr).as_bytes(), TYPE);
        let (at, identity) = (Instant::now(), Arc::clone(&self.identity));
        let reply = self.on_kept(what, &bytes).await?;
        let certificate = self.receive(what, &reply, &key)?;
        self.become_one(&certificate, key);
        self.last = Sent { bytes, identity: Some(identity), at, certificate };
        Ok(())
    }

    async fn enroll_by_password(&mut self) -> Result<(), String> {
        let key = key();
        let subject = self.new_subject("device");
        let bytes = post_body(
            "simpleenroll",
            wrapped(&csr(&subject, &key)).as_bytes(),
            &format!("{TYPE}{}", basic("enroll", &self.target.password)),
        );
        let at = Instant::now();
        let reply = self.on_new("a new device by password", None, &bytes).await?;
        let certificate = self.receive("password", &reply, &key)?;
        self.become_one(&certificate, Arc::new(key));
        self.last = Sent { bytes, identity: None, at, certificate };
        Ok(())
    }

    async fn retry(&mut self, kept: bool) -> Result<(), String> {
        let bytes = self.last.bytes.clone();
        let who = self.last.identity.clone();
        let same = who.as_ref().is_some_and(|who| Arc::ptr_eq(who, &self.identity));
        let reply = if kept && same {
            self.on_kept("retry, kept alive", &bytes).await?
        } else {
            self.on_new("retry", who, &bytes).await?
        };
        if reply.status != 200 {
            return Err(format!("retry: {} {}", reply.start, reply.text()));
        }
        let certificate = issued(&reply).map_err(|error| format!("retry: {error}"))?;
        if certificate == self.last.certificate {
            self.ledger.with(|entries| entries.retried += 1);
            return Ok(());
        }
        // The server's times are whole seconds.
        if self.last.at.elapsed() + Duration::from_secs(2) < self.target.window {
            return Err("retry: another certificate within the window".to_owned());
        }
        let serial = Certificate::parse(&certificate).unwrap().serial().to_string();
        self.ledger.with(|entries| entries.received.insert(serial, certificate.clone()));
        self.last.certificate = certificate;
        self.last.at = Instant::now();
        Ok(())
    }

    async fn bad(&mut self, bad: Bad, status: u16, rule: &'static str) -> Result<(), String> {
        let what = "bad requests";
        let key = key();
        let good = csr(&self.subject(), &key);
        let post =
            |operation: &str, body: &[u8], headers: &str| post_body(operation, body, headers);
        let reply = match bad {
            Bad::Base64 => {
                let body = base64(&good).replacen('A', "!", 1);
                self.on_kept(what, &post("simpleenroll", body.as_bytes(), TYPE)).await?
            }
            Bad::ContentType => {
                let headers = "Content-Type: text/plain\r\n";
                let bytes = post("simpleenroll", base64(&good).as_bytes(), headers);
                self.on_kept(what, &bytes).await?
            }
            Bad::Size => self.on_kept(what, &post("simpleenroll", &[b'A'; 100_000], TYPE)).await?,
            Bad::Signature => {
                // A subject of the same length: the DER stays valid, the signature does not.
                let subject = self.subject();
                let at = good.windows(4).position(|four| four == b"Soak").unwrap();
                assert!(subject.contains("O=Soak"));
                let mut broken = good.clone();
                broken[at] = b's';
                self.on_kept(what, &post("simpleenroll", base64(&broken).as_bytes(), TYPE)).await?
            }
            Bad::Form => {
                let cut = base64(&good[..good.len() - 20]);
                self.on_kept(what, &post("simpleenroll", cut.as_bytes(), TYPE)).await?
            }
            Bad::Label => {
                let bytes = post("nowhere/simpleenroll", base64(&good).as_bytes(), TYPE);
                self.on_kept(what, &bytes).await?
            }
            Bad::Password => {
                let headers = format!("{TYPE}{}", basic("enroll", "not the password"));
                let bytes = post("simpleenroll", base64(&good).as_bytes(), &headers);
                self.on_new(what, None, &bytes).await?
            }
            Bad::Nobody => {
                let bytes = post("simpleenroll", base64(&good).as_bytes(), TYPE);
                self.on_new(what, None, &bytes).await?
            }
            Bad::OtherNames => {
                let other = base64(&csr("CN=another,O=Soak", &key));
                self.on_kept(what, &post("simpleenroll", other.as_bytes(), TYPE)).await?
            }
            Bad::OtherIdentity => {
                let other = base64(&csr("CN=another,O=Soak", &key));
                self.on_kept(what, &post("simplereenroll", other.as_bytes(), TYPE)).await?
            }
            Bad::Method => {
                let bytes = "GET /.well-known/est/simpleenroll HTTP/1.1\r\nHost: localhost\r\n\r\n";
                self.on_kept(what, bytes.as_bytes()).await?
            }
        };
        let text = reply.header("X-Reason").map_or_else(|| reply.text(), str::to_owned);
        if reply.status != status || !text.starts_with(&format!("{rule}:")) {
            return Err(format!("{rule}: {} {text}", reply.start));
        }
        self.ledger.rejected(rule);
        Ok(())
    }
}
