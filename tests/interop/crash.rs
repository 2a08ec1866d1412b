//! kill -9 under load: nothing that a client received is missing, and no request got two.

use crate::{
    common::{Connection, Identity, base64, basic, post_body},
    process::Estd,
};
use estd::{
    client::operator::ask,
    pki::{Certificate, CsrBuilder, PrivateKey},
    types::KeyKind,
};
use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex},
};

/// Requests under way at once.
const AT_ONCE: usize = 16;

fn csr(key: &PrivateKey) -> Vec<u8> {
    CsrBuilder::new().subject("CN=load").unwrap().build(key).unwrap()
}

/// Posts a CSR and returns the certificate, if the whole answer came.
async fn enroll(port: u16, device: &Identity, csr: &[u8]) -> Option<Vec<u8>> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut connection =
        Connection::open(address, Some(device), &[&rustls::version::TLS13]).await.ok()?;
    let request =
        post_body("simpleenroll", base64(csr).as_bytes(), "Content-Type: application/pkcs10\r\n");
    let reply = connection.try_send(&request).await?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let der = estd::pki::base64::decode(&reply.body, false).unwrap().der;
    Some(estd::pki::cms::certificates(&der).unwrap().remove(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_times_killed_nothing_lost_and_nothing_twice() {
    let mut estd = Estd::start();
    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let device = {
        let address = SocketAddr::from(([127, 0, 0, 1], estd.port));
        let mut connection =
            Connection::open(address, None, &[&rustls::version::TLS13]).await.unwrap();
        let headers =
            format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", &estd.password));
        let reply = connection
            .send(post_body("simpleenroll", base64(&csr(&key)).as_bytes(), &headers))
            .await;
        Identity { pem: reply.certificate_pem(), key: key.to_pem(None).unwrap().to_string() }
    };
    let device = Arc::new(device);
    // The key of each request, and the certificate that came for it.
    let received: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>> = Arc::default();
    let mut unanswered: Vec<Vec<u8>> = Vec::new();
    let mut repeated = 0;

    for cycle in 0..20u64 {
        let port = estd.port;
        // What got no answer before the last kill is asked again, first.
        let keys = (0..200).map(|_| PrivateKey::generate(KeyKind::P256).unwrap());
        let mut requests: Vec<Vec<u8>> = keys.map(|key| csr(&key)).collect();
        repeated += unanswered.len();
        // Taken from the end.
        requests.append(&mut unanswered);
        let (queue, total) = (Arc::new(Mutex::new(requests)), received.lock().unwrap().len());
        let lost: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let workers: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let (queue, received, lost, device) = (
                    Arc::clone(&queue),
                    Arc::clone(&received),
                    Arc::clone(&lost),
                    Arc::clone(&device),
                );
                tokio::spawn(async move {
                    loop {
                        let next = queue.lock().unwrap().pop();
                        let Some(csr) = next else { return };
                        match enroll(port, &device, &csr).await {
                            Some(certificate) => {
                                let before = received.lock().unwrap().insert(csr, certificate);
                                assert!(before.is_none());
                            }
                            None => {
                                lost.lock().unwrap().push(csr);
                                return;
                            }
                        }
                    }
                })
            })
            .collect();
        // Killed at another point each time, while requests are under way.
        while received.lock().unwrap().len() < total + 20 + usize::try_from(cycle * 7 % 90).unwrap()
        {
            tokio::task::yield_now().await;
        }
        let folder = estd.kill();
        for worker in workers {
            worker.await.unwrap();
        }
        unanswered = std::mem::take(&mut *lost.lock().unwrap());
        estd = Estd::start_in(folder);
    }

    // The rest, without a kill.
    repeated += unanswered.len();
    for csr in &unanswered {
        let certificate = enroll(estd.port, &device, csr).await.unwrap();
        received.lock().unwrap().insert(csr.clone(), certificate);
    }
    let socket = estd.path("data/estd.sock");
    let (mut serials, mut open, mut keys) = (HashSet::new(), 0, HashMap::<String, usize>::new());
    for line in estd.operator(&["cert", "list", "--json"]).lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let serial = entry["serial"].as_str().unwrap().to_owned();
        match entry["state"].as_str().unwrap() {
            "valid" => {
                *keys.entry(entry["spki_sha256"].as_str().unwrap().to_owned()).or_default() += 1;
            }
            "open" => open += 1,
            other => panic!("{serial} is {other}"),
        }
        assert!(serials.insert(serial), "a serial number twice");
    }
    assert!(keys.values().all(|count| *count == 1), "two certificates for one request");
    assert_eq!(open, 0, "each open record was completed by its repeat");
    let received = received.lock().unwrap().clone();
    for certificate in received.values() {
        let certificate = Certificate::parse(certificate).unwrap();
        let path = format!("/v1/certificates/{}", certificate.serial());
        let shown: serde_json::Value =
            ask::<(), _>(&socket, hyper::Method::GET, &path, None).await.unwrap();
        assert_eq!(shown["pem"].as_str().unwrap(), certificate.to_pem());
    }
    eprintln!(
        "{} certificates received, {repeated} requests repeated after a kill",
        received.len()
    );
    assert!(received.len() > 1000);
}
