//! The requests whose keys the server generates (RFC 7030 §4.4), and the checks of them. Each key is
//! sent once, with its own certificate; a retry gets another key, and its event names the first.

use crate::{
    common::{Connection, Identity, base64, post_body},
    keygen::parts,
};
use estd::{
    pki::{self, Certificate, PrivateKey, PublicKey},
    store::{Issuance, State},
    telemetry::audit::{Event, Name},
    types::{Operation, Serial},
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::Mutex,
};

/// The label that offers server-side key generation.
pub(crate) const LABEL: &str =
    "[label.generated]\nserverkeygen = \"on\"\nrenewal.window = \"100%\"\nretry_window = \"1d\"\n";

/// Maximum number of requests with one CSR, below the server's own limit.
const AT_MOST: usize = 8;

/// A certificate, DER, and its key, PKCS#8.
type Pair = (Vec<u8>, Vec<u8>);

/// The number of requests sent with one CSR, and the pairs received.
#[derive(Default)]
struct Asked {
    times: usize,
    pairs: Vec<Pair>,
}

/// All requests, by CSR.
#[derive(Default)]
pub(crate) struct GeneratedKeys(Mutex<HashMap<Vec<u8>, Asked>>);

/// Posts a CSR for a generated key; returns certificate and key if the whole answer arrived.
async fn generate(port: u16, device: &Identity, csr: &[u8]) -> Option<Pair> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection =
        Connection::open(address, Some(device), &[&rustls::version::TLS13]).await.ok()?;
    let headers = "Content-Type: application/pkcs10\r\n";
    let request = post_body("generated/serverkeygen", base64(csr).as_bytes(), headers);
    let reply = connection.try_send(&request).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let parts = parts(reply.header("Content-Type").unwrap(), &reply.body);
    let der = |at: usize| pki::base64::decode(&parts[at].content, false).unwrap().der;
    Some((pki::cms::parse_certs_only(&der(1)).unwrap().remove(0), der(0)))
}

impl GeneratedKeys {
    /// Sends one request and keeps the answer. Returns false if none arrived.
    pub(crate) async fn ask(&self, port: u16, device: &Identity, csr: &[u8]) -> bool {
        self.0.lock().unwrap().entry(csr.to_vec()).or_default().times += 1;
        let Some(pair) = generate(port, device, csr).await else { return false };
        self.0.lock().unwrap().get_mut(csr).unwrap().pairs.push(pair);
        true
    }

    /// Returns an answered request that may be retried.
    pub(crate) fn answered(&self) -> Option<Vec<u8>> {
        let all = self.0.lock().unwrap();
        let mut again = all.iter().filter(|(_, it)| it.times < AT_MOST && !it.pairs.is_empty());
        again.next().map(|(csr, _)| csr.clone())
    }

    /// Compares the requests and answers of devices with the records and events, none of which is
    /// open any more. Returns a summary.
    pub(crate) fn check(&self, records: &HashMap<Serial, &Issuance>, events: &[Event]) -> String {
        let asked = self.0.lock().unwrap();
        let named = names(records, events);
        let first = |serial: &Serial| {
            let mut first = serial.clone();
            while let Some(earlier) = named.get(&first).and_then(|all| all.first()) {
                first = earlier.clone();
            }
            first
        };
        // The certificates of each request, by its first record.
        let mut issued: HashMap<Serial, Vec<&Serial>> = HashMap::new();
        for (serial, record) in records {
            if record.state == State::Issued {
                issued.entry(first(serial)).or_default().push(serial);
            }
        }
        for (first, of_one) in &issued {
            let is_named = |serial: &&Serial| named.values().any(|all| all.contains(serial));
            let last: Vec<_> = of_one.iter().filter(|serial| !is_named(serial)).collect();
            assert_eq!(last.len(), 1, "after {first} nobody names more than the last: {last:?}");
        }

        let (mut keys, mut requests) = (HashSet::new(), HashSet::new());
        let (mut received, mut retried) = (0, 0);
        for Asked { times, pairs } in asked.values() {
            let of_one: HashSet<Serial> =
                pairs.iter().map(|pair| first(&fits(pair, records))).collect();
            assert!(of_one.len() <= 1, "one request, not recognized as retried: {of_one:?}");
            for request in of_one {
                let count = issued[&request].len();
                assert!(count <= *times, "{count} certificates for {times} requests");
                assert!(requests.insert(request), "two requests, treated as retries");
            }
            for (_, key) in pairs {
                assert!(keys.insert(key), "a key that was sent twice");
            }
            received += pairs.len();
            retried += times - 1;
        }
        assert!(issued.len() <= asked.len(), "nobody asked for it");
        let void = records.values().filter(|record| record.state == State::Void).count();
        assert!(received > 0 && retried > 0, "too little load");
        format!(
            "{received} generated keys received and {} certificates on record; {retried} retries; {void} void",
            issued.values().map(Vec::len).sum::<usize>(),
        )
    }
}

/// Checks that the received certificate is on record and belongs to the key. Returns its serial
/// number.
fn fits((certificate, key): &Pair, records: &HashMap<Serial, &Issuance>) -> Serial {
    let parsed = Certificate::parse(certificate).unwrap();
    let record = records[parsed.serial()];
    assert_eq!((record.state, &record.certificate), (State::Issued, certificate));
    assert_eq!(record.intent.operation, Some(Operation::ServerKeyGen));
    let key = PrivateKey::from_pkcs8_der(key).unwrap().public_key_spki_der().unwrap();
    assert_eq!(key, parsed.spki(), "a key with the certificate of another");
    assert_eq!(record.intent.spki_sha256, PublicKey::parse(&key).unwrap().spki_sha256());
    parsed.serial().clone()
}

/// The earlier certificates named by the event of each certificate for a generated key, the oldest
/// first.
fn names(records: &HashMap<Serial, &Issuance>, events: &[Event]) -> HashMap<Serial, Vec<Serial>> {
    let by_text: HashMap<String, &Serial> =
        records.keys().map(|serial| (serial.to_string(), serial)).collect();
    let detail = |event: &Event, name: &str| {
        event.details.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    };
    let mut all = HashMap::new();
    for event in events.iter().filter(|event| event.name == Name::CertificateIssued) {
        if let Some(earlier) = detail(event, "retry_of") {
            let named = earlier.split(' ').map(|one| by_text[one].clone()).collect();
            all.insert(by_text[&detail(event, "serial").unwrap()].clone(), named);
        }
    }
    all
}
