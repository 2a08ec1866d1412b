//! Two nodes over one database with a synchronous standby: a node is killed, then the primary, and
//! the standby takes over.

use crate::{
    common::{Connection, Identity, base64, basic, post_body},
    postgres::{Postgres, free_port, good, program},
    process::Estd,
};
use estd::{
    pki::{Certificate, CsrBuilder, PrivateKey},
    types::KeyKind,
};
use std::{
    collections::{HashMap, HashSet},
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Requests under way at once.
const AT_ONCE: usize = 16;

/// Time limit for any step, on a machine that may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// Key and certificate of the database, from a CA of its own.
fn certificates(folder: &Path) {
    let run = |arguments: &[&str]| {
        let mut command = Command::new("openssl");
        good("openssl", command.args(arguments).current_dir(folder).output().unwrap());
    };
    let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    run(&[&new[..], &["-days", "30", "-subj", "/CN=db CA", "-keyout", "ca.key", "-out", "ca.pem"]]
        .concat());
    let leaf = ["-subj", "/CN=db", "-addext", "subjectAltName=IP:127.0.0.1"];
    let made =
        ["-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    run(&[&new[..], &leaf, &made, &["-days", "30", "-keyout", "db.key", "-out", "db.pem"]].concat());
}

/// A primary with TLS, and a standby without which it acknowledges nothing.
fn cluster(tls: &Path) -> (Postgres, Postgres) {
    let copied = |folder: &TempDir| {
        for (name, mode) in [("db.key", "600"), ("db.pem", "644")] {
            let to = folder.path().join(name);
            fs::copy(tls.join(name), &to).unwrap();
            good("chmod", Command::new("chmod").arg(mode).arg(&to).output().unwrap());
            good(
                "chown",
                Command::new("chown")
                    .arg("--reference")
                    .arg(folder.path())
                    .arg(&to)
                    .output()
                    .unwrap(),
            );
        }
        [
            "ssl=on".to_owned(),
            format!("ssl_key_file={}", folder.path().join("db.key").display()),
            format!("ssl_cert_file={}", folder.path().join("db.pem").display()),
        ]
    };
    let folder = crate::postgres::folder();
    let mut settings = vec!["listen_addresses=127.0.0.1".to_owned()];
    settings.extend(copied(&folder));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let primary = Postgres::new_in(folder, free_port(), &settings);

    let folder = crate::postgres::folder();
    let mut settings = vec!["listen_addresses=127.0.0.1".to_owned()];
    settings.extend(copied(&folder));
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let mut copy = program("pg_basebackup");
    copy.args(["-h", "127.0.0.1", "-U", "estd", "-R", "--checkpoint=fast", "-p"]);
    copy.arg(primary.port.to_string()).arg("-D").arg(folder.path().join("data"));
    good("pg_basebackup", copy.output().unwrap());
    let mut standby = Postgres::in_folder(folder, free_port(), &settings);
    standby.run();
    primary.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.sql("postgres", "SELECT pg_reload_conf()");
    let deadline = Instant::now() + PATIENCE;
    while primary.sql("postgres", "SELECT sync_state FROM pg_stat_replication") != "sync" {
        assert!(Instant::now() < deadline, "the standby does not come");
    }
    primary.sql("postgres", "CREATE DATABASE estd");
    (primary, standby)
}

/// The requests of devices and their answers.
struct Fleet {
    device: Identity,
    /// The ports of the nodes; 0 while one is away.
    nodes: [AtomicU16; 2],
    queue: Mutex<Vec<Vec<u8>>>,
    /// All certificates received for each request.
    received: Mutex<HashMap<Vec<u8>, HashSet<Vec<u8>>>>,
    /// When certificates were received.
    times: Mutex<Vec<Instant>>,
}

impl Fleet {
    /// One attempt at one node.
    async fn ask(&self, node: usize, csr: &[u8]) -> Option<Vec<u8>> {
        let port = self.nodes[node].load(Ordering::Relaxed);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let tls = [&rustls::version::TLS13];
        let mut connection = Connection::open(address, Some(&self.device), &tls).await.ok()?;
        let headers = "Content-Type: application/pkcs10\r\n";
        let request = post_body("simpleenroll", base64(csr).as_bytes(), headers);
        let reply = connection.try_send(&request).await?;
        if reply.status == 503 {
            assert!(reply.header("Retry-After").is_some());
            return None;
        }
        assert_eq!(reply.status, 200, "{}", reply.text());
        let der = estd::pki::base64::decode(&reply.body, false).unwrap().der;
        let certificate = estd::pki::cms::parse_certs_only(&der).unwrap().remove(0);
        self.received.lock().unwrap().entry(csr.to_vec()).or_default().insert(certificate.clone());
        self.times.lock().unwrap().push(Instant::now());
        Some(certificate)
    }

    /// One device after another, each until it has its certificate. Some then retry at the other
    /// node.
    async fn work(self: Arc<Self>, worker: usize) {
        for turn in worker.. {
            let next = self.queue.lock().unwrap().pop();
            let Some(csr) = next else { return };
            let begun = Instant::now();
            let mut node = turn % 2;
            while self.ask(node, &csr).await.is_none() {
                assert!(begun.elapsed() < PATIENCE, "a device that retries does not succeed");
                node = 1 - node;
                tokio::task::yield_now().await;
            }
            if turn % 5 == 0 {
                // Each answer is compared with the first one at the end.
                let _ = self.ask(1 - node, &csr).await;
            }
        }
    }

    fn count(&self) -> usize {
        self.received.lock().unwrap().len()
    }

    async fn reaches(&self, count: usize) {
        let begun = Instant::now();
        while self.count() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count}", self.count());
            tokio::task::yield_now().await;
        }
    }

    /// The longest time without an answer after `from`.
    fn longest_gap(&self, from: Instant) -> Duration {
        let times = self.times.lock().unwrap();
        let later = std::iter::once(from).chain(times.iter().copied().filter(|at| *at > from));
        let later: Vec<Instant> = later.collect();
        later.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_and_then_the_primary_die_and_nothing_acknowledged_is_lost() {
    let tls = tempfile::tempdir().unwrap();
    certificates(tls.path());
    let (mut primary, standby) = cluster(tls.path());
    let store = format!(
        "connection = \"host=127.0.0.1,127.0.0.1 port={},{} dbname=estd user=estd sslmode=require\"\n\
         tls_ca = \"{}\"\npatience = \"3s\"",
        primary.port,
        standby.port,
        tls.path().join("ca.pem").display()
    );
    let one = Estd::start_in(Estd::folder_on_postgres(&store));
    // The second node has the CA of the first and creates its other files.
    let folder = Estd::folder_on_postgres(&store);
    let data = folder.path().join("data");
    let copy = format!(
        "mkdir -m 700 '{0}' && cp -a '{1}' '{0}/ca'",
        data.display(),
        one.path("data/ca").display()
    );
    good("cp", Command::new("sh").args(["-c", &copy]).output().unwrap());
    let two = Estd::start_in(folder);
    assert!(two.password.is_empty(), "the account of the first node is the account of all");

    let key = PrivateKey::generate(KeyKind::P256).unwrap();
    let csr = |key: &PrivateKey| CsrBuilder::new().subject("CN=load").unwrap().build(key).unwrap();
    let device = {
        let address = SocketAddr::from(([127, 0, 0, 1], two.port));
        let mut connection =
            Connection::open(address, None, &[&rustls::version::TLS13]).await.unwrap();
        let headers =
            format!("Content-Type: application/pkcs10\r\n{}", basic("enroll", &one.password));
        let request = post_body("simpleenroll", base64(&csr(&key)).as_bytes(), &headers);
        let reply = connection.send(request).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        Identity { pem: reply.certificate_pem(), key: key.to_pem(None).unwrap().to_string() }
    };

    let requests = 900;
    let keys = (0..requests).map(|_| PrivateKey::generate(KeyKind::P256).unwrap());
    let fleet = Arc::new(Fleet {
        device,
        nodes: [AtomicU16::new(one.port), AtomicU16::new(two.port)],
        queue: Mutex::new(keys.map(|key| csr(&key)).collect()),
        received: Mutex::default(),
        times: Mutex::default(),
    });
    let workers: Vec<_> =
        (0..AT_ONCE).map(|worker| tokio::spawn(Arc::clone(&fleet).work(worker))).collect();

    // A node dies and is restarted later.
    fleet.reaches(200).await;
    let killed = Instant::now();
    let folder = one.kill();
    fleet.reaches(350).await;
    let without_node = fleet.longest_gap(killed);
    let one = Estd::start_in(folder);
    fleet.nodes[0].store(one.port, Ordering::Relaxed);

    // While two nodes write, a check reads the database as of one point in time.
    for _ in 0..3 {
        two.operator(&["store", "check"]);
    }

    // The primary dies under load; a little later the standby is promoted, as a failover manager does.
    fleet.reaches(500).await;
    let killed = Instant::now();
    primary.kill();
    standby.sql("postgres", "SELECT pg_promote(true, 60)");
    let promoted = killed.elapsed();
    fleet.reaches(700).await;
    let without_primary = fleet.longest_gap(killed);

    for worker in workers {
        worker.await.unwrap();
    }
    eprintln!(
        "{} devices, {} answers; longest time without any: {without_node:?} when a node died, \
         {without_primary:?} when the primary died (promoted after {promoted:?})",
        fleet.count(),
        fleet.times.lock().unwrap().len(),
    );

    // The dead node or the lost primary left open issuances; the sweep of a start ends them.
    let (one, two) = (Estd::start_in(one.stop()), two);
    assert_eq!(two.operator(&["cert", "list", "--open"]), "");
    let received = fleet.received.lock().unwrap().clone();
    assert_eq!(received.len(), requests);
    for certificates in received.values() {
        assert_eq!(certificates.len(), 1, "one request, two certificates");
    }
    let (mut keys, mut serials) = (HashMap::<String, usize>::new(), HashSet::new());
    for line in two.operator(&["cert", "list", "--json"]).lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| entry[name].as_str().unwrap().to_owned();
        assert!(serials.insert(text("serial")), "a serial number twice");
        assert_eq!(text("state"), "valid");
        *keys.entry(text("spki_sha256")).or_default() += 1;
    }
    assert!(keys.values().all(|count| *count == 1), "two certificates for one request");
    let on_record = standby.sql("estd", "SELECT encode(certificate, 'hex') FROM issuance");
    let on_record: HashSet<&str> = on_record.lines().collect();
    for certificate in received.values().flatten() {
        let hex: String = certificate.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(
            on_record.contains(hex.as_str()),
            "{} is lost",
            Certificate::parse(certificate).unwrap().serial()
        );
    }
    // The events of each writer are complete.
    let gaps = "SELECT count(*) FROM (SELECT writer FROM event GROUP BY writer \
                HAVING count(*) <> max(number) OR min(number) <> 1) gaps";
    assert_eq!(standby.sql("estd", gaps), "0");
    one.stop();
    let folder = two.stop();
    eprintln!("{}", crate::process::operator(folder.path(), &["store", "check"]));
}
